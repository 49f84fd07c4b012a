"""What the papers say is true: examples run, commands parse, links and names lead somewhere."""

import ast
import contextlib
import doctest
import importlib
import re
import shlex
import textwrap
from pathlib import Path

import pytest
import torch
import typer

import cenote
from cenote.cli import app

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(cenote.__file__).parent
FOLDERS = (ROOT, ROOT / "docs", *sorted((ROOT / "datasets").glob("*")))
PAGES = [page for folder in FOLDERS for page in sorted(folder.glob("*.md"))]
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>>" in path.read_text("utf-8")]
SHELLS = ("bash", "console", "sh", "shell")

FENCE = re.compile(r"^( *)```(\w*)[^`\n]*\n(.*?)^\1```[ \t]*$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)>\s]+)>?[^)]*\)|(?:src|href)=\"([^\"]+)\"")
PUBLIC = {name: getattr(cenote, name) for name in cenote.__all__}
PUBLIC |= {"cenote": cenote, "torch": torch}


def blocks(page, *languages):
    """``(text, language, line)`` of the page's fenced blocks, the line before that of the text."""
    text = page.read_text("utf-8")
    for match in FENCE.finditer(text):
        if match[2] in languages:
            yield textwrap.dedent(match[3]), match[2], text.count("\n", 0, match.start(3))


def prose(page):
    return FENCE.sub("", page.read_text("utf-8"))


def named(path):
    return path.relative_to(ROOT if path.is_relative_to(ROOT) else PACKAGE).as_posix()


def run_doctest(test, names):
    """Run the examples of a doctest in a namespace that they may change; its complaints."""
    test.globs = names
    complaints = []
    doctest.DocTestRunner().run(test, out=complaints.append, clear_globs=False)
    return "".join(complaints)


@pytest.mark.parametrize("page", [p for p in PAGES if any(blocks(p, "python"))], ids=named)
def test_examples_of_a_page_run_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {"__name__": "__main__"}
    for text, _, line in blocks(page, "python"):
        if ">>>" in text:
            test = doctest.DocTestParser().get_doctest(text, {}, named(page), str(page), line)
            assert not (complaints := run_doctest(test, names)), complaints
        else:
            code = "\n" * line + text  # so that an error names the page's own line
            exec(compile(code, page, "exec"), names)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_examples_of_a_module(path, tmp_path, monkeypatch):
    """The examples may use the package's public names, torch, and the module's own names."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert tests, "examples that doctest does not find"
    for test in tests:
        assert not (complaints := run_doctest(test, PUBLIC | vars(module))), complaints


def commands(page):
    """``(program, arguments)`` of every command of the page's shell blocks and code spans."""
    lines = [span for span in SPAN.findall(prose(page)) if span.startswith(("cenote ", "make "))]
    lines = [re.sub(r"^cenote \w+$", r"\g<0> --help", line) for line in lines]  # only named
    for text, language, _ in blocks(page, *SHELLS):
        joined = text.replace("\\\n", " ").splitlines()
        prompted = [line[2:] for line in joined if line.startswith("$ ")]
        lines += prompted if language == "console" else prompted or joined
    for line in filter(re.compile(r"\b(cenote|make)\b").search, lines):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = []
        for token in [*lexer, ";"]:
            if not token or token[0] not in "|&;<>()":
                words.append(token)
                continue
            while words and re.fullmatch(r"\w+=.*", words[0]):  # variables before a command
                words.pop(0)
            if words:
                yield Path(words[0]).name, words[1:]
            words = []


def refusal(arguments):
    """Why the command line does not take these arguments, or None; runs no command."""
    command = typer.main.get_command(app)
    if arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        if name not in command.commands:
            return f"no command {name!r}"
        command = command.commands[name]
    try:
        with contextlib.suppress(typer.Exit):  # --help and --version
            command.make_context("cenote", list(arguments))
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return error.format_message()
    return None


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist(page):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z][\w-]*):(?!=)", makefile, re.MULTILINE)
    for program, arguments in commands(page):
        if program == "cenote":
            assert refusal(arguments) is None, f"{named(page)}: cenote {shlex.join(arguments)}"
        elif program == "make":
            wanted = [word for word in arguments if "=" not in word and not word.startswith("-")]
            assert set(wanted) <= set(targets), f"{named(page)}: make {shlex.join(arguments)}"


def test_wrong_commands_are_noticed():
    assert "no command 'trian'" in refusal(["trian"])
    assert "--epoch" in refusal(["train", "lenet5", "--epoch-s", "3"])
    assert "RUN" in refusal(["eval"])
    assert refusal(["train", "lenet5", "--epochs", "3"]) is None


def anchors(page):
    headings = re.findall(r"^#+ +(.*?) *$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    for link in ("".join(groups) for groups in LINK.findall(SPAN.sub("", prose(page)))):
        if re.match(r"[a-z]+:", link):
            continue  # another place, which tests do not ask
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{named(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{named(page)}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_exist(page):
    folders = [f for f in (ROOT / n for n in ("src", "native", "tests", "docs")) if f.exists()]
    files = [f"/{p.relative_to(ROOT).as_posix()}" for folder in folders for p in folder.rglob("*")]
    for span in SPAN.findall(prose(page)):
        if re.fullmatch(r"[\w./-]+\.(py|h|cpp|inc|sh)", span):
            found = any(file.endswith(f"/{span}") for file in files)
            assert found, f"{named(page)}: {span}"


def test_every_statement_of_the_semantics_has_its_test():
    sources = sorted((ROOT / "tests").glob("test_semantics*.py"))
    bodies = [node for path in sources for node in ast.parse(path.read_text("utf-8")).body]
    names = [node.name for node in bodies if isinstance(node, ast.FunctionDef)]
    written = [name for name in names if name.startswith("test_")]
    assert len(written) == len(set(written))
    page = prose(ROOT / "docs/semantics.md")
    assert set(re.findall(r"\btest_\w+\b(?!\.py)", page)) == set(written)
    statements = re.findall(r"^- .*(?:\n  .*)*", page, re.MULTILINE)
    assert [s for s in statements if "`test_" not in s] == []
