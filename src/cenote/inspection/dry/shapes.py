"""The sizes of everything in a network without running it, and what would fit where it does not."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cenote.inspection.dry.misfit import DataDependentError, Misfit, Shape, ShapeError, sizes
from cenote.inspection.dry.run import DryRun, Stop
from cenote.inspection.dry.windows import bisect

__all__ = [
    "DataDependentError",
    "Misfit",
    "ModuleShapes",
    "ShapeError",
    "Shapes",
    "explain_mismatch",
    "hint_of",
    "shapes",
]

_LARGEST = 1 << 14  # elements along an axis: no network's windows need more
_NEARBY = 64  # sizes beyond the given one that are tried


@dataclass(frozen=True)
class ModuleShapes:
    """One call of a module: the shapes of all tensors that it got, and of all that it gave.

    ``call`` counts the calls of this module from 0; ``inferred`` is what a lazy module worked out,
    such as ``{"in_features": 400}``.
    """

    name: str
    call: int
    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    inferred: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, numbers and strings."""
        return {
            "name": self.name, "call": self.call, "kind": self.kind,
            "inputs": [list(shape) for shape in self.inputs],
            "outputs": [list(shape) for shape in self.outputs], "inferred": dict(self.inferred),
        }  # fmt: skip


@dataclass(frozen=True)
class Shapes(Sequence[ModuleShapes]):
    """The shapes at all modules of a network, in the order in which they are called.

    ``shapes[3]`` is the fourth call, ``shapes["features.conv1"]`` the first call of that module,
    ``shapes[""]`` the network; ``str(shapes)`` is a table.
    """

    model: str
    calls: tuple[ModuleShapes, ...]

    def __len__(self) -> int:
        return len(self.calls)

    def __iter__(self) -> Iterator[ModuleShapes]:
        return iter(self.calls)

    def __getitem__(self, which: Any) -> Any:
        """A call by number, calls by slice, or a module's first call by name.

        Raises:
            KeyError: no module of that name was called; the message lists those that come near.
            IndexError: there are not so many calls.
        """
        if not isinstance(which, str):
            return self.calls[which]
        for call in self.calls:
            if call.name == which:
                return call
        import difflib

        near = difflib.get_close_matches(which, [call.name for call in self.calls], 3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise KeyError(f"{which!r}: no module of that name was called{hint}")

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, dictionaries, numbers and strings."""
        return {"model": self.model, "calls": [call.to_dict() for call in self.calls]}

    def __str__(self) -> str:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for heading in ("module", "kind", "input", "output"):
            table.add_column(heading, no_wrap=True)
        for call in self.calls:
            again = f" (call {call.call + 1})" if call.call else ""
            found = ", ".join(f"{name} = {value}" for name, value in call.inferred.items())
            kind = f"{call.kind}: {found}" if found else call.kind
            row = ((call.name or self.model) + again, kind, _some(call.inputs), _some(call.outputs))
            table.add_row(*map(Text, row))
        page = Console(file=io.StringIO(), width=10_000, color_system=None)
        page.print(table)
        lines: str = page.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line[1:].rstrip() for line in lines.splitlines() if line.strip())


def _some(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(map(sizes, shapes[:3])) + (", ..." if len(shapes) > 3 else "")


def shapes(model: nn.Module, *inputs: Any, kwargs: dict[str, Any] | None = None) -> Shapes:
    """The shapes at all modules of ``model``, without running it: nothing is computed or allocated.

    The network goes through its ``forward`` with tensors that have no numbers ("meta" tensors). It
    is not changed, nor copied: parameters, buffers, modes, lazy layers and whatever its modules
    remember are afterwards what they were.

    Args:
        model: any module, on any device.
        inputs: tensors, or shapes: ``(1, 3, 224, 224)``, ``"1,3,224,224"`` (float32) or
            ``"1,16:int64"``.
        kwargs: what ``forward`` takes by name; shapes are given as strings here.

    Raises:
        ShapeError: layers that do not fit what reaches them: all of them, and what would fit.
        DataDependentError: the network's way depends on the numbers, not on the shapes alone.
        ValueError: an input that is no shape.

    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10))
    >>> found = shapes(model, (8, 1, 28, 28))
    >>> found["1"].outputs, found["1"].inferred
    (((8, 10),), {'in_features': 784})
    """
    given = tuple(_input(position, value) for position, value in enumerate(inputs))
    named = {
        name: _from_text(name, v) if isinstance(v, str) else v for name, v in (kwargs or {}).items()
    }
    run, error = _dry(model, given, named)
    name = type(run.model).__name__
    if run.misfits:
        then = f"then: {type(error).__name__}: {error}" if error else ""
        raise ShapeError(name, tuple(run.misfits), _fitting(model, given, named, run.misfits), then)
    if error is not None:
        raise error
    return Shapes(
        name,
        tuple(
            ModuleShapes(s.name, s.call, s.kind, s.inputs, s.outputs, s.inferred) for s in run.seen
        ),
    )


def explain_mismatch(
    model: nn.Module, *inputs: Any, kwargs: dict[str, Any] | None = None
) -> ShapeError | None:
    """What :func:`shapes` would say of a network that failed on these inputs; None where it fits.

    To be asked after a pass with real tensors has raised. It raises nothing itself.
    """
    try:
        shapes(model, *inputs, kwargs=kwargs)
    except ShapeError as error:
        return error
    except Exception:
        return None
    return None


def hint_of(
    module: nn.Module, name: str, inputs: tuple[Any, ...], error: BaseException,
    kwargs: dict[str, Any] | None = None,
) -> str | None:  # fmt: skip
    """What would have fitted ``module``, the one at path ``name`` that raised ``error``.

    ``inputs`` are what it was called with. None where nothing is known that would say more than
    ``error`` does. To be asked when no hooks or modes of a watched pass are active any more.
    """
    try:
        run, _ = _dry(module, inputs, kwargs or {}, prefix=name)
    except Exception:
        return None
    known = [misfit for misfit in run.misfits if misfit.cause != "unknown"]
    return "\n".join(map(str, known)) or None


def _dry(
    model: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], prefix: str = ""
) -> tuple[DryRun, Exception | None]:
    """The dry run, and what the network raised in it that is no misfit."""
    run = DryRun(model, prefix)
    try:
        run.run(inputs, kwargs)
    except Stop:
        run.stopped = True
    except Exception as error:
        return run, error
    return run, None


def _fitting(
    model: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], misfits: list[Misfit]
) -> Shape | None:
    """The shape of a first input that all windows, or all joinings, fit; None if none is found."""
    first = next((x for x in inputs if isinstance(x, Tensor) and x.dim() >= 3), None)
    causes = {misfit.cause for misfit in misfits}
    if first is None or not (causes == {"joined"} or "window" in causes):
        return None
    cause, lead, given = (
        ("window" if "window" in causes else "joined"),
        first.shape[:2],
        first.shape[2:],
    )

    def works(*n: int) -> bool:
        others = (
            x.new_empty((*x.shape[:2], *n), device="meta")
            if isinstance(x, Tensor) and x.shape[2:] == given
            else x
            for x in inputs
        )
        run, error = _dry(model, tuple(others), kwargs)
        return not (error or run.stopped or any(misfit.cause == cause for misfit in run.misfits))

    if cause == "window":
        found = _least(works, tuple(given))
    else:
        larger = (tuple(n + more for n in given) for more in range(1, _NEARBY))
        found = next((n for n in larger if works(*n)), None)
    return None if found is None else (*lead, *found)


def _least(works: Callable[..., bool], given: Shape) -> Shape | None:
    """The smallest sizes that work, along each axis with all others large."""
    large = 2 * max(given)
    while not works(*(large,) * len(given)):
        large *= 2
        if large > _LARGEST:
            return None

    def along(axis: int) -> int:
        return bisect(
            lambda n: works(*(n if at == axis else large for at in range(len(given)))), 0, large
        )

    least = tuple(map(along, range(len(given))))
    return least if works(*least) else None


def _input(position: int, value: Any) -> Any:
    """A tensor without numbers for a shape; everything else as it is."""
    if isinstance(value, str):
        return _from_text(f"inputs[{position}]", value)
    if isinstance(value, list | tuple) and value and all(type(n) is int for n in value):
        return _of_shape(f"inputs[{position}]", tuple(value), torch.float32)
    return value


def _from_text(argument: str, text: str) -> Tensor:
    numbers, _, kind = text.partition(":")
    dtype = getattr(torch, kind.strip() or "float32", None)
    try:
        shape = tuple(int(number) for number in numbers.strip(" ()[]").split(",") if number.strip())
    except ValueError:
        shape = ()
    if not shape or not isinstance(dtype, torch.dtype):
        raise ValueError(
            f'{argument} = {text!r}: must be a shape such as "1,3,224,224" or "1,16:int64"'
        )
    return _of_shape(argument, shape, dtype)


def _of_shape(argument: str, shape: Shape, dtype: torch.dtype) -> Tensor:
    if min(shape) < 0:
        raise ValueError(f"{argument} = {shape}: sizes must be at least 0")
    return torch.empty(shape, dtype=dtype, device="meta")
