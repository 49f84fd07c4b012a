"""A sheet to draw grids of cells on, in units of a cell, x to the right and y downwards.

What is drawn is kept as plain marks until it is saved, so that two drawings can be compared
whatever the version of matplotlib that turns them into a file.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cenote.inspection.style import Theme, themed

if TYPE_CHECKING:
    from matplotlib.artist import Artist

__all__ = ["Canvas", "Point", "mix"]

Point = tuple[float, float]
_CELL = 0.27  # inches
_SIGNS = {
    " * ": "\N{MULTIPLICATION SIGN}",
    " - ": " \N{MINUS SIGN} ",
    "(-": "(\N{MINUS SIGN}",
    " -": " \N{MINUS SIGN}",
}


@dataclass(frozen=True)
class _Shape:
    """Polygons, or lines where nothing closes them, of one look."""

    points: tuple[tuple[Point, ...], ...]
    closed: bool
    fill: str
    edge: str
    width: float
    dashed: bool


@dataclass(frozen=True)
class _Words:
    """One line of text; ``at`` is its middle, left or right end, halfway up."""

    at: Point
    text: str
    size: float
    colour: str
    side: str
    bold: bool


class Canvas:
    """A card of ``width`` by ``height`` cells; what comes later lies above."""

    def __init__(self, width: float, height: float, theme: Theme) -> None:
        self.width, self.height, self.theme = width, height, theme
        self.marks: list[_Shape | _Words] = []
        self.polygons([_rounded(0.06, 0.06, width - 0.06, height - 0.06, 0.45)],
                      fill=theme.paper, edge=theme.line, width=1.2)  # fmt: skip

    def polygons(
        self,
        corners: Iterable[Sequence[Point]],
        *,
        fill: str = "none",
        edge: str = "none",
        width: float = 0.8,
        dashed: bool = False,
    ) -> None:
        """Closed shapes."""
        self._shape(corners, True, fill, edge, width, dashed)

    def lines(
        self,
        lines: Iterable[Sequence[Point]],
        colour: str,
        *,
        width: float = 1.2,
        dashed: bool = False,
    ) -> None:
        """Lines through points."""
        self._shape(lines, False, "none", colour, width, dashed)

    def cells(
        self,
        corners: Iterable[Point],
        *,
        size: float = 1.0,
        fill: str = "none",
        edge: str = "none",
        width: float = 0.8,
        dashed: bool = False,
    ) -> None:
        """Squares, each given by its upper left corner."""
        boxes = [_box(x, y, size, size) for x, y in corners]
        self._shape(boxes, True, fill, edge, width, dashed)

    def box(
        self, x: float, y: float, wide: float, high: float, edge: str, *, width: float = 2.2,
        dashed: bool = False,
    ) -> None:  # fmt: skip
        """The outline of a rectangle."""
        self._shape([_box(x, y, wide, high)], True, "none", edge, width, dashed)

    def arrow(self, start: Point, end: Point, colour: str, *, width: float = 1.4) -> None:
        """A straight arrow from ``start`` to ``end``."""
        length = math.dist(start, end)
        x, y = ((e - s) / length for s, e in zip(start, end, strict=True))
        back = (end[0] - 0.34 * x, end[1] - 0.34 * y)
        self.lines([(start, back)], colour, width=width)
        head = [end, (back[0] - 0.17 * y, back[1] + 0.17 * x),
                (back[0] + 0.17 * y, back[1] - 0.17 * x)]  # fmt: skip
        self.polygons([head], fill=colour)

    def words(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 9.5,
        colour: str | None = None,
        side: str = "center",
        bold: bool = False,
    ) -> None:
        """One line of text around ``(x, y)``, or beside it where ``side`` is left or right."""
        for written, sign in _SIGNS.items():
            text = text.replace(written, sign)
        self.marks.append(
            _Words(_rounded_point((x, y)), text, size, colour or self.theme.ink, side, bold)
        )

    @property
    def digest(self) -> str:
        """A name for exactly this drawing."""
        return hashlib.sha256(repr(self.marks).encode()).hexdigest()[:16]

    def save(self, target: Path | str | IO[bytes], title: str) -> None:
        """Write an SVG file whose identifier is :attr:`digest`; the same bytes every time."""
        import matplotlib
        from matplotlib.figure import Figure

        fixed: Any = {"svg.hashsalt": "cenote", "svg.fonttype": "none", "font.sans-serif": _FACES}
        with themed(self.theme), matplotlib.rc_context(fixed):
            figure = Figure(figsize=(self.width * _CELL, self.height * _CELL), facecolor="none")
            axes = figure.add_axes((0, 0, 1, 1))
            axes.set_xlim(0, self.width)
            axes.set_ylim(self.height, 0)
            axes.axis("off")
            for order, mark in enumerate(self.marks):
                axes.add_artist(_artist(mark, order))
            about = {"Title": title, "Identifier": self.digest, "Date": None}
            figure.savefig(target, format="svg", facecolor="none", metadata=about)

    def _shape(
        self, points: Iterable[Sequence[Point]], closed: bool, fill: str, edge: str, width: float,
        dashed: bool,
    ) -> None:  # fmt: skip
        kept = tuple(tuple(map(_rounded_point, line)) for line in points)
        if kept:
            self.marks.append(_Shape(kept, closed, fill, edge, width, dashed))


# Measured with a wide face that comes with matplotlib; where it is missing, narrower ones fit too.
_FACES = ["DejaVu Sans"]


def mix(colour: str, ground: str, share: float) -> str:
    """``share`` of a colour over a ground.

    >>> mix("#000000", "#ffffff", 0.2)
    '#cccccc'
    """
    pairs = ((int(c[at : at + 2], 16) for c in (colour, ground)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def _artist(mark: _Shape | _Words, order: int) -> Artist:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline
    from matplotlib.text import Text

    if isinstance(mark, _Words):
        return Text(
            *mark.at, mark.text, fontsize=mark.size, color=mark.colour, ha=mark.side,
            va="center_baseline", fontweight="bold" if mark.bold else "normal", zorder=order,
            clip_on=False,
        )  # fmt: skip
    # All of one look are one path: a file of cells by themselves is four times as long.
    points: list[Point] = []
    codes: list[Any] = []
    for line in mark.points:
        points += [*line, line[0]] if mark.closed else line
        codes += [Outline.MOVETO, *[Outline.LINETO] * (len(line) - 1)]
        codes += [Outline.CLOSEPOLY] if mark.closed else []
    return PathPatch(
        Outline(points, codes), facecolor=mark.fill, edgecolor=mark.edge, linewidth=mark.width,
        linestyle=(0, (2.2, 1.8)) if mark.dashed else "-", capstyle="round", joinstyle="round",
        zorder=order, clip_on=False,
    )  # fmt: skip


def _box(x: float, y: float, wide: float, high: float) -> list[Point]:
    return [(x, y), (x + wide, y), (x + wide, y + high), (x, y + high)]


def _rounded(left: float, top: float, right: float, bottom: float, radius: float) -> list[Point]:
    """A rectangle with round corners, clockwise from the upper left one."""
    turns = [radius * math.sin(math.pi * step / 16) for step in range(9)]
    arc = [(radius - c, radius - s) for s, c in zip(turns, reversed(turns), strict=True)]
    sides = itertools.product(((left, 1), (right, -1)), ((top, 1), (bottom, -1)))
    (a, b, c, d) = [[(x + u * p, y + v * q) for p, q in arc] for (x, u), (y, v) in sides]
    return [*a, *reversed(c), *d, *reversed(b)]


def _rounded_point(point: Point) -> Point:
    return round(point[0], 3) + 0.0, round(point[1], 3) + 0.0
