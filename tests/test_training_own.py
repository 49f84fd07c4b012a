"""One's own network and data: out of a file, as a module or a function; tensors, not files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import cenote
from cenote.data import DataError, Dataset
from cenote.training import CheckpointError, Run, RunError
from cenote.training.loop import Trainer
from commands import call, refused
from training_helpers import QUICK, as_arguments, assert_same_bits, weights, write_data

MY_NET = """
import torch

def make_model(classes, channels, size):
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(channels * size * size, 16), torch.nn.ReLU(),
        torch.nn.Linear(16, classes),
    )

def wrong(classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, classes + 1))

def nothing():
    return 7

three = 3
"""

OWN = {**QUICK, "augment": "none"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    path = tmp_path_factory.mktemp("mine") / "my_net.py"
    path.write_text(MY_NET)
    return path


@pytest.fixture(scope="module")
def pairs():
    """Four easy classes of 6x6 colour images: the bright corner says which."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (120, 3, 6, 6), generator=generator, dtype=torch.uint8)
    labels = torch.arange(120) % 4
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 3 * (label // 2) :, 3 * (label % 2) :][:, :3, :3] = 220
    return images, labels


class Small(torch.nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.last = torch.nn.Linear(108, classes)

    def forward(self, x):
        return self.last(x.flatten(1))


def test_train_takes_a_function_out_of_a_file(capsys, data, mine, tmp_path, monkeypatch):
    monkeypatch.chdir(mine.parent)
    out = tmp_path / "run"
    arguments = ["train", "my_net.py:make_model", "--data", data, "--out", out]
    code, printed, errors = call(capsys, *arguments, *as_arguments(QUICK))
    assert (code, errors) == (0, "")
    assert "test accuracy" in printed
    monkeypatch.chdir(tmp_path)  # the run still knows where its network is made
    run = Run.open(out)
    assert run.config.network == f"{mine}:make_model"
    assert run.model()(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


def test_the_folder_is_called_after_the_function(mine):
    assert str(cenote.training.Config(network=f"{mine}:make_model").folder) == "runs/make_model"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing", ValueError, "has no missing; it has torch, make_model"),
        ("three", ValueError, "is an int, no module"),
        ("nothing", TypeError, "gave an int, not a torch.nn.Module"),
        ("wrong", ValueError, r"network: gave \(32, 11\) for a batch of 32, must be \(32, 10\)"),
    ],
)
def test_a_network_that_is_none_says_so(data, mine, tmp_path, name, error, message):
    with pytest.raises(error, match=message):
        cenote.fit(f"{mine}:{name}", data=str(data), out=tmp_path / "run", **QUICK)


def test_an_option_that_a_function_does_not_take_is_refused(data, mine, tmp_path):
    with pytest.raises(ValueError, match=r"dropout = 0\.5: .*make_model has no such option"):
        cenote.fit(f"{mine}:make_model", data=str(data), out=tmp_path / "r", dropout=0.5, **QUICK)


def test_a_file_that_is_not_there_is_named(capsys, data, tmp_path):
    where = ["--data", data, "--out", tmp_path / "run"]
    said = refused(capsys, "train", "no.py:net", *where, *as_arguments(QUICK))
    assert "no.py: no such file" in said


def test_a_module_is_copied_and_trained_from_its_own_weights(pairs, tmp_path):
    model = Small()
    before = model.last.weight.detach().clone()
    result = cenote.fit(model, data=pairs, test=pairs, out=tmp_path / "run", **OWN)
    assert torch.equal(model.last.weight, before)
    assert not torch.equal(result.model.last.weight, before)
    assert result.accuracy > 0.5
    assert result.run.config.network == "Small"
    # A run folder cannot make it again, but with one like it the weights are there.
    stored = Run.open(tmp_path / "run")
    with pytest.raises(ValueError, match="'Small': must be one of"):
        stored.model()
    again = stored.model(network=Small)
    assert torch.equal(again.last.weight, result.model.last.weight)
    with pytest.raises(CheckpointError, match=r"last.weight is \(4, 108\), expected \(5, 108\)"):
        stored.model(network=Small(5))


@pytest.mark.parametrize("form", ["module", "function"])
def test_what_was_given_goes_on_to_the_same_bits(pairs, tmp_path, monkeypatch, form):
    torch.manual_seed(5)
    what = Small() if form == "module" else Small
    straight = cenote.fit(what, data=pairs, out=tmp_path / "straight", **OWN)
    original, count = Trainer._step, 0

    class Stop(BaseException):
        pass

    def stepping(self, *batch):
        nonlocal count
        count += 1
        if count == 2:  # before any epoch is saved
            raise Stop
        original(self, *batch)

    monkeypatch.setattr(Trainer, "_step", stepping)
    with pytest.raises(Stop):
        cenote.fit(what, data=pairs, out=tmp_path / "stopped", **OWN)
    # Another module of the same form: the run goes on from the weights that it began with.
    other = Small() if form == "module" else Small
    resumed = cenote.fit(other, data=pairs, out=tmp_path / "stopped", resume=True)
    assert_same_bits(weights(straight.run), weights(resumed.run))


def test_without_test_data_nothing_is_said_of_them(pairs, tmp_path, capsys):
    options = {**OWN, "progress": "plain"}
    result = cenote.fit(Small, data=pairs, out=tmp_path / "run", **options)
    assert "note: nothing was tested" in capsys.readouterr().out
    assert result.summary["test_accuracy"] is None
    with pytest.raises(ValueError, match="no accuracy on test images was measured"):
        _ = result.accuracy


def test_a_dataset_is_as_good_as_a_pair(pairs, tmp_path):
    one = cenote.fit(Small, data=pairs, out=tmp_path / "one", **OWN)
    dataset = Dataset("mine", *pairs, ("a", "b", "c", "d"))
    two = cenote.fit(Small, data=dataset, out=tmp_path / "two", **OWN)
    assert_same_bits(weights(one.run), weights(two.run))
    assert two.run.facts.classes == ("a", "b", "c", "d")


def test_labels_out_of_range_are_named(pairs, tmp_path):
    images, labels = pairs
    with pytest.raises(DataError, match="labels must lie in 0 to 3 for 4 classes, found 1 to 4"):
        cenote.fit(Small, data=pairs, test=(images, labels + 1), out=tmp_path / "run", **OWN)
    with pytest.raises(DataError, match="found -1 to 2"):
        cenote.fit(Small, data=(images, labels - 1), out=tmp_path / "run", **OWN)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": 7}, "data: must be a name, a path, a Dataset or a pair of tensors, not int"),
        ({"data": "mnist", "test": 7}, "fit: test: only beside data that is no name"),
    ],
    ids=["data", "test"],
)
def test_data_of_another_kind_are_refused(tmp_path, options, message):
    with pytest.raises(TypeError, match=message):
        cenote.fit(Small, out=tmp_path / "run", **options)


