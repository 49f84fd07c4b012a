"""A network's parameters replaced by ones without numbers, and everything put back afterwards."""

from __future__ import annotations

import contextlib
import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

__all__ = ["Saved", "on_meta", "without_numbers"]

_Unsized: Any = UninitializedParameter  # torch's annotations know other arguments
_UnsizedBuffer: Any = UninitializedBuffer
_CONTAINERS = (dict, OrderedDict, list, set)


def on_meta(value: Any) -> Any:
    """A tensor's like without numbers; whatever lies in lists, tuples and dictionaries too."""
    if isinstance(value, Tensor):
        return value.detach().to("meta")
    if isinstance(value, dict):
        return {key: on_meta(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [on_meta(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


@contextlib.contextmanager
def without_numbers(model: nn.Module, wrap: Callable[[nn.Module, Any], Any]) -> Iterator[None]:
    """Give ``model`` parameters and buffers without numbers, and ``wrap`` around its forwards.

    ``wrap(module, forward)`` makes what is called for a module's ``forward``. Afterwards all
    modules have the attributes, and the lists, dictionaries and sets among these the contents, that
    they had: what a forward pass remembers, what lazy modules become, the numbers of batches seen.
    Random numbers go on as if none had been drawn.
    """
    saved = [Saved(module) for module in model.modules()]
    swapped: dict[int, Tensor] = {}
    state = torch.get_rng_state()
    try:
        for module in [entry.module for entry in saved]:
            _swap(module, swapped)
            forward = getattr(module, "_orig_mod", module.forward)  # what was compiled, as written
            module.__dict__["forward"] = wrap(module, forward)
            module.__dict__["_compiled_call_impl"] = None
        yield
    finally:
        for entry in saved:
            entry.restore()
        torch.set_rng_state(state)


class Saved:
    """A module as it was."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.kind = module, type(module)
        self.attributes = dict(module.__dict__)
        self.contents = [
            (value, copy.copy(value))
            for value in self.attributes.values()
            if type(value) in _CONTAINERS
        ]

    def restore(self) -> None:
        """Put everything back."""
        self.module.__class__ = self.kind
        self.module.__dict__.clear()
        self.module.__dict__.update(self.attributes)
        for value, before in self.contents:
            if type(value) is list:
                value[:] = before
            else:
                value.clear()
                value.update(before)


def _swap(module: nn.Module, swapped: dict[int, Tensor]) -> None:
    """Replace what ``module`` itself holds; what is shared stays shared."""
    for tensors, like in ((module._parameters, _parameter), (module._buffers, _buffer)):
        for name, tensor in tensors.items():
            if tensor is not None:
                if id(tensor) not in swapped:
                    swapped[id(tensor)] = like(tensor)
                tensors[name] = swapped[id(tensor)]  # type: ignore[assignment]
    if isinstance(module, nn.RNNBase):
        module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]


def _parameter(parameter: Any) -> Any:
    if isinstance(parameter, UninitializedParameter):
        return _Unsized(parameter.requires_grad, "meta", parameter.dtype)
    bare = torch.empty_like(parameter.detach(), device="meta")
    return nn.Parameter(bare, requires_grad=parameter.requires_grad)


def _buffer(buffer: Any) -> Any:
    if isinstance(buffer, UninitializedBuffer):
        return _UnsizedBuffer(buffer.requires_grad, "meta", buffer.dtype)
    # Counters and flags are asked for their value: they keep it, and no network shape needs more.
    return (
        buffer.detach().clone() if buffer.numel() == 1 else torch.empty_like(buffer, device="meta")
    )
