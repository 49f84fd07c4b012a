"""Operators on each element by itself, and those that mix along some dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cenote.inspection.tracing.given import Given, rule
from cenote.inspection.tracing.movement import _everything
from cenote.inspection.tracing.sight import (
    NOTHING,
    AxisSight,
    Sight,
    broadcast,
    hollowed,
    join,
    move,
    plain,
    spread,
)

__all__ = ["each_by_itself"]


def each_by_itself(given: Given) -> list[Sight]:
    """Element by element, stretched as arithmetic does."""
    return [join(given.every, shape) for shape in given.call.output_shapes]


for _name in (
    "clone", "contiguous", "_to_copy", "to", "dropout", "native_dropout", "masked_fill", "where",
    "positive", "resolve_conj", "resolve_neg", "cumulative", "nan_to_num",
    "real", "imag", "conj", "_conj", "clamp", "hardtanh", "rrelu_with_noise", "_prelu_kernel",
    "alias", "alias_copy", "detach", "complex", "polar", "lerp", "addcmul", "addcdiv", "bernoulli",
    "floor_divide", "glu_jvp", "fake_quantize_per_tensor_affine", "rrelu",
):  # fmt: skip
    rule(f"aten::{_name}")(each_by_itself)
rule("cenote::tap_indices")(each_by_itself)


@rule("aten::copy")
def _copy(given: Given) -> list[Sight]:
    """What was there before does not count."""
    return [broadcast(given.sight(given["src"]), given.shape)]


@rule("aten::fill", "aten::zero")
def _constant(given: Given) -> list[Sight]:
    values = [given.sight(a) for a in given.call.args[1:]]
    return [join(values, given.shape)]


def _kept(sight: Sight, dims: list[int], keepdim: bool) -> Sight:
    """The sight after a reduction: the dimensions stay with length 1, or go."""
    merged = spread(sight, dims)
    lengths = tuple(1 if d in dims else n for d, n in enumerate(sight.shape))
    merged = Sight(lengths, merged.axes)
    if keepdim:
        return merged
    left = [d for d in range(len(lengths)) if d not in dims]
    shape = tuple(lengths[d] for d in left)

    def change(a: AxisSight) -> AxisSight:
        dim = left.index(a.dim) if a.dim in left else None
        starts, stops = (e.reshape([e.shape[d] for d in left]) for e in (a.starts, a.stops))
        return AxisSight(starts, stops, a.rule if dim is not None else None, dim)

    return merged.map(shape, change)


@rule(
    "aten::mean", "aten::sum", "aten::amax", "aten::amin", "aten::max", "aten::min", "aten::prod",
    "aten::var", "aten::std", "aten::var_mean", "aten::std_mean", "aten::argmax", "aten::argmin",
    "aten::logsumexp", "aten::linalg_vector_norm", "aten::norm", "aten::any", "aten::all",
    "aten::nansum", "aten::median", "aten::aminmax", "aten::mode", "aten::kthvalue",
    "aten::nanmedian", "aten::count_nonzero",
)  # fmt: skip
def _reduce(given: Given) -> list[Sight]:
    if given.call.base in ("aten::max", "aten::min") and given.get("other") is not None:
        return each_by_itself(given)
    sight = given.first
    rank = len(sight.shape)
    found = given.get("dim", None)
    dims = list(range(rank)) if found is None or found == [] else plain(found)
    dims = [int(d) % max(1, rank) for d in dims]
    reduced = _kept(sight, dims, bool(given.get("keepdim", False)))
    return [Sight(shape, reduced.axes) for shape in given.call.output_shapes]


@rule("aten::_softmax", "aten::softmax", "aten::_log_softmax", "aten::log_softmax", "aten::sort",
      "aten::argsort", "aten::_safe_softmax")  # fmt: skip
def _along(given: Given) -> list[Sight]:
    """Every element along a dimension depends on all of them."""
    merged = spread(given.first, [int(given.get("dim", -1))])
    return [merged for _ in given.call.output_shapes]


@rule("aten::topk")
def _topk(given: Given) -> list[Sight]:
    merged = spread(given.first, [int(given["dim"])])
    return [Sight(shape, merged.axes) for shape in given.call.output_shapes]


@rule("aten::cumsum", "aten::cumprod", "aten::logcumsumexp", "aten::cummax", "aten::cummin")
def _running(given: Given) -> list[Sight]:
    """Element ``o`` depends on those up to it."""
    dim = int(given["dim"]) % len(given.first.shape)
    return [running(given.first, dim) for _ in given.call.output_shapes]


def running(sight: Sight, dim: int) -> Sight:
    """What depends on everything up to its place along ``dim``."""
    sight = Sight(sight.shape, {i: hollowed(along) for i, along in sight.axes.items()})

    def change(a: AxisSight) -> AxisSight:
        starts = np.minimum.accumulate(a.starts, axis=dim)
        stops = np.maximum.accumulate(a.stops, axis=dim)
        return AxisSight(starts, stops, None if a.dim == dim else a.rule, a.dim)

    return sight.map(sight.shape, change)


@rule("aten::native_layer_norm", "aten::layer_norm", "aten::rms_norm", "aten::_fused_rms_norm")
def _layer_norm(given: Given) -> list[Sight]:
    sight = given.first
    count = len(given["normalized_shape"])
    dims = list(range(len(sight.shape) - count, len(sight.shape)))
    return _with_statistics(given, spread(sight, dims))


@rule("aten::native_group_norm", "aten::group_norm")
def _group_norm(given: Given) -> list[Sight]:
    """All positions of a group's channels are mixed."""
    sight, shape = given.first, given.first.shape
    groups = int(given.get("group") or given.get("num_groups"))
    split = (shape[0], groups, shape[1] // groups, *shape[2:])
    apart = move(sight, lambda t: t.reshape(split), lambda r, d: (None, None))
    mixed = spread(apart, range(2, len(split)))
    back = move(mixed, lambda t: t.reshape(shape), lambda r, d: (None, None))
    return _with_statistics(given, back)


@rule("aten::native_batch_norm", "aten::_native_batch_norm_legit", "aten::batch_norm",
      "aten::cudnn_batch_norm", "aten::_native_batch_norm_legit_no_training",
      "aten::_batch_norm_with_update", "aten::_batch_norm_no_update",
      "aten::miopen_batch_norm")  # fmt: skip
def _batch_norm(given: Given) -> list[Sight]:
    """Each by itself by stored statistics; by the batch's own, all positions and images mix."""
    sight = given.first
    if given.get("training", given.get("train", given.call.base.endswith("with_update"))):
        sight = spread(sight, [d for d in range(len(sight.shape)) if d != 1])
    return _with_statistics(given, sight)


def _with_statistics(given: Given, sight: Sight) -> list[Sight]:
    """The result, and what else the operator gives: statistics, which see everything."""
    rest = given.call.output_shapes[1:]
    return [sight, *(_as(_everything(given), shape) for shape in rest)]


def _as(sight: Sight, shape: tuple[int, ...]) -> Sight:
    def change(a: AxisSight) -> AxisSight:
        one = (1,) * len(shape)
        starts = np.full(one, a.starts.min(initial=0))
        stops = np.full(one, a.stops.max(initial=0))
        return AxisSight(starts, stops, None, None)

    return sight.map(shape, change)


@rule("aten::_fft_r2c", "aten::_fft_c2c", "aten::_fft_c2r")
def _fft(given: Given) -> list[Sight]:
    """Every frequency depends on every element along the dimensions of the transform."""
    merged = spread(given.first, [int(d) for d in given["dim"]])
    return [Sight(given.shape, merged.axes)]


@rule("aten::embedding")
def _embedding(given: Given) -> list[Sight]:
    looked_up = given.sight(given["indices"])
    wide = move(looked_up, lambda t: t.unsqueeze(-1), lambda r, d: (r, d))
    return [Sight(given.shape, wide.axes)]


@rule("aten::view_as_real")
def _as_real(given: Given) -> list[Sight]:
    """One dimension more, of real and imaginary part."""
    wide = move(given.first, lambda t: t.unsqueeze(-1), lambda r, d: (r, d))
    return [Sight(given.shape, wide.axes)]


@rule("aten::view_as_complex")
def _as_complex(given: Given) -> list[Sight]:
    return [_kept(given.first, [len(given.first.shape) - 1], keepdim=False)]


@rule("aten::_local_scalar_dense")
def _into_python(given: Given) -> list[Sight]:
    """A number for Python: what it does with it is not followed, and a note says so."""
    return []


@rule("aten::glu")
def _glu(given: Given) -> list[Sight]:
    sight = given.first
    dim = int(given["dim"]) % len(sight.shape)
    half = sight.shape[dim] // 2

    parts = [
        move(sight, lambda t, s=start: t.narrow(dim, s, half),  # type: ignore[misc]
             lambda r, d: (r, d) if d != dim else (None, None))
        for start in (0, half)
    ]  # fmt: skip
    return [join(parts, given.shape)]


@rule("aten::constant_pad_nd")
def _pad(given: Given) -> list[Sight]:
    """What lies outside sees nothing."""
    return [padded(given.first, _ends(given["pad"], len(given.first.shape)))]


def _ends(pad: Sequence[int], rank: int) -> dict[int, tuple[int, int]]:
    """By dimension, how much is added before and after: torch begins with the last."""
    return {rank - 1 - i // 2: (int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)}


def padded(sight: Sight, ends: dict[int, tuple[int, int]]) -> Sight:
    """A sight with elements that see nothing around it; negative amounts crop."""
    shape = tuple(n + sum(ends.get(d, (0, 0))) for d, n in enumerate(sight.shape))
    grown = [d for d, amounts in ends.items() if max(amounts) > 0]
    axes = {}
    for index, along in sight.axes.items():
        changed = []
        for position, a in enumerate(along):
            # What is new sees nothing: one axis has to say so.
            dims = [d for d in ends if max(a.starts.shape[d], a.stops.shape[d]) > 1
                    or d == a.dim or (position == 0 and d in grown)]  # fmt: skip
            starts, stops = (
                _framed(array, {d: ends[d] for d in dims}, sight.shape, far)
                for array, far in zip((a.starts, a.stops), NOTHING, strict=True)
            )
            kept = a.rule
            if kept is not None and a.dim in ends:
                kept = kept.moved(-ends[a.dim][0])
            changed.append(AxisSight(starts, stops, kept, a.dim))
        axes[index] = tuple(changed)
    return Sight(shape, axes)


def _framed(
    array: np.ndarray, ends: dict[int, tuple[int, int]], shape: tuple[int, ...], value: int
) -> np.ndarray:
    """An array at its full length along some dimensions, cut or framed with ``value``."""
    full = np.broadcast_to(array, [shape[d] if d in ends else n for d, n in enumerate(array.shape)])
    cut = [slice(None)] * array.ndim
    frame = [(0, 0)] * array.ndim
    for d, (before, after) in ends.items():
        cut[d] = slice(max(0, -before), shape[d] + min(0, after))
        frame[d] = (max(0, before), max(0, after))
    return np.pad(full[tuple(cut)], frame, constant_values=value)


@rule("aten::reflection_pad1d", "aten::reflection_pad2d", "aten::reflection_pad3d",
      "aten::replication_pad1d", "aten::replication_pad2d", "aten::replication_pad3d",
      "aten::_pad_circular", "aten::pad", "aten::_pad_enum")  # fmt: skip
def _mirror(given: Given) -> list[Sight]:
    """What lies outside sees what it repeats."""
    call, sight = given.call, given.first
    ends = _ends(call.args[1], len(sight.shape))

    def how(t: Tensor) -> Tensor:
        moved: Tensor = call.func(t.contiguous(), *call.args[1:], **call.kwargs)
        return moved

    return [move(sight, how, lambda r, d: (r.moved(-ends.get(d, (0, 0))[0]), d), torch.float64)]
