"""What is done to a tensor once its window is known: check, pad, one call of the operators.

Every function takes the name that errors begin with, the tensor and the window, and its own
options by keyword; :func:`cenote.pool` and all named functions end here.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from cenote import _checks, _kernels, _ops, reference
from cenote._kernels import Divisor
from cenote.functional._padding import pad, shown_padding, unpadded
from cenote.reference.layout import doubled
from cenote.window import Axis, Window

__all__ = [
    "average",
    "generalized_mean",
    "maximum",
    "median",
    "minimum",
    "mixture",
    "norm",
    "smooth_maximum",
    "stochastic",
    "total",
]

_SUM = Divisor(override=1)
_TOTAL = Divisor(override=1, rounding="int64")
_MEAN_INSIDE = Divisor(count_include_pad=False)


def prepare(op: str, x: Any, window: Window, padding_mode: str) -> None:
    """Refuse what no reduction takes."""
    _checks.check_input(op, x, window)
    if padding_mode != "identity":
        _checks.check_choice(op, "padding_mode", padding_mode, _checks.PADDING_MODES)


def widen(x: Tensor) -> Tensor:
    """Half types as float32, in which they are computed and rounded once."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


@shown_padding
def _select(
    op: str, x: Tensor, window: Window, *, reduce: str, return_indices: bool, padding_mode: str
) -> Any:
    prepare(op, x, window, padding_mode)
    if padding_mode == "identity":
        return _ops.select(x, window, reduce, bool(return_indices))
    padded, bare = pad(op, x, window, padding_mode)
    if not return_indices:
        return _ops.select(padded, bare, reduce, False)
    values, indices = _ops.select(padded, bare, reduce, True)
    return values, unpadded(indices, window, x.shape[x.dim() - window.rank :], padding_mode)


def select(
    op: str, x: Tensor, window: Window, reduce: str, return_indices: bool, padding_mode: str
) -> Any:
    """The greatest or least elements; with ``return_indices`` where each lies in its plane."""
    return _select(
        op, x, window, reduce=reduce, return_indices=return_indices, padding_mode=padding_mode
    )


def greatest(x: Tensor, window: Window) -> Tensor:
    """The greatest elements of what was checked before."""
    values: Tensor = _ops.select(x, window, "max", False)  # type: ignore[assignment]
    return values


def maximum(
    op: str,
    x: Tensor,
    window: Window,
    *,
    return_indices: bool = False,
    padding_mode: str = "identity",
) -> Any:
    """The greatest elements."""
    return select(op, x, window, "max", return_indices, padding_mode)


def minimum(
    op: str,
    x: Tensor,
    window: Window,
    *,
    return_indices: bool = False,
    padding_mode: str = "identity",
) -> Any:
    """The least elements."""
    return select(op, x, window, "min", return_indices, padding_mode)


@shown_padding
def average(
    op: str,
    x: Tensor,
    window: Window,
    *,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    rounding: str = "trunc",
    padding_mode: str = "identity",
) -> Tensor:
    """Sums over a divisor."""
    prepare(op, x, window, padding_mode)
    _checks.check_not_bool(op, x, "average")
    _checks.check_choice(op, "rounding", rounding, _checks.ROUNDINGS)
    override = _checks.check_divisor(op, divisor_override)
    if padding_mode != "identity":
        x, window = pad(op, x, window, padding_mode)
    return _ops.linear(x, window, Divisor(bool(count_include_pad), override, rounding))


@shown_padding
def total(op: str, x: Tensor, window: Window, *, padding_mode: str = "identity") -> Tensor:
    """Sums; of integers and booleans in int64."""
    prepare(op, x, window, padding_mode)
    if padding_mode != "identity":
        x, window = pad(op, x, window, padding_mode)
    return _ops.linear(x, window, _TOTAL)


@shown_padding
def norm(
    op: str, x: Tensor, window: Window, *, norm_type: Any = 2.0, padding_mode: str = "identity"
) -> Tensor:
    """``(sum |x|^p)^(1/p)``."""
    prepare(op, x, window, padding_mode)
    _checks.check_floating(op, x)
    p = _checks.check_norm_type(op, norm_type)
    if padding_mode != "identity":
        x, window = pad(op, x, window, padding_mode)
    if p == math.inf:  # of nothing the norm is 0, where a maximum would be -inf
        return greatest(x.abs(), window).clamp(min=0)
    return _ops.power(x, window, p, None, _SUM)


@shown_padding
def smooth_maximum(
    op: str,
    x: Tensor,
    window: Window,
    *,
    sharpness: Any = 1.0,
    mean: bool = False,
    padding_mode: str = "identity",
) -> Tensor:
    """``log(sum exp(s*x)) / s``, or with the mean over the taps inside in place of the sum."""
    prepare(op, x, window, padding_mode)
    _checks.check_floating(op, x)
    s = _checks.check_sharpness(op, sharpness)
    if padding_mode != "identity":
        x, window = pad(op, x, window, padding_mode)
    if not mean:
        return _ops.logsumexp(x, window, s)
    wide = widen(x)
    smooth: Tensor = _ops.logsumexp(wide, window, s) - _log_taps(wide, window) / s
    return smooth.to(x.dtype)


