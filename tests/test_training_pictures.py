"""Pictures are prepared alike from the training to the answer; weights that come from a file."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import cenote
from cenote import data, models, training
from cenote.data import DataWarning
from cenote.inspection.subject import load_subject
from cenote.models import Preprocessing, WeightsError
from cenote.training import Interrupted, Predictor, Run
from cenote.training.answers import labelled
from cenote.training.loop import Trainer
from cenote.training.ready import Ready
from cenote.training.sources import preprocessing_of
from commands import call, refused
from training_helpers import QUICK, as_arguments, assert_same_bits, weights, write_data

ONE = {**QUICK, "epochs": 1, "validation": 0, "batch_size": 8}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Flat(torch.nn.Sequential):
    def __init__(self, classes, channels, size):
        inputs = channels * size * size
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(inputs, classes))


class Tiny(torch.nn.Module):
    """As small as a network with a preprocessing of its own can be."""

    def __init__(self, classes, channels, size):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.last = torch.nn.Linear(4, classes)
        self.input_shape = (channels, size, size)
        self.preprocessing = Preprocessing(size * 5 // 4, size, MEAN, STD)

    def forward(self, x):
        return self.last(self.norm(self.conv(x)).relu().mean((2, 3)))


def tiny(*, classes=5, channels=3, size=16):
    return Tiny(classes, channels, size)


MODULE = """
import torch

class Mine(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3)
        self.last = torch.nn.Linear(4, classes)

    def forward(self, x):
        return self.last(self.first(x).relu().mean((2, 3)))
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(models._NETWORKS, "tiny", tiny)
    monkeypatch.chdir(tmp_path)


