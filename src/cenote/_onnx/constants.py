"""Windows over known sizes without a node: constant matrices and gathers, one axis at a time.

A window is a product of axes, so that sums are one matrix product an axis, whatever the windows'
lengths; and maxima one gather and one reduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce as fold

import torch
from torch import Tensor

from cenote import reference
from cenote._kernels import Divisor
from cenote.window import Window

__all__ = ["multiplied", "reduced"]


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
        rows = torch.tensor(matrix, dtype=x.dtype)
        # as a product of two matrices alone: runtimes stumble over batches of none
        x = torch.tensordot(x, rows, dims=([dim], [1])).movedim(-1, dim)
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
