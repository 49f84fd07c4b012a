"""Padding whose elements are elements: zeros, reflections, copies of the border, the other end.

An index map in front of the operator: every padded position shows one element of the input, or a
zero. The window that is left has no padding.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import _checks, _kernels, _onnx
from cenote.window import Axis, Window

__all__ = ["pad", "shown_padding", "unpadded"]

Reduction = TypeVar("Reduction", bound=Callable[..., Any])

_HALVES = (torch.float16, torch.bfloat16)


def shown_padding(reduce: Reduction) -> Reduction:
    """A reduction that takes padding which shows elements, made right at two edges.

    Half types are padded in float32, so that the gradients of an element and of what shows it are
    added before they are rounded. And there are as many outputs as the window has: behind shown
    padding ceil mode would find room for more.
    """

    @functools.wraps(reduce)
    def padded(
        op: str, x: Tensor, window: Window, *, padding_mode: str = "identity", **options: Any
    ) -> Any:
        if padding_mode == "identity":
            return reduce(op, x, window, padding_mode=padding_mode, **options)
        half = isinstance(x, Tensor) and x.dtype in _HALVES
        given = x.float() if half else x
        result = reduce(op, given, window, padding_mode=padding_mode, **options)
        pair = isinstance(result, tuple)
        values, *indices = result if pair else (result,)
        values = values.to(x.dtype) if half else values
        if any(isinstance(axis, Axis) and axis.ceil for axis in window):
            sizes = window.out(x.shape[x.dim() - window.rank :])
            layout = _kernels.memory_format(x, window.rank)
            values, *indices = (
                t[(..., *map(slice, sizes))].contiguous(memory_format=layout)
                for t in (values, *indices)
            )
        return (values, *indices) if pair else values

    return cast(Reduction, padded)


def pad(op: str, x: Tensor, window: Window, mode: str) -> tuple[Tensor, Window]:
    """``x`` with the window's padding around it, and the window without.

    ``(*lead, *n) -> (*lead, *(before + n + after))``, in the layout of ``x``. What ceil mode hangs
    over stays what it is.

    Raises:
        ValueError: padding that shows elements which the input does not have.
    """
    rank = window.rank
    lead = x.dim() - rank
    pads = _pads(window, x.shape[lead:])
    if all(pair == (0, 0) for pair in pads):
        return x, window
    padded = x
    for position, pair in enumerate(pads):
        n = x.shape[lead + position]
        _checks.check_pads(op, mode, rank, position, pair, n)
        if mode != "zeros" and pair != (0, 0):
            shown = _shown(mode, n, *pair, x.device)
            padded = padded.index_select(lead + position, shown)
    if mode == "zeros" and _onnx.exporting():
        padded = _onnx.zeros_around(x, pads)
    elif mode == "zeros":
        padded = F.pad(x, [amount for pair in reversed(pads) for amount in pair])
    bare = Window(
        dataclasses.replace(axis.at(n), before=0, after=0) if pair != (0, 0) else axis
        for axis, n, pair in zip(window, x.shape[lead:], pads, strict=True)
    )
    return padded.contiguous(memory_format=_kernels.memory_format(x, rank)), bare


def unpadded(indices: Tensor, window: Window, n: Sequence[int], mode: str) -> Tensor:
    """Flat indices into padded planes as indices into the planes of sizes ``n`` that they show.

    -1 stays -1, and is where a zero of the padding was selected.
    """
    result = torch.zeros_like(indices)
    outside = indices < 0
    rest = indices.clamp(min=0)
    pitch = 1
    for (before, after), length in zip(reversed(_pads(window, n)), reversed(tuple(n)), strict=True):
        position = rest % (before + length + after)
        rest = rest // (before + length + after)
        if mode == "zeros":
            shown = position - before
            outside = outside | (shown < 0) | (shown >= length)
        else:
            table = _shown(mode, length, before, after, indices.device)
            shown = table[position]
        result = result + shown * pitch
        pitch = pitch * length
    return torch.where(outside, -1, result)


def _pads(window: Window, n: Sequence[int]) -> list[tuple[int, int]]:
    return [
        axis.at(length).padding if isinstance(axis, Axis) else (0, 0)
        for axis, length in zip(window, n, strict=True)
    ]


def _shown(mode: str, n: int, before: int, after: int, device: torch.device) -> Tensor:
    """The input position that each padded position shows."""
    i = torch.arange(-before, n + after, device=device)
    if mode == "replicate":
        return i.clamp(0, n - 1)
    if mode == "circular":
        return i % n
    return (n - 1) - ((n - 1) - i.abs()).abs()  # reflected at 0, then at n - 1
