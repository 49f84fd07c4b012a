"""The data sets that the package makes: the same every time, and what their recipes promise."""

import numpy as np
import pytest
import torch

from cenote import data
from cenote.data._sequences import _TEMPLATES, _blurred, mnist1d
from cenote.data._traffic import traffic


def test_mnist1d_has_the_published_sizes_and_scale():
    train, test = data.load("mnist1d", "train"), data.load("mnist1d", "test")
    assert train.images.shape == (4000, 1, 40)
    assert test.images.shape == (1000, 1, 40)
    counts = torch.bincount(torch.cat([train.labels, test.labels]))
    assert counts.tolist() == [500] * 10
    values = torch.cat([train.images, test.images]).double()
    assert abs(values.mean()) < 1e-6
    assert abs(values.std(correction=0) - 1) < 1e-6


def test_made_sets_follow_their_seed():
    for make in (mnist1d, lambda part, seed: traffic(part, seed=seed, height=6, width=6, weeks=2)):
        one, again, other = make("train", seed=3), make("train", seed=3), make("train", seed=4)
        assert one.fingerprint == again.fingerprint
        assert one.fingerprint != other.fingerprint
        again.images.zero_()  # a caller's changes are his own
        assert make("train", seed=3).fingerprint == one.fingerprint


def test_mnist1d_shows_its_templates():
    """A sample is nearer to its own template, anywhere and at any size, than to most others."""
    test = mnist1d("test")
    shapes = _TEMPLATES - _TEMPLATES.mean(1, keepdims=True)
    hits = 0
    for signal, label in zip(test.images[:200, 0].double().numpy(), test.labels[:200], strict=True):
        scores = []
        for shape in shapes:
            best = 0.0
            for width in (7, 8, 9, 10):  # of 40 points, after stretching
                template = np.interp(np.linspace(0, 11, width), np.arange(12), shape)
                template = (template - template.mean()) / template.std()
                for at in range(41 - width):
                    piece = signal[at : at + width] - signal[at : at + width].mean()
                    best = max(best, float(piece @ template))
            scores.append(best)
        hits += int(np.argmax(scores)) == int(label)
    assert hits > 60  # 20 by chance


def test_blur_is_a_gaussian_mirrored_at_the_ends():
    signal = np.zeros(40)
    signal[20] = 1.0
    spread = _blurred(signal)
    assert spread.sum() == pytest.approx(1)
    assert (spread * (np.arange(40) - 20) ** 2).sum() == pytest.approx(
        4, rel=0.01
    )  # cut at 4 sigma
    assert _blurred(np.ones(40)) == pytest.approx(np.ones(40))
    edge = np.zeros(40)
    edge[0] = 1.0
    assert _blurred(edge).sum() == pytest.approx(1)


def test_traffic_lays_out_its_frames_as_it_says():
    train, test = traffic("train", recent=3), traffic("test", recent=3)
    x, y = (torch.cat([getattr(p, n) for p in (train, test)]) for n in ("images", "labels"))
    assert x.shape == (11 * 168, 10, 16, 16)
    assert y.shape == (11 * 168, 2, 16, 16)
    at = 500
    for place, hours in enumerate([3, 2, 1, 24, 168]):
        assert torch.equal(x[at, 2 * place : 2 * place + 2], y[at - hours])
    assert (len(train), len(test)) == (1478, 370)
    assert train.ordered
    assert train.regression


def test_traffic_repeats_by_the_day_and_the_week():
    hours = traffic("train").labels

    def difference(lag):
        return float((hours[lag:] - hours[:-lag]).square().mean().sqrt())

    assert difference(168) < difference(24) < difference(12)
    assert difference(168) < difference(1)
    assert hours.min() >= 0
    assert 1 < hours.max() < 3


def test_parts():
    assert data.parts("traffic") == ("train", "test")
    with pytest.raises(ValueError, match="split = 'validation': must be one of train, test"):
        data.load("mnist1d", "validation")
