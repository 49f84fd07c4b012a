"""Sums, averages and filters, and their adjoints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cenote.reference.layout import divisors, widened, windows, windows_backward
from cenote.window import Window

__all__ = ["avg_pool", "avg_pool_backward", "linear_pool", "linear_pool_backward"]

Weights = Sequence[Sequence[float]]


def linear_pool(
    x: Tensor,
    window: Window,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    rounding: str = "trunc",
    weights: Weights | None = None,
) -> Tensor:
    """The weighted sum of every window over its divisor; an empty window gives 0.

    ``(*lead, *n) -> (*lead, *window.out(n))``. The weight of a tap is the product of one number of
    every axis, 1 where no weights are given. float16 and bfloat16 are summed in float32; integers
    in int64, and their quotients are truncated toward zero, or rounded with halves to the even
    neighbour (``rounding="half_even"``), or left in int64 (``"int64"``).

    >>> x = torch.tensor([[1, 2, 4, 7]])
    >>> linear_pool(x, Window([Axis(2)]))
    tensor([[1, 3, 5]])
    >>> linear_pool(x, Window([Axis(2)]), rounding="half_even")
    tensor([[2, 3, 6]])
    >>> linear_pool(x.float(), Window([Axis(2)]), divisor_override=1, weights=[[0.25, 0.75]])
    tensor([[1.7500, 3.5000, 6.2500]])
    """
    laid, inside = windows(widened(x), window)
    terms = torch.where(inside, laid, laid.new_zeros(()))
    if weights is not None:
        terms = terms * tap_weights(weights, terms)
    total = terms.sum(-1)
    n = tuple(x.shape[x.dim() - window.rank :])
    divisor = divisors(window, n, count_include_pad, divisor_override).to(total)
    quotient = _quotient(total, divisor, rounding)
    return quotient if rounding == "int64" and total.dtype == torch.int64 else quotient.to(x.dtype)


def linear_pool_backward(
    grad: Tensor,
    window: Window,
    n: Sequence[int],
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    rounding: str = "trunc",
    weights: Weights | None = None,
) -> Tensor:
    """The adjoint of :func:`linear_pool`: ``(*lead, *window.out(n)) -> (*lead, *n)``.

    >>> linear_pool_backward(torch.tensor([[3, 5]]), Window([Axis(2, 2)]), [4], divisor_override=1)
    tensor([[3, 3, 5, 5]])
    """
    wide = widened(grad)
    divisor = divisors(window, n, count_include_pad, divisor_override).to(wide)
    share = _quotient(wide, divisor, rounding)[..., None]
    if weights is not None:
        share = share * tap_weights(weights, share)
    taps = window.at(n).kernel_taps
    return windows_backward(share.expand(*share.shape[:-1], taps), window, n).to(grad.dtype)


def tap_weights(weights: Weights, like: Tensor) -> Tensor:
    """The weights of all taps in row-major order, from those of every axis."""
    result = like.new_ones(())
    for row in weights:
        result = result[..., None] * like.new_tensor(row)
    return result.flatten()


def _quotient(total: Tensor, divisor: Tensor, rounding: str) -> Tensor:
    if total.dtype.is_floating_point:
        return total / divisor
    if rounding == "trunc":
        return torch.div(total, divisor, rounding_mode="trunc")
    below = torch.div(total, divisor, rounding_mode="floor")
    twice = 2 * (total - below * divisor).abs()  # the remainder has the divisor's sign
    up = (twice > divisor.abs()) | ((twice == divisor.abs()) & (below % 2 == 1))
    return below + up


def avg_pool(
    x: Tensor,
    window: Window,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    rounding: str = "trunc",
) -> Tensor:
    """The sum of every window over its divisor: :func:`linear_pool` without weights."""
    return linear_pool(x, window, count_include_pad, divisor_override, rounding)


def avg_pool_backward(
    grad: Tensor,
    window: Window,
    n: Sequence[int],
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The adjoint of :func:`avg_pool`: ``(*lead, *window.out(n)) -> (*lead, *n)``."""
    return linear_pool_backward(grad, window, n, count_include_pad, divisor_override)
