"""The command ``cenote``: train, eval, predict, demo, bench, doctor.

Commands print results on standard output. An error is one line on standard error and exit code 2;
``CENOTE_DEBUG=1`` shows where it came from.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

import cenote
from cenote import training
from cenote.benchmarking import convolution
from cenote.benchmarking.pooling import Plan
from cenote.training import Answer, Config, ImageError, Interrupted, Run
from cenote.training.prediction import predictions

__all__ = ["app", "main"]

app = typer.Typer(
    name="cenote",
    help="Convolution and pooling for PyTorch, at the speed of memory, and see-through.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_RUN = typer.Argument(help="Folder of a run, as cenote train leaves it.", metavar="RUN")
_WEIGHTS = typer.Option(help="Which weights: last, or best on the validation images.")
_JSON = typer.Option("--json", help="Print JSON.")
_TUNE = typer.Option(help="Keep freed memory for the next tensors (glibc only).")


def _options(of: type, without: Sequence[str]) -> list[inspect.Parameter]:
    """One parameter for each field: its name, type, default and help are the option's."""
    hints: dict[str, Any] = get_type_hints(of)
    parameters = []
    for field in fields(of):
        if field.name in without:
            continue
        words = field.metadata["help"]
        option = f"--{field.name.strip('_').replace('_', '-')}"
        default = (
            typer.Argument(field.default, help=words)
            if field.name == "network"
            else typer.Option(field.default, option, help=words)
        )
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=hints[field.name],
            )
        )
    return parameters


