"""One picture file of any kind as pixels of one size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from cenote.data._errors import DataError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Header", "Shape", "fitted", "guarded", "middle", "read_header", "read_picture"]

_GREY = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True)
class Header:
    """What a file says of its picture before it is decoded: its upright size, and if it is grey."""

    height: int
    width: int
    grey: bool


@dataclass(frozen=True)
class Shape:
    """What pictures are brought to: the shorter side to ``resize``, then the middle cut out.

    Without ``resize`` as large a part as there is, with the proportions of ``height x width``, is
    brought to that size.
    """

    channels: int
    height: int
    width: int
    resize: int | None = None


@contextmanager
def guarded() -> Iterator[None]:
    """In here Pillow refuses what would fill the memory, and is silent about smaller faults.

    Filters belong to the whole process: it is to be entered once, around all threads.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_header(path: Path) -> Header:
    """The header of a picture file, without decoding it; in :func:`guarded`.

    Raises:
        DataError: the file is empty, no picture, or one too large.
    """
    with _opened(path) as image:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        width, height = image.size[::-1] if turned else image.size
        grey = image.mode.startswith(_GREY) and image.mode not in ("LAB",)
        return Header(height, width, grey)


def read_picture(path: Path, shape: Shape) -> torch.Tensor:
    """The picture in a file, upright, as (C, H, W) in uint8; in :func:`guarded`.

    What is transparent shows white; more than 8 bits are scaled down to 8; of several frames the
    first is taken.

    Raises:
        DataError: the file is empty, no picture, too large or damaged.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        side = shape.resize or max(shape.height, shape.width)
        # JPEG decodes at an eighth to a half of its size at a fraction of the cost; twice what is
        # needed leaves the filter below enough to work on.
        image.draft(None, (2 * side, 2 * side))
        return fitted(ImageOps.exif_transpose(image), shape, path)


def fitted(image: Image.Image, shape: Shape, name: str | Path = "picture") -> torch.Tensor:
    """A decoded picture, upright, of any mode and size as (C, H, W) in uint8.

    Raises:
        DataError: its pixels are floats outside 0 to 1; the message begins with ``name``.
    """
    from PIL import Image, ImageOps

    image = _plain(image, name).convert("L" if shape.channels == 1 else "RGB")
    if shape.resize is None:
        size = (shape.width, shape.height)
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    else:
        image = middle(image, shape.resize, shape.height, shape.width)
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
    return pixels.view(shape.height, shape.width, -1).permute(2, 0, 1)


def middle(image: Image.Image, resize: int, height: int, width: int) -> Image.Image:
    """The middle of ``image``, ``height x width``, once its shorter side is ``resize`` pixels.

    Sizes and places are rounded as torchvision's ``Resize`` and ``CenterCrop`` round them; the
    filter is Pillow's bilinear one, which averages over all pixels that an output covers.
    """
    from PIL import Image

    short = min(image.size)
    across, down = (resize * n // short for n in image.size)
    if (across, down) != image.size:
        image = image.resize((across, down), Image.Resampling.BILINEAR)
    left, top = round((across - width) / 2), round((down - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _plain(image: Image.Image, name: str | Path) -> Image.Image:
    """``image`` in 8 bits and without transparency."""
    from PIL import Image

    if image.mode.startswith("I"):
        # Whole numbers of more than 8 bits have 16.
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode == "F":
        numbers = np.asarray(image)
        if not (np.isfinite(numbers).all() and numbers.min() >= 0 and numbers.max() <= 1):
            raise DataError(f"{name}: floating pixels must lie in 0 to 1")
        return Image.fromarray((numbers * 255).round().astype(np.uint8))
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return image


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture in ``path``; whatever Pillow says of a bad file becomes a DataError."""
    from PIL import Image, UnidentifiedImageError

    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: empty file")
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a picture in a format that can be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: huge: {str(error).split(',')[0]}") from None
    except DataError:
        raise
    # Pillow's readers let the errors of whatever they are built on through, of every kind.
    except Exception as error:
        raise DataError(f"{path}: damaged: {error}") from None
