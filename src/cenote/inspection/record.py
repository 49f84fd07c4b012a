"""What was seen of a network in one forward pass: plain data, from which everything is drawn.

A :class:`Record` has one :class:`Operator` for every operator that worked on something that depends
on an input, in the order in which they ran. :meth:`Record.to_dict` is the documented form of it;
``docs/record.md`` describes each entry, and :data:`SCHEMA` is its version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cenote.inspection.receptive import ReceptiveField
from cenote.window import Window

__all__ = ["SCHEMA", "Failure", "Input", "Module", "Operator", "Record", "Totals"]

SCHEMA = 1
"""The version of the JSON form: it changes when an entry changes its meaning or goes away."""


@dataclass(frozen=True)
class Input:
    """A tensor that was given to the network.

    ``axes`` are the dimensions, outermost first, that count as spatial: receptive fields are about
    positions along them.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[int, ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The sizes of the spatial axes."""
        return tuple(self.shape[axis] for axis in self.axes)


@dataclass(frozen=True)
class Module:
    """A module that was called: its path, its class, its parameters with those inside it."""

    name: str
    kind: str
    parameters: int
    calls: int


@dataclass(frozen=True)
class Operator:
    """One operator at work.

    ``name`` is the path of the innermost module that called it ("" for the network itself), and
    ``call`` says which call of that module it was, from 0. ``kind`` is what it does, in the field's
    words (``conv``, ``max_pool``, ``linear``, ``add``, ...); ``operator`` is PyTorch's own name.
    ``sources`` are where its tensors came from: the indices of operators, and ``-1 - k`` for the
    network's input ``k``; parameters and constants are left out.

    ``parameters`` are those that no operator before it had used, so that they add up. ``macs`` are
    multiply-accumulates, ``flops`` all arithmetic (a multiply-accumulate is two, a comparison one).
    ``read``, ``written`` and ``kept`` are bytes: of its inputs, of its outputs (0 for a view), and
    of what it wrote and a backward pass would need. ``seconds`` is the time of this one call.
    Whatever is not known, or was not measured, is None.
    """

    index: int
    name: str
    call: int
    kind: str
    operator: str
    sources: tuple[int, ...]
    window: Window | None
    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    dtype: str
    parameters: int
    macs: int | None
    flops: int | None
    read: int
    written: int
    kept: int | None
    seconds: float | None
    fields: dict[int, ReceptiveField] | None
    """By input: what its units see of it. None where an operator on the way is unknown."""
    unknown: str | None = None
    """The operator from which on nothing is known of fields."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else its arguments say: ``groups``, ``bias``, the ``mode`` of a resize, a ``pad``."""
    weight: str | None = None
    """The name of the parameter that a convolution or linear layer multiplies with."""
    output: torch.Tensor | None = field(default=None, repr=False, compare=False)
    """What it gave, with ``maps=True``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its first output; () where it has none."""
        return self.output_shapes[0] if self.output_shapes else ()

    @property
    def field(self) -> ReceptiveField | None:
        """What its units see of the first input that they see anything of; None where unknown."""
        if not self.fields:
            return None
        return self.fields[min(self.fields)]


@dataclass(frozen=True)
class Totals:
    """Sums over all operators; bytes and counts as in :class:`Operator`."""

    parameters: int
    macs: int
    flops: int
    read: int
    written: int
    kept: int | None
    seconds: float | None


@dataclass(frozen=True)
class Failure:
    """Where a network stopped: the module that was at work, and what was raised there.

    ``hint`` says what would have fitted, where sizes did not.
    """

    name: str
    kind: str
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class Record:
    """One watched forward pass."""

    model: str
    inputs: tuple[Input, ...]
    operators: Sequence[Operator]
    modules: tuple[Module, ...]
    outputs: tuple[int, ...]
    """The operators that made what the network returned."""
    parameters: int
    """Of the whole network, whether an operator used them or not."""
    training: bool
    seconds: float | None
    """The whole pass, with what watching costs."""
    error: Failure | None = None
    notes: Sequence[str] = ()
    """What the reader should know: modules never called, operators that are unknown, ..."""
    taps_of: Callable[..., Any] | None = field(default=None, repr=False, compare=False)

    @property
    def totals(self) -> Totals:
        """The sums over all operators; what is unknown of an operator counts as nothing."""

        def add(name: str) -> Any:
            known = [getattr(o, name) for o in self.operators]
            known = [value for value in known if value is not None]
            return sum(known) if known else None

        return Totals(
            **{
                name: add(name) if name in ("kept", "seconds") else add(name) or 0
                for name in Totals.__dataclass_fields__
            }
        )

    def named(self, name: str) -> list[Operator]:
        """The operators of a module and of those inside it, in order.

        Raises:
            KeyError: no module of that name was called; the message lists those that come near.
        """
        found = [o for o in self.operators if o.name == name or o.name.startswith(f"{name}.")]
        if not found:
            import difflib

            near = difflib.get_close_matches(name, [m.name for m in self.modules], 3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise KeyError(f"name = {name!r}: no module of that name was called{hint}")
        return found

    def taps(self, operator: int, unit: tuple[int, ...], input: int = 0) -> Any:
        """Exactly the inputs that a unit depends on: a bool array over the input's spatial axes.

        ``unit`` indexes the last dimensions of the operator's output; all units before them count
        together. Dilation leaves holes here that :meth:`ReceptiveField.box` does not show.
        """
        if self.taps_of is None:
            raise ValueError("taps: this record was read from a file; watch the network again")
        return self.taps_of(operator, unit, input)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain lists, dictionaries, numbers and strings: ``docs/record.md``."""
        from cenote.inspection.serial import to_dict

        return to_dict(self)

    def to_json(self, path: str | Path | None = None, indent: int | None = None) -> str:
        """The record as JSON, written to ``path`` too where one is given: whole or not at all."""
        from cenote.training.files import replace_text

        text = json.dumps(self.to_dict(), indent=indent)
        if path is not None:
            replace_text(Path(path), text)
        return text

    def table(self, depth: int | None = None, sort: str | None = None) -> str:
        """The table that ``cenote inspect`` prints, as text."""
        from cenote.inspection.table import text_of

        return text_of(self, depth=depth, sort=sort)

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        from cenote.inspection.table import html_of

        return html_of(self)
