"""An activation before a maximum comes after it: as many elements fewer as a window has.

Where of two inputs the greater has the greater output, or both have none of their gradient, the
greatest of the outputs is the output of the greatest, and the gradients are the same: ReLU, ReLU6,
Hardtanh. Not with indices, which may differ among equals.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from cenote.acceleration import kinds
from cenote.acceleration.kinds import Activation
from cenote.acceleration.sketch import Sketch, Step
from cenote.acceleration.steps.pools import Pool, input_of, pool_of

__all__ = ["apply"]


class ThenActivated(Step):
    """A maximum, and an activation of what is left."""

    fresh = True

    def __init__(self, pool: Pool, activation: Activation) -> None:
        super().__init__()
        self.pool, self.activation = pool, activation

    def __call__(self, x: Tensor) -> Any:
        """The pooled and then activated ``x``."""
        return self.activation(self.pool(x))


def apply(sketch: Sketch) -> None:
    """Exchange every such activation with the maximum that alone uses it."""
    for node in sketch.nodes():
        activation = kinds.activation_of(sketch.root, node)
        if activation is None or not activation.steps:
            continue
        user = sketch.only_user(node)
        pool = None if user is None else pool_of(sketch, user)
        if pool is None or pool.reduce != "max" or pool.get("return_indices"):
            continue
        given = node.args[0]
        if activation.in_place and not _alone(sketch, given):
            continue
        assert isinstance(user, fx.Node)
        if input_of(user) is node and sketch.still(node, user):
            step = ThenActivated(pool, activation)
            sketch.replace([node, user], step, (given,), "late-activation",
                           f"{activation.name} of the maxima alone")  # fmt: skip


def _alone(sketch: Sketch, given: Any) -> bool:
    """Whether nobody sees that a tensor is not written to."""
    return kinds.fresh(sketch.root, given) and sketch.only_user(given) is not None
