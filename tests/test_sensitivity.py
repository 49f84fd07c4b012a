"""Sensitivity to shifts, turns and scales: hand-made numbers, and networks of which it is known."""

import io
import itertools
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cenote
from cenote import Field
from cenote.inspection.shifting.blurring import with_blur
from cenote.inspection.shifting.changes import Comparison, Sensitivity
from cenote.inspection.shifting.curves import digest, figure_of
from cenote.inspection.shifting.edge import draw_edge, edge_experiment, edge_picture
from cenote.inspection.shifting.measure import compare, sensitivity
from cenote.inspection.shifting.moves import Shift, Turn, Zoom
from cenote.inspection.style import LIGHT, THEMES

ROOT = Path(__file__).resolve().parent.parent
EXACT = 1e-6


def images(count=4, channels=1, n=24):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(count, channels, n, n, generator=generator)


def conv(before, after, kernel=3, **more):
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, **more)


# What moves of images are.

ROW = torch.arange(5.0).view(1, 1, 5)


@pytest.mark.parametrize(
    ("border", "right", "left"),
    [
        ("reflect", [2, 1, 0, 1, 2], [2, 3, 4, 3, 2]),
        ("replicate", [0, 0, 0, 1, 2], [2, 3, 4, 4, 4]),
        ("circular", [3, 4, 0, 1, 2], [2, 3, 4, 0, 1]),
        ("zeros", [0, 0, 0, 1, 2], [2, 3, 4, 0, 0]),
    ],
)
def test_shifts_by_hand(border, right, left):
    assert Shift(2, (2,)).apply(ROW, border).flatten().tolist() == right
    assert Shift(2, (-2,)).apply(ROW, border).flatten().tolist() == left


def test_a_window_that_moves_over_a_larger_image():
    assert Shift(0, (0,)).apply(ROW, "crop", 1).flatten().tolist() == [1, 2, 3]
    assert Shift(1, (1,)).apply(ROW, "crop", 1).flatten().tolist() == [0, 1, 2]
    assert Shift(1, (-1,)).apply(ROW, "crop", 1).flatten().tolist() == [2, 3, 4]


def test_reflections_go_on_beyond_one():
    long = Shift(9, (9,)).apply(torch.arange(3.0).view(1, 1, 3), "reflect")
    assert long.flatten().tolist() == [1, 0, 1]


@pytest.mark.parametrize("side", [6, 7])
def test_quarter_turns_and_doublings_are_exact(side):
    x = images(2, 3, side)
    torch.testing.assert_close(Turn(90).apply(x, "zeros"), x.rot90(1, (2, 3)))
    torch.testing.assert_close(Turn(-180).apply(x, "zeros"), x.rot90(2, (2, 3)))
    torch.testing.assert_close(Turn(0).apply(x, "reflect"), x)
    small = Zoom(0.5).apply(x, "zeros")
    if side == 7:  # with a pixel in the middle; in a zoom out every second one is left
        torch.testing.assert_close(small[..., 2:5, 2:5], x[..., 1:6:2, 1:6:2])
        assert (small[..., 0, :] == 0).all()
        torch.testing.assert_close(Zoom(2).apply(x, "zeros")[..., 1::2, 1::2], x[..., 2:5, 2:5])


# What networks do with them.


@pytest.mark.parametrize("border", ["circular", "reflect", "zeros", "crop"])
def test_stride_one_moves_with_the_image(border):
    torch.manual_seed(1)
    model = nn.Sequential(conv(1, 4, padding_mode="circular"), nn.ReLU(inplace=True),
                  nn.MaxPool2d(3, 1, padding=1), conv(4, 3, padding_mode="circular"))  # fmt: skip
    found = sensitivity(model, images(), amounts=[-1, 0, 1, 2, 5], border=border)
    assert found.layers == ("0", "1", "2", "3")
    assert len(found.steps) == 5 * 3
    for step, name in itertools.product(found.steps, found.layers):
        layer = step.layers[name]
        assert (layer.inside, layer.error) == (True, pytest.approx(0, abs=EXACT))
        assert (layer.change > 0.01) == (step.amount != 0)
    assert [found.breaks(amount) for amount in found.amounts] == [None] * 5


