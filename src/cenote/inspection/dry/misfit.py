"""What does not fit what reaches it, in words and as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["DataDependentError", "Finding", "Misfit", "ShapeError", "listed", "sizes"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Finding:
    """What a rule found about one call, and how to go on as if it had fitted.

    Where the layer itself was mended, ``args`` and ``result`` are None, and the call is made again.
    """

    problem: str
    advice: str = ""
    got: tuple[Shape, ...] = ()
    fits: dict[str, Any] = field(default_factory=dict)
    cause: str = "size"
    args: tuple[Any, ...] | None = None
    """What to call with instead."""
    result: Any = None
    """What to give instead of calling again."""


@dataclass(frozen=True)
class Misfit:
    """A layer, or a call in a module's ``forward``, that does not take what reaches it.

    ``layer`` is the module's path ("" for the network itself) and ``kind`` its class; ``got`` are
    the shapes that reached it, ``fits`` the arguments that would fit them, by name (empty where
    there is no such value), and ``where`` the line that calls it. ``cause`` is ``"window"`` for a
    window larger than what it slides on, ``"joined"`` for tensors of different sizes that are to
    become one, ``"unknown"`` where only torch's own message can be given, else ``"size"``.
    """

    layer: str
    kind: str
    got: tuple[Shape, ...]
    fits: dict[str, Any]
    problem: str
    advice: str
    where: str
    cause: str

    def __str__(self) -> str:
        name = f"{self.layer} ({self.kind})" if self.layer else self.kind
        said = f"{name}: {self.problem}"
        if self.where:
            said += f" [{self.where}]"
        return f"{said}: {self.advice}" if self.advice else said


class ShapeError(ValueError):
    """A network that does not take its input, with all layers that do not fit.

    ``layer``, ``got`` and ``fits`` are those of the first of ``misfits``; the later ones are what
    would not fit either if those before them were mended. ``input`` is the shape of a first input
    that every window (or every joining of tensors) fits, where one was looked for and found.
    """

    def __init__(
        self, model: str, misfits: tuple[Misfit, ...], input: Shape | None = None, then: str = ""
    ) -> None:
        self.misfits, self.input = misfits, input
        first = misfits[0]
        self.layer, self.got, self.fits = first.layer, first.got, first.fits
        lines = [str(first)]
        if len(misfits) > 1:
            lines = [f"{model}: {len(misfits)} misfits, each as if those before it were mended"]
            lines += [f"  {misfit}" for misfit in misfits]
        if input is not None:
            windows = any(misfit.cause == "window" for misfit in misfits)
            kind = "the smallest input that every window fits" if windows else "an input that fits"
            lines.append(f"{kind} is {sizes(input)}")
        super().__init__("\n".join([*lines, then] if then else lines))


class DataDependentError(RuntimeError):
    """A network whose way depends on the numbers that it gets, not on their shapes alone.

    ``layer`` is the path of the module that asked for them.
    """

    def __init__(self, layer: str, message: str) -> None:
        self.layer = layer
        super().__init__(message)


def sizes(shape: Any) -> str:
    """``(8, 6400)``."""
    return str(tuple(shape))


def listed(words: Any) -> str:
    """``a, b and c``."""
    words = [str(word) for word in words]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
