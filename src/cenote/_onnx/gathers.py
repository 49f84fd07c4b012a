"""Windows without a node: products with matrices, gathers and reductions.

Over sizes that are known, one axis after the other by constants: a window is a product of axes, so
that sums are one matrix product an axis, whatever the windows' lengths, and maxima one gather and
one reduction. Over sizes that are symbols, all windows side by side.
"""

from __future__ import annotations

from functools import reduce as fold
from math import inf, prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import reference
from cenote._kernels import Divisor, Weights
from cenote._onnx.frame import numbers, padding_of
from cenote.window import Adaptive, Axis, Window

__all__ = ["added", "counted", "located", "logsumexp", "multiplied", "reduced"]


def multiplied(x: Tensor, window: Window, divisor: Divisor, weights: Weights | None) -> Tensor:
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
        # No transposition: ONNX Runtime would fuse it with the product, and fail on no batch.
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
    """The greatest or least elements, and where each lies in its plane; -1 where there is none."""
    n = x.shape[x.dim() - window.rank :]
    laid, inside = _laid_out(x, window)
    filled = torch.where(inside, laid, reference.identity(reduce, x.dtype))
    best = filled.amax(-1, keepdim=True) if reduce == "max" else filled.amin(-1, keepdim=True)
    first = ((filled == best) & inside).to(torch.int32).argmax(-1)
    table, _ = _laid_out(torch.arange(prod(n)).reshape(tuple(n)), window)
    out, taps = table.shape[:-1], table.shape[-1]
    place = first + (torch.arange(prod(out)) * taps).reshape(out)
    index = table.flatten().index_select(0, place.flatten()).reshape(place.shape)
    return best.squeeze(-1), torch.where(inside.any(-1), index, -1)


def added(x: Tensor, window: Window, weights: Weights | None) -> Tensor:
    """The sum of every window: ``(*lead, *n) -> (*lead, *out)``."""
    laid, inside = _laid_out(x, window)
    terms = torch.where(inside, laid, 0)
    if weights is not None:
        rows = [numbers(row, terms.dtype) for row in weights]
        terms = terms * fold(lambda a, b: a[..., None] * b, rows).flatten()
    return terms.sum(-1)


def counted(x: Tensor, window: Window, count_include_pad: bool) -> Tensor:
    """How many elements a window's average counts, at least 1: ``(*lead, *n) -> out``."""
    n = list(x.shape[x.dim() - window.rank :])
    if count_include_pad:  # what padding holds are elements too, what hangs over are none
        pads = [padding_of(axis, length) for axis, length in zip(window, n, strict=True)]
        n = [before + size + after for size, (before, after, _) in zip(n, pads, strict=True)]
        window = Window(
            Axis(axis.kernel, axis.stride, 0, over, axis.dilation)
            if isinstance(axis, Axis) else axis
            for axis, (_, _, over) in zip(window, pads, strict=True)
        )  # fmt: skip
    _, inside = _laid_out(x.new_zeros(tuple(n)), window)
    return inside.sum(-1).clamp(min=1)


def logsumexp(x: Tensor, window: Window, sharpness: float) -> Tensor:
    """``log(sum(exp(sharpness * x))) / sharpness``: ``(*lead, *n) -> (*lead, *out)``."""
    laid, inside = _laid_out(x * sharpness, window)
    return torch.where(inside, laid, -inf).logsumexp(-1) / sharpness


def _laid_out(x: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """All windows side by side and which of their taps are inside, as the reference has it.

    ``(*lead, *n) -> (*lead, *out, taps)`` and ``(*out, taps)``; ``n`` may be symbols.
    """
    lead, rank = x.dim() - window.rank, window.rank
    n = x.shape[lead:]
    inside = torch.ones((), dtype=torch.bool)
    for position, (axis, length) in enumerate(zip(window, n, strict=True)):
        index, valid = _reads(axis, length)
        dim = lead + 2 * position
        x = x.index_select(dim, index.flatten()).unflatten(dim, index.shape)
        inside = inside[..., None, None] & valid
    order = [*range(lead), *range(lead, lead + 2 * rank, 2), *range(lead + 1, lead + 2 * rank, 2)]
    mask_order = [*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)]
    return x.permute(order).flatten(-rank), inside.permute(mask_order).flatten(-rank)


def _reads(axis: Any, n: Any) -> tuple[Tensor, Tensor]:
    """The input that every (output, tap) reads, clamped into the axis, and whether it was in."""
    if isinstance(axis, Adaptive):
        o, m = torch.arange(axis.outputs), axis.outputs
        start, stop = o * n // m, ((o + 1) * n + (m - 1)) // m
        i = start[:, None] + torch.arange((n + m - 1) // m + 1)
        return i.clamp(0, n - 1), i < stop[:, None]
    if not isinstance(axis, Axis):
        return reference.positions(axis, n, torch.device("cpu"))
    before, after, over = padding_of(axis, n)
    outputs = (n + before + after + over - axis.extent) // axis.stride + 1
    start = torch.arange(outputs) * axis.stride - before
    i = start[:, None] + torch.arange(axis.kernel) * axis.dilation
    return i.clamp(0, n - 1), (i >= 0) & (i < n)
