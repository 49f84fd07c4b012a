"""The classic networks, one a file, by function or by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from cenote.models._lenet import LeNet5, lenet5

__all__ = ["LeNet5", "get", "lenet5", "names"]

_NETWORKS: dict[str, Callable[..., torch.nn.Module]] = {
    "lenet5": lenet5,
}


def names() -> tuple[str, ...]:
    """The networks that :func:`get` knows."""
    return tuple(_NETWORKS)


def get(name: str, **options: Any) -> torch.nn.Module:
    """The network called ``name``, freshly initialised; ``options`` go to its function.

    Raises:
        ValueError: there is none of that name; the message lists them.
        TypeError: the network has no such option.
    """
    if name not in _NETWORKS:
        raise ValueError(f"model = {name!r}: must be one of {', '.join(_NETWORKS)}")
    return _NETWORKS[name](**options)
