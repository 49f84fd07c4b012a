"""From indices to elements and back."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from cenote.reference.layout import widened

__all__ = ["pick", "unpool"]


def pick(x: Tensor, indices: Tensor, rank: int) -> Tensor:
    """The elements at flat plane ``indices``; 0 where the index is -1. Differentiable in ``x``.

    >>> pick(torch.tensor([[5.0, 6.0, 7.0]]), torch.tensor([[2, -1]]), 1)
    tensor([[7., 0.]])
    """
    lead = x.shape[: x.dim() - rank]
    flat = x.reshape(*lead, prod(x.shape[x.dim() - rank :]))
    picked = flat.gather(-1, indices.clamp(min=0).flatten(-rank)).reshape(indices.shape)
    return torch.where(indices < 0, picked.new_zeros(()), picked)


def unpool(x: Tensor, indices: Tensor, n: Sequence[int], add: bool = False) -> Tensor:
    """Every element where its index points in a plane of sizes ``n``, and 0 everywhere else.

    ``(*lead, *out) -> (*lead, *n)``. Elements with index -1 go nowhere. Where several have the
    same, the last in row-major order stays and takes the gradient; with ``add`` they add up, half
    types in float32.

    >>> unpool(torch.tensor([[5.0, 6.0, 7.0]]), torch.tensor([[2, -1, 2]]), [4])
    tensor([[0., 0., 7., 0.]])
    >>> unpool(torch.tensor([[5.0, 6.0, 7.0]]), torch.tensor([[2, -1, 2]]), [4], add=True)
    tensor([[ 0.,  0., 12.,  0.]])
    """
    flat, index = x.flatten(-len(n)), indices.flatten(-len(n))
    size = prod(n)
    nowhere = torch.where(index < 0, size, index)  # one place more, which is cut off again
    if add:
        room = widened(flat).new_zeros((*index.shape[:-1], size + 1))
        added = room.scatter_add(-1, nowhere, widened(flat))[..., :size].to(x.dtype)
        return added.reshape(*index.shape[:-1], *n)
    source = torch.arange(flat.shape[-1], device=x.device).expand(index.shape)
    last = torch.full_like(index[..., :1], -1).expand(*index.shape[:-1], size + 1)
    last = last.scatter_reduce(-1, nowhere, source, "amax")[..., :size]
    taken = flat.gather(-1, last.clamp(min=0))
    return torch.where(last < 0, taken.new_zeros(()), taken).reshape(*index.shape[:-1], *n)
