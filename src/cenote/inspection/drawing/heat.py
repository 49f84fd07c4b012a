"""Effective fields: heat over the input, how much of it lies where, and a picture of that."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np

from cenote.inspection.drawing.paper import Paper, checked_file, on_paper
from cenote.inspection.drawing.scale import Scale, draw_scale
from cenote.inspection.drawing.view import (
    MARK,
    Frame,
    Interval,
    View,
    outline,
    rectangle,
    unit_name,
)
from cenote.inspection.effective import EffectiveField
from cenote.inspection.style import LIGHT, Theme

__all__ = ["SHARES", "checked_heat", "draw_effective", "region"]

SHARES = (0.5, 0.9, 0.99)
"""Of all heat: what lines are drawn around."""
_TIMES = " \N{MULTIPLICATION SIGN} "


def region(heat: np.ndarray, share: float) -> np.ndarray:
    """The fewest positions that hold ``share`` of the heat together, as a bool array.

    >>> region(np.array([1.0, 5.0, 3.0, 1.0]), 0.5)
    array([False,  True, False, False])
    """
    order = np.argsort(-heat, axis=None, kind="stable")
    sums = np.cumsum(heat.ravel()[order])
    count = int(np.searchsorted(sums, share * sums[-1] * (1 - 1e-12))) + 1
    held = np.zeros(heat.size, bool)
    held[order[:count]] = True
    return held.reshape(heat.shape)


def draw_effective(
    effective: EffectiveField | Any,
    path: Path | str,
    *,
    centre: Sequence[float] | None = None,
    box: Sequence[Interval] | None = None,
    title: str | None = None,
    theme: Theme = LIGHT,
) -> Path:
    """Draw an effective field, with the boxes about its centre that hold 50, 90 and 99 % of it.

    Shown is the part of the input where the boxes lie; of three axes, the slice at the centre,
    while the boxes count all slices.

    Args:
        effective: the field, or an array of one to three axes that says how much each position of
            the input matters, 0 or more.
        path: the file, in .png or .svg.
        centre: of an array: a place for each axis, where position i reaches from i to i + 1; by
            default the middle of ``box`` or of the array.
        box: of an array: the theoretical field, an interval for each axis; it may reach beyond.
        title: what stands above; by default the layer's name and its unit.
        theme: the colours.

    Raises:
        ValueError: ``effective`` is no such array, or another argument does not fit it.
    """
    path, field = checked_file(path), _field(effective, centre, box)
    if title is None:
        title = f"{field.name}, {unit_name(field.unit)}" if field.unit else field.name
    subtitle = f"effective field on an input of {_TIMES.join(map(str, field.heat.shape))}"
    heat, middle, theory = field.heat, field.centre, field.box
    shown = _shown(field)
    if heat.ndim == 3:
        place = min(len(heat) - 1, max(0, int(middle[0])))
        subtitle += f"; slice {place} of {len(heat)} along its first axis"
        heat, shown, middle = heat[place], shown[1:], middle[1:]
        theory = theory and theory[1:]
    frame = Frame(View.of(shown), lines=len(SHARES) + 1 + (theory is not None))
    with on_paper(*frame.size, theme) as paper:
        frame.heading(paper, title, subtitle)
        _draw_heat(paper, frame, heat)
        _draw_boxes(paper, frame, field, middle, theory)
        paper.save(path)
    return path


def checked_heat(heat: Any, name: str) -> np.ndarray:
    """``heat``, of an :class:`EffectiveField` or an array, in float64.

    Raises:
        ValueError: it has no or more than three axes, is empty, holds what is negative or not
            finite, or nothing but zeros.
    """
    values = np.asarray(getattr(heat, "heat", heat), dtype=np.float64)
    if not 1 <= values.ndim <= 3 or not values.size:
        raise ValueError(f"{name}: must have one to three axes, found shape {values.shape}")
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(f"{name}: must be finite and at least 0 everywhere")
    if not values.max() > 0:
        raise ValueError(f"{name}: is 0 everywhere")
    return values


def _field(
    effective: EffectiveField | Any, centre: Sequence[float] | None, box: Sequence[Interval] | None
) -> EffectiveField:
    heat = checked_heat(effective, "effective")
    for name, given in (("centre", centre), ("box", box)):
        if given is None:
            continue
        if isinstance(effective, EffectiveField):
            raise ValueError(f"{name} = {given}: the effective field has one of its own")
        if len(given) != heat.ndim:
            raise ValueError(f"{name} = {given}: the array has {heat.ndim} axes")
    if isinstance(effective, EffectiveField):
        return effective
    if centre is None:
        centre = [sum(ends) / 2 for ends in box or [(0, n) for n in heat.shape]]
    theory = None if box is None else tuple((int(a), int(b)) for a, b in box)
    return EffectiveField("effective field", heat, (), tuple(centre), theory, 1)


def _shown(field: EffectiveField) -> list[Interval]:
    """Where the boxes are, and somewhat more; beyond the input only as far as they reach."""
    reach = field.energy(SHARES[-1]) / 2
    for ends, c in zip(field.box or (), field.centre, strict=False):
        reach = max(reach, c - ends[0], ends[1] - c)
    reach = 1.1 * reach + 1
    shown = []
    for axis, (n, c) in enumerate(zip(field.heat.shape, field.centre, strict=True)):
        start, stop = (0, n) if field.box is None else field.box[axis]
        low, high = min(0, max(start - 1, -n)), max(n, min(stop + 1, 2 * n))
        low, high = max(low, floor(c - reach)), min(high, ceil(c + reach))
        shown.append((low, high) if low < high else (0, n))
    return shown


def _draw_heat(paper: Paper, frame: Frame, heat: np.ndarray) -> None:
    """The heat in colours with their scale, or as a curve where it has one axis."""
    high = float(heat.max())
    shown = [frame.view.rows, frame.view.columns][-heat.ndim :]
    ends = [(max(0, a), min(n, b)) for n, (a, b) in zip(heat.shape, shown, strict=True)]
    axes = frame.axes(paper, ends)
    if heat.ndim == 1:
        axes.stairs(1 - 0.95 * heat / (high or 1), baseline=1, fill=True, color=paper.theme.first)
    else:
        rows, columns = heat.shape
        # The slice at the centre may be all zeros.
        colours = paper.theme.colormap(signed=False)
        axes.imshow(heat, colours, vmin=0, vmax=high or 1, extent=(0, columns, rows, 0),
                    aspect="auto", interpolation="nearest")  # fmt: skip
        width = 150.0
        draw_scale(paper, Scale(0.0, high or 1), paper.width - width - 26, frame.foot, width, 13.0)
    frame.restore(axes)


def _draw_boxes(
    paper: Paper,
    frame: Frame,
    field: EffectiveField,
    centre: Sequence[float],
    box: Sequence[Interval] | None,
) -> None:
    """What holds shares of the heat, the theoretical field, the centre; and what they are."""
    axes = paper.figure.axes[0]
    entries: list[Any] = []
    for share, width in zip(SHARES, (2.6, 1.9, 1.2), strict=True):
        length = field.energy(share)
        around = [(c - length / 2, c + length / 2) for c in centre]
        mark = rectangle(axes, around, gid=f"share-{share:g}", **outline(width))
        size = _TIMES.join([str(length)] * field.heat.ndim)
        entries.append((mark, f"{share:.0%} lies within {size}"))
    if box is not None and field.box is not None:
        mark = rectangle(axes, box, gid="box", **outline(1.6, linestyle=(0, (3, 2))))
        size = _TIMES.join(f"{stop - start}" for start, stop in field.box)
        entries.append((mark, f"what it could see, {size}"))
    x, y = centre[-1], centre[0] if len(centre) > 1 else 0.5
    (cross,) = axes.plot(x, y, "+", color=MARK, markersize=9, markeredgewidth=1.6, gid="centre")
    frame.restore(axes)
    frame.legend(paper, [*entries, (cross, "centre")])