def _with_options(
    of: type, *, without: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a class as options, in the place of its ``**options``."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters = kept + _options(of, without)
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _given(context: typer.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Of ``options``, those that the person wrote: the rest is the library's to decide."""
    sources = {name: context.get_parameter_source(name) for name in options}
    return {n: v for n, v in options.items() if getattr(sources[n], "name", "DEFAULT") != "DEFAULT"}


def _tune(context: typer.Context, wanted: bool) -> None:
    """Tune the allocator until the command ends."""
    if wanted:
        context.with_resource(cenote.tune_allocator())


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Say how to go on after Ctrl-C, and leave with the exit code that shells give it."""
    try:
        yield
    except Interrupted as error:
        print(error, file=sys.stderr)
        raise typer.Exit(130) from None


@app.command()
@_with_options(Config)
def train(
    context: typer.Context,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, to the same bits.")
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(help=f"Options that go well together: {', '.join(training.RECIPES)}."),
    ] = None,
    tune_allocator: Annotated[bool, _TUNE] = True,
    **options: Any,
) -> None:
    """Train a network and leave a run folder."""
    _tune(context, tune_allocator)
    with _stoppable():
        result = training.fit(resume=resume, recipe=recipe, **_given(context, options))
    summary = result.summary
    print(
        f"test accuracy {100 * summary['test_accuracy']:.2f} % "
        f"({summary['test_errors']} of {summary['test_images']} wrong), "
        f"trained in {summary['seconds']:.1f} s, {summary['images_per_second']:,.0f} images/s"
    )
    print(f"run in {result.run.folder}")


@app.command(name="eval")
def evaluate(
    context: typer.Context,
    run: Annotated[Path, _RUN],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    weights: Annotated[str, _WEIGHTS] = "last",
    as_json: Annotated[bool, _JSON] = False,
    tune_allocator: Annotated[bool, _TUNE] = True,
) -> None:
    """Measure a trained network on a part of its data."""
    _tune(context, tune_allocator)
    opened = Run.open(run)
    model, dataset = opened.model(weights), opened.data(split)
    measured = training.evaluate(model, dataset, mean=opened.facts.mean, std=opened.facts.std)
    wrong, images = len(measured.wrong), len(measured.labels)
    if as_json:
        figures = {"accuracy": measured.accuracy, "loss": measured.loss}
        print(json.dumps({"split": split, **figures, "errors": wrong, "images": images}))
        return
    print(
        f"{split} accuracy {100 * measured.accuracy:.2f} % ({wrong} of {images} wrong), "
        f"loss {measured.loss:.4f}"
    )


@app.command()
def predict(
    context: typer.Context,
    run: Annotated[Path, _RUN],
    images: Annotated[list[Path], typer.Argument(help="Pictures, of any size and mode.")],
    weights: Annotated[str, _WEIGHTS] = "last",
    as_json: Annotated[bool, _JSON] = False,
    tune_allocator: Annotated[bool, _TUNE] = True,
) -> None:
    """Say what a trained network sees in pictures: its three most probable answers."""
    _tune(context, tune_allocator)
    results = predictions(Run.open(run), images, weights)
    if as_json:
        rows = [
            {"file": str(path), "error": str(result)}
            if isinstance(result, ImageError)
            else {
                "file": str(path),
                "top": [{"class": name, "probability": value} for name, value in result.top],
            }
            for path, result in zip(images, results, strict=True)
        ]
        print(json.dumps(rows, indent=2))
    width = max(len(str(path)) for path in images)
    for path, result in zip(images, results, strict=True):
        if isinstance(result, ImageError):
            _complain(str(result))
        elif not as_json:
            print(f"{path!s:{width}}  {_top(result)}")
    if any(isinstance(result, ImageError) for result in results):
        raise typer.Exit(1)


def _top(answer: Answer) -> str:
    return "   ".join(f"{name} {100 * value:6.2f} %" for name, value in answer.top)


@app.command()
@_with_options(Config, without=("network", "out"))
def demo(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the page and its pictures.")] = Path("demo"),
    show: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page, where there is a desktop.")
    ] = True,
    tune_allocator: Annotated[bool, _TUNE] = True,
    **options: Any,
) -> None:
    """Train LeNet-5 on all of MNIST, and show on one page what it learnt."""
    from cenote.inspection import demonstrate

    _tune(context, tune_allocator)
    with _stoppable():
        page = demonstrate(out, **_given(context, options))
    print(f"the page: {page}")
    if show and _has_desktop():
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def _has_desktop() -> bool:
    """Whether a browser window would be seen by someone."""
    if os.environ.get("CI") or not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


bench = typer.Typer(help="Time what is computed, against every peer that is installed.")
app.add_typer(bench, name="bench", no_args_is_help=True)

_RECORDS = typer.Argument(help="Records, as cenote bench pooling or conv --out leaves them.")


@bench.command()
@_with_options(Plan)
def pooling(
    *,
    show: Annotated[bool, typer.Option("--list", help="Only show what would be measured.")] = False,
    **options: Any,
) -> None:
    """Time pooling against every peer and the roof; results are compared first."""
    from cenote.benchmarking import command

    if not command.pooling(Plan(**options), show=show):
        raise typer.Exit(130)


@bench.command()
@_with_options(convolution.Plan)
def conv(
    *,
    show: Annotated[bool, typer.Option("--list", help="Only show what would be measured.")] = False,
    **options: Any,
) -> None:
    """Time convolutions and stages against every peer; results are compared first."""
    from cenote.benchmarking import command

    if not command.conv(convolution.Plan(**options), show=show):
        raise typer.Exit(130)


@bench.command()
def table(record: Annotated[Path, _RECORDS]) -> None:
    """Print the table of a record again."""
    from cenote.benchmarking import command

    command.table(record)


@bench.command()
def charts(
    record: Annotated[Path, _RECORDS],
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path(),
) -> None:
    """Draw a record of pooling: bytes against speed, and bars beside the peers'."""
    from cenote.benchmarking.charts import draw
    from cenote.benchmarking.record import read

    for path in draw(read(record), out):
        print(path)


@bench.command()
def pages(
    records: Annotated[list[Path], _RECORDS],
    page: Annotated[list[Path], typer.Option(help="A page with places for tables.")],
) -> None:
    """Write the tables of records into pages, between the marks of their places."""
    from cenote.benchmarking import command

    command.pages(records, page)


@app.command()
def doctor() -> None:
    """Say what this machine has that cenote can use."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    for name, value in cenote.doctor().items():
        shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        table.add_row(str(name), shown)
    Console(highlight=False).print(table)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"cenote {cenote.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, by default the process's; returns the exit code."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        if os.environ.get("CENOTE_DEBUG") == "1":
            raise
        message = _message(error)
        if message:  # a command without its arguments has printed its help
            _complain(message)
        return 2
    return code if isinstance(code, int) else 0


def _message(error: Exception) -> str:
    """One line: the message alone where it was written for a person, else with the error's type."""
    format_message = getattr(error, "format_message", None)  # typer's own: a wrong option, say
    text = format_message() if format_message else str(error)
    line = " ".join(text.split())
    if format_message or isinstance(error, (ValueError, OSError, ArithmeticError)):
        return line
    return f"{type(error).__name__}: {line} (CENOTE_DEBUG=1 shows where)"


def _complain(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
