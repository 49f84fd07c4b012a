"""How much a network's layers and answers change when its images move: plain data and tables."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from cenote._checks import check_choice
from cenote.inspection.style import LIGHT, Theme

__all__ = ["UNITS", "Comparison", "LayerChange", "Sensitivity", "Step"]

UNITS = {"shift": "pixels", "rotate": "degrees", "scale": "times"}
"""What the amounts of each move count."""

_QUANTITIES = ("change", "consistency", "confidence", "accuracy")


@dataclass(frozen=True)
class LayerChange:
    """How one layer's maps change under one move.

    ``change`` compares with the map as it was, unit by unit, ``error`` with the moved map; both are
    ``||a - b|| / sqrt((||a||^2 + ||b||^2) / 2)`` over all images, 0 for equal maps and about 1.4
    for unrelated ones. ``error`` is None where the layer has no places, or they are not known.
    ``inside`` says that every unit that ``error`` compares saw the inside of the image alone, so
    that neither padding nor what moved in has a part in it.
    """

    change: float
    error: float | None
    inside: bool


@dataclass(frozen=True)
class Step:
    """What one move does.

    ``change`` is that of the output, as in :class:`LayerChange`. Of networks that give every image
    one row of scores: ``consistency`` is the share of images whose greatest score stays where it
    was, ``confidence`` the mean absolute change in the probability of that class, ``accuracy`` the
    share of right answers. None where there is nothing of the kind.
    """

    amount: float
    vector: tuple[int, ...] | None
    change: float
    consistency: float | None
    confidence: float | None
    accuracy: float | None
    layers: dict[str, LayerChange]


@dataclass(frozen=True)
class Sensitivity:
    """What :func:`~cenote.inspection.sensitivity` measured."""

    model: str
    moves: str
    border: str
    images: int
    layers: tuple[str, ...]
    """In the order of data flow."""
    accuracy: float | None
    """Of the images where they are."""
    steps: tuple[Step, ...]

    @property
    def amounts(self) -> tuple[float, ...]:
        """Every amount once, ascending."""
        return tuple(sorted({step.amount for step in self.steps}))

    def at(self, amount: float) -> list[Step]:
        """The steps of an amount, one for each direction.

        Raises:
            ValueError: no step has that amount.
        """
        found = [step for step in self.steps if step.amount == amount]
        if not found:
            known = ", ".join(f"{known:g}" for known in self.amounts)
            raise ValueError(f"amount = {amount}: must be one of {known}")
        return found

    def curve(self, quantity: str = "consistency") -> list[tuple[float, float]]:
        """``(amount, value)`` of the whole network, the mean over directions; [] where unknown.

        Raises:
            ValueError: ``quantity`` is not change, consistency, confidence or accuracy.
        """
        check_choice("curve", "quantity", quantity, _QUANTITIES)
        points = ((a, [getattr(s, quantity) for s in self.at(a)]) for a in self.amounts)
        return [(a, sum(values) / len(values)) for a, values in points if None not in values]

    def layer(self, name: str, amount: float) -> LayerChange | None:
        """A layer's mean over the directions of an amount; None where the layer is unknown."""
        found = [step.layers[name] for step in self.at(amount) if name in step.layers]
        if not found:
            return None
        errors = [f.error for f in found if f.error is not None]
        return LayerChange(
            sum(f.change for f in found) / len(found),
            sum(errors) / len(errors) if len(errors) == len(found) else None,
            all(f.inside for f in found),
        )

    def breaks(self, amount: float, above: float = 1e-4) -> str | None:
        """The first layer that does not move its map as the images moved: its stride loses it.

        Only errors that neither padding nor what moved in has a part in count, and only those above
        ``above``, which is well over rounding. None where no layer is known to lose the move.
        """
        for name in self.layers:
            layers = [step.layers[name] for step in self.at(amount) if name in step.layers]
            if any(f.inside and f.error is not None and f.error > above for f in layers):
                return name
        return None

    def table(self, *, change: bool = False) -> str:
        """Layers by amounts: errors, or with ``change`` changes; then the network's answers."""
        return _table({self.model: self}, change)

    def draw(self, target: Path | str | IO[bytes], *, theme: Theme = LIGHT) -> None:
        """Curves of the answers over the amounts, and the layers' errors: PNG, or SVG by suffix."""
        from cenote.inspection.shifting.curves import draw

        draw({self.model: self}, target, theme)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dictionaries, numbers and strings."""
        plain = asdict(self)
        plain["layers"], plain["steps"] = list(self.layers), list(plain["steps"])
        plain["steps"] = [
            {**s, "vector": s["vector"] and list(s["vector"])} for s in plain["steps"]
        ]
        return plain

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Sensitivity:
        """What :meth:`to_dict` gave."""
        steps = (
            Step(**{
                **step,
                "vector": None if step["vector"] is None else tuple(step["vector"]),
                "layers": {name: LayerChange(**change) for name, change in step["layers"].items()},
            })
            for step in stored["steps"]
        )  # fmt: skip
        return cls(**{**stored, "layers": tuple(stored["layers"]), "steps": tuple(steps)})

    def __str__(self) -> str:
        return self.table()


@dataclass(frozen=True)
class Comparison:
    """Several networks under the same moves of the same images."""

    networks: dict[str, Sensitivity]

    def table(self, *, change: bool = False) -> str:
        """One network after the other; see :meth:`Sensitivity.table`."""
        return _table(self.networks, change)

    def draw(self, target: Path | str | IO[bytes], *, theme: Theme = LIGHT) -> None:
        """The networks' curves in one picture; see :meth:`Sensitivity.draw`."""
        from cenote.inspection.shifting.curves import draw

        draw(self.networks, target, theme)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dictionaries, numbers and strings."""
        return {name: found.to_dict() for name, found in self.networks.items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Comparison:
        """What :meth:`to_dict` gave."""
        return cls({name: Sensitivity.from_dict(found) for name, found in stored.items()})

    def __str__(self) -> str:
        return self.table()


def _table(networks: Mapping[str, Sensitivity], change: bool) -> str:
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, width=200, color_system=None)
    border = False
    for name, found in networks.items():
        table, marked = _rows(found, change)
        border |= marked
        console.print(
            f"{name}: {'change' if change else 'error'} by layer, {found.moves} in"
            f" {UNITS[found.moves]}, {found.images} image{'s' * (found.images != 1)}, border"
            f" {found.border}"
        )
        console.print(table)
    if border:
        console.print("* the border, or interpolation between pixels, has a part in it")
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _rows(found: Sensitivity, change: bool) -> tuple[Any, bool]:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer", no_wrap=True)
    for amount in found.amounts:
        table.add_column(f"{amount:g}", justify="right", no_wrap=True)
    marked = False
    for layer in found.layers:
        changes = [found.layer(layer, amount) for amount in found.amounts]
        cells = [_cell(one, change) for one in changes]
        marked |= any(cell.endswith("*") for cell in cells)
        if any(cells):
            table.add_row(layer, *cells)
    table.add_section()
    table.add_row("output: change", *(f"{value:.4f}" for _, value in found.curve("change")))
    for quantity in _QUANTITIES[1:]:
        if values := found.curve(quantity):
            table.add_row(quantity, *(f"{100 * value:.2f} %" for _, value in values))
    return table, marked


def _cell(found: LayerChange | None, change: bool) -> str:
    if found is None or (not change and found.error is None):
        return ""
    return f"{found.change:.4f}" if change else f"{found.error:.4f}{'' if found.inside else '*'}"
