"""Advice on a network: what in its geometry is likely to cost without use, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from cenote.inspection.record import Operator, Record
from cenote.inspection.tracing.tables import Table
from cenote.window import Axis

__all__ = ["KINDS", "Advice", "advise"]

KINDS = {
    "unproductive": "layers whose input already sees the whole image (Richter 2021)",
    "object": "fields that never cover the object size that was given",
    "misaligned": "branches that meet with other centres or jumps",
    "checkerboard": "transposed convolutions with a kernel no multiple of the stride (Odena 2016)",
    "gridding": "dilations that leave holes in what a unit sees (Yu 2017)",
    "unread": "inputs that no window reads",
    "aliasing": "strides without a filter before them (Zhang 2019)",
    "padding": "units that see more padding than input",
}
"""The kinds of advice, and what each is about."""

_GRID_LIMIT = 20_000_000  # elements that the exact taps may have to go through
_SHOWN = 4


@dataclass(frozen=True)
class Advice:
    """One piece of advice: of which kind, about which operator, in words, and its numbers."""

    kind: str
    name: str
    operator: int | None
    text: str
    numbers: dict[str, Any] = field(default_factory=dict)


def advise(record: Record, object_size: int | Sequence[int] | None = None) -> list[Advice]:
    """What the geometry of a watched network gives reason to look at.

    Args:
        record: of :func:`cenote.inspect`.
        object_size: how large, in input elements, what the network shall recognise is: one number,
            or one for each axis.

    Raises:
        ValueError: ``object_size`` has another number of axes than the input, or is below 1.

    Sources: Richter, Byttner, Krumnack, Wiedenroth, Schallner, Shenk, "Should You Go Deeper?",
    2021; Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", 2016; Yu, Koltun,
    Funkhouser, "Dilated Residual Networks", 2017; Zhang, "Making Convolutional Networks
    Shift-Invariant Again", 2019.
    """
    found: list[Advice] = []
    for look in _LOOKS:
        found += look(record)
    found += _objects(record, object_size)
    order = list(KINDS)
    return sorted(found, key=lambda a: (order.index(a.kind), a.operator or 0))


def _windows(record: Record) -> Iterator[Operator]:
    """The operators that slide a window of more than one element."""
    for operator in record.operators:
        window = operator.window
        if window is not None and any(getattr(a, "kernel", 2) > 1 for a in window):
            yield operator


def _place(operator: Operator) -> str:
    return operator.name or f"{operator.kind} (operator {operator.index})"


def _sizes(values: Iterable[Any]) -> str:
    return "x".join(map(str, values))


def _names(operators: Sequence[Operator]) -> str:
    names = list(dict.fromkeys(_place(o) for o in operators))
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _unproductive(record: Record) -> list[Advice]:
    """A layer adds no context where what it reads sees more than there is."""
    found = []
    for o in _windows(record):
        source = next((s for s in o.sources if s >= 0), None)
        if o.kind not in ("conv", "conv_transpose") or source is None:
            continue
        before = record.operators[source].field
        if before is None or not before.axes or None in before.jumps:
            continue
        if all(axis.size > axis.n for axis in before.axes):
            found.append(o)
    if not found:
        return []
    first = found[0]
    before = record.operators[next(s for s in first.sources if s >= 0)].field
    assert before is not None
    cost = sum(o.macs or 0 for o in found)
    share = cost / max(1, record.totals.macs)
    return [
        Advice(
            "unproductive", _place(first), first.index,
            f"from {_place(first)} on, {len(found)} convolutions read units that already see "
            f"{_sizes(before.sizes)}, more than the input of {_sizes(a.n for a in before.axes)}: "
            f"they add depth, but no context, and take {100 * share:.0f} % of the "
            "multiply-accumulates. A larger input, or fewer layers, would use them",
            {"convolutions": len(found), "size": list(before.sizes),
             "input": [a.n for a in before.axes], "share_of_macs": share},
        )
    ]  # fmt: skip


def _misaligned(record: Record) -> list[Advice]:
    found = []
    for o in record.operators:
        if o.field is None or o.field.aligned:
            continue
        apart = o.field.misalignment
        jumps = [tuple(map(str, b.jumps)) for b in o.field.branches]
        if None in apart:
            what = f"their jumps are {' and '.join(_sizes(j) for j in jumps)}"
        else:
            what = f"their centres lie {_sizes(apart)} input elements apart"
        sizes = " and ".join(_sizes(b.sizes) for b in o.field.branches)
        found.append(
            Advice(
                "misaligned", _place(o), o.index,
                f"{_place(o)} joins branches that see {sizes} and are not aligned: {what}. Where "
                "that is not meant, odd kernels with as much padding before as after align them",
                {"apart": [None if a is None else float(a) for a in apart]},
            )
        )  # fmt: skip
    return found


def _checkerboard(record: Record) -> list[Advice]:
    found = []
    for o in record.operators:
        if o.kind != "conv_transpose" or o.window is None:
            continue
        uneven = [a for a in o.window if a.kernel % a.stride]
        if uneven:
            axis = uneven[0]
            found.append(
                Advice(
                    "checkerboard", _place(o), o.index,
                    f"{_place(o)}: kernel {axis.kernel} is no multiple of stride {axis.stride}: "
                    f"neighbouring outputs are sums of {axis.kernel // axis.stride} and "
                    f"{-(-axis.kernel // axis.stride)} taps along an axis, a checkerboard. Kernel "
                    f"{-(-axis.kernel // axis.stride) * axis.stride} would be even",
                    {"kernel": axis.kernel, "stride": axis.stride},
                )
            )  # fmt: skip
    return found


def _gridding(record: Record) -> list[Advice]:
    """Exact taps of a unit in the middle, after the last of some dilated windows."""
    dilated = [
        o for o in _windows(record)
        if o.window is not None and o.field is not None
        and any(getattr(a, "dilation", 1) > 1 and a.kernel > 1 for a in o.window)
    ]  # fmt: skip
    work = sum(prod(s) for o in record.operators for s in o.output_shapes)
    if not dilated or record.taps_of is None or work > _GRID_LIMIT:
        return []
    last = dilated[-1]
    assert last.field is not None
    assert last.window is not None
    unit = tuple(length // 2 for length in last.shape[-len(last.window) :])
    box = last.field.box(unit)
    if box is None:
        return []
    taps = record.taps(last.index, unit, last.field.input)
    area = prod(stop - start for start, stop in box)
    seen = int(np.count_nonzero(taps))
    if seen == area:
        return []
    return [
        Advice(
            "gridding", _place(last), last.index,
            f"{_place(last)}: unit {unit} sees {seen} of the {area} elements of its field "
            f"{_sizes(b - a for a, b in box)}: the dilations up to here share a divisor or grow "
            "too fast, and leave a grid of holes. Dilations 1, 2, 5 leave none",
            {"seen": seen, "area": area},
        )
    ]  # fmt: skip


def _unread(record: Record) -> list[Advice]:
    found = []
    for o in record.operators:
        if o.window is None or o.kind == "conv_transpose":
            continue
        lengths = o.input_shapes[0][len(o.input_shapes[0]) - len(o.window) :]
        for position, (axis, n) in enumerate(zip(o.window, lengths, strict=True)):
            if not isinstance(axis, Axis) or n == 0:
                continue
            table = Table.of_axis(axis, n)
            read = np.zeros(n, dtype=bool)
            read[table.places[table.valid]] = True
            missed = n - int(read.sum())
            if not missed or not read.any():
                continue
            end = n - 1 - int(np.flatnonzero(read)[-1])
            gaps = missed - end
            why = (
                f"stride {axis.stride} passes over them (kernel {axis.kernel})" if gaps
                else "the last window does not fit; padding or ceil_mode would take them in"
            )  # fmt: skip
            found.append(
                Advice(
                    "unread", _place(o), o.index,
                    f"{_place(o)}: {missed} of {n} elements along axis {position} are never read: "
                    f"{why}",
                    {"axis": position, "missed": missed, "of": n, "at_the_end": end},
                )
            )  # fmt: skip
            break
    return found


def _aliasing(record: Record) -> list[Advice]:
    found = [
        o for o in record.operators
        if o.window is not None and o.kind in ("conv", "max_pool", "min_pool")
        and any(getattr(a, "stride", 1) > 1 for a in o.window)
    ]  # fmt: skip
    if not found:
        return []
    strides = sorted({max(a.stride for a in o.window) for o in found if o.window})
    return [
        Advice(
            "aliasing", _place(found[0]), found[0].index,
            f"{_names(found)}: stride {', '.join(map(str, strides))} without a filter before it: a "
            "shift of the input by less than the stride changes what comes out. "
            "cenote.inspection.sensitivity measures by how much; a blur "
            "(cenote.nn.MaxBlurPool2d) mends it",
            {"operators": [o.index for o in found]},
        )
    ]  # fmt: skip


def _padding(record: Record) -> list[Advice]:
    """Of the last map: how much of its units' fields lies outside the input, on the average."""
    last = next(
        (o for o in reversed(record.operators)
         if o.field is not None and o.field.axes
         and all(a.rule is not None and a.dim is not None for a in o.field.axes)),
        None,
    )  # fmt: skip
    if last is None or last.field is None:
        return []
    mean, corner = 1.0, 1.0
    for axis in last.field.axes:
        assert axis.rule is not None
        assert axis.dim is not None
        parts = []
        for unit in range(last.shape[axis.dim]):
            start, stop = axis.rule.interval(unit)
            parts.append(max(0, min(stop, axis.n) - max(start, 0)) / max(1, stop - start))
        mean *= sum(parts) / len(parts)
        corner *= parts[0]
    if mean >= 0.5:
        return []
    return [
        Advice(
            "padding", _place(last), last.index,
            f"{_place(last)}: of its units' fields of {_sizes(last.field.sizes)}, "
            f"{100 * (1 - mean):.0f} % lies outside the input of "
            f"{_sizes(a.n for a in last.field.axes)} on the average, and "
            f"{100 * (1 - corner):.0f} % of the corner unit's: much of what they sum is padding",
            {"share": 1 - mean, "corner": 1 - corner},
        )
    ]  # fmt: skip


