"""How rows of a benchmark are chosen by the words of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

__all__ = ["Keyed", "Named", "Rows", "choose", "find"]


class Named(Protocol):
    """A case, whatever it is of."""

    @property
    def name(self) -> str:
        """What it is asked for by."""


class Keyed(Protocol):
    """A row of any benchmark."""

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it another row than others."""


N = TypeVar("N", bound=Named)
R = TypeVar("R", bound=Keyed)
R_co = TypeVar("R_co", bound=Keyed, covariant=True)


class Rows(Protocol[R_co]):
    """Rows for one reason, of any benchmark."""

    @property
    def reason(self) -> str:
        """Why they are measured."""

    @property
    def case(self) -> tuple[str, ...]:
        """The names of their cases."""

    def rows(self) -> Iterator[R_co]:
        """The rows."""


def find(name: str, cases: Sequence[N]) -> N:
    """The case of that name.

    Raises:
        ValueError: there is none; says which there are.
    """
    for case in cases:
        if case.name == name:
            return case
    known = ", ".join(case.name for case in cases)
    raise ValueError(f"case = {name!r}: not known; there are {known}")


def choose(
    wanted: dict[str, Sequence[object]],
    blocks: Sequence[Rows[R]],
    axes: Mapping[str, Sequence[str]],
    cases: Sequence[Named],
    make: Callable[..., Rows[R]],
) -> list[R]:
    """The rows of the blocks that have the wanted words; where there is none, those of a new block.

    Raises:
        ValueError: a word that does not exist, or words that no row can have together.
    """
    for axis, known in axes.items():
        for value in wanted.get(axis, ()):
            if value not in known:
                raise ValueError(f"{axis} = {value!r}: must be one of {', '.join(known)}")
    for name in wanted.get("case", ()):
        find(str(name), cases)
    chosen = {("pass_" if axis == "pass" else axis): v for axis, v in wanted.items() if v}
    every = {row.key: row for block in blocks for row in block.rows()}
    found = [
        row
        for row in every.values()
        if all(getattr(row, axis) in values for axis, values in chosen.items())
    ]
    if found:
        return found
    given = {"case": blocks[0].case} | {axis: tuple(values) for axis, values in chosen.items()}
    made = list(make(**given).rows())
    if not made:
        words = "; ".join(f"{axis} {values}" for axis, values in chosen.items())
        raise ValueError(f"no row can have all of this: {words}")
    return made
