"""What every element of a tensor depends on: a box of each input, in arrays that stay small.

A :class:`Sight` holds, for every input and every spatial axis of it, where the interval that an
element depends on starts and stops. The arrays broadcast to the tensor's shape, so that what is
the same for all channels is held once. Elements of tensors that move (reshape, permute, crop) take
their intervals along; windows, sums and products merge them: the least start, the greatest stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cenote.inspection.receptive import Rule
from cenote.inspection.tracing.tables import Table

__all__ = [
    "NOTHING", "AxisSight", "Sight", "broadcast", "join", "merge", "move", "plain", "settled",
    "spread",
]  # fmt: skip

_FAR = 1 << 40
NOTHING = (_FAR, -_FAR)
"""Start and stop of what depends on nothing: it does not count in a merge."""


@dataclass(frozen=True)
class AxisSight:
    """Intervals along one axis of one input; see :class:`cenote.inspection.receptive.AxisField`."""

    starts: np.ndarray
    stops: np.ndarray
    rule: Rule | None
    dim: int | None

    def at(self, rule: Rule | None, dim: int | None) -> AxisSight:
        """The same intervals by another rule."""
        return AxisSight(self.starts, self.stops, rule, dim)


@dataclass(frozen=True)
class Sight:
    """What the elements of a tensor of ``shape`` depend on; of inputs left out, on nothing."""

    shape: tuple[int, ...]
    axes: dict[int, tuple[AxisSight, ...]] = field(default_factory=dict)

    @classmethod
    def of_input(cls, index: int, shape: tuple[int, ...], dims: Sequence[int]) -> Sight:
        """Every position of an input sees itself."""
        axes = []
        for dim in dims:
            place = [1] * len(shape)
            place[dim] = shape[dim]
            starts = np.arange(shape[dim]).reshape(place)
            axes.append(AxisSight(starts, starts + 1, Rule(1, 1, (0,), (1,)), dim))
        return cls(shape, {index: tuple(axes)})

    def map(self, shape: tuple[int, ...], change: Callable[[AxisSight], AxisSight]) -> Sight:
        """The sight of ``shape`` in which every axis of every input is changed alike."""
        return Sight(shape, {i: tuple(map(change, axes)) for i, axes in self.axes.items()})


def move(
    sight: Sight,
    how: Callable[[Tensor], Tensor],
    rules: Callable[[Rule, int], tuple[Rule | None, int | None]],
    kind: torch.dtype = torch.int64,
) -> Sight:
    """Take the intervals along with elements that ``how`` moves about.

    ``how`` gets whole tensors of the sight's shape; ``rules`` says what becomes of the rule along a
    dimension, and of that dimension.
    """
    shape: tuple[int, ...] = ()

    def whole(array: np.ndarray) -> np.ndarray:
        nonlocal shape
        full = torch.from_numpy(np.ascontiguousarray(array)).to(kind).expand(sight.shape)
        moved = how(full)
        shape = tuple(moved.shape)
        return _small(moved.to(torch.int64))

    axes: dict[int, tuple[AxisSight, ...]] = {}
    for index, along in sight.axes.items():
        changed = []
        for a in along:
            rule, dim = (None, None)
            if a.rule is not None and a.dim is not None:
                rule, dim = rules(a.rule, a.dim)
            starts, stops = whole(a.starts), whole(a.stops)
            if rule is None:
                dim = _only_dim(starts, stops)
            changed.append(AxisSight(starts, stops, rule, dim))
        axes[index] = tuple(changed)
    if not axes:
        shape = tuple(how(torch.zeros((), dtype=kind).expand(sight.shape)).shape)
    return Sight(shape, axes)


def _small(tensor: Tensor) -> np.ndarray:
    """The values with every dimension along which they are the same cut down to one."""
    for dim, (length, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if length > 1 and stride == 0:
            tensor = tensor.narrow(dim, 0, 1)
    array = tensor.numpy()
    for dim, length in enumerate(array.shape):
        if length > 1:
            first = array.take([0], axis=dim)
            if (array == first).all():
                array = first
    return array


def settled(starts: np.ndarray, stops: np.ndarray) -> AxisSight:
    """Intervals that were worked out one by one: cut down, and without a rule."""
    least, greatest = (_small(torch.from_numpy(np.ascontiguousarray(a))) for a in (starts, stops))
    return AxisSight(least, greatest, None, _only_dim(least, greatest))


def _only_dim(starts: np.ndarray, stops: np.ndarray) -> int | None:
    """The one dimension along which intervals differ, if there is one."""
    dims = [d for d, (a, b) in enumerate(zip(starts.shape, stops.shape, strict=True)) if a * b > 1]
    return dims[0] if len(dims) == 1 else None


def broadcast(sight: Sight, shape: tuple[int, ...]) -> Sight:
    """The sight of a tensor that is stretched to ``shape`` as arithmetic does."""
    lead = len(shape) - len(sight.shape)
    if lead == 0 and sight.shape == shape:
        return sight

    def change(a: AxisSight) -> AxisSight:
        starts = a.starts.reshape((1,) * lead + a.starts.shape)
        stops = a.stops.reshape((1,) * lead + a.stops.shape)
        return AxisSight(starts, stops, a.rule, None if a.dim is None else a.dim + lead)

    return sight.map(shape, change)


def hollowed(along: tuple[AxisSight, ...]) -> tuple[AxisSight, ...]:
    """The axes of one input with elements that see nothing along one seeing nothing along all.

    Where an element sees nothing, one axis says so; before intervals of other elements are joined
    to its own, all have to.
    """
    empty = [a.starts >= a.stops for a in along]
    if not any(e.any() for e in empty) or len(along) == 1:
        return along
    nothing = np.logical_or.reduce(np.broadcast_arrays(*empty))

    def change(a: AxisSight) -> AxisSight:
        starts = np.where(nothing, NOTHING[0], a.starts)
        stops = np.where(nothing, NOTHING[1], a.stops)
        return AxisSight(starts, stops, a.rule, a.dim)

    return tuple(map(change, along))


def join(sights: Iterable[Sight], shape: tuple[int, ...]) -> Sight:
    """What depends on all of them, element by element."""
    stretched = [broadcast(sight, shape) for sight in sights if sight.axes]
    if len({id(sight) for sight in stretched}) > 1:
        stretched = [
            Sight(s.shape, {i: hollowed(along) for i, along in s.axes.items()}) for s in stretched
        ]
    axes: dict[int, tuple[AxisSight, ...]] = {}
    for sight in stretched:
        for index, along in sight.axes.items():
            before = axes.get(index)
            axes[index] = (
                along if before is None
                else tuple(_union(a, b) for a, b in zip(before, along, strict=True))
            )  # fmt: skip
    return Sight(shape, axes)


def _union(a: AxisSight, b: AxisSight) -> AxisSight:
    if a is b:
        return a
    starts, stops = np.minimum(a.starts, b.starts), np.maximum(a.stops, b.stops)
    rule, dim = None, a.dim
    if a.rule is not None and b.rule is not None and a.dim == b.dim:
        rule = a.rule if a.rule == b.rule else a.rule.joined(b.rule)
    if rule is None:
        dim = _only_dim(starts, stops)
    return AxisSight(starts, stops, rule, dim)


def spread(sight: Sight, dims: Sequence[int]) -> Sight:
    """Let all elements along ``dims`` depend on what any of them does; they stay, with length 1."""
    dims = tuple(d % len(sight.shape) for d in dims) if sight.shape else ()
    joint = any(_joint(along) for along in sight.axes.values())
    if joint:
        sight = Sight(sight.shape, {i: hollowed(along) for i, along in sight.axes.items()})

    def change(a: AxisSight) -> AxisSight:
        starts = a.starts.min(axis=dims, keepdims=True) if dims else a.starts
        stops = a.stops.max(axis=dims, keepdims=True) if dims else a.stops
        if a.dim in dims or a.dim is None:
            return AxisSight(starts, stops, None, _only_dim(starts, stops))
        return AxisSight(starts, stops, a.rule, a.dim)

    return sight.map(sight.shape, change)


def _joint(along: tuple[AxisSight, ...]) -> bool:
    """Whether several dimensions together decide what is seen along some axis."""
    return len(along) > 1 and any(sum(n > 1 for n in a.starts.shape) > 1 for a in along)


def merge(sight: Sight, tables: dict[int, Table]) -> Sight:
    """Slide windows: along each dimension, elements depend on what their table says.

    The dimensions that have no table stay as they are.
    """
    shape = list(sight.shape)
    for dim, table in tables.items():
        shape[dim] = table.outputs
    hollow = [dim for dim, table in tables.items() if table.hollow]
    axes: dict[int, tuple[AxisSight, ...]] = {}
    for index, axes_before in sight.axes.items():
        along = hollowed(axes_before) if _joint(axes_before) else axes_before
        changed = []
        for position, a in enumerate(along):
            starts, stops = a.starts, a.stops
            for dim, table in tables.items():
                lies = starts.shape[dim] > 1 or stops.shape[dim] > 1 or dim == a.dim
                # A window without an element sees nothing: one axis has to say so.
                if lies or (dim in hollow and position == 0):
                    starts = table.least(_along(starts, dim, sight.shape[dim]), dim)
                    stops = -table.least(-_along(stops, dim, sight.shape[dim]), dim)
            rule, dim_now = a.rule, a.dim
            if rule is not None and a.dim in tables:
                local = tables[a.dim].rule
                rule = None if local is None else local.over(rule).reduced()
            if rule is None:
                dim_now = _only_dim(starts, stops)
            changed.append(AxisSight(starts, stops, rule, dim_now))
        axes[index] = tuple(changed)
    return Sight(tuple(shape), axes)


def _along(array: np.ndarray, dim: int, length: int) -> np.ndarray:
    """An array with a dimension at its full length."""
    if array.shape[dim] == length:
        return array
    shape = list(array.shape)
    shape[dim] = length
    return np.broadcast_to(array, shape)


def plain(value: Any) -> Any:
    """A list of numbers out of whatever an operator takes for one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]
