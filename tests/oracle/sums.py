"""Operators that add up the elements of each window, and their transposes."""

import math

import numpy as np

from oracle.selection import select_pool, select_pool_backward
from oracle.walk import flattened, gather, shaped, spread, walk, wide


def sum_pool(x, axes, mode="identity"):
    """Sums ``(..., *out)``; those of integers and booleans in int64, modulo 2^64."""
    elements, walked = gather(wide(x), axes, mode)
    total = shaped(totals(elements, walked), x, walked)
    return total if x.dtype.kind == "f" else wrapped(total, np.int64)


def totals(elements, walked):
    with np.errstate(invalid="ignore"):  # infinity less infinity
        return np.where(walked.present, elements, 0).sum(-1)


def wrapped(whole, dtype):
    """Python's integers modulo the range of an integer type, as its own arithmetic leaves them."""
    low = int(np.iinfo(dtype).min)
    numbers = int(np.iinfo(dtype).max) - low + 1
    return ((whole - low) % numbers + low).astype(dtype)


def sum_pool_backward(grad, axes, shape, mode="identity"):
    """Each output's gradient goes to all of its elements."""
    return avg_pool_backward(grad, axes, shape, divisor_override=1, mode=mode)


def avg_pool(
    x, axes, count_include_pad=True, divisor_override=None, rounding="trunc", mode="identity"
):
    """Averages ``(..., *out)``; 0 of an empty window.

    Integers are summed in int64, divided, rounded toward zero or half to even, and brought into
    their own type modulo its range.
    """
    elements, walked = gather(wide(x), axes, mode)
    total = totals(elements, walked)
    by = divisors(walked, count_include_pad, divisor_override)
    if x.dtype.kind == "f":
        return shaped(np.where(walked.count > 0, total / by, 0), x, walked)
    total = wrapped(total, np.int64).astype(object)
    return shaped(wrapped(quotient(total, by, rounding), x.dtype), x, walked)


def divisors(walked, count_include_pad, divisor_override):
    """What each output's sum is divided by; 1 where there is nothing to divide."""
    if divisor_override is not None:
        return np.full(walked.count.shape, divisor_override)
    chosen = walked.counted if count_include_pad else walked.count
    return np.where(walked.count > 0, chosen, 1)


def quotient(total, by, rounding):
    """Whole numbers divided and rounded: "trunc" toward zero, "half_even" to the nearest."""
    by = by.astype(object)
    sign = np.where((total < 0) == (by < 0), 1, -1).astype(object)
    total, by = abs(total), abs(by)
    floor, rest = total // by, total % by
    if rounding == "half_even":
        floor = floor + ((2 * rest > by) | ((2 * rest == by) & (floor % 2 == 1)))
    return sign * floor


def avg_pool_backward(
    grad, axes, shape, count_include_pad=True, divisor_override=None, mode="identity"
):
    """Each output's gradient, divided as its average was, goes to all of its elements."""
    walked = walk(axes, shape[-len(axes) :], mode)
    by = divisors(walked, count_include_pad, divisor_override)
    parts = (flattened(grad.astype(np.longdouble), walked) / by)[..., None]
    parts = np.broadcast_to(parts, (*parts.shape[:2], walked.elements.shape[1]))
    return spread(parts, walked, shape, len(axes))


def mixed_pool(x, axes, alpha, count_include_pad=True, mode="identity"):
    """``alpha * max + (1 - alpha) * avg`` (Lee, Gallagher and Tu, 2016), ``(..., *out)``.

    What has no weight is left out: 0 times infinity would be NaN.
    """
    most, _ = select_pool(x, axes, "max", mode)
    mean = avg_pool(x, axes, count_include_pad, mode=mode)
    alpha, most = np.longdouble(alpha), most.astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        terms = [share * t for share, t in ((alpha, most), (1 - alpha, mean)) if share != 0]
        return sum(terms, np.zeros_like(mean))


def mixed_pool_backward(grad, x, axes, alpha, count_include_pad=True, mode="identity"):
    """The winner gets ``alpha`` of the gradient, all elements share the rest."""
    alpha, grad = np.longdouble(alpha), grad.astype(np.longdouble)
    _, indices = select_pool(x, axes, "max", mode)
    won = select_pool_backward(alpha * grad, indices, x.shape, len(axes))
    rest = (1 - alpha) * grad
    return won + avg_pool_backward(rest, axes, x.shape, count_include_pad, mode=mode)


def mixed_pool_backward_alpha(grad, x, axes, count_include_pad=True, mode="identity"):
    """The gradient of ``alpha``, one number: of ``alpha * (max - avg)``, summed."""
    most, _ = select_pool(x, axes, "max", mode)
    difference = most.astype(np.longdouble) - avg_pool(x, axes, count_include_pad, mode=mode)
    return (grad.astype(np.longdouble) * difference).sum()


def binomial(axes):
    """The weights of all taps, row-major: Pascal's triangle along each axis, 1 in total."""
    weights = np.ones(1, np.longdouble)
    for axis in axes:
        row = [math.comb(axis.kernel - 1, k) for k in range(axis.kernel)]
        weights = np.multiply.outer(weights, np.array(row, np.longdouble) / 2 ** (axis.kernel - 1))
        weights = weights.ravel()
    return weights


def blur_pool(x, axes, mode="reflect"):
    """Binomial averages ``(..., *out)`` (Zhang, 2019): padding that shows nothing counts as 0."""
    elements, walked = gather(wide(x), axes, mode)
    return shaped(totals(elements * binomial(axes)[walked.taps], walked), x, walked)


def blur_pool_backward(grad, axes, shape, mode="reflect"):
    """Each output's gradient goes to its elements by their weights."""
    walked = walk(axes, shape[-len(axes) :], mode)
    parts = flattened(grad.astype(np.longdouble), walked)[..., None] * binomial(axes)[walked.taps]
    return spread(parts, walked, shape, len(axes))
