"""How a training begins: what is refused before it, and what a start that failed leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import cenote
from cenote.data import DataError, Dataset
from cenote.training import Run, RunError
from cenote.training.loop import Trainer
from commands import refused
from training_helpers import QUICK, as_arguments, assert_same_bits, weights, write_data

OWN = {**QUICK, "augment": "none"}

NET = """
import torch

class Raises(torch.nn.Flatten):
    def forward(self, x):
        raise RuntimeError("no way")

def make_model(classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, classes))

def raises(classes):
    return torch.nn.Sequential(Raises(), torch.nn.Linear(784, classes))

def too_few(classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, classes - 1))

def _hidden():
    return None
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture(scope="module")
def pairs():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (120, 1, 6, 6), generator=generator, dtype=torch.uint8)
    return images, torch.arange(120) % 4


def linear(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(36, classes))


class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(36, 4)

    def forward(self, x):
        raise RuntimeError("no way")


# A start that failed before anything was learnt.


@pytest.mark.parametrize("wrong", ["raises", "too_few"])
def test_the_corrected_command_trains_where_the_first_batch_failed(data, net, tmp_path, wrong):
    out = tmp_path / "run"
    with pytest.raises((RuntimeError, ValueError), match=r"no way|network: gave"):
        cenote.fit(f"{net}:{wrong}", data=str(data), out=out, **OWN)
    result = cenote.fit(f"{net}:make_model", data=str(data), out=out, **OWN)
    straight = cenote.fit(f"{net}:make_model", data=str(data), out=tmp_path / "straight", **OWN)
    assert Run.open(out).config.network == f"{net}:make_model"
    assert_same_bits(weights(straight.run), weights(result.run))


def test_first_weights_of_a_failed_start_are_gone(pairs, data, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="no way"):
        cenote.fit(Raises(), data=pairs, out=out, **OWN)
    assert Run.open(out).last.exists()  # those of an object are saved at once

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:  # before a network by name has saved any of its own
        patch.setattr(Trainer, "_step", killed)
        with pytest.raises(Killed):
            cenote.fit("lenet5", data=str(data), out=out, **OWN)
    assert not Run.open(out).last.exists()


@pytest.mark.parametrize("again", ["resume", "anew"])
def test_a_run_killed_in_its_first_batch_goes_on_or_begins_anew(data, tmp_path, monkeypatch, again):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", killed)
        with pytest.raises(Killed):
            cenote.fit("lenet5", data=str(data), out=out, **OWN)
    options = {"resume": True} if again == "resume" else {**OWN, "epochs": 1}
    result = cenote.fit("lenet5", data=str(data), out=out, **options)
    assert len(result.history) == (3 if again == "resume" else 1)


def test_what_was_learnt_or_is_not_ours_is_never_begun_over(data, net, tmp_path):
    out = tmp_path / "run"
    wrong = {"data": str(data), "out": out, **OWN}
    with pytest.raises(RuntimeError, match="no way"):
        cenote.fit(f"{net}:raises", **wrong)
    (out / "notes.txt").write_text("dear")
    with pytest.raises(RunError, match="there is a run already"):
        cenote.fit("lenet5", **wrong)
    (out / "notes.txt").unlink()
    run = cenote.fit("lenet5", **{**wrong, "epochs": 1}).run
    for name in ("summary.json", "curves.png", "checkpoints/best.safetensors"):
        (out / name).unlink()
    before = run.last.read_bytes()
    with pytest.raises(RunError, match="there is a run already"):
        cenote.fit("lenet5", **wrong)
    (out / "metrics.jsonl").unlink()  # the checkpoint alone is enough
    with pytest.raises(RunError, match="there is a run already"):
        cenote.fit("lenet5", **wrong)
    assert run.last.read_bytes() == before


@pytest.mark.parametrize("content", ['{"my": "own"}', "not json", "[1]"])
def test_a_config_of_somebody_elses_is_left_alone(data, tmp_path, content):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "config.json").write_text(content)
    with pytest.raises(RunError, match=r"there is a run already|holds no run"):
        cenote.fit("lenet5", data=str(data), out=out, **OWN)
    assert (out / "config.json").read_text() == content
    assert [path.name for path in out.iterdir()] == ["config.json"]


# A batch of one sample under batch norm.


