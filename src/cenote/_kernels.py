"""From tensors to the native core: layouts, allocation, and recipes kept between calls.

Nothing here knows of autograd or of torch's dispatcher; see :mod:`cenote._ops` for those.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from cenote import _native, options
from cenote.window import Axis, Window

__all__ = ["TAP_TYPES", "Divisor", "flatten", "no_tap", "supports", "unflatten"]

_TYPES = {torch.float32: "f32", torch.float64: "f64"}
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}

TAP_TYPES = {1: torch.uint8, 2: torch.uint16, 4: torch.int32}
"""How tap numbers are stored, by size; int32 holds the bits of an unsigned number."""

_SAME = -1  # how "same" padding travels in a flat window


class Divisor(NamedTuple):
    """What the sums of an average are divided by."""

    count_include_pad: bool = True
    override: int | None = None


def flatten(window: Window) -> list[int]:
    """A window as six integers an axis, as operators and kernels take it."""
    flat: list[int] = []
    for a in window:
        before = _SAME if a.before is None else a.before
        after = _SAME if a.after is None else a.after
        flat += (a.kernel, a.stride, before, after, a.dilation, int(a.ceil))
    return flat


def unflatten(flat: list[int]) -> Window:
    """The window that :func:`flatten` made these integers of."""
    axes = []
    for i in range(0, len(flat), 6):
        kernel, stride, before, after, dilation, ceil = flat[i : i + 6]
        if before == _SAME:
            axes.append(Axis(kernel, stride, None, None, dilation))
        else:
            axes.append(Axis(kernel, stride, before, after, dilation, bool(ceil)))
    return Window(axes)


def tap_type(window: Window) -> torch.dtype:
    """The smallest type for this window's tap numbers; its greatest value means "no tap"."""
    taps = window.kernel_taps
    return torch.uint8 if taps <= 0xFF else torch.uint16 if taps <= 0xFFFF else torch.int32


def no_tap(dtype: torch.dtype) -> int:
    """The tap number that marks an empty window."""
    return -1 if dtype == torch.int32 else torch.iinfo(dtype).max


def supports(x: Tensor) -> bool:
    """Whether there are kernels for a tensor's device and element type."""
    return x.dtype in _TYPES and x.device.type == "cpu"


def memory_format(x: Tensor, rank: int) -> torch.memory_format:
    """Channels last where ``x`` is, or is strided like it; else contiguous."""
    channels_last = _CHANNELS_LAST.get(x.dim()) if x.dim() == rank + 2 else None
    if channels_last is not None:  # a plane of one pixel is contiguous in either: strides tell
        strided_so = x.stride(1) == 1 and x.shape[1] > 1 and x.stride(-1) >= x.shape[1]
        if strided_so or (not x.is_contiguous() and x.is_contiguous(memory_format=channels_last)):
            return channels_last
    return torch.contiguous_format


@dataclass(frozen=True, slots=True)
class Layout:
    """A dense tensor seen as ``(outer, *n, inner)``; ``tensor`` may be a copy of what was given."""

    tensor: Tensor
    outer: int
    inner: int
    memory_format: torch.memory_format

    @classmethod
    def of(cls, x: Tensor, rank: int) -> Layout:
        """The layout that results take over from ``x``."""
        chosen = memory_format(x, rank)
        dense = x.contiguous(memory_format=chosen)
        if chosen is torch.contiguous_format:
            return cls(dense, prod(x.shape[: x.dim() - rank]), 1, chosen)
        return cls(dense, x.shape[0], x.shape[1], chosen)

    def like(self, x: Tensor) -> Tensor:
        """Another tensor of this one's leading sizes, dense in this layout."""
        return x.contiguous(memory_format=self.memory_format)

    def empty(self, sizes: list[int], dtype: torch.dtype) -> Tensor:
        """Room for a tensor with this one's leading sizes and other spatial ones."""
        lead = self.tensor.shape[: self.tensor.dim() - len(sizes)]
        return torch.empty((*lead, *sizes), dtype=dtype, memory_format=self.memory_format)


@functools.lru_cache(maxsize=1024)
def _recipe(
    window: Window, n: torch.Size, inner: int, dtype: torch.dtype, divisor: Divisor | None
) -> _native.Pool:
    at = flatten(window.at(n))
    counted = divisor or Divisor()
    return _native.Pool(
        at, list(n), inner, _TYPES[dtype], divisor is not None, counted.count_include_pad,
        counted.override,
    )  # fmt: skip


