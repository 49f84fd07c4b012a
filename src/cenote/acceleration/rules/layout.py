"""The maps of images are kept with their channels last, as oneDNN's convolutions like them.

The first convolution turns its input; what cannot tell the difference works on what it is given;
before everything else, and at the end, tensors are put back in rows. Not where something is written
in place into what may be a part of another tensor: a copy would not see it.
"""

from __future__ import annotations

from torch import fx

from cenote.acceleration import kinds
from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import Convolution, convolution_of
from cenote.acceleration.steps.layouts import Rows

__all__ = ["apply", "why_not"]


def why_not(sketch: Sketch) -> str:
    """Why maps stay as they are; "" where their channels may be last."""
    if not any(getattr(convolution_of(sketch, node), "rank", 0) == 2 for node in sketch.nodes()):
        return "no convolution of images"
    for node in sketch.nodes():
        if node.op in ("placeholder", "get_attr", "output"):
            continue
        if kinds.changes_in_place(sketch.root, node):
            given = node.args[0] if node.args else None
            if not sketch.owned(given) or sketch.only_user(given) is not node:  # type: ignore[arg-type]
                return f"{sketch.name(node)} writes into what may be a part of another tensor"
    return ""


def apply(sketch: Sketch) -> None:
    """Turn maps back wherever somebody could tell."""
    if not sketch.last or sketch.given:
        return
    back = Rows()
    turned: dict[fx.Node, fx.Node] = {}
    for node in sketch.nodes():
        if node.op in ("placeholder", "get_attr"):
            continue
        convolution = convolution_of(sketch, node)
        if convolution is not None and convolution.rank == 2:
            if not isinstance(node.target, Convolution):
                convolution.asked = sketch.asked
                node.op, node.target = "call_function", convolution
            continue
        if node.op != "output" and kinds.keeps_layout(sketch.root, node):
            continue
        for given in list(node.all_input_nodes):
            if given.op in ("placeholder", "get_attr"):
                continue
            if given not in turned:  # once: what is returned twice is one tensor
                with sketch.graph.inserting_before(node):
                    turned[given] = sketch.graph.call_function(back, (given,))
            node.replace_input_with(given, turned[given])
