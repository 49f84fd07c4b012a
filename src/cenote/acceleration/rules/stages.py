"""Convolution, activation and pooling become one stage: what lies between stays in a cache.

Where maps are kept in rows, see :func:`cenote.stage`; for maxima that an activation may follow.
With channels last, without gradients, a few rows go through all, and a 1x1 convolution behind.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from cenote import _args, functional
from cenote.acceleration import kinds
from cenote.acceleration.kinds import Activation
from cenote.acceleration.sketch import Sketch, Step
from cenote.acceleration.steps.convolutions import Convolution, convolution_of
from cenote.acceleration.steps.pools import Pool, input_of, pool_of
from cenote.acceleration.steps.separable import InStrips

__all__ = ["apply"]


class Stage(Step):
    """The three layers as one operation."""

    fresh = True

    def __init__(self, convolution: Convolution, activation: Activation | None, pool: Pool) -> None:
        super().__init__()
        self.convolution, self.activation, self.pool = convolution, activation, pool

    def __call__(self, x: Tensor) -> Any:
        """The pooled activation of the convolved ``x``."""
        layer, pool, rank = self.convolution.layer, self.pool, self.pool.rank
        weights = self.convolution.weights(x) if x.dim() == rank + 2 else None
        if weights is None:
            y = self.convolution(x)
            return pool(y if self.activation is None else self.activation(y))
        first = _args.conv_window("stage", rank, layer.kernel_size, *self.convolution.numbers()[:3])
        second = _args.pool_window("stage", rank, *(pool.get(name) for name in pool.names[:5]))
        return functional.stage(
            x, *weights, conv=first, groups=layer.groups,
            activation=None if self.activation is None else self.activation.name, pool=second,
        )  # fmt: skip

    def forget(self) -> None:
        self.convolution.forget()


def apply(sketch: Sketch) -> None:
    """Join every convolution, activation and maximum that are each other's only users."""
    if sketch.last:
        if not sketch.asked:
            _in_strips(sketch)
        return
    for node in sketch.nodes():
        step = convolution_of(sketch, node)
        if step is None or step.activation is not None or len(node.args) != 1:
            continue
        chain, user = [node], sketch.only_user(node)
        activation = None if user is None else kinds.activation_of(sketch.root, user)
        if activation is not None and activation.name in ("relu", "relu6"):
            assert user is not None
            chain.append(user)
            user = sketch.only_user(user)
        elif activation is not None:
            continue
        pool = None if user is None else pool_of(sketch, user)
        if pool is None or pool.reduce != "max" or pool.get("return_indices"):
            continue
        assert isinstance(user, fx.Node)
        if pool.rank != step.rank or input_of(user) is not chain[-1]:
            continue
        if sketch.still(node, user):
            sketch.replace([*chain, user], Stage(step, activation, pool), (node.args[0],),
                           "stages", "one operation")  # fmt: skip


def _in_strips(sketch: Sketch) -> None:
    """With channels last, what is behind a convolution is joined to it already."""
    for node in sketch.nodes():
        step, user = node.target, sketch.only_user(node)
        if not isinstance(step, Convolution) or step.rank != 2 or user is None:
            continue
        pool = pool_of(sketch, user)
        if pool is None or not step.in_strips() or len(node.args) != 1 or node.kwargs:
            continue
        if not _plain_maximum(pool) or input_of(user) is not node:
            continue
        chain, behind = [node, user], sketch.only_user(user)
        last = behind.target if behind is not None and behind.args[0] is user else None
        pointwise = isinstance(last, Convolution) and last.rank == 2 and last.of_pixels()
        if behind is not None and pointwise:
            chain.append(behind)
        if sketch.still(node, chain[-1]):
            args: Any = (*node.args, *chain[-1].args[1:]) if pointwise else node.args
            strips = InStrips(step, pool, last if pointwise else None)  # type: ignore[arg-type]
            sketch.replace(chain, strips, args, "stages", "one operation, row by row")


def _plain_maximum(pool: Pool) -> bool:
    plain = pool.reduce == "max" and pool.rank == 2 and not pool.get("return_indices")
    return plain and all(n == 1 for n in pool.every("dilation"))
