"""Augmentations: bounds, zeros at the border, geometry, and the same images from the same state."""

import math

import pytest
import torch
from torch.nn import functional as F

from cenote.data import augment
from cenote.data.augment import (
    Affine,
    Colour,
    Compose,
    CutMix,
    Erase,
    Flip,
    Mixup,
    ResizedCrop,
    Shift,
)
from cenote.data.augmentations.geometry import _inverse


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
        ValueError, match="augmentation = 'flop': must be one of none, shift1, shift2, affine"
    ):
        augment.by_name("flop")
    with pytest.raises(ValueError, match=r"augmentation = 'flop' in 'flip\+flop': must be one of"):
        augment.by_name("flip+flop")


def test_names_joined_come_one_after_the_other():
    joined = augment.by_name("flip+crop3+mixup")
    assert joined == Compose((Flip(), Shift(3), Mixup()))
    images, generator = random_images(), drawn()
    expected = images
    for step in joined.steps:
        expected = step(expected, generator)
    assert torch.equal(joined(images, drawn()), expected)


def test_flip_mirrors_about_its_share():
    images = random_images(400)
    flipped = Flip(0.25)(images, drawn())
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(flipped, images, strict=True)]
    whole = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
    assert all(m != w for m, w in zip(mirrored, whole, strict=True))
    assert 70 < sum(mirrored) < 130  # 100 expected, deviation 8.7
    assert torch.equal(Flip(0)(images, drawn()), images)
    assert torch.equal(Flip(1)(images, drawn()), images.flip(3))


def test_resized_crop_of_everything_changes_nothing():
    images = random_images()
    assert torch.equal(ResizedCrop(scale=(1, 1), ratio=(1, 1))(images, drawn()), images)


def test_resized_crop_shows_a_part_of_the_size_and_place_that_the_ranges_allow():
    height, width = 40, 60
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    ramps = torch.stack([rows, columns]).expand(300, 2, height, width)  # a pixel says where it was
    seen = ResizedCrop(scale=(0.25, 0.5), ratio=(0.8, 1.25))(ramps, drawn())
    down = (seen[:, 0, -2, 1] - seen[:, 0, 1, 1]) / (height - 3)  # the border repeats itself
    right = (seen[:, 1, 1, -2] - seen[:, 1, 1, 1]) / (width - 3)
    area, slant = down * right, right / down
    assert 0.249 < area.min() < 0.27
    assert 0.48 < area.max() < 0.501
    assert 0.799 < slant.min() < 0.82
    assert 1.22 < slant.max() < 1.251
    assert seen[:, 0].min() < 1
    assert seen[:, 0].max() > height - 2
    assert seen[:, 1].min() < 1
    assert seen[:, 1].max() > width - 2


def test_erase_blanks_one_box_of_a_share_in_range():
    images = torch.ones(400, 2, 50, 60)
    gone = Erase(share=0.5, scale=(0.1, 0.2))(images, drawn()) == 0
    assert torch.equal(gone[:, 0], gone[:, 1])
    for mask in gone[:, 0]:
        box = mask.any(1).sum() * mask.any(0).sum()
        assert mask.sum() == box  # a box, whole
    shares = gone[:, 0].float().mean((1, 2))
    assert shares.max() < 0.22  # a pixel more on each side of a box of 0.2
    assert 160 < (shares > 0).sum() < 240
    assert torch.equal(Erase(share=0)(images, drawn()), images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_colour_by_hand(dtype):
    images = torch.randint(60, 180, (50, 3, 5, 6), generator=drawn(1)).to(dtype)
    got = Colour(0.3, 0.2, 0.4)(images, drawn())
    factors = torch.rand((3, 50), generator=drawn(), dtype=torch.float64) * 2 - 1
    b, c, s = (1 + factors * torch.tensor([[0.3], [0.2], [0.4]]).double()).view(3, 50, 1, 1, 1)
    luminance = torch.tensor([0.299, 0.587, 0.114]).double().view(1, 3, 1, 1)
    x = images.double() * b
    mean = (x * luminance).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    x = mean + (x - mean) * c
    grey = (x * luminance).sum(1, keepdim=True)
    x = grey + (x - grey) * s
    if dtype == torch.uint8:
        # float32 against float64 may round a half to the other side.
        assert (got.double() - x.round().clamp(0, 255)).abs().max() <= 1
        assert (got.double() == x.round().clamp(0, 255)).float().mean() > 0.999
    else:
        torch.testing.assert_close(got, x, rtol=0, atol=1e-4)  # strengths are float32 numbers


def test_colour_without_strength_changes_nothing():
    for channels in (1, 3):
        images = random_images(channels=channels)
        assert torch.equal(Colour(0, 0, 0)(images, drawn()), images)


def one_hot_of(n):
    return torch.eye(n)


@pytest.mark.parametrize("step", [Mixup(1.0), CutMix()], ids=["mixup", "cutmix"])
def test_targets_are_blended_as_the_images_are(step):
    n = 32
    # Image i is i + 1 everywhere, so that every pixel says whose it is.
    images = torch.arange(1.0, n + 1).view(n, 1, 1, 1).expand(n, 1, 8, 10)
    mixed, targets = step.mix(images, one_hot_of(n), drawn())
    assert torch.equal(mixed, step(images, drawn()))
    torch.testing.assert_close(targets.sum(1), torch.ones(n), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        (targets * torch.arange(1.0, n + 1)).sum(1), mixed.mean((1, 2, 3)), rtol=1e-5, atol=1e-5
    )
    assert ((targets > 0).sum(1) == 2).sum() > n // 2
    if isinstance(step, CutMix):
        assert set(mixed.unique().tolist()) <= set(range(1, n + 1))


def test_mixup_draws_from_its_beta_distribution():
    images = torch.arange(4000.0).view(-1, 1, 1, 1)
    _, targets = Mixup(0.5).mix(images, torch.eye(4000), drawn())
    share = targets.diagonal().double()
    assert share.mean() == pytest.approx(0.5, abs=0.02)  # deviation of the mean 0.0056
    assert share.var() == pytest.approx(1 / 8, abs=0.008)  # 1 / (4 * (2 * 0.5 + 1))


def test_mix_goes_through_a_chain():
    chain = augment.by_name("flip+cutmix+erase")
    images, targets = random_images(), one_hot_of(64)
    mixed, blended = augment.mix(chain, images, targets, drawn())
    assert torch.equal(mixed, chain(images, drawn()))
    assert not torch.equal(blended, targets)
    assert augment.mixes(chain)
    plain = augment.by_name("flip+erase")
    assert not augment.mixes(plain)
    assert augment.mix(plain, images, targets, drawn())[1] is targets


REFUSED = [
    (lambda: Flip(1.5), "Flip: share = 1.5: must lie in 0 to 1"),
    (
        lambda: ResizedCrop(scale=(0.5, 1.5)),
        r"ResizedCrop: scale = \(0.5, 1.5\): must be at most 1",
    ),
    (lambda: ResizedCrop(ratio=(0, 1)), r"ResizedCrop: ratio = \(0, 1\): must be positive and asc"),
    (lambda: Colour(contrast=-0.1), "Colour: contrast = -0.1: must lie in 0 to 1"),
    (lambda: Erase(share=2), "Erase: share = 2: must lie in 0 to 1"),
    (
        lambda: Erase(scale=(0.3, 0.2)),
        r"Erase: scale = \(0.3, 0.2\): must be positive and ascending",
    ),
    (lambda: Mixup(0), "Mixup: alpha = 0: must be positive"),
    (lambda: CutMix(-1), "CutMix: alpha = -1: must be positive"),
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
