"""The benchmark of pooling: every contender does the same work, checked, then timed in turns."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from math import prod
from typing import cast

import torch

import cenote
from cenote.benchmarking import grid, peers, running
from cenote.benchmarking.grid import Row
from cenote.benchmarking.record import Record, RowRecord, ours
from cenote.benchmarking.running import How
from cenote.benchmarking.turns import TOO_SLOW, figures, take_turns
from cenote.benchmarking.work import DTYPES, Work, differs, on_threads

__all__ = ["Plan", "measure", "run", "shown"]

Peers = dict[str, peers.Peer[Work]]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which rows to measure."""

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


@dataclass(frozen=True, kw_only=True)
class Plan(How, Choice):
    """What to measure, and how; the fields are the options of ``cenote bench pooling``."""

    peer: list[str] | None = field(
        default=None, metadata={"help": f"Against this alone: {', '.join(peers.PEERS)}."}
    )

    def rows(self) -> list[Row]:
        """The rows that this plan measures."""
        wanted = {
            ("pass" if f.name == "pass_" else f.name): getattr(self, f.name) or ()
            for f in fields(Choice)
        }
        return grid.rows(wanted, grid.QUICK if self.quick else grid.GRID)


def run(plan: Plan, each: Callable[[RowRecord], None] = lambda row: None) -> Record:
    """Measure a plan; ``each`` sees every row as soon as it is there.

    Stopped with Ctrl-C it returns what was measured, and says so in ``complete``.

    Raises:
        ValueError: a word that is not known, or an allocator setting that this machine lacks.
    """
    made = running.run(
        "pooling", plan, plan.rows(), peers.load, measure, _too_large, each, tuple(peers.ROOFS)
    )
    return cast(Record, made)


def _too_large(row: Row) -> str | None:
    """Why a row does not fit into memory, where the system tells what there is."""
    case = grid.named(row.case)
    return running.too_large(
        4 * DTYPES[row.dtype].itemsize * (prod(case.shape) + prod(case.out_shape))
    )


def measure(row: Row, there: Peers, seconds: float) -> RowRecord:
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


def _let_in(work: Work, there: Peers) -> tuple[dict[str, peers.Contender], dict[str, str]]:
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
        found = running.admit(peer, work, partial(differs, work, expected), TOO_SLOW)
        if isinstance(found, str):
            left_out[name] = found
        else:
            inside[name] = found
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
