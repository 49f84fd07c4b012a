"""A channel shuffle of two halves in one pass, and halves that are views."""

from __future__ import annotations

import torch
from torch import Tensor

from cenote import _separable
from cenote.acceleration.sketch import Step
from cenote.acceleration.steps.held import usable

__all__ = ["Half", "Interleaved"]


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
