"""One window over the whole plane; its axes stay, with size 1."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cenote import _args
from cenote.functional import _plans, _reductions
from cenote.functional._families import ANY, Family, Op

__all__ = [
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_avg_pool3d",
    "global_gem_pool1d",
    "global_gem_pool2d",
    "global_gem_pool3d",
    "global_logsumexp_pool1d",
    "global_logsumexp_pool2d",
    "global_logsumexp_pool3d",
    "global_lp_pool1d",
    "global_lp_pool2d",
    "global_lp_pool3d",
    "global_max_pool1d",
    "global_max_pool2d",
    "global_max_pool3d",
    "global_median_pool1d",
    "global_median_pool2d",
    "global_median_pool3d",
    "global_min_pool1d",
    "global_min_pool2d",
    "global_min_pool3d",
    "global_mixed_pool1d",
    "global_mixed_pool2d",
    "global_mixed_pool3d",
    "global_sum_pool1d",
    "global_sum_pool2d",
    "global_sum_pool3d",
]


@Family
def _global_select_pool(input: Tensor, return_indices: bool = False, *, _op: Op = ANY) -> Any:
    """The $which element of every plane.

    ``$in -> (N, C, $ones)``; with ``return_indices`` a pair, the second of which says where in its
    plane each element lies.

    Raises:
        TypeError: no tensor.
        ValueError: a wrong number of dimensions.

    >>> $name(torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)).flatten()
    $example
    """
    if not return_indices:
        planned = _plans.shares(_op, input, 1, _op.reduce)
        if planned is not None:
            return planned
    window = _args.global_window(_op.rank)
    return _reductions.select(_op.name, input, window, _op.reduce, return_indices, "identity")


global_max_pool1d, global_max_pool2d, global_max_pool3d = _global_select_pool(
    "global_max_pool", reduce="max", which="greatest", example="tensor([4.])"
)
global_min_pool1d, global_min_pool2d, global_min_pool3d = _global_select_pool(
    "global_min_pool", reduce="min", which="least", example="tensor([0.])"
)


@Family
def _global_median_pool(input: Tensor, return_indices: bool = False, *, _op: Op = ANY) -> Any:
    """The lower median of every plane, as :func:`torch.median` has it.

    ``$in -> (N, C, $ones)``; with ``return_indices`` a pair, the second of which says where in its
    plane each element lies.

    Raises:
        TypeError: no tensor, or booleans.
        ValueError: a wrong number of dimensions.

    >>> $name(torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)).flatten()
    tensor([1.])
    """
    window = _args.global_window(_op.rank)
    return _reductions.median(_op.name, input, window, return_indices=return_indices)


global_median_pool1d, global_median_pool2d, global_median_pool3d = _global_median_pool(
    "global_median_pool"
)


@Family
def _global_avg_pool(input: Tensor, *, _op: Op = ANY) -> Tensor:
    """The mean of every plane.

    ``$in -> (N, C, $ones)``.

    Raises:
        TypeError: no tensor, or booleans.
        ValueError: a wrong number of dimensions.

    >>> $name(torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)).flatten()
    tensor([1.7500])
    """
    planned = _plans.shares(_op, input, 1, "avg")
    if planned is not None:
        return planned
    return _reductions.average(_op.name, input, _args.global_window(_op.rank))


global_avg_pool1d, global_avg_pool2d, global_avg_pool3d = _global_avg_pool("global_avg_pool")


@Family
def _global_sum_pool(input: Tensor, *, _op: Op = ANY) -> Tensor:
    """The sum of every plane; of integers and booleans in int64.

    ``$in -> (N, C, $ones)``.

    Raises:
        TypeError: no tensor.
        ValueError: a wrong number of dimensions.

    >>> $name(torch.ones($plane)).flatten() == 4**$rank
    tensor([True])
    """
    planned = _plans.shares(_op, input, 1, "sum")
    if planned is not None:
        return planned
    return _reductions.total(_op.name, input, _args.global_window(_op.rank))


global_sum_pool1d, global_sum_pool2d, global_sum_pool3d = _global_sum_pool("global_sum_pool")


@Family
def _global_lp_pool(input: Tensor, norm_type: Any, *, _op: Op = ANY) -> Tensor:
    """The ``p``-norm of every plane; see :func:`lp_pool${rank}d`.

    ``$in -> (N, C, $ones)``.

    Raises:
        TypeError: no tensor of floats, or a norm that is no number.
        ValueError: a wrong number of dimensions, or a norm not above 0.

    >>> $name(torch.tensor([1.0, -4.0, 2.0, 0.0]).expand($plane), float("inf")).flatten()
    tensor([4.])
    """
    return _reductions.norm(_op.name, input, _args.global_window(_op.rank), norm_type=norm_type)


global_lp_pool1d, global_lp_pool2d, global_lp_pool3d = _global_lp_pool("global_lp_pool")


@Family
def _global_logsumexp_pool(
    input: Tensor, *, sharpness: Any = 1.0, mean: bool = False, _op: Op = ANY
) -> Tensor:
    """A smooth maximum of every plane; see :func:`logsumexp_pool${rank}d`.

    ``$in -> (N, C, $ones)``.

    Raises:
        TypeError: no tensor of floats, or a sharpness that is no number.
        ValueError: a wrong number of dimensions, or a sharpness of 0 or infinity.

    >>> $name(torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane), mean=True).flatten()
    tensor([2.7989])
    """
    window = _args.global_window(_op.rank)
    return _reductions.smooth_maximum(_op.name, input, window, sharpness=sharpness, mean=mean)


global_logsumexp_pool1d, global_logsumexp_pool2d, global_logsumexp_pool3d = _global_logsumexp_pool(
    "global_logsumexp_pool"
)


@Family
def _global_gem_pool(input: Tensor, p: Any, *, eps: Any = 1e-6, _op: Op = ANY) -> Tensor:
    """The generalised mean of every plane; see :func:`gem_pool${rank}d`.

    ``$in -> (N, C, $ones)``.

    Raises:
        TypeError: no tensor of floats, or arguments that are no numbers.
        ValueError: a wrong number of dimensions, or arguments out of bounds.

    >>> $name(torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane), 2).flatten()
    tensor([2.2913])
    """
    return _reductions.generalized_mean(
        _op.name, input, _args.global_window(_op.rank), p=p, eps=eps
    )


global_gem_pool1d, global_gem_pool2d, global_gem_pool3d = _global_gem_pool("global_gem_pool")


@Family
def _global_mixed_pool(input: Tensor, *, alpha: Any = 0.5, _op: Op = ANY) -> Tensor:
    """Maximum and mean of every plane, mixed; see :func:`mixed_pool${rank}d`.

    ``$in -> (N, C, $ones)``.

    Raises:
        TypeError: no tensor of floats, or an ``alpha`` that is no number.
        ValueError: a wrong number of dimensions, or an ``alpha`` out of its bounds.

    >>> $name(torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)).flatten()
    tensor([2.8750])
    """
    return _reductions.mixture(_op.name, input, _args.global_window(_op.rank), alpha=alpha)


global_mixed_pool1d, global_mixed_pool2d, global_mixed_pool3d = _global_mixed_pool(
    "global_mixed_pool"
)
