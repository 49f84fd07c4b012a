"""A record of networks in the terminal: a line a row, what it comes to, what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cenote.benchmarking.networks.targets import counted, targets, times
from cenote.benchmarking.record import NetworkRecord, NetworkRow, mean
from cenote.benchmarking.table import Printer, absent, how_far, lines, milliseconds, ratio, where

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["PEERS", "print_record", "printer", "slower", "summary"]

PEERS = {
    "torch": "NCHW", "torch.channels_last": "ch.last", "torch.compile": "compile",
    "onnxruntime": "ORT", "openvino": "OV",
}  # fmt: skip

_COLUMNS = (
    ("network", 19, "left"), ("mode", 9, "left"), ("th", 2, "right"), ("torch ms", 8, "right"),
    ("cenote ms", 9, "right"), ("made in s", 9, "right"), ("memory", 6, "right"),
)  # fmt: skip


def _cells(row: NetworkRow) -> list[str]:
    """The cells of a row but for the peers."""
    there, memory = row["contenders"], row["memory"]
    mine = there.get("cenote")
    part = f"{memory['cenote'] / memory['torch']:.2f}" if len(memory) == 3 else "-"
    return [
        row["case"], row["mode"], str(row["threads"]), milliseconds(there["torch"]["median"]),
        milliseconds(mine["median"]) if mine else "-", f"{mine['prepared']:.2f}" if mine else "-",
        part,
    ]  # fmt: skip


def printer(console: Console) -> Printer:
    """Prints rows as they come."""
    return Printer(console, _COLUMNS, _cells, PEERS)


def print_record(record: NetworkRecord, console: Console, *, rows: bool = True) -> None:
    """The whole of it; without ``rows`` what they come to alone."""
    prints = printer(console)
    for row in record["rows"] if rows else ():
        prints.row(row)
    lines(console, _legend(record))
    lines(console, summary(record))


def _legend(record: NetworkRecord) -> Iterator[str]:
    yield ""
    yield from where(record, PEERS)
    yield (
        "medians; peers: times that cenote is faster; made in: what cenote.accelerate took, which"
        " is not counted; memory: a training step's peak by that of torch in NCHW"
    )
    yield from absent(record)


def summary(record: NetworkRecord) -> Iterator[str]:
    """What the rows come to: geometric means, targets, and where torch is faster."""
    yield ""
    yield "geometric means"
    for mode in dict.fromkeys(row["mode"] for row in record["rows"]):
        rows = counted(record, mode)
        parts = [f"{len(rows)} networks"]
        for peer, name in PEERS.items():
            ratios = [row["times_faster"][peer] for row in rows if peer in row["times_faster"]]
            if ratios:
                parts.append(f"{name} {ratio(mean(ratios))} ({len(ratios)})")
        if rows:
            parts.append(f"better layout {ratio(mean(times(row)[1] for row in rows))}")
        yield f"  {mode:16} {', '.join(parts)}"
    yield from how_far(targets(record))
    behind = slower(record)
    yield f"a peer is faster in {len(behind)} of {len(record['rows'])} rows" + ":" * bool(behind)
    yield from (f"  {line}" for line in behind)


def slower(record: NetworkRecord) -> list[str]:
    """Rows in which a peer is faster than cenote, with the peers and how far they are ahead."""
    found = []
    for row in record["rows"]:
        ahead = [f"{PEERS[n]} {r:.2f}x" for n, r in row["times_faster"].items() if r < 1]
        if ahead:
            found.append(f"{row['case']} {row['mode']}: {', '.join(ahead)}")
    return found
