"""Data sets in memory: what they accept, how they are divided, measured and told apart."""

from dataclasses import replace

import pytest
import torch

from cenote.data import DataError, Dataset


def made(n=60, distinct=None, channels=1, seed=0):
    """``n`` random images of which only ``distinct`` differ."""
    generator = torch.Generator().manual_seed(seed)
    shape = (distinct or n, channels, 3, 4)
    different = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    images = different[torch.arange(n) % len(different)]
    return Dataset("made", images, torch.arange(n) % 10, tuple("abcdefghij"))


def keys(dataset):
    return {tuple(image.flatten().tolist()) for image in dataset.images}


@pytest.mark.parametrize("validation", [0, 1, 17, 59, 0.0, 0.1, 0.5])
def test_split_covers_everything_once(validation):
    whole = made()
    whole = replace(whole, labels=torch.arange(60), classes=tuple(map(str, range(60))))
    train, held = whole.split(validation, seed=3)
    count = validation if isinstance(validation, int) else round(60 * validation)
    assert len(held) == count
    assert sorted(train.labels.tolist() + held.labels.tolist()) == list(range(60))
    for part in (train, held):
        assert part.labels.tolist() == sorted(part.labels.tolist())
        assert torch.equal(part.images, whole.images[part.labels])


def test_split_follows_the_seed():
    whole = made()
    assert torch.equal(whole.split(20, seed=1)[1].images, whole.split(20, seed=1)[1].images)
    assert not torch.equal(whole.split(20, seed=1)[1].images, whole.split(20, seed=2)[1].images)


@pytest.mark.parametrize("seed", range(5))
def test_equal_images_stay_together(seed):
    train, held = made(60, distinct=20).split(21, seed)
    assert len(held) == 21
    assert not keys(train) & keys(held)


def test_a_group_is_divided_only_when_none_fits():
    train, held = made(60, distinct=20).split(20, seed=0)
    assert len(held) == 20
    assert len(keys(train) & keys(held)) == 1


def test_all_images_equal():
    train, held = made(10, distinct=1).split(3, seed=0)
    assert (len(train), len(held)) == (7, 3)


@pytest.mark.parametrize("validation", [-1, 60, 1.0, -0.1, 2.5, float("nan")])
def test_split_refuses_what_leaves_nothing(validation):
    with pytest.raises(
        ValueError, match=rf"split: validation = {validation}: must be a count from 0 to 59"
    ):
        made().split(validation, seed=0)


def test_statistics_of_each_channel():
    dataset = made(channels=3)
    scaled = dataset.images.to(torch.float64) / 255
    mean, std = dataset.statistics()
    # The integer sums are exact: what is left is the float64 rounding of the comparison itself.
    assert mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), rel=1e-13)
    assert std == pytest.approx(scaled.std((0, 2, 3), correction=0).tolist(), rel=1e-13)


def test_statistics_of_a_constant_and_of_nothing():
    constant = Dataset(
        "c", torch.full((2, 1, 2, 2), 51, dtype=torch.uint8), torch.zeros(2).long(), ("a",)
    )
    assert constant.statistics() == ((0.2,), (0.0,))
    nothing = Dataset("n", torch.zeros(0, 1, 2, 2, dtype=torch.uint8), torch.zeros(0).long(), ())
    assert nothing.statistics() == ((0.0,), (0.0,))


def test_fingerprint_notices_every_change():
    dataset = made()
    images, labels = dataset.images.clone(), dataset.labels.clone()
    same = replace(dataset, name="other", images=images.clone(), labels=labels.clone())
    assert same.fingerprint == dataset.fingerprint
    images[5, 0, 1, 1] ^= 1
    labels[7] = 0
    changed = {
        replace(dataset, images=images).fingerprint,
        replace(dataset, labels=labels).fingerprint,
        replace(dataset, images=dataset.images.reshape(60, 1, 4, 3)).fingerprint,
        dataset.fingerprint,
    }
    assert len(changed) == 4


REFUSED = {
    "float_images": (
        {"images": torch.zeros(60, 1, 3, 4)},
        "images must be of rank 4 and torch.uint8",
    ),
    "no_channel_axis": (
        {"images": torch.zeros(60, 3, 4, dtype=torch.uint8)},
        r"images must be of rank 4 and torch.uint8, found \(60, 3, 4\)",
    ),
    "narrow_labels": (
        {"labels": torch.zeros(60, dtype=torch.int32)},
        "labels must be of rank 1 and torch.int64",
    ),
    "counts_differ": ({"labels": torch.zeros(59).long()}, "made: 60 images but 59 labels"),
    "label_without_a_class": (
        {"classes": ("a", "b")},
        "labels must lie in 0 to 1 for 2 classes, found 0 to 9",
    ),
    "negative_label": ({"labels": -torch.arange(60)}, "found -59 to 0"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(reason):
    change, message = REFUSED[reason]
    with pytest.raises(DataError, match=message):
        replace(made(), **change)


def test_length_and_print():
    assert len(made(7)) == 7
    assert repr(made(7, channels=3)) == "Dataset('made', 7 images of 3x3x4, 10 classes)"
