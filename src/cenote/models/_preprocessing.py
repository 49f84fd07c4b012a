"""What belongs to a network's weights: how the pictures were prepared that they were fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Preprocessing", "imagenet"]


@dataclass(frozen=True)
class Preprocessing:
    """From a picture to an input: resize, centre crop, ``(value - mean) / std``.

    Args:
        resize: the shorter side in pixels, to which a picture is scaled, its proportions kept.
        crop: the side in pixels of the square that is cut from its middle.
        mean: of each channel, of values in [0, 1]: as many as the network has channels, 1 (grey)
            or 3 (red, green, blue).
        std: of each channel, likewise.

    Raises:
        ValueError: ``crop`` does not lie in 1 to ``resize``, or ``mean`` and ``std`` are not one
            number for each of 1 or 3 channels, or a ``std`` is not positive.

    >>> from PIL import Image
    >>> Preprocessing(256, 224, (0.5,) * 3, (0.5,) * 3)(Image.new("RGB", (640, 480))).shape
    torch.Size([1, 3, 224, 224])
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ValueError(
                f"Preprocessing: crop = {self.crop}: must lie in 1 to resize = {self.resize}"
            )
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        if len(self.mean) not in (1, 3) or len(self.mean) != len(self.std):
            raise ValueError(
                f"Preprocessing: mean = {self.mean}, std = {self.std}: "
                f"must be one number for each of 1 or 3 channels"
            )
        if not all(value > 0 for value in self.std):
            raise ValueError(f"Preprocessing: std = {self.std}: must be positive")

    @property
    def channels(self) -> int:
        """The channels of the inputs: 1 for grey, 3 for red, green and blue."""
        return len(self.mean)

    def cut(self, picture: Image.Image) -> Image.Image:
        """The square of side ``crop`` that the network is shown of ``picture``.

        Sizes and places are rounded as torchvision's ``Resize`` and ``CenterCrop`` round them; the
        filter is Pillow's bilinear one, which averages over all pixels that an output covers.

        Raises:
            ValueError: the picture has no pixels.
        """
        from cenote.data._pictures import middle

        width, height = picture.size
        if min(width, height) < 1:
            raise ValueError(f"picture = {width}x{height}: has no pixels")
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        return middle(picture, self.resize, self.crop, self.crop)

    def __call__(self, picture: Image.Image) -> torch.Tensor:
        """The input (1, channels, crop, crop), float32, that ``picture`` becomes."""
        pixels = np.asarray(self.cut(picture), dtype=np.float32) / 255
        planes = torch.from_numpy(pixels.reshape(self.crop, self.crop, -1)).permute(2, 0, 1)
        return self.normalised(planes).unsqueeze(0).contiguous()

    def normalised(self, planes: torch.Tensor) -> torch.Tensor:
        """Planes (..., channels, H, W) with values in [0, 1], as the network expects them."""
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (planes - mean) / std

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Preprocessing:
        """What :meth:`to_json` wrote.

        Raises:
            ValueError: an entry is missing or unknown, or a number is out of its bounds.
        """
        if set(stored) != set(cls.__dataclass_fields__):
            expected = ", ".join(cls.__dataclass_fields__)
            raise ValueError(f"Preprocessing: {', '.join(stored)}: the entries must be {expected}")
        return cls(**stored)


def imagenet(channels: int, size: tuple[int, int]) -> Preprocessing | None:
    """What torchvision's ImageNet weights were measured with: 256 cut to 224, or in proportion.

    None where ``size`` is no square or ``channels`` are not 3, for which there are no such weights.
    """
    if channels != 3 or size[0] != size[1]:
        return None
    return Preprocessing(
        size[0] * 256 // 224, size[0], (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