def _log_taps(x: Tensor, window: Window) -> Any:
    """The logarithm of the number of taps inside, of every window."""
    if all(isinstance(a, Axis) and a.before == a.after == 0 and not a.ceil for a in window):
        return math.log(window.kernel_taps)
    ones = x.new_ones((1, *x.shape[x.dim() - window.rank :]))
    return _ops.linear(ones, window, _SUM).clamp(min=1).log().squeeze(0)


@shown_padding
def generalized_mean(
    op: str,
    x: Tensor,
    window: Window,
    *,
    p: Any = 3.0,
    eps: Any = 1e-6,
    padding_mode: str = "identity",
) -> Tensor:
    """``mean(max(x, eps)^p)^(1/p)`` over the taps inside; differentiable in ``p`` as a tensor."""
    prepare(op, x, window, padding_mode)
    _checks.check_floating(op, x)
    floor = _checks.check_number(op, "eps", eps)
    if isinstance(p, Tensor):
        _checks.check_per_plane(op, "p", p, x, window.rank)
    else:
        p = _checks.check_number(op, "p", p)
    if padding_mode != "identity":
        x, window = pad(op, x, window, padding_mode)
    if isinstance(p, float):
        return _ops.power(x, window, p, floor, _MEAN_INSIDE)
    wide = doubled(x)  # the powers of a float do not overflow there
    p = p.to(wide.dtype)
    mean = _ops.linear(wide.clamp(min=floor) ** p, window, _MEAN_INSIDE)
    nothing = mean == 0  # an empty window: its root would have an infinite slope
    root = torch.where(nothing, mean.new_ones(()), mean) ** (1 / p)
    return torch.where(nothing, mean, root).to(x.dtype)


@shown_padding
def median(
    op: str,
    x: Tensor,
    window: Window,
    *,
    return_indices: bool = False,
    padding_mode: str = "identity",
) -> Any:
    """The lower medians of the taps inside."""
    prepare(op, x, window, padding_mode)
    _checks.check_not_bool(op, x, "median")
    padded, bare = (x, window) if padding_mode == "identity" else pad(op, x, window, padding_mode)
    taps = reference.median_pool(padded.detach(), bare)[1]
    values, indices = _pick(padded, taps, bare)
    if not return_indices:
        return values
    if padding_mode != "identity":
        indices = unpadded(indices, window, x.shape[x.dim() - window.rank :], padding_mode)
    return values, indices


def _pick(x: Tensor, taps: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """The elements at the windows' taps and where they lie, 0 and -1 where there is no tap."""
    indices = reference.tap_indices(taps, window, x.shape[x.dim() - window.rank :])
    layout = _kernels.memory_format(x, window.rank)
    indices = indices.contiguous(memory_format=layout)
    return _ops.pick(x, indices, window.rank), indices


@shown_padding
def stochastic(
    op: str,
    x: Tensor,
    window: Window,
    *,
    training: bool = True,
    generator: torch.Generator | None = None,
    padding_mode: str = "identity",
) -> Tensor:
    """One element drawn, or the mean that the draws have, with probabilities ``max(x, 0)/sum``."""
    prepare(op, x, window, padding_mode)
    _checks.check_floating(op, x)
    _checks.check_generator(op, generator)
    if padding_mode != "identity":
        x, window = pad(op, x, window, padding_mode)
    if training:
        lead = x.dim() - window.rank
        sizes = (*x.shape[:lead], *window.out(x.shape[lead:]))
        kind: Any = {"dtype": widen(x).dtype, "device": x.device}
        if generator is not None:  # with one, even None, torch takes no symbolic sizes
            kind["generator"] = generator
        draws = torch.rand(sizes, **kind)
        return _pick(x, reference.stochastic_taps(x, window, draws), window)[0]
    positive = doubled(x).relu()  # the squares of a float do not overflow there
    share = _ops.linear(positive, window, _SUM)
    second = _ops.linear(positive * positive, window, _SUM)
    # Over nothing the mean is 0; of an infinite element, which all draws are, it is infinite.
    itself = (share == 0) | share.isinf()
    mean = second / torch.where(itself, share.new_ones(()), share)
    return torch.where(itself, share, mean).to(x.dtype)


@shown_padding
def mixture(
    op: str,
    x: Tensor,
    window: Window,
    *,
    count_include_pad: bool = True,
    alpha: Any = 0.5,
    padding_mode: str = "identity",
) -> Tensor:
    """``alpha*max + (1 - alpha)*avg``."""
    prepare(op, x, window, padding_mode)
    _checks.check_floating(op, x)
    if isinstance(alpha, Tensor):
        _checks.check_per_plane(op, "alpha", alpha, x, window.rank)
    else:
        alpha = _checks.check_number(op, "alpha", alpha, 0, 1)
    if padding_mode != "identity":
        x, window = pad(op, x, window, padding_mode)
    wide, divisor = widen(x), Divisor(bool(count_include_pad))
    # A part of 0 is left out: 0 times infinity would be no number.
    if isinstance(alpha, float) and alpha == 0:
        mixed = _ops.linear(wide, window, divisor)
    elif isinstance(alpha, float) and alpha == 1:
        mixed = greatest(wide, window)
    else:
        mixed = alpha * greatest(wide, window) + (1 - alpha) * _ops.linear(wide, window, divisor)
    return mixed.to(x.dtype)