def _objects(record: Record, object_size: int | Sequence[int] | None) -> list[Advice]:
    if object_size is None:
        return []
    seen = [o for o in record.operators if o.field is not None and o.field.axes]
    if not seen:
        return []
    axes = len(seen[0].field.axes) if seen[0].field else 0
    wanted = [object_size] * axes if isinstance(object_size, int) else list(object_size)
    if len(wanted) != axes or any(size < 1 for size in wanted):
        raise ValueError(
            f"object_size = {object_size}: must be at least 1, one number or {axes}, for the axes "
            "of the input"
        )
    greatest = seen[0]
    for o in seen:
        assert o.field is not None
        assert greatest.field is not None
        reach = [max(a.size, a.n if o.field.everything else 0) for a in o.field.axes]
        if all(r >= w for r, w in zip(reach, wanted, strict=True)):
            return []
        if prod(o.field.sizes) > prod(greatest.field.sizes):
            greatest = o
    assert greatest.field is not None
    return [
        Advice(
            "object", _place(greatest), greatest.index,
            f"no unit sees a whole object of {_sizes(wanted)}: the largest field, of "
            f"{_place(greatest)}, is {_sizes(greatest.field.sizes)}",
            {"object": wanted, "largest": list(greatest.field.sizes)},
        )
    ]  # fmt: skip


_LOOKS: tuple[Callable[[Record], list[Advice]], ...] = (
    _unproductive, _misaligned, _checkerboard, _gridding, _unread, _aliasing, _padding,
)  # fmt: skip
