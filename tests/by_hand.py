"""Tensors small enough to be checked by eye, and reductions written in plain Python.

The tests behind docs/semantics.md start from these.
"""

import math
from functools import partial

import torch

import cenote
from cenote import Axis, Window

NAN, INF = float("nan"), float("inf")
FORMATS = (torch.contiguous_format, torch.channels_last)
HALVES = (torch.float16, torch.bfloat16)
FLOATS = (torch.float32, torch.float64, *HALVES)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
RANKS = (1, 2, 3)

REDUCTIONS = {
    "max": {},
    "min": {},
    "avg": {"count_include_pad": False},
    "sum": {},
    "lp": {"norm_type": 2},
    "logsumexp": {},
    "gem": {"p": 3.0},
    "median": {},
    "stochastic": {"training": False},
    "mixed": {"count_include_pad": False},
}
"""Every reduction, with options that leave nothing to chance and count no padding."""

IN_PYTHON = {
    "max": max,
    "min": min,
    "avg": lambda v: sum(v) / len(v),
    "sum": sum,
    "lp": lambda v: math.hypot(*v),
    "logsumexp": lambda v: math.log(sum(map(math.exp, v))),
    "gem": lambda v: (sum(a**3 for a in v) / len(v)) ** (1 / 3),
    "median": lambda v: sorted(v)[(len(v) - 1) // 2],
    "stochastic": lambda v: sum(a * a for a in v) / sum(v),
    "mixed": lambda v: (max(v) + sum(v) / len(v)) / 2,
}
"""What each of them makes of the positive elements of one window."""

NOTHING = {"max": -INF, "min": INF, "logsumexp": -INF, "mixed": -INF}
"""What it makes of no element, where that is not 0."""


def line(*values, dtype=torch.float32):
    """One line of one channel: (1, 1, len(values))."""
    return torch.tensor([[values]], dtype=dtype)


def row(*values, dtype=torch.float32):
    """One row as a plane: (1, 1, 1, len(values))."""
    return torch.tensor([[[values]]], dtype=dtype)


def some(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)


def whole(*shape, dtype=torch.float32):
    """Small integers, most of them several times: sums of them are exact."""
    return (3 * some(*shape)).round().to(dtype)


def along(axis):
    """A window along rows alone."""
    return Window([Axis(1), axis])


def with_an_empty_window():
    """Over three elements: one window that sees the second, then one that sees nothing."""
    return Window([Axis(2, 2, 4, 2, 5)])  # taps at -4 and 1, then at -2 and 3


def by_name(name, rank, *args, **kwargs):
    """A function of the package, its name without the number of axes."""
    return partial(getattr(cenote, f"{name}{rank}d"), *args, **kwargs)


def numbers(x):
    return x.flatten().tolist()


def gradient(function, x, grad=None):
    """Of ``sum(function(x) * grad)``; all ones where no ``grad`` is given."""
    leaf = x.detach().requires_grad_()
    out = function(leaf)
    given = torch.ones_like(out) if grad is None else grad.expand_as(out)
    return torch.autograd.grad(out, leaf, given)[0]


def same_bits(a, b):
    kinds = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}
    kind = kinds[a.element_size()]
    return a.dtype == b.dtype and torch.equal(a.contiguous().view(kind), b.contiguous().view(kind))
