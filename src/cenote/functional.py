"""Pooling as functions: torch's arguments, in torch's order, with torch's defaults.

What torch does not have is keyword-only. ``padding`` also takes ``"same"``, ``"valid"`` and
``((before, after), ...)``, and may be any size below the extent of the window.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _args, _ops
from cenote._kernels import Divisor
from cenote.window import Window

__all__ = ["avg_pool2d", "max_pool2d", "pool"]

_REDUCTIONS = ("max", "avg")


def pool(
    x: Tensor,
    window: Window,
    reduce: str = "max",
    *,
    return_indices: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Reduce every position of a window over the last axes of a tensor.

    ``(N, C, *n) -> (N, C, *window.out(n))``, or the same without ``N``; in the layout of ``x``.

    Args:
        x: the tensor; its last ``window.rank`` axes are pooled.
        window: the window, outermost axis first.
        reduce: ``"max"`` (NaN propagates) or ``"avg"``.
        return_indices: with ``"max"``, also return where each maximum lies in its plane, as int64,
            -1 for a window without an element.
        count_include_pad: with ``"avg"``, whether padding counts as elements.
        divisor_override: with ``"avg"``, what sums are divided by instead.

    Raises:
        TypeError: no tensor, or elements that cannot be reduced so.
        ValueError: an unknown reduction, a wrong number of dimensions, a window that does not fit.

    >>> x = torch.arange(16.0).reshape(1, 4, 4)
    >>> pool(x, Window([Axis(2, 2), Axis(2, 2)]))
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    if not isinstance(window, Window):
        raise TypeError(f"pool: window: must be a cenote.Window, not {type(window).__name__}")
    _args.check_window("pool", window)
    if reduce == "max":
        if divisor_override is not None:
            raise ValueError("pool: divisor_override: only reduce='avg' divides")
        return _max("pool", x, window, return_indices)
    if reduce != "avg":
        raise ValueError(f"pool: reduce = {reduce!r}: must be one of {', '.join(_REDUCTIONS)}")
    if return_indices:
        raise ValueError("pool: return_indices: an average does not select an element")
    return _avg("pool", x, window, count_include_pad, divisor_override)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The greatest element of every window; :func:`torch.nn.functional.max_pool2d`.

    ``(N, C, H, W) -> (N, C, H', W')`` with ``H' = Axis.out(H)``; with ``return_indices`` a pair.

    Raises:
        TypeError: no tensor, or arguments that are not integers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> max_pool2d(torch.tensor([[[1.0, 2.0], [4.0, 3.0]]]), 2, return_indices=True)
    (tensor([[[4.]]]), tensor([[[2]]]))
    """
    window = _args.pool_window("max_pool2d", 2, kernel_size, stride, padding, dilation, ceil_mode)
    return _max("max_pool2d", input, window, return_indices)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Any = 1,
) -> Tensor:
    """The mean of every window; :func:`torch.nn.functional.avg_pool2d`, with dilation besides.

    ``(N, C, H, W) -> (N, C, H', W')`` with ``H' = Axis.out(H)``.

    Raises:
        TypeError: no tensor, or arguments that are not integers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> avg_pool2d(torch.tensor([[[1.0, 2.0], [4.0, 3.0]]]), 2)
    tensor([[[2.5000]]])
    """
    window = _args.pool_window("avg_pool2d", 2, kernel_size, stride, padding, dilation, ceil_mode)
    return _avg("avg_pool2d", input, window, count_include_pad, divisor_override)


def _max(op: str, x: Tensor, window: Window, return_indices: bool) -> Any:
    _args.check_input(op, x, window)
    return _ops.select(x, window, "max", bool(return_indices))


def _avg(
    op: str, x: Tensor, window: Window, count_include_pad: bool, divisor_override: int | None
) -> Tensor:
    _args.check_input(op, x, window)
    if x.dtype == torch.bool:
        raise TypeError(f"{op}: input: elements of type torch.bool have no average")
    divisor = Divisor(bool(count_include_pad), _args.check_divisor(op, divisor_override))
    return _ops.avg(x, window, divisor)
