"""A call that is worked out but for its addresses: room for the result, and one call of a kernel.

On small tensors, checks and sizes cost more than the work. A plan has them behind it, for tensors
of one shape, type and strides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cenote import _kernels, options
from cenote._kernels import Divisor, Sum, flatten
from cenote._ops.eager import PLAIN, differentiable, eager_only, irregular
from cenote._ops.registry import sizes_of
from cenote.window import Window

__all__ = ["SUMS", "Plan", "fresh", "into", "make", "with_indices"]

SUMS = {
    "avg": Sum(Divisor()),
    "avg of what is inside": Sum(Divisor(count_include_pad=False)),
    "sum": Sum(Divisor(override=1, rounding="int64")),
}
"""The linear reductions that have plans; the selecting ones are "max" and "min"."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is the same in all calls on tensors of one shape, type and strides."""

    window: Window
    n: torch.Size
    outer: int
    select: str | None  # the selecting reduction, or
    add: Sum  # what a linear one adds up
    forward: Callable[..., None]
    backward: Callable[..., None]
    places: Callable[..., None]  # from taps to indices
    memory_format: torch.memory_format
    sizes: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype
    bytes_read: int
    bytes_written: int
    room: Callable[[], Tensor]
    room_for_taps: Callable[[], Tensor]
    room_for_indices: Callable[[], Tensor]
    room_for_gradient: Callable[[], Tensor]
    irregular: bool


def make(x: Tensor, window: Window, reduce: str) -> Plan | None:
    """A plan for what was checked before; None for tensors that are not dense in their layout."""
    rank = len(window)
    layout = _kernels.memory_format(x, rank)
    if x.numel() == 0 or not x.is_contiguous(memory_format=layout):
        return None
    lead, n = x.shape[: x.dim() - rank], sizes_of(x, rank)
    inner = 1 if layout is torch.contiguous_format else x.shape[1]
    add = SUMS.get(reduce)
    forward: Callable[..., None]
    backward: Callable[..., None]
    if add is None:
        pool = _kernels.recipe(window, n, inner, x.dtype)
        dtype, forward, backward = x.dtype, pool.select, pool.select_backward
    else:
        pool = _kernels.sum_recipe(window, n, inner, x.dtype, add)
        dtype, forward, backward = (
            _kernels.sum_type(x.dtype, add.divisor), pool.sum, pool.sum_backward
        )  # fmt: skip
    sizes = torch.Size((*lead, *pool.out))
    strides = _strides(sizes, layout)
    return Plan(
        window, n, lead.numel() // inner, reduce if add is None else None, add or Sum(),
        forward, backward, pool.indices, layout, sizes, strides, dtype,
        x.numel() * x.itemsize, sizes.numel() * dtype.itemsize,
        partial(torch.empty_strided, sizes, strides, dtype=dtype),
        partial(torch.empty_strided, sizes, strides, dtype=_kernels.tap_type(window, x.dtype)),
        partial(torch.empty_strided, sizes, strides, dtype=torch.int64),
        partial(torch.empty_strided, x.shape, _strides(x.shape, layout), dtype=x.dtype),
        irregular(window),
    )  # fmt: skip


def _strides(sizes: Sequence[int], layout: torch.memory_format) -> tuple[int, ...]:
    """The strides of a new tensor without an empty axis."""
    axes = list(range(len(sizes)))
    if layout is not torch.contiguous_format:
        axes.append(axes.pop(1))
    strides, step = [0] * len(sizes), 1
    for axis in reversed(axes):
        strides[axis] = step
        step *= sizes[axis]
    return tuple(strides)


def fresh(plan: Plan, x: Tensor, knobs: options.Options) -> Tensor:
    """The result in new memory, with its gradient if one may be asked for."""
    if x.requires_grad and torch.is_grad_enabled():
        function: Any = _Linear if plan.select is None else _Select
        result: Tensor = function.apply(x, plan)
        return result
    out = plan.room()
    call = _kernels.call_with(knobs)
    if plan.select is None:
        plan.forward(call, plan.outer, x.data_ptr(), out.data_ptr())
    else:
        plan.forward(call, plan.select, plan.outer, x.data_ptr(), out.data_ptr(), 0)
    return out


