"""Which way a call takes: straight to the kernels, a registered operator, or torch's formulas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

from cenote import _kernels, _onnx
from cenote.window import Spans, Window

__all__ = [
    "PLAIN",
    "differentiable",
    "eager_only",
    "irregular",
    "needs_torchs_formulas",
    "transformed",
    "undisturbed",
]

# The short way's conditions are private parts of torch; where one is missing, it is closed.
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

PLAIN = (Tensor, torch.nn.Parameter)
"""The types of tensors behind which there is nothing else."""


def eager_only(x: Tensor) -> bool:
    """Whether nothing but numbers is asked of a call on ``x``: no tracing, mode or transform.

    Autocast is no condition: on the CPU it leaves the element type of pooling alone.
    """
    return (
        not torch.compiler.is_compiling()
        and _guards_known
        and type(x) in PLAIN
        and _kernels.supports(x)
        and not _transforms_active()
        and forward_ad._current_level < 0
        and _dispatch_modes() == 0
        and not _function_mode()
        and _tracing_state() is None
        and not _profiling()
        and not x.is_neg()
    )


def undisturbed() -> bool:
    """Whether no tracing, mode or transform is at work, but for a profiler; nor autocast."""
    return (
        not torch.compiler.is_compiling()
        and _guards_known
        and not _transforms_active()
        and forward_ad._current_level < 0
        and _dispatch_modes() == 0
        and not _function_mode()
        and _tracing_state() is None
        and not torch.is_autocast_enabled("cpu")
    )


def differentiable(x: Tensor) -> bool:
    """Whether a gradient of ``x`` may be asked for."""
    return torch.is_grad_enabled() and x.requires_grad


def transformed() -> bool:
    """Whether a transform is at work: its wrappers do not say what they wrap."""
    return _guards_known and _transforms_active()


def irregular(window: Window) -> bool:
    """Whether windows stand anywhere: kernels take them, registered operators do not."""
    return any(type(axis) is Spans for axis in window)


def needs_torchs_formulas() -> bool:
    """Whether derivatives are taken where registered formulas do not serve: jvp, func.grad.

    A registered formula yields zero tangents there, or an error. vmap alone keeps the operators.
    """
    if forward_ad._current_level >= 0 or _onnx.exporting():
        return True
    if torch.compiler.is_compiling() or not transformed():
        return False
    stack = _interpreters() or []
    return any(level.key() != torch._C._functorch.TransformType.Vmap for level in stack)
