"""Memory for what is used up before the call that makes it returns."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

__all__ = ["Block", "Passing"]


class Block:
    """Memory for one tensor of floats at a time."""

    def __init__(self, numel: int) -> None:
        self._flat = torch.empty(numel, dtype=torch.float32)

    def __len__(self) -> int:
        return self._flat.numel()

    def last(self, shape: tuple[int, ...]) -> Tensor:
        """``(N, C, h, w)`` with the channels last, in place of what was there before."""
        images, channels, height, width = shape
        flat = self._flat[: prod(shape)]
        return flat.view(images, height, width, channels).permute(0, 3, 1, 2)


def _nobody() -> Block | None:
    return None


class Passing(threading.local):
    """Hands out the same block again as long as anybody holds it, to every thread its own.

    That saves the time in which fresh pages are cleared, and leaves no holes between tensors that
    stay. A block that has to be made anew is as large as the last one came to be.
    """

    _held: Callable[[], Block | None] = staticmethod(_nobody)
    _most = 0

    def block(self, numel: int) -> Block:
        """For so many elements at least; whoever made a tensor there before is done with it."""
        held = self._held()
        if held is None:
            held = Block(max(numel, self._most))
            self._most = 0
        elif len(held) < numel:
            held = Block(numel)
        self._held = weakref.ref(held)
        self._most = max(self._most, numel)
        return held
