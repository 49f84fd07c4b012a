"""Sequences that the package makes itself: MNIST-1D.

After Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D" (2020): ten templates of 12
points in the shapes of digits, padded, stretched, scaled, moved, covered with noise, sheared and
sampled at 40 points. The draws come in the published order from the published seed.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from cenote.data._dataset import Dataset

__all__ = ["mnist1d"]

_TEMPLATES = np.array(
    [
        [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
        [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
        [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
        [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
        [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
        [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
        [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
        [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
    ]
)
_PADDING = 36, 60  # points of silence behind a template, at least and at most
_STRETCHED = _TEMPLATES.shape[1] + _PADDING[1]
_SCALE = 0.4  # the width of the range of factors around 1
_MOVES = 48  # points that a signal may be moved by, round the end
_SILENCE, _BLUR = 0.25, 2.0  # noise where the signal is silent: its height, and its blur in points
_NOISE = 0.02  # of every point
_SHEAR = 0.75  # the width of the range of slopes
_LENGTH = 40


def mnist1d(split: str, *, samples: int = 5000, seed: int = 42) -> Dataset:
    """The ``"train"`` part, four fifths of ``samples``, or the ``"test"`` part: (N, 1, 40).

    The same ``seed`` makes the same set on every machine, up to the last bits of the arithmetic.

    >>> mnist1d("test")
    Dataset('mnist1d', 1000 samples of 1x40, 10 classes)
    """
    signals, labels = _made(samples, seed)
    cut = len(labels) * 4 // 5
    part = slice(None, cut) if split == "train" else slice(cut, None)
    images = torch.from_numpy(signals[part].astype(np.float32)).unsqueeze(1)
    return Dataset("mnist1d", images, torch.from_numpy(labels[part].copy()), tuple("0123456789"))


@cache
def _made(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All signals, (N, 40), and their labels, of both parts."""
    random = np.random.RandomState(seed)  # its stream is promised never to change
    shapes = _TEMPLATES - _TEMPLATES.mean(1, keepdims=True)
    shapes /= shapes.std(1, keepdims=True)
    shapes = (shapes - shapes[:, :1]) / 6  # begins and ends at 0
    each = samples // len(shapes)
    signals = np.stack([_signal(shape, random) for shape in shapes for _ in range(each)])
    order = random.permutation(len(signals))
    labels = np.arange(len(shapes), dtype=np.int64).repeat(each)[order]
    return (signals[order] - signals.mean()) / signals.std(), labels


def _signal(shape: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """One sample, (40,), before the whole set is brought to mean 0 and deviation 1."""
    low, high = _PADDING
    silence = low + int(random.rand() * (high - low + 1))
    # A trifle above 0 tells a template's own zeros from the silence behind it.
    signal = _sampled(np.concatenate([shape + 1e-8, np.zeros(silence)]), _STRETCHED)
    signal = signal * (1 + _SCALE * (random.rand() - 0.5))
    signal = np.roll(signal, random.choice(_MOVES))
    hum = _blurred(_SILENCE * random.randn(_STRETCHED))
    signal = np.where(signal != 0, signal, hum) + _NOISE * random.randn(_STRETCHED)
    slope = _SHEAR * (random.rand() - 0.5)
    sheared: np.ndarray = signal - slope * np.linspace(-0.5, 0.5, _STRETCHED)
    return _sampled(sheared, _LENGTH)


def _sampled(signal: np.ndarray, points: int) -> np.ndarray:
    """``signal`` at ``points`` places from its first to its last element, on straight lines."""
    places = np.linspace(0, 1, points)
    values: np.ndarray = np.interp(places, np.linspace(0, 1, len(signal)), signal)
    return values


def _blurred(signal: np.ndarray) -> np.ndarray:
    """``signal`` under a Gaussian cut at four deviations, mirrored beyond its ends."""
    reach = int(4 * _BLUR + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _BLUR) ** 2)
    around = np.pad(signal, reach, "symmetric")
    blurred: np.ndarray = np.convolve(around, weights / weights.sum(), "valid")
    return blurred
