"""Exported networks, which have no modules left: their graph still knows where nodes came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

__all__ = ["runner_of"]


class _Named(fx.Interpreter):
    """Runs a graph node by node and tells from which module each node came."""

    def __init__(self, graph: fx.GraphModule, tell: Callable[[str, str], None]) -> None:
        super().__init__(graph)
        self._tell = tell

    def run_node(self, n: fx.Node) -> Any:
        """Tell, then run."""
        stack = n.meta.get("nn_module_stack")
        if stack:
            name, kind = next(reversed(stack.values()))
            self._tell(name, str(kind).rpartition(".")[2])
        return super().run_node(n)


def runner_of(model: nn.Module, tell: Callable[[str, str], None]) -> Callable[..., Any]:
    """What to call instead of ``model``, so that the origin of all that it does is told.

    It is the network itself unless it came out of ``torch.export``.
    """
    if not isinstance(model, fx.GraphModule):
        return model
    if not any("nn_module_stack" in node.meta for node in model.graph.nodes):
        return model

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.fx.traceback.preserve_node_meta(False):
            named = _Named(model, tell)
            return named.run(*args, **kwargs) if not kwargs else model(*args, **kwargs)

    return run
