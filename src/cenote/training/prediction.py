"""From a picture of any size and mode to the class that a trained network sees in it.

It is read as a training reads a folder of pictures. Only for a network of MNIST's digits it becomes
what those were made of (LeCun, Cortes and Burges, "The MNIST database"): bright ink on
black, its box scaled to 20 pixels with its proportions kept, its centre of mass in the middle of
28x28.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from cenote.data import DataError
from cenote.data._pictures import Shape, fitted, guarded, read_picture
from cenote.training.facts import Facts
from cenote.training.ready import Ready
from cenote.training.run import Run

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Answer", "Predictor", "digit", "fit_to", "prepared", "read_image"]

_WORKING_SIZE = 256  # pixels: larger pictures are shrunk to it first
_CELLS = 64  # a side, at most, of the raster that blobs are told apart on
_CENTRE = 14.5  # half a pixel past the middle, where the centres of mass of MNIST lie on average
_SPECK = 0.08  # a blob below this share of the largest one's area is dirt


class ImageError(ValueError):
    """A picture cannot be read or shows nothing; the message names the file."""


@dataclass(frozen=True)
class Answer:
    """The classes that a network finds most probable, the best first."""

    top: tuple[tuple[str, float], ...]

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.top[0][0]


class Predictor:
    """A run's network, or another that is ready, with what pictures have to become for it.

    >>> Predictor(Run.open("runs/lenet5"))("three.png").label  # doctest: +SKIP
    '3'
    """

    def __init__(self, run: Run | Ready, which: str = "last") -> None:
        ready = run if isinstance(run, Ready) else Ready.of_run(run, which)
        self.facts, self.model = ready.facts, ready.model

    def __call__(self, path: str | Path, top: int = 3) -> Answer:
        """The ``top`` most probable classes of the picture in the file ``path``.

        Raises:
            ImageError: the file is no picture that can be read, or shows nothing.
        """
        try:
            pixels = self._pixels(Path(path))
        except ImageError:
            raise
        except ValueError as error:
            raise ImageError(f"{path}: {error}") from None
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.facts.mean, self.facts.std))
        with torch.inference_mode():
            logits = self.model(((pixels - mean) / std).unsqueeze(0))[0]
        values, indices = logits.softmax(0).topk(min(top, len(self.facts.classes)))
        pairs = zip(indices.tolist(), values.tolist(), strict=True)
        return Answer(tuple((self.facts.classes[index], value) for index, value in pairs))

    def _pixels(self, path: Path) -> torch.Tensor:
        if len(self.facts.shape) != 3:
            sizes = "x".join(map(str, self.facts.shape))
            raise ImageError(f"{path}: this network has learnt inputs of {sizes}, no pictures")
        if self.facts.digits:
            return fit_to(self.facts, read_image(path))
        return _as_trained(path, self.facts)


def fit_to(facts: Facts, grey: torch.Tensor) -> torch.Tensor:
    """The grey picture (H, W) in [0, 1] as the network expects it, (C, H, W) in [0, 1].

    A digit becomes one of MNIST's; what else there is keeps its values, and the largest part of
    the size's proportions is scaled to it, as a folder of pictures does it for the training.
    """
    if facts.digits:
        return digit(grey).expand(facts.shape[0], -1, -1)
    from PIL import Image

    return prepared(facts, Image.fromarray((grey * 255).round().to(torch.uint8).numpy()))


def prepared(facts: Facts, picture: Image.Image) -> torch.Tensor:
    """A decoded picture as the network expects it, (C, H, W) in [0, 1]: as :class:`Predictor` does.

    Raises:
        ValueError: the picture shows nothing, or has pixels outside 0 to 1.
    """
    if facts.digits:
        return fit_to(facts, _grey(picture))
    return _planes(facts, fitted(picture, _shape(facts)))


def _shape(facts: Facts) -> Shape:
    channels, height, width = facts.shape
    return Shape(3 if channels == 3 else 1, height, width, facts.resize)


def _planes(facts: Facts, pixels: torch.Tensor) -> torch.Tensor:
    return (pixels.to(torch.float32) / 255).expand(facts.shape[0], -1, -1)


def _as_trained(path: Path, facts: Facts) -> torch.Tensor:
    """The picture (C, H, W) in [0, 1], read by what reads a folder of pictures to train with."""
    if not path.is_file():
        raise ImageError(f"{path}: no such file")
    try:
        with guarded():
            pixels = read_picture(path, _shape(facts))
    except DataError as error:
        raise ImageError(str(error)) from None
    return _planes(facts, pixels)


def read_image(path: Path) -> torch.Tensor:
    """The picture in the file ``path`` as grey values (H, W) in [0, 1], upright, on its paper.

    Raises:
        ImageError: there is no such file, or it is no picture.
    """
    image = _opened(path)
    try:
        return _grey(image)
    except ValueError as error:
        raise ImageError(f"{path}: a damaged picture ({error})") from None


def _opened(path: Path) -> Image.Image:
    """The picture in the file ``path``, decoded, upright."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: empty file")
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a picture in a format that can be read") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path}: a damaged picture ({error})") from None


