"""Networks measured: every contender does the same work, checked, then timed in turns."""

from __future__ import annotations

import random
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import torch
from torch import Tensor

from cenote.benchmarking import running
from cenote.benchmarking.doctor import doctor
from cenote.benchmarking.networks import grid, memory, peers
from cenote.benchmarking.networks.grid import Row
from cenote.benchmarking.networks.work import Work, off, too_far
from cenote.benchmarking.peers import Contender, Peer
from cenote.benchmarking.record import NetworkContender, NetworkRecord, NetworkRow, read
from cenote.benchmarking.running import How
from cenote.benchmarking.turns import Turns, take_turns
from cenote.benchmarking.work import on_threads

__all__ = ["Plan", "measure", "run", "spread"]

Peers = dict[str, Peer[Work]]
PATIENCE = 60.0
"""Seconds: a contender whose call takes longer is not waited for."""

_SAME = ("processor", "cores", "isa", "threads", "torch", "cenote")  # of the machine, in a record


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which rows to measure."""

    network: list[str] | None = field(
        default=None,
        metadata={"help": "Only this network, or these, joined by commas; any of torchvision's."},
    )
    mode: list[str] | None = field(
        default=None, metadata={"help": f"Only this mode: {', '.join(grid.MODES)}."}
    )


@dataclass(frozen=True, kw_only=True)
class Plan(How, Choice):
    """What to measure, and how; the fields are the options of ``cenote bench networks``."""

    peer: list[str] | None = field(
        default=None, metadata={"help": f"Against this alone: {', '.join(peers.PEERS)}."}
    )
    seconds: float = field(
        default=10.0, metadata={"help": "How long the turns of a row take, slow contenders apart."}
    )
    quick: bool = field(default=False, metadata={"help": "Two small networks, in a few minutes."})
    turns: int = field(default=9, metadata={"help": "Turns that everybody gets at least."})
    again: bool = field(
        default=False, metadata={"help": "Measure again what the record in --out has."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.turns < 1:
            raise ValueError(f"turns = {self.turns}: must be at least 1")

    def rows(self) -> list[Row]:
        """The rows that this plan measures, those of the record in ``out`` among them."""
        return grid.rows(self.network or (grid.QUICK if self.quick else ()), self.mode or ())


def run(plan: Plan, each: Callable[[NetworkRow], None] = lambda row: None) -> NetworkRecord:
    """Measure a plan; ``each`` sees every row as soon as it is there.

    What a record in ``plan.out`` has is not measured again, unless ``plan.again``. Stopped with
    Ctrl-C it returns what was measured, and says so in ``complete``.

    Raises:
        ValueError: a word that is not known, an allocator setting that this machine lacks, or a
            record in ``plan.out`` to which these rows cannot be added.
    """
    rows, there = plan.rows(), _there(plan)
    has = {_key(row) for row in there}
    if plan.again:
        asked = {row.key for row in rows}
        there = [row for row in there if _key(row) not in asked]
    else:
        rows = [row for row in rows if row.key not in has]
    made = running.run(
        "networks", plan, rows, peers.load, partial(measure, plan), lambda row: None, each,
        begin=there, more={"command": f"cenote bench networks --allocator {plan.allocator}"},
    )  # fmt: skip
    return cast(NetworkRecord, made)


def _key(row: NetworkRow) -> tuple[str, str, int]:
    return (row["case"], row["mode"], row["threads"])


def _there(plan: Plan) -> list[NetworkRow]:
    """The rows that the record in ``out`` has, measured on this machine under this setting."""
    if plan.out is None or not plan.out.exists():
        return []
    record = read(plan.out)
    if record["benchmark"] != "networks":
        raise ValueError(f"out = {plan.out}: a record of {record['benchmark']}, not of networks")
    here = doctor()
    found = {name: (record["machine"].get(name), here[name]) for name in _SAME}
    found["allocator"] = (record["allocator"]["setting"], plan.allocator)
    for name, (then, now) in found.items():
        if then != now:
            raise ValueError(
                f"out = {plan.out}: measured with {name} {then}, here it is {now}; rows of both "
                "cannot stand in one record"
            )
    return record["rows"]


def measure(plan: Plan, row: Row, there: Peers, seconds: float) -> NetworkRow:
    """One row: let everybody in, compare what they give with what torch gives, take turns."""
    with on_threads(row.threads), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.compile and exporters, about what they do inside
        work = Work(row)
        inside, offs, left_out = _let_in(work, there)
        turns = take_turns(inside, seconds, plan.turns, dice=random.Random(0))
    found: NetworkRow = {
        "case": row.network,
        "mode": row.mode,
        "shape": list(work.network.shape),
        "dtype": "f32",
        "parameters": sum(p.numel() for p in work.model.parameters()),
        "threads": row.threads,
        "date": _today(),
        "contenders": {
            name: spread(taken, _prepared(inside[name]), offs[name])
            for name, taken in turns.items()
        },
        "memory": {},
        "times_faster": {},
        "left_out": left_out,
    }
    medians = {name: f["median"] for name, f in found["contenders"].items()}
    if "cenote" in medians:
        for name in peers.PEERS:
            if name in medians:
                found["times_faster"][name] = medians[name] / medians["cenote"]
    if row.mode == grid.TRAINING:
        del inside, work  # room for the others
        _memory(row, plan.allocator, found)
    return found


def _today() -> str:
    """Today, as records have it."""
    from datetime import datetime, timezone

    return datetime.now(timezone.utc).date().isoformat()


def spread(turns: Turns, prepared: float, off: float) -> NetworkContender:
    """What is kept of a contender's turns."""
    taken = turns.seconds
    lower, median, upper = statistics.quantiles(taken, n=4) if len(taken) > 1 else taken * 3
    return {
        "n": len(taken),
        "calls": turns.calls,
        "median": median,
        "quartiles": [lower, upper],
        "min": min(taken),
        "prepared": prepared,
        "off": off,
    }


def _prepared(contender: Contender) -> float:
    return contender.prepared if isinstance(contender, peers.Ready) else 0.0


def _let_in(
    work: Work, there: Peers
) -> tuple[dict[str, Contender], dict[str, float], dict[str, str]]:
    """Who does this row and gives what torch gives, how far off they are, and why others do not."""
    inside = {"torch": there["torch"].enter(work)}
    expected = tuple(t.detach().clone() for t in inside["torch"].results())
    offs, left_out = {"torch": 0.0}, {}
    for name, peer in there.items():
        if name in inside:
            continue
        seen: list[float] = []
        wrong = partial(_compared, expected, work.training, seen)
        found = running.admit(peer, work, wrong, PATIENCE)
        if isinstance(found, str):
            left_out[name] = found
        else:
            inside[name], offs[name] = found, seen[0]
    return inside, offs, left_out


def _compared(
    expected: Sequence[Tensor], training: bool, seen: list[float], given: tuple[Tensor, ...]
) -> str | None:
    found = off(tuple(expected), given, training)
    if not isinstance(found, str):
        seen.append(max(found))
    return too_far(found)


def _memory(row: Row, setting: str, found: NetworkRow) -> None:
    """Add the peaks of a step, for those that took part."""
    for name in memory.MEASURED:
        if name not in found["contenders"]:
            continue
        peak = memory.measure(row, name, setting)
        if isinstance(peak, str):
            found["left_out"][f"memory of {name}"] = peak
        else:
            found["memory"][name] = peak
