"""A convolution with what follows it: a norm folded in, an activation, a sum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cenote import _separable, _winograd, functional
from cenote import nn as ours
from cenote.acceleration.kinds import Activation, cut_of, cuts
from cenote.acceleration.sketch import Sketch, Step
from cenote.acceleration.steps.held import state_of, usable

__all__ = ["KINDS", "Convolution", "Held", "convolution_of", "packs"]

KINDS: tuple[type, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d, ours.Conv1d, ours.Conv2d, ours.Conv3d)
_CALLS: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_OURS: dict[int, Any] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


_SHAPES = 4  # of inputs for which a weight is kept in oneDNN's order
_FEW = 256 << 10  # bytes of weights that are read again for every row of a map


def packs() -> bool:
    """Whether torch has oneDNN's convolutions with something behind them."""
    return torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_convolution_pointwise"
    )


@dataclass
class Held:
    """Parameters as they are used, and of which state of the layers' they were made.

    ``packed`` in oneDNN's order for a shape of input, ``tiles`` transformed for tiles of an edge,
    ``panels`` for this package's kernels; each when it is first needed. Not ``finite``: none of
    them is used, for a NaN would be lost or spread.
    """

    state: tuple[Any, ...]
    weight: Tensor
    bias: Tensor | None
    finite: bool
    packed: dict[torch.Size, Tensor] = field(default_factory=dict)
    tiles: dict[int, Tensor] = field(default_factory=dict)
    panels: _separable.Packed | None = None