def normed(classes, size):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Flatten(),
        nn.Linear(4 * size * size, 8), nn.BatchNorm1d(8), nn.Linear(8, classes),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("batch_size", "validation", "advice"), [(79, 40, 80), (1, 40, 2), (38, 5, 39)]
)
def test_a_batch_of_one_value_a_channel_is_refused_before_anything_is_written(
    pairs, tmp_path, batch_size, validation, advice
):
    options = {**OWN, "batch_size": batch_size, "validation": validation}
    message = (
        rf"batch_size = {batch_size}: leaves a batch of 1 of the {120 - validation} "
        rf"training images, .* batch norm 4 sees one value a channel, .* such as {advice}$"
    )
    with pytest.raises(ValueError, match=message):
        cenote.fit(normed, data=pairs, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("batch_size", [79, 80, 40])
def test_a_batch_of_one_sample_with_maps_is_fine(pairs, tmp_path, batch_size):
    def maps(classes, size):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Flatten(),
            nn.Linear(4 * size * size, classes),
        )  # fmt: skip

    make = maps if batch_size == 79 else normed
    options = {**OWN, "batch_size": batch_size, "epochs": 1}
    result = cenote.fit(make, data=pairs, out=tmp_path / "run", **options)
    assert len(result.history) == 1


class Frozen(nn.Sequential):
    """Its norms stay in eval mode, as in fine-tuning with small batches."""

    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
        return self


class Named(nn.Module):
    def __init__(self, classes, size):
        super().__init__()
        self.norm, self.last = nn.BatchNorm2d(1), nn.Linear(size * size, classes)

    def forward(self, x):
        return self.last(self.norm(input=x).flatten(1))


@pytest.mark.parametrize("make", [
    lambda classes, size: Frozen(*normed(classes, size)), Named,
], ids=["frozen", "named"])  # fmt: skip
def test_norms_that_can_take_a_batch_of_one_are_let_be(pairs, tmp_path, make):
    options = {**OWN, "batch_size": 79, "epochs": 1}
    assert len(cenote.fit(make, data=pairs, out=tmp_path / "run", **options).history) == 1


def test_looking_for_it_changes_no_number(pairs, tmp_path):
    # The statistics of a batch norm that was looked at before it trained are those of its batches.
    def maps(classes, size):
        return nn.Sequential(
            nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Flatten(), nn.Linear(size * size, classes)
        )

    options = {**OWN, "batch_size": 79, "epochs": 1}
    model = cenote.fit(maps, data=pairs, out=tmp_path / "run", **options).model
    assert int(model[0].num_batches_tracked) == 2


# Data of another kind, or under a name that is somebody else's.


def test_data_without_samples_say_so(tmp_path):
    empty = torch.zeros(0, 1, 6, 6, dtype=torch.uint8), torch.zeros(0).long()
    with pytest.raises(DataError, match="data = data: holds no samples"):
        cenote.fit(linear, data=empty, out=tmp_path / "run", **OWN)
    with pytest.raises(ValueError, match="split: given holds no images, nothing to train on"):
        Dataset.of(*empty).split(0, 0)


@pytest.mark.parametrize("as_dataset", [False, True], ids=["pair", "dataset"])
@pytest.mark.parametrize("train", ["classes", "quantities"])
def test_test_data_with_labels_of_the_other_kind_are_refused(pairs, tmp_path, train, as_dataset):
    images, labels = pairs
    kinds = {"classes": (images, labels), "quantities": (images, labels.float())}
    other = next(kind for kind in kinds if kind != train)
    test = Dataset.of(*kinds[other]) if as_dataset else kinds[other]
    with pytest.raises(ValueError, match=f"labels that are {other}, those of data are {train}"):
        cenote.fit(linear, data=kinds[train], test=test, out=tmp_path / "run", **OWN)
    assert not (tmp_path / "run").exists()


def test_test_data_with_other_labels_are_refused(pairs, tmp_path):
    images, labels = pairs
    more = Dataset.of(images, labels + 1)
    with pytest.raises(DataError, match="labels must lie in 0 to 3 for 4 classes, found 1 to 4"):
        cenote.fit(linear, data=pairs, test=more, out=tmp_path / "run", **OWN)
    grids = (images, torch.zeros(120, 2)), (images, torch.zeros(120, 3))
    with pytest.raises(ValueError, match=r"labels of \(3,\), those of data are \(2,\)"):
        cenote.fit(linear, data=grids[0], test=grids[1], out=tmp_path / "run", **OWN)


def test_test_data_in_a_file_with_labels_of_the_other_kind_are_noted(tmp_path, capsys):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (40, 6, 6), np.uint8), np.arange(40) % 4
    np.savez(
        tmp_path / "mixed.npz", x_train=images, y_train=labels,
        x_test=images, y_test=labels.astype(np.float32),
    )  # fmt: skip
    options = {**OWN, "validation": 4, "progress": "plain"}
    data = str(tmp_path / "mixed.npz")
    run = cenote.fit(linear, data=data, out=tmp_path / "run", **options).run
    assert "whose labels are quantities of ()" in capsys.readouterr().out
    assert run.summary["test_accuracy"] is None


