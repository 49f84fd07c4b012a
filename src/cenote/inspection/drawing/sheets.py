"""A sheet of planes or of curves, with its heading and its scale."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cenote.inspection.drawing.grid import Grid, grid_of
from cenote.inspection.drawing.paper import Paper, on_paper
from cenote.inspection.drawing.planes import Planes
from cenote.inspection.drawing.scale import GAP, Scale, draw_scale, not_finite, number
from cenote.inspection.style import Theme
from cenote.inspection.tiles import mosaic

__all__ = ["Heading", "draw_planes", "draw_rgb"]

_CURVE = (48, 160)  # pixels: the height and width of the cell of a curve
_BAR = 14  # the length of a scale, in heights of the text


@dataclass(frozen=True)
class Heading:
    """What stands above a sheet."""

    title: str
    subtitle: str


@dataclass(frozen=True)
class _Layout:
    """Where the body of a sheet begins and its foot, in pixels; text is ``size`` pixels high."""

    size: float
    left: int
    top: int
    foot: int
    width: int
    height: int

    @classmethod
    def of(cls, grid: Grid, labels: int, notes: int) -> _Layout:
        """For ``grid``, with so many characters beside its rows and so many lines below it."""
        high, wide = grid.size
        size = min(32.0, max(13.0, wide / 80))  # so that it can be read when all of it is seen
        left, top = round((1.6 + 0.65 * labels) * size), round(4.4 * size)
        foot = round(top + high + 1.2 * size)
        width = max(left + wide + round(size), round(40 * size))
        return cls(size, left, top, foot, width, round(foot + (2.6 + 1.5 * notes) * size))


def draw_planes(
    planes: Planes,
    scale: Scale,
    heading: Heading,
    path: Path,
    *,
    theme: Theme,
    columns: int | None = None,
) -> None:
    """All planes on one ``scale``, a unit at least a pixel; curves where there is one axis."""
    curves = planes.values.dim() == 2
    height, width = _CURVE if curves else planes.values.shape[-2:]
    grid = grid_of(len(planes.channels), height, width, columns)
    planes = planes.first(grid.count)
    odd = not_finite(planes.values)
    with _sheet(planes, grid, heading, theme) as (paper, layout):
        size, left, foot = layout.size, layout.left, layout.foot
        if curves:
            _draw_curves(paper, layout, grid, planes.values, scale)
            text = f"each {scale}, with a line at 0" + (f"; {odd}, marked on it" if odd else "")
            paper.words(left, foot, text, size)
            paper.save(path)
            return
        draw_scale(paper, scale, left, foot, _BAR * size, size, odd)
        cells = mosaic(
            scale.levels(planes.values), columns=grid.columns, scale=grid.scale, gap=grid.gap
        )
        levels, palette = np.nan_to_num(cells, nan=GAP).astype(np.uint8), scale.palette(theme)
        if path.suffix.lower() == ".png":
            paper.save_levels(path, levels, palette, left, layout.top)
        else:
            _draw_pixels(paper, layout, palette[levels])
            paper.save(path)


def draw_rgb(
    planes: Planes, limit: float, heading: Heading, path: Path, *, theme: Theme,
    columns: int | None = None,
) -> None:  # fmt: skip
    """Planes whose values (C, 3, H, W) are shares of red, green and blue, grey where all are 0."""
    height, width = planes.values.shape[-2:]
    grid = grid_of(len(planes.channels), height, width, columns)
    planes = planes.first(grid.count)
    values = planes.values.nan_to_num(0.0, 0.0, 0.0).float()
    shares = (values / limit).clamp(-1, 1) / 2 + 0.5
    layers = [
        mosaic(shares[:, c], columns=grid.columns, scale=grid.scale, gap=grid.gap) for c in range(3)
    ]
    cells = np.stack(layers, axis=-1)
    ground = np.array(list(bytes.fromhex(theme.paper[1:])), np.uint8)
    colours = (np.nan_to_num(cells) * 255).round().astype(np.uint8)
    with _sheet(planes, grid, heading, theme) as (paper, layout):
        _draw_pixels(paper, layout, np.where(np.isnan(cells), ground, colours))
        _draw_rgb_scale(paper, layout, limit, not_finite(planes.values))
        paper.save(path)


@contextlib.contextmanager
def _sheet(
    planes: Planes, grid: Grid, heading: Heading, theme: Theme
) -> Iterator[tuple[Paper, _Layout]]:
    """A sheet with everything but its body and its scale."""
    layout = _Layout.of(grid, len(str(max(planes.channels))), len(planes.notes))
    size, left = layout.size, layout.left
    with on_paper(layout.width, layout.height, theme) as paper:
        room = layout.width - left - size
        paper.words(left, 0.9 * size, heading.title, 1.2 * size, room, fontweight="bold")
        paper.words(left, 2.5 * size, heading.subtitle, size, room, color=theme.soft)
        for row in range(grid.rows):
            first = str(planes.channels[row * grid.columns])
            middle = layout.top + row * grid.step[0] + grid.height * grid.scale / 2
            small = min(size, 0.9 * grid.step[0])
            paper.words(left - 0.6 * size, middle, first, small, ha="right", va="center",
                        color=theme.soft)  # fmt: skip
        for line, note in enumerate(planes.notes):
            y = layout.foot + (2.2 + 1.5 * line) * size
            paper.words(left, y, note, size, room, color=theme.soft)
        yield paper, layout


def _draw_pixels(paper: Paper, layout: _Layout, pixels: np.ndarray) -> None:
    """Colours (H, W, 3), one picture element each."""
    high, wide = pixels.shape[:2]
    axes = paper.axes(layout.left, layout.top, wide, high)
    axes.imshow(pixels, interpolation="none", aspect="auto", extent=(0, wide, high, 0))


def _draw_curves(
    paper: Paper, layout: _Layout, grid: Grid, values: torch.Tensor, scale: Scale
) -> None:
    """A cell for each of the curves (C, L), a line at zero, and marks where it is not finite."""
    from matplotlib.collections import LineCollection

    high, wide = grid.size
    axes = paper.axes(layout.left, layout.top, wide, high)
    span = scale.high - scale.low
    lines, zeros, lost = [], [], []
    for index, curve in enumerate(values.double().numpy()):
        left = index % grid.columns * grid.step[1]
        bottom = index // grid.columns * grid.step[0] + grid.height
        zero = bottom + scale.low / span * grid.height
        finite = np.isfinite(curve)
        x = left + (np.arange(len(curve)) + 0.5) / len(curve) * grid.width
        y = bottom - (np.where(finite, curve, np.nan) - scale.low) / span * grid.height
        lines.append(np.column_stack([x, y]))
        zeros.append([(left, zero), (left + grid.width, zero)])
        lost += [[(at, zero - 4), (at, zero + 4)] for at in x[~finite]]
    theme = paper.theme
    for segments, colour, width in (
        (zeros, theme.line, 0.8), (lines, theme.first, 1.0), (lost, theme.third, 1.4),
    ):  # fmt: skip
        axes.add_collection(LineCollection(segments, colors=colour, linewidths=width))


def _draw_rgb_scale(paper: Paper, layout: _Layout, limit: float, odd: str) -> None:
    """A bar for each colour, the other two at zero."""
    size, width = layout.size, _BAR * layout.size
    steps = np.full((3, 64, 3), 0.5)
    for colour in range(3):
        steps[colour, :, colour] = np.linspace(0, 1, 64)
    bar = paper.axes(layout.left, layout.foot, width, 0.9 * size)
    bar.imshow(steps, extent=(0, width, 0.9 * size, 0), aspect="auto", interpolation="none")
    places = ((0.0, -limit, "left"), (0.5, 0.0, "center"), (1.0, limit, "right"))
    for share, value, side in places:
        at = layout.left + share * width
        paper.words(at, layout.foot + 1.1 * size, number(value), size, ha=side)
    if odd:
        paper.words(layout.left + width + size, layout.foot, f"{odd}, shown as 0", size)
