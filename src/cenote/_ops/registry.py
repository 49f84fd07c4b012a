"""How an operator is told to PyTorch, and what implementations of operators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cenote import _kernels, options
from cenote.window import Window

__all__ = [
    "empty_like",
    "in_layout_of",
    "out_sizes",
    "plain",
    "register",
    "report_reference",
    "sizes_of",
]

_library = torch.library.Library("cenote", "DEF")


def sizes_of(x: Tensor, rank: int) -> torch.Size:
    """The sizes of the axes that a window slides on."""
    return x.shape[x.dim() - rank :]


def plain(n: Sequence[Any]) -> list[Any]:
    """Sizes that an operator takes: while ``torch.jit.trace`` records, they are tensors."""
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return [int(length) for length in n] if tracing else list(n)


def out_sizes(x: Tensor, window: Window) -> tuple[int, ...]:
    """The sizes of what a window makes of ``x``."""
    return window.out(sizes_of(x, window.rank))


def empty_like(x: Tensor, sizes: Sequence[Any], dtype: torch.dtype | None = None) -> Tensor:
    """Room in the layout of ``x``, for its leading sizes and other spatial ones."""
    lead = x.shape[: x.dim() - len(sizes)]
    layout = _kernels.memory_format(x, len(sizes))
    return torch.empty(
        (*lead, *sizes), dtype=dtype or x.dtype, device=x.device, memory_format=layout
    )


def in_layout_of(x: Tensor, result: Tensor, rank: int) -> Tensor:
    """A result in the layout of ``x``, as the kernels would have made it."""
    return result.contiguous(memory_format=_kernels.memory_format(x, rank))


def report_reference(what: str, x: Tensor) -> None:
    """Say for ``verbose`` that the reference runs, and why."""
    if options.current().verbose:
        kind, shape = str(x.dtype).removeprefix("torch."), "x".join(map(str, x.shape))
        why = kind if x.device.type == "cpu" else x.device.type
        options.report(f"{what} {kind} {shape}: reference, no kernels for {why}")


Ranks = Callable[..., int | tuple[int, ...]]


def _batched(name: str, tensors: int, rank_of: Ranks) -> Callable[..., Any]:
    """The vmap rule of ``name``, whose first ``tensors`` arguments are tensors.

    What vmap adds becomes part of the leading sizes, which no operator looks into.
    """

    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        ranks = rank_of(*args[tensors:])
        each = ranks if isinstance(ranks, tuple) else (ranks,) * tensors
        lead: tuple[int, ...] = ()
        flat = []
        for x, dim, rank in zip(args[:tensors], in_dims, each, strict=False):
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


def _rank_of_window(window: Sequence[int], *_: Any) -> int:
    return len(window) // 6


def register(
    schema: str,
    implementation: Callable[..., Any],
    fake: Callable[..., Any],
    autograd: tuple[Callable[..., Any], Callable[..., Any]] | None = None,
    rank_of: Ranks = _rank_of_window,
) -> None:
    """Register ``cenote::<schema>``.

    ``rank_of`` tells from what follows the tensors how many of their axes are no leading ones.
    """
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
    rule = _batched(name, tensors, rank_of)
    torch.library.register_vmap(f"cenote::{name}", rule, lib=_library)
