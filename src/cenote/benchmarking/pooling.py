"""The benchmark of pooling: every contender does the same work, checked, then timed in turns."""

from __future__ import annotations

import gc
import os
import re
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from math import prod
from pathlib import Path
from typing import Any

import torch

import cenote
from cenote.benchmarking import grid, peers
from cenote.benchmarking.doctor import doctor
from cenote.benchmarking.grid import Row
from cenote.benchmarking.record import SCHEMA, Record, RowRecord, ours, write
from cenote.benchmarking.turns import TOO_SLOW, figures, take_turns
from cenote.benchmarking.work import DTYPES, Work, differs, on_threads

__all__ = ["Plan", "measure", "run", "shown"]

_VARIABLES = ("CENOTE_", "OMP_", "GOMP_", "KMP_", "MKL_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure, and how; the fields are the options of ``cenote bench pooling``."""

    case: list[str] | None = field(
        default=None, metadata={"help": "Only this case, or these; --list shows them."}
    )
    reduce: list[str] | None = field(
        default=None, metadata={"help": "Only this reduction: max, min, avg, sum."}
    )
    dtype: list[str] | None = field(
        default=None, metadata={"help": "Only this type: f32, bf16, u8."}
    )
    layout: list[str] | None = field(
        default=None, metadata={"help": "Only this layout: NCHW, NHWC."}
    )
    pass_: list[str] | None = field(
        default=None, metadata={"help": f"Only this pass: {', '.join(grid.PASSES)}."}
    )
    threads: list[int] | None = field(
        default=None, metadata={"help": "Only on this number of threads."}
    )
    peer: list[str] | None = field(
        default=None, metadata={"help": f"Against this alone: {', '.join(peers.PEERS)}."}
    )
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
        for threads in self.threads or ():
            if threads < 1:
                raise ValueError(f"threads = {threads}: must be at least 1")

    def rows(self) -> list[Row]:
        """The rows that this plan measures."""
        wanted = {
            ("pass" if f.name == "pass_" else f.name): getattr(self, f.name) or ()
            for f in fields(self)[:6]
        }
        return grid.rows(wanted, grid.QUICK if self.quick else grid.GRID)


def run(plan: Plan, each: Callable[[RowRecord], None] = lambda row: None) -> Record:
    """Measure a plan; ``each`` sees every row as soon as it is there.

    Stopped with Ctrl-C it returns what was measured, and says so in ``complete``.

    Raises:
        ValueError: a word that is not known, or an allocator setting that this machine lacks.
    """
    rows = plan.rows()
    allocator = _allocator(plan.allocator)  # before anything large is allocated
    there, missing = peers.load(list(plan.peer or ()))
    record: Record = {
        "schema": SCHEMA,
        "benchmark": "pooling",
        "complete": False,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": doctor(),
        "environment": {k: v for k, v in os.environ.items() if k.startswith(_VARIABLES)},
        "allocator": {"setting": plan.allocator, "detail": allocator},
        "seconds": plan.seconds,
        "peers": {n: peer.version for n, peer in there.items() if n not in peers.ROOFS},
        "left_out": missing,
        "rows": [],
    }
    try:
        for row in rows:
            if (why := _too_large(row)) is not None:
                missing[str(row)] = why
                continue
            measured = measure(row, there, plan.seconds)
            gc.collect()  # before the next row asks for as much memory again
            record["rows"].append(measured)
            if plan.out:
                write(record, plan.out)
            each(measured)
        record["complete"] = True
    except KeyboardInterrupt:
        print("stopped: what was measured is kept", file=sys.stderr)
    if plan.out:
        write(record, plan.out)
    return record


def _allocator(setting: str) -> dict[str, Any]:
    if setting == "default":
        return {}
    tuning = cenote.tune_allocator()
    if not tuning.applied:
        raise ValueError(f"allocator = 'raised': {tuning.reason}")
    return {"reason": tuning.reason, "settings": dict(tuning.settings)}


def _too_large(row: Row) -> str | None:
    """Why a row does not fit into memory, where the system tells what there is."""
    info = Path("/proc/meminfo")
    found = re.search(r"MemAvailable: *(\d+) kB", info.read_text()) if info.is_file() else None
    case = grid.named(row.case)
    needed = 4 * DTYPES[row.dtype].itemsize * (prod(case.shape) + prod(case.out_shape))
    if found is None or needed < int(found[1]) * 1024:
        return None
    return f"needs {needed / 1e9:.0f} GB of memory"


def measure(row: Row, there: dict[str, peers.Peer], seconds: float) -> RowRecord:
    """One row: let everybody in, compare what they give with what cenote gives, take turns."""
    with on_threads(row.threads), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.compile, about what it does inside
        work = Work(row)
        inside, left_out = _let_in(work, there)
        moved = work.bytes
        turns = take_turns(inside, seconds)
    medians = {name: statistics.median(taken.seconds) for name, taken in turns.items()}
    best = min((name for name in medians if name in peers.ROOFS), key=lambda name: medians[name])
    found = _described(row, moved, best.removeprefix("roof "), left_out)
    for name, taken in turns.items():
        if name in peers.ROOFS and name != best:
            continue
        found["contenders"]["roof" if name == best else name] = {
            **figures(taken, moved),
            "of_roof": medians[best] / medians[name],
            "fresh": inside[name].fresh,
            "composed": inside[name].composed,
        }
    for name in found["contenders"]:
        mine = ours(found, name)
        if name in peers.PEERS and mine is not None:
            found["times_faster"][name] = medians[name] / medians[mine]
    return found


def _described(row: Row, moved: int, roof: str, left_out: dict[str, str]) -> RowRecord:
    case = grid.named(row.case)
    return {
        "case": row.case,
        "reason": case.reason,
        "shape": list(case.shape),
        "window": shown(case.window),
        "reduce": row.reduce,
        "dtype": row.dtype,
        "layout": row.layout,
        "pass": row.pass_,
        "threads": row.threads,
        "bytes": moved,
        "roof": roof,
        "contenders": {},
        "times_faster": {},
        "left_out": left_out,
    }


def _let_in(
    work: Work, there: dict[str, peers.Peer]
) -> tuple[dict[str, peers.Contender], dict[str, str]]:
    """Who does this row and gives what cenote gives; and why others do not."""
    roofs = {name: peer.enter(work) for name, peer in there.items() if name in peers.ROOFS}
    inside = roofs | {"cenote": there["cenote"].enter(work)}
    expected = inside["cenote"].results()
    left_out = {}
    for name, peer in there.items():
        if name in inside:
            continue
        if not work.row.compared and name in peers.PEERS:
            left_out[name] = "measured against the roof alone"
            continue
        try:
            contender = peer.enter(work)
            start = time.perf_counter()
            wrong = differs(work, expected, contender.results())
            if (taken := time.perf_counter() - start) > TOO_SLOW:
                start = time.perf_counter()  # without what only the first call does
                contender.call()
                taken = time.perf_counter() - start
        except Exception as error:  # whatever a peer stumbles over: the others go on without it
            left_out[name] = peers.reason(error)
            continue
        if wrong:
            left_out[name] = f"not timed: {wrong}"
        elif taken > TOO_SLOW:
            left_out[name] = f"not timed: a call took {taken:.1f} s"
        else:
            inside[name] = contender
    return inside, left_out


def shown(window: cenote.Window) -> str:
    """A window in words, adaptive ones as in a network's description.

    >>> shown(cenote.Window([cenote.Adaptive(1)] * 2))
    'global'
    """
    adaptive = [axis for axis in window if isinstance(axis, cenote.Adaptive)]
    if len(adaptive) < len(window):
        return str(window)
    sizes = [axis.outputs for axis in adaptive]
    return "global" if set(sizes) == {1} else "to " + "x".join(map(str, sizes))
