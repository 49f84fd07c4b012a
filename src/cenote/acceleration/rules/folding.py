"""A batch norm behind a convolution, in eval mode: its scale and shift go into the weights.

``norm(conv(x))`` is ``conv(x)`` with weights times ``gamma / sqrt(var + eps)`` and another bias,
both computed in double precision and rounded once. Only where no gradient is asked for: the norm
and the convolution stay apart in training.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import convolution_of

__all__ = ["apply"]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def apply(sketch: Sketch) -> None:
    """Join every convolution with the norm that alone uses it."""
    if sketch.asked:
        return
    for node in sketch.nodes():
        step = convolution_of(sketch, node)
        if step is None or step.norm is not None or len(node.args) != 1 or step.activation:
            continue
        user = sketch.only_user(node)
        norm = None if user is None else sketch.layer(user, *_NORMS)
        if norm is None or not _folds(norm, step.layer.weight.shape[0], step.rank):
            continue
        assert isinstance(user, fx.Node)
        if sketch.still(node, user):
            step.norm = norm
            sketch.replace([node, user], step, (node.args[0],), "folding", "norm into the weights")


def _folds(norm: Any, channels: int, rank: int) -> bool:
    return (
        not norm.training
        and norm.running_mean is not None
        and norm.num_features == channels
        and isinstance(norm, _NORMS[rank - 1])
    )
