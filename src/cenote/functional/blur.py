"""Anti-aliased subsampling: a binomial filter in front of the stride."""

from __future__ import annotations

from math import comb
from typing import Any

from torch import Tensor

from cenote import _args, _checks, _ops
from cenote._kernels import Divisor
from cenote.functional import _reductions
from cenote.functional._families import ANY, Family, Op
from cenote.functional._padding import pad, shown_padding
from cenote.window import Window

__all__ = [
    "blur_pool1d",
    "blur_pool2d",
    "blur_pool3d",
    "max_blur_pool1d",
    "max_blur_pool2d",
    "max_blur_pool3d",
]

# The weights of every number of taps; they are exact, and so is their sum, 1.
_BINOMIALS = {
    taps: tuple(comb(taps - 1, k) / 2 ** (taps - 1) for k in range(taps)) for taps in range(2, 8)
}


@Family
def _blur_pool(
    input: Tensor,
    kernel_size: Any = 3,
    stride: Any = 2,
    *,
    padding: Any = "half",
    padding_mode: str = "reflect",
    _op: Op = ANY,
) -> Tensor:
    """Every plane blurred by a binomial filter, and every ``stride``-th element of that.

    ``$in -> $out`` with ``ceil(L / stride)`` along an axis of length ``L`` (Zhang, Making
    Convolutional Networks Shift-Invariant Again, 2019). The weights of ``k`` taps are the binomial
    coefficients of ``k - 1`` over their sum ``2^(k - 1)``.

    Args:
        input: the tensor of floats; ``N`` may be missing.
        kernel_size: the filter's taps, 2 to 7: one integer, or one for every axis.
        stride: how far the filter moves on.
        padding: ``"half"`` (``(k - 1)//2`` before, ``k//2`` after), or what pooling takes.
        padding_mode: what the padding shows; see :func:`max_pool2d`.

    Raises:
        TypeError: no tensor of floats, or arguments that are not integers.
        ValueError: arguments out of bounds, or padding that the input is too short for.

    >>> x = torch.tensor([0.0, 4.0, 0.0, 0.0]).expand($plane)
    >>> $name(x).flatten()[:2]
    tensor([2., 1.])
    """
    window = _args.blur_window(_op.name, _op.rank, kernel_size, stride, padding)
    return _blur(_op.name, input, window, padding_mode=padding_mode)


blur_pool1d, blur_pool2d, blur_pool3d = _blur_pool("blur_pool")


@Family
def _max_blur_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = 2,
    *,
    padding: Any = 0,
    filter_size: Any = 3,
    padding_mode: str = "reflect",
    _op: Op = ANY,
) -> Tensor:
    """The greatest element of every window with stride 1, then blurred and subsampled.

    ``$in -> $out``: a max pooling whose stride came apart from its maximum (Zhang, Making
    Convolutional Networks Shift-Invariant Again, 2019).

    Args:
        input: the tensor of floats; ``N`` may be missing.
        kernel_size: the size of the maximum's window.
        stride: how far the filter moves on.
        padding: what lies around the planes for the maximum, which it never wins.
        filter_size: the filter's taps, 2 to 7; its padding is ``"half"``.
        padding_mode: what the filter's padding shows; see :func:`max_pool2d`.

    Raises:
        TypeError: no tensor of floats, or arguments that are not integers.
        ValueError: arguments out of bounds, or padding that the input is too short for.

    >>> x = torch.tensor([0.0, 4.0, 0.0, 0.0]).expand($plane)
    >>> $name(x, 2, padding="same").flatten()[:2]
    tensor([4., 1.])
    """
    window = _args.pool_window(_op.name, _op.rank, kernel_size, 1, padding)
    blur = _args.filter_window(_op.name, _op.rank, filter_size, stride)
    _checks.check_input(_op.name, input, window)
    _checks.check_floating(_op.name, input)
    return _blur(_op.name, _reductions.greatest(input, window), blur, padding_mode=padding_mode)


max_blur_pool1d, max_blur_pool2d, max_blur_pool3d = _max_blur_pool("max_blur_pool")


@shown_padding
def _blur(op: str, x: Tensor, window: Window, *, padding_mode: str) -> Tensor:
    _reductions.prepare(op, x, window, padding_mode)
    _checks.check_floating(op, x)
    if padding_mode != "identity":
        x, window = pad(op, x, window, padding_mode)
    weights = tuple(_BINOMIALS[axis.kernel] for axis in window)
    return _ops.linear(x, window, Divisor(override=1), weights)
