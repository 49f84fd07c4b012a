"""Pooling by maximum and average becomes this package's: the same numbers, sooner.

As layers and as functional calls, in one to three axes. What a layer's attributes say is read at
every call, as torch does.
"""

from __future__ import annotations

from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.pools import Pool, input_of, pool_of

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Put a step in the place of every pooling."""
    for node in sketch.nodes():
        pool = pool_of(sketch, node)
        if pool is not None and not isinstance(node.target, Pool):
            what = f"{pool.reduce}_pool{pool.rank}d by this package"
            sketch.replace([node], pool, (input_of(node),), "pooling", what)
