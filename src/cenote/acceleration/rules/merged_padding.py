"""Padding before a convolution or a pooling becomes a part of its window: nothing is copied.

Zeros before a convolution, where both sides of an axis have as many; zeros before an average, which
counts them; before a maximum what is less than everything, or zeros around what is never negative.
"""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import fx, nn

from cenote.acceleration import kinds
from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import convolution_of
from cenote.acceleration.steps.pools import Pool, input_of, pool_of, with_arguments

__all__ = ["apply"]

_PADS = (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
         nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)  # fmt: skip
_NEVER_NEGATIVE = ("relu", "relu6", "sigmoid")


def apply(sketch: Sketch) -> None:
    """Join padding with the window that alone uses it."""
    for node in sketch.nodes():
        found = _padding(sketch, node)
        user = sketch.only_user(node) if found else None
        if found is None or user is None or not sketch.still(node, user):
            continue
        pads, value, given = found
        pool = pool_of(sketch, user)
        if pool is not None and input_of(user) is node and sketch.switches.on("pooling"):
            step = _pool(sketch, pool, pads, value, given)
            if step is not None:
                sketch.replace([node, user], step, (given,), "merged-padding", _said(pads))
            continue
        convolution = convolution_of(sketch, user)
        if convolution is None or value != 0 or len(user.args) != 1:
            continue
        if len(pads) == convolution.rank and all(a == b for a, b in pads):
            own = convolution.numbers()[1]
            convolution.padding = tuple(a + p for (a, _), p in zip(pads, own, strict=True))
            sketch.replace([node, user], convolution, (given,), "merged-padding", _said(pads))


def _said(pads: list[tuple[int, int]]) -> str:
    return f"padding {pads} in the window"


def _padding(sketch: Sketch, node: fx.Node) -> tuple[list[tuple[int, int]], float, fx.Node] | None:
    """Amounts for each axis, outermost first, and with what, where a node pads with one number."""
    layer = sketch.layer(node, *_PADS)
    amounts: Any
    value: Any
    given: Any
    if layer is not None:
        amounts, value, given = layer.padding, layer.value, node.args[0]
    elif node.op == "call_function" and node.target is F.pad:
        names = ("input", "pad", "mode", "value")
        call = dict(zip(names, node.args, strict=False)) | node.kwargs
        if call.get("mode", "constant") != "constant":
            return None
        amounts, value, given = call["pad"], call.get("value"), call["input"]
    else:
        return None
    value = 0.0 if value is None else value
    if not isinstance(amounts, list | tuple) or not isinstance(value, int | float):
        return None
    if len(amounts) % 2 or not all(isinstance(a, int) and a >= 0 for a in amounts):
        return None
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
    return pairs, float(value), given


def _pool(
    sketch: Sketch, pool: Pool, pads: list[tuple[int, int]], value: float, given: Any
) -> Pool | None:
    """The pooling with the padding in its window, where that is the same."""
    if any(pool.every("padding")) or pool.get("ceil_mode") or pool.get("return_indices"):
        return None
    sizes = pool.every("kernel_size")
    if len(pads) != pool.rank or any(max(p) >= k for p, k in zip(pads, sizes, strict=True)):
        return None
    if pool.reduce == "avg":
        if value != 0:
            return None
        return with_arguments(pool, padding=tuple(pads), count_include_pad=True)
    before = kinds.activation_of(sketch.root, given)
    never = before is not None and before.name in _NEVER_NEGATIVE
    if value == -math.inf or (value == 0 and never and not _changed_later(sketch, given)):
        return with_arguments(pool, padding=tuple(pads))
    return None


def _changed_later(sketch: Sketch, given: fx.Node) -> bool:
    """Whether what was activated may have been written to since."""
    return any(kinds.changes_in_place(sketch.root, user) for user in given.users)
