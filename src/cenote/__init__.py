"""Convolution and pooling for PyTorch, at the speed of memory, and see-through."""

from __future__ import annotations

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from cenote import functional, nn, reference
from cenote.allocator import tune_allocator
from cenote.benchmarking import doctor
from cenote.field import Field
from cenote.functional import *  # noqa: F403
from cenote.options import options
from cenote.reference import pool2d
from cenote.window import Adaptive, Axis, Spans, Window

if TYPE_CHECKING:
    from cenote import acceleration, data, inspection, models, training
    from cenote.acceleration import accelerate, explain, restore
    from cenote.inspection import inspect, sensitivity, shapes
    from cenote.training import fit

__all__ = [
    "Adaptive",
    "Axis",
    "Field",
    "Spans",
    "Window",
    "accelerate",
    "acceleration",
    "data",
    "doctor",
    "explain",
    "fit",
    "functional",
    "inspect",
    "inspection",
    "models",
    "nn",
    "options",
    "pool2d",
    "reference",
    "restore",
    "sensitivity",
    "shapes",
    "training",
    "tune_allocator",
    *functional.__all__,
]

__version__ = _version("cenote")

# What needs more than torch is imported when it is first asked for.
_LATER = {
    "accelerate": "acceleration",
    "acceleration": None,
    "data": None,
    "explain": "acceleration",
    "fit": "training",
    "inspect": "inspection",
    "inspection": None,
    "models": None,
    "restore": "acceleration",
    "sensitivity": "inspection",
    "shapes": "inspection",
    "training": None,
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _LATER[name]
    module = importlib.import_module(f"{__name__}.{home or name}")
    return module if home is None else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
