"""Each operator as the node that computes it, with what has to stand around the node."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce as fold
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import reference
from cenote._kernels import Divisor, Weights
from cenote._onnx import gathers
from cenote._onnx.frame import Frame, is_static, is_whole, nonzero, numbers
from cenote.window import Axis, Window

__all__ = ["linear", "linear_transpose", "logsumexp", "power", "select", "zeros_around"]

_SELECTED = {  # the type in which MaxPool runs, without loss
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.float16: torch.float16,
    torch.bfloat16: torch.float32,
    torch.int8: torch.int8,
    torch.uint8: torch.uint8,
    torch.bool: torch.uint8,
    torch.int16: torch.float64,
    torch.int32: torch.float64,
}
_REDUCED = {torch.bfloat16: torch.float32, torch.int16: torch.int32, torch.bool: torch.uint8}
_SUM = Divisor(override=1)
_SUMMED = (torch.float32, torch.float16, torch.bfloat16)  # in float32, as the kernels do it


def _symbolic(kind: str, inputs: Sequence[Tensor], out: Sequence[Any], **attributes: Any) -> Tensor:
    x = inputs[0]
    shape = (*x.shape[:2], *out)
    return torch.onnx.ops.symbolic(kind, inputs, attributes, dtype=x.dtype, shape=shape)


def _sliding(kind: str, x: Tensor, frame: Frame, **attributes: Any) -> Tensor:
    """A node that slides over ``x``, zeros around it as far as the node does not pad itself."""
    pads, left = frame.split()
    padded = F.pad(x, left) if nonzero(left) else x
    return _symbolic(kind, (padded,), frame.out, **frame.attributes, pads=pads, **attributes)


def _images(x: Tensor, rank: int) -> Tensor:
    """``x`` with axes for the batch and the channels, both of which nodes insist on."""
    return x if x.dim() == rank + 2 else x[None]


def _as_given(pooled: Tensor, x: Tensor, rank: int) -> Tensor:
    """A node's output in the type and with the number of axes that ``x`` came with."""
    return (pooled if x.dim() == rank + 2 else pooled.squeeze(0)).to(x.dtype)


# Selections


def select(x: Tensor, window: Window, reduce: str, indices: bool) -> Any:
    """The greatest or least element of every window, and its flat index in the plane if asked.

    ``(*lead, *n) -> (*lead, *window.out(n))``, ``lead`` being ``(N, C)`` or ``(C,)``.
    """
    rank, n = window.rank, x.shape[x.dim() - window.rank :]
    if is_whole(window):
        return _select_whole(x, rank, reduce, indices)
    kind, frame = _SELECTED.get(x.dtype), Frame.of(window, n)
    if kind is None or frame is None:
        return _select_without_node(x, window, reduce, indices)
    images = _turned(_images(x, rank).to(kind), reduce)
    pads, left = frame.split()
    if nonzero(left):
        images = F.pad(images, left, value=reference.identity("max", kind))
    attributes = {**frame.attributes, "pads": pads}
    if not indices:
        values = _symbolic("MaxPool", (images,), frame.out, **attributes)
        return _as_given(_turned(values, reduce), x, rank)
    shape = (*images.shape[:2], *frame.out)
    values, counts = torch.onnx.ops.symbolic_multi_out(
        "MaxPool", (images,), attributes, dtypes=(kind, torch.int64), shapes=(shape, shape)
    )
    values = _as_given(_turned(values, reduce), x, rank)
    return values, _in_plane(counts, n, left).reshape(values.shape)


def _in_plane(counts: Tensor, n: Sequence[Any], left: Sequence[Any]) -> Tensor:
    """A node's indices as indices in a plane of sizes ``n``.

    The node counts on from plane to plane, and counts what was padded in front of it.
    """
    if not nonzero(left) and is_static(n):
        return torch.remainder(counts, prod(n))
    index, pitch = torch.zeros_like(counts), 1
    for axis, length in enumerate(reversed(n)):
        before, after = left[2 * axis : 2 * axis + 2]
        padded = torch.full((), before + length + after, dtype=torch.int64)
        index = index + (counts % padded - before) * pitch
        # torch's own rounded division of integers is translated through floats
        counts, pitch = _symbolic("Div", (counts, padded), counts.shape[2:]), pitch * length
    return index


def _turned(x: Tensor, reduce: str) -> Tensor:
    """For a minimum ``x`` with the order of its elements turned round, else ``x``."""
    if reduce == "max":
        return x
    # -(-128) is no int8, ~(-128) is one
    return -x if x.dtype.is_floating_point else torch.bitwise_not(x)


