"""Maxima over windows of several sizes around the same places are made of each other.

The greatest of 9 by 9 is the greatest of 5 by 5 of the greatest of 5 by 5, at the borders too, for
padding is never a maximum. Without gradients alone: of several equal maxima another may be first.
"""

from __future__ import annotations

from torch import fx

from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.pools import Pool, input_of, pool_of, with_arguments

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Make larger windows of smaller ones of the same tensor."""
    if sketch.asked:
        return
    found: dict[fx.Node, list[tuple[int, fx.Node, Pool]]] = {}
    for node in sketch.nodes():
        pool = pool_of(sketch, node)
        size = 0 if pool is None else _centred(pool)
        if pool is not None and size:
            found.setdefault(input_of(node), []).append((size, node, pool))
    for group in found.values():
        group.sort(key=lambda each: each[0])
        for at in range(len(group) - 1, 0, -1):
            (small, first, _), (large, node, pool) = group[at - 1], group[at]
            if large > small and first < node and sketch.quiet(first, node):
                rest = large - small + 1
                step = with_arguments(pool, kernel_size=rest, stride=1, padding=rest // 2)
                what = f"{large} wide, made of {small} and {rest}"
                sketch.replace([node], step, (first,), "shared-chains", what)


def _centred(pool: Pool) -> int:
    """The size of an odd window that moves by one and keeps sizes; 0 for others."""
    sizes = set(pool.every("kernel_size"))
    size = sizes.pop()
    plain = pool.reduce == "max" and not sizes and size % 2 == 1 and size > 1
    plain = plain and not pool.get("return_indices") and not pool.get("ceil_mode")
    same = set(pool.every("stride")) == {1} and set(pool.every("padding")) == {size // 2}
    return size if plain and same and set(pool.every("dilation")) == {1} else 0
