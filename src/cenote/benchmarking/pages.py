"""Tables of records as Markdown, and their places in pages.

A place is what stands between ``<!-- bench: NAME SETTING -->`` and ``<!-- end of bench -->``: the
table of that name from the record of that allocator setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from cenote.benchmarking.record import Record, RowRecord, mean
from cenote.benchmarking.table import PEERS, compact, groups, missed, short, slower
from cenote.benchmarking.targets import targets

__all__ = ["TABLES", "table", "update"]

_PLACE = re.compile(r"(<!-- bench: (\S+) (\S+) -->\n)(?:.*?)(<!-- end of bench -->)", re.DOTALL)
_README = (
    "big_2x2_s2", "big_3x3_s1_p1", "big_3x3_s2_p1", "big_5x5_s1_p2", "vgg_first", "lenet_first",
    "inception_v3_branch", "yolo_spp", "resnet_head_global", "audio_k4_s4", "video_2x2x2_s2",
)  # fmt: skip
_MEAN = "**geometric mean, all cases**"


def update(text: str, records: Sequence[Record]) -> str:
    """The page with the tables of records in their places; places without a record stay.

    Raises:
        ValueError: a place of a table that does not exist.
    """
    by_setting = {record["allocator"]["setting"]: record for record in records}

    def filled(match: re.Match[str]) -> str:
        opening, name, setting, closing = match.groups()
        if name not in TABLES:
            raise ValueError(f"table {name!r}: must be one of {', '.join(TABLES)}")
        if setting not in by_setting:
            return match[0]
        return f"{opening}\n{table(by_setting[setting], name)}\n\n{closing}"

    return _PLACE.sub(filled, text)


def table(record: Record, name: str) -> str:
    """One of :data:`TABLES`, as Markdown without the empty lines around it."""
    return TABLES[name](record)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    bar = "|" + "---|" * left + "---:|" * (len(head) - left)
    lines = ["| " + " | ".join(head) + " |", bar]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in rows)])


def _shape(row: RowRecord) -> str:
    return "x".join(map(str, row["shape"]))


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}x" if value >= 9.95 else f"{value:.1f}x"


def _part(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _of_roof(row: RowRecord, name: str) -> float | None:
    there = row["contenders"]
    return there[name]["of_roof"] if name in there else None


def _bold(cell: str) -> str:
    return cell if cell == "-" else f"**{cell}**"


def _readme(record: Record) -> str:
    """Max forward and training, against torch in either layout, and against the fastest peer."""
    passes = ("forward", "forward+backward")
    columns = [(layout, pass_) for layout in ("NCHW", "NHWC") for pass_ in passes]
    found = {
        (row["case"], row["layout"], row["pass"]): row
        for row in record["rows"]
        if (row["reduce"], row["dtype"], row["threads"]) == ("max", "f32", 2)
    }
    head = ["shape", "window"]
    head += [f"torch {layout} {short(pass_)}" for layout, pass_ in columns]
    head += [f"fastest peer {layout}" for layout in ("NCHW", "NHWC")]
    head += [f"of the roof {layout}" for layout in ("NCHW", "NHWC")]

    def figures(case: str) -> list[float | None]:
        rows = [found.get((case, *column)) for column in columns]
        forward = [rows[0], rows[2]]
        against = [row["times_faster"].get("torch") if row else None for row in rows]
        fastest = [min(r["times_faster"].values(), default=None) if r else None for r in forward]
        return [*against, *fastest, *(_best(row) if row else None for row in forward)]

    names = list(dict.fromkeys(case for case, _, _ in found))
    every = {name: figures(name) for name in names}
    lines = []
    for name in names:
        if name in _README:
            row = next(row for key, row in found.items() if key[0] == name)
            lines.append([_shape(row), compact(row["window"]), *_shown(every[name])])
    means = _shown([_mean(column) for column in zip(*every.values(), strict=True)])
    lines.append([_MEAN, "", *map(_bold, means)])
    return _markdown(head, lines, 2)


def _best(row: RowRecord) -> float | None:
    """The part of the roof with ``out=``, or with fresh outputs where there is none."""
    given = _of_roof(row, "cenote out=")
    return _of_roof(row, "cenote") if given is None else given


def _shown(figures: Sequence[float | None]) -> list[str]:
    return [*map(_ratio, figures[:-2]), *map(_part, figures[-2:])]


def _every(record: Record) -> str:
    """Every row: the roof's time, the parts of it, and how much faster than each peer."""
    head = ["case", "shape", "window", "what", "threads", "roof ms", "fresh", "out="]
    head += [PEERS[name] for name in PEERS]
    lines = []
    for row in record["rows"]:
        there = row["contenders"]
        lines.append([
            f"`{row['case']}`",
            _shape(row),
            compact(row["window"]),
            f"{row['reduce']} {row['dtype']} {row['layout']} {short(row['pass'])}",
            str(row["threads"]),
            f"{there['roof']['median'] * 1e3:.3g}",
            _part(_of_roof(row, "cenote")),
            _part(_of_roof(row, "cenote out=")),
            *(_ratio(row["times_faster"].get(name)) for name in PEERS),
        ])  # fmt: skip
    return _markdown(head, lines, 4)


