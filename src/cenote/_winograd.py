"""Convolutions of 3x3 and 5x5 kernels with fewer multiplications than taps, on channels last.

Tiles of the input and the kernels are transformed, multiplied position by position, and transformed
back (S. Winograd, "Arithmetic complexity of computations", 1980; A. Lavin, S. Gray, "Fast
algorithms for convolutional neural networks", 2016). A tile of 6x6 elements makes 4x4 outputs of a
3x3 kernel with 36 multiplications instead of 144, or 2x2 of a 5x5 kernel with 36 instead of 100; a
tile of 4x4 elements 2x2 outputs of a 3x3 kernel with 16 instead of 36.

Two things differ from a sum over taps. Rounding: on normal and on positive data of 16 to 512
channels errors came to at most 7 * 2**-24 of the largest sum of magnitudes ``|x| * |w|`` in a plane
for tiles of 6x6 under a 3x3 kernel (3.3 under 5x5), and 1.8 for tiles of 4x4, where torch's sums
came to 4.3. And a tile is computed as a whole: a NaN or an infinity that it reads may make all of
its outputs NaN, not only those whose windows hold it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from cenote import _native
from cenote._kernels import call_with
from cenote._separable import pitch
from cenote.options import current

__all__ = [
    "conv2d",
    "convolve",
    "edge_for",
    "filters",
    "gradients",
    "points",
    "weight_gradient",
    "why_not",
]

_PANEL = 16  # so many output channels lie together in transformed filters
_KERNELS = ((3, 3), (5, 5))


def points(edge: int) -> tuple[float, ...]:
    """Where the polynomials of a tile are evaluated, besides infinity."""
    return (0, 1, -1) if edge == 4 else (0, 0.625, -0.625, 1.5, -1.5)


@functools.lru_cache(maxsize=1024)
def edge_for(kernel: int, sizes: tuple[int, int]) -> int:
    """The side of the tiles for outputs of these sizes: that with fewer multiplications."""
    if kernel == 5:
        return 6
    return 4 if _products(4, 3, sizes) <= _products(6, 3, sizes) else 6


def _products(edge: int, kernel: int, sizes: Sequence[int]) -> int:
    """Multiplications for a pair of channels of an image."""
    step = edge - kernel + 1
    return edge * edge * -(-sizes[0] // step) * -(-sizes[1] // step)


def _out(n: Sequence[int], kernel: int, padding: Sequence[int]) -> tuple[int, int]:
    return n[0] + 2 * padding[0] - kernel + 1, n[1] + 2 * padding[1] - kernel + 1


@functools.lru_cache(maxsize=4096)
def why_not(
    x: tuple[int, ...],
    weight: tuple[int, ...],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> str:
    """Why a convolution of these shapes is not computed so; "" where it is, and is faster.

    Example:
        >>> why_not((8, 64, 56, 56), (64, 64, 3, 3), padding=(1, 1))
        ''
        >>> why_not((8, 64, 56, 56), (64, 64, 3, 3), stride=(2, 2), padding=(1, 1))
        'windows move by (2, 2)'
    """
    kernel = weight[2:]
    if len(x) != 4 or kernel not in _KERNELS:
        return f"a kernel of {kernel}"
    if stride != (1, 1):
        return f"windows move by {stride}"
    if dilation != (1, 1):
        return f"taps lie {dilation} apart"
    if groups != 1:
        return f"{groups} groups"
    if not all(0 <= p < k for p, k in zip(padding, kernel, strict=True)):
        return f"padding of {padding}"
    sizes = _out(x[2:], kernel[0], padding)
    if min(*sizes, x[0], x[1], weight[0]) < 1:
        return "nothing to compute"
    return _slower(x[0], x[1], weight[0], kernel[0], sizes, _FORWARD)


# What else there is to do, in multiplications: for a channel of the input and one of the output at
# a position of a tile, to transform them, and for each filter, to read it from a cache, or from
# memory if they are many. Measured with AVX-512; for the gradient of a weight more goes through
# memory.
_FORWARD, _GRADIENT = (12, 7, 4, 20), (20, 20, 20, 60)
_MANY = 1 << 20  # filters: 4 MB


def _slower(
    images: int,
    channels: int,
    out: int,
    kernel: int,
    sizes: tuple[int, int],
    costs: tuple[int, int, int, int],
) -> str:
    """Why a sum over taps would take no longer; "" if it would."""
    if min(channels, out) < _PANEL:
        return f"{channels} channels to {out}"
    edge = edge_for(kernel, sizes)
    tiles = images * _products(edge, kernel, sizes) // (edge * edge)
    padded = -(-out // _PANEL) * _PANEL
    there, back, near, far = costs
    read = far if edge * edge * channels * padded > _MANY else near
    here = tiles * (channels * padded + there * channels + back * out) + read * channels * padded
    by_taps = images * sizes[0] * sizes[1] * channels * out * kernel * kernel
    if by_taps < 1.2 * edge * edge * here:
        return f"{tiles} tiles of {edge}x{edge} for {channels} channels to {out}"
    return ""


_room = threading.local()  # memory for filters that are used once, as in a step of training


def filters(
    weight: Tensor, edge: int = 6, *, turned: bool = False, passing: bool = False
) -> Tensor:
    """``(O, C, k, k) -> (edge*edge, panels of O, C, 16)``: a weight, transformed for its tiles.

    ``turned``: for the gradient of the input, ``O`` and ``C`` exchanged and kernels turned round.
    ``passing``: in memory that the next such call in this thread uses again: that saves the time in
    which fresh pages are cleared, most of it all.
    """
    out, channels, kernel, _ = weight.shape
    strides, start = weight.stride(), weight.data_ptr()
    if turned:
        out, channels = channels, out
        start += (kernel - 1) * (strides[2] + strides[3]) * weight.itemsize
        strides = (strides[1], strides[0], -strides[2], -strides[3])
    sizes = (edge * edge, -(-out // _PANEL), channels, _PANEL)
    packed = _passing(sizes) if passing else torch.empty(sizes, dtype=weight.dtype)
    _native.winograd_filters(
        call_with(current()), (edge, kernel, out, channels),
        (strides[0], strides[1], strides[2], strides[3]), start, packed.data_ptr(),
    )  # fmt: skip
    return packed


def _passing(sizes: tuple[int, ...]) -> Tensor:
    kept: Tensor | None = getattr(_room, "kept", None)
    if kept is None or kept.numel() < prod(sizes):
        kept = _room.kept = torch.empty(prod(sizes), dtype=torch.float32)
    return kept[: prod(sizes)].view(sizes)


def convolve(
    x: Tensor,
    packed: Tensor,
    shape: Sequence[int],
    bias: Tensor | None = None,
    padding: tuple[int, int] = (0, 0),
    other: Tensor | None = None,
    relu: bool = False,
    to: Tensor | None = None,
) -> Tensor:
    """``(N, C, h, w) -> (N, O, h', w')``: by the filters of a weight of this shape.

    ``other`` is added, like the bias, before less than nothing becomes nothing with ``relu``.
    ``to``: where it is written, channels of a tensor whose channels are last.
    """
    out, channels, kernel, _ = shape
    n = x.shape[2:]
    sizes = _out(n, kernel, padding)
    if to is None:
        to = torch.empty((x.shape[0], out, *sizes), memory_format=torch.channels_last)
    x = _dense(x)
    other = None if other is None else _dense(other)
    _native.winograd(
        call_with(current()),
        [_edge(packed), kernel, x.shape[0], channels, out, *n, *padding, *sizes],
        x.data_ptr(), packed.data_ptr(), 0 if bias is None else bias.data_ptr(),
        0 if other is None else other.data_ptr(), relu, to.data_ptr(), pitch(to),
    )  # fmt: skip
    return to


def weight_gradient(
    x: Tensor, grad: Tensor, weight: Tensor, padding: tuple[int, int], edge: int = 6
) -> Tensor:
    """The gradient of a weight, like it, from that of the output."""
    to = torch.empty_like(weight)
    if grad.numel() == 0:
        return to.zero_()
    x, grad = _dense(x), _dense(grad)
    out, channels, kernel, _ = weight.shape
    _native.winograd_gradient(
        call_with(current()),
        [edge, kernel, x.shape[0], channels, out, *x.shape[2:], *padding, *grad.shape[2:]],
        x.data_ptr(), grad.data_ptr(), (to.stride(0), to.stride(1), to.stride(2), to.stride(3)),
        to.data_ptr(),
    )  # fmt: skip
    return to


def _dense(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _edge(packed: Tensor) -> int:
    return 6 if packed.shape[0] == 36 else 4


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: tuple[int, int] = (0, 0)
) -> Tensor:
    """``F.conv2d(x, weight, bias, padding=padding)`` by tiles, both ways.

    Each gradient is computed so where that is faster.
    """
    made: Tensor = _Convolved.apply(x, weight, bias, padding)  # type: ignore[no-untyped-call]
    return made


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.bias = padding, bias is not None
        edge = edge_for(weight.shape[2], _out(x.shape[2:], weight.shape[2], padding))
        return convolve(x, filters(weight, edge, passing=True), weight.shape, bias, padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias, _ = ctx.needs_input_grad
        wanted = (to_x, to_weight, to_bias and ctx.bias)
        if torch.is_grad_enabled():
            summed = grad.sum((0, 2, 3)) if wanted[2] else None
            return (*_plainly(x, weight, grad, ctx.padding, wanted[:2]), summed, None)
        return (*gradients(x, weight, grad, ctx.padding, wanted), None)


def gradients(
    x: Tensor,
    weight: Tensor,
    grad: Tensor,
    padding: tuple[int, int],
    wanted: Sequence[bool],
    to: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of input, weight and bias, from that of the output; None for what is not wanted.

    Each by tiles where that is faster; they have no derivatives themselves. ``to``: where that of
    the input may be written, channels last.
    """
    found_x = _input_gradient(x, weight, grad, padding, to) if wanted[0] else None
    found_weight = _gradient_of_weight(x, weight, grad, padding) if wanted[1] else None
    return found_x, found_weight, grad.sum((0, 2, 3)) if wanted[2] else None


