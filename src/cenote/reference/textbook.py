"""Pooling as a textbook writes it, on a bare matrix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["pool2d"]


def pool2d(X: Tensor, pool_size: tuple[int, int], mode: str = "max") -> Tensor:  # noqa: N803
    """Pooling as a textbook writes it: every ``p_h x p_w`` block of a matrix, stride 1, no padding.

    ``(H, W) -> (H - p_h + 1, W - p_w + 1)``.

    >>> pool2d(torch.arange(9.0).reshape(3, 3), (2, 2))
    tensor([[4., 5.],
            [7., 8.]])
    >>> pool2d(torch.arange(9.0).reshape(3, 3), (2, 2), "avg")
    tensor([[2., 3.],
            [5., 6.]])
    """
    modes: dict[str, Callable[[Tensor], Tensor]] = {"max": torch.max, "avg": torch.mean}
    if mode not in modes:
        raise ValueError(f"pool2d: mode = {mode!r}: must be one of {', '.join(modes)}")
    p_h, p_w = pool_size
    Y = X.new_zeros((X.shape[0] - p_h + 1, X.shape[1] - p_w + 1))  # noqa: N806
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = modes[mode](X[i : i + p_h, j : j + p_w])
    return Y
