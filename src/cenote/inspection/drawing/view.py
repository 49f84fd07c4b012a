"""A part of an input, drawn so that position ``i`` of an axis fills the interval i to i + 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cenote.inspection.drawing.paper import Paper
from cenote.inspection.style import DARK

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

__all__ = [
    "HEAT",
    "MARK",
    "Frame",
    "Interval",
    "View",
    "edges",
    "outline",
    "rectangle",
    "unit_name",
]

Interval = tuple[float, float]

# On images, which are of any colour themselves: bright, with a dark line around them.
MARK, HEAT, _CASING = DARK.second, DARK.first, DARK.paper
_SIDE = 640  # pixels: the longer side of what is drawn
_CELL = 40  # pixels: no position is drawn larger
_STRIP = 180  # pixels: the height of what has one axis only
_SIZE = 13.0  # pixels: the height of the text


@dataclass(frozen=True)
class View:
    """The intervals that are shown: of rows and of columns. Of one axis, rows are from 0 to 1."""

    rows: Interval
    columns: Interval
    across: float
    down: float

    @classmethod
    def of(cls, intervals: Sequence[Interval]) -> View:
        """A view of one or two intervals, a whole number of pixels an element where that fits."""
        if len(intervals) == 1:
            return cls((0, 1), intervals[0], _SIDE / _length(intervals[0]), _STRIP)
        longest = max(map(_length, intervals))
        cell = min(_CELL, _SIDE // longest) if longest <= _SIDE else _SIDE / longest
        return cls(intervals[0], intervals[1], cell, cell)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        high, wide = _length(self.rows) * self.down, _length(self.columns) * self.across
        return max(1, round(high)), max(1, round(wide))


@dataclass(frozen=True)
class Frame:
    """Where the parts of a picture of an input are, in pixels, for ``lines`` of text below it."""

    view: View
    lines: int

    @property
    def left(self) -> float:
        """Where the view begins."""
        return 4 * _SIZE

    @property
    def top(self) -> float:
        """Where the view begins."""
        return 5 * _SIZE

    @property
    def foot(self) -> float:
        """Where what is below the view begins."""
        return self.top + self.view.size[0] + 2.6 * _SIZE

    @property
    def size(self) -> tuple[float, float]:
        """The width and the height of the sheet."""
        width = max(self.left + self.view.size[1] + 2 * _SIZE, 50 * _SIZE)
        return width, self.foot + (1 + 1.6 * self.lines) * _SIZE

    def heading(self, paper: Paper, title: str, subtitle: str) -> None:
        """Two lines above."""
        room = paper.width - 2 * _SIZE
        paper.words(_SIZE, 0.9 * _SIZE, title, 1.2 * _SIZE, room, fontweight="bold")
        paper.words(_SIZE, 2.5 * _SIZE, subtitle, _SIZE, room, color=paper.theme.soft)

    def axes(self, paper: Paper, ends: Sequence[Interval]) -> Axes:
        """Axes in the input's own coordinates, with the numbers of what ``ends`` name."""
        high, wide = self.view.size
        axes = paper.axes(self.left, self.top, wide, high)
        self.restore(axes)
        for at in ends[-1]:
            x = self.left + (at - self.view.columns[0]) * self.view.across
            paper.words(x, self.foot - 2.2 * _SIZE, f"{at:g}", 0.9 * _SIZE, ha="center",
                        color=paper.theme.soft)  # fmt: skip
        for at in ends[0] if len(ends) > 1 else ():
            y = self.top + (at - self.view.rows[0]) * self.view.down
            paper.words(self.left - 0.7 * _SIZE, y, f"{at:g}", 0.9 * _SIZE, ha="right",
                        va="center", color=paper.theme.soft)  # fmt: skip
        return axes

    def restore(self, axes: Axes) -> None:
        """Set the limits again that an image or a curve has moved to fit itself."""
        axes.set_xlim(*self.view.columns)
        axes.set_ylim(self.view.rows[1], self.view.rows[0])

    def legend(self, paper: Paper, entries: Iterable[tuple[Artist, str]]) -> None:
        """What the marks mean, a line each, below."""
        entries = list(entries)
        if entries:
            across, down = paper.figure.get_size_inches() * paper.figure.dpi
            paper.figure.legend(
                [mark for mark, _ in entries], [text for _, text in entries], loc="upper left",
                bbox_to_anchor=(self.left / across, 1 - self.foot / down), frameon=False,
                fontsize=_SIZE * 0.72, borderpad=0, borderaxespad=0, labelspacing=0.55,
            )  # fmt: skip


def outline(width: float, colour: str = MARK, **look: Any) -> dict[str, Any]:
    """How a line is drawn that must be seen on any image."""
    from matplotlib.patheffects import Normal, Stroke

    around = [Stroke(linewidth=width + 1.6, foreground=_CASING, alpha=0.7), Normal()]
    return {"edgecolor": colour, "facecolor": "none", "linewidth": width,
            "path_effects": around, **look}  # fmt: skip


def rectangle(axes: Axes, intervals: Sequence[Interval], **look: Any) -> Rectangle:
    """Add a rectangle: of two intervals, or of one from top to bottom."""
    from matplotlib.patches import Rectangle

    (top, bottom), (left, right) = [(0, 1), *intervals][-2:]
    drawn = Rectangle((left, top), right - left, bottom - top, **look)
    axes.add_patch(drawn)
    return drawn


def unit_name(unit: Sequence[int]) -> str:
    """What a unit is called: ``unit 2, 1``."""
    return f"unit {', '.join(map(str, unit))}"


def _length(interval: Interval) -> float:
    return interval[1] - interval[0]


def edges(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """The lines (x, y) between the inside and the outside of a region (H, W), cell by cell."""
    inside = np.pad(mask.astype(bool), 1)
    lines = []
    for y, x in zip(*np.nonzero(inside[1:, 1:-1] != inside[:-1, 1:-1]), strict=True):
        lines.append([(int(x), int(y)), (int(x) + 1, int(y))])
    for y, x in zip(*np.nonzero(inside[1:-1, 1:] != inside[1:-1, :-1]), strict=True):
        lines.append([(int(x), int(y)), (int(x), int(y) + 1)])
    return lines
