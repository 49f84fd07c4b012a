"""What follows a convolution is done while its result is at hand: a sum, then an activation.

oneDNN takes both along, and weights that were put into its own order once. Only where no gradient
is asked for and the maps have their channels last.
"""

from __future__ import annotations

from torch import fx

from cenote.acceleration import kinds
from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import Convolution, convolution_of, packs

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Join every convolution of images with the sum and the activation that alone use it."""
    if sketch.asked or not sketch.last or not packs():
        return
    for node in sketch.nodes():
        step = convolution_of(sketch, node)
        if step is None or step.rank != 2 or step.at_once or step.activation is not None:
            continue
        chain, other = [node], None
        added = sketch.only_user(node)
        # a sum in place writes into its first term, which then has to be this one
        if added is not None and kinds.is_addition(added) and (
            not kinds.changes_in_place(sketch.root, added) or added.args[0] is node
        ):  # fmt: skip
            chain += _summed(sketch, node, added)
        if len(chain) > 1:
            other, step.adds = _other(chain[1], node), True
        if len(chain) > 2:
            step.activation = kinds.activation_of(sketch.root, chain[2])
        if len(chain) == 1:
            _activate(sketch, step, chain)
        step.at_once = True
        args = (node.args[0],) if other is None else (node.args[0], other)
        sketch.replace(chain, step, args, "epilogues", _said(step))


def _other(added: fx.Node, node: fx.Node) -> fx.Node:
    first, second = added.args
    other = second if first is node else first
    assert isinstance(other, fx.Node)
    return other


def _summed(sketch: Sketch, node: fx.Node, added: fx.Node) -> list[fx.Node]:
    """The sum behind a convolution, with the ReLU behind that; nothing where they stay apart."""
    then = sketch.only_user(added)
    activation = None if then is None else kinds.activation_of(sketch.root, then)
    if then is not None and activation is not None and activation.name == "relu":
        return [added, then] if sketch.still(node, then) else []
    return [added] if sketch.still(node, added) else []


def _activate(sketch: Sketch, step: Convolution, chain: list[fx.Node]) -> None:
    user = sketch.only_user(chain[0])
    activation = None if user is None else kinds.activation_of(sketch.root, user)
    if user is None or activation is None or not activation.fused:
        return
    if sketch.still(chain[0], user):
        step.activation = activation
        chain.append(user)


def _said(step: Convolution) -> str:
    parts = ["packed weights"]
    if step.adds:
        parts.append("a sum")
    if step.activation is not None:
        parts.append(step.activation.name)
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
