"""What a case is, and short ways to say windows that are alike along several axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cenote.window import Adaptive, Axis, Window

__all__ = ["Case", "along", "share"]


@dataclass(frozen=True)
class Case:
    """A window on an input of a certain shape, and why that pair is worth a test.

    ``shape`` is ``(N, C, *n)``, or ``(C, *n)`` without a batch. ``divisor_override`` is what an
    average that overrides its divisor divides by here. Where operators refuse the case,
    ``refused`` is a regular expression that their message matches behind their name.
    """

    name: str
    reason: str
    shape: tuple[int, ...]
    window: Window
    divisor_override: int = 7
    refused: str = ""

    @property
    def n(self) -> tuple[int, ...]:
        """The input's sizes along the axes that the window slides on."""
        return self.shape[-self.window.rank :]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of the output: ``(N, C, *window.out(n))``."""
        return self.shape[: -self.window.rank] + self.window.out(self.n)

    def arguments(self) -> dict[str, Any] | None:
        """The window as the named functions' arguments; None where only a Window can say it.

        Those of the adaptive functions where every axis is adaptive.

        >>> from cenote.cases import find
        >>> find("resnet_stem").arguments()["padding"]
        ((1, 1), (1, 1))
        >>> find("shares_overlap").arguments()
        {'output_size': (5, 3)}
        """
        if all(isinstance(axis, Adaptive) for axis in self.window):
            return {"output_size": tuple(axis.outputs for axis in self.window)}
        axes = self.window.at(self.n)
        given = all(isinstance(axis, Axis) for axis in self.window)
        if not given or len({axis.ceil for axis in axes}) > 1:
            return None
        return {
            "kernel_size": tuple(axis.kernel for axis in axes),
            "stride": tuple(axis.stride for axis in axes),
            "padding": tuple(axis.padding for axis in axes),
            "dilation": tuple(axis.dilation for axis in axes),
            "ceil_mode": axes[0].ceil,
        }

    def __str__(self) -> str:
        return self.name


def along(
    rank: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    ceil: bool = False,
) -> Window:
    """The same axis ``rank`` times, padded alike at both ends.

    >>> along(2, 3, 2, 1) == Window([Axis(3, 2, 1, 1), Axis(3, 2, 1, 1)])
    True
    """
    return Window([Axis(kernel, stride, padding, padding, dilation, ceil)] * rank)


def share(*outputs: int) -> Window:
    """Adaptive windows, as many outputs an axis as given."""
    return Window(Adaptive(number) for number in outputs)
