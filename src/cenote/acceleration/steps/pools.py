"""Pooling by this package's kernels, with the arguments of torch's layers and functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx, nn

from cenote import functional
from cenote import nn as ours
from cenote.acceleration.sketch import Sketch, Step

__all__ = ["KINDS", "Pool", "input_of", "pool_of", "with_arguments"]

_SELECT = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVERAGE = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad",
            "divisor_override")  # fmt: skip
_DEFAULTS: dict[str, Any] = {
    "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False,
    "count_include_pad": True, "divisor_override": None,
}  # fmt: skip


class Pool(Step):
    """A pooling; ``layer`` has its arguments as attributes, which are read at every call."""

    fresh = True

    def __init__(
        self, reduce: str, rank: int, layer: Any, names: tuple[str, ...], torchs: bool
    ) -> None:
        super().__init__()
        self.reduce, self.rank, self.layer, self.names = reduce, rank, layer, names
        home: Any = F if torchs else functional
        self.function: Callable[..., Any] = getattr(home, f"{reduce}_pool{rank}d")

    def __call__(self, x: Tensor) -> Any:
        """The pooled ``x``."""
        return self.function(x, *(getattr(self.layer, name) for name in self.names))

    def get(self, name: str) -> Any:
        """An argument, or its default where this kind does not have it."""
        return getattr(self.layer, name, _DEFAULTS.get(name))

    def every(self, name: str) -> tuple[int, ...]:
        """An argument as a number for each axis."""
        value = self.get(name)
        if name == "stride" and value in (None, ()):
            value = self.get("kernel_size")
        return (value,) * self.rank if isinstance(value, int) else tuple(value)


class _Arguments:
    """The arguments of a call, as a layer would have them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


KINDS: dict[type, tuple[str, int]] = {}
for _rank in (1, 2, 3):
    for _home in (nn, ours):
        KINDS[getattr(_home, f"MaxPool{_rank}d")] = ("max", _rank)
        KINDS[getattr(_home, f"AvgPool{_rank}d")] = ("avg", _rank)
_FUNCTIONS: dict[Any, tuple[str, int]] = {
    getattr(F, f"{reduce}_pool{rank}d"): (reduce, rank)
    for reduce in ("max", "avg")
    for rank in (1, 2, 3)
}


def _names(reduce: str, rank: int) -> tuple[str, ...]:
    if reduce == "max":
        return _SELECT
    return _AVERAGE[:-1] if rank == 1 else _AVERAGE


def pool_of(sketch: Sketch, node: Any) -> Pool | None:
    """The pooling by maximum or average that a node is, as a step."""
    if not isinstance(node, fx.Node):
        return None
    torchs = not sketch.switches.on("pooling")
    if isinstance(node.target, Pool):
        return node.target
    layer = sketch.layer(node, *KINDS)
    if layer is not None:
        reduce, rank = next(KINDS[kind] for kind in type(layer).__mro__ if kind in KINDS)
        if getattr(layer, "padding_mode", "identity") != "identity":
            return None
        return Pool(reduce, rank, layer, _names(reduce, rank), torchs)
    if node.op != "call_function" or node.target not in _FUNCTIONS:
        return None
    return _of_call(node, torchs)


def _of_call(node: fx.Node, torchs: bool) -> Pool | None:
    reduce, rank = _FUNCTIONS[node.target]
    names = _names(reduce, rank)
    given = dict(zip(("input", *names), node.args, strict=False)) | node.kwargs
    x = given.pop("input", None)
    values = {name: given.get(name, _DEFAULTS.get(name)) for name in names}
    odd = set(given) - set(names) or any(isinstance(v, fx.Node) for v in _flat(values.values()))
    if odd or not isinstance(x, fx.Node) or values["kernel_size"] is None:
        return None
    if len(node.args) > 1 + len(names):
        return None
    return Pool(reduce, rank, _Arguments(values), names, torchs)


def _flat(values: Any) -> Any:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def input_of(node: fx.Node) -> Any:
    """The tensor that a pooling's node is given."""
    return node.args[0] if node.args else node.kwargs["input"]


def with_arguments(pool: Pool, **changed: Any) -> Pool:
    """The same pooling with other arguments; the rest as they are now."""
    values = {name: pool.get(name) for name in pool.names} | changed
    return Pool(pool.reduce, pool.rank, _Arguments(values), pool.names, False)
