"""A separable convolution row by row, and a channel shuffle of two halves in one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from cenote import _separable
from cenote.acceleration.sketch import Step
from cenote.acceleration.steps.convolutions import Convolution
from cenote.acceleration.steps.held import usable

__all__ = ["Half", "Interleaved", "Separable"]


class Separable(Step):
    """A convolution of single channels with the 1x1 ones before and behind it, or one of them.

    What is added to the last one's result is the second argument.
    """

    fresh = True

    def __init__(
        self, first: Convolution | None, between: Convolution, last: Convolution | None
    ) -> None:
        super().__init__()
        self.first, self.between, self.last = first, between, last
        self.steps = [step for step in (first, between, last) if step is not None]

    @property
    def finite(self) -> bool:
        """Whether NaN may get lost where the layers go one by one."""
        return any(step.finite for step in self.steps)

    def forget(self) -> None:
        """Drop what was computed from parameters."""
        for step in self.steps:
            step.forget()

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """What the layers make of ``x``, and of ``other`` added to it."""
        if not self._serves(x, other):
            return self._one_by_one(x, other)
        held = [step.held() for step in self.steps]
        if any(h is None for h in held):
            return self._one_by_one(x, other)
        packed = [s.panels(h) for s, h in zip(self.steps, held, strict=True) if h is not None]
        first = packed.pop(0) if self.first else None
        last = packed.pop() if self.last else None
        (between,) = packed
        stride, padding, _, _ = self.between.numbers()
        kernel = self.between.layer.weight.shape[2:]
        return _separable.separable(x, first, between, last, kernel, stride, padding, other)

    def _one_by_one(self, x: Tensor, other: Tensor | None) -> Tensor:
        for step in self.steps[:-1]:
            x = step(x)
        return self.steps[-1](x, other)

    def _serves(self, x: Tensor, other: Tensor | None) -> bool:
        begin = self.steps[0].layer
        if not usable(x) or x.shape[1] != begin.in_channels:
            return False
        if not (self.between.converts or _separable.pitch(x)):
            return False
        made = (*x.shape[:1], self.steps[-1].layer.out_channels, *self.between.out_shape(x)[2:])
        if min(made) < 1:
            return False
        return other is None or (usable(other) and tuple(other.shape) == made)


class Half(Step):
    """The first half of the channels, or the second, as a view."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def __call__(self, x: Tensor) -> Tensor:
        """``x.chunk(2, 1)[at]``."""
        return x.chunk(2, 1)[self.at]


class Interleaved(Step):
    """Two tensors whose channels are shuffled: first those at the begin of both, then the next."""

    fresh = True

    def __call__(self, *parts: Tensor) -> Tensor:
        """``torch.cat(parts, 1)``, its channels shuffled in two groups."""
        first, second = parts
        alike = usable(first) and usable(second) and first.shape == second.shape
        if alike and all(map(_separable.pitch, parts)):
            return _separable.interleave(first, second)
        return _shuffled(torch.cat(parts, 1))


def _shuffled(x: Tensor) -> Tensor:
    images, channels, height, width = x.shape
    halves = x.contiguous().view(images, 2, channels // 2, height, width)
    return halves.transpose(1, 2).reshape(x.shape)
