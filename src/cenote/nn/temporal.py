"""Temporal convolutional networks: causal convolutions whose dilations double."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrizations

from cenote import _args
from cenote.nn._cost import Costed
from cenote.nn.convolution import CausalConv1d, PointwiseConv1d

__all__ = ["TCN", "TCNBlock"]


class TCNBlock(Costed):
    """Two causal convolutions of one dilation, and the input added to what they make.

    ``(N, C, L) -> (N, O, L)``; behind each convolution ReLU and dropout, behind the sum ReLU once
    more; a pointwise convolution adapts the input where ``O`` differs from ``C``. The weights are
    held as a direction and a length, unless ``weight_norm`` is false (Bai, Kolter and Koltun, An
    Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling,
    2018).

    >>> TCNBlock(4, 8, 3, dilation=2)(torch.zeros(1, 4, 50)).shape
    torch.Size([1, 8, 50])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        dilation: int = 1,
        dropout: float = 0.0,
        *,
        weight_norm: bool = True,
        activation: Callable[[], torch.nn.Module] = torch.nn.ReLU,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"TCNBlock: dropout = {dropout}: must be at least 0 and below 1")
        first: Any = CausalConv1d(in_channels, out_channels, kernel_size, dilation=dilation)
        second: Any = CausalConv1d(out_channels, out_channels, kernel_size, dilation=dilation)
        self.convolutions = torch.nn.ModuleList([first, second])
        for conv in (first, second):
            torch.nn.init.normal_(conv.weight, 0, 0.01)  # as the paper's
            if weight_norm:
                parametrizations.weight_norm(conv)
        self.weight_norm = weight_norm
        self.activation, self.dropout = activation(), torch.nn.Dropout(dropout)
        self.shortcut: torch.nn.Module = torch.nn.Identity()
        if in_channels != out_channels:
            self.shortcut = PointwiseConv1d(in_channels, out_channels)

    @property
    def field(self) -> int:
        """How many elements an output sees: itself and those before it."""
        first: Any = self.convolutions[0]
        return 1 + 2 * (int(first.kernel_size[0]) - 1) * int(first.dilation[0])

    def forward(self, input: Tensor) -> Tensor:
        """The block applied to ``input``."""
        x = input
        for conv in self.convolutions:
            x = self.dropout(self.activation(conv(x)))
        out: Tensor = self.activation(x + self.shortcut(input))
        return out

    def _parts(self) -> list[Any]:
        adapts = not isinstance(self.shortcut, torch.nn.Identity)
        return [*self.convolutions, *([self.shortcut] if adapts else [])]

    def count_parameters(self) -> int:
        """Those of the convolutions; a length for each output channel beside, with weight norm."""
        lengths = 2 * int(self._parts()[0].out_channels) if self.weight_norm else 0
        return lengths + int(sum(part.count_parameters() for part in self._parts()))

    def count_macs(self, *n: int) -> int:
        """Those of the convolutions, all of which keep the length."""
        return int(sum(part.count_macs(*n) for part in self._parts()))


class TCN(Costed):
    """Blocks whose dilations double, so that what an output sees grows with each twofold.

    ``(N, C, L) -> (N, channels[-1], L)``.

    Args:
        in_channels: ``C``.
        channels: the outputs of each block.
        kernel_size: the taps of every convolution.
        dropout: the share of elements that training leaves out behind each.
        weight_norm: whether weights are held as a direction and a length.

    Raises:
        TypeError: arguments that are not integers.
        ValueError: no block, or arguments out of bounds.

    >>> TCN(1, [8] * 5, 3).field
    125
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        kernel_size: int = 3,
        dropout: float = 0.0,
        *,
        weight_norm: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(channels, list | tuple) or not channels:
            raise ValueError(f"TCN: channels = {channels!r}: needs one number for each block")
        sizes = _args.integers("TCN", "channels", tuple(channels), len(channels))
        blocks = []
        for depth, (given, made) in enumerate(zip((in_channels, *sizes), sizes, strict=False)):
            block = TCNBlock(given, made, kernel_size, 2**depth, dropout, weight_norm=weight_norm)
            blocks.append(block)
        self.blocks = torch.nn.ModuleList(blocks)

    @property
    def field(self) -> int:
        """How many elements an output sees: itself and those before it."""
        blocks: list[Any] = list(self.blocks)
        return 1 + sum(int(block.field) - 1 for block in blocks)

    def forward(self, input: Tensor) -> Tensor:
        """All blocks applied to ``input``."""
        x = input
        for block in self.blocks:
            x = block(x)
        return x

    def count_parameters(self) -> int:
        """Those of all blocks."""
        blocks: list[Any] = list(self.blocks)
        return sum(int(block.count_parameters()) for block in blocks)

    def count_macs(self, *n: int) -> int:
        """Those of all blocks."""
        blocks: list[Any] = list(self.blocks)
        return sum(int(block.count_macs(*n)) for block in blocks)
