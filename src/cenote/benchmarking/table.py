"""A record in the terminal: a line a row, what it comes to, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cenote.benchmarking.record import AnyRecord, Record, RowRecord, mean, ours
from cenote.benchmarking.targets import Target, targets

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "PEERS",
    "Printer",
    "absent",
    "compact",
    "groups",
    "how_far",
    "lines",
    "milliseconds",
    "missed",
    "print_record",
    "ratio",
    "short",
    "slower",
    "summary",
    "where",
]

_SHORT = {"forward": "fwd", "forward with indices": "fwd+idx", "forward+backward": "fwd+bwd"}
PEERS = {
    "torch": "torch", "torch.compile": "compile", "onednn": "oneDNN",
    "onnxruntime": "ORT", "openvino": "OV",
}  # fmt: skip


def short(pass_: str) -> str:
    """The name of a pass where there is little room."""
    return _SHORT[pass_]


def compact(window: str) -> str:
    """A window's words as letters.

    >>> compact("3x3, stride 2, padding 1, ceil")
    '3x3 s2 p1 ceil'
    """
    for word in ("stride", "padding", "dilation"):
        window = window.replace(f", {word} ", f" {word[0]}")
    return window.replace(", ", " ")


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, in as many digits as tell.

    >>> milliseconds(0.0123)
    '12.3'
    """
    value = seconds * 1e3
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def ratio(value: float) -> str:
    """How many times faster.

    >>> ratio(12.3)
    '12.3x'
    """
    return f"{value:.1f}x" if value >= 10 else f"{value:.2f}x"


def _cells(row: RowRecord) -> list[str]:
    """The cells of a row but for the peers."""
    there = row["contenders"]
    kind = row["reduce"] if row["dtype"] == "f32" else f"{row['reduce']} {row['dtype']}"
    place = f"{row['layout']} {short(row['pass'])}"
    cells = [row["case"], compact(row["window"]), kind, place, str(row["threads"])]
    cells.append(milliseconds(there["roof"]["median"]))
    for name in ("cenote", "cenote out="):
        if name == "cenote":
            cells.append(milliseconds(there[name]["median"]) if name in there else "-")
        cells.append(f"{there[name]['of_roof']:.2f}" if name in there else "-")
    return cells


_COLUMNS = (
    ("case", 22, "left"), ("window", 14, "left"), ("", 8, "left"), ("pass", 12, "left"),
    ("th", 2, "right"), ("roof ms", 8, "right"), ("cenote ms", 9, "right"),
    ("of roof", 7, "right"), ("out=", 5, "right"),
)  # fmt: skip


class Printer:
    """Prints rows as they come, under one another: their cells, and how they stand to the peers."""

    def __init__(
        self,
        console: Console,
        columns: Sequence[tuple[str, int, str]] = _COLUMNS,
        cells: Callable[[Any], list[str]] = _cells,
        peers: Mapping[str, str] = PEERS,
    ) -> None:
        self.console = console
        self.columns, self.cells, self.peers = columns, cells, peers
        self.began = False

    def row(self, row: Any) -> None:
        """One line; the first has the names of the columns above it."""
        if not self.began:
            self._print([name for name, _, _ in self.columns], self.peers, "bold")
            self.began = True
        faster = row["times_faster"]
        behind = any(value < 1 for value in faster.values())
        peers = {name: ratio(faster[name]) if name in faster else "-" for name in self.peers}
        self._print(self.cells(row), peers, "red" if behind else "")

    def _print(self, cells: list[str], peers: Mapping[str, str], style: str) -> None:
        from rich.text import Text

        parts = []
        for cell, (_, width, side) in zip(cells, self.columns, strict=True):
            cut = cell if len(cell) <= width else cell[: width - 1] + "…"
            parts.append(cut.rjust(width) if side == "right" else cut.ljust(width))
        parts += [cell.rjust(8) for cell in peers.values()]
        self.console.print(Text(" ".join(parts), style=style), soft_wrap=True)


def print_record(record: Record, console: Console, *, rows: bool = True) -> None:
    """The whole of it; without ``rows`` what they come to alone."""
    printer = Printer(console)
    for row in record["rows"] if rows else ():
        printer.row(row)
    lines(console, _legend(record))
    lines(console, summary(record))


def lines(console: Console, told: Iterable[str]) -> None:
    """Print lines as they are."""
    for line in told:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def where(record: AnyRecord, peers: Mapping[str, str]) -> tuple[str, str]:
    """A line about the machine, and one about versions."""
    machine = record["machine"]
    versions = ", ".join(f"{n} {v}" for n, v in record["peers"].items() if n in peers)
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['isa']}, {machine['system']};"
        f" allocator {record['allocator']['setting']}"
    ), f"versions: {versions}"


