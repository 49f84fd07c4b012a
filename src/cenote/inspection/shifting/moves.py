"""Moves of images in their plane, and the same moves of the maps that layers make of them.

A layer is *equivariant* to a move where its map of the moved image is the moved map: the value at a
unit is then that of the image before, at the place where the unit's content came from. Places are
those of the image; between the units of a map, it is interpolated linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import cos, radians, sin

import torch
from torch import Tensor
from torch.nn import functional as F

from cenote.inspection.receptive import Rule

__all__ = ["BORDERS", "Aligned", "Move", "Shift", "Turn", "Zoom"]

BORDERS = ("reflect", "replicate", "circular", "zeros", "crop")
_GRID_MODES = {"reflect": "reflection", "replicate": "border", "zeros": "zeros"}

Rules = Sequence[Rule]


@dataclass(frozen=True)
class Aligned:
    """A map (N, C, *o) moved, where its units are to be compared, and whether they see no border.

    ``units`` (*o) is False where a unit's content came from outside; where some units saw nothing
    but the inside of the image before the move and after it, it holds those alone, and ``inside``
    is True.
    """

    map: Tensor
    units: Tensor
    inside: bool


@dataclass(frozen=True)
class Shift:
    """The content moves by ``vector`` pixels, towards higher indices where that is positive."""

    amount: float
    vector: tuple[int, ...]

    def apply(self, images: Tensor, border: str, margin: int = 0) -> Tensor:
        """The moved images (N, C, *n); ``"crop"`` cuts them ``margin`` inside the given ones."""
        for axis, d in enumerate(self.vector, 2):
            n = images.shape[axis]
            if border == "crop":
                images = images.narrow(axis, margin - d, n - 2 * margin)
            elif d:
                source, outside = _source(n, d, border)
                images = images.index_select(axis, source.to(images.device))
                if border == "zeros":
                    shape = [-1 if a == axis else 1 for a in range(images.dim())]
                    images = images.masked_fill(outside.view(shape).to(images.device), 0)
        return images

    def align(self, map: Tensor, rules: Rules, n: Sequence[int]) -> Aligned:
        """``map`` of images of sizes ``n``, moved by ``vector / jump`` units along each axis."""
        overlaps, insides, moved = [], [], map
        for axis, (d, rule, length) in enumerate(zip(self.vector, rules, n, strict=True), 2):
            way, count = Fraction(d) / rule.step, map.shape[axis]
            part = float(way % 1)
            near = torch.arange(count) - way.numerator // way.denominator
            far = near - 1 if part else near
            first, second = (at.clamp(0, count - 1).to(map.device) for at in (near, far))
            here = moved.index_select(axis, first)
            moved = here.lerp(moved.index_select(axis, second), part) if part else here
            overlaps.append((far >= 0) & (near < count))
            free = torch.tensor([_inside(rule, unit, length) for unit in range(count)])
            insides.append(overlaps[-1] & free & free[first.cpu()] & free[second.cpu()])
        inside = all(bool(axis.any()) for axis in insides)
        return Aligned(moved, _grid(insides if inside else overlaps), inside)


class _Affine:
    """A move about the middle of the image, by bilinear interpolation."""

    amount: float
    vector: tuple[int, ...] | None

    @property
    def source(self) -> Tensor:
        """The matrix from a place (x, y) about the middle to that which its content came from."""
        raise NotImplementedError

    def apply(self, images: Tensor, border: str, margin: int = 0) -> Tensor:
        """The moved images (N, C, H, W)."""
        height, width = images.shape[2:]
        places = _places([torch.arange(k, dtype=torch.float64) for k in (height, width)])
        middle = torch.tensor([width - 1, height - 1], dtype=torch.float64) / 2
        grid = ((places - middle) @ self.source.T) / middle  # -1 and 1 are the outermost pixels
        return _sampled(images, grid, _GRID_MODES[border])

    def align(self, map: Tensor, rules: Rules, n: Sequence[int]) -> Aligned:
        """``map`` of images of sizes ``n``, moved as they are; interpolation always has a part."""
        sides = map.shape[2:]
        steps = torch.tensor([float(rule.step) for rule in rules], dtype=torch.float64)
        first = torch.tensor([_first_centre(rule) for rule in rules], dtype=torch.float64)
        centres = [f + s * torch.arange(k) for f, s, k in zip(first, steps, sides, strict=True)]
        middle = torch.tensor([n[1] - 1, n[0] - 1], dtype=torch.float64) / 2
        came_from = (_places(centres) - middle) @ self.source.T + middle
        units = (came_from - first.flip(0)) / steps.flip(0)
        last = torch.tensor([sides[1] - 1, sides[0] - 1], dtype=torch.float64)
        overlap = ((units > -1e-6) & (units < last + 1e-6)).all(-1)
        grid = 2 * units / last.clamp(min=1) - 1
        return Aligned(_sampled(map, grid, "border"), overlap, False)


@dataclass(frozen=True)
class Turn(_Affine):
    """The content turns about the middle, ``amount`` degrees against the clock."""

    amount: float
    vector: None = None

    @property
    def source(self) -> Tensor:
        """The turn back, with y downwards."""
        c, s = cos(radians(self.amount)), sin(radians(self.amount))
        return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


@dataclass(frozen=True)
class Zoom(_Affine):
    """The content becomes ``amount`` times as large, about the middle."""

    amount: float
    vector: None = None

    @property
    def source(self) -> Tensor:
        """The way back."""
        return torch.eye(2, dtype=torch.float64) / self.amount


Move = Shift | Turn | Zoom


def _source(n: int, d: int, border: str) -> tuple[Tensor, Tensor]:
    """Which element of an axis of length ``n`` each one is after a shift by ``d``, and if none."""
    at = torch.arange(n) - d
    outside = (at < 0) | (at >= n)
    if border == "circular":
        return at % n, outside
    if border == "reflect":  # without the border element twice
        at = at % max(1, 2 * (n - 1))
        return torch.minimum(at, 2 * (n - 1) - at), outside
    return at.clamp(0, n - 1), outside


def _inside(rule: Rule, unit: int, n: int) -> bool:
    """Whether a unit sees something, and nothing but the ``n`` elements of the image."""
    start, stop = rule.interval(unit)
    return 0 <= start < stop <= n


def _first_centre(rule: Rule) -> float:
    """Where unit 0 is centred, in pixels from the first one's middle; the mean over a period."""
    ends = [rule.interval(unit) for unit in range(rule.period)]
    middles = [Fraction(a + b - 1, 2) - unit * rule.step for unit, (a, b) in enumerate(ends)]
    return float(sum(middles) / rule.period)


def _grid(axes: Sequence[Tensor]) -> Tensor:
    """Which units are in along every axis."""
    return reduce(lambda grid, axis: grid.unsqueeze(-1) & axis, axes)


def _places(axes: Sequence[Tensor]) -> Tensor:
    """Places (H, W, 2) as x, y from the heights and the widths."""
    y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y], -1)


def _sampled(map: Tensor, grid: Tensor, mode: str) -> Tensor:
    grid = grid.to(map).expand(len(map), -1, -1, -1)
    return F.grid_sample(map, grid, mode="bilinear", padding_mode=mode, align_corners=True)
