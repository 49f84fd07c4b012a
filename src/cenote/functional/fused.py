"""Convolution, bias, activation and pooling as one operation.

What lies between a convolution and its pooling is larger than what goes in and what comes out. Here
it is made a few images at a time, stays in a cache, and is not kept for the way back.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from cenote import _args, _checks, _convolutions, _ops
from cenote.functional._activations import activation_of
from cenote.window import Axis, Window

__all__ = ["stage"]

_REDUCTIONS = ("max", "min", "avg", "sum")


def stage(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    pool: Window,
    conv: Window | None = None,
    groups: int = 1,
    activation: Any = "relu",
    reduce: str = "max",
) -> Tensor:
    """``pool(activation(conv(input)))``, with nothing of its size in between.

    ``(N, C, *n) -> (N, O, *pool.out(conv.out(n)))``, in one to three axes. The numbers are those of
    the three operations within the rounding of a sum in another order, gradients too. Under
    ``max``, with an activation that never decreases, the activation comes after the pooling, which
    changes nothing and is less work; what is kept for the way back is the input, the output and a
    byte an output. Other activations and reductions keep the input alone and compute once more.

    Args:
        input: the tensor of floats; ``N`` may be missing.
        weight: ``(O, C/groups, *k)``.
        bias: one number for each of ``O`` channels.
        pool: the window of the pooling.
        conv: the window of the convolution, whose kernel is the weight's; None moves by 1, without
            padding.
        groups: into how many groups channels are cut.
        activation: a name (``"relu"``, ``"tanh"``, ``"gelu"``, ...), None, or any function of
            single elements; one that is not torch's keeps its place before the pooling.
        reduce: ``"max"``, ``"min"``, ``"avg"`` or ``"sum"``.

    Raises:
        TypeError: no tensors, of different types, or no windows.
        ValueError: shapes that do not fit each other, or arguments out of bounds.

    >>> x, weight = torch.randn(2, 1, 28, 28), torch.randn(6, 1, 5, 5)
    >>> halves = Window([Axis(2, 2)] * 2)
    >>> stage(x, weight, conv=Window([Axis(5, 1, 2, 2)] * 2), pool=halves).shape
    torch.Size([2, 6, 14, 14])
    """
    op = "stage"
    rank = _convolutions.check_kernel(op, weight)
    _convolutions.check_input(op, input, rank)
    _checks.check_floating(op, input)
    _convolutions.check_weight(op, input, weight, rank, "O, C/groups")
    channels = {"channels of the input": input.shape[-rank - 1], "output channels": len(weight)}
    count = _convolutions.check_groups(op, groups, **channels)
    _convolutions.check_fit(op, input, weight, count, weight.shape[1] * count)
    _convolutions.check_bias(op, input, bias, weight.shape[0])
    for name, window in (("conv", conv), ("pool", pool)):
        if window is not None or name == "pool":
            _check_window(op, name, window, rank)
    # A traced call happens once, and caches are not traced.
    resolve = _resolved if torch.compiler.is_compiling() else _resolved_once
    at = resolve(op, conv, pool, tuple(weight.shape[2:]), tuple(input.shape[-rank:]))
    _checks.check_choice(op, "reduce", reduce, _REDUCTIONS)
    act = activation_of(op, activation)
    return _ops.stage(input, weight, bias, at, count, act.function, act.rising, pool, reduce)


def _resolved(
    op: str, conv: Window | None, pool: Window, kernel: tuple[int, ...], n: tuple[int, ...]
) -> Window:
    """The convolution's window at sizes ``n``, checked with the pooling's."""
    window = Window(map(Axis, kernel)) if conv is None else conv
    if tuple(axis.kernel for axis in window) != kernel:
        raise ValueError(f"{op}: conv = {window}: the weight's kernel is {kernel}")
    _convolutions.check_window(op, window, n)
    _args.check_window(op, pool)
    _convolutions.check_window(op, pool, window.out(n))
    return window.at(n)


_resolved_once = functools.lru_cache(maxsize=1024)(_resolved)


def _check_window(op: str, name: str, window: Any, rank: int) -> None:
    if not isinstance(window, Window):
        kind = type(window).__name__
        raise TypeError(f"{op}: {name} = {window!r}: must be a Window, not {kind}")
    if window.rank != rank or not all(isinstance(axis, Axis) for axis in window):
        raise ValueError(f"{op}: {name} = {window}: must be {rank} axes with a kernel")
