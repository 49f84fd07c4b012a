"""Effective receptive fields: closed forms, the definition done one unit at a time, and theory."""

import json
from math import comb

import numpy as np
import pytest
import torch
from torch import nn

import cenote
from cenote import Field
from cenote.inspection.effective import EffectiveField, effective_fields


def ones(layer):
    """A layer that adds up everything in its window."""
    nn.init.ones_(layer.weight)
    return layer


def repeated(kernel, times):
    """A kernel (one row) convolved with itself, in exact integers."""
    found = np.array([1])
    for _ in range(times):
        found = np.convolve(found, kernel)
    return found


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_sums_on_sums_have_the_shape_of_repeated_convolution(depth):
    stack = nn.Sequential(*[ones(nn.Conv2d(1, 1, 3, padding=1, bias=False)) for _ in range(depth)])
    found = effective_fields(stack, torch.rand(1, 1, 15, 15))[str(depth - 1)]
    row = repeated([1, 1, 1], depth)
    assert (found.patch() == np.outer(row, row)).all()
    assert found.heat.sum() == 9**depth
    assert (found.unit, found.centre) == ((7, 7), (7.5, 7.5))
    assert found.theoretical == (2 * depth + 1,) * 2
    assert found.energy(1.0) == 2 * depth + 1
    assert found.spread == pytest.approx([(depth * 2 / 3) ** 0.5] * 2)  # variances add up


def test_pairs_on_pairs_are_binomial():
    stack = nn.Sequential(*[ones(nn.Conv1d(1, 1, 2, bias=False)) for _ in range(5)])
    found = effective_fields(stack, torch.rand(2, 1, 20))["4"]
    assert found.patch().tolist() == [comb(5, k) for k in range(6)]
    unit = 15 // 2
    assert (found.unit, found.box, found.centre) == ((unit,), ((unit, unit + 6),), (unit + 3.0,))


def test_three_axes_and_their_own_kernels():
    layer = ones(nn.Conv3d(2, 4, (1, 3, 5), padding=(0, 1, 2), bias=False))
    found = effective_fields(layer, torch.rand(1, 2, 5, 7, 9))[""]
    assert found.theoretical == (1, 3, 5)
    inside = found.heat[2:3, 2:5, 2:7]
    assert (inside == 2).all()  # one for each channel of the image
    assert found.heat.sum() == inside.sum() == 30


def definition(model, layer, images, channels):
    """The mean of |dy/dx| of the centre unit, one image and one channel at a time."""
    taken = {}
    model.eval().get_submodule(layer).register_forward_hook(
        lambda m, a, out: taken.update(y=out.clone())
    )
    heats = []
    for image in images:
        for channel in channels:
            x = image[None].clone().requires_grad_()
            model(x)
            y = taken["y"][0, channel]
            y[tuple(n // 2 for n in y.shape)].backward()
            heats.append(x.grad.abs().sum((0, 1)).double())
    return torch.stack(heats).mean(0).numpy()


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5), nn.ReLU(inplace=True),
        nn.MaxPool2d(2), nn.Conv2d(5, 7, 3, padding=2, dilation=2), nn.Tanh(),
        nn.Flatten(), nn.Linear(7 * 25, 4),
    )  # fmt: skip


@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "4", "5"])
def test_one_image_gives_the_mean_over_all_channels(layer):
    model, image = network(), torch.rand(1, 3, 21, 21)
    found = effective_fields(model, image, [layer], channels=16, batch_size=5)
    count = 5 if int(layer) < 4 else 7
    expected = definition(model, layer, image, range(count))
    assert list(found) == [layer]
    np.testing.assert_allclose(found[layer].heat, expected, rtol=1e-5, atol=1e-9)


def test_a_layer_in_place_does_not_change_what_was_seen_before_it():
    layer = ones(nn.Conv2d(1, 1, 3, bias=False))
    model = nn.Sequential(layer, nn.ReLU(inplace=True))
    found = effective_fields(model, -torch.ones(1, 1, 5, 5))
    assert found["0"].heat.sum() == 9
    assert found["1"].heat.sum() == 0
    assert (found["1"].energy(0.5), found["1"].spread) == (0, (0, 0))


