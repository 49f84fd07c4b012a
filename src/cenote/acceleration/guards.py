"""What a plan rests on: layers, their attributes, hooks. A look at all of it at every call."""

from __future__ import annotations

import copy
from operator import itemgetter
from typing import Any

import torch
from torch import nn

__all__ = ["Watch"]

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
_INTERNAL = frozenset(nn.Module().__dict__)


class Watch:
    """A module as it was; some tenth of a microsecond for each of its attributes to look again."""

    def __init__(self, root: nn.Module) -> None:
        self._states: list[dict[str, Any]] = []
        self._attributes: list[tuple[Any, dict[str, Any], Any]] = []
        self._collections: list[tuple[dict[str, Any], str, Any]] = []
        self._layers: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._kinds: list[tuple[nn.Module, type]] = []
        self._hooks: list[dict[Any, Any]] = []
        self._parameters: list[dict[str, Any]] = []
        self._first: tuple[dict[str, Any], str] | None = None  # the first weight of images
        for module in root.modules():
            if not isinstance(module, torch.jit.ScriptModule):  # called as it is, whatever it is
                self._add(module, module is root)

    def _add(self, module: nn.Module, outermost: bool) -> None:
        held = module.__dict__
        self._states.append(held)
        names = tuple(name for name in held if name not in _INTERNAL)
        self._collections += [
            (held, name, copy.copy(held[name]))
            for name in names
            if type(held[name]) in (list, dict, set)
        ]
        self._kinds.append((module, type(module)))
        self._layers.append((module._modules, dict(module._modules)))
        if module._parameters:
            self._parameters.append(module._parameters)
            for name, value in module._parameters.items():
                if self._first is None and value is not None and value.dim() == 4:
                    self._first = module._parameters, name
        if not outermost:  # the outermost module's own hooks are called around the whole
            self._hooks += [held[name] for name in _HOOKS if not held[name]]
        if names:
            getter = itemgetter(*names)
            self._attributes.append((getter, held, getter(held)))

    def modes(self) -> tuple[bool, ...]:
        """Which modules are in training."""
        return tuple([held["training"] for held in self._states])

    def changed(self) -> bool:
        """Whether something is not as it was."""
        try:
            for getter, held, values in self._attributes:
                if getter(held) != values:
                    return True
            for held, name, old in self._collections:
                if held[name] != old:
                    return True
        except Exception:  # a name is gone, or values cannot be compared
            return True
        for now, layers in self._layers:
            if len(now) != len(layers):
                return True
            for name, layer in layers.items():
                if now.get(name) is not layer:
                    return True
        for module, kind in self._kinds:
            if type(module) is not kind:  # as a parametrization makes it
                return True
        for hooks in self._hooks:
            if hooks:
                return True
        return any("forward" in held for held in self._states)

    def weights_last(self) -> bool:
        """Whether the first weight of images says that channels are last."""
        if self._first is None:
            return False
        weight = self._first[0].get(self._first[1])
        if weight is None:
            return False
        return not weight.is_contiguous() and bool(
            weight.is_contiguous(memory_format=torch.channels_last)
        )

    def wants_gradients(self) -> bool:
        """Whether a parameter does."""
        for parameters in self._parameters:
            for parameter in parameters.values():
                if parameter is not None and parameter.requires_grad:
                    return True
        return False
