"""Files that are either whole or not there, whatever moment the power goes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["LEFTOVER", "remove_leftovers", "replace_file", "replace_json", "replace_text"]

LEFTOVER = ".cenote-tmp"  # how names end that only a killed writer leaves behind


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in the place of ``path``.

    The content is on the disk before the name points to it: a kill leaves the old file or the new
    one. If ``write`` fails, nothing stays behind.

    Raises:
        OSError: the disk is full, the folder read-only, ...; the message names ``path``.
    """
    try:
        _replace(path, write)
    except OSError as error:
        kept = "; what was there is as before" if path.exists() else ""
        raise OSError(
            error.errno, f"cannot write {path}: {error.strerror or error}{kept}"
        ) from error


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=LEFTOVER, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        _sync(temporary)
        temporary.replace(path)
        if os.name == "posix":
            _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """Put ``text`` in the place of the file ``path``, whole or not at all."""
    replace_file(path, lambda temporary: _write(temporary, text))


def replace_json(path: Path, value: Any) -> None:
    """Put ``value`` as indented JSON in the place of the file ``path``, whole or not at all."""
    replace_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in ``folder`` of writers that were killed."""
    for leftover in folder.glob(f".*{LEFTOVER}"):
        leftover.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _umask() -> int:
    # The only portable way to read it is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
