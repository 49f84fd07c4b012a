"""Resizing, and patches taken apart and put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cenote.inspection.tracing.given import Given, rule
from cenote.inspection.tracing.pointwise import padded
from cenote.inspection.tracing.sight import NOTHING, Sight, merge, move, settled
from cenote.inspection.tracing.tables import Table

__all__ = ["resize_weights"]

_RESIZES = tuple(
    f"aten::{name}{rank}d{suffix}"
    for name, ranks, suffix in (
        ("upsample_nearest", (1, 2, 3), ""), ("_upsample_nearest_exact", (1, 2, 3), ""),
        ("upsample_linear", (1,), ""), ("upsample_bilinear", (2,), ""),
        ("upsample_trilinear", (3,), ""), ("upsample_bicubic", (2,), ""),
        ("_upsample_bilinear", (2,), "_aa"), ("_upsample_bicubic", (2,), "_aa"),
    )
    for rank in ranks
)  # fmt: skip


@rule(*_RESIZES)
def _resize(given: Given) -> list[Sight]:
    """Each axis by itself; which elements count is asked of the operator, on unit impulses."""
    sight = given.first
    tables = {}
    for position in range(len(sight.shape) - 2):
        dim = 2 + position
        weights = resize_weights(given, position, sight.shape[dim], given.shape[dim])
        tables[dim] = Table.of_weights(weights)
    return [merge(sight, tables)]


def resize_weights(given: Given, axis: int, n: int, outputs: int) -> np.ndarray:
    """The matrix (outputs, n) by which one axis is resized.

    A weight of exactly zero counts as not read: the middle one of a doubled size, say.
    """
    rank = len(given.shape) - 2
    # Two elements along the others: with one, torch resizes the wrong axis when it filters.
    lengths, sizes = [2] * rank, [2] * rank
    lengths[axis], sizes[axis] = n, outputs
    along = [n if position == axis else 1 for position in range(rank)]
    impulses = torch.eye(n).reshape(n, 1, *along).expand(n, 1, *lengths).contiguous()
    call = given.call
    args: list[Any] = []
    names = [a.name for a in call.func._schema.arguments]
    scales = 0
    for name in names:
        value = given[name]
        if name in ("self", "input"):
            value = impulses
        elif name == "output_size":
            value = sizes
        elif name == "scale_factors":
            value = None
        elif name.startswith("scales"):
            value = value if scales == axis else None
            scales += 1
        args.append(value)
    resized = call.func(*args).movedim(2 + axis, -1)
    return np.asarray(resized[(slice(None), *[0] * rank)].T.numpy())


@rule("aten::im2col")
def _unfold(given: Given) -> list[Sight]:
    """Patches in columns: padding sees nothing, everything else moves."""
    sight = given.first
    rows, columns = (int(p) for p in given["padding"])
    rank = len(sight.shape)
    wide = padded(sight, {rank - 2: (rows, rows), rank - 1: (columns, columns)})
    numbers = [given[name] for name in ("kernel_size", "dilation", "stride")]

    def how(t: Tensor) -> Tensor:
        made: Tensor = torch.ops.aten.im2col(
            t.contiguous(), numbers[0], numbers[1], [0, 0], numbers[2]
        )
        return made

    moved = move(wide, how, lambda r, d: (None, None), torch.float64)
    return [Sight(given.shape, moved.axes)]


@rule("aten::col2im")
def _fold(given: Given) -> list[Sight]:
    """Patches laid over one another: every element sees what all that cover it do."""
    sight, shape = given.first, given.shape
    height, width = shape[-2:]
    kernel = [int(k) for k in given["kernel_size"]]
    places = torch.arange(height * width, dtype=torch.float64).reshape(1, 1, height, width) + 1
    covered = torch.ops.aten.im2col(
        places, kernel, given["dilation"], given["padding"], given["stride"]
    )
    # 0 is the padding: what falls there is dropped.
    index = covered[0].to(torch.int64).numpy().reshape(kernel[0] * kernel[1], -1)
    lead = sight.shape[:-2]
    channels = sight.shape[-2] // (kernel[0] * kernel[1])

    def laid(array: np.ndarray, end: int) -> np.ndarray:
        full = np.broadcast_to(array, sight.shape)
        columns = full.reshape(*lead, channels, *index.shape)
        out = np.full((*lead, channels, height * width + 1), NOTHING[end])
        for tap in range(index.shape[0]):
            at = (..., index[tap])
            least = np.minimum if end == 0 else np.maximum
            out[at] = least(out[at], columns[..., tap, :])
        return out[..., 1:].reshape(shape)

    return [sight.map(shape, lambda a: settled(laid(a.starts, 0), laid(a.stops, 1)))]
