"""What the rules of fields are given, and how they are found by an operator's name."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cenote.inspection.tracing.calls import Call, Ref
from cenote.inspection.tracing.sight import Sight

__all__ = ["RULES", "Given", "Rules", "rule"]


@lru_cache(maxsize=4096)
def _arguments(func: Any) -> tuple[dict[str, int], dict[str, Any]]:
    """Where an operator's arguments are, and what they are where they are left out."""
    schema = func._schema.arguments
    places = {argument.name: position for position, argument in enumerate(schema)}
    return places, {a.name: a.default_value for a in schema if a.has_default_value()}


class Given:
    """A call, and what each of its arguments sees."""

    def __init__(self, call: Call, sights: dict[int, Sight]) -> None:
        self.call = call
        self._sights = sights
        self._by_name, self._defaults = _arguments(call.func)

    def sight(self, argument: Any) -> Sight:
        """What an argument sees; constants see nothing."""
        if isinstance(argument, Ref):
            return self._sights[argument.value]
        return Sight(tuple(getattr(argument, "shape", ())))

    def __getitem__(self, name: str) -> Any:
        """An argument by its name in the operator's schema."""
        position = self._by_name[name]
        if position < len(self.call.args):
            return self.call.args[position]
        return self.call.kwargs.get(name, self._defaults.get(name))

    def get(self, name: str, otherwise: Any = None) -> Any:
        """An argument by its name, where the operator has one of that name."""
        return self[name] if name in self._by_name else otherwise

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the first output."""
        return self.call.output_shapes[0]

    @property
    def first(self) -> Sight:
        """What the first argument sees."""
        return self.sight(self.call.args[0])

    @property
    def every(self) -> list[Sight]:
        """What all tensors among the arguments see."""
        return [self._sights[ref.value] for ref in self.call.refs]


Rules = Callable[[Given], list[Sight]]
RULES: dict[str, Rules] = {}
"""By the operator's name, without overload: what its outputs see."""


def rule(*names: str) -> Callable[[Rules], Rules]:
    """Let a function be the rule of the operators of these names."""

    def take(function: Rules) -> Rules:
        for name in names:
            RULES[name] = function
        return function

    return take
