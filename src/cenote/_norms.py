"""Batch norms by the statistics of the batch, with what follows them, on channels last in float32.

``cut(norm(x) + other)``: forward is one pass through memory for the statistics and one for the
rest, and so is the way back, whatever is joined to the norm. Means and variances come from blocks
of rows, whose own means are taken first, and are put together in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cenote import _native
from cenote._kernels import call_with
from cenote.options import current

__all__ = ["NO_CUT", "Cut", "Statistics", "again", "apply", "gradients", "joined"]

Cut = tuple[float, float]
"""Nothing in a result is below the first or above the second; NaN where there is no such bound."""

NO_CUT: Cut = (float("nan"), float("nan"))

Statistics = tuple[Tensor, Tensor]
"""Of each channel of a batch: the mean, and ``1 / sqrt(variance + eps)``."""


def apply(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    other: Tensor | None = None,
    cut: Cut = NO_CUT,
    *,
    eps: float,
    momentum: float = 0.0,
    running: tuple[Tensor | None, Tensor | None] = (None, None),
    to: Tensor | None = None,
) -> tuple[Tensor, Tensor, Statistics]:
    """``(N, C, h, w) -> (N, C, h, w)``, ``x`` as it was used, and the statistics of the batch.

    ``running``: mean and variance that take in ``momentum`` of the batch's, the variance without
    bias. ``to``: where the result is written, channels last.
    """
    x = _dense(x)
    mean, scale = torch.empty_like(gamma), torch.empty_like(gamma)
    y = torch.empty_like(x) if to is None else to
    _native.norm(
        call_with(current()), *_sizes(x), _all(x, other, gamma, beta, (mean, scale)), cut,
        eps, momentum, _at(running[0]), _at(running[1]), y.data_ptr(),
    )  # fmt: skip
    return y, x, (mean, scale)


def again(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    statistics: Statistics,
    cut: Cut = NO_CUT,
    *,
    to: Tensor | None = None,
) -> Tensor:
    """The result of :func:`apply` once more, to the bit."""
    y = torch.empty_like(x) if to is None else to
    _native.norm_again(
        call_with(current()), *_sizes(x), _all(x, None, gamma, beta, statistics), cut, y.data_ptr()
    )
    return y


def joined(
    parts: Sequence[Tensor],
    mean: Tensor,
    var: Tensor,
    gamma: Tensor,
    beta: Tensor,
    cut: Cut = NO_CUT,
    *,
    eps: float,
) -> Tensor:
    """``cut(norm(torch.cat(parts, 1)))`` by statistics that are known, in one pass; no gradient."""
    parts = [_dense(x) for x in parts]
    first, sizes = parts[0], [x.shape[1] for x in parts]
    shape = (first.shape[0], sum(sizes), *first.shape[2:])
    y = torch.empty(shape, dtype=first.dtype, memory_format=torch.channels_last)
    _native.norm_parts(
        call_with(current()), y.numel() // shape[1], [x.data_ptr() for x in parts], sizes,
        [t.data_ptr() for t in (mean, var, gamma, beta)], cut, eps, y.data_ptr(),
    )  # fmt: skip
    return y


def gradients(
    grad: Tensor,
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    statistics: Statistics,
    cut: Cut = NO_CUT,
    y: Tensor | None = None,
    wanted: tuple[bool, bool, bool, bool] = (True, True, True, False),
    *,
    room: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Of ``x``, ``gamma``, ``beta`` and what was added, from that of the result.

    ``y``: the result, where something was added and the activation cuts off; only then. ``room``:
    where the gradient of ``x`` is written, ``x`` and ``grad`` among others.
    """
    grad = _dense(grad)
    apart = wanted[3] and y is not None
    to_x = _place(x, room) if wanted[0] else None
    to_gamma, to_beta = torch.empty_like(gamma), torch.empty_like(beta)
    to_other = torch.empty_like(x) if apart else None
    _native.norm_back(
        call_with(current()), *_sizes(x), _all(x, None, gamma, beta, statistics), cut, _at(y),
        grad.data_ptr(), [_at(to_x), to_gamma.data_ptr(), to_beta.data_ptr(), _at(to_other)],
    )  # fmt: skip
    return (
        to_x,
        to_gamma if wanted[1] else None,
        to_beta if wanted[2] else None,
        (to_other if apart else grad) if wanted[3] else None,
    )


def _place(x: Tensor, room: Tensor | None) -> Tensor:
    if room is None or not room.is_contiguous(memory_format=torch.channels_last):
        return torch.empty_like(x)
    return room.detach()


def _dense(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _sizes(x: Tensor) -> tuple[int, int]:
    channels = x.shape[1]
    return x.numel() // channels, channels


def _at(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _all(
    x: Tensor, other: Tensor | None, gamma: Tensor, beta: Tensor, statistics: Statistics
) -> list[Any]:
    return [t.data_ptr() if t is not None else 0 for t in (x, other, gamma, beta, *statistics)]
