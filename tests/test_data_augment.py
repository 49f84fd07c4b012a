"""Augmentations: bounds, zeros at the border, geometry, and the same images from the same state."""

import math

import pytest
import torch
from torch.nn import functional as F

from cenote.data import augment
from cenote.data.augment import Affine, Compose, Shift, _inverse


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(n=64, channels=2, height=7, width=9):
    shape = (n, channels, height, width)
    return torch.randint(1, 256, shape, generator=drawn(1), dtype=torch.uint8)


def shifted(image, down, right):
    """The image moved by whole pixels, by slices; all 0 when moved out of sight."""
    height, width = image.shape[-2:]
    out = torch.zeros_like(image)
    if abs(down) < height and abs(right) < width:
        kept = image[
            :, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
        ]
        out[:, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = kept
    return out


@pytest.mark.parametrize("pixels", [0, 1, 2, 8])
def test_shift_moves_each_image_by_a_whole_number_of_pixels(pixels):
    images = random_images(200)
    moved = Shift(pixels)(images, drawn())
    ways = [(y, x) for y in range(-pixels, pixels + 1) for x in range(-pixels, pixels + 1)]
    found = [
        next(way for way in ways if torch.equal(shifted(before, *way), after))
        for before, after in zip(images, moved, strict=True)
    ]
    assert len(moved) == 200
    if pixels < 8:  # 200 draws show all 25 ways, but not all 289
        assert set(found) == set(ways)


@pytest.mark.parametrize("name", augment.names())
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_shape_type_and_state(name, dtype):
    images = random_images().to(dtype)
    before = images.clone()
    change = augment.by_name(name)
    once, twice, other = (
        change(images, drawn(0)),
        change(images, drawn(0)),
        change(images, drawn(1)),
    )
    assert once.shape == images.shape
    assert once.dtype == dtype
    assert torch.equal(once, twice)
    assert torch.equal(once, other) == (name == "none")
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", augment.names())
def test_no_images(name):
    assert augment.by_name(name)(random_images(0), drawn()).shape == (0, 2, 7, 9)


def test_affine_without_a_range_changes_nothing():
    images = random_images()
    assert torch.equal(Affine()(images, drawn()), images)


@pytest.mark.parametrize(
    ("degrees", "shear", "scale", "move"),
    [
        (30, 0, 1, (0, 0)),
        (0, 20, 1, (0, 0)),
        (0, 0, 1.5, (0, 0)),
        (0, 0, 1, (3, -2)),
        (25, 10, 0.8, (2, 1)),
    ],
    ids=["turn", "shear", "scale", "move", "all"],
)
def test_affine_takes_a_point_where_the_formula_says(degrees, shear, scale, move):
    height, width = 40, 60
    angle, slope = math.radians(degrees), math.tan(math.radians(shear))
    columns, rows = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    at = torch.tensor([36.0, 15.0])
    spot = torch.exp(-((columns - at[0]) ** 2 + (rows - at[1]) ** 2) / 8.0).view(
        1, 1, height, width
    )
    numbers = [torch.tensor([v], dtype=torch.float64) for v in (angle, slope, scale)]
    offset = torch.tensor(move, dtype=torch.float64).view(2, 1)
    theta = _inverse(*numbers, offset, height, width).float()
    grid = F.affine_grid(theta, [1, 1, height, width], align_corners=False)
    seen = F.grid_sample(spot, grid, align_corners=False)[0, 0]
    found = torch.stack([(seen * columns).sum(), (seen * rows).sum()]) / seen.sum()

    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    linear = scale * turn @ torch.tensor([[1.0, slope], [0.0, 1.0]])
    expected = linear @ (at - centre) + centre + torch.tensor(move)
    # A tenth of a pixel: the spot is sampled, and its far tail is cut.
    assert (found - expected).abs().max() < 0.1


def centroids(images):
    pixels = images[:, 0].double()
    rows, columns = torch.arange(pixels.shape[1]), torch.arange(pixels.shape[2])
    total = pixels.sum((1, 2))
    y = (pixels.sum(2) * rows).sum(1) / total
    return y, (pixels.sum(1) * columns).sum(1) / total


def test_affine_uses_its_whole_range_and_no_more():
    squared = (torch.arange(41.0) - 20) ** 2
    spots = torch.exp(-(squared.view(41, 1) + squared) / 12.5).expand(300, 1, 41, 41)
    for axis in centroids(Affine(translate=4)(spots, drawn())):
        assert 3.8 < (axis - 20).abs().max() < 4.01
    areas = Affine(scale=(0.5, 1.5))(spots, drawn()).sum((1, 2, 3)) / spots[0].sum()
    # A smooth spot keeps its sum under interpolation to a thousandth, whatever its size.
    assert 0.249 < areas.min() < 0.27
    assert 2.2 < areas.max() < 2.253


def test_affine_turns_to_both_sides_within_its_bound():
    bar = torch.zeros(300, 1, 41, 41)
    bar[:, :, 20, 5:36] = 1.0
    turned = Affine(degrees=30)(bar, drawn())[:, 0]
    rows = torch.arange(41.0).view(1, 41, 1) - 20
    columns = torch.arange(41.0).view(1, 1, 41) - 20
    slope = (turned * rows * columns).sum((1, 2)) / (turned * columns**2).sum((1, 2))
    angles = slope.atan().rad2deg()
    assert 27 < angles.max() < 31
    assert -31 < angles.min() < -27


def test_compose_takes_the_steps_in_turn():
    images = random_images()
    generator = drawn()
    expected = Affine(degrees=20)(Shift(2)(images, generator), generator)
    assert torch.equal(Compose((Shift(2), Affine(degrees=20)))(images, drawn()), expected)


def test_unknown_name_lists_the_names():
    with pytest.raises(
        ValueError, match="augmentation = 'flip': must be one of none, shift1, shift2, affine"
    ):
        augment.by_name("flip")


REFUSED = [
    (lambda: Shift(-1), "Shift: pixels = -1: must not be negative"),
    (lambda: Affine(degrees=-1), "Affine: degrees = -1: must not be negative"),
    (lambda: Affine(translate=-0.5), "Affine: translate = -0.5: must not be negative"),
    (lambda: Affine(shear=90), "Affine: shear = 90: must be below 90 degrees"),
    (lambda: Affine(scale=(0, 1)), r"Affine: scale = \(0, 1\): must be positive and ascending"),
    (lambda: Affine(scale=(2, 1)), r"Affine: scale = \(2, 1\): must be positive and ascending"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
