"""Operators that slide a window: which window it is, and what their units see."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from cenote.inspection.tracing.given import Given, rule
from cenote.inspection.tracing.sight import AxisSight, Sight, join, merge, move, plain, spread
from cenote.inspection.tracing.tables import Table
from cenote.window import Adaptive, Axis, Window

__all__ = ["window_of_call"]


def window_of_call(given: Given) -> Window | None:
    """The window that an operator slides over its input; None where it slides none."""
    base = given.call.base
    if base in ("aten::convolution", "aten::_convolution", "aten::convolution_overrideable"):
        return _of_convolution(given)
    if base == "aten::im2col":
        return _of_numbers(given, "kernel_size", 2)
    if base.startswith("cenote::") and given.get("window") is not None:
        return _of_ours(given["window"])
    if base == "cenote::fractional_places":
        return None
    name = base.removeprefix("aten::").removeprefix("mkldnn_").removeprefix("quantized_")
    if "adaptive" in name:
        sizes = plain(given["output_size"])
        return Window([Adaptive(int(o)) for o in sizes])
    if name.startswith(("max_pool", "avg_pool")):
        return _of_numbers(given, "kernel_size", int(name[8]))
    return None


def _each(values: Any, rank: int) -> list[int]:
    values = plain(values)
    return [int(v) for v in (values * rank if len(values) == 1 else values)]


@lru_cache(maxsize=4096)
def _regular(numbers: tuple[tuple[int, int, int, int, bool], ...]) -> Window:
    return Window(Axis(k, s, p, p, d, ceil) for k, s, p, d, ceil in numbers)


def _of_convolution(given: Given) -> Window:
    weight = given["weight"]
    kernel = tuple(weight.shape)[2:]
    rank = len(kernel)
    stride, padding = _each(given["stride"], rank), _each(given["padding"], rank)
    dilation = _each(given["dilation"], rank)
    return _regular(tuple(zip(kernel, stride, padding, dilation, (False,) * rank, strict=True)))


def _of_numbers(given: Given, kernel: str, rank: int) -> Window:
    sizes = _each(given[kernel], rank)
    stride = _each(given["stride"] or sizes, rank)
    padding = _each(given["padding"], rank)
    dilation = _each(given.get("dilation", 1), rank)
    ceil = bool(given.get("ceil_mode", False))
    return _regular(tuple(zip(sizes, stride, padding, dilation, (ceil,) * rank, strict=True)))


def _of_ours(numbers: Sequence[int]) -> Window:
    """Six numbers an axis; stride 0 is :class:`Adaptive`, padding below 0 is "same"."""
    axes: list[Axis | Adaptive] = []
    for at in range(0, len(numbers), 6):
        kernel, stride, before, after, dilation, ceil = map(int, numbers[at : at + 6])
        if stride == 0:
            axes.append(Adaptive(kernel))
        elif before < 0:
            axes.append(Axis.same(kernel, stride, dilation))
        else:
            axes.append(Axis(kernel, stride, before, after, dilation, bool(ceil)))
    return Window(axes)


def _slid(sight: Sight, window: Window) -> Sight:
    """A window over the last dimensions."""
    lead = len(sight.shape) - len(window)
    tables = {
        lead + position: Table.of_axis(axis, sight.shape[lead + position])
        for position, axis in enumerate(window)
    }
    return merge(sight, tables)


@rule("aten::convolution", "aten::_convolution", "aten::convolution_overrideable")
def _convolution(given: Given) -> list[Sight]:
    """All channels of a group are summed; the bias sees nothing."""
    sight = given.sight(given["input"])
    window, transposed = _of_convolution(given), bool(given["transposed"])
    if transposed:
        tables = {
            2 + i: Table.of_transposed(axis, sight.shape[2 + i], given.shape[2 + i])
            for i, axis in enumerate(window)
        }
        slid = merge(sight, tables)
    else:
        slid = _slid(sight, window)
    summed = _over_groups(slid, int(given["groups"]), given.shape)
    weight = given.sight(given["weight"])
    if weight.axes:  # a kernel that was made of the input
        flat = spread(weight, range(len(weight.shape)))
        whole = Sight((1,) * len(weight.shape), flat.axes)
        return [join([summed, whole], given.shape)]
    return [summed]


def _over_groups(sight: Sight, groups: int, shape: tuple[int, ...]) -> Sight:
    """Sum the channels of every group, for as many outputs as there are."""
    if groups == 1:
        return Sight(shape, spread(sight, [1]).axes)
    channels, outputs = sight.shape[1], shape[1]

    def by_group(array: np.ndarray, least: bool) -> np.ndarray:
        if array.shape[1] == 1:
            return array
        apart = array.reshape(array.shape[0], groups, channels // groups, *array.shape[2:])
        merged = apart.min(axis=2) if least else apart.max(axis=2)
        return np.repeat(merged, outputs // groups, axis=1)

    return sight.map(
        shape,
        lambda a: AxisSight(
            by_group(a.starts, True),
            by_group(a.stops, False),
            None if a.dim == 1 else a.rule,
            a.dim,
        ),
    )


@rule(
    "aten::max_pool1d", "aten::max_pool2d", "aten::max_pool3d", "aten::avg_pool1d",
    "aten::avg_pool2d", "aten::avg_pool3d", "aten::max_pool2d_with_indices",
    "aten::max_pool3d_with_indices", "aten::max_pool1d_with_indices", "aten::adaptive_avg_pool1d",
    "aten::adaptive_max_pool1d", "aten::adaptive_avg_pool2d", "aten::_adaptive_avg_pool2d",
    "aten::adaptive_avg_pool3d", "aten::_adaptive_avg_pool3d", "aten::adaptive_max_pool2d",
    "aten::adaptive_max_pool3d", "aten::mkldnn_max_pool2d", "aten::mkldnn_max_pool3d",
    "cenote::select_pool", "cenote::linear_pool", "cenote::power_pool", "cenote::logsumexp_pool",
)  # fmt: skip
def _pool(given: Given) -> list[Sight]:
    window = window_of_call(given)
    assert window is not None
    slid = _slid(given.first, window)
    return [slid if shape == slid.shape else Sight(shape) for shape in given.call.output_shapes]


@rule("cenote::take_places")
def _take(given: Given) -> list[Sight]:
    """Positions of a plane, chosen by another operator: what chose them, and what is there."""
    sight, rank = given.first, int(given["rank"])
    index = given["indices"]
    if isinstance(index, Tensor):
        flat = (*sight.shape[: len(sight.shape) - rank], -1)
        places = index.clamp(min=0).reshape(*index.shape[: index.dim() - rank], -1)

        def how(t: Tensor) -> Tensor:
            return t.reshape(flat).gather(-1, places).reshape(given.shape)

        return [move(sight, how, lambda r, d: (None, None))]
    return [join([given.sight(index)], given.shape)]


@rule("cenote::fractional_places")
def _fractional(given: Given) -> list[Sight]:
    """Windows that begin where the operator was told; each channel has its own."""
    sight, starts = given.first, given["starts"]
    kernel, sizes = _each(given["kernel"], 2), [int(n) for n in given["n"]]
    rank = len(given.shape) - 2
    if not isinstance(starts, Tensor):
        raise LookupError
    lengths = given.shape[2:]
    del sizes
    tables, begin = {}, 0
    for position, (length, taps) in enumerate(zip(lengths, kernel[-rank:], strict=True)):
        every = starts.reshape(-1, starts.shape[-1])[:, begin : begin + length].numpy()
        low, high = every.min(axis=0), every.max(axis=0) + taps
        places = low[:, None] + np.arange(int((high - low).max()))
        valid = places < high[:, None]
        n = sight.shape[2 + position]
        tables[2 + position] = Table(np.clip(places, 0, n - 1), valid & (places < n), None)
        begin += length
    return [merge(sight, tables)]


@rule("cenote::put_places", "aten::max_unpool2d", "aten::max_unpool3d")
def _put(given: Given) -> list[Sight]:
    """Where an element lands depends on data: any position may hold any of the plane's."""
    shape = given.shape
    rank = len(shape) - 2 if len(shape) > 3 else len(shape) - 1
    planes = []
    for sight in given.every:
        dims = range(len(sight.shape) - rank, len(sight.shape))
        merged = spread(sight, list(dims))
        planes.append(Sight((*sight.shape[:-rank], *(1,) * rank), merged.axes))
    return [join(planes, shape)]
