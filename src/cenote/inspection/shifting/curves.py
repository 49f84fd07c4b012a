"""Pictures of sensitivity: the answers' curves over the amounts, and every layer's errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from cenote.inspection.shifting.changes import UNITS, Sensitivity
from cenote.inspection.style import Theme, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["digest", "draw", "figure_of"]

_ROW = 0.24  # inches
_CELL = 0.52
_STILL = {"shift": 0.0, "rotate": 0.0, "scale": 1.0}
_WORDS = {"shift": "shift", "rotate": "turn", "scale": "scale"}


def draw(networks: Mapping[str, Sensitivity], target: Path | str | IO[bytes], theme: Theme) -> None:
    """Write the picture of one network or several: SVG where the name ends so, PNG otherwise."""
    import matplotlib

    svg = str(getattr(target, "name", target)).lower().endswith(".svg")
    fixed: Any = {"svg.hashsalt": "cenote", "svg.fonttype": "none"}
    with themed(theme), matplotlib.rc_context(fixed):
        figure = figure_of(networks, theme)
        figure.savefig(
            target, format="svg" if svg else "png", bbox_inches="tight", pad_inches=0.14,
            metadata={"Date": None, "Identifier": digest(networks)} if svg else None,
        )  # fmt: skip


def digest(networks: Mapping[str, Sensitivity]) -> str:
    """A name for exactly these numbers, which an SVG file has as its identifier."""
    plain = {name: found.to_dict() for name, found in networks.items()}
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]


def figure_of(networks: Mapping[str, Sensitivity], theme: Theme) -> Figure:
    """The picture, not yet a file: curves above, below them a table of errors for each network."""
    from matplotlib.figure import Figure

    first = next(iter(networks.values()))
    tables = {name: _errors(found) for name, found in networks.items()}
    tables = {name: table for name, table in tables.items() if table[0]}
    heights = [2.4, *(_ROW * len(layers) + 0.9 for layers, _, _ in tables.values())]
    width = max(4.2, _CELL * len(first.amounts))
    figure = Figure(figsize=(width, sum(heights)))
    top = sum(heights)
    curves = figure.add_axes((0, 1 - 2.0 / top, 1, 1.75 / top))
    _curves(curves, networks, theme)
    done = heights[0]
    limit = max((np.nanmax(values) for _, values, _ in tables.values()), default=0)
    for (name, table), height in zip(tables.items(), heights[1:], strict=True):
        axes = figure.add_axes((0, 1 - (done + height - 0.15) / top, 1, (height - 0.9) / top))
        _table(axes, networks[name], table, max(limit, 1e-12), theme)
        axes.set_title(f"{name}: error by layer" if len(networks) > 1 else "error by layer")
        done += height
    return figure


def _curves(axes: Axes, networks: Mapping[str, Sensitivity], theme: Theme) -> None:
    """The share of answers that stay, or how much the output changes where it is no answer."""
    answers = all(found.curve("consistency") for found in networks.values())
    quantity = "consistency" if answers else "change"
    colours = (theme.first, theme.second, theme.third, theme.ink, theme.soft)
    for place, (name, found) in enumerate(networks.items()):
        still = {_STILL[found.moves]: 1.0 if answers else 0.0}  # so by definition
        points = sorted((still | dict(found.curve(quantity))).items())
        axes.plot(
            [amount for amount, _ in points],
            [100 * value if answers else value for _, value in points],
            color=colours[place % len(colours)], marker="o", markersize=4, clip_on=False,
            label=name,
        )  # fmt: skip
    first = next(iter(networks.values()))
    amounts = sorted({_STILL[first.moves], *first.amounts})
    axes.set_xticks(amounts, [f"{amount:g}" for amount in amounts])
    wide = 12 + 17 * (-(-len(networks) // 3)) * (len(networks) > 1)  # points, over the legend
    axes.set_title("answers that stay, %" if answers else "change of the output", pad=wide)
    axes.set_xlabel(f"{_WORDS[first.moves]}, {UNITS[first.moves]}")
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    if len(networks) > 1:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1.02), frameon=False, ncols=min(3, len(networks)),
            labelcolor="linecolor", handlelength=1.2, borderaxespad=0, fontsize=10,
        )  # fmt: skip


def _errors(found: Sensitivity) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The layers with an error, the errors (layer, amount), and which the border has a part in."""
    rows = {}
    for layer in found.layers:
        changes = [found.layer(layer, amount) for amount in found.amounts]
        if any(change is not None and change.error is not None for change in changes):
            rows[layer] = changes
    shape = (len(rows), len(found.amounts))
    errors, marked = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    for row, changes in enumerate(rows.values()):
        for column, change in enumerate(changes):
            if change is not None and change.error is not None:
                errors[row, column], marked[row, column] = change.error, not change.inside
    return list(rows), errors, marked


def _table(
    axes: Axes, found: Sensitivity, table: tuple[list[str], np.ndarray, np.ndarray], limit: float,
    theme: Theme,
) -> None:  # fmt: skip
    """One cell for each layer and amount, its number in it; darker is more."""
    layers, errors, marked = table
    axes.imshow(errors, cmap=theme.colormap(signed=False), vmin=0, vmax=limit, aspect="auto")
    for row, column in np.argwhere(~np.isnan(errors)):
        value = errors[row, column]
        text = "0" if value < 5e-5 else f"{value:.3f}"
        axes.text(
            column, row, text + "*" * bool(marked[row, column]), ha="center", va="center",
            fontsize=8, color=theme.paper if value > 0.55 * limit else theme.ink,
        )  # fmt: skip
    axes.set_yticks(range(len(layers)), layers)
    axes.set_xticks(range(len(found.amounts)), [f"{amount:g}" for amount in found.amounts])
    axes.spines[:].set_visible(False)
    if marked.any():
        what = "the border" if found.moves == "shift" else "the border, or interpolation,"
        axes.set_xlabel(f"* {what} has a part in it", loc="left", fontsize=9)
