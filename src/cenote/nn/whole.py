"""One window over the whole plane; its axes stay, with size 1."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cenote import _args, _checks, functional
from cenote.nn._recipe import GeM, Recipe
from cenote.window import Window

__all__ = [
    "GlobalAvgPool1d",
    "GlobalAvgPool2d",
    "GlobalAvgPool3d",
    "GlobalGeMPool1d",
    "GlobalGeMPool2d",
    "GlobalGeMPool3d",
    "GlobalLPPool1d",
    "GlobalLPPool2d",
    "GlobalLPPool3d",
    "GlobalLogSumExpPool1d",
    "GlobalLogSumExpPool2d",
    "GlobalLogSumExpPool3d",
    "GlobalMaxPool1d",
    "GlobalMaxPool2d",
    "GlobalMaxPool3d",
    "GlobalMedianPool1d",
    "GlobalMedianPool2d",
    "GlobalMedianPool3d",
    "GlobalMinPool1d",
    "GlobalMinPool2d",
    "GlobalMinPool3d",
    "GlobalMixedPool1d",
    "GlobalMixedPool2d",
    "GlobalMixedPool3d",
    "GlobalSumPool1d",
    "GlobalSumPool2d",
    "GlobalSumPool3d",
]


class _Global(Recipe):
    def __init__(self) -> None:
        self._store()

    @property
    def window(self) -> Window:
        """One window over everything."""
        return _args.global_window(self.rank)

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``."""
        return self._function(input)


class GlobalAvgPool1d(_Global):
    """The mean of planes of ``(N, C, L)``; see :func:`cenote.global_avg_pool1d`."""

    rank = 1
    _function = staticmethod(functional.global_avg_pool1d)


class GlobalAvgPool2d(_Global):
    """The mean of planes of ``(N, C, H, W)``; see :func:`cenote.global_avg_pool2d`.

    >>> GlobalAvgPool2d()(torch.ones(1, 8, 12, 12)).shape
    torch.Size([1, 8, 1, 1])
    """

    rank = 2
    _function = staticmethod(functional.global_avg_pool2d)


class GlobalAvgPool3d(_Global):
    """The mean of planes of ``(N, C, D, H, W)``; see :func:`cenote.global_avg_pool3d`."""

    rank = 3
    _function = staticmethod(functional.global_avg_pool3d)


class GlobalSumPool1d(_Global):
    """The sum of planes of ``(N, C, L)``; see :func:`cenote.global_sum_pool1d`."""

    rank = 1
    _function = staticmethod(functional.global_sum_pool1d)


class GlobalSumPool2d(_Global):
    """The sum of planes of ``(N, C, H, W)``; see :func:`cenote.global_sum_pool2d`."""

    rank = 2
    _function = staticmethod(functional.global_sum_pool2d)


class GlobalSumPool3d(_Global):
    """The sum of planes of ``(N, C, D, H, W)``; see :func:`cenote.global_sum_pool3d`."""

    rank = 3
    _function = staticmethod(functional.global_sum_pool3d)


class _GlobalSelect(_Global):
    return_indices: bool

    def __init__(self, return_indices: bool = False) -> None:
        self._store(return_indices=return_indices)

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``; with ``return_indices`` a pair of values and indices."""
        return self._function(input, self.return_indices)


class GlobalMaxPool1d(_GlobalSelect):
    """The greatest of planes of ``(N, C, L)``; see :func:`cenote.global_max_pool1d`."""

    rank = 1
    _function = staticmethod(functional.global_max_pool1d)


class GlobalMaxPool2d(_GlobalSelect):
    """The greatest of planes of ``(N, C, H, W)``; see :func:`cenote.global_max_pool2d`."""

    rank = 2
    _function = staticmethod(functional.global_max_pool2d)


class GlobalMaxPool3d(_GlobalSelect):
    """The greatest of planes of ``(N, C, D, H, W)``; see :func:`cenote.global_max_pool3d`."""

    rank = 3
    _function = staticmethod(functional.global_max_pool3d)


class GlobalMinPool1d(_GlobalSelect):
    """The least of planes of ``(N, C, L)``; see :func:`cenote.global_min_pool1d`."""

    rank = 1
    _function = staticmethod(functional.global_min_pool1d)


class GlobalMinPool2d(_GlobalSelect):
    """The least of planes of ``(N, C, H, W)``; see :func:`cenote.global_min_pool2d`."""

    rank = 2
    _function = staticmethod(functional.global_min_pool2d)


class GlobalMinPool3d(_GlobalSelect):
    """The least of planes of ``(N, C, D, H, W)``; see :func:`cenote.global_min_pool3d`."""

    rank = 3
    _function = staticmethod(functional.global_min_pool3d)


class GlobalMedianPool1d(_GlobalSelect):
    """Lower medians of planes of ``(N, C, L)``; see :func:`cenote.global_median_pool1d`."""

    rank = 1
    _function = staticmethod(functional.global_median_pool1d)


class GlobalMedianPool2d(_GlobalSelect):
    """Lower medians of planes of ``(N, C, H, W)``; see :func:`cenote.global_median_pool2d`."""

    rank = 2
    _function = staticmethod(functional.global_median_pool2d)


class GlobalMedianPool3d(_GlobalSelect):
    """Lower medians of planes of ``(N, C, D, H, W)``; see :func:`cenote.global_median_pool3d`."""

    rank = 3
    _function = staticmethod(functional.global_median_pool3d)


class _GlobalNorm(_Global):
    norm_type: float

    def __init__(self, norm_type: float) -> None:
        self._store(norm_type=norm_type)
        _checks.check_norm_type(type(self).__name__, norm_type)

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``."""
        return self._function(input, self.norm_type)


