"""Finding a data set by name or path, and loading it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from cenote.data._arrays import npz_parts, read_npz
from cenote.data._catalog import CATALOG, FILES, STEMS, Source, file_names, whose
from cenote.data._cifar import ARCHIVES, cifar_of, load_cifar, read_cifar
from cenote.data._dataset import Dataset
from cenote.data._errors import DataError
from cenote.data._folder import Bad, folder_parts, read_folder
from cenote.data._idx import read_with_sum
from cenote.data._sequences import mnist1d
from cenote.data._traffic import traffic

__all__ = ["holds_pictures", "load", "names", "only_pictures", "parts"]

Split = Literal["train", "validation", "test"]

MADE: dict[str, Callable[[str], Dataset]] = {"mnist1d": mnist1d, "traffic": traffic}
"""The data sets that the package makes itself."""

_PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")

_TEST_SEED = 0  # of the draw of a test part, where a data set has none

_SYSTEM = Path("/usr/share/datasets")  # where Debian's package dataset-fashion-mnist installs


def load(
    name_or_path: str | Path,
    split: Split,
    *,
    data_dir: str | Path | None = None,
    download: bool = True,
    size: int | tuple[int, int] | None = None,
    resize: int | None = None,
    channels: int | None = None,
    bad: Bad = "skip",
) -> Dataset:
    """The ``"train"`` or ``"test"`` part of a data set, by name or by path.

    A name is one of :func:`names`. What is not made by the package is looked for in ``data_dir``,
    in ``datasets/<name>`` of the repository, in the user's cache and in
    ``/usr/share/datasets/<name>``; what is in none of them is downloaded into ``data_dir`` or the
    cache. Known data sets are held to their checksums.

    A path may be that of a folder of IDX files or of any of the four files in it; of a folder of
    CIFAR's binary files or their packed archive; of an .npz file; or of a folder of pictures with
    one sub-folder for each class. Pictures are brought to ``size`` (a side, or height and width):
    with ``resize`` the shorter side is brought to that first, and the middle cut out; without, the
    largest part of its proportions is. ``channels`` is 1 or 3, by default 1 if all are grey. Files
    that are no good pictures are named and left out, or refused, as ``bad`` says. What has no test
    part of its own keeps a tenth of its images for it, equal images on one side. Some folders and
    .npz files have a ``"validation"`` part, too: :func:`parts` says so. Other data are taken as
    they are: there, these four are refused.

    Raises:
        DataError: nothing found, or what was found is damaged, swapped or another data set's.
        ValueError: ``split`` is not one of the parts, or an argument is out of bounds, or one for
            pictures where there are none.
    """
    there = parts(name_or_path)
    if split not in there:
        raise ValueError(f"split = {split!r}: must be one of {', '.join(there)}")
    if not holds_pictures(name_or_path):
        _refuse_loose(name_or_path)
        only_pictures(name_or_path, size=size, resize=resize, channels=channels, bad=bad)
    name = name_or_path if isinstance(name_or_path, str) else ""
    if name in MADE:
        return MADE[name](split)
    given = None if data_dir is None else Path(data_dir).expanduser()
    if name in ARCHIVES:
        folders = [folder for _, folders in _places(name, given) for folder in folders]
        return load_cifar(ARCHIVES[name], split, folders, (given or _cache()) / name, download)
    if name in CATALOG:
        return _known(CATALOG[name], split, given, download)
    path = _existing(name_or_path)
    if path.suffix == ".npz":
        return _part(split, npz_parts(path), lambda part: read_npz(path, part))
    if holds_idx(path):
        return _from_path(path, split)
    archive = cifar_of(path)
    if archive is not None:
        return read_cifar(path, archive, split, path.name.split(".")[0])
    if not _holds_folders(path):
        return _from_path(path, split)  # which says what is missing

    def read(part: str | None) -> Dataset:
        return read_folder(
            path.resolve(),
            part,
            size=size,
            resize=resize,
            channels=channels,
            bad=bad,
            cache=_cache() / "pictures",
        )

    return _part(split, tuple(folder_parts(path)), read)


def names() -> tuple[str, ...]:
    """The data sets that :func:`load` knows by name."""
    return (*CATALOG, *ARCHIVES, *MADE)


def parts(name_or_path: str | Path) -> tuple[str, ...]:
    """The parts that :func:`load` can give: train and test, and of some paths validation.

    Raises:
        DataError: there is no such data set.
    """
    if isinstance(name_or_path, str) and name_or_path in names():
        return tuple(STEMS)
    path = _existing(name_or_path)
    own: tuple[str, ...] = ()
    if path.suffix == ".npz":
        own = npz_parts(path)
    elif _holds_folders(path) and not holds_idx(path):
        own = tuple(folder_parts(path))
    return ("train", *(["validation"] if "validation" in own else []), "test")


def holds_pictures(name_or_path: str | Path) -> bool:
    """Whether :func:`load` finds a folder of pictures there, with a sub-folder for each class.

    Raises:
        DataError: there is no such data set.
    """
    if isinstance(name_or_path, str) and name_or_path in names():
        return False
    path = _existing(name_or_path)
    return _holds_folders(path) and not holds_idx(path) and cifar_of(path) is None


def only_pictures(name_or_path: str | Path, *, bad: str = "skip", **options: Any) -> None:
    """Refuse options for folders of pictures, for data that are something else.

    Raises:
        ValueError: one of them is given; the message names it.
    """
    for option, value in {**options, "bad": None if bad == "skip" else bad}.items():
        if value is not None:
            raise ValueError(
                f"{option} = {value}: is for a folder of pictures alone, and data = "
                f"{name_or_path} is none"
            )


def _part(split: str, own: tuple[str, ...], read: Callable[[str | None], Dataset]) -> Dataset:
    """The part as it is stored, or held out of what is."""
    if split in own and (split != "train" or "test" in own):
        return read(split)
    whole = read("train" if own else None)
    if len(whole) < 2:
        raise DataError(f"{whole.name}: expected images to train and to test with, found one")
    train, test = whole.split(max(1, len(whole) // 10), _TEST_SEED)
    return test if split == "test" else train


def _existing(path: str | Path) -> Path:
    found = Path(path).expanduser()
    if not found.exists():
        raise DataError(
            f"data = {str(path)!r}: neither a known data set ({', '.join(names())}) "
            f"nor an existing file or folder"
        )
    return found


def holds_idx(path: Path) -> bool:
    """Whether ``path`` is a folder of IDX files of MNIST's names, or one of them."""
    folder = path if path.is_dir() else path.parent
    here = path.is_dir() or any(path.name in file_names(stem) for stem in FILES)
    return here and any(_file(folder, stem) is not None for stem in FILES)


