"""Pictures of a record: bytes against speed below the roof, and bars beside those of the peers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cenote.benchmarking.record import AnyRecord, Record, RowRecord
from cenote.benchmarking.table import PEERS, compact
from cenote.inspection.style import LIGHT, Theme, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bars", "draw", "roofline"]

_OURS, _FRESH = "cenote out=", "cenote"


def draw(record: AnyRecord, folder: Path, *, theme: Theme = LIGHT) -> list[Path]:
    """Draw ``roofline.png`` and ``peers.png`` into a folder, named for the allocator's setting.

    Raises:
        ValueError: the record is not of pooling, or has no row to draw.
    """
    if record["benchmark"] != "pooling":
        raise ValueError(f"record: of {record['benchmark']}; records of pooling are drawn")
    if not _forward(record):
        raise ValueError("record: no row of max forward in f32 on the most threads, to draw")
    folder.mkdir(parents=True, exist_ok=True)
    setting = record["allocator"]["setting"]
    made = []
    for name, picture in (("roofline", roofline), ("peers", bars)):
        path = folder / f"{name}-{setting}.png"
        with themed(theme):
            figure = picture(record, theme)
            figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.15)
        made.append(path)
    return made


def _forward(record: Record) -> list[RowRecord]:
    """The rows that are drawn: max forward in f32, on as many threads as any row has."""
    most = max((row["threads"] for row in record["rows"]), default=0)
    kind = ("max", "f32", "forward", most)
    return [
        row
        for row in record["rows"]
        if (row["reduce"], row["dtype"], row["pass"], row["threads"]) == kind
    ]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _layouts(rows: Sequence[RowRecord]) -> list[str]:
    return [name for name in ("NCHW", "NHWC") if any(row["layout"] == name for row in rows)]


def _where(record: Record) -> str:
    machine, threads = record["machine"], _forward(record)[0]["threads"]
    return (
        f"max, float32, forward, {threads} threads on {machine['processor']} ({machine['isa']}),"
        f" allocator {record['allocator']['setting']}"
    )


def roofline(record: Record, theme: Theme = LIGHT) -> Figure:
    """GB/s over the bytes of each case: the roof, cenote, and the fastest peer."""
    rows = _forward(record)
    layouts = _layouts(rows)
    figure = _figure(5.4 * len(layouts) + 0.6, 5.0)
    beside = {"wspace": 0.08}
    grid = figure.subplots(
        1, len(layouts), sharex=True, sharey=True, squeeze=False, gridspec_kw=beside
    )
    for axes, layout in zip(grid[0], layouts, strict=True):
        _points(axes, [row for row in rows if row["layout"] == layout], theme)
        axes.set_title({"NCHW": "channels first", "NHWC": "channels last"}[layout])
        axes.set_xlabel("bytes that have to move")
    drawn = [_best(row) for row in rows] + [s for _, s in _speeds(rows, "roof")]
    drawn += [speed for name in (_OURS, _FRESH) for _, speed in _speeds(rows, name)]
    grid[0][0].set_ylim(min(drawn) / 1.3, max(drawn) * 1.3)
    grid[0][0].set_ylabel("GB/s")
    grid[0][0].legend(
        loc="lower left", bbox_to_anchor=(0, 1.09), frameon=False, ncols=4, handletextpad=0.2,
        borderaxespad=0, fontsize=10, columnspacing=1.4,
    )  # fmt: skip
    figure.text(0.5, -0.03, _where(record), ha="center", color=theme.soft, fontsize=9)
    return figure


def _points(axes: Axes, rows: Sequence[RowRecord], theme: Theme) -> None:
    """A column of points a case, the roof's joined: nothing gets above them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ordered = sorted(rows, key=lambda row: row["bytes"])
    sizes = [row["bytes"] for row in ordered]
    roof = [row["contenders"]["roof"]["gbs"] for row in ordered]
    axes.plot(sizes, roof, color=theme.soft, linewidth=1.6, zorder=2, label="roof",
              marker="_", markersize=9)  # fmt: skip
    axes.fill_between(sizes, roof, 1e-3, color=theme.line, alpha=0.35, linewidth=0, zorder=0)
    best = [(row["bytes"], _best(row)) for row in ordered if _peers(row)]
    drawn: list[tuple[str, list[tuple[int, float]], str, str, str]] = [
        ("fastest peer", best, "v", theme.second, theme.second),
        ("cenote, output allocated", _speeds(ordered, _FRESH), "o", "none", theme.first),
        ("cenote, output given", _speeds(ordered, _OURS), "o", theme.first, theme.first),
    ]
    for label, points, marker, inside, edge in drawn:
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(
                x, y, marker=marker, s=30, facecolors=inside, edgecolors=edge, linewidths=1.2,
                zorder=3, label=label,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0,), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _bytes(value)))
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)


