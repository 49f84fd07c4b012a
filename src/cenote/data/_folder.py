"""A folder of pictures with one sub-folder for each class."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch

from cenote.data._dataset import Dataset
from cenote.data._errors import DataError, DataWarning
from cenote.data._pictures import Header, Shape, guarded, read_header, read_picture

__all__ = ["Bad", "folder_parts", "read_folder"]

Bad = Literal["skip", "refuse"]

_PARTS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_FORMAT = 2  # of the cache; another number makes old ones be written anew
_NAMED = 20  # bad files that a message lists

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class _File:
    path: Path
    label: int
    stamp: tuple[str, int, int]  # where in the folder, bytes, time of change in ns


def folder_parts(root: Path) -> dict[str, Path]:
    """The sub-folders that are parts and not classes; none where the folder is undivided.

    A folder is divided if there is a ``train`` and every sub-folder is called as parts are. Where
    there is only ``train`` and ``val``, as in ImageNet's layout, ``val`` is what is tested with.
    """
    found: dict[str, Path] = {}
    folders = _folders(root)
    for part, words in _PARTS.items():
        for folder in folders:
            if folder.name.lower() in words:
                found[part] = folder
    if "train" not in found or len(found) != len(folders):
        return {}
    if "test" not in found and "validation" in found:
        found["test"] = found.pop("validation")
    return found


def read_folder(
    root: Path,
    split: str | None,
    *,
    size: int | tuple[int, int] | None = None,
    resize: int | None = None,
    channels: int | None = None,
    bad: Bad = "skip",
    cache: Path | None = None,
) -> Dataset:
    """The pictures of the part ``split``, or for None of an undivided folder, in memory.

    The memory is that of N x C x H x W bytes, and as much is kept in the folder ``cache``, from
    which the next call reads it if no file has changed.

    Raises:
        DataError: no class, a class without a picture, pictures of different sizes without
            ``size``, more than the machine's memory, or a bad file if ``bad`` is ``"refuse"``.
        ValueError: an argument is out of bounds.
    """
    _check(size, resize, channels, bad)
    parts = folder_parts(root)
    classes = tuple(folder.name for folder in _folders(parts.get("train", root)))
    files, loose = _listing(root if split is None else parts[split], classes)
    settings = json.dumps([_FORMAT, str(root), split, size, resize, channels])
    stored = None
    if cache is not None:
        stored = cache / f"{hashlib.sha256(settings.encode()).hexdigest()[:32]}.safetensors"
    listing = _digest(settings, classes, files)
    kept = _stored(stored, listing)
    if kept is None:
        kept = _decoded(root, files, size, resize, channels)
        if stored is not None:
            _store(stored, listing, *kept)
    images, labels, faults = kept
    skipped = tuple(sorted([*loose, *faults]))
    _judge(root, len(files) + len(loose), skipped, bad)
    empty = sorted(set(range(len(classes))) - set(labels.tolist())) if split != "test" else []
    if empty or not len(labels):
        names = ", ".join(classes[i] for i in empty) or "any class"
        raise DataError(f"{root}: expected a picture that can be read in {names}, found none")
    return Dataset(root.name, images, labels, classes, skipped=skipped)


def _check(
    size: int | tuple[int, int] | None, resize: int | None, channels: int | None, bad: str
) -> None:
    height, width = _pair(size) or (1, 1)
    if height < 1 or width < 1:
        raise ValueError(f"size = {size}: must be at least 1")
    if resize is not None and size is None:
        raise ValueError(f"resize = {resize}: give the size to cut out of it, too (size=, --size)")
    if resize is not None and resize < max(height, width):
        raise ValueError(f"resize = {resize}: must be at least size = {size}")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels = {channels}: must be 1, 3 or None")
    if bad not in ("skip", "refuse"):
        raise ValueError(f"bad = {bad!r}: must be one of skip, refuse")


def _pair(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (size, size) if isinstance(size, int) else size


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _listing(root: Path, classes: tuple[str, ...]) -> tuple[list[_File], list[str]]:
    """The files of all classes, however deep, and messages for those in no class.

    Raises:
        DataError: a sub-folder is no class of the training part.
    """
    unknown = [folder.name for folder in _folders(root) if folder.name not in classes]
    if unknown:
        raise DataError(
            f"{root}: {', '.join(unknown)}: not among the {len(classes)} classes to train with"
        )
    files = []
    for label, name in enumerate(classes):
        for folder, below, names in os.walk(root / name):
            below[:] = sorted(b for b in below if not b.startswith("."))
            for path in (Path(folder, n) for n in sorted(names) if not n.startswith(".")):
                facts = path.stat() if path.exists() else os.lstat(path)  # a link into nowhere
                where = path.relative_to(root).as_posix()
                files.append(_File(path, label, (where, facts.st_size, facts.st_mtime_ns)))
    outside = [p for p in root.iterdir() if p.is_file() and not p.name.startswith(".")]
    return files, [f"{p}: in no class's folder" for p in outside]


def _decoded(
    root: Path,
    files: Sequence[_File],
    size: int | tuple[int, int] | None,
    resize: int | None,
    channels: int | None,
) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Images, labels, and what is wrong with each bad file; Pillow works outside Python's lock."""
    with guarded(), ThreadPoolExecutor(os.cpu_count()) as pool:
        headers, faults = _tried(pool, lambda f: read_header(f.path), files)
        shape = _shape(root, [header for _, header in headers], size, resize, channels)
        images = torch.empty(
            len(headers), shape.channels, shape.height, shape.width, dtype=torch.uint8
        )

        def decode(row: int) -> None:
            images[row] = read_picture(headers[row][0].path, shape)

        rows, damaged = _tried(pool, decode, range(len(headers)))
    good = [row for row, _ in rows]
    labels = torch.tensor([headers[row][0].label for row in good], dtype=torch.int64)
    if len(good) < len(images):
        images = images[good]
    return images, labels, faults + damaged


