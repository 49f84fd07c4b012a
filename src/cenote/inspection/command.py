"""What ``cenote inspect`` does: the table, the advice, and whatever files were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from cenote.inspection.advice import Advice, advise
from cenote.inspection.record import Record
from cenote.inspection.subject import Subject
from cenote.inspection.table import print_table
from cenote.inspection.tracing.build import inspect

__all__ = ["Wishes", "look"]


@dataclass(frozen=True)
class Wishes:
    """What shall be shown and written."""

    depth: int | None = None
    sort: str | None = None
    html: Path | None = None
    json: Path | None = None
    pictures: Path | None = None
    object_size: int | None = None
    effective: bool = False
    spatial: int | None = None


def look(subject: Subject, wishes: Wishes) -> Record:
    """Watch the network, print its table and advice, and write the files."""
    maps = wishes.html is not None or wishes.pictures is not None
    # The first pass finds its memory and its primitives: its times are nobody's.
    inspect(subject.model, *subject.inputs, backward=False)
    record = inspect(
        subject.model, *subject.inputs, spatial=wishes.spatial, maps=maps, passes=1 if maps else 3
    )
    advice = advise(record, wishes.object_size)
    console = Console(highlight=False)
    print_table(record, console, wishes.depth, wishes.sort)
    for piece in advice:
        console.print(f"\n{piece.kind}: {piece.text}", markup=False)
    for path in _files(subject, record, advice, wishes):
        console.print(f"wrote {path}", markup=False)
    return record


def _files(subject: Subject, record: Record, advice: list[Advice], wishes: Wishes) -> list[Path]:
    written = []
    if wishes.json is not None:
        record.to_json(wishes.json)
        written.append(wishes.json)
    if wishes.html is not None:
        from cenote.inspection.explorer import write_explorer

        effective = heats(subject, record) if wishes.effective else None
        write_explorer(
            record, wishes.html, image=_shown(subject), advice=advice, effective=effective,
            title=subject.title,
        )  # fmt: skip
        written.append(wishes.html)
    if wishes.pictures is not None:
        written += _pictures(subject, record, wishes.pictures)
    return written


def _shown(subject: Subject) -> Any:
    """What the page shows as the input: the picture, or else the tensor where it is an image."""
    first = subject.inputs[0]
    if subject.image is None and isinstance(first, torch.Tensor) and first.dim() == 4:
        return first
    return subject.image


def heats(subject: Subject, record: Record) -> dict[int, np.ndarray]:
    """The effective fields by operator: those of its module, where it is the module's last."""
    from cenote.inspection.effective import effective_fields

    first = subject.inputs[0]
    batch = torch.cat([first, first.new_empty((7, *first.shape[1:])).normal_()])
    found = effective_fields(subject.model, batch)
    heat: dict[int, np.ndarray] = {}
    for name, field in found.items():
        operators = [o for o in record.operators if o.name == name]
        patch = field.patch()
        if operators and patch.size and patch.ndim == 2:
            heat[operators[-1].index] = patch
    return heat


def _pictures(subject: Subject, record: Record, folder: Path) -> list[Path]:
    from cenote.inspection.drawing import draw_costs, draw_kernels, draw_maps

    draw_maps(record, folder / "maps")
    draw_costs(record, folder / "costs.png")
    first = next((o for o in record.operators if o.kind == "conv" and o.name), None)
    if first is not None:
        draw_kernels(subject.model, folder / "kernels.png", layer=first.name)
    return [folder]
