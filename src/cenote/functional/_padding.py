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
    """A reduction whose half types are padded in float32 and rounded behind it.

    So the gradients of an element and of what shows it are added before they are rounded.
    """

    @functools.wraps(reduce)
    def padded(
        op: str, x: Tensor, window: Window, *, padding_mode: str = "identity", **options: Any
    ) -> Any:
        half = padding_mode != "identity" and isinstance(x, Tensor) and x.dtype in _HALVES
        given = x.float() if half else x
        result = reduce(op, given, window, padding_mode=padding_mode, **options)
        if not half:
            return result
        if isinstance(result, tuple):
            return (result[0].to(x.dtype), *result[1:])
        return result.to(x.dtype)

    return cast(Reduction, padded)


def pad(op: str, x: Tensor, window: Window, mode: str) -> tuple[Tensor, Window]:
    """``x`` with the window's padding around it, and the window without.

    ``(*lead, *n) -> (*lead, *(before + n + after))``, in the layout of ``x``. What ceil mode hangs
    over stays what it is, and padding that no window reads is left out: ceil mode would find room
    for one more there.

    Raises:
        ValueError: padding that shows elements which the input does not have.
    """
    rank = window.rank
    lead = x.dim() - rank
    pads = _pads(window, x.shape[lead:])
    if all(pair == (0, 0) for pair in pads):
        return x, window
    padded = x
    for position, (axis, pair) in enumerate(zip(window, pads, strict=True)):
        n = x.shape[lead + position]
        _checks.check_pads(op, mode, rank, position, _padding(axis, n), n)
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
    """The padding of every axis that its windows read."""
    pads = []
    for axis, length in zip(window, n, strict=True):
        before, after = _padding(axis, length)
        if isinstance(axis, Axis) and axis.ceil:
            read = (axis.out(length) - 1) * axis.stride + axis.extent - before - length
            after = torch.sym_max(0, torch.sym_min(after, read))
        pads.append((before, after))
    return pads


def _padding(axis: Any, n: int) -> tuple[int, int]:
    return axis.at(n).padding if isinstance(axis, Axis) else (0, 0)


def _shown(mode: str, n: int, before: int, after: int, device: torch.device) -> Tensor:
    """The input position that each padded position shows."""
    i = torch.arange(-before, n + after, device=device)
    if mode == "replicate":
        return i.clamp(0, n - 1)
    if mode == "circular":
        return i % n
    return (n - 1) - ((n - 1) - i.abs()).abs()  # reflected at 0, then at n - 1
