"""The rows of a table: operators put together by module, as deep as somebody wants to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cenote.inspection.receptive import ReceptiveField
from cenote.inspection.record import Operator, Record
from cenote.inspection.serial import title_of

__all__ = ["SORTS", "Row", "rows_of"]

SORTS = ("parameters", "macs", "flops", "read", "written", "kept", "seconds", "field")
"""What rows can be sorted by, the largest first."""


@dataclass(frozen=True)
class Row:
    """One or several operators that run one after the other."""

    name: str
    title: str
    operators: tuple[Operator, ...]

    @property
    def last(self) -> Operator:
        """The operator whose output is the row's."""
        return self.operators[-1]

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of what comes out."""
        return self.last.shape

    @property
    def field(self) -> ReceptiveField | None:
        """What the units of the output see of the first input."""
        return self.last.field

    def total(self, name: str) -> float | None:
        """The sum of a quantity; None where it is known of no operator."""
        known = [getattr(o, name) for o in self.operators if getattr(o, name) is not None]
        return sum(known) if known else None

    def size(self, by: str) -> float:
        """What sorting compares."""
        if by == "field":
            return self.field.coverage if self.field is not None else -1.0
        return self.total(by) or 0.0


def rows_of(record: Record, depth: int | None = None, sort: str | None = None) -> list[Row]:
    """The rows of a record.

    Without ``depth`` there is one for every innermost module, with all that it calls, and one for
    each operator that a module with others inside it calls by itself. With it, modules deeper than
    that are put together. ``sort`` puts the largest first.

    Raises:
        ValueError: ``depth`` below 1, or an unknown ``sort``.
    """
    if depth is not None and depth < 1:
        raise ValueError(f"depth = {depth}: must be at least 1")
    if sort is not None and sort not in SORTS:
        raise ValueError(f"sort = {sort!r}: must be one of {', '.join(SORTS)}")
    holders = {m.name.rpartition(".")[0] for m in record.modules if m.name}
    kinds = {module.name: module.kind for module in record.modules}
    rows: list[Row] = []
    together: list[Operator] = []
    before: object = None
    for operator in record.operators:
        key = _key(operator, holders, depth)
        if together and key != before:
            rows.append(_row(together, kinds, depth))
            together = []
        together.append(operator)
        before = key
    if together:
        rows.append(_row(together, kinds, depth))
    if sort is not None:
        rows.sort(key=lambda row: -row.size(sort))
    return rows


def _key(operator: Operator, holders: set[str], depth: int | None) -> object:
    if depth is not None and operator.name.count(".") >= depth:
        return ".".join(operator.name.split(".")[:depth])
    if operator.name in holders or not operator.name:
        return operator.index
    return operator.name, operator.call


def _row(operators: Sequence[Operator], kinds: dict[str, str], depth: int | None) -> Row:
    name = operators[0].name
    if depth is not None:
        name = ".".join(name.split(".")[:depth])
    if len(operators) == 1:
        return Row(operators[0].name, title_of(operators[0]), tuple(operators))
    heavy = [o for o in operators if o.macs]
    if len(heavy) == 1 and name not in {n.rpartition(".")[0] for n in kinds}:
        return Row(name, title_of(heavy[0]), tuple(operators))
    kind = kinds.get(name, "")
    count = f"{len(operators)} operators"
    return Row(name, f"{kind}, {count}" if kind else count, tuple(operators))