def test_circular_networks_move_with_the_image_everywhere():
    """Also the units that the measure leaves out, by rolling the maps."""
    torch.manual_seed(1)
    model = nn.Sequential(conv(1, 2, padding_mode="circular"), nn.ReLU())
    x = images()
    moved = Shift(3, (3, -2)).apply(x, "circular")
    with torch.no_grad():
        torch.testing.assert_close(model(moved), model(x).roll((3, -2), (2, 3)))


def test_each_stride_loses_the_shifts_that_are_no_multiples_of_it():
    torch.manual_seed(1)
    model = nn.Sequential(
        conv(1, 4), nn.ReLU(), nn.MaxPool2d(2), conv(4, 4), nn.AvgPool2d(3, 2, padding=1)
    )
    found = sensitivity(model, images(n=40), amounts=range(1, 9))
    assert [found.breaks(d) for d in range(1, 9)] == ["2", "4", "2", None, "2", "4", "2", None]
    for step in found.steps:
        assert all(layer.inside for layer in step.layers.values())
        pooled, last = step.layers["2"].error, step.layers["4"].error
        assert (pooled < EXACT) == (step.amount % 2 == 0)
        assert (last < EXACT) == (step.amount % 4 == 0)


def test_one_axis_alone_may_lose_it():
    model = nn.MaxPool2d((1, 2))
    found = sensitivity(model, images(), amounts=[1], directions=[(1, 0), (0, 1), (-1, 0)])
    errors = [step.layers[""].error for step in found.steps]
    assert [step.vector for step in found.steps] == [(1, 0), (0, 1), (-1, 0)]
    assert errors[0] == errors[2] == 0
    assert errors[1] > 0.01
    assert found.layer("", 1).error == pytest.approx(sum(errors) / 3)


def edge(place=4):
    return (torch.arange(8) >= place).float().expand(1, 1, 8, 8)


EDGE = {
    # Units 1 to 3 are compared: (0, 1/2, 1) is expected, (0, 1, 1) comes.
    "max": (nn.MaxPool2d(2), (2 / 13) ** 0.5),
    # Unit 2 is, alone inside before and after: 5/8, the mean of 1/4 and 1, beside 3/4.
    "blurred": (cenote.nn.MaxBlurPool2d(2), (2 / 61) ** 0.5),
}


@pytest.mark.parametrize("name", EDGE)
def test_the_error_of_an_edge_by_hand(name):
    model, error = EDGE[name]
    found = sensitivity(model, edge(), amounts=[1, 2], directions=[(0, 1)], border="replicate")
    one, two = (step.layers[""] for step in found.steps)
    assert (one.error, one.inside) == (pytest.approx(error), True)
    assert two.error == 0
    assert found.steps[0].change == pytest.approx({"max": 0, "blurred": one.change}[name])


def test_the_edge_moves_by_half_a_unit_where_it_is_blurred():
    steps = edge_experiment()
    assert [step.image.index(1) for step in steps] == [3, 4, 5, 6]
    assert [step.pooled for step in steps] == [
        (0, 1, 1, 1),
        (0, 0, 1, 1),
        (0, 0, 1, 1),
        (0, 0, 0, 1),
    ]
    assert [step.blurred for step in steps] == [
        (0, 0.75, 1, 1), (0, 0.25, 1, 1), (0, 0, 0.75, 1), (0, 0, 0.25, 1),
    ]  # fmt: skip
    assert [sum(step.blurred) for step in steps] == [2.75, 2.25, 1.75, 1.25]
    with pytest.raises(ValueError, match=r"shifts = \(0, 4\): 4 takes the edge out of 8 pixels"):
        edge_experiment(shifts=(0, 4))


