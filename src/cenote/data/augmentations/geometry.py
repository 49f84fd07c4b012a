"""Changes of where pixels are: mirrored, moved, turned, cut out."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, radians

import torch
from torch.nn import functional as F

__all__ = ["Affine", "Flip", "ResizedCrop", "Shift", "check_range", "check_share"]


def check_share(operator: str, name: str, value: float) -> None:
    """Refuse a ``value`` outside 0 to 1.

    Raises:
        ValueError: it is.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{operator}: {name} = {value}: must lie in 0 to 1")


def check_range(
    operator: str, name: str, value: tuple[float, float], top: float | None = None
) -> None:
    """Refuse bounds that are not positive and ascending, or go past ``top``.

    Raises:
        ValueError: they are not, or do.
    """
    if not 0 < value[0] <= value[1]:
        raise ValueError(f"{operator}: {name} = {value}: must be positive and ascending")
    if top is not None and value[1] > top:
        raise ValueError(f"{operator}: {name} = {value}: must be at most {top}")


@dataclass(frozen=True)
class Shift:
    """Move each image by a whole number of pixels, up to ``pixels`` to either side on both axes.

    That is the padded random crop of He et al. (2015): a window of the image's size out of the
    image in a frame of zeros.

    Raises:
        ValueError: ``pixels`` is negative.
    """

    pixels: int

    def __post_init__(self) -> None:
        if self.pixels < 0:
            raise ValueError(f"Shift: pixels = {self.pixels}: must not be negative")

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W), each moved by its own whole number of pixels."""
        n, channels, height, width = images.shape
        places = 2 * self.pixels + 1
        at = torch.randint(places, (2, n), generator=generator).to(images.device)
        if images.numel() == 0:
            return images
        padded = F.pad(images, [self.pixels] * 4)
        _, _, rows, columns = padded.shape
        # Every row of an image is a run of `width` elements somewhere in the padded batch: one
        # copy for each row takes a third of the time of an index for each pixel.
        flat = padded.view(-1)
        runs = flat.as_strided((flat.numel() - width + 1, width), (1, 1))
        planes = torch.arange(n * channels, device=images.device).view(n, channels, 1)
        starts = planes * (rows * columns) + (at[0] * columns + at[1]).view(n, 1, 1)
        starts = starts + torch.arange(height, device=images.device) * columns
        return runs.index_select(0, starts.view(-1)).view(images.shape)


@dataclass(frozen=True)
class Flip:
    """Mirror each image, left to right, with probability ``share``.

    Raises:
        ValueError: ``share`` is no probability.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        check_share("Flip", "share", self.share)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W), some of them mirrored."""
        chosen = torch.rand(len(images), generator=generator) < self.share
        return torch.where(chosen.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)


@dataclass(frozen=True)
class ResizedCrop:
    """Cut a part out of each image and bring it to the image's size, with bilinear interpolation.

    The part covers a share of the image's area drawn evenly from ``scale``; its sides' proportion,
    relative to the image's, is drawn evenly by logarithm from ``ratio``; a side longer than the
    image's is cut to it; the place is drawn evenly (Szegedy et al., 2015).

    Raises:
        ValueError: a range is not positive and ascending, or ``scale`` goes past 1.
    """

    scale: tuple[float, float] = (0.35, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        check_range("ResizedCrop", "scale", self.scale, 1.0)
        check_range("ResizedCrop", "ratio", self.ratio)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W), each a part of itself."""
        draw = torch.rand((4, len(images)), generator=generator, dtype=torch.float64)
        area = self.scale[0] + (self.scale[1] - self.scale[0]) * draw[0]
        low, high = log(self.ratio[0]), log(self.ratio[1])
        slant = (low + (high - low) * draw[1]).exp()
        width, height = ((area * s).sqrt().clamp(max=1) for s in (slant, 1 / slant))
        # In coordinates from -1 to 1 the centre may lie as far out as the part leaves room.
        x, y = (1 - width) * (2 * draw[2] - 1), (1 - height) * (2 * draw[3] - 1)
        none = torch.zeros_like(x)
        rows = ((width, none, x), (none, height, y))
        theta = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
        return _sampled(images, theta, "border")


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
        check_range("Affine", "scale", self.scale)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W), each changed by its own map."""
        n, _, height, width = images.shape
        # float64, rounded once at the end: no change leaves every pixel exactly as it is.
        draw = torch.rand((5, n), generator=generator, dtype=torch.float64)
        centred = 2 * draw - 1
        angle, slope = centred[0] * radians(self.degrees), (centred[1] * radians(self.shear)).tan()
        low, high = self.scale
        factor = low + (high - low) * draw[2]
        move = centred[3:] * self.translate
        return _sampled(images, _inverse(angle, slope, factor, move, height, width), "zeros")


def _sampled(images: torch.Tensor, theta: torch.Tensor, padding: str) -> torch.Tensor:
    """Each image where its map (N, 2, 3), from output to input, looks; the element type kept."""
    if images.numel() == 0:
        return images  # affine_grid refuses an empty batch
    theta = theta.to(images.device, torch.float32)
    pixels = images if images.is_floating_point() else images.to(torch.float32)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(pixels.dtype)
    moved = F.grid_sample(pixels, grid, padding_mode=padding, align_corners=False)
    return moved if images.is_floating_point() else moved.round_().to(images.dtype)


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