def _select_whole(x: Tensor, rank: int, reduce: str, indices: bool) -> Any:
    if x.dtype in (torch.float32, torch.float16) and not indices:
        images = _turned(_images(x, rank), reduce)
        pooled = _symbolic("GlobalMaxPool", (images,), [1] * rank)
        return _as_given(_turned(pooled, reduce), x, rank)
    flat = x.flatten(-rank).to(_REDUCED.get(x.dtype, x.dtype))
    values = flat.amax(-1) if reduce == "max" else flat.amin(-1)
    shape = (*x.shape[: x.dim() - rank], *[1] * rank)
    values = values.to(x.dtype).reshape(shape)
    if not indices:
        return values
    return values, (flat.argmax(-1) if reduce == "max" else flat.argmin(-1)).reshape(shape)


def _select_without_node(x: Tensor, window: Window, reduce: str, indices: bool) -> Any:
    wide = x.to(_REDUCED.get(x.dtype, x.dtype))
    if is_static(x.shape[x.dim() - window.rank :]) and not indices:
        return gathers.reduced(wide, window, reduce).to(x.dtype)
    values, index = gathers.located(wide, window, reduce)
    return (values.to(x.dtype), index) if indices else values.to(x.dtype)


# Sums and what is made of them


def linear(x: Tensor, window: Window, divisor: Divisor, weights: Weights | None = None) -> Tensor:
    """The sum of every window over its divisor, its taps weighted if asked.

    ``(*lead, *n) -> (*lead, *window.out(n))``.
    """
    rank, n = window.rank, x.shape[x.dim() - window.rank :]
    if x.dtype in _SUMMED:
        wide = _images(x, rank).float()
        if is_whole(window):
            pooled = _symbolic("GlobalAveragePool", (wide,), [1] * rank)
            factor = 1.0 if divisor.override is None else prod(n) / divisor.override
            return _as_given(pooled * factor, x, rank)
        frame = Frame.of(window, n)
        if frame is not None:
            return _as_given(_averaged(wide, frame, divisor, weights), x, rank)
    if not x.dtype.is_floating_point:
        return _integers(x, window, divisor)
    wide = x.float() if x.dtype in _SUMMED else x
    if is_static(n):
        return gathers.multiplied(wide, window, divisor, weights).to(x.dtype)
    total = gathers.added(wide, window, weights)
    if divisor.override is not None:
        return (total / divisor.override).to(x.dtype)
    return (total / gathers.counted(x, window, divisor.count_include_pad)).to(x.dtype)


def _integers(x: Tensor, window: Window, divisor: Divisor) -> Tensor:
    """Sums and averages of integers; torch's own quotients are translated through floats."""
    if is_static(x.shape[x.dim() - window.rank :]):
        total = gathers.multiplied(x.long(), window, _SUM, None)
    else:
        total = gathers.added(x.long(), window, None)
    if divisor.override == 1:
        return total.to(x.dtype)
    by = gathers.counted(x, window, divisor.count_include_pad)
    if divisor.override is not None:
        by = torch.full((), divisor.override)
    quotient = _symbolic("Div", (total, by), total.shape[2:])  # toward zero
    if divisor.rounding == "half_even":
        rest = total - quotient * by
        twice = 2 * rest.abs()
        up = (twice > by.abs()) | ((twice == by.abs()) & (torch.remainder(quotient, 2) == 1))
        quotient = quotient + torch.where(up, rest.sign() * by.sign(), 0)
    return quotient.to(x.dtype)


def _averaged(x: Tensor, frame: Frame, divisor: Divisor, weights: Weights | None) -> Tensor:
    """An average by the one node that divides so, else a sum over a divisor."""
    if divisor.override is not None:
        return _added(x, frame, weights) / divisor.override
    include = divisor.count_include_pad
    if include and nonzero(frame.overhang):  # no node counts padding without the overhang
        within = zip(frame.pads, frame.overhang, strict=True)
        ends = [p for (before, after), over in within for p in (after - over, before)]
        x, frame, include = F.pad(x, ends[::-1]), frame.on_padded(), False
    if weights is None and not frame.dilated:
        if include:
            return _sliding("AveragePool", x, frame, count_include_pad=1)
        if not nonzero(frame.split()[1]):
            return _sliding("AveragePool", x, frame)
    if include:
        return _added(x, frame, weights) / frame.taps
    return _added(x, frame, weights) / _added(torch.ones_like(x[:1, :1]), frame, None)


