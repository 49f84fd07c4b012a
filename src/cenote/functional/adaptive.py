"""As many windows as there shall be outputs, whatever the input's size."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cenote import _args
from cenote.functional import _plans, _reductions
from cenote.functional._families import ANY, Family, Op

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "adaptive_min_pool1d",
    "adaptive_min_pool2d",
    "adaptive_min_pool3d",
    "adaptive_sum_pool1d",
    "adaptive_sum_pool2d",
    "adaptive_sum_pool3d",
]


@Family
def _adaptive_select_pool(
    input: Tensor, output_size: Any, return_indices: bool = False, *, _op: Op = ANY
) -> Any:
    """The $which element of every share of the input$torch.

    ``$in -> (N, C, *output_size)``; with ``return_indices`` a pair, the second of which says where
    in its plane each element lies. Output ``o`` of ``m`` sees the inputs ``floor(o*n/m)`` to
    ``ceil((o + 1)*n/m)`` along an axis of length ``n``; a size of None keeps an axis as it is.

    Raises:
        TypeError: no tensor, or sizes that are not integers.
        ValueError: sizes below 1, or a wrong number of them.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, 2).flatten()[:2]
    $example
    """
    if not return_indices:
        planned = _plans.shares(_op, input, output_size, _op.reduce)
        if planned is not None:
            return planned
    window = _args.adaptive_window(_op.name, _op.rank, output_size)
    return _reductions.select(_op.name, input, window, _op.reduce, return_indices, "identity")


adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = _adaptive_select_pool(
    "adaptive_max_pool",
    reduce="max",
    which="greatest",
    torch=", as torch has it",
    example="tensor([4., 2.])",
)
adaptive_min_pool1d, adaptive_min_pool2d, adaptive_min_pool3d = _adaptive_select_pool(
    "adaptive_min_pool", reduce="min", which="least", torch="", example="tensor([1., 0.])"
)


@Family
def _adaptive_avg_pool(input: Tensor, output_size: Any, *, _op: Op = ANY) -> Tensor:
    """The mean of every share of the input, as torch has it.

    ``$in -> (N, C, *output_size)``; the shares are those of :func:`adaptive_max_pool${rank}d`.

    Raises:
        TypeError: no tensor, booleans, or sizes that are not integers.
        ValueError: sizes below 1, or a wrong number of them.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, 2).flatten()[:2]
    tensor([2.5000, 1.0000])
    """
    planned = _plans.shares(_op, input, output_size, "avg")
    if planned is not None:
        return planned
    window = _args.adaptive_window(_op.name, _op.rank, output_size)
    return _reductions.average(_op.name, input, window)


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = _adaptive_avg_pool(
    "adaptive_avg_pool"
)


@Family
def _adaptive_sum_pool(input: Tensor, output_size: Any, *, _op: Op = ANY) -> Tensor:
    """The sum of every share of the input; of integers and booleans in int64.

    ``$in -> (N, C, *output_size)``; the shares are those of :func:`adaptive_max_pool${rank}d`.

    Raises:
        TypeError: no tensor, or sizes that are not integers.
        ValueError: sizes below 1, or a wrong number of them.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, (None,) * ($rank - 1) + (2,)).flatten()[:2]
    tensor([5., 2.])
    """
    planned = _plans.shares(_op, input, output_size, "sum")
    if planned is not None:
        return planned
    window = _args.adaptive_window(_op.name, _op.rank, output_size)
    return _reductions.total(_op.name, input, window)


adaptive_sum_pool1d, adaptive_sum_pool2d, adaptive_sum_pool3d = _adaptive_sum_pool(
    "adaptive_sum_pool"
)
