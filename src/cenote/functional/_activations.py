"""Activations by name, and which of them may change places with a maximum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Activation", "activation_of"]

Function = Callable[[Tensor], Tensor]

# A function that never decreases: the greatest of its values is its value of the greatest.
_RISING: dict[str, Function] = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "logsigmoid": F.logsigmoid,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "tanh": torch.tanh,
}
_OTHERS: dict[str, Function] = {
    "gelu": F.gelu,
    "hardswish": F.hardswish,
    "mish": F.mish,
    "silu": F.silu,
}
_SAME: dict[Any, str] = {
    F.relu: "relu",
    F.sigmoid: "sigmoid",
    F.tanh: "tanh",
    **{function: name for name, function in _RISING.items()},
}


class Activation:
    """A function of single elements, and whether it never decreases."""

    def __init__(self, function: Function, rising: bool) -> None:
        self.function, self.rising = function, rising


def activation_of(op: str, given: Any) -> Activation:
    """The activation that is called so, or that a callable is.

    Of a callable nothing is known, unless it is one of torch's: it keeps its place.

    Raises:
        TypeError: neither a word, None nor callable.
        ValueError: a word that is none of those known.
    """
    if given is None:
        return Activation(_RISING["identity"], True)
    if callable(given):
        return Activation(given, given in _SAME)
    if not isinstance(given, str):
        raise TypeError(
            f"{op}: activation = {given!r}: must be a word or callable, not {type(given).__name__}"
        )
    known = _RISING | _OTHERS
    if given not in known:
        words = ", ".join(sorted(known))
        raise ValueError(f"{op}: activation = {given!r}: must be one of {words}, or callable")
    return Activation(known[given], given in _RISING)
