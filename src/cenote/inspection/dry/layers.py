"""What would fit a layer that does not take what reaches it: one rule for each kind of layer.

A rule says what is wrong with a call, or None where it knows nothing; where it can, it mends the
layer (which has no numbers, and is put back later), so that the network goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from cenote.inspection.dry.misfit import Finding, sizes
from cenote.inspection.dry.windows import least_sizes

__all__ = ["finding_of", "is_known"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_BATCH_NORMS: dict[type, tuple[int, ...]] = {
    nn.BatchNorm1d: (2, 3), nn.BatchNorm2d: (4,), nn.BatchNorm3d: (5,),
    nn.InstanceNorm1d: (2, 3), nn.InstanceNorm2d: (3, 4), nn.InstanceNorm3d: (4, 5),
}  # fmt: skip
_WINDOWS: dict[type, int] = {
    getattr(nn, f"{name}Pool{rank}d"): rank
    for name in ("Max", "Avg", "LP", "FractionalMax")
    for rank in (1, 2, 3)
    if hasattr(nn, f"{name}Pool{rank}d")
} | {nn.Unfold: 2}
_AXES = {1: "N, C, L", 2: "N, C, H, W", 3: "N, C, D, H, W"}
_INDICES = (torch.int64, torch.int32)

Rule = Callable[[Any, tuple[Any, ...], Callable[..., Any]], Finding | None]


def finding_of(
    module: nn.Module, args: tuple[Any, ...], call: Callable[..., Any]
) -> Finding | None:
    """What does not fit in ``call(*args)``, a module's forward; None where that is not known."""
    if not args or not isinstance(args[0], Tensor):
        return None
    rule = _rule_of(module)
    return rule(module, args, call) if rule is not None else None


def is_known(module: nn.Module) -> bool:
    """Whether there is a rule for this layer."""
    return _rule_of(module) is not None


def _rule_of(module: nn.Module) -> Rule | None:
    for kind in type(module).__mro__:
        if kind in _RULES:
            return _RULES[kind]
    rank = getattr(module, "rank", None)  # cenote's own pooling that torch does not have
    if isinstance(rank, int) and hasattr(module, "kernel_size") and hasattr(module, "window"):
        return _pooling
    return None


def _rank(module: Any) -> int:
    found = next((_WINDOWS[kind] for kind in type(module).__mro__ if kind in _WINDOWS), None)
    return int(module.rank) if found is None else found


def _argument(module: Any, name: str, fitting: Any, got: Any, note: str = "") -> Finding:
    """An argument of the constructor that ought to be another, which it becomes."""
    given = getattr(module, name)
    setattr(module, name, fitting)
    return Finding(
        f"{name} = {given}, but it gets {sizes(got)}",
        f"{name} = {fitting} would fit{note}", (tuple(got),), {name: fitting},
    )  # fmt: skip


def _resize(module: Any, name: str, *shape: int) -> None:
    """Give a parameter or buffer other sizes, where the layer has it."""
    old = getattr(module, name, None)
    if not isinstance(old, Tensor):
        return
    new = torch.empty(shape, dtype=old.dtype, device="meta")
    if name in module._buffers:
        module._buffers[name] = new
    elif name in module._parameters:
        module._parameters[name] = nn.Parameter(new, requires_grad=old.requires_grad)
    elif name in module.__dict__:  # what a hook made of parameters
        module.__dict__[name] = new


def _other_type(module: Any, args: tuple[Any, ...]) -> Finding | None:
    """Elements of another type than the weights."""
    x, weight = args[0], getattr(module, "weight", None)
    if (
        not isinstance(weight, Tensor)
        or weight.dtype == x.dtype
        or torch.is_autocast_enabled("cpu")
    ):
        return None
    ours, theirs = (str(t.dtype).removeprefix("torch.") for t in (weight, x))
    return Finding(
        f"its weight is {ours}, but it gets {theirs} {sizes(x.shape)}",
        f"with x.to(torch.{ours}) it would fit", (tuple(x.shape),), {"dtype": weight.dtype},
        cause="type", args=(x.to(weight.dtype), *args[1:]),
    )  # fmt: skip


