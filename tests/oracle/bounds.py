"""How far a right implementation may be from the oracle: bounds on rounding, derived, not tuned.

``unit`` is the unit roundoff u: an operation returns its exact result times ``1 + d`` with
``|d| <= u``, or is off by a ``tiny``, the least number above 0, where the result is below normal. A
sum of T terms in any order is off by ``gamma(T - 1)`` of the sum of their sizes (Higham, Accuracy
and Stability of Numerical Algorithms, 2002, section 4.2), a product of n factors by ``gamma(n)``.
Half types compute in float32 and round once at the end. Values and their bounds are NumPy's widest
floats; infinite bounds claim nothing.
"""

from dataclasses import dataclass

import numpy as np

from oracle import powers, sums
from oracle.selection import select_pool
from oracle.walk import flattened, gather, shaped, spread

# exp, log and pow of libm and of vector libraries stay within 2 units in the last place: 4 u.
ELEMENTARY = 4
# A power by way of exp(p * log(x)) multiplies |p log(x)| by the errors of the logarithm (4 u), of
# p as a number of the type (1 u) and of the product (1 u), and all of that goes into the exponent.
EXPONENT = 6
DOUBLE = 2.0**-53  # answers are compared in float64


@dataclass(frozen=True)
class Arithmetic:
    """The type that is computed in, and what it is rounded to at the end."""

    unit: float
    tiny: float
    normal: float
    most: float
    end_most: float
    end_unit: float = 0.0
    end_tiny: float = 0.0

    def wide(self, x):
        """In a type with digits to spare: the widest floats are slow."""
        return x.astype(np.longdouble if self.unit < 2.0**-30 else np.float64)

    def gamma(self, roundings):
        return roundings * self.unit / (1 - roundings * self.unit)

    def end(self, values, slack):
        """The bound on the result, with its last rounding; infinities and NaNs have to be met.

        Nothing is claimed of numbers that the type cannot hold.
        """
        with np.errstate(invalid="ignore"):
            sizes = abs(values) + slack
            total = slack + self.end_unit * sizes + self.end_tiny + DOUBLE * sizes
            total = np.where(sizes > self.end_most, np.inf, total)
            return np.where(np.isfinite(values), total, 0)

    def fits(self, numbers):
        """Whether numbers neither overflow nor lose digits below normal; 0 does."""
        return (numbers == 0) | ((numbers >= self.normal) & (numbers <= self.most))


_SINGLE = (2.0**-24, 2.0**-149, 2.0**-126, 2.0**127)
ARITHMETIC = {
    "float64": Arithmetic(2.0**-53, 2.0**-1074, 2.0**-1022, 2.0**1023, 2.0**1023),
    "float32": Arithmetic(*_SINGLE, 2.0**127),
    "float16": Arithmetic(*_SINGLE, 2.0**15, end_unit=2.0**-11, end_tiny=2.0**-25),
    "bfloat16": Arithmetic(*_SINGLE, 2.0**127, end_unit=2.0**-8, end_tiny=2.0**-134),
}


def linear(a, values, sizes, terms):
    """Sums of ``terms`` products or quotients; ``sizes`` is the same sum of absolute values.

    A quotient by way of the reciprocal rounds twice; axes reduced one after the other round no
    more often than all terms at once.
    """
    return a.end(values, a.gamma(terms + 2) * sizes + terms * a.tiny)


def _power(a, bases, p):
    """The relative error of ``bases ** p``; a base may be rounded itself."""
    logs = np.where(bases > 0, abs(np.log(np.where(bases > 0, bases, 1))), 0)
    return a.unit * (ELEMENTARY + abs(p) * (1 + EXPONENT * logs))


def _root_of_sum(a, bases, walked, p, by):
    """``(y, slack)`` of ``y = (sum bases^p / by)^(1/p)``, before the last rounding.

    The sum is known to lie in an interval; the root of its ends is where the root lies.
    """
    parts = np.where(walked.present & ((bases > 0) | (p > 0)), bases**p, 0)
    terms = walked.longest
    total = parts.sum(-1) / by
    off = (
        np.where(parts > 0, parts * _power(a, bases, p), 0).sum(-1) / by
        + a.gamma(terms + 2) * total
        + terms * a.tiny
    )
    ends = [np.maximum(total + off, 0), np.maximum(total - off, 0)]
    roots = [np.where(end > 0, end, 0 if p > 0 else np.inf) for end in ends]
    roots = [root ** (1 / p) for root in roots]
    y = np.where(total > 0, total ** (1 / p), 0)
    slack = np.maximum(abs(roots[0] - y), abs(roots[1] - y))
    slack = slack + np.maximum(y, roots[0]) * _power(a, ends[0], 1 / p) + a.tiny
    known = (total + off <= a.most) & (parts <= a.most).all(-1)
    return y, np.where(known, slack, np.inf)


