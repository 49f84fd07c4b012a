"""Pooling by the definition, in NumPy: slow, for any number of axes, and right by inspection.

It shares no code with cenote: it reads the numbers off the axes of a window and walks them itself,
so that a mistake in the geometry shows here. Arrays are ``(..., *n)``; windows are sequences of
objects with ``kernel, stride, before, after, dilation, ceil`` (sliding), with ``starts, stops``
(given ones) or with ``outputs`` (adaptive ones).

``walk`` says which elements every window reads; ``selection`` holds the operators that pick one of
them, ``sums`` those that add them up, ``powers`` those that bend them before. Beside every operator
stands its backward pass, derived by hand. ``bounds`` says how far machine arithmetic may be off.
"""

from oracle.powers import (
    gem_pool,
    gem_pool_backward,
    gem_pool_backward_p,
    logsumexp_pool,
    logsumexp_pool_backward,
    lp_pool,
    lp_pool_backward,
    stochastic_mean,
    stochastic_mean_backward,
)
from oracle.selection import (
    fractional_starts,
    select_pool,
    select_pool_backward,
    unpool,
    unpool_backward,
)
from oracle.sums import (
    avg_pool,
    avg_pool_backward,
    blur_pool,
    blur_pool_backward,
    mixed_pool,
    mixed_pool_backward,
    mixed_pool_backward_alpha,
    sum_pool,
    sum_pool_backward,
)
from oracle.walk import out_sizes, padding, walk

__all__ = [
    "avg_pool",
    "avg_pool_backward",
    "blur_pool",
    "blur_pool_backward",
    "fractional_starts",
    "gem_pool",
    "gem_pool_backward",
    "gem_pool_backward_p",
    "logsumexp_pool",
    "logsumexp_pool_backward",
    "lp_pool",
    "lp_pool_backward",
    "mixed_pool",
    "mixed_pool_backward",
    "mixed_pool_backward_alpha",
    "out_sizes",
    "padding",
    "select_pool",
    "select_pool_backward",
    "stochastic_mean",
    "stochastic_mean_backward",
    "sum_pool",
    "sum_pool_backward",
    "unpool",
    "unpool_backward",
    "walk",
]
