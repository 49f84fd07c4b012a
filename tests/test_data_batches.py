"""Batches: every image once, the same bits after a break, normalised with the right numbers."""

import threading
import time

import pytest
import torch

from cenote.data import Batches, Dataset, augment
from test_data_dataset import made


def collected(batches, number, start=0):
    return list(batches.epoch(number, start))


def same(left, right):
    pairs = zip(left, right, strict=True)
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in pairs)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [16, 16, 16, 12]), (True, [16, 16, 16])])
def test_every_image_once(shuffle, drop_last, sizes):
    dataset = made(60)
    batches = Batches(
        dataset, 16, seed=0, shuffle=shuffle, drop_last=drop_last, mean=[0.0], std=[1 / 255]
    )
    got = collected(batches, 0)
    assert len(batches) == len(sizes)
    assert [len(y) for _, y in got] == sizes
    pixels = [tuple(x.round().long().flatten().tolist()) for part, _ in got for x in part]
    known = [tuple(x.long().flatten().tolist()) for x in dataset.images]
    assert len(set(pixels)) == sum(sizes)
    assert set(pixels) <= set(known)
    labels = [int(label) for _, part in got for label in part]
    assert labels == [known.index(key) % 10 for key in pixels]
    assert (pixels == known[: sum(sizes)]) == (not shuffle)


@pytest.mark.parametrize("name", augment.names())
def test_resumed_epoch_has_the_same_bits(name):
    batches = Batches(made(60), 16, seed=5, augment=augment.by_name(name))
    whole = collected(batches, 3)
    torch.manual_seed(99)  # what else draws random numbers must not matter
    again = Batches(made(60), 16, seed=5, augment=augment.by_name(name))
    for start in range(5):
        assert same(whole[start:], collected(again, 3, start))


def test_skipped_batches_are_not_computed():
    calls = []
    batches = Batches(made(60), 16, seed=0, augment=lambda x, _: calls.append(len(x)) or x)
    assert len(collected(batches, 0, start=3)) == 1
    assert calls == [12]


def test_augmentation_differs_between_batches_epochs_and_seeds():
    draws = []
    for seed in (0, 1):
        batches = Batches(
            made(60),
            16,
            seed=seed,
            augment=lambda x, g: draws.append(torch.rand(4, generator=g)) or x,
        )
        for number in (0, 1):
            collected(batches, number)
    assert len({tuple(draw.tolist()) for draw in draws}) == 16


def test_order_differs_between_epochs_and_seeds():
    orders = [
        tuple(
            torch.cat([x for x, _ in Batches(made(60), 16, seed=seed).epoch(number)])
            .flatten()
            .tolist()
        )
        for seed in (0, 1)
        for number in (0, 1)
    ]
    assert len(set(orders)) == 4


def test_seeds_of_any_size_and_sign():
    for seed in (-1, 2**70):
        assert len(collected(Batches(made(60), 32, seed=seed), 0)) == 2


