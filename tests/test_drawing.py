"""Pictures of a record: what is in the files, pixel by pixel and mark by mark."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

import cenote
from cenote.inspection.drawing import (
    draw_costs,
    draw_effective,
    draw_field,
    draw_kernels,
    draw_maps,
    grid,
)
from cenote.inspection.drawing.grid import grid_of
from cenote.inspection.drawing.heat import region
from cenote.inspection.drawing.paper import safe_name
from cenote.inspection.drawing.scale import Scale
from cenote.inspection.drawing.view import edges
from cenote.inspection.effective import EffectiveField
from cenote.inspection.style import DARK, LIGHT, THEMES

LENET_FILES = [
    "00-features.conv1-conv.png",
    "01-features.act1-relu.png",
    "02-features.pool1-max_pool.png",
    "03-features.conv2-conv.png",
    "04-features.act2-relu.png",
    "05-features.pool2-max_pool.png",
]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def lenet():
    torch.manual_seed(3)
    return cenote.inspect(cenote.models.lenet5(), torch.rand(2, 1, 28, 28), maps=True)


def watched(*layers, sizes, channels=1, seed=0):
    torch.manual_seed(seed)
    return cenote.inspect(nn.Sequential(*layers), torch.rand(1, channels, *sizes), maps=True)


def with_output(record, index, values):
    """The record with other values in one of its maps."""
    operators = list(record.operators)
    operators[index] = dataclasses.replace(operators[index], output=values)
    return dataclasses.replace(record, operators=tuple(operators))


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def alike(picture, expected):
    """Whether colours agree to a level of the scale: there are 241, of at most two in 255 each."""
    return abs(picture.astype(int) - expected).max() <= 2


def place_of(tile, picture, reach=150):
    """Where a tile is in the picture, pixel for pixel."""
    high, wide = tile.shape[:2]
    for y in range(min(reach, len(picture) - high + 1)):
        for x in range(min(reach, picture.shape[1] - wide + 1)):
            part = picture[y : y + high, x : x + wide]
            # The corners first, which is quicker.
            if alike(part[[0, -1], [0, -1]], tile[[0, -1], [0, -1]]) and alike(part, tile):
                return y, x
    return None


def texts(path):
    return [e.text for e in ElementTree.parse(path).iter(f"{SVG}text")]


def corners(path, name):
    """Left, top, right and bottom of the mark of that name in an SVG file."""
    found = ElementTree.parse(path).find(f".//{SVG}g[@id='{name}']/{SVG}path")
    if found is None:
        return None
    numbers = np.array(re.findall(r"-?[\d.]+", found.get("d")), float).reshape(-1, 2)
    return (*numbers.min(0), *numbers.max(0))


def in_input(path, name, sizes):
    """The intervals (start, stop) that a mark spans, in positions of the input, outermost first."""
    left, top, right, bottom = corners(path, "input")
    mark = corners(path, name)
    if mark is None:
        return None
    rows, columns = (1, *sizes)[-2:]
    x = [(at - left) / (right - left) * columns for at in mark[::2]]
    y = [(at - top) / (bottom - top) * rows for at in mark[1::2]]
    spans = [y, x] if len(sizes) > 1 else [x]
    return [tuple(round(at, 2) for at in span) for span in spans]


# Feature maps


def test_every_operator_with_a_spatial_output_has_a_sheet(lenet, tmp_path):
    files = draw_maps(lenet, tmp_path / "maps")
    assert [file.name for file in files] == LENET_FILES
    assert sorted(tmp_path.rglob("*.png")) == files


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_a_sheet_shows_every_unit_in_its_colour(lenet, tmp_path, theme):
    (file,) = draw_maps(lenet, tmp_path / "x.png", layers=3, theme=theme, image=1, columns=8)
    values = lenet.operators[3].output[1]
    cells = grid_of(16, 10, 10, 8)
    assert cells.scale > 1
    shown = np.kron(values / values.abs().max(), np.ones((cells.scale,) * 2))
    picture = pixels(file)
    top, left = place_of(theme.colours(shown[0]), picture)
    for channel in range(16):
        y = top + channel // 8 * cells.step[0]
        x = left + channel % 8 * cells.step[1]
        part = picture[y : y + 10 * cells.scale, x : x + 10 * cells.scale]
        assert alike(part, theme.colours(shown[channel])), channel
    gap = picture[top : top + cells.scale, left + 10 * cells.scale : left + cells.step[1]]
    assert (gap == np.array(list(bytes.fromhex(theme.paper[1:])))).all()
    assert (picture[0, 0] == gap[0, 0]).all()


def test_the_scale_is_stated_with_its_ends(lenet, tmp_path):
    for layer, low in ((0, True), (1, False)):
        values = lenet.operators[layer].output[0]
        (file,) = draw_maps(lenet, tmp_path / f"{layer}.svg", layers=layer)
        high = f"{float(values.abs().max()):.3g}"
        written = texts(file)
        assert written.count(high) == 1
        assert (f"\N{MINUS SIGN}{high}" in written) == low
        assert "image 0 of 2" in written


def test_a_shared_scale_is_that_of_the_largest_value(lenet, tmp_path):
    layers = ["features.conv1", "features.conv2"]
    both = [lenet.operators[index].output[0].abs().max() for index in (0, 3)]
    assert abs(both[0] - both[1]) > 0.1
    for file in draw_maps(lenet, tmp_path, layers=layers, scale="shared", format="svg"):
        assert f"{float(max(both)):.3g}" in texts(file)


def test_what_is_not_finite_has_a_colour_of_its_own_and_leaves_the_scale(lenet, tmp_path):
    values = torch.linspace(-1, 2, 32).reshape(1, 2, 4, 4)
    values[0, 0, 0, 0], values[0, 0, 1, 1], values[0, 1, 3, 3] = math.nan, math.nan, -math.inf
    record = with_output(lenet, 0, values)
    (file,) = draw_maps(record, tmp_path / "x.svg", layers=0)
    assert {"2 NaN, 1 infinite", "1.9", "\N{MINUS SIGN}1.9"} <= set(texts(file))
    (file,) = draw_maps(record, tmp_path / "x.png", layers=0)
    size = grid_of(2, 4, 4).scale ** 2
    third = np.array(list(bytes.fromhex(LIGHT.third[1:])))
    purple = (pixels(file) == third).all(-1)
    body = purple[:-40]  # without the mark beside the scale
    assert body.sum() == 3 * size
    assert purple.sum() > body.sum()


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -1e-40, 3e38])
def test_a_map_of_one_value_can_be_drawn(lenet, tmp_path, value):
    record = with_output(lenet, 0, torch.full((1, 3, 5, 5), value))
    (file,) = draw_maps(record, tmp_path / "x.png", layers=0)
    assert pixels(file).shape[1] > 0


def test_scales_hold_all_finite_values():
    assert Scale.of([torch.tensor([0.5, 2.0]), torch.tensor([1.0])]) == Scale(0.0, 2.0)
    assert Scale.of([torch.tensor([0.5, -2.0]), torch.tensor([1.0])]) == Scale(-2.0, 2.0)
    assert Scale.of([torch.tensor([math.nan]), torch.tensor([])]) == Scale(0.0, 1.0)
    levels = Scale(-2.0, 2.0).levels(torch.tensor([-2.0, -1.0, 0.0, 2.0, 9.0, math.nan, math.inf]))
    assert levels.tolist() == [0, 60, 120, 240, 240, 241, 241]
    assert Scale(0.0, 2.0).levels(torch.tensor([0.0, 1.0, 2.0])).tolist() == [0, 120, 240]


@pytest.mark.parametrize(
    ("count", "height", "width", "expected"),
    [
        pytest.param(64, 224, 224, (8, 1), id="the_first_layers_of_vgg"),
        pytest.param(512, 14, 14, (32, 4), id="its_last_layers"),
        pytest.param(6, 28, 28, (3, 8), id="lenet"),
        pytest.param(13, 28, 28, (4, 8), id="a_prime_number_of_maps"),
        pytest.param(4, 3, 3, (2, 32), id="tiny_maps"),
        pytest.param(1, 700, 5000, (1, 1), id="a_map_wider_than_any_sheet"),
        pytest.param(64, 1200, 1500, (2, 1), id="more_than_one_sheet_can_hold"),
    ],
)
def test_a_grid_has_a_pixel_a_unit_and_no_more_than_a_screen_can_take(
    count, height, width, expected
):
    cells = grid_of(count, height, width)
    assert (cells.columns, cells.scale) == expected
    high, wide = cells.size
    assert wide <= max(4000, width)
    assert high * wide <= max(24_000_000, 2 * height * width)
    assert cells.count == (count if count * height * width < 24e6 else 12)


def test_a_sheet_says_which_maps_it_has_no_room_for(tmp_path, lenet, monkeypatch):
    monkeypatch.setattr(grid, "_AREA", 200_000)
    record = with_output(lenet, 0, torch.rand(1, 30, 100, 130))
    shown = grid.grid_of(30, 100, 130)
    assert 1 < shown.count < 30
    (file,) = draw_maps(record, tmp_path / "x.svg", layers=0)
    assert f"only the first {shown.count} of 30 maps: more would be too large" in texts(file)
    (file,) = draw_maps(record, tmp_path / "x.png", layers=0)
    assert shown.size[0] < pixels(file).shape[0] < shown.size[0] + 140


def test_a_picture_for_each_channel(lenet, tmp_path):
    files = draw_maps(lenet, tmp_path, per="channel", layers=["features.act1"], image=1)
    folder = tmp_path / "01-features.act1-relu"
    assert [file.name for file in sorted(folder.iterdir())] == [f"{c:03}.png" for c in range(6)]
    assert files[-1] == tmp_path / "01-features.act1-relu-scale.png"
    values = lenet.operators[1].output[1]
    limit = values.max()
    for channel in range(6):
        picture = pixels(files[channel])
        assert picture.shape == (112, 112, 3)  # 28 units, 4 pixels each
        expected = LIGHT.colours(np.kron(values[channel] / limit, np.ones((4, 4))))
        assert alike(picture, expected)
    with Image.open(files[5]) as image:
        assert image.info["Title"] == "features.act1, channel 5"
        assert f"from 0 to {float(limit):.3g}" in image.info["Description"]


def test_chosen_channels_keep_their_numbers(lenet, tmp_path):
    files = draw_maps(lenet, tmp_path, per="channel", channels=[9, 4], layers="features")
    layers = [file.parent.name for file in files if file.name == "009.png"]
    assert layers == [name[:-4] for name in LENET_FILES[3:]]  # the others have six only
    assert sum(file.name == "004.png" for file in files) == 6
    (file,) = draw_maps(lenet, tmp_path / "x.svg", channels=[9, 4], layers=3, columns=1)
    assert {"9", "4"} <= set(texts(file))


def test_maps_of_one_axis_are_curves(tmp_path):
    record = watched(nn.Conv1d(1, 3, 5), nn.ReLU(), sizes=(60,))
    values = record.operators[0].output.clone()
    values[0, 1, 10:12] = math.nan
    files = draw_maps(with_output(record, 0, values), tmp_path, format="svg")
    assert [file.stem for file in files] == ["00-0-conv", "01-1-relu"]
    high = float(values.nan_to_num().abs().max())
    sentence = (
        f"each from \N{MINUS SIGN}{high:.3g} to {high:.3g}, with a line at 0; 2 NaN, marked on it"
    )
    assert sentence in texts(files[0])
    # Three curves of 56 points, one of which has a hole: that is one MOVETO more.
    paths = [p.get("d") for p in ElementTree.parse(files[0]).iter(f"{SVG}path")]
    long = [path for path in paths if path.count("L") > 20]
    assert [path.count("M") for path in long] == [1, 2, 1]


def test_of_three_axes_the_middle_slice_is_shown(tmp_path):
    record = watched(nn.Conv3d(1, 2, 3), sizes=(9, 8, 6))
    values = record.operators[0].output
    assert values.shape == (1, 2, 7, 6, 4)
    (file,) = draw_maps(record, tmp_path / "x.svg")
    assert "slice 3 of 7 along depth, the middle one" in texts(file)
    (file,) = draw_maps(record, tmp_path, per="channel", channels=[1])[:1]
    middle = values[0, 1, 3]
    limit = values[0, 1:, 3].abs().max()
    expected = LIGHT.colours(np.kron(middle / limit, np.ones((128 // 6,) * 2)))
    assert alike(pixels(file), expected)


def test_channels_may_come_last(tmp_path):
    class Last(nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1) * 2

    record = watched(nn.Conv2d(1, 5, 3), Last(), sizes=(12, 9))
    assert record.operators[-1].shape == (1, 10, 7, 5)
    files = draw_maps(record, tmp_path, per="channel", layers=[len(record.operators) - 1])
    assert len(files) == 5 + 1
    assert pixels(files[0]).shape == (120, 84, 3)


def test_views_are_drawn_only_when_they_are_named(tmp_path):
    record = watched(nn.Conv2d(1, 2, 3), nn.Unflatten(1, (1, 2)), sizes=(8, 8))
    names = [file.name for file in draw_maps(record, tmp_path)]
    assert names == ["00-0-conv.png"]
    index = len(record.operators) - 1
    assert record.operators[index].written == 0
    assert len(draw_maps(record, tmp_path, layers=[index])) == 1


def test_names_that_are_no_file_names(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.names = [
                "/a/b",
                'c:\\d*?"<>|',
                "$x_1$",
                "</text><script>",
                "x" * 300,
                "\N{SNOWMAN}",
            ]
            for name in self.names:
                self.add_module(name, nn.Conv2d(1, 1, 1))

        def forward(self, x):
            for name in self.names:
                x = self._modules[name](x)
            return x

    record = cenote.inspect(Odd(), torch.rand(1, 1, 6, 6), maps=True)
    for form in ("png", "svg"):
        files = draw_maps(record, tmp_path, format=form)
        assert len(files) == 6
        for file in files:
            assert file.parent == tmp_path
            assert re.fullmatch(r"\d\d-[A-Za-z0-9._-]{1,100}-conv\.\w{3}", file.name)
    assert "$x_1$" in texts(files[2])
    assert "</text><script>" in texts(files[3])
    assert len(list(tmp_path.iterdir())) == 12
    assert safe_name("a b/\N{SNOWMAN}.c") == "a_b__.c"


def test_nothing_half_written_stays_behind(lenet, tmp_path, monkeypatch):
    draw_maps(lenet, tmp_path / "x.png", layers=0)
    whole = (tmp_path / "x.png").read_bytes()

    def fail(_, target, **__):
        target.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    monkeypatch.setattr(Image.Image, "save", fail)
    for draw in (
        lambda: draw_maps(lenet, tmp_path / "x.png", layers=0),
        lambda: draw_maps(lenet, tmp_path / "y", per="channel", layers=0),
        lambda: draw_kernels(cenote.models.lenet5(), tmp_path / "k.png"),
        lambda: draw_field(lenet, 0, (0, 0), tmp_path / "f.svg"),
        lambda: draw_effective(np.ones((3, 3)), tmp_path / "e.png"),
        lambda: draw_costs(lenet, tmp_path / "c.png"),
    ):
        with pytest.raises(OSError, match="no space"):
            draw()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [tmp_path / "x.png"]
    assert files[0].read_bytes() == whole


# Kernels


def test_kernels_of_a_colour_image_are_in_its_colours(tmp_path):
    weight = torch.zeros(2, 3, 2, 2)
    weight[0, 0, 0, 0], weight[0, 2, 0, 1], weight[1, :, 1, 1] = 0.5, -0.5, 0.25
    picture = pixels(draw_kernels(weight, tmp_path / "k.png"))
    cells = grid_of(2, 2, 2)
    grey = np.full((2, 2, 3), 128)
    first, second = grey.copy(), grey.copy()
    first[0, 0, 0], first[0, 1, 2], second[1, 1] = 255, 0, 191
    top, left = place_of(first.repeat(cells.scale, 0).repeat(cells.scale, 1), picture)
    x = left + cells.step[1]
    side = 2 * cells.scale
    part = picture[top : top + side, x : x + side]
    assert (part == second.repeat(cells.scale, 0).repeat(cells.scale, 1)).all()


def test_other_kernels_are_on_one_signed_scale(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3))
    weight = model[1].weight.detach()
    file = draw_kernels(model, tmp_path / "mean.svg", layer="1")
    assert "5 kernels of 3 \N{MULTIPLICATION SIGN} 3, the mean over 4 input channels" in texts(file)
    assert f"\N{MINUS SIGN}{float(weight.mean(1).abs().max()):.3g}" in texts(file)
    file = draw_kernels(model, tmp_path / "one.svg", layer="1", channel=2)
    assert f"{float(weight[:, 2].abs().max()):.3g}" in texts(file)
    picture = pixels(draw_kernels(model, tmp_path / "one.png", layer="1", channel=2))
    cells = grid_of(5, 3, 3)
    shown = weight[0, 2] / weight[:, 2].abs().max()
    tile = LIGHT.colours(np.kron(shown, np.ones((cells.scale,) * 2)))
    assert place_of(tile, picture) is not None


def test_kernels_of_transposed_and_grouped_convolutions(tmp_path):
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2)
    file = draw_kernels(nn.Sequential(layer), tmp_path / "k.svg", channel=1)
    assert "6 kernels of 3 \N{MULTIPLICATION SIGN} 3, input channel 1 of 2" in texts(file)
    # Output channels 3 to 5 are made of the input channels 2 and 3.
    own = layer.weight.detach()[[1, 3]].flatten(0, 1)
    assert f"{float(own.abs().max()):.3g}" in texts(file)


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (nn.Conv1d(2, 4, 5), "4 kernels of 5, the mean over 2 input channels"),
        (nn.Conv3d(1, 4, (3, 2, 2)), "slice 1 of 3 along depth, the middle one"),
    ],
)
def test_kernels_of_one_and_three_axes(tmp_path, layer, sentence):
    assert sentence in texts(draw_kernels(layer, tmp_path / "k.svg"))


# Fields


@pytest.mark.parametrize("unit", [(2, 1), (0, 0), (0, 4), (4, 4)])
@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_the_box_is_where_the_field_says(lenet, tmp_path, unit, theme):
    field = lenet.operators[5].field
    file = draw_field(lenet, 5, unit, tmp_path / "f.svg", theme=theme)
    box = [tuple(map(float, ends)) for ends in field.box(unit)]
    assert in_input(file, "box", (28, 28)) == box
    theory = [axis.rule.interval(place) for axis, place in zip(field.axes, unit, strict=True)]
    reaches = [tuple(map(float, ends)) for ends in theory]
    assert in_input(file, "rule", (28, 28)) == (None if reaches == box else reaches)
    # By hand: a field of 16 with jump 4 that begins at -2.
    assert theory == [(4 * place - 2, 4 * place + 14) for place in unit]


def test_the_image_lies_under_the_box(lenet, tmp_path):
    image = np.zeros((28, 28), np.uint8)
    image[6, 2], image[21, 17] = 255, 200  # the first and the last that unit (2, 1) sees
    file = draw_field(lenet, "features.pool2", (2, 1), tmp_path / "f.png", image=image)
    shown = pixels(file)
    # Orange around two cells of grey: both are just inside, and so touch it.
    for grey in (255, 200):
        ys, xs = np.nonzero((shown == grey).all(-1) & (np.indices(shown.shape[:2])[0] > 70))
        inner = (slice(ys.min() - 6, ys.max() + 7), slice(xs.min() - 6, xs.max() + 7))
        orange = (abs(shown[inner].astype(int) - (245, 154, 74)) < 40).all(-1)
        if grey == 200:
            assert orange[-7:].any()
            assert orange[:, -7:].any()
        assert len(ys) > 100


def test_a_colour_image_keeps_its_colours(tmp_path):
    record = watched(nn.Conv2d(3, 1, 3), sizes=(8, 8), channels=3)
    image = np.zeros((8, 8, 3), np.uint8)
    image[:] = (10, 200, 90)
    for given in (image, image.transpose(2, 0, 1), torch.tensor(image)):
        shown = pixels(draw_field(record, 0, (0, 0), tmp_path / "f.png", image=given))
        assert ((shown == (10, 200, 90)).all(-1)).mean() > 0.2


def test_dilation_shows_the_positions_that_a_unit_depends_on(tmp_path):
    record = watched(nn.Conv2d(1, 1, 3, dilation=3, padding=3), sizes=(20, 16))
    file = draw_field(record, 0, (5, 0), tmp_path / "f.svg")
    (image,) = ElementTree.parse(file).iter(f"{SVG}image")
    address = image.get("{http://www.w3.org/1999/xlink}href")
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as opened:
        alpha = np.asarray(opened.convert("RGBA"))[..., 3]
    if "scale(1 -1)" in image.get("transform", ""):  # the file holds it upside down
        alpha = alpha[::-1]
    # Coloured in the middle of the cells of exactly these positions.
    high, wide = alpha.shape
    middles = alpha[
        (np.arange(20) * high // 20 + high // 40)[:, None], np.arange(16) * wide // 16 + wide // 32
    ]
    expected = np.zeros((20, 16), bool)
    expected[np.ix_([2, 5, 8], [0, 3])] = True
    assert ((middles > 0) == expected).all()
    assert (record.taps(0, (5, 0)) == expected).all()
    assert "what it depends on" in texts(file)
    # Without holes, nothing is coloured.
    record = watched(nn.Conv2d(1, 1, 3), sizes=(20, 16))
    file = draw_field(record, 0, (5, 0), tmp_path / "g.svg")
    assert not list(ElementTree.parse(file).iter(f"{SVG}image"))


def test_fields_of_one_and_three_axes(tmp_path):
    record = watched(nn.Conv1d(1, 2, 5, padding=2), sizes=(30,))
    file = draw_field(record, 0, (0,), tmp_path / "f.svg", image=np.arange(30.0))
    assert in_input(file, "box", (30,)) == [(0, 3)]
    assert in_input(file, "rule", (30,)) == [(-2, 3)]
    record = watched(nn.Conv3d(1, 2, 3), sizes=(6, 7, 8))
    file = draw_field(record, 0, (3, 0, 2), tmp_path / "f.svg", image=np.zeros((6, 7, 8)))
    assert in_input(file, "box", (7, 8)) == [(0, 3), (2, 5)]
    assert any("slice 4 of 6 along depth" in text for text in texts(file))


def test_a_field_without_a_rule_has_no_dashes(tmp_path):
    record = watched(nn.AdaptiveAvgPool2d(3), sizes=(10, 10))
    file = draw_field(record, 0, (1, 2), tmp_path / "f.svg")
    assert in_input(file, "box", (10, 10)) == [(3, 7), (6, 10)]
    assert corners(file, "rule") is None


def test_heat_is_outlined_where_its_shares_are(lenet, tmp_path):
    heat = np.zeros((28, 28))
    heat[10:13, 4:8], heat[11, 5] = 1, 88  # 99 in all
    file = draw_field(lenet, 5, (2, 1), tmp_path / "f.svg", effective=heat)
    written = texts(file)
    for share, count in ((50, 1), (90, 3), (99, 12)):
        assert f"{share}% of the effective field: {count} positions" in written


def test_the_edges_of_a_region_go_around_it():
    mask = np.array([[True, True], [False, True]])
    lines = {tuple(map(tuple, line)) for line in edges(mask)}
    assert lines == {
        ((0, 0), (1, 0)), ((1, 0), (2, 0)), ((0, 1), (1, 1)), ((1, 2), (2, 2)),
        ((0, 0), (0, 1)), ((2, 0), (2, 1)), ((1, 1), (1, 2)), ((2, 1), (2, 2)),
    }  # fmt: skip
    assert edges(np.zeros((3, 3), bool)) == []


# Effective fields


def test_boxes_hold_their_shares(tmp_path):
    heat = np.zeros((21, 21))
    heat[7:14, 7:14] += 1  # boxes of 1, 3, 5 and 7 about the middle hold 165, 205, 221 and 245
    heat[9:12, 9:12] += 4
    heat[10, 10] += 160
    field = EffectiveField("deep", heat, (5, 5), (10.5, 10.5), ((-2, 23), (-2, 23)), 1)
    assert [field.energy(share) for share in (0.5, 0.9, 0.99)] == [1, 5, 7]
    file = draw_effective(field, tmp_path / "e.svg")
    sides = {name: corners(file, f"share-{name}") for name in ("0.5", "0.9", "0.99")}
    cell = sides["0.5"][2] - sides["0.5"][0]
    for name, side in (("0.9", 5), ("0.99", 7)):
        left, top, right, bottom = sides[name]
        assert (right - left) / cell == pytest.approx(side, abs=0.01)
        assert (bottom - top) / cell == pytest.approx(side, abs=0.01)
    box = corners(file, "box")
    assert (box[2] - box[0]) / cell == pytest.approx(25, abs=0.01)
    times = "\N{MULTIPLICATION SIGN}"
    assert {"deep, unit 5, 5", f"50% lies within 1 {times} 1", f"99% lies within 7 {times} 7",
            f"what it could see, 25 {times} 25"} <= set(texts(file))  # fmt: skip


@pytest.mark.parametrize("sizes", [(40,), (12, 30), (9, 10, 11)])
def test_effective_fields_of_any_rank(tmp_path, sizes):
    rng = np.random.default_rng(1)
    box = [(2, 8)] * len(sizes)
    for theme in THEMES:
        for name in ("e.png", "e.svg"):
            path = draw_effective(rng.random(sizes), tmp_path / name, box=box, theme=theme)
        assert any("50% lies within" in text for text in texts(path))


def test_regions_are_the_fewest_positions():
    heat = np.array([[4.0, 1.0], [3.0, 2.0]])
    assert region(heat, 0.4).tolist() == [[True, False], [False, False]]
    assert region(heat, 0.41).tolist() == [[True, False], [True, False]]
    assert region(heat, 1.0).all()
    assert region(np.ones((3, 3)), 0.5).sum() == 5


# Costs


def test_bars_are_as_long_as_what_they_stand_for(lenet, tmp_path):
    file = draw_costs(lenet, tmp_path / "c.svg", by=("macs", "parameters"))
    written = texts(file)
    rows = [t for t in written if " \N{MIDDLE DOT} " in t]
    costly = [o for o in lenet.operators if o.macs or o.parameters]
    assert rows == [f"{o.name} \N{MIDDLE DOT} {o.kind.replace('_', ' ')}" for o in costly]
    assert "61.7 k in all" in written
    longest = {measure: max(getattr(o, measure) or 0 for o in costly) for measure in
               ("macs", "parameters")}  # fmt: skip
    for measure, most in longest.items():
        for index, operator in enumerate(costly):
            left, _, right, _ = corners(file, f"{measure}-{index}")
            share = (getattr(operator, measure) or 0) / most
            assert (right - left) / (230 * 0.72) == pytest.approx(share, abs=0.01)


def test_the_rest_is_summed_up(lenet, tmp_path):
    file = draw_costs(lenet, tmp_path / "c.svg", by="parameters", most=2)
    written = texts(file)
    labels = [t for t in written if " \N{MIDDLE DOT} " in t or t.endswith("more")]
    assert labels == [
        "classifier.fc1 \N{MIDDLE DOT} linear", "classifier.fc2 \N{MIDDLE DOT} linear", "3 more",
    ]  # fmt: skip
    assert {"48.1 k", "10.2 k", "3.42 k"} <= set(written)  # 156 + 2416 + 850
    # One layer left over has its own bar, in the room of "1 more".
    file = draw_costs(lenet, tmp_path / "c.svg", by="parameters", most=4)
    assert sum(" \N{MIDDLE DOT} " in t for t in texts(file)) == 5


def test_what_is_not_known_is_said(lenet, tmp_path):
    operators = [dataclasses.replace(o, seconds=None if o.index else 1e-3) for o in lenet.operators]
    record = dataclasses.replace(lenet, operators=tuple(operators))
    written = texts(draw_costs(record, tmp_path / "c.svg", by=("seconds", "macs")))
    assert "1 ms" in written
    assert written.count("not known") > 3


# What all have in common


def test_the_same_picture_is_the_same_file(lenet, tmp_path):
    for name in ("a", "b"):
        draw_maps(lenet, tmp_path / name / "m.svg", layers=3, theme=DARK)
        draw_maps(lenet, tmp_path / name / "m.png", layers=3)
        draw_field(lenet, 5, (0, 0), tmp_path / name / "f.svg")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda r, p: draw_maps(r, p / "x.jpg"), r"path = .*x.jpg': must end in .png or .svg"),
        (lambda r, p: draw_maps(r, p / "x.png"), r"path = .*: 6 operators do not go into one file"),
        (lambda r, p: draw_maps(r, p, per="map"), "per = 'map': must be one of layer, channel"),
        (lambda r, p: draw_maps(r, p, scale="all"), "scale = 'all': must be one of layer, shared"),
        (lambda r, p: draw_maps(r, p, format="pdf"), "format = 'pdf': must be one of png, svg"),
        (lambda r, p: draw_maps(r, p, columns=0), "columns = 0: must be at least 1"),
        (lambda r, p: draw_maps(r, p, image=2), "image = 2: must lie in 0 to 1"),
        (lambda r, p: draw_maps(r, p, channels=[99]), r"channels = \[99\]: no layer has one"),
        (lambda r, p: draw_maps(r, p, channels=[-1]), r"channels = \[-1\]: must not be negative"),
        (lambda r, p: draw_maps(r, p, layers=12), "layers = 12: must lie in 0 to 11"),
        (lambda r, p: draw_maps(r, p, layers="featres"), "layers: .*did you mean features"),
        (lambda r, p: draw_maps(r, p, layers="classifier.fc1"), "'classifier.fc1': has no output"),
        (lambda r, p: draw_maps(r, p, per="channel", format="svg"), "format = 'svg': per = 'chan"),
        (lambda r, p: draw_maps(r, p / "x.png", per="channel"), "path = .*: per = 'channel' makes"),
        (lambda r, p: draw_field(r, 12, (0,), p / "f.png"), "operator = 12: must lie in 0 to 11"),
        (lambda r, p: draw_field(r, "x", (0,), p / "f.png"), "operator: .*no module of that name"),
        (lambda r, p: draw_field(r, 5, (0, 5), p / "f.png"), r"unit\[1\] = 5: must lie in 0 to 4"),
        (lambda r, p: draw_field(r, 5, (0, 0), p / "f.png", input=1), "input = 1: operator 5"),
        (lambda r, p: draw_field(r, 5, (0, 0), p / "f"), "path = .*f': must end in .png or .svg"),
        (
            lambda r, p: draw_field(r, 5, (0, 0), p / "f.png", image=np.zeros((9, 9))),
            r"image: has shape \(9, 9\), but the input's sizes are \(28, 28\)",
        ),
        (
            lambda r, p: draw_field(r, 5, (0, 0), p / "f.png", effective=np.ones((9, 9))),
            r"effective: has shape \(9, 9\), the input \(28, 28\)",
        ),
        (lambda r, p: draw_effective(-np.ones(3), p / "e.png"), "effective: must be finite and"),
        (lambda r, p: draw_effective(np.zeros(3), p / "e.png"), "effective: is 0 everywhere"),
        (lambda r, p: draw_effective(np.ones((1,) * 4), p / "e.png"), "effective: .* three axes"),
        (lambda r, p: draw_effective(np.ones(3), p / "e.png", centre=(1, 1)), "centre = .* 1 axes"),
        (lambda r, p: draw_costs(r, p / "c.png", by="flow"), "by = 'flow': must be one of param"),
        (lambda r, p: draw_costs(r, p / "c.png", by=()), "by: names no measure"),
        (lambda r, p: draw_costs(r, p / "c.png", most=0), "most = 0: must be at least 1"),
        (lambda r, p: draw_kernels(nn.ReLU(), p / "k.png"), "source: the network has no conv"),
        (lambda r, p: draw_kernels(torch.zeros(3, 3), p / "k.png"), r"source: kernels are \(K, C,"),
        (
            lambda r, p: draw_kernels(cenote.models.lenet5(), p / "k.png", layer="conv1"),
            "layer = 'conv1': no convolution; did you mean features.conv",
        ),
        (
            lambda r, p: draw_kernels(torch.zeros(2, 4, 3, 3), p / "k.png", channel=4),
            "channel = 4: must be 'rgb', 'mean' or a number from 0 to 3",
        ),
        (
            lambda r, p: draw_kernels(torch.zeros(2, 4, 3, 3), p / "k.png", channel="rgb"),
            "channel = 'rgb': the kernels have 4 channels",
        ),
    ],
)  # fmt: skip
def test_errors_name_the_argument_and_leave_no_file(lenet, tmp_path, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(lenet, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_record_without_maps_says_how_to_get_them(tmp_path):
    record = cenote.inspect(cenote.models.lenet5(), torch.rand(1, 1, 28, 28))
    with pytest.raises(ValueError, match="holds no feature maps; watch the network with maps=True"):
        draw_maps(record, tmp_path)


def test_a_measure_that_was_not_taken_is_an_error(lenet, tmp_path):
    operators = [dataclasses.replace(o, seconds=None) for o in lenet.operators]
    record = dataclasses.replace(lenet, operators=tuple(operators))
    with pytest.raises(ValueError, match="by = 'seconds': the record does not know it"):
        draw_costs(record, tmp_path / "c.png", by="seconds")
