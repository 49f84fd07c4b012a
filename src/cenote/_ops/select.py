"""Reductions that select an element: max and min.

What they keep for the way back is which tap won, so four operators are closed under
differentiation: selection, its gradient, the adjoint of that, and the taps as indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cenote import _kernels, _onnx, reference
from cenote._kernels import flatten, no_tap, tap_type, unflatten
from cenote._ops.eager import (
    differentiable,
    eager_only,
    irregular,
    needs_torchs_formulas,
    transformed,
)
from cenote._ops.registry import (
    empty_like,
    in_layout_of,
    out_sizes,
    register,
    report_reference,
    sizes_of,
)
from cenote.window import Window

__all__ = ["select"]


def _select_pool(x: Tensor, window: list[int], reduce: str, keep: bool) -> tuple[Tensor, Tensor]:
    w = unflatten(window)
    if _kernels.supports(x):
        values, taps = _kernels.select(x, w, reduce, keep)
    else:
        report_reference(reduce, x)
        values, numbers = reference.select_pool(x, w, reduce)
        values = in_layout_of(x, values, w.rank)
        taps = in_layout_of(x, _narrow(numbers, tap_type(w, x.dtype)), w.rank) if keep else None
    return values, x.new_empty(0, dtype=torch.uint8) if taps is None else taps


def _select_pool_backward(
    grad: Tensor, taps: Tensor, window: list[int], n: Sequence[int]
) -> Tensor:
    w, size = unflatten(window), torch.Size(n)
    if _kernels.supports(grad):
        return _kernels.select_backward(grad, taps, w, size)
    report_reference("backward of select", grad)
    back = reference.select_pool_backward(grad, _widen(taps), w, size)
    return in_layout_of(taps, back, w.rank)


def _select_pool_pick(x: Tensor, taps: Tensor, window: list[int]) -> Tensor:
    w = unflatten(window)
    if _kernels.supports(x):
        return _kernels.pick(x, taps, w)
    index = reference.tap_indices(_widen(taps), w, sizes_of(x, w.rank))
    return in_layout_of(taps, reference.pick(x, index, w.rank), w.rank)


def _tap_indices(taps: Tensor, window: list[int], n: Sequence[int], floats: bool) -> Tensor:
    w, size = unflatten(window), torch.Size(n)
    if taps.device.type == "cpu":
        return _kernels.tap_indices(taps, w, size, torch.float32 if floats else torch.int64)
    return in_layout_of(taps, reference.tap_indices(_widen(taps), w, size), w.rank)


def _narrow(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(numbers < 0, no_tap(dtype), numbers).to(dtype)


def _widen(taps: Tensor) -> Tensor:
    numbers = taps.to(torch.int64)
    return torch.where(numbers == no_tap(taps.dtype), -1, numbers)


def _fake_select_pool(
    x: Tensor, window: list[int], reduce: str, keep: bool
) -> tuple[Tensor, Tensor]:
    w = unflatten(window)
    sizes = out_sizes(x, w)
    taps = empty_like(x, sizes, tap_type(w, x.dtype)) if keep else x.new_empty(0, dtype=torch.uint8)
    return empty_like(x, sizes), taps


def _fake_select_pool_backward(
    grad: Tensor, taps: Tensor, window: list[int], n: Sequence[int]
) -> Tensor:
    return empty_like(taps, n, grad.dtype)


def _fake_select_pool_pick(x: Tensor, taps: Tensor, window: list[int]) -> Tensor:
    return empty_like(taps, sizes_of(taps, len(window) // 6), x.dtype)


def _fake_tap_indices(taps: Tensor, window: list[int], n: Sequence[int], floats: bool) -> Tensor:
    return empty_like(taps, sizes_of(taps, len(window) // 6), torch.int64)


def _select_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, ctx.window, _, ctx.keep = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.n = sizes_of(x, len(ctx.window) // 6)
    ctx.save_for_backward(output[1])


def _select_gradient(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
    if not ctx.keep:
        raise RuntimeError("cenote::select_pool: needs keep=True to be differentiated")
    (taps,) = ctx.saved_tensors
    back = torch.ops.cenote.select_pool_backward(grad, taps, ctx.window, ctx.n)
    return back, None, None, None


def _taps_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    source, taps, ctx.window = inputs[:3]
    ctx.n = sizes_of(source, len(ctx.window) // 6)
    ctx.save_for_backward(taps)


def _select_backward_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    (taps,) = ctx.saved_tensors
    return torch.ops.cenote.select_pool_pick(grad, taps, ctx.window), None, None, None


def _pick_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (taps,) = ctx.saved_tensors
    back = torch.ops.cenote.select_pool_backward(grad, taps, ctx.window, ctx.n)
    return back, None, None


register(
    "select_pool(Tensor x, int[] window, str reduce, bool keep) -> (Tensor, Tensor)",
    _select_pool,
    _fake_select_pool,
    (_select_gradient, _select_context),
)
register(
    "select_pool_backward(Tensor grad, Tensor taps, int[] window, SymInt[] n) -> Tensor",
    _select_pool_backward,
    _fake_select_pool_backward,
    (_select_backward_gradient, _taps_context),
)
register(
    "select_pool_pick(Tensor x, Tensor taps, int[] window) -> Tensor",
    _select_pool_pick,
    _fake_select_pool_pick,
    (_pick_gradient, _taps_context),
)
register(
    "tap_indices(Tensor taps, int[] window, SymInt[] n, bool floats) -> Tensor",
    _tap_indices,
    _fake_tap_indices,
)


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, window: Window, reduce: str, indices: bool
    ) -> Tensor | tuple[Tensor, Tensor]:
        values, taps = _kernels.select(x, window, reduce, keep=True)
        assert taps is not None
        ctx.window, ctx.n = window, sizes_of(x, len(window))
        ctx.save_for_backward(taps)
        if not indices:
            return values
        index = _kernels.tap_indices(taps, window, ctx.n, x.dtype)
        ctx.mark_non_differentiable(index)
        return values, index

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any = None) -> Any:
        (taps,) = ctx.saved_tensors
        if eager_only(grad) and not differentiable(grad):
            return _kernels.select_backward(grad, taps, ctx.window, ctx.n), None, None, None
        flat = flatten(ctx.window)
        return torch.ops.cenote.select_pool_backward(grad, taps, flat, ctx.n), None, None, None


def select(x: Tensor, window: Window, reduce: str, indices: bool) -> Tensor | tuple[Tensor, Tensor]:
    """A selecting reduction by whichever way serves ``x``; flat int64 indices too if asked.

    ``(*lead, *n) -> (*lead, *window.out(n))``, with ``reduce`` ``"max"`` or ``"min"``.
    """
    anywhere = irregular(window)
    if eager_only(x) and not (anywhere and differentiable(x)):
        if differentiable(x):
            return _Select.apply(x, window, reduce, indices)  # type: ignore[no-any-return, no-untyped-call]
        values, taps = _kernels.select(x, window, reduce, indices)
        if taps is None:
            return values
        n = sizes_of(x, len(window))
        return values, _kernels.tap_indices(taps, window, n, x.dtype)
    if _onnx.exporting():
        traced: Tensor | tuple[Tensor, Tensor] = _onnx.select(x, window, reduce, indices)
        return traced
    if anywhere or needs_torchs_formulas():
        return _select_by_index(x, window, reduce, indices)
    flat, n = flatten(window), sizes_of(x, len(window))
    floats = x.dtype.is_floating_point
    # Under vmap a wrapper does not say whether what it wraps is to be differentiated.
    keep = differentiable(x) or indices or transformed()
    values, taps = torch.ops.cenote.select_pool(x, flat, reduce, keep)
    return (values, torch.ops.cenote.tap_indices(taps, flat, n, floats)) if indices else values


def _select_by_index(
    x: Tensor, window: Window, reduce: str, indices: bool
) -> Tensor | tuple[Tensor, Tensor]:
    """Selection as a gather at the indices of the detached input: every derivative is torch's."""
    n = sizes_of(x, len(window))
    if irregular(window):
        values, numbers = reference.select_pool(x.detach(), window, reduce)
        index = reference.tap_indices(numbers, window, n)
    else:
        flat = flatten(window)
        values, taps = torch.ops.cenote.select_pool(x.detach(), flat, reduce, True)
        index = torch.ops.cenote.tap_indices(taps, flat, n, x.dtype.is_floating_point)
    picked = torch.where(index < 0, values, reference.pick(x, index, window.rank))
    return (picked, index) if indices else picked
