"""AlexNet, VGG, NiN: the published numbers, the definitions of others, sizes, tables, refusals."""

import pytest
import torch
from torch import nn

import cenote
import classic_networks as theirs
from cenote import models
from cenote.models import tables
from cenote.nn import Stages

# Published: torchvision's pages, Krizhevsky 2012 (60 million), Caffe's zoo for NiN.
PARAMETERS = {
    "lenet5": 61_706,
    "alexnet": 61_100_840,
    "alexnet_two_towers": 60_965_224,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "nin": 7_595_176,
    "nin_cifar": 966_986,
}
STEPS = {"alexnet_small": 20, "vgg_small": 8, "nin_small": 15}  # until a toy is learnt
SMALL = tuple(STEPS)
CLASSICS = tuple(name for name in models.names() if name != "lenet5")
VGGS = [name for name in PARAMETERS if name.startswith("vgg")]


def on_meta(name, **options):
    """A network whose parameters have shapes and no memory."""
    with torch.device("meta"):
        return models.get(name, **options)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def lively(network, seed=0):
    """The network in evaluation mode, its statistics no longer 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (layer.bias.data, layer.running_mean):
                tensor.normal_(0, 0.2, generator=generator)
    return network.eval()


@pytest.mark.parametrize("name", PARAMETERS)
def test_published_number_of_parameters(name):
    assert sum(p.numel() for p in on_meta(name).parameters()) == PARAMETERS[name]


def test_every_network_is_counted_or_small():
    assert set(models.names()) == {*PARAMETERS, *SMALL}


@pytest.mark.parametrize("name", ["alexnet", *VGGS])
def test_torchvisions_names_and_shapes(name):
    with torch.device("meta"):
        other = theirs.alexnet() if name == "alexnet" else theirs.vgg(name)
    mine = {k: v.shape for k, v in on_meta(name).state_dict().items()}
    assert list(mine.items()) == [(k, v.shape) for k, v in other.state_dict().items()]


@pytest.mark.parametrize("name", VGGS)
def test_same_maps_as_torchvisions_vgg(name):
    with torch.device("meta"):
        mine, other = models.get(name), theirs.vgg(name)
    torch.manual_seed(0)
    ours = mine.features.to_empty(device="cpu")
    for layer in ours.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.1)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
    lively(ours)
    features = other.features.to_empty(device="cpu").eval()
    features.load_state_dict(ours.state_dict())
    x = drawn(2, 3, 67, 40)
    with torch.no_grad():
        expected = features(x)
        assert expected.std() > 0.1
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(224, 224), (63, 97)])
def test_same_logits_as_torchvisions_alexnet(size):
    torch.manual_seed(0)
    mine = models.alexnet(classes=7, size=size).eval()
    other = theirs.alexnet(classes=7).eval()
    other.load_state_dict(mine.state_dict())
    x = drawn(2, 3, *size)
    with torch.no_grad():
        expected = other(x)
        assert expected.std() > 1e-3
        torch.testing.assert_close(mine(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", VGGS)
def test_same_logits_as_torchvisions_vgg(name):
    torch.manual_seed(0)
    mine = lively(models.get(name))
    with torch.device("meta"):
        other = theirs.vgg(name).eval()
    other.load_state_dict(mine.state_dict(), assign=True)
    x = drawn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(mine(x), other(x), rtol=1e-4, atol=1e-4)


def test_two_towers_compute_the_papers_formula():
    torch.manual_seed(0)
    mine = models.alexnet(variant="two_towers", classes=5).eval()
    assert mine.name == "alexnet_two_towers"
    x = drawn(1, 3, 224, 224)
    with torch.no_grad():
        # Images brighter than any: so that the norms divide by more than their constant.
        expected = theirs.TwoTowers(mine.state_dict())(30 * x)
        torch.testing.assert_close(mine(30 * x), expected, rtol=1e-4, atol=1e-4)


def test_nin_computes_the_papers_layers():
    torch.manual_seed(0)
    mine, other = models.nin_cifar().eval(), theirs.nin_cifar().eval()
    pairs = zip(other.parameters(), mine.parameters(), strict=True)
    for to, of in pairs:
        to.data.copy_(of.data)
    x = drawn(3, 3, 32, 32)
    with torch.no_grad():
        expected = other(x)
        assert expected.std() > 0.01
        torch.testing.assert_close(mine(x), expected, rtol=1e-4, atol=1e-5)


def test_forms_of_nin():
    assert models.nin(variant="cifar").name == "nin_cifar"
    network = on_meta("nin")
    assert [k for k, m in network.features.named_children() if isinstance(m, nn.Conv2d)] == [
        "conv1", "cccp1_1", "cccp1_2", "conv2", "cccp2_1", "cccp2_2",
        "conv3", "cccp3_1", "cccp3_2", "conv4", "cccp4_1", "cccp4_2",
    ]  # fmt: skip
    assert not any(isinstance(m, nn.Linear) for m in network.modules())


@pytest.mark.parametrize("name", CLASSICS)
def test_built_of_our_layers(name):
    network = on_meta(name)
    assert isinstance(network.features, Stages)
    for layer in network.features:
        assert type(layer).__module__.startswith(("cenote.", "torch.nn.modules.")), layer
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            assert type(layer).__module__.startswith("cenote."), layer
    if "bn" not in name and name not in ("vgg_small", "nin_small"):
        firsts = range(len(network.features))
        assert any(not network.features.why_not(first) for first in firsts)


@pytest.mark.parametrize("name", CLASSICS)
def test_any_size_from_the_smallest_on(name):
    network = on_meta(name, classes=3, channels=2)
    least = network.smallest
    for height, width in ((least, least), (least, least + 9), (least + 30, least + 1)):
        assert network(torch.zeros(2, 2, height, width, device="meta")).shape == (2, 3)
        assert on_meta(name, size=(height, width)).input_shape[1:] == (height, width)
    small = rf"^{name}: size = {least - 1}: too small, .* of \d+ does not fit on the .*{least}$"
    with pytest.raises(ValueError, match=small):
        models.get(name, size=least - 1)
    images = rf"^{name}: images of {least + 5}x{least - 1}: too small, "
    with pytest.raises(ValueError, match=images):
        network(torch.zeros(1, 2, least + 5, least - 1, device="meta"))


SMALLEST = {"alexnet": 63, "alexnet_two_towers": 63, "vgg16": 32, "nin": 39, "vgg_small": 8}


@pytest.mark.parametrize("name", SMALLEST)
def test_smallest_size(name):
    """torchvision notes 63 for AlexNet and 32 for the VGGs as their least sizes."""
    assert on_meta(name).smallest == SMALLEST[name]


@pytest.mark.parametrize("name", [*SMALL, "nin_cifar"])
def test_a_layer_too_few_is_named(name):
    network = on_meta(name)
    bare = nn.Sequential(*network.features)
    small = torch.zeros(1, network.input_shape[0], network.smallest - 1, network.smallest - 1)
    with pytest.raises((RuntimeError, ValueError)):  # so that the bound is no tighter than it must
        bare(small.to("meta"))


@pytest.mark.parametrize("name", SMALL)
def test_small_forms_learn(name):
    torch.manual_seed(0)
    network = models.get(name, classes=4, dropout=0.0)
    assert network.preprocessing is None
    labels = torch.arange(16) % 4
    images = 0.3 * drawn(16, 1, 28, 28, seed=1)
    for image, label in zip(images, labels, strict=True):
        image[:, 5 * label + 4 : 5 * label + 8, 4:24] += 1.0
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(STEPS[name]):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1  # guessing costs 1.39
    assert losses[-1] < 0.7


def test_small_forms_are_small():
    """A pass of 28x28 images costs some ten million multiply-accumulates."""
    for name in SMALL:
        record = cenote.inspect(on_meta(name), torch.zeros(1, 1, 28, 28, device="meta"))
        assert record.totals.macs < 14e6, name
        assert record.parameters < 400_000, name


@pytest.mark.parametrize("name", CLASSICS)
def test_dropout_is_what_was_asked_for(name):
    shares = {m.p for m in on_meta(name, dropout=0.3).modules() if isinstance(m, nn.Dropout)}
    assert shares == {0.3}


def test_activation_of_alexnet():
    network = models.alexnet_small(activation="tanh")
    assert not any(isinstance(m, nn.ReLU) for m in network.modules())
    assert sum(isinstance(m, nn.Tanh) for m in network.modules()) == 7
    assert network.features[0].bias.abs().max() == 0


@pytest.mark.parametrize("name", ["vgg16", "nin"])
def test_signals_keep_their_size_however_deep(name):
    """He's weights: of many relu layers, none lets the signal die or explode."""
    torch.manual_seed(0)
    network = on_meta(name)
    x = drawn(1, 3, 64, 64)
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            layer.to_empty(device="cpu")
    models._parts.initialise_deep(network.features)
    with torch.no_grad():
        y = network.features.eval()(x)
    assert 0.05 < y.square().mean().sqrt() < 20