def test_each_image_stands_for_some_channels():
    """Pair i is image i and channel i, in turns, and every channel counts alike."""
    layer = nn.Conv1d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([1.0, 10.0]).view(2, 1, 1)
    model = nn.Sequential(layer, nn.Tanh())
    images = torch.tensor([0.0, 0.1, 0.2]).view(3, 1, 1)
    order = torch.randperm(2, generator=torch.Generator().manual_seed(4)).tolist()
    slope = [w * (1 - np.tanh(w * images.flatten().double().numpy()) ** 2) for w in (1, 10)]
    first, second = slope[order[0]], slope[order[1]]
    found = effective_fields(model, images, ["1"], seed=4, channels=2)["1"]
    assert found.pairs == 3
    expected = ((first[0] + first[2]) / 2 + second[1]) / 2
    np.testing.assert_allclose(found.heat, [expected], rtol=1e-6)
    one = effective_fields(model, images, ["1"], seed=4, channels=1)["1"]
    np.testing.assert_allclose(one.heat, [first.mean()], rtol=1e-6)


def test_nothing_is_listened_to_outside_of_what_can_be_seen():
    torch.manual_seed(0)
    model = cenote.models.lenet5(activation="tanh")
    found = effective_fields(model, torch.rand(4, 1, 28, 28))
    assert list(found) == [
        f"features.{n}" for n in ("conv1", "act1", "pool1", "conv2", "act2", "pool2")
    ]
    last = found["features.pool2"]
    assert (last.unit, last.box, last.centre) == ((2, 2), ((6, 22), (6, 22)), (14.0, 14.0))
    for field in found.values():
        (top, bottom), (left, right) = field.box
        inside = field.heat[top:bottom, left:right]
        assert inside.sum() == pytest.approx(field.heat.sum(), rel=1e-12)
        assert field.heat.sum() > 0
        assert field.energy(0.5) <= field.energy(0.9) <= field.energy(1.0) <= field.theoretical[0]


def test_random_weights_listen_to_a_width_of_the_square_root_of_the_depth():
    torch.manual_seed(0)
    spreads, shares = {}, {}
    for depth in (4, 16):
        convs = [nn.Conv2d(1 if n == 0 else 16, 16, 3, padding=1, bias=False) for n in range(depth)]
        last = str(depth - 1)
        found = effective_fields(nn.Sequential(*convs), torch.rand(1, 1, 35, 35), [last])[last]
        spreads[depth], shares[depth] = (
            np.mean(found.spread),
            found.energy(0.9) / found.theoretical[0],
        )
        # The derivative's variance is n convolutions of a box: its root is wider by sqrt(2).
        assert spreads[depth] == pytest.approx((depth * 4 / 3) ** 0.5, rel=0.2)
    assert spreads[16] / spreads[4] == pytest.approx(2, rel=0.15)  # the fields: 33 / 9 = 3.7
    assert shares[16] < 0.75 * shares[4]


def field_of(heat, centre, box=None):
    return EffectiveField("layer", np.array(heat, dtype=float), (0,), centre, box, 1)


@pytest.mark.parametrize(
    ("heat", "centre", "share", "side"),
    [
        ([1, 2, 4, 2, 1], (2.5,), 0.4, 1),
        ([1, 2, 4, 2, 1], (2.5,), 0.41, 3),
        ([1, 2, 4, 2, 1], (2.5,), 0.8, 3),
        ([1, 2, 4, 2, 1], (2.5,), 1, 5),
        ([1, 3, 3, 1], (2.0,), 0.75, 2),
        ([1, 3, 3, 1], (2.0,), 0.76, 4),
        ([8, 1, 1, 0, 0], (0.5,), 0.8, 1),
        ([8, 1, 1, 0, 0], (0.5,), 1, 5),  # what is outside of the image is nothing
        ([[0, 1, 0], [1, 4, 1], [0, 1, 0]], (1.5, 1.5), 0.5, 1),
        ([[0, 1, 0], [1, 4, 1], [0, 1, 0]], (1.5, 1.5), 0.51, 3),
        ([[1, 1], [1, 1], [1, 1]], (1.5, 1.0), 1 / 3, 2),
        ([0, 0, 0], (1.5,), 0.9, 0),
    ],
)  # fmt: skip
def test_sides_by_hand(heat, centre, share, side):
    assert field_of(heat, centre).energy(share) == side


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match=r"energy: share = .*: must be above 0 and at most 1"):
        field_of([1], (0.5,)).energy(share)


