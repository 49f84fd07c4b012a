"""What one operator was given and gave, noted while a network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch

__all__ = ["Call", "Constant", "Place", "Ref", "Trace", "leaves", "replaced"]


class Ref(NamedTuple):
    """A tensor among the arguments that depends on an input: which value it was at that time."""

    value: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class Constant(NamedTuple):
    """A tensor among the arguments that depends on no input, and whose values no rule asks for."""

    shape: tuple[int, ...]
    dtype: torch.dtype


class Place(NamedTuple):
    """Where a tensor lies in its storage; tensors that share one are told apart by this."""

    storage: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def leaves(nested: Any) -> Iterator[Any]:
    """What lies in lists, tuples and dictionaries: the arguments of operators know no others."""
    if type(nested) in (tuple, list):
        for item in nested:
            yield from leaves(item)
    elif type(nested) is dict:
        for item in nested.values():
            yield from leaves(item)
    else:
        yield nested


def replaced(nested: Any, how: Callable[[Any], Any]) -> Any:
    """The same lists, tuples and dictionaries with each leaf replaced."""
    if type(nested) in (tuple, list):
        return type(nested)(replaced(item, how) for item in nested)
    if type(nested) is dict:
        return {key: replaced(item, how) for key, item in nested.items()}
    return how(nested)


@dataclass
class Call:
    """One operator at work, its tensors replaced by :class:`Ref`.

    ``made`` are the values that it gave; ``read`` and ``written`` are bytes. Constants stay among
    the arguments where rules read them (indices).
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    name: str
    number: int
    made: list[int]
    aliases: list[tuple[int, int, Place, Place]]
    """Values that share storage with what was overwritten: old value, new value, both places."""
    input_shapes: list[tuple[int, ...]]
    output_shapes: list[tuple[int, ...]]
    dtype: str
    parameters: list[str]
    read: int
    written: int
    seconds: float
    output: torch.Tensor | None = None
    kept: int = 0

    @property
    def operator(self) -> str:
        """PyTorch's name of it, with its overload."""
        return str(self.func)

    @cached_property
    def base(self) -> str:
        """PyTorch's name without overload, and without the mark of working in place."""
        name: str = self.func._schema.name
        return name[:-1] if name.endswith("_") and not name.endswith("__") else name

    @cached_property
    def refs(self) -> list[Ref]:
        """All values among the arguments, in order."""
        return [leaf for leaf in leaves((self.args, self.kwargs)) if isinstance(leaf, Ref)]


@dataclass
class Trace:
    """A whole pass: its calls, the values of the inputs, and what the network returned."""

    calls: list[Call] = field(default_factory=list)
    inputs: list[Ref] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    makers: dict[int, int] = field(default_factory=dict)
    """The call that gave each value; inputs have none."""
    seconds: float = 0.0
    elsewhere: float = 0.0
    """Seconds in operators on parameters and constants alone."""
    error: BaseException | None = None
    failed: str = ""
