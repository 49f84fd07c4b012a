"""In training, a batch norm and its activation before a convolution are not kept but made again.

Both the norm's input and the convolution's are kept for the way back, and the second is the first
times one number and plus another for each channel, activated: a pass through memory that costs less
than it saves. About half of what a network of convolutions, norms and activations keeps.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from cenote.acceleration import kinds
from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import Convolution, convolution_of
from cenote.acceleration.steps.renormed import Renormed

__all__ = ["alone", "apply"]


def apply(sketch: Sketch) -> None:
    """Join every norm in training, its activation and the convolution that alone use each other."""
    if not sketch.asked or not sketch.last:
        return
    for node in sketch.nodes():
        norm = sketch.layer(node, nn.BatchNorm2d)
        if norm is None or not norm.training or not norm.affine:
            continue
        chain, user = [node], sketch.only_user(node)
        activation = None if user is None else kinds.activation_of(sketch.root, user)
        if activation is not None:
            assert user is not None
            if not kinds.cuts(activation):
                continue
            chain.append(user)
            user = sketch.only_user(user)
        convolution = None if user is None else convolution_of(sketch, user)
        if user is None or convolution is None or not _plain(convolution, user, chain[-1]):
            continue
        chain.append(user)
        if sketch.still(node, user):
            step = Renormed(norm, activation, convolution, alone=alone(sketch, node))
            what = "norm and activation made again on the way back"
            sketch.replace(chain, step, (node.args[0],), "recomputing", what)


def _plain(convolution: Convolution, node: fx.Node, given: Any) -> bool:
    """Whether a convolution has nothing else joined to it."""
    return (
        convolution.rank == 2
        and len(node.args) == 1
        and node.args[0] is given
        and convolution.norm is None
        and convolution.activation is None
    )


def alone(sketch: Sketch, norm: fx.Node) -> bool:
    """Whether nothing but a norm holds its input for the way back: what made it does not."""
    given = norm.args[0]
    assert isinstance(given, fx.Node)
    if sketch.only_user(given) is not norm:
        return False
    if isinstance(given.target, Renormed) or kinds.concatenated(given):
        return True
    convolution = convolution_of(sketch, given)
    return convolution is not None and convolution.norm is convolution.activation is None
