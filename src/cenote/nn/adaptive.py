"""As many windows as there shall be outputs, whatever the input's size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _args, functional
from cenote.nn._recipe import Recipe
from cenote.window import Window

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AdaptiveMinPool1d",
    "AdaptiveMinPool2d",
    "AdaptiveMinPool3d",
    "AdaptiveSumPool1d",
    "AdaptiveSumPool2d",
    "AdaptiveSumPool3d",
]


class _Adaptive(Recipe):
    output_size: Any

    def __init__(self, output_size: Any) -> None:
        self._store(output_size=output_size)
        _ = self.window

    @property
    def window(self) -> Window:
        """The window that the attributes describe."""
        return _args.adaptive_window(type(self).__name__, self.rank, self.output_size)

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``."""
        return self._function(input, self.output_size)


class _AdaptiveSelect(_Adaptive):
    return_indices: bool

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``; with ``return_indices`` a pair of values and indices."""
        return self._function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveSelect, torch.nn.AdaptiveMaxPool1d):
    """The greatest of shares of ``(N, C, L)``; see :func:`cenote.adaptive_max_pool1d`."""

    rank = 1
    _function = staticmethod(functional.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveSelect, torch.nn.AdaptiveMaxPool2d):
    """The greatest of shares of ``(N, C, H, W)``; see :func:`cenote.adaptive_max_pool2d`.

    >>> AdaptiveMaxPool2d((5, None))(torch.zeros(1, 8, 12, 12)).shape
    torch.Size([1, 8, 5, 12])
    """

    rank = 2
    _function = staticmethod(functional.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveSelect, torch.nn.AdaptiveMaxPool3d):
    """The greatest of shares of ``(N, C, D, H, W)``; see :func:`cenote.adaptive_max_pool3d`."""

    rank = 3
    _function = staticmethod(functional.adaptive_max_pool3d)


class AdaptiveMinPool1d(_AdaptiveSelect):
    """The least of shares of ``(N, C, L)``; see :func:`cenote.adaptive_min_pool1d`."""

    rank = 1
    _function = staticmethod(functional.adaptive_min_pool1d)


class AdaptiveMinPool2d(_AdaptiveSelect):
    """The least of shares of ``(N, C, H, W)``; see :func:`cenote.adaptive_min_pool2d`."""

    rank = 2
    _function = staticmethod(functional.adaptive_min_pool2d)


class AdaptiveMinPool3d(_AdaptiveSelect):
    """The least of shares of ``(N, C, D, H, W)``; see :func:`cenote.adaptive_min_pool3d`."""

    rank = 3
    _function = staticmethod(functional.adaptive_min_pool3d)


class AdaptiveAvgPool1d(_Adaptive, torch.nn.AdaptiveAvgPool1d):
    """The mean of shares of ``(N, C, L)``; see :func:`cenote.adaptive_avg_pool1d`."""

    rank = 1
    _function = staticmethod(functional.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_Adaptive, torch.nn.AdaptiveAvgPool2d):
    """The mean of shares of ``(N, C, H, W)``; see :func:`cenote.adaptive_avg_pool2d`."""

    rank = 2
    _function = staticmethod(functional.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_Adaptive, torch.nn.AdaptiveAvgPool3d):
    """The mean of shares of ``(N, C, D, H, W)``; see :func:`cenote.adaptive_avg_pool3d`."""

    rank = 3
    _function = staticmethod(functional.adaptive_avg_pool3d)


class AdaptiveSumPool1d(_Adaptive):
    """The sum of shares of ``(N, C, L)``; see :func:`cenote.adaptive_sum_pool1d`."""

    rank = 1
    _function = staticmethod(functional.adaptive_sum_pool1d)


class AdaptiveSumPool2d(_Adaptive):
    """The sum of shares of ``(N, C, H, W)``; see :func:`cenote.adaptive_sum_pool2d`."""

    rank = 2
    _function = staticmethod(functional.adaptive_sum_pool2d)


class AdaptiveSumPool3d(_Adaptive):
    """The sum of shares of ``(N, C, D, H, W)``; see :func:`cenote.adaptive_sum_pool3d`."""

    rank = 3
    _function = staticmethod(functional.adaptive_sum_pool3d)
