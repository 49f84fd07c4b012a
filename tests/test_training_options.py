"""What a training can be told beside the basics: each option does what its help says."""

from __future__ import annotations

import io
import json
import math
import sys

import pytest
import torch
from PIL import Image

import cenote
from cenote.inspection.pictures import curves
from cenote.training import Checkpoint, Config, Interrupted, Run, read_options
from cenote.training.averaging import averaged
from cenote.training.loop import Trainer
from commands import call, refused
from training_helpers import QUICK, as_arguments, assert_same_bits, figures, weights, write_data

PLAIN = {**QUICK, "augment": "none"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def fit(data, out, **options):
    return cenote.fit("lenet5", data=str(data), out=out, **{**PLAIN, **options})


def model_weights(run):
    return Checkpoint.load(run.last).part("model")


def test_accumulated_batches_are_one_large_batch(data, tmp_path):
    # 160 images: five batches of 32, the last step of an epoch has one of them alone.
    large = fit(data, tmp_path / "large", batch_size=64)
    small = fit(data, tmp_path / "small", batch_size=32, accumulate=2)
    for name, tensor in model_weights(large.run).items():
        torch.testing.assert_close(model_weights(small.run)[name], tensor, rtol=1e-4, atol=1e-5)
    one, two = large.history[-1], small.history[-1]
    assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)
    assert two["learning_rate"] == one["learning_rate"]


def test_accumulation_moves_once_a_step(data, tmp_path, monkeypatch):
    moves = []
    original = Trainer._move
    monkeypatch.setattr(Trainer, "_move", lambda self: (moves.append(self.batch), original(self)))
    fit(data, tmp_path / "run", accumulate=2, epochs=1)
    assert moves == [1, 3, 4]


def test_gradients_are_clipped_to_the_norm(data, tmp_path, monkeypatch):
    norms = []
    original = Trainer._move

    def move(self):
        original(self)
        squares = sum(float(p.grad.square().sum()) for p in self.model.parameters())
        norms.append(math.sqrt(squares))

    monkeypatch.setattr(Trainer, "_move", move)
    fit(data, tmp_path / "free", epochs=1)
    assert max(norms) > 0.6
    norms.clear()
    fit(data, tmp_path / "clipped", epochs=1, clip_norm=0.5)
    assert max(norms) == pytest.approx(0.5, rel=1e-3)


def test_averaged_weights_follow_the_formula():
    model = torch.nn.Linear(2, 1)
    average = averaged(model, 0.9)
    expected = None
    for step in range(30):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update_parameters(model)
        if expected is None:
            expected = float(step)
            continue
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert float(average.module.weight[0, 0].detach()) == pytest.approx(expected, rel=1e-5)


def test_averaged_weights_are_measured_kept_and_loaded(data, tmp_path):
    result = fit(data, tmp_path / "run", ema=0.9)
    kept = Checkpoint.load(result.run.last)
    average, own = kept.part("average"), kept.part("model")
    assert not torch.equal(average["features.conv1.weight"], own["features.conv1.weight"])
    assert_same_bits(average, dict(result.run.model().state_dict()))
    assert_same_bits(average, dict(result.model.state_dict()))
    facts = result.run.facts
    found = cenote.training.evaluate(
        result.run.model(), result.run.data("test"), mean=facts.mean, std=facts.std
    )
    assert found.loss == result.summary["test_loss"]
    # The training itself is the same as without.
    assert_same_bits(own, model_weights(fit(data, tmp_path / "plain").run))


def test_bf16_computes_in_bf16_and_keeps_f32(data, tmp_path, monkeypatch):
    seen = set()
    original = Trainer._step

    def step(self, images, labels):
        handle = self.model.features.conv1.register_forward_hook(lambda *a: seen.add(a[2].dtype))
        original(self, images, labels)
        handle.remove()

    monkeypatch.setattr(Trainer, "_step", step)
    result = fit(data, tmp_path / "run", precision="bf16")
    assert seen == {torch.bfloat16}
    assert all(t.dtype == torch.float32 for t in model_weights(result.run).values())
    assert result.accuracy > 0.5


def test_channels_last_moves_the_maps_and_not_the_numbers(data, tmp_path, monkeypatch):
    seen = []
    original = Trainer._step

    def watching(self, *batch):
        def note(module, inputs, output):
            seen.append(output.stride())

        handle = self.model.features.conv2.register_forward_hook(note)
        original(self, *batch)
        handle.remove()

    monkeypatch.setattr(Trainer, "_step", watching)
    plain = fit(data, tmp_path / "plain", epochs=1)
    assert all(stride[1] != 1 for stride in seen)
    seen.clear()
    last = fit(data, tmp_path / "last", epochs=1, channels_last=True)
    assert all(stride[1] == 1 for stride in seen)
    ours, theirs = model_weights(last.run), model_weights(plain.run)
    assert all(torch.allclose(ours[n], theirs[n], rtol=1e-3, atol=1e-4) for n in theirs)
    assert last.run.model().features.conv2.weight.is_contiguous()


