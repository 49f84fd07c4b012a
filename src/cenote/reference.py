"""Every operator in plain PyTorch: the definition, the oracle, the path for other devices.

It starts with pooling as a textbook writes it, on a bare matrix; all that follows generalises it.
Nothing here is fast: each function lays the windows out side by side (memory: taps times output).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

from cenote.window import Axis, Window

__all__ = [
    "avg_pool",
    "avg_pool_backward",
    "pick",
    "pool2d",
    "select_pool",
    "select_pool_backward",
    "tap_indices",
]


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


def windows(x: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """All windows of ``x`` side by side, and which of their taps lie inside it.

    ``(*lead, *n) -> (*lead, *out, taps)`` and a mask ``(*out, taps)``, taps in row-major order.
    What stands at a tap outside is some element of ``x``, and not meant to be read.
    """
    rank = window.rank
    lead = x.dim() - rank
    inside = torch.ones((), dtype=torch.bool, device=x.device)
    for position, axis in enumerate(window.at(tuple(x.shape[lead:]))):
        dim = lead + 2 * position
        n = x.shape[dim]
        index, valid = _positions(axis, n, x.device)
        x = x.index_select(dim, index.flatten()).unflatten(dim, index.shape)
        inside = inside[..., None, None] & valid
    order = [*range(lead), *range(lead, lead + 2 * rank, 2), *range(lead + 1, lead + 2 * rank, 2)]
    mask_order = [*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)]
    return x.permute(order).flatten(-rank), inside.permute(mask_order).flatten(-rank)


def _positions(axis: Axis, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The input that every (output, tap) reads, clamped into the axis, and whether it was in."""
    o = torch.arange(axis.out(n), device=device)[:, None]
    k = torch.arange(axis.kernel, device=device)
    i = o * axis.stride - axis.padding[0] + k * axis.dilation
    return i.clamp(0, n - 1), (i >= 0) & (i < n)


def identity(reduce: str, dtype: torch.dtype) -> float | int | bool:
    """The neutral element of a selecting reduction: what an empty window holds."""
    if dtype == torch.bool:
        return reduce == "min"
    if dtype.is_floating_point:
        return float("-inf") if reduce == "max" else float("inf")
    limits = torch.iinfo(dtype)
    return limits.min if reduce == "max" else limits.max


def select_pool(x: Tensor, window: Window, reduce: str = "max") -> tuple[Tensor, Tensor]:
    """The selected element of every window, and the number of its tap, -1 where there is none.

    ``(*lead, *n) -> (*lead, *window.out(n))`` twice. Of equal elements the first is taken, in
    row-major order; a NaN is taken before all else, and of several the last.
    """
    laid, inside = windows(x, window)
    plain = laid.detach()
    blank = torch.full((), identity(reduce, x.dtype), dtype=x.dtype, device=x.device)
    filled = torch.where(inside, plain, blank)
    best = filled.amax(-1, keepdim=True) if reduce == "max" else filled.amin(-1, keepdim=True)
    k = torch.arange(plain.shape[-1], device=x.device)
    taps = torch.where(inside & (plain == best), k, k.numel()).amin(-1)
    if x.dtype.is_floating_point:
        last_nan = torch.where(inside & plain.isnan(), k, -1).amax(-1)
        taps = torch.where(last_nan >= 0, last_nan, taps)
    occupied = inside.any(-1)
    taps = torch.where(occupied, taps, -1)
    values = laid.gather(-1, taps.clamp(min=0)[..., None]).squeeze(-1)
    return torch.where(occupied, values, blank), taps


def select_pool_backward(grad: Tensor, taps: Tensor, window: Window, n: Sequence[int]) -> Tensor:
    """The gradient of :func:`select_pool`: each output's goes to the element that was selected."""
    index = tap_indices(taps, window, n).flatten(-window.rank)
    wide = _widened(grad)
    taken = torch.where(index < 0, wide.new_zeros(()), wide.flatten(-window.rank))
    plane = wide.new_zeros((*index.shape[:-1], prod(n)))
    summed = plane.scatter_add(-1, index.clamp(min=0), taken)
    return summed.reshape(*summed.shape[:-1], *n).to(grad.dtype)