def with_indices(plan: Plan, x: Tensor, knobs: options.Options) -> tuple[Tensor, Tensor]:
    """What a selecting plan selects, and where in its plane each element lies."""
    if x.requires_grad and torch.is_grad_enabled():
        pair: tuple[Tensor, Tensor] = _SelectWithIndices.apply(x, plan)  # type: ignore[no-untyped-call]
        return pair
    return _select(plan, x, knobs)[::2]


def _select(plan: Plan, x: Tensor, knobs: options.Options) -> tuple[Tensor, Tensor, Tensor]:
    """Values, taps and indices."""
    out, taps, index = plan.room(), plan.room_for_taps(), plan.room_for_indices()
    call = _kernels.call_with(knobs)
    at = taps.data_ptr()
    plan.forward(call, plan.select, plan.outer, x.data_ptr(), out.data_ptr(), at)
    plan.places(call, plan.outer, at, index.data_ptr())
    return out, taps, index


def into(plan: Plan, x: Tensor, out: Any, knobs: options.Options) -> bool:
    """Write the result to ``out``, unless something has to be said of it or done about it."""
    if not _fits(plan, out) or ((x.requires_grad or out.requires_grad) and torch.is_grad_enabled()):
        return False
    here, there = x.data_ptr(), out.data_ptr()
    if here < there + plan.bytes_written and there < here + plan.bytes_read:
        return False
    call = _kernels.call_with(knobs)
    if plan.select is None:
        plan.forward(call, plan.outer, here, there)
    else:
        plan.forward(call, plan.select, plan.outer, here, there, 0)
    return True


def _fits(plan: Plan, out: Any) -> bool:
    """Whether a kernel may write the result straight to ``out``."""
    return (
        type(out) in PLAIN
        and out.is_cpu
        and out.layout is torch.strided
        and out.dtype is plan.dtype
        and out.shape == plan.sizes
        and out.stride() == plan.strides
        and not out.is_neg()
    )


def _dense(plan: Plan, grad: Tensor) -> Tensor:
    if grad.stride() == plan.strides:
        return grad
    return grad.contiguous(memory_format=plan.memory_format)


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: Plan) -> Tensor:
        out, taps = plan.room(), plan.room_for_taps()
        plan.forward(
            _kernels.call_with(options.current()), plan.select, plan.outer,
            x.data_ptr(), out.data_ptr(), taps.data_ptr(),
        )  # fmt: skip
        ctx.plan = plan
        ctx.save_for_backward(taps)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any = None) -> Any:
        (taps,) = ctx.saved_tensors
        plan = ctx.plan
        knobs = options.current()
        if not knobs.verbose and eager_only(grad) and not differentiable(grad):
            grad, to = _dense(plan, grad), plan.room_for_gradient()
            call = _kernels.call_with(knobs)
            plan.backward(call, plan.outer, grad.data_ptr(), taps.data_ptr(), to.data_ptr())
            return to, None
        flat = flatten(plan.window)
        return torch.ops.cenote.select_pool_backward(grad, taps, flat, plan.n), None


class _SelectWithIndices(_Select):
    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: Plan) -> Any:
        out, taps, index = _select(plan, x, options.current())
        ctx.plan = plan
        ctx.save_for_backward(taps)
        ctx.mark_non_differentiable(index)
        return out, index


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: Plan) -> Tensor:
        out = plan.room()
        call = _kernels.call_with(options.current())
        plan.forward(call, plan.outer, x.data_ptr(), out.data_ptr())
        ctx.plan = plan
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        plan = ctx.plan
        knobs = options.current()
        if not knobs.verbose and eager_only(grad) and not differentiable(grad):
            grad, to = _dense(plan, grad), plan.room_for_gradient()
            plan.backward(_kernels.call_with(knobs), plan.outer, grad.data_ptr(), to.data_ptr())
            return to, None
        return torch.ops.cenote.linear_pool_backward(
            grad, flatten(plan.window), plan.n, *plan.add.divisor, []
        ), None
