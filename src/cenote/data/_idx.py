"""The IDX format of the MNIST family: a typed, sized array behind a header of a few bytes."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from io import BufferedReader
from math import prod
from pathlib import Path

import numpy as np
import torch

from cenote.data._errors import DataError

__all__ = ["read_idx", "read_with_sum"]

# Third byte of the magic number; more than one byte a number is stored big-endian.
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 22  # hashing a piece while it is in the cache; larger ones load MNIST no faster


def read_idx(path: str | Path, *, dimensions: int | None = None) -> torch.Tensor:
    """The tensor in an IDX file, plain or gzipped (told by its content), in native byte order.

    The format, as LeCun, Cortes and Burges describe it with MNIST: two zero bytes, the element
    type, the number of dimensions, each size as a big-endian uint32, then the elements in row-major
    order. ``dimensions`` says how many are expected: 3 for images, 1 for labels.

    Raises:
        DataError: another format, element type or number of dimensions, more or fewer bytes than
            the header announces, or a damaged gzip stream.
    """
    return read_with_sum(Path(path), dimensions)[0]


def read_with_sum(path: Path, dimensions: int | None = None) -> tuple[torch.Tensor, str]:
    """The tensor of :func:`read_idx` and the sha256 of the whole file, unpacked."""
    with _open(path) as file:
        header, element, shape = _header(file, path, dimensions)
        digest = hashlib.sha256(header)
        size = prod(shape) * element.itemsize
        body = bytearray()
        try:
            # One byte more than announced, to notice a file that goes on.
            while len(body) <= size and (piece := file.read(min(_CHUNK, size + 1 - len(body)))):
                digest.update(piece)
                body += piece
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{path}: expected {size} bytes of elements for {_times(shape)}, found a gzip "
                f"stream that is cut off or damaged, readable for {len(body)} bytes: {error}"
            ) from None
    if len(body) != size:
        found = f"only {len(body)}" if len(body) < size else "more"
        raise DataError(
            f"{path}: expected {size} bytes of elements for {_times(shape)}, found {found}"
        )
    array = np.ndarray(shape, element, buffer=body)
    return torch.from_numpy(array.astype(element.newbyteorder("="), copy=False)), digest.hexdigest()


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(path) if packed else path.open("rb")


def _header(
    file: gzip.GzipFile | BufferedReader, path: Path, dimensions: int | None
) -> tuple[bytes, np.dtype[np.generic], tuple[int, ...]]:
    try:
        magic = file.read(4)
        rank = magic[3] if len(magic) == 4 else 0
        sizes = file.read(4 * rank)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: expected an IDX header, found a damaged gzip file: {error}"
        ) from None
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or rank == 0:
        raise DataError(
            f"{path}: expected an IDX file, whose first bytes are 00 00, an element type "
            f"({', '.join(f'{t:02x}' for t in _TYPES)}) and the number of dimensions, "
            f"found {magic.hex(' ') or 'an empty file'}"
        )
    if len(sizes) < 4 * rank:
        raise DataError(f"{path}: expected {rank} sizes in the header, found {len(sizes)} bytes")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, 4 * rank, 4))
    if dimensions is not None and rank != dimensions:
        raise DataError(
            f"{path}: expected {_kind(dimensions)}, found {_kind(rank)} of size {_times(shape)}"
        )
    return magic + sizes, np.dtype(_TYPES[magic[2]]), shape


def _kind(rank: int) -> str:
    """What the MNIST family keeps in so many dimensions, for messages."""
    usual = {1: "labels (1 dimension)", 3: "images (3 dimensions)"}
    return usual.get(rank, f"{rank} dimensions")


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
