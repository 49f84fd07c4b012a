"""Whether a new run can begin in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from cenote.training.checkpoint import Checkpoint, CheckpointError
from cenote.training.files import LEFTOVER
from cenote.training.locking import LOCK

__all__ = ["RunError", "claim", "in_vain"]


class RunError(ValueError):
    """A run folder is missing, in the way, or not the run that was asked for."""


# What a run folder may hold before anything was learnt.
_FIRST = frozenset({"config.json", "metrics.jsonl", "checkpoints", "tensorboard", LOCK})


def in_vain(folder: Path) -> bool:
    """Whether ``folder`` holds a run that ended before it had learnt and saved anything."""
    if not _is_ours(folder / "config.json"):
        return False
    last = folder / "checkpoints" / "last.safetensors"
    metrics = folder / "metrics.jsonl"
    inside = [*folder.iterdir(), *last.parent.glob("*")]
    if any(p.name not in _FIRST and p != last and p.suffix != LEFTOVER for p in inside):
        return False
    if metrics.exists() and metrics.stat().st_size:
        return False
    try:
        state = Checkpoint.state_of(last) if last.exists() else {"epoch": 0, "batch": 0}
    except CheckpointError:
        return False
    return state.get("epoch") == state.get("batch") == 0


def _is_ours(config: Path) -> bool:
    """Whether a run wrote the file ``config``, and nobody else."""
    try:
        stored = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and {"format", "cenote", "torch", "options"} <= set(stored)


def claim(folder: Path) -> None:
    """Make sure that a new run can begin in ``folder``: new, empty, or with one that was in vain.

    Raises:
        RunError: it is a file, or holds a run or anything else.
    """
    if in_vain(folder):
        return
    if (folder / "config.json").exists():
        raise RunError(
            f"out = {folder}: there is a run already; --resume (resume=True) goes on with it, "
            f"or choose another folder"
        )
    if folder.exists() and not folder.is_dir():
        raise RunError(f"out = {folder}: is a file, must be a folder")
    if folder.is_dir() and any(
        path.suffix != LEFTOVER and path.name != LOCK for path in folder.iterdir()
    ):
        raise RunError(f"out = {folder}: is not empty and holds no run; choose another folder")