def test_normalised_by_its_own_statistics():
    dataset = made(600, channels=3)
    x = torch.cat([x for x, _ in Batches(dataset, 64, seed=0).epoch(0)])
    assert x.dtype == torch.float32
    # 7,200 float32 values a channel, each off by some 1e-7.
    assert x.mean((0, 2, 3)).abs().max() < 1e-5
    assert (x.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_normalised_by_given_statistics():
    dataset = made(10, channels=2)
    (x, _), *_ = Batches(dataset, 10, seed=0, shuffle=False, mean=[0.1, 0.2], std=[0.5, 2.0]).epoch(
        0
    )
    mean, std = torch.tensor([0.1, 0.2]).view(2, 1, 1), torch.tensor([0.5, 2.0]).view(2, 1, 1)
    # Two roundings in float32 of values below 2.
    torch.testing.assert_close(x, (dataset.images / 255 - mean) / std, rtol=0, atol=5e-7)


def test_constant_channel_becomes_zero():
    dataset = made(4)
    dataset.images.fill_(77)
    (x, _), *_ = Batches(dataset, 4, seed=0).epoch(0)
    # 77 / 255 has no exact float32: one unit in its last place may stay.
    assert x.abs().max() < 1e-7
    (x, _), *_ = Batches(dataset, 4, seed=0, mean=[0.0], std=[0.0]).epoch(0)
    assert x.flatten().tolist() == pytest.approx([77 / 255] * x.numel(), rel=1e-6)  # float32


def test_the_data_set_is_left_as_it_was():
    dataset = made(20)
    before = dataset.images.clone()
    for shuffle in (True, False):
        for x, _ in Batches(dataset, 8, seed=0, shuffle=shuffle).epoch(0):
            x.zero_()
    assert torch.equal(dataset.images, before)


def test_values_are_normalised_by_their_own_statistics_and_left_alone():
    values = torch.randn(40, 2, 9, generator=torch.Generator().manual_seed(0)) * 3 + 5
    dataset = Dataset("walks", values, torch.arange(40.0))
    before = values.clone()
    got = collected(Batches(dataset, 16, seed=0, shuffle=False), 0)
    x, y = (torch.cat(parts) for parts in zip(*got, strict=True))
    mean, std = (torch.tensor(v).view(2, 1) for v in dataset.statistics())
    torch.testing.assert_close(x, (before - mean) / std, rtol=0, atol=1e-5)
    assert torch.equal(y, torch.arange(40.0))
    assert torch.equal(values, before)


@pytest.mark.parametrize("name", ["mixup", "flip+cutmix"])
def test_blended_images_come_with_shares_of_classes(name):
    batches = Batches(made(60), 16, seed=0, augment=augment.by_name(name))
    for x, y in batches.epoch(0):
        assert y.shape == (len(x), 10)
        assert y.dtype == torch.float32
        torch.testing.assert_close(y.sum(1), torch.ones(len(x)), rtol=0, atol=1e-6)
        assert (y.max(1).values < 1).any()


def test_values_are_blended_as_they_are():
    dataset = Dataset("measured", made(60).images, torch.arange(60.0))
    (_, y), *_ = Batches(dataset, 60, seed=0, augment=augment.by_name("mixup")).epoch(0)
    assert y.shape == (60,)
    assert y.sum() != torch.arange(60.0).sum()


@pytest.mark.parametrize("prefetch", [1, 2, 9])
def test_batches_made_ahead_have_the_same_bits(prefetch):
    change = augment.by_name("affine+mixup")
    plain = Batches(made(60), 16, seed=5, augment=change)
    ahead = Batches(made(60), 16, seed=5, augment=change, prefetch=prefetch)
    for start in (0, 2, 4):
        assert same(collected(plain, 1, start), collected(ahead, 1, start))


def test_no_more_batches_are_made_ahead_than_asked_for():
    made_so_far = []
    batches = Batches(
        made(60), 4, seed=0, augment=lambda x, _: made_so_far.append(1) or x, prefetch=2
    )
    walk = batches.epoch(0)
    next(walk)
    walk.close()  # waits for what was begun
    assert 1 <= len(made_so_far) <= 3


def test_an_error_in_the_thread_arrives():
    def broken(images, generator):
        raise RuntimeError("no such colour")

    with pytest.raises(RuntimeError, match="no such colour"):
        collected(Batches(made(60), 16, seed=0, augment=broken, prefetch=1), 0)


def test_threads_end_with_their_epoch():
    before = threading.active_count()
    batches = Batches(made(60), 16, seed=0, prefetch=2)
    collected(batches, 0)
    walk = batches.epoch(1)
    next(walk)
    walk.close()
    assert threading.active_count() == before


def test_seconds_are_those_of_waiting(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("cenote.data._batches.perf_counter", lambda: now[0])

    def slow(images, generator):
        now[0] += 2
        return images

    batches = Batches(made(60), 16, seed=0, augment=slow)
    assert batches.seconds == 0
    for _ in batches.epoch(0):
        now[0] += 5  # computing, which does not count
    assert batches.seconds == 8
    collected(batches, 1)
    assert batches.seconds == 16


def test_waiting_is_hidden_behind_computing():
    def slow(images, generator):
        time.sleep(0.02)  # stands for work outside Python's lock
        return images

    waited = []
    for prefetch in (0, 2):
        batches = Batches(made(60), 6, seed=0, augment=slow, prefetch=prefetch)
        for _ in batches.epoch(0):
            time.sleep(0.04)
        waited.append(batches.seconds)
    assert waited[0] >= 0.2
    assert waited[1] < waited[0] / 2  # of 10 batches only the first cannot be hidden


def test_augmentation_for_what_is_no_image_is_refused():
    walks = Dataset("walks", torch.zeros(4, 1, 9), torch.zeros(4))
    with pytest.raises(
        ValueError, match=r"augment = Flip.*: must be None for .*walks is \(4, 1, 9\)"
    ):
        Batches(walks, 2, seed=0, augment=augment.by_name("flip"))
    grids = Dataset("grids", torch.zeros(4, 1, 5, 5), torch.zeros(4, 2, 5, 5))
    with pytest.raises(
        ValueError, match=r"must be None where the targets are a grid .* \(4, 2, 5, 5\)"
    ):
        Batches(grids, 2, seed=0, augment=augment.by_name("flip"))


def test_refused():
    with pytest.raises(ValueError, match="Batches: prefetch = -1: must be at least 0"):
        Batches(made(), 8, seed=0, prefetch=-1)
    with pytest.raises(ValueError, match="Batches: batch_size = 0: must be at least 1"):
        Batches(made(), 0, seed=0)
    with pytest.raises(
        ValueError, match=r"mean = \(0.1, 0.2\): must be one number for each of the 1 "
    ):
        Batches(made(), 8, seed=0, mean=[0.1, 0.2])
    with pytest.raises(
        ValueError, match=r"std = \(\): must be one number for each of the 3 channels"
    ):
        Batches(made(channels=3), 8, seed=0, std=[])
    for start in (-1, 5):
        with pytest.raises(ValueError, match=rf"start = {start}: must lie in 0 to 4 batches"):
            Batches(made(60), 16, seed=0).epoch(0, start)