def _how(what: str, x: Tensor) -> tuple[str, int]:
    """The instruction set and the number of threads for a call; 0 leaves that to OpenMP."""
    knobs = options.current()
    isa, threads = knobs.isa or "", knobs.threads or 0
    if knobs.verbose:
        shape, kind = "x".join(map(str, x.shape)), _TYPES[x.dtype]
        names = isa or f"{_native.targets()[0]}, the fastest here"
        most = threads or _native.default_threads()
        options.report(f"{what} {kind} {shape}: native kernel, {names}; up to {most} threads")
    return isa, threads


def select(x: Tensor, window: Window, reduce: str, keep: bool) -> tuple[Tensor, Tensor | None]:
    """The selected elements and, with ``keep``, their tap numbers, in the layout of ``x``."""
    rank = len(window)
    seen = Layout.of(x, rank)
    pool = _recipe(window, x.shape[x.dim() - rank :], seen.inner or 1, x.dtype, None)
    sizes = pool.out
    out = seen.empty(sizes, x.dtype)
    taps = seen.empty(sizes, TAP_TYPES[pool.tap_bytes]) if keep else None
    if out.numel():
        address = 0 if taps is None else taps.data_ptr()
        pool.select(
            *_how(reduce, x), reduce, seen.outer, seen.tensor.data_ptr(), out.data_ptr(), address
        )
    return out, taps


def select_backward(grad: Tensor, taps: Tensor, window: Window, n: torch.Size) -> Tensor:
    """The gradient of the input from that of the output, in the layout of the taps."""
    seen = Layout.of(taps, len(window))
    grad = seen.like(grad)
    to = seen.empty(list(n), grad.dtype)
    if to.numel():
        pool = _recipe(window, n, seen.inner or 1, grad.dtype, None)
        pool.select_backward(
            *_how("backward of select", grad), seen.outer,
            grad.data_ptr(), seen.tensor.data_ptr(), to.data_ptr(),
        )  # fmt: skip
    return to


def pick(x: Tensor, taps: Tensor, window: Window) -> Tensor:
    """The elements of ``x`` at the taps, 0 where there is none, in the layout of the taps."""
    rank = len(window)
    seen = Layout.of(taps, rank)
    x = seen.like(x)
    out = seen.empty(list(taps.shape[taps.dim() - rank :]), x.dtype)
    if out.numel():
        pool = _recipe(window, x.shape[x.dim() - rank :], seen.inner or 1, x.dtype, None)
        pool.pick(
            *_how("pick", x), seen.outer, x.data_ptr(), seen.tensor.data_ptr(), out.data_ptr()
        )
    return out


def tap_indices(taps: Tensor, window: Window, n: torch.Size) -> Tensor:
    """Flat int64 indices into each plane, -1 for an empty window, in the layout of the taps."""
    rank = len(window)
    seen = Layout.of(taps, rank)
    out = seen.empty(list(taps.shape[taps.dim() - rank :]), torch.int64)
    if out.numel():
        isa, threads = options.current().isa or "", options.current().threads or 0
        pool = _recipe(window, n, seen.inner or 1, torch.float32, None)
        pool.indices(isa, threads, seen.outer, seen.tensor.data_ptr(), out.data_ptr())
    return out


def avg(x: Tensor, window: Window, divisor: Divisor) -> Tensor:
    """The sum of every window over its divisor, in the layout of ``x``."""
    rank = len(window)
    seen = Layout.of(x, rank)
    pool = _recipe(window, x.shape[x.dim() - rank :], seen.inner or 1, x.dtype, divisor)
    out = seen.empty(pool.out, x.dtype)
    if out.numel():
        pool.mean(*_how("avg", x), seen.outer, seen.tensor.data_ptr(), out.data_ptr())
    return out


def avg_backward(grad: Tensor, window: Window, n: torch.Size, divisor: Divisor) -> Tensor:
    """The adjoint of :func:`avg`, in the layout of ``grad``."""
    seen = Layout.of(grad, len(window))
    to = seen.empty(list(n), grad.dtype)
    if to.numel():
        pool = _recipe(window, n, seen.inner or 1, grad.dtype, divisor)
        pool.mean_backward(
            *_how("backward of avg", grad), seen.outer, seen.tensor.data_ptr(), to.data_ptr()
        )
    return to