def _root_backward(a, grad, x, bases, moved, walked, p, by, rank):
    """The gradient of ``x`` through ``_root_of_sum``: slopes ``b^(p-1) y^(1-p) / by``, where ``x``
    moved a base.
    """
    y, slack = _root_of_sum(a, bases, walked, p, by)
    exponent = p - 1
    below, above = bases**exponent, y**-exponent
    slopes = np.where(walked.present & moved, below * above[..., None] / by[:, None], 0)
    off = abs(exponent) * np.where(y > 0, slack / y, 0) + 2 * _power(a, y, abs(p) + 1)
    off = off[..., None] + 2 * _power(a, bases, abs(p) + 2) + a.gamma(8)
    safe = a.fits(bases**p) & a.fits(below) & a.fits(bases ** (exponent - 1))
    safe &= (a.fits(above) & a.fits(1 / above))[..., None]
    off = np.where(slopes == 0, 0, np.where(safe, off, np.inf))
    terms = walked.readers
    given = abs(flattened(grad.astype(np.longdouble), walked))[..., None]
    slopes = np.where(slopes == 0, 0, slopes * (off + a.gamma(terms)))
    parts = np.where(np.isinf(slopes), np.inf, np.where(given > 0, given * slopes, 0))
    parts = np.where(walked.present, parts, 0) + terms * a.tiny
    return spread(parts, walked, x.shape, rank)


@powers.quiet
def lp(a, x, axes, p, mode):
    if np.isinf(p):
        return np.zeros((), np.longdouble)  # a size is exact, and so is the greatest
    elements, walked = gather(a.wide(x), axes, mode)
    one = np.ones(len(walked.count), np.longdouble)
    return shaped(_root_of_sum(a, abs(elements), walked, p, one)[1], x, walked)


@powers.quiet
def lp_backward(a, grad, x, axes, p, mode):
    elements, walked = gather(a.wide(x), axes, mode)
    if np.isinf(p):  # sums of the outputs' gradients
        sizes = powers.lp_pool_backward(abs(grad), abs(x), axes, p, mode)
        return a.gamma(walked.readers) * sizes
    one = np.ones(len(walked.count), np.longdouble)
    sizes = abs(elements)
    return _root_backward(a, grad, x, sizes, sizes > 0, walked, p, one, len(axes))


def _gem(a, x, axes, eps, mode):
    elements, walked = gather(a.wide(x), axes, mode)
    return elements >= eps, powers.clamped(elements, eps), walked, np.maximum(walked.count, 1)


@powers.quiet
def gem(a, x, axes, p, eps, mode):
    _, bases, walked, by = _gem(a, x, axes, eps, mode)
    return shaped(_root_of_sum(a, bases, walked, p, by)[1], x, walked)


@powers.quiet
def gem_backward(a, grad, x, axes, p, eps, mode):
    moved, bases, walked, by = _gem(a, x, axes, eps, mode)
    return _root_backward(a, grad, x, bases, moved, walked, p, by, len(axes))


@powers.quiet
def gem_backward_p(a, grad, x, axes, p, eps, mode):
    """Every factor is a logarithm, a power or a mean; their sizes are added without their signs."""
    _, bases, walked, by = _gem(a, x, axes, eps, mode)
    parts = np.where(walked.present, bases**p, 0)
    logs = abs(np.log(bases))
    y, slack = _root_of_sum(a, bases, walked, p, by)
    inner = (parts * logs).sum(-1) / parts.sum(-1) + abs(np.log(y))
    sizes = abs(flattened(grad.astype(np.longdouble), walked)) * y * inner / abs(p)
    some = walked.count > 0
    worst = 3 * _power(a, bases, abs(p) + 1).max() + (slack / y)[:, some].max()
    return sizes[:, some].sum() * (worst + a.gamma(walked.longest + sizes.size + 20))


