"""Whether somebody looks at layers at work, so that each has to be called by itself."""

from __future__ import annotations

import torch
from torch.nn.modules import module as hooks

__all__ = ["untouched", "watched"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def untouched(layer: torch.nn.Module) -> bool:
    """Whether nobody looks at a layer's call or has put another in its place."""
    return "forward" not in layer.__dict__ and not any(getattr(layer, name) for name in _HOOKS)


def watched() -> bool:
    """Whether layers are called one by one: there are hooks on all, or somebody draws a graph."""
    every = getattr(hooks, "_has_any_global_hook", None)
    return torch.compiler.is_compiling() or every is None or every()
