"""Weights averaged over the steps: they do better than the last ones where the rate stays high."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["averaged"]


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``model`` whose weights follow its own: ``decay * average + (1 - decay) * own``.

    The decay of step n is at most ``(1 + n) / (10 + n)``, so that the first, bad weights are
    forgotten in a short training too. Buffers, such as those of batch norm, are the model's own.
    (Polyak and Juditsky, 1992; the exponential form and the start as in TensorFlow's
    ``ExponentialMovingAverage``.)
    """

    def follow(average: list[Tensor], own: list[Tensor], steps: Tensor | int) -> None:
        n = int(steps)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(average, own, weight)

    return AveragedModel(model, multi_avg_fn=follow)  # type: ignore[arg-type]
