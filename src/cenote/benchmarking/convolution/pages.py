"""Tables of records of convolutions as Markdown: one record each, but for the targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cenote.benchmarking.convolution.table import PEERS, slower
from cenote.benchmarking.convolution.targets import targets
from cenote.benchmarking.record import ConvRecord, ConvRow
from cenote.benchmarking.table import compact, milliseconds, short
from cenote.benchmarking.text import bold, listed, machine, markdown, ratio, shape

__all__ = ["TABLES"]


def _every(records: Sequence[ConvRecord]) -> str:
    """Every row: cenote's time and speed, and how much faster than each peer."""
    head = ["case", "input", "layers", "pass", "ms", "GFLOP/s", "GB/s", *PEERS.values()]
    return markdown(head, [_line(row) for record in records for row in record["rows"]], 4)


def _line(row: ConvRow) -> list[str]:
    mine = row["contenders"]["cenote"]
    return [
        f"`{row['case']}`",
        shape(row["shape"]),
        compact(row["layers"]),
        short(row["pass"]),
        milliseconds(mine["median"]),
        f"{mine['gflops']:.0f}",
        f"{mine['gbs']:.1f}",
        *(ratio(row["times_faster"].get(name)) for name in PEERS),
    ]


def _targets(records: Sequence[ConvRecord]) -> str:
    """What is wanted, and the least that was measured with each setting of the allocator."""
    head = ["times faster", "rows"]
    for record in records:
        setting = record["allocator"]["setting"]
        head += [f"wanted, {setting}", f"measured, {setting}"]
    lines = []
    for same in zip(*map(targets, records), strict=True):
        cells = [same[0].what, str(same[0].rows)]
        for target in same:
            reached = f"{target.reached:.2f}" if target.rows else "-"
            cells += [f"{target.wanted:g}", reached if target.met else bold(reached)]
        lines.append(cells)
    return markdown(head, lines, 1)


def _machine(records: Sequence[ConvRecord]) -> str:
    return "\n".join(machine(record, PEERS) for record in records)


def _behind(records: Sequence[ConvRecord]) -> str:
    """Rows in which a peer is faster, as a list."""
    found = [line for record in records for line in slower(record)]
    return f"A peer is faster in {len(found)} rows: {listed(found)}."


TABLES: dict[str, Callable[[Sequence[ConvRecord]], str]] = {
    "conv-machine": _machine,
    "conv-every": _every,
    "conv-targets": _targets,
    "conv-behind": _behind,
}
"""The tables that pages can hold, by name."""
