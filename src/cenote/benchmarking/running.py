"""What every benchmark does: contenders are let in, compared, timed in turns, and put on record."""

from __future__ import annotations

import gc
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from torch import Tensor

import cenote
from cenote.benchmarking.doctor import doctor
from cenote.benchmarking.peers import Contender, Peer, reason
from cenote.benchmarking.record import SCHEMA, write

__all__ = ["How", "admit", "run", "too_large"]

_VARIABLES = ("CENOTE_", "OMP_", "GOMP_", "KMP_", "MKL_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")

W = TypeVar("W")
Row = TypeVar("Row")
Measured = TypeVar("Measured")


@dataclass(frozen=True, kw_only=True)
class How:
    """How rows are measured, whatever they are; the fields are options of the command."""

    peer: list[str] | None = field(default=None, metadata={"help": "Against this alone."})
    seconds: float = field(
        default=0.7, metadata={"help": "How long the turns of a row take, slow contenders apart."}
    )
    quick: bool = field(default=False, metadata={"help": "A few rows, in about a minute."})
    allocator: str = field(
        default="default", metadata={"help": "default, or raised: see cenote.tune_allocator."}
    )
    out: Path | None = field(
        default=None, metadata={"help": "Write the record there as JSON, again after every row."}
    )

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"seconds = {self.seconds}: must be above 0")
        if self.allocator not in ("default", "raised"):
            raise ValueError(f"allocator = {self.allocator!r}: must be default or raised")
        for threads in getattr(self, "threads", None) or ():
            if threads < 1:
                raise ValueError(f"threads = {threads}: must be at least 1")


def run(
    benchmark: str,
    how: How,
    rows: Sequence[Row],
    load: Callable[[list[str]], tuple[dict[str, Peer[W]], dict[str, str]]],
    measure: Callable[[Row, dict[str, Peer[W]], float], Measured],
    refuse: Callable[[Row], str | None],
    each: Callable[[Measured], None],
    unnamed: Sequence[str] = (),
    begin: Sequence[Measured] = (),
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Measure rows, but for what ``refuse`` says why not; ``each`` sees every one when it is there.

    Stopped with Ctrl-C it returns what was measured, and says so in ``complete``. Of contenders
    that are ``unnamed`` no version is kept. The record begins with the rows of ``begin``, and has
    ``more`` in its head.

    Raises:
        ValueError: a word that is not known, or an allocator setting that this machine lacks.
    """
    allocator = _allocator(how.allocator)  # before anything large is allocated
    there, missing = load(list(how.peer or ()))
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "benchmark": benchmark,
        "complete": False,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": doctor(),
        "environment": {k: v for k, v in os.environ.items() if k.startswith(_VARIABLES)},
        "allocator": {"setting": how.allocator, "detail": allocator},
        "seconds": how.seconds,
        "peers": {n: peer.version for n, peer in there.items() if n not in unnamed},
        "left_out": missing,
        **more,
        "rows": [*begin],
    }
    try:
        for row in rows:
            if (why := refuse(row)) is not None:
                missing[str(row)] = why
                continue
            measured = measure(row, there, how.seconds)
            gc.collect()  # before the next row asks for as much memory again
            record["rows"].append(measured)
            if how.out:
                write(record, how.out)
            each(measured)
        record["complete"] = True
    except KeyboardInterrupt:
        print("stopped: what was measured is kept", file=sys.stderr)
    if how.out:
        write(record, how.out)
    return record


def _allocator(setting: str) -> dict[str, Any]:
    if setting == "default":
        return {}
    tuning = cenote.tune_allocator()
    if not tuning.applied:
        raise ValueError(f"allocator = 'raised': {tuning.reason}")
    return {"reason": tuning.reason, "settings": dict(tuning.settings)}


def too_large(needed: int) -> str | None:
    """Why so many bytes do not fit into memory, where the system tells what there is; or None."""
    info = Path("/proc/meminfo")
    found = re.search(r"MemAvailable: *(\d+) kB", info.read_text()) if info.is_file() else None
    if found is None or needed < int(found[1]) * 1024:
        return None
    return f"needs {needed / 1e9:.0f} GB of memory"


def admit(
    peer: Peer[W],
    work: W,
    wrong: Callable[[tuple[Tensor, ...]], str | None],
    too_slow: float,
) -> Contender | str:
    """The peer ready for the row, or why it takes no part; ``wrong`` looks at what it gives."""
    try:
        contender = peer.enter(work)
        start = time.perf_counter()
        said = wrong(contender.results())
        if (taken := time.perf_counter() - start) > too_slow:
            start = time.perf_counter()  # without what only the first call does
            contender.call()
            taken = time.perf_counter() - start
    except Exception as error:  # whatever a peer stumbles over: the others go on without it
        return reason(error)
    if said:
        return f"not timed: {said}"
    if taken > too_slow:
        return f"not timed: a call took {taken:.1f} s"
    return contender
