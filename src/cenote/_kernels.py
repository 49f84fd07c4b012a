"""From tensors to the native core: layouts, allocation, and recipes kept between calls.

Nothing here knows of autograd or of torch's dispatcher; see :mod:`cenote._ops` for those.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from cenote import _native, _room, options
from cenote.window import Adaptive, Axis, Spans, Window

__all__ = ["TAP_TYPES", "Divisor", "flatten", "no_tap", "supports", "tap_type", "unflatten"]

_TYPES = {
    torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16", torch.float16: "f16",
    torch.int8: "i8", torch.uint8: "u8", torch.int16: "i16", torch.int32: "i32",
    torch.int64: "i64", torch.bool: "bool",
}  # fmt: skip
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}

TAP_TYPES = {1: torch.uint8, 2: torch.uint16, 4: torch.int32}
"""How tap numbers are stored, by size; int32 holds the bits of an unsigned number."""

_SAME = -1  # how "same" padding travels in a flat window
_ADAPTIVE = 0  # the stride of an adaptive axis there

Weights = tuple[tuple[float, ...], ...]
"""What each tap of each axis is multiplied by."""


class Divisor(NamedTuple):
    """What sums are divided by, and how quotients of integers are rounded.

    ``"trunc"`` or ``"half_even"``; ``"int64"`` truncates too, and gives int64 whatever went in.
    """

    count_include_pad: bool = True
    override: int | None = None
    rounding: str = "trunc"


def flatten(window: Window) -> list[int]:
    """A window as six integers an axis, as operators take it.

    Raises:
        TypeError: windows that stand anywhere, which no six integers tell.
    """
    for a in window:
        if isinstance(a, Spans):
            raise TypeError(f"{a}: no registered operator takes such windows")
    return _flat(window)


def _flat(window: Window) -> list[int]:
    flat: list[int] = []
    for a in window:
        if isinstance(a, Adaptive):
            flat += (a.outputs, _ADAPTIVE, 0, 0, 1, 0)
            continue
        before = _SAME if a.before is None else a.before
        after = _SAME if a.after is None else a.after
        flat += (a.kernel, a.stride, before, after, a.dilation, int(a.ceil))
    return flat


def unflatten(flat: list[int]) -> Window:
    """The window that :func:`flatten` made these integers of."""
    axes: list[Axis | Adaptive] = []
    for i in range(0, len(flat), 6):
        kernel, stride, before, after, dilation, ceil = flat[i : i + 6]
        if stride == _ADAPTIVE:
            axes.append(Adaptive(kernel))
        elif before == _SAME:
            axes.append(Axis(kernel, stride, None, None, dilation))
        else:
            axes.append(Axis(kernel, stride, before, after, dilation, bool(ceil)))
    return Window(axes)


def tap_type(window: Window, dtype: torch.dtype) -> torch.dtype:
    """The type of a window's tap numbers on elements of a type; its greatest value means none.

    As small as the taps allow where a backward pass keeps them. Integers have none, and how many
    taps adaptive windows have depends on the input.
    """
    if not dtype.is_floating_point or any(isinstance(axis, Adaptive) for axis in window):
        return torch.int32
    taps = window.kernel_taps
    return torch.uint8 if taps <= 0xFF else torch.uint16 if taps <= 0xFFFF else torch.int32


def no_tap(dtype: torch.dtype) -> int:
    """The tap number that marks an empty window."""
    return -1 if dtype == torch.int32 else torch.iinfo(dtype).max


def supports(x: Tensor) -> bool:
    """Whether there are kernels for a tensor's device and element type."""
    return x.is_cpu and x.dtype in _TYPES


def memory_format(x: Tensor, rank: int) -> torch.memory_format:
    """Channels last where ``x`` is, or is strided like it; else contiguous."""
    channels_last = CHANNELS_LAST.get(x.dim()) if x.dim() == rank + 2 else None
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
    def of(cls, x: Tensor, rank: int, chosen: torch.memory_format | None = None) -> Layout:
        """The layout that results take over from ``x``, or the one that was chosen."""
        chosen = chosen or memory_format(x, rank)
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

    def room(self, sizes: list[int], dtype: torch.dtype) -> Tensor:
        """The same for a result, which the caller may have room for."""
        lead = self.tensor.shape[: self.tensor.dim() - len(sizes)]
        ready = _room.take((*lead, *sizes), dtype, self.memory_format)
        return self.empty(sizes, dtype) if ready is None else ready


