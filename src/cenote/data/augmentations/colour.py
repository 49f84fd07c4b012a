"""Changes of what pixels are: brightness, contrast, saturation, and boxes that are blanked."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch

from cenote.data.augmentations.geometry import check_range, check_share

__all__ = ["Colour", "Erase", "boxes"]

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Colour:
    """Change brightness, then contrast, then saturation of each image by factors of its own.

    A strength s draws its factor evenly from 1 - s to 1 + s. Brightness multiplies the pixels,
    contrast their difference from the image's mean luminance, saturation that from each pixel's
    own luminance; images of other than 3 channels have no saturation, and the mean of their
    channels for luminance. uint8 is rounded and kept in 0 to 255; floating values are not bounded.

    Raises:
        ValueError: a strength lies outside 0 to 1.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            check_share("Colour", name, getattr(self, name))

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W) in other colours."""
        n, channels, height, width = images.shape
        draw = 2 * torch.rand((3, n), generator=generator, dtype=torch.float64) - 1
        strengths = torch.tensor([self.brightness, self.contrast, self.saturation])
        factors = (1 + draw * strengths.to(torch.float64).view(3, 1)).to(images.device)
        brightness, contrast, saturation = factors
        weights = _LUMINANCE if channels == 3 else (1 / channels,) * channels
        weighing = torch.tensor(weights, dtype=torch.float64, device=images.device)
        # Sums of uint8 are whole numbers: no order of summation, no number of threads shows.
        sums = images.sum((2, 3)).to(torch.float64)
        mean = (sums * weighing).sum(1) / max(1, height * width)
        kind = images.dtype if images.is_floating_point() else torch.float32
        gain, lift = brightness * contrast, brightness * (1 - contrast) * mean
        pixels: torch.Tensor = images.to(kind) * gain.to(kind).view(n, 1, 1, 1) + lift.to(
            kind
        ).view(n, 1, 1, 1)
        if channels == 3:
            grey = (pixels * weighing.to(kind).view(1, 3, 1, 1)).sum(1, keepdim=True)
            pixels = grey + (pixels - grey) * saturation.to(kind).view(n, 1, 1, 1)
        if not images.is_floating_point():
            pixels = pixels.round_().clamp_(0, 255).to(images.dtype)
        return pixels


@dataclass(frozen=True)
class Erase:
    """Blank a box in each image, with probability ``share`` (Zhong et al., 2017).

    The box covers a share of the image drawn evenly from ``scale``, its proportions, relative to
    the image's, evenly by logarithm from ``ratio``; its centre lies anywhere, and what of it lies
    outside is lost. It is filled with 0.

    Raises:
        ValueError: ``share`` is no probability, or a range is not positive and ascending.
    """

    share: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)

    def __post_init__(self) -> None:
        check_share("Erase", "share", self.share)
        check_range("Erase", "scale", self.scale, 1.0)
        check_range("Erase", "ratio", self.ratio)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W), some with a blank box."""
        n, _, height, width = images.shape
        draw = torch.rand((5, n), generator=generator, dtype=torch.float64)
        area = self.scale[0] + (self.scale[1] - self.scale[0]) * draw[0]
        area = torch.where(draw[4] < self.share, area, 0.0)
        low, high = log(self.ratio[0]), log(self.ratio[1])
        slant = (low + (high - low) * draw[1]).exp()
        sides = (area / slant).sqrt(), (area * slant).sqrt()
        inside = boxes(sides, draw[2:4], height, width).to(images.device)
        return images.masked_fill(inside.unsqueeze(1), 0)


def boxes(
    sides: tuple[torch.Tensor, torch.Tensor], centres: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """Masks (N, H, W) of boxes whose ``sides`` and ``centres`` are shares of height and width."""
    spans = []
    for side, centre, size in zip(sides, centres, (height, width), strict=True):
        at = torch.arange(size, dtype=torch.float64) + 0.5
        distance = (at - (centre * size).unsqueeze(1)).abs()
        spans.append(distance < (side * size / 2).unsqueeze(1))
    inside: torch.Tensor = spans[0].unsqueeze(2) & spans[1].unsqueeze(1)
    return inside
