"""Convolution from its definition, in float64, a position and a tap at a time."""

import itertools

import numpy as np

from oracle.walk import padding


def convolve(x, weight, bias, window, groups, mode="zeros"):
    """``(N, C, *n)`` by ``(O, C/groups, *k)``: sums of products, padding shown as ``mode`` says."""
    n = x.shape[2:]
    places = [taps_of(axis, length) for axis, length in zip(window, n, strict=True)]
    sizes = [len(outputs) for outputs in places]
    out = np.zeros((x.shape[0], weight.shape[0], *sizes))
    reads, makes = weight.shape[1], weight.shape[0] // groups
    for o in itertools.product(*map(range, sizes)):
        for k in itertools.product(*map(range, weight.shape[2:])):
            at = [shown(places[a][o[a]][k[a]], n[a], mode) for a in range(len(n))]
            if None in at:
                continue
            seen = x[(slice(None), slice(None), *at)]  # (N, C)
            for channel in range(weight.shape[0]):
                first = channel // makes * reads
                by = weight[(channel, slice(None), *k)]
                out[(slice(None), channel, *o)] += seen[:, first : first + reads] @ by
    if bias is not None:
        out += bias.reshape(-1, *[1] * len(n))
    return out


def taps_of(axis, n):
    """For every output the positions of its taps, in the padding too."""
    before, after = padding(axis, n)
    extent = (axis.kernel - 1) * axis.dilation + 1
    starts = range(-before, n + after - extent + 1, axis.stride)
    return [[start + k * axis.dilation for k in range(axis.kernel)] for start in starts]


def shown(position, n, mode):
    """The element that a position shows; None for a zero."""
    if 0 <= position < n:
        return position
    if mode == "zeros":
        return None
    if mode == "circular":
        return position % n
    if mode == "replicate":
        return 0 if position < 0 else n - 1
    return -position if position < 0 else 2 * (n - 1) - position


def transposed(x, weight, bias, strides, pads, dilations, more, groups):
    """``(N, C, *n)`` by ``(C, O/groups, *k)``: products laid out a stride apart, and added up."""
    n, kernel = x.shape[2:], weight.shape[2:]
    full = [
        (length - 1) * s + (k - 1) * d + 1 + extra
        for length, s, k, d, extra in zip(n, strides, kernel, dilations, more, strict=True)
    ]
    makes, reads = weight.shape[1], x.shape[1] // groups
    out = np.zeros((x.shape[0], makes * groups, *full))
    for i in itertools.product(*map(range, n)):
        for k in itertools.product(*map(range, kernel)):
            at = [a * s + t * d for a, s, t, d in zip(i, strides, k, dilations, strict=True)]
            for group in range(groups):
                first = group * reads
                seen = x[(slice(None), slice(first, first + reads), *i)]
                by = weight[(slice(first, first + reads), slice(None), *k)]
                channels = slice(group * makes, (group + 1) * makes)
                out[(slice(None), channels, *at)] += seen @ by
    cut = [slice(before, size - after) for (before, after), size in zip(pads, full, strict=True)]
    out = out[(slice(None), slice(None), *cut)]
    return out if bias is None else out + bias.reshape(-1, *[1] * len(n))
