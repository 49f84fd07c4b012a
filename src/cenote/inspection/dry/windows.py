"""The smallest sizes on which something works, found by trying."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

__all__ = ["bisect", "least_sizes"]

_FAR = {1: 1 << 20, 2: 1 << 14, 3: 1 << 10}  # elements along each axis: wider than any window


def bisect(works: Callable[[int], bool], low: int, high: int) -> int:
    """The smallest number above ``low``, where it does not work, up to ``high``, where it does."""
    while high - low > 1:
        middle = (low + high) // 2
        if works(middle):
            high = middle
        else:
            low = middle
    return high


def least_sizes(call: Callable[[Tensor], Any], x: Tensor, rank: int) -> tuple[int, ...] | None:
    """The smallest spatial sizes that ``call`` takes in place of those of ``x``.

    None where it takes those of ``x``, or none at all. The operator itself is asked, so that this
    holds for whatever it makes of padding, dilation and ceil mode.
    """
    lead, given = x.shape[: x.dim() - rank], tuple(x.shape[x.dim() - rank :])

    def works(*sizes: int) -> bool:
        try:
            call(x.new_empty((*lead, *sizes)))
        except (RuntimeError, ValueError, AssertionError):
            return False
        return True

    far = [max(_FAR[rank], n) for n in given]
    if works(*given) or not works(*far):
        return None
    least = []
    for axis in range(rank):

        def along(n: int, axis: int = axis) -> bool:
            return works(*[n if at == axis else other for at, other in enumerate(far)])

        least.append(bisect(along, 0, far[axis]))
    return tuple(least)
