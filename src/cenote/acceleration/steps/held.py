"""What is computed from parameters once and used until one of them changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from cenote._ops.eager import PLAIN

__all__ = ["state_of", "usable"]

_SAMPLES = 8


def usable(x: Any) -> bool:
    """Whether a tensor is of the kind that the kernels for whole images take."""
    return (
        type(x) in PLAIN
        and x.dtype is torch.float32
        and x.device.type == "cpu"
        and x.dim() == 4
        and x.numel() > 0
    )


def state_of(tensors: Iterable[Tensor | None]) -> tuple[Any, ...] | None:
    """Something that differs when one of the tensors was replaced or written to; None for none.

    Versions tell of whatever autograd sees. Writing through ``.data`` or from outside is seen by
    looking at some elements.
    """
    found: list[Any] = []
    for tensor in tensors:
        if tensor is None:
            found.append(None)
            continue
        if type(tensor) not in PLAIN or tensor.is_inference() or tensor.dtype is not torch.float32:
            return None
        found += [tensor.data_ptr(), tensor._version, tensor.shape]
    return tuple(found)