def picture(seed, width, height):
    """Smooth noise, so that another filter or another part of it has other pixels."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def lay(root, classes=("cat", "dog"), n=6, ending="png", seed=0):
    """Pictures of all sizes, a folder for each class."""
    for c, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(n):
            width, height = 24 + 7 * i, 60 - 5 * i + c
            picture(seed + 100 * c + i, width, height).save(root / name / f"{i}.{ending}")
    return root


def divided(root, **options):
    lay(root / "train", **options)
    lay(root / "test", seed=1000, **options)
    return root


def starting(monkeypatch, run):
    """What a training begins with: it is stopped before its first step."""

    def stop(trainer, progress, interrupts):
        raise Interrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", stop)
        with pytest.raises(Interrupted):
            run()


def part(path, name):
    return training.Checkpoint.load(path).part(name)


PREPARATIONS = [
    {"size": 16},
    {"size": 16, "resize": 20},
    {"size": 15, "resize": 20, "channels": 1},
]


@pytest.mark.parametrize("options", PREPARATIONS)
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_predict_prepares_pictures_as_the_training_did(tmp_path, options, ending):
    root = divided(tmp_path / "pets", ending=ending)
    Image.new("RGB", (900, 700), "teal").save(root / f"test/cat/large.{ending}")
    run = cenote.fit(Flat, data=str(root), out="run", **options, **ONE).run
    opened = Run.open("run")
    assert opened.facts.resize == options.get("resize")
    assert opened.config.pictures == run.config.pictures
    test = opened.data("test")
    assert test.images.shape[1:] == (options.get("channels", 3), options["size"], options["size"])
    predictor = Predictor(Ready(opened.facts, run.model(network=Flat)))
    paths = sorted(root.glob(f"test/*/*.{ending}"))
    assert len(paths) == len(test) == 13
    for path, image in zip(paths, test.images, strict=True):
        assert torch.equal(predictor._pixels(path), image.float() / 255), path


def test_the_command_takes_the_size_and_the_message_names_it(capsys, tmp_path):
    root = lay(tmp_path / "pets")
    arguments = ["train", "vgg_small", "--data", root, *as_arguments(ONE)]
    assert "give the size to bring them to (size=, --size)" in refused(capsys, *arguments)
    options = ["--size", 16, "--resize", 18, "--channels", 1, "--bad", "refuse"]
    code, _, err = call(capsys, *arguments, *options, "--out", "run")
    assert (code, err) == (0, "")
    assert Run.open("run").facts.shape == (1, 16, 16)
    code, _, err = call(capsys, "predict", "run", root)
    assert (code, err) == (0, "")
    assert call(capsys, "eval", "run")[0] == 0
    # What is the run's own is not said again, and another size is another run.
    assert call(capsys, "train", "--out", "run", "--resume")[0] == 0
    said = refused(capsys, "train", "--out", "run", "--resume", "--size", 20)
    assert "size = 20: the run in run was started with size = 16" in said


def test_bad_pictures_are_refused_by_choice(tmp_path):
    root = lay(tmp_path / "pets")
    (root / "cat/none.png").write_bytes(b"")
    with pytest.raises(data.DataError, match=r"1 of 13 files .*\n.*none\.png: empty file"):
        cenote.fit(Flat, data=str(root), out="run", size=16, bad="refuse", **ONE)


OPTIONS = [("size", 32), ("resize", 40), ("channels", 3), ("bad", "refuse")]


@pytest.mark.parametrize(("option", "value"), OPTIONS)
def test_options_for_pictures_are_refused_for_other_data(tmp_path, option, value):
    """For files, a name, an .npz file and objects."""
    files = write_data(tmp_path / "files")
    pair = (torch.zeros(20, 3, 8, 8, dtype=torch.uint8), torch.arange(20) % 2)
    np.savez(tmp_path / "pair.npz", images=pair[0].numpy(), labels=pair[1].numpy())
    message = f"^{option} = {value}: is for a folder of pictures alone, and data = "
    kinds = {str(files): files, "mnist1d": "mnist1d", "pair.npz": "pair.npz", "data": pair}
    for name, given in kinds.items():
        with pytest.raises(ValueError, match=f"{message}.*{name} is none"):
            cenote.fit(Flat, data=given, out="run", **{option: value}, **ONE)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=message):
        data.load(files, "train", **{option: value})


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("size", 0, "size = 0: must be at least 1"),
        ("resize", 0, "resize = 0: must be at least 1"),
        ("channels", 2, "channels = 2: must be one of 1, 3"),
        ("bad", "hide", "bad = 'hide': must be one of skip, refuse"),
    ],
)
def test_options_out_of_bounds(option, value, message):
    with pytest.raises(ValueError, match=message):
        training.Config(**{option: value})


def test_a_run_from_before_these_options_opens(capsys, tmp_path):
    root = divided(tmp_path / "pets")
    for path in root.glob("*/*/*.png"):
        picture(len(str(path)), 16, 16).save(path)
    cenote.fit("vgg_small", data=str(root), out="run", augment="none", **ONE)
    before = call(capsys, "eval", "run", "--json")[1]
    stored = json.loads((tmp_path / "run/config.json").read_text())
    for name in ("size", "resize", "channels", "bad", "weights"):
        del stored["options"][name]
    del stored["data"]["resize"]
    (tmp_path / "run/config.json").write_text(json.dumps(stored))
    assert Run.open("run").facts.resize is None
    assert call(capsys, "eval", "run", "--json")[1] == before
    assert call(capsys, "predict", "run", root / "test")[0] == 0
    assert call(capsys, "train", "--out", "run", "--resume")[0] == 0


def warned(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        run()
    return [str(w.message) for w in caught if w.category is DataWarning]


def test_pictures_that_are_left_out_are_named_once(tmp_path):
    root = lay(tmp_path / "pets")
    (root / "cat/none.png").write_bytes(b"")
    said = warned(lambda: cenote.fit(Flat, data=str(root), out="run", size=16, **ONE))
    assert len(said) == 1
    assert "none.png: empty file" in said[0]
    # Those of the test part are others, where it has a folder of its own.
    root = divided(tmp_path / "parts")
    (root / "train/cat/one.png").write_bytes(b"")
    (root / "test/cat/two.png").write_bytes(b"")
    said = warned(lambda: cenote.fit(Flat, data=str(root), out="parts-run", size=16, **ONE))
    assert [text.count("one.png") for text in said] == [1, 0]
    assert [text.count("two.png") for text in said] == [0, 1]


def test_an_empty_file_is_called_so(capsys, tmp_path):
    root = lay(tmp_path / "pets")
    (tmp_path / "none.png").write_bytes(b"")
    cenote.fit("vgg_small", data=str(root), out="run", size=16, **ONE)
    cenote.fit("lenet5", data=str(write_data(tmp_path / "digits")), out="digits-run", **ONE)
    for run in ("run", "digits-run"):
        code, _, err = call(capsys, "predict", run, tmp_path / "none.png")
        assert (code, err) == (1, f"error: {tmp_path}/none.png: empty file\n")


def test_the_inspector_prepares_pictures_as_the_run(tmp_path):
    root = divided(tmp_path / "pets")
    cenote.fit("vgg_small", data=str(root), out="run", size=16, resize=20, **ONE)
    run, path = Run.open("run"), root / "test/dog/3.png"
    subject = load_subject("run", image=path)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (run.facts.mean, run.facts.std))
    pixels = Predictor(run)._pixels(path)
    assert torch.equal(subject.inputs[0][0], (pixels - mean) / std)
    assert np.array_equal(subject.image, (pixels * 255).round().byte().permute(1, 2, 0).numpy())


def drawn(classes=5, seed=3):
    """A tiny network whose norms have seen something."""
    torch.manual_seed(seed)
    network = tiny(classes=classes)
    network(torch.randn(8, 3, 16, 16))
    return network.eval()


def saved(network, path):
    torch.save(network.state_dict(), path)
    return path


def test_a_network_by_name_answers_with_the_weights_of_a_file(capsys, tmp_path):
    network, root = drawn(), lay(tmp_path / "pets")
    file = saved(network, tmp_path / "tiny.pth")
    paths = sorted(root.rglob("*.png"))
    code, out, err = call(capsys, "predict", "tiny", root, "--weights", file, "--json")
    assert (code, err) == (0, "")
    with torch.inference_mode():
        inputs = torch.cat([network.preprocessing(Image.open(path)) for path in paths])
        wanted = network(inputs).softmax(1)
    for row, path, values in zip(json.loads(out), paths, wanted, strict=True):
        assert row["file"] == str(path)
        best = values.topk(3)
        assert [top["class"] for top in row["top"]] == [str(i) for i in best.indices.tolist()]
        found = [top["probability"] for top in row["top"]]
        assert found == pytest.approx(best.values.tolist(), rel=1e-4)
    names = tmp_path / "names.txt"
    names.write_text("ant\nbee\ncat\ndog\nelk\n\n")
    arguments = ["predict", "tiny", paths[0], "--weights", file, "--classes", names, "--json"]
    named = json.loads(call(capsys, *arguments)[1])[0]["top"]
    numbers = json.loads(out)[0]["top"]
    letters = [names.read_text().split()[int(top["class"])] for top in numbers]
    assert [top["class"] for top in named] == letters


def test_a_network_by_name_is_measured_on_a_folder(capsys, tmp_path):
    network = drawn()
    root = divided(tmp_path / "pets", classes=("ant", "bee", "cat", "dog", "elk"), n=3)
    file = saved(network, tmp_path / "tiny.pth")
    paths = sorted(root.glob("test/*/*.png"))
    labels = torch.arange(5).repeat_interleave(3)
    with torch.inference_mode():
        inputs = torch.cat([network.preprocessing(Image.open(path)) for path in paths])
        logits = network(inputs)
    arguments = ["eval", "tiny", "--weights", file, "--data", root]
    code, out, err = call(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["images"] == 15
    assert found["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)))
    assert found["errors"] == int((logits.argmax(1) != labels).sum())
    assert call(capsys, *arguments, "--split", "train")[1].startswith("train accuracy")


def test_a_file_with_other_classes_has_their_number_of_outputs(capsys, tmp_path):
    file = saved(drawn(classes=2), tmp_path / "two.pth")
    root = divided(tmp_path / "pets")
    assert call(capsys, "eval", "tiny", "--weights", file, "--data", root)[0] == 0
    found = json.loads(
        call(capsys, "predict", "tiny", "--weights", file, root / "test/cat/0.png", "--json")[1]
    )
    assert {top["class"] for top in found[0]["top"]} == {"0", "1"}


WRONG = {
    "tiny: give the file of its weights (--weights FILE)": ["predict", "tiny", "{pets}"],
    "weights = gone.pth: no such file": ["predict", "tiny", "{pets}", "--weights", "gone.pth"],
    "not those of nin: ": ["predict", "nin", "{pets}", "--weights", "{file}"],
    "vgg_small: has no size, mean and deviation of its own": [
        "predict", "vgg_small", "{pets}", "--weights", "{file}",
    ],
    "classes: found 2 names, tiny has 5 outputs in": [
        "predict", "tiny", "{pets}", "--weights", "{file}", "--classes", "two.txt",
    ],
    "classes = gone.txt: no such file": [
        "predict", "tiny", "{pets}", "--weights", "{file}", "--classes", "gone.txt",
    ],
    "classes = gap.txt: line 2 is empty, expected a name": [
        "predict", "tiny", "{pets}", "--weights", "{file}", "--classes", "gap.txt",
    ],
    "classes = two.txt: is for one of our networks by name": [
        "predict", "some-run", "{pets}", "--classes", "two.txt",
    ],
    "tiny: give the folder of pictures to measure it on (--data FOLDER)": [
        "eval", "tiny", "--weights", "{file}",
    ],
    "data = mnist: must be a folder of pictures": [
        "eval", "tiny", "--weights", "{file}", "--data", "mnist",
    ],
    "has 2 classes, and tiny with these weights has 5 outputs": [
        "eval", "tiny", "--weights", "{file}", "--data", "{pets}",
    ],
    "data = mnist: is for one of our networks by name; a run has its own": [
        "eval", "some-run", "--data", "mnist",
    ],
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_a_network_by_name_cannot_do_is_said(capsys, tmp_path, message):
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    (tmp_path / "gap.txt").write_text("cat\n\ndog\n")
    places = {
        "pets": lay(tmp_path / "pets"),
        "file": saved(drawn(), tmp_path / "tiny.pth"),
    }
    arguments = [argument.format(**places) for argument in WRONG[message]]
    assert message in refused(capsys, *arguments)


def test_a_run_in_a_folder_called_as_a_network_is_a_run(capsys, tmp_path):
    root = lay(tmp_path / "pets")
    cenote.fit("vgg_small", data=str(root), out="vgg_small", size=16, **ONE)
    assert call(capsys, "eval", "vgg_small", "--weights", "last")[0] == 0


def test_a_training_begins_with_the_weights_of_a_file(monkeypatch, tmp_path, capsys):
    """All of them but the last layer, which is another for other classes; and as they are."""
    own, root = drawn(), lay(tmp_path / "pets")
    file = saved(own, tmp_path / "tiny.pth")
    options = {**ONE, "progress": "plain", "ema": 0.9}

    def begin(out, **more):
        starting(
            monkeypatch,
            lambda: cenote.fit("tiny", data=str(root), out=out, **{**options, **more}),
        )
        return part(tmp_path / out / "checkpoints/last.safetensors", "model")

    capsys.readouterr()
    found = begin("run", weights=file)
    said = capsys.readouterr().out
    line = f"begins with the weights of {file}; the last layer, last, is fresh: the file has it"
    assert f"{line} for 5 classes, the data have 2\n" in said
    torch.manual_seed(0)  # that of the run
    fresh, wanted = tiny(classes=2).state_dict(), own.state_dict()
    for name, tensor in found.items():
        assert torch.equal(tensor, (fresh if name.startswith("last") else wanted)[name]), name
    assert not torch.equal(fresh["conv.weight"], wanted["conv.weight"])
    average = part(tmp_path / "run/checkpoints/last.safetensors", "average")
    assert torch.equal(average["conv.weight"], wanted["conv.weight"])

    file = saved(drawn(classes=2), tmp_path / "two.pth")
    capsys.readouterr()
    assert_same_bits(begin("two", weights=file), drawn(classes=2).state_dict())
    assert f"begins with the weights of {file}\n" in capsys.readouterr().out


def test_such_a_run_has_the_networks_own_preprocessing(tmp_path):
    root, file = divided(tmp_path / "pets"), saved(drawn(), tmp_path / "tiny.pth")
    cenote.fit("tiny", data=str(root), out="run", weights=file, **ONE)
    run = Run.open("run")
    assert (run.facts.mean, run.facts.std) == (MEAN, STD)
    assert (run.facts.shape, run.facts.resize) == ((3, 16, 16), 20)
    own, path = preprocessing_of("tiny"), root / "test/dog/2.png"
    prepared = own.normalised(Predictor(run)._pixels(path))
    assert torch.equal(prepared, own(Image.open(path))[0])
    cenote.fit("tiny", data=str(root), out="larger", weights=file, size=24, **ONE)
    larger = Run.open("larger").facts
    assert (larger.shape, larger.resize, larger.mean) == ((3, 24, 24), None, MEAN)
    # What is no folder keeps its size; what has no values in 0 to 255 its own mean, too.
    images = torch.randint(0, 256, (20, 3, 18, 18), dtype=torch.uint8)
    for out, inputs in (("bytes", images), ("floats", images / 255 - 3)):
        pair = (inputs, torch.arange(20) % 2)
        facts = cenote.fit("tiny", data=pair, out=out, weights=file, **ONE).run.facts
        assert (facts.shape, facts.mean == MEAN) == ((3, 18, 18), out == "bytes")


def test_going_on_needs_the_file_no_more(monkeypatch, tmp_path):
    root, file = lay(tmp_path / "pets"), saved(drawn(), tmp_path / "tiny.pth")
    options = {**ONE, "epochs": 2, "weights": file, "data": str(root)}
    straight = cenote.fit("tiny", out="straight", **options)
    starting(monkeypatch, lambda: cenote.fit("tiny", out="run", **options))
    file.unlink()
    resumed = cenote.fit(training.Config("tiny", out="run", **options), resume=True)
    assert_same_bits(weights(straight.run), weights(resumed.run))
    # Killed before the first checkpoint was whole, it has to begin with the file again.
    (tmp_path / "run/summary.json").unlink()
    (tmp_path / "run/checkpoints/last.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"tiny\.pth: no such file"):
        cenote.fit(out="run", resume=True)
    saved(drawn(), file)
    assert_same_bits(weights(straight.run), weights(cenote.fit(out="run", resume=True).run))


def test_a_network_of_ones_own_begins_with_weights_too(monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    root, name = lay(tmp_path / "pets"), f"{tmp_path}/mine.py:Mine"
    first = cenote.fit(name, data=str(root), out="first", size=16, **ONE)
    path = tmp_path / "first/checkpoints/last.safetensors"
    three = lay(tmp_path / "more", classes=("ant", "cat", "dog"))
    starting(
        monkeypatch,
        lambda: cenote.fit(name, data=str(three), out="run", size=16, weights=path, **ONE),
    )
    found = part(tmp_path / "run/checkpoints/last.safetensors", "model")
    wanted = first.model.state_dict()
    assert torch.equal(found["first.weight"], wanted["first.weight"])
    assert found["last.weight"].shape == (3, 4)
    facts, before = Run.open("run").facts, first.run.facts
    assert (facts.mean, facts.std) == (before.mean, before.std)
    torch.save(wanted, "mine.pth")  # which does not say what it was fitted to
    starting(
        monkeypatch,
        lambda: cenote.fit(name, data=str(three), out="two", size=16, weights="mine.pth", **ONE),
    )
    facts, trained = Run.open("two").facts, data.load(three, "train", size=16)
    assert (facts.mean, facts.std) == trained.statistics()
    torch.save({"first.weight": wanted["first.weight"]}, "half.pth")
    message = "half.pth: not those of mine.py:Mine: 3 missing"
    with pytest.raises(WeightsError, match=message):
        cenote.fit(name, data=str(root), out="half", size=16, weights="half.pth", **ONE)
    assert not (tmp_path / "half").exists()


DIFFERENT = {
    "first layer": ("conv.weight", torch.zeros(4, 1, 3, 3)),
    "last layer of other inputs": ("last.weight", torch.zeros(5, 3)),
    "norm": ("norm.weight", torch.zeros(9)),
}


@pytest.mark.parametrize("reason", DIFFERENT)
def test_what_differs_in_more_than_the_classes_is_refused(tmp_path, reason):
    key, tensor = DIFFERENT[reason]
    torch.save({**drawn().state_dict(), key: tensor}, "other.pth")
    root = lay(tmp_path / "pets")
    with pytest.raises(WeightsError, match=f"not those of tiny: .*{key}"):
        cenote.fit("tiny", data=str(root), out="run", weights="other.pth", **ONE)
    with pytest.raises(WeightsError, match="not those of tiny"):
        Ready.of_weights("tiny", "other.pth")


# Weights of a run, in a file.


def test_an_exported_network_brings_its_preparation_and_classes(capsys, tmp_path):
    root = lay(tmp_path / "pets")
    run = cenote.fit("tiny", data=str(root), out=tmp_path / "run", size=12, **ONE).run
    assert run.facts.mean != MEAN
    file = tmp_path / "tiny.safetensors"
    assert call(capsys, "export", run.folder, "--format", "safetensors", "--out", file)[0] == 0
    shown = root / "cat" / "0.png"
    expected = Predictor(run)(shown)
    found = Predictor(Ready.of_weights("tiny", file))(shown)
    assert [name for name, _ in found.top] == [name for name, _ in expected.top]
    for (_, a), (_, b) in zip(found.top, expected.top, strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    with pytest.raises(ValueError, match="of tiny, not of lenet5"):
        Ready.of_weights("lenet5", file)


def test_an_exported_network_is_measured_on_its_own_classes_and_sizes(capsys, tmp_path):
    root = divided(tmp_path / "pets")
    run = cenote.fit("vgg_small", data=str(root), out=tmp_path / "run", size=12, **ONE).run
    file = tmp_path / "vgg.safetensors"
    call(capsys, "export", run.folder, "--format", "safetensors", "--out", file)
    command = ["eval", "vgg_small", "--weights", file, "--json", "--data"]
    found = json.loads(call(capsys, *command, root)[1])
    assert found["errors"] == run.summary["test_errors"]
    assert found["loss"] == pytest.approx(run.summary["test_loss"], rel=1e-4)
    other = divided(tmp_path / "birds", classes=("jay", "owl"))
    message = "has the classes jay, owl, and vgg_small with these weights answers with cat, dog"
    assert message in refused(capsys, *command, other)
    ready = Ready.of_weights("vgg_small", file)
    wide = replace(ready, facts=replace(ready.facts, shape=(3, 12, 20)))
    assert labelled(wide, str(root), "test").images.shape[1:] == (3, 12, 20)
    flat = replace(ready, facts=replace(ready.facts, shape=(1, 40)))
    with pytest.raises(ValueError, match="has learnt inputs of 1x40, no pictures"):
        labelled(flat, str(root), "test")


def test_a_checkpoint_belongs_to_its_run(tmp_path):
    run = cenote.fit(
        "tiny", data=str(lay(tmp_path / "pets")), out=tmp_path / "run", size=12, **ONE
    ).run
    with pytest.raises(ValueError, match=r"of the run .*run: give that, not tiny"):
        Ready.of_weights("tiny", run.last)
    alone = tmp_path / "alone" / "last.safetensors"
    alone.parent.mkdir()
    alone.write_bytes(run.last.read_bytes())
    with pytest.raises(WeightsError, match="a checkpoint apart from its run"):
        Ready.of_weights("tiny", alone)


def test_a_training_that_begins_with_a_runs_weights_prepares_as_that_run(tmp_path, monkeypatch):
    first = cenote.fit(
        "tiny", data=str(lay(tmp_path / "pets")), out=tmp_path / "one", size=12, **ONE
    ).run
    other = str(lay(tmp_path / "more", seed=50))
    run = cenote.fit("tiny", data=other, out=tmp_path / "two", weights=str(first.last), **ONE).run
    assert (run.facts.mean, run.facts.std) == (first.facts.mean, first.facts.std)
    assert run.facts.shape == first.facts.shape == (3, 12, 12)


def test_of_averaged_weights_a_file_gives_the_averages(tmp_path):
    data = str(write_data(tmp_path / "data"))
    run = cenote.fit("lenet5", data=data, out=tmp_path / "run", **{**QUICK, "ema": 0.9}).run
    found = models._weights.read_weights(run.last)
    assert all(torch.equal(found[n], t) for n, t in run.model().state_dict().items())


# Folders that are not quite what is expected.


def test_the_test_part_is_read_as_the_training_part(tmp_path):
    root = divided(tmp_path / "parts")
    for path in (root / "test").rglob("*.png"):
        Image.open(path).convert("L").save(path)
    result = cenote.fit("tiny", data=str(root), out=tmp_path / "run", size=16, **ONE)
    assert result.summary["test_images"] == 12
    assert result.run.data("test").images.shape[1:] == (3, 16, 16)


def test_a_validation_part_of_its_own_is_said_to_be_left_aside(tmp_path, capsys):
    root = divided(tmp_path / "parts")
    lay(root / "val", seed=2000)
    options = {**ONE, "validation": 2, "progress": "plain"}
    cenote.fit("tiny", data=str(root), out=tmp_path / "run", size=16, **options)
    assert "note: the data have a validation part of their own" in capsys.readouterr().out


def test_loose_pictures_are_told_where_to_lie(tmp_path):
    root = tmp_path / "loose"
    root.mkdir()
    picture(1, 20, 20).save(root / "a.jpg")
    for options in ({}, {"size": 16}):
        with pytest.raises(
            data.DataError, match=r"one sub-folder for each class; here are 1 in none"
        ):
            cenote.fit("tiny", data=str(root), out=tmp_path / "run", **ONE, **options)


def test_a_network_of_sequences_takes_no_pictures(tmp_path):
    options = {**QUICK, "epochs": 1, "augment": "none"}
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 3))
    pair = (torch.randn(60, 1, 40), torch.arange(60) % 3)
    run = cenote.fit(net, data=pair, out=tmp_path / "run", **options).run
    picture(1, 20, 20).save(tmp_path / "a.png")
    ready = Ready(run.facts, net)
    with pytest.raises(training.ImageError, match="learnt inputs of 1x40, no pictures"):
        Predictor(ready)(tmp_path / "a.png")


def test_names_may_begin_with_a_byte_order_mark(tmp_path):
    from cenote.training.answers import _names

    (tmp_path / "names.txt").write_text("cat\ndog\n", encoding="utf-8-sig")
    assert _names(tmp_path / "names.txt") == ["cat", "dog"]
