"""Where networks have to get with ``cenote.accelerate``, and how far a record is from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from cenote.benchmarking.networks.grid import INFERENCE, NETWORKS, TRAINING
from cenote.benchmarking.record import NetworkRecord, NetworkRow, mean
from cenote.benchmarking.targets import Target

__all__ = ["better", "counted", "out_of_the_box", "targets", "times"]

_TORCH, _LAST = "torch", "torch.channels_last"
_MEANS = {INFERENCE: (2.0, 1.15), TRAINING: (1.4, 1.1)}
_RAISED = (2.5, 1.3)  # cenote with raised thresholds, torch without
_WORDS = ("torch in NCHW", "the better of torch's layouts")
_NAMES = {network.name for network in NETWORKS}


def counted(record: NetworkRecord, mode: str | None = None) -> list[NetworkRow]:
    """The rows that targets and means are of: the networks that are promised, with all they need.

    They are in the order of the list.
    """
    order = [network.name for network in NETWORKS]
    found = [
        row
        for row in record["rows"]
        if row["case"] in _NAMES
        and (mode is None or row["mode"] == mode)
        and {"cenote", _TORCH} <= row["contenders"].keys()
    ]
    return sorted(found, key=lambda row: (order.index(row["case"]), row["mode"], row["threads"]))


def better(row: NetworkRow) -> float:
    """Seconds of torch in the layout that is faster for the network."""
    there = row["contenders"]
    return min(there[name]["median"] for name in (_TORCH, _LAST) if name in there)


def times(row: NetworkRow) -> tuple[float, float]:
    """How many times faster cenote is than torch in NCHW, and than in its better layout."""
    there = row["contenders"]
    mine = there["cenote"]["median"]
    return there[_TORCH]["median"] / mine, better(row) / mine


def targets(record: NetworkRecord) -> list[Target]:
    """Every target of one allocator setting, with what its record reaches."""
    return [*_speeds(record), *_costs(record)]


def _speeds(record: NetworkRecord) -> Iterator[Target]:
    rows = counted(record)
    least = min((times(row)[1] for row in rows), default=math.nan)
    yield Target(f"times faster than {_WORDS[1]}, the least", 0.98, least, len(rows))
    for mode, wanted in _MEANS.items():
        found = [times(row) for row in counted(record, mode)]
        for place, (what, bound) in enumerate(zip(_WORDS, wanted, strict=True)):
            reached = mean(pair[place] for pair in found)
            yield Target(
                f"times faster than {what}, {mode}, geometric mean", bound, reached, len(found)
            )


def _costs(record: NetworkRecord) -> Iterator[Target]:
    parts = [
        row["memory"]["cenote"] / row["memory"][_TORCH]
        for row in counted(record, TRAINING)
        if {"cenote", _TORCH} <= row["memory"].keys()
    ]
    what = "peak memory of a training step by that of torch, the most"
    yield Target(what, 0.8, max(parts, default=math.nan), len(parts), at_most=True)
    taken = [row["contenders"]["cenote"]["prepared"] for row in counted(record)]
    what = "seconds that cenote.accelerate takes, the most"
    yield Target(what, 2.0, max(taken, default=math.nan), len(taken), at_most=True)


def out_of_the_box(default: NetworkRecord, raised: NetworkRecord) -> list[Target]:
    """Cenote with raised thresholds against torch as it comes, at inference: two records."""
    as_it_comes = {(row["case"], row["threads"]): row for row in counted(default, INFERENCE)}
    pairs = [
        (as_it_comes[key], row["contenders"]["cenote"]["median"])
        for row in counted(raised, INFERENCE)
        if (key := (row["case"], row["threads"])) in as_it_comes
    ]
    of: tuple[Callable[[NetworkRow], float], ...] = (
        lambda row: row["contenders"][_TORCH]["median"],
        better,
    )
    return [
        Target(
            f"times faster than {what}, inference, geometric mean, cenote with raised thresholds "
            "and torch without",
            bound,
            mean(seconds(row) / mine for row, mine in pairs),
            len(pairs),
        )
        for what, bound, seconds in zip(_WORDS, _RAISED, of, strict=True)
    ]
