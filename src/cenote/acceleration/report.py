"""What was changed, what was left alone and why, and what it saved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

__all__ = ["Change", "Left", "Report"]


@dataclass(frozen=True)
class Change:
    """One change: ``before`` and ``after`` are seconds on the example, None where not measured."""

    where: str
    rule: str
    what: str
    mode: str
    before: float | None = None
    after: float | None = None

    @property
    def saved(self) -> float | None:
        """Seconds saved; None where not measured."""
        if self.before is None or self.after is None:
            return None
        return self.before - self.after


@dataclass(frozen=True)
class Left:
    """Something that was left alone, and why."""

    where: str
    why: str
    mode: str


@dataclass
class Report:
    """What :func:`cenote.accelerate` did to a network, mode by mode.

    ``changes``: a :class:`Change` each; ``left``: a :class:`Left` each. ``whole`` has the seconds
    of the whole network before and after, for the modes that were measured; ``seconds`` what
    deciding took. Printed, it is a table.
    """

    changes: list[Change] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    whole: dict[str, tuple[float, float]] = field(default_factory=dict)
    layouts: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "changes": [dict(vars(change)) for change in self.changes],
            "left": [dict(vars(left)) for left in self.left],
            "whole": {mode: list(pair) for mode, pair in self.whole.items()},
            "layouts": dict(self.layouts),
            "seconds": self.seconds,
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._parts()

    def __str__(self) -> str:
        console = Console(width=100, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip()

    def _parts(self) -> Iterator[Any]:
        modes = list(dict.fromkeys([*self.layouts, *(left.mode for left in self.left)]))
        if not modes:
            yield "Nothing is decided before the first call."
        for mode in modes:
            yield from self._of_mode(mode)

    def _of_mode(self, mode: str) -> Iterator[Any]:
        changes = [change for change in self.changes if change.mode == mode]
        left = [each for each in self.left if each.mode == mode]
        layout = self.layouts.get(mode)
        yield f"{mode}: {len(changes)} changes" + (f", maps {layout}" if layout else "")
        if mode in self.whole:
            before, after = self.whole[mode]
            times = before / after if after else float("inf")
            both = f"{before * 1e3:.2f} ms before, {after * 1e3:.2f} ms after"
            yield f"  the whole: {both}, {times:.2f} times as fast"
        if changes:
            yield _table(changes)
        if left:
            table = Table("left alone", "why", box=None, pad_edge=False)
            for each in left:
                table.add_row(each.where or "the network", each.why)
            yield table


def _table(changes: list[Change]) -> Table:
    measured = any(change.before is not None for change in changes)
    table = Table("where", "rule", "what", box=None, pad_edge=False)
    if measured:
        for name in ("before ms", "after ms", "saved ms"):
            table.add_column(name, justify="right")
    for change in changes:
        row = [change.where, change.rule, change.what]
        if measured:
            values = (change.before, change.after, change.saved)
            row += ["" if value is None else f"{value * 1e3:.2f}" for value in values]
        table.add_row(*row)
    return table
