"""Weights from files: torchvision's format both ways, whole networks, and every wrong file."""

import pickle

import pytest
import safetensors.torch
import torch
from torch import nn

import cenote
import classic_networks as theirs
from cenote import models
from cenote.models import WeightsError
from cenote.models._weights import put_weights, read_weights
from cenote.training.export import export
from training_helpers import QUICK, write_data


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small(seed=0):
    torch.manual_seed(seed)
    network = models.vgg_small()
    network(drawn(8, 1, 28, 28))  # so that the statistics of the norms are no longer 0 and 1
    return network.eval()


def save(weights, path):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(weights, path)
    else:
        torch.save(weights, path)
    return path


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_there_and_back(tmp_path, suffix):
    network = small()
    path = save(network.state_dict(), tmp_path / f"weights.{suffix}")
    before = torch.get_rng_state()
    loaded = models.load("vgg_small", weights=path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not loaded.training
    assert list(loaded.state_dict()) == list(network.state_dict())
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert all(p.requires_grad and not p.is_meta for p in loaded.parameters())
    x = drawn(2, 1, 28, 28)
    assert torch.equal(loaded(x), network(x))
    loaded.train()
    loaded(x).sum().backward()  # what is loaded can be trained


def test_checkpoints_and_exported_networks_of_a_run(tmp_path):
    data = write_data(tmp_path / "data")
    run = cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **{**QUICK, "epochs": 1}).run
    export(run, "safetensors", tmp_path / "exported.safetensors")
    expected = run.model().state_dict()
    for path in (run.last, tmp_path / "exported.safetensors"):
        found = models.load("lenet5", weights=path).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_torchvision_checkpoint_and_back(tmp_path, suffix):
    """Random weights as torchvision writes them; what comes out is theirs again."""
    torch.manual_seed(1)
    other = theirs.alexnet(classes=11).eval()
    path = save(other.state_dict(), tmp_path / f"alexnet.{suffix}")
    mine = models.load("alexnet", weights=path, classes=11)
    x = drawn(2, 3, 224, 224)
    with torch.no_grad():
        expected = other(x)
        torch.testing.assert_close(mine(x), expected, rtol=1e-4, atol=1e-5)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    path = save(mine.state_dict(), tmp_path / f"back.{suffix}")
    other.load_state_dict(read_weights(path))  # strict: no name more, none less
    with torch.no_grad():
        assert torch.equal(other(x), expected)


def test_a_torchvision_vgg_with_norms(tmp_path):
    """Of the convolutions and norms only: the linear layers would be half a gigabyte."""
    with torch.device("meta"):
        network = models.vgg11_bn()
    torch.manual_seed(2)
    features = theirs.vgg("vgg11_bn", classes=1).features.eval()
    weights = {k: v for k, v in features.state_dict().items() if "num_batches" not in k}
    path = save(weights, tmp_path / "features.pth")  # as before torch counted batches
    put_weights("vgg11_bn", network.features, read_weights(path), path)
    x = drawn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.features.eval()(x), features(x), rtol=1e-4, atol=1e-4)
    assert network.features[1].num_batches_tracked == 0


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_what_a_training_script_saved(tmp_path, key):
    network = small()
    path = save({"epoch": 3, key: network.state_dict()}, tmp_path / "last.pt")
    loaded = models.load("vgg_small", weights=path)
    assert torch.equal(loaded.features[0].weight, network.features[0].weight)


def test_a_checkpoint_of_a_run(tmp_path):
    from cenote.training import Checkpoint

    network = small()
    tensors = {f"model/{k}": v for k, v in network.state_dict().items()}
    tensors["rng/torch"] = torch.get_rng_state()
    path = tmp_path / "best.safetensors"
    Checkpoint(tensors, {"network": "vgg_small()"}).save(path)
    loaded = models.load("vgg_small", weights=path)
    assert torch.equal(loaded.classifier[1].weight, network.classifier[1].weight)


