"""The peak memory of a training step, each contender in a process of its own.

What the process holds is taken from the kernel: its memory before a step, with what the allocator
keeps for later given back (``malloc_trim``), and the most that it was in the step, from the mark of
high water (``VmHWM``), which is set back before. The difference is what the step needs beyond the
parameters and the batch: activations, gradients, and room of the kernels. It is the middle of three
steps; one before them loads what only the first one loads.
"""

from __future__ import annotations

import ctypes
import gc
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import torch

import cenote
from cenote.benchmarking.networks import peers
from cenote.benchmarking.networks.grid import Row
from cenote.benchmarking.networks.work import Work
from cenote.benchmarking.peers import Contender
from cenote.benchmarking.work import on_threads

__all__ = ["MEASURED", "measure", "peak", "why_not"]

MEASURED = ("torch", "torch.channels_last", "cenote")
"""The contenders whose memory is measured."""

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_STEPS = 3
_PATIENCE = 600.0  # seconds


def why_not() -> str | None:
    """What keeps memory from being measured here; None if nothing does."""
    if not _CLEAR.exists():
        return "needs Linux, whose kernel marks the most memory that a process has held"
    return None


def measure(row: Row, contender: str, setting: str) -> int | str:
    """The bytes that a step of a contender takes at its peak, or why they are not known."""
    if (why := why_not()) is not None:
        return why
    words = [row.network, row.mode, str(row.threads), contender, setting]
    command = [sys.executable, "-m", "cenote.benchmarking.networks.memory", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return f"took more than {_PATIENCE:g} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return lines[-1][:160]
    return int(json.loads(done.stdout.splitlines()[-1]))


def peak(contender: Contender) -> int:
    """The bytes that a call takes at its peak beyond what is held before it."""
    _call(contender)
    return int(statistics.median(_call(contender) for _ in range(_STEPS)))


def _call(contender: Contender) -> int:
    if contender.before is not None:
        contender.before()
    gc.collect()
    _give_back()
    _CLEAR.write_text("5")  # proc(5): the mark of high water is what is held now
    before = _held("VmRSS")
    contender.call()
    return _held("VmHWM") - before


def _held(what: str) -> int:
    found = re.search(rf"{what}: *\t?\s*(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found[1]) * 1024


def _give_back() -> None:
    """Let the allocator return what is free, where it is glibc's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def main(words: list[str]) -> None:
    """Print the peak of the contender that the words name."""
    network, mode, threads, contender, setting = words
    if setting == "raised":
        cenote.tune_allocator()
    row = Row(network, mode, int(threads))
    with on_threads(row.threads), torch.no_grad():
        entered = (peers.OURS | peers.PEERS)[contender]().enter(Work(row))
        print(json.dumps(peak(entered)))


if __name__ == "__main__":
    main(sys.argv[1:])
