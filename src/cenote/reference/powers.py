"""Means and sums of powers and exponentials: norms, generalised means, smooth maxima."""

from __future__ import annotations

import torch
from torch import Tensor

from cenote.reference.layout import divisors, doubled, windows, windows_backward
from cenote.window import Window

__all__ = [
    "logsumexp_pool",
    "logsumexp_pool_backward",
    "logsumexp_pool_shares",
    "power_pool",
]


def power_pool(
    x: Tensor,
    window: Window,
    p: float,
    floor: float | None = None,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """``(sum f(x)^p / divisor)^(1/p)`` over every window; an empty window gives 0.

    ``(*lead, *n) -> (*lead, *window.out(n))``. ``f`` is the absolute value, or with ``floor`` the
    greater of element and floor. ``p`` is finite and positive. Where a sum is 0, and where an
    element's ``f`` is 0, the gradient is 0.

    >>> power_pool(torch.tensor([[3.0, -4.0]]), Window([Axis(2)]), 2.0, divisor_override=1)
    tensor([[5.]])
    """
    laid, inside = windows(doubled(x), window)
    size = laid.abs() if floor is None else laid.clamp(min=floor)
    terms = torch.where(inside, _power(size, p), size.new_zeros(()))
    n = tuple(x.shape[x.dim() - window.rank :])
    divisor = divisors(window, n, count_include_pad, divisor_override).to(terms)
    return _power(terms.sum(-1) / divisor, 1 / p).to(x.dtype)


def _power(base: Tensor, exponent: float) -> Tensor:
    """``base ** exponent``, with gradient 0 instead of infinity at base 0."""
    zero = base == 0
    return torch.where(zero, base, torch.where(zero, base.new_ones(()), base) ** exponent)


def logsumexp_pool(x: Tensor, window: Window, sharpness: float = 1.0) -> Tensor:
    """``log(sum exp(s*x)) / s`` over every window; an empty window gives -inf, inf if ``s < 0``.

    ``(*lead, *n) -> (*lead, *window.out(n))``. Where all of a window's terms are 0 (its elements
    are -inf, say), the gradient is 0.

    >>> logsumexp_pool(torch.tensor([[0.0, 0.0]]), Window([Axis(2)]))
    tensor([[0.6931]])
    """
    laid, inside = windows(doubled(x), window)
    # Relative to the greatest term no exponential overflows, and the greatest is exp(0).
    away = torch.full((), float("-inf") if sharpness > 0 else float("inf")).to(laid)
    known = torch.where(inside, laid.detach(), away)
    most = known.amax(-1, keepdim=True) if sharpness > 0 else known.amin(-1, keepdim=True)
    most = torch.where(most.isfinite(), most, most.new_zeros(()))
    terms = torch.where(inside, (sharpness * (laid - most)).exp(), laid.new_zeros(()))
    total = terms.sum(-1)
    nothing = total == 0
    logarithm = torch.where(nothing, total.new_ones(()), total).log() / sharpness
    return torch.where(nothing, away, logarithm + most.squeeze(-1)).to(x.dtype)


def logsumexp_pool_backward(
    grad: Tensor, x: Tensor, y: Tensor, window: Window, sharpness: float
) -> Tensor:
    """The gradient of :func:`logsumexp_pool`: every window's goes to its elements by their shares.

    ``(*lead, *window.out(n)) -> (*lead, *n)``, with ``y`` what the pooling of ``x`` gave.

    >>> x, window = torch.tensor([[2.0, 2.0]]), Window([Axis(2)])
    >>> y = logsumexp_pool(x, window)
    >>> logsumexp_pool_backward(torch.tensor([[6.0]]), x, y, window, 1.0)
    tensor([[3., 3.]])
    """
    shares = _shares(x, y, window, sharpness)
    n = x.shape[x.dim() - window.rank :]
    return windows_backward(doubled(grad)[..., None] * shares, window, n).to(grad.dtype)


def logsumexp_pool_shares(
    given: Tensor, x: Tensor, y: Tensor, window: Window, sharpness: float
) -> Tensor:
    """The adjoint of :func:`logsumexp_pool_backward`: ``given`` added up in windows by shares.

    ``(*lead, *n) -> (*lead, *window.out(n))``.
    """
    laid, inside = windows(doubled(given), window)
    terms = torch.where(inside, laid, laid.new_zeros(()))
    return (terms * _shares(x, y, window, sharpness)).sum(-1).to(given.dtype)


def _shares(x: Tensor, y: Tensor, window: Window, sharpness: float) -> Tensor:
    """``exp(s*(x - y))`` at every tap inside, 0 at the others: they add up to 1 in a window."""
    laid, inside = windows(doubled(x), window)
    nothing = float("-inf") if sharpness > 0 else float("inf")
    whole = doubled(y)[..., None]
    shares = (sharpness * (laid - whole)).exp()
    return torch.where(inside & (whole != nothing), shares, shares.new_zeros(()))
