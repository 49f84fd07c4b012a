"""One tensor for several results, channel behind channel: each is written where it belongs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote.acceleration.sketch import Step
from cenote.acceleration.steps.convolutions import Convolution
from cenote.acceleration.steps.held import usable

__all__ = ["Filled", "Room"]


class Room(Step):
    """Memory for the results of a convolution and of others, so many channels in all."""

    fresh = True

    def __init__(self, step: Convolution, channels: int) -> None:
        super().__init__()
        self.step, self.channels = step, channels

    def __call__(self, x: Any) -> Tensor | None:
        """For what the convolution makes of ``x``; None where it will not be written there."""
        if not usable(x):
            return None
        images, _, *sizes = self.step.out_shape(x)
        if min(sizes) < 1:
            return None
        return torch.empty((images, self.channels, *sizes), memory_format=torch.channels_last)


class Filled(Step):
    """``torch.cat`` along channels, of which some parts are in their places already."""

    fresh = True

    def __call__(self, room: Tensor | None, *parts: Tensor) -> Tensor:
        """The room, with every other part copied into it."""
        channels = sum(part.shape[1] for part in parts if part.dim() == 4)
        if room is None or room.shape[1] != channels or not all(_fits(p, room) for p in parts):
            return torch.cat(parts, 1)
        at = 0
        for part in parts:
            place = room[:, at : at + part.shape[1]]
            if part.data_ptr() != place.data_ptr():
                place.copy_(part)
            at += part.shape[1]
        return room


def _fits(part: Tensor, room: Tensor) -> bool:
    return usable(part) and part.shape[::2] == room.shape[::2] and part.shape[3] == room.shape[3]
