"""The networks: LeNet-5 as its docstring shows it, its choices, its first weights, its refusals."""

import re

import pytest
import torch
from torch import nn

import cenote
from cenote import data, models
from cenote.models import LeNet5, lenet5
from cenote.models._parts import ACTIVATIONS, POOLS


def outputs(network, size, channels=1, batch=3):
    """What each layer gives: its name, its layer and the output's shape, in order."""
    seen = []
    for block in (network.features, network.classifier):
        for name, layer in block.named_children():
            layer.register_forward_hook(
                lambda layer, _, y, name=name: seen.append((name, layer, tuple(y.shape)))
            )
    network(torch.zeros(batch, channels, size, size))
    return seen


def test_the_docstring_shows_every_layer():
    table = re.findall(r"^ +(\w+) .*?\(N, ([\d, ]+)\) +([\d,]+)$", lenet5.__doc__, re.MULTILINE)
    shown = [
        (name, tuple(map(int, shape.split(", "))), int(count.replace(",", "")))
        for name, shape, count in table
    ]
    found = [
        (name, shape[1:], sum(p.numel() for p in layer.parameters()))
        for name, layer, shape in outputs(lenet5(), 28)
    ]
    assert shown == found
    assert sum(count for _, _, count in found) == 61_706


def test_it_is_the_network_of_the_paper_in_todays_dress():
    kinds = [type(layer) for _, layer, _ in outputs(lenet5(), 28)]
    stage = [nn.Conv2d, nn.ReLU, cenote.nn.MaxPool2d]
    dense = [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert kinds == [*stage, *stage, *dense]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_same_numbers_as_in_plain_torch(activation, pool):
    network = lenet5(activation=activation, pool=pool).double()
    act = getattr(torch, activation)
    reduced = {"max": nn.functional.max_pool2d, "avg": nn.functional.avg_pool2d}[pool]
    w = network.state_dict()
    images = torch.rand(
        5, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    x = nn.functional.conv2d(
        images, w["features.conv1.weight"], w["features.conv1.bias"], padding=2
    )
    x = reduced(act(x), 2)
    x = nn.functional.conv2d(x, w["features.conv2.weight"], w["features.conv2.bias"])
    x = reduced(act(x), 2).flatten(1)
    for name in ("fc1", "fc2"):
        x = act(x @ w[f"classifier.{name}.weight"].T + w[f"classifier.{name}.bias"])
    x = x @ w["classifier.fc3.weight"].T + w["classifier.fc3.bias"]
    torch.testing.assert_close(network(images), x)


@pytest.mark.parametrize(
    ("size", "channels", "classes", "flat"),
    [(28, 1, 10, 400), (12, 1, 2, 16), (32, 3, 100, 576), (45, 1, 1, 1296)],
)
def test_other_sizes(size, channels, classes, flat):
    network = lenet5(size=size, channels=channels, classes=classes)
    shapes = {name: shape for name, _, shape in outputs(network, size, channels)}
    assert shapes["flatten"] == (3, flat)
    assert shapes["fc3"] == (3, classes)


def test_images_that_are_no_squares():
    network = lenet5(size=(20, 33), channels=2)
    assert network.input_shape == (2, 20, 33)
    assert network.preprocessing is None
    assert network(torch.zeros(3, 2, 20, 33)).shape == (3, 10)


def test_weights_follow_torchs_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in lenet5().parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def variance(activation, name, fan_in, fan_out):
    """What is promised for a layer with so many inputs and outputs."""
    glorot = 2 / (fan_in + fan_out)
    if activation == "relu":
        return 1 / (3 * fan_in)
    if name.startswith("classifier.fc3"):
        return glorot
    return {"tanh": glorot, "sigmoid": 16 * glorot}[activation]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_first_weights(activation):
    torch.manual_seed(0)
    network = lenet5(activation=activation, classes=100)
    for name, value in network.state_dict().items():
        if name.endswith("bias"):
            assert (activation == "relu") == bool(value.any())
            continue
        taps = value[0, 0].numel() if value.dim() == 4 else 1
        expected = variance(activation, name, value.shape[1] * taps, value.shape[0] * taps)
        # The spread of a sample variance of n normal numbers, four times over.
        spread = 4 * (2 / value.numel()) ** 0.5
        assert float(value.var()) == pytest.approx(expected, rel=spread), name


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_dress_learns(activation, pool):
    torch.manual_seed(0)
    batches = data.Batches(data.load("mnist", "test", download=False), 64, seed=0)
    images, labels = next(batches.epoch(0))
    network = lenet5(activation=activation, pool=pool)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] < 6  # guessing costs 2.3
    assert losses[-1] < 1


def test_by_name():
    network = models.get("lenet5", pool="avg", classes=3)
    assert isinstance(network, LeNet5)
    assert isinstance(network.features.pool1, cenote.nn.AvgPool2d)
    assert network.classifier.fc3.out_features == 3
    assert models.names()[0] == "lenet5"


REFUSED = {
    "activation": (
        lambda: lenet5(activation="gelu"),
        "lenet5: activation = 'gelu': must be one of relu, sigmoid, tanh",
    ),
    "pool": (lambda: lenet5(pool="median"), "lenet5: pool = 'median': must be one of max, avg"),
    "classes": (lambda: lenet5(classes=0), "lenet5: classes = 0: must be at least 1"),
    "channels": (lambda: lenet5(channels=-1), "lenet5: channels = -1: must be at least 1"),
    "size": (
        lambda: lenet5(size=11),
        "lenet5: size = 11: too small, pool2's window of 2 does not fit on the 1x1",
    ),
    "side": (lambda: lenet5(size=(40, 9)), r"size = \(40, 9\): too small, conv2's window of 5"),
    "no_size": (lambda: lenet5(size=0), "lenet5: size = 0: must be at least 1"),
    "name": (lambda: models.get("lenet"), "model = 'lenet': must be one of lenet5"),
    "images": (
        lambda: lenet5()(torch.zeros(2, 1, 32, 32)),
        r"LeNet5: expected images \(N, 1, 28, 28\), found \(2, 1, 32, 32\)",
    ),
    "no_batch_axis": (lambda: lenet5()(torch.zeros(1, 28, 28)), r"found \(1, 28, 28\)"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(reason):
    make, message = REFUSED[reason]
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_option():
    with pytest.raises(TypeError, match=r"lenet5\(\) got an unexpected keyword argument 'padding'"):
        models.get("lenet5", padding=0)
