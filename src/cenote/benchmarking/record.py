"""The record of a benchmark: what is in the JSON, how it is written, read and checked.

All times are seconds of one call. Everything that is shown or drawn is made from such a record
alone. :class:`Record` is its schema; a change that readers notice raises :data:`SCHEMA`.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict, get_args, get_origin, get_type_hints

from cenote.benchmarking.turns import Figures

__all__ = ["SCHEMA", "Contender", "Record", "RowRecord", "check", "mean", "ours", "read", "write"]

SCHEMA = 1
"""The version of the schema that this module writes and reads."""


class Contender(Figures):
    """What one contender took for a row: the figures of its turns, and what they mean."""

    of_roof: float  # the roof's median by this one's; 1 is the roof
    fresh: bool  # each call allocates what it gives
    composed: str  # of what, where it is not one operation; else empty


_Pass = TypedDict("_Pass", {"pass": str})  # a word that Python keeps for itself


class RowRecord(_Pass):
    """A row: what was done, and what each contender took for it."""

    case: str
    reason: str
    shape: list[int]
    window: str
    reduce: str
    dtype: str
    layout: str
    threads: int
    bytes: int  # that the pass cannot do without moving
    roof: str  # how its roof was measured: stores "cached" or "streamed", or a "copy"
    contenders: dict[str, Contender]
    times_faster: dict[str, float]  # a peer's median by cenote's, both fresh or both not
    left_out: dict[str, str]  # peers that are not in this row, and why


class Allocator(TypedDict):
    """How memory was asked for, by all contenders alike."""

    setting: str  # "default" or "raised"
    detail: dict[str, Any]  # what cenote.tune_allocator() says that it did


class Record(TypedDict):
    """A whole run."""

    schema: int
    benchmark: str  # "pooling"
    complete: bool  # False where the run was stopped
    date: str
    machine: dict[str, Any]  # cenote.doctor()
    environment: dict[str, str]  # variables that rule threads and memory
    allocator: Allocator
    seconds: float  # that were asked for, a row
    peers: dict[str, str]  # contenders and their versions
    left_out: dict[str, str]  # peers that are in no row, rows that are not there, and why
    rows: list[RowRecord]


def write(record: Record, path: Path) -> None:
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


def read(path: Path) -> Record:
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
    _check(record, Record, "record")


def _check(value: Any, kind: Any, place: str) -> None:
    """Hold a value to an annotation of the schema."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
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
