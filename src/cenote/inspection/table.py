"""A record as a table: in the terminal, as text, and in a notebook."""

from __future__ import annotations

import html
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cenote.inspection.record import Record
from cenote.inspection.rows import Row, rows_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["bytes_text", "count_text", "html_of", "print_table", "seconds_text", "text_of"]

_TIMES = "\N{MULTIPLICATION SIGN}"


def count_text(value: float | None) -> str:
    """A count with three digits: 417 k, 15.5 G; "?" where it is not known."""
    if value is None:
        return "?"
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit * 0.9995:
            scaled = value / limit
            return f"{scaled:.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f} {unit}"
    return f"{value:.0f}"


def bytes_text(value: float | None) -> str:
    """Bytes, in powers of 1000: 18.8 kB."""
    return "?" if value is None else f"{count_text(value)}{'B' if value >= 999.5 else ' B'}"


def seconds_text(value: float | None) -> str:
    """A time with three digits: 12.3 us, 4.56 ms."""
    if value is None:
        return "?"
    for limit, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= limit * 0.9995 or unit == "us":
            scaled = value / limit
            return f"{scaled:.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f} {unit}"
    return ""


def _sizes(values: tuple[int, ...]) -> str:
    same = len(values) > 1 and len(set(values)) == 1 and len(values) < 4
    if same:
        return _TIMES.join(map(str, values))
    return _TIMES.join(map(str, values)) if values else "-"


def _field(row: Row) -> str:
    if row.last.unknown is not None:
        return "unknown"
    if row.field is None or not row.field.axes:
        return "-"
    several = [f for f in (row.last.fields or {}).values() if f.axes]
    if len(several) > 1:
        return " & ".join("all" if f.everything else _sizes(f.sizes) for f in several)
    if row.field.everything and None in row.field.jumps:
        return "everything"
    mark = "" if row.field.aligned else " !"
    return _sizes(row.field.sizes) + mark


def _jump(row: Row) -> str:
    if row.field is None or not row.field.axes or None in row.field.jumps:
        return "-"
    jumps = [str(jump) for jump in row.field.jumps]
    return jumps[0] if len(set(jumps)) == 1 else _TIMES.join(jumps)


@dataclass(frozen=True)
class _Column:
    """A column: its heading, its text, how wide it is at the least, how soon it goes (0 never)."""

    heading: str
    text: Callable[[Row], str]
    right: bool = True
    goes: int = 0


_COLUMNS = (
    _Column("layer", lambda row: row.name or "(network)", right=False),
    _Column("what", lambda row: row.title, right=False, goes=2),
    _Column("output", lambda row: _TIMES.join(map(str, row.shape)) or "-", right=False),
    _Column("field", _field),
    _Column("jump", _jump, goes=5),
    _Column("parameters", lambda row: f"{row.total('parameters') or 0:,.0f}", goes=3),
    _Column("MACs", lambda row: count_text(row.total("macs"))),
    _Column("FLOPs", lambda row: count_text(row.total("flops")), goes=8),
    _Column("read", lambda row: bytes_text(row.total("read")), goes=9),
    _Column("written", lambda row: bytes_text(row.total("written")), goes=7),
    _Column("kept", lambda row: bytes_text(row.total("kept")), goes=6),
    _Column("time", lambda row: seconds_text(row.total("seconds")), goes=1),
)


def _fitting(rows: list[Row], width: int) -> list[_Column]:
    """The columns that a terminal has room for, the least wanted left out first."""
    wide = {
        column: max([len(column.heading), *(min(len(column.text(row)), 44) for row in rows)]) + 2
        for column in _COLUMNS
    }
    chosen = list(_COLUMNS)
    while sum(wide[column] for column in chosen) > width:
        leaving = [column for column in chosen if column.goes]
        if not leaving:
            break
        chosen.remove(max(leaving, key=lambda column: column.goes))
    return chosen


def _rich(record: Record, depth: int | None, sort: str | None, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    rows = rows_of(record, depth, sort)
    columns = _fitting(rows, width)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(
            column.heading, justify="right" if column.right else "left",
            no_wrap=column.right, overflow="fold",
        )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(column.text(row)) for column in columns))
    return table


def summary(record: Record) -> list[str]:
    """What stands under the table: the totals, and what the reader should know."""
    totals = record.totals
    lines = [
        f"{record.parameters:,} parameters, {count_text(totals.macs)} multiply-accumulates, "
        f"{count_text(totals.flops)} operations; reads {bytes_text(totals.read)}, writes "
        f"{bytes_text(totals.written)}"
        + (f", keeps {bytes_text(totals.kept)} for the way back" if totals.kept else "")
        + (f"; {seconds_text(totals.seconds)}" if totals.seconds else "")
    ]
    if totals.parameters != record.parameters:
        unused = record.parameters - totals.parameters
        lines.append(f"{unused:,} of the parameters were used by no operator")
    if any(o.field is not None and not o.field.aligned for o in record.operators):
        lines.append("! branches that meet here are not aligned")
    lines += record.notes
    if record.error is not None:
        where = record.error.name or "the network itself"
        lines.append(f"stopped in {where} ({record.error.kind}): {record.error.message}")
        lines += (record.error.hint or "").splitlines()
    return lines


def print_table(
    record: Record, console: Console, depth: int | None = None, sort: str | None = None
) -> None:
    """Print the table of a record, as wide as the console is."""
    console.print(_rich(record, depth, sort, console.width))
    console.print()
    for line in summary(record):
        console.print(line, markup=False, highlight=False)


def text_of(
    record: Record, depth: int | None = None, sort: str | None = None, width: int | None = None
) -> str:
    """The table as plain text, ``width`` characters wide: by default as the terminal is."""
    from rich.console import Console

    room = width or shutil.get_terminal_size((120, 24)).columns
    target = io.StringIO()
    console = Console(file=target, width=room, highlight=False, no_color=True)
    print_table(record, console, depth, sort)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())


def _cell(column: _Column, row: Row) -> str:
    side = "right" if column.right else "left"
    return f'<td style="text-align:{side}">{html.escape(column.text(row))}</td>'


def html_of(record: Record) -> str:
    """The table for a notebook."""
    rows = rows_of(record)
    cells = "".join(f"<th>{html.escape(c.heading)}</th>" for c in _COLUMNS)
    lines = [f"<tr>{cells}</tr>"]
    for row in rows:
        aligned = (_cell(column, row) for column in _COLUMNS)
        lines.append(f"<tr>{''.join(aligned)}</tr>")
    said = "<br>".join(html.escape(line) for line in summary(record))
    return f'<table class="cenote">{"".join(lines)}</table><p>{said}</p>'
