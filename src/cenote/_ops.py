"""The operators as PyTorch knows them: ``torch.ops.cenote.*``, and the short way to them.

Forward and backward are operators of their own, each with an implementation, a fake one for
tracing, an autograd formula made of the others, and a batching rule. In plain eager mode none of
that is needed: :func:`eager_only` says when, and the call goes straight to the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from cenote import _kernels, options, reference
from cenote._kernels import Divisor, flatten, no_tap, tap_type, unflatten
from cenote.window import Window

__all__ = ["avg", "eager_only", "select"]

_library = torch.library.Library("cenote", "DEF")


# Implementations: the kernels where there are some, else the reference.


def _select_pool(x: Tensor, window: list[int], reduce: str, keep: bool) -> tuple[Tensor, Tensor]:
    w = unflatten(window)
    if _kernels.supports(x):
        values, taps = _kernels.select(x, w, reduce, keep)
    else:
        _report_reference(reduce, x)
        values, numbers = reference.select_pool(x, w, reduce)
        values = _in_layout_of(x, values, w.rank)
        taps = _in_layout_of(x, _narrow(numbers, w), w.rank) if keep else None
    return values, x.new_empty(0, dtype=torch.uint8) if taps is None else taps


def _select_pool_backward(
    grad: Tensor, taps: Tensor, window: list[int], n: Sequence[int]
) -> Tensor:
    w, size = unflatten(window), torch.Size(n)
    if _kernels.supports(grad):
        return _kernels.select_backward(grad, taps, w, size)
    _report_reference("backward of select", grad)
    back = reference.select_pool_backward(grad, _widen(taps), w, size)
    return _in_layout_of(taps, back, w.rank)


def _select_pool_pick(x: Tensor, taps: Tensor, window: list[int]) -> Tensor:
    w = unflatten(window)
    if _kernels.supports(x):
        return _kernels.pick(x, taps, w)
    index = reference.tap_indices(_widen(taps), w, x.shape[-w.rank :])
    return _in_layout_of(taps, reference.pick(x, index, w.rank), w.rank)


def _tap_indices(taps: Tensor, window: list[int], n: Sequence[int]) -> Tensor:
    w, size = unflatten(window), torch.Size(n)
    if taps.device.type == "cpu":
        return _kernels.tap_indices(taps, w, size)
    return _in_layout_of(taps, reference.tap_indices(_widen(taps), w, size), w.rank)


def _avg_pool(
    x: Tensor, window: list[int], count_include_pad: bool, divisor_override: int | None
) -> Tensor:
    w = unflatten(window)
    if _kernels.supports(x):
        return _kernels.avg(x, w, Divisor(count_include_pad, divisor_override))
    _report_reference("avg", x)
    pooled = reference.avg_pool(x, w, count_include_pad, divisor_override)
    return _in_layout_of(x, pooled, w.rank)


def _avg_pool_backward(
    grad: Tensor,
    window: list[int],
    n: Sequence[int],
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    w, size = unflatten(window), torch.Size(n)
    if _kernels.supports(grad):
        return _kernels.avg_backward(grad, w, size, Divisor(count_include_pad, divisor_override))
    _report_reference("backward of avg", grad)
    spread = reference.avg_pool_backward(grad, w, size, count_include_pad, divisor_override)
    return _in_layout_of(grad, spread, w.rank)


def _report_reference(what: str, x: Tensor) -> None:
    if options.current().verbose:
        kind, shape = str(x.dtype).removeprefix("torch."), "x".join(map(str, x.shape))
        why = kind if x.device.type == "cpu" else x.device.type
        options.report(f"{what} {kind} {shape}: reference, no kernels for {why}")


def _narrow(numbers: Tensor, window: Window) -> Tensor:
    dtype = tap_type(window)
    return torch.where(numbers < 0, no_tap(dtype), numbers).to(dtype)


def _widen(taps: Tensor) -> Tensor:
    numbers = taps.to(torch.int64)
    return torch.where(numbers == no_tap(taps.dtype), -1, numbers)


def _in_layout_of(x: Tensor, result: Tensor, rank: int) -> Tensor:
    return result.contiguous(memory_format=_kernels.memory_format(x, rank))


# What tracing sees: sizes, element types and layouts, without data.


def _empty_like(x: Tensor, sizes: Sequence[Any], dtype: torch.dtype | None = None) -> Tensor:
    lead = x.shape[: x.dim() - len(sizes)]
    layout = _kernels.memory_format(x, len(sizes))
    return torch.empty(
        (*lead, *sizes), dtype=dtype or x.dtype, device=x.device, memory_format=layout
    )


def _out_sizes(x: Tensor, window: Window) -> tuple[int, ...]:
    return window.out(x.shape[x.dim() - window.rank :])


def _fake_select_pool(
    x: Tensor, window: list[int], reduce: str, keep: bool
) -> tuple[Tensor, Tensor]:
    w = unflatten(window)
    sizes = _out_sizes(x, w)
    taps = _empty_like(x, sizes, tap_type(w)) if keep else x.new_empty(0, dtype=torch.uint8)
    return _empty_like(x, sizes), taps


def _fake_select_pool_backward(
    grad: Tensor, taps: Tensor, window: list[int], n: Sequence[int]
) -> Tensor:
    return _empty_like(taps, n, grad.dtype)


def _fake_select_pool_pick(x: Tensor, taps: Tensor, window: list[int]) -> Tensor:
    return _empty_like(taps, taps.shape[taps.dim() - len(window) // 6 :], x.dtype)


def _fake_tap_indices(taps: Tensor, window: list[int], n: Sequence[int]) -> Tensor:
    return _empty_like(taps, taps.shape[taps.dim() - len(window) // 6 :], torch.int64)


def _fake_avg_pool(
    x: Tensor, window: list[int], count_include_pad: bool, divisor_override: int | None
) -> Tensor:
    return _empty_like(x, _out_sizes(x, unflatten(window)))


def _fake_avg_pool_backward(
    grad: Tensor,
    window: list[int],
    n: Sequence[int],
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    return _empty_like(grad, n)


# Autograd: the six operators are closed under differentiation.


def _select_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, ctx.window, _, keep = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.n = x.shape[x.dim() - len(ctx.window) // 6 :]
    ctx.keep = keep
    ctx.save_for_backward(output[1])


def _select_gradient(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
    if not ctx.keep:
        raise RuntimeError("cenote::select_pool: needs keep=True to be differentiated")
    (taps,) = ctx.saved_tensors
    back = torch.ops.cenote.select_pool_backward(grad, taps, ctx.window, ctx.n)
    return back, None, None, None


def _taps_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    source, taps, ctx.window = inputs[:3]
    ctx.n = source.shape[source.dim() - len(ctx.window) // 6 :]
    ctx.save_for_backward(taps)


def _select_backward_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    (taps,) = ctx.saved_tensors
    return torch.ops.cenote.select_pool_pick(grad, taps, ctx.window), None, None, None


def _pick_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (taps,) = ctx.saved_tensors
    back = torch.ops.cenote.select_pool_backward(grad, taps, ctx.window, ctx.n)
    return back, None, None


def _avg_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.window, ctx.include, ctx.override = inputs
    ctx.n = x.shape[x.dim() - len(ctx.window) // 6 :]


def _avg_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    back = torch.ops.cenote.avg_pool_backward(grad, ctx.window, ctx.n, ctx.include, ctx.override)
    return back, None, None, None


def _avg_backward_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.window, _, ctx.include, ctx.override = inputs


def _avg_backward_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
    back = torch.ops.cenote.avg_pool(grad, ctx.window, ctx.include, ctx.override)
    return back, None, None, None, None


# Batching: what vmap adds becomes part of the leading sizes, which no operator looks into.


def _batched(name: str, tensors: int) -> Callable[..., tuple[Any, Any]]:
    """The vmap rule of the operator ``name``, whose first ``tensors`` arguments are tensors."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        rank = len(args[tensors]) // 6  # the window follows the tensors
        lead: tuple[int, ...] = ()
        flat = []
        for x, dim in zip(args[:tensors], in_dims, strict=False):
            front = x.movedim(dim, 0) if dim is not None else x.expand(info.batch_size, *x.shape)
            lead = tuple(front.shape[: front.dim() - rank])
            flat.append(front.reshape(-1, *front.shape[front.dim() - rank :]))
        result = getattr(torch.ops.cenote, name)(*flat, *args[tensors:])

        def unfold(y: Tensor) -> Tensor:
            return y.reshape(*lead, *y.shape[1:]) if y.dim() > 1 else y.expand(info.batch_size, 0)

        if isinstance(result, tuple):
            return tuple(map(unfold, result)), (0,) * len(result)
        return unfold(result), 0

    return rule


