"""How long a step of training takes, with stages and with torch's own layers in their place."""

from __future__ import annotations

import copy
import statistics
import time
from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from cenote.nn import AvgPool2d, MaxPool2d, Stages

__all__ = ["Pace", "measure_pace", "torchs_own"]


@dataclass(frozen=True)
class Pace:
    """Median seconds of a step, forward, back and update, over ``turns`` each."""

    ours: float
    torchs: float
    turns: int
    batch: int

    @property
    def times(self) -> float:
        """How many times as long torch's takes."""
        return self.torchs / self.ours


def torchs_own(model: nn.Module) -> nn.Module:
    """A copy with torch's layers alone: its pooling, and nothing carried out as one."""
    twin = copy.deepcopy(model)
    for name, module in list(twin.named_modules()):
        kind = {MaxPool2d: nn.MaxPool2d, AvgPool2d: nn.AvgPool2d}.get(type(module))
        if kind is not None:
            twin.set_submodule(name, kind(module.kernel_size, module.stride, module.padding))
    for name, module in list(twin.named_modules()):
        if type(module) is Stages:
            twin.set_submodule(name, nn.Sequential(OrderedDict(module.named_children())))
    return twin


def measure_pace(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, turns: int = 15
) -> Pace:
    """Steps of ``model`` and of its copy with torch's layers in turn, on one batch.

    ``model`` itself is left as it is.
    """
    contenders = [copy.deepcopy(model).train(), torchs_own(model).train()]
    moving = [torch.optim.SGD(m.parameters(), lr=1e-4) for m in contenders]
    taken: list[list[float]] = [[], []]
    for turn in range(turns + 2):  # the first two find their memory
        for contender, optimizer, seconds in zip(contenders, moving, taken, strict=True):
            start = time.perf_counter()
            optimizer.zero_grad()
            F.cross_entropy(contender(images), labels).backward()
            optimizer.step()
            if turn >= 2:
                seconds.append(time.perf_counter() - start)
    ours, torchs = map(statistics.median, taken)
    return Pace(ours, torchs, turns, len(images))