def _plainly(
    x: Tensor, weight: Tensor, grad: Tensor, padding: tuple[int, int], wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """By torch's own formula, which has derivatives itself."""
    found = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, [*wanted, False]
    )
    return found[0], found[1]


def _input_gradient(
    x: Tensor, weight: Tensor, grad: Tensor, padding: tuple[int, int], to: Tensor | None
) -> Tensor | None:
    out, channels, kernel, _ = weight.shape
    back = (kernel - 1 - padding[0], kernel - 1 - padding[1])
    turned = (channels, out, kernel, kernel)
    if why_not(tuple(grad.shape), turned, padding=back):
        return _plainly(x, weight, grad, padding, (True, False))[0]
    edge = edge_for(kernel, (x.shape[2], x.shape[3]))
    packed = filters(weight, edge, turned=True, passing=True)
    return convolve(grad, packed, turned, None, back, to=to)


def _gradient_of_weight(
    x: Tensor, weight: Tensor, grad: Tensor, padding: tuple[int, int]
) -> Tensor | None:
    out, channels, kernel, _ = weight.shape
    sizes = (grad.shape[2], grad.shape[3])
    if _slower(x.shape[0], channels, out, kernel, sizes, _GRADIENT):
        return _plainly(x, weight, grad, padding, (False, True))[1]
    edge = edge_for(kernel, sizes)
    return weight_gradient(x, grad, weight, padding, edge)