def _legend(record: Record) -> Iterator[str]:
    machine, versions = where(record, PEERS)
    yield ""
    yield f"{machine}; roof: {_roofs(record)}"
    yield versions
    yield (
        "of roof: the roof's time by cenote's; out=: the same with a preallocated output; peers:"
        " times that cenote is faster"
    )
    yield (
        "medians; oneDNN, ORT and OV write into preallocated outputs and stand against out= where"
        " it is there, torch against fresh outputs"
    )
    yield from absent(record)


def absent(record: AnyRecord) -> Iterator[str]:
    """Lines about who was left out, and why: of all rows, then of some."""
    for name, why in record["left_out"].items():
        yield f"left out: {name}: {why}"
    seen: dict[tuple[str, str], list[str]] = {}
    for row in record["rows"]:
        for name, why in row["left_out"].items():
            seen.setdefault((name, why), []).append(row["case"])
    for (name, why), cases in seen.items():
        place = cases[0] if len(cases) == 1 else f"{len(cases)} rows"
        yield f"left out of {place}: {name}: {why}"


def _roofs(record: Record) -> str:
    kinds = Counter(row["roof"] for row in record["rows"])
    return ", ".join(f"{kind} in {count} rows" for kind, count in kinds.most_common())


def summary(record: Record) -> Iterator[str]:
    """What the rows come to: geometric means, and rows that are under something by name."""
    yield ""
    yield "geometric means"
    for (what, layout, pass_, threads), rows in groups(record).items():
        name = f"{what} {layout} {short(pass_)} {threads} thread{'s' if threads > 1 else ''}"
        parts = [f"{len(rows)} rows", *_of_roof(rows)]
        for peer in PEERS:
            ratios = [row["times_faster"][peer] for row in rows if peer in row["times_faster"]]
            if ratios:
                parts.append(f"{PEERS[peer]} {ratio(mean(ratios))} ({len(ratios)})")
        fastest = [min(row["times_faster"].values()) for row in rows if row["times_faster"]]
        if fastest:
            parts.append(f"fastest peer {ratio(mean(fastest))}")
        yield f"  {name:32} {', '.join(parts)}"
    yield from how_far(targets(record))
    yield from _under(record, 0.7, 0.0)
    yield from _under(record, 0.85, 0.7)
    behind = slower(record)
    yield f"a peer is faster in {len(behind)} of {len(record['rows'])} rows" + ":" * bool(behind)
    yield from (f"  {line}" for line in behind)


def how_far(wanted: Iterable[Target]) -> Iterator[str]:
    """A line a target: what was reached, and whether that is enough."""
    yield "targets"
    for target in wanted:
        state = "reached" if target.met else "not reached" if target.rows else "not measured"
        bound = f"{'at most' if target.at_most else 'at least'} {target.wanted:g}"
        yield f"  {target.what}: {target.reached:.2f}, {bound}, {target.rows} rows: {state}"


def groups(record: Record) -> dict[tuple[str, str, str, int], list[RowRecord]]:
    """The rows by what is computed, layout, pass and threads, after those of all by the rest."""
    found: dict[tuple[str, str, str, int], list[RowRecord]] = {}
    for together in (True, False):
        for row in record["rows"]:
            what = "all" if together else f"{row['reduce']} {row['dtype']}"
            key = (what, row["layout"], row["pass"], row["threads"])
            found.setdefault(key, []).append(row)
    return found


def _of_roof(rows: list[RowRecord]) -> Iterator[str]:
    for name, shown in (("cenote", "of roof"), ("cenote out=", "out= of roof")):
        parts = [row["contenders"][name]["of_roof"] for row in rows if name in row["contenders"]]
        if parts:
            yield f"{shown} {mean(parts):.2f}"


def _under(record: Record, most: float, least: float) -> Iterator[str]:
    found = missed(record, lambda part: least <= part < most)
    between = f"under {most} of the roof" + (f" and not under {least}" if least else "")
    yield f"{between}: {len(found)} of {len(record['rows'])} rows" + ":" * bool(found)
    yield from (f"  {line}" for line in found)


def _words(row: RowRecord) -> str:
    threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
    return " ".join(
        (row["case"], row["reduce"], row["dtype"], row["layout"], short(row["pass"]), threads)
    )


def missed(record: Record, under: Callable[[float], bool]) -> list[str]:
    """Rows whose part of the roof, with ``out=`` where that takes part, is in a range."""
    found = []
    for row in record["rows"]:
        there = row["contenders"]
        name = "cenote out=" if "cenote out=" in there else "cenote"
        if name in there and under(there[name]["of_roof"]):
            found.append(f"{_words(row)}: {there[name]['of_roof']:.2f}")
    return found


def slower(record: Record) -> list[str]:
    """Rows in which a peer is faster than cenote, with the peers and how far they are ahead."""
    found = []
    for row in record["rows"]:
        ahead = {name: ratio for name, ratio in row["times_faster"].items() if ratio < 1}
        if ahead:
            told = [f"{name} {ratio:.2f}x ({ours(row, name)})" for name, ratio in ahead.items()]
            found.append(f"{_words(row)}: {', '.join(told)}")
    return found
