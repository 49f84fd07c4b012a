"""Two tensors are put together and their channels shuffled in one pass; halves are views.

Without gradients, where maps have their channels last: then the channels of two parts in turns are
a matter of neighbours in memory, and half of the channels need no copy.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from cenote.acceleration import kinds
from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import Convolution
from cenote.acceleration.steps.separable import InStrips
from cenote.acceleration.steps.shuffled import Half, Interleaved

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Replace every shuffle of two groups, then every cut into halves that only such steps read."""
    if sketch.asked or not sketch.last:
        return
    for node in sketch.nodes():
        chain = _shuffle(sketch, node)
        if chain:
            _ask_no_more(sketch, chain)
            parts = tuple(kinds.concatenated(chain[0]))
            what = "put together and shuffled at once"
            sketch.replace(chain, Interleaved(), parts, "shuffles", what)
    for node in sketch.nodes():
        if _halves(node) and all(_reads(user) for user in node.users):
            for half in list(node.users):
                step, what = Half(half.args[1]), "half of the channels as a view"  # type: ignore[arg-type]
                sketch.replace([half], step, node.args[:1], "shuffles", what)
            sketch.graph.erase_node(node)


def _shuffle(sketch: Sketch, cat: fx.Node) -> list[fx.Node]:
    """``cat``, ``view``, ``transpose``, ``contiguous`` and ``view`` in two groups, or nothing."""
    if len(kinds.concatenated(cat)) != 2:
        return []
    asking = _asking(cat)
    chain = [cat]
    for name in ("view", "transpose", "contiguous", "view"):
        users = [user for user in chain[-1].users if user not in asking]
        user = users[0] if len(users) == 1 else None
        if user is None or not _is(user, name) or user.args[0] is not chain[-1] or user.kwargs:
            return []
        chain.append(user)
    _, apart, turned, dense, together = chain
    if dense.args[1:] or turned.args[1:] not in ((1, 2), (2, 1)):
        return []
    if any(user not in (*asking, apart, together) for node in asking for user in node.users):
        return []
    fits = _in_halves(apart, cat, apart=True) and _in_halves(together, cat, apart=False)
    return chain if fits and sketch.quiet(cat, together) else []


def _asking(cat: fx.Node) -> list[fx.Node]:
    """What asks for the shape of ``cat`` and computes with it, in order."""
    found = [cat]
    for node in found:  # which grows meanwhile
        found += [user for user in node.users if _asks(user) and user not in found]
    return found[1:]


def _asks(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target == "size"
    shape = node.target is getattr and node.args[1] == "shape"
    return shape or node.target in (operator.getitem, operator.floordiv)


def _ask_no_more(sketch: Sketch, chain: list[fx.Node]) -> None:
    """Take out what asks for a shape for these nodes alone, which are to go."""
    cat, apart, _, dense, together = chain
    asking = _asking(cat)
    apart.args, together.args = (cat,), (dense,)
    for node in reversed(asking):
        sketch.graph.erase_node(node)


def _in_halves(view: fx.Node, cat: fx.Node, *, apart: bool) -> bool:
    """Whether a view has the lengths of ``cat``, its channels as two halves if they are apart."""
    sizes, whole = _shape(view), _shape(cat)
    if sizes and whole:
        channels = (2, whole[1] // 2) if apart else (whole[1],)
        return len(whole) == 4 and whole[1] % 2 == 0 and sizes == (whole[0], *channels, *whole[2:])
    given: Any = view.args[1:]
    if len(given) < 4:
        return False
    images, *between, height, width = given
    others = ((images, 0), (height, 2), (width, 3))
    if not all(_is_length(value, cat, axis) for value, axis in others):
        return False
    if not apart:
        return len(between) == 1 and (between == [-1] or _is_length(between[0], cat, 1))
    return len(between) == 2 and between[0] == 2 and _is_half(between[1], cat)


def _is_half(value: Any, cat: fx.Node) -> bool:
    """Whether a value is half of the channels."""
    halved = isinstance(value, fx.Node) and value.target is operator.floordiv
    return bool(halved) and value.args[1] == 2 and _is_length(value.args[0], cat, 1)


def _is_length(value: Any, of: fx.Node, axis: int) -> bool:
    """Whether a value is the length of an axis, as a forward would ask for it."""
    if not isinstance(value, fx.Node):
        return False
    if value.op == "call_method" and value.target == "size":
        return value.args == (of, axis)
    if value.target is not operator.getitem or value.args[1] != axis:
        return False
    asked = value.args[0]
    if not isinstance(asked, fx.Node):
        return False
    shape = asked.target is getattr and asked.args == (of, "shape")
    return shape or (asked.op == "call_method" and asked.target == "size" and asked.args == (of,))


def _shape(node: fx.Node) -> tuple[int, ...]:
    """Of what a node makes, in a graph for these sizes alone; nothing in one for all sizes."""
    sized = node.meta.get("sized")
    return tuple(sized.shape) if isinstance(sized, torch.Tensor) else ()


def _is(node: fx.Node, name: str) -> bool:
    if node.op == "call_function":
        return node.target is getattr(torch, name, None)
    return node.op == "call_method" and node.target in (name, "reshape" if name == "view" else name)


def _halves(node: fx.Node) -> bool:
    called = node.op == "call_method" and node.target == "chunk"
    called = called or (node.op == "call_function" and node.target is torch.chunk)
    given: dict[str, Any] = dict(zip(("chunks", "dim"), node.args[1:], strict=False))
    given |= {name: value for name, value in node.kwargs.items() if name != "input"}
    return called and len(node.args) > 0 and given == {"chunks": 2, "dim": 1}


def _reads(half: fx.Node) -> bool:
    """Whether a half is read by steps that take it as it lies, and by nothing else."""
    if half.target is not operator.getitem or half.args[1] not in (0, 1):
        return False
    return all(isinstance(user.target, (Convolution, InStrips, Interleaved)) for user in half.users)
