"""Powers: ``(sum of f(x)^p / divisor)^(1/p)``, with the size of ``x`` or what exceeds a floor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _kernels, _onnx, reference
from cenote._kernels import Divisor, Sum, flatten, unflatten
from cenote._ops.eager import differentiable, eager_only, irregular, needs_torchs_formulas
from cenote._ops.linear import linear_transpose
from cenote._ops.registry import (
    empty_like,
    in_layout_of,
    out_sizes,
    register,
    report_reference,
    sizes_of,
)
from cenote.reference.layout import doubled
from cenote.window import Window

__all__ = ["power"]


def _sum(p: float, floor: float | None, divisor: Divisor) -> Sum:
    if floor is not None:
        return Sum(divisor, None, "raised", p, floor)
    return Sum(divisor, None, "abs" if p == 1 else "square" if p == 2 else "power", p)


def _power_pool(
    x: Tensor,
    window: list[int],
    p: float,
    floor: float | None,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    w, divisor = unflatten(window), Divisor(count_include_pad, divisor_override)
    if _kernels.supports(x):
        return _kernels.linear(x, w, _sum(p, floor, divisor))
    report_reference("power", x)
    return in_layout_of(x, reference.power_pool(x, w, p, floor, *divisor[:2]), w.rank)


def _fake_power_pool(x: Tensor, window: list[int], *_: Any) -> Tensor:
    return empty_like(x, out_sizes(x, unflatten(window)))


def _context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.window, ctx.p, ctx.floor, *ctx.divisor = inputs
    ctx.save_for_backward(x, output)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """``f'(x) f(x)^(p-1)`` times what windows give: their gradient times ``y^(1-p)/divisor``."""
    x, y = ctx.saved_tensors
    p, w = ctx.p, unflatten(ctx.window)
    wide = doubled(x)  # the powers of a float do not overflow there
    if ctx.floor is None and p == 2:
        slope = wide
    elif ctx.floor is None:
        slope = wide.sign() * torch.where(wide == 0, 1.0, wide.abs()).pow(p - 1)
    else:
        slope = (wide >= ctx.floor) * wide.clamp(min=ctx.floor).pow(p - 1)
    still = y == 0  # of a window without anything the slope is taken as 0
    turn = torch.where(still, 1.0, doubled(y)).pow(1 - p)
    turn = torch.where((grad == 0) & ~turn.isfinite(), 0.0, turn)  # nothing to be given
    given = torch.where(still, 0.0, grad * turn) if p != 1 else doubled(grad)
    n = sizes_of(x, w.rank)
    spread = linear_transpose(given, w, n, Divisor(*ctx.divisor))
    # What no window reads gets nothing, whatever it is: 0 times infinity would be no number.
    slope = torch.where((spread == 0) & ~slope.isfinite(), 0.0, slope)
    back = slope * spread
    return back.to(x.dtype), None, None, None, None, None


register(
    "power_pool(Tensor x, int[] window, float p, float? floor, bool count_include_pad,"
    " int? divisor_override) -> Tensor",
    _power_pool,
    _fake_power_pool,
    (_gradient, _context),
)


def power(x: Tensor, window: Window, p: float, floor: float | None, divisor: Divisor) -> Tensor:
    """``(sum of f(x)^p / divisor)^(1/p)``: ``f`` is ``abs``, or with a floor ``max(x, floor)``.

    ``(*lead, *n) -> (*lead, *window.out(n))``.
    """
    if eager_only(x) and not differentiable(x):
        return _kernels.linear(x, window, _sum(p, floor, divisor))
    if _onnx.exporting():
        return _onnx.power(x, window, p, floor, divisor)
    if x.dtype.itemsize == 2 and differentiable(x):  # the gradient starts from an exact output
        return power(x.float(), window, p, floor, divisor).to(x.dtype)
    if irregular(window) or needs_torchs_formulas():
        return reference.power_pool(x, window, p, floor, *divisor[:2])
    flat = flatten(window)
    result: Tensor = torch.ops.cenote.power_pool(x, flat, p, floor, *divisor[:2])
    return result
