"""Pieces of Markdown that tables of all records are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cenote.benchmarking.record import AnyRecord

__all__ = ["bold", "listed", "machine", "markdown", "ratio", "shape"]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A table whose first columns are words and the others numbers."""
    bar = "|" + "---|" * left + "---:|" * (len(head) - left)
    lines = ["| " + " | ".join(head) + " |", bar]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in rows)])


def shape(sizes: Sequence[int]) -> str:
    """Sizes as people write them.

    >>> shape([8, 64, 112, 112])
    '8x64x112x112'
    """
    return "x".join(map(str, sizes))


def ratio(value: float | None) -> str:
    """How many times faster, or a dash.

    >>> ratio(2.345), ratio(23.4), ratio(None)
    ('2.3x', '23x', '-')
    """
    return "-" if value is None else f"{value:.0f}x" if value >= 9.95 else f"{value:.1f}x"


def bold(cell: str) -> str:
    """The cell in bold, dashes apart."""
    return cell if cell == "-" else f"**{cell}**"


def listed(found: Sequence[str]) -> str:
    """What was found in a line."""
    return "; ".join(found) if found else "none"


def machine(record: AnyRecord, shown: Mapping[str, str]) -> str:
    """One sentence: where and with what it was measured."""
    on = record["machine"]
    peers = ", ".join(f"{n} {v}" for n, v in record["peers"].items() if n in shown)
    turns = [f["n"] for row in record["rows"] for f in row["contenders"].values()]
    return (
        f"Measured on {on['processor']}, {on['cores']} cores ({on['isa']}),"
        f" {on['system']}, on {record['date']}, with {peers}; allocator"
        f" {record['allocator']['setting']}; {len(record['rows'])} rows, n from {min(turns)} to"
        f" {max(turns)} turns."
    )
