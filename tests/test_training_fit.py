"""``cenote.fit``: what a run folder holds, what it measured, and every way to be refused."""

from __future__ import annotations

import json

import pytest
import torch

import cenote
from cenote import training
from cenote.training import Checkpoint, Run, RunError
from cenote.training.loop import Trainer
from training_helpers import QUICK, assert_same_bits, figures, weights, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted training, to compare others with."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return cenote.fit("lenet5", data=str(data), out=out, **QUICK)


def test_a_run_folder_holds_all_that_is_promised(whole):
    folder = whole.run.folder
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == [
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "config.json",
        "curves.png",
        "metrics.jsonl",
        "summary.json",
    ]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_network_learns(whole):
    assert whole.accuracy > 0.5  # after 15 batches; 0.1 is chance
    losses = [record["train_loss"] for record in whole.history]
    assert losses[-1] < losses[0]


def test_metrics_have_a_line_an_epoch_with_all_figures(whole):
    lines = (whole.run.folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert records == whole.history
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert set(records[0]) == {
        "epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
        "learning_rate", "seconds", "images_per_second", "loading_share",
    }  # fmt: skip
    for record in records:
        assert record["images_per_second"] == pytest.approx(160 / record["seconds"])


def test_config_json_gives_the_configuration_back(whole, data):
    stored = Run.open(whole.run.folder)
    assert stored == whole.run
    assert stored.config.data == str(data)
    assert stored.facts.shape == (1, 28, 28)
    assert stored.versions["cenote"] == cenote.__version__


def test_measured_figures_are_those_of_the_final_weights(whole):
    run = whole.run
    for split, key in (("test", "test_accuracy"), ("validation", "validation_accuracy")):
        facts = run.facts
        measured = training.evaluate(run.model(), run.data(split), mean=facts.mean, std=facts.std)
        assert measured.accuracy == whole.summary[key]


def test_train_and_validation_share_no_image(whole):
    train, validation = (whole.run.data(split) for split in ("train", "validation"))
    assert (len(train), len(validation)) == (160, 40)
    seen = {image.numpy().tobytes() for image in train.images}
    assert not any(image.numpy().tobytes() in seen for image in validation.images)


def test_the_test_set_is_loaded_once_and_at_the_end(data, tmp_path, monkeypatch):
    from cenote.training import fitting, run

    events = []

    def watched(name, split, **options):
        events.append(split)
        return cenote.data.load(name, split, **options)

    monkeypatch.setattr(fitting, "load", watched)
    monkeypatch.setattr(run, "load", watched)
    original = Trainer._close_epoch
    monkeypatch.setattr(
        Trainer, "_close_epoch", lambda self: (events.append("epoch"), original(self))[1]
    )
    cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **{**QUICK, "epochs": 2})
    assert events == ["train", "epoch", "epoch", "test"]


def test_the_best_weights_are_those_of_the_best_epoch(whole):
    accuracies = [record["validation_accuracy"] for record in whole.history]
    best = Checkpoint.load(whole.run.best)
    assert best.state["epoch"] == accuracies.index(max(accuracies)) + 1
    assert len(best.state["history"]) == best.state["epoch"]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(whole, data, tmp_path):
    options = {"data": str(data), **QUICK}
    same = cenote.fit("lenet5", out=tmp_path / "same", **options)
    assert_same_bits(weights(whole.run), weights(same.run))
    assert figures(whole.run) == figures(same.run)
    other = cenote.fit("lenet5", out=tmp_path / "other", seed=1, **options)
    assert not torch.equal(
        weights(whole.run)["model/features.conv1.weight"],
        weights(other.run)["model/features.conv1.weight"],
    )


def test_the_callers_random_state_and_threads_are_untouched(data, tmp_path):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **{**QUICK, "epochs": 1})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_folder_where_a_run_was_killed_while_it_began_is_as_good_as_empty(data, tmp_path):
    (tmp_path / ".config.json.abc.cenote-tmp").write_bytes(b"half")
    cenote.fit("lenet5", data=str(data), out=tmp_path, **{**QUICK, "epochs": 1})


