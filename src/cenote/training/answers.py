"""What a trained network sees in many pictures, and files that say so."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cenote import models
from cenote.data import Dataset, load
from cenote.data._find import holds_pictures
from cenote.training.files import replace_json, replace_text
from cenote.training.prediction import Answer, ImageError, Predictor
from cenote.training.ready import Ready
from cenote.training.run import Run

__all__ = [
    "check_target",
    "is_ours",
    "labelled",
    "ours",
    "pictures",
    "predict",
    "refuse",
    "rows",
    "write",
]

_FORMATS = (".csv", ".json")
_MANY = 20  # pictures, from which on a bar shows how far it is


def pictures(paths: Sequence[Path]) -> list[Path]:
    """The files among ``paths``, and the pictures in those that are folders, at any depth.

    In a folder, a picture is what has a picture's ending; files are taken as they are.

    Raises:
        ValueError: a folder holds no picture.
    """
    from PIL import Image

    endings = set(Image.registered_extensions())
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in endings and p.is_file())
        if not inside:
            raise ValueError(f"{path}: a folder without pictures")
        found += inside
    return found


def is_ours(target: Path) -> bool:
    """Whether ``target`` is one of our networks by name, and not a run."""
    return str(target) in models.names() and not (target / "config.json").is_file()


def ours(name: str, weights: str, classes: Path | None = None) -> Ready:
    """One of our networks with the ``weights`` in a file; ``classes`` has a name in each line.

    Raises:
        ValueError: no file is given, the network has no preprocessing, or the names do not fit.
        WeightsError: the file cannot be read, or is another network's.
    """
    if weights in ("last", "best"):
        raise ValueError(
            f"{name}: give the file of its weights (--weights FILE); a fresh network knows nothing"
        )
    return Ready.of_weights(name, weights, None if classes is None else _names(classes))


def _names(path: Path) -> list[str]:
    try:
        lines = [
            line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()
        ]
    except FileNotFoundError:
        raise ValueError(f"classes = {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"classes = {path}: not a text that can be read ({error})") from None
    if "" in lines:
        raise ValueError(f"classes = {path}: line {lines.index('') + 1} is empty, expected a name")
    return lines


def labelled(ready: Ready, folder: str | None, split: str) -> Dataset:
    """A part of a folder of pictures, prepared as the network expects them.

    Raises:
        ValueError: no folder is given, it holds no pictures, or has another number of classes.
        DataError: the folder is missing, or a picture in it is bad in a way that cannot be skipped.
    """
    name = ready.facts.name
    if folder is None:
        raise ValueError(f"{name}: give the folder of pictures to measure it on (--data FOLDER)")
    if not holds_pictures(folder):
        raise ValueError(
            f"data = {folder}: must be a folder of pictures, with a sub-folder for each class"
        )
    channels, *size = ready.facts.shape
    if len(size) != 2:
        sizes = "x".join(map(str, ready.facts.shape))
        raise ValueError(f"{name}: has learnt inputs of {sizes}, no pictures")
    parts: Any = split
    found = load(
        folder, parts, size=(size[0], size[1]), resize=ready.facts.resize, channels=channels
    )
    if len(found.classes) != len(ready.facts.classes):
        raise ValueError(
            f"data = {folder}: has {len(found.classes)} classes, and {name} with these weights "
            f"has {len(ready.facts.classes)} outputs"
        )
    numbered = tuple(map(str, range(len(found.classes))))
    if ready.facts.classes not in (found.classes, numbered):
        raise ValueError(
            f"data = {folder}: has the classes {', '.join(found.classes)}, and {name} with these "
            f"weights answers with {', '.join(ready.facts.classes)}"
        )
    return found


def refuse(**options: object) -> None:
    """Refuse what is said of a network by name, where a run is asked.

    Raises:
        ValueError: one of the options is given.
    """
    for option, value in options.items():
        if value is not None:
            raise ValueError(
                f"{option} = {value}: is for one of our networks by name; a run has its own"
            )


def predict(
    run: Run | Ready, paths: Sequence[Path], which: str = "last"
) -> list[Answer | ImageError]:
    """What the run's network sees in each file, or why it sees nothing there."""
    predictor = Predictor(run, which)
    results: list[Answer | ImageError] = []
    with _bar(len(paths)) as bar:
        for path in bar.track(paths, description="pictures"):
            try:
                results.append(predictor(path))
            except ImageError as error:
                results.append(error)
    return results


def _bar(count: int) -> Any:
    """A bar on standard error where a person would see it, and only where there is much to do."""
    from rich.console import Console
    from rich.progress import Progress

    hidden = count < _MANY or not sys.stderr.isatty()
    return Progress(console=Console(stderr=True), transient=True, disable=hidden)


def rows(paths: Sequence[Path], results: Sequence[Answer | ImageError]) -> list[dict[str, Any]]:
    """The answers as JSON values: a file, and its most probable classes or the error."""
    return [
        {"file": str(path), "error": str(result)}
        if isinstance(result, ImageError)
        else {
            "file": str(path),
            "top": [{"class": name, "probability": value} for name, value in result.top],
        }
        for path, result in zip(paths, results, strict=True)
    ]


def check_target(out: Path | None) -> None:
    """Refuse a file of answers whose ending says no format, before the work is done.

    Raises:
        ValueError: it ends in neither .csv nor .json.
    """
    if out is not None and out.suffix.lower() not in _FORMATS:
        raise ValueError(f"out = {out}: must end in {' or '.join(_FORMATS)}")


def write(out: Path, paths: Sequence[Path], results: Sequence[Answer | ImageError]) -> None:
    """Write the answers to a .csv or .json file, whole or not at all.

    The columns of CSV are file, class1 and probability1 of the most probable class, the same of
    those that follow, and error.
    """
    check_target(out)
    if out.suffix.lower() == ".json":
        replace_json(out, rows(paths, results))
        return
    most = max((len(r.top) for r in results if isinstance(r, Answer)), default=1)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    names = [f"{n}{i}" for i in range(1, most + 1) for n in ("class", "probability")]
    table.writerow(["file", *names, "error"])
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, ImageError):
            table.writerow([path, *[""] * len(names), result])
            continue
        cells = [cell for pair in result.top for cell in pair]
        table.writerow([path, *cells, *[""] * (len(names) - len(cells)), ""])
    replace_text(out, text.getvalue())
