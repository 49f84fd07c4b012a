"""The same network with a blur in front of every stride of a max pooling."""

from __future__ import annotations

import copy
from typing import Any

import torch

from cenote import _args, nn
from cenote.window import Axis

__all__ = ["with_blur"]

_BLURRED: dict[type, Any] = {
    torch.nn.MaxPool1d: nn.MaxBlurPool1d,
    torch.nn.MaxPool2d: nn.MaxBlurPool2d,
    torch.nn.MaxPool3d: nn.MaxBlurPool3d,
    nn.MaxPool1d: nn.MaxBlurPool1d,
    nn.MaxPool2d: nn.MaxBlurPool2d,
    nn.MaxPool3d: nn.MaxBlurPool3d,
}
"""Exactly these types: of what inherits from them nothing is known."""


def with_blur(
    model: torch.nn.Module, *, filter_size: int = 3, padding_mode: str = "reflect"
) -> torch.nn.Module:
    """A copy of ``model`` whose max poolings with a stride are :class:`cenote.nn.MaxBlurPool2d`.

    A maximum over the same windows, one element apart, then a binomial filter with the stride: all
    shapes stay, and so do the weights, which the copy does not share. A network was trained for
    the pooling that it had, so train the copy before you judge it by its accuracy (Zhang, Making
    Convolutional Networks Shift-Invariant Again, 2019). Poolings whose stride is 1 stay as they
    are; where one axis alone has a stride, the other is blurred too.

    Args:
        model: the network; it is not changed.
        filter_size: the filter's taps, 2 to 7.
        padding_mode: what the filter sees outside a map; ``"replicate"`` also for maps of one
            element.

    Raises:
        ValueError: there is no such pooling, or one has a dilation, a padding mode, or returns
            indices; the message names it.

    >>> network = torch.nn.Sequential(torch.nn.MaxPool2d(3, 2, padding=1))
    >>> with_blur(network)[0](torch.zeros(1, 8, 14, 15)).shape
    torch.Size([1, 8, 7, 8])
    """
    found = copy.deepcopy(model)
    chosen = {"filter_size": filter_size, "padding_mode": padding_mode}
    blurred: dict[int, torch.nn.Module] = {}
    for name, module in found.named_modules():
        if type(module) in _BLURRED and max(_strides(module)) > 1:
            blurred[id(module)] = _blurred(name, module, chosen)
    if not blurred:
        kind = type(model).__name__
        raise ValueError(
            f"with_blur: model: {kind} has no max pooling module with a stride above 1"
        )
    for module in list(found.modules()):
        for name, child in module._modules.items():  # named_children leaves out those shared
            if id(child) in blurred:
                module._modules[name] = blurred[id(child)]
    return blurred.get(id(found), found)


def _strides(pool: Any) -> tuple[int, ...]:
    stride = pool.kernel_size if pool.stride is None else pool.stride
    return _args.integers(type(pool).__name__, "stride", stride, _BLURRED[type(pool)].rank)


def _blurred(name: str, pool: Any, chosen: dict[str, Any]) -> torch.nn.Module:
    """A pooling of the same output shapes, ceil mode included."""
    refused = {
        "dilation": any(d != 1 for d in torch.tensor(pool.dilation).flatten().tolist()),
        "return_indices": pool.return_indices,
        "padding_mode": getattr(pool, "padding_mode", "identity") != "identity",
    }
    for argument in (argument for argument, is_set in refused.items() if is_set):
        value = getattr(pool, argument)
        raise ValueError(f"with_blur: {name}: {argument} = {value!r}: a blurred pooling has none")
    kind = _BLURRED[type(pool)]
    window = _args.pool_window(
        type(pool).__name__, kind.rank, pool.kernel_size, pool.stride, pool.padding, 1,
        pool.ceil_mode,
    )  # fmt: skip
    padding = pool.padding if pool.padding == "same" else [_padding(axis) for axis in window]
    made: torch.nn.Module = kind(
        [axis.kernel for axis in window],
        [axis.stride for axis in window],
        padding=padding,
        **chosen,
    )
    return made.train(pool.training)


def _padding(axis: Axis) -> tuple[int, int]:
    """The padding with which windows one element apart, every ``stride``-th of them, are as many.

    Without ceil mode that is the same padding: ``ceil(m / stride)`` of ``m`` windows are left. In
    ceil mode the last one may overhang, by less than a stride, and never by all of its elements.
    """
    before, after = axis.padding
    if axis.ceil:
        after = min(after + axis.stride - 1, axis.extent - 1)
    return before, after
