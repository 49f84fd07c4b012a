"""Anti-aliased subsampling: a binomial filter in front of the stride."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cenote import _args, functional
from cenote.nn._recipe import Recipe
from cenote.window import Window

__all__ = [
    "BlurPool1d",
    "BlurPool2d",
    "BlurPool3d",
    "MaxBlurPool1d",
    "MaxBlurPool2d",
    "MaxBlurPool3d",
]


class _Blur(Recipe):
    kernel_size: Any
    stride: Any
    padding: Any
    padding_mode: str

    def __init__(
        self,
        kernel_size: Any = 3,
        stride: Any = 2,
        *,
        padding: Any = "half",
        padding_mode: str = "reflect",
    ) -> None:
        self._store(
            kernel_size=kernel_size, stride=stride, padding=padding, padding_mode=padding_mode
        )
        self._check_mode()
        _ = self.window

    @property
    def window(self) -> Window:
        """The window that the attributes describe."""
        return _args.blur_window(
            type(self).__name__, self.rank, self.kernel_size, self.stride, self.padding
        )

    def forward(self, input: Tensor) -> Tensor:
        """Blur and subsample ``input``."""
        blurred: Tensor = self._function(
            input, self.kernel_size, self.stride, padding=self.padding,
            padding_mode=self.padding_mode,
        )  # fmt: skip
        return blurred


class BlurPool1d(_Blur):
    """Planes of ``(N, C, L)``, blurred; see :func:`cenote.blur_pool1d`."""

    rank = 1
    _function = staticmethod(functional.blur_pool1d)


class BlurPool2d(_Blur):
    """Planes of ``(N, C, H, W)``, blurred; see :func:`cenote.blur_pool2d`.

    >>> BlurPool2d()(torch.ones(1, 8, 12, 12)).shape
    torch.Size([1, 8, 6, 6])
    """

    rank = 2
    _function = staticmethod(functional.blur_pool2d)


class BlurPool3d(_Blur):
    """Planes of ``(N, C, D, H, W)``, blurred; see :func:`cenote.blur_pool3d`."""

    rank = 3
    _function = staticmethod(functional.blur_pool3d)


class _MaxBlur(Recipe):
    kernel_size: Any
    stride: Any
    padding: Any
    filter_size: Any
    padding_mode: str

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = 2,
        *,
        padding: Any = 0,
        filter_size: Any = 3,
        padding_mode: str = "reflect",
    ) -> None:
        self._store(
            kernel_size=kernel_size, stride=stride, padding=padding, filter_size=filter_size,
            padding_mode=padding_mode,
        )  # fmt: skip
        self._check_mode()
        name = type(self).__name__
        _args.pool_window(name, self.rank, kernel_size, 1, padding)
        _args.filter_window(name, self.rank, filter_size, stride)

    def forward(self, input: Tensor) -> Tensor:
        """Pool, blur and subsample ``input``."""
        blurred: Tensor = self._function(
            input, self.kernel_size, self.stride, padding=self.padding,
            filter_size=self.filter_size, padding_mode=self.padding_mode,
        )  # fmt: skip
        return blurred


class MaxBlurPool1d(_MaxBlur):
    """Maxima of windows of ``(N, C, L)``, blurred; see :func:`cenote.max_blur_pool1d`."""

    rank = 1
    _function = staticmethod(functional.max_blur_pool1d)


class MaxBlurPool2d(_MaxBlur):
    """Maxima of windows of ``(N, C, H, W)``, blurred; see :func:`cenote.max_blur_pool2d`."""

    rank = 2
    _function = staticmethod(functional.max_blur_pool2d)


class MaxBlurPool3d(_MaxBlur):
    """Maxima of windows of ``(N, C, D, H, W)``, blurred; see :func:`cenote.max_blur_pool3d`."""

    rank = 3
    _function = staticmethod(functional.max_blur_pool3d)