def _register(
    schema: str,
    implementation: Callable[..., Any],
    fake: Callable[..., Any],
    autograd: tuple[Callable[..., Any], Callable[..., Any]] | None,
) -> None:
    name = schema.split("(")[0]
    _library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    # One function for all devices: it looks at the tensor itself.
    _library.impl(name, implementation, "CompositeExplicitAutograd")
    torch.library.register_fake(f"cenote::{name}", fake, lib=_library)
    if autograd is not None:
        backward, context = autograd
        torch.library.register_autograd(
            f"cenote::{name}", backward, setup_context=context, lib=_library
        )
    tensors = schema.split("->")[0].count("Tensor ")
    torch.library.register_vmap(f"cenote::{name}", _batched(name, tensors), lib=_library)


_register(
    "select_pool(Tensor x, int[] window, str reduce, bool keep) -> (Tensor, Tensor)",
    _select_pool,
    _fake_select_pool,
    (_select_gradient, _select_context),
)
_register(
    "select_pool_backward(Tensor grad, Tensor taps, int[] window, SymInt[] n) -> Tensor",
    _select_pool_backward,
    _fake_select_pool_backward,
    (_select_backward_gradient, _taps_context),
)
_register(
    "select_pool_pick(Tensor x, Tensor taps, int[] window) -> Tensor",
    _select_pool_pick,
    _fake_select_pool_pick,
    (_pick_gradient, _taps_context),
)
_register(
    "tap_indices(Tensor taps, int[] window, SymInt[] n) -> Tensor",
    _tap_indices,
    _fake_tap_indices,
    None,
)
_register(
    "avg_pool(Tensor x, int[] window, bool count_include_pad, int? divisor_override) -> Tensor",
    _avg_pool,
    _fake_avg_pool,
    (_avg_gradient, _avg_context),
)
_register(
    "avg_pool_backward(Tensor grad, int[] window, SymInt[] n, bool count_include_pad,"
    " int? divisor_override) -> Tensor",
    _avg_pool_backward,
    _fake_avg_pool_backward,
    (_avg_backward_gradient, _avg_backward_context),
)


