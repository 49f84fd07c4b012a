"""Plans: a plain call on the same sizes with the same arguments as one before.

On small tensors a call costs more than the work. A plan has the work behind the checks ready: one
allocation and one call of a kernel are left. It serves contiguous and channels-last tensors without
a gradient, and arguments that are plain integers or tuples of them; every other call goes the
ordinary way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cenote import _args, _checks, _kernels, options
from cenote._kernels import Divisor, Sum
from cenote._ops import eager_only
from cenote.functional._families import Op

__all__ = ["average", "selection"]

Arguments = tuple[Any, Any, Any, Any, bool]
"""Kernel, stride, padding, dilation, ceil mode."""

_Plan = tuple[torch.Size, Callable[..., None], tuple[Any, ...]]

_INTEGERS = {int}
_MOST = 1024
_plans: dict[Any, _Plan] = {}


def _plain(value: Any) -> bool:
    """Whether a value may be a key: True and 1.0 equal 1, and must not be taken for it."""
    kind = type(value)
    return kind is int or (kind is tuple and set(map(type, value)) == _INTEGERS)


def _eligible(x: Tensor, arguments: Arguments) -> bool:
    kernel_size, stride, padding, dilation, _ = arguments
    return (
        _plain(kernel_size)
        and (stride is None or _plain(stride))
        and _plain(padding)
        and _plain(dilation)
        and eager_only(x)
        and not (x.requires_grad and torch.is_grad_enabled())
    )


def _layout(op: Op, x: Tensor) -> torch.memory_format | None:
    """The layout that a tensor is dense in, if any."""
    if x.is_contiguous():
        return torch.contiguous_format
    last = _kernels.CHANNELS_LAST.get(x.dim()) if x.dim() == op.rank + 2 else None
    return last if last is not None and x.is_contiguous(memory_format=last) else None


def _room(x: Tensor, sizes: torch.Size, layout: torch.memory_format) -> Tensor:
    if layout is torch.contiguous_format:
        return x.new_empty(sizes)
    return torch.empty(sizes, dtype=x.dtype, memory_format=layout)


def selection(op: Op, x: Tensor, arguments: Arguments) -> Tensor | None:
    """The greatest or least elements by a plan; None where the ordinary way has to be gone."""
    layout = _layout(op, x) if _eligible(x, arguments) else None
    if layout is None:
        return None
    knobs = options.current()
    plan = _plans.get((op, arguments, x.shape, x.dtype, layout))
    if plan is None or knobs.verbose:
        plan = _keep(op, x, arguments, layout, None)
        if plan is None:
            return None
    sizes, select, rest = plan
    out = _room(x, sizes, layout)
    select(_kernels.call_with(knobs), *rest, x.data_ptr(), out.data_ptr(), 0)
    return out


def average(op: Op, x: Tensor, arguments: Arguments, include: bool) -> Tensor | None:
    """Averages, with or without padding in the divisor, by a plan; None as above."""
    layout = _layout(op, x) if _eligible(x, arguments) else None
    if layout is None:
        return None
    knobs = options.current()
    plan = _plans.get((op, arguments, x.shape, x.dtype, layout, include))
    if plan is None or knobs.verbose:
        plan = _keep(op, x, arguments, layout, include)
        if plan is None:
            return None
    sizes, add_up, rest = plan
    out = _room(x, sizes, layout)
    add_up(_kernels.call_with(knobs), *rest, x.data_ptr(), out.data_ptr())
    return out


def _keep(
    op: Op, x: Tensor, arguments: Arguments, layout: torch.memory_format, include: bool | None
) -> _Plan | None:
    """Make a plan, unless there is nothing to do or something to say."""
    window = _args.pool_window(op.name, op.rank, *arguments)
    _checks.check_input(op.name, x, window)
    if include is not None:
        _checks.check_not_bool(op.name, x, "average")
    lead, n = x.shape[: x.dim() - op.rank], x.shape[x.dim() - op.rank :]
    if x.numel() == 0 or options.current().verbose:
        return None
    plan: _Plan
    sizes = torch.Size((*lead, *window.out(n)))
    inner = 1 if layout is torch.contiguous_format else x.shape[1]
    outer = lead.numel() // inner
    key: tuple[Any, ...] = (op, arguments, x.shape, x.dtype, layout)
    if include is None:
        pool = _kernels.recipe(window, n, inner, x.dtype)
        plan = sizes, pool.select, (op.reduce, outer)
    else:
        pool = _kernels.sum_recipe(window, n, inner, x.dtype, Sum(Divisor(include)))
        plan, key = (sizes, pool.sum, (outer,)), (*key, include)
    if len(_plans) >= _MOST:
        _plans.clear()
    _plans[key] = plan
    return plan
