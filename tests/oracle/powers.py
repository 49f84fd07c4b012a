"""Operators that bend elements before they add them up and the sum back after, and their gradients.

Where the output of a window is not finite, its gradient has no value that the definition gives:
the backward passes put NaN there.
"""

import math

import numpy as np

from oracle.sums import totals
from oracle.walk import flattened, gather, shaped, spread, wide


def quiet(function):
    """Infinities and zeros are welcome: what they lead to is the point."""

    def inner(*args, **kwargs):
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return inner


def _pull(slopes, grad, out, x, walked, rank):
    """The gradient of ``x``: ``slopes`` are d out / d element, by plane, output and tap."""
    known = np.isfinite(out)[..., None]
    slopes = np.where(walked.present, np.where(known, slopes, np.nan), 0)
    given = flattened(grad.astype(np.longdouble), walked)
    return spread(given[..., None] * slopes, walked, x.shape, rank)


def _lp(elements, walked, p):
    sizes = np.where(walked.present, abs(elements), 0)
    if math.isinf(p):
        return sizes.max(-1)
    return (sizes ** np.longdouble(p)).sum(-1) ** (1 / np.longdouble(p))


@quiet
def lp_pool(x, axes, p, mode="identity"):
    """``(sum |x|^p)^(1/p)``, ``(..., *out)``; with ``p`` infinite the greatest ``|x|``."""
    elements, walked = gather(wide(x), axes, mode)
    return shaped(_lp(elements, walked, p), x, walked)


@quiet
def lp_pool_backward(grad, x, axes, p, mode="identity"):
    """``sign(x) |x|^(p-1) y^(1-p)``, 0 at 0; ``p`` infinite: all to the first of the largest."""
    elements, walked = gather(wide(x), axes, mode)
    out = _lp(elements, walked, p)
    sizes = abs(elements)
    if math.isinf(p):
        first = (walked.present & (sizes == out[..., None])).argmax(-1)
        slopes = np.sign(elements) * (np.arange(sizes.shape[-1]) == first[..., None])
    else:
        exponent = np.longdouble(p) - 1
        slopes = np.sign(elements) * sizes**exponent * out[..., None] ** -exponent
        slopes = np.where(elements == 0, 0, slopes)
    return _pull(slopes, grad, out, x, walked, len(axes))


def exponentials(elements, walked, sharpness):
    """The greatest of ``s * x``, the taps' ``exp(s * x - greatest)``, and their sum."""
    scaled = np.where(walked.present, sharpness * elements, -np.inf)
    greatest = scaled.max(-1, keepdims=True)
    shares = np.where(walked.present, np.exp(scaled - greatest), 0)
    return greatest[..., 0], shares, shares.sum(-1)


@quiet
def logsumexp_pool(x, axes, sharpness=1.0, mean=False, mode="identity"):
    """``log(sum exp(s x)) / s``, or of the mean (Pinheiro and Collobert, 2015), ``(..., *out)``."""
    sharpness = np.longdouble(sharpness)
    elements, walked = gather(wide(x), axes, mode)
    greatest, _, total = exponentials(elements, walked, sharpness)
    by = np.maximum(walked.count, 1).astype(np.longdouble) if mean else np.longdouble(1)
    # Nothing but -inf, something infinite, or a NaN: the sum is the greatest element itself.
    log = np.where(np.isfinite(greatest), greatest + np.log(total / by), greatest)
    return shaped(log / sharpness, x, walked)


@quiet
def logsumexp_pool_backward(grad, x, axes, sharpness=1.0, mean=False, mode="identity"):
    """Each element gets its share of the sum; dividing by the count changes none."""
    elements, walked = gather(wide(x), axes, mode)
    greatest, shares, total = exponentials(elements, walked, np.longdouble(sharpness))
    return _pull(shares / total[..., None], grad, greatest, x, walked, len(axes))


def clamped(elements, eps):
    return np.where(elements < eps, np.longdouble(eps), elements)  # NaN stays


def _gem(bases, walked, p):
    """The mean of the powers and its root; 0 of an empty window."""
    mean = totals(bases ** np.longdouble(p), walked) / np.maximum(walked.count, 1)
    return mean, np.where(walked.count > 0, mean ** (1 / np.longdouble(p)), 0)


@quiet
def gem_pool(x, axes, p, eps=1e-6, mode="identity"):
    """``mean(max(x, eps)^p)^(1/p)`` over the taps inside (Radenovic et al., 2018)."""
    elements, walked = gather(wide(x), axes, mode)
    return shaped(_gem(clamped(elements, eps), walked, p)[1], x, walked)


@quiet
def gem_pool_backward(grad, x, axes, p, eps=1e-6, mode="identity"):
    """``c^(p-1) y^(1-p) / count`` for every element from ``eps`` on."""
    elements, walked = gather(wide(x), axes, mode)
    bases = clamped(elements, eps)
    _, out = _gem(bases, walked, p)
    exponent = np.longdouble(p) - 1
    count = np.maximum(walked.count, 1)[:, None]
    slopes = bases**exponent * out[..., None] ** -exponent / count
    slopes = np.where(elements >= eps, slopes, 0)
    return _pull(slopes, grad, out, x, walked, len(axes))


@quiet
def gem_pool_backward_p(grad, x, axes, p, eps=1e-6, mode="identity"):
    """The gradient of ``p``, one number: ``y (mean(c^p ln c) / mean(c^p) - ln(y)) / p``, summed."""
    elements, walked = gather(wide(x), axes, mode)
    bases, p = clamped(elements, eps), np.longdouble(p)
    mean, out = _gem(bases, walked, p)
    count = np.maximum(walked.count, 1)
    logs = totals(bases**p * np.log(bases), walked) / count
    slopes = np.where(walked.count > 0, out * (logs / mean - np.log(out)) / p, 0)
    return (flattened(grad.astype(np.longdouble), walked) * slopes).sum()


@quiet
def stochastic_mean(x, axes, mode="identity"):
    """The mean with the weights ``max(x, 0)`` (Zeiler and Fergus, 2013); 0 where all are 0."""
    elements, walked = gather(wide(x), axes, mode)
    return shaped(weighted_mean(elements, walked)[2], x, walked)


def weighted_mean(elements, walked):
    weights = np.where(elements <= 0, 0, elements)  # NaN stays
    total = totals(weights, walked)
    return weights, total, np.where(total == 0, 0, totals(weights**2, walked) / total)


@quiet
def stochastic_mean_backward(grad, x, axes, mode="identity"):
    """``(2 w - y) / sum(w)`` for the elements above 0, by the quotient rule."""
    elements, walked = gather(wide(x), axes, mode)
    weights, total, out = weighted_mean(elements, walked)
    slopes = np.where(weights > 0, (2 * weights - out[..., None]) / total[..., None], 0)
    return _pull(slopes, grad, out, x, walked, len(axes))
