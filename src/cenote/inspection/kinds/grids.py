"""Parts of the pictures: grids with their padding, windows on them, captions and formulas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cenote.inspection.kinds.canvas import Canvas, Point, mix
from cenote.inspection.kinds.plans import Position, Step
from cenote.inspection.style import Theme
from cenote.window import Axis

__all__ = [
    "WIDTH",
    "Grid",
    "caption",
    "costs",
    "header",
    "indices",
    "number",
    "positions",
    "sheet",
    "sizes",
    "step_costs",
    "times",
    "two_windows",
    "window",
]

WIDTH = 32
"""Cells across every picture, so that their letters have one size on a page."""

Pads = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Grid:
    """Rows and columns of cells whose position (0, 0) has its upper left corner at ``(x, y)``."""

    x: float
    y: float
    n: Position
    size: float = 1.0

    def corner(self, position: Position) -> Point:
        """The upper left corner of a cell, outside the grid too."""
        return self.x + position[1] * self.size, self.y + position[0] * self.size

    def middle(self, position: Position) -> Point:
        """The middle of a cell."""
        x, y = self.corner(position)
        return x + self.size / 2, y + self.size / 2

    @property
    def wide(self) -> float:
        """Its width, without padding."""
        return self.n[1] * self.size

    @property
    def high(self) -> float:
        """Its height, without padding."""
        return self.n[0] * self.size

    def draw(self, canvas: Canvas, pads: Pads = ((0, 0), (0, 0)), fill: str | None = None) -> None:
        """The cells, and dashed ones for the padding around them."""
        theme = canvas.theme
        inside = set(positions(self.n))
        every = positions(self.n, pads)
        pale = mix(theme.soft, theme.paper, 0.45)
        around = (self._edges(p) for p in every if p not in inside)
        # An edge of two cells is drawn once: dashes on dashes would close its gaps.
        edges = sorted({edge for cell in around for edge in cell})
        canvas.lines(edges, pale, width=0.8, dashed=True)
        canvas.cells(
            map(self.corner, sorted(inside)), size=self.size, fill=fill or theme.zero,
            edge=mix(theme.soft, theme.paper, 0.75), width=0.8,
        )  # fmt: skip

    def _edges(self, position: Position) -> list[tuple[Point, Point]]:
        """The four sides of a cell, each from its left or upper end."""
        row, column = position
        a, b, c, d = (self.corner((row + v, column + h)) for v in (0, 1) for h in (0, 1))
        return [(a, b), (a, c), (b, d), (c, d)]

    def numbers(self, canvas: Canvas, values: Sequence[float], size: float = 9) -> None:
        """A number in every cell, row by row."""
        for position, value in zip(positions(self.n), values, strict=True):
            canvas.words(*self.middle(position), number(value), size=size)


def positions(n: Position, pads: Pads = ((0, 0), (0, 0))) -> list[Position]:
    """All positions of a grid and its padding, row by row."""
    rows, columns = (
        range(-before, length + after) for length, (before, after) in zip(n, pads, strict=True)
    )
    return [(row, column) for row in rows for column in columns]


def window(
    canvas: Canvas, grid: Grid, whole: Iterable[Position], colour: str, *, fill: bool = True
) -> None:
    """The taps of a window as coloured cells, and a line around all that it spans."""
    taps = list(whole)
    if fill:
        canvas.cells(
            map(grid.corner, taps), size=grid.size, width=0.8,
            fill=mix(colour, canvas.theme.paper, 0.32), edge=mix(colour, canvas.theme.paper, 0.7),
        )  # fmt: skip
    rows, columns = ([tap[axis] for tap in taps] for axis in (0, 1))
    x, y = grid.corner((min(rows), min(columns)))
    wide, high = (max(along) - min(along) + 1 for along in (columns, rows))
    canvas.box(x, y, wide * grid.size, high * grid.size, colour)


def two_windows(
    canvas: Canvas, grid: Grid, step: Step, units: Sequence[Position], colours: Sequence[str]
) -> None:
    """The windows of two units; what both of them touch has both colours, a triangle of each."""
    paper = canvas.theme.paper
    wholes = [step.whole(unit) for unit in units]
    for whole, colour in zip(wholes, colours, strict=True):
        window(canvas, grid, whole, colour)
    for position in sorted(set(wholes[0]) & set(wholes[1])):
        x, y = grid.corner(position)
        end = (x + grid.size, y + grid.size)
        for colour, corner in zip(colours, ((x, end[1]), (end[0], y)), strict=True):
            canvas.polygons([[(x, y), corner, end]], fill=mix(colour, paper, 0.32))
        canvas.cells([(x, y)], size=grid.size, edge=mix(canvas.theme.soft, paper, 0.75))
    for whole, colour in zip(wholes, colours, strict=True):
        window(canvas, grid, whole, colour, fill=False)


def indices(canvas: Canvas, grid: Grid, pads: Pads = ((0, 0), (0, 0))) -> None:
    """The numbers of rows at the left and of columns above, negative in the padding."""
    (top, bottom), (left, right) = pads
    soft = canvas.theme.soft
    for row in range(-top, grid.n[0] + bottom):
        x, y = grid.middle((row, -left))
        canvas.words(x - 0.8 * grid.size, y, number(row), size=7.5, colour=soft, side="right")
    for column in range(-left, grid.n[1] + right):
        x, y = grid.middle((-top, column))
        canvas.words(x, y - 0.9 * grid.size, number(column), size=7.5, colour=soft)


def caption(canvas: Canvas, x: float, y: float, name: str, below: str = "") -> None:
    """What stands above: a name, and its sizes or what there is to say about it."""
    canvas.words(x, y, name, bold=True)
    if below:
        canvas.words(x, y + 0.95, below, size=9, colour=canvas.theme.soft)


def header(canvas: Canvas, title: str, *lines: str) -> None:
    """The name of the kind and its formula with numbers."""
    canvas.words(1, 1.35, title, size=12.5, side="left", bold=True)
    for row, line in enumerate(lines):
        canvas.words(1, 2.7 + row * 1.1, line, colour=canvas.theme.soft, side="left")


def costs(canvas: Canvas, text: str) -> None:
    """What is to be remembered, at the foot."""
    canvas.lines([[(1, canvas.height - 2), (canvas.width - 1, canvas.height - 2)]],
                 canvas.theme.line, width=1)  # fmt: skip
    canvas.words(1, canvas.height - 1.1, text, side="left")


def sheet(height: float, theme: Theme) -> Canvas:
    """An empty card, as wide as all are."""
    return Canvas(WIDTH, height, theme)


def sizes(axis: Axis, n: int, out: int) -> str:
    """The formula of the output's size, in letters and in the numbers of one axis."""
    before, after = axis.padding
    return (
        "out = (n + before + after - extent) // stride + 1"
        f" = ({n} + {before} + {after} - {axis.extent}) // {axis.stride} + 1 = {out}"
    )


def times(n: Iterable[int]) -> str:
    """Sizes as they are read: ``5 * 5``, whose star the canvas turns into a sign."""
    return " * ".join(map(str, n))


def number(value: float) -> str:
    """A whole number with a true minus sign."""
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def step_costs(step: Step) -> str:
    """Weights and multiply-accumulates of one convolution, as its layer counts them."""
    return f"{step.parameters} weights, {step.macs:,} multiply-accumulates"
