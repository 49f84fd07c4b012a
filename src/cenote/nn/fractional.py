"""Max pooling to a fraction of the size, with windows whose places are drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _args, _sizes, functional
from cenote.nn._recipe import Recipe

__all__ = [
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
]


class _Fractional(Recipe):
    kernel_size: Any
    output_size: Any
    output_ratio: Any
    return_indices: bool
    _random_samples: Tensor | None
    _tuples = ("kernel_size", "output_size", "output_ratio")

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        name = type(self).__name__
        self._store(
            kernel_size=kernel_size, output_size=output_size, output_ratio=output_ratio,
            return_indices=return_indices,
        )  # fmt: skip
        self.register_buffer("_random_samples", _random_samples)
        _args.integers(name, "kernel_size", kernel_size, self.rank)
        _sizes.check_one_given(name, output_size, output_ratio)
        if output_size is not None:
            _args.integers(name, "output_size", output_size, self.rank)
        else:
            _sizes.ratios(name, output_ratio, self.rank)

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``; with ``return_indices`` a pair of values and indices."""
        return self._function(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            self._random_samples,
        )  # fmt: skip


class FractionalMaxPool2d(_Fractional, torch.nn.FractionalMaxPool2d):
    """Maxima at drawn places of ``(N, C, H, W)``; see :func:`cenote.fractional_max_pool2d`."""

    rank = 2
    _function = staticmethod(functional.fractional_max_pool2d)


class FractionalMaxPool3d(_Fractional, torch.nn.FractionalMaxPool3d):
    """Maxima at drawn places of ``(N, C, D, H, W)``; see :func:`cenote.fractional_max_pool3d`."""

    rank = 3
    _function = staticmethod(functional.fractional_max_pool3d)
