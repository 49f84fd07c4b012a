"""What one unit sees of an input: exactly, by its rule, and tap by tap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cenote.inspection.drawing.view import Interval
from cenote.inspection.receptive import ReceptiveField
from cenote.inspection.record import Operator, Record

__all__ = ["TIMES", "Seen", "field_of", "operator_of", "seen_by"]

TIMES = " \N{MULTIPLICATION SIGN} "


@dataclass(frozen=True)
class Seen:
    """What a unit sees, an interval for each axis.

    ``box`` lies inside the input; ``theory`` is what its rule gives, also beyond it, and the box
    where there is no rule. ``centre`` is the middle of that. ``taps`` are the positions that it
    depends on, where they are known.
    """

    box: tuple[tuple[int, int], ...]
    theory: tuple[Interval, ...]
    taps: np.ndarray | None

    @property
    def centre(self) -> tuple[float, ...]:
        """The middle, where position i reaches from i to i + 1."""
        return tuple(sum(ends) / 2 for ends in self.theory)

    @property
    def has_holes(self) -> bool:
        """Whether it does not depend on all that is in its box."""
        return self.taps is not None and not self.taps[tuple(slice(*i) for i in self.box)].all()

    @property
    def place(self) -> int:
        """The position along the first axis, nearest to the centre, at which it sees anything."""
        places = np.arange(*self.box[0])
        if self.taps is not None:
            others = tuple(range(1, self.taps.ndim))
            places = np.flatnonzero(self.taps.any(axis=others))
        return int(min(places, key=lambda place: abs(place + 0.5 - self.centre[0])))

    def at_place(self) -> Seen:
        """The same of the other axes, at :attr:`place`."""
        taps = None if self.taps is None else self.taps[self.place]
        return Seen(self.box[1:], self.theory[1:], taps)

    def in_words(self, field: ReceptiveField) -> str:
        """Positions and sizes, as ``sees height 4 to 17, width 6 to 19: 14 x 14 of 28 x 28``."""
        parts = [
            f"{axis.name} {start} to {stop - 1}"
            for axis, (start, stop) in zip(field.axes, self.box, strict=True)
        ]
        size = TIMES.join(f"{stop - start}" for start, stop in self.box)
        whole = TIMES.join(str(axis.n) for axis in field.axes)
        return f"sees {', '.join(parts)}: {size} of {whole}"


def operator_of(record: Record, operator: int | str) -> Operator:
    """The operator of that index, or the last one of a module.

    Raises:
        ValueError: there is none.
    """
    if isinstance(operator, str):
        try:
            return record.named(operator)[-1]
        except KeyError as error:
            raise ValueError(f"operator: {error.args[0]}") from None
    count = len(record.operators)
    if not 0 <= operator < count:
        raise ValueError(f"operator = {operator}: must lie in 0 to {count - 1}")
    return record.operators[operator]


def field_of(operator: Operator, input: int) -> ReceptiveField:
    """What its units see of an input.

    Raises:
        ValueError: it is unknown, or they see nothing of that input.
    """
    if operator.fields is None:
        cause = operator.unknown or "an operator before it"
        raise ValueError(f"operator = {operator.index}: its field is unknown, from {cause} on")
    if input not in operator.fields:
        known = ", ".join(map(str, sorted(operator.fields))) or "none"
        raise ValueError(
            f"input = {input}: operator {operator.index} depends on none of it, but on {known}"
        )
    return operator.fields[input]


def seen_by(record: Record, operator: Operator, unit: Sequence[int], input: int) -> Seen | None:
    """What a unit sees of an input; None if that is nothing.

    Raises:
        ValueError: its field is unknown, or there is no such unit.
    """
    field = field_of(operator, input)
    box = field.box(unit)
    if box is None:
        return None
    lead = len(field.shape) - len(unit)
    theory = []
    for axis, interval in zip(field.axes, box, strict=True):
        if axis.rule is not None and axis.dim is not None and axis.dim >= lead:
            interval = axis.rule.interval(unit[axis.dim - lead])
        theory.append(interval)
    taps = None
    if record.taps_of is not None:
        taps = np.asarray(record.taps(operator.index, tuple(unit), input), dtype=bool)
    return Seen(box, tuple(theory), taps)