def test_blur_reduces_the_error_of_random_images_too():
    model = nn.Sequential(nn.MaxPool2d(2))
    found = compare({"max": model, "blurred": with_blur(model)}, images(n=32), amounts=[1, 2, 3])
    for amount in (1, 3):
        plain, blurred = (found.networks[n].layer("0", amount) for n in ("max", "blurred"))
        assert plain.inside
        assert blurred.inside
        assert blurred.error < 0.6 * plain.error
    assert [one.layer("0", 2).error for one in found.networks.values()] == [0, 0]


@pytest.mark.parametrize(("moves", "still"), [("shift", 0), ("rotate", 0), ("scale", 1)])
def test_no_move_changes_nothing(moves, still):
    torch.manual_seed(1)
    model = nn.Sequential(
        conv(1, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 144, 5)
    )
    found = sensitivity(model, images(), moves=moves, amounts=[still])
    assert found.layers == ("0", "1", "2", "3", "4")
    for step in found.steps:
        assert step.change == pytest.approx(0, abs=1e-5)
        assert step.consistency == 1
        assert step.confidence == pytest.approx(0, abs=1e-5)
        for layer in step.layers.values():
            assert layer.change == pytest.approx(0, abs=1e-5)
            assert layer.error is None or layer.error == pytest.approx(0, abs=1e-5)
    assert {n for n in found.layers if found.layer(n, still).error is not None} == {"0", "1", "2"}


def test_what_is_pointwise_turns_and_grows_with_the_image():
    model = nn.Conv2d(3, 2, 1, bias=False)
    for moves in ("rotate", "scale"):
        found = sensitivity(model, images(2, 3), moves=moves, border="zeros")
        assert len(found.steps) == 6
        for step in found.steps:
            assert step.layers[""].error == pytest.approx(0, abs=EXACT)
            assert not step.layers[""].inside
            assert step.layers[""].change > 0.1


def test_maps_of_strides_turn_about_the_middle_of_the_image():
    """A quarter turn of an even image: windows go onto windows, though no unit is in the middle."""
    model = nn.Sequential(nn.AvgPool2d(2), nn.AvgPool2d(3, 1))
    found = sensitivity(model, images(), moves="rotate", amounts=[90, 180])
    for step in found.steps:
        assert max(layer.error for layer in step.layers.values()) < EXACT


def test_upsampled_maps_move_twice_as_far():
    model = nn.Sequential(nn.Upsample(scale_factor=2), conv(1, 2), nn.Upsample(scale_factor=0.5))
    found = sensitivity(model, images(), amounts=[1, 2])
    assert [found.breaks(1), found.breaks(2)] == [None, None]
    assert all(layer.error < EXACT for step in found.steps for layer in step.layers.values())


@pytest.mark.parametrize("rank", [1, 3])
def test_other_ranks(rank):
    kind, pool = {1: (nn.Conv1d, nn.MaxPool1d), 3: (nn.Conv3d, nn.MaxPool3d)}[rank]
    torch.manual_seed(0)
    model = nn.Sequential(kind(1, 2, 3, padding=1), pool(2))
    found = sensitivity(model, torch.rand(2, 1, *[14] * rank))
    assert found.amounts == (1, 2, 3)
    assert len(found.steps) == 3 * (1 if rank == 1 else rank + 1)
    assert [found.breaks(amount) for amount in found.amounts] == ["1", None, "1"]


