"""From small planes to large ones: what undoes pooling, as far as it can be undone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _args, functional
from cenote.nn._recipe import Recipe
from cenote.window import Window

__all__ = [
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "UpsampleRepeat1d",
    "UpsampleRepeat2d",
    "UpsampleRepeat3d",
]


class _Unpool(Recipe):
    kernel_size: Any
    stride: Any
    padding: Any
    _tuples = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        self._store(
            kernel_size=kernel_size, stride=kernel_size if stride is None else stride,
            padding=padding,
        )  # fmt: skip
        _ = self.window

    @property
    def window(self) -> Window:
        """The window of the pooling that is undone."""
        name = type(self).__name__
        return _args.pool_window(name, self.rank, self.kernel_size, self.stride, self.padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """Put every element of ``input`` where its index points."""
        planes: Tensor = self._function(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )
        return planes


class MaxUnpool1d(_Unpool, torch.nn.MaxUnpool1d):
    """Maxima of ``(N, C, L)`` back in their places; see :func:`cenote.max_unpool1d`."""

    rank = 1
    _function = staticmethod(functional.max_unpool1d)


class MaxUnpool2d(_Unpool, torch.nn.MaxUnpool2d):
    """Maxima of ``(N, C, H, W)`` back in their places; see :func:`cenote.max_unpool2d`."""

    rank = 2
    _function = staticmethod(functional.max_unpool2d)


class MaxUnpool3d(_Unpool, torch.nn.MaxUnpool3d):
    """Maxima of ``(N, C, D, H, W)`` back in their places; see :func:`cenote.max_unpool3d`."""

    rank = 3
    _function = staticmethod(functional.max_unpool3d)


class _Repeat(Recipe):
    scale_factor: Any

    def __init__(self, scale_factor: Any) -> None:
        self._store(scale_factor=scale_factor)
        _args.integers(type(self).__name__, "scale_factor", scale_factor, self.rank)

    def forward(self, input: Tensor) -> Tensor:
        """Repeat the elements of ``input``."""
        repeated: Tensor = self._function(input, self.scale_factor)
        return repeated


class UpsampleRepeat1d(_Repeat):
    """Every element of ``(N, C, L)`` repeated; see :func:`cenote.upsample_repeat1d`."""

    rank = 1
    _function = staticmethod(functional.upsample_repeat1d)


class UpsampleRepeat2d(_Repeat):
    """Every element of ``(N, C, H, W)`` repeated; see :func:`cenote.upsample_repeat2d`.

    >>> UpsampleRepeat2d(2)(torch.ones(1, 8, 12, 12)).shape
    torch.Size([1, 8, 24, 24])
    """

    rank = 2
    _function = staticmethod(functional.upsample_repeat2d)


class UpsampleRepeat3d(_Repeat):
    """Every element of ``(N, C, D, H, W)`` repeated; see :func:`cenote.upsample_repeat3d`."""

    rank = 3
    _function = staticmethod(functional.upsample_repeat3d)
