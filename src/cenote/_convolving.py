"""From tensors to the native core's convolutions: sizes, and room for results."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from cenote import _native, options
from cenote._kernels import call_with
from cenote.window import Axis, Window

__all__ = [
    "TYPES",
    "convolve",
    "images_at_once",
    "input_gradient",
    "stage",
    "stage_gradient",
    "weight_gradient",
]

TYPES = {torch.float32: "f32", torch.float64: "f64"}
"""The element types that there are kernels for."""

_ALONE = (1, 1, 1, 1, 0, 1, 1)  # the other axis of what has one: nothing happens along it


def _slide(axis: Axis, n: int) -> tuple[int, ...]:
    """An axis as the kernels take it: n, out, kernel, stride, before, dilation, spread."""
    before, _ = axis.padding
    return (n, axis.out(n), axis.kernel, axis.stride, before, axis.dilation, 1)


def _adjoint(axis: Axis, n: int) -> tuple[int, ...]:
    """The axis from the outputs back: its inputs lie a stride apart, its taps are turned round."""
    before, _ = axis.padding
    return (axis.out(n), n, axis.kernel, 1, axis.extent - 1 - before, axis.dilation, axis.stride)


def _numbers(slides: list[tuple[int, ...]], *rest: int) -> list[int]:
    both = slides if len(slides) == 2 else [_ALONE, *slides]
    return [number for slide in both for number in slide] + list(rest)


def _sizes(x: Tensor, rank: int) -> torch.Size:
    return x.shape[x.dim() - rank :]


def _batch(x: Tensor, rank: int) -> int:
    return prod(x.shape[: x.dim() - rank - 1])


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int, shuffle: bool
) -> Tensor:
    """``(*lead, C, *n) -> (*lead, O, *out)``, all contiguous and of one type."""
    rank = len(window)
    n, channels = _sizes(x, rank), weight.shape[0]
    y = x.new_empty((*x.shape[: x.dim() - rank - 1], channels, *window.out(n)))
    slides = [_slide(axis, length) for axis, length in zip(window, n, strict=True)]
    numbers = _numbers(
        slides, _batch(x, rank), groups, weight.shape[1], channels // groups, 0, shuffle, 0
    )
    _native.convolve(
        call_with(options.current()), TYPES[x.dtype], numbers, x.data_ptr(), weight.data_ptr(),
        0 if bias is None else bias.data_ptr(), y.data_ptr(),
    )  # fmt: skip
    return y


def input_gradient(
    grad: Tensor, weight: Tensor, window: Window, groups: int, shuffle: bool, n: torch.Size
) -> Tensor:
    """The gradient of an input of spatial sizes ``n`` from that of the output."""
    rank = len(window)
    reads, channels = weight.shape[1], weight.shape[0]
    to = grad.new_empty((*grad.shape[: grad.dim() - rank - 1], reads * groups, *n))
    slides = [_adjoint(axis, length) for axis, length in zip(window, n, strict=True)]
    numbers = _numbers(slides, _batch(grad, rank), groups, channels // groups, reads, shuffle, 0, 1)
    _native.convolve(
        call_with(options.current()), TYPES[grad.dtype], numbers, grad.data_ptr(),
        weight.data_ptr(), 0, to.data_ptr(),
    )  # fmt: skip
    return to


def weight_gradient(
    x: Tensor, grad: Tensor, window: Window, groups: int, shuffle: bool, shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """The gradients of a weight of this shape and of the bias, from that of the output."""
    rank = len(window)
    n = _sizes(x, rank)
    weight, bias = x.new_empty(shape), x.new_empty(shape[0])
    slides = [_slide(axis, length) for axis, length in zip(window, n, strict=True)]
    numbers = _numbers(slides, _batch(x, rank), groups, shape[1], shape[0] // groups, 0, shuffle, 0)
    _native.convolution_gradient(
        call_with(options.current()), TYPES[x.dtype], numbers, x.data_ptr(), grad.data_ptr(),
        weight.data_ptr(), bias.data_ptr(),
    )  # fmt: skip
    return weight, bias


def images_at_once(dtype: torch.dtype) -> int:
    """How many images a vector holds."""
    return _native.images_at_once(call_with(options.current()), TYPES[dtype])


@functools.lru_cache(maxsize=1024)
def _stage_numbers(
    x: torch.Size,
    weight: torch.Size,
    window: Window,
    groups: int,
    shuffle: bool,
    pool: tuple[int, ...],
    positive: bool,
) -> tuple[list[int], torch.Size]:
    """A stage as the kernels take it, and the shape of what it makes."""
    slides = [_slide(axis, length) for axis, length in zip(window, x[2:], strict=True)]
    alone = (1, *pool) if len(pool) == 1 else pool
    numbers = _numbers(
        slides, x[0], groups, weight[1], weight[0] // groups, 0, shuffle, 0, *alone, positive
    )
    sizes = (n // many for n, many in zip(window.out(x[2:]), pool, strict=True))
    return numbers, torch.Size((x[0], weight[0], *sizes))


def stage(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    window: Window,
    groups: int,
    shuffle: bool,
    pool: tuple[int, ...],
    positive: bool,
    keep: bool,
) -> tuple[Tensor, Tensor | None]:
    """``(N, C, *n) -> (N, O, *out)``: the greatest of every ``pool`` of a convolution's outputs.

    ``positive``: less than nothing becomes nothing. With ``keep`` also which of them won, in an
    order of the kernels' own.
    """
    numbers, shape = _stage_numbers(x.shape, weight.shape, window, groups, shuffle, pool, positive)
    y = x.new_empty(shape)
    taps = None
    if keep:
        lanes = images_at_once(x.dtype)
        units = -(-x.shape[0] // lanes)
        taps = torch.empty(units * lanes * y[0].numel(), dtype=torch.uint8)
    _native.stage(
        call_with(options.current()), TYPES[x.dtype],
        numbers, x.data_ptr(), weight.data_ptr(), 0 if bias is None else bias.data_ptr(),
        y.data_ptr(), 0 if taps is None else taps.data_ptr(),
    )  # fmt: skip
    return y, taps


def stage_gradient(
    x: Tensor,
    weight: Tensor,
    grad: Tensor,
    taps: Tensor | None,
    window: Window,
    groups: int,
    shuffle: bool,
    pool: tuple[int, ...],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of input, weight and bias, each where it is wanted; others are None."""
    numbers, _ = _stage_numbers(x.shape, weight.shape, window, groups, shuffle, pool, False)
    found = [
        torch.empty(shape, dtype=x.dtype) if want else None
        for want, shape in zip(wanted, (x.shape, weight.shape, weight.shape[:1]), strict=True)
    ]
    _native.stage_gradient(
        call_with(options.current()), TYPES[x.dtype],
        numbers, x.data_ptr(), weight.data_ptr(), grad.data_ptr(),
        0 if taps is None else taps.data_ptr(),
        *(0 if t is None else t.data_ptr() for t in found),
    )  # fmt: skip
    return found[0], found[1], found[2]