def _tried(
    pool: ThreadPoolExecutor, work: Callable[[S], T], items: Sequence[S]
) -> tuple[list[tuple[S, T]], list[str]]:
    """Each item that ``work`` took, with its result, and what it said of the others."""

    def attempt(item: S) -> T | DataError:
        try:
            return work(item)
        except DataError as error:
            return error

    results = list(zip(items, pool.map(attempt, items), strict=True))
    good = [(item, result) for item, result in results if not isinstance(result, DataError)]
    return good, [str(result) for _, result in results if isinstance(result, DataError)]


def _shape(
    root: Path,
    headers: Sequence[Header],
    size: int | tuple[int, int] | None,
    resize: int | None,
    channels: int | None,
) -> Shape:
    sizes = {(header.height, header.width) for header in headers}
    pair = _pair(size) or (min(sizes) if sizes else (1, 1))
    if size is None and len(sizes) > 1:
        raise DataError(
            f"{root}: the pictures are of {len(sizes)} sizes, from {_times(min(sizes))} to "
            f"{_times(max(sizes))}: give the size to bring them to (size=, --size)"
        )
    grey = all(header.grey for header in headers)
    shape = Shape(channels or (1 if grey else 3), *pair, resize)
    needed, there = len(headers) * shape.channels * pair[0] * pair[1], _memory()
    if needed > there:
        raise DataError(
            f"{root}: {len(headers)} pictures of {shape.channels}x{_times(pair)} take "
            f"{needed / 2**30:.1f} GiB, and this machine has {there / 2**30:.1f} GiB of memory: "
            f"give a smaller size"
        )
    return shape


def _judge(root: Path, count: int, skipped: tuple[str, ...], bad: Bad) -> None:
    if not skipped:
        return
    more = [f"and {len(skipped) - _NAMED} more"] if len(skipped) > _NAMED else []
    lines = "\n".join(f"  {line}" for line in [*skipped[:_NAMED], *more])
    if bad == "refuse":
        raise DataError(f"{root}: {len(skipped)} of {count} files are no good pictures:\n{lines}")
    warnings.warn(
        f"{root}: {len(skipped)} of {count} files are left out:\n{lines}", DataWarning, stacklevel=4
    )


def _digest(settings: str, classes: tuple[str, ...], files: Sequence[_File]) -> str:
    listing = json.dumps([settings, classes, [file.stamp for file in files]])
    return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()


def _stored(path: Path | None, listing: str) -> tuple[torch.Tensor, torch.Tensor, list[str]] | None:
    """What the cache holds of just these files; None if it holds another state, or is damaged."""
    from safetensors import SafetensorError, safe_open

    if path is None or not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            if facts.get("listing") != listing:
                return None
            tensors = file.get_tensor("images"), file.get_tensor("labels")
            return *tensors, json.loads(facts["faults"])
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def _store(
    path: Path, listing: str, images: torch.Tensor, labels: torch.Tensor, faults: list[str]
) -> None:
    from safetensors.torch import save_file

    facts = {"listing": listing, "faults": json.dumps(faults)}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"images": images, "labels": labels}, temporary, metadata=facts)
        temporary.replace(path)
    except Exception as error:  # a cache that cannot be written must not end a training
        with suppress(OSError):
            temporary.unlink()
        warnings.warn(f"{path}: the pictures are not kept: {error}", DataWarning, stacklevel=4)


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _memory() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
