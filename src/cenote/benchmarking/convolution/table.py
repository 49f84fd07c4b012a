"""A record of convolutions in the terminal: a line a row, what it comes to, what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cenote.benchmarking.convolution.targets import targets
from cenote.benchmarking.record import ConvRecord, ConvRow, mean
from cenote.benchmarking.table import (
    Printer,
    absent,
    compact,
    how_far,
    lines,
    milliseconds,
    ratio,
    short,
    where,
)

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["PEERS", "print_record", "printer", "slower", "summary"]

PEERS = {
    "torch": "torch", "torch.channels_last": "ch.last", "torch.compile": "compile",
    "onnxruntime": "ORT", "openvino": "OV",
}  # fmt: skip

_COLUMNS = (
    ("case", 19, "left"), ("layers", 32, "left"), ("pass", 7, "left"), ("th", 2, "right"),
    ("cenote ms", 9, "right"), ("GFLOP/s", 7, "right"), ("GB/s", 6, "right"),
)  # fmt: skip


def _cells(row: ConvRow) -> list[str]:
    """The cells of a row but for the peers."""
    mine = row["contenders"]["cenote"]
    return [
        row["case"], compact(row["layers"]), short(row["pass"]), str(row["threads"]),
        milliseconds(mine["median"]), f"{mine['gflops']:.0f}", f"{mine['gbs']:.1f}",
    ]  # fmt: skip


def printer(console: Console) -> Printer:
    """Prints rows as they come."""
    return Printer(console, _COLUMNS, _cells, PEERS)


def print_record(record: ConvRecord, console: Console, *, rows: bool = True) -> None:
    """The whole of it; without ``rows`` what they come to alone."""
    prints = printer(console)
    for row in record["rows"] if rows else ():
        prints.row(row)
    lines(console, _legend(record))
    lines(console, summary(record))


def _legend(record: ConvRecord) -> Iterator[str]:
    yield ""
    yield from where(record, PEERS)
    yield (
        "GFLOP/s, GB/s: the multiply-accumulates (two operations each) and the bytes that a pass"
        " cannot do without, by cenote's time; peers: times that cenote is faster"
    )
    yield (
        "medians; cenote and torch allocate what they give, ORT and OV write into the same memory;"
        " cenote and whoever has no ch.last in its name compute in NCHW"
    )
    yield from absent(record)


def summary(record: ConvRecord) -> Iterator[str]:
    """What the rows come to: geometric means, targets, and where a peer is faster."""
    yield ""
    yield "geometric means"
    for pass_ in dict.fromkeys(row["pass"] for row in record["rows"]):
        rows = [row for row in record["rows"] if row["pass"] == pass_]
        parts = [f"{len(rows)} rows"]
        for peer, name in PEERS.items():
            ratios = [row["times_faster"][peer] for row in rows if peer in row["times_faster"]]
            if ratios:
                parts.append(f"{name} {ratio(mean(ratios))} ({len(ratios)})")
        yield f"  {pass_:16} {', '.join(parts)}"
    yield from how_far(targets(record))
    behind = slower(record)
    yield f"a peer is faster in {len(behind)} of {len(record['rows'])} rows" + ":" * bool(behind)
    yield from (f"  {line}" for line in behind)


def slower(record: ConvRecord) -> list[str]:
    """Rows in which a peer is faster than cenote, with the peers and how far they are ahead."""
    found = []
    for row in record["rows"]:
        ahead = [f"{name} {r:.2f}x" for name, r in row["times_faster"].items() if r < 1]
        if ahead:
            found.append(f"{row['case']} {short(row['pass'])}: {', '.join(ahead)}")
    return found