def avg_pool(
    x: Tensor,
    window: Window,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The sum of every window over its divisor; an empty window gives 0.

    ``(*lead, *n) -> (*lead, *window.out(n))``. float16 and bfloat16 are summed in float32; integers
    in int64, and their averages are truncated toward zero.
    """
    wide = _widened(x)
    laid, inside = windows(wide, window)
    total = torch.where(inside, laid, laid.new_zeros(())).sum(-1)
    n = tuple(x.shape[x.dim() - window.rank :])
    divisor = divisors(window, n, count_include_pad, divisor_override).to(total)
    rounding = None if total.dtype.is_floating_point else "trunc"
    return torch.div(total, divisor, rounding_mode=rounding).to(x.dtype)


def avg_pool_backward(
    grad: Tensor,
    window: Window,
    n: Sequence[int],
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The adjoint of :func:`avg_pool`: ``(*lead, *window.out(n)) -> (*lead, *n)``."""
    wide = _widened(grad)
    divisor = divisors(window, n, count_include_pad, divisor_override).to(wide)
    everywhere = torch.arange(prod(n), device=grad.device).reshape(1, *n)
    laid, inside = windows(everywhere, window)
    share = torch.where(inside, (wide / divisor)[..., None], wide.new_zeros(()))
    index = laid.expand(share.shape).flatten(-window.rank - 1)
    plane = wide.new_zeros((*index.shape[:-1], prod(n)))
    summed = plane.scatter_add(-1, index, share.flatten(-window.rank - 1))
    return summed.reshape(*summed.shape[:-1], *n).to(grad.dtype)


def _widened(x: Tensor) -> Tensor:
    """The type in which sums are taken: float32 for half types, int64 for integers."""
    if x.dtype in (torch.float16, torch.bfloat16):
        return x.float()
    return x if x.dtype.is_floating_point else x.long()


def divisors(
    window: Window,
    n: Sequence[int],
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """What every output's sum is divided by, int64 of shape ``window.out(n)``; at least 1."""
    if divisor_override is not None:
        return torch.full(window.out(n), divisor_override)
    result = torch.ones((), dtype=torch.int64)
    for axis, length in zip(window.at(n), n, strict=True):
        counts = [axis.divisor(o, length, count_include_pad) for o in range(axis.out(length))]
        result = result[..., None] * torch.tensor(counts)
    return result.clamp(min=1)


def tap_indices(taps: Tensor, window: Window, n: Sequence[int]) -> Tensor:
    """Tap numbers to flat indices into the ``prod(n)`` elements of a plane; -1 stays -1."""
    window = window.at(n)
    rest = taps.clamp(min=0)
    index = torch.zeros_like(taps)
    pitch = 1
    for position in reversed(range(window.rank)):
        axis, length = window[position], n[position]
        o = torch.arange(axis.out(length), device=taps.device)
        start = (o * axis.stride - axis.padding[0]).reshape(-1, *[1] * (window.rank - 1 - position))
        index = index + (start + rest % axis.kernel * axis.dilation) * pitch
        rest = rest // axis.kernel
        pitch *= length
    return torch.where(taps < 0, taps, index)


def pick(x: Tensor, indices: Tensor, rank: int) -> Tensor:
    """The elements at flat plane ``indices``; 0 where the index is -1. Differentiable in ``x``."""
    lead = x.shape[: x.dim() - rank]
    flat = x.reshape(*lead, prod(x.shape[x.dim() - rank :]))
    picked = flat.gather(-1, indices.clamp(min=0).reshape(*lead, -1)).reshape(indices.shape)
    return torch.where(indices < 0, picked.new_zeros(()), picked)
