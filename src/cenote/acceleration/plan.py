"""A graph, changed by the rules, as a function; one for each way in which a network is used."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from cenote.acceleration.rules import apply_all, layout
from cenote.acceleration.sketch import Mark, Sketch, Step
from cenote.acceleration.switches import Switches

__all__ = ["Plan", "make_plan", "why_rows"]


@dataclass(eq=False)
class Plan:
    """What is carried out, what it was made of, and where it differs."""

    run: Any
    code: fx.GraphModule
    original: fx.Graph
    last: bool
    finite: bool  # a part of it would not let NaN pass
    marks: list[Mark]
    left: list[tuple[str, str]]

    def forget(self) -> None:
        """Drop what was computed from parameters."""
        for node in self.code.graph.nodes:
            if isinstance(node.target, Step):
                node.target.forget()


def why_rows(root: nn.Module, graph: fx.Graph, switches: Switches, asked: bool) -> str:
    """Why maps cannot have their channels last; "" where they can."""
    if not switches.on("layout"):
        return "the rule is off"
    return layout.why_not(Sketch(root, graph, switches, asked, last=True))


def make_plan(
    root: nn.Module,
    graph: fx.Graph,
    switches: Switches,
    *,
    asked: bool,
    last: bool,
    given: bool,
) -> Plan:
    """Apply the rules to a copy of a graph of ``root``; see :class:`Sketch` for the arguments."""
    changed = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    result = changed.graph_copy(graph, values, return_output_node=True)
    assert isinstance(result, tuple)
    output, old = result
    end = changed.output(output)
    end.meta = copy.copy(old.meta)
    sketch = Sketch(root, changed, switches, asked, last, given)
    for node in list(changed.nodes):
        node.meta.pop("is_wrapped", None)  # fx would keep the code, and all layers in it, for good
        if node.op == "get_attr":
            _read_live(root, changed, node)
    apply_all(sketch)
    code = _Code(root, changed)
    finite = any(getattr(node.target, "finite", False) for node in changed.nodes)
    return Plan(code.forward, code, graph, last, finite, sketch.marks, sketch.left)


class Attribute(Step):
    """A parameter or a buffer as it is at the time of the call."""

    def __init__(self, owner: nn.Module, name: str) -> None:
        super().__init__()
        self.owner, self.attribute = owner, name

    def __call__(self) -> Any:
        """What the owner has under the name."""
        return getattr(self.owner, self.attribute)


def _read_live(root: nn.Module, graph: fx.Graph, node: fx.Node) -> None:
    path, _, name = str(node.target).rpartition(".")
    with graph.inserting_before(node):
        live = graph.call_function(Attribute(root.get_submodule(path), name))
    live.meta = dict(node.meta)
    node.replace_all_uses_with(live)
    graph.erase_node(node)


class _Code(fx.GraphModule):
    """A graph module that keeps to the layers themselves."""