def _ends(window: Window) -> list[list[int]]:
    """Where irregular windows start and stop, as the recipe takes them."""
    return [[*a.starts, *a.stops] if isinstance(a, Spans) else [] for a in window]


@functools.lru_cache(maxsize=1024)
def recipe(window: Window, n: torch.Size, inner: int, dtype: torch.dtype) -> _native.Pool:
    """The recipe of a selecting reduction, and of logsumexp."""
    at, size = window.at(n), tap_type(window, dtype).itemsize
    return _native.Pool(_flat(at), _ends(at), list(n), inner, _TYPES[dtype], size)


class Sum(NamedTuple):
    """What a linear reduction adds up and makes of it: ``(sum of f(x)*weight/divisor)^(1/p)``."""

    divisor: Divisor = Divisor()
    weights: Weights | None = None
    map: str = "plain"
    p: float = 1.0
    floor: float = 0.0


@functools.lru_cache(maxsize=1024)
def sum_recipe(
    window: Window, n: torch.Size, inner: int, dtype: torch.dtype, what: Sum
) -> _native.Pool:
    at, (include, override, rounding) = window.at(n), what.divisor
    return _native.Pool.linear(
        _flat(at), _ends(at), list(n), inner, _TYPES[dtype], include, override,
        rounding, what.map, what.p, what.floor, list(map(list, what.weights or ())),
    )  # fmt: skip


_latest: tuple[options.Options | None, _native.Call] = (None, _native.Call("", 0))


def call_with(knobs: options.Options) -> _native.Call:
    """How calls are carried out under these options; threads 0 leaves the number to OpenMP."""
    global _latest
    known, call = _latest  # read at once: another thread may write it
    if known is not knobs:
        call = _native.Call(knobs.isa or "", knobs.threads or 0)
        _latest = (knobs, call)
    return call


def _call(what: str, x: Tensor) -> _native.Call:
    knobs = options.current()
    if knobs.verbose:
        shape, kind = "x".join(map(str, x.shape)), _TYPES[x.dtype]
        names = knobs.isa or f"{_native.targets()[0]}, the fastest here"
        most = knobs.threads or _native.default_threads()
        options.report(f"{what} {kind} {shape}: native kernel, {names}; up to {most} threads")
    return call_with(knobs)


def _sizes(x: Tensor, rank: int) -> torch.Size:
    return x.shape[x.dim() - rank :]


# Selecting reductions, and what starts from their taps.


def select(x: Tensor, window: Window, reduce: str, keep: bool) -> tuple[Tensor, Tensor | None]:
    """The selected elements and, with ``keep``, their tap numbers, in the layout of ``x``."""
    rank = len(window)
    seen = Layout.of(x, rank)
    pool = recipe(window, _sizes(x, rank), seen.inner or 1, x.dtype)
    sizes = pool.out
    out = seen.room(sizes, x.dtype)
    taps = seen.empty(sizes, tap_type(window, x.dtype)) if keep else None
    if out.numel():
        address = 0 if taps is None else taps.data_ptr()
        given = seen.tensor.data_ptr()
        pool.select(_call(reduce, x), reduce, seen.outer, given, out.data_ptr(), address)
    return out, taps


def select_backward(grad: Tensor, taps: Tensor, window: Window, n: torch.Size) -> Tensor:
    """The gradient of the input from that of the output, in the layout of the taps."""
    seen = Layout.of(taps, len(window))
    grad = seen.like(grad)
    to = seen.empty(list(n), grad.dtype)
    if to.numel():
        pool = recipe(window, n, seen.inner or 1, grad.dtype)
        call = _call("backward of select", grad)
        given = seen.tensor.data_ptr()
        pool.select_backward(call, seen.outer, grad.data_ptr(), given, to.data_ptr())
    return to


