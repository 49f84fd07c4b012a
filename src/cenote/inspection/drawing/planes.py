"""What can be shown of a tensor with channels and spatial axes: planes, or curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cenote.inspection.record import Operator, Record

__all__ = ["Planes", "planes_of", "spatial_dims"]


@dataclass(frozen=True)
class Planes:
    """Values (C, H, W) or, of one spatial axis, (C, L); ``channels`` are their numbers.

    ``notes`` say what was left out on the way.
    """

    values: torch.Tensor
    channels: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def first(self, count: int) -> Planes:
        """The first ``count`` channels, with a note where that is not all of them."""
        if count >= len(self.channels):
            return self
        note = f"only the first {count} of {len(self.channels)} maps: more would be too large"
        return Planes(self.values[:count], self.channels[:count], (*self.notes, note))


def spatial_dims(record: Record, operator: Operator) -> tuple[int, ...] | None:
    """The dimensions of an operator's output along which positions lie; None if it has none.

    They are those that its field says; where that is unknown or the same for all units, those of
    the input, if the output has as many dimensions.
    """
    if operator.output is None:
        return None
    shape = tuple(operator.output.shape)
    dims: tuple[int, ...] = ()
    if operator.field is not None:
        dims = tuple(axis.dim for axis in operator.field.axes if axis.dim is not None)
    source = record.inputs[operator.field.input if operator.field else 0]
    if len(set(dims)) != len(source.axes):
        dims = source.axes if len(shape) == len(source.shape) else ()
    places = [shape[dim] for dim in dims]
    if not 1 <= len(dims) <= 3 or max(places) < 2 or min(shape) < 1:
        return None
    return dims


def planes_of(
    values: torch.Tensor,
    dims: Sequence[int],
    *,
    image: int = 0,
    channels: Sequence[int] | None = None,
    depth: str = "the first axis",
) -> Planes:
    """The planes of a tensor whose dimensions ``dims`` are spatial.

    Of the others, the first of two or more is the batch, of which ``image`` is taken; what is left
    of them together are the channels. Of three spatial axes the middle slice along the first, which
    is called ``depth``, is taken.
    """
    values = values.detach().cpu()
    notes = []
    if values.is_complex():
        values, notes = values.abs(), ["magnitudes of complex values"]
    sizes = [values.shape[dim] for dim in dims]
    values = values.movedim(tuple(dims), tuple(range(-len(dims), 0)))
    if values.dim() > len(dims) + 1:
        if len(values) > 1:
            notes.append(f"image {image} of {len(values)}")
        values = values[image]
    values = values.reshape(-1, *sizes)
    numbers = tuple(range(len(values))) if channels is None else tuple(channels)
    if channels is not None:
        values = values[list(numbers)]
    if len(dims) == 3:
        middle = sizes[0] // 2
        values = values[:, middle]
        notes.append(f"slice {middle} of {sizes[0]} along {depth}, the middle one")
    if not values.is_floating_point():
        values = values.float()
    return Planes(values, numbers, tuple(notes))
