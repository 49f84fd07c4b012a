"""The one operation that all others are names of: a window and a reduction."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cenote import _args, _checks, _kernels, _room, reference
from cenote.functional import _plans, _reductions
from cenote.functional._padding import pad, shown_padding
from cenote.window import Window

__all__ = ["pool"]

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "max": _reductions.maximum,
    "min": _reductions.minimum,
    "avg": _reductions.average,
    "sum": _reductions.total,
    "lp": _reductions.norm,
    "logsumexp": _reductions.smooth_maximum,
    "gem": _reductions.generalized_mean,
    "median": _reductions.median,
    "stochastic": _reductions.stochastic,
    "mixed": _reductions.mixture,
}

Fold = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]


def pool(
    x: Tensor,
    window: Window,
    reduce: str | Fold = "max",
    *,
    out: Tensor | None = None,
    **options: Any,
) -> Any:
    """Reduce every position of a window over the last axes of a tensor.

    ``(N, C, *n) -> (N, C, *window.out(n))``, or the same without ``N``; in the layout of ``x``.

    | ``reduce`` | options besides ``padding_mode`` |
    |---|---|
    | ``"max"``, ``"min"``, ``"median"`` | ``return_indices=False`` |
    | ``"avg"`` | ``count_include_pad=True, divisor_override=None, rounding="trunc"`` |
    | ``"sum"`` | |
    | ``"lp"`` | ``norm_type=2.0`` |
    | ``"logsumexp"`` | ``sharpness=1.0, mean=False`` |
    | ``"gem"`` | ``p=3.0, eps=1e-6`` |
    | ``"stochastic"`` | ``training=True, generator=None`` |
    | ``"mixed"`` | ``alpha=0.5, count_include_pad=True`` |

    They mean what they mean in ``max_pool2d``, ``avg_pool2d`` and the others. ``reduce`` may also
    be a pair of callables on tensors, for any associative operation: ``combine(a, b)``, applied to
    the elements of each window in row-major order, and ``identity(like)``, which gives what to
    start from. Such a reduction takes ``cenote.reference``.

    Args:
        x: the tensor; its last ``window.rank`` axes are pooled.
        window: the window, outermost axis first.
        reduce: the reduction's name, or ``(combine, identity)``.
        out: where to write the result, which is then this tensor; of the result's shape and type,
            without memory of ``x``. Kernels write straight to it where its layout is that of ``x``.
        options: what the reduction takes, by keyword.

    Raises:
        TypeError: no tensor, elements that cannot be reduced so, or an option that is not taken.
        ValueError: an unknown reduction, a wrong number of dimensions, a window that does not fit,
            an ``out`` that is not like the result.
        RuntimeError: ``out`` where a gradient is to be recorded.

    >>> x = torch.arange(16.0).reshape(1, 4, 4)
    >>> pool(x, Window([Axis(2, 2), Axis(2, 2)]))
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    >>> pool(x, Window([Axis(2, 2), Axis(2, 2)]), (torch.mul, torch.ones_like))
    tensor([[[    0.,   252.],
             [11232., 23100.]]])
    """
    planned = _plans.general(x, window, reduce, out, options)
    if planned is not None:
        return planned
    if not isinstance(window, Window):
        raise TypeError(f"pool: window: must be a cenote.Window, not {type(window).__name__}")
    _args.check_window("pool", window)
    if out is not None:
        return _into(out, x, window, reduce, options)
    return _reduced(x, window, reduce, options)


def _reduced(x: Tensor, window: Window, reduce: str | Fold, options: dict[str, Any]) -> Any:
    if isinstance(reduce, tuple):
        _check_options("a pair of callables", _fold, options)
        return _fold("pool", x, window, **options, reduce=reduce)
    if not isinstance(reduce, str) or reduce not in _REDUCTIONS:
        raise ValueError(
            f"pool: reduce = {reduce!r}: must be one of {', '.join(_REDUCTIONS)}, or a pair of"
            " callables"
        )
    reduction = _REDUCTIONS[reduce]
    _check_options(repr(reduce), reduction, options)
    return reduction("pool", x, window, **options)


def _into(
    out: Tensor, x: Tensor, window: Window, reduce: str | Fold, options: dict[str, Any]
) -> Tensor:
    """The result in memory that is ready for it."""
    if options.get("return_indices"):
        raise ValueError("pool: out: takes the values alone; return_indices must be False")
    _checks.check_input("pool", x, window)
    wide = reduce == "sum" and not x.dtype.is_floating_point
    sizes = (*x.shape[: x.dim() - window.rank], *window.out(x.shape[x.dim() - window.rank :]))
    _checks.check_out("pool", x, out, sizes, torch.int64 if wide else x.dtype)
    if torch.compiler.is_compiling():  # there no kernel is called yet
        return out.copy_(_reduced(x, window, reduce, options))
    with _room.offered(out):
        result = _reduced(x, window, reduce, options)
    return out if result is out else out.copy_(result)


def _check_options(reduce: str, reduction: Callable[..., Any], options: dict[str, Any]) -> None:
    taken = inspect.unwrap(reduction).__kwdefaults__ or {}
    for name in options:
        if name not in taken:
            raise TypeError(
                f"pool: {name}: reduce = {reduce} does not take it, but {', '.join(taken)}"
            )


@shown_padding
def _fold(
    op: str, x: Tensor, window: Window, *, padding_mode: str = "identity", reduce: Any
) -> Tensor:
    """A reduction of the caller's own."""
    if len(reduce) != 2 or not all(map(callable, reduce)):
        raise TypeError(
            f"{op}: reduce = {reduce!r}: as a pair it is (combine, identity), callables"
        )
    _reductions.prepare(op, x, window, padding_mode)
    padded, bare = (x, window) if padding_mode == "identity" else pad(op, x, window, padding_mode)
    result = reference.fold_pool(padded, bare, *reduce)
    lead = x.dim() - window.rank
    sizes = (*x.shape[:lead], *bare.out(padded.shape[lead:]))
    if tuple(result.shape) != sizes:
        raise ValueError(
            f"{op}: reduce: gave the shape {tuple(result.shape)} for outputs of shape {sizes}"
        )
    return result.contiguous(memory_format=_kernels.memory_format(x, window.rank))