class Convolution(Step):
    """A convolution by its layer, and what was joined to it.

    ``norm`` is folded into the weights; ``activation`` follows; with a second argument that is
    added before it. ``last``: maps have their channels last, and oneDNN does all of it at once.
    """

    fresh = True

    def __init__(self, layer: Any, rank: int, *, last: bool, converts: bool) -> None:
        super().__init__()
        self.layer, self.rank, self.last, self.converts = layer, rank, last, converts
        self.ours = False  # carried out by this package where its kernels serve
        self.padding: tuple[int, ...] | None = None  # where more than the layer's was joined to it
        self.norm: Any = None
        self.activation: Activation | None = None
        self.adds = False
        self.at_once = False  # oneDNN does what follows
        self.writes = False  # into what is added
        self.tiles = False  # by Winograd's tiles, where they take less
        self.asked = False  # for gradients
        self._held: Held | None = None

    @property
    def finite(self) -> bool:
        """Whether NaN may get lost on the way."""
        return (self.at_once or self.tiles) and not self.asked

    def forget(self) -> None:
        """Drop what was computed from parameters."""
        self._held = None

    def numbers(self) -> tuple[Any, ...]:
        """Stride, padding, dilation and groups."""
        layer = self.layer
        padding = layer.padding if self.padding is None else self.padding
        return layer.stride, padding, layer.dilation, layer.groups

    def __call__(
        self, x: Tensor, other: Tensor | None = None, room: Tensor | None = None, at: int = 0
    ) -> Tensor:
        """What the layers make of ``x``, and of ``other`` added to it.

        In ``room``, from channel ``at`` on, where that spares a copy.
        """
        held = self.current(x)
        if self.last and self.converts and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        if held is None:
            return self.plainly(x, other)
        if held.finite and (other is None or self._fits(x, other)):
            to = None if room is None else room[:, at : at + self.layer.out_channels]
            if self.tiles and not self.why_no_tiles(x):
                return self._by_tiles(x, other, held, to)
            if to is not None and other is None and self.of_pixels():
                return _separable.pointwise(x, self.panels(held), to=to)
            if self.at_once:
                return self._packed(x, other, held)
        return self._finish(self._convolve(x, held.weight, held.bias), other)

    def plainly(self, x: Tensor, other: Tensor | None) -> Tensor:
        """The same by the layers themselves."""
        if self.asked and self.tiles and self._takes_tiles(x):
            padding = self.numbers()[1]
            y = _winograd.conv2d(x, self.layer.weight, self.layer.bias, padding)
        else:
            y = self._convolve(x, self.layer.weight, self.layer.bias)
        if self.norm is not None:
            y = self.norm(y)
        return self._finish(y, other)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        call = (_OURS if self.ours else _CALLS)[self.rank]
        if self.asked and weight.shape[2:] == (1, 1):
            # gradients of 1x1 weights then have the strides of rows, on which others rely
            weight = weight.flatten(1)[..., None, None]
        y: Tensor = call(x, weight, bias, *self.numbers())
        return y

    def _finish(self, y: Tensor, other: Tensor | None) -> Tensor:
        if other is not None:
            y = y + other
        return y if self.activation is None else self.activation(y)

    def _parameters(self) -> list[Tensor | None]:
        found = [self.layer.weight, self.layer.bias]
        if self.norm is not None:
            norm = self.norm
            found += [norm.weight, norm.bias, norm.running_mean, norm.running_var]
        return found

    def current(self, x: Tensor) -> Held | None:
        """What was computed from the parameters as they are now; None where nothing is to be."""
        if self.asked or not (self.norm is not None or self.at_once or self.tiles):
            return None
        if not usable(x, self.rank + 2):
            return None
        if self.rank == 2 and not (self.converts or _last(x)):
            return None
        return self.held()

    def held(self) -> Held | None:
        """The same for any input; None where the parameters cannot be watched."""
        state = state_of(self._parameters())
        if state is None:
            return None
        held = self._held
        if held is None or held.state != state:
            held = self._held = self._make(state)
        return held

    def weights(self, x: Tensor) -> tuple[Tensor, Tensor | None] | None:
        """Weight and bias with what was folded into them; None where that is not for ``x``."""
        if self.norm is None:
            return self.layer.weight, self.layer.bias
        held = self.current(x)
        return None if held is None else (held.weight, held.bias)

    def _make(self, state: tuple[Any, ...]) -> Held:
        with torch.no_grad():
            weight, bias = self.folded()
            return Held(state, weight, bias, _finite(weight, bias))

    def why_no_tiles(self, x: Tensor) -> str:
        """Why an input is not convolved by tiles; "" where it is."""
        return _winograd.why_not(tuple(x.shape), tuple(self.layer.weight.shape), *self.numbers())

    def _takes_tiles(self, x: Tensor) -> bool:
        """Whether tiles are faster for an input and a weight as they are, gradients with them."""
        weight = self.layer.weight
        if not usable(x) or not usable(weight) or self.why_no_tiles(x):
            return False
        return _last(x)

    def of_pixels(self) -> bool:
        """Whether it is one of single pixels, with nothing behind it but what cuts off."""
        stride, padding, _, groups = self.numbers()
        alone = self.layer.weight.shape[2:] == (1, 1) and groups == 1
        return alone and all(n == 1 for n in stride) and not any(padding) and cuts(self.activation)

    def in_strips(self) -> bool:
        """Whether it may go row by row with others: its weights stay in a cache beside the rows."""
        small = self.of_pixels() or (self.layer.weight.nbytes <= _FEW and not self.tiles)
        return small and self.layer.groups == 1 and self._dense()

    def of_channels(self) -> bool:
        """Whether it is one of single channels, with nothing behind it but what cuts off."""
        weight = self.layer.weight
        return weight.shape[1] == 1 and self.layer.groups == len(weight) > 1 and self._dense()

    def _dense(self) -> bool:
        """Whether windows have no gaps and an element at least, and what is behind cuts off."""
        _, padding, dilation, _ = self.numbers()
        inside = all(p < k for p, k in zip(padding, self.layer.weight.shape[2:], strict=True))
        return inside and all(n == 1 for n in dilation) and cuts(self.activation)

    def panels(self, held: Held) -> _separable.Packed:
        """Its weights for this package's kernels of single pixels or channels."""
        if held.panels is None:
            pack = _separable.pack_pointwise if self.layer.groups == 1 else _separable.pack_channels
            held.panels = pack(held.weight, held.bias, cut_of(self.activation))
        return held.panels

    def _by_tiles(self, x: Tensor, other: Tensor | None, held: Held, to: Tensor | None) -> Tensor:
        padding, shape = self.numbers()[1], tuple(self.layer.weight.shape)
        edge = _winograd.edge_for(shape[2], self.out_shape(x)[2:])
        packed = held.tiles.get(edge)
        if packed is None:
            with torch.no_grad():
                packed = held.tiles[edge] = _winograd.filters(held.weight, edge)
        relu = self.activation is not None and self.activation.name == "relu"
        y = _winograd.convolve(x, packed, shape, held.bias, padding, other, relu, to)
        return y if relu or self.activation is None else self.activation(y)

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias with the norm in them, rounded once."""
        weight, bias = self.layer.weight.detach(), self.layer.bias
        bias = None if bias is None else bias.detach()
        norm = self.norm
        if norm is None:
            return weight, bias
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        moved = -norm.running_mean.double() if bias is None else bias - norm.running_mean.double()
        moved = moved * scale
        if norm.bias is not None:
            moved = moved + norm.bias.double()
        each = scale.view(-1, *[1] * (weight.dim() - 1))
        return (weight * each).to(weight.dtype), moved.to(weight.dtype)

    def out_shape(self, x: Tensor) -> tuple[int, ...]:
        """The shape of what is made of ``x``."""
        weight = self.layer.weight
        sizes = [
            (n + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for n, kernel, stride, pad, dilation in zip(
                x.shape[2:], weight.shape[2:], *self.numbers()[:3], strict=True
            )
        ]
        return (x.shape[0], weight.shape[0], *sizes)

    def _fits(self, x: Tensor, other: Tensor) -> bool:
        """Whether ``other`` is added element by element."""
        return usable(other) and tuple(other.shape) == self.out_shape(x)

    def _packed(self, x: Tensor, other: Tensor | None, held: Held) -> Tensor:
        stride, padding, dilation, groups = self.numbers()
        packed = held.packed.get(x.shape)
        if packed is None and len(held.packed) < _SHAPES:
            packed = held.packed[x.shape] = torch.ops.mkldnn._reorder_convolution_weight(
                held.weight, padding, stride, dilation, groups, list(x.shape)
            )
        if packed is None:  # the order for another shape serves as well, if not as fast
            packed = next(iter(held.packed.values()))
        name: str = "none"
        numbers: tuple[float, ...] = ()
        way: str | None = None
        if self.activation is not None and self.activation.fused is not None:
            name, numbers, way = self.activation.fused
        common = (packed, held.bias, padding, stride, dilation, groups)
        made: Tensor
        if other is None:
            call = torch.ops.mkldnn._convolution_pointwise
            made = call(x, *common, name, list(numbers), way)
            return made
        then = (*common, "add", 1.0, None if name == "none" else name, list(numbers), way)
        if self.writes and _last(other):
            made = torch.ops.mkldnn._convolution_pointwise_.binary(other, x, *then)
        else:
            other = other.contiguous(memory_format=torch.channels_last)
            made = torch.ops.mkldnn._convolution_pointwise.binary(x, other, *then)
        return made


def _finite(weight: Tensor, bias: Tensor | None) -> bool:
    """Whether nothing is NaN or infinite: oneDNN's ReLU would make a zero of what follows."""
    both = weight.sum() if bias is None else weight.sum() + bias.sum()
    return bool(both.isfinite())


def _last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def convolution_of(sketch: Sketch, node: Any) -> Convolution | None:
    """The convolution that a node is, as a step; with padding that is zeros and numbers."""
    if not isinstance(node, fx.Node):
        return None
    if isinstance(node.target, Convolution):
        return node.target
    layer = sketch.layer(node, *KINDS)
    if layer is None or getattr(layer, "flip", False):
        return None
    if layer.padding_mode != "zeros" or not all(isinstance(n, int) for n in _every(layer.padding)):
        return None
    rank = layer.weight.dim() - 2
    last = sketch.last and rank == 2
    return Convolution(layer, rank, last=last, converts=not sketch.given)


def _every(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
