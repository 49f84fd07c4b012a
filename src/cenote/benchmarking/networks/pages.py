"""Tables of records of networks as Markdown: one record each, but for the targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cenote.benchmarking.networks.grid import MODES, NETWORKS, TRAINING
from cenote.benchmarking.networks.table import PEERS, slower
from cenote.benchmarking.networks.targets import counted, out_of_the_box, targets, times
from cenote.benchmarking.record import NetworkRecord, NetworkRow, mean
from cenote.benchmarking.targets import Target
from cenote.benchmarking.text import bold, listed, machine, markdown, shape

__all__ = ["TABLES"]

_TITLES = {network.name: network.title for network in NETWORKS}
_MEAN = "**geometric mean**"
_SHOWN = ("torch", "torch.channels_last", "cenote")


def _short(records: Sequence[NetworkRecord]) -> str:
    """A line a network: milliseconds and times faster, inference beside training."""
    head = ["network"]
    for mode in MODES:
        head += [f"{mode}, ms: torch NCHW", "channels_last", "cenote", "faster than NCHW",
                 "than the better"]  # fmt: skip
    lines: dict[str, list[str]] = {}
    means = [_MEAN]
    for place, mode in enumerate(MODES):
        rows = [row for record in records for row in counted(record, mode)]
        for row in rows:
            cells = lines.setdefault(row["case"], [_titled(row)])
            cells += ["-"] * (1 + 5 * place - len(cells))
            cells += [_ms(row, name) for name in _SHOWN]
            cells += map(_times, times(row))
        means += [*["-"] * 3, *(bold(cell) for cell in _means(rows))]
    every = [cells + ["-"] * (len(head) - len(cells)) for cells in lines.values()]
    return markdown(head, [*every, means], 1)


def _every(records: Sequence[NetworkRecord]) -> str:
    """Every row: milliseconds of all contenders, what cenote's are to torch's, and what it cost."""
    head = ["network", "input", "mode", *(f"{name} ms" for name in ("NCHW", "channels_last")),
            *(f"{PEERS[n]} ms" for n in PEERS if n not in _SHOWN), "cenote ms", "quartiles",
            "faster than NCHW", "than the better", "accelerate s", "compile s", "off by",
            "memory MB: NCHW", "channels_last", "cenote"]  # fmt: skip
    order = [*_SHOWN[:2], *(name for name in PEERS if name not in _SHOWN), "cenote"]
    lines = []
    rows = [row for record in records for row in counted(record)]
    for row in rows:
        mine = row["contenders"]["cenote"]
        lower, upper = (value * 1e3 for value in mine["quartiles"])
        compiled = row["contenders"].get("torch.compile")
        lines.append([
            _titled(row), shape(row["shape"]), row["mode"], *(_ms(row, name) for name in order),
            f"{_digits(lower)} to {_digits(upper)}", *map(_times, times(row)),
            f"{mine['prepared']:.1f}", f"{compiled['prepared']:.0f}" if compiled else "-",
            f"{mine['off']:.0e}", *(_megabytes(row, name) for name in _SHOWN),
        ])  # fmt: skip
    for mode in MODES:
        found = [row for row in rows if row["mode"] == mode]
        if found:
            blank = [""] * (len(order) + 1)
            means = [bold(cell) for cell in _means(found)]
            lines.append([_MEAN, "", mode, *blank, *means, *[""] * 6])
    return markdown(head, lines, 3)


def _titled(row: NetworkRow) -> str:
    return _TITLES[row["case"]]


def _ms(row: NetworkRow, name: str) -> str:
    there = row["contenders"]
    return _digits(there[name]["median"] * 1e3) if name in there else "-"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def _times(value: float) -> str:
    return f"{value:.2f}x"


def _megabytes(row: NetworkRow, name: str) -> str:
    return f"{row['memory'][name] / 1e6:.0f}" if name in row["memory"] else "-"


def _means(rows: Sequence[NetworkRow]) -> list[str]:
    pairs = [times(row) for row in rows]
    return [_times(mean(pair[place] for pair in pairs)) if pairs else "-" for place in range(2)]


def _targets(records: Sequence[NetworkRecord]) -> str:
    """What is wanted, and what is reached with each setting of the allocator and with both."""
    settings = [record["allocator"]["setting"] for record in records]
    head = ["what", "wanted", *settings, "networks"]
    lines = []
    for same in zip(*map(targets, records), strict=True):
        rows = max(target.rows for target in same)
        lines.append([same[0].what, _bound(same[0]), *map(_reached, same), str(rows)])
    by_setting = dict(zip(settings, records, strict=True))
    if {"default", "raised"} <= by_setting.keys():
        for target in out_of_the_box(by_setting["default"], by_setting["raised"]):
            cells = ["-" if name == "default" else _reached(target) for name in settings]
            lines.append([target.what, _bound(target), *cells, str(target.rows)])
    return markdown(head, lines, 1)


def _bound(target: Target) -> str:
    return f"{'at most' if target.at_most else 'at least'} {target.wanted:g}"


def _reached(target: Target) -> str:
    """What is reached and whether that is enough; in bold where it is not."""
    if not target.rows:
        return "-"
    found = f"{target.reached:.2f}"
    return f"{found}, reached" if target.met else bold(f"{found}, not reached")


def _machine(records: Sequence[NetworkRecord]) -> str:
    return "\n".join(f"{machine(r, PEERS)} The command: `{r['command']}`." for r in records)


def _behind(records: Sequence[NetworkRecord]) -> str:
    """Rows in which a peer is faster, and contenders that are not there, with their reasons."""
    found = [line for record in records for line in slower(record)]
    missing = [
        f"{row['case']} {row['mode']}, {name}: {why}"
        for record in records
        for row in record["rows"]
        for name, why in row["left_out"].items()
        if row["mode"] != TRAINING or why != "inference only"
    ]
    missing += [f"{name}: {why}" for record in records for name, why in record["left_out"].items()]
    return (
        f"- a peer is faster, {len(found)} rows: {listed(found)}\n- not measured: {listed(missing)}"
    )


TABLES: dict[str, Callable[[Sequence[NetworkRecord]], str]] = {
    "net-machine": _machine,
    "net-short": _short,
    "net-every": _every,
    "net-targets": _targets,
    "net-behind": _behind,
}
"""The tables that pages can hold, by name."""