def test_a_folder_that_is_taken_is_left_as_it_is(whole, data, tmp_path):
    before = {p: p.read_bytes() for p in whole.run.folder.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match="there is a run already; --resume"):
        cenote.fit("lenet5", data=str(data), out=whole.run.folder, **QUICK)
    assert before == {p: p.read_bytes() for p in whole.run.folder.rglob("*") if p.is_file()}
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        cenote.fit("lenet5", data=str(data), out=tmp_path, **QUICK)
    with pytest.raises(RunError, match="is a file, must be a folder"):
        cenote.fit("lenet5", data=str(data), out=tmp_path / "letter.txt", **QUICK)
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"network": "lenet6"}, ValueError, "'lenet6': must be one of lenet5"),
        ({"augment": "mirror"}, ValueError, "'mirror': must be one of none, shift1"),
        ({"pool": "median"}, ValueError, "pool = 'median': must be one of max, avg"),
        ({"dropout": 0.5}, ValueError, r"dropout = 0\.5: lenet5 has no such option"),
        ({"data": "nowhere"}, ValueError, "'nowhere': neither a known data set"),
        ({"validation": 200}, ValueError, "validation = 200: must be a count from 0 to 199"),
        ({"colour": "blue"}, TypeError, "fit: no option colour; there are network, data, out"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_what_cannot_be_trained_leaves_no_folder_behind(data, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        cenote.fit(**{"data": str(data), "out": tmp_path / "run", **QUICK, **options})
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    data, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    original, count = Trainer._step, 0

    def poisoned(self, images, labels):
        nonlocal count
        count += 1
        # Batch 3 of epoch 2, seen when the sums are next looked at: at the epoch's end or before.
        original(self, images * float("nan") if count == 8 else images, labels)

    monkeypatch.setattr(Trainer, "_step", poisoned)
    with pytest.raises(FloatingPointError, match=r"epoch 2, by batch [345]: the loss is no longer"):
        cenote.fit("lenet5", data=str(data), out=out, **QUICK)
    kept = Checkpoint.load(out / "checkpoints" / "last.safetensors")
    assert (kept.state["epoch"], kept.state["batch"]) == (1, 0)
    assert all(tensor.isfinite().all() for tensor in kept.part("model").values())


def test_a_weight_that_is_no_number_is_not_saved(data, tmp_path, monkeypatch):
    # The loss shows it one batch later, which may be a batch that never comes.
    out = tmp_path / "run"
    original, count = Trainer._step, 0

    def poisoned(self, *batch):
        nonlocal count
        count += 1
        original(self, *batch)
        if count == 10:
            with torch.no_grad():
                self.model.features.conv1.bias[0] = torch.inf

    monkeypatch.setattr(Trainer, "_step", poisoned)
    with pytest.raises(FloatingPointError, match="epoch 2, by batch 5: a weight is no longer"):
        cenote.fit("lenet5", data=str(data), out=out, **QUICK)
    assert Checkpoint.load(out / "checkpoints" / "last.safetensors").state["epoch"] == 1


def test_a_rate_that_explodes_says_so(data, tmp_path):
    with pytest.raises(FloatingPointError, match=r"a learning rate below 1e\+30 may help"):
        cenote.fit("lenet5", data=str(data), out=tmp_path / "run", learning_rate=1e30, **QUICK)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_progress_in_lines_has_one_an_epoch(data, tmp_path, capsys):
    options = {**QUICK, "progress": "auto"}  # the captured output is no terminal
    cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **options)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("lenet5 on ")
    assert [line.split("  ")[0] for line in lines[1:]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("validation" in line and "images/s" in line for line in lines[1:])


def test_live_progress_shows_the_figures_and_ends_clean(data, tmp_path, capsys, monkeypatch):
    from cenote.training import fitting, loop, progress

    monkeypatch.setattr(loop, "INTERVAL", 0.0)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(fitting, "open_progress", lambda _: progress.Live())
    cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **QUICK)
    assert "epoch 3/3  loss" in capsys.readouterr().out
