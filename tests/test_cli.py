"""The command line: the same as the library, in one line an error."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from PIL import Image

import cenote
from cenote import cli
from cenote.training import Run
from cenote.training.config import option_names
from commands import call, refused
from training_helpers import QUICK, as_arguments, write_data

OPTIONS = as_arguments(QUICK)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("cli-data"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    return cenote.fit("lenet5", data=str(data), out=out, **QUICK).run


def test_version(capsys):
    assert call(capsys, "--version") == (0, f"cenote {cenote.__version__}\n", "")


def test_the_options_of_train_are_those_of_config():
    command = typer.main.get_command(cli.app).commands["train"]
    options = {parameter.name: parameter for parameter in command.params}
    assert set(options) == {*option_names(), "config", "recipe", "resume", "tune_allocator"}
    fields = cenote.training.Config.__dataclass_fields__
    for name in option_names():
        assert options[name].default == fields[name].default
        assert options[name].help == fields[name].metadata["help"]


def test_help_names_every_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call(capsys, "train", "--help")
    assert code == 0
    for name in option_names()[1:]:
        assert f"--{name.replace('_', '-')}" in out


def test_help_says_the_default_of_every_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    _, out, _ = call(capsys, "train", "--help")
    lines = [line.lstrip("│ ") for line in out.splitlines()]
    for name in option_names()[1:]:
        (said,) = [line for line in lines if line.startswith(f"--{name.replace('_', '-')} ")]
        assert "default" in said


def test_train_does_what_fit_does(capsys, data, run, tmp_path):
    out = tmp_path / "run"
    arguments = ["train", "lenet5", "--data", data, "--out", out, *OPTIONS]
    code, printed, errors = call(capsys, *arguments)
    assert (code, errors) == (0, "")
    assert f"run in {out}\n" in printed
    # The same weights give the same loss to the last bit.
    assert Run.open(out).summary["test_loss"] == run.summary["test_loss"]
    assert f"test accuracy {100 * run.summary['test_accuracy']:.2f} %" in printed


def test_train_goes_on_with_the_options_of_the_run(capsys, run):
    code, printed, _ = call(capsys, "train", "--out", run.folder, "--resume")
    assert code == 0
    assert "test accuracy" in printed
    message = refused(capsys, "train", "--out", run.folder, "--resume", "--epochs", "10")
    assert "epochs = 10: the run in" in message  # the default, but written: it counts


def test_train_refuses_a_folder_that_holds_a_run(capsys, data, run):
    assert "there is a run already" in refused(
        capsys, "train", "lenet5", "--data", data, "--out", run.folder
    )


REFUSED = {
    "No such option": ["train", "--colour", "blue"],
    "No such command": ["swim"],
    "--epochs": ["train", "--epochs", "many"],
    "epochs = 0: must be at least 1": ["train", "--epochs", "0"],
    "learning_rate = -1.0: must be above 0": ["train", "--learning-rate", "-1"],
    "optimizer = 'rmsprop': must be one of adam, sgd": ["train", "--optimizer", "rmsprop"],
    "neither a known data set (mnist": ["train", "--data", "nowhere"],
    "no run there (it has no config.json)": ["eval", "nowhere"],
    "split = 'rest': must be one of train, validation, test": ["eval", "{run}", "--split", "rest"],
    "weights = 'first': must be last or best": ["eval", "{run}", "--weights", "first"],
    "no run there": ["predict", "nowhere", "image.png"],
    "Missing argument": ["predict", "{run}"],
}


@pytest.mark.parametrize("message", REFUSED)
def test_an_error_is_one_line_and_exit_code_2(capsys, run, tmp_path, monkeypatch, message):
    monkeypatch.chdir(tmp_path)
    arguments = [argument.format(run=run.folder) for argument in REFUSED[message]]
    assert message in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_our_own_names_its_type(capsys, run, monkeypatch):
    def broken(*_):
        raise KeyError("oops")

    monkeypatch.setattr(Run, "model", broken)
    assert "KeyError: 'oops' (CENOTE_DEBUG=1 shows where)" in refused(capsys, "eval", run.folder)


def test_debugging_shows_where(monkeypatch):
    monkeypatch.setenv("CENOTE_DEBUG", "1")
    with pytest.raises(ValueError, match="no run there"):
        cli.main(["eval", "nowhere"])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_eval_measures_a_part_of_the_data(capsys, run, split):
    code, out, _ = call(capsys, "eval", run.folder, "--split", split)
    assert code == 0
    measured = json.loads(call(capsys, "eval", run.folder, "--split", split, "--json")[1])
    assert measured["images"] == {"train": 160, "validation": 40, "test": 60}[split]
    assert measured["accuracy"] == pytest.approx(1 - measured["errors"] / measured["images"])
    assert out.startswith(f"{split} accuracy {100 * measured['accuracy']:.2f} %")


@pytest.fixture
def pictures(tmp_path, data):
    """A bar of class 3, a broken file, and one of class 7."""
    images = cenote.data.load(data, "test").images
    for label in (3, 7):
        Image.fromarray(255 - images[label, 0].numpy()).save(tmp_path / f"{label}.png")
    (tmp_path / "broken.png").write_text("not a picture")
    return [tmp_path / name for name in ("3.png", "broken.png", "7.png")]


def test_predict_prints_the_three_most_probable(capsys, run, pictures):
    code, out, err = call(capsys, "predict", run.folder, pictures[0], pictures[2])
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [str(pictures[0]), str(pictures[2])]
    for line in lines:
        shares = [float(word) for word in line.split()[2::3]]
        assert len(shares) == 3
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 100.01


def test_predict_goes_on_after_a_file_that_it_cannot_read(capsys, run, pictures):
    code, out, err = call(capsys, "predict", run.folder, *pictures)
    assert code == 1
    assert len(out.splitlines()) == 2
    assert err == f"error: {pictures[1]}: not a picture in a format that can be read\n"


def test_predict_as_json(capsys, run, pictures):
    code, out, err = call(capsys, "predict", run.folder, *pictures, "--json")
    assert code == 1
    assert "broken.png" in err
    rows = json.loads(out)
    assert [row["file"] for row in rows] == [str(path) for path in pictures]
    assert "error" in rows[1]
    top = rows[0]["top"]
    assert len(top) == 3
    assert all(0 <= entry["probability"] <= 1 for entry in top)


def test_doctor_prints_what_the_function_returns(capsys, monkeypatch):
    monkeypatch.setattr(cenote, "doctor", lambda: {"threads": 7, "isas": ["b", "a"], "isa": "b"})
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    assert [line.strip().split(maxsplit=1) for line in out.splitlines()] == [
        ["threads", "7"],
        ["isas", "b, a"],
        ["isa", "b"],
    ]


def test_importing_cenote_imports_nothing_that_only_some_need():
    heavy = "'matplotlib', 'rich', 'typer', 'requests', 'PIL', 'jinja2'"
    program = (
        "import sys, cenote; cenote.fit, cenote.inspection; "
        f"print(sorted({{{heavy}}} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout == "[]\n"