def _grey(image: Image.Image) -> torch.Tensor:
    """Grey values in [0, 1] of any mode; clear parts show white paper, or black below white ink."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image).astype(np.float32)
        # Whole numbers of more than 8 bits have 16; floats have whatever range they use.
        top = 65535.0 if image.mode.startswith("I") else max(float(values.max()), 1e-12)
        return torch.from_numpy(values / top).clamp(0, 1)
    if "A" not in image.getbands() and "transparency" not in image.info:
        return _luminance(image.convert("RGB"))
    image = image.convert("RGBA")
    alpha = torch.from_numpy(np.asarray(image.getchannel("A")).astype(np.float32) / 255)
    ink = _luminance(image.convert("RGB"))
    on_white, on_black = ink * alpha + (1 - alpha), ink * alpha
    return on_black if on_white.std() < 0.25 * on_black.std() else on_white


def _luminance(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image.convert("L")).astype(np.float32) / 255)


def digit(grey: torch.Tensor) -> torch.Tensor:
    """The digit of a grey picture (H, W) as MNIST would show it: (28, 28) in [0, 1].

    Raises:
        ValueError: the picture is blank.
    """
    ink = _ink(grey)
    ink = ink * _blobs(ink > _threshold(ink))
    rows, columns = (torch.nonzero(ink.amax(axis) > 0).flatten() for axis in (1, 0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / max(box.shape)
    small = _resized(box, max(1, round(box.shape[0] * scale)), max(1, round(box.shape[1] * scale)))
    return _centred(small / small.max())


def _ink(grey: torch.Tensor) -> torch.Tensor:
    """How far each pixel is from the paper, 1 for the strongest ink; at most 256 pixels wide."""
    shrink = _WORKING_SIZE / max(grey.shape)
    if shrink < 1:
        grey = _resized(grey, *(max(1, round(n * shrink)) for n in grey.shape))
    border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    difference = grey - border.median()
    # Paper surrounds the ink; what departs from it furthest, in sum, says which way ink goes.
    difference = difference * (1.0 if (difference**3).sum() >= 0 else -1.0)
    top = float(difference.max())
    if top < 0.02:
        raise ValueError("blank: no pixel differs from the border by 2 % or more")
    return (difference / top).clamp(0, 1)


def _threshold(ink: torch.Tensor) -> float:
    """Half of Otsu's threshold between paper and ink (1979): faint edges belong to a stroke."""
    counts = torch.histc(ink, 64, 0, 1)
    levels = (torch.arange(64) + 0.5) / 64
    below, total = counts.cumsum(0), counts.sum()
    mass = (counts * levels).cumsum(0)
    between = (mass[-1] * below - mass * total) ** 2 / (below * (total - below)).clamp(min=1e-6)
    # A clean picture has nothing between paper and ink: of the equal levels there, the middle.
    return float(levels[between >= 0.999 * between.max()].mean()) / 2


def _blobs(mask: torch.Tensor) -> torch.Tensor:
    """``mask`` (H, W) without its specks: the parts that hang together and are not small.

    Cells of up to 4x4 pixels that touch take the largest number among them until none changes:
    then a blob has one number, and one cell's gap in a stroke does not part it.
    """
    cell = -(-max(mask.shape) // _CELLS)
    inked = F.max_pool2d(mask[None, None].float(), cell, ceil_mode=True)
    numbers = torch.arange(1.0, inked.numel() + 1).view_as(inked) * inked
    while True:
        spread = F.max_pool2d(numbers, 3, 1, 1) * inked
        if torch.equal(spread, numbers):
            break
        numbers = spread
    areas = torch.bincount(numbers.long().flatten(), minlength=inked.numel() + 1)
    areas[0] = 0
    kept = (areas >= _SPECK * areas.max())[numbers[0, 0].long()]
    whole = kept.repeat_interleave(cell, 0).repeat_interleave(cell, 1)
    return whole[: mask.shape[0], : mask.shape[1]] & mask


def _resized(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """``image`` (H, W) scaled to the given size, each new pixel the mean of those it covers."""
    size = (height, width)
    return F.interpolate(image[None, None], size, mode="bilinear", antialias=True)[0, 0].clamp(0, 1)


def _centred(small: torch.Tensor) -> torch.Tensor:
    """``small`` on a black 28x28, its centre of mass where MNIST has it, as far as it fits."""
    height, width = small.shape
    offsets = []
    for axis, n in enumerate((height, width)):
        mass = small.sum(1 - axis)
        centre = float((mass * (torch.arange(n) + 0.5)).sum() / mass.sum())
        offsets.append(min(max(round(_CENTRE - centre), 0), 28 - n))
    result = torch.zeros(28, 28)
    result[offsets[0] : offsets[0] + height, offsets[1] : offsets[1] + width] = small
    return result
