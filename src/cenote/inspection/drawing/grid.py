"""How many maps stand in a row, and how many pixels a unit gets."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Grid", "grid_of"]

_WIDEST = 4000  # pixels
_AREA = 24_000_000  # pixels: some 100 MB while it is drawn
_WANTED = 1800  # pixels: the width that small maps are enlarged to
_TILE = 224  # pixels: no map is enlarged beyond, nor a unit
_UNIT = 32


@dataclass(frozen=True)
class Grid:
    """``count`` maps of ``height`` x ``width`` units, a unit ``scale`` pixels wide and high."""

    count: int
    height: int
    width: int
    columns: int
    scale: int
    gap: int

    @property
    def rows(self) -> int:
        """The number of rows; the last may not be full."""
        return -(-self.count // self.columns)

    @property
    def step(self) -> tuple[int, int]:
        """Pixels from a map to the one below and to the one beside it."""
        return self.height * self.scale + self.gap, self.width * self.scale + self.gap

    @property
    def size(self) -> tuple[int, int]:
        """The height and width of all of it, in pixels."""
        return self.rows * self.step[0] - self.gap, self.columns * self.step[1] - self.gap


def grid_of(count: int, height: int, width: int, columns: int | None = None) -> Grid:
    """A grid for ``count`` maps in which each unit is at least a pixel.

    Where that would be too large a picture, it has room for fewer maps: see ``Grid.count``.
    """
    fits = max(1, _WIDEST // (width + 2))
    if columns is None:
        columns = min(_columns(count, height / width), fits)
    columns = min(columns, count)
    room = _WANTED // columns
    scale = max(1, min(_UNIT, _TILE // max(height, width), room // width))
    gap = min(8, max(2, width * scale // 16))
    if columns > 1 and columns * (width * scale + gap) > _WIDEST:
        gap = 2
    row = (height * scale + gap) * columns * (width * scale + gap)
    rows = max(1, _AREA // row)
    return Grid(min(count, rows * columns), height, width, columns, scale, gap)


def _columns(count: int, aspect: float) -> int:
    """About as wide as high, or up to twice as wide if that fills all rows."""
    least = max(1, math.ceil(math.sqrt(count * aspect)))
    full = (c for c in range(least, 2 * least + 1) if count % c == 0)
    return min(next(full, least), count)