# The short way. Its conditions are private parts of torch; where one is missing, it is closed.

try:
    _transforms_active = torch._C._are_functorch_transforms_active
    _interpreters = torch._C._functorch.get_interpreter_stack
    _dispatch_modes = torch._C._len_torch_dispatch_stack
    _function_mode = torch._C._is_torch_function_mode_enabled
    _tracing_state = torch._C._get_tracing_state
    _profiling = torch.autograd._profiler_enabled  # type: ignore[attr-defined]
    _forward_level = forward_ad._current_level
    _guards_known = isinstance(_forward_level, int)
except AttributeError:
    _guards_known = False

_PLAIN = (Tensor, torch.nn.Parameter)


def eager_only(x: Tensor) -> bool:
    """Whether nothing but numbers is asked of a call on ``x``: no tracing, mode or transform."""
    return (
        not torch.compiler.is_compiling()
        and _guards_known
        and type(x) in _PLAIN
        and _kernels.supports(x)
        and not _transforms_active()
        and forward_ad._current_level < 0
        and _dispatch_modes() == 0
        and not _function_mode()
        and _tracing_state() is None
        and not torch.is_autocast_enabled("cpu")
        and not _profiling()
        and not x.is_neg()
    )


def _needs_torchs_formulas() -> bool:
    """Whether derivatives are taken where registered formulas do not serve: jvp, func.grad.

    A registered formula yields zero tangents there, or an error. vmap alone keeps the operators.
    """
    if forward_ad._current_level >= 0:
        return True
    if torch.compiler.is_compiling() or not _guards_known or not _transforms_active():
        return False
    stack = _interpreters() or []
    return any(level.key() != torch._C._functorch.TransformType.Vmap for level in stack)


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, window: Window, reduce: str, indices: bool
    ) -> Tensor | tuple[Tensor, Tensor]:
        values, taps = _kernels.select(x, window, reduce, keep=True)
        assert taps is not None
        ctx.window, ctx.n = window, x.shape[x.dim() - len(window) :]
        ctx.save_for_backward(taps)
        if not indices:
            return values
        index = _kernels.tap_indices(taps, window, ctx.n)
        ctx.mark_non_differentiable(index)
        return values, index

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any = None) -> Any:
        (taps,) = ctx.saved_tensors
        if eager_only(grad) and not (torch.is_grad_enabled() and grad.requires_grad):
            return _kernels.select_backward(grad, taps, ctx.window, ctx.n), None, None, None
        flat = flatten(ctx.window)
        return torch.ops.cenote.select_pool_backward(grad, taps, flat, ctx.n), None, None, None