def test_half_precision_becomes_the_networks_own(tmp_path):
    network = small()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    loaded = models.load("vgg_small", weights=save(halves, tmp_path / "half.safetensors"))
    weight = loaded.features[0].weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, network.features[0].weight.half().float())


def test_a_file_that_changes_later_changes_nothing(tmp_path):
    network = small()
    path = save(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = models.load("vgg_small", weights=path)
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(loaded.features[0].weight, network.features[0].weight)


def test_options_go_to_the_network(tmp_path):
    network = models.nin_small(classes=3, channels=3, size=32)
    path = save(network.state_dict(), tmp_path / "three.pth")
    loaded = models.load("nin_small", weights=path, classes=3, channels=3, size=32)
    assert loaded.input_shape == (3, 32, 32)
    assert loaded(drawn(1, 3, 32, 32)).shape == (1, 3)


class Harmful:
    """Something that runs when it is unpickled the careless way."""

    def __reduce__(self):
        return (pytest.fail, ("code out of a file of weights ran",))


def changed(**changes):
    """The weights of the small VGG with some left out (None) or put in."""
    weights = {**small().state_dict(), **changes}
    return {name: tensor for name, tensor in weights.items() if tensor is not None}


def of(weights, suffix="pth"):
    return lambda folder: save(weights, folder / f"weights.{suffix}")


def written(content, suffix):
    def write(folder):
        path = folder / f"weights.{suffix}"
        path.write_bytes(content)
        return path

    return write


WRONG = {
    "missing": (
        lambda: of(changed(**{"classifier.1.bias": None})),
        r"weights\.pth: not those of vgg_small: 1 missing \(classifier\.1\.bias\)$",
    ),
    "unexpected": (
        lambda: of(changed(extra=torch.zeros(1)), "safetensors"),
        r"weights\.safetensors: not those of vgg_small: 1 unexpected \(extra\)$",
    ),
    "shape": (
        lambda: of(changed(**{"classifier.1.bias": torch.zeros(3)})),
        r"vgg_small: 1 of another shape \(classifier\.1\.bias \(3,\), expected \(10,\)\)$",
    ),
    "all_at_once": (
        lambda: of(models.nin_small().state_dict()),
        r"\d+ missing \(features\.0\.weight, .* and \d+ more\); \d+ unexpected \(features\.conv1\."
        r"weight, .* and \d+ more\)$",
    ),
    "other_classes": (
        lambda: of(models.vgg_small(classes=7).state_dict()),
        r"2 of another shape \(classifier\.1\.weight \(7, 96\), expected \(10, 96\); classifier",
    ),
    "code": (lambda: of({"a": Harmful()}), "holds more than tensors, .* run code is not read"),
    "bare_pickle": (lambda: written(pickle.dumps({"a": Harmful()}), "pth"), "run code is not read"),
    "no_tensors": (lambda: of({"epoch": 3}), "does not hold tensors by name"),
    "a_list": (lambda: of([torch.zeros(1)]), "does not hold tensors by name"),
    "nothing": (lambda: of({}), "does not hold tensors by name"),
    "not_safetensors": (
        lambda: written(b"weights?", "safetensors"),
        "not a whole safetensors file",
    ),
    "text": (
        lambda: written(b"weights?", "pth"),
        r"weights\.pth: (holds more than tensors|not a )",
    ),
    "empty": (lambda: written(b"", "pth"), r"weights\.pth: (holds more than tensors|not a whole)"),
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_wrong_file_is_refused(reason, tmp_path):
    make, message = WRONG[reason]
    path = make()(tmp_path)
    with pytest.raises(WeightsError, match=message):
        models.load("vgg_small", weights=path)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_half_a_file_is_refused(suffix, share, tmp_path):
    path = save(small().state_dict(), tmp_path / f"weights.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(WeightsError, match=rf"^weights = .*weights\.{suffix}: "):
        models.load("vgg_small", weights=path)


def test_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.pth"):
        with pytest.raises(WeightsError, match="no such file"):
            models.load("vgg_small", weights=path)
    with pytest.raises(ValueError, match="must be one of lenet5"):
        models.load("vgg", weights=tmp_path)