def test_channels_last_is_for_images(tmp_path):
    inputs, labels = torch.randn(60, 1, 40), torch.arange(60) % 3
    with pytest.raises(ValueError, match=r"channels_last = True: is for images .* have 1x40"):
        cenote.fit(
            torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 3)),
            data=(inputs, labels), out=tmp_path / "run", channels_last=True, progress="none",
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_patience_stops_and_a_resumed_run_stays_stopped(data, tmp_path, monkeypatch):
    # A rate that does nothing: no epoch is better than the first.
    options = {"epochs": 9, "learning_rate": 1e-12, "patience": 2}
    result = fit(data, tmp_path / "run", **options)
    assert [record["epoch"] for record in result.history] == [1, 2, 3]
    assert result.summary["stopped_early"]
    (tmp_path / "run" / "summary.json").unlink()  # killed just before it was written
    monkeypatch.setattr(Trainer, "_step", lambda *_: pytest.fail("trained on"))
    assert cenote.fit(out=tmp_path / "run", resume=True).summary["stopped_early"]


def test_patience_needs_something_to_be_measured_on():
    with pytest.raises(ValueError, match="patience = 2: needs validation images"):
        Config(patience=2, validation=0)


@pytest.mark.parametrize(
    "options",
    [
        {"ema": 0.9, "clip_norm": 0.5, "precision": "bf16"},
        {"accumulate": 2, "ema": 0.9, "save_seconds": 0.0},
        {"accumulate": 3, "optimizer": "sgd", "prefetch": 2, "channels_last": True},
    ],
    ids=["ema-clip-bf16", "accumulate-ema", "accumulate-sgd-prefetch-channels_last"],
)
@pytest.mark.parametrize("step", [3, 7, 11])
def test_new_options_go_on_to_the_same_bits(data, tmp_path, monkeypatch, options, step):
    import os
    import signal

    straight = fit(data, tmp_path / "straight", **options)
    original, count = Trainer._step, 0

    def stepping(self, *batch):
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGINT)
        original(self, *batch)

    monkeypatch.setattr(Trainer, "_step", stepping)
    with pytest.raises(Interrupted):
        fit(data, tmp_path / "stopped", **options)
    resumed = cenote.fit(out=tmp_path / "stopped", resume=True)
    assert_same_bits(weights(straight.run), weights(resumed.run))
    assert figures(straight.run) == figures(resumed.run)
    assert resumed.summary["test_loss"] == straight.summary["test_loss"]


def test_a_run_of_before_these_options_goes_on(data, tmp_path, monkeypatch):
    result = fit(data, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    stored = json.loads(path.read_text())
    for name in ("loss", "precision", "accumulate", "clip_norm", "ema", "patience", "device",
                 "tensorboard", "report", "prefetch"):  # fmt: skip
        del stored["options"][name]
    del stored["data"]["target"]
    path.write_text(json.dumps(stored))
    opened = Run.open(tmp_path / "run")
    assert opened.config.precision == "f32"
    assert cenote.fit(out=tmp_path / "run", resume=True, report=False).summary == result.summary


def test_the_result_holds_every_class_and_the_confusion(data, tmp_path):
    result = fit(data, tmp_path / "run", epochs=1)
    confusion = torch.tensor(result.summary["test_confusion"])
    assert confusion.sum() == 60
    assert confusion.diag().sum() == 60 - result.summary["test_errors"]
    for k, row in enumerate(result.summary["test_classes"]):
        right, named, images = confusion[k, k], confusion[:, k].sum(), confusion[k].sum()
        assert row["class"] == str(k)
        assert row["images"] == images == 6
        assert row["recall"] == pytest.approx(float(right / images))
        assert row["precision"] == (pytest.approx(float(right / named)) if named else None)
        if named and right:
            mean = 2 / (1 / row["precision"] + 1 / row["recall"])
            assert row["f1"] == pytest.approx(mean)


def test_a_class_that_nobody_named_has_no_precision():
    found = cenote.training.Evaluation(torch.tensor([[2.0, 1, 0]] * 2), torch.tensor([0, 1]))
    a, b, c = found.per_class(["a", "b", "c"])
    assert (a["precision"], a["recall"]) == (0.5, 1.0)
    assert (b["precision"], b["recall"], b["f1"]) == (None, 0.0, 0.0)
    assert (c["precision"], c["recall"], c["f1"]) == (None, None, None)


def test_the_share_of_loading_is_measured(data, tmp_path):
    result = fit(data, tmp_path / "run")
    for record in result.history:
        assert 0 < record["loading_share"] < 1
    assert 0 < result.summary["loading_share"] < 1


def test_event_files_hold_the_curves(data, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.event_file_writer import EventFileWriter  # noqa: F401
    from tensorboardX.proto.event_pb2 import Event

    result = fit(data, tmp_path / "run", tensorboard=True)
    (path,) = (tmp_path / "run" / "tensorboard").iterdir()
    content, points = path.read_bytes(), {}
    while content:  # length, its checksum, an event, its checksum
        size = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + size])
        content = content[16 + size :]
        for value in event.summary.value:
            points[value.tag, event.step] = value.simple_value
    for record in result.history:
        for part in ("train", "validation"):
            found = points[f"loss/{part}", record["epoch"]]
            assert found == pytest.approx(record[f"{part}_loss"], rel=1e-6)
    assert points["accuracy/test", 0] == pytest.approx(result.accuracy)


