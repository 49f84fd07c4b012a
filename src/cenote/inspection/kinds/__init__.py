"""A picture of every kind of convolution: what it does to a grid, and to channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

from cenote._checks import check_choice
from cenote.inspection.kinds import channels, spaces, sums
from cenote.inspection.kinds.canvas import Canvas
from cenote.inspection.kinds.plans import KINDS, Plan, plan
from cenote.inspection.style import LIGHT, Theme

__all__ = ["KINDS", "draw_kind", "picture", "plan"]

_PICTURES: dict[str, Callable[[Plan, Theme], Canvas]] = {
    "plain": sums.plain,
    "pointwise": channels.one_step,
    "dilated": spaces.dilated,
    "grouped": channels.one_step,
    "shuffled_grouped": channels.shuffled,
    "depthwise": channels.one_step,
    "depthwise_separable": channels.in_steps,
    "spatially_separable": sums.separable,
    "flattened": channels.in_steps,
    "locally_connected": spaces.local,
    "transposed": spaces.transposed,
    "causal": spaces.causal,
    "flip": sums.flip,
}


def draw_kind(name: str, target: Path | str | IO[bytes], *, theme: Theme = LIGHT) -> None:
    """Draw a kind of convolution, one of :data:`KINDS`, as an SVG file.

    Raises:
        ValueError: a name that is none of them.
    """
    check_choice("draw_kind", "name", name, tuple(KINDS))
    picture(name, theme).save(target, f"{name.replace('_', ' ')} convolution")


def picture(name: str, theme: Theme = LIGHT) -> Canvas:
    """The drawing of a kind, not yet a file."""
    return _PICTURES[name](plan(name), theme)
