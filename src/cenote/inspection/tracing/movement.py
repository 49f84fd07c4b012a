"""Operators that move elements about: their intervals go with them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cenote.inspection.receptive import Rule
from cenote.inspection.tracing.given import Given, rule
from cenote.inspection.tracing.sight import NOTHING, AxisSight, Sight, broadcast, join, move

__all__: list[str] = []

After = tuple[Rule | None, int | None]


def _dim(given: Given, name: str, rank: int) -> int:
    return int(given[name]) % max(1, rank)


@rule("aten::view", "aten::reshape", "aten::_unsafe_view", "aten::_reshape_alias", "aten::flatten")
def _view(given: Given) -> list[Sight]:
    """A dimension stays what it is where as many elements come before it, and it is as long."""
    before, after = given.first.shape, given.shape
    if given.get("dtype") is not None:
        return [given.first]

    def rules(kept: Rule, dim: int) -> After:
        for new, length in enumerate(after):
            if length == before[dim] and prod(after[:new]) == prod(before[:dim]):
                return kept, new
        return None, None

    return [move(given.first, lambda t: t.reshape(after), rules)]


@rule("aten::permute", "aten::transpose", "aten::t", "aten::swapaxes", "aten::movedim")
def _permute(given: Given) -> list[Sight]:
    call, rank = given.call, len(given.first.shape)
    order = torch.empty((), device="meta").expand(list(range(1, rank + 1)))
    lengths = [length - 1 for length in call.func(order, *call.args[1:], **call.kwargs).shape]
    return [move(given.first, lambda t: t.permute(lengths), lambda r, dim: (r, lengths.index(dim)))]


@rule("aten::select")
def _select(given: Given) -> list[Sight]:
    dim = _dim(given, "dim", len(given.first.shape))
    index = int(given["index"])

    def rules(kept: Rule, at: int) -> After:
        return (None, None) if at == dim else (kept, at - (at > dim))

    return [move(given.first, lambda t: t.select(dim, index), rules)]


@rule("aten::slice", "aten::narrow")
def _slice(given: Given) -> list[Sight]:
    sight, call = given.first, given.call
    dim = _dim(given, "dim", len(sight.shape))
    start, step = int(given["start"] or 0), int(given.get("step") or 1)
    start = max(0, start + sight.shape[dim] if start < 0 else start)

    def rules(kept: Rule, at: int) -> After:
        return (kept.moved(start, step) if at == dim else kept), at

    return [move(sight, lambda t: call.func(t, *call.args[1:], **call.kwargs), rules)]


@rule("aten::squeeze", "aten::unsqueeze")
def _squeeze(given: Given) -> list[Sight]:
    call = given.call
    before, after = given.first.shape, given.shape

    def rules(kept: Rule, at: int) -> After:
        marked = torch.empty((), device="meta").expand(
            [2 if d == at else 1 if length == 1 else 3 for d, length in enumerate(before)]
        )
        shape = list(call.func(marked, *call.args[1:], **call.kwargs).shape)
        if before[at] == 1 or 2 not in shape:
            return None, None
        return kept, shape.index(2)

    return [move(given.first, lambda t: t.reshape(after), rules)]


@rule("aten::expand", "aten::broadcast_to", "aten::expand_as")
def _expand(given: Given) -> list[Sight]:
    return [broadcast(given.first, given.shape)]


@rule("aten::flip")
def _flip(given: Given) -> list[Sight]:
    sight = given.first
    dims = [d % len(sight.shape) for d in given["dims"]]

    def rules(kept: Rule, at: int) -> After:
        return (kept.moved(sight.shape[at] - 1, -1) if at in dims else kept), at

    return [move(sight, lambda t: t.flip(dims), rules)]


@rule("aten::roll")
def _roll(given: Given) -> list[Sight]:
    dims = [d % len(given.first.shape) for d in given["dims"]]

    def rules(kept: Rule, at: int) -> After:
        return (None, None) if at in dims or not dims else (kept, at)

    return [move(given.first, lambda t: t.roll(given["shifts"], dims), rules)]


@rule(
    "aten::split",
    "aten::unsafe_split",
    "aten::split_with_sizes",
    "aten::unsafe_split_with_sizes",
    "aten::chunk",
    "aten::unbind",
    "aten::tensor_split",
)
def _pieces(given: Given) -> list[Sight]:
    call, made = given.call, []
    dim = int(given["dim"]) % len(given.first.shape)
    unbound = "unbind" in call.base
    begin = 0
    for position, shape in enumerate(call.output_shapes):
        start = begin

        def how(t: Tensor, position: int = position) -> Tensor:
            piece: Tensor = call.func(t, *call.args[1:], **call.kwargs)[position]
            return piece

        def rules(kept: Rule, at: int, start: int = start) -> After:
            if unbound:
                return (None, None) if at == dim else (kept, at - (at > dim))
            return (kept.moved(start) if at == dim else kept), at

        made.append(move(given.first, how, rules))
        begin += 0 if unbound else shape[dim]
    return made


@rule("aten::repeat", "aten::tile", "aten::diagonal", "aten::unfold", "aten::channel_shuffle",
      "aten::repeat_interleave", "aten::take_along_dim",
      "aten::native_channel_shuffle")  # fmt: skip
def _as_it_does(given: Given) -> list[Sight]:
    """What only moves elements is done to the intervals; no rule is followed along the way."""
    call = given.call

    def how(t: Tensor) -> Tensor:
        moved: Tensor = call.func(t.contiguous(), *call.args[1:], **call.kwargs)
        return moved

    keeps = call.base.endswith("channel_shuffle")
    return [move(given.first, how, lambda r, d: (r, d) if keeps and d != 1 else (None, None))]


@rule("aten::pixel_shuffle", "aten::pixel_unshuffle")
def _pixels(given: Given) -> list[Sight]:
    call, sight = given.call, given.first
    rank = len(sight.shape)
    factor = int(call.args[1])
    up = call.base == "aten::pixel_shuffle"
    repeated = Rule(factor, 1, (0,) * factor, (1,) * factor)

    def rules(kept: Rule, at: int) -> After:
        if at < rank - 3:
            return kept, at
        return (repeated.over(kept), at) if up and at >= rank - 2 else (None, None)

    def how(t: Tensor) -> Tensor:
        moved: Tensor = call.func(t.contiguous(), factor)
        return moved

    return [move(sight, how, rules)]


@rule("aten::cat", "aten::concat", "aten::stack", "aten::_cat")
def _cat(given: Given) -> list[Sight]:
    """Side by side along a dimension; along the others each stays what it is."""
    parts = [given.sight(part) for part in given.call.args[0]]
    dim = int(given["dim"] or 0) % len(given.shape)
    if given.call.base == "aten::stack":
        parts = [
            move(p, lambda t: t.unsqueeze(dim), lambda r, d: (r, d + (d >= dim))) for p in parts
        ]
    parts = [p for p in parts if p.shape != (0,)]  # what torch lets pass for old code
    return [_beside(parts, dim, given.shape)]


def _beside(parts: list[Sight], dim: int, shape: tuple[int, ...]) -> Sight:
    axes: dict[int, tuple[AxisSight, ...]] = {}
    for index in {i for part in parts for i in part.axes}:
        count = next(len(part.axes[index]) for part in parts if index in part.axes)
        axes[index] = tuple(_beside_axis(parts, index, a, dim) for a in range(count))
    return Sight(shape, axes)


def _beside_axis(parts: list[Sight], index: int, axis: int, dim: int) -> AxisSight:
    known = [part.axes[index][axis] for part in parts if index in part.axes]
    rule, along = known[0].rule, known[0].dim
    for other in known[1:]:
        same = rule is not None and other.rule is not None and along == other.dim
        rule = rule.joined(other.rule) if same and rule and other.rule else None
    if along == dim and len(parts) > 1:
        rule = None
    starts = _put(parts, index, axis, dim, 0)
    stops = _put(parts, index, axis, dim, 1)
    if rule is None:
        varying = [d for d in range(starts.ndim) if starts.shape[d] * stops.shape[d] > 1]
        along = varying[0] if len(varying) == 1 else None
    return AxisSight(starts, stops, rule, along)


def _put(parts: list[Sight], index: int, axis: int, dim: int, end: int) -> np.ndarray:
    arrays = []
    for part in parts:
        if index in part.axes:
            array = part.axes[index][axis].stops if end else part.axes[index][axis].starts
        else:
            array = np.full((1,) * len(part.shape), NOTHING[end])
        arrays.append((array, part.shape[dim]))
    first = arrays[0][0]
    if all(np.array_equal(array, first) and array.shape[dim] == 1 for array, _ in arrays):
        return first
    ranks = range(first.ndim)
    common = [max(array.shape[d] for array, _ in arrays) for d in ranks]
    whole = [
        np.broadcast_to(a, [length if d == dim else common[d] for d in ranks])
        for a, length in arrays
    ]
    return np.concatenate(whole, axis=dim)


@rule("aten::index_select")
def _index_select(given: Given) -> list[Sight]:
    index = given["index"]
    sight = given.sight(given["self"])
    dim = _dim(given, "dim", len(sight.shape))
    if not isinstance(index, Tensor):
        return [_chosen_by_data(given, dim)]
    places = index.reshape(-1)

    def rules(kept: Rule, at: int) -> After:
        return (_extended(kept, places, sight.shape[dim]) if at == dim else kept), at

    return [move(sight, lambda t: t.index_select(dim, places), rules)]


def _extended(kept: Rule, places: Tensor, n: int) -> Rule | None:
    """The rule of a line that was extended at both ends, by mirroring for example."""
    found = (places == 0).nonzero().flatten().tolist()
    for before in found:
        inside = places[before : before + n]
        if len(inside) == n and bool((inside == torch.arange(n)).all()):
            return kept.moved(-before)
    steps = places.diff()
    if len(steps) and bool((steps == steps[0]).all()):
        return kept.moved(int(places[0]), int(steps[0]))
    return None


def _chosen_by_data(given: Given, dim: int) -> Sight:
    """Which element is taken depends on data: any along the dimension, and on what chose it."""
    from cenote.inspection.tracing.sight import spread

    sight = spread(given.sight(given["self"]), [dim])
    chooser = given.sight(given["index"])
    if len(chooser.shape) != len(given.shape):
        chooser = spread(chooser, range(len(chooser.shape)))
        chooser = move(chooser, lambda t: t.reshape(-1)[:1].reshape((1,) * len(given.shape)),
                       lambda r, d: (None, None))  # fmt: skip
    return join([sight, chooser], given.shape)


@rule("aten::gather")
def _gather(given: Given) -> list[Sight]:
    index = given["index"]
    sight = given.sight(given["self"])
    dim = _dim(given, "dim", len(sight.shape))
    if not isinstance(index, Tensor):
        return [_chosen_by_data(given, dim)]
    return [
        move(
            sight, lambda t: t.gather(dim, index), lambda r, d: (r, d) if d != dim else (None, None)
        )
    ]


@rule("aten::index", "aten::_unsafe_index")
def _index(given: Given) -> list[Sight]:
    indices: list[Any] = list(given["indices"])
    if any(i is not None and not isinstance(i, Tensor) for i in indices):
        return [_everything(given)]
    return [move(given.first, lambda t: t[tuple(slice(None) if i is None else i for i in indices)],
                 lambda r, d: (None, None))]  # fmt: skip


def _everything(given: Given) -> Sight:
    """Every element depends on all of all arguments."""
    from cenote.inspection.tracing.sight import spread

    merged = [spread(sight, range(len(sight.shape))) for sight in given.every]
    one = (1,) * len(given.shape)
    flat = [
        move(s, lambda t: t.reshape(-1)[:1].reshape(one), lambda r, d: (None, None))
        for s in merged
        if s.axes
    ]
    return join(flat, given.shape)
