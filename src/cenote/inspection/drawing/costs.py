"""What each layer costs, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cenote.inspection.drawing.paper import Paper, checked_file, on_paper
from cenote.inspection.record import Record
from cenote.inspection.style import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MEASURES", "draw_costs"]

MEASURES = {
    "parameters": ("parameters", ""),
    "macs": ("multiply-accumulates", ""),
    "flops": ("operations", ""),
    "read": ("read", "B"),
    "written": ("written", "B"),
    "kept": ("kept for the backward pass", "B"),
    "seconds": ("time", "s"),
}
"""What can be drawn: its title, and its unit."""
_SIZE, _BAR, _PANEL, _SPACE = 13.0, 20, 230, 76  # pixels; the space is for the number at a bar


@dataclass(frozen=True)
class _Row:
    """A layer, or all that are not drawn by themselves; None: not known."""

    label: str
    values: tuple[float | None, ...]
    rest: bool = False


def draw_costs(
    record: Record,
    path: Path | str,
    *,
    by: str | Sequence[str] = "macs",
    most: int = 30,
    theme: Theme = LIGHT,
) -> Path:
    """Draw what the layers cost, from first to last, each measure in a column of its own.

    The operators of one kind in one module are one bar. Layers that cost nothing by any of the
    measures are left out.

    Args:
        record: what was watched.
        path: the file, in .png or .svg.
        by: one or more of ``parameters``, ``macs``, ``flops``, ``read``, ``written``, ``kept`` and
            ``seconds``.
        most: how many layers have bars of their own: the dearest by the first measure. The others
            are added up in the last bar.
        theme: the colours.

    Raises:
        ValueError: there is no such measure, the record does not know it, or ``most`` is below 1.
    """
    path, measures = checked_file(path), (by,) if isinstance(by, str) else tuple(by)
    if not measures:
        raise ValueError("by: names no measure")
    for measure in measures:
        if measure not in MEASURES:
            raise ValueError(f"by = {measure!r}: must be one of {', '.join(MEASURES)}")
        if all(getattr(o, measure) is None for o in record.operators):
            raise ValueError(f"by = {measure!r}: the record does not know it of any operator")
    if most < 1:
        raise ValueError(f"most = {most}: must be at least 1")
    rows = _rows(record, measures, most)
    left = 2 * _SIZE + 0.56 * _SIZE * min(44, max((len(row.label) for row in rows), default=0))
    width = left + len(measures) * (_PANEL + _SPACE) + _SIZE
    height = 7.2 * _SIZE + max(1, len(rows)) * _BAR + _SIZE
    with on_paper(width, height, theme) as paper:
        room = width - 2 * _SIZE
        paper.words(_SIZE, 0.9 * _SIZE, record.model, 1.2 * _SIZE, room, fontweight="bold")
        for index, row in enumerate(rows):
            y = 6 * _SIZE + (index + 0.5) * _BAR
            colour = theme.soft if row.rest else theme.ink
            paper.words(left - 0.7 * _SIZE, y, row.label, _SIZE, left - 1.5 * _SIZE,
                        ha="right", va="center_baseline", color=colour)  # fmt: skip
        for column, measure in enumerate(measures):
            x = left + column * (_PANEL + _SPACE)
            _draw_column(paper, x, measure, [row.values[column] for row in rows], rows)
        paper.save(path)
    return path


def _rows(record: Record, measures: Sequence[str], most: int) -> list[_Row]:
    """The layers in order, those that are not among the dearest added up at the end."""
    sums: dict[tuple[str, str], list[float | None]] = {}
    for operator in record.operators:
        total = sums.setdefault((operator.name, operator.kind), [None] * len(measures))
        for at, measure in enumerate(measures):
            total[at] = _sum(total[at], getattr(operator, measure))
    rows = [
        _Row(f"{name or record.model} \N{MIDDLE DOT} {kind.replace('_', ' ')}", tuple(values))
        for (name, kind), values in sums.items()
        if any(value != 0 for value in values)
    ]
    dearest = sorted(range(len(rows)), key=lambda i: -(rows[i].values[0] or 0))[:most]
    if len(rows) - most == 1:
        dearest = list(range(len(rows)))  # its own bar takes no more room than "1 more"
    rest = [row for index, row in enumerate(rows) if index not in dearest]
    kept = [rows[index] for index in sorted(dearest)]
    if rest:
        added: list[float | None] = [None] * len(measures)
        for row in rest:
            added = [_sum(a, b) for a, b in zip(added, row.values, strict=True)]
        kept.append(_Row(f"{len(rest)} more", tuple(added), rest=True))
    return kept


def _sum(total: float | None, value: float | None) -> float | None:
    return total if value is None else (total or 0) + value


def _draw_column(
    paper: Paper, x: float, measure: str, values: Sequence[float | None], rows: Sequence[_Row]
) -> None:
    """A measure: its title, its total, and a bar with a number for each row."""
    from matplotlib.patches import Rectangle

    theme, (title, unit) = paper.theme, MEASURES[measure]
    total = sum(value or 0 for value in values)
    paper.words(x, 2.9 * _SIZE, title, _SIZE, fontweight="bold")
    paper.words(x, 4.3 * _SIZE, f"{_written(total, unit)} in all", _SIZE, color=theme.soft)
    high, longest = len(rows) * _BAR, max((value or 0 for value in values), default=0)
    axes: Axes = paper.axes(x, 6 * _SIZE, _PANEL, max(1, high))
    axes.plot([0, 0], [0, high], color=theme.line, linewidth=1)
    for index, (value, row) in enumerate(zip(values, rows, strict=True)):
        top, length = index * _BAR + 3, _PANEL * (value or 0) / (longest or 1)
        colour = theme.soft if row.rest else theme.first
        axes.add_patch(Rectangle((0, top), length, _BAR - 6, color=colour, linewidth=0,
                                 gid=f"{measure}-{index}"))  # fmt: skip
        text = "not known" if value is None else _written(value, unit) if value else ""
        paper.words(x + length + 5, 6 * _SIZE + top + _BAR / 2 - 3, text, 0.9 * _SIZE,
                    va="center_baseline", color=theme.soft)  # fmt: skip


def _written(value: float, unit: str) -> str:
    """A count or an amount in three digits: ``118 k``, ``2.5 MB``, ``310 µs``."""
    from matplotlib.ticker import EngFormatter

    return EngFormatter(unit=unit)(float(f"{value:.3g}")).strip()