def test_other_data_than_the_run_began_with_are_refused(pairs, tmp_path):
    images, labels = pairs
    cenote.fit(Small, data=pairs, out=tmp_path / "run", **OWN)
    with pytest.raises(RunError, match="other data than the run was started with"):
        cenote.fit(Small, data=(images.flip(0), labels), out=tmp_path / "run", resume=True)


def test_quantities_are_learnt_too(tmp_path):
    x = torch.randn(200, 2, 8, generator=torch.Generator().manual_seed(0))
    y = x.mean((1, 2)) * 3

    def make(classes, channels, size):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * size, classes))

    options = {**OWN, "epochs": 20, "learning_rate": 0.05}
    result = cenote.fit(make, data=(x, y), test=(x, y), out=tmp_path / "run", **options)
    error = (result.model(_normalised(x, result.run)).squeeze(1) - y).detach()
    assert result.summary["test_mae"] == pytest.approx(float(error.abs().mean()), rel=1e-4)
    assert result.summary["test_rmse"] == pytest.approx(float(error.square().mean().sqrt()), 1e-4)
    assert result.summary["test_mae"] < 0.2 * float(y.abs().mean())
    losses = [record["validation_loss"] for record in result.history]
    assert result.summary["best_epoch"] == losses.index(min(losses)) + 1
    mae = cenote.fit(make, data=(x, y), loss="mae", out=tmp_path / "mae", **OWN)
    record = mae.history[0]
    assert record["train_loss"] == pytest.approx(record["train_mae"], rel=1e-6)