def _logsumexp(a, x, axes, sharpness, mode):
    """Shares, exponents' errors by tap, and the relative error of the sum of the exponentials.

    ``s x`` and ``s m`` are each off by two roundings (s is one itself), their difference by one.
    Who scans the window once scales its sum anew at every new maximum: an exponential each time.
    """
    elements, walked = gather(a.wide(x), axes, mode)
    scaled = np.where(walked.present, sharpness * elements, -np.inf)
    greatest, shares, total = powers.exponentials(elements, walked, sharpness)
    seen = np.isfinite(scaled)
    sizes = np.where(seen, abs(scaled), 0)
    ranges = np.where(seen, abs(scaled - greatest[..., None]), 0)
    off = a.unit * (2 * sizes + 2 * abs(greatest)[..., None] + 2 * ranges)
    shares = shares / total[..., None]
    terms = walked.longest
    relative = np.where(shares > 0, shares * off, 0).sum(-1) + a.unit * ranges.max(-1)
    relative = relative + a.gamma((terms + 1) * (ELEMENTARY + 1)) + terms * a.tiny
    return walked, shares, off, relative, greatest, np.log(total)


@powers.quiet
def logsumexp(a, x, axes, sharpness, mean, mode):
    """Axes reduced one after the other do all of it again, as many times as there are axes."""
    walked, _, _, relative, greatest, log = _logsumexp(a, x, axes, sharpness, mode)
    count = np.log(np.maximum(walked.count, 1)) if mean else 0
    sizes = 3 * abs(greatest) + (ELEMENTARY + 2) * (abs(log) + count)
    slack = len(axes) * (relative + a.unit * sizes) / abs(sharpness)
    slack = slack + 3 * a.unit * abs(greatest + log - count) / abs(sharpness) + a.tiny
    return shaped(slack, x, walked)


@powers.quiet
def logsumexp_backward(a, grad, x, axes, sharpness, mean, mode):
    """A share is ``exp(s (x - y))``, perhaps over the count: y's error goes into the exponent."""
    walked, shares, off, _, _, _ = _logsumexp(a, x, axes, sharpness, mode)
    out = flattened(logsumexp(a, x, axes, sharpness, mean, mode), walked)
    relative = 2 * off + (abs(sharpness) * out)[..., None] + a.gamma(2 * ELEMENTARY + 4)
    terms = walked.readers
    given = abs(flattened(grad.astype(np.longdouble), walked))[..., None]
    parts = np.where(shares > 0, given * shares * (relative + a.gamma(terms)), 0)
    return spread(parts + (given + 1) * terms * a.tiny, walked, x.shape, len(axes))


@powers.quiet
def stochastic(a, x, axes, mode):
    """A quotient of two sums of numbers that are not negative."""
    elements, walked = gather(a.wide(x), axes, mode)
    _, total, out = powers.weighted_mean(elements, walked)
    terms = walked.longest
    slack = a.gamma(2 * terms + 6) * out + np.where(total > 0, terms * a.tiny / total, 0)
    return shaped(slack + terms * a.tiny, x, walked)


@powers.quiet
def stochastic_backward(a, grad, x, axes, mode):
    elements, walked = gather(a.wide(x), axes, mode)
    weights, total, out = powers.weighted_mean(elements, walked)
    terms = walked.longest + walked.readers
    slack = flattened(stochastic(a, x, axes, mode), walked)
    parts = (2 * weights + out[..., None]) * a.gamma(2 * terms + 8) + slack[..., None]
    parts = np.where(weights > 0, (parts + terms * a.tiny) / total[..., None], 0)
    given = abs(flattened(grad.astype(np.longdouble), walked))[..., None]
    parts = np.where(given > 0, given * parts, 0) + terms * a.tiny
    return spread(parts, walked, x.shape, len(axes))


def mixed_sizes(x, axes, alpha, count_include_pad, mode):
    """Sizes for :func:`linear`: ``alpha`` is rounded, and so is ``1 - alpha``, by what both are."""
    most, _ = select_pool(x, axes, "max", mode)
    mean = sums.avg_pool(abs(x), axes, count_include_pad, mode=mode)
    sizes = abs(alpha * most.astype(np.longdouble)) if alpha != 0 else 0
    return sizes + ((1 + abs(alpha)) * mean if alpha != 1 else 0)
