"""One writer to a run folder: a lock that the system takes back from whoever is killed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LOCK", "FolderInUseError", "locked"]

LOCK = "run.lock"  # the name of the file; it is there while the run is written to


class FolderInUseError(ValueError):
    """Another process writes to the run folder; the message says which."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to the run in ``folder`` until the block ends.

    Raises:
        FolderInUseError: one of them is at it.
        OSError: no file can be made there.
    """
    # Imported here: only who trains pays for it.
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUseError(
            f"out = {folder}: in use by another process, which trains this run; "
            f"wait for its end, or choose another folder"
        ) from None
    except PermissionError as error:
        raise PermissionError(error.errno, f"cannot write to {folder}: {error.strerror}") from None
    try:
        yield
    finally:
        # Removed while it is still held: who comes later makes a new one.
        path.unlink(missing_ok=True)
        lock.release()
