"""One self-contained page to look into a network: point at a unit, see what it sees of the input.

The page is driven by one JSON text inside it, which ``templates/explorer.js`` describes;
:func:`maps_of` makes the part of it that changes with the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cenote.inspection.record import Record
from cenote.inspection.sprites import batch_dims, grey_uri, maps_of
from cenote.inspection.style import THEMES, data_uri, png, templates
from cenote.training.files import replace_text

__all__ = ["explorer_html", "maps_of", "picture_of", "write_explorer"]


def write_explorer(
    record: Record,
    path: str | Path,
    *,
    image: np.ndarray | torch.Tensor | None = None,
    advice: Sequence[Any] = (),
    effective: Mapping[int, np.ndarray] | None = None,
    title: str | None = None,
) -> Path:
    """Write the page of :func:`explorer_html` to ``path``, whole or not at all; give the path."""
    path = Path(path)
    text = explorer_html(record, image=image, advice=advice, effective=effective, title=title)
    replace_text(path, text)
    return path


def explorer_html(
    record: Record,
    *,
    image: np.ndarray | torch.Tensor | None = None,
    advice: Sequence[Any] = (),
    effective: Mapping[int, np.ndarray] | None = None,
    title: str | None = None,
) -> str:
    """A page that shows ``record``, made with ``maps=True``; it needs no other file, no network.

    ``image`` is shown as the network's first input: bytes ``(H, W)`` or ``(H, W, 3)``, or the
    tensor that the network was given, which is scaled to its own range. ``advice`` are objects
    with ``kind``, ``name``, ``operator`` (an index or None) and ``text``. ``effective`` gives, for
    the index of an operator, what its units respond to on the average: a float array
    ``(rows, columns)`` in input pixels, centred on the unit's centre.

    Raises:
        ValueError: ``image`` is neither an image nor of the input's shape, ``effective`` names no
            operator or is not two-dimensional.
    """
    environment = templates()
    # tojson writes <, > and & as escapes: a module called </script> stays text. A browser's JSON
    # knows no NaN, so one is an error here and not there.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    # About four thousand maps a page: all of a classic network, the first ones of a very deep one.
    channels = max(8, min(64, 4096 // max(1, len(record.operators))))
    content = {
        "title": title or record.model,
        "record": record.to_dict(),
        "batch": batch_dims(record),
        "maps": maps_of(record, channels=channels),
        "image": None if image is None else picture_of(image, record),
        "advice": [
            {"kind": a.kind, "name": a.name, "operator": a.operator, "text": a.text} for a in advice
        ],
        "effective": _patches(effective or {}, record),
        "themes": {
            theme.name: {
                **{name: getattr(theme, name) for name in _COLOURS},
                "anchors": theme.anchors,
            }
            for theme in THEMES
        },
    }
    template = environment.get_template("explorer.html")
    return template.render(title=content["title"], content=content, themes=THEMES)


_COLOURS = ("paper", "ink", "soft", "line", "first", "second", "third", "zero")


def picture_of(image: np.ndarray | torch.Tensor, record: Record) -> dict[str, Any]:
    """The first input as an image of one picture element an input element."""
    if isinstance(image, torch.Tensor) and record.inputs:
        if tuple(image.shape) == record.inputs[0].shape:
            image = _first(image.detach().cpu(), record)
        else:
            image = image.cpu().numpy()
    pixels = np.asarray(image)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or not pixels.size:
        raise ValueError(
            f"image: shape {pixels.shape} is neither (H, W) nor (H, W, 3)"
            + (f", nor the input's {record.inputs[0].shape}" if record.inputs else "")
        )
    if pixels.dtype != np.uint8:
        finite = np.where(np.isfinite(pixels), pixels, 0).astype(np.float32)
        low, high = float(finite.min()), float(finite.max())
        pixels = np.rint((finite - low) * (255 / (high - low) if high > low else 0))
        pixels = pixels.astype(np.uint8)
    return {"sprite": data_uri(png(np.ascontiguousarray(pixels))), "size": pixels.shape[:2]}


def _first(x: torch.Tensor, record: Record) -> np.ndarray:
    """The first of a batch as (H, W[, 3]): a volume's middle slice, a signal's channels in rows."""
    axes = record.inputs[0].axes
    for d in sorted(set(range(x.dim())) - set(axes), reverse=True)[1:]:
        x = x.select(d, 0)
    while x.dim() > 3:
        x = x.select(1, x.shape[1] // 2)
    if x.is_complex():
        x = x.abs()
    if x.dim() == 3 and x.shape[0] == 3:
        return x.permute(1, 2, 0).to(x.dtype if x.dtype == torch.uint8 else torch.float32).numpy()
    if x.dim() == 3:
        x = x[0] if x.shape[0] == 1 else x.float().mean(0)
    if x.dim() == 1:
        x = x[None]
    return x.numpy() if x.dtype == torch.uint8 else x.float().numpy()


def _patches(effective: Mapping[int, np.ndarray], record: Record) -> dict[str, dict[str, Any]]:
    found = {}
    for index, patch in effective.items():
        if not 0 <= index < len(record.operators):
            raise ValueError(f"effective: {index} is not one of {len(record.operators)} operators")
        heat = np.abs(np.asarray(patch, dtype=np.float32))
        if heat.ndim != 2 or not heat.size:
            raise ValueError(f"effective[{index}]: shape {heat.shape} is not (rows, columns)")
        top = float(heat.max())
        levels = np.rint(heat * (255 / top if top else 0)).astype(np.uint8)
        found[str(index)] = {"sprite": grey_uri(levels), "size": heat.shape}
    return found