def pick(x: Tensor, taps: Tensor, window: Window) -> Tensor:
    """The elements of ``x`` at the taps, 0 where there is none, in the layout of the taps."""
    rank = len(window)
    seen = Layout.of(taps, rank)
    x = seen.like(x)
    out = seen.empty(list(_sizes(taps, rank)), x.dtype)
    if out.numel():
        pool = recipe(window, _sizes(x, rank), seen.inner or 1, x.dtype)
        given = seen.tensor.data_ptr()
        pool.pick(_call("pick", x), seen.outer, x.data_ptr(), given, out.data_ptr())
    return out


def tap_indices(taps: Tensor, window: Window, n: torch.Size, dtype: torch.dtype) -> Tensor:
    """Flat int64 indices into each plane, -1 for an empty window, in the layout of the taps."""
    rank = len(window)
    seen = Layout.of(taps, rank)
    out = seen.empty(list(_sizes(taps, rank)), torch.int64)
    if out.numel():
        pool = recipe(window, n, seen.inner or 1, dtype)
        call = call_with(options.current())
        pool.indices(call, seen.outer, seen.tensor.data_ptr(), out.data_ptr())
    return out


# Linear reductions, and powers of them.


def sum_type(dtype: torch.dtype, divisor: Divisor) -> torch.dtype:
    """The type of the sums of elements of a type."""
    wide = divisor.rounding == "int64" and not dtype.is_floating_point
    return torch.int64 if wide else dtype


def linear(x: Tensor, window: Window, what: Sum) -> Tensor:
    """Every window added up as ``what`` says, in the layout of ``x``."""
    rank = len(window)
    seen = Layout.of(x, rank)
    pool = sum_recipe(window, _sizes(x, rank), seen.inner or 1, x.dtype, what)
    out = seen.room(pool.out, sum_type(x.dtype, what.divisor))
    if out.numel():
        name = "weighted sum" if what.weights else "sum" if what.map == "plain" else "power"
        pool.sum(_call(name, x), seen.outer, seen.tensor.data_ptr(), out.data_ptr())
    return out


def linear_backward(
    grad: Tensor,
    window: Window,
    n: torch.Size,
    what: Sum,
    layout: torch.memory_format | None = None,
) -> Tensor:
    """The adjoint of :func:`linear`, in a layout of choice or that of ``grad``."""
    seen = Layout.of(grad, len(window), layout)
    to = seen.empty(list(n), grad.dtype)
    if to.numel():
        pool = sum_recipe(window, n, seen.inner or 1, grad.dtype, what)
        call = _call("backward of sum", grad)
        pool.sum_backward(call, seen.outer, seen.tensor.data_ptr(), to.data_ptr())
    return to


# logsumexp: x as (*lead, *n), what lies beside the outputs as (*lead, *out).


def logsumexp(x: Tensor, window: Window, sharpness: float) -> Tensor:
    """``log(sum(exp(sharpness*x)))/sharpness`` of every window, in the layout of ``x``."""
    rank = len(window)
    seen = Layout.of(x, rank)
    pool = recipe(window, _sizes(x, rank), seen.inner or 1, x.dtype)
    out = seen.empty(pool.out, x.dtype)
    if out.numel():
        call, given = _call("logsumexp", x), seen.tensor.data_ptr()
        _native.log_sum_exp(pool, call, seen.outer, sharpness, given, 0, 0, out.data_ptr())
    return out


def logsumexp_backward(
    grad: Tensor, x: Tensor, y: Tensor, window: Window, sharpness: float
) -> Tensor:
    """What every element of ``x`` gets of the gradient of ``y``: by its share in each window."""
    return _shared_out("backward of logsumexp", grad, x, y, window, sharpness)


def logsumexp_shares(
    given: Tensor, x: Tensor, y: Tensor, window: Window, sharpness: float
) -> Tensor:
    """The adjoint of :func:`logsumexp_backward`: every window adds up ``given`` by shares."""
    return _shared_out("shares of logsumexp", given, x, y, window, sharpness)