def test_layers_that_see_the_border_are_compared_where_the_content_was_before():
    model = nn.Conv1d(1, 1, 9, padding=4, bias=False)
    nn.init.ones_(model.weight)
    found = sensitivity(model, torch.ones(1, 1, 8), amounts=[1], border="replicate")
    layer = found.steps[0].layers[""]
    maps = np.array([5, 6, 7, 8, 8, 7, 6, 5.0])  # all see the padding; the image does not change
    apart, norm = maps[1:] - maps[:-1], (maps[1:] ** 2 + maps[:-1] ** 2) / 2
    assert layer.error == pytest.approx((apart**2).sum() ** 0.5 / norm.sum() ** 0.5)
    assert (layer.inside, layer.change) == (False, 0)
    assert "*" in found.table()
    assert "the border" in found.table()


# Answers.


class Scores(nn.Module):
    """The first row of the image is the scores."""

    def forward(self, x):
        return x[:, 0, 0]


def test_answers_by_hand():
    """One image whose greatest score moves, one where it stays."""
    x = torch.tensor([[3.0, 0, 0, 0], [2, 2, 2, 1]]).view(2, 1, 1, 4)
    found = sensitivity(
        Scores(), x, amounts=[1], directions=[(0, 1)], border="replicate",
        labels=torch.tensor([0, 0]),
    )  # fmt: skip
    (step,) = found.steps  # (3, 3, 0, 0) and (2, 2, 2, 2)
    assert (found.accuracy, step.accuracy, step.consistency) == (1, 1, 1)
    before = [row.softmax(0)[0].item() for row in x.flatten(1)]
    after = [torch.tensor([3.0, 3, 0, 0]).softmax(0)[0].item(), 0.25]
    assert step.confidence == pytest.approx(np.abs(np.subtract(after, before)).mean())
    assert step.change == pytest.approx((10 / ((9 + 13 + 18 + 16) / 2)) ** 0.5)
    left = sensitivity(
        Scores(),
        x,
        amounts=[1],
        directions=[(0, -1)],
        border="zeros",
        labels=torch.tensor([0, 3]),
    ).steps[0]  # (0, 0, 0, 0) and (2, 2, 1, 0): of equal scores the first is the greatest
    assert (left.consistency, left.accuracy) == (1, 0.5)
    circular = sensitivity(Scores(), x, amounts=[1, 2, 3], directions=[(0, 1)], border="circular")
    assert circular.curve() == [(1, 0), (2, 0.5), (3, 0.5)]  # 1222, 2122, 2212
    assert circular.curve("accuracy") == []


def test_probabilities_are_taken_as_they_are():
    x = torch.tensor([[0.7, 0.2, 0.1]]).view(1, 1, 1, 3)
    step = sensitivity(Scores(), x, amounts=[1], directions=[(0, 1)], border="circular").steps[0]
    assert step.confidence == pytest.approx(0.6)


def test_networks_without_classes_have_no_answers():
    found = sensitivity(nn.MaxPool2d(2), images(), amounts=[1], labels=torch.zeros(4))
    assert (found.accuracy, found.steps[0].consistency, found.steps[0].confidence) == (None,) * 3
    assert "consistency" not in found.table()
    assert [found.curve(q) for q in ("consistency", "accuracy")] == [[], []]


def test_batches_do_not_matter():
    model, x = nn.Sequential(conv(1, 2), nn.MaxPool2d(2)).double(), images(7).double()
    one, other = (sensitivity(model, x, amounts=[1, 2], batch_size=b) for b in (3, 64))
    for a, b in zip(one.steps, other.steps, strict=True):
        assert a.change == pytest.approx(b.change)
        assert a.layers["1"].error == pytest.approx(b.layers["1"].error, abs=1e-9)


