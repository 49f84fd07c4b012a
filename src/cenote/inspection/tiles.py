"""Feature maps as small crisp bitmaps, one picture element a unit, for a page to scale up."""

from __future__ import annotations

import numpy as np
import torch

from cenote.inspection.style import Theme, data_uri, png

__all__ = ["bitmap", "grey", "mosaic", "sheet"]


def mosaic(planes: torch.Tensor, *, columns: int, scale: int = 1, gap: int = 1) -> np.ndarray:
    """Planes (C, H, W) side by side, ``scale`` cells an element, with NaN in the gaps between."""
    count, height, width = planes.shape
    rows, high, wide = -(-count // columns), height * scale + gap, width * scale + gap
    cells = np.full((rows * high - gap, columns * wide - gap), np.nan, np.float32)
    large = planes.numpy().repeat(scale, axis=1).repeat(scale, axis=2)
    for index, plane in enumerate(large):
        top, left = index // columns * high, index % columns * wide
        cells[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
    return cells


def sheet(planes: torch.Tensor, limit: float, theme: Theme, *, columns: int, scale: int) -> str:
    """A mosaic of planes (C, H, W), coloured from ``-limit`` to ``limit``, as a data address.

    ``scale`` bitmap pixels an element; the gaps are transparent.
    """
    gap = max(2, scale * planes.shape[2] // 14)
    cells = mosaic(planes, columns=columns, scale=scale, gap=gap)
    shown = np.where(np.isnan(cells), 0, cells / limit)
    colours = theme.colours(shown.clip(-1, 1))
    opaque = np.where(np.isnan(cells), 0, 255).astype(np.uint8)
    return data_uri(png(np.dstack([colours, opaque])))


def bitmap(plane: torch.Tensor, limit: float, theme: Theme) -> str:
    """One plane (H, W), coloured from ``-limit`` to ``limit``, a pixel an element."""
    return data_uri(png(theme.colours((plane / limit).clamp(-1, 1).numpy())))


def grey(image: torch.Tensor) -> str:
    """A grey image (H, W) in uint8 as it is, bright ink on black."""
    return data_uri(png(image.numpy()))
