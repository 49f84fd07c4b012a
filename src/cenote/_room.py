"""Memory that a caller has ready for a result, on its way to the kernel that writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

__all__ = ["offered", "take"]

_offer: ContextVar[Tensor | None] = ContextVar("offer", default=None)


@contextmanager
def offered(out: Tensor) -> Iterator[None]:
    """Offer a tensor to the first kernel inside whose result fits it."""
    token = _offer.set(out)
    try:
        yield
    finally:
        _offer.reset(token)


def take(
    sizes: Sequence[int], dtype: torch.dtype, memory_format: torch.memory_format
) -> Tensor | None:
    """The tensor on offer where it is what a result needs; then it is on offer no more."""
    out = _offer.get()
    if (
        out is None
        or out.dtype != dtype
        or tuple(out.shape) != tuple(sizes)
        or not out.is_contiguous(memory_format=memory_format)
        or out.is_neg()
    ):
        return None
    _offer.set(None)
    return out
