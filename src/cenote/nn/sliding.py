"""Windows that slide: maxima, minima, medians, averages, sums."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _checks, functional
from cenote.nn._recipe import Sliding

__all__ = [
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MedianPool1d",
    "MedianPool2d",
    "MedianPool3d",
    "MinPool1d",
    "MinPool2d",
    "MinPool3d",
    "SumPool1d",
    "SumPool2d",
    "SumPool3d",
]


class _Select(Sliding):
    return_indices: bool

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        *,
        padding_mode: str = "identity",
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``; with ``return_indices`` a pair of values and indices."""
        return self._function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices, padding_mode=self.padding_mode,
        )  # fmt: skip


class MaxPool1d(_Select, torch.nn.MaxPool1d):
    """The greatest element of windows of ``(N, C, L)``; see :func:`cenote.max_pool1d`."""

    rank = 1
    _function = staticmethod(functional.max_pool1d)


class MaxPool2d(_Select, torch.nn.MaxPool2d):
    """The greatest element of windows of ``(N, C, H, W)``; see :func:`cenote.max_pool2d`.

    >>> MaxPool2d(3, 2, padding=1)(torch.zeros(1, 8, 112, 112)).shape
    torch.Size([1, 8, 56, 56])
    """

    rank = 2
    _function = staticmethod(functional.max_pool2d)


class MaxPool3d(_Select, torch.nn.MaxPool3d):
    """The greatest element of windows of ``(N, C, D, H, W)``; see :func:`cenote.max_pool3d`."""

    rank = 3
    _function = staticmethod(functional.max_pool3d)


class MinPool1d(_Select):
    """The least element of windows of ``(N, C, L)``; see :func:`cenote.min_pool1d`."""

    rank = 1
    _function = staticmethod(functional.min_pool1d)


class MinPool2d(_Select):
    """The least element of windows of ``(N, C, H, W)``; see :func:`cenote.min_pool2d`."""

    rank = 2
    _function = staticmethod(functional.min_pool2d)


class MinPool3d(_Select):
    """The least element of windows of ``(N, C, D, H, W)``; see :func:`cenote.min_pool3d`."""

    rank = 3
    _function = staticmethod(functional.min_pool3d)


class MedianPool1d(_Select):
    """The lower median of windows of ``(N, C, L)``; see :func:`cenote.median_pool1d`."""

    rank = 1
    _function = staticmethod(functional.median_pool1d)


class MedianPool2d(_Select):
    """The lower median of windows of ``(N, C, H, W)``; see :func:`cenote.median_pool2d`."""

    rank = 2
    _function = staticmethod(functional.median_pool2d)


class MedianPool3d(_Select):
    """The lower median of windows of ``(N, C, D, H, W)``; see :func:`cenote.median_pool3d`."""

    rank = 3
    _function = staticmethod(functional.median_pool3d)


class _Average(Sliding):
    count_include_pad: bool
    divisor_override: int | None
    rounding: str

    def __init__(
        self,
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
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override
        self.rounding = rounding
        _checks.check_divisor(type(self).__name__, divisor_override)
        _checks.check_choice(type(self).__name__, "rounding", rounding, _checks.ROUNDINGS)

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input``."""
        pooled: Tensor = self._function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, divisor_override=self.divisor_override,
            dilation=self.dilation, padding_mode=self.padding_mode, rounding=self.rounding,
        )  # fmt: skip
        return pooled


class AvgPool1d(_Average, torch.nn.AvgPool1d):
    """The mean of windows of ``(N, C, L)``; see :func:`cenote.avg_pool1d`."""

    rank = 1
    _function = staticmethod(functional.avg_pool1d)
    _tuples = ("kernel_size", "stride", "padding")

    def __init__(
        self,
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
    ) -> None:
        super().__init__(
            kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override,
            dilation=dilation, padding_mode=padding_mode, rounding=rounding,
        )  # fmt: skip


class AvgPool2d(_Average, torch.nn.AvgPool2d):
    """The mean of windows of ``(N, C, H, W)``; see :func:`cenote.avg_pool2d`.

    >>> AvgPool2d(2)(torch.ones(1, 8, 112, 112)).shape
    torch.Size([1, 8, 56, 56])
    """

    rank = 2
    _function = staticmethod(functional.avg_pool2d)


class AvgPool3d(_Average, torch.nn.AvgPool3d):
    """The mean of windows of ``(N, C, D, H, W)``; see :func:`cenote.avg_pool3d`."""

    rank = 3
    _function = staticmethod(functional.avg_pool3d)


class _Total(Sliding):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        *,
        dilation: Any = 1,
        padding_mode: str = "identity",
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, padding_mode)

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input``."""
        pooled: Tensor = self._function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            dilation=self.dilation, padding_mode=self.padding_mode,
        )  # fmt: skip
        return pooled


class SumPool1d(_Total):
    """The sum of windows of ``(N, C, L)``; see :func:`cenote.sum_pool1d`."""

    rank = 1
    _function = staticmethod(functional.sum_pool1d)


class SumPool2d(_Total):
    """The sum of windows of ``(N, C, H, W)``; see :func:`cenote.sum_pool2d`."""

    rank = 2
    _function = staticmethod(functional.sum_pool2d)


class SumPool3d(_Total):
    """The sum of windows of ``(N, C, D, H, W)``; see :func:`cenote.sum_pool3d`."""

    rank = 3
    _function = staticmethod(functional.sum_pool3d)