def _means(record: Record) -> str:
    """Geometric means by what is computed, layout, pass and threads."""
    head = [
        "what",
        "layout",
        "pass",
        "threads",
        "rows",
        "fresh",
        "out=",
        *PEERS.values(),
        "fastest peer",
    ]
    lines = []
    for (what, layout, pass_, threads), rows in groups(record).items():
        cells = [what, layout, pass_, str(threads), str(len(rows))]
        for name in ("cenote", "cenote out="):
            cells.append(_part(_mean([_of_roof(row, name) for row in rows])))
        for name in PEERS:
            cells.append(_ratio(_mean([row["times_faster"].get(name) for row in rows])))
        cells.append(_ratio(_mean([min(r["times_faster"].values(), default=None) for r in rows])))
        lines.append(cells)
    return _markdown(head, lines, 3)


def _targets(record: Record) -> str:
    """What was wanted and what was reached."""
    head = ["what", "wanted", "reached", "rows"]
    lines = []
    for target in targets(record):
        bound = f"{'at most' if target.at_most else 'at least'} {target.wanted:g}"
        reached = f"{target.reached:.2f}" if target.rows else "-"
        lines.append(
            [target.what, bound, reached if target.met else _bold(reached), str(target.rows)]
        )
    return _markdown(head, lines, 1)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return mean(there) if there else None


def _behind(record: Record) -> str:
    """Rows under 0.7 and 0.85 of the roof, and rows in which a peer is faster, as lists."""
    lines = []
    for least, most in ((0.0, 0.7), (0.7, 0.85)):
        found = missed(record, lambda part, least=least, most=most: least <= part < most)  # type: ignore[misc]
        lines.append(f"- from {least} to {most} of the roof, {len(found)} rows: {_listed(found)}")
    found = slower(record)
    lines.append(f"- a peer is faster, {len(found)} rows: {_listed(found)}")
    return "\n".join(lines)


def _listed(found: list[str]) -> str:
    return "; ".join(found) if found else "none"


def _machine(record: Record) -> str:
    """One sentence: where and with what it was measured."""
    machine = record["machine"]
    peers = ", ".join(f"{n} {v}" for n, v in record["peers"].items() if n in PEERS)
    turns = [f["n"] for row in record["rows"] for f in row["contenders"].values()]
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores ({machine['isa']}),"
        f" {machine['system']}, on {record['date']}, with {peers}; allocator"
        f" {record['allocator']['setting']}; {len(record['rows'])} rows, n from {min(turns)} to"
        f" {max(turns)} turns."
    )


TABLES: dict[str, Callable[[Record], str]] = {
    "readme": _readme,
    "machine": _machine,
    "means": _means,
    "targets": _targets,
    "every": _every,
    "behind": _behind,
}
"""The tables that pages can hold, by name."""