def _added(x: Tensor, frame: Frame, weights: Weights | None) -> Tensor:
    """The sum of every window, padding being zeros."""
    if weights is None and not frame.dilated:
        return _sliding("AveragePool", x, frame, count_include_pad=1) * float(frame.taps)
    kernel = torch.ones([axis.kernel for axis in frame.axes])[None, None]
    if weights is not None:
        kernel = fold(lambda a, b: a[..., None] * b, map(numbers, weights))[None, None]
    planes = x.reshape(-1, 1, *x.shape[2:])  # one channel a plane: every plane for itself
    pads, left = frame.split()
    padded = F.pad(planes, left) if nonzero(left) else planes
    pooled = _symbolic("Conv", (padded, kernel), frame.out, **frame.attributes, pads=pads)
    return pooled.reshape(*x.shape[:2], *pooled.shape[2:])


def linear_transpose(
    grad: Tensor,
    window: Window,
    n: Sequence[Any],
    divisor: Divisor,
    weights: Weights | None = None,
) -> Tensor:
    """The adjoint of :func:`linear`; of sums over tiles it repeats every element.

    ``(*lead, *window.out(n)) -> (*lead, *n)``.
    """
    tiles = all(axis == Axis(axis.kernel, axis.kernel) for axis in window)
    if tiles and weights is None and divisor.override == 1:
        return _repeated(grad, [axis.kernel for axis in window])
    return reference.linear_pool_backward(grad, window, n, *divisor, weights=weights)


def _repeated(x: Tensor, factors: Sequence[int]) -> Tensor:
    if x.dtype == torch.float32:  # ONNX Runtime resizes few types
        images, scales = _images(x, len(factors)), numbers([1.0, 1.0, *map(float, factors)])
        shape = (*images.shape[:2], *map(operator.mul, images.shape[2:], factors))
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        node = torch.onnx.ops.symbolic(
            "Resize", (images, None, scales), {"mode": "nearest", **how}, dtype=x.dtype, shape=shape
        )
        return _as_given(node, x, len(factors))
    for dim, factor in enumerate(factors, x.dim() - len(factors)):
        x = x.unsqueeze(dim + 1)
        x = x.expand(*x.shape[: dim + 1], factor, *x.shape[dim + 2 :]).flatten(dim, dim + 1)
    return x


def power(x: Tensor, window: Window, p: float, floor: float | None, divisor: Divisor) -> Tensor:
    """``(sum of f(x)^p / divisor)^(1/p)``: ``f`` is ``abs``, or with a floor ``max(x, floor)``.

    ``(*lead, *n) -> (*lead, *window.out(n))``.
    """
    rank, n = window.rank, x.shape[x.dim() - window.rank :]
    norm = floor is None and divisor.override == 1 and p == int(p) > 0
    if norm and x.dtype in _SUMMED:
        images = _images(x, rank).float()
        if is_whole(window):
            return _as_given(_symbolic("GlobalLpPool", (images,), [1] * rank, p=int(p)), x, rank)
        frame = Frame.of(window, n)
        if frame is not None:
            return _as_given(_sliding("LpPool", images, frame, p=int(p)), x, rank)
    wide = x.float() if x.dtype in _SUMMED else x
    base = wide.abs() if floor is None else wide.clamp(min=floor)
    total = linear(base.pow(p), window, divisor)
    root = total.pow(1 / p)
    return (root if p > 0 else torch.where(total == 0, total, root)).to(x.dtype)


def logsumexp(x: Tensor, window: Window, sharpness: float) -> Tensor:
    """The smooth maximum of every window: ``log(sum(exp(sharpness * x))) / sharpness``.

    ``(*lead, *n) -> (*lead, *window.out(n))``. ONNX slides no window so: windows are laid out side
    by side for the reduction that it has.
    """
    wide = x.float() if x.dtype in _SUMMED else x
    if not is_whole(window):
        return gathers.logsumexp(wide, window, sharpness).to(x.dtype)
    dims = list(range(-window.rank, 0))
    return ((wide * sharpness).logsumexp(dims, keepdim=True) / sharpness).to(x.dtype)


def zeros_around(x: Tensor, pads: Sequence[tuple[int, int]]) -> Tensor:
    """``x`` with zeros before and after its last axes, as elements that may win a maximum.

    Of a ``Pad`` with 0 in front of a ``MaxPool`` ONNX Runtime 1.31 makes the maximum's own padding,
    which never wins; it leaves a ``Pad`` alone that names its axes.
    """
    if not all(map(is_static, pads)):
        return F.pad(x, [amount for pair in reversed(pads) for amount in pair])
    ends = torch.tensor([before for before, _ in pads] + [after for _, after in pads])
    axes = torch.arange(x.dim() - len(pads), x.dim())
    out = [n + sum(pair) for n, pair in zip(x.shape[x.dim() - len(pads) :], pads, strict=True)]
    return torch.onnx.ops.symbolic(
        "Pad",
        (x, ends, x.new_zeros(()), axes),
        dtype=x.dtype,
        shape=(*x.shape[: x.dim() - len(pads)], *out),
    )
