"""Where pooling has to get, and how far a record is from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cenote.benchmarking import grid
from cenote.benchmarking.record import Record, RowRecord, mean
from cenote.window import Adaptive, Axis

__all__ = ["Target", "targets"]

_FROM_MEMORY = 40_000_000  # bytes: beyond the last caches of what this was measured on
_LARGE = 32_000_000  # bytes of an output that the allocator asks the system for


@dataclass(frozen=True)
class Target:
    """Something that is wanted of all rows of a kind: a bound, and what was reached.

    ``rows`` counts what it was taken from; of none, ``reached`` is NaN.
    """

    what: str
    wanted: float
    reached: float
    rows: int
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether it is reached; False where nothing was measured."""
        return self.reached <= self.wanted if self.at_most else self.reached >= self.wanted


def targets(record: Record) -> list[Target]:
    """Every target, with what this record reaches."""
    return [*_roof(record), *_peers(record), *_shapes(record)]


def _least(what: str, wanted: float, values: Iterable[float]) -> Target:
    found = list(values)
    return Target(what, wanted, min(found, default=math.nan), len(found))


def _most(what: str, wanted: float, values: Iterable[float]) -> Target:
    found = list(values)
    return Target(what, wanted, max(found, default=math.nan), len(found), at_most=True)


def _mean(what: str, wanted: float, values: Iterable[float]) -> Target:
    found = list(values)
    return Target(what, wanted, mean(found), len(found))


def _forward(rows: Iterable[RowRecord]) -> Iterator[RowRecord]:
    return (row for row in rows if row["pass"] == "forward")


def _given(rows: Iterable[RowRecord]) -> Iterator[float]:
    """Parts of the roof with a preallocated output."""
    for row in rows:
        if "cenote out=" in row["contenders"]:
            yield row["contenders"]["cenote out="]["of_roof"]


def _roof(record: Record) -> Iterator[Target]:
    rows = list(_forward(record["rows"]))
    large = [row for row in rows if row["bytes"] >= _FROM_MEMORY and _usual(row)]
    words = "of the roof, kernels 2 to 13, strides 1 and 2, from memory, output given"
    yield _least(f"least part {words}", 0.85, _given(large))
    yield _least("least part of the roof, every case, output given", 0.7, _given(rows))
    shared = [row for row in rows if _shared(row)]
    yield _least("least part of the roof, adaptive and global, output given", 0.7, _given(shared))


def _usual(row: RowRecord) -> bool:
    axes = grid.named(row["case"]).window
    return all(isinstance(a, Axis) and 2 <= a.kernel <= 13 and a.stride <= 2 for a in axes)


def _shared(row: RowRecord) -> bool:
    return any(isinstance(axis, Adaptive) for axis in grid.named(row["case"]).window)


def _peers(record: Record) -> Iterator[Target]:
    rows = [row for row in record["rows"] if row["times_faster"]]
    forward = list(_forward(rows))
    fastest = [min(r["times_faster"].values()) for r in forward if r["layout"] == "NCHW"]
    yield _mean("times faster than the fastest peer, NCHW forward, mean", 1.7, fastest)
    every = [min(row["times_faster"].values()) for row in rows]
    yield _least("times faster than the fastest peer, every row", 1.0, every)
    for layout, once, trained in (("NCHW", 25.0, 12.0), ("NHWC", 3.0, 6.0)):
        for pass_, wanted in (("forward", once), ("forward+backward", trained)):
            ratios = _torch(rows, {"layout": layout, "pass": pass_})
            yield _mean(f"times faster than torch, max f32 {layout} {pass_}, mean", wanted, ratios)
    ratios = _torch([row for row in rows if len(row["shape"]) != 4], {"pass": "forward"})
    yield _mean("times faster than torch, max f32 forward in 1-D and 3-D, mean", 10.0, ratios)
    for pass_ in ("forward", "forward+backward"):
        tiny = _torch(rows, {"case": "tiny_lenet", "pass": pass_})
        yield _least(f"times faster than torch, 1x6x28x28 {pass_}", 1.0, tiny)


def _torch(rows: Sequence[RowRecord], when: dict[str, str]) -> list[float]:
    """How much faster than torch, in rows of max in f32 on the most threads."""
    most = max((row["threads"] for row in rows), default=0)
    wanted = {"reduce": "max", "dtype": "f32", "threads": most} | when
    return [
        row["times_faster"]["torch"]
        for row in rows
        if "torch" in row["times_faster"]
        and all(dict(row)[word] == value for word, value in wanted.items())
    ]


def _shapes(record: Record) -> Iterator[Target]:
    rows = {_key(row): row for row in record["rows"]}
    for case in ("wide_31x31_s1_p15", "wide_63x63_s1_p31"):
        five = {key: rows.get(("wide_5x5_s1_p2", *key[1:])) for key in rows if key[0] == case}
        times = [_best(rows[key]) / _best(row) for key, row in five.items() if row is not None]
        yield _most(f"time of {case} by that of kernel 5", 1.5, times)
    large = [row for row in _forward(record["rows"]) if _output_bytes(row) >= _LARGE]
    fresh = [
        there["cenote"]["median"] / there["cenote out="]["median"]
        for there in (row["contenders"] for row in large)
        if "cenote out=" in there
    ]
    yield _most("time of fresh outputs of 32 MB and more by that of given ones", 1.5, fresh)
    yield _least("times faster on 2 threads than on 1, where the roof is 1.8", 1.8, _scaling(rows))
    sized = [row for row in record["rows"] if row["case"].startswith("size_")]
    cost = [_best(r) / math.prod(r["shape"]) for r in sized if r["bytes"] >= _FROM_MEMORY]
    spread = max(cost) / min(cost) if len(cost) > 1 else math.nan
    what = "cost per element beyond the caches, most by least"
    yield Target(what, 1.5, spread, len(cost), at_most=True)


Key = tuple[str, str, str, str, str, int]


def _key(row: RowRecord) -> Key:
    return (
        row["case"], row["reduce"], row["dtype"], row["layout"], row["pass"], row["threads"],
    )  # fmt: skip


def _scaling(rows: dict[Key, RowRecord]) -> Iterator[float]:
    for key, two in rows.items():
        one = rows.get((*key[:-1], 1))
        if key[-1] != 2 or one is None:
            continue
        roofs = [row["contenders"]["roof"]["median"] for row in (one, two)]
        if roofs[0] >= 1.8 * roofs[1]:
            yield _best(one) / _best(two)


def _best(row: RowRecord) -> float:
    """Seconds with a preallocated output, or with a fresh one where there is none."""
    there = row["contenders"]
    return there.get("cenote out=", there["cenote"])["median"]


def _output_bytes(row: RowRecord) -> int:
    size = {"f32": 4, "bf16": 2, "u8": 1}[row["dtype"]]
    return size * math.prod(grid.named(row["case"]).out_shape)
