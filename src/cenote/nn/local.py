"""Locally connected layers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from cenote import _args, _convolutions, functional
from cenote.nn._cost import Costed
from cenote.window import Window

__all__ = ["LocallyConnected1d", "LocallyConnected2d", "LocallyConnected3d"]


class _LocallyConnected(Costed):
    rank: ClassVar[int]
    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name, rank = type(self).__name__, self.rank
        _args.integers(name, "in_channels", in_channels, 1)
        _args.integers(name, "out_channels", out_channels, 1)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = _args.integers(name, "kernel_size", kernel_size, rank)
        self.size = _args.integers(name, "size", size, rank)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        _convolutions.check_window(name, self.window, self.size)
        positions = self.window.out(self.size)
        shape = (*positions, out_channels, in_channels, *self.kernel_size)
        self.weight = torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.register_parameter("bias", None)
        if bias:
            room = torch.empty((out_channels, *positions), device=device, dtype=dtype)
            self.bias = torch.nn.Parameter(room)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights as torch's convolutions have them: uniform, variance 1/(3 inputs)."""
        bound = 1 / sqrt(self.in_channels * prod(self.kernel_size))
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound)

    @property
    def window(self) -> Window:
        """The window that the attributes describe."""
        return _args.conv_window(
            type(self).__name__, self.rank, self.kernel_size, self.stride, self.padding,
            self.dilation,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """Apply each position's weights to what it sees of ``input``."""
        return self._function(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation
        )

    def count_parameters(self) -> int:
        """``prod(out) * O * C * taps``, and ``prod(out) * O`` biases."""
        each = self.in_channels * prod(self.kernel_size) + (self.bias is not None)
        return prod(self.window.out(self.size)) * self.out_channels * each

    def count_macs(self, *n: int) -> int:
        """``prod(out) * O * C * taps``, as a convolution with shared weights has."""
        return _convolutions.macs(self.window, n or self.size, self.in_channels, self.out_channels)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size},"
            f" size={self.size}, stride={self.stride}, padding={self.padding!r},"
            f" dilation={self.dilation}, bias={self.bias is not None}"
        )


class LocallyConnected1d(_LocallyConnected):
    """A convolution of ``(N, C, L)`` without shared weights; see ``cenote.locally_connected1d``."""

    rank = 1
    _function = staticmethod(functional.locally_connected1d)


class LocallyConnected2d(_LocallyConnected):
    """A convolution of ``(N, C, H, W)`` without shared weights: each position has its own.

    ``size`` is the input's: weights belong to positions.

    >>> LocallyConnected2d(1, 4, 3, size=(8, 8), bias=False).count_parameters()
    1296
    """

    rank = 2
    _function = staticmethod(functional.locally_connected2d)


class LocallyConnected3d(_LocallyConnected):
    """A convolution of ``(N, C, D, H, W)`` without shared weights."""

    rank = 3
    _function = staticmethod(functional.locally_connected3d)
