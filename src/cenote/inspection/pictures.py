"""Pictures of a training and of what a network learnt, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch

from cenote.inspection.layers import Layer
from cenote.inspection.style import LIGHT, Theme, themed
from cenote.inspection.tiles import mosaic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["confusion", "curves", "feature_maps", "kernels", "mistakes"]

Target = Path | str | IO[bytes]

_LEAST_LOSS = 1e-6  # what is below is drawn here: a logarithmic axis has no place for 0


def curves(
    history: Sequence[Mapping[str, Any]],
    target: Target,
    *,
    test: float | None = None,
    theme: Theme = LIGHT,
) -> None:
    """Loss and share of errors over the epochs; ``test`` is the final accuracy on the test set."""
    with themed(theme):
        figure = _figure(5.2, 5.6)
        loss, error = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.34})
        _lines(loss, history, "loss", theme, lambda value: max(value, _LEAST_LOSS))
        _lines(error, history, "accuracy", theme, lambda value: max(100 * (1 - value), 0.005))
        loss.legend(
            loc="lower right", bbox_to_anchor=(1, 1.02), frameon=False, ncols=2,
            labelcolor="linecolor", handlelength=1.2, borderaxespad=0, fontsize=10,
        )  # fmt: skip
        loss.set_title("loss")
        error.set_title("wrong answers, %")
        epochs = [record["epoch"] for record in history]
        error.set_xlabel("epoch")
        error.set_xlim(epochs[0] - 0.3, epochs[-1] + 0.3)
        error.set_xticks(_few(epochs))
        if test is not None:
            _mark_test(error, epochs[-1], max(100 * (1 - test), 0.005), theme)
        for axes in (loss, error):
            _log_axis(axes)
        _save(figure, target)


def _lines(
    axes: Axes, history: Sequence[Mapping[str, Any]], quantity: str, theme: Theme, scale: Any
) -> None:
    """One line for the training and one for the validation images, each named where it ends."""
    for part, colour in (("train", theme.first), ("validation", theme.second)):
        points = [
            (record["epoch"], scale(record[f"{part}_{quantity}"]))
            for record in history
            if record[f"{part}_{quantity}"] is not None
        ]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=colour, marker="o", markersize=4, clip_on=False, label=part)


def _mark_test(axes: Axes, epoch: float, value: float, theme: Theme) -> None:
    axes.plot([epoch], [value], marker="D", color=theme.ink, markersize=6, clip_on=False)
    axes.annotate(
        f"test\n{value:.2f}",
        (epoch, value),
        xytext=(10, 0),
        textcoords="offset points",
        ha="left",
        va="center",
        fontweight="bold",
    )


def _log_axis(axes: Axes) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5 that read as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=subs))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)


def confusion(
    matrix: torch.Tensor,
    classes: Sequence[str],
    target: Target,
    *,
    theme: Theme = LIGHT,
) -> None:
    """How often each class (row) was taken for each (column); colour counts the errors alone."""
    counts = matrix.numpy()
    errors = counts.astype(float).copy()
    np.fill_diagonal(errors, 0)
    top = max(errors.max(), 1)
    with themed(theme):
        figure = _figure(5.2, 5.6)
        axes = figure.add_axes((0.11, 0.19, 0.86, 0.8))
        image = axes.imshow(errors, cmap=theme.colormap(signed=False), vmin=0, vmax=top)
        for row in range(len(classes)):
            for column in range(len(classes)):
                _count(axes, row, column, int(counts[row, column]), top, theme)
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes)
        axes.xaxis.tick_top()
        axes.set_ylabel("true")
        axes.set_xlabel("answered")
        axes.xaxis.set_label_position("top")
        axes.spines[:].set_visible(False)
        _scale(
            figure, image, (0.11, 0.085, 0.86, 0.028), "errors (the diagonal is uncoloured)", top
        )
        _save(figure, target)


def _count(axes: Axes, row: int, column: int, count: int, top: float, theme: Theme) -> None:
    if count == 0:
        return
    strong = row != column and count > 0.55 * top
    axes.text(
        column,
        row,
        str(count),
        ha="center",
        va="center",
        fontsize=9,
        color=theme.paper if strong else theme.soft if row == column else theme.ink,
    )


def mistakes(
    images: torch.Tensor,
    captions: Sequence[str],
    target: Target,
    *,
    columns: int = 12,
    theme: Theme = LIGHT,
) -> None:
    """Images (N, H, W) in uint8 as a sheet of tiles with a caption each, ink dark."""
    # All tiles are one image in one axes: an axes a tile takes matplotlib 40 times as long.
    count, height, width = len(images), *images.shape[1:]
    rows, below, gap = max(1, -(-count // columns)), round(0.42 * height), width // 7
    padded = torch.full((count, height + below, width), torch.nan)
    padded[:, :height] = images / 255
    with themed(theme):
        figure = _figure(columns * 0.85, rows * 1.05)
        axes = figure.add_axes((0, 0, 1, 1))
        cells = mosaic(padded, columns=columns, gap=gap) if count else np.full((9, 9), np.nan)
        axes.imshow(cells, cmap=theme.colormap(signed=False), vmin=0, vmax=1)
        axes.axis("off")
        for index, caption in enumerate(captions):
            x = index % columns * (width + gap) + width / 2
            y = index // columns * (height + below + gap) + height + 0.06 * height
            axes.text(x, y, caption, ha="center", va="top", fontsize=8)
        if not count:
            axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes)
        _save(figure, target)


def kernels(weight: torch.Tensor, target: Target, *, theme: Theme = LIGHT) -> None:
    """The kernels (K, C, H, W) of a convolution, the mean over C, on one signed scale."""
    planes = weight.detach().mean(1)
    limit = max(float(planes.abs().max()), 1e-12)
    columns = min(len(planes), 8)
    rows = -(-len(planes) // columns)
    height = rows * 1.35 + 0.75
    with themed(theme):
        figure = _figure(columns * 1.35, height)
        axes = figure.add_axes((0.02, 0.75 / height, 0.96, rows * 1.3 / height))
        image = _mosaic(axes, planes, columns, limit, theme)
        _scale(figure, image, (0.3, 0.35 / height, 0.4, 0.08 / height), "weight", limit)
        _save(figure, target)


def feature_maps(
    stages: Sequence[Sequence[Layer]], image: int, target: Target, *, theme: Theme = LIGHT
) -> None:
    """The maps of every layer of each stage for one image; one signed scale a stage."""
    row, between, scale = 0.92, 0.14, 0.95  # inches
    inches = sum(sum(_map_rows(layer) * row + between for layer in s) + scale for s in stages)
    with themed(theme):
        figure = _figure(9.0, inches)
        top = 1.0
        for stage in stages:
            limit = stage_limit(stage, image)
            for layer in stage:
                high = _map_rows(layer) * row / inches
                axes = figure.add_axes((0.17, top - high, 0.81, high), anchor="NW")
                drawn = _mosaic(axes, layer.output[image], 8, limit, theme)
                figure.text(0.015, top - high / 2, _label(layer), va="center", fontsize=9.5)
                top -= high + between / inches
            place = (0.42, top - 0.25 / inches, 0.31, 0.08 / inches)
            _scale(figure, drawn, place, "value", limit)
            top -= scale / inches
        _save(figure, target)


def stage_limit(stage: Sequence[Layer], image: int) -> float:
    """The largest absolute value in a stage for one image: the end of its colour scale."""
    return max(1e-12, *(float(layer.output[image].abs().max()) for layer in stage))


def _label(layer: Layer) -> str:
    return f"{layer.title.replace(', ', chr(10))}\n{' x '.join(map(str, layer.shape))}"


def _map_rows(layer: Layer) -> int:
    return -(-layer.shape[0] // 8)


def _mosaic(axes: Axes, planes: torch.Tensor, columns: int, limit: float, theme: Theme) -> Any:
    """All planes (C, H, W) side by side, from ``-limit`` to ``limit``; returns the scaled image."""
    # All maps get about as many cells, whatever their size, and so the same gaps.
    scale = max(1, 84 // planes.shape[2])
    cells = mosaic(planes, columns=columns, scale=scale, gap=7)
    axes.axis("off")
    return axes.imshow(cells, cmap=theme.colormap(), vmin=-limit, vmax=limit)


def _scale(
    figure: Figure, image: Any, place: tuple[float, float, float, float], label: str, top: float
) -> None:
    """The colour scale of ``image``, with its ends and what it measures."""
    axes = figure.add_axes(place)
    bar = figure.colorbar(image, cax=axes, orientation="horizontal", label=label)
    bar.outline.set_visible(False)
    low = float(image.norm.vmin)
    ticks = [low, 0.0, top] if low < 0 else [0.0, top]
    bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])


def _few(epochs: Sequence[int], most: int = 10) -> list[int]:
    step = max(1, -(-len(epochs) // most))
    return list(epochs[::step])


def _figure(width: float, height: float) -> Figure:
    # A figure of its own rather than pyplot's: no global state, no window, no backend to choose.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _save(figure: Figure, target: Target) -> None:
    figure.savefig(target, format="png", bbox_inches="tight", pad_inches=0.12)
