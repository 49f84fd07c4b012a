"""Fractional max pooling: windows of one size whose starts are drawn (Graham, 2014)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cenote.reference.inverse import pick
from cenote.reference.selection import select_pool
from cenote.window import Axis, Window

__all__ = ["fractional_indices", "fractional_pool", "fractional_starts"]


def fractional_starts(
    samples: Tensor, n: Sequence[int], outputs: Sequence[int], kernel: Sequence[int]
) -> tuple[Tensor, ...]:
    """Where the windows of each axis begin: ``trunc((o + u)*a) - trunc(u*a)``, the last at the end.

    ``u`` is a sample in [0, 1) and ``a = (n - kernel)/(outputs - 1)``, in the samples' own type.
    ``(*lead, rank) -> (*lead, outputs)`` of int64 for every axis. Of two axes the first sample is
    the last axis', as in torch.

    >>> fractional_starts(torch.tensor([0.5]), [11], [5], [3])
    (tensor([0, 2, 4, 6, 8]),)
    """
    samples = samples.flip(-1) if len(n) == 2 else samples
    return tuple(
        _starts(samples[..., axis], n[axis], outputs[axis], kernel[axis]) for axis in range(len(n))
    )


def _starts(samples: Tensor, n: int, outputs: int, kernel: int) -> Tensor:
    o, u, last = torch.arange(outputs, device=samples.device), samples[..., None], n - kernel
    step = torch.full_like(u, last) / max(outputs - 1, 1)
    starts = ((o + u) * step).long() - (u * step).long()
    return torch.where(o == outputs - 1, last, starts).clamp(0, last)


def fractional_indices(x: Tensor, starts: Sequence[Tensor], kernel: Sequence[int]) -> Tensor:
    """Where each plane's windows at ``starts`` have their greatest element, as flat indices.

    ``(*lead, *n)`` and an axis' ``(*lead, outputs)`` each give ``(*lead, *outputs)`` of int64. Ties
    and NaNs are resolved as in :func:`select_pool`.

    >>> x = torch.tensor([[5.0, 8.0, 6.0, 7.0]])
    >>> fractional_indices(x, [torch.tensor([[0, 2]])], [2])
    tensor([[1, 3]])
    """
    rank = len(kernel)
    n = x.shape[x.dim() - rank :]
    lead = x.shape[: x.dim() - rank]
    index = torch.zeros((), dtype=torch.int64, device=x.device)
    for axis in range(rank):
        reads = starts[axis][..., None] + torch.arange(kernel[axis], device=x.device)
        shape = [1] * (2 * rank)  # outputs first, then taps
        shape[axis], shape[rank + axis] = reads.shape[-2], kernel[axis]
        index = index * n[axis] + reads.reshape(*lead, *shape)
    index = index.flatten(-rank)
    laid = x.flatten(-rank).gather(-1, index.flatten(-rank - 1)).reshape(index.shape)
    # Side by side, each window is a plane of its own with one window in it.
    _, taps = select_pool(laid, Window([Axis(laid.shape[-1])]))
    return index.gather(-1, taps).squeeze(-1)


def fractional_pool(
    x: Tensor, kernel: Sequence[int], outputs: Sequence[int], samples: Tensor
) -> tuple[Tensor, Tensor]:
    """The greatest element of every drawn window, and its flat index in the plane.

    ``(*lead, *n) -> (*lead, *outputs)`` twice; ``samples`` has one number for every plane and axis,
    ``(*lead, rank)``.

    >>> x = torch.arange(16.0).reshape(1, 4, 4)
    >>> fractional_pool(x, (2, 2), (2, 2), torch.tensor([[0.5, 0.5]]))
    (tensor([[[ 5.,  7.],
             [13., 15.]]]), tensor([[[ 5,  7],
             [13, 15]]]))
    """
    n = x.shape[x.dim() - len(kernel) :]
    index = fractional_indices(x, fractional_starts(samples, n, outputs, kernel), kernel)
    return pick(x, index, len(kernel)), index
