"""A graph under change, and the list of what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from cenote.acceleration import kinds
from cenote.acceleration.switches import Switches

__all__ = ["Mark", "Sketch", "Step"]


class Step:
    """What stands in a graph in place of some of its nodes: a function with a memory.

    ``fresh``: what it returns is a tensor of its own. ``any_layout``: it takes and makes channels
    last as well as rows.
    """

    fresh = False
    any_layout = True

    def __init__(self) -> None:
        self.__name__ = type(self).__name__.lower()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the nodes made of the same arguments."""
        raise NotImplementedError

    def forget(self) -> None:
        """Drop what was computed from parameters."""


@dataclass(frozen=True)
class Mark:
    """One change: where, by which rule, into what; and the nodes whose work it took over."""

    where: str
    rule: str
    what: str
    took: tuple[str, ...]
    node: str


@dataclass
class Sketch:
    """A graph of ``root`` that rules change.

    ``asked`` where gradients are, ``last`` where the maps of images are kept with their channels
    last, ``given`` where that is so because the caller's tensors are.
    """

    root: nn.Module
    graph: fx.Graph
    switches: Switches
    asked: bool
    last: bool
    given: bool = False
    marks: list[Mark] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    _origins: dict[fx.Node, tuple[str, ...]] = field(default_factory=dict)

    def nodes(self) -> Iterator[fx.Node]:
        """The nodes there are now; those that a rule takes out meanwhile are passed over."""
        for node in list(self.graph.nodes):
            if node.op != "root" and not node._erased:
                yield node

    def layer(self, node: Any, *of: type) -> Any:
        """The layer of one of these kinds that a node calls; see :func:`kinds.layer_of`."""
        return kinds.layer_of(self.root, node, *of)

    def only_user(self, node: fx.Node) -> fx.Node | None:
        """The one node that uses what ``node`` makes, where nothing else does, not even twice."""
        users = list(node.users)
        if len(users) != 1 or users[0].op == "output":
            return None
        used: list[fx.Node] = []
        fx.map_arg((users[0].args, users[0].kwargs), used.append)
        return users[0] if used.count(node) == 1 else None

    def before(self, first: fx.Node, second: fx.Node) -> bool:
        """Whether a node comes before another."""
        return bool(first < second)

    def name(self, node: fx.Node) -> str:
        """Where a node is, as a reader would say it."""
        if node.op == "call_module":
            return str(node.target)
        path = list(node.meta.get("nn_module_stack") or {})
        return ".".join(part for part in (*path[-1:], node.name) if part)

    def replace(
        self,
        nodes: Iterable[fx.Node],
        step: Callable[..., Any],
        args: tuple[Any, ...],
        rule: str,
        what: str,
    ) -> fx.Node:
        """Put a step in the place of nodes, each of which is used by the next alone."""
        old = list(nodes)
        last = old[-1]
        with self.graph.inserting_before(last):
            new = self.graph.call_function(step, args)
        new.meta = dict(last.meta)
        origins = [name for node in old for name in self._origins.get(node, (node.name,))]
        self._origins[new] = tuple(dict.fromkeys(origins))
        where = " + ".join(dict.fromkeys(self.name(node) for node in old))
        where = self._where(old, where)
        last.replace_all_uses_with(new)
        for node in reversed(old):
            self.graph.erase_node(node)
        new.meta["where"] = where
        self.marks.append(Mark(where, rule, what, self._origins[new], new.name))
        return new

    def _where(self, old: list[fx.Node], otherwise: str) -> str:
        named = [node.meta.get("where") or self.name(node) for node in old]
        return " + ".join(dict.fromkeys(named)) or otherwise

    def note(self, node: fx.Node, rule: str, what: str) -> None:
        """Say that a step works otherwise by a rule, where no node changes."""
        took = self._origins.get(node, (node.name,))
        self.marks.append(
            Mark(node.meta.get("where") or self.name(node), rule, what, took, node.name)
        )

    def leave(self, node: fx.Node, why: str) -> None:
        """Say that something could not be touched."""
        self.left.append((self.name(node), why))

    def still(self, first: fx.Node, last: fx.Node) -> bool:
        """Whether nothing is written in place from one node to another, but by what joins them.

        Work that moves from the first to the last would see it.
        """
        node, chain = first, {first, last}
        while node is not last:
            users = list(node.users)
            if len(users) != 1:
                return False
            node = users[0]
            chain.add(node)
        node = first.next
        while node is not last:
            if node not in chain and kinds.changes_in_place(self.root, node):
                return False
            node = node.next
        return True

    def quiet(self, first: fx.Node, last: fx.Node) -> bool:
        """Whether nothing between two nodes writes in place."""
        node = first.next
        while node is not last:
            if node.op == "root" or kinds.changes_in_place(self.root, node):
                return False
            node = node.next
        return True

    def owned(self, node: Any) -> bool:
        """Whether a node's result is a tensor that nothing else points into."""
        if kinds.fresh(self.root, node):
            return True
        if not isinstance(node, fx.Node) or not node.args:
            return False
        writes = node.op != "placeholder" and kinds.changes_in_place(self.root, node)
        if not writes or self.only_user(node.args[0]) is not node:  # type: ignore[arg-type]
            return False
        returns = kinds.is_addition(node) or kinds.activation_of(self.root, node) is not None
        return returns and self.owned(node.args[0])