def _linear(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    x = args[0]
    wanted = module.in_features
    if x.dim() == 0 or x.shape[-1] == wanted:
        return _other_type(module, args)
    if x.dim() > 2 and prod(x.shape[1:]) == wanted:
        return Finding(
            f"in_features = {wanted}, but it gets {sizes(x.shape)}",
            "with torch.nn.Flatten() before it, it would fit: "
            f"{' * '.join(map(str, x.shape[1:]))} = {wanted}",
            (tuple(x.shape),), args=(x.flatten(1), *args[1:]),
        )  # fmt: skip
    _resize(module, "weight", module.out_features, x.shape[-1])
    return _argument(module, "in_features", x.shape[-1], x.shape)


def _bilinear(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    for position, name in enumerate(("in1_features", "in2_features")):
        x = args[position]
        if x.shape[-1] != getattr(module, name):
            finding = _argument(module, name, x.shape[-1], x.shape)
            _resize(module, "weight", module.out_features, module.in1_features, module.in2_features)
            return finding
    return None


def _of_dimensions(module: Any, x: Tensor, taken: tuple[int, ...], axes: str) -> Finding | None:
    """A number of dimensions that the layer does not take; there is no way to go on."""
    if x.dim() in taken:
        return None
    advice = ""
    if x.dim() == max(taken) - 1:
        advice = f"x.unsqueeze(1) would be {sizes(x.unsqueeze(1).shape)}"
    return Finding(
        f"it takes ({axes}), {' or '.join(map(str, taken))} dimensions, but it gets "
        f"{sizes(x.shape)}", advice, (tuple(x.shape),), cause="dimensions",
    )  # fmt: skip


def _convolution(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    x, rank = args[0], len(module.kernel_size)
    wrong = _of_dimensions(module, x, (rank + 1, rank + 2), _AXES[rank])
    if wrong is not None:
        return wrong
    channels, wanted = x.shape[x.dim() - rank - 1], module.in_channels
    if channels == wanted:
        return _other_type(module, args) or _too_small(module, args, call, rank)
    if x.dim() == rank + 2 and x.shape[-1] == wanted:
        order = (0, rank + 1, *range(1, rank + 1))
        turned = x.permute(order)
        return Finding(
            f"in_channels = {wanted}, but it gets {sizes(x.shape)}, whose channels come last",
            f"x.permute{order} would fit, {sizes(turned.shape)}",
            (tuple(x.shape),), args=(turned, *args[1:]),
        )  # fmt: skip
    if x.dim() == rank + 1 and wanted == 1:
        apart = x.unsqueeze(1)
        return Finding(
            f"in_channels = 1, but it gets {sizes(x.shape)}, which has no channels",
            f"x.unsqueeze(1) would fit, {sizes(apart.shape)}",
            (tuple(x.shape),), args=(apart, *args[1:]),
        )  # fmt: skip
    return _other_channels(module, x, channels)


def _other_channels(module: Any, x: Tensor, channels: int) -> Finding:
    """A number of channels that is another than ``in_channels``."""
    note, groups = "", module.groups
    depthwise = groups > 1 and groups == module.in_channels
    if depthwise:
        groups, note = channels, f", with groups = {channels}"
        if module.out_channels % channels:
            note += f" and out_channels a multiple of {channels}"
    elif channels % groups:
        note = f", with groups that divide it, which {groups} does not"
    # For the shapes that come after, the channels that it makes must stay what they are.
    module.groups = groups if not (channels % groups or module.out_channels % groups) else 1
    finding = _argument(module, "in_channels", channels, x.shape, note)
    if depthwise:
        finding.fits["groups"] = channels
    pair = (module.out_channels, channels // module.groups)
    if isinstance(module, _TRANSPOSED):
        pair = (channels, module.out_channels // module.groups)
    _resize(module, "weight", *pair, *module.kernel_size)
    return finding


def _too_small(
    module: Any, args: tuple[Any, ...], call: Callable[..., Any], rank: int
) -> Finding | None:
    """A window larger than what it slides on."""
    x = args[0]
    least = least_sizes(lambda larger: call(larger, *args[1:]), x, rank)
    if least is None:
        return None
    kernel = module.kernel_size
    kernel = kernel if isinstance(kernel, int) else "x".join(map(str, kernel))
    lead = tuple(x.shape[: x.dim() - rank])
    fitting = (*lead, *(max(a, b) for a, b in zip(x.shape[x.dim() - rank :], least, strict=True)))
    return Finding(
        f"a window of {kernel} does not fit on {sizes(x.shape)}",
        f"it takes at least {sizes((*lead, *least))}", (tuple(x.shape),), {"input_size": least},
        cause="window", args=(x.new_empty(fitting), *args[1:]),
    )  # fmt: skip


def _pooling(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    x, rank = args[0], _rank(module)
    wrong = _of_dimensions(module, x, (rank + 1, rank + 2), _AXES[rank])
    return wrong or _too_small(module, args, call, rank)


def _batch_norm(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    x = args[0]
    taken = next(_BATCH_NORMS[kind] for kind in type(module).__mro__ if kind in _BATCH_NORMS)
    if x.dim() not in taken:
        family = "InstanceNorm" if isinstance(module, nn.modules.instancenorm._InstanceNorm) else ""
        family = family or "BatchNorm"
        others = [k.__name__ for k, d in _BATCH_NORMS.items() if x.dim() in d]
        others = [name for name in others if name.startswith(family)]
        return Finding(
            f"it takes {' or '.join(map(str, taken))} dimensions, but it gets {sizes(x.shape)}",
            f"{others[0]} would fit" if others else "",
            (tuple(x.shape),), cause="dimensions", result=x.new_empty(x.shape),
        )  # fmt: skip
    channels = x.shape[x.dim() - (taken[-1] - 1)] if x.dim() > 2 else x.shape[1]
    if channels == module.num_features:
        return _one_value(module, x)
    for name in ("weight", "bias", "running_mean", "running_var"):
        _resize(module, name, channels)
    return _argument(module, "num_features", channels, x.shape)


def _one_value(module: Any, x: Tensor) -> Finding | None:
    """Statistics of a single value a channel, which torch refuses in training."""
    instance = isinstance(module, nn.modules.instancenorm._InstanceNorm)
    if not module.training or x.numel() != x.shape[1] * (x.shape[0] if instance else 1):
        return None
    advice = "an image with more positions" if instance else "a larger batch, or model.eval(),"
    return Finding(
        f"in training it needs more than one value a channel, but it gets {sizes(x.shape)}",
        f"{advice} would fit", (tuple(x.shape),), cause="training", result=x.new_empty(x.shape),
    )  # fmt: skip


def _group_norm(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    x = args[0]
    if x.dim() < 2 or x.shape[1] == module.num_channels:
        return None
    channels, groups = x.shape[1], module.num_groups
    note = f", with num_groups that divide it, which {groups} does not" if channels % groups else ""
    for name in ("weight", "bias"):
        _resize(module, name, channels)
    if note:
        module.num_groups = 1
    return _argument(module, "num_channels", channels, x.shape, note)


def _layer_norm(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    x, wanted = args[0], tuple(module.normalized_shape)
    found = tuple(x.shape[x.dim() - len(wanted) :])
    if found == wanted or x.dim() < len(wanted):
        return None
    for name in ("weight", "bias"):
        _resize(module, name, *found)
    return _argument(module, "normalized_shape", found, x.shape)


def _embedding(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    x = args[0]
    if x.dtype in _INDICES:
        return None
    return Finding(
        f"indices must be int64 or int32, but it gets {str(x.dtype).removeprefix('torch.')} "
        f"{sizes(x.shape)}", "x.long() would fit (as a shape: \"1,16:int64\")",
        (tuple(x.shape),), {"dtype": torch.int64}, cause="type", args=(x.long(), *args[1:]),
    )  # fmt: skip


def _recurrent(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    x = args[0]
    if x.dim() not in (2, 3) or x.shape[-1] == module.input_size:
        return None
    for name in module._flat_weights_names:
        if name.startswith("weight_ih_l0"):
            _resize(module, name, getattr(module, name).shape[0], x.shape[-1])
    module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]
    return _argument(module, "input_size", x.shape[-1], x.shape)


def _attention(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    query, key, value = (*args, *args[-1:] * 2)[:3]
    widths = (("embed_dim", query), ("kdim", key), ("vdim", value))
    for name, x in widths:
        if x.shape[-1] == getattr(module, name):
            continue
        note, heads = "", module.num_heads
        if name == "embed_dim" and x.shape[-1] % heads:
            note = f", with num_heads that divide it, which {heads} does not"
        batch, length = (0, 1) if module.batch_first else (1, 0)
        seen = [query.shape[length], key.shape[length]] if x.dim() == 3 else [query.shape[0]] * 2
        scores = [query.shape[batch], *seen] if x.dim() == 3 else seen
        finding = _argument(module, name, x.shape[-1], x.shape, note)
        return Finding(
            finding.problem, finding.advice, finding.got, finding.fits,
            result=(query.new_empty(query.shape), query.new_empty(scores)),
        )  # fmt: skip
    return None


def _prelu(module: Any, args: tuple[Any, ...], call: Callable[..., Any]) -> Finding | None:
    x = args[0]
    if module.num_parameters == 1 or x.dim() < 2 or x.shape[1] == module.num_parameters:
        return None
    _resize(module, "weight", x.shape[1])
    return _argument(module, "num_parameters", x.shape[1], x.shape)


_RULES: dict[type, Rule] = {
    nn.Linear: _linear,
    nn.Bilinear: _bilinear,
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(_WINDOWS, _pooling),
    **dict.fromkeys(_BATCH_NORMS, _batch_norm),
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _layer_norm,
    nn.Embedding: _embedding,
    nn.EmbeddingBag: _embedding,
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), _recurrent),
    nn.MultiheadAttention: _attention,
    nn.PReLU: _prelu,
}
