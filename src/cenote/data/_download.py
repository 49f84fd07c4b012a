"""Downloading one file: verified before it gets its name, resumed where it broke off."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import requests
from filelock import FileLock
from rich.console import Console
from rich.progress import Progress
from urllib3.exceptions import HTTPError

from cenote.data._errors import DataError

__all__ = ["fetch"]

_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces
_PIECE = 1 << 16


def fetch(name: str, mirrors: Sequence[str], folder: Path, check: Callable[[Path], None]) -> Path:
    """``folder/name``, downloaded from the first of ``mirrors`` whose copy passes ``check``.

    What has arrived is kept in ``name.part`` and continued by the next call, in this process or
    another; only a file that ``check`` accepts is renamed to ``name``, in one step. A process that
    finds another one at work waits for it.

    Raises:
        DataError: no mirror had it; the message says for each why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / name, folder / f"{name}.part"
    failures = []
    with FileLock(folder / ".lock"):
        if target.exists():
            return target
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{name}"
            try:
                _complete(url, part, check)
            except (requests.RequestException, HTTPError, DataError) as error:
                offline = isinstance(error, requests.ConnectionError)
                failures.append(f"{url}: {'cannot be reached' if offline else error}")
            else:
                part.replace(target)
                return target
    raise DataError("; ".join(failures))


def _complete(url: str, part: Path, check: Callable[[Path], None]) -> None:
    """Bring ``part`` to an end that passes ``check``, or remove it."""
    resumed = _size(part) > 0
    _transfer(url, part)
    try:
        check(part)
    except DataError:
        part.unlink()
        if not resumed:
            raise
        # The beginning may be from another mirror, which packed the same content differently.
        _complete(url, part, check)


def _transfer(url: str, part: Path) -> None:
    """Ask for the rest until it is all there; an attempt that brought nothing new is the last."""
    while True:
        before = _size(part)
        try:
            total = _request(url, part, before)
            if total is None or _size(part) >= total:
                return
            broken: Exception = DataError(f"broke off after {_size(part)} of {total} bytes")
        except (requests.RequestException, HTTPError) as error:
            broken = error
        if _size(part) <= before:
            raise broken


def _request(url: str, part: Path, offset: int) -> int | None:
    """One request for what follows ``offset``; the whole file's length, if the server says."""
    # Without "identity" a server may pack the packed file once more, and ranges count those bytes.
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable and offset:
            return None  # nothing follows: all there, or too much, which the check will tell
        response.raise_for_status()
        start = _start(response, offset)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(start)
            file.seek(start)
            _copy(response, file.write, part.name, start, total)
            file.flush()
            os.fsync(file.fileno())
    return total


def _start(response: requests.Response, offset: int) -> int:
    """Where in the file the body begins: 0 unless the server honours the range."""
    if response.status_code != requests.codes.partial_content:
        return 0
    given = response.headers.get("Content-Range", "")
    match = re.match(r"bytes (\d+)-", given)
    if match is None or int(match[1]) != offset:
        raise DataError(f"expected the range from byte {offset} on, found {given!r}")
    return offset


def _copy(
    response: requests.Response,
    write: Callable[[bytes], int],
    name: str,
    start: int,
    total: int | None,
) -> None:
    console = Console(stderr=True)
    hidden = not sys.stderr.isatty()
    with Progress(console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(name.removesuffix(".part"), total=total, completed=start)
        # The bytes as sent: a server that calls a .gz file an encoding must not have it unpacked.
        for piece in response.raw.stream(_PIECE, decode_content=False):
            write(piece)
            progress.advance(task, len(piece))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
