"""Reductions that add up: sums, averages, weighted sums, and the adjoint of all of them.

The operator and its adjoint are each other's gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cenote import _kernels, _onnx, reference
from cenote._kernels import Divisor, Sum, Weights, flatten, unflatten
from cenote._ops.eager import differentiable, eager_only, irregular, needs_torchs_formulas
from cenote._ops.registry import (
    empty_like,
    in_layout_of,
    out_sizes,
    plain,
    register,
    report_reference,
    sizes_of,
)
from cenote.window import Window

__all__ = ["linear", "linear_transpose"]


def _what(
    window: list[int], include: bool, override: int | None, rounding: str, weights: list[float]
) -> Sum:
    """What flat arguments describe; the weights lie one axis behind the other."""
    if not weights:
        return Sum(Divisor(include, override, rounding))
    kernels = window[::6]
    ends = [sum(kernels[: axis + 1]) for axis in range(len(kernels))]
    split = tuple(tuple(weights[end - k : end]) for k, end in zip(kernels, ends, strict=True))
    return Sum(Divisor(include, override, rounding), split)


def _flat(weights: Weights | None) -> list[float]:
    return [w for axis in weights or () for w in axis]


def _linear_pool(
    x: Tensor,
    window: list[int],
    count_include_pad: bool,
    divisor_override: int | None,
    rounding: str,
    weights: list[float],
) -> Tensor:
    w = unflatten(window)
    what = _what(window, count_include_pad, divisor_override, rounding, weights)
    if _kernels.supports(x):
        return _kernels.linear(x, w, what)
    report_reference("sum", x)
    pooled = reference.linear_pool(x, w, *what.divisor, weights=what.weights)
    return in_layout_of(x, pooled, w.rank)


def _linear_pool_backward(
    grad: Tensor,
    window: list[int],
    n: Sequence[int],
    count_include_pad: bool,
    divisor_override: int | None,
    rounding: str,
    weights: list[float],
) -> Tensor:
    w, size = unflatten(window), torch.Size(n)
    what = _what(window, count_include_pad, divisor_override, rounding, weights)
    if _kernels.supports(grad):
        return _kernels.linear_backward(grad, w, size, what)
    report_reference("backward of sum", grad)
    spread = reference.linear_pool_backward(grad, w, size, *what.divisor, weights=what.weights)
    return in_layout_of(grad, spread, w.rank)


def _fake_linear_pool(
    x: Tensor, window: list[int], include: bool, override: int | None, rounding: str, *_: Any
) -> Tensor:
    dtype = _kernels.sum_type(x.dtype, Divisor(include, override, rounding))
    return empty_like(x, out_sizes(x, unflatten(window)), dtype)


def _fake_linear_pool_backward(
    grad: Tensor, window: list[int], n: Sequence[int], *_: Any
) -> Tensor:
    return empty_like(grad, n)


def _context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.window, *ctx.rest = inputs
    ctx.n = sizes_of(x, len(ctx.window) // 6)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    back = torch.ops.cenote.linear_pool_backward(grad, ctx.window, ctx.n, *ctx.rest)
    return back, None, None, None, None, None


def _backward_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.window, _, *ctx.rest = inputs


def _backward_gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    back = torch.ops.cenote.linear_pool(grad, ctx.window, *ctx.rest)
    return back, None, None, None, None, None, None


register(
    "linear_pool(Tensor x, int[] window, bool count_include_pad, int? divisor_override,"
    " str rounding, float[] weights) -> Tensor",
    _linear_pool,
    _fake_linear_pool,
    (_gradient, _context),
)
register(
    "linear_pool_backward(Tensor grad, int[] window, SymInt[] n, bool count_include_pad,"
    " int? divisor_override, str rounding, float[] weights) -> Tensor",
    _linear_pool_backward,
    _fake_linear_pool_backward,
    (_backward_gradient, _backward_context),
)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: Window, what: Sum) -> Tensor:
        ctx.window, ctx.n, ctx.what = window, sizes_of(x, len(window)), what
        ctx.layout = _kernels.memory_format(x, len(window))
        return _kernels.linear(x, window, what)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        if eager_only(grad) and not differentiable(grad):
            back = _kernels.linear_backward(grad, ctx.window, ctx.n, ctx.what, ctx.layout)
            return back, None, None
        flat, rest = flatten(ctx.window), (*ctx.what.divisor, _flat(ctx.what.weights))
        return torch.ops.cenote.linear_pool_backward(grad, flat, ctx.n, *rest), None, None


def linear(x: Tensor, window: Window, divisor: Divisor, weights: Weights | None = None) -> Tensor:
    """A sum, with a weight for each tap if there are some, over a divisor.

    ``(*lead, *n) -> (*lead, *window.out(n))``.
    """
    anywhere = irregular(window)
    if eager_only(x) and not (anywhere and differentiable(x)):
        what = Sum(divisor, weights)
        if differentiable(x):
            return _Linear.apply(x, window, what)  # type: ignore[no-any-return, no-untyped-call]
        return _kernels.linear(x, window, what)
    if _onnx.exporting():
        wide = divisor.rounding == "int64" and not x.dtype.is_floating_point
        return _onnx.linear(x.long() if wide else x, window, divisor, weights)
    if anywhere or needs_torchs_formulas():
        return reference.linear_pool(x, window, *divisor, weights=weights)
    result: Tensor = torch.ops.cenote.linear_pool(x, flatten(window), *divisor, _flat(weights))
    return result


def linear_transpose(
    grad: Tensor,
    window: Window,
    n: Sequence[int],
    divisor: Divisor,
    weights: Weights | None = None,
) -> Tensor:
    """The adjoint of :func:`linear`: ``(*lead, *window.out(n)) -> (*lead, *n)``."""
    if eager_only(grad) and not differentiable(grad):
        return _kernels.linear_backward(grad, window, torch.Size(n), Sum(divisor, weights))
    if _onnx.exporting():
        return _onnx.linear_transpose(grad, window, n, divisor, weights)
    if irregular(window) or needs_torchs_formulas():
        return reference.linear_pool_backward(grad, window, n, *divisor, weights=weights)
    result: Tensor = torch.ops.cenote.linear_pool_backward(
        grad, flatten(window), plain(n), *divisor, _flat(weights)
    )
    return result
