"""Pooling by the definition, in NumPy: slow, for any number of axes, and right by inspection.

It shares no code with cenote: it reads the numbers off the axes of a window and walks them itself,
so that a mistake in the geometry shows here. Arrays are ``(..., *n)``; windows are sequences of
objects with ``kernel, stride, before, after, dilation, ceil``.
"""

import functools
import itertools
import math

import numpy as np


def padding(axis, n):
    """``(before, after)``; for "same" what ``ceil(n / stride)`` outputs need, the odd one last."""
    if axis.before is not None:
        return axis.before, axis.after
    outputs = math.ceil(n / axis.stride)
    covered = (outputs - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1
    total = max(0, covered - n)
    return total // 2, total - total // 2


def positions(axis, n):
    """For every output the input positions of all of its taps, those in the padding included."""
    before, after = padding(axis, n)
    extent = (axis.kernel - 1) * axis.dilation + 1

    def stands(start):
        if axis.ceil:  # something was left uncovered, and it does not start behind the input
            return start - axis.stride + extent < n + after and start < n
        return start + extent <= n + after

    starts = itertools.takewhile(stands, itertools.count(-before, axis.stride))
    return [[start + k * axis.dilation for k in range(axis.kernel)] for start in starts]


def windows(axes, n):
    """A list of ``(o, inputs, counted)`` for every output ``o`` of a plane, in row-major order.

    ``inputs`` are the flat numbers of the window's elements inside the plane, in row-major order;
    ``counted`` is how many of its taps lie inside the padded plane.
    """
    return _windows(tuple(axes), tuple(n))


@functools.lru_cache(maxsize=8)
def _windows(axes, n):
    along = [positions(axis, length) for axis, length in zip(axes, n, strict=True)]
    ends = [length + padding(axis, length)[1] for axis, length in zip(axes, n, strict=True)]
    numbers = np.arange(math.prod(n)).reshape(n)
    found = []
    for o in itertools.product(*(range(len(outputs)) for outputs in along)):
        taps = [outputs[p] for outputs, p in zip(along, o, strict=True)]
        inside = [[i for i in row if 0 <= i < length] for row, length in zip(taps, n, strict=True)]
        counted = math.prod(sum(i < end for i in row) for row, end in zip(taps, ends, strict=True))
        found.append((o, numbers[np.ix_(*inside)].flatten(), counted))
    return found


def planes(x, axes):
    """``x`` as ``(planes, elements of a plane)``, with its leading sizes and its sizes ``n``."""
    rank = len(axes)
    lead, n = x.shape[:-rank], x.shape[-rank:]
    return x.reshape(math.prod(lead), math.prod(n)), lead, n


def out_sizes(axes, n):
    return tuple(len(positions(axis, length)) for axis, length in zip(axes, n, strict=True))


def max_pool(x, axes):
    """Maxima and their flat numbers in the plane, ``(..., *out)`` both.

    The first of equal maxima wins, unless there are NaNs: then the last NaN does. An empty window
    holds -inf at -1.
    """
    flat, lead, n = planes(x, axes)
    out = out_sizes(axes, n)
    values = np.full((len(flat), *out), -np.inf, x.dtype)
    indices = np.full((len(flat), *out), -1, np.int64)
    for o, inputs, _ in windows(axes, n):
        if not len(inputs):
            continue
        for plane, elements in enumerate(flat[:, inputs]):
            nans = np.flatnonzero(np.isnan(elements))
            best = nans[-1] if len(nans) else np.flatnonzero(elements == elements.max())[0]
            values[(plane, *o)] = elements[best]
            indices[(plane, *o)] = inputs[best]
    return values.reshape(*lead, *out), indices.reshape(*lead, *out)


def max_pool_backward(grad, indices, shape, axes):
    """Each output's gradient goes to the element that won; to none from an empty window."""
    given, lead, _ = planes(grad, axes)
    where, _, _ = planes(indices, axes)
    result = np.zeros((len(given), math.prod(shape[-len(axes) :])), np.longdouble)
    for plane in range(len(given)):
        for value, index in zip(given[plane], where[plane], strict=True):
            if index >= 0:
                result[plane, index] += value
    return result.astype(grad.dtype).reshape(*lead, *shape[-len(axes) :])


def divisor(inputs, counted, count_include_pad, divisor_override):
    if divisor_override is not None:
        return divisor_override
    return counted if count_include_pad else len(inputs)


def avg_pool(x, axes, count_include_pad=True, divisor_override=None):
    """Averages ``(..., *out)``, in the widest floats that there are; 0 of an empty window."""
    flat, lead, n = planes(x.astype(np.longdouble), axes)
    out = out_sizes(axes, n)
    result = np.zeros((len(flat), *out), np.longdouble)
    for o, inputs, counted in windows(axes, n):
        if len(inputs):
            by = divisor(inputs, counted, count_include_pad, divisor_override)
            result[(slice(None), *o)] = flat[:, inputs].sum(axis=1) / by
    return result.reshape(*lead, *out)


def avg_pool_backward(grad, axes, shape, count_include_pad=True, divisor_override=None):
    """Each output's gradient, divided as its average was, goes to all of its elements."""
    given, lead, _ = planes(grad.astype(np.longdouble), axes)
    n = shape[-len(axes) :]
    out = out_sizes(axes, n)
    given = given.reshape(len(given), *out)
    result = np.zeros((len(given), math.prod(n)), np.longdouble)
    for o, inputs, counted in windows(axes, n):
        if len(inputs):
            by = divisor(inputs, counted, count_include_pad, divisor_override)
            result[:, inputs] += given[(slice(None), *o)][:, None] / by
    return result.reshape(*lead, *n)
