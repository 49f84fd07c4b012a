"""The colour scale of a sheet: from a value to a level, and from a level to a colour.

Levels are bytes, so that a large sheet is one table look-up, and a file of one map needs one byte a
unit and its palette.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch

from cenote.inspection.drawing.paper import Paper
from cenote.inspection.style import Theme

__all__ = ["GAP", "NOT_FINITE", "Scale", "draw_scale", "not_finite", "number"]

_STEPS = 241  # odd, so that zero has a level of its own in the middle
NOT_FINITE = _STEPS
"""The level of NaN and of the infinities, which lie on no scale."""
GAP = _STEPS + 1
"""The level of the ground between maps."""


@dataclass(frozen=True)
class Scale:
    """From ``low`` to ``high``: from 0 up, or as far below 0 as above.

    >>> Scale.of([torch.tensor([-1.0, 3.0, torch.nan])])
    Scale(low=-3.0, high=3.0)
    """

    low: float
    high: float

    @classmethod
    def of(cls, tensors: Iterable[torch.Tensor]) -> Scale:
        """The scale that holds all finite values of all ``tensors``."""
        low, high = 0.0, 0.0
        for values in tensors:
            ends = _ends(values)
            if not all(map(isfinite, ends)):  # seldom, so that looking for these is not the rule
                ends = _ends(values[values.isfinite()])
            low, high = min(low, ends[0]), max(high, ends[1])
        limit = max(-low, high) or 1.0
        return cls(-limit if low < 0 else 0.0, limit)

    def levels(self, values: torch.Tensor) -> torch.Tensor:
        """The level of each value, as uint8."""
        # Divided first: where both ends are near the largest number, their difference is infinite.
        values = values if values.dtype == torch.float64 else values.float()
        share = (values / self.high).clamp(-1, 1)
        if self.low < 0:
            share = (share + 1) / 2
        level = (share * (_STEPS - 1)).round()
        lost = values - values  # 0, but NaN where it is not finite, and cheaper than asking
        return (level + lost).nan_to_num_(NOT_FINITE).to(torch.uint8)

    def palette(self, theme: Theme) -> np.ndarray:
        """The colours (256, 3) of all levels, in bytes, and after them some of the theme's text."""
        start = -1 if self.low < 0 else 0
        colours = np.zeros((256, 3), np.uint8)
        colours[:_STEPS] = theme.colours(np.linspace(start, 1, _STEPS))
        colours[NOT_FINITE] = _bytes(theme.third)
        colours[GAP] = _bytes(theme.paper)
        # What is left is for letters, whose edges are somewhat of the paper.
        at = GAP + 1
        for letters, steps in ((theme.soft, 6), (theme.ink, 7)):
            shares = np.linspace(0, 1, steps + 1)[1:, None]
            mixed = shares * _bytes(letters) + (1 - shares) * _bytes(theme.paper)
            colours[at : at + steps] = mixed.round()
            at += steps
        return colours

    @property
    def ticks(self) -> list[float]:
        """The values to write at the scale: its ends, and zero."""
        return [self.low, 0.0, self.high] if self.low < 0 else [0.0, self.high]

    def __str__(self) -> str:
        return f"from {number(self.low)} to {number(self.high)}"


def number(value: float) -> str:
    """A value in three digits, with a proper minus sign."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def not_finite(values: torch.Tensor) -> str:
    """How many values are on no scale, in words; "" where all are.

    >>> not_finite(torch.tensor([1.0, torch.nan, -torch.inf]))
    '1 NaN, 1 infinite'
    """
    if all(map(isfinite, _ends(values))):
        return ""
    counts = {"NaN": int(values.isnan().sum()), "infinite": int(values.isinf().sum())}
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def draw_scale(
    paper: Paper, scale: Scale, x: float, y: float, width: float, size: float, odd: str = ""
) -> None:
    """The scale as a bar with its ends in text of ``size`` pixels; and the colour of ``odd`` ones.

    It is ``2 * size`` pixels high.
    """
    palette = scale.palette(paper.theme)
    bar = paper.axes(x, y, width, 0.6 * size)
    bar.imshow(palette[None, :_STEPS], extent=(0, width, 0.6 * size, 0), aspect="auto")
    for tick in scale.ticks:
        at = x + width * (tick - scale.low) / (scale.high - scale.low)
        side = "left" if tick == scale.low else "right" if tick == scale.high else "center"
        paper.words(at, y + 0.8 * size, number(tick), size, ha=side)
    if odd:
        from matplotlib.patches import Rectangle

        start = x + width + 1.5 * size
        mark = paper.axes(start, y, size, 0.6 * size)
        mark.add_patch(Rectangle((0, 0), size, size, color=palette[NOT_FINITE] / 255))
        paper.words(start, y + 0.8 * size, odd, size)


def _ends(values: torch.Tensor) -> tuple[float, float]:
    """The least and the greatest value, NaN where there is one; (0, 0) of none."""
    if not values.numel():
        return 0.0, 0.0
    low, high = values.aminmax()
    return float(low), float(high)


def _bytes(colour: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)
