"""The windows of a tensor side by side: what every definition here starts from."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from cenote.window import Adaptive, Axis, Spans, Window

__all__ = [
    "divisors",
    "doubled",
    "identity",
    "positions",
    "tap_indices",
    "widened",
    "windows",
    "windows_backward",
]

AnyAxis = Axis | Adaptive | Spans


def windows(x: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """All windows of ``x`` side by side, and which of their taps lie inside it.

    ``(*lead, *n) -> (*lead, *out, taps)`` and a mask ``(*out, taps)``, taps in row-major order.
    What stands at a tap outside is some element of ``x``, and not meant to be read.

    >>> laid, inside = windows(torch.tensor([[5.0, 6.0, 7.0]]), Window([Axis(2, 2, before=1)]))
    >>> laid
    tensor([[[5., 5.],
             [6., 7.]]])
    >>> inside
    tensor([[False,  True],
            [ True,  True]])
    """
    rank = window.rank
    lead = x.dim() - rank
    inside = torch.ones((), dtype=torch.bool, device=x.device)
    for position, axis in enumerate(window):
        dim = lead + 2 * position
        index, valid = positions(axis, x.shape[dim], x.device)
        # Taps first: that their number divides all is plain to tracing, where sizes are symbolic.
        x = x.index_select(dim, index.T.flatten()).unflatten(dim, index.T.shape)
        inside = inside[..., None, None] & valid
    order = [*range(lead), *range(lead + 1, lead + 2 * rank, 2), *range(lead, lead + 2 * rank, 2)]
    mask_order = [*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)]
    return x.permute(order).flatten(-rank), inside.permute(mask_order).flatten(-rank)


def windows_backward(terms: Tensor, window: Window, n: Sequence[int]) -> Tensor:
    """The adjoint of :func:`windows`: what stands at each tap inside, added where it reads.

    ``(*lead, *window.out(n), taps) -> (*lead, *n)``.

    >>> windows_backward(torch.ones(1, 2, 3), Window([Axis(3, before=1)]), [3])
    tensor([[2., 2., 1.]])
    """
    everywhere = torch.arange(prod(n), device=terms.device).reshape(tuple(n))
    index, inside = windows(everywhere, window)
    terms = torch.where(inside, terms, terms.new_zeros(()))
    index = index.expand(terms.shape).flatten(-window.rank - 1)
    plane = terms.new_zeros((*index.shape[:-1], prod(n)))
    summed = plane.scatter_add(-1, index, terms.flatten(-window.rank - 1))
    return summed.reshape(*summed.shape[:-1], *n)


def positions(axis: AnyAxis, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The input that every (output, tap) reads, clamped into the axis, and whether it was in."""
    starts, counts, kernel, dilation = _grid(axis, n, device)
    k = torch.arange(kernel, device=device)
    i = starts[:, None] + k * dilation
    inside = (i >= 0) & (i < n)
    if counts is not None:
        inside = inside & (k < counts[:, None])
    return i.clamp(0, n - 1), inside


def _grid(axis: AnyAxis, n: int, device: torch.device) -> tuple[Tensor, Tensor | None, int, int]:
    """The position of every output's tap 0 and its number of taps, the kernel, the dilation.

    No numbers of taps where every output has those of the kernel. What is written as arithmetic
    serves lengths that are symbolic while tracing.
    """
    if axis == Adaptive(1):
        return torch.zeros(1, dtype=torch.int64, device=device), None, n, 1
    axis = axis.at(n)
    if isinstance(axis, Axis):
        starts = torch.arange(axis.out(n), device=device) * axis.stride - axis.padding[0]
        return starts, None, axis.kernel, axis.dilation
    every = range(axis.out(n))
    starts = torch.tensor([axis.start(o) for o in every], device=device)
    counts = torch.tensor([len(axis.taps(o, n)) for o in every], device=device)
    return starts, counts, axis.kernel, 1


def identity(reduce: str, dtype: torch.dtype) -> float | int | bool:
    """The neutral element of a selecting reduction: what an empty window holds."""
    if dtype == torch.bool:
        return reduce == "min"
    if dtype.is_floating_point:
        return float("-inf") if reduce == "max" else float("inf")
    limits = torch.iinfo(dtype)
    return limits.min if reduce == "max" else limits.max


def widened(x: Tensor) -> Tensor:
    """The type in which sums are taken: float32 for half types, int64 for integers."""
    if x.dtype in (torch.float16, torch.bfloat16):
        return x.float()
    return x if x.dtype.is_floating_point else x.long()


def doubled(x: Tensor) -> Tensor:
    """The type in which powers and exponentials are taken: float64 where the device has it."""
    return x.float() if x.device.type == "mps" else x.double()


def divisors(
    window: Window,
    n: Sequence[int],
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """What every output's sum is divided by, int64 of shape ``window.out(n)``; at least 1.

    >>> divisors(Window([Axis(3, 1, 1, 1)]), [4], count_include_pad=False)
    tensor([2, 3, 3, 2])
    """
    if divisor_override is not None:
        return torch.full(window.out(n), divisor_override)
    result = torch.ones((), dtype=torch.int64)
    for axis, length in zip(window.at(n), n, strict=True):
        counts = [axis.divisor(o, length, count_include_pad) for o in range(axis.out(length))]
        result = result[..., None] * torch.tensor(counts)
    return result.clamp(min=1)


def tap_indices(taps: Tensor, window: Window, n: Sequence[int]) -> Tensor:
    """Tap numbers to flat indices into the ``prod(n)`` elements of a plane; -1 stays -1."""
    rest = taps.clamp(min=0)
    index = torch.zeros_like(taps)
    pitch = 1
    for position in reversed(range(window.rank)):
        starts, _, kernel, dilation = _grid(window[position], n[position], taps.device)
        starts = starts.reshape(-1, *[1] * (window.rank - 1 - position))
        index = index + (starts + rest % kernel * dilation) * pitch
        rest = rest // kernel
        pitch *= n[position]
    return torch.where(taps < 0, taps, index)