def test_patches_are_about_the_centre_and_end_with_the_image():
    field = field_of([0, 1, 2, 5, 2, 1, 0], (3.5,))
    assert field.patch().tolist() == [1, 2, 5, 2, 1]
    assert field.patch(3).tolist() == [2, 5, 2]
    assert field.patch(99).tolist() == field.heat.tolist()
    assert field_of([8, 1, 1, 0], (0.5,)).patch(3).tolist() == [8, 1]


def test_without_known_fields_the_centre_is_that_of_the_heat():
    layer = ones(nn.Conv1d(1, 1, 4, bias=False))
    found = effective_fields(layer, torch.rand(1, 1, 9), fields={})[""]
    assert (found.box, found.theoretical) == (None, None)
    assert found.centre == (5.0,)  # unit 3 of 6 adds up 3 to 6
    given = effective_fields(layer, torch.rand(1, 1, 9), fields={"": [Field(4)]})[""]
    assert (given.box, given.centre) == (((3, 7),), (5.0,))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = ones(nn.Conv1d(1, 1, 3, padding=1, bias=False))
        self.pool = nn.MaxPool1d(1, return_indices=True)
        self.unused = nn.Conv1d(1, 1, 3)
        self.constant = nn.Conv1d(1, 1, 1)

    def forward(self, x):
        x, _ = self.pool(self.conv(self.conv(x)))
        return x + self.constant(torch.ones_like(x)).mean()


def test_the_last_call_counts_and_of_several_outputs_the_first():
    found = effective_fields(Twice(), torch.rand(1, 1, 9))
    assert list(found) == ["conv", "pool"]  # what does not depend on the image is left out
    assert found["conv"].patch().tolist() == found["pool"].patch().tolist() == [1, 2, 3, 2, 1]


class Counting(nn.Module):
    """Buffers that change in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("replaced", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        self.replaced = self.replaced + 1
        return x * torch.rand(1)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_network_is_left_as_it_was(mode):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), Counting())
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    buffers = dict(model.named_buffers())
    images = torch.rand(2, 1, 6, 6)
    state = torch.get_rng_state()
    with mode():
        found = effective_fields(model, images)
    assert [*found] == ["0", "1", "2", "3"]
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model.modules()] == [True, True, False, True, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(buffers[name] is value for name, value in model.named_buffers())
    assert (model[0].weight.grad == 1).all()
    assert model[0].bias.grad is None
    assert not images.requires_grad
    assert not any(m._forward_hooks for m in model.modules())


def test_plain_data():
    found = effective_fields(nn.MaxPool1d(2), torch.rand(1, 1, 6))[""]
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["box"] == [[2, 4]]
    assert plain["sizes"].keys() == {"0.5", "0.9", "0.99"}
    assert plain["heat"] == found.heat.tolist()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": [1]}, TypeError, r"images: must be a torch.Tensor, not list"),
        ({"images": torch.ones(1, 1, 8, 8, dtype=torch.uint8)}, TypeError, r"not torch.uint8"),
        ({"images": torch.ones(8, 8)}, ValueError, r"images: shape \(8, 8\): must be \(N, C, \*n"),
        ({"images": torch.ones(0, 1, 8, 8)}, ValueError, r"images: shape \(0, 1, 8, 8\)"),
        ({"layers": ["convv1"]}, ValueError, r"layers: 'convv1': .* did you mean conv1\?"),
        ({"channels": 0}, ValueError, r"channels = 0: must be an integer, at least 1"),
        ({"channels": 1.5}, ValueError, r"channels = 1.5"),
        ({"batch_size": 0}, ValueError, r"batch_size = 0"),
        ({"fields": {"conv1": [Field()]}}, ValueError, r"'conv1': 1 axes, but the images have 2"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(change, error, message):
    model = nn.Sequential()
    model.add_module("conv1", nn.Conv2d(1, 1, 3))
    given = {"images": torch.ones(1, 1, 8, 8), **change}
    with pytest.raises(error, match=message):
        effective_fields(model, **given)