def _refuse_loose(where: str | Path) -> None:
    """Refuse a folder whose pictures lie in no class's folder.

    Raises:
        DataError: it is one.
    """
    path = Path(where).expanduser()
    if where in names() or not path.is_dir() or holds_idx(path):
        return
    loose = sorted(p.name for p in path.iterdir() if p.suffix.lower() in _PICTURES)
    if loose:
        raise DataError(
            f"{path}: pictures must lie in one sub-folder for each class; here are {len(loose)} "
            f"in none ({loose[0]})"
        )


def _holds_folders(path: Path) -> bool:
    return path.is_dir() and any(p.is_dir() and not p.name.startswith(".") for p in path.iterdir())


def _known(source: Source, split: Split, data_dir: Path | None, download: bool) -> Dataset:
    places = _places(source.name, data_dir)
    for _, folders in places:
        for folder in folders:
            pair = _pair(folder, split)
            if pair is None:
                continue
            try:
                return _read(source.name, pair, split, source)
            except DataError as error:
                raise DataError(
                    f"{error}\nRemove the file to have {source.name} looked for elsewhere, or give "
                    f"the folder's path instead of the name to use it as it is."
                ) from None
    return _read(source.name, _download(source, split, places, data_dir, download), split, source)


def _from_path(path: Path, split: Split) -> Dataset:
    folder = (path if path.is_dir() else path.parent).resolve()
    pair = _pair(folder, split)
    if pair is None:
        raise DataError(f"{folder}: expected {_expected(split)}, found {_found(folder, split)}")
    return _read(folder.name, pair, split, None)


