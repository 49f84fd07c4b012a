"""The arguments of a call: which tensors they hold, of what kind they are."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

from cenote._ops.eager import PLAIN

__all__ = ["all_finite", "all_plain", "channels_last", "kinds_of", "tensors_of"]


def tensors_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """All tensors, those in lists, tuples and dictionaries too."""
    found: list[Tensor] = []
    for value in (*args, *kwargs.values()):
        _collect(value, found)
    return found


def _collect(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, list | tuple):
        for each in value:
            _collect(each, found)
    elif isinstance(value, dict):
        for each in value.values():
            _collect(each, found)


def kinds_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Which arguments there are; of what is no tensor, the values."""
    if len(args) == 1 and not kwargs and isinstance(args[0], Tensor):
        return (Tensor,)
    return (*map(_kind, args), *((name, _kind(value)) for name, value in kwargs.items()))


def _kind(value: Any) -> Any:
    if isinstance(value, Tensor):
        return Tensor
    if isinstance(value, list | tuple):
        return (type(value), *map(_kind, value))
    if isinstance(value, dict):
        return (type(value), *((str(name), _kind(each)) for name, each in value.items()))
    plain = value is None or isinstance(value, bool | int | float | str)
    return (type(value), value) if plain else type(value)


def all_plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether there are tensors, and all hold real numbers on the CPU and nothing else."""
    found = tensors_of(args, kwargs)
    return bool(found) and all(
        type(value) in PLAIN
        and value.device.type == "cpu"
        and value.layout is torch.strided
        and not value.is_neg()
        and not value.is_complex()
        for value in found
    )


def all_finite(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether no tensor has NaN or an infinity, which oneDNN's ReLU and others do not let pass."""
    return all(
        math.isfinite(value.detach().sum().item())
        for value in tensors_of(args, kwargs)
        if value.is_floating_point()
    )


def channels_last(x: Tensor) -> bool:
    """Whether torch's convolutions would take a tensor for one with channels last."""
    if x.dim() != 4 or x.stride(1) != 1:
        return False
    if x.is_contiguous():  # axes of length one leave both open
        return bool(suggest_memory_format(x) is torch.channels_last)
    return bool(x.is_contiguous(memory_format=torch.channels_last))
