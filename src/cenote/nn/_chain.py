"""Convolutions one after the other, and which of them are one pass through memory together."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

from torch import Tensor

from cenote import functional
from cenote.nn._cost import Costed
from cenote.nn._watching import untouched, watched
from cenote.nn.convolution import Conv2d, DepthwiseConv2d
from cenote.window import Axis, Window

__all__ = ["Chain", "runs_of"]


class Chain(Costed):
    """Convolutions one after the other, which together have one window."""

    rank: ClassVar[int]
    in_channels: int
    out_channels: int

    @property
    def parts(self) -> list[Any]:
        """The convolutions, in the order in which they are applied."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        """Apply all convolutions to ``input``."""
        x = input
        for run in runs_of(self.parts):
            x = run[0](x) if len(run) == 1 else _at_once(run, x)
        return x

    @property
    def window(self) -> Window:
        """The window that they have together."""
        axes = []
        for position in range(self.rank):
            along = [part.window[position] for part in self.parts]
            axes.append(next((axis for axis in along if axis.kernel > 1), along[-1]))
            for axis in along:  # a stride may stand beside a kernel of 1
                if axis.kernel == 1 and axis.stride > 1:
                    axes[-1] = axis
        return Window(axes)

    def count_parameters(self) -> int:
        """The parameters of every step."""
        return sum(part.count_parameters() for part in self.parts)

    def count_macs(self, *n: int) -> int:
        """The multiply-accumulates of every step, each on what the one before leaves."""
        total = 0
        for part in self.parts:
            total += part.count_macs(*n)
            n = part.window.out(n)
        return total


_MOST_TAPS = 49


def runs_of(parts: list[Any]) -> list[list[Any]]:
    """Steps in runs of those that are one pass through memory together."""
    runs: list[list[Any]] = []
    separate = watched()
    for part in parts:
        if runs and not separate and _joins(runs[-1], part):
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def _joins(run: list[Any], part: Any) -> bool:
    """Whether a step does the same in one kernel with those before it, and more quickly.

    Kernels of single channels along different axes multiply; a bias before the last, or padding
    that is not zeros, would reach into the next step's padding.
    """
    together = [*run, part]
    return (
        all(type(p) in (Conv2d, DepthwiseConv2d) and untouched(p) for p in together)
        and all(p.groups == p.in_channels == p.out_channels for p in together)
        and all(p.padding_mode == "zeros" and not p.flip for p in together)
        and all(p.bias is None for p in run)
        and prod(prod(p.kernel_size) for p in together) <= _MOST_TAPS
        and len({isinstance(p.padding, str) and p.padding for p in together}) == 1
        and all(sum(not _idle(p.window[axis]) for p in together) <= 1 for axis in range(part.rank))
    )


def _idle(axis: Any) -> bool:
    """Whether nothing happens along an axis."""
    return axis.kernel == axis.stride == 1 and (not axis.resolved or axis.padding == (0, 0))


def _at_once(run: list[Any], x: Tensor) -> Tensor:
    """A run as one convolution by the product of the kernels."""
    weight = run[0].weight
    for part in run[1:]:
        weight = weight * part.weight
    axes = [
        next((p.window[axis] for p in run if not _idle(p.window[axis])), Axis(1))
        for axis in range(run[0].rank)
    ]
    padding = run[0].padding
    return functional.conv2d(
        x, weight, run[-1].bias, [axis.stride for axis in axes],
        padding if isinstance(padding, str) else [axis.padding for axis in axes],
        [axis.dilation for axis in axes], run[0].groups,
    )  # fmt: skip
