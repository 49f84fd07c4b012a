"""Data sets in memory: what they accept, how they are divided, measured and told apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cenote.data import DataError, Dataset, load


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


# Of groups of three: what is asked for, and the nearest that whole groups come to.
@pytest.mark.parametrize(
    ("asked", "size"), [(1, 3), (2, 3), (19, 18), (20, 21), (21, 21), (58, 57), (59, 57)]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_group_is_never_divided(asked, size, seed):
    train, held = made(60, distinct=20).split(asked, seed)
    assert (len(train), len(held)) == (60 - size, size)
    assert not keys(train) & keys(held)


def test_two_pairs_of_equal_images_are_divided_between_the_pairs():
    images = torch.tensor([1, 1, 2, 2], dtype=torch.uint8).view(4, 1, 1, 1)
    train, held = Dataset.of(images, torch.arange(4)).split(1, seed=0)
    assert (len(train), len(held)) == (2, 2)
    assert not keys(train) & keys(held)


def test_a_group_that_does_not_fit_is_not_taken_for_one_that_fits_better():
    numbers = torch.tensor([1] * 9 + [2] * 4 + [3] * 6, dtype=torch.uint8)
    for seed in range(6):
        train, held = Dataset.of(numbers.view(-1, 1, 1, 1), torch.zeros(19).long()).split(2, seed)
        assert held.images.flatten().tolist() == [2] * 4
        assert len(train) == 15


def test_all_images_equal():
    train, held = made(10, distinct=1).split(3, seed=0)
    assert (len(train), len(held)) == (10, 0)


def test_the_division_of_mnist_is_what_it_always_was():
    prints = [part.fingerprint for part in load("mnist", "train").split(5000, seed=0)]
    assert prints == [
        "cf0c187d672c97919a99d584d9eb2d056c0d76c3b287b0f3db3600a2186935c0",
        "21b330e9cd08f6b268900ab9375e7fc88a8766edb4d54c6eec52a367618e22b7",
    ]


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
    "double_images": (
        {"images": torch.zeros(60, 1, 3, 4, dtype=torch.float64)},
        "images must be of rank 4 and torch.uint8, or of rank 3 or more and torch.float32, "
        r"found \(60, 1, 3, 4\) of torch.float64",
    ),
    "floats_without_an_axis": (
        {"images": torch.zeros(60, 4)},
        r"of rank 3 or more and torch.float32, found \(60, 4\)",
    ),
    "not_a_number": (
        {
            "images": torch.zeros(60, 1, 5).index_put(
                (torch.tensor(7), torch.tensor(0)), torch.tensor(torch.nan)
            )
        },
        r"made: images\[7, 0, 0\] = nan: must be finite",
    ),
    "infinite_value": (
        {"labels": torch.full((60,), torch.inf), "classes": ()},
        r"made: labels\[0\] = inf: must be finite",
    ),
    "values_with_classes": (
        {"labels": torch.zeros(60)},
        "values of torch.float32 without classes, found .* and 10 classes",
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
    "negative_label": (
        {"labels": -torch.arange(60)},
        r"found -59 to 0, the first outside at \[1\]",
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(reason):
    change, message = REFUSED[reason]
    with pytest.raises(DataError, match=message):
        replace(made(), **change)


def test_length_and_print():
    assert len(made(7)) == 7
    assert repr(made(7, channels=3)) == "Dataset('made', 7 images of 3x3x4, 10 classes)"


def sequences(n=60, distinct=20):
    values = torch.randn(distinct, 2, 9, generator=torch.Generator().manual_seed(0))
    return Dataset(
        "walks", values[torch.arange(n) % distinct] * 3 + 5, torch.arange(n) % 3, ("a", "b", "c")
    )


def test_equal_sequences_stay_together():
    train, held = sequences().split(21, seed=1)
    assert len(held) == 21
    assert not keys(train) & keys(held)


def test_statistics_of_sequences():
    walks = sequences()
    mean, std = walks.statistics()
    values = walks.images.double()
    assert mean == pytest.approx(values.mean((0, 2)).tolist(), rel=1e-13)
    assert std == pytest.approx(values.std((0, 2), correction=0).tolist(), rel=1e-13)
    nothing = replace(walks, images=torch.zeros(0, 2, 9), labels=torch.zeros(0).long())
    assert nothing.statistics() == ((0.0, 0.0), (0.0, 0.0))


def test_what_is_in_the_order_of_time_is_validated_on_its_end():
    hours = Dataset("hours", torch.randn(50, 1, 4), torch.arange(50.0), ordered=True)
    train, held = hours.split(0.2, seed=3)
    assert train.labels.tolist() == list(range(40))
    assert held.labels.tolist() == list(range(40, 50))
    assert (hours.regression, held.ordered) == (True, True)


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_groups_are_the_same_however_many_are_compared_at_once(monkeypatch, chunk):
    monkeypatch.setattr("cenote.data._dataset._CHUNK", chunk)
    train, held = made(60, distinct=20).split(21, seed=0)
    assert not keys(train) & keys(held)
    assert (len(train), len(held)) == (39, 21)


OF = {
    "grey_without_a_channel_axis": (torch.zeros(3, 5, 6, dtype=torch.uint8), (3, 1, 5, 6)),
    "channels_last": (torch.zeros(3, 5, 6, 3, dtype=torch.uint8), (3, 3, 5, 6)),
    "channels_first_already": (torch.zeros(3, 3, 6, 3, dtype=torch.uint8), (3, 3, 6, 3)),
    "doubles": (torch.zeros(3, 2, 6, dtype=torch.float64), (3, 2, 6)),
    "sequences_of_one_channel": (torch.zeros(3, 6), (3, 1, 6)),
    "an_array": (torch.zeros(3, 5, 6, dtype=torch.uint8).numpy(), (3, 1, 5, 6)),
    "a_big_endian_array": (torch.zeros(3, 6).numpy().astype(">f8"), (3, 1, 6)),
    "volumes": (torch.zeros(3, 1, 2, 3, 4), (3, 1, 2, 3, 4)),
}


@pytest.mark.parametrize("reason", OF)
def test_of_brings_images_into_shape(reason):
    images, shape = OF[reason]
    dataset = Dataset.of(images, torch.tensor([0, 2, 1]))
    assert dataset.images.shape == shape
    assert dataset.images.dtype in (torch.uint8, torch.float32)
    assert dataset.classes == ("0", "1", "2")


def test_of_moves_the_channels_and_not_the_pixels():
    images = torch.randint(256, (2, 5, 6, 3), dtype=torch.uint8)
    dataset = Dataset.of(images, torch.tensor([0, 0]), ["only"])
    assert torch.equal(dataset.images[1, 2], images[1, :, :, 2])
    assert dataset.classes == ("only",)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.int64, torch.bool])
def test_of_takes_labels_of_any_integer_type(kind):
    labels = torch.tensor([[0], [1], [1]]).to(kind)
    assert Dataset.of(torch.zeros(3, 4), labels).labels.tolist() == [0, 1, 1]


def test_of_takes_values():
    dataset = Dataset.of(torch.zeros(3, 4), torch.zeros(3, 2, dtype=torch.float64))
    assert (dataset.regression, dataset.labels.dtype) == (True, torch.float32)
    assert repr(dataset) == "Dataset('given', 3 samples of 1x4, 2 values each)"


def test_of_refuses():
    with pytest.raises(
        DataError, match=r"mine: images must be of uint8 or floating, found torch\.int64"
    ):
        Dataset.of(torch.zeros(3, 4).long(), torch.zeros(3), name="mine")
    with pytest.raises(DataError, match="given: images must be numbers, found ndarray of <U1"):
        Dataset.of(np.array(["a"]), torch.zeros(1))
    with pytest.raises(
        DataError, match=r"labels must be integers or floating, found torch\.complex64"
    ):
        Dataset.of(torch.zeros(3, 4), torch.zeros(3, dtype=torch.complex64))
    with pytest.raises(DataError, match="3 images but 2 labels"):
        Dataset.of(torch.zeros(3, 4), torch.zeros(2))