@pytest.mark.parametrize("name", [*SMALL, "nin"])  # the others take gigabytes
def test_weights_follow_torchs_seed(name):
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in models.get(name, classes=2).parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


REFUSED = {
    "variant": (
        lambda: models.alexnet(variant="three"),
        "alexnet: variant = 'three': must be one ",
    ),
    "variant_nin": (lambda: models.nin(variant="mnist"), "must be one of imagenet, cifar"),
    "activation": (
        lambda: models.alexnet(activation="gelu"),
        "alexnet: activation = 'gelu': must be one of relu, sigmoid, tanh",
    ),
    "dropout": (
        lambda: models.vgg_small(dropout=1.0),
        "vgg_small: dropout = 1.0: must be at least 0 and below 1",
    ),
    "dropout_below": (lambda: models.nin(dropout=-0.1), "nin: dropout = -0.1: must be at least"),
    "classes": (lambda: models.vgg16(classes=0), "vgg16: classes = 0: must be at least 1"),
    "channels": (lambda: models.nin_cifar(channels=0), "nin_cifar: channels = 0: must be at"),
    "size": (lambda: models.vgg11_bn(size=0), "vgg11_bn: size = 0: must be at least 1"),
    "layer": (
        lambda: models.get("vgg11", size=31),
        "vgg11: size = 31: too small, layer features.20's window of 2 does not fit on the 1x1 that "
        "reach it; at least 32",
    ),
    "side": (lambda: models.nin_small(size=(40, 3)), r"nin_small: size = \(40, 3\): too small"),
    "images": (
        lambda: models.vgg_small()(torch.zeros(1, 3, 28, 28)),
        r"vgg_small: expected images \(N, 1, H, W\), found \(1, 3, 28, 28\)",
    ),
    "no_batch_axis": (lambda: models.nin_small()(torch.zeros(1, 28, 28)), r"found \(1, 28, 28\)"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(reason):
    make, message = REFUSED[reason]
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", tables.names())
def test_the_docstring_shows_what_the_inspector_sees(name):
    shown = tables.table(name)
    counted = PARAMETERS.get(name) or sum(p.numel() for p in on_meta(name).parameters())
    assert f" {counted:,} " in shown.splitlines()[-2]
    doc = getattr(models, name).__doc__
    assert "\n".join(f"    {line}" for line in shown.splitlines()) in doc, (
        "python -m cenote.models.tables --write"
    )


def test_tables_are_checked_and_written(tmp_path, monkeypatch, capsys):
    source = tmp_path / "form.py"
    source.write_text('def nin_small():\n    """Small.\n\n    table: nin_small\n    """\n')
    monkeypatch.setattr(tables, "names", lambda: ("nin_small",))
    monkeypatch.setattr(tables.python, "getsourcefile", lambda _: str(source))
    monkeypatch.setattr(
        tables.python, "getdoc", lambda _: source.read_text().replace("\n    ", "\n")
    )
    assert tables.main([]) == 1
    assert "nin_small: the docstring shows another table" in capsys.readouterr().out
    for _ in range(2):
        assert tables.main(["--write"]) == 0
    assert "nin_small: written" in capsys.readouterr().out
    assert tables.main([]) == 0
    wrong = source.read_text().replace("62,074", "62,075")
    source.write_text(wrong)
    assert tables.main([]) == 1
    assert tables.main(["--write"]) == 0
    assert "62,074" in source.read_text()
    source.write_text('def nin_small():\n    """Small."""\n')
    with pytest.raises(ValueError, match="nin_small's docstring has no place for a table"):
        tables.main(["--write"])
