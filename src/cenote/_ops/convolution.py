"""Convolution: an ordered list of ways to carry out a call, the first that serves it taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import _convolving, options
from cenote._args import axis_name
from cenote._ops import images
from cenote._ops.eager import PLAIN, differentiable, eager_only
from cenote._ops.images import plain_gradients
from cenote._ops.registry import sizes_of
from cenote.window import Axis, Window

__all__ = [
    "WAYS",
    "Call",
    "Way",
    "convolve",
    "convolve_back",
    "gradients",
    "is_torchs",
    "no_kernel",
    "shuffled",
]

_FORWARD: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_BACK: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A convolution that was checked; every axis of its window is resolved."""

    op: str
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    window: Window
    groups: int
    shuffle: bool

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.window)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to compute a convolution, and why it does not serve a call: "" where it does."""

    name: str
    why_not: Callable[[Call], str]
    run: Callable[[Call], Tensor]


def convolve(
    op: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    window: Window,
    groups: int,
    shuffle: bool = False,
) -> Tensor:
    """``(*lead, C, *n) -> (*lead, O, *window.out(n))``, by the first way that serves the call."""
    at = window.at(sizes_of(x, window.rank))
    call = Call(op, x, weight, bias, at, groups, shuffle)
    if torch.compiler.is_compiling():  # a traced call is torch's to carry out
        return _by_torch(call)
    knobs = options.current()
    reasons: list[str] = []
    for way in WAYS:
        why_not = way.why_not(call)
        if not why_not:
            if knobs.verbose:
                _report(call, way, reasons)
            return way.run(call)
        reasons.append(f"not {way.name}: {why_not}")
    raise AssertionError("the last way serves every call")


def is_torchs(
    op: str, x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int
) -> bool:
    """Whether torch carries out a call by its shapes alone, not because it traces or transforms."""
    given = [x, weight, *([] if bias is None else [bias])]
    if not all(map(eager_only, given)) or torch.is_autocast_enabled("cpu"):
        return False
    at = window.at(sizes_of(x, window.rank))
    call = Call(op, x, weight, bias, at, groups, False)
    return next(way for way in WAYS if not way.why_not(call)).run is _by_torch


def _report(call: Call, way: Way, reasons: Sequence[str]) -> None:
    kind, shape = str(call.x.dtype).removeprefix("torch."), "x".join(map(str, call.x.shape))
    weight = "x".join(map(str, call.weight.shape))
    said = "; ".join([way.name, *reasons])
    options.report(f"{call.op} {kind} {shape} by {weight}: {said}")


def shuffled(y: Tensor, groups: int, rank: int) -> Tensor:
    """Channels in turns, one of each group: ``g*K + k`` becomes ``k*groups + g``."""
    axis = y.dim() - rank - 1
    apart = y.unflatten(axis, (groups, y.shape[axis] // groups))
    mixed: Tensor = apart.transpose(axis, axis + 1).flatten(axis, axis + 1)
    return mixed


def _by_torch(call: Call) -> Tensor:
    x, pads = call.x, [axis.padding for axis in call.window]
    if any(before != after for before, after in pads):
        x = F.pad(x, [amount for pair in reversed(pads) for amount in pair])
        pads = [(0, 0)] * call.rank
    y = _FORWARD[call.rank](
        x, call.weight, call.bias, [axis.stride for axis in call.window],
        [before for before, _ in pads], [axis.dilation for axis in call.window], call.groups,
    )  # fmt: skip
    return shuffled(y, call.groups, call.rank) if call.shuffle else y


class _Rows(torch.autograd.Function):
    """The native kernels, forward and back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, call: Call) -> Tensor:
        ctx.call = call
        ctx.save_for_backward(x, weight, bias)
        return _convolving.convolve(x, weight, bias, call.window, call.groups, call.shuffle)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, bias = ctx.saved_tensors
        call = ctx.call
        wanted = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or not eager_only(grad) or grad.dtype != x.dtype:
            return (*_torchs_gradients(call, (x, weight, bias), wanted, grad), None)
        common = (call.window, call.groups, call.shuffle)
        return (*_native_gradients(x, weight, grad.contiguous(), common, wanted), None)


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def _native_gradients(
    x: Tensor,
    weight: Tensor,
    grad: Tensor,
    common: tuple[Window, int, bool],
    wanted: Sequence[bool],
) -> Gradients:
    to = weights = biases = None
    if wanted[0]:
        to = _convolving.input_gradient(grad, weight, *common, sizes_of(x, len(common[0])))
    if wanted[1] or wanted[2]:
        weights, biases = _convolving.weight_gradient(x, grad, *common, weight.shape)
    return to, weights if wanted[1] else None, biases if wanted[2] else None


def gradients(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    grad: Tensor,
    window: Window,
    groups: int,
    wanted: Sequence[bool],
) -> Gradients:
    """The gradients of :func:`convolve` from that of its output, without derivatives of their own.

    None for what is not wanted.
    """
    call = Call("convolution", x, weight, bias, window.at(sizes_of(x, window.rank)), groups, False)
    run = next(way for way in WAYS if not way.why_not(call)).run
    if run is _by_images:
        return _convolving.stage_gradient(
            x, weight, grad.contiguous(), None, call.window, groups, False, (1,) * call.rank, wanted
        )
    if run is _by_rows:
        common = (call.window, groups, False)
        return _native_gradients(x, weight, grad.contiguous(), common, wanted)
    asked = [bool(want) for want in wanted]
    pads = [axis.padding for axis in call.window]
    if any(before != after for before, after in pads):
        found = _torchs_gradients(call, (x, weight, bias), asked, grad)
        return found[0], found[1], found[2]
    to, weights, biases = torch.ops.aten.convolution_backward(
        grad, x, weight, [weight.shape[0]], [axis.stride for axis in call.window],
        [before for before, _ in pads], [axis.dilation for axis in call.window], False,
        [0] * call.rank, groups, asked,
    )  # fmt: skip
    return to, weights, biases


