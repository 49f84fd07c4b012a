"""What takes part in a row: a call to time, and a way to see what the call gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

__all__ = ["Contender", "LeftOutError", "Peer", "reason"]

W = TypeVar("W", contravariant=True)


class LeftOutError(Exception):
    """A peer that is not there, or does not do what a row asks for; the message says why."""


@dataclass(frozen=True)
class Contender:
    """A peer ready for one row.

    Args:
        call: the pass once, on as many threads as are set.
        results: the same, and the output with the indices or the gradient of the input, as torch
            would have them.
        fresh: whether a call allocates what it gives; otherwise it writes into the same memory
            again and again.
        workers: whose threads it runs on. Threads that have done their work spin for a while, in
            the way of others.
        composed: of what, where the peer has no such operation itself.
        before: what stands before every call and is not timed.
    """

    call: Callable[[], object]
    results: Callable[[], tuple[Tensor, ...]]
    fresh: bool = True
    workers: str = "openmp"
    composed: str = ""
    before: Callable[[], object] | None = None


class Peer(Protocol[W]):
    """A library that can do a benchmark's work: that of a row."""

    version: str

    def enter(self, work: W) -> Contender:
        """Make ready for a row; raises LeftOutError, or what the library raises."""


def reason(error: BaseException) -> str:
    """What an error says, in a line of at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check "))]
    text = " ".join(told[:2])
    if not isinstance(error, LeftOutError):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= 160 else text[:157] + "..."
