"""Any associative operation over windows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cenote.reference.layout import windows
from cenote.window import Window

__all__ = ["fold_pool"]


def fold_pool(
    x: Tensor,
    window: Window,
    combine: Callable[[Tensor, Tensor], Tensor],
    identity: Callable[[Tensor], Tensor],
) -> Tensor:
    """Every window folded from left to right, taps in row-major order, those outside left out.

    ``(*lead, *n) -> (*lead, *window.out(n))``. ``combine(so_far, elements)`` takes and gives
    tensors of the output's shape, one element of each for every window; ``identity(like)`` is what
    to start from, and what an empty window gives.

    >>> x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> fold_pool(x, Window([Axis(2, 2)]), torch.mul, torch.ones_like)
    tensor([[ 2., 12.]])
    """
    laid, inside = windows(x, window)
    result = identity(laid[..., 0])
    for k in range(laid.shape[-1]):
        result = torch.where(inside[..., k], combine(result, laid[..., k]), result)
    return result
