"""One function written once, published for one, two and three axes."""

from __future__ import annotations

import inspect
import string
import types
from collections.abc import Callable
from typing import Generic, NamedTuple, ParamSpec, TypeVar

__all__ = ["ANY", "Family", "Op"]

P = ParamSpec("P")
R = TypeVar("R")

_SIZES = {1: "L", 2: "H, W", 3: "D, H, W"}
_OUT = {1: "L'", 2: "H', W'", 3: "D', H', W'"}


class Op(NamedTuple):
    """Which function of a family is called: its name and its number of axes."""

    name: str = ""
    rank: int = 0
    reduce: str = ""


ANY = Op()


class Family(Generic[P, R]):
    """A template of functions that differ in the number of their axes, and in a word perhaps.

    The template's keyword ``_op`` holds what differs. Every function that is made of it is one of
    its own, with name, signature and docstring: calls cost nothing more, and tools see a function.
    In the template's docstring ``$name``, ``$in``, ``$out`` and further words are filled in.
    """

    def __init__(self, template: Callable[P, R]) -> None:
        self.template = template

    def __call__(
        self, family: str, ranks: tuple[int, ...] = (1, 2, 3), reduce: str = "", **words: str
    ) -> tuple[Callable[P, R], ...]:
        """The functions ``<family>1d`` and so on, for all ``ranks``."""
        ops = [Op(f"{family}{rank}d", rank, reduce) for rank in ranks]
        return tuple(self._publish(op, words) for op in ops)

    def _publish(self, op: Op, words: dict[str, str]) -> Callable[P, R]:
        template = self.template
        assert isinstance(template, types.FunctionType)
        function = types.FunctionType(
            template.__code__, template.__globals__, op.name, template.__defaults__
        )
        function.__kwdefaults__ = {**(template.__kwdefaults__ or {}), "_op": op}
        function.__annotations__ = template.__annotations__
        function.__module__, function.__qualname__ = template.__module__, op.name
        function.__doc__ = _filled(template.__doc__ or "", op, words)
        signature = inspect.signature(template)
        shown = [p for p in signature.parameters.values() if p.name != "_op"]
        function.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
        return function


def _filled(text: str, op: Op, words: dict[str, str]) -> str:
    out, taps = _OUT[op.rank], ", ".join(f"k{size}" for size in _SIZES[op.rank].split(", "))
    known = {
        "mapped": f"(N, O, {out})",
        "multiplied": f"(N, C*m, {out})",
        "weight": f"(O, C/groups, {taps})",
        "adjoint": f"(C, O/groups, {taps})",
        "each": f"(C*m, 1, {taps})",
        "local": f"({out}, O, C, {taps})",
        "map": f"(O, {out})",
        "sizes": ", ".join(["4"] * op.rank),
        "kernel": ", ".join(["2"] * op.rank),
        "outs": ", ".join(["3"] * op.rank),
        "name": op.name,
        "in": f"(N, C, {_SIZES[op.rank]})",
        "out": f"(N, C, {_OUT[op.rank]})",
        "plane": ", ".join(["1"] + ["4"] * op.rank),  # sizes of a small example
        "pair": ", ".join(["1"] * op.rank + ["2"]),
        "ones": ", ".join(["1"] * op.rank),
        "cat": f"(N, C * (repeats + 1), {_SIZES[op.rank]})",
        "row": "(" + "1, " * (op.rank - 1) + "2" + (",)" if op.rank == 1 else ")"),
        "rank": str(op.rank),
    }
    return string.Template(text).substitute(known | words)
