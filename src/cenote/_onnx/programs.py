"""Programs that ``torch.export`` made before anybody thought of ONNX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cenote import reference
from cenote._kernels import Divisor, Weights, unflatten
from cenote._onnx import nodes
from cenote._onnx.frame import rewriting

__all__ = ["decompositions"]


def decompositions() -> dict[Any, Callable[..., Any]]:
    """What our operators in an exported program become, so that it can go on to ONNX.

    ``torch.onnx.export(program.run_decompositions(decompositions()))``. A program that is traced
    for ONNX in the first place needs none of it.
    """
    ops = torch.ops.cenote
    rules: dict[Any, Callable[..., Any]] = {
        ops.select_pool: _select,
        ops.tap_indices: _tap_indices,
        ops.linear_pool: _linear,
        ops.linear_pool_backward: _linear_transpose,
        ops.power_pool: _power,
        ops.logsumexp_pool: _logsumexp,
        ops.take_places: reference.pick,
        ops.put_places: reference.unpool,
        ops.fractional_places: _fractional,
    }
    return {op.default: _while_rewriting(rule) for op, rule in rules.items()}


def _while_rewriting(rule: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(rule)
    def wrapped(*arguments: Any) -> Any:
        with rewriting():
            return rule(*arguments)

    return wrapped


def _select(x: Tensor, window: list[int], reduce: str, keep: bool) -> tuple[Tensor, Tensor]:
    """Indices take the place of taps: both ends of the way are rewritten."""
    if keep:
        values, indices = nodes.select(x, unflatten(window), reduce, True)
        return values, indices
    return nodes.select(x, unflatten(window), reduce, False), x.new_empty(0, dtype=torch.uint8)


def _tap_indices(taps: Tensor, window: list[int], n: Sequence[int], floats: bool) -> Tensor:
    return taps


def _weights(window: list[int], flat: list[float]) -> Weights | None:
    """The weights of each axis; they lie one behind the other."""
    if not flat:
        return None
    left = iter(flat)
    return tuple(tuple(next(left) for _ in range(kernel)) for kernel in window[::6])


def _linear(
    x: Tensor,
    window: list[int],
    include: bool,
    override: int | None,
    rounding: str,
    weights: list[float],
) -> Tensor:
    wide = rounding == "int64" and not x.dtype.is_floating_point
    divisor = Divisor(include, override, rounding)
    given = x.long() if wide else x
    return nodes.linear(given, unflatten(window), divisor, _weights(window, weights))


def _linear_transpose(
    grad: Tensor,
    window: list[int],
    n: Sequence[int],
    include: bool,
    override: int | None,
    rounding: str,
    weights: list[float],
) -> Tensor:
    divisor = Divisor(include, override, rounding)
    return nodes.linear_transpose(grad, unflatten(window), n, divisor, _weights(window, weights))


def _power(
    x: Tensor,
    window: list[int],
    p: float,
    floor: float | None,
    include: bool,
    override: int | None,
) -> Tensor:
    return nodes.power(x, unflatten(window), p, floor, Divisor(include, override))


def _logsumexp(x: Tensor, window: list[int], sharpness: float) -> Tensor:
    return nodes.logsumexp(x, unflatten(window), sharpness)


def _fractional(x: Tensor, starts: Tensor, n: Sequence[int], kernel: list[int]) -> Tensor:
    return reference.fractional_indices(x, starts.split(list(n), -1), kernel)
