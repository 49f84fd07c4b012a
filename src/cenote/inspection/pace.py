"""How long a step of training takes, with stages and with torch's own layers in their place."""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from cenote.nn import GlobalAvgPool2d

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
    """A copy with torch's layers alone, and nothing carried out as one.

    Our layers that torch has too are torch's with another ``forward``: the copies take torch's.

    Raises:
        ValueError: a layer that torch does not have, or not with these options; the message names
            it.
    """
    twin = copy.deepcopy(model)
    for name, module in list(twin.named_modules()):
        if not type(module).__module__.startswith("cenote.nn"):
            continue
        if isinstance(module, GlobalAvgPool2d):
            twin.set_submodule(name, nn.AdaptiveAvgPool2d(1))
            continue
        kind = next(k for k in type(module).__mro__ if k.__module__.startswith("torch.nn.modules"))
        ours = getattr(module, "flip", False), getattr(module, "padding_mode", "zeros")
        if kind is nn.Module or ours not in ((False, "zeros"), (False, "identity")):
            raise ValueError(f"{name}: torch has no {module}")
        module.__class__ = kind
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
