"""Ctrl-C, kept until the loop is at a place where it can stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

__all__ = ["Interrupted", "Interrupts"]


class Interrupted(KeyboardInterrupt):
    """A person stopped the training; it is saved, and the message says how to go on."""


class Interrupts:
    """While entered, the first Ctrl-C only sets ``pending``; the second stops at once, unsaved.

    Outside the main thread, where Python delivers no signals, this does nothing.
    """

    def __init__(self) -> None:
        self.pending = False
        self._previous: Any = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def check(self) -> None:
        """Stop here if someone asked for it.

        Raises:
            Interrupted: Ctrl-C came since the last look.
        """
        if self.pending:
            self.stop()

    def stop(self) -> NoReturn:
        """Stop here.

        Raises:
            Interrupted: always.
        """
        raise Interrupted

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True
