"""Products of matrices, and attention."""

from __future__ import annotations

from cenote.inspection.tracing.given import Given, rule
from cenote.inspection.tracing.movement import _everything
from cenote.inspection.tracing.pointwise import running
from cenote.inspection.tracing.sight import AxisSight, Sight, broadcast, join, move, spread

__all__: list[str] = []


def _times(left: Sight, right: Sight, shape: tuple[int, ...]) -> Sight:
    """``left @ right``: element (i, j) depends on row i of the one and column j of the other."""
    if len(left.shape) == 1:
        left = move(left, lambda t: t.unsqueeze(0), lambda r, d: (r, d + 1))
    if len(right.shape) == 1:
        right = move(right, lambda t: t.unsqueeze(1), lambda r, d: (r, d))
    rows = spread(left, [-1]) if left.axes else left
    columns = spread(right, [-2]) if right.axes else right
    lead = shape[:-2]
    full = (*lead, left.shape[-2], right.shape[-1]) if len(shape) >= 2 else None
    if full is None or full != shape:
        joined = [spread(s, range(len(s.shape))) for s in (rows, columns)]
        return join([Sight((1,) * len(s.shape), s.axes) for s in joined], shape)
    each_row = Sight((*rows.shape[:-1], 1), rows.axes)
    each_column = Sight((*columns.shape[:-2], 1, columns.shape[-1]), columns.axes)
    return join([each_row, each_column], shape)


@rule("aten::mm", "aten::bmm", "aten::matmul", "aten::mv", "aten::dot", "aten::_int_mm")
def _product(given: Given) -> list[Sight]:
    left, right = (given.sight(a) for a in given.call.args[:2])
    if given.call.base == "aten::mv":
        rows = spread(left, [-1]) if left.axes else left
        column = spread(right, [0]) if right.axes else right
        flat = move(rows, lambda t: t[..., 0], lambda r, d: (r, d))
        return [join([flat, Sight((1,), column.axes)], given.shape)]
    return [_times(left, right, given.shape)]


@rule("aten::addmm", "aten::baddbmm", "aten::addbmm", "aten::addmv")
def _product_and_sum(given: Given) -> list[Sight]:
    added, left, right = (given.sight(a) for a in given.call.args[:3])
    if given.call.base != "aten::addmm" and given.call.base != "aten::baddbmm":
        return [_everything(given)]
    return [join([added, _times(left, right, given.shape)], given.shape)]


@rule("aten::linear")
def _linear(given: Given) -> list[Sight]:
    rows = Sight((*given.first.shape[:-1], 1), spread(given.first, [-1]).axes)
    weight = given.sight(given["weight"])
    if not weight.axes:
        return [Sight(given.shape, rows.axes)]
    columns = move(spread(weight, [-1]), lambda t: t[..., 0], lambda r, d: (None, None))
    return [join([rows, columns], given.shape)]


@rule(
    "aten::_scaled_dot_product_flash_attention_for_cpu", "aten::_scaled_dot_product_attention_math",
    "aten::scaled_dot_product_attention", "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_flash_attention", "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_attention_math_for_mps",
)  # fmt: skip
def _attention(given: Given) -> list[Sight]:
    """Each query sees itself, and every key and value: with ``is_causal`` those up to its place."""
    query, key, value = (given.sight(a) for a in given.call.args[:3])
    causal = bool(given.get("is_causal", False)) and query.shape[-2] == key.shape[-2]
    parts = [spread(query, [-1]) if query.axes else query]
    mask = given.sight(given.get("attn_mask", given.get("attn_bias")))
    if mask.axes:
        parts.append(spread(mask, [-1]))
    for sight in (spread(key, [-1]) if key.axes else key, value):
        dim = len(sight.shape) - 2
        parts.append(running(sight, dim) if causal else spread(sight, [dim]))
    shape = given.shape
    cut = [Sight(tuple(1 if s.axes and _same(s, d) else n for d, n in enumerate(s.shape)), s.axes)
           for s in parts]  # fmt: skip
    joined = join([broadcast(s, shape) for s in cut if s.axes], shape)
    rest = [_everything(given)] * (len(given.call.output_shapes) - 1)
    return [joined, *(Sight(shape, r.axes) for r, shape in
                      zip(rest, given.call.output_shapes[1:], strict=True)
                      if len(shape) == len(given.shape))]  # fmt: skip


def _same(sight: Sight, dim: int) -> bool:
    """Whether nothing differs along a dimension."""
    return all(
        a.starts.shape[dim] == a.stops.shape[dim] == 1 for axes in sight.axes.values() for a in axes
    )


@rule("aten::_native_multi_head_attention", "aten::_transformer_encoder_layer_fwd")
def _whole_attention(given: Given) -> list[Sight]:
    """Attention with its projections as one operator: every token sees all tokens."""
    merged = [Sight((1,) * len(s.shape), spread(s, range(1, len(s.shape))).axes)
              for s in given.every]  # fmt: skip
    kept = [Sight((s.shape[0], *shape[1:]), m.axes) for s, m, shape in zip(
        given.every, merged, [given.shape] * len(merged), strict=True)]  # fmt: skip
    joined = join(kept, given.shape)
    return [joined, *(Sight(s) for s in given.call.output_shapes[1:])]


def _flat(merged: Sight, before: Sight) -> Sight:
    """What is the same for all elements, as a tensor of one."""

    def change(a: AxisSight) -> AxisSight:
        return AxisSight(a.starts.reshape(1), a.stops.reshape(1), None, None)

    return Sight(before.shape, merged.axes).map((1,), change)


@rule("aten::mkldnn_rnn_layer")
def _recurrent(given: Given) -> list[Sight]:
    """A step sees those before it and itself; backwards, those after."""
    steps = spread(given.first, [-1])
    if bool(given["reverse"]):
        turned = move(steps, lambda t: t.flip([0]), lambda r, d: (None, None))
        seen = move(running(turned, 0), lambda t: t.flip([0]), lambda r, d: (None, None))
    else:
        seen = running(steps, 0)
    states = [given.sight(given[name]) for name in ("hx_", "cx_")]
    whole = [Sight((1,), spread(s, range(len(s.shape))).axes) for s in states]
    whole = [_flat(s, state) for s, state in zip(whole, states, strict=True) if state.axes]
    outputs = [join([Sight((*given.first.shape[:2], 1), seen.axes), *whole], given.shape)]
    last = spread(seen, [0, -1])
    end = move(last, lambda t: t[0], lambda r, d: (None, None))
    for shape in given.call.output_shapes[1:]:
        kept = Sight((given.first.shape[1], 1), end.axes)
        # The state is (N, H), or (1, N, H); the workspace of a way back is nobody's.
        outputs.append(join([kept, *whole], shape) if len(shape) in (2, 3) else Sight(shape))
    return outputs
