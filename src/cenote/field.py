"""Receptive fields of units along one axis, in exact integers.

A field says which inputs a unit looks at: unit ``o`` sees the half-open interval
``[o*jump + offset, o*jump + offset + size)``. Fields compose: the field of a stack of layers is the
composition of theirs, and composition is associative with :data:`IDENTITY` as its neutral element
(the recurrences of Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
Networks", Distill 2019, written as a monoid).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["IDENTITY", "Field", "compose"]


class Field(NamedTuple):
    """The input interval that each unit of a layer sees, along one axis.

    All three are in input elements: ``size`` is the length of the interval, ``jump`` the distance
    between the intervals of neighbouring units, ``offset`` the start of unit 0's interval
    (negative where it begins in the padding).

    >>> Field(size=3, jump=2, offset=-1).interval(4)
    (7, 10)
    """

    size: int = 1
    jump: int = 1
    offset: int = 0

    def interval(self, unit: int) -> tuple[int, int]:
        """The half-open input interval ``(start, stop)`` that ``unit`` sees, padding included."""
        start = unit * self.jump + self.offset
        return start, start + self.size

    def then(self, outer: Field) -> Field:
        """The field of ``outer`` stacked on this one: what its units see of this one's input.

        >>> Field(3, 1, -1).then(Field(3, 1, -1))
        Field(size=5, jump=1, offset=-2)
        """
        return Field(
            size=(outer.size - 1) * self.jump + self.size,
            jump=self.jump * outer.jump,
            offset=outer.offset * self.jump + self.offset,
        )

    def __rshift__(self, outer: Field) -> Field:
        """``inner >> outer`` is ``inner.then(outer)``, in the order in which data flows."""
        return self.then(outer)


IDENTITY = Field(1, 1, 0)
"""The field of the input itself: every unit sees exactly its own element."""


def compose(fields: Iterable[Field]) -> Field:
    """The field of a stack of layers, given in the order in which data flows.

    >>> vgg_block = [Field(3, 1, -1), Field(3, 1, -1), Field(2, 2, 0)]
    >>> compose(vgg_block * 2)
    Field(size=16, jump=4, offset=-6)
    """
    return functools.reduce(Field.then, fields, IDENTITY)
