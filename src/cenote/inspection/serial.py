"""A record as plain lists, dictionaries, numbers and strings; docs/record.md describes it."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from typing import Any

from cenote.inspection.receptive import AxisField, Branch, ReceptiveField
from cenote.inspection.record import SCHEMA, Operator, Record
from cenote.window import Axis

__all__ = ["title_of", "to_dict"]


def to_dict(record: Record) -> dict[str, Any]:
    """The documented form of a record, of version :data:`SCHEMA`."""
    return {
        "schema": SCHEMA,
        "model": record.model,
        "training": record.training,
        "seconds": record.seconds,
        "parameters": record.parameters,
        "inputs": [_listed(asdict(given)) for given in record.inputs],
        "operators": [_operator(operator) for operator in record.operators],
        "modules": [asdict(module) for module in record.modules],
        "outputs": list(record.outputs),
        "totals": asdict(record.totals),
        "error": asdict(record.error) if record.error else None,
        "notes": list(record.notes),
    }


def title_of(operator: Operator) -> str:
    """What an operator is, in words: ``conv 5x5, padding 2``."""
    kind = operator.kind.replace("_", " ")
    if operator.window is not None and operator.kind.startswith("adaptive"):
        return f"{kind} to {'x'.join(map(str, operator.shape[-len(operator.window) :]))}"
    if operator.window is not None:
        rest = operator.details.get("groups", 1)
        return f"{kind} {operator.window}" + (f", {rest} groups" if rest != 1 else "")
    if operator.kind == "linear" and operator.input_shapes:
        return f"{kind} {_linear_inputs(operator)} to {operator.shape[-1]}"
    return kind


def _linear_inputs(operator: Operator) -> int:
    shapes = operator.input_shapes
    return shapes[1][-1] if len(shapes) == 3 else shapes[0][-1]


def _listed(values: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _operator(o: Operator) -> dict[str, Any]:
    return {
        "index": o.index,
        "name": o.name,
        "call": o.call,
        "kind": o.kind,
        "title": title_of(o),
        "operator": o.operator,
        "sources": list(o.sources),
        "window": None if o.window is None else [_axis(axis) for axis in o.window],
        "input_shapes": [list(shape) for shape in o.input_shapes],
        "output_shapes": [list(shape) for shape in o.output_shapes],
        "dtype": o.dtype,
        "parameters": o.parameters,
        "macs": o.macs,
        "flops": o.flops,
        "read": o.read,
        "written": o.written,
        "kept": o.kept,
        "seconds": o.seconds,
        "fields": None if o.fields is None else {str(k): _field(f) for k, f in o.fields.items()},
        "unknown": o.unknown,
        "details": o.details,
        "weight": o.weight,
    }


def _axis(axis: Any) -> dict[str, Any]:
    if isinstance(axis, Axis):
        return {
            "kernel": axis.kernel, "stride": axis.stride, "before": axis.before,
            "after": axis.after, "dilation": axis.dilation, "ceil": axis.ceil,
        }  # fmt: skip
    return {"starts": list(axis.starts), "stops": list(axis.stops)}


def _field(field: ReceptiveField) -> dict[str, Any]:
    return {
        "axes": [_along(axis) for axis in field.axes],
        "aligned": field.aligned,
        "misalignment": [_number(value) for value in field.misalignment],
        "coverage": field.coverage,
        "everything": field.everything,
        "branches": [_branch(branch) for branch in field.branches],
    }


def _along(axis: AxisField) -> dict[str, Any]:
    rule = axis.rule
    ends = None if axis.joint else _ends(axis)
    return {
        "name": axis.name,
        "n": axis.n,
        "size": axis.size,
        "jump": _number(axis.jump),
        "offset": axis.offset,
        "rule": None if rule is None else _listed(asdict(rule)),
        "dim": axis.dim,
        "starts": None if ends is None else [a for a, _ in ends],
        "stops": None if ends is None else [b for _, b in ends],
    }


def _ends(axis: AxisField) -> list[tuple[int, int]]:
    """The interval of every unit along ``dim``; (0, 0) of one that sees nothing."""
    if axis.dim is None:
        return [axis.interval(0) or (0, 0)]
    units = max(axis.starts.shape[axis.dim], axis.stops.shape[axis.dim])
    return [axis.interval(unit) or (0, 0) for unit in range(units)]


def _branch(branch: Branch) -> dict[str, Any]:
    return {
        "source": branch.source,
        "sizes": list(branch.sizes),
        "jumps": [_number(value) for value in branch.jumps],
        "centres": [_number(value) for value in branch.centres],
    }


def _number(value: Fraction | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value.denominator == 1 else float(value)
