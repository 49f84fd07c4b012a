"""Windows that lie where they please: no kernel and stride describe them, only where each stands.

Adaptive pooling makes such windows wherever the number of outputs does not divide the input.
Imports no torch.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from dataclasses import dataclass
from typing import NoReturn

from cenote.field import Field

__all__ = ["Spans"]


@dataclass(frozen=True, slots=True)
class Spans:
    """Windows along one axis, output ``o`` on the inputs ``starts[o]`` to ``stops[o]``.

    It answers what an :class:`~cenote.window.Axis` answers. Both ends ascend, no window is empty,
    and there is no padding.

    Raises:
        ValueError: ends that descend or differ in number, or a window without an element.

    >>> Spans((0, 1, 3), (2, 4, 5)).inputs(1, 5)
    range(1, 4)
    """

    starts: tuple[int, ...]
    stops: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("starts", "stops"):
            ends = getattr(self, name)
            if any(a > b for a, b in itertools.pairwise(ends)):
                raise ValueError(f"{name} = {ends}: must not descend")
        if len(self.starts) != len(self.stops) or not self.starts or self.starts[0] < 0:
            raise ValueError(f"starts = {self.starts}, stops = {self.stops}: one of each a window")
        if any(a >= b for a, b in zip(self.starts, self.stops, strict=True)):
            raise ValueError(f"starts = {self.starts}, stops = {self.stops}: a window is empty")

    @property
    def kernel(self) -> int:
        """The taps of the longest window."""
        return max(b - a for a, b in zip(self.starts, self.stops, strict=True))

    stride = 1
    dilation = 1
    before = 0
    after = 0
    padding = (0, 0)
    ceil = False
    resolved = True

    @property
    def extent(self) -> int:
        """The input that the longest window spans."""
        return self.kernel

    def at(self, n: int) -> Spans:
        """These windows on an input of length ``n``, which has to hold them."""
        if self.stops[-1] > n:
            raise ValueError(f"length {n}: the last window ends at {self.stops[-1]}")
        return self

    def out(self, n: int) -> int:
        """How many windows there are, whatever the length."""
        return len(self.starts)

    def start(self, o: int) -> int:
        """The input position of output ``o``'s tap 0."""
        return self.starts[o]

    def taps(self, o: int, n: int) -> range:
        """The taps of output ``o``."""
        return range(self.stops[o] - self.starts[o])

    def inputs(self, o: int, n: int) -> range:
        """The inputs that output ``o`` reads."""
        return range(self.starts[o], self.stops[o])

    def outputs(self, i: int, n: int) -> range:
        """The outputs that read input ``i``."""
        return range(bisect_right(self.stops, i), bisect_right(self.starts, i))

    def tap(self, o: int, i: int) -> int:
        """The tap through which output ``o`` reads input ``i``."""
        return i - self.starts[o]

    def divisor(self, o: int, n: int, count_include_pad: bool = False) -> int:
        """How many elements output ``o`` reads; there is no padding to count."""
        return self.stops[o] - self.starts[o]

    def crop(self, o0: int, o1: int, n: int) -> tuple[slice, Spans]:
        """The part of the input that outputs ``o0`` to ``o1`` need, and the windows on it."""
        if not 0 <= o0 < o1 <= len(self.starts):
            raise ValueError(f"outputs {o0} to {o1}: must lie in 0 to {len(self.starts)}")
        low, high = self.starts[o0], self.stops[o1 - 1]
        starts, stops = (tuple(e - low for e in ends[o0:o1]) for ends in (self.starts, self.stops))
        return slice(low, high), Spans(starts, stops)

    @property
    def field(self) -> Field:
        """Raises ValueError: such windows have no one size and jump."""
        refuse_field(self)


def refuse_field(axis: object) -> NoReturn:
    """Say that the windows of an axis are not described by one field."""
    raise ValueError(f"{axis}: these windows differ, and no one size and jump describes them")