class _Avg(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: Window, divisor: Divisor) -> Tensor:
        ctx.window, ctx.n, ctx.divisor = window, x.shape[x.dim() - len(window) :], divisor
        return _kernels.avg(x, window, divisor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        if eager_only(grad) and not (torch.is_grad_enabled() and grad.requires_grad):
            return _kernels.avg_backward(grad, ctx.window, ctx.n, ctx.divisor), None, None
        flat = flatten(ctx.window)
        back = torch.ops.cenote.avg_pool_backward(grad, flat, ctx.n, *ctx.divisor)
        return back, None, None


def select(x: Tensor, window: Window, reduce: str, indices: bool) -> Tensor | tuple[Tensor, Tensor]:
    """A selecting reduction by whichever way serves ``x``; flat int64 indices too if asked."""
    differentiable = torch.is_grad_enabled() and x.requires_grad
    if eager_only(x):
        if differentiable:
            return _Select.apply(x, window, reduce, indices)  # type: ignore[no-any-return, no-untyped-call]
        values, taps = _kernels.select(x, window, reduce, indices)
        if taps is None:
            return values
        return values, _kernels.tap_indices(taps, window, x.shape[x.dim() - len(window) :])
    n = x.shape[x.dim() - window.rank :]
    flat = flatten(window)
    if _needs_torchs_formulas():
        return _select_by_index(x, window, reduce, indices)
    # Under vmap a wrapper does not say whether what it wraps is to be differentiated.
    keep = differentiable or indices or (_guards_known and _transforms_active())
    values, taps = torch.ops.cenote.select_pool(x, flat, reduce, keep)
    return (values, torch.ops.cenote.tap_indices(taps, flat, n)) if indices else values


def _select_by_index(
    x: Tensor, window: Window, reduce: str, indices: bool
) -> Tensor | tuple[Tensor, Tensor]:
    """Selection as a gather at the indices of the detached input: every derivative is torch's."""
    n = x.shape[x.dim() - window.rank :]
    flat = flatten(window)
    values, taps = torch.ops.cenote.select_pool(x.detach(), flat, reduce, True)
    index = torch.ops.cenote.tap_indices(taps, flat, n)
    picked = torch.where(index < 0, values, reference.pick(x, index, window.rank))
    return (picked, index) if indices else picked


def avg(x: Tensor, window: Window, divisor: Divisor) -> Tensor:
    """A sum over a divisor by whichever way serves ``x``."""
    if eager_only(x):
        if torch.is_grad_enabled() and x.requires_grad:
            return _Avg.apply(x, window, divisor)  # type: ignore[no-any-return, no-untyped-call]
        return _kernels.avg(x, window, divisor)
    if _needs_torchs_formulas():
        return reference.avg_pool(x, window, *divisor)
    result: Tensor = torch.ops.cenote.avg_pool(x, flatten(window), *divisor)
    return result
