"""A window as ONNX nodes take it: rounding down, all padding spelt out, sizes perhaps symbols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cenote.window import Adaptive, Axis, Window

__all__ = [
    "Frame",
    "exporting",
    "is_static",
    "is_whole",
    "nonzero",
    "numbers",
    "padding_of",
    "rewriting",
]

# Both are public, and younger than the oldest torch that cenote works with.
_nodes_known = hasattr(torch.compiler, "is_exporting") and hasattr(
    getattr(torch.onnx, "ops", None), "symbolic"
)


def exporting() -> bool:
    """Whether a model is being traced for ONNX, by an exporter that knows symbolic nodes."""
    return _nodes_known and torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()


class Frame(NamedTuple):
    """What nodes are told of a window over certain sizes.

    ``pads`` are ``(before, after)`` of every axis, ``overhang`` what of ``after`` only ceil mode
    adds, ``out`` the outputs. Pads and outputs may be symbols.
    """

    axes: tuple[Axis, ...]
    pads: list[tuple[Any, Any]]
    overhang: list[int]
    out: list[Any]

    @classmethod
    def of(cls, window: Window, n: Sequence[Any]) -> Frame | None:
        """The frame over sizes ``n``; None where no node does what the window says."""
        if window.rank > 3:
            return None
        axes, pads, overhang, out = [], [], [], []
        for given, length in zip(window, n, strict=True):
            known = isinstance(length, int)
            axis = given.at(length) if isinstance(given, Adaptive) and known else given
            if not isinstance(axis, Axis):
                return None
            if axis.dilation > 1 and length < axis.dilation:  # the only way to an empty window
                return None
            before, after, over = padding_of(axis, length)
            axes.append(axis)
            pads.append((before, after + over))
            overhang.append(over)
            out.append((length + before + after + over - axis.extent) // axis.stride + 1)
        return cls(tuple(axes), pads, overhang, out)

    def on_padded(self) -> Frame:
        """The frame on an input that was padded by :attr:`pads`, less the overhang."""
        return self._replace(pads=[(0, over) for over in self.overhang])

    def split(self) -> tuple[list[int], list[Any]]:
        """Padding for a node's attribute, and what is left for ``torch.nn.functional.pad``."""
        kept = [
            [min(p, axis.kernel - 1) if isinstance(p, int) else 0 for p in ends]
            for axis, ends in zip(self.axes, self.pads, strict=True)
        ]
        left = [
            amount - inside
            for ends, inner in zip(reversed(self.pads), reversed(kept), strict=True)
            for amount, inside in zip(ends, inner, strict=True)
        ]
        return [ends[0] for ends in kept] + [ends[1] for ends in kept], left

    @property
    def taps(self) -> int:
        """The taps of a window."""
        return prod(axis.kernel for axis in self.axes)

    @property
    def dilated(self) -> bool:
        """Whether taps lie apart."""
        return any(axis.dilation > 1 for axis in self.axes)

    @property
    def attributes(self) -> dict[str, Any]:
        """What all sliding nodes share: kernel, stride, and dilation where there is some."""
        shared = {
            "kernel_shape": [axis.kernel for axis in self.axes],
            "strides": [axis.stride for axis in self.axes],
        }
        return shared | ({"dilations": [a.dilation for a in self.axes]} if self.dilated else {})


def padding_of(axis: Any, n: Any) -> tuple[Any, Any, int]:
    """``(before, after, overhang)`` for as many outputs as the axis has, rounding down."""
    if not isinstance(axis, Axis):
        return 0, 0, 0
    if axis.before is None or axis.after is None:
        outputs = (n + axis.stride - 1) // axis.stride  # nodes divide toward zero: keep it positive
        total = torch.sym_max(0, (outputs - 1) * axis.stride + axis.extent - n)
        return total // 2, total - total // 2, 0
    last = min(axis.after + axis.stride - 1, axis.extent - 1)
    return axis.before, axis.after, last - axis.after if axis.ceil else 0


def nonzero(pads: Sequence[Any]) -> bool:
    """Whether there is something to pad, as far as one can know."""
    return not all(isinstance(p, int) and p == 0 for p in pads)


_rewriting = ContextVar("rewriting", default=False)


@contextmanager
def rewriting() -> Iterator[None]:
    """While an exported program is rewritten, which takes no constants: all sizes are symbols."""
    token = _rewriting.set(True)
    try:
        yield
    finally:
        _rewriting.reset(token)


def is_static(n: Sequence[Any]) -> bool:
    """Whether sizes are numbers, of which constants may be made."""
    return all(isinstance(length, int) for length in n) and not _rewriting.get()


def numbers(values: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
    """A few numbers as a tensor that also a program which is rewritten takes."""
    return torch.stack([torch.full((), value, dtype=dtype) for value in values])


def is_whole(window: Window) -> bool:
    """Whether there is one window over everything, whatever the sizes."""
    return all(isinstance(axis, Adaptive) and axis.outputs == 1 for axis in window)
