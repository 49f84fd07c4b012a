"""The textbook experiment: an edge that moves by single pixels, and what poolings make of it.

``python -m cenote.inspection.shifting.edge docs/images/shift`` draws it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from cenote import functional
from cenote.inspection.kinds.canvas import Canvas, mix
from cenote.inspection.style import LIGHT, Theme

__all__ = ["EdgeStep", "draw_edge", "edge_experiment", "edge_picture"]


@dataclass(frozen=True)
class EdgeStep:
    """One place of the edge: a row of the image, and the same row of both poolings."""

    shift: int
    image: tuple[float, ...]
    pooled: tuple[float, ...]
    blurred: tuple[float, ...]


def edge_experiment(width: int = 8, shifts: Sequence[int] = (-1, 0, 1, 2)) -> list[EdgeStep]:
    """A vertical edge in the middle of an image, moved to the right, and pooled 2x2 with stride 2.

    The image (``width`` by ``width``) is 0 left of the edge and 1 from it on. ``pooled`` is a row
    of its max pooling, ``blurred`` of a max pooling whose stride comes behind a binomial filter of
    three taps. All rows are the same.

    Raises:
        ValueError: a shift that takes the edge out of the image.

    >>> [step.pooled for step in edge_experiment(shifts=[0, 1])]
    [(0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)]
    >>> [step.blurred for step in edge_experiment(shifts=[0, 1])]
    [(0.0, 0.25, 1.0, 1.0), (0.0, 0.0, 0.75, 1.0)]
    """
    steps = []
    for shift in shifts:
        place = width // 2 + shift
        if not 0 < place < width:
            raise ValueError(
                f"edge_experiment: shifts = {tuple(shifts)}: {shift} takes the edge out of"
                f" {width} pixels"
            )
        image = (torch.arange(width) >= place).float().expand(1, 1, width, width)
        rows = (image, functional.max_pool2d(image, 2), functional.max_blur_pool2d(image, 2))
        steps.append(EdgeStep(shift, *(tuple(r[0, 0, r.shape[2] // 2].tolist()) for r in rows)))
    return steps


def draw_edge(target: Path | str | IO[bytes], *, theme: Theme = LIGHT) -> None:
    """Draw the experiment as an SVG file."""
    edge_picture(theme).save(target, "an edge that moves, pooled with and without a blur")


def edge_picture(theme: Theme = LIGHT) -> Canvas:
    """The drawing, not yet a file: a line for each place of the edge."""
    steps = edge_experiment()
    canvas = Canvas(30.6, 3.9 + 2.2 * len(steps), theme)
    for x, title, below in (
        (5.2, "an edge", "moves by one pixel"),
        (15.2, "max pooling 2x2, stride 2", "moves by no unit or a whole one"),
        (25.4, "blurred before the stride", "moves by half a unit each time"),
    ):
        canvas.words(x, 1.6, title, size=10.5, bold=True)
        canvas.words(x, 2.6, below, colour=theme.soft)
    for place, step in enumerate(steps):
        y = 3.7 + 2.2 * place
        _cells(canvas, 1.2, y, 1.0, step.image, numbers=False)
        _cells(canvas, 11.2, y, 2.0, step.pooled)
        _cells(canvas, 21.4, y, 2.0, step.blurred)
    return canvas


def _cells(
    canvas: Canvas,
    x: float,
    y: float,
    size: float,
    values: Sequence[float],
    *,
    numbers: bool = True,
) -> None:
    """A row of cells, darker where the value is greater, with its number."""
    theme = canvas.theme
    for place, value in enumerate(values):
        left = x + place * size
        fill = mix(theme.first, theme.paper, 0.9 * value)
        canvas.polygons(
            [[(left, y), (left + size, y), (left + size, y + 1.3), (left, y + 1.3)]],
            fill=fill, edge=theme.line,
        )  # fmt: skip
        if numbers:
            colour = theme.paper if value > 0.5 else theme.ink
            canvas.words(left + size / 2, y + 0.65, f"{value:g}", colour=colour)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m cenote.inspection.shifting.edge FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    draw_edge(folder / "edge.svg")
