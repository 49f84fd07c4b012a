"""A forecast on a grid that is no image: the traffic in and out of a city's squares, made here.

The task is that of Zhang, Zheng and Qi, "Deep Spatio-Temporal Residual Networks for Citywide Crowd
Flows Prediction" (2017): from the last frames, and those of the same hour yesterday and last week,
the next frame. The city is made: homes and workplaces between which people go by the hour and
the day of the week, places of leisure, and weather that passes over it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from cenote.data._dataset import Dataset

__all__ = ["traffic"]

_DAY, _WEEK = 24, 7 * 24
_HOMES, _WORKPLACES, _LEISURE = 6, 3, 3


def traffic(
    split: str,
    *,
    height: int = 16,
    width: int = 16,
    weeks: int = 12,
    recent: int = 4,
    seed: int = 0,
) -> Dataset:
    """The ``"train"`` part, the first four fifths of the hours, or the ``"test"`` part.

    Images (N, 2 * (recent + 2), H, W): inflow and outflow of the ``recent`` last hours, the oldest
    first, then those of the wanted hour yesterday and last week. Targets (N, 2, H, W): inflow and
    outflow of the next hour. A unit is about what flows at a busy square in its busiest hour. The
    samples are in the order of time, and no target of the test part is older than any of training.

    >>> traffic("test")
    Dataset('traffic', 370 samples of 12x16x16, 2x16x16 values each)
    """
    frames = _frames(height, width, weeks * _WEEK, seed)
    wanted = np.arange(_WEEK, len(frames))
    back = [*range(recent, 0, -1), _DAY, _WEEK]
    inputs = np.concatenate([frames[wanted - hours] for hours in back], axis=1)
    cut = len(wanted) * 4 // 5
    part = slice(None, cut) if split == "train" else slice(cut, None)
    images, targets = (torch.from_numpy(a[part].copy()) for a in (inputs, frames[wanted]))
    return Dataset("traffic", images, targets, ordered=True)


@cache
def _frames(height: int, width: int, hours: int, seed: int) -> np.ndarray:
    """Inflow and outflow of every hour, (hours, 2, H, W) in float32."""
    random = np.random.RandomState(seed)  # its stream is promised never to change
    homes = _hills(height, width, _HOMES, 2.5, random)
    work = _hills(height, width, _WORKPLACES, 1.5, random)
    leisure = _hills(height, width, _LEISURE, 1.5, random)
    hour, weekend = np.arange(hours) % _DAY, (np.arange(hours) // _DAY) % 7 >= 5
    busy = np.where(weekend, 0.25, 1.0)
    out_of_doors = np.where(weekend, 1.0, 0.4)
    to_work, to_home = _rush(hour, 8, 1.5) * busy, _rush(hour, 18, 2.0) * busy
    to_fun = _rush(hour, 20, 2.0) * out_of_doors + _rush(hour, 14, 3.0) * out_of_doors * 0.5
    from_fun = np.roll(to_fun, 3)
    weather = _weather(height, width, hours, random)
    arrive = _outer(to_work, work) + _outer(to_home + from_fun * 0.6, homes)
    arrive += _outer(to_fun, leisure)
    leave = _outer(to_work + to_fun * 0.6, homes) + _outer(to_home, work)
    leave += _outer(from_fun, leisure)
    flows = np.stack([arrive, leave], axis=1) * weather[:, None] + 0.02
    # What is counted differs from what was to be expected by about a root, as counts do.
    counted = flows + 0.03 * np.sqrt(flows) * random.randn(*flows.shape)
    kept: np.ndarray = np.maximum(counted, 0).astype(np.float32)
    return kept


def _hills(
    height: int, width: int, count: int, spread: float, random: np.random.RandomState
) -> np.ndarray:
    """How much of the city's homes, or whatever, stands on each square: hills, at most 1 high."""
    rows, columns = np.mgrid[:height, :width]
    total = np.zeros((height, width))
    for y, x, size in zip(*random.rand(3, count), strict=True):
        squared = (rows - y * height) ** 2 + (columns - x * width) ** 2
        total += (0.4 + 0.6 * size) * np.exp(-0.5 * squared / spread**2)
    return np.minimum(total, 1)


def _rush(hour: np.ndarray, peak: float, spread: float) -> np.ndarray:
    """How many go at each hour, 1 at the peak, around the clock."""
    distance = np.abs((hour - peak + _DAY / 2) % _DAY - _DAY / 2)
    return np.exp(-0.5 * (distance / spread) ** 2)


def _weather(height: int, width: int, hours: int, random: np.random.RandomState) -> np.ndarray:
    """A factor on every square's traffic, (hours, H, W): a day's mood, and showers that move on."""
    mood, strength = 0.0, np.zeros((height, width))
    factors = np.empty((hours, height, width))
    for at in range(hours):
        mood = 0.97 * mood + 0.06 * random.randn()
        # A few long waves are as smooth as weather; each hour moves it one square to the east.
        y, x = (np.arange(n) / n * 2 * np.pi for n in (height, width))
        a, b, phase = random.randn(3)
        wave = np.sin(y + 3 * a)[:, None] + np.sin(x + 3 * b + phase)[None, :]
        strength = 0.9 * np.roll(strength, 1, axis=1) + 0.05 * wave
        factors[at] = np.exp(mood * 0.5 + strength)
    return np.clip(factors, 0.3, 1.7)


def _outer(times: np.ndarray, places: np.ndarray) -> np.ndarray:
    product: np.ndarray = times[:, None, None] * places
    return product