def _speeds(rows: Sequence[RowRecord], name: str) -> list[tuple[int, float]]:
    there = [row for row in rows if name in row["contenders"]]
    return [(row["bytes"], row["contenders"][name]["gbs"]) for row in there]


def _bytes(value: float) -> str:
    """A number of bytes to read.

    >>> _bytes(1e8)
    '100 MB'
    """
    power = min(3, max(0, int(math.log10(value) // 3)))
    return f"{value / 1000**power:g} {('B', 'kB', 'MB', 'GB')[power]}"


def _peers(row: RowRecord) -> dict[str, float]:
    return {name: f["gbs"] for name, f in row["contenders"].items() if name in PEERS}


def _best(row: RowRecord) -> float:
    """The speed of the fastest peer; of the roof where there is none."""
    return max(_peers(row).values(), default=row["contenders"]["roof"]["gbs"])


def bars(record: Record, theme: Theme = LIGHT) -> Figure:
    """The part of the roof that cenote, the fastest peer and torch reach, case by case."""
    rows = [row for row in _forward(record) if _peers(row)] or _forward(record)
    layouts = _layouts(rows)
    names = list(dict.fromkeys(row["case"] for row in rows))
    figure = _figure(2.2 + 4.2 * len(layouts), 1.0 + 0.36 * len(names))
    beside = {"wspace": 0.06}
    grid = figure.subplots(1, len(layouts), sharey=True, squeeze=False, gridspec_kw=beside)
    for axes, layout in zip(grid[0], layouts, strict=True):
        by_name = {row["case"]: row for row in rows if row["layout"] == layout}
        for place, name in enumerate(names):
            if name in by_name:
                _bars_of(axes, place, by_name[name], theme)
            else:
                axes.text(0.01, place, "not in this layout", va="center", fontsize=7.5,
                          color=theme.soft)  # fmt: skip
        _finish(axes, layout, rows, names, theme)
    handles = [
        _patch(theme.first, "cenote"), _patch(theme.second, "fastest peer"),
        _patch(theme.soft, "torch"),
    ]  # fmt: skip
    grid[0][0].legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1, 1, 0), frameon=False, ncols=3,
        fontsize=10, handlelength=1.0, borderaxespad=2.4,
    )  # fmt: skip
    height = figure.get_size_inches()[1]
    words = {"ha": "center", "color": theme.soft, "fontsize": 9}
    figure.text(0.5, 0.11 - 0.62 / height, _where(record), fontdict=words)
    return figure


def _patch(colour: str, label: str) -> object:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)


def _bars_of(axes: Axes, place: int, row: RowRecord, theme: Theme) -> None:
    """Three bars under one another, the names of peers at their ends, our figure at the margin."""
    there, peers = row["contenders"], _peers(row)
    mine = there.get(_OURS, there.get(_FRESH))
    if mine is not None:
        axes.barh(place - 0.24, mine["of_roof"], height=0.3, color=theme.first)
        axes.text(1.15, place - 0.2, f"{mine['of_roof']:.2f}", va="center", ha="right",
                  fontsize=8.5)  # fmt: skip
    if peers:
        best = max(peers, key=lambda name: peers[name])
        part = there[best]["of_roof"]
        axes.barh(place + 0.03, part, height=0.2, color=theme.second)
        # Behind the bar, or below it where the margin's figures would be in the way.
        x, y, side = (
            (part + 0.012, 0.05, "left") if part < 0.84 else (min(part, 1.0), 0.28, "right")
        )
        words = {"va": "center", "ha": side, "fontsize": 7, "color": theme.soft}
        axes.text(x, place + y, PEERS[best], fontdict=words)
    if "torch" in there:
        axes.barh(place + 0.26, there["torch"]["of_roof"], height=0.2, color=theme.soft)


def _finish(
    axes: Axes, layout: str, rows: Sequence[RowRecord], names: Sequence[str], theme: Theme
) -> None:
    windows = {row["case"]: compact(row["window"]) for row in rows}
    axes.set_yticks(range(len(names)), [f"{name}   {windows[name]}" for name in names])
    axes.tick_params(axis="y", labelsize=8.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.16)
    axes.axvline(1, color=theme.ink, linewidth=1)
    axes.set_title({"NCHW": "channels first", "NHWC": "channels last"}[layout])
    axes.set_xlabel("part of the roof")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