class GlobalLPPool1d(_GlobalNorm):
    """The ``p``-norm of planes of ``(N, C, L)``; see :func:`cenote.global_lp_pool1d`."""

    rank = 1
    _function = staticmethod(functional.global_lp_pool1d)


class GlobalLPPool2d(_GlobalNorm):
    """The ``p``-norm of planes of ``(N, C, H, W)``; see :func:`cenote.global_lp_pool2d`."""

    rank = 2
    _function = staticmethod(functional.global_lp_pool2d)


class GlobalLPPool3d(_GlobalNorm):
    """The ``p``-norm of planes of ``(N, C, D, H, W)``; see :func:`cenote.global_lp_pool3d`."""

    rank = 3
    _function = staticmethod(functional.global_lp_pool3d)


class _GlobalLogSumExp(_Global):
    sharpness: float
    mean: bool

    def __init__(self, *, sharpness: float = 1.0, mean: bool = False) -> None:
        self._store(sharpness=sharpness, mean=mean)
        _checks.check_sharpness(type(self).__name__, sharpness)

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``."""
        return self._function(input, sharpness=self.sharpness, mean=self.mean)


class GlobalLogSumExpPool1d(_GlobalLogSumExp):
    """Smooth maxima of ``(N, C, L)``; see :func:`cenote.global_logsumexp_pool1d`."""

    rank = 1
    _function = staticmethod(functional.global_logsumexp_pool1d)


class GlobalLogSumExpPool2d(_GlobalLogSumExp):
    """Smooth maxima of ``(N, C, H, W)``; see :func:`cenote.global_logsumexp_pool2d`."""

    rank = 2
    _function = staticmethod(functional.global_logsumexp_pool2d)


class GlobalLogSumExpPool3d(_GlobalLogSumExp):
    """Smooth maxima of ``(N, C, D, H, W)``; see :func:`cenote.global_logsumexp_pool3d`."""

    rank = 3
    _function = staticmethod(functional.global_logsumexp_pool3d)


class _GlobalGeM(GeM, _Global):
    def __init__(self, p: float = 3.0, *, eps: float = 1e-6, learnable: bool = True) -> None:
        self._store()
        self._learn(p, eps, learnable)

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``."""
        return self._function(input, self.p, eps=self.eps)


class GlobalGeMPool1d(_GlobalGeM):
    """Generalised means of planes of ``(N, C, L)``; see :func:`cenote.global_gem_pool1d`."""

    rank = 1
    _function = staticmethod(functional.global_gem_pool1d)


class GlobalGeMPool2d(_GlobalGeM):
    """Generalised means of planes of ``(N, C, H, W)``; see :func:`cenote.global_gem_pool2d`."""

    rank = 2
    _function = staticmethod(functional.global_gem_pool2d)


class GlobalGeMPool3d(_GlobalGeM):
    """Generalised means of planes of ``(N, C, D, H, W)``; see :func:`cenote.global_gem_pool3d`."""

    rank = 3
    _function = staticmethod(functional.global_gem_pool3d)


class _GlobalMixed(_Global):
    alpha: Any

    def __init__(self, *, alpha: Any = 0.5) -> None:
        self._store(alpha=alpha)
        if not isinstance(alpha, Tensor):
            _checks.check_number(type(self).__name__, "alpha", alpha, 0, 1)

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``."""
        return self._function(input, alpha=self.alpha)


class GlobalMixedPool1d(_GlobalMixed):
    """Maxima and means of planes of ``(N, C, L)``; see :func:`cenote.global_mixed_pool1d`."""

    rank = 1
    _function = staticmethod(functional.global_mixed_pool1d)


class GlobalMixedPool2d(_GlobalMixed):
    """Maxima and means of planes of ``(N, C, H, W)``; see :func:`cenote.global_mixed_pool2d`."""

    rank = 2
    _function = staticmethod(functional.global_mixed_pool2d)


class GlobalMixedPool3d(_GlobalMixed):
    """Maxima and means of planes of ``(N, C, D, H, W)``; see :func:`cenote.global_mixed_pool3d`."""

    rank = 3
    _function = staticmethod(functional.global_mixed_pool3d)
