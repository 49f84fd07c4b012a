"""Every operator in plain PyTorch: the definition, the oracle, the path for other devices.

It starts with pooling as a textbook writes it, on a bare matrix; all that follows generalises it.
Nothing here is fast: each function lays the windows out side by side (memory: taps times output).
"""

from cenote.reference.folding import fold_pool
from cenote.reference.fractions import fractional_indices, fractional_pool, fractional_starts
from cenote.reference.inverse import pick, unpool
from cenote.reference.layout import (
    divisors,
    identity,
    positions,
    tap_indices,
    windows,
    windows_backward,
)
from cenote.reference.powers import (
    logsumexp_pool,
    logsumexp_pool_backward,
    logsumexp_pool_shares,
    power_pool,
)
from cenote.reference.selection import (
    median_pool,
    select_pool,
    select_pool_backward,
    stochastic_taps,
)
from cenote.reference.sums import (
    avg_pool,
    avg_pool_backward,
    linear_pool,
    linear_pool_backward,
)
from cenote.reference.textbook import pool2d

__all__ = [
    "avg_pool",
    "avg_pool_backward",
    "divisors",
    "fold_pool",
    "fractional_indices",
    "fractional_pool",
    "fractional_starts",
    "identity",
    "linear_pool",
    "linear_pool_backward",
    "logsumexp_pool",
    "logsumexp_pool_backward",
    "logsumexp_pool_shares",
    "median_pool",
    "pick",
    "pool2d",
    "positions",
    "power_pool",
    "select_pool",
    "select_pool_backward",
    "stochastic_taps",
    "tap_indices",
    "unpool",
    "windows",
    "windows_backward",
]
