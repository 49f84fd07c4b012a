"""What stands for a tensor while a forward is followed.

It tells its tracer of questions that it cannot answer: of values always, of sizes unless the tracer
knows them. Where it does, every operation is done once more on tensors that have sizes alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.proxy import Proxy

__all__ = ["Sizes", "StandIn"]

_KNOWN = ("shape", "ndim", "dtype", "device")


class StandIn(Proxy):
    """A stand-in; with sizes it answers like the tensor."""

    def _sized(self) -> Tensor | None:
        found = self.node.meta.get("sized")
        return found if isinstance(found, Tensor) else None

    def __getattr__(self, name: str) -> Any:
        sized = self._sized() if name in _KNOWN else None
        return super().__getattr__(name) if sized is None else getattr(sized, name)

    def _ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        sized = self._sized()
        if sized is not None:
            return getattr(sized, method)(*args, **kwargs)
        return self.tracer.create_proxy("call_method", method, (self, *args), kwargs)

    def size(self, *args: Any, **kwargs: Any) -> Any:
        """As of a tensor."""
        return self._ask("size", *args, **kwargs)

    def dim(self) -> Any:
        """As of a tensor."""
        return self._ask("dim")

    def numel(self) -> Any:
        """As of a tensor."""
        return self._ask("numel")

    def __len__(self) -> int:
        sized = self._sized()
        if sized is not None:
            return len(sized)
        raise self.tracer.refuse("it depends on a length")  # type: ignore[attr-defined]

    def parts(self) -> int | None:
        """Into how many it comes apart; None where that is not known."""
        sized = self.node.meta.get("sized")
        return len(sized) if isinstance(sized, Tensor | tuple | list) else None

    def __index__(self) -> int:
        raise self.tracer.refuse("it depends on a value")  # type: ignore[attr-defined]

    __int__ = __index__

    def __float__(self) -> float:
        raise self.tracer.refuse("it depends on a value")  # type: ignore[attr-defined]


class Sizes:
    """The sizes of everything that a graph makes of given tensors."""

    def __init__(self, root: nn.Module, given: dict[str, Any]) -> None:
        self.root, self.given = root, given
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.at_work = False

    def note(self, node: fx.Node) -> None:
        """Find the sizes of what a new node makes; where that fails they stay unknown."""
        self.at_work = True
        try:
            node.meta["sized"] = self._made_by(node)
        except Exception:
            node.meta["sized"] = None
        finally:
            self.at_work = False

    def _made_by(self, node: fx.Node) -> Any:
        def sized(of: fx.Node) -> Any:
            return of.meta["sized"]

        if node.op == "placeholder":
            value = self.given[str(node.target)]
            return self.mode.from_tensor(value) if isinstance(value, Tensor) else value
        if node.op == "get_attr":
            path, _, name = str(node.target).rpartition(".")
            return getattr(self.root.get_submodule(path), name)
        args = fx.node.map_arg(node.args, sized)
        kwargs = fx.node.map_arg(node.kwargs, sized)
        with self.mode, torch.no_grad():
            if node.op == "call_module":
                return self.root.get_submodule(str(node.target)).forward(*args, **kwargs)
            if node.op == "call_method":
                assert isinstance(args, tuple)
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            assert callable(node.target)
            return node.target(*args, **kwargs)
