"""Event files that TensorBoard shows, where somebody wants them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from cenote.training.progress import Progress
from cenote.training.run import Run

__all__ = ["Events", "check_installed"]


class Events(Progress):
    """One curve for each figure of an epoch, and one point for each of the test.

    Goes on after the ``done`` epochs of the run: what a killed process wrote beyond is void.
    """

    def __init__(self, run: Run, done: int) -> None:
        folder = str(run.folder / "tensorboard")
        writer = import_module("tensorboardX").SummaryWriter
        self._writer: Any = writer(folder, purge_step=done + 1 if done else None)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """One point more on each curve."""
        del epochs
        for name, value in record.items():
            if name != "epoch" and value is not None:
                part, _, figure = name.partition("_")
                title = f"{figure}/{part}" if part in ("train", "validation") else name
                self._writer.add_scalar(title, value, record["epoch"])
        self._writer.flush()

    def end(self, summary: Mapping[str, Any]) -> None:
        """The figures of the test."""
        for name, value in summary.items():
            if name.startswith("test_") and isinstance(value, (int, float)):
                self._writer.add_scalar(f"{name.removeprefix('test_')}/test", value, 0)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def check_installed() -> None:
    """Make sure that event files can be written.

    Raises:
        ValueError: the package for it is not installed.
    """
    try:
        import_module("tensorboardX")
    except ImportError:
        raise ValueError(
            "tensorboard = True: event files need the package tensorboardX: "
            "pip install 'cenote[tensorboard]'"
        ) from None
