"""The definitions of torchvision's networks, without weights and without its compiled part.

A definition is Python alone. Where torchvision's compiled part is missing or made for another
device, ``import torchvision`` stops at the shapes of two operators that no classifier uses:
their names are made known then, and it goes on. Nothing else in cenote needs torchvision.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch
from torch import nn

__all__ = ["UNTOLD", "names", "network"]

UNTOLD: list[Any] = []
"""The library of operators that had to be named here; empty where torchvision has its own."""

_ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_QUIET = {"init_weights": False}  # minutes of drawing, and a warning, for weights that are random
_OWN = {"googlenet": _QUIET, "inception_v3": _QUIET}


@cache
def _models() -> Any:
    """``torchvision.models``, whether or not its compiled part can be loaded.

    Raises:
        ValueError: it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its readers of pictures, which are not needed
        try:
            import torchvision.models as found
        except ModuleNotFoundError as error:
            if error.name != "torchvision":
                raise
            raise ValueError(
                "networks: their definitions are torchvision's, which is not installed: "
                "pip install 'cenote[bench]'"
            ) from None
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
            library = torch.library.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                library.define(name + _ARGUMENTS)
            UNTOLD.append(library)  # the names are gone with it
            import torchvision.models as found
    return found


def names() -> list[str]:
    """The names of all networks that classify pictures.

    Raises:
        ValueError: torchvision is not installed.
    """
    models = _models()
    return [str(name) for name in models.list_models(module=models)]


def network(name: str, **options: Any) -> nn.Module:
    """One of them, without weights of a training; ``options`` are those of its definition.

    Raises:
        ValueError: there is none of that name, or torchvision is not installed.
    """
    if name not in names():
        raise ValueError(f"network = {name!r}: not known; there are {', '.join(names())}")
    made: nn.Module = _models().get_model(name, weights=None, **{**_OWN.get(name, {}), **options})
    return made
