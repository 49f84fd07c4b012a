"""CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky, 2009).

A record is one byte of label (CIFAR-100: a coarse one, then a fine one) and 3072 bytes of pixels:
the red plane, the green and the blue one, 32x32 each, row by row.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cenote.data._dataset import Dataset
from cenote.data._errors import DataError

__all__ = ["ARCHIVES", "Archive", "cifar_of", "load_cifar", "read_cifar"]

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class Archive:
    """A published archive: its name, its sha256, what lies in it and how its labels are read.

    ``train`` and ``test`` are the files of each part, ``label`` is the label's place among the
    ``labels`` bytes in front of a record's pixels, and ``meanings`` the file with the names of its
    ``classes`` classes. ``counts`` says how many records the published parts hold.
    """

    name: str
    file: str
    sha256: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: int
    label: int
    meanings: str
    classes: int
    counts: tuple[int, int] = (50_000, 10_000)
    mirrors: tuple[str, ...] = ("https://www.cs.toronto.edu/~kriz/",)

    def files(self, split: str) -> tuple[str, ...]:
        """The files of a part."""
        return self.train if split == "train" else self.test

    def has(self, folder: Path) -> bool:
        """Whether the files of either part lie in ``folder``."""
        parts = (self.train, self.test)
        return any(all((folder / name).is_file() for name in names) for names in parts)


def _hundred(name: str, label: int, meanings: str, classes: int) -> Archive:
    return Archive(
        name=name,
        file="cifar-100-binary.tar.gz",
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        labels=2,
        label=label,
        meanings=meanings,
        classes=classes,
    )


ARCHIVES = {
    archive.name: archive
    for archive in (
        Archive(
            name="cifar10",
            file="cifar-10-binary.tar.gz",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            folder="cifar-10-batches-bin",
            train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            test=("test_batch.bin",),
            labels=1,
            label=0,
            meanings="batches.meta.txt",
            classes=10,
        ),
        _hundred("cifar100", 1, "fine_label_names.txt", 100),
        _hundred("cifar100-coarse", 0, "coarse_label_names.txt", 20),
    )
}


def cifar_of(path: Path) -> Archive | None:
    """Which of them lies at ``path``, a folder or a packed archive; CIFAR-100 with fine labels."""
    for archive in ARCHIVES.values():
        if path.is_dir() and (archive.has(path) or archive.has(path / archive.folder)):
            return archive
        if path.is_file() and path.name == archive.file:
            return archive
    return None


def read_cifar(path: Path, archive: Archive, split: str, name: str) -> Dataset:
    """The part ``split`` from the folder of the binary files, or from the packed archive.

    Raises:
        DataError: a file is missing, is not a whole number of records, or has a label without a
            class; the message names the file, the record and the byte.
    """
    wanted = (*archive.files(split), archive.meanings)
    found = _from_folder(path, archive, wanted) if path.is_dir() else _from_tar(path, wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"{path}: expected {', '.join(wanted)}, found no {', '.join(missing)}")
    classes = _names(path, archive, found[archive.meanings])
    parts = [_records(path, archive, file, found[file]) for file in archive.files(split)]
    images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return Dataset(name, images, labels, classes)


def load_cifar(
    archive: Archive, split: str, folders: list[Path], target: Path, download: bool
) -> Dataset:
    """The published set by its name, looked for in ``folders``, else downloaded into ``target``.

    A packed archive is held to its checksum, unpacked files to the published numbers of records.

    Raises:
        DataError: found nowhere, or what was found is not the published set.
    """
    packed = archive.file
    for folder in folders:
        for place in (folder, folder / archive.folder):
            if archive.has(place):
                return _counted(read_cifar(place, archive, split, archive.name), archive, split)
        if (folder / packed).is_file():
            check_archive(folder / packed, archive)
            return read_cifar(folder / packed, archive, split, archive.name)
    tried = "not tried, because downloading was switched off"
    if download:
        from cenote.data._download import fetch

        try:
            path = fetch(packed, archive.mirrors, target, lambda p: check_archive(p, archive))
            return read_cifar(path, archive, split, archive.name)
        except (DataError, OSError) as error:
            tried = str(error)
    searched = "\n".join(f"  {folder}" for folder in folders)
    raise DataError(
        f"{archive.name}: expected {packed} or a folder with {', '.join(archive.files(split))}, "
        f"found in none of\n{searched}\n  download: {tried}\n"
        f"Put {packed} into {target}, or name its folder with data_dir (--data-dir)."
    )


def check_archive(path: Path, archive: Archive) -> None:
    """Refuse a packed archive other than the published one.

    Raises:
        DataError: its sha256 is another.
    """
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 22):
            digest.update(piece)
    if digest.hexdigest() != archive.sha256:
        raise DataError(
            f"{path}: expected {archive.file} with sha256 {archive.sha256}, "
            f"found {digest.hexdigest()}"
        )


def _counted(dataset: Dataset, archive: Archive, split: str) -> Dataset:
    count = archive.counts[split != "train"]
    if len(dataset) != count:
        raise DataError(
            f"{archive.name}: expected {count} images to {split} with, found {len(dataset)}; "
            f"give the folder's path instead of the name to use it as it is"
        )
    return dataset


def _from_folder(path: Path, archive: Archive, wanted: tuple[str, ...]) -> dict[str, bytes]:
    folder = path if archive.has(path) else path / archive.folder
    return {name: (folder / name).read_bytes() for name in wanted if (folder / name).is_file()}


def _from_tar(path: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """The wanted files, read without being unpacked anywhere."""
    found = {}
    try:
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                name = Path(member.name).name
                if name in wanted and (file := tar.extractfile(member)) is not None:
                    found[name] = file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path}: a damaged archive, after {len(found)} files: {error}") from None
    return found


def _names(path: Path, archive: Archive, text: bytes) -> tuple[str, ...]:
    names = tuple(line.strip() for line in text.decode("utf-8", "replace").split("\n"))
    names = tuple(name for name in names if name)
    if len(names) != archive.classes:
        raise DataError(
            f"{path}: {archive.meanings}: expected {archive.classes} names, found {len(names)}"
        )
    return names


def _records(
    path: Path, archive: Archive, file: str, content: bytes
) -> tuple[torch.Tensor, torch.Tensor]:
    size = archive.labels + _PIXELS
    if not content or len(content) % size:
        raise DataError(
            f"{path}: {file}: expected records of {size} bytes, found {len(content)} bytes, "
            f"which is {len(content) // size} of them and {len(content) % size} bytes more"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, size)
    labels = rows[:, archive.label].astype(np.int64)
    outside = np.flatnonzero(labels >= archive.classes)
    if len(outside):
        at = int(outside[0])
        raise DataError(
            f"{path}: {file}: record {at}, byte {at * size + archive.label}: expected a label "
            f"from 0 to {archive.classes - 1}, found {labels[at]}"
        )
    images = rows[:, archive.labels :].reshape(-1, 3, _SIDE, _SIDE)
    return torch.from_numpy(images.copy()), torch.from_numpy(labels)
