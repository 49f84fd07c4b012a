"""In training, a batch norm, a sum behind it and an activation are one pass through memory.

The statistics are another; on the way back as well it is one pass for two sums over each channel,
and one for the gradient. Layer by layer they are up to five and seven.
"""

from __future__ import annotations

from torch import fx, nn

from cenote.acceleration import kinds
from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.normed import Normed, cuts

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Join every norm in training with the sum and the activation that alone use it."""
    if not sketch.asked or not sketch.last:
        return
    for node in sketch.nodes():
        norm = sketch.layer(node, nn.BatchNorm2d)
        if norm is None or not norm.training or not norm.affine:
            continue
        chain, other = [node], _added(sketch, node)
        if other is not None:
            chain += node.users
        user = sketch.only_user(chain[-1])
        activation = None if user is None else kinds.activation_of(sketch.root, user)
        if user is not None and activation is not None and cuts(activation):
            if sketch.still(node, user):
                chain.append(user)
            else:
                activation = None
        else:
            activation = None
        args = (node.args[0],) if other is None else (node.args[0], other)
        said = ["norm"] + ["sum"] * (other is not None)
        said += [activation.name] if activation is not None else []
        sketch.replace(chain, Normed(norm, activation), args, "norms", _listed(said))


def _added(sketch: Sketch, node: fx.Node) -> fx.Node | None:
    """What is added to a norm's result, where nothing else uses that."""
    user = sketch.only_user(node)
    if user is None or not kinds.is_addition(user) or not sketch.still(node, user):
        return None
    first, second = user.args
    if kinds.changes_in_place(sketch.root, user) and first is not node:
        return None  # it is the other that is written to
    other = second if first is node else first
    assert isinstance(other, fx.Node)
    return other


def _listed(said: list[str]) -> str:
    if len(said) == 1:
        return "norm in two passes"
    return ", ".join(said[:-1]) + f" and {said[-1]} in two passes"
