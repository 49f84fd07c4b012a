"""Without gradients, results are written into what nobody else will look at.

An activation into the result of the layer before it, a convolution into what is added to it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from cenote.acceleration import kinds
from cenote.acceleration.sketch import Sketch, Step
from cenote.acceleration.steps.convolutions import Convolution

__all__ = ["apply"]

_IN_PLACE: dict[str, Any] = {
    "relu": torch.relu_,
    "relu6": lambda x: F.hardtanh_(x, 0.0, 6.0),
    "hardtanh": F.hardtanh_,
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
    "silu": lambda x: F.silu(x, inplace=True),
    "hardswish": lambda x: F.hardswish(x, inplace=True),
    "hardsigmoid": lambda x: F.hardsigmoid(x, inplace=True),
    "leaky_relu": F.leaky_relu_,
}


class InPlace(Step):
    """An activation that writes into its input."""

    fresh = True

    def __init__(self, activation: kinds.Activation) -> None:
        super().__init__()
        self.activation, self.write = activation, _IN_PLACE[activation.name]

    def __call__(self, x: Tensor) -> Any:
        """The activated ``x``, in its place."""
        if x.is_floating_point() and not x.requires_grad:
            return self.write(x, *self.activation.options)
        return self.activation(x)


def apply(sketch: Sketch) -> None:
    """Reuse every result of which that is sure."""
    if sketch.asked:
        return
    for node in sketch.nodes():
        if isinstance(node.target, Convolution) and len(node.args) == 2:
            other = node.args[1]
            assert isinstance(other, fx.Node)
            node.target.writes = sketch.owned(other) and sketch.only_user(other) is node
            continue
        activation = kinds.activation_of(sketch.root, node)
        if activation is None or activation.in_place or activation.name not in _IN_PLACE:
            continue
        given = node.args[0]
        assert isinstance(given, fx.Node)
        if sketch.owned(given) and sketch.only_user(given) is node:
            what = f"{activation.name} in place"
            sketch.replace([node], InPlace(activation), (given,), "reuse", what)
