"""What works by flat int64 indices into planes, -1 for nowhere: unpooling, fractional pooling.

Taking elements and putting them back are each other's adjoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cenote import _kernels, reference
from cenote._ops.eager import needs_torchs_formulas
from cenote._ops.registry import empty_like, in_layout_of, plain, register, sizes_of

__all__ = ["fractional", "pick", "unpool"]


def _take(x: Tensor, indices: Tensor, rank: int) -> Tensor:
    if _kernels.supports(x):
        return _kernels.take(x, indices, rank)
    return in_layout_of(indices, reference.pick(x, indices, rank), rank)


def _put(x: Tensor, indices: Tensor, n: Sequence[int], add: bool) -> Tensor:
    if _kernels.supports(x) and (not add or x.dtype.is_floating_point):
        return _kernels.put(x, indices, n, add)
    return in_layout_of(indices, reference.unpool(x, indices, n, add), len(n))


def _fake_take(x: Tensor, indices: Tensor, rank: int) -> Tensor:
    return empty_like(indices, sizes_of(indices, rank), x.dtype)


def _fake_put(x: Tensor, indices: Tensor, n: Sequence[int], add: bool) -> Tensor:
    return empty_like(indices, n, x.dtype)


def _take_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, indices, rank = inputs
    ctx.n = sizes_of(x, rank)
    ctx.save_for_backward(indices)


def _take_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (indices,) = ctx.saved_tensors
    return torch.ops.cenote.put_places(grad, indices, ctx.n, True), None, None


def _put_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, indices, ctx.n, ctx.add = inputs
    ctx.save_for_backward(indices)


def _put_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    (indices,) = ctx.saved_tensors
    rank = len(ctx.n)
    taken = torch.ops.cenote.take_places(grad, indices, rank)
    if not ctx.add:  # of several elements at an index only the last was put there
        sizes = sizes_of(indices, rank)
        own = torch.arange(math.prod(sizes), device=indices.device).reshape(sizes)
        own = own.expand(indices.shape)
        put = torch.ops.cenote.put_places(own, indices, ctx.n, False)
        stayed = torch.ops.cenote.take_places(put, indices, rank) == own
        taken = torch.where(stayed, taken, 0)
    return taken, None, None, None


register(
    "take_places(Tensor x, Tensor indices, int rank) -> Tensor",
    _take,
    _fake_take,
    (_take_gradient, _take_context),
    rank_of=lambda rank: int(rank),
)
register(
    "put_places(Tensor x, Tensor indices, SymInt[] n, bool add) -> Tensor",
    _put,
    _fake_put,
    (_put_gradient, _put_context),
    rank_of=lambda n, add: len(n),
)


def _fractional_places(x: Tensor, starts: Tensor, n: Sequence[int], kernel: list[int]) -> Tensor:
    each = starts.split(list(n), -1)
    if _kernels.supports(x):
        return _kernels.fractional_indices(x, each, kernel)
    return reference.fractional_indices(x, each, kernel)


def _fake_fractional(x: Tensor, starts: Tensor, n: Sequence[int], kernel: list[int]) -> Tensor:
    return x.new_empty((*x.shape[: x.dim() - len(n)], *n), dtype=torch.int64)


register(  # starts: those of all axes side by side, n of each
    "fractional_places(Tensor x, Tensor starts, SymInt[] n, int[] kernel) -> Tensor",
    _fractional_places,
    _fake_fractional,
    rank_of=lambda n, kernel: (len(n), 1),
)


def pick(x: Tensor, indices: Tensor, rank: int) -> Tensor:
    """The elements at flat plane indices, 0 where one is -1: ``(*lead, *n) -> (*lead, *out)``."""
    if needs_torchs_formulas():
        return reference.pick(x, indices, rank)
    result: Tensor = torch.ops.cenote.take_places(x, indices, rank)
    return result


def unpool(x: Tensor, indices: Tensor, n: Sequence[int]) -> Tensor:
    """Zeros of sizes ``n`` but for ``x`` at the indices: ``(*lead, *out) -> (*lead, *n)``.

    -1 is skipped; of several elements at an index the last stays.
    """
    if needs_torchs_formulas():
        return reference.unpool(x, indices, n)
    result: Tensor = torch.ops.cenote.put_places(x, indices, plain(n), False)
    return result


def fractional(
    x: Tensor, kernel: Sequence[int], outputs: Sequence[int], samples: Tensor
) -> tuple[Tensor, Tensor]:
    """The greatest elements of windows at pseudo-random places, and their flat indices.

    ``(*lead, *n) -> (*lead, *outputs)`` twice; ``samples``: ``(*lead, rank)`` in [0, 1).
    """
    if needs_torchs_formulas():
        return reference.fractional_pool(x, kernel, outputs, samples)
    n = sizes_of(x, len(kernel))
    starts = torch.cat(reference.fractional_starts(samples, n, outputs, kernel), -1)
    places = torch.ops.cenote.fractional_places(x.detach(), starts, list(outputs), list(kernel))
    places = in_layout_of(x, places, len(kernel))
    return pick(x, places, len(kernel)), places
