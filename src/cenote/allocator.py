"""Fresh tensors from memory that the process keeps: the thresholds of glibc's allocator.

By default glibc asks the system for every block above 32 MiB and gives it back when it is freed,
so that each large tensor pays for the first touch of all of its pages. ``docs/allocator.md`` says
what changing that brings and what it costs.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cenote.options import current, report

__all__ = ["Tuning", "tune_allocator"]

# The parameters' numbers in malloc.h, mallopt(3).
_PARAMETERS = {"M_TRIM_THRESHOLD": -1, "M_MMAP_THRESHOLD": -3, "M_MMAP_MAX": -4}

# Where glibc's own adjustment of the two thresholds ends, on 64 bits. They begin at 128 KiB, but
# fixed there they would make every tensor above that size fresh memory for good, which glibc alone
# does not do.
_DEFAULTS = {
    "M_MMAP_MAX": 65536,
    "M_MMAP_THRESHOLD": 32 << 20,
    "M_TRIM_THRESHOLD": 64 << 20,
}

_PROBE = 1 << 20  # bytes: much more than other threads take or free between two looks

_lock = threading.Lock()
_in_force: Tuning | None = None

if hasattr(os, "register_at_fork"):  # a child must not inherit the lock of a thread it lacks
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


@dataclass(frozen=True)
class Tuning:
    """What :func:`tune_allocator` did; as a context manager it undoes that at the end.

    ``applied`` says whether the allocator is tuned now, ``reason`` why not (or that it was so
    already), ``settings`` which parameters of ``mallopt`` were set to what. What they were before
    is not known: glibc has no way to ask.
    """

    applied: bool
    reason: str = ""
    settings: Mapping[str, int] = field(default_factory=dict, hash=False)

    def undo(self) -> Tuning:
        """Set glibc's defaults again and give back the memory kept; says what holds afterwards.

        This is approximate: glibc adjusts its thresholds by what a program frees until they are
        set by hand, and nothing turns that on again, so they stay where it would have ended. Only
        the record whose call tuned the allocator undoes it; any other call changes nothing.
        """
        global _in_force
        with _lock:
            if _in_force is not self:
                return Tuning(_in_force is not None, "nothing to undo")
            _in_force = None
            libc = _glibc()
            _set(libc, _DEFAULTS)
            libc.malloc_trim(ctypes.c_size_t(0))
        reason = "undone approximately: defaults are set, glibc's own adjustment stays off"
        return Tuning(False, reason, MappingProxyType(_DEFAULTS))

    def __enter__(self) -> Tuning:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()


def tune_allocator(keep: int | None = None) -> Tuning:
    """Let this process keep the memory that it frees, so that fresh large tensors cost no faults.

    It holds for the whole process and for its children by ``fork``. The process may come to keep
    several times what it uses at once; blocks larger than ``keep`` (bytes) are left out of that and
    given back when they are freed, as glibc alone does with those above 32 MiB. Large tensors that
    other threads than the first make profit only where ``MALLOC_ARENA_MAX=1`` is set. Away from
    Linux and glibc, under another malloc, and where the environment sets these parameters
    (``MALLOC_MMAP_MAX_``, ``GLIBC_TUNABLES``, ...), it does nothing and says so. Calling it again
    changes nothing, not even ``keep``.

    Raises:
        TypeError, ValueError: ``keep`` is no number of bytes, or not one that can be set.

    >>> with tune_allocator() as tuning:
    ...     y = torch.relu(torch.ones(1000))
    >>> tuning.undo().reason
    'nothing to undo'
    """
    global _in_force
    wanted = _settings(keep)
    with _lock:
        if _in_force is not None:
            return Tuning(True, "tuned already by an earlier call", _in_force.settings)
        why_not = _why_not() or _apply(wanted)
        if why_not:
            if current().verbose:
                report(f"allocator left as it is: {why_not}")
            return Tuning(False, why_not)
        _in_force = Tuning(True, settings=MappingProxyType(wanted))
        return _in_force


def _settings(keep: int | None) -> dict[str, int]:
    """The parameters for ``keep``; without it no block is mapped on its own, whatever its size."""
    if keep is None:
        return {"M_MMAP_MAX": 0, "M_TRIM_THRESHOLD": -1}
    if not isinstance(keep, int) or isinstance(keep, bool):
        raise TypeError(f"keep = {keep!r}: must be an int or None, not {type(keep).__name__}")
    least, most = _DEFAULTS["M_MMAP_THRESHOLD"], (1 << 31) - 1
    if not least <= keep <= most:
        raise ValueError(
            f"keep = {keep}: must be from {least} bytes, which glibc keeps by itself, to {most}, "
            f"the largest C int, or None for all sizes"
        )
    return {"M_MMAP_THRESHOLD": keep, "M_TRIM_THRESHOLD": -1}


def _why_not() -> str:
    """Why the allocator cannot or should not be tuned here; empty if it can."""
    if sys.platform != "linux":
        return f"it needs Linux with glibc, this is {sys.platform}"
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        libc = None
    if not libc:
        return "it needs glibc, this C library is another"
    if chosen := _chosen_by_the_environment(os.environ):
        return f"the environment sets {chosen}, and is left its way"
    if not _serves_malloc(_glibc(), ctypes.CDLL(None)):
        return "malloc is not glibc's here; another one is loaded"
    return ""


def _chosen_by_the_environment(environment: Mapping[str, str]) -> str | None:
    """The variable that sets one of the parameters, by glibc's names for them."""
    tunables = environment.get("GLIBC_TUNABLES", "")
    for parameter in _PARAMETERS:
        name = parameter.removeprefix("M_")
        if f"MALLOC_{name}_" in environment:
            return f"MALLOC_{name}_"
        if f"glibc.malloc.{name.lower()}=" in tunables:
            return f"glibc.malloc.{name.lower()}"
    return None


def _glibc() -> ctypes.CDLL:
    """The functions of glibc itself, whatever else is loaded that has the same names."""
    return ctypes.CDLL("libc.so.6")


def _serves_malloc(libc: Any, process: Any) -> bool:
    """Whether the ``process`` takes memory from ``libc``, by whose books a block is told.

    Addresses would not tell: that of ``malloc`` may be a stub in the program's own file.
    """
    process.malloc.restype, process.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    process.free.restype, process.free.argtypes = None, [ctypes.c_void_p]
    before = _in_use(libc)
    block = process.malloc(_PROBE)
    grown = (_in_use(libc) - before) % (1 << 32)
    process.free(block)
    return _PROBE // 2 < grown < 1 << 31


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo``: counts modulo 2^32, which every glibc has (mallinfo2 came in 2.33)."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_uint) for name in _names.split()]


def _in_use(libc: Any) -> int:
    """Bytes that ``libc`` has given out and not got back, modulo 2^32."""
    libc.mallinfo.restype = _Mallinfo
    info = libc.mallinfo()
    return int(info.hblkhd + info.uordblks)


def _apply(settings: Mapping[str, int]) -> str:
    """Set all of ``settings`` or none of them; the reason if none."""
    libc = _glibc()
    refused = _set(libc, settings)
    if not refused:
        return ""
    _set(libc, {name: _DEFAULTS[name] for name in settings})
    return f"glibc refused {refused} = {settings[refused]}"


def _set(libc: Any, settings: Mapping[str, int]) -> str | None:
    """Set them in order; the first that glibc refuses, after which none is tried."""
    for name, value in settings.items():
        if not libc.mallopt(_PARAMETERS[name], value):
            return name
    return None
