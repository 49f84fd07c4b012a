"""Which inputs each output of a window along one axis reads, as a table, and its rule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import gcd

import numpy as np

from cenote.inspection.receptive import Rule
from cenote.window import Adaptive, Axis, Spans

__all__ = ["Table"]

_FAR = 1 << 40


@dataclass(frozen=True)
class Table:
    """Output ``o`` reads the inputs ``places[o]`` where ``valid[o]``; ``rule`` says it for all."""

    places: np.ndarray
    valid: np.ndarray
    rule: Rule | None

    @property
    def outputs(self) -> int:
        """How many outputs there are."""
        return len(self.places)

    @cached_property
    def hollow(self) -> bool:
        """Whether some output reads nothing."""
        return not bool(self.valid.any(axis=1).all())

    @classmethod
    def of_axis(cls, axis: Axis | Adaptive | Spans, n: int) -> Table:
        """What a window reads of an input of length ``n``."""
        return _of_axis(axis, n)

    @classmethod
    def of_transposed(cls, axis: Axis, n: int, outputs: int) -> Table:
        """What a transposed convolution reads: output ``o`` of ``o = i*stride - before + k*d``."""
        return _of_transposed(axis, n, outputs)

    @classmethod
    def of_weights(cls, weights: np.ndarray) -> Table:
        """From a matrix (outputs, inputs): what is not zero is read."""
        reads = weights != 0
        longest = max(1, int(reads.sum(axis=1).max(initial=0)))
        places = np.argsort(~reads, axis=1, kind="stable")[:, :longest]
        valid = np.take_along_axis(reads, places, axis=1)
        return cls(places, valid, _rule_in(places, valid, weights.shape[1]))

    def least(self, array: np.ndarray, dim: int) -> np.ndarray:
        """The least of what every output reads along ``dim``; "far" where it reads nothing."""
        if array.shape[dim] == array.size:
            return self._least(array.reshape(-1)).reshape(
                [self.outputs if d == dim else 1 for d in range(array.ndim)]
            )
        return np.moveaxis(self._least(np.moveaxis(array, dim, -1)), -1, dim)

    def _least(self, front: np.ndarray) -> np.ndarray:
        """The least along the last dimension."""
        if not self.hollow and self._monotone(front):
            return np.asarray(np.minimum(front[..., self._first], front[..., self._last]))
        picked = np.where(self.valid, front[..., self.places], _FAR)
        return np.asarray(picked.min(axis=-1))

    def _monotone(self, front: np.ndarray) -> bool:
        # Sorted intervals are least and greatest at the ends of a window: no need to look between.
        up = front[..., 1:] >= front[..., :-1]
        if not (up.all() or (front[..., 1:] <= front[..., :-1]).all()):
            return False
        return bool(abs(front[..., 0]).max() < _FAR and abs(front[..., -1]).max() < _FAR)

    @cached_property
    def _first(self) -> np.ndarray:
        return np.asarray(np.where(self.valid, self.places, _FAR).min(axis=1))

    @cached_property
    def _last(self) -> np.ndarray:
        return np.asarray(np.where(self.valid, self.places, -1).max(axis=1))


@lru_cache(maxsize=1024)
def _of_axis(axis: Axis | Adaptive | Spans, n: int) -> Table:
    at = axis.at(n)
    if isinstance(at, Spans):
        starts, stops = np.array(at.starts), np.array(at.stops)
        places = starts[:, None] + np.arange(max(1, int((stops - starts).max(initial=0))))
        valid = places < stops[:, None]
        return Table(np.clip(places, 0, max(0, n - 1)), valid, None)
    outputs = at.out(n)
    before, _ = at.padding
    starts = np.arange(outputs)[:, None] * at.stride - before
    places = starts + np.arange(at.kernel) * at.dilation
    valid = (places >= 0) & (places < n)
    return Table(np.clip(places, 0, max(0, n - 1)), valid, Rule.of(at.field))


@lru_cache(maxsize=1024)
def _of_transposed(axis: Axis, n: int, outputs: int) -> Table:
    before, _ = axis.padding
    o = np.arange(outputs)[:, None] + before - np.arange(axis.kernel) * axis.dilation
    places = o // axis.stride
    valid = (o % axis.stride == 0) & (places >= 0) & (places < n)
    lo, hi = [], []
    for r in range(axis.stride):
        taps = [r + before - k * axis.dilation for k in range(axis.kernel)]
        read = [t // axis.stride for t in taps if t % axis.stride == 0]
        lo.append(min(read, default=0))
        hi.append(max(read) + 1 if read else 0)
    rule = Rule(axis.stride, 1, tuple(lo), tuple(hi)).reduced()
    return Table(np.clip(places, 0, max(0, n - 1)), valid, rule)


def _rule_in(places: np.ndarray, valid: np.ndarray, n: int) -> Rule | None:
    """The rule that a resize follows between the ends of what it reads; None where there is none.

    A resize is periodic with ``outputs / gcd``. Near the ends it leaves elements out, so the rule
    is read off two periods in the middle, and has to hold in all the periods that are not at an
    end.
    """
    outputs = len(places)
    period = outputs // gcd(outputs, n)
    jump = n // gcd(outputs, n)
    rounds = outputs // period
    if rounds < 3 or not valid.any(axis=1).all():
        return None
    lo = np.where(valid, places, _FAR).min(axis=1)
    hi = np.where(valid, places, -1).max(axis=1) + 1
    widest = int((hi - lo).max())
    middle = rounds // 2
    base_lo = lo[middle * period : (middle + 1) * period] - middle * jump
    base_hi = hi[middle * period : (middle + 1) * period] - middle * jump
    for q in range(rounds):
        part = slice(q * period, (q + 1) * period)
        if q * jump < widest or (q + 1) * jump > n - widest:
            continue
        if (lo[part] - q * jump != base_lo).any() or (hi[part] - q * jump != base_hi).any():
            return None
    if middle * jump < widest or (middle + 1) * jump > n - widest:
        return None  # too short for a place without ends
    return Rule(period, jump, tuple(map(int, base_lo)), tuple(map(int, base_hi)))