def _shared_out(
    what: str, given: Tensor, x: Tensor, y: Tensor, window: Window, sharpness: float
) -> Tensor:
    rank = len(window)
    seen = Layout.of(x, rank)
    given, y = seen.like(given), seen.like(y)
    backward = what.startswith("backward")
    to = seen.empty(list(_sizes(x if backward else y, rank)), x.dtype)
    if to.numel() and y.numel():
        pool = recipe(window, _sizes(x, rank), seen.inner or 1, x.dtype)
        run = _native.log_sum_exp_backward if backward else _native.log_sum_exp_shares
        addresses = (t.data_ptr() for t in (seen.tensor, y, given, to))
        run(pool, _call(what, x), seen.outer, sharpness, *addresses)
    return to


# What works by flat int64 indices into planes, -1 for nowhere.


def _places(indices: Tensor, n: Sequence[int]) -> tuple[Layout, tuple[int, int, int, int]]:
    rank = len(n)
    seen = Layout.of(indices, rank)
    return seen, (seen.outer, prod(n), prod(_sizes(indices, rank)), seen.inner or 1)


def first_stray(indices: Tensor, n: Sequence[int]) -> int | None:
    """The first index that is neither -1 nor in a plane of sizes ``n``; None if all are."""
    seen, sizes = _places(indices, n)
    where = _native.first_stray(sizes, seen.tensor.data_ptr())
    return None if where < 0 else int(seen.tensor.as_strided((indices.numel(),), (1,))[where])


def refuse_strays(indices: Tensor, n: Sequence[int]) -> None:
    """Refuse indices outside planes of sizes ``n``: kernels would write where they point."""
    stray = first_stray(indices, n)
    if stray is not None:
        plane = "x".join(map(str, n))
        raise ValueError(f"indices: {stray} must be -1 or lie in a plane of {plane} elements")


def take(x: Tensor, indices: Tensor, rank: int) -> Tensor:
    """The elements of ``x`` at the indices, 0 where one is -1, in their layout."""
    refuse_strays(indices, _sizes(x, rank))
    seen, sizes = _places(indices, _sizes(x, rank))
    x = seen.like(x)
    out = seen.empty(list(_sizes(indices, rank)), x.dtype)
    if out.numel():
        call, where = _call("take", x), seen.tensor.data_ptr()
        _native.take_places(call, sizes, x.itemsize, x.data_ptr(), where, out.data_ptr())
    return out


def put(x: Tensor, indices: Tensor, n: Sequence[int], add: bool) -> Tensor:
    """Zeros of sizes ``n`` but for ``x`` at the indices; of several the last, or their sum.

    Half types are added in float32, integers in int64 by the reference.
    """
    half = add and x.dtype in (torch.bfloat16, torch.float16)
    if half:
        return put(x.float(), indices, n, add).to(x.dtype)
    refuse_strays(indices, n)
    seen, sizes = _places(indices, n)
    x = seen.like(x)
    out = seen.empty(list(n), x.dtype)
    if out.numel():
        call, addresses = _call("put", x), (x.data_ptr(), seen.tensor.data_ptr(), out.data_ptr())
        if add:
            _native.add_places(call, sizes, _TYPES[x.dtype], *addresses)
        else:
            _native.put_places(call, sizes, x.itemsize, *addresses)
    return out


def fractional_indices(x: Tensor, starts: Sequence[Tensor], kernel: Sequence[int]) -> Tensor:
    """Where each window's greatest element lies, for windows that start anywhere in each plane.

    ``starts[axis]``: ``(*lead, outputs)`` of int64.
    """
    rank = len(kernel)
    x = (x.float() if x.dtype in (torch.bfloat16, torch.float16) else x).contiguous()
    starts = [s.contiguous() for s in starts]
    sizes = [s.shape[-1] for s in starts]
    out = torch.empty((*x.shape[: x.dim() - rank], *sizes), dtype=torch.int64)
    if out.numel():
        _native.fractional_places(
            _call("fractional max", x), list(_sizes(x, rank)), sizes, list(kernel),
            [s.data_ptr() for s in starts], _TYPES[x.dtype],
            prod(x.shape[: x.dim() - rank]), x.data_ptr(), out.data_ptr(),
        )  # fmt: skip
    return out
