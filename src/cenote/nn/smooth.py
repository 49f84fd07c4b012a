"""Windows that slide, between maximum and mean: norms, smooth maxima, learnt and drawn ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _checks, functional
from cenote.nn._recipe import GeM, Sliding

__all__ = [
    "GeMPool1d",
    "GeMPool2d",
    "GeMPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "LogSumExpPool1d",
    "LogSumExpPool2d",
    "LogSumExpPool3d",
    "MixedPool1d",
    "MixedPool2d",
    "MixedPool3d",
    "StochasticPool1d",
    "StochasticPool2d",
    "StochasticPool3d",
]


class _Norm(Sliding):
    norm_type: float

    def __init__(
        self,
        norm_type: float,
        kernel_size: Any,
        stride: Any = None,
        ceil_mode: bool = False,
        *,
        padding: Any = 0,
        dilation: Any = 1,
        padding_mode: str = "identity",
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
        self.stride = stride  # None stays None, as in torch's
        self.norm_type = norm_type
        _checks.check_norm_type(type(self).__name__, norm_type)

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input``."""
        pooled: Tensor = self._function(
            input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode,
            padding=self.padding, dilation=self.dilation, padding_mode=self.padding_mode,
        )  # fmt: skip
        return pooled


class LPPool1d(_Norm, torch.nn.LPPool1d):
    """The ``p``-norm of windows of ``(N, C, L)``; see :func:`cenote.lp_pool1d`."""

    rank = 1
    _function = staticmethod(functional.lp_pool1d)


class LPPool2d(_Norm, torch.nn.LPPool2d):
    """The ``p``-norm of windows of ``(N, C, H, W)``; see :func:`cenote.lp_pool2d`."""

    rank = 2
    _function = staticmethod(functional.lp_pool2d)


class LPPool3d(_Norm, torch.nn.LPPool3d):
    """The ``p``-norm of windows of ``(N, C, D, H, W)``; see :func:`cenote.lp_pool3d`."""

    rank = 3
    _function = staticmethod(functional.lp_pool3d)


class _LogSumExp(Sliding):
    sharpness: float
    mean: bool

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        *,
        sharpness: float = 1.0,
        mean: bool = False,
        dilation: Any = 1,
        padding_mode: str = "identity",
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
        self.sharpness = sharpness
        self.mean = mean
        _checks.check_sharpness(type(self).__name__, sharpness)

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input``."""
        pooled: Tensor = self._function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            sharpness=self.sharpness, mean=self.mean, dilation=self.dilation,
            padding_mode=self.padding_mode,
        )  # fmt: skip
        return pooled


class LogSumExpPool1d(_LogSumExp):
    """A smooth maximum of windows of ``(N, C, L)``; see :func:`cenote.logsumexp_pool1d`."""

    rank = 1
    _function = staticmethod(functional.logsumexp_pool1d)


class LogSumExpPool2d(_LogSumExp):
    """A smooth maximum of windows of ``(N, C, H, W)``; see :func:`cenote.logsumexp_pool2d`."""

    rank = 2
    _function = staticmethod(functional.logsumexp_pool2d)


class LogSumExpPool3d(_LogSumExp):
    """A smooth maximum of windows of ``(N, C, D, H, W)``; see :func:`cenote.logsumexp_pool3d`."""

    rank = 3
    _function = staticmethod(functional.logsumexp_pool3d)


class _GeM(GeM, Sliding):
    def __init__(
        self,
        p: float,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        *,
        eps: float = 1e-6,
        learnable: bool = True,
        dilation: Any = 1,
        padding_mode: str = "identity",
    ) -> None:
        Sliding.__init__(self, kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
        self._learn(p, eps, learnable)

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input``."""
        pooled: Tensor = self._function(
            input, self.p, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            eps=self.eps, dilation=self.dilation, padding_mode=self.padding_mode,
        )  # fmt: skip
        return pooled


class GeMPool1d(_GeM):
    """The generalised mean of windows of ``(N, C, L)``; see :func:`cenote.gem_pool1d`."""

    rank = 1
    _function = staticmethod(functional.gem_pool1d)


class GeMPool2d(_GeM):
    """The generalised mean of windows of ``(N, C, H, W)``; see :func:`cenote.gem_pool2d`.

    >>> GeMPool2d(3.0, 2).p
    Parameter containing:
    tensor([3.], requires_grad=True)
    """

    rank = 2
    _function = staticmethod(functional.gem_pool2d)


class GeMPool3d(_GeM):
    """The generalised mean of windows of ``(N, C, D, H, W)``; see :func:`cenote.gem_pool3d`."""

    rank = 3
    _function = staticmethod(functional.gem_pool3d)


class _Stochastic(Sliding):
    generator: torch.Generator | None

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        *,
        generator: torch.Generator | None = None,
        dilation: Any = 1,
        padding_mode: str = "identity",
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
        self.generator = generator
        _checks.check_generator(type(self).__name__, generator)

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input``: draw elements while training, else take the mean of such draws."""
        pooled: Tensor = self._function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            training=self.training, generator=self.generator, dilation=self.dilation,
            padding_mode=self.padding_mode,
        )  # fmt: skip
        return pooled


class StochasticPool1d(_Stochastic):
    """A drawn element of windows of ``(N, C, L)``; see :func:`cenote.stochastic_pool1d`."""

    rank = 1
    _function = staticmethod(functional.stochastic_pool1d)


class StochasticPool2d(_Stochastic):
    """A drawn element of windows of ``(N, C, H, W)``; see :func:`cenote.stochastic_pool2d`."""

    rank = 2
    _function = staticmethod(functional.stochastic_pool2d)


class StochasticPool3d(_Stochastic):
    """A drawn element of windows of ``(N, C, D, H, W)``; see :func:`cenote.stochastic_pool3d`."""

    rank = 3
    _function = staticmethod(functional.stochastic_pool3d)


class _Mixed(Sliding):
    count_include_pad: bool
    alpha: Any

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        *,
        alpha: Any = 0.5,
        dilation: Any = 1,
        padding_mode: str = "identity",
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, padding_mode)
        self.count_include_pad = count_include_pad
        self.alpha = alpha  # a parameter that is given becomes one of the module's
        if not isinstance(alpha, Tensor):
            _checks.check_number(type(self).__name__, "alpha", alpha, 0, 1)

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input``."""
        pooled: Tensor = self._function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, alpha=self.alpha, dilation=self.dilation,
            padding_mode=self.padding_mode,
        )  # fmt: skip
        return pooled


class MixedPool1d(_Mixed):
    """Maximum and mean of windows of ``(N, C, L)``; see :func:`cenote.mixed_pool1d`."""

    rank = 1
    _function = staticmethod(functional.mixed_pool1d)


class MixedPool2d(_Mixed):
    """Maximum and mean of windows of ``(N, C, H, W)``; see :func:`cenote.mixed_pool2d`."""

    rank = 2
    _function = staticmethod(functional.mixed_pool2d)


class MixedPool3d(_Mixed):
    """Maximum and mean of windows of ``(N, C, D, H, W)``; see :func:`cenote.mixed_pool3d`."""

    rank = 3
    _function = staticmethod(functional.mixed_pool3d)
