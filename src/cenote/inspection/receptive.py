"""What the units of a tensor see of an input: exact, and as the triple that the literature gives.

Two things are held for every axis of an input. The *rule* is periodic in the units, takes no
notice of where the input ends, and is what published tables give: unit ``q*period + r`` sees
``[q*jump + lo[r], q*jump + hi[r])``. The *intervals* are what each unit really sees, inside the
input, one for every unit; they are also there where no rule holds (adaptive pooling, odd resizes,
pieces put together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, prod

import numpy as np

from cenote.field import Field

__all__ = ["AxisField", "Branch", "ReceptiveField", "Rule"]

Interval = tuple[int, int]


@dataclass(frozen=True)
class Rule:
    """Unit ``q*period + r`` sees ``[q*jump + lo[r], q*jump + hi[r])``; an empty one sees nothing.

    All integers, in input elements. With ``period == 1`` this is :class:`cenote.Field`.

    >>> Rule.of(Field(3, 2, -1)).interval(4)
    (7, 10)
    """

    period: int
    jump: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]

    @classmethod
    def of(cls, field: Field) -> Rule:
        """The rule that is periodic with 1."""
        return cls(1, field.jump, (field.offset,), (field.offset + field.size,))

    def interval(self, unit: int) -> Interval:
        """What ``unit`` sees, also outside the input."""
        q, r = divmod(unit, self.period)
        return q * self.jump + self.lo[r], q * self.jump + self.hi[r]

    @property
    def size(self) -> int:
        """The longest interval."""
        return max(0, *(hi - lo for lo, hi in zip(self.lo, self.hi, strict=True)))

    @property
    def step(self) -> Fraction:
        """How far neighbouring units' intervals lie apart, on the average."""
        return Fraction(self.jump, self.period)

    @property
    def centre(self) -> Fraction | None:
        """Where unit 0 is centred, on the average over a period; None where nothing is seen."""
        seen = [
            Fraction(sum(self.interval(r)), 2) - r * self.step
            for r in range(self.period)
            if self.lo[r] < self.hi[r]
        ]
        return sum(seen, Fraction(0)) / len(seen) if seen else None

    def over(self, inner: Rule) -> Rule:
        """This rule's units on units of ``inner``: what they see of ``inner``'s input."""
        times = inner.period // gcd(self.jump, inner.period)
        period, lo, hi = self.period * times, [], []
        for unit in range(period):
            a, b = self.interval(unit)
            seen = [inner.interval(i) for i in range(a, min(b, a + 2 * inner.period))]
            seen += [inner.interval(i) for i in range(max(a, b - 2 * inner.period), b)]
            seen = [(p, q) for p, q in seen if p < q]
            lo.append(min((p for p, _ in seen), default=0))
            hi.append(max((q for _, q in seen), default=0))
        return Rule(period, self.jump * times // inner.period * inner.jump, tuple(lo), tuple(hi))

    def joined(self, other: Rule) -> Rule | None:
        """The hull of both; None where their intervals drift apart."""
        if self.step != other.step:
            return None
        period = self.period * other.period // gcd(self.period, other.period)
        lo, hi = [], []
        for unit in range(period):
            seen = [i for i in (self.interval(unit), other.interval(unit)) if i[0] < i[1]]
            lo.append(min((p for p, _ in seen), default=0))
            hi.append(max((q for _, q in seen), default=0))
        return Rule(period, self.jump * period // self.period, tuple(lo), tuple(hi)).reduced()

    def reduced(self) -> Rule:
        """The same with the smallest period."""
        for period in range(1, self.period):
            jump = self.jump * period // self.period
            if self.period % period or self.jump * period % self.period:
                continue
            ends = [self.interval(unit) for unit in range(2 * self.period)]
            if all(
                ends[u] == tuple(e + jump for e in ends[u - period])
                for u in range(period, len(ends))
            ):
                return Rule(period, jump, self.lo[:period], self.hi[:period])
        return self

    def moved(self, first: int, step: int = 1) -> Rule:
        """The rule of units ``first, first + step, ...``; ``step`` may be negative."""
        return Rule(1, step, (first,), (first + 1,)).over(self)


@dataclass(frozen=True)
class AxisField:
    """What the units of a tensor see along one axis of an input of length ``n``.

    ``starts`` and ``stops`` broadcast to the tensor's shape; a unit that sees nothing has
    ``starts >= stops``. ``dim`` is the one dimension of the tensor, channels and batch apart, along
    which they differ; None where they differ along none, or along several (``joint``).
    """

    name: str
    n: int
    starts: np.ndarray = field(repr=False)
    stops: np.ndarray = field(repr=False)
    rule: Rule | None
    dim: int | None

    @property
    def joint(self) -> bool:
        """Whether several dimensions, channels and batch apart, decide together what is seen."""
        return self.dim is None and bool(sum(length > 1 for length in self.starts.shape) > 1)

    @property
    def regular(self) -> bool:
        """Whether one size, jump and offset describe all units."""
        rule = self.rule
        return rule is not None and rule.period == 1

    @property
    def size(self) -> int:
        """The longest interval, in input elements: also beyond the input where a rule holds."""
        if self.rule is not None:
            return self.rule.size
        return max(0, int((self.stops - self.starts).max(initial=0)))

    @property
    def jump(self) -> Fraction | None:
        """The distance between the intervals of neighbouring units; None where it varies."""
        return None if self.rule is None else self.rule.step

    @property
    def offset(self) -> int | None:
        """Where the interval of unit 0 begins, before the input too; None where no rule holds."""
        return None if self.rule is None else self.rule.lo[0]

    @property
    def triple(self) -> Field | None:
        """Size, jump and offset as :class:`cenote.Field`; None where they do not say it all."""
        if self.rule is None or self.rule.period != 1:
            return None
        return Field(self.rule.size, self.rule.jump, self.rule.lo[0])

    @property
    def everything(self) -> bool:
        """Whether every unit sees the axis from end to end."""
        return bool((self.starts <= 0).all() and (self.stops >= self.n).all())

    def centre(self, unit: int) -> Fraction:
        """The middle of what ``unit`` would see without ends, as a position between elements."""
        interval = self.rule.interval(unit) if self.rule is not None else self.interval(unit)
        if interval is None:
            raise ValueError(f"unit = {unit}: sees nothing")
        return Fraction(sum(interval), 2)

    def interval(self, unit: int) -> Interval | None:
        """The half-open interval that ``unit`` (along ``dim``) sees inside the input."""
        at = [slice(None)] * self.starts.ndim
        if self.dim is not None and self.starts.shape[self.dim] > 1:
            at[self.dim] = slice(unit, unit + 1)
        starts, stops = self.starts[tuple(at)], self.stops[tuple(at)]
        some = starts < stops
        if not some.any():
            return None
        return int(starts[some].min()), int(stops[some].max())

    def units(self, pixel: int) -> list[int]:
        """The units along ``dim`` whose intervals hold ``pixel``, ascending."""
        sees = (self.starts <= pixel) & (pixel < self.stops)
        if self.dim is None:
            return [0] if sees.any() else []
        others = tuple(axis for axis in range(sees.ndim) if axis != self.dim)
        return [int(u) for u in np.flatnonzero(sees.any(axis=others))]


@dataclass(frozen=True)
class Branch:
    """One of the ways that meet in an operator: what comes in along it, by axis."""

    source: int
    sizes: tuple[int, ...]
    jumps: tuple[Fraction | None, ...]
    centres: tuple[Fraction | None, ...]
    """Of unit 0, on the average over a period: a doubled map is centred between two units."""


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a tensor of ``shape`` see of input ``input``, axis by axis.

    Where several ways lead to it, this is the hull of them all. ``branches`` are those that met
    last, and ``aligned`` says whether their centres and jumps agree.
    """

    input: int
    shape: tuple[int, ...]
    axes: tuple[AxisField, ...]
    branches: tuple[Branch, ...] = ()
    aligned: bool = True

    @property
    def sizes(self) -> tuple[int, ...]:
        """The size along each axis, as published tables give it: padding counts."""
        return tuple(axis.size for axis in self.axes)

    @property
    def jumps(self) -> tuple[Fraction | None, ...]:
        """The jump along each axis; None where it varies."""
        return tuple(axis.jump for axis in self.axes)

    @property
    def offsets(self) -> tuple[int | None, ...]:
        """Where unit 0's interval begins along each axis; None where no rule holds."""
        return tuple(axis.offset for axis in self.axes)

    @property
    def everything(self) -> bool:
        """Whether every unit sees the whole input."""
        return all(axis.everything for axis in self.axes)

    @property
    def misalignment(self) -> tuple[Fraction | None, ...]:
        """By axis, how far the branches' centres of unit 0 lie apart; None where jumps differ."""
        apart: list[Fraction | None] = []
        for position in range(len(self.axes)):
            centres = [branch.centres[position] for branch in self.branches]
            jumps = {branch.jumps[position] for branch in self.branches}
            known = [c for c in centres if c is not None]
            steady = len(jumps) <= 1 and len(known) == len(centres)
            apart.append(max(known, default=Fraction(0)) - min(known, default=Fraction(0))
                         if steady else None)  # fmt: skip
        return tuple(apart)

    @property
    def coverage(self) -> float:
        """The largest share of the input that one unit sees, between 0 and 1."""
        longest = [int((a.stops - a.starts).max(initial=0)) for a in self.axes]
        area = prod(axis.n for axis in self.axes)
        return max(0, prod(longest)) / area if area else 0.0

    def box(self, unit: Sequence[int]) -> tuple[Interval, ...] | None:
        """The input region that ``unit`` sees: an interval for each axis; None if it sees nothing.

        ``unit`` indexes the last dimensions of the tensor; where it leaves some out, the box holds
        what all units along them see.
        """
        lead = len(self.shape) - len(unit)
        if lead < 0:
            raise ValueError(f"unit = {tuple(unit)}: the tensor has {len(self.shape)} dimensions")
        for position, (place, length) in enumerate(zip(unit, self.shape[lead:], strict=True)):
            if not 0 <= place < length:
                raise ValueError(
                    f"unit[{position}] = {place}: must lie in 0 to {length - 1}, of {self.shape}"
                )
        box = []
        for axis in self.axes:
            at = tuple(
                slice(None) if d < lead or axis.starts.shape[d] == 1
                else slice(unit[d - lead], unit[d - lead] + 1)
                for d in range(len(self.shape))
            )  # fmt: skip
            starts, stops = axis.starts[at], axis.stops[at]
            some = starts < stops
            if not some.any():
                return None
            box.append((int(starts[some].min()), int(stops[some].max())))
        return tuple(box)

    def units(self, pixel: Sequence[int]) -> np.ndarray:
        """Which units see the input position ``pixel``: bool, broadcasts to the tensor's shape."""
        if len(pixel) != len(self.axes):
            raise ValueError(f"pixel = {tuple(pixel)}: the input has {len(self.axes)} axes")
        sees = np.ones((1,) * len(self.shape), dtype=bool)
        for axis, place in zip(self.axes, pixel, strict=True):
            sees = sees & (axis.starts <= place) & (place < axis.stops)
        return sees