def _normalised(x, run):
    mean, std = (torch.tensor(v).view(-1, 1) for v in (run.facts.mean, run.facts.std))
    return (x - mean) / std


def test_a_loss_for_other_labels_is_refused(pairs, tmp_path):
    with pytest.raises(ValueError, match="loss = 'mse': labels of data are classes; take cross_e"):
        cenote.fit(Small, data=pairs, loss="mse", out=tmp_path / "run", **OWN)


def test_a_small_set_needs_no_options(data, tmp_path):
    quick = {k: v for k, v in QUICK.items() if k != "validation"}
    out = tmp_path / "run"
    config = cenote.training.Config(data=str(data), out=out, **quick)
    result = cenote.fit(config)
    settled = Run.open(out).config
    assert (settled.validation, settled.augment) == (20, "shift1")
    assert result.summary["train_images"] == len(result.run.data("train")) == 180
    # The same, asked for in the same words, is the same run.
    cenote.fit(config, resume=True)
    cenote.fit(out=out, resume=True)
    with pytest.raises(RunError, match=r"validation = 13: the run in .* was started with .* = 20"):
        cenote.fit(out=out, validation=13, resume=True)


def test_images_that_are_all_equal_are_not_tested_on(tmp_path, capsys):
    np.savez(tmp_path / "equal.npz", x=np.zeros((40, 28, 28), np.uint8), y=np.arange(40) % 2)
    options = {**QUICK, "progress": "plain", "epochs": 1, "validation": 4}
    run = cenote.fit(
        "lenet5", data=str(tmp_path / "equal.npz"), out=tmp_path / "run", **options
    ).run
    assert "note: nothing was tested (equal has no test images)" in capsys.readouterr().out
    assert (run.summary["train_images"], run.summary["test_accuracy"]) == (40, None)


def test_sequences_need_no_options(tmp_path):
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(60, 1, 12, generator=generator), torch.arange(60) % 2
    quick = {k: v for k, v in QUICK.items() if k != "validation"}

    def make(classes):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, classes))

    run = cenote.fit(make, data=data, out=tmp_path / "run", **quick).run
    assert (run.config.validation, run.config.augment) == (6, "none")


def test_wrong_values_stay_errors_where_they_were_given(pairs, tmp_path):
    with pytest.raises(ValueError, match="validation = 5000: must be a count from 0 to 119"):
        cenote.fit("lenet5", data=pairs, out=tmp_path / "run", validation=5000)
    sequences = torch.randn(60, 1, 12), torch.arange(60) % 2
    options = {**QUICK, "augment": "shift1"}
    with pytest.raises(ValueError, match="must be None for what is not"):
        cenote.fit(lambda classes: torch.nn.Linear(12, classes), data=sequences,
                   out=tmp_path / "run", **options)  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_file_that_has_changed_since_is_noted(data, tmp_path, capsys):
    path = tmp_path / "net.py"
    path.write_text(MY_NET)
    out = tmp_path / "run"
    cenote.fit(f"{path}:make_model", data=str(data), out=out, **OWN)
    Run.open(out).model()  # warnings are errors here
    capsys.readouterr()
    cenote.fit(out=out, resume=True, progress="plain")
    assert "the file has changed" not in capsys.readouterr().out
    path.write_text(MY_NET + "# another line\n")
    with pytest.warns(UserWarning, match=r"net\.py:make_model: the file has changed since the run"):
        Run.open(out).model()
    cenote.fit(out=out, resume=True, progress="plain")
    assert f"note: {path}:make_model: the file has changed since" in capsys.readouterr().out


def test_a_run_from_before_files_were_noted_says_nothing(mine, data, tmp_path):
    run = cenote.fit(f"{mine}:make_model", data=str(data), out=tmp_path / "run", **OWN).run
    stored = json.loads((run.folder / "config.json").read_text())
    assert len(stored.pop("network_sha256")) == 64
    (run.folder / "config.json").write_text(json.dumps(stored))
    assert Run.open(run.folder).changed() is None
