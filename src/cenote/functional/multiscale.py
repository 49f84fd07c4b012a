"""Poolings of several scales side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cenote import _args, _checks, _sizes
from cenote.functional import _reductions
from cenote.functional._families import ANY, Family, Op

__all__ = [
    "spatial_pyramid_pool1d",
    "spatial_pyramid_pool2d",
    "spatial_pyramid_pool3d",
    "sppf1d",
    "sppf2d",
    "sppf3d",
]

_PYRAMIDS: dict[str, Callable[..., Tensor]] = {
    "max": _reductions.maximum,
    "min": _reductions.minimum,
    "avg": _reductions.average,
    "sum": _reductions.total,
}


@Family
def _spatial_pyramid_pool(
    input: Tensor, levels: Any = (1, 2, 4), reduce: str = "max", *, _op: Op = ANY
) -> Tensor:
    """Adaptive poolings to several sizes as one vector, as long for inputs of any size.

    ``$in -> (N, C * sum(level^$rank))``, level after level, each flattened with its channels
    outermost (He et al., Spatial Pyramid Pooling in Deep Convolutional Networks, 2014). ``reduce``
    is ``"max"``, ``"min"``, ``"avg"`` or ``"sum"``.

    Raises:
        TypeError: no tensor, or levels that are not integers.
        ValueError: no level, one below 1, or an unknown reduction.

    >>> $name(torch.zeros(2, $plane), levels=(1, 2)).shape[1] == 1 + 2**$rank
    True
    """
    _checks.check_choice(_op.name, "reduce", reduce, _checks.PYRAMIDS)
    counts = _sizes.levels(_op.name, levels)
    parts = []
    for level in counts:
        window = _args.adaptive_window(_op.name, _op.rank, level)
        pooled = _PYRAMIDS[reduce](_op.name, input, window)
        parts.append(pooled.flatten(pooled.dim() - _op.rank - 1))
    return torch.cat(parts, -1)


spatial_pyramid_pool1d, spatial_pyramid_pool2d, spatial_pyramid_pool3d = _spatial_pyramid_pool(
    "spatial_pyramid_pool"
)


@Family
def _sppf(input: Tensor, kernel_size: Any = 5, repeats: int = 3, *, _op: Op = ANY) -> Tensor:
    """The input and a chain of max poolings with stride 1 and "same" padding, side by side.

    ``$in -> $cat``. After ``r`` poolings of kernel ``k`` an element is the greatest of
    ``r*(k - 1) + 1`` along every axis: three of kernel 5 give the windows 5, 9 and 13 of a spatial
    pyramid in one pass over each.

    Raises:
        TypeError: no tensor, or arguments that are not integers.
        ValueError: arguments below 1, or a wrong number of dimensions.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, 3, repeats=2).flatten(1)[:, :4]
    tensor([[1., 4., 2., 0.],
            [4., 4., 4., 2.],
            [4., 4., 4., 4.]])
    """
    window = _args.pool_window(_op.name, _op.rank, kernel_size, 1, "same")
    count = _sizes.count(_op.name, "repeats", repeats)
    chain = [input]
    for _ in range(count):
        chain.append(_reductions.maximum(_op.name, chain[-1], window))
    return torch.cat(chain, input.dim() - _op.rank - 1)


sppf1d, sppf2d, sppf3d = _sppf("sppf")