def test_the_network_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    first = sensitivity(model, images(), amounts=[1])
    assert sensitivity(model, images(), amounts=[1]) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_layers_and_fields_that_are_given():
    model = nn.Sequential(conv(1, 2), nn.MaxPool2d(2))
    found = sensitivity(
        model, images(), amounts=[1], layers=["1"], fields={"1": [Field(4, 2, -1)] * 2}
    )
    assert found.layers == ("1",)
    assert found.steps[0].layers["1"].error > 0.01
    unknown = sensitivity(model, images(), amounts=[1], layers=["1"], fields={})
    assert unknown.steps[0].layers["1"].error is None
    assert unknown.steps[0].layers["1"].change == found.steps[0].layers["1"].change
    assert "\n  1 " not in unknown.table()
    assert "\n  1 " in unknown.table(change=True)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": "x"}, TypeError, r"sensitivity: images: must be a torch.Tensor, not str"),
        ({"moves": "turn"}, ValueError, r"moves = 'turn': must be one of shift, rotate, scale"),
        ({"border": "wrap"}, ValueError, r"border = 'wrap': must be one of reflect, replicate"),
        ({"moves": "scale", "border": "crop"}, ValueError, r"border = 'crop': only for shifts"),
        ({"border": "crop", "amounts": [12]}, ValueError, r"border = 'crop': .* margin of 12"),
        ({"amounts": []}, ValueError, r"amounts = \[\]: must hold at least one"),
        ({"amounts": [1.5]}, ValueError, r"amounts = \[1.5\]: shifts are whole pixels"),
        ({"amounts": [24]}, ValueError, r"by 24 along axis 0 leaves nothing of images of 24"),
        ({"amounts": ["a"]}, TypeError, r"amounts = 'a': must be a number, not str"),
        ({"amounts": [float("nan")]}, ValueError, r"amounts = nan: must lie between"),
        ({"amounts": [0], "moves": "scale"}, ValueError, r"amounts = \[0\]: factors must be above"),
        ({"directions": [(1,)]}, ValueError, r"\(1,\) has 1 axes, but the images have 2"),
        ({"directions": [(0, 1)], "moves": "rotate"}, ValueError, r"only shifts have directions"),
        ({"moves": "rotate", "images": torch.rand(1, 1, 9)}, ValueError, r"have 2 axes, not 1"),
        ({"layers": ["pol"]}, ValueError, r"layers: 'pol': .* did you mean pool\?"),
        ({"labels": torch.zeros(3)}, ValueError, r"labels: shape \(3,\): must be \(4,\)"),
        ({"batch_size": 0}, ValueError, r"batch_size = 0: must be at least 1"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(change, error, message):
    model = nn.Sequential()
    model.add_module("pool", nn.MaxPool2d(2))
    with pytest.raises(error, match=message):
        sensitivity(model, **{"images": images(), **change})


def test_a_network_must_give_a_tensor():
    class Bare(nn.Module):
        def forward(self, x):
            return {"out": x}

    with pytest.raises(TypeError, match="must return a tensor, or a tuple of them, not dict"):
        sensitivity(Bare(), images(), amounts=[1])
    with pytest.raises(ValueError, match="compare: models"):
        compare({}, images())


# What is made of it.


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(1)
    model = nn.Sequential(
        conv(1, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 144, 5)
    )
    labels = torch.tensor([0, 1, 2, 3])
    return compare({"max": model, "blurred": with_blur(model)}, images(), labels=labels)


def test_plain_data_comes_back(found):
    stored = json.loads(json.dumps(found.to_dict()))
    assert Comparison.from_dict(stored) == found
    one = found.networks["max"]
    assert Sensitivity.from_dict(stored["max"]) == one
    assert one.amounts == (1, 2, 3, 4, 5, 6)
    with pytest.raises(ValueError, match=r"amount = 9: must be one of 1, 2, 3, 4, 5, 6"):
        one.at(9)
    with pytest.raises(ValueError, match=r"quantity = 'x': must be one of change, consistency"):
        one.curve("x")
    assert one.layer("nothing", 1) is None


def test_tables_show_what_was_measured(found):
    table = found.table()
    one = found.networks["max"]
    lines = {line.split()[0]: line.split() for line in one.table().splitlines() if line.strip()}
    assert lines["2"][1:] == [f"{one.layer('2', a).error:.4f}" for a in one.amounts]
    assert lines["consistency"][1::2] == [f"{100 * v:.2f}" for _, v in one.curve()]
    assert str(one) == one.table()
    assert [word in table for word in ("max: error by layer", "blurred: error")] == [True, True]
    changes = one.table(change=True).splitlines()
    assert any(line.split()[:1] == ["4"] for line in changes)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_pictures(found, theme, tmp_path):
    found.draw(tmp_path / "curves.png", theme=theme)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    for name in ("one.svg", "two.svg"):
        found.draw(tmp_path / name, theme=theme)
    text = (tmp_path / "one.svg").read_text("utf-8")
    assert text == (tmp_path / "two.svg").read_text("utf-8")
    assert "blurred: error by layer" in text
    assert theme.paper in text
    single = io.BytesIO()
    found.networks["max"].draw(single, theme=theme)
    assert single.getvalue().startswith(b"\x89PNG")


def test_curves_begin_where_nothing_moved(found):
    figure = figure_of(found.networks, LIGHT)
    curves = figure.axes[0].get_lines()
    assert [line.get_label() for line in curves] == ["max", "blurred"]
    for line, one in zip(curves, found.networks.values(), strict=True):
        x, y = line.get_data()
        assert list(zip(x, y, strict=True)) == [(0, 100), *((a, 100 * v) for a, v in one.curve())]
    errors = figure.axes[1].get_images()[0].get_array()
    one = found.networks["max"]
    assert errors[2].tolist() == [one.layer("2", a).error for a in one.amounts]


# The same network with a blur.


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("kind", [nn.MaxPool2d, cenote.nn.MaxPool2d], ids=["torch", "cenote"])
def test_every_window_keeps_its_shapes(kind, ceil):
    tried = 0
    for kernel, stride, padding, n in itertools.product(
        (2, 3, 5), (2, 3, 4), (0, 1, 2), range(5, 14)
    ):
        if 2 * padding > kernel or n + 2 * padding - kernel < 1:
            continue
        pool = kind(kernel, stride, padding=padding, ceil_mode=ceil)
        x = torch.rand(1, 2, n, n + 3)
        assert with_blur(pool)(x).shape == pool(x).shape, (kernel, stride, padding, n)
        tried += 1
    assert tried > 100


def test_what_takes_the_place_of_a_pooling():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.MaxPool2d(3, 2, padding=1), nn.MaxPool2d(3, 1), nn.Dropout(),
        nn.Sequential(cenote.nn.MaxPool2d((1, 2), padding="same")),
    )  # fmt: skip
    model[1].eval()
    blurred = with_blur(model, filter_size=5, padding_mode="replicate")
    assert [type(m).__name__ for m in blurred] == [
        "Conv2d", "MaxBlurPool2d", "MaxPool2d", "Dropout", "Sequential",
    ]  # fmt: skip
    assert type(blurred[4][0]) is cenote.nn.MaxBlurPool2d
    assert (blurred[1].filter_size, blurred[1].padding_mode) == (5, "replicate")
    assert [m.training for m in blurred] == [True, False, True, True, True]
    assert type(model[1]) is nn.MaxPool2d
    assert blurred(images()).shape == model(images()).shape
    blurred.load_state_dict(model.state_dict())
    assert blurred[0].weight.data_ptr() != model[0].weight.data_ptr()
    plain = F.max_pool2d(images(), 3, 1, 1)
    expected = cenote.blur_pool2d(plain, 5, 2, padding_mode="replicate")
    torch.testing.assert_close(blurred[1](images()), expected)


