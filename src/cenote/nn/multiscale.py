"""Poolings of several scales side by side."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cenote import _args, _checks, _sizes, functional
from cenote.nn._recipe import Recipe

__all__ = [
    "SPPF1d",
    "SPPF2d",
    "SPPF3d",
    "SpatialPyramidPool1d",
    "SpatialPyramidPool2d",
    "SpatialPyramidPool3d",
]


class _Pyramid(Recipe):
    levels: Any
    reduce: str

    def __init__(self, levels: Any = (1, 2, 4), reduce: str = "max") -> None:
        self._store(levels=levels, reduce=reduce)
        _sizes.levels(type(self).__name__, levels)
        _checks.check_choice(type(self).__name__, "reduce", reduce, _checks.PYRAMIDS)

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input`` to a vector."""
        vector: Tensor = self._function(input, self.levels, self.reduce)
        return vector


class SpatialPyramidPool1d(_Pyramid):
    """Poolings of ``(N, C, L)`` to sizes; see :func:`cenote.spatial_pyramid_pool1d`."""

    rank = 1
    _function = staticmethod(functional.spatial_pyramid_pool1d)


class SpatialPyramidPool2d(_Pyramid):
    """Poolings of ``(N, C, H, W)`` to sizes; see :func:`cenote.spatial_pyramid_pool2d`.

    >>> SpatialPyramidPool2d()(torch.ones(1, 8, 13, 11)).shape
    torch.Size([1, 168])
    """

    rank = 2
    _function = staticmethod(functional.spatial_pyramid_pool2d)


class SpatialPyramidPool3d(_Pyramid):
    """Poolings of ``(N, C, D, H, W)`` to sizes; see :func:`cenote.spatial_pyramid_pool3d`."""

    rank = 3
    _function = staticmethod(functional.spatial_pyramid_pool3d)


class _SPPF(Recipe):
    kernel_size: Any
    repeats: int

    def __init__(self, kernel_size: Any = 5, repeats: int = 3) -> None:
        self._store(kernel_size=kernel_size, repeats=repeats)
        _args.pool_window(type(self).__name__, self.rank, kernel_size, 1, "same")
        _sizes.count(type(self).__name__, "repeats", repeats)

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input`` again and again."""
        chain: Tensor = self._function(input, self.kernel_size, self.repeats)
        return chain


class SPPF1d(_SPPF):
    """A chain of max poolings of ``(N, C, L)``; see :func:`cenote.sppf1d`."""

    rank = 1
    _function = staticmethod(functional.sppf1d)


class SPPF2d(_SPPF):
    """A chain of max poolings of ``(N, C, H, W)``; see :func:`cenote.sppf2d`."""

    rank = 2
    _function = staticmethod(functional.sppf2d)


class SPPF3d(_SPPF):
    """A chain of max poolings of ``(N, C, D, H, W)``; see :func:`cenote.sppf3d`."""

    rank = 3
    _function = staticmethod(functional.sppf3d)
