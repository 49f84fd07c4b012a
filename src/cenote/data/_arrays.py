"""Data sets in NumPy's .npz files, told by the names of their arrays."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from cenote.data._dataset import Dataset
from cenote.data._errors import DataError

__all__ = ["npz_parts", "read_npz"]

_WHOLE = (("images", "labels"), ("x", "y"))
_PARTS = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}


def npz_parts(path: Path) -> tuple[str, ...]:
    """The parts that the file tells apart; none where it holds one undivided set.

    Raises:
        DataError: the file is no .npz, or has none of the names.
    """
    with _opened(path) as file:
        return _parts(path, file)


def read_npz(path: Path, split: str | None) -> Dataset:
    """The part ``split``, or for None the undivided set.

    The arrays are taken as :meth:`cenote.data.Dataset.of` takes them; ``classes``, where the file
    has it, holds the classes' names. Classes without names are numbered to the highest label of all
    parts, so that the parts agree.

    Raises:
        DataError: the file is damaged, an array is missing, or is not numbers of the right shape.
    """
    with _opened(path) as file:
        _parts(path, file)
        pairs = _WHOLE if split is None else _PARTS[split]
        x, y = _pair(file, pairs) or ("", "")
        if not x:
            raise DataError(f"{path}: expected {_listed(pairs)}, found {', '.join(file.files)}")
        images, labels = _array(path, file, x), _array(path, file, y)
        names = None
        if "classes" in file.files:
            names = tuple(str(name) for name in _array(path, file, "classes").ravel())
        elif labels.dtype.kind in "iub":
            keys = [y for _, y in (*_WHOLE, *sum(_PARTS.values(), ())) if y in file.files]
            every = [_array(path, file, key) for key in keys]
            highest = max(int(a.max(initial=0)) for a in every if a.dtype.kind in "iub")
            names = tuple(map(str, range(highest + 1)))
    return Dataset.of(images, labels, names, name=path.stem)


def _parts(path: Path, file: NpzFile) -> tuple[str, ...]:
    found = tuple(part for part, pairs in _PARTS.items() if _pair(file, pairs))
    if "train" not in found and not _pair(file, _WHOLE):
        raise DataError(
            f"{path}: expected {_listed(_WHOLE)} or {_listed(_PARTS['train'])}, "
            f"found {', '.join(file.files) or 'no array'}"
        )
    return found if "train" in found else ()


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    with path.open("rb") as stream:
        try:
            # No pickles: an array of objects could run any code.
            file = np.load(stream, allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: expected an .npz file of arrays: {error}") from None
        if not isinstance(file, NpzFile):
            raise DataError(f"{path}: expected an .npz file of several arrays, found a single one")
        with file:
            yield file


def _array(path: Path, file: NpzFile, key: str) -> np.ndarray:
    try:
        array: np.ndarray = file[key]
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: {key}: not an array that can be read: {error}") from None
    return array


def _pair(file: NpzFile, pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    return next((pair for pair in pairs if set(pair) <= set(file.files)), None)


def _listed(pairs: tuple[tuple[str, str], ...]) -> str:
    return " or ".join(" and ".join(pair) for pair in pairs)