def test_a_data_set_that_is_called_as_a_known_one_is_not_taken_for_it(
    capsys, pairs, net, tmp_path, monkeypatch
):
    images = torch.randint(0, 255, (120, 1, 28, 28), dtype=torch.uint8)
    mine = Dataset("mnist", images, torch.arange(120) % 10, tuple("0123456789"))
    out = tmp_path / "run"
    run = cenote.fit(f"{net}:make_model", data=mine, test=mine, out=out, **OWN).run
    assert run.facts.name == "mnist"

    def opened(*_, **__):
        pytest.fail("looked up the data set by that name")

    from cenote.training import fitting
    from cenote.training import run as runs

    monkeypatch.setattr(fitting, "load", opened)
    monkeypatch.setattr(runs, "load", opened)
    assert "its data were handed over as an object, <mnist>" in refused(capsys, "eval", out)
    assert "handed over as an object" in refused(capsys, "train", "--out", out, "--resume")
    again = cenote.fit(data=mine, test=mine, out=out, resume=True)
    assert again.summary == run.summary


def test_a_pair_is_not_taken_for_a_folder_called_data(pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    config = cenote.fit(linear, data=pairs, out="run", **OWN).run.config
    assert (config.data, config.handed_over) == ("<data>", "data")
    cenote.fit(linear, data=pairs, out="run", resume=True)


def test_a_run_that_noted_the_name_of_an_object_goes_on(pairs, tmp_path):
    run = cenote.fit(linear, data=pairs, out=tmp_path / "run", **OWN).run
    path = run.folder / "config.json"
    path.write_text(path.read_text().replace('"<data>"', '"data"'))
    assert cenote.fit(linear, data=pairs, out=run.folder, resume=True).summary == run.summary


# The test part of a data set.


def test_test_data_that_changed_since_the_run_are_refused(capsys, tmp_path):
    data, other = write_data(tmp_path / "data"), write_data(tmp_path / "other", seed=1)
    run = cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **QUICK).run
    assert run.summary["test_fingerprint"] == run.data("test").fingerprint
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (data / name).write_bytes((other / name).read_bytes())
    said = refused(capsys, "eval", run.folder)
    assert "other test data than the run was measured on (fingerprint" in said
    assert len(run.data("train")) == 160
    summary = {k: v for k, v in run.summary.items() if k != "test_fingerprint"}
    run.write_summary(summary)  # as runs had it before
    assert len(run.data("test")) == 60


# Threads.


def test_a_run_goes_on_with_as_many_threads_as_before(data, tmp_path, monkeypatch, capsys):
    from test_training_resume import Interrupted, stop_at

    out, options = tmp_path / "run", {k: v for k, v in QUICK.items() if k != "threads"}
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # what the machine is taken to have
    try:
        with monkeypatch.context() as patch:
            stop_at(patch, 7)
            with pytest.raises(Interrupted):
                cenote.fit("lenet5", data=str(data), out=out, **options)
        torch.set_num_threads(3)  # and now another one
        resumed = cenote.fit(out=out, resume=True, progress="plain")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert resumed.summary["threads"] == 2
    assert "note: " not in capsys.readouterr().out


def test_another_number_of_processes_takes_its_own_threads(data, tmp_path):
    from cenote.training.asked import stored_config

    run = cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **{**QUICK, "threads": 2}).run
    (run.folder / "config.json").write_text(
        (run.folder / "config.json").read_text().replace('"threads": 2', '"threads": null')
    )
    given = {"out": run.folder}
    assert stored_config(given, 1).threads == 2
    assert stored_config(given, 4).threads is None
    assert stored_config({**given, "threads": 3}, 4).threads == 3


# The network's file without what is in it.


def test_a_file_without_a_function_lists_what_it_has(capsys, data, net, tmp_path):
    where = ["--data", data, "--out", tmp_path / "run", *as_arguments(QUICK)]
    said = refused(capsys, "train", net, *where)
    assert f"network = '{net}': say what makes the network in it, such as {net}:Raises; it" in said
    assert "it has Raises, make_model, raises, too_few\n" in said
    assert f"model = '{net}': say what makes" in refused(capsys, "inspect", net)
    assert "'no.py': no such file" in refused(capsys, "train", "no.py", *where)
    assert not (tmp_path / "run").exists()


def test_config_json_tells_objects_from_names(pairs, tmp_path):
    run = cenote.fit(linear, data=pairs, out=tmp_path / "run", **OWN).run
    stored = json.loads((run.folder / "config.json").read_text())
    assert (stored["options"]["data"], stored["data"]["name"]) == ("<data>", "data")
