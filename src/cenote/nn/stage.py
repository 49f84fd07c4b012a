"""Convolution, activation and pooling that follow each other, carried out as one."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cenote import _args, functional
from cenote.nn import convolution as ours
from cenote.nn import sliding
from cenote.nn._watching import untouched, watched
from cenote.window import Window

__all__ = ["Stage", "Stages"]

_CONVOLUTIONS: dict[type, int] = {
    nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3,
    ours.Conv1d: 1, ours.Conv2d: 2, ours.Conv3d: 3,
}  # fmt: skip
_ACTIVATIONS: dict[type, str | None] = {
    nn.Hardsigmoid: "hardsigmoid",
    nn.Identity: None,
    nn.LogSigmoid: "logsigmoid",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.SELU: "selu",
    nn.Sigmoid: "sigmoid",
    nn.Softsign: "softsign",
    nn.Tanh: "tanh",
}
_POOLS: dict[type, str] = {
    nn.MaxPool1d: "max", nn.MaxPool2d: "max", nn.MaxPool3d: "max",
    sliding.MaxPool1d: "max", sliding.MaxPool2d: "max", sliding.MaxPool3d: "max",
    sliding.MinPool1d: "min", sliding.MinPool2d: "min", sliding.MinPool3d: "min",
    nn.AvgPool1d: "avg", nn.AvgPool2d: "avg", nn.AvgPool3d: "avg",
    sliding.AvgPool1d: "avg", sliding.AvgPool2d: "avg", sliding.AvgPool3d: "avg",
}  # fmt: skip
"""Exactly these types: of what inherits from them nothing is known."""


def _why_one_by_one(conv: nn.Module, activation: nn.Module, pool: nn.Module) -> str:
    """Why three layers are not carried out as one; "" where they are."""
    if type(conv) not in _CONVOLUTIONS:
        return f"{type(conv).__name__} is no plain convolution"
    if type(activation) not in _ACTIVATIONS:
        return f"{type(activation).__name__} is no activation with a name"
    if type(pool) not in _POOLS:
        return f"{type(pool).__name__} is no pooling by max, min or avg"
    if not all(map(untouched, (conv, activation, pool))):
        return "somebody looks at a layer's call"
    if conv.padding_mode != "zeros" or getattr(conv, "flip", False):
        return "padding that is not zeros, or a turned kernel"
    if getattr(pool, "return_indices", False):
        return "the pooling returns indices"
    if getattr(pool, "padding_mode", "identity") != "identity":
        return "a pooling with a padding mode"
    if _POOLS[type(pool)] == "avg" and (
        getattr(pool, "divisor_override", None) is not None or pool.ceil_mode or _any(pool.padding)
    ):
        return "an average with a divisor of its own"
    return ""


def _any(padding: Any) -> bool:
    return padding not in (0, (0,), (0, 0), (0, 0, 0))


def _windows(conv: Any, pool: Any) -> tuple[Window, Window]:
    rank = _CONVOLUTIONS[type(conv)]
    first = _args.conv_window(
        type(conv).__name__, rank, conv.kernel_size, conv.stride, conv.padding, conv.dilation
    )
    second = _args.pool_window(
        type(pool).__name__, rank, pool.kernel_size, pool.stride, pool.padding,
        getattr(pool, "dilation", 1), pool.ceil_mode,
    )  # fmt: skip
    return first, second


def _run(conv: Any, activation: nn.Module, pool: nn.Module, x: Tensor) -> Tensor:
    first, second = _windows(conv, pool)
    return functional.stage(
        x, conv.weight, conv.bias, conv=first, groups=conv.groups,
        activation=_ACTIVATIONS[type(activation)], pool=second, reduce=_POOLS[type(pool)],
    )  # fmt: skip


class Stage(nn.Module):
    """A convolution, an activation and a pooling, as one operation; see :func:`cenote.stage`.

    ``(N, C, *n) -> (N, O, *out)`` in one to three axes. The three layers stay what they are, with
    their names in the state dict and whatever is set on them afterwards; where one of them is none
    that a stage knows, or somebody hooks into it, they are called one after the other, to the same
    result within rounding. :meth:`why_not` says why.

    Args:
        conv: a convolution of torch's or of this package.
        activation: a module; ReLU, Tanh, Sigmoid and others without arguments are known.
        pool: a pooling by max, min or avg.

    Raises:
        TypeError: a layer that is no module.

    >>> from cenote.nn import Conv2d, MaxPool2d
    >>> stage = Stage(Conv2d(1, 6, 5, padding=2), torch.nn.ReLU(), MaxPool2d(2))
    >>> stage(torch.zeros(2, 1, 28, 28)).shape, stage.why_not()
    (torch.Size([2, 6, 14, 14]), '')
    """

    def __init__(self, conv: nn.Module, activation: nn.Module, pool: nn.Module) -> None:
        super().__init__()
        for name, layer in (("conv", conv), ("activation", activation), ("pool", pool)):
            if not isinstance(layer, nn.Module):
                kind = type(layer).__name__
                raise TypeError(f"Stage: {name} = {layer!r}: must be a module, not {kind}")
        self.conv, self.activation, self.pool = conv, activation, pool

    def why_not(self) -> str:
        """Why the layers are called one by one; "" where they are one operation."""
        return _why_one_by_one(self.conv, self.activation, self.pool)

    def forward(self, input: Tensor) -> Tensor:
        """What the three layers make of ``input``."""
        if watched() or self.why_not():
            out: Tensor = self.pool(self.activation(self.conv(input)))
            return out
        return _run(self.conv, self.activation, self.pool, input)


class Stages(nn.Sequential):
    """A ``torch.nn.Sequential`` that makes a stage of each convolution, activation and pooling.

    Three layers that follow each other are carried out as :class:`Stage` does; all others are
    called as they are. Names, hooks, slices and the state dict are those of the sequence.

    >>> from cenote.nn import Conv2d, MaxPool2d
    >>> layers = Stages(Conv2d(1, 6, 5), torch.nn.ReLU(), MaxPool2d(2), torch.nn.Flatten())
    >>> layers(torch.zeros(2, 1, 28, 28)).shape, layers.why_not(0)
    (torch.Size([2, 864]), '')
    """

    one_by_one = nn.Sequential.forward

    def why_not(self, first: int) -> str:
        """Why the three layers from ``first`` on are called one by one; "" where they are not."""
        layers = list(self)[first : first + 3]
        return _why_one_by_one(*layers) if len(layers) == 3 else "fewer than three layers"

    def forward(self, input: Tensor) -> Tensor:
        """What the layers make of ``input``."""
        layers, x, at = list(self), input, 0
        separate = watched()
        while at < len(layers):
            conv = layers[at]
            three = layers[at : at + 3]
            fits = not separate and type(conv) in _CONVOLUTIONS and len(three) == 3
            if fits and not _why_one_by_one(*three):
                x, at = _run(conv, three[1], three[2], x), at + 3
                continue
            x, at = conv(x), at + 1
        return x