def test_event_files_without_the_package_are_refused_at_once(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match="event files need the package tensorboardX"):
        fit(data, tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_a_file_holds_options_and_the_command_line_wins(capsys, data, tmp_path):
    path = tmp_path / "options.toml"
    path.write_text('epochs = 2\nbatch-size = 16\noptimizer = "sgd"\nclip_norm = 2\n')
    assert read_options(path) == {
        "epochs": 2, "batch_size": 16, "optimizer": "sgd", "clip_norm": 2,
    }  # fmt: skip
    out = tmp_path / "run"
    rest = as_arguments({k: v for k, v in QUICK.items() if k not in ("epochs", "batch_size")})
    arguments = ["--data", data, "--out", out, "--config", path, "--epochs", "1", *rest]
    assert call(capsys, "train", "lenet5", *arguments)[0] == 0
    config = Run.open(out).config
    assert (config.epochs, config.batch_size, config.optimizer) == (1, 16, "sgd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 2", "epoch: no such option; there are network"),
        ("[train]\nepochs = 2", "train: no such option"),
        ("batch-size = 1\nbatch_size = 2", "batch_size: is there twice"),
        ("epochs 2", "not a TOML file that can be read"),
        ("epochs = 2.5", r"epochs = 2\.5: must be an int, not float"),
        ("out = 7", "out = 7: must be a Path, not int"),
        ("batch-size = 0", "batch_size = 0: must be at least 1"),
    ],
)
def test_a_file_with_anything_else_names_file_and_key(capsys, data, tmp_path, text, message):
    import re

    path = tmp_path / "options.toml"
    path.write_text(text)
    said = refused(capsys, "train", "--config", path, "--data", data, "--out", tmp_path / "run")
    assert re.search(message, said)
    assert said.startswith(f"error: config = {path}: ")
    assert not (tmp_path / "run").exists()


def test_a_file_of_options_that_is_not_there(capsys):
    assert "no such file" in refused(capsys, "train", "--config", "nowhere.toml")


def test_the_configuration_of_a_run_reproduces_it(data, tmp_path):
    first = fit(data, tmp_path / "first", ema=0.9, accumulate=2, clip_norm=1.0, epochs=2)
    stored = json.loads((tmp_path / "first" / "config.json").read_text())["options"]
    again = cenote.fit(Config.from_json({**stored, "out": str(tmp_path / "again")}))
    assert_same_bits(weights(first.run), weights(again.run))


def test_a_report_is_one_page_without_other_files(data, tmp_path):
    result = fit(data, tmp_path / "run", report=True)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<title>lenet5 on" in page
    assert f"{100 * result.accuracy:.2f} %" in page
    assert page.count("data:image/png;base64,") >= 4  # curves and confusion, in two themes
    assert "srcdoc=" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert 'src="http' not in page


def test_a_run_that_was_killed_in_its_report_gets_one(data, tmp_path, monkeypatch):
    from cenote.training import report

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(report, "write_report", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(data, tmp_path / "run", report=True)
    assert not (tmp_path / "run" / "report.html").exists()
    resumed = cenote.fit(out=tmp_path / "run", resume=True)
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"{100 * resumed.accuracy:.2f} %" in page
    assert resumed.run.summary == resumed.summary


@pytest.mark.parametrize("losses", [(0.3, 0.0), (0.0, 0.0), (1e-9, 2e-9)])
def test_curves_of_a_loss_of_nothing_have_the_usual_size(losses):
    sizes = []
    for found in ((0.3, 0.2), losses):
        history = [
            {"epoch": epoch, "train_loss": loss, "validation_loss": loss,
             "train_accuracy": 1.0, "validation_accuracy": 1.0}
            for epoch, loss in enumerate(found, 1)
        ]  # fmt: skip
        buffer = io.BytesIO()
        curves(history, buffer)
        sizes.append(Image.open(buffer).size)
    # The labels of the axis, not the place of a line, may make a picture wider.
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_a_report_that_fails_loses_nothing(data, tmp_path, monkeypatch, capsys):
    from cenote.training import report

    def broken(*_):
        raise RuntimeError("no ink")

    monkeypatch.setattr(report, "write_report", broken)
    result = fit(data, tmp_path / "run", report=True, progress="plain")
    assert "note: no report.html (RuntimeError: no ink)" in capsys.readouterr().out
    assert result.run.summary == result.summary
