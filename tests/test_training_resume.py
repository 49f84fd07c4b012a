"""Going on with a run: to the same bits as if it had never stopped, or not at all."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import torch

import cenote
from cenote.training import Checkpoint, CheckpointError, Config, Interrupted, Run, RunError
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


def stop_at(monkeypatch, step):
    """Press Ctrl-C during the given step, counted from 1."""
    original, count = Trainer._step, 0

    def stepping(self, *batch):
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGINT)
        original(self, *batch)

    monkeypatch.setattr(Trainer, "_step", stepping)


@pytest.mark.parametrize("step", [1, 3, 5, 8, 15], ids="step{}".format)
def test_ctrl_c_saves_and_resuming_comes_to_the_same_bits(whole, data, tmp_path, monkeypatch, step):
    # An epoch has 5 batches: 5 and 15 stop after the last one of an epoch, the others inside.
    out = tmp_path / "run"
    stop_at(monkeypatch, step)
    with pytest.raises(Interrupted, match=f"go on with: cenote train --out {out} --resume"):
        cenote.fit("lenet5", data=str(data), out=out, **QUICK)
    state = Checkpoint.load(out / "checkpoints" / "last.safetensors").state
    assert 5 * state["epoch"] + state["batch"] == step
    resumed = cenote.fit(out=out, resume=True)
    assert_same_bits(weights(whole.run), weights(resumed.run))
    assert figures(whole.run) == figures(resumed.run)
    assert resumed.summary["test_loss"] == whole.summary["test_loss"]


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "learning_rate": 0.02, "schedule": "cosine"},
        {"augment": "affine", "weight_decay": 0.01, "label_smoothing": 0.1},
        {"activation": "tanh", "pool": "avg", "schedule": "constant", "warmup": 0.1},
        {"validation": 0},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_every_recipe_goes_on_to_the_same_bits(data, tmp_path, monkeypatch, options):
    options = {"data": str(data), **QUICK, "epochs": 2, **options}
    straight = cenote.fit("lenet5", out=tmp_path / "straight", **options)
    stop_at(monkeypatch, 7)
    with pytest.raises(Interrupted):
        cenote.fit("lenet5", out=tmp_path / "stopped", **options)
    resumed = cenote.fit(out=tmp_path / "stopped", resume=True)
    assert_same_bits(weights(straight.run), weights(resumed.run))


def test_random_numbers_of_the_network_go_on_too(whole, data, tmp_path, monkeypatch):
    # A network that draws from the global generator in its forward pass, as dropout does.
    from cenote import models

    class Noisy(torch.nn.Module):
        def __init__(self, classes, channels, size):
            super().__init__()
            del channels
            self.layers = torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Dropout(0.3), torch.nn.Linear(size * size, classes)
            )

        def forward(self, x):
            return self.layers(x)

    monkeypatch.setitem(models._NETWORKS, "noisy", Noisy)
    options = {"data": str(data), **QUICK}
    straight = cenote.fit("noisy", out=tmp_path / "straight", **options)
    stop_at(monkeypatch, 7)
    with pytest.raises(Interrupted):
        cenote.fit("noisy", out=tmp_path / "stopped", **options)
    resumed = cenote.fit(out=tmp_path / "stopped", resume=True)
    assert_same_bits(weights(straight.run), weights(resumed.run))


def test_a_second_ctrl_c_stops_at_once(data, tmp_path, monkeypatch):
    def impatient(self, *batch):
        del self, batch
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):  # the handler runs between two bytecodes, not inside kill
            pass

    monkeypatch.setattr(Trainer, "_step", impatient)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught:
        cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **QUICK)
    assert not isinstance(caught.value, Interrupted)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_is_not_trained_or_tested_again(whole, monkeypatch):
    monkeypatch.setattr(Trainer, "_step", lambda *_: pytest.fail("trained again"))
    before = weights(whole.run)
    again = cenote.fit(out=whole.run.folder, resume=True)
    assert again.summary == whole.summary
    assert_same_bits(before, weights(again.run))
    assert_same_bits(whole.model.state_dict(), again.model.state_dict())


def test_metrics_that_ran_ahead_of_the_checkpoint_are_cut_back(data, tmp_path, monkeypatch):
    # Metrics are written before the checkpoint, and a kill may fall in between.
    stop_at(monkeypatch, 7)
    with pytest.raises(Interrupted):
        cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **QUICK)
    run = Run.open(tmp_path / "run")
    kept = run.history
    run.write_history([*kept, {**kept[0], "epoch": 2}])
    stop_at(monkeypatch, 1)
    with pytest.raises(Interrupted):
        cenote.fit(out=run.folder, resume=True)
    assert run.history == kept
    assert [record["epoch"] for record in kept] == [1]


def test_a_run_killed_before_its_first_checkpoint_begins_anew(whole, data, tmp_path):
    config = Config(data=str(data), out=tmp_path / "run", **QUICK)
    Run.new(config, whole.run.facts).write_config()
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / ".last.safetensors.a.cenote-tmp").write_bytes(b"half")
    resumed = cenote.fit(out=tmp_path / "run", resume=True)
    assert_same_bits(weights(whole.run), weights(resumed.run))
    assert not list((tmp_path / "run").rglob(".*"))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("epochs", 4, "epochs = 4: the run in .* was started with epochs = 3"),
        ("learning_rate", 0.5, r"learning_rate = 0\.5: .* with learning_rate = 0\.006"),
        ("network", "lenet6", "network = lenet6: .* with network = lenet5"),
        ("seed", 9, "seed = 9: .* with seed = 0"),
        ("pool", "avg", "pool = avg: .* with pool = None"),
    ],
)
def test_resuming_with_another_option_names_both_values(whole, option, value, message):
    with pytest.raises(RunError, match=message):
        cenote.fit(out=whole.run.folder, resume=True, **{option: value})


def test_resuming_with_the_same_options_or_free_ones_is_fine(whole, data):
    again = cenote.fit(
        "lenet5", data=str(data), out=whole.run.folder, resume=True, **{**QUICK, "threads": 2}
    )
    assert again.run.config == replace(whole.run.config, threads=2)
    assert Run.open(whole.run.folder).config == whole.run.config


def test_a_whole_config_is_as_good_as_its_fields(whole):
    assert cenote.fit(whole.run.config, resume=True).summary == whole.summary


def test_resuming_on_other_data_is_refused(data, tmp_path):
    mine = write_data(tmp_path / "data")
    out = tmp_path / "run"
    cenote.fit("lenet5", data=str(mine), out=out, **{**QUICK, "epochs": 1})
    write_data(tmp_path / "data", seed=1)
    with pytest.raises(RunError, match="other data than the run was started with"):
        cenote.fit(out=out, resume=True)


def test_a_checkpoint_of_another_network_is_refused(whole, data, tmp_path):
    out = tmp_path / "run"
    options = {"data": str(data), **QUICK, "epochs": 1}
    run = cenote.fit("lenet5", pool="avg", out=out, **options).run
    run.last.write_bytes(whole.run.last.read_bytes())
    with pytest.raises(CheckpointError, match=r"of lenet5\(\), but the run trains lenet5\(pool=a"):
        cenote.fit(out=out, resume=True)


def test_a_damaged_checkpoint_is_refused(data, tmp_path):
    run = cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **{**QUICK, "epochs": 1}).run
    run.last.write_bytes(run.last.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last\.safetensors: damaged"):
        cenote.fit(out=run.folder, resume=True)


def test_there_must_be_a_run_to_resume(tmp_path):
    with pytest.raises(RunError, match=r"no run there \(it has no config.json\)"):
        cenote.fit(out=tmp_path, resume=True)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RunError, match=r"config\.json: not the configuration of a run"):
        cenote.fit(out=tmp_path, resume=True)


def test_what_may_change_the_last_bits_is_said(data, tmp_path, monkeypatch, capsys):
    stop_at(monkeypatch, 7)
    with pytest.raises(Interrupted):
        cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **QUICK)
    cenote.fit(out=tmp_path / "run", resume=True, threads=2, progress="plain")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("; going on after epoch 1, batch 2")
    assert lines[1] == "note: saved with threads 1, now 2: the last bits may differ"


def test_a_status_counts_from_the_batch_it_resumed_at(whole, data, tmp_path, monkeypatch):
    from cenote.training import fitting, loop, progress

    seen = []

    class Watching(progress.Progress):
        def batch(self, status):
            seen.append(status)

    stop_at(monkeypatch, 7)
    with pytest.raises(Interrupted):
        cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **QUICK)
    monkeypatch.setattr(loop, "INTERVAL", 0.0)
    monkeypatch.setattr(fitting, "open_progress", lambda _: Watching())
    cenote.fit(out=tmp_path / "run", resume=True)
    assert [(s.epoch, s.batch) for s in seen] == [(2, b) for b in (3, 4, 5)] + [
        (3, b) for b in range(1, 6)
    ]
    assert seen[-1].left == 0
    assert seen[0].left > 0
    assert seen[-1].score == whole.history[-1]["train_accuracy"]
    assert seen[-1].loss == pytest.approx(whole.history[-1]["train_loss"])
