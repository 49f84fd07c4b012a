"""The record of a benchmark: what is in the JSON, how it is written, read and checked.

All times are seconds of one call. Everything that is shown or drawn is made from such a record
alone. :class:`Record` is the schema of pooling, :class:`ConvRecord` that of convolution,
:class:`NetworkRecord` that of whole networks; a change that readers notice raises :data:`SCHEMA`.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints

from cenote.benchmarking.turns import Figures

__all__ = [
    "SCHEMA",
    "AnyRecord",
    "Contender",
    "ConvContender",
    "ConvRecord",
    "ConvRow",
    "NetworkContender",
    "NetworkRecord",
    "NetworkRow",
    "Record",
    "RowRecord",
    "check",
    "mean",
    "ours",
    "read",
    "write",
]

SCHEMA = 1
"""The version of the schema that this module writes and reads."""


class _Contender(Figures):
    fresh: bool  # each call allocates what it gives
    composed: str  # of what, where it is not one operation; else empty


class Contender(_Contender):
    """What one contender took for a row: the figures of its turns, and what they mean."""

    of_roof: float  # the roof's median by this one's; 1 is the roof


class ConvContender(_Contender):
    """The same for a convolution, whose floor is work as much as bytes."""

    gflops: float  # two operations a multiply-accumulate, by the median, in 10^9 a second


_Pass = TypedDict("_Pass", {"pass": str})  # a word that Python keeps for itself


class _Row(_Pass):
    case: str
    reason: str
    shape: list[int]
    dtype: str
    threads: int
    bytes: int  # that the pass cannot do without moving
    times_faster: dict[str, float]  # a peer's median by cenote's, both fresh or both not
    left_out: dict[str, str]  # peers that are not in this row, and why


class RowRecord(_Row):
    """A row: what was done, and what each contender took for it."""

    window: str
    reduce: str
    layout: str
    roof: str  # how its roof was measured: stores "cached" or "streamed", or a "copy"
    contenders: dict[str, Contender]


class ConvRow(_Row):
    """A row of convolution's: every layout in it, each a contender of its own."""

    layers: str  # the convolutions in words, and the pool behind them
    made: str  # what they are together: "conv", "shuffled", "stage", ...
    macs: int  # multiply-accumulates that the pass cannot do without
    tolerance: float  # by how much results may differ, as part of the largest value
    contenders: dict[str, ConvContender]


class NetworkContender(TypedDict):
    """What one contender took for a network, all times in seconds of one call."""

    n: int  # turns
    calls: int  # calls in a turn; a turn's number is their mean
    median: float
    quartiles: list[float]  # first and third
    min: float
    prepared: float  # seconds to compile, to export or to accelerate, which are in no turn
    off: float  # the farthest that its results are from torch's, as part of the largest


class NetworkRow(TypedDict):
    """A network at inference or in training, and what each contender took for it."""

    case: str  # the name of the network
    mode: str  # "inference" or "training"
    shape: list[int]
    dtype: str
    parameters: int
    threads: int
    date: str  # a record can be gone on with
    contenders: dict[str, NetworkContender]
    memory: dict[str, int]  # bytes of a training step at its peak, by contender
    times_faster: dict[str, float]  # a peer's median by cenote's
    left_out: dict[str, str]  # peers that are not in this row, and why


class Allocator(TypedDict):
    """How memory was asked for, by all contenders alike."""

    setting: str  # "default" or "raised"
    detail: dict[str, Any]  # what cenote.tune_allocator() says that it did


class _Run(TypedDict):
    schema: int
    complete: bool  # False where the run was stopped
    date: str
    machine: dict[str, Any]  # cenote.doctor()
    environment: dict[str, str]  # variables that rule threads and memory
    allocator: Allocator
    seconds: float  # that were asked for, a row
    peers: dict[str, str]  # contenders and their versions
    left_out: dict[str, str]  # peers that are in no row, rows that are not there, and why


class Record(_Run):
    """A whole run of pooling."""

    benchmark: Literal["pooling"]
    rows: list[RowRecord]


class ConvRecord(_Run):
    """A whole run of convolution."""

    benchmark: Literal["convolution"]
    rows: list[ConvRow]


class NetworkRecord(_Run):
    """A whole run of networks, or several, one after the other."""

    benchmark: Literal["networks"]
    command: str  # that measures these rows
    rows: list[NetworkRow]


AnyRecord = Record | ConvRecord | NetworkRecord
_KINDS = {"pooling": Record, "convolution": ConvRecord, "networks": NetworkRecord}


def write(record: Mapping[str, Any], path: Path) -> None:
    """Write a record whole or not at all: beside its place first, then moved there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.write("\n")
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def read(path: Path) -> AnyRecord:
    """A record that was written, checked.

    Raises:
        ValueError: no record of a benchmark, or of another version of the schema.
    """
    try:
        record = json.loads(path.read_text("utf-8"))
        check(record)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return record  # type: ignore[no-any-return]


def check(record: Any) -> None:
    """Refuse what is not of the schema; the message names the place."""
    if not isinstance(record, dict) or "schema" not in record:
        raise ValueError("no record of a benchmark")
    if record["schema"] != SCHEMA:
        raise ValueError(f"schema {record['schema']}: this version reads {SCHEMA}")
    if (benchmark := record.get("benchmark")) not in _KINDS:
        raise ValueError(f"benchmark {benchmark!r}: must be one of {', '.join(_KINDS)}")
    _check(record, _KINDS[benchmark], "record")


def _check(value: Any, kind: Any, place: str) -> None:
    """Hold a value to an annotation of the schema."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any or origin is Literal:  # the benchmark, which the schema was chosen by
        return
    if isinstance(kind, type) and hasattr(kind, "__total__"):  # a TypedDict
        _check(value, dict[str, Any], place)
        hints = get_type_hints(kind)
        for name in hints.keys() - value.keys():
            raise ValueError(f"{place}: lacks {name!r}")
        for name, hint in hints.items():
            _check(value[name], hint, f"{place}.{name}")
        return
    expected: Any = (int, float) if kind is float else origin or kind
    wrong: bool = not isinstance(value, expected) or (isinstance(value, bool) and kind is not bool)
    if wrong:
        wanted = getattr(kind, "__name__", kind)
        raise ValueError(f"{place}: {value!r} where there should be {wanted}")
    if origin is list:
        for position, item in enumerate(value):
            _check(item, arguments[0], f"{place}[{position}]")
    if origin is dict:
        for name, item in value.items():
            _check(item, arguments[1], f"{place}.{name}")


def ours(row: RowRecord, peer: str) -> str | None:
    """Which of cenote's contenders a peer stands against: the one that allocates as it does.

    Where there is no ``out=``, fresh outputs stand against everybody.
    """
    there = row["contenders"]
    if not there[peer]["fresh"] and "cenote out=" in there:
        return "cenote out="
    return "cenote" if "cenote" in there else None


def mean(values: Iterable[float]) -> float:
    """The geometric mean; NaN of nothing.

    >>> round(mean([2.0, 8.0]), 6)
    4.0
    """
    logs = [math.log(value) for value in values]
    return math.exp(math.fsum(logs) / len(logs)) if logs else math.nan
