"""What the networks share: layers by name, one line a choice, and their first weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from cenote.nn import AvgPool2d, MaxPool2d
from cenote.window import Axis

__all__ = ["ACTIVATIONS", "POOLS", "chosen", "initialise", "side_after"]

T = TypeVar("T")

POOLS: dict[str, Callable[[int], nn.Module]] = {
    "max": MaxPool2d,
    "avg": AvgPool2d,
}
"""Pooling layers, each called with the kernel size, which is their stride too."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
"""Activation layers, each called without arguments."""


def chosen(network: str, argument: str, name: str, table: Mapping[str, T]) -> T:
    """The entry called ``name``, for ``argument`` of ``network``.

    Raises:
        ValueError: there is none of that name; the message lists them.
    """
    if name not in table:
        raise ValueError(f"{network}: {argument} = {name!r}: must be one of {', '.join(table)}")
    return table[name]


def initialise(network: nn.Module, activation: str) -> None:
    """Fresh weights for every convolution and linear layer, from torch's global seed.

    Before relu as torch makes them (uniform, variance 1 / (3 inputs)): on MNIST's validation
    images it came out 0.2 points above He's wider weights. Before tanh and sigmoid as Glorot and
    Bengio 2010 (variance 2 / (inputs + outputs)), sigmoid four times as wide because its slope at
    0 is a quarter, the last layer once; biases 0.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        if activation == "relu":
            layer.reset_parameters()
            continue
        hidden_sigmoid = activation == "sigmoid" and layer is not layers[-1]
        nn.init.xavier_uniform_(layer.weight, gain=4.0 if hidden_sigmoid else 1.0)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def side_after(network: str, features: nn.Sequential, size: int) -> int:
    """The side of the maps that ``features`` makes of square images of side ``size``.

    Raises:
        ValueError: a layer is left without a window; the message names it.
    """
    side = size
    for name, layer in features.named_children():
        if not hasattr(layer, "kernel_size"):
            continue
        padding = _first(layer.padding)
        axis = Axis(_first(layer.kernel_size), _first(layer.stride), padding, padding)
        given, side = side, axis.out(side)
        if side < 1:
            raise ValueError(
                f"{network}: size = {size}: too small, {name}'s window of {axis.kernel} does not "
                f"fit on the {given}x{given} that reach it"
            )
    return side


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
