"""What an operator is called, in the field's words, and what it costs."""

from __future__ import annotations

from math import log2, prod

from cenote.inspection.tracing.given import Given
from cenote.inspection.tracing.windows import window_of_call

__all__ = ["cost_of", "details_of", "kind_of"]

_WORDS = {
    "addmm": "linear", "linear": "linear", "mm": "linear", "bmm": "matmul", "baddbmm": "matmul",
    "view": "reshape", "_unsafe_view": "reshape", "reshape": "reshape", "flatten": "reshape",
    "t": "permute", "transpose": "permute", "permute": "permute", "narrow": "slice",
    "select": "slice", "slice": "slice", "_softmax": "softmax", "_log_softmax": "log_softmax",
    "native_layer_norm": "layer_norm", "native_group_norm": "group_norm",
    "constant_pad_nd": "pad", "im2col": "unfold", "col2im": "fold", "_to_copy": "to",
    "_prelu_kernel": "prelu", "threshold": "relu", "native_dropout": "dropout",
    "_cat": "cat", "leaky_relu": "leaky_relu", "hardtanh": "hardtanh", "split": "split",
    "split_with_sizes": "split", "chunk": "split", "unbind": "split", "index_select": "index",
    "put_places": "max_unpool", "take_places": "pick", "power_pool": "lp_pool",
    "logsumexp_pool": "logsumexp_pool", "fractional_places": "fractional_pool",
    "tap_indices": "indices", "alias": "result", "_local_scalar_dense": "item",
    "copy": "copy", "rsub": "sub",
}  # fmt: skip
_MOVES = frozenset(
    {"reshape", "permute", "slice", "split", "cat", "stack", "pad", "squeeze", "unsqueeze", "to",
     "expand", "flip", "roll", "unfold", "index", "clone", "copy", "pixel_shuffle", "repeat",
     "pixel_unshuffle", "channel_shuffle", "gather", "contiguous", "indices", "pick",
     "as_strided", "diagonal", "native_channel_shuffle", "fill", "zero", "max_unpool", "result",
     "item"}
)  # fmt: skip
"""What does no arithmetic."""


def kind_of(given: Given) -> str:
    """What an operator does, in the field's words; PyTorch's own where there is no other."""
    name = given.call.base.partition("::")[2]
    if "convolution" in name:
        return "conv_transpose" if given.get("transposed") else "conv"
    if name == "select_pool":
        return f"{given['reduce']}_pool"
    if name == "linear_pool":
        return _linear_pool(given)
    if "scaled_dot_product" in name:
        return "attention"
    if name == "_native_multi_head_attention":
        return "multi_head_attention"
    if name == "mkldnn_rnn_layer":
        return "recurrent"
    if "batch_norm" in name:
        return "batch_norm"
    if name in ("mean", "amax") and _over_all_positions(given):
        return "global_avg_pool" if name == "mean" else "global_max_pool"
    if "upsample" in name:
        return "resize"
    if "fft" in name:
        return "fft"
    for ours in ("max_pool", "avg_pool"):
        if ours in name:
            return f"adaptive_{ours}" if "adaptive" in name else ours
    if name.startswith(("reflection_pad", "replication_pad", "_pad")):
        return "pad"
    return _WORDS.get(name, name)


def _over_all_positions(given: Given) -> bool:
    """Whether everything after batch and channels is reduced: global pooling."""
    rank = len(given.call.input_shapes[0]) if given.call.input_shapes else 0
    dims = given.get("dim") or ()
    return rank > 2 and sorted(int(d) % rank for d in dims) == list(range(2, rank))


def _linear_pool(given: Given) -> str:
    if given["weights"]:
        return "blur"
    window = given["window"]
    adaptive = all(stride == 0 for stride in window[1::6])
    # A divisor of 1 makes a sum of an average.
    kind = "sum_pool" if given["divisor_override"] == 1 else "avg_pool"
    return f"adaptive_{kind}" if adaptive else kind


