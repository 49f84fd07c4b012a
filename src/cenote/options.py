"""Knobs that are not arguments of operators, and what this machine has.

``with cenote.options(isa="avx2", threads=1, verbose=True): ...`` holds inside the block, on the
thread (or task) that entered it. The environment gives the defaults: ``CENOTE_ISA``,
``CENOTE_THREADS`` and ``CENOTE_VERBOSE``. An unknown name or value is an error.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace

from cenote import _native

__all__ = ["Options", "current", "options", "report"]


@dataclass(frozen=True, slots=True)
class Options:
    """The knobs: ``isa`` None for the best there is, ``threads`` None for torch's number."""

    isa: str | None = None
    threads: int | None = None
    verbose: bool = False

    def __post_init__(self) -> None:
        if self.isa is not None and self.isa not in _native.targets():
            known, usable = _native.all_targets(), _native.targets()
            why = "this processor lacks it" if self.isa in known else "no such instruction set"
            raise ValueError(f"isa = {self.isa!r}: {why}; usable here: {', '.join(usable)}")
        if self.threads is not None and (not isinstance(self.threads, int) or self.threads < 1):
            raise ValueError(
                f"threads = {self.threads!r}: must be an integer of at least 1, or None"
            )
        if not isinstance(self.verbose, bool):
            raise ValueError(f"verbose = {self.verbose!r}: must be True or False")


def from_environment(environment: Mapping[str, str]) -> Options:
    """The defaults that the environment gives; ValueError names the variable that is wrong."""
    isa = environment.get("CENOTE_ISA") or None
    threads = environment.get("CENOTE_THREADS") or None
    verbose = environment.get("CENOTE_VERBOSE", "0")
    if threads is not None and not threads.isdecimal():
        raise ValueError(f"CENOTE_THREADS = {threads!r}: must be an integer of at least 1")
    if verbose not in ("", "0", "1"):
        raise ValueError(f"CENOTE_VERBOSE = {verbose!r}: must be 0 or 1")
    try:
        return Options(isa, None if threads is None else int(threads), verbose == "1")
    except ValueError as error:
        knob, rest = str(error).split(" ", 1)
        raise ValueError(f"CENOTE_{knob.upper()} {rest}") from None


_defaults = from_environment(os.environ)
_current: ContextVar[Options] = ContextVar("cenote_options", default=_defaults)

current = _current.get
"""The options in force."""


@contextlib.contextmanager
def options(**knobs: object) -> Iterator[Options]:
    """Set knobs for a block: ``isa``, ``threads``, ``verbose``; what is not named stays as it is.

    Raises:
        TypeError: a knob that does not exist.
        ValueError: a value that it cannot have.

    >>> with options(threads=1) as now:
    ...     now.threads
    1
    """
    known = [f.name for f in fields(Options)]
    for name in knobs:
        if name not in known:
            raise TypeError(f"options: no knob {name!r}; there are {', '.join(known)}")
    chosen = replace(_current.get(), **knobs)  # type: ignore[arg-type]
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)


def report(message: str) -> None:
    """Say on stderr what ran and why, for ``verbose``."""
    print(f"cenote: {message}", file=sys.stderr)
