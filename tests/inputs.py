"""Inputs for operators: numbers of several kinds, laid out in memory in several ways."""

import zlib

import numpy as np
import torch


def _filled(storage, view, values):
    """``values`` in a view of a storage that is NaN elsewhere: a stray read would show."""
    storage.fill_(float("nan"))
    return view.copy_(values)


def contiguous(values):
    """At an odd address: one element into its storage."""
    storage = values.new_empty(values.numel() + 2)
    return _filled(storage, storage[1:-1].view(values.shape), values)


def channels_last(values):
    storage = values.movedim(-3, -1).contiguous()
    return storage.movedim(-1, -3)


def cropped(values):
    """Rows whose elements are neighbours, with a gap between rows, planes and images."""
    storage = values.new_empty([size + 3 for size in values.shape])
    return _filled(storage, storage[tuple(slice(1, 1 + s) for s in values.shape)], values)


def some_channels(values):
    """A few channels of a channels_last tensor, as ``chunk`` gives them."""
    *lead, channels, height, width = values.shape
    storage = values.new_empty([*lead, height, width, channels + 3])
    view = storage[..., 1 : 1 + channels].movedim(-1, -3)
    return _filled(storage, view, values)


def sliced(values):
    """Every second element of every third row."""
    *lead, height, width = values.shape
    storage = values.new_empty([*lead, 3 * height, 2 * width])
    return _filled(storage, storage[..., 1::3, 1::2], values)


def transposed(values):
    return values.mT.contiguous().mT


def expanded(values):
    """One channel that stands for all of them (stride 0); ``values`` must say the same."""
    return values[..., :1, :, :].clone().expand(values.shape)


LAYOUTS = (contiguous, channels_last, cropped, some_channels, sliced, transposed, expanded)
KINDS = ("normal", "ties", "special")


def make_values(shape, dtype, kind, seed=0, shared=False):
    """Numbers of a kind, the same on every machine; ``shared``: every channel holds the same."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    if kind == "normal":
        values = rng.standard_normal(shape)
    else:  # few different values: ties everywhere, and zeros of both signs
        values = rng.integers(-2, 3, shape) * rng.choice([-1.0, 1.0], shape)
    if kind == "special":
        limits = torch.finfo(dtype)
        denormal = limits.smallest_normal * limits.eps
        odd = [np.nan, np.inf, -np.inf, -np.inf, denormal, -3 * denormal]
        values = np.where(rng.random(shape) < 0.3, rng.choice(odd, shape), values)
        values[..., : values.shape[-2] // 3, :] = -np.inf  # whole windows of it
    if shared:
        values[...] = values[..., :1, :, :]
    return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)
