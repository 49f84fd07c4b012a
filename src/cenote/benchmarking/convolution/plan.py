"""Convolutions measured: every contender does the same work, checked, then timed in turns."""

from __future__ import annotations

import random
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from math import prod
from typing import cast

import torch

from cenote.benchmarking import running
from cenote.benchmarking.convolution import grid, peers
from cenote.benchmarking.convolution.grid import Row
from cenote.benchmarking.convolution.work import TOLERANCE, Work, differs, floor
from cenote.benchmarking.peers import Contender, Peer
from cenote.benchmarking.record import ConvRecord, ConvRow
from cenote.benchmarking.running import How
from cenote.benchmarking.turns import TOO_SLOW, figures, take_turns
from cenote.benchmarking.work import on_threads
from cenote.cases import Conv

__all__ = ["Plan", "layers", "measure", "run"]

Peers = dict[str, Peer[Work]]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which rows to measure."""

    case: list[str] | None = field(
        default=None, metadata={"help": "Only this case, or these; --list shows them."}
    )
    pass_: list[str] | None = field(
        default=None, metadata={"help": f"Only this pass: {', '.join(grid.PASSES)}."}
    )
    threads: list[int] | None = field(
        default=None, metadata={"help": "Only on this number of threads."}
    )


@dataclass(frozen=True, kw_only=True)
class Plan(How, Choice):
    """What to measure, and how; the fields are the options of ``cenote bench conv``."""

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


def run(plan: Plan, each: Callable[[ConvRow], None] = lambda row: None) -> ConvRecord:
    """Measure a plan; ``each`` sees every row as soon as it is there.

    Stopped with Ctrl-C it returns what was measured, and says so in ``complete``.

    Raises:
        ValueError: a word that is not known, or an allocator setting that this machine lacks.
    """
    made = running.run("convolution", plan, plan.rows(), peers.load, measure, _too_large, each)
    return cast(ConvRecord, made)


def _too_large(row: Row) -> str | None:
    """Why a row does not fit into memory: with gradients everything is there twice, and copied."""
    shapes = grid.named(row.case).shapes()
    return running.too_large(4 * 4 * sum(map(prod, shapes)))


def measure(row: Row, there: Peers, seconds: float) -> ConvRow:
    """One row: let everybody in, compare what they give with what cenote gives, take turns."""
    with on_threads(row.threads), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.compile, about what it does inside
        inside, left_out = _let_in(Work(row), there)
        turns = take_turns(inside, seconds, dice=random.Random(0))
    found = _described(row, left_out)
    medians = {name: statistics.median(taken.seconds) for name, taken in turns.items()}
    for name, taken in turns.items():
        found["contenders"][name] = {
            **figures(taken, found["bytes"]),
            "gflops": 2 * found["macs"] / medians[name] / 1e9,
            "fresh": inside[name].fresh,
            "composed": inside[name].composed,
        }
        if name in peers.PEERS:
            found["times_faster"][name] = medians[name] / medians["cenote"]
    return found


def _described(row: Row, left_out: dict[str, str]) -> ConvRow:
    case = grid.named(row.case)
    macs, moved = floor(case, row.pass_)
    return {
        "case": row.case,
        "reason": case.reason,
        "shape": list(case.shape),
        "layers": layers(case),
        "made": case.made,
        "dtype": "f32",
        "pass": row.pass_,
        "threads": row.threads,
        "macs": macs,
        "bytes": moved,
        "tolerance": TOLERANCE,
        "contenders": {},
        "times_faster": {},
        "left_out": left_out,
    }


def _let_in(work: Work, there: Peers) -> tuple[dict[str, Contender], dict[str, str]]:
    """Who does this row and gives what cenote gives; and why others do not."""
    inside = {"cenote": there["cenote"].enter(work)}
    # A copy: what is given next may be written into the same memory.
    expected = tuple(t.detach().clone() for t in inside["cenote"].results())
    left_out = {}
    for name, peer in there.items():
        if name in inside:
            continue
        found = running.admit(peer, work, partial(differs, work, expected), TOO_SLOW)
        if isinstance(found, str):
            left_out[name] = found
        else:
            inside[name] = found
    return inside, left_out


def layers(case: Conv) -> str:
    """The steps of a case in words, and the pool behind them.

    >>> layers(grid.named("stage_lenet_first"))
    '1 to 6, 5x5, padding 2; max 2x2, stride 2'
    """
    words = []
    for shape, step in zip(case.shapes(), case.steps, strict=False):
        groups = f", {step.groups} groups" if step.groups > 1 else ""
        words.append(f"{shape[1]} to {step.channels}, {step.window}{groups}")
    if case.pool is not None:
        words.append(f"max {case.pool}")
    return "; ".join(words)
