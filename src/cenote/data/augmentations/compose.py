"""Augmentations one after the other, and their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from cenote.data.augmentations.colour import Colour, Erase
from cenote.data.augmentations.geometry import Affine, Flip, ResizedCrop, Shift
from cenote.data.augmentations.mixing import CutMix, Mixup

__all__ = ["Augmentation", "Compose", "by_name", "mix", "mixes", "names"]

Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Compose:
    """One augmentation after the other; without any, the images as they are."""

    steps: tuple[Augmentation, ...] = ()

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images (N, C, H, W) after all steps, which draw from ``generator`` in turn."""
        for step in self.steps:
            images = step(images, generator)
        return images


def mixes(augmentation: Augmentation) -> bool:
    """Whether it blends images, so that targets have to be blended with them."""
    if isinstance(augmentation, Compose):
        return any(mixes(step) for step in augmentation.steps)
    return isinstance(augmentation, Mixup | CutMix)


def mix(
    augmentation: Augmentation,
    images: torch.Tensor,
    targets: torch.Tensor,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, C, H, W) after the augmentation, and floating targets (N, ...) to go with them.

    The images are those of calling it with the same generator.
    """
    if isinstance(augmentation, Compose):
        for step in augmentation.steps:
            images, targets = mix(step, images, targets, generator)
        return images, targets
    if isinstance(augmentation, Mixup | CutMix):
        return augmentation.mix(images, targets, generator)
    return augmentation(images, generator), targets


_BY_NAME: dict[str, Augmentation] = {
    "none": Compose(),
    "shift1": Shift(1),
    "shift2": Shift(2),
    "affine": Affine(degrees=10, scale=(0.9, 1.1), translate=2, shear=5),
    "flip": Flip(),
    "crop4": Shift(4),
    "resizedcrop": ResizedCrop(),
    "colour": Colour(),
    "erase": Erase(),
    "mixup": Mixup(),
    "cutmix": CutMix(),
}


def names() -> tuple[str, ...]:
    """Names that :func:`by_name` knows; it also joins them with ``+``."""
    return tuple(_BY_NAME)


def by_name(name: str) -> Augmentation:
    """The augmentation called ``name``; ``"none"`` leaves the images as they are.

    Names joined with ``+`` come one after the other; ``shift`` and ``crop``, which are one, may be
    followed by any number of pixels.

    Raises:
        ValueError: there is none of that name; the message lists them.

    >>> by_name("flip+crop4")
    Compose(steps=(Flip(share=0.5), Shift(pixels=4)))
    """
    if "+" in name:
        return Compose(tuple(_one(part.strip(), name) for part in name.split("+")))
    return _one(name, name)


def _one(part: str, whole: str) -> Augmentation:
    if part in _BY_NAME:
        return _BY_NAME[part]
    if pixels := re.fullmatch(r"(?:shift|crop)(\d{1,4})", part):
        return Shift(int(pixels[1]))
    where = f" in {whole!r}" if part != whole else ""
    raise ValueError(
        f"augmentation = {part!r}{where}: must be one of {', '.join(_BY_NAME)}, "
        f"shift and crop also with another number, or several joined with +"
    )
