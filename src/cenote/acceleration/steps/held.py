"""What is computed from parameters once and used until one of them changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from cenote import _native
from cenote._ops.eager import PLAIN

__all__ = ["state_of", "usable"]


def usable(x: Any, axes: int = 4) -> bool:
    """Whether a tensor holds floats of so many axes, on the CPU and nothing else."""
    return (
        type(x) in PLAIN
        and x.dtype is torch.float32
        and x.device.type == "cpu"
        and x.dim() == axes
        and x.numel() > 0
    )


def state_of(tensors: Iterable[Tensor | None]) -> tuple[Any, ...] | None:
    """Something that differs when one of the tensors was replaced or written to; None if unknown.

    Versions tell of whatever autograd sees. Writing through ``.data``, by another library or by a
    batch norm is seen by looking at elements: at all of up to 8 KiB, at some of larger tensors.
    """
    found: list[Any] = []
    for tensor in tensors:
        if tensor is None:
            found.append(None)
            continue
        if type(tensor) not in PLAIN or tensor.is_inference() or tensor.dtype is not torch.float32:
            return None
        dense = tensor.is_contiguous() or (
            tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        )
        if tensor.device.type != "cpu" or not dense:
            return None
        place = tensor.data_ptr()
        found += [place, tensor._version, tensor.shape, _native.glimpse(place, tensor.nbytes)]
    return tuple(found)
