"""Exactly which inputs one unit depends on, holes and all.

Every operator of a trace has a stand-in that adds up, with positive weights, whatever its outputs
depend on. What the gradient of one unit of the stand-ins reaches is what the unit depends on; all
gradients are cut down to 0 and 1 on the way, so that none vanishes or overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cenote.inspection.record import Input
from cenote.inspection.tracing.calls import Call, Constant, Ref, Trace
from cenote.inspection.tracing.fields import rule_of
from cenote.inspection.tracing.given import Given
from cenote.inspection.tracing.pointwise import each_by_itself
from cenote.inspection.tracing.resizing import resize_weights
from cenote.inspection.tracing.sight import Sight
from cenote.inspection.tracing.windows import window_of_call
from cenote.window import Axis

__all__ = ["exact_taps"]

StandIn = Callable[[Given, Callable[[Any], Tensor]], list[Tensor]]


def exact_taps(
    trace: Trace, inputs: tuple[Input, ...], operator: int, unit: tuple[int, ...], which: int
) -> np.ndarray:
    """The mask, over the spatial axes of input ``which``, of what a unit depends on."""
    calls = trace.calls
    if not 0 <= operator < len(calls):
        raise ValueError(f"operator = {operator}: must lie in 0 to {len(calls) - 1}")
    if not 0 <= which < len(inputs):
        raise ValueError(f"input = {which}: must lie in 0 to {len(inputs) - 1}")
    values: dict[int, Tensor] = {}
    for index, ref in enumerate(trace.inputs):
        room = torch.zeros(ref.shape, dtype=torch.float64)
        values[ref.value] = room.requires_grad_(index == which)
    start = values[trace.inputs[which].value]
    with torch.enable_grad():
        for call in calls[: operator + 1]:
            _stand_in(call, values)
        made = values[calls[operator].made[0]]
    lead = made.dim() - len(unit)
    if lead < 0:
        raise ValueError(f"unit = {unit}: the tensor has {made.dim()} dimensions")
    axes = inputs[which].axes
    if not made.requires_grad:
        return np.zeros(inputs[which].lengths, dtype=bool)
    at: tuple[Any, ...] = (*[slice(None)] * lead, *unit)
    chosen = made[at].sum()
    (reached,) = torch.autograd.grad(chosen, start, allow_unused=True)
    if reached is None:
        return np.zeros(inputs[which].lengths, dtype=bool)
    others = [d for d in range(reached.dim()) if d not in axes]
    seen = (reached > 0).any(dim=tuple(others)) if others else reached > 0
    return np.asarray(seen.numpy())


def _stand_in(call: Call, values: dict[int, Tensor]) -> None:
    rule = rule_of(call)
    stand_in = _STAND_INS.get(call.base)
    if stand_in is None and rule is each_by_itself:
        stand_in = _sum
    if stand_in is None:
        raise ValueError(
            f"taps: nothing is known of {call.operator} in {call.name or 'the network'}"
        )

    def get(argument: Any) -> Tensor:
        if isinstance(argument, Ref):
            return values[argument.value]
        shape = tuple(getattr(argument, "shape", ()))
        return torch.zeros(shape, dtype=torch.float64)

    given = _Shapes(call, {})
    made = stand_in(given, get)
    for value, tensor in zip(call.made, made, strict=False):
        values[value] = _cut(tensor)
    for value in call.made[len(made) :]:
        values[value] = torch.zeros((), dtype=torch.float64)
    for old, new, where, place in call.aliases:
        values[new] = _rewritten(values, call, (old, where, place))


class _Shapes(Given):
    def sight(self, argument: Any) -> Sight:
        """The sizes of an argument."""
        return Sight(tuple(getattr(argument, "shape", ())))


def _cut(tensor: Tensor) -> Tensor:
    if tensor.requires_grad and tensor.grad_fn is not None:
        tensor.register_hook(lambda g: None if g is None else (g > 0).to(g.dtype))
    return tensor


def _rewritten(values: dict[int, Tensor], call: Call, what: Any) -> Tensor:
    from cenote.inspection.tracing.fields import places_of

    old, where, place = what
    ours, theirs = (torch.from_numpy(places_of(p)) for p in (where, place))
    size = int(max(ours.max(), theirs.max())) + 1
    room = torch.zeros(size, dtype=torch.float64)
    if old in values:
        room = room.index_put((ours,), values[old])
    room = room.index_put((theirs,), values[call.made[0]].expand(place.shape))
    return _cut(room[ours])


def _sum(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    total = torch.zeros((), dtype=torch.float64)
    for ref in given.call.refs:
        total = total + get(ref)
    return [total.expand(shape) for shape in given.call.output_shapes]


def _copy(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    return [get(given["src"]).expand(given.shape).clone()]


def _fill(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    rest = [get(a) for a in given.call.args[1:] if isinstance(a, Ref)]
    return [sum(rest, torch.zeros(given.shape, dtype=torch.float64))]


def _moved(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    """What only moves elements is its own stand-in."""
    call = given.call
    args = [_real(a, get) for a in call.args]
    kwargs = {k: _real(v, get) for k, v in call.kwargs.items()}
    if call.base in ("aten::view", "aten::_unsafe_view", "aten::_reshape_alias"):
        return [args[0].reshape(given.shape)]
    made = call.func(*args, **kwargs)
    return [made] if isinstance(made, Tensor) else list(made)


def _real(argument: Any, get: Callable[[Any], Tensor]) -> Any:
    if isinstance(argument, Ref):
        return get(argument)
    if isinstance(argument, (list, tuple)):
        return [_real(a, get) for a in argument]
    if isinstance(argument, Constant):
        return get(argument)
    return argument


def _chosen(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    """Elements by their places; where these depend on data, any may be taken."""
    index = given.get("index")
    if not isinstance(index, Ref):
        return _moved(given, get)
    chosen = get(given["self"]).sum(given["dim"], keepdim=True)
    chooser = get(index)
    chooser = chooser if chooser.dim() == len(given.shape) else chooser.sum()
    return [(chosen + chooser).expand(given.shape)]


def _convolution(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    weight = torch.ones(tuple(given["weight"].shape), dtype=torch.float64)
    numbers = [given[n] for n in ("stride", "padding", "dilation")]
    made = torch.ops.aten.convolution(
        get(given["input"]), weight, None, *numbers, given["transposed"],
        given["output_padding"], given["groups"],
    )  # fmt: skip
    if isinstance(given["weight"], Ref):
        made = made + get(given["weight"]).sum()
    return [made]


def _pool(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    x, window = get(given.call.args[0]), window_of_call(given)
    assert window is not None
    for position, axis in enumerate(window):
        dim = x.dim() - len(window) + position
        x = _slid(x, axis.at(x.shape[dim]), dim)
    return [x if shape == tuple(x.shape) else torch.zeros(shape, dtype=torch.float64)
            for shape in given.call.output_shapes]  # fmt: skip


def _slid(x: Tensor, axis: Any, dim: int) -> Tensor:
    front = x.movedim(dim, -1)
    n = front.shape[-1]
    if not isinstance(axis, Axis):
        parts = [front[..., a:b].sum(-1) for a, b in zip(axis.starts, axis.stops, strict=True)]
        return torch.stack(parts, -1).movedim(-1, dim)
    before, _ = axis.padding
    length = (axis.out(n) - 1) * axis.stride + axis.extent
    wide = F.pad(front, (before, max(0, length - before - n)))[..., :length]
    windows = wide.unfold(-1, axis.extent, axis.stride)[..., :: axis.dilation]
    return windows.sum(-1).movedim(-1, dim)


def _resize(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    x = get(given.call.args[0])
    for position in range(x.dim() - 2):
        dim = 2 + position
        weights = resize_weights(given, position, x.shape[dim], given.shape[dim])
        reads = torch.from_numpy((weights != 0).astype(np.float64))
        x = (x.movedim(dim, -1) @ reads.T).movedim(-1, dim)
    return [x]


def _product(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    added = given.call.base in ("aten::addmm", "aten::baddbmm")
    left, right = (get(a) for a in given.call.args[int(added) : int(added) + 2])
    if given.call.base == "aten::mv":
        return [left.sum(-1) + right.sum()]
    made = left.sum(-1, keepdim=True) + right.sum(-2, keepdim=True)
    return [made + get(given.call.args[0]) if added else made]


def _linear(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    made = get(given.call.args[0]).sum(-1, keepdim=True)
    return [(made + get(given["weight"]).sum(-1)).expand(given.shape)]


def _as_real(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    return [get(given.call.args[0]).unsqueeze(-1).expand(given.shape)]


def _as_complex(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    return [get(given.call.args[0]).sum(-1)]


def _attention(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    query, key, value = (get(a) for a in given.call.args[:3])
    causal = bool(given.get("is_causal", False)) and query.shape[-2] == key.shape[-2]
    if causal:
        keys, values = key.sum(-1, keepdim=True).cumsum(-2), value.cumsum(-2)
    else:
        keys, values = key.sum((-2, -1), keepdim=True), value.sum(-2, keepdim=True)
    mask = given.get("attn_mask", given.get("attn_bias"))
    biases = get(mask).sum(-1, keepdim=True) if isinstance(mask, Ref) else 0.0
    return [(query.sum(-1, keepdim=True) + keys + values + biases).expand(given.shape)]


def _reduce(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    if given.call.base in ("aten::max", "aten::min") and given.get("other") is not None:
        return _sum(given, get)
    x = get(given.call.args[0])
    dim = given.get("dim", None)
    dims = list(range(x.dim())) if dim is None or dim == [] else dim
    made = x.sum(dims, keepdim=bool(given.get("keepdim", False)))
    return [made for _ in given.call.output_shapes]


def _along(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    made = get(given.call.args[0]).sum(given.get("dim", -1), keepdim=True)
    return [made.expand(shape) for shape in given.call.output_shapes]


def _running(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    made = get(given.call.args[0]).cumsum(given["dim"])
    return [made for _ in given.call.output_shapes]


def _layer_norm(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    x, count = get(given.call.args[0]), len(given["normalized_shape"])
    return [x.sum(tuple(range(x.dim() - count, x.dim())), keepdim=True).expand(x.shape)]


def _group_norm(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    x, groups = get(given.call.args[0]), int(given.get("group") or given.get("num_groups"))
    apart = x.reshape(x.shape[0], groups, -1)
    return [apart.sum(-1, keepdim=True).expand(apart.shape).reshape(x.shape)]


def _batch_norm(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    x = get(given.call.args[0])
    if given.get("training", given.get("train", given.call.base.endswith("with_update"))):
        dims = [d for d in range(x.dim()) if d != 1]
        return [x.sum(dims, keepdim=True).expand(x.shape)]
    return [x.clone()]


def _fft(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    return [get(given.call.args[0]).sum(given["dim"], keepdim=True).expand(given.shape)]


def _take(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    if isinstance(given["indices"], Ref):
        return [get(given["indices"]).expand(given.shape)]
    return _moved(given, get)


def _embedding(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    return [get(given["indices"]).unsqueeze(-1).expand(given.shape)]


def _glu(given: Given, get: Callable[[Any], Tensor]) -> list[Tensor]:
    one, other = get(given.call.args[0]).chunk(2, int(given["dim"]))
    return [one + other]


def _table(*entries: tuple[str, StandIn]) -> dict[str, StandIn]:
    return {f"aten::{name}" if "::" not in name else name: how
            for names, how in entries for name in names.split()}  # fmt: skip


_STAND_INS = _table(
    ("copy", _copy),
    ("fill zero", _fill),
    ("view reshape _unsafe_view _reshape_alias permute transpose t swapaxes movedim select slice "
     "narrow squeeze unsqueeze expand broadcast_to flip roll split split_with_sizes "
     "unsafe_split unsafe_split_with_sizes chunk unbind "
     "repeat diagonal unfold channel_shuffle native_channel_shuffle pixel_shuffle pixel_unshuffle "
     "cat stack index _unsafe_index constant_pad_nd reflection_pad1d "
     "reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d "
     "im2col col2im repeat_interleave tensor_split", _moved),
    ("index_select gather", _chosen),
    ("convolution _convolution convolution_overrideable", _convolution),
    ("max_pool2d_with_indices max_pool3d_with_indices max_pool2d max_pool1d avg_pool1d avg_pool2d "
     "avg_pool3d adaptive_avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d "
     "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool3d adaptive_max_pool1d "
     "cenote::select_pool cenote::linear_pool cenote::power_pool cenote::logsumexp_pool", _pool),
    ("upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d "
     "_upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d "
     "upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa",
     _resize),
    ("mm bmm matmul addmm baddbmm mv", _product),
    ("linear", _linear),
    ("view_as_real", _as_real),
    ("view_as_complex", _as_complex),
    ("_local_scalar_dense", lambda given, get: []),
    ("_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_attention_math "
     "_scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention "
     "_scaled_dot_product_cudnn_attention", _attention),
    ("mean sum amax amin max min prod var std var_mean argmax argmin logsumexp norm any all median "
     "linalg_vector_norm", _reduce),
    ("_softmax _log_softmax sort argsort _safe_softmax", _along),
    ("cumsum cumprod logcumsumexp", _running),
    ("native_layer_norm _fused_rms_norm", _layer_norm),
    ("native_group_norm", _group_norm),
    ("native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
     "_batch_norm_with_update _batch_norm_no_update", _batch_norm),
    ("_fft_r2c _fft_c2c _fft_c2r", _fft),
    ("cenote::take_places", _take),
    ("embedding", _embedding),
    ("glu", _glu),
)  # fmt: skip
