"""logsumexp: ``y = log(sum(exp(s*x)))/s`` over windows.

An element's share in its window is ``exp(s*(x - y))``. The gradient goes by shares; with the
adjoint of that, three operators are closed under differentiation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _kernels, _onnx, reference
from cenote._kernels import flatten, unflatten
from cenote._ops.eager import differentiable, eager_only, irregular, needs_torchs_formulas
from cenote._ops.registry import empty_like, in_layout_of, out_sizes, register, report_reference
from cenote.window import Window

__all__ = ["logsumexp"]


def _logsumexp_pool(x: Tensor, window: list[int], sharpness: float) -> Tensor:
    w = unflatten(window)
    if _kernels.supports(x):
        return _kernels.logsumexp(x, w, sharpness)
    report_reference("logsumexp", x)
    return in_layout_of(x, reference.logsumexp_pool(x, w, sharpness), w.rank)


def _logsumexp_pool_backward(
    grad: Tensor, x: Tensor, y: Tensor, window: list[int], sharpness: float
) -> Tensor:
    w = unflatten(window)
    if _kernels.supports(x):
        return _kernels.logsumexp_backward(grad, x, y, w, sharpness)
    report_reference("backward of logsumexp", x)
    back = reference.logsumexp_pool_backward(grad, x, y, w, sharpness)
    return in_layout_of(x, back, w.rank)


def _logsumexp_pool_shares(
    given: Tensor, x: Tensor, y: Tensor, window: list[int], sharpness: float
) -> Tensor:
    w = unflatten(window)
    if _kernels.supports(x):
        return _kernels.logsumexp_shares(given, x, y, w, sharpness)
    report_reference("shares of logsumexp", x)
    return in_layout_of(x, reference.logsumexp_pool_shares(given, x, y, w, sharpness), w.rank)


def _fake(x: Tensor, window: list[int], sharpness: float) -> Tensor:
    return empty_like(x, out_sizes(x, unflatten(window)))


def _fake_backward(
    grad: Tensor, x: Tensor, y: Tensor, window: list[int], sharpness: float
) -> Tensor:
    return empty_like(x, x.shape[x.dim() - len(window) // 6 :])


def _fake_shares(
    given: Tensor, x: Tensor, y: Tensor, window: list[int], sharpness: float
) -> Tensor:
    return empty_like(x, out_sizes(x, unflatten(window)))


def _context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.window, ctx.sharpness = inputs
    ctx.save_for_backward(x, output)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, y = ctx.saved_tensors
    back = torch.ops.cenote.logsumexp_pool_backward(grad, x, y, ctx.window, ctx.sharpness)
    return back, None, None


def _shares_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    given, x, y, ctx.window, ctx.sharpness = inputs
    ctx.save_for_backward(given, x, y, output)


def _backward_gradient(ctx: Any, v: Tensor) -> tuple[Any, ...]:
    """Of ``b[i] = sum over o of g[o] * share[o, i]`` in ``g``, ``x`` and ``y``."""
    g, x, y, b = ctx.saved_tensors
    s = ctx.sharpness
    taken = torch.ops.cenote.logsumexp_pool_shares(v, x, y, ctx.window, s)
    return taken, s * v * b, -s * g * taken, None, None


def _shares_gradient(ctx: Any, u: Tensor) -> tuple[Any, ...]:
    """Of ``t[o] = sum over i of v[i] * share[o, i]`` in ``v``, ``x`` and ``y``."""
    v, x, y, t = ctx.saved_tensors
    s = ctx.sharpness
    given = torch.ops.cenote.logsumexp_pool_backward(u, x, y, ctx.window, s)
    return given, s * v * given, -s * u * t, None, None


register(
    "logsumexp_pool(Tensor x, int[] window, float sharpness) -> Tensor",
    _logsumexp_pool,
    _fake,
    (_gradient, _context),
)
register(
    "logsumexp_pool_backward(Tensor grad, Tensor x, Tensor y, int[] window, float sharpness)"
    " -> Tensor",
    _logsumexp_pool_backward,
    _fake_backward,
    (_backward_gradient, _shares_context),
)
register(
    "logsumexp_pool_shares(Tensor given, Tensor x, Tensor y, int[] window, float sharpness)"
    " -> Tensor",
    _logsumexp_pool_shares,
    _fake_shares,
    (_shares_gradient, _shares_context),
)


def logsumexp(x: Tensor, window: Window, sharpness: float) -> Tensor:
    """The smooth maximum of every window; of an empty one -inf, or inf where ``sharpness < 0``.

    ``(*lead, *n) -> (*lead, *window.out(n))``.
    """
    if eager_only(x) and not differentiable(x):
        return _kernels.logsumexp(x, window, sharpness)
    if _onnx.exporting():
        return _onnx.logsumexp(x, window, sharpness)
    if x.dtype.itemsize == 2 and differentiable(x):  # the gradient starts from an exact output
        return logsumexp(x.float(), window, sharpness).to(x.dtype)
    if irregular(window) or needs_torchs_formulas():
        return reference.logsumexp_pool(x, window, sharpness)
    result: Tensor = torch.ops.cenote.logsumexp_pool(x, flatten(window), sharpness)
    return result
