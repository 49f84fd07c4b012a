"""Batch norms that measure the samples of all processes of a training together."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

__all__ = ["in_group", "norms_of"]


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms of ``model`` that compute as torch's own do."""
    known = (_BatchNorm.forward, SyncBatchNorm.forward)
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and type(m).forward in known]


class _GroupNorm(_BatchNorm):
    """A batch norm whose mean and variance are those of all processes' samples together.

    torch has one for GPUs alone. It takes the place of a module's class for the time of a step,
    so that the module, its names and its eval mode stay what they are.
    """

    counts = True
    place = 0  # among the norms of the network

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C) or (N, C, *n); every process has to ask."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        x = input if input.dtype == torch.float64 else input.float()
        count, mean, variance = self._measured(x)
        if self.track_running_stats and self.running_mean is not None:
            assert self.running_var is not None
            with torch.no_grad():
                share = self._momentum()
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
                unbiased = variance * (count / (count - 1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        each = (-1, *[1] * (x.dim() - 2))
        scale = (variance + self.eps).rsqrt().to(x.dtype).view(each)
        x = (x - mean.to(x.dtype).view(each)) * scale
        if self.weight is not None:
            x = x * self.weight.view(each)
        if self.bias is not None:
            x = x + self.bias.view(each)
        return x.to(input.dtype)

    def _measured(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values a channel, and each channel's mean and variance, over all processes, in f64."""
        axes = [axis for axis in range(x.dim()) if axis != 1]
        variance, mean = torch.var_mean(x, axes, correction=0)
        variance, mean = variance.double(), mean.double()
        count = mean.new_tensor([x.numel() // x.shape[1] if self.counts else 0])
        own = mean.new_tensor([self.place, self.place**2])
        sums = torch.cat([own, count, count * mean, count * (variance + mean.square())])
        together: Tensor = _Sum.apply(sums)  # type: ignore[no-untyped-call]
        places, count, total, squares = together.split((2, 1, len(mean), len(mean)))
        if places.tolist() != (own * dist.get_world_size()).tolist():
            raise ValueError(
                "batch norms: the processes are at different ones at the same time, so that they "
                "cannot measure together; a network has to call them alike in all processes"
            )
        mean = total / count
        return count, mean, squares / count - mean.square()

    def _momentum(self) -> float:
        """Count the batch; returns the share of it in the running statistics."""
        if self.num_batches_tracked is None:
            return self.momentum or 0.0
        self.num_batches_tracked.add_(1)
        return 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum


class _Sum(torch.autograd.Function):
    """The sum over all processes; each adds to every other's, and so do their gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        del ctx
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


@functools.cache
def in_group(kind: Any, counts: bool, place: int) -> Any:
    """The class ``kind`` of a batch norm, measuring the samples of all processes.

    ``counts`` says whether this process's own belong to them, ``place`` which norm of the network
    it is, by which the processes make sure that they are at the same one.
    """
    return type(kind.__name__, (_GroupNorm, kind), {"counts": counts, "place": place})
