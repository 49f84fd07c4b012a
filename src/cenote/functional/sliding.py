"""Windows that slide: maxima, minima, medians, averages, sums.

The arguments are torch's, in torch's order, with torch's defaults; what torch does not have is
keyword-only. ``padding`` also takes ``"same"``, ``"valid"`` and ``((before, after), ...)``, and may
be any size below the extent of the window.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cenote import _args
from cenote._ops import planned
from cenote.functional import _plans, _reductions
from cenote.functional._families import ANY, Family, Op

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "median_pool1d",
    "median_pool2d",
    "median_pool3d",
    "min_pool1d",
    "min_pool2d",
    "min_pool3d",
    "sum_pool1d",
    "sum_pool2d",
    "sum_pool3d",
]


@Family
def _select_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    padding_mode: str = "identity",
    _op: Op = ANY,
) -> Any:
    """The $which element of every window$torch.

    ``$in -> $out``; with ``return_indices`` a pair, the second of which says where in its plane
    each element lies (int64; -1 for a window without an element). NaN wins.

    Args:
        input: the tensor; ``N`` may be missing.
        kernel_size: the window's size: one integer, or one for every axis.
        stride: how far the window moves on; None is ``kernel_size``.
        padding: what lies around the planes: integers, pairs, ``"same"`` or ``"valid"``.
        dilation: how far apart the window's elements are.
        ceil_mode: whether the last window may hang over the end.
        return_indices: whether to return indices too.
        padding_mode: ``"identity"`` (padding never wins), or elements that may win: ``"zeros"``
            (of index -1), ``"reflect"``, ``"replicate"``, ``"circular"``.

    Raises:
        TypeError: no tensor, or arguments that are not integers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, 2).flatten()[:2]
    $example
    """
    arguments = (kernel_size, stride, padding, dilation, ceil_mode)
    if padding_mode == "identity":
        run = planned.with_indices if return_indices else planned.fresh
        result = _plans.sliding(_op, input, arguments, _op.reduce, run)
        if result is not None:
            return result
    window = _args.pool_window(_op.name, _op.rank, *arguments)
    return _reductions.select(_op.name, input, window, _op.reduce, return_indices, padding_mode)


max_pool1d, max_pool2d, max_pool3d = _select_pool(
    "max_pool",
    reduce="max",
    which="greatest",
    torch=", as torch has it",
    example="tensor([4., 2.])",
)
min_pool1d, min_pool2d, min_pool3d = _select_pool(
    "min_pool", reduce="min", which="least", torch="", example="tensor([1., 0.])"
)


@Family
def _median_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    padding_mode: str = "identity",
    _op: Op = ANY,
) -> Any:
    """The lower median of every window's elements, as :func:`torch.median` has it.

    ``$in -> $out``; the arguments are those of :func:`max_pool${rank}d`. Padding counts for nothing
    unless ``padding_mode`` makes elements of it. NaN wins; a window without an element gives 0.

    Raises:
        TypeError: no tensor, booleans, or arguments that are not integers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, 3).flatten()
    tensor([2.])
    """
    window = _args.pool_window(
        _op.name, _op.rank, kernel_size, stride, padding, dilation, ceil_mode
    )
    return _reductions.median(
        _op.name, input, window, return_indices=return_indices, padding_mode=padding_mode
    )


median_pool1d, median_pool2d, median_pool3d = _median_pool("median_pool")


@Family
def _avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    divisor_override: int | None = None,
    dilation: Any = 1,
    padding_mode: str = "identity",
    rounding: str = "trunc",
    _op: Op = ANY,
) -> Tensor:
    """The mean of every window, as torch has it, of integers and with dilation too.

    ``$in -> $out``; the arguments are those of :func:`avg_pool2d`.

    Raises:
        TypeError: no tensor, booleans, or arguments that are not integers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> avg_pool1d(torch.tensor([[1.0, 4.0, 2.0, 0.0]]), 2)
    tensor([[2.5000, 1.0000]])
    """
    arguments = (kernel_size, stride, padding, dilation, ceil_mode)
    if padding_mode == "identity" and rounding == "trunc" and divisor_override is None:
        reduce = _plans.average(count_include_pad)
        result: Tensor | None = _plans.sliding(_op, input, arguments, reduce)
        if result is not None:
            return result
    window = _args.pool_window(_op.name, _op.rank, *arguments)
    return _reductions.average(
        _op.name,
        input,
        window,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
        rounding=rounding,
        padding_mode=padding_mode,
    )


@Family
def _avg_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Any = 1,
    padding_mode: str = "identity",
    rounding: str = "trunc",
    _op: Op = ANY,
) -> Tensor:
    """The mean of every window, as torch has it, of integers and with dilation too.

    ``$in -> $out``.

    Args:
        input: the tensor; ``N`` may be missing.
        kernel_size: the window's size: one integer, or one for every axis.
        stride: how far the window moves on; None is ``kernel_size``.
        padding: what lies around the planes: integers, pairs, ``"same"`` or ``"valid"``.
        ceil_mode: whether the last window may hang over the end.
        count_include_pad: whether padding counts in the divisor.
        divisor_override: what sums are divided by instead of the number of elements.
        dilation: how far apart the window's elements are.
        padding_mode: ``"identity"`` (padding adds nothing), or elements that all count:
            ``"zeros"``, ``"reflect"``, ``"replicate"``, ``"circular"``.
        rounding: of integers, ``"trunc"`` (toward zero) or ``"half_even"`` (to the nearest).

    Raises:
        TypeError: no tensor, booleans, or arguments that are not integers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, 2).flatten()[:2]
    tensor([2.5000, 1.0000])
    """
    arguments = (kernel_size, stride, padding, dilation, ceil_mode)
    if padding_mode == "identity" and rounding == "trunc" and divisor_override is None:
        reduce = _plans.average(count_include_pad)
        result: Tensor | None = _plans.sliding(_op, input, arguments, reduce)
        if result is not None:
            return result
    window = _args.pool_window(_op.name, _op.rank, *arguments)
    return _reductions.average(
        _op.name,
        input,
        window,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
        rounding=rounding,
        padding_mode=padding_mode,
    )


(avg_pool1d,) = _avg_pool1d("avg_pool", (1,))
avg_pool2d, avg_pool3d = _avg_pool("avg_pool", (2, 3))


@Family
def _sum_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    dilation: Any = 1,
    padding_mode: str = "identity",
    _op: Op = ANY,
) -> Tensor:
    """The sum of every window; of integers and booleans in int64, as :func:`torch.sum` has it.

    ``$in -> $out``; the arguments are those of :func:`avg_pool2d`.

    Raises:
        TypeError: no tensor, or arguments that are not integers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, $row).flatten()[:2]
    tensor([5., 2.])
    """
    arguments = (kernel_size, stride, padding, dilation, ceil_mode)
    if padding_mode == "identity":
        result: Tensor | None = _plans.sliding(_op, input, arguments, "sum")
        if result is not None:
            return result
    window = _args.pool_window(_op.name, _op.rank, *arguments)
    return _reductions.total(_op.name, input, window, padding_mode=padding_mode)


sum_pool1d, sum_pool2d, sum_pool3d = _sum_pool("sum_pool")
