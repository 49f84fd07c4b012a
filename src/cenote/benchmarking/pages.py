"""Tables of records as Markdown, and their places in pages.

A place is what stands between ``<!-- bench: NAME SETTING -->`` and ``<!-- end of bench -->``: the
table of that name from the record of that allocator setting; ``default+raised`` are two of them.
Names that begin with ``conv-`` are of records of convolutions, with ``net-`` of networks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from cenote.benchmarking.convolution import pages as convolution
from cenote.benchmarking.networks import pages as networks
from cenote.benchmarking.record import AnyRecord, Record, RowRecord, mean
from cenote.benchmarking.table import PEERS, compact, groups, missed, short, slower
from cenote.benchmarking.targets import targets
from cenote.benchmarking.text import bold, listed, machine, markdown, ratio, shape

__all__ = ["TABLES", "table", "update"]

_PLACE = re.compile(r"(<!-- bench: (\S+) (\S+) -->\n)(?:.*?)(<!-- end of bench -->)", re.DOTALL)
_README = (
    "big_2x2_s2", "big_3x3_s1_p1", "big_3x3_s2_p1", "big_5x5_s1_p2", "vgg_first", "lenet_first",
    "inception_v3_branch", "yolo_spp", "resnet_head_global", "audio_k4_s4", "video_2x2x2_s2",
)  # fmt: skip
_MEAN = "**geometric mean, all cases**"


def update(text: str, records: Sequence[AnyRecord]) -> str:
    """The page with the tables of records in their places; places without a record stay.

    Raises:
        ValueError: a place of a table that does not exist.
    """
    pooled = {r["allocator"]["setting"]: r for r in records if r["benchmark"] == "pooling"}
    convolved = {r["allocator"]["setting"]: r for r in records if r["benchmark"] == "convolution"}
    whole = {r["allocator"]["setting"]: r for r in records if r["benchmark"] == "networks"}

    def filled(match: re.Match[str]) -> str:
        opening, name, setting, closing = match.groups()
        settings = setting.split("+")
        if name in convolution.TABLES and all(word in convolved for word in settings):
            made = convolution.TABLES[name]([convolved[word] for word in settings])
        elif name in networks.TABLES and all(word in whole for word in settings):
            made = networks.TABLES[name]([whole[word] for word in settings])
        elif name in TABLES and setting in pooled:
            made = table(pooled[setting], name)
        elif name in TABLES or name in convolution.TABLES or name in networks.TABLES:
            return match[0]
        else:
            known = ", ".join((*TABLES, *convolution.TABLES, *networks.TABLES))
            raise ValueError(f"table {name!r}: must be one of {known}")
        return f"{opening}\n{made}\n\n{closing}"

    return _PLACE.sub(filled, text)


def table(record: Record, name: str) -> str:
    """One of :data:`TABLES`, as Markdown without the empty lines around it."""
    return TABLES[name](record)


def _part(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _of_roof(row: RowRecord, name: str) -> float | None:
    there = row["contenders"]
    return there[name]["of_roof"] if name in there else None


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
            lines.append([shape(row["shape"]), compact(row["window"]), *_shown(every[name])])
    means = _shown([_mean(column) for column in zip(*every.values(), strict=True)])
    lines.append([_MEAN, "", *map(bold, means)])
    return markdown(head, lines, 2)


def _best(row: RowRecord) -> float | None:
    """The part of the roof with ``out=``, or with fresh outputs where there is none."""
    given = _of_roof(row, "cenote out=")
    return _of_roof(row, "cenote") if given is None else given


def _shown(figures: Sequence[float | None]) -> list[str]:
    return [*map(ratio, figures[:-2]), *map(_part, figures[-2:])]


def _every(record: Record) -> str:
    """Every row: the roof's time, the parts of it, and how much faster than each peer."""
    head = ["case", "shape", "window", "what", "threads", "roof ms", "fresh", "out="]
    head += [PEERS[name] for name in PEERS]
    lines = []
    for row in record["rows"]:
        there = row["contenders"]
        lines.append([
            f"`{row['case']}`",
            shape(row["shape"]),
            compact(row["window"]),
            f"{row['reduce']} {row['dtype']} {row['layout']} {short(row['pass'])}",
            str(row["threads"]),
            f"{there['roof']['median'] * 1e3:.3g}",
            _part(_of_roof(row, "cenote")),
            _part(_of_roof(row, "cenote out=")),
            *(ratio(row["times_faster"].get(name)) for name in PEERS),
        ])  # fmt: skip
    return markdown(head, lines, 4)


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
            cells.append(ratio(_mean([row["times_faster"].get(name) for row in rows])))
        cells.append(ratio(_mean([min(r["times_faster"].values(), default=None) for r in rows])))
        lines.append(cells)
    return markdown(head, lines, 3)


def _targets(record: Record) -> str:
    """What was wanted and what was reached."""
    head = ["what", "wanted", "reached", "rows"]
    lines = []
    for target in targets(record):
        bound = f"{'at most' if target.at_most else 'at least'} {target.wanted:g}"
        reached = f"{target.reached:.2f}" if target.rows else "-"
        lines.append(
            [target.what, bound, reached if target.met else bold(reached), str(target.rows)]
        )
    return markdown(head, lines, 1)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return mean(there) if there else None


def _behind(record: Record) -> str:
    """Rows under 0.7 and 0.85 of the roof, and rows in which a peer is faster, as lists."""
    lines = []
    for least, most in ((0.0, 0.7), (0.7, 0.85)):
        found = missed(record, lambda part, least=least, most=most: least <= part < most)  # type: ignore[misc]
        lines.append(f"- from {least} to {most} of the roof, {len(found)} rows: {listed(found)}")
    found = slower(record)
    lines.append(f"- a peer is faster, {len(found)} rows: {listed(found)}")
    return "\n".join(lines)


TABLES: dict[str, Callable[[Record], str]] = {
    "readme": _readme,
    "machine": lambda record: machine(record, PEERS),
    "means": _means,
    "targets": _targets,
    "every": _every,
    "behind": _behind,
}
"""The tables that pages can hold, by name."""
