"""Which moves are made: by amount and direction, and how far from the images' border."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from cenote import _checks
from cenote.inspection.shifting.changes import UNITS
from cenote.inspection.shifting.moves import BORDERS, Move, Shift, Turn, Zoom

__all__ = ["margin_of", "plan"]

_DEFAULTS: dict[str, tuple[float, ...]] = {
    "rotate": (-30, -20, -10, 10, 20, 30),
    "scale": (0.7, 0.8, 0.9, 1.1, 1.2, 1.3),
}


def plan(images: Tensor, moves: str, amounts: Any, directions: Any) -> list[Move]:
    """All moves: by amount, and by direction where there are several."""
    _checks.check_choice("sensitivity", "moves", moves, tuple(UNITS))
    sides = images.shape[2:]
    if amounts is None:
        amounts = _DEFAULTS.get(moves) or range(1, 1 + min(8, max(1, min(sides) // 4)))
    amounts = list(amounts)
    if not amounts:
        raise ValueError("sensitivity: amounts = []: must hold at least one")
    if moves == "shift":
        return _shifts(sides, amounts, directions)
    if len(sides) != 2:
        raise ValueError(
            f"sensitivity: moves = {moves!r}: images must have 2 axes, not {len(sides)}"
        )
    if directions is not None:
        raise ValueError(f"sensitivity: directions = {directions}: only shifts have directions")
    if moves == "rotate":
        return [Turn(_number(amount)) for amount in amounts]
    for amount in amounts:
        if not _number(amount) > 0:
            raise ValueError(f"sensitivity: amounts = {amounts}: factors must be above 0")
    return [Zoom(_number(amount)) for amount in amounts]


def _shifts(sides: Sequence[int], amounts: Sequence[Any], directions: Any) -> list[Move]:
    rank = len(sides)
    if directions is None:
        along = [tuple(int(a == axis) for a in range(rank)) for axis in range(rank)]
        directions = along if rank == 1 else [*along, (1,) * rank]
    found: list[Move] = []
    for amount in amounts:
        if _number(amount) != int(amount):
            raise ValueError(f"sensitivity: amounts = {list(amounts)}: shifts are whole pixels")
        for direction in directions:
            if len(direction) != rank:
                raise ValueError(
                    f"sensitivity: directions: {tuple(direction)} has {len(direction)} axes, but"
                    f" the images have {rank}"
                )
            vector = tuple(int(amount) * int(step) for step in direction)
            for axis, (d, n) in enumerate(zip(vector, sides, strict=True)):
                if abs(d) >= n:
                    raise ValueError(
                        f"sensitivity: amounts: a shift by {abs(d)} along axis {axis} leaves"
                        f" nothing of images of {n} pixels"
                    )
            found.append(Shift(int(amount), vector))
    return found


def _number(amount: Any) -> float:
    return _checks.check_number("sensitivity", "amounts", amount, -1e6, 1e6)


def margin_of(images: Tensor, moves: str, border: str, plan: Sequence[Move]) -> int:
    """How far inside the images the network looks: 0 but for ``"crop"``."""
    _checks.check_choice("sensitivity", "border", border, BORDERS)
    if moves != "shift" and border in ("circular", "crop"):
        raise ValueError(f"sensitivity: border = {border!r}: only for shifts, not to {moves}")
    if border != "crop":
        return 0
    margin = max(abs(d) for move in plan for d in move.vector or ())
    if min(images.shape[2:]) <= 2 * margin:
        raise ValueError(
            f"sensitivity: border = 'crop': images of {tuple(images.shape[2:])} pixels have nothing"
            f" left inside a margin of {margin}"
        )
    return margin
