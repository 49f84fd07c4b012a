"""Inputs for operators: numbers of several kinds, laid out in memory in several ways."""

import zlib

import numpy as np
import torch

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
ELEMENT_TYPES = (*FLOATS, *INTEGERS, torch.bool)


def extremes(dtype):
    """The least and the greatest value of a type that is not a floating one."""
    if dtype is torch.bool:
        return False, True
    return torch.iinfo(dtype).min, torch.iinfo(dtype).max


def _filled(storage, view, values):
    """``values`` in a view of a storage that would show a stray read: NaN, or both extremes."""
    if storage.is_floating_point():
        storage.fill_(float("nan"))
    else:
        storage.view(-1)[::2], storage.view(-1)[1::2] = extremes(storage.dtype)
    return view.copy_(values)


# Layouts. ``rank`` is the number of axes that windows slide on, two where there are so many unless
# it is given; before them stand the channels.


def sliding(dims, rank):
    return min(2, dims - 1) if rank is None else rank


def contiguous(values, rank=None):
    """At an odd address: one element into its storage."""
    storage = values.new_empty(values.numel() + 2)
    return _filled(storage, storage[1:-1].view(values.shape), values)


def channels_last(values, rank=None):
    """Also what torch calls channels_last_3d; in 1-D torch has no name for it."""
    rank = sliding(values.dim(), rank)
    storage = values.movedim(-rank - 1, -1).contiguous()
    return storage.movedim(-1, -rank - 1)


def cropped(values, rank=None):
    """Rows whose elements are neighbours, with a gap between rows, planes and images."""
    storage = values.new_empty([size + 3 for size in values.shape])
    return _filled(storage, storage[tuple(slice(1, 1 + s) for s in values.shape)], values)


def some_channels(values, rank=None):
    """A few channels of a channels_last tensor, as ``chunk`` gives them."""
    rank = sliding(values.dim(), rank)
    *lead, channels = values.shape[:-rank]
    storage = values.new_empty([*lead, *values.shape[-rank:], channels + 3])
    view = storage[..., 1 : 1 + channels].movedim(-1, -rank - 1)
    return _filled(storage, view, values)


def sliced(values, rank=None):
    """Every second element of every third row, and of every third slice."""
    rank = sliding(values.dim(), rank)
    *outer, width = values.shape[-rank:]
    storage = values.new_empty([*values.shape[:-rank], *(3 * size for size in outer), 2 * width])
    steps = [slice(1, None, 3)] * len(outer) + [slice(1, None, 2)]
    return _filled(storage, storage[(..., *steps)], values)


def transposed(values, rank=None):
    """The axes in the opposite order in memory; in 1-D those of channels and elements."""
    count = max(sliding(values.dim(), rank), 2)
    order = [*range(values.dim() - count), *range(-1, -count - 1, -1)]
    return values.permute(order).contiguous().permute(order)


def expanded(values, rank=None):
    """One channel that stands for all of them (stride 0); ``values`` must say the same."""
    rank = sliding(values.dim(), rank)
    return values.narrow(-rank - 1, 0, 1).clone().expand(values.shape)


def negated(values, rank=None):
    """A view that torch negates when it is read, as the imaginary part of a conjugate is.

    The memory holds the numbers with the opposite sign. (Negative strides, which NumPy has for
    such views as ``x[::-1]``, do not exist in torch: ``flip`` copies, ``from_numpy`` refuses.)
    """
    return torch._neg_view(contiguous(values.neg(), rank))


LAYOUTS = (
    contiguous,
    channels_last,
    cropped,
    some_channels,
    sliced,
    transposed,
    expanded,
    negated,
)


def layouts(dtype):
    """The layouts that there are in a type: torch negates no booleans."""
    return tuple(layout for layout in LAYOUTS if layout is not negated or dtype is not torch.bool)


# Values.

KINDS = ("normal", "ties", "special")


def make_values(shape, dtype, kind, seed=0, shared=False, rank=None):
    """Numbers of a kind, the same on every machine; ``shared``: every channel holds the same."""
    rng, rank = np.random.default_rng([zlib.crc32(kind.encode()), seed]), sliding(len(shape), rank)
    if dtype in INTEGERS or dtype is torch.bool:
        values = _whole(rng, shape, dtype, kind)
    else:
        values = _real(rng, shape, dtype, kind)
        if kind == "special":  # whole windows of nothing but -inf, and of nothing but inf
            along = np.moveaxis(values, -min(rank, 2), 0)
            along[: len(along) // 3] = -np.inf
            along[len(along) - len(along) // 6 :] = np.inf
    if shared:
        values = np.repeat(np.take(values, [0], -rank - 1), shape[-rank - 1], -rank - 1)
    return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)


def _real(rng, shape, dtype, kind):
    if kind == "normal":
        return rng.standard_normal(shape)
    # Few different values: ties everywhere, and zeros of both signs.
    values = rng.integers(-2, 3, shape) * rng.choice([-1.0, 1.0], shape)
    if kind == "ties":
        return values
    limits = torch.finfo(dtype)
    denormal = limits.smallest_normal * limits.eps
    odd = [np.nan, np.inf, -np.inf, -np.inf, denormal, -3 * denormal]
    return np.where(rng.random(shape) < 0.3, rng.choice(odd, shape), values)


def _whole(rng, shape, dtype, kind):
    low, high = extremes(dtype)
    if kind == "ties":
        return rng.integers(max(low, -2), min(high, 2), shape, endpoint=True)
    if kind == "normal" or dtype is torch.bool:  # int64: sums of a few thousand still fit
        return rng.integers(max(low, -(2**50)), min(high, 2**50), shape, endpoint=True)
    return rng.choice([low, high, high, 0, 1, max(low, -1)], shape)
