"""What every layer of a network does to one batch: shapes, parameters, outputs, receptive fields.

Layers are met in the order in which data flows through them, by hooks on one forward pass. The
fields are those of a chain, which is what the classic networks are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from cenote.field import IDENTITY, Field
from cenote.window import Axis, Window

__all__ = ["Layer", "watch", "window_of"]


@dataclass(frozen=True)
class Layer:
    """One layer in one forward pass.

    ``output`` is (N, ...); ``window`` is None where the layer has none; ``fields`` are one an axis,
    and None from the first layer on that mixes all positions.
    """

    name: str
    module: torch.nn.Module
    output: torch.Tensor
    window: Window | None
    fields: tuple[Field, ...] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the output of one image."""
        return tuple(self.output.shape[1:])

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def title(self) -> str:
        """What it is, in words: ``conv 5x5, padding 2``, ``max pool 2x2, stride 2``."""
        kind = _kind(self.module)
        if self.window is not None:
            return f"{kind} {self.window}"
        if isinstance(self.module, torch.nn.Linear):
            return f"{kind} {self.module.in_features} to {self.module.out_features}"
        return kind


_TITLES: dict[type, str] = {
    torch.nn.Conv2d: "conv",
    torch.nn.MaxPool2d: "max pool",
    torch.nn.AvgPool2d: "avg pool",
    torch.nn.Linear: "dense",
    torch.nn.ReLU: "ReLU",
    torch.nn.Dropout: "dropout",
}
_SPATIAL = (torch.nn.Conv2d, torch.nn.MaxPool2d, torch.nn.AvgPool2d)
_MIXES_ALL = (torch.nn.Flatten, torch.nn.Linear, torch.nn.AdaptiveAvgPool2d)


def watch(model: torch.nn.Module, images: torch.Tensor) -> list[Layer]:
    """The layers of ``model``, in the order of data flow, at work on ``images`` (N, C, H, W)."""
    layers: list[Layer] = []
    fields: tuple[Field, ...] | None = (IDENTITY,) * (images.dim() - 2)

    def note(name: str, module: torch.nn.Module, args: Any, output: torch.Tensor) -> None:
        nonlocal fields
        window = window_of(module)
        if isinstance(module, _MIXES_ALL):
            fields = None
        elif window is not None and fields is not None:
            window = window.at(args[0].shape[2:])
            fields = tuple(f >> g for f, g in zip(fields, window.field, strict=True))
        layers.append(Layer(name, module, output.detach(), window, fields))

    handles = [
        module.register_forward_hook(lambda m, a, o, name=name: note(name, m, a, o))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(images)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return layers


def window_of(module: torch.nn.Module) -> Window | None:
    """The window that a 2-D convolution or pooling slides; None for everything else."""
    if not isinstance(module, _SPATIAL):
        return None
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    dilation = _pair(getattr(module, "dilation", 1))
    ceil = bool(getattr(module, "ceil_mode", False))
    if module.padding == "same":
        triples = zip(kernel, stride, dilation, strict=True)
        return Window(Axis.same(k, s, d) for k, s, d in triples)
    padding = _pair(0 if module.padding == "valid" else module.padding)
    ends = [(p, p) if isinstance(p, int) else p for p in padding]
    return Window(
        Axis(k, s, before, after, d, ceil)
        for k, s, (before, after), d in zip(kernel, stride, ends, dilation, strict=True)
    )


def _pair(value: Any) -> tuple[Any, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _kind(module: torch.nn.Module) -> str:
    """What ``module`` is called; cenote's layers go by the names of torch's, their parents."""
    names = (_TITLES[kind] for kind in type(module).__mro__ if kind in _TITLES)
    return next(names, type(module).__name__.lower())
