"""Fields of all operators of a trace: the rules applied in the order in which they ran."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cenote.inspection.receptive import AxisField, Branch, ReceptiveField, Rule
from cenote.inspection.record import Input
from cenote.inspection.tracing import mixing, movement, pointwise, resizing, windows
from cenote.inspection.tracing.calls import Call, Place, Trace
from cenote.inspection.tracing.given import RULES, Given
from cenote.inspection.tracing.pointwise import each_by_itself
from cenote.inspection.tracing.sight import NOTHING, AxisSight, Sight, settled

__all__ = ["Fields", "places_of", "rule_of"]

_TABLES = (mixing, movement, pointwise, resizing, windows)  # each brings its rules along
_NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def rule_of(call: Call) -> Any:
    """The rule for an operator; None where there is none."""
    found = RULES.get(call.base)
    if found is None and torch.Tag.pointwise in call.func.tags:
        return each_by_itself
    return found


class Fields:
    """What each operator of a trace sees; worked out when somebody asks."""

    def __init__(self, trace: Trace, inputs: tuple[Input, ...]) -> None:
        self._inputs = inputs
        self._sights: dict[int, Sight] = {}
        self._unknown: dict[int, str] = {}
        self.of_call: list[dict[int, ReceptiveField] | None] = []
        self.unknown: list[str | None] = []
        for index, (ref, given) in enumerate(zip(trace.inputs, inputs, strict=True)):
            self._sights[ref.value] = Sight.of_input(index, ref.shape, given.axes)
        self._sources = {ref.value: -1 - index for index, ref in enumerate(trace.inputs)}
        self._sources.update(trace.makers)
        for call in trace.calls:
            self._apply(call)

    def _apply(self, call: Call) -> None:
        culprits = [self._unknown[r.value] for r in call.refs if r.value in self._unknown]
        rule = rule_of(call)
        if rule is None or culprits:
            self._give_up(call, culprits[0] if culprits else call.base.partition("::")[2])
            return
        try:
            sights = rule(Given(call, self._sights))
        except (LookupError, NotImplementedError):
            self._give_up(call, call.base.partition("::")[2])
            return
        for value, sight in zip(call.made, sights, strict=False):
            self._sights[value] = sight
        for value in call.made[len(sights) :]:
            self._sights[value] = Sight(())
        for old, new, where, place in call.aliases:
            self._sights[new] = self._rewritten(call, old, where, place)
        first = sights[0] if sights else Sight(())
        self.unknown.append(None)
        self.of_call.append(self._fields(call, first))

    def _give_up(self, call: Call, culprit: str) -> None:
        for value in [*call.made, *(new for _, new, _, _ in call.aliases)]:
            self._unknown[value] = culprit
        self.unknown.append(culprit)
        self.of_call.append(None)

    def _rewritten(self, call: Call, old: int, where: Place, place: Place) -> Sight:
        """What a tensor sees after another that shares its storage was overwritten."""
        before = self._sights.get(old, Sight(where.shape))
        after = self._sights[call.made[0]]
        ours, theirs = places_of(where), places_of(place)
        size = int(max(ours.max(initial=0), theirs.max(initial=0))) + 1
        axes: dict[int, tuple[AxisSight, ...]] = {}
        for index in {*before.axes, *after.axes}:
            count = len(before.axes.get(index) or after.axes[index])
            axes[index] = tuple(
                _overlaid(before, after, (index, a), (ours, theirs, size)) for a in range(count)
            )
        return Sight(where.shape, axes)

    def _fields(self, call: Call, sight: Sight) -> dict[int, ReceptiveField]:
        """One field for each input that is seen at all."""
        found = {}
        for index, along in sight.axes.items():
            given = self._inputs[index]
            names = _NAMES.get(len(along), tuple(f"axis {i}" for i in range(len(along))))
            axes = tuple(
                _axis_field(name, length, axis, sight.shape)
                for name, length, axis in zip(names, given.lengths, along, strict=True)
            )
            branches = self._branches(call, index)
            found[index] = ReceptiveField(
                index, sight.shape, axes, branches, _aligned(branches, axes)
            )
        return found

    def _branches(self, call: Call, index: int) -> tuple[Branch, ...]:
        """The ways that meet in an operator, where more than one does."""
        if len({ref.value for ref in call.refs}) < 2:
            return ()
        found = []
        for ref in {ref.value: ref for ref in call.refs}.values():
            along = self._sights[ref.value].axes.get(index)
            if along is None:
                continue
            rules = [a.rule for a in along]
            found.append(
                Branch(
                    self._sources[ref.value],
                    tuple(r.size if r else int((a.stops - a.starts).max(initial=0))
                          for r, a in zip(rules, along, strict=True)),
                    tuple(r.step if r else None for r in rules),
                    tuple(r.centre if r else None for r in rules),
                )
            )  # fmt: skip
        return tuple(found) if len(found) > 1 else ()


def places_of(place: Place) -> np.ndarray:
    """Where each element of a tensor lies in its storage."""
    flat = np.zeros(place.shape, dtype=np.int64) + place.offset
    for dim, (length, stride) in enumerate(zip(place.shape, place.stride, strict=True)):
        along = [1] * len(place.shape)
        along[dim] = length
        flat = flat + (np.arange(length) * stride).reshape(along)
    return flat


def _overlaid(
    before: Sight, after: Sight, which: tuple[int, int], where: tuple[np.ndarray, np.ndarray, int]
) -> AxisSight:
    (index, axis), (ours, theirs, size) = which, where
    arrays = []
    for end in (0, 1):
        room = np.full(size, NOTHING[end])
        for sight, places in ((before, ours), (after, theirs)):
            if index in sight.axes:
                a = sight.axes[index][axis]
                room[places] = np.broadcast_to(a.stops if end else a.starts, places.shape)
            else:
                room[places] = NOTHING[end]
        arrays.append(room[ours])
    return settled(*arrays)


def _aligned(branches: tuple[Branch, ...], axes: tuple[AxisField, ...]) -> bool:
    """Whether branches agree in jump and centre, as far as both have one."""
    for position in range(len(axes)):
        jumps = {b.jumps[position] for b in branches}
        centres = {b.centres[position] for b in branches}
        if None in jumps:
            continue
        if len(jumps) > 1 or len(centres) > 1:
            return False
    return True


def _axis_field(name: str, n: int, axis: AxisSight, shape: tuple[int, ...]) -> AxisField:
    starts, stops = np.maximum(axis.starts, 0), np.minimum(axis.stops, n)
    if starts.shape != stops.shape:
        starts, stops = np.broadcast_arrays(starts, stops)
    rule, dim = axis.rule, axis.dim
    if dim is None:
        dim = _dim_of_positions(starts)
    if rule is None and dim is not None:
        rule = _rule_read_off(starts.ravel(), stops.ravel(), n, shape[dim])
    return AxisField(name, n, starts, stops, rule, dim)


def _dim_of_positions(starts: np.ndarray) -> int | None:
    """The dimension along which intervals differ, channels and batch apart."""
    dims = [d for d, length in enumerate(starts.shape) if length > 1 and d > 1]
    return dims[0] if len(dims) == 1 else None


def _rule_read_off(starts: np.ndarray, stops: np.ndarray, n: int, units: int) -> Rule | None:
    """The rule that all units follow but for the input's ends; None where there is none.

    At least three units have to lie clear of the ends, and every other has to be what the ends
    leave of the rule.
    """
    if len(starts) != units or len(stops) != units or units < 3:
        return None
    clear = np.flatnonzero((starts > 0) & (stops < n) & (starts < stops))
    if len(clear) < 3:
        return None
    one, two = int(clear[0]), int(clear[1])
    if two != one + 1:
        return None
    jump = int(starts[two] - starts[one])
    lo, hi = int(starts[one]) - one * jump, int(stops[one]) - one * jump
    at = np.arange(units)
    same = np.maximum(lo + at * jump, 0) == starts
    same &= np.minimum(hi + at * jump, n) == stops
    return Rule(1, jump, (lo,), (hi,)) if bool(same.all()) else None
