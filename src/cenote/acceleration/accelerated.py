"""The module that :func:`cenote.accelerate` returns."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from cenote.acceleration.engine import Engine
from cenote.acceleration.parts import sharing
from cenote.acceleration.report import Report
from cenote.acceleration.switches import Switches

__all__ = ["Accelerated", "wrap"]


class Accelerated(nn.Module):
    """A module that does what another does, sooner.

    It is an instance of the other's class and has the other's state, not a copy: parameters,
    buffers, layers, attributes, hooks. What is changed on one is changed on both.
    """

    __slots__ = ("_cenote",)
    is_accelerated = True
    _cenote: Engine

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the original's forward makes of the arguments."""
        return self._cenote(args, kwargs)

    @property
    def report(self) -> Report:
        """What was changed so far, and what was left alone."""
        return self._cenote.report()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        engine = self._cenote
        memo[id(self)] = made = wrap(copy.deepcopy(engine.original, memo), engine.switches)
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        return wrap, (self._cenote.original, self._cenote.switches)


def wrap(original: nn.Module, switches: Switches) -> Any:
    """An accelerated module of ``original``; nothing is decided yet."""
    try:
        made = sharing(Accelerated, original, f"Accelerated{type(original).__name__}")
    except TypeError:  # a class that cannot be inherited from beside another
        made = object.__new__(_Stranger)
        object.__setattr__(made, "__dict__", original.__dict__)
    object.__setattr__(made, "_cenote", Engine(original, switches))
    return made


class _Stranger(Accelerated):
    """The same without the original's class; its methods are found by name."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._cenote.original, name)
