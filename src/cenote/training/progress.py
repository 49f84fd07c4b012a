"""What a person sees of a training: a live line in a terminal, plain lines anywhere else.

The loop calls :meth:`Progress.batch` about ten times a second, however short its batches are, so
that showing costs next to nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Progress", "Several", "Status", "open_progress"]

INTERVAL = 0.1  # seconds between two looks at the running sums
_LINE_INTERVAL = 10.0  # seconds between two plain lines inside an epoch


@dataclass(frozen=True)
class Status:
    """Where a training is: counts from 1, sums over the epoch so far, ``left`` in seconds."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    score: float
    metric: str
    images_per_second: float
    left: float


class Progress:
    """Shows nothing; the base of those that do."""

    def batch(self, status: Status) -> None:
        """Called inside an epoch, about ten times a second."""

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """Called after an epoch, with its line of ``metrics.jsonl``."""

    def say(self, text: str) -> None:
        """Called for what a person should know beside the numbers."""

    def close(self) -> None:
        """Called at the end, also after an error."""


class Several(Progress):
    """Tells all of ``others``."""

    def __init__(self, *others: Progress) -> None:
        self._others = others

    def batch(self, status: Status) -> None:
        """To each."""
        for other in self._others:
            other.batch(status)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """To each."""
        for other in self._others:
            other.epoch(record, epochs)

    def say(self, text: str) -> None:
        """To each."""
        for other in self._others:
            other.say(text)

    def close(self) -> None:
        """To each."""
        for other in self._others:
            other.close()


class Lines(Progress):
    """A line an epoch, and inside long epochs one every ten seconds."""

    def __init__(self) -> None:
        self._shown = time.perf_counter()

    def batch(self, status: Status) -> None:
        """A line, when the last one is long ago."""
        now = time.perf_counter()
        if now - self._shown >= _LINE_INTERVAL:
            self._shown = now
            self.say(
                f"epoch {status.epoch:{len(str(status.epochs))}}/{status.epochs}  "
                f"batch {status.batch}/{status.batches}  {_running(status)}"
            )

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """The epoch's line."""
        self._shown = time.perf_counter()
        self.say(_line(record, epochs))

    def say(self, text: str) -> None:
        """``text`` on a line of its own."""
        sys.stdout.write(f"{text}\n")  # at once, where other processes write there too
        sys.stdout.flush()


class Live(Progress):
    """One line that moves, below those of the finished epochs."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[text]}"),
            console=Console(highlight=False),
            auto_refresh=False,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("", total=None, epoch="", text="", visible=False)
        self._bar.start()

    def batch(self, status: Status) -> None:
        """Move the line."""
        self._bar.update(
            self._task,
            visible=True,
            completed=status.batch,
            total=status.batches,
            epoch=f"{status.epoch:{len(str(status.epochs))}}/{status.epochs}",
            text=_running(status),
        )
        self._bar.refresh()

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """The epoch's line, to stay."""
        self.say(_line(record, epochs))

    def say(self, text: str) -> None:
        """``text`` on a line of its own, above the moving one."""
        self._bar.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the moving line away."""
        self._bar.stop()


def open_progress(kind: str) -> Progress:
    """``"auto"``: live in a terminal, lines elsewhere; ``"plain"``: lines; ``"none"``: nothing."""
    if kind == "none":
        return Progress()
    return Live() if kind == "auto" and sys.stdout.isatty() else Lines()


def clock(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``.

    >>> clock(75.2), clock(3600)
    ('1:15', '1:00:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _running(status: Status) -> str:
    return (
        f"loss {status.loss:.4f}  {_score(status.metric, status.score)}  "
        f"{status.images_per_second:,.0f} images/s  {clock(status.left)} left"
    )


def _line(record: Mapping[str, Any], epochs: int) -> str:
    metric = "accuracy" if "train_accuracy" in record else "mae"
    parts = [
        f"epoch {record['epoch']:{len(str(epochs))}}/{epochs}",
        f"loss {record['train_loss']:.4f}",
        f"{metric} {_score(metric, record[f'train_{metric}'])}",
    ]
    if record[f"validation_{metric}"] is not None:
        parts.append(f"validation {_score(metric, record[f'validation_{metric}'])}")
    parts.append(f"{record['images_per_second']:,.0f} images/s")
    parts.append(f"{record['seconds']:.1f} s")
    return "  ".join(parts)


def _score(metric: str, value: float) -> str:
    return f"{100 * value:5.2f} %" if metric == "accuracy" else f"{value:.4f}"
