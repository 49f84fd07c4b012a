"""Which elements the windows of a plane read, tap by tap, and what padding shows instead."""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np

ZERO, NOTHING = -1, -2  # in place of an element's number: a padded 0, and no element at all
MODES = ("identity", "zeros", "reflect", "replicate", "circular")


def padding(axis, n):
    """``(before, after)``; for "same" what ``ceil(n / stride)`` outputs need, the odd one last."""
    if axis.before is not None:
        return axis.before, axis.after
    outputs = math.ceil(n / axis.stride)
    covered = (outputs - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1
    total = max(0, covered - n)
    return total // 2, total - total // 2


def slides(axis):
    """Whether the axis is a kernel that moves on by a stride, not a list of windows."""
    return hasattr(axis, "kernel") and not hasattr(axis, "starts")


def positions(axis, n):
    """For every output the positions of all of its taps, those in the padding included."""
    if hasattr(axis, "starts"):
        return [list(range(*ends)) for ends in zip(axis.starts, axis.stops, strict=True)]
    if not slides(axis):  # adaptive: shares of n / outputs, rounded outwards to whole elements
        shares = [(o * n / axis.outputs, (o + 1) * n / axis.outputs) for o in range(axis.outputs)]
        return [list(range(math.floor(low), math.ceil(high))) for low, high in shares]
    before, after = padding(axis, n)
    extent = (axis.kernel - 1) * axis.dilation + 1

    def stands(start):
        if axis.ceil:  # something was left uncovered, and it does not start behind the input
            return start - axis.stride + extent < n + after and start < n
        return start + extent <= n + after

    starts = itertools.takewhile(stands, itertools.count(-before, axis.stride))
    return [[start + k * axis.dilation for k in range(axis.kernel)] for start in starts]


def shown(position, n, end, mode):
    """The input that a position shows; padding ends before ``end``, behind it is no element."""
    if 0 <= position < n:
        return position
    if position >= end or mode == "identity":
        return NOTHING
    if mode == "zeros":
        return ZERO
    if mode == "circular":
        return position % n
    if mode == "replicate":
        return 0 if position < 0 else n - 1
    mirrored = -position if position < 0 else 2 * (n - 1) - position  # the border itself is not
    if not 0 <= mirrored < n:
        raise ValueError(f"nothing to reflect at {position} in a length of {n}")
    return mirrored


@dataclass(frozen=True, eq=False)
class Walk:
    """Row ``o`` of ``elements``: the numbers of the elements that output ``o`` reads, tap by tap.

    Outputs, taps and elements count in row-major order. ``ZERO`` stands for a padded 0; rows end in
    ``NOTHING`` where others are longer. ``taps`` are the numbers of the taps that read, and
    ``counted`` is how many lie inside the padded plane.
    """

    out: tuple
    elements: np.ndarray
    taps: np.ndarray
    counted: np.ndarray

    @property
    def present(self):
        return self.elements != NOTHING

    @property
    def count(self):
        return self.present.sum(1)

    @property
    def longest(self):
        """The most elements that an output reads."""
        return int(self.count.max(initial=0))

    @property
    def readers(self):
        """The most taps that read an element: a border that is padded counts again."""
        return int(np.bincount(self.elements[self.elements >= 0]).max(initial=0))


def walk(axes, n, mode="identity"):
    """All windows of a plane of sizes ``n``."""
    return _walk(tuple(axes), tuple(n), mode)


@functools.lru_cache(maxsize=16)
def _walk(axes, n, mode):
    numbers = np.zeros((1, 1), np.int64)
    zero = np.zeros((1, 1), bool)
    nothing = np.zeros((1, 1), bool)
    counted = np.ones(1, np.int64)
    out = []
    for axis, length in zip(axes, n, strict=True):
        rows = positions(axis, length)
        end = length + (padding(axis, length)[1] if slides(axis) else 0)
        taps = max(map(len, rows), default=0)
        table = np.full((len(rows), taps), NOTHING)
        for row, places in zip(table, rows, strict=True):
            row[: len(places)] = [shown(place, length, end, mode) for place in places]
        inside = np.array([sum(place < end for place in places) for places in rows], np.int64)
        out.append(len(rows))
        numbers = _cross(numbers * length, np.maximum(table, 0), np.add)
        zero = _cross(zero, table == ZERO, np.logical_or)
        nothing = _cross(nothing, table == NOTHING, np.logical_or)
        counted = np.multiply.outer(counted, inside).ravel()
    elements = np.where(nothing, NOTHING, np.where(zero, ZERO, numbers))
    # A window may be far longer than the plane: taps that read nothing go last, and most of them.
    longest = (~nothing).sum(1).max(initial=1)  # a column at least, where all are empty
    taps = np.argsort(nothing, axis=1, kind="stable")[:, :longest]
    elements = np.take_along_axis(elements, taps, 1)
    elements.setflags(write=False)  # shared by all who ask
    return Walk(tuple(out), elements, taps, counted)


def _cross(outer, inner, combine):
    """Every row and column of ``outer`` with every one of ``inner``, row-major both ways."""
    crossed = combine(outer[:, None, :, None], inner[None, :, None, :])
    return crossed.reshape(len(outer) * len(inner), outer.shape[1] * inner.shape[1])


def out_sizes(axes, n):
    return tuple(len(positions(axis, length)) for axis, length in zip(axes, n, strict=True))


def gather(x, axes, mode):
    """``(elements, walk)``: for every plane, output and tap what it reads; 0 where nothing is."""
    lead = x.ndim - len(axes)
    walked = walk(axes, x.shape[lead:], mode)
    flat = x.reshape(math.prod(x.shape[:lead]), math.prod(x.shape[lead:]))
    # The last two columns are what ZERO and NOTHING, counted from the end, point at.
    flat = np.concatenate([flat, np.zeros((len(flat), 2), x.dtype)], axis=1)
    return flat[:, walked.elements], walked


def spread(parts, walked, shape, rank):
    """The transpose of :func:`gather`: every element adds up what the taps that read it give."""
    flat = np.zeros((math.prod(shape[-rank:]) + 2, len(parts)), np.longdouble)
    np.add.at(flat, walked.elements, np.moveaxis(parts, 0, -1))
    return flat[:-2].T.reshape(shape)


def shaped(flat, x, walked):
    """``(planes, outputs)`` as ``(..., *out)``, with the leading sizes of ``x``."""
    return flat.reshape(*x.shape[: len(x.shape) - len(walked.out)], *walked.out)


def flattened(out, walked):
    """The reverse: ``(..., *out)`` as ``(planes, outputs)``."""
    outputs = math.prod(walked.out)
    return out.reshape(out.size // outputs, outputs)


def wide(x):
    """``x`` in a type that loses nothing: Python's integers, or the widest floats there are."""
    return x.astype(np.longdouble if x.dtype.kind == "f" else object)
