"""Convolution, activation and pooling a few images at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from cenote import _kernels, options
from cenote._ops import images
from cenote._ops.convolution import Call, convolve, gradients, no_kernel
from cenote._ops.eager import differentiable, eager_only
from cenote._ops.images import plain_gradients, pooled_sizes
from cenote._ops.linear import linear
from cenote._ops.planned import SUMS
from cenote._ops.registry import sizes_of
from cenote._ops.select import select
from cenote.window import Window

__all__ = ["stage"]

_RELU = (torch.relu, torch.nn.functional.relu)
# Multiply-accumulates, with those of lanes that hold no image: some 130 us, where tiles take twice
# that for what their calls cost.
_LITTLE = 4_000_000
_TILE = 8 << 20  # bytes of what lies between that are made at a time: they stay in a cache


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """What is the same for all tiles of a call."""

    conv: Window
    groups: int
    activation: Callable[[Tensor], Tensor]
    pool: Window
    reduce: str

    def between(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What the convolution makes."""
        return convolve("stage", x, weight, bias, self.conv, self.groups)

    def pooled(self, y: Tensor) -> Tensor:
        """What the pooling makes of that."""
        if self.reduce in ("max", "min"):
            values = select(y, self.pool, self.reduce, indices=False)
            assert isinstance(values, Tensor)
            return values
        divisor = SUMS[self.reduce].divisor
        return linear(y, self.pool, divisor)

    def winners(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution's greatest elements."""
        return self.pooled(self.between(x, weight, bias))

    def positive_winners(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same, and nothing for less than that."""
        return torch.relu(self.winners(x, weight, bias))

    def plainly(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The three operations, one after the other."""
        return self.pooled(self.activation(self.between(x, weight, bias)))


def stage(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    conv: Window,
    groups: int,
    activation: Callable[[Tensor], Tensor],
    rising: bool,
    pool: Window,
    reduce: str,
) -> Tensor:
    """``pool(activation(conv(x)))``; ``rising`` where the activation may come last under a max."""
    what = _Stage(conv, groups, activation, pool, reduce)
    given = [x, weight, *([] if bias is None else [bias])]
    if x.dim() != len(conv) + 2 or not all(map(eager_only, given)) or x.numel() == 0:
        return what.plainly(x, weight, bias)
    if torch.is_autocast_enabled("cpu"):
        return what.plainly(x, weight, bias)
    asked = any(map(differentiable, given))
    many = pooled_sizes(pool, _sizes_between(conv, x.shape))
    why_not = _no_images(what, x, weight, bias, rising, many)
    if options.current().verbose:
        _report(x, weight, why_not)
    if not why_not:
        assert many is not None
        positive = activation in _RELU
        function = what.positive_winners if positive else what.winners
        alike = images.Images(conv, groups, False, many, positive, function)
        values = images.run(x, weight, bias, alike, asked)
        return values if positive else activation(values)
    if reduce == "max" and rising:
        if asked:
            winners: Tensor = _Winners.apply(x, weight, bias, what)  # type: ignore[no-untyped-call]
            return activation(winners)
        return activation(_each(what, x, weight, bias, lambda tile: what.pooled(tile)))
    if asked:
        again: Tensor = _Again.apply(x, weight, bias, what)  # type: ignore[no-untyped-call]
        return again
    return _each(what, x, weight, bias, lambda tile: what.pooled(activation(tile)))


@functools.lru_cache(maxsize=1024)
def _sizes_between(conv: Window, shape: torch.Size) -> tuple[int, ...]:
    return conv.out(shape[2:])


def _no_images(
    what: _Stage,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    rising: bool,
    many: tuple[int, ...] | None,
) -> str:
    """Why a vector does not hold as many images."""
    if what.reduce != "max" or not rising:
        return "no maximum under an activation that never decreases"
    call = Call("stage", x, weight, bias, what.conv, what.groups, False)
    if why := no_kernel(call):
        return why
    if many is None:
        return "windows that overlap, are cut, or have 255 elements and more"
    return images.why_not(x, weight, what.conv, _LITTLE)


def _report(x: Tensor, weight: Tensor, why_not: str) -> None:
    shapes = " by ".join("x".join(map(str, t.shape)) for t in (x, weight))
    said = f"tiles; not images: {why_not}" if why_not else "images"
    options.report(f"stage {str(x.dtype).removeprefix('torch.')} {shapes}: {said}")


def _tiles(what: _Stage, x: Tensor, channels: int) -> Iterator[slice]:
    """Images whose convolutions fit into a tile: the same cuts on any number of threads."""
    n = sizes_of(x, len(what.conv))
    image = channels * prod(what.conv.out(n)) * x.itemsize
    step = max(1, _TILE // image)
    for start in range(0, x.shape[0], step):
        yield slice(start, min(start + step, x.shape[0]))


def _each(
    what: _Stage,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    finish: Callable[[Tensor], Tensor],
) -> Tensor:
    parts = [finish(what.between(x[t], weight, bias)) for t in _tiles(what, x, weight.shape[0])]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class _Winners(torch.autograd.Function):
    """Convolution and maximum: a byte an output says which element won."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, what: _Stage) -> Tensor:
        parts, kept = [], []
        for tile in _tiles(what, x, weight.shape[0]):
            y = what.between(x[tile], weight, bias)
            values, taps = _kernels.select(y, what.pool, "max", keep=True)
            assert taps is not None
            parts.append(values)
            kept.append(taps)
        ctx.what = what
        ctx.save_for_backward(x, weight, bias, *kept)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, bias, *kept = ctx.saved_tensors
        what: _Stage = ctx.what
        wanted = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or not eager_only(grad):
            return (*plain_gradients(what.winners, (x, weight, bias), wanted, grad), None)
        n = torch.Size(what.conv.out(sizes_of(x, len(what.conv))))
        total = _Total(wanted)
        for tile, taps in zip(_tiles(what, x, weight.shape[0]), kept, strict=True):
            back = _kernels.select_backward(grad[tile], taps, what.pool, n)
            total.add(gradients(x[tile], weight, bias, back, what.conv, what.groups, wanted))
        return (*total.sums(), None)


class _Again(torch.autograd.Function):
    """Everything else: what lies between is made once more on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, what: _Stage) -> Tensor:
        ctx.what = what
        ctx.save_for_backward(x, weight, bias)
        return _each(what, x, weight, bias, lambda tile: what.pooled(what.activation(tile)))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, bias = ctx.saved_tensors
        what: _Stage = ctx.what
        wanted = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or not eager_only(grad):
            return (*plain_gradients(what.plainly, (x, weight, bias), wanted, grad), None)
        total = _Total(wanted)
        for tile in _tiles(what, x, weight.shape[0]):
            between = what.between(x[tile], weight, bias)
            with torch.enable_grad():
                between.requires_grad_()
                out = what.pooled(what.activation(between))
                (back,) = torch.autograd.grad(out, between, grad[tile])
            total.add(gradients(x[tile], weight, bias, back, what.conv, what.groups, wanted))
        return (*total.sums(), None)


class _Total:
    """Gradients of tiles: those of the input side by side, the others added up in their order."""

    def __init__(self, wanted: Any) -> None:
        self.wanted = wanted
        self.inputs: list[Tensor] = []
        self.others: list[Tensor | None] = [None, None]

    def add(self, found: tuple[Tensor | None, Tensor | None, Tensor | None]) -> None:
        """What one tile has led to."""
        if found[0] is not None:
            self.inputs.append(found[0])
        for place, more in enumerate(found[1:]):
            so_far = self.others[place]
            self.others[place] = more if so_far is None or more is None else so_far.add_(more)

    def sums(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The gradients of input, weight and bias."""
        to = torch.cat(self.inputs) if len(self.inputs) > 1 else next(iter(self.inputs), None)
        return to, self.others[0], self.others[1]