def details_of(given: Given, kind: str) -> dict[str, int | str | list[int]]:
    """What else the arguments say."""
    if kind in ("conv", "conv_transpose"):
        return {
            "groups": int(given["groups"]),
            "bias": int(given["bias"] is not None),
            **({"transposed": 1} if kind == "conv_transpose" else {}),
        }
    if kind == "resize":
        name = given.call.base.partition("::")[2].lstrip("_").removeprefix("upsample_")
        return {"mode": name.rstrip("123d").rstrip("_")}
    if kind == "pad":
        values = given.call.args[1] if len(given.call.args) > 1 else []
        return {"pad": [int(v) for v in values]}
    return {}


def cost_of(given: Given, kind: str) -> tuple[int | None, int | None]:
    """Multiply-accumulates and all arithmetic of one call; None where nobody counted.

    Padding counts as elements, as the literature has it. A multiply-accumulate is two operations,
    an addition or comparison of pooling one; normalisation, softmax and activations are counted
    as what one would write down, a function such as the exponential as one.
    """
    call = given.call
    if not call.output_shapes:
        return 0, 0
    made = prod(call.output_shapes[0])
    if kind in ("conv", "conv_transpose"):
        return _convolution(given, made)
    if kind in ("linear", "matmul"):
        return _product(given, made)
    if kind == "multi_head_attention":
        return _whole_attention(given)
    if kind == "recurrent":
        return _recurrent(given)
    if kind == "attention":
        query, key, value = (given.sight(a).shape for a in call.args[:3])
        pairs = prod(query[:-1]) * key[-2]
        macs = pairs * (query[-1] + value[-1])
        return macs, 2 * macs + 4 * pairs
    window = window_of_call(given)
    if kind == "blur" or (window is not None and "pool" in kind):
        return _pooling(given, kind, made)
    if kind in _MOVES:
        return 0, 0
    if kind == "fft":
        lengths = [given.first.shape[d] for d in given["dim"]]
        return 0, round(2.5 * made * log2(max(2, prod(lengths))))
    each = {
        "batch_norm": 2, "layer_norm": 8, "group_norm": 8, "softmax": 4, "log_softmax": 4,
        "gelu": 8, "silu": 4, "sigmoid": 3, "tanh": 5, "hardswish": 4, "mish": 6, "elu": 3,
    }.get(kind)  # fmt: skip
    if each is not None:
        return 0, each * made
    taken = prod(call.input_shapes[0]) if call.input_shapes else made
    return 0, max(made, taken)


def _convolution(given: Given, made: int) -> tuple[int, int]:
    weight = tuple(given["weight"].shape)
    if given["transposed"]:
        macs = prod(given.call.input_shapes[0]) * prod(weight[1:])
    else:
        macs = made * prod(weight[1:])
    return macs, 2 * macs + (made if given["bias"] is not None else 0)


def _product(given: Given, made: int) -> tuple[int, int]:
    added = given.call.base in ("aten::addmm", "aten::baddbmm")
    left = given.sight(given.call.args[1 if added else 0]).shape
    macs = made * left[-1]
    return macs, 2 * macs + (made if added else 0)


def _whole_attention(given: Given) -> tuple[int, int]:
    """Four projections, and two products for each pair of tokens."""
    batch, tokens, width = given.shape
    others = given.call.input_shapes[1][1]
    projected = batch * width * width * (2 * tokens + 2 * others)
    pairs = batch * tokens * others
    macs = projected + 2 * pairs * width
    return macs, 2 * macs + 4 * pairs * int(given["num_head"])


def _recurrent(given: Given) -> tuple[int, int]:
    """Each step multiplies its input and the state with a matrix."""
    steps, batch, _ = given.call.input_shapes[0]
    matrices = [given.sight(given[name]).shape for name in ("weight0", "weight1")]
    macs = steps * batch * sum(prod(shape) for shape in matrices)
    return macs, 2 * macs + 9 * prod(given.shape)


def _pooling(given: Given, kind: str, made: int) -> tuple[int, int]:
    window = window_of_call(given)
    assert window is not None
    n = given.first.shape[len(given.first.shape) - len(window) :]
    taps = 1
    for axis in window.at(n):
        starts = getattr(axis, "starts", None)
        if starts is None:
            taps *= axis.kernel
        else:
            taps *= max(b - a for a, b in zip(starts, axis.stops, strict=True))
    if kind == "blur":
        return made * taps, 2 * made * taps
    return 0, made * (taps if "avg" in kind or "lp" in kind else max(0, taps - 1))
