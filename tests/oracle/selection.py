"""Operators that pick one element of each window, and what puts elements back."""

import math

import numpy as np

from oracle.walk import gather, shaped


def select_pool(x, axes, reduce="max", mode="identity"):
    """The elements that win and their flat numbers in the plane, ``(..., *out)`` both.

    Of equal elements the first in row-major order wins. Where there are NaNs, the last of those
    does, but the first in a median: both as torch has it.
    A padded 0 has the number -1, and so has the answer of a window that is empty.
    """
    elements, walked = gather(x, axes, mode)
    present = np.broadcast_to(walked.present, elements.shape)
    taps = CHOICES[reduce](elements, present)
    values = np.take_along_axis(elements, taps[..., None], -1)[..., 0]
    numbers = np.broadcast_to(walked.elements, elements.shape)
    indices = np.maximum(np.take_along_axis(numbers, taps[..., None], -1)[..., 0], -1)
    values = np.where(walked.count > 0, values, nothing(reduce, x.dtype)).astype(x.dtype)
    return shaped(values, x, walked), shaped(indices, x, walked)


def nothing(reduce, dtype):
    """What an empty window gives: what any element beats; of a median, which has no such, 0."""
    if reduce == "median":
        return dtype.type(0)
    low, high = limits(dtype)
    return low if reduce == "max" else high


def limits(dtype):
    """The least and the greatest value of a type."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    if dtype.kind == "b":
        return False, True
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def _nan(elements, present):
    nan = present & (elements != elements)  # only NaN differs from itself
    return nan.any(-1), nan.shape[-1] - 1 - nan[..., ::-1].argmax(-1)


def _first_equal(elements, present, wanted):
    """The tap of the first element that equals what is wanted, unless there are NaNs."""
    first = (present & (elements == wanted[..., None])).argmax(-1)
    some, last = _nan(elements, present)
    return np.where(some, last, first)


def _greatest(elements, present):
    low, _ = limits(elements.dtype)
    known = np.where(present & (elements == elements), elements, low)
    return _first_equal(elements, present, known.max(-1))


def _least(elements, present):
    _, high = limits(elements.dtype)
    known = np.where(present & (elements == elements), elements, high)
    return _first_equal(elements, present, known.min(-1))


def _median(elements, present):
    """The lower one: of ``c`` sorted elements that at place ``(c - 1) // 2``."""
    order = np.lexsort((elements, ~present), axis=-1)  # absent elements behind all others
    middle = np.maximum(present.sum(-1) - 1, 0) // 2
    place = np.take_along_axis(order, middle[..., None], -1)
    wanted = np.take_along_axis(elements, place, -1)[..., 0]
    nan = present & (elements != elements)
    return np.where(nan.any(-1), nan.argmax(-1), _first_equal(elements, present, wanted))


CHOICES = {"max": _greatest, "min": _least, "median": _median}


def select_pool_backward(grad, indices, shape, rank):
    """Each output's gradient goes to the element that won; none from padding or from nothing."""
    planes, size = math.prod(shape[:-rank]), math.prod(shape[-rank:])
    outputs = math.prod(indices.shape[-rank:])
    given, where = grad.reshape(planes, outputs), indices.reshape(planes, outputs)
    result = np.zeros((planes, size + 1), np.longdouble)
    np.add.at(result, (np.arange(planes)[:, None], where), given)
    return result[:, :size].reshape(shape)


def unpool(x, indices, sizes):
    """Zeros of sizes ``sizes``, with every element of ``x`` at its index.

    An index of -1 is skipped; of elements that share an index the last in row-major order stays.
    """
    rank = len(sizes)
    lead = x.shape[: x.ndim - rank]
    planes = math.prod(lead)
    result = np.zeros((planes, math.prod(sizes)), x.dtype)
    rows = (t.reshape(planes, math.prod(t.shape[t.ndim - rank :])) for t in (x, indices))
    for plane, (values, where) in enumerate(zip(*rows, strict=True)):
        for value, index in zip(values, where, strict=True):
            if index >= 0:
                result[plane, index] = value
    return result.reshape(*lead, *sizes)


def unpool_backward(grad, indices, rank):
    """Each element that can still be seen gets the gradient of its place; the others get 0."""
    lead = indices.shape[: indices.ndim - rank]
    planes = math.prod(lead)
    result = np.zeros((planes, math.prod(indices.shape[-rank:])), grad.dtype)
    rows = (t.reshape(planes, math.prod(t.shape[t.ndim - rank :])) for t in (grad, indices))
    for plane, (given, where) in enumerate(zip(*rows, strict=True)):
        last = {index: place for place, index in enumerate(where) if index >= 0}
        for index, place in last.items():
            result[plane, place] = given[index]
    return result.reshape(indices.shape)


def fractional_starts(sample, n, kernel, outputs, float_type=np.float64):
    """Where the windows of fractional max pooling start along an axis of length ``n``.

    The pseudorandom sequence of Graham (Fractional Max-Pooling, 2014, section 2), shifted to start
    at 0, with its last window pushed against the end; ``sample`` in [0, 1) is its random number.
    The type of the arithmetic matters: the sequence is truncated to integers.
    """
    if outputs == 1:
        return [n - kernel]
    step = float_type(n - kernel) / float_type(outputs - 1)
    sample = float_type(sample)
    first = int(sample * step)
    starts = [int((float_type(o) + sample) * step) - first for o in range(outputs - 1)]
    return [*starts, n - kernel]
