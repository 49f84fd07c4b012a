"""Reductions that give one of the window's own elements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from cenote.reference.layout import identity, tap_indices, widened, windows
from cenote.window import Window

__all__ = ["median_pool", "select_pool", "select_pool_backward", "stochastic_taps"]


def select_pool(x: Tensor, window: Window, reduce: str = "max") -> tuple[Tensor, Tensor]:
    """The selected element of every window, and the number of its tap, -1 where there is none.

    ``(*lead, *n) -> (*lead, *window.out(n))`` twice. Of equal elements the first is taken, in
    row-major order; a NaN is taken before all else, and of several the last.

    >>> select_pool(torch.tensor([[5.0, 7.0, 7.0, 6.0]]), Window([Axis(2, 2)]))
    (tensor([[7., 7.]]), tensor([[1, 0]]))
    """
    laid, inside = windows(x, window)
    plain = laid.detach()
    blank = torch.full((), identity(reduce, x.dtype), dtype=x.dtype, device=x.device)
    filled = torch.where(inside, plain, blank)
    best = filled.amax(-1, keepdim=True) if reduce == "max" else filled.amin(-1, keepdim=True)
    taps = _first(inside & (plain == best))
    if x.dtype.is_floating_point:
        k = torch.arange(plain.shape[-1], device=x.device)
        last_nan = torch.where(inside & plain.isnan(), k, -1).amax(-1)
        taps = torch.where(last_nan >= 0, last_nan, taps)
    return _at(laid, taps, blank), taps


def select_pool_backward(grad: Tensor, taps: Tensor, window: Window, n: Sequence[int]) -> Tensor:
    """The gradient of :func:`select_pool`: each output's goes to the element that was selected."""
    index = tap_indices(taps, window, n).flatten(-window.rank)
    wide = widened(grad)
    taken = torch.where(index < 0, wide.new_zeros(()), wide.flatten(-window.rank))
    plane = wide.new_zeros((*index.shape[:-1], prod(n)))
    summed = plane.scatter_add(-1, index.clamp(min=0), taken)
    return summed.reshape(*summed.shape[:-1], *n).to(grad.dtype)


def median_pool(x: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """The lower median of every window, and the number of its tap; 0 and -1 of an empty window.

    ``(*lead, *n) -> (*lead, *window.out(n))`` twice. Of elements equal to the median the first is
    taken, in row-major order; a NaN is taken before all else, and of several the first, as
    :func:`torch.median` does.

    >>> median_pool(torch.tensor([[4.0, 1.0, 3.0, 2.0]]), Window([Axis(4)]))
    (tensor([[2.]]), tensor([[3]]))
    """
    laid, inside = windows(x, window)
    plain = laid.detach()
    greatest = torch.full((), identity("min", x.dtype), dtype=x.dtype, device=x.device)
    ordered = torch.where(inside, plain, greatest).sort(-1).values
    middle = ((inside.sum(-1) - 1) // 2).clamp(min=0)
    middle = middle.expand(plain.shape[:-1])[..., None]
    taps = _first(inside & (plain == ordered.gather(-1, middle)))
    if x.dtype.is_floating_point:
        first_nan = _first(inside & plain.isnan())
        taps = torch.where(first_nan >= 0, first_nan, taps)
    return _at(laid, taps, x.new_zeros(())), taps


def stochastic_taps(x: Tensor, window: Window, draws: Tensor) -> Tensor:
    """One tap of every window, drawn with a probability that grows with ``max(x, 0)``.

    ``(*lead, *n)`` and numbers in [0, 1) of shape ``(*lead, *window.out(n))`` give taps of that
    shape, -1 where no element is positive (Zeiler & Fergus, Stochastic Pooling, 2013). A NaN is
    taken before all else, then infinities with equal chances.

    >>> x = torch.tensor([[1.0, -5.0, 3.0]])
    >>> [stochastic_taps(x, Window([Axis(3)]), torch.tensor([[u]])).item() for u in (0.2, 0.3)]
    [0, 2]
    """
    laid, inside = windows(x.detach(), window)
    wide = widened(laid)
    weights = torch.where(inside, wide, wide.new_zeros(())).clamp(min=0)
    greatest = weights.amax(-1, keepdim=True)
    # Relative to the greatest no sum overflows; infinity over infinity would be no number.
    weights = torch.where(greatest.isinf(), weights.isinf().to(weights), weights / greatest)
    sums = weights.cumsum(-1)
    taps = _first(sums > draws.to(sums)[..., None] * sums[..., -1:])
    first_nan = _first(inside & laid.isnan())
    return torch.where(first_nan >= 0, first_nan, taps)


def _first(chosen: Tensor) -> Tensor:
    """The number of the first tap that is chosen, -1 where none is."""
    k = torch.arange(chosen.shape[-1], device=chosen.device)
    taps = torch.where(chosen, k, k.numel()).amin(-1)
    return torch.where(taps == k.numel(), -1, taps)


def _at(laid: Tensor, taps: Tensor, blank: Tensor) -> Tensor:
    """The element at each window's tap, ``blank`` where there is none."""
    values = laid.gather(-1, taps.clamp(min=0)[..., None]).squeeze(-1)
    return torch.where(taps < 0, blank, values)