def test_shared_poolings_stay_shared():
    pool = nn.MaxPool1d(2)
    model = nn.Sequential(pool, nn.ReLU(), pool)
    model.add_module("inner", nn.Sequential(pool))
    blurred = with_blur(model)
    assert blurred[0] is blurred[2] is blurred.inner[0]
    assert isinstance(blurred[0], cenote.nn.MaxBlurPool1d)
    assert type(with_blur(nn.MaxPool3d(2))) is cenote.nn.MaxBlurPool3d


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (nn.MaxPool2d(2, dilation=(1, 2)), r"with_blur: 0: dilation = \(1, 2\): a blurred pooling"),
        (nn.MaxPool2d(2, return_indices=True), r"with_blur: 0: return_indices = True"),
        (cenote.nn.MaxPool2d(2, padding=1, padding_mode="reflect"), r"padding_mode = 'reflect'"),
        (nn.MaxPool2d(3, 1), r"model: Sequential has no max pooling module with a stride above 1"),
        (nn.AvgPool2d(2), r"model: Sequential has no max pooling module"),
    ],
)
def test_poolings_that_cannot_be_blurred(pool, message):
    with pytest.raises(ValueError, match=message):
        with_blur(nn.Sequential(pool))


# The page.


def test_the_picture_of_the_edge_is_up_to_date():
    text = (ROOT / "docs/images/shift/edge.svg").read_text("utf-8")
    digest = f"<dc:identifier>{edge_picture().digest}</dc:identifier>"
    assert digest in text, "run python -m cenote.inspection.shifting.edge docs/images/shift"
    assert "(images/shift/edge.svg)" in (ROOT / "docs/shift.md").read_text("utf-8")


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_nothing_leaves_the_card(theme):
    canvas = edge_picture(theme)
    for line in (line for mark in canvas.marks if hasattr(mark, "points") for line in mark.points):
        assert all(0 <= x <= canvas.width and 0 <= y <= canvas.height for x, y in line)
    shown = [mark.text for mark in canvas.marks if hasattr(mark, "text")]
    assert [shown.count(n) for n in ("0.25", "0.75")] == [2, 2]


