"""An average behind a 1x1 convolution comes before it: as many products fewer as a window has.

Both are linear and one works on channels, the other on places, so that they may be exchanged, where
every average is one of as many elements as it is divided by: not with padding that counts, and not
with a divisor of its own. The transitions of a DenseNet are of this kind.
"""

from __future__ import annotations

from torch import Tensor, fx

from cenote.acceleration.sketch import Sketch, Step
from cenote.acceleration.steps.convolutions import Convolution, convolution_of
from cenote.acceleration.steps.pools import Pool, input_of, pool_of

__all__ = ["apply"]


class Averaged(Step):
    """An average, and a convolution of what is left."""

    fresh = True

    def __init__(self, pool: Pool, convolution: Convolution) -> None:
        super().__init__()
        self.pool, self.convolution = pool, convolution

    def __call__(self, x: Tensor) -> Tensor:
        """The averaged and then convolved ``x``."""
        return self.convolution(self.pool(x))

    def forget(self) -> None:
        self.convolution.forget()


def apply(sketch: Sketch) -> None:
    """Exchange every 1x1 convolution with the average that alone uses it."""
    for node in sketch.nodes():
        step = convolution_of(sketch, node)
        if step is None or not _pointwise(step) or len(node.args) != 1:
            continue
        user = sketch.only_user(node)
        pool = None if user is None else pool_of(sketch, user)
        if pool is None or pool.reduce != "avg" or not _whole(pool) or pool.rank != step.rank:
            continue
        assert isinstance(user, fx.Node)
        if input_of(user) is not node or not sketch.still(node, user):
            continue
        if sketch.last and not sketch.asked:
            step.at_once = sketch.switches.on("epilogues")
        what = f"the average before {step.layer.in_channels} to {step.layer.out_channels} channels"
        sketch.replace([node, user], Averaged(pool, step), (node.args[0],), "early-average", what)


def _pointwise(step: Convolution) -> bool:
    stride, padding, _, _ = step.numbers()
    ones = all(k == 1 for k in (*step.layer.weight.shape[2:], *stride))
    return ones and not any(padding) and step.activation is None


def _whole(pool: Pool) -> bool:
    """Whether every output is divided by the number of elements that it has."""
    counted = any(pool.every("padding")) and pool.get("count_include_pad")
    return pool.get("divisor_override") is None and not counted
