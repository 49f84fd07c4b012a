"""Plans: a plain call on the same sizes with the same arguments as one before.

They serve dense tensors, and arguments that are plain integers or tuples of them; every other call
goes the ordinary way, which also says what is wrong with it. A plan is kept only for what was
checked, so what equals it needs no check again; an ``out`` is compared with it in every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cenote import _args, _checks, options
from cenote._ops import eager_only, planned
from cenote._ops.planned import Plan
from cenote.functional._families import Op
from cenote.window import Window

__all__ = ["average", "general", "shares", "sliding"]

Arguments = tuple[Any, Any, Any, Any, bool]
"""Kernel, stride, padding, dilation, ceil mode."""

Run = Callable[[Plan, Tensor, options.Options], Any]
"""What to make of a plan."""

_INTEGERS = {int}
_REDUCTIONS = frozenset({"max", "min", "avg", "sum"})
_MOST = 1024
_plans: dict[Any, Plan] = {}


def _plain(value: Any) -> bool:
    """Whether a value may be a key: True and 1.0 equal 1, and must not be taken for it."""
    kind = type(value)
    return kind is int or (kind is tuple and set(map(type, value)) == _INTEGERS)


def average(include: Any) -> str:
    """What plans call averages with padding in the divisor, or without."""
    return "avg" if include else "avg of what is inside"


def sliding(op: Op, x: Tensor, arguments: Arguments, reduce: str, run: Run = planned.fresh) -> Any:
    """What ``run`` makes of a window that slides; None where the ordinary way has to be gone."""
    kernel_size, stride, padding, dilation, _ = arguments
    if (
        (type(kernel_size) is int or _plain(kernel_size))
        and (stride is None or type(stride) is int or _plain(stride))
        and (type(padding) is int or _plain(padding))
        and (type(dilation) is int or _plain(dilation))
    ):
        return _fresh(op, x, arguments, reduce, _args.pool_window, run)
    return None


def shares(op: Op, x: Tensor, output_size: Any, reduce: str) -> Tensor | None:
    """As many windows as there shall be outputs, by a plan; None as above."""
    if type(output_size) is int or _plain(output_size):
        build = _args.adaptive_window
        result: Tensor | None = _fresh(op, x, (output_size,), reduce, build, planned.fresh)
        return result
    return None


def _fresh(
    op: Op,
    x: Tensor,
    arguments: tuple[Any, ...],
    reduce: str,
    build: Callable[..., Window],
    run: Run,
) -> Any:
    if not eager_only(x) or x.layout is not torch.strided:
        return None
    knobs = options.current()
    if knobs.verbose:
        return None
    key = (op, arguments, reduce, x.shape, x.stride(), x.dtype)
    plan = _plans.get(key)
    if plan is None:
        window = build(op.name, op.rank, *arguments)
        plan = _keep(key, op.name, x, window, reduce)
        if plan is None:
            return None
    return run(plan, x, knobs)


def general(
    x: Any, window: Any, reduce: Any, out: Tensor | None, given: dict[str, Any]
) -> Tensor | None:
    """Any window and a reduction by name, into ``out`` if there is one; None as above."""
    if (
        not eager_only(x)
        or x.layout is not torch.strided
        or type(window) is not Window
        or type(reduce) is not str
        or reduce not in _REDUCTIONS
    ):
        return None
    if given:
        include = given.get("count_include_pad")
        if reduce != "avg" or len(given) > 1 or type(include) is not bool:
            return None
        reduce = average(include)
    knobs = options.current()
    if knobs.verbose:
        return None
    key = (window, reduce, x.shape, x.stride(), x.dtype)
    plan = _plans.get(key)
    if plan is None:
        _args.check_window("pool", window)
        plan = _keep(key, "pool", x, window, reduce)
        if plan is None:
            return None
    if out is not None:
        return out if planned.into(plan, x, out, knobs) else None
    if plan.irregular and x.requires_grad and torch.is_grad_enabled():
        return None
    return planned.fresh(plan, x, knobs)


def _keep(key: Any, op: str, x: Tensor, window: Window, reduce: str) -> Plan | None:
    """Make a plan, unless there is nothing to do, or something for the ordinary way to say."""
    _checks.check_input(op, x, window)
    if x.dtype == torch.bool and reduce.startswith("avg"):
        return None
    plan = planned.make(x, window, reduce)
    if plan is not None:
        if len(_plans) >= _MOST:
            _plans.clear()
        _plans[key] = plan
    return plan
