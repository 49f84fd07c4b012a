"""Random changes to a whole batch of images at once.

Each takes images (N, C, H, W), uint8 or floating, and a generator, and gives images of the same
shape and element type; what moves in from outside is 0. All random numbers are drawn on the
generator's device, so that the same state gives the same images everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import radians

import torch
from torch.nn import functional as F

__all__ = ["Affine", "Augmentation", "Compose", "Shift", "by_name", "names"]

Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Shift:
    """Move each image by a whole number of pixels, up to ``pixels`` to either side on both axes.

    Raises:
        ValueError: ``pixels`` is negative.
    """

    pixels: int

    def __post_init__(self) -> None:
        if self.pixels < 0:
            raise ValueError(f"Shift: pixels = {self.pixels}: must not be negative")

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W), each moved by its own whole number of pixels."""
        n, _, height, width = images.shape
        places = 2 * self.pixels + 1
        at = torch.randint(places, (2, n), generator=generator).to(images.device)
        # Every shifted image is a window of the padded one, and unfold lists those without a copy.
        windows = F.pad(images, [self.pixels] * 4).unfold(2, height, 1).unfold(3, width, 1)
        return windows[torch.arange(n, device=images.device), :, at[0], at[1]]


@dataclass(frozen=True)
class Affine:
    """Turn, scale, shear and move each image about its centre, with bilinear interpolation.

    ``degrees`` and ``shear`` are the largest angles to either side, ``scale`` the smallest and
    largest factor, ``translate`` the largest way in pixels along each axis; each is drawn evenly.
    In column vectors (x, y), pixel p goes to ``scale * turn(degrees) @ shear_x(shear) @ p + move``.

    Raises:
        ValueError: an angle or a way is negative, or a shear is not below 90 degrees, or the
            factors are not positive and ascending.
    """

    degrees: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    translate: float = 0.0
    shear: float = 0.0

    def __post_init__(self) -> None:
        for name in ("degrees", "translate", "shear"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"Affine: {name} = {value}: must not be negative")
        if self.shear >= 90:
            raise ValueError(f"Affine: shear = {self.shear}: must be below 90 degrees")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"Affine: scale = {self.scale}: must be positive and ascending")

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W), each changed by its own map."""
        n, _, height, width = images.shape
        if n == 0:
            return images  # affine_grid refuses an empty batch
        # float64, rounded once at the end: no change leaves every pixel exactly as it is.
        draw = torch.rand((5, n), generator=generator, dtype=torch.float64)
        centred = 2 * draw - 1
        angle, slope = centred[0] * radians(self.degrees), (centred[1] * radians(self.shear)).tan()
        low, high = self.scale
        factor = low + (high - low) * draw[2]
        move = centred[3:] * self.translate
        back = _inverse(angle, slope, factor, move, height, width)
        theta = back.to(images.device, torch.float32)
        pixels = images if images.is_floating_point() else images.to(torch.float32)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(pixels.dtype)
        moved = F.grid_sample(pixels, grid, align_corners=False)
        return moved if images.is_floating_point() else moved.round_().to(images.dtype)


@dataclass(frozen=True)
class Compose:
    """One augmentation after the other; without any, the images as they are."""

    steps: tuple[Augmentation, ...] = ()

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W) after all steps, which draw from ``generator`` in turn."""
        for step in self.steps:
            images = step(images, generator)
        return images


_BY_NAME: dict[str, Augmentation] = {
    "none": Compose(),
    "shift1": Shift(1),
    "shift2": Shift(2),
    "affine": Affine(degrees=10, scale=(0.9, 1.1), translate=2, shear=5),
}


def names() -> tuple[str, ...]:
    """The names that :func:`by_name` knows."""
    return tuple(_BY_NAME)


def by_name(name: str) -> Augmentation:
    """The augmentation called ``name``; ``"none"`` leaves the images as they are.

    Raises:
        ValueError: there is none of that name; the message lists them.
    """
    if name not in _BY_NAME:
        raise ValueError(f"augmentation = {name!r}: must be one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def _inverse(
    angle: torch.Tensor,
    slope: torch.Tensor,
    factor: torch.Tensor,
    move: torch.Tensor,
    height: int,
    width: int,
) -> torch.Tensor:
    """From output to input, (N, 2, 3), in the coordinates of ``affine_grid`` (-1 to 1 a side).

    The inverse of ``factor * turn @ shear`` in closed form is ``[[1, -slope], [0, 1]] @
    turn(-angle) / factor``; sides of different length scale its off-diagonal elements.
    """
    cos, sin = angle.cos() / factor, angle.sin() / factor
    a, b = cos + slope * sin, sin - slope * cos
    c, d = -sin, cos
    x, y = move[0], move[1]
    rows = (
        (a, b * (height / width), -(a * x + b * y) * (2 / width)),
        (c * (width / height), d, -(c * x + d * y) * (2 / height)),
    )
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
