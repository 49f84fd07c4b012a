"""Blends of two images, whose targets are blended alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cenote.data.augmentations.colour import boxes

__all__ = ["CutMix", "Mixup"]


@dataclass(frozen=True)
class Mixup:
    """Blend each image with another one of the batch (Zhang et al., 2018).

    Each image has its own share, drawn from Beta(alpha, alpha); its target becomes the same blend.

    Raises:
        ValueError: ``alpha`` is not positive.

    >>> generator = torch.Generator().manual_seed(0)
    >>> images, targets = torch.zeros(4, 1, 2, 2), torch.eye(4)
    >>> Mixup().mix(images, targets, generator)[1].sum(1)
    tensor([1., 1., 1., 1.])
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        _check_alpha("Mixup", self.alpha)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W), blended; their targets are lost."""
        return self.mix(images, torch.zeros(len(images), 1), generator)[0]

    def mix(
        self, images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, C, H, W) and floating targets (N, ...), each blended with those of another."""
        share, other = _drawn(self.alpha, len(images), generator)
        other = other.to(images.device)
        pixels = images if images.is_floating_point() else images.to(torch.float32)
        blended = _blended(pixels, pixels.index_select(0, other), share)
        if not images.is_floating_point():
            blended = blended.round_().to(images.dtype)
        return blended, _blended(targets, targets.index_select(0, other), share)


@dataclass(frozen=True)
class CutMix:
    """Put a box out of another image of the batch into each image (Yun et al., 2019).

    The box keeps the image's proportions; it covers what a share drawn from Beta(alpha, alpha)
    leaves, its centre lies anywhere, and what of it lies outside is lost. The target is blended by
    the area that the box has in truth.

    Raises:
        ValueError: ``alpha`` is not positive.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check_alpha("CutMix", self.alpha)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W) with boxes out of others; their targets are lost."""
        return self.mix(images, torch.zeros(len(images), 1), generator)[0]

    def mix(
        self, images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, C, H, W) and floating targets (N, ...), each with a part of another's."""
        n, _, height, width = images.shape
        share, other = _drawn(self.alpha, n, generator)
        centres = torch.rand((2, n), generator=generator, dtype=torch.float64)
        side = (1 - share).sqrt()
        inside = boxes((side, side), centres, height, width)
        kept = 1 - inside.sum((1, 2)).to(torch.float64) / max(1, height * width)
        other = other.to(images.device)
        mask = inside.to(images.device).unsqueeze(1)
        cut = torch.where(mask, images.index_select(0, other), images)
        return cut, _blended(targets, targets.index_select(0, other), kept)


def _drawn(alpha: float, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """For each of ``n`` images the share that it keeps, and which other it is blended with."""
    # torch draws from Beta with the global generator alone; numpy's RandomState has a stream that
    # is promised never to change.
    seed = int(torch.randint(2**32, (), generator=generator))
    share = np.random.RandomState(seed).beta(alpha, alpha, n)
    return torch.from_numpy(share), torch.randperm(n, generator=generator)


def _blended(one: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """``share`` (N,) of ``one`` and the rest of ``other``."""
    each = share.to(one.device, one.dtype).view(-1, *[1] * (one.dim() - 1))
    return other + (one - other) * each


def _check_alpha(operator: str, alpha: float) -> None:
    if not alpha > 0:
        raise ValueError(f"{operator}: alpha = {alpha}: must be positive")
