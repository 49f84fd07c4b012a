"""Pooling modules: torch's own by inheritance, so that everybody's tools recognise them.

The attributes are the truth: what is set on a module afterwards (``pool.ceil_mode = True``) holds
from the next call on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _args, functional
from cenote.window import Window

__all__ = ["AvgPool2d", "MaxPool2d"]


class MaxPool2d(torch.nn.MaxPool2d):
    """The greatest element of every window; the arguments of :class:`torch.nn.MaxPool2d`.

    ``(N, C, H, W) -> (N, C, H', W')``; ``padding`` also takes ``"same"`` and pairs.

    Raises:
        TypeError: arguments that are not integers.
        ValueError: arguments out of bounds.

    >>> MaxPool2d(3, 2, padding=1)(torch.zeros(1, 8, 112, 112)).shape
    torch.Size([1, 8, 56, 56])
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, return_indices, ceil_mode)
        _ = self.window  # bad arguments are to fail here, where they were written

    @property
    def window(self) -> Window:
        """The window that the attributes describe."""
        return _args.pool_window(
            type(self).__name__, 2, self.kernel_size, self.stride, self.padding, self.dilation,
            self.ceil_mode,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Any:
        """Pool ``input``; with ``return_indices`` a pair of values and indices."""
        return functional.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip


class AvgPool2d(torch.nn.AvgPool2d):
    """The mean of every window; the arguments of :class:`torch.nn.AvgPool2d`, and ``dilation``.

    ``(N, C, H, W) -> (N, C, H', W')``; ``padding`` also takes ``"same"`` and pairs.

    Raises:
        TypeError: arguments that are not integers.
        ValueError: arguments out of bounds.

    >>> AvgPool2d(2)(torch.ones(1, 8, 112, 112)).shape
    torch.Size([1, 8, 56, 56])
    """

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
    ) -> None:
        super().__init__(
            kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        )
        self.dilation = dilation
        _ = self.window
        _args.check_divisor(type(self).__name__, divisor_override)

    @property
    def window(self) -> Window:
        """The window that the attributes describe."""
        return _args.pool_window(
            type(self).__name__, 2, self.kernel_size, self.stride, self.padding, self.dilation,
            self.ceil_mode,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``input``."""
        return functional.avg_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override, dilation=self.dilation,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The arguments, the dilation where it is not 1."""
        shown = super().extra_repr()
        return shown if self.dilation == 1 else f"{shown}, dilation={self.dilation}"