def _read(name: str, pair: tuple[Path, Path], split: Split, source: Source | None) -> Dataset:
    tensors = []
    for path, stem, rank in zip(pair, STEMS[split], (3, 1), strict=True):
        tensor, digest = read_with_sum(path, rank)
        if tensor.dtype != torch.uint8:
            raise DataError(f"{path}: expected elements of uint8, found {tensor.dtype}")
        if source is not None:
            check_sum(path, digest, source, stem)
        tensors.append(tensor)
    images, labels = tensors
    if len(images) != len(labels):
        raise DataError(
            f"{pair[1]}: expected {len(images)} labels, one for each image of {pair[0].name}, "
            f"found {len(labels)}"
        )
    classes = _numbered(pair[0].parent) if source is None else source.classes
    return Dataset(name, images.unsqueeze(1), labels.to(torch.int64), classes)


def check_sum(path: Path, digest: str, source: Source, stem: str) -> None:
    """Refuse a file whose content is not that of ``source``'s ``stem``.

    Raises:
        DataError: the sums differ; the message names both, and what the file is if that is known.
    """
    if digest == source.sum_of(stem):
        return
    other = whose(digest)
    raise DataError(
        f"{path}: expected {source.name}'s {stem} with sha256 {source.sum_of(stem)}, "
        f"found {digest}{f', which is {other}' if other else ''}"
    )


def _numbered(folder: Path) -> tuple[str, ...]:
    """Classes 0 to the highest label of either split, so that both splits agree on them."""
    highest = -1
    for _, stem in STEMS.values():
        path = _file(folder, stem)
        if path is not None:
            labels = read_with_sum(path, 1)[0]
            highest = max(highest, int(labels.max()) if len(labels) else -1)
    return tuple(map(str, range(highest + 1)))


def _places(name: str, data_dir: Path | None) -> list[tuple[str, list[Path]]]:
    """Where to look, in order: what to call each place in a message, and its folders."""
    places = []
    if data_dir is not None:
        places.append((f"{data_dir} and {data_dir / name}", [data_dir / name, data_dir]))
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        upward = [folder / "datasets" / name for folder in (start, *start.parents)]
        places.append((f"datasets/{name} in {start} and the folders above it", upward))
    for folder in (_cache() / name, _SYSTEM / name):
        places.append((str(folder), [folder]))
    return places


def _cache() -> Path:
    # Imported where it is needed, as requests is: neither is to slow down `import cenote`.
    from platformdirs import user_cache_path

    return user_cache_path("cenote")


def _file(folder: Path, stem: str) -> Path | None:
    paths = (folder / name for name in file_names(stem))
    return next((path for path in paths if path.is_file()), None)


def _pair(folder: Path, split: Split) -> tuple[Path, Path] | None:
    images, labels = (_file(folder, stem) for stem in STEMS[split])
    return None if images is None or labels is None else (images, labels)


def _expected(split: Split) -> str:
    return " and ".join(f"{stem}[.gz]" for stem in STEMS[split])


def _found(folder: Path, split: Split) -> str:
    if not folder.is_dir():
        return "no such folder"
    files = [path.name for stem in STEMS[split] if (path := _file(folder, stem)) is not None]
    return f"only {files[0]}" if files else "neither"


def _download(
    source: Source,
    split: Split,
    places: list[tuple[str, list[Path]]],
    data_dir: str | Path | None,
    wanted: bool,
) -> tuple[Path, Path]:
    """Both files from a mirror; if they cannot be had, an error with every place searched."""
    folder = (_cache() if data_dir is None else Path(data_dir).expanduser()) / source.name
    searched = "\n".join(
        f"  {place}: {next((_found(f, split) for f in folders if f.is_dir()), 'no such folder')}"
        for place, folders in places
    )
    tried = "not tried, because downloading was switched off"
    if wanted:
        from cenote.data._download import fetch

        def check(path: Path) -> None:
            stem = path.name.split(".")[0]
            check_sum(path, read_with_sum(path)[1], source, stem)

        try:
            images, labels = (
                fetch(f"{stem}.gz", source.mirrors, folder, check) for stem in STEMS[split]
            )
            return images, labels
        except (DataError, OSError) as error:
            tried = str(error)
    raise DataError(
        f"{source.name}: expected {_expected(split)}, found in none of\n{searched}\n"
        f"  download: {tried}\n"
        f"Put the files into {folder}, or name their folder with data_dir (--data-dir)."
    )
