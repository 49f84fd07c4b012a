"""Windows over known sizes without a node: constant matrices and gathers, one axis at a time.

A window is a product of axes, so that sums are one matrix product an axis, whatever the windows'
lengths; and maxima one gather and one reduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce as fold

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import reference
from cenote._kernels import Divisor
from cenote.window import Window

__all__ = ["located", "multiplied", "reduced"]


def multiplied(
    x: Tensor, window: Window, divisor: Divisor, weights: Sequence[Sequence[float]] | None
) -> Tensor:
    """The weighted sums of a window over their divisors: ``(*lead, *n) -> (*lead, *out)``.

    Of integers sums alone: where the divisor is 1.
    """
    lead = x.dim() - window.rank
    sizes = tuple(x.shape[lead:])
    for dim, (axis, n) in enumerate(zip(window.at(sizes), sizes, strict=True), lead):
        matrix = [[0.0] * n for _ in range(axis.out(n))]
        for o, row in enumerate(matrix):
            share = 1.0
            if divisor.override is None:
                share = 1 / max(1, axis.divisor(o, n, divisor.count_include_pad))
            for k, i in zip(axis.taps(o, n), axis.inputs(o, n), strict=True):
                row[i] = share * (1.0 if weights is None else weights[dim - lead][k])
        # On its own side, for ONNX Runtime fuses a transposition wrongly over batches of none.
        rows, rest = torch.tensor(matrix, dtype=x.dtype), x.shape[dim + 1 :]
        x = (rows @ x.flatten(dim + 1)).unflatten(-1, rest) if rest else F.linear(x, rows)
    return x if divisor.override in (None, 1) else x / divisor.override


def reduced(x: Tensor, window: Window, reduce: str) -> Tensor:
    """The greatest or least elements: ``(*lead, *n) -> (*lead, *out)``.

    What fills a row of the gather up is an element that the window has anyway.
    """
    lead = x.dim() - window.rank
    sizes = tuple(x.shape[lead:])
    occupied = []
    for dim, (axis, n) in enumerate(zip(window.at(sizes), sizes, strict=True), lead):
        reads = [list(axis.inputs(o, n)) for o in range(axis.out(n))]
        occupied.append([len(row) > 0 for row in reads])
        most = max(map(len, reads))
        filled = [row + [row[-1] if row else 0] * (most - len(row)) for row in reads]
        laid = x.index_select(dim, torch.tensor(filled).flatten()).unflatten(dim, (-1, most))
        x = laid.amax(dim + 1) if reduce == "max" else laid.amin(dim + 1)
    if all(map(all, occupied)):
        return x
    mask = fold(lambda a, b: a[..., None] & b, map(torch.tensor, occupied))
    return torch.where(mask, x, reference.identity(reduce, x.dtype))


def located(x: Tensor, window: Window, reduce: str) -> tuple[Tensor, Tensor]:
    """What :func:`reduced` gives, and where each lies in its plane; -1 where there is nothing."""
    sizes = tuple(x.shape[x.dim() - window.rank :])
    numbers, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)  # (outputs, taps)
    for axis, n in zip(window.at(sizes), sizes, strict=True):
        reads = [list(axis.inputs(o, n)) for o in range(axis.out(n))]
        most = max(map(len, reads))
        along = np.array([row + [-1] * (most - len(row)) for row in reads])
        shape = (len(numbers) * len(along), -1)
        numbers = (numbers[:, None, :, None] * n + along[:, None].clip(0)).reshape(shape)
        inside = (inside[:, None, :, None] & (along[:, None] >= 0)).reshape(shape)
    table, mask = torch.tensor(numbers), torch.tensor(inside)
    laid = x.flatten(-window.rank).index_select(-1, table.flatten()).unflatten(-1, numbers.shape)
    filled = torch.where(mask, laid, reference.identity(reduce, x.dtype))
    best = filled.amax(-1, True) if reduce == "max" else filled.amin(-1, True)
    tap = ((filled == best) & mask).to(torch.int32).argmax(-1)
    index = table.flatten()[tap + torch.arange(len(numbers)) * numbers.shape[1]]
    index = torch.where(torch.tensor(inside.any(-1)), index, -1)
    out = window.out(sizes)
    return best.squeeze(-1).unflatten(-1, out), index.unflatten(-1, out)
