"""A batch norm and what stands around it are one pass through memory.

In training those are a sum behind it and an activation; the statistics are another pass, and on the
way back it is one for two sums over each channel, and one for the gradient. Layer by layer they are
up to five, two of them for the statistics, and three. At inference, where the norm could not be
folded, it reads what is put together before it and activates what it writes.
"""

from __future__ import annotations

from torch import fx, nn

from cenote.acceleration import kinds
from cenote.acceleration.rules.recomputing import alone
from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.normed import Joined, Normed

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Join every norm with what alone uses it, or is used by it alone."""
    if not sketch.last:
        return
    for node in sketch.nodes():
        norm = sketch.layer(node, nn.BatchNorm2d)
        if norm is None or not norm.affine or norm.training is not sketch.asked:
            continue
        if sketch.asked:
            _trained(sketch, node, norm)
        elif norm.running_mean is not None:
            _known(sketch, node, norm)


def _trained(sketch: Sketch, node: fx.Node, norm: nn.Module) -> None:
    chain, other, said = [node], _added(sketch, node), ["norm"]
    args: tuple[fx.Node, ...] = (node.args[0],)  # type: ignore[assignment]
    if other is not None:
        chain += node.users
        args, said = (*args, other), [*said, "sum"]
    activation = _activated(sketch, chain, said)
    step = Normed(norm, activation, alone=alone(sketch, node))
    sketch.replace(chain, step, args, "norms", f"{_listed(said)} in two passes")


def _known(sketch: Sketch, node: fx.Node, norm: nn.Module) -> None:
    """Without a gradient, by statistics that are known."""
    chain, parts, said = [node], _parts(sketch, node), ["norm"]
    activation = _activated(sketch, chain, said)
    if parts:
        chain, said = [node.args[0], *chain], ["concatenation", *said]  # type: ignore[list-item]
    if len(chain) > 1:
        args = tuple(parts) or node.args
        sketch.replace(chain, Joined(norm, activation), args, "norms", f"{_listed(said)} at once")


def _activated(sketch: Sketch, chain: list[fx.Node], said: list[str]) -> kinds.Activation | None:
    """The activation behind a chain, which then is in it; None where it stays apart."""
    user = sketch.only_user(chain[-1])
    activation = None if user is None else kinds.activation_of(sketch.root, user)
    if user is None or activation is None or not kinds.cuts(activation):
        return None
    if not sketch.still(chain[0], user):
        return None
    chain.append(user)
    said.append(activation.name)
    return activation


def _parts(sketch: Sketch, node: fx.Node) -> list[fx.Node]:
    """What is put together, channel behind channel, for a norm alone; nothing where it is not."""
    cat = node.args[0]
    parts = kinds.concatenated(cat)
    if not parts or sketch.only_user(cat) is not node:  # type: ignore[arg-type]
        return []
    # what stands behind the norm, up to an activation, is looked at with the norm's chain
    last = sketch.only_user(node) or node
    return parts if sketch.still(cat, last) else []  # type: ignore[arg-type]


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
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