def test_the_command_draws_it(tmp_path):
    command = [sys.executable, "-m", "cenote.inspection.shifting.edge"]
    subprocess.run([*command, str(tmp_path / "new")], check=True, timeout=120)
    drawn = io.BytesIO()
    draw_edge(drawn)
    assert (tmp_path / "new/edge.svg").read_bytes() == drawn.getvalue()
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (refused.returncode, "usage" in refused.stderr) == (1, True)


RECORD = json.loads((ROOT / "docs/images/shift/lenet5.json").read_text("utf-8"))
PAGE = (ROOT / "docs/shift.md").read_text("utf-8")


def written(values):
    mean, low, high = (100 * f(values) for f in (statistics.mean, min, max))
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


@pytest.mark.parametrize("name", ["max pooling", "blurred max pooling"])
def test_the_page_says_what_was_measured(name):
    measured = RECORD["networks"][name]
    cells = [written(at["each"]) for at in measured["shifted consistency"]]
    row = " | ".join([name, *cells, written(measured["accuracy"])])
    assert f"\n| {row} |\n" in PAGE
    assert [at["amount"] for at in measured["shifted consistency"]] == [1, 2, 3, 4]
    assert f"{RECORD['images']:,} test images" in PAGE
    first = Comparison.from_dict(RECORD["first"]).networks[name]
    assert [value for _, value in first.curve()] == [
        at["each"][0] for at in measured["shifted consistency"]
    ]
    assert PAGE.count(f"{first.layer('features.pool1', 1).error:.3f}") == 2
    assert [first.breaks(d) for d in (1, 2, 3)] == ["features.pool1", *{
        "max pooling": ("features.pool2", "features.pool1"),
        "blurred max pooling": (None, "features.pool1"),
    }[name]]  # fmt: skip


def test_the_picture_of_the_curves_is_up_to_date():
    text = (ROOT / "docs/images/shift/lenet5.svg").read_text("utf-8")
    networks = Comparison.from_dict(RECORD["first"]).networks
    assert f"<dc:identifier>{digest(networks)}</dc:identifier>" in text, "draw it again"
