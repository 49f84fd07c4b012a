"""What one unit sees, drawn on the image that it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cenote.inspection.drawing.heat import SHARES, checked_heat, region
from cenote.inspection.drawing.paper import checked_file, on_paper
from cenote.inspection.drawing.seen import TIMES, Seen, field_of, operator_of, seen_by
from cenote.inspection.drawing.view import (
    HEAT,
    MARK,
    Frame,
    Interval,
    View,
    edges,
    outline,
    rectangle,
    unit_name,
)
from cenote.inspection.record import Record
from cenote.inspection.style import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_field"]

_GROUND = -1  # below images, which lie below everything else


def draw_field(
    record: Record,
    operator: int | str,
    unit: Sequence[int],
    path: Path | str,
    *,
    image: Any = None,
    effective: Any = None,
    input: int = 0,
    theme: Theme = LIGHT,
) -> Path:
    r"""Draw what a unit of an operator's output sees of an input.

    A solid line is around exactly what it sees; where its rule reaches beyond the input, that is
    dashed; where dilation leaves holes in it, the positions that it depends on are faintly
    coloured. Of three axes, a slice is drawn: the one nearest to the centre that it depends on.

    Args:
        record: what was watched.
        operator: its index, or the path of a module, whose last operator is taken.
        unit: its place along the last dimensions of the output.
        path: the file, in .png or .svg.
        image: what the network looked at: (\*n) or (channels, \*n), or for two axes (H, W, 3), of
            the input's sizes n. uint8 is shown as it is, anything else from its least to its
            greatest value; channels that are not three as their mean. By default an empty ground.
        effective: an effective field, or an array (\*n) of how much each position of the input
            matters to the unit; drawn as heat, with lines around the fewest positions that hold
            50, 90 and 99 % of it.
        input: which of the network's inputs.
        theme: the colours.

    Raises:
        ValueError: there is no such operator, unit or input, its field is unknown, or an array
            does not fit the input.
    """
    path, chosen = checked_file(path), operator_of(record, operator)
    field = field_of(chosen, input)
    sizes = tuple(axis.n for axis in field.axes)
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"input = {input}: has {len(sizes)} spatial axes; 1 to 3 can be drawn")
    seen = seen_by(record, chosen, unit, input)
    ground = None if image is None else _ground(image, sizes)
    heat = None if effective is None else checked_heat(effective, "effective")
    if heat is not None and heat.shape != sizes:
        raise ValueError(f"effective: has shape {heat.shape}, the input {sizes}")
    kind = chosen.kind.replace("_", " ")
    title = f"{chosen.name or record.model}, {kind}, {unit_name(unit)}"
    subtitle = seen.in_words(field) if seen else "sees nothing of the input"
    if len(sizes) == 3:
        place = seen.place if seen else sizes[0] // 2
        subtitle += f"; slice {place} of {sizes[0]} along {field.axes[0].name}"
        ground = None if ground is None else ground[place]
        heat = None if heat is None else heat[place]
        seen, sizes = seen and seen.at_place(), sizes[1:]
    heat = heat if heat is not None and heat.max() > 0 else None  # a slice may be without any
    frame = Frame(View.of(_shown(sizes, seen)), lines=_lines(seen, heat))
    with on_paper(*frame.size, theme) as paper:
        frame.heading(paper, title, subtitle)
        axes = frame.axes(paper, [(0, n) for n in sizes])
        _draw_ground(axes, ground, sizes, theme)
        entries = [] if heat is None else _draw_heat(axes, heat)
        marks = [] if seen is None else _draw_seen(axes, seen)
        frame.restore(axes)
        frame.legend(paper, [*marks, *entries])
        paper.save(path)
    return path


def _lines(seen: Seen | None, heat: np.ndarray | None) -> int:
    """How many marks need to be explained: the box and the centre, and what else there is."""
    marks = 0 if seen is None else 2 + (seen.theory != seen.box) + seen.has_holes
    return marks + (len(SHARES) if heat is not None else 0)


def _shown(sizes: Sequence[int], seen: Seen | None) -> list[Interval]:
    """The whole input, and of the rule as much beyond as half the input is long."""
    shown = []
    for axis, n in enumerate(sizes):
        start, stop = (0, n) if seen is None else seen.theory[axis]
        margin, most = max(1, n // 50), n // 2 + 1
        low = max(start - margin, -most) if start < 0 else 0
        high = min(stop + margin, n + most) if stop > n else n
        shown.append((low, high))
    return shown


def _ground(image: Any, sizes: tuple[int, ...]) -> np.ndarray:
    r"""The image as (\*n, 1) or (\*n, 3) in [0, 1]: of channels that are no colours, the mean."""
    values = np.asarray(image)
    if values.shape == sizes:
        last = values[..., None]
    elif values.shape[1:] == sizes:
        last = np.moveaxis(values, 0, -1)
    elif len(sizes) == 2 and values.shape[:-1] == sizes and values.shape[-1] in (1, 3):
        last = values
    else:
        raise ValueError(f"image: has shape {values.shape}, but the input's sizes are {sizes}")
    colours = last if last.shape[-1] == 3 else last.mean(-1, keepdims=True)
    if values.dtype == np.uint8:
        return np.asarray(colours / 255)
    colours = np.nan_to_num(colours.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = colours.min(), colours.max()
    return np.asarray((colours - low) / (high - low or 1))


def _draw_ground(
    axes: Axes, ground: np.ndarray | None, sizes: tuple[int, ...], theme: Theme
) -> None:
    """The image, or what it would fill; in one axis, a curve for each colour."""
    from matplotlib.patches import Rectangle

    rows, columns = (1, *sizes)[-2:]
    paper: Any = {"facecolor": theme.zero, "edgecolor": theme.line, "gid": "input"}
    axes.add_patch(Rectangle((0, 0), columns, rows, zorder=_GROUND, **paper))
    if ground is not None and len(sizes) == 2:
        pixels = ground.repeat(3, -1) if ground.shape[-1] == 1 else ground
        smooth = "nearest" if max(sizes) <= 640 else "antialiased"
        axes.imshow(pixels, extent=(0, columns, rows, 0), aspect="auto", interpolation=smooth)
        return
    if ground is not None:
        for curve in ground.T:
            axes.plot(np.arange(columns) + 0.5, 0.95 - 0.9 * curve, color=theme.ink, linewidth=1,
                      zorder=_GROUND)  # fmt: skip
    elif max(sizes) <= 64:
        look: Any = {"color": theme.line, "linewidth": 0.6, "zorder": _GROUND}
        axes.vlines(range(1, columns), 0, rows, **look)
        axes.hlines(range(1, rows), 0, columns, **look)


def _draw_seen(axes: Axes, seen: Seen) -> list[tuple[Any, str]]:
    """The box, the rule, the taps and the centre, with what they mean."""
    entries: list[tuple[Any, str]] = []
    if seen.taps is not None and seen.has_holes:
        entries.append((_shade(axes, seen.taps * 0.45, MARK), "what it depends on"))
    if seen.theory != seen.box:
        dashed = rectangle(axes, seen.theory, gid="rule", **outline(1.6, linestyle=(0, (3, 2))))
        sizes = TIMES.join(f"{stop - start:g}" for start, stop in seen.theory)
        entries.append((dashed, f"its rule, {sizes}, beyond the input too"))
    solid = rectangle(axes, seen.box, gid="box", **outline(2.4))
    x, y = seen.centre[-1], seen.centre[0] if len(seen.centre) > 1 else 0.5
    (cross,) = axes.plot(x, y, "+", color=MARK, markersize=10, markeredgewidth=1.8, gid="centre")
    return [(solid, "exactly what it sees"), *entries, (cross, "its centre")]


def _draw_heat(axes: Axes, heat: np.ndarray) -> list[tuple[Any, str]]:
    """The heat, with lines around the fewest positions that hold certain shares of it."""
    from matplotlib.collections import LineCollection

    _shade(axes, 0.75 * heat / heat.max(), HEAT)
    entries: list[tuple[Any, str]] = []
    for share, width in zip(SHARES, (2.0, 1.4, 0.9), strict=True):
        held = np.atleast_2d(region(heat, share))
        lines = LineCollection(edges(held), colors=HEAT, linewidths=width, gid=f"share-{share:g}")
        axes.add_collection(lines)
        entries.append(
            (lines, f"{share:.0%} of the effective field: {int(held.sum()):,} positions")
        )
    return entries


def _shade(axes: Axes, alpha: np.ndarray, colour: str) -> Any:
    """A colour over the input, as strong as ``alpha`` says; what stands for it in a legend."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    alpha = np.atleast_2d(alpha)
    rows, columns = alpha.shape
    pixels = np.dstack([np.broadcast_to(to_rgb(colour), (rows, columns, 3)), alpha])
    axes.imshow(pixels, extent=(0, columns, rows, 0), aspect="auto", interpolation="nearest")
    return Rectangle((0, 0), 1, 1, facecolor=colour, alpha=0.6, linewidth=0)