def _torchs_gradients(
    call: Call, saved: tuple[Tensor, Tensor, Tensor | None], wanted: Sequence[bool], grad: Tensor
) -> list[Tensor | None]:
    """The same by torch's formulas, which have derivatives themselves."""

    def plainly(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _by_torch(dataclasses.replace(call, x=x, weight=weight, bias=bias))

    return plain_gradients(plainly, saved, wanted, grad)


def _by_images(call: Call) -> Tensor:
    light = dataclasses.replace(call, x=_NOTHING, weight=_NOTHING, bias=None)

    def plainly(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _by_torch(dataclasses.replace(light, x=x, weight=weight, bias=bias))

    what = images.Images(call.window, call.groups, call.shuffle, (1,) * call.rank, False, plainly)
    asked = any(differentiable(t) for t in (call.x, call.weight, call.bias) if t is not None)
    return images.run(call.x, call.weight, call.bias, what, asked)


def _no_images(call: Call) -> str:
    """Why a vector does not hold as many images: where it would be the slower way, too."""
    if why := no_kernel(call):
        return why
    *_, across = call.window.out(sizes_of(call.x, call.rank))
    if across > 32:
        return "rows long enough for vectors of their own"
    products = prod(call.weight.shape[1:])
    if products > 64 and not any(map(differentiable, (call.x, call.weight))):
        return f"{products} products to a sum without a gradient"
    return images.why_not(call.x, call.weight, call.window)


def _by_rows(call: Call) -> Tensor:
    light = dataclasses.replace(call, x=_NOTHING, weight=_NOTHING, bias=None)
    y: Tensor = _Rows.apply(call.x, call.weight, call.bias, light)  # type: ignore[no-untyped-call]
    return y


_NOTHING = torch.empty(0)


def no_kernel(call: Call) -> str:
    """Why the native kernels cannot compute a call."""
    if call.rank > 2:
        return "three axes"
    if not eager_only(call.x):
        return "torch traces, transforms or watches it, or the tensor is no plain one of the CPU"
    if call.x.dtype not in _convolving.TYPES:
        return f"elements of type {call.x.dtype}"
    given = [call.x, call.weight, *([] if call.bias is None else [call.bias])]
    if torch.is_autocast_enabled("cpu") or any(t.dtype != call.x.dtype for t in given):
        return "autocast"
    if not all(t.is_contiguous() and type(t) in PLAIN for t in given):
        return "channels last, or strides of its own"
    if call.x.numel() == 0:
        return "nothing to compute"
    return ""


def _no_rows(call: Call) -> str:
    """Why another way is quicker than rows in registers, as measured: docs/performance.md."""
    if why := no_kernel(call):
        return why
    reads, taps = call.weight.shape[1], prod(call.weight.shape[2:])
    *_, across = call.window.out(sizes_of(call.x, call.rank))
    if reads == 1 and call.groups > 1:
        if call.rank == 1 or any(map(differentiable, (call.x, call.weight))):
            return ""
        if across < 32 or call.window[-1].stride > 1:
            return "narrow planes, or a stride, of single channels without a gradient"
        return ""
    if reads > 8 and (call.rank == 2 or reads > 64):
        return f"{reads} channels a group"
    if across < 16:
        return "rows shorter than a vector"
    if taps > 64:
        return f"{taps} taps of several channels"
    return ""


WAYS = [
    Way("images", _no_images, _by_images),
    Way("rows", _no_rows, _by_rows),
    Way("torch", lambda call: "", _by_torch),
]
"""In the order of their trial. torch's serves everything, and is the best for many channels."""


def convolve_back(
    op: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    window: Window,
    more: Sequence[int],
    groups: int,
) -> Tensor:
    """The adjoint of :func:`convolve`, each output ``more`` elements longer than it has to be.

    Raises:
        ValueError: an output without elements, or one that is longer by a stride or more.
    """
    rank, n = window.rank, sizes_of(x, window.rank)
    # torch cuts both ends alike: what is left over is cut off behind it, or not computed.
    evenly, longer, kept = [], [], []
    for position, (axis, extra, length) in enumerate(zip(window, more, n, strict=True)):
        before, after = axis.cut
        size = axis.adjoint(length) + extra
        if not axis.resolved:
            extra += max(0, axis.stride - axis.extent)
        _check_output(op, rank, position, axis, extra, size, length)
        even = min(before, after)
        evenly.append(even)
        longer.append(max(0, extra - (after - even)))
        kept.append((before - even, size))
    y = _BACK[rank](
        x, weight, bias, [axis.stride for axis in window], evenly, longer, groups,
        [axis.dilation for axis in window],
    )  # fmt: skip
    for position, (start, size) in enumerate(kept):
        if y.shape[y.dim() - rank + position] != size:
            y = y.narrow(y.dim() - rank + position, start, size)
    return y


def _check_output(
    op: str, rank: int, position: int, axis: Axis, extra: int, size: int, n: int
) -> None:
    where = f"{op}: {axis_name(rank, position)}"
    if extra >= max(axis.stride, axis.dilation, 1 + (not axis.resolved) * extra):
        raise ValueError(
            f"{where}: output_padding = {extra}: must be less than the stride or the dilation"
            f" ({axis.stride}, {axis.dilation})"
        )
    if size < 1:
        raise ValueError(
            f"{where}: padding {axis.cut} leaves nothing of the output of an input of length {n}"
            f" (kernel {axis.kernel}, stride {axis.stride}, dilation {axis.dilation})"
        )
