"""Feature maps as grey 8-bit PNG sprites that hold values, not colours: a page colours them.

One sprite of an operator's output serves both themes and every colour scale, and is some hundred
times smaller than the numbers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch

from cenote.inspection.record import Operator, Record
from cenote.inspection.style import data_uri

__all__ = ["batch_dims", "grey_uri", "maps_of"]

_LEVELS = 254  # even, so that zero is one of the levels; level 255 says that a value is not finite
_CELLS = 4096  # elements of a vector that are shown
_EXACT = 1024  # elements of a vector up to which its values are given as numbers too


def maps_of(record: Record, *, channels: int = 64, side: int = 64) -> dict[str, dict[str, Any]]:
    """The ``maps`` part of the page's data: for each operator, its first output as a sprite.

    At most the first ``channels`` maps are kept, each brought to at most ``side`` by ``side``
    elements (one row: eight times ``side``) by averaging; where an output was not kept, the sprite
    is None. The values are those of the first element of the batch, and of the middle slice where
    there are more than two axes.

    Raises:
        ValueError: ``channels`` or ``side`` below 1.
    """
    for name, value in (("channels", channels), ("side", side)):
        if value < 1:
            raise ValueError(f"{name} = {value}: must be at least 1")
    batch, rank = batch_dims(record), len(record.inputs[0].axes) if record.inputs else 2
    return {
        str(operator.index): _map(operator, _layout(operator, batch, rank), channels, side)
        for operator in record.operators
        if operator.output_shapes and prod(operator.shape) > 0
    }


def batch_dims(record: Record) -> int:
    """How many dimensions lie before the channels, going by the first input."""
    axes = record.inputs[0].axes if record.inputs else ()
    return max(0, axes[0] - 1) if axes else 1


@dataclass(frozen=True)
class _Layout:
    """Which dimensions of a tensor are shown as tiles, rows and columns; the others stand still.

    A vector has ``column`` alone, and is broken into lines of ``wrap`` elements.
    """

    tile: int | None
    row: int | None
    column: int | None
    base: tuple[int, ...]
    lead: int
    wrap: int | None = None


def _layout(operator: Operator, batch: int, rank: int) -> _Layout:
    """How to show an output: by the dimensions that its receptive field tells are spatial."""
    shape = operator.shape
    batch = _lead(operator, batch)
    rest = list(range(batch, len(shape)))
    if (
        batch == 0 and len(shape) > 2
    ):  # a batch of one may lie anywhere, as in (tokens, N, features)
        seeing = _seeing(operator)
        rest = [d for d in rest if shape[d] > 1 or d in seeing] or rest[-1:]
    spatial = _spatial(operator, rest, rank)
    others = [d for d in rest if d not in spatial]
    tile = others[0] if others else None
    row, column = (spatial[-2] if len(spatial) > 1 else None), (spatial[-1] if spatial else None)
    base = [0] * len(shape)
    for d in [*others[1:], *spatial[:-2]]:
        base[d] = shape[d] // 2 if d in spatial else 0
    if tile is not None and all(shape[d] == 1 for d in spatial):
        tile, row, column = None, None, tile
    wrap = None
    if tile is None and row is None:
        length = min(_CELLS, shape[column]) if column is not None else 1
        wrap = _columns(length)
    return _Layout(tile, row, column, tuple(base), batch, wrap)


def _lead(operator: Operator, batch: int) -> int:
    """How many dimensions to leave out in front: none where what is seen depends on them."""
    first = min(_seeing(operator), default=batch)
    return batch if first >= batch and len(operator.shape) > batch else 0


def _seeing(operator: Operator) -> set[int]:
    """The dimensions along which units see different things."""
    axes = operator.field.axes if operator.field is not None else ()
    return {d for axis in axes for d, length in enumerate(axis.starts.shape) if length > 1}


def _spatial(operator: Operator, rest: Sequence[int], rank: int) -> list[int]:
    field = operator.field
    if field is not None:
        dims = [axis.dim for axis in field.axes]
        found = [d for d in dims if d is not None and d in rest]
        if found and len(set(found)) == len(dims):
            return sorted(found)
    if len(rest) == 1:
        return []
    return list(rest[1:]) if len(rest) == rank + 1 else list(rest[-2:])


def _columns(length: int) -> int:
    """A number of columns near one and a half times the rows, without a rest where one is near."""
    widest = max(1, round((1.5 * length) ** 0.5))
    return next((c for c in range(widest, widest * 2 // 3, -1) if length % c == 0), widest)


def _map(operator: Operator, layout: _Layout, channels: int, side: int) -> dict[str, Any]:
    shape = operator.shape

    def length(d: int | None) -> int:
        return 1 if d is None else shape[d]

    total, size = length(layout.tile), (length(layout.row), length(layout.column))
    count = min(total, channels)
    # A signal's strip may be longer than a plane is wide: it takes little room.
    most = side if size[0] > 1 else 8 * side
    step = (1, 1) if layout.wrap else tuple(-(-n // most) for n in size)
    entry: dict[str, Any] = {
        "lead": layout.lead,
        "dims": [layout.tile, layout.row, layout.column],
        "base": layout.base,
        "size": size,
        "total": total,
        "count": count,
        "step": step,
        "wrap": layout.wrap,
        "shown": min(size[1], _CELLS) if layout.wrap else size[1],
        "sprite": None,
    }
    if operator.output is not None:
        planes = _planes(operator.output, layout, count)
        if layout.wrap:
            flat = planes.reshape(-1)[:_CELLS]
            entry["values"] = _numbers(flat) if flat.size <= _EXACT else None
            lines = -(-flat.size // layout.wrap)
            planes = np.zeros((1, lines, layout.wrap), np.float32)
            planes.reshape(-1)[: flat.size] = flat
        entry.update(_sprite(_averaged(planes, step)))
    return entry


def _planes(output: torch.Tensor, layout: _Layout, count: int) -> np.ndarray:
    """The shown part of a tensor as float32 (tiles, rows, columns)."""
    kept = [d for d in (layout.tile, layout.row, layout.column) if d is not None]
    at: list[Any] = list(layout.base)
    for d in kept:
        at[d] = slice(0, count) if d == layout.tile else slice(None)
    part = output.detach()[tuple(at)]
    if part.is_complex():
        part = part.abs()
    order = sorted(kept)
    part = part.permute([order.index(d) for d in kept]) if kept else part
    lengths = [1 if d is None else part.shape[kept.index(d)] for d in
               (layout.tile, layout.row, layout.column)]  # fmt: skip
    return part.to(device="cpu", dtype=torch.float32).reshape(lengths).numpy()


def _averaged(planes: np.ndarray, step: Sequence[int]) -> np.ndarray:
    """Means over blocks of ``step`` elements; those at the far ends may be smaller."""
    for axis, width in ((1, step[0]), (2, step[1])):
        if width > 1:
            # Strided slices add up several times faster than reduceat or a mean over short axes.
            along = planes.swapaxes(axis, 0)
            total, counts = along[::width].copy(), np.ones(-(-len(along) // width), np.float32)
            for k in range(1, width):
                part = along[k::width]
                total[: len(part)] += part
                counts[: len(part)] += 1
            planes = (total / counts[:, None, None]).swapaxes(axis, 0)
    return planes


def _sprite(planes: np.ndarray) -> dict[str, Any]:
    """Planes (C, H, W) side by side in one grey PNG: levels from ``-limit`` or 0 to ``limit``."""
    finite = np.isfinite(planes)
    known = planes if finite.all() else np.where(finite, planes, 0)
    low, high = float(known.min()), float(known.max())
    limit, signed = max(-low, high), low < 0
    scale = (_LEVELS / 2 if signed else _LEVELS) / limit if limit else 0.0
    levels = np.rint(known * scale) + (_LEVELS // 2 if signed else 0)
    levels = np.where(finite, levels, 255).astype(np.uint8)
    count, height, width = levels.shape
    columns = max(1, min(count, 512 // width))
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, height, width), np.uint8)
    sheet[:count] = levels
    sheet = sheet.reshape(rows, columns, height, width).swapaxes(1, 2)
    return {
        "sprite": grey_uri(sheet.reshape(rows * height, columns * width)),
        "columns": columns,
        "pixels": (height, width),
        "limit": limit,
        "signed": signed,
        "low": low,
        "high": high,
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in values.tolist()]


def grey_uri(pixels: np.ndarray) -> str:
    """As :func:`style.png`, but quick rather than smallest: a camera's frames come through here."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="png", compress_level=1)
    return data_uri(buffer.getvalue())
