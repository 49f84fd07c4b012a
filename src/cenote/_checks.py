"""What operators refuse: tensors of the wrong rank or type, and numbers out of their bounds.

The messages are written here and in :mod:`cenote._args`, which reads windows, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor

from cenote import _kernels
from cenote._args import axis_name, axis_names, check_magnitude, does_not_fit, integer
from cenote.window import Axis, Spans, Window

__all__ = [
    "check_choice",
    "check_divisor",
    "check_draws",
    "check_floating",
    "check_generator",
    "check_indices",
    "check_input",
    "check_norm_type",
    "check_not_bool",
    "check_number",
    "check_pads",
    "check_per_plane",
    "check_places",
    "check_sharpness",
    "check_tensor",
]

PADDING_MODES = ("identity", "zeros", "reflect", "replicate", "circular")
ROUNDINGS = ("trunc", "half_even")
PYRAMIDS = ("max", "min", "avg", "sum")

_FLOATING = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16})
_INTEGERS = frozenset({torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})
_SUPPORTED = _FLOATING | _INTEGERS | {torch.bool}


def check_tensor(op: str, x: Any, rank: int) -> None:
    """Refuse what is no tensor, or not of a rank, type and layout that operators know.

    Raises:
        TypeError: no tensor, or elements that cannot be pooled.
        ValueError: the wrong number of dimensions, or a plane without elements.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: input: must be a torch.Tensor, not {type(x).__name__}")
    if x.dim() not in (rank + 1, rank + 2):
        sizes = ", ".join(("C", *(name[0].upper() for name in axis_names(rank))))
        raise ValueError(
            f"{op}: input: must have {rank + 1} or {rank + 2} dimensions, ({sizes}) or (N,"
            f" {sizes}), not {x.dim()} (shape {tuple(x.shape)})"
        )
    if x.dtype not in _SUPPORTED:
        if x.is_complex() or x.is_quantized:
            raise TypeError(f"{op}: input: elements of type {x.dtype} have no order to pool by")
        raise TypeError(f"{op}: input: elements of type {x.dtype} are not supported")
    if x.layout is not torch.strided:
        raise TypeError(f"{op}: input: must be a dense tensor, not of layout {x.layout}")
    for position in range(rank):
        if x.shape[x.dim() - rank + position] == 0:
            raise ValueError(f"{op}: {axis_name(rank, position)}: the input has no elements")


def check_input(op: str, x: Any, window: Window) -> None:
    """Refuse what :func:`check_tensor` does, and inputs that are shorter than the window.

    Raises:
        TypeError: no tensor, or elements that cannot be pooled.
        ValueError: the wrong number of dimensions, or a window that does not fit.
    """
    rank = len(window)
    check_tensor(op, x, rank)
    lead = x.dim() - rank
    for position, axis in enumerate(window):
        if isinstance(axis, Axis) and axis.before is not None:  # all others adapt to the length
            if axis.out(x.shape[lead + position]) < 1:
                raise ValueError(does_not_fit(op, rank, position, axis, x.shape[lead + position]))
        elif isinstance(axis, Spans) and axis.stops[-1] > x.shape[lead + position]:
            raise ValueError(
                f"{op}: {axis_name(rank, position)}: windows that end at {axis.stops[-1]} do not"
                f" fit on an input of length {x.shape[lead + position]}"
            )
    check_magnitude(op, window)


def check_floating(op: str, x: Tensor) -> None:
    """Refuse integers and booleans."""
    if x.dtype not in _FLOATING:
        raise TypeError(f"{op}: input: elements must be floating point, not of type {x.dtype}")


def check_not_bool(op: str, x: Tensor, what: str) -> None:
    """Refuse booleans, which have no average and no median."""
    if x.dtype == torch.bool:
        raise TypeError(f"{op}: input: elements of type torch.bool have no {what}")


def check_choice(op: str, name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse a word that is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{op}: {name} = {value!r}: must be one of {', '.join(choices)}")


def check_divisor(op: str, divisor_override: Any) -> int | None:
    """Refuse a divisor that is no integer, or 0."""
    if divisor_override is None:
        return None
    divisor = integer(divisor_override)
    if divisor is None:
        kind = type(divisor_override).__name__
        raise TypeError(
            f"{op}: divisor_override = {divisor_override!r}: must be an integer, not {kind}"
        )
    if abs(divisor) >= 2**63:
        raise ValueError(f"{op}: divisor_override = {divisor}: must be less than 2^63 in size")
    if divisor == 0:
        raise ValueError(f"{op}: divisor_override = 0: must not be zero")
    return divisor


def _number(op: str, name: str, value: Any) -> float:
    """``value`` as a float; tensors that hold gradients are no plain numbers."""
    if isinstance(value, bool | str | bytes | Tensor):
        raise TypeError(f"{op}: {name} = {value!r}: must be a number, not {type(value).__name__}")
    try:
        return float(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise TypeError(f"{op}: {name} = {value!r}: must be a number, not {kind}") from None


def check_number(op: str, name: str, value: Any, least: float = 0.0, most: float = inf) -> float:
    """A number between bounds: finite and above 0, or in the closed interval to ``most``."""
    number = _number(op, name, value)
    if most == inf:
        if not least < number < inf:
            raise ValueError(f"{op}: {name} = {value}: must be finite and above {least:g}")
    elif not least <= number <= most:
        raise ValueError(f"{op}: {name} = {value}: must lie between {least:g} and {most:g}")
    return number


def check_norm_type(op: str, norm_type: Any) -> float:
    """Refuse exponents of which there is no norm."""
    number = _number(op, "norm_type", norm_type)
    if not number > 0:
        raise ValueError(f"{op}: norm_type = {norm_type}: must be above 0, infinity included")
    return number


def check_sharpness(op: str, sharpness: Any) -> float:
    """Refuse the sharpness of neither a maximum nor a minimum."""
    number = _number(op, "sharpness", sharpness)
    if not -inf < number < inf or number == 0:
        raise ValueError(f"{op}: sharpness = {sharpness}: must be finite and not 0")
    return number


def check_per_plane(op: str, name: str, value: Tensor, x: Tensor, rank: int) -> None:
    """Refuse a tensor that does not give every plane of ``x`` one number."""
    if not value.is_floating_point():
        raise TypeError(f"{op}: {name}: elements must be floating point, not {value.dtype}")
    sizes = [*x.shape[: x.dim() - rank], *[1] * rank]
    given = list(value.shape)
    if given == [1] or (
        len(given) <= len(sizes)
        and all(a in (1, b) for a, b in zip(reversed(given), reversed(sizes), strict=False))
    ):
        return
    raise ValueError(
        f"{op}: {name}: a tensor of shape {tuple(given)} must be one number, or one for every plane"
        f" of the input, {tuple(sizes)}"
    )


def check_generator(op: str, generator: Any) -> None:
    """Refuse what draws no random numbers."""
    if generator is not None and not isinstance(generator, torch.Generator):
        kind = type(generator).__name__
        raise TypeError(f"{op}: generator: must be a torch.Generator, not {kind}")


def check_indices(op: str, x: Tensor, indices: Any) -> None:
    """Refuse indices that do not stand beside the elements, one each."""
    if not isinstance(indices, Tensor):
        raise TypeError(f"{op}: indices: must be a torch.Tensor, not {type(indices).__name__}")
    if indices.dtype != torch.int64:
        raise TypeError(f"{op}: indices: elements must be torch.int64, not {indices.dtype}")
    if indices.shape != x.shape:
        raise ValueError(
            f"{op}: indices: shape {tuple(indices.shape)} must be the input's, {tuple(x.shape)}"
        )


def check_places(op: str, indices: Tensor, n: Sequence[int]) -> None:
    """Refuse indices outside planes of sizes ``n``; -1 is nowhere, and allowed."""
    stray = _kernels.first_stray(indices, n)
    if stray is not None:
        raise ValueError(
            f"{op}: indices: {stray} must be -1 or lie in a plane of {'x'.join(map(str, n))}"
            " elements"
        )


def check_draws(op: str, samples: Any, x: Tensor, rank: int) -> None:
    """Refuse random samples of which not every plane gets one for each axis."""
    if not isinstance(samples, Tensor) or not samples.is_floating_point():
        kind = samples.dtype if isinstance(samples, Tensor) else type(samples).__name__
        raise TypeError(f"{op}: _random_samples: must be a tensor of floats, not {kind}")
    batch, channels = (1, *x.shape[: x.dim() - rank])[-2:]
    if samples.dim() != 3 or samples.shape[0] < batch or samples.shape[1:] != (channels, rank):
        raise ValueError(
            f"{op}: _random_samples: shape {tuple(samples.shape)} must be"
            f" {(batch, channels, rank)}: one number for every plane and axis"
        )


def check_pads(op: str, mode: str, rank: int, position: int, pads: tuple[int, int], n: int) -> None:
    """Refuse padding that shows elements which an input of length ``n`` does not have."""
    where, pad = axis_name(rank, position), max(pads)
    if mode == "reflect" and pad >= n:
        raise ValueError(
            f"{op}: {where}: padding {pad} reflects more than an input of length {n} has"
            " beside its border element"
        )
    if mode == "circular" and pad > n:
        raise ValueError(
            f"{op}: {where}: padding {pad} goes around an input of length {n} more than once"
        )


def check_out(op: str, x: Tensor, out: Any, shape: Sequence[int], dtype: torch.dtype) -> None:
    """Refuse a tensor that a result cannot be written to."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{op}: out: must be a tensor, not {type(out).__name__}")
    if tuple(out.shape) != tuple(shape):
        raise ValueError(
            f"{op}: out: has the shape {tuple(out.shape)}, the result has {tuple(shape)}"
        )
    if out.dtype != dtype or out.device != x.device:
        raise ValueError(
            f"{op}: out: holds {out.dtype} on {out.device}, the result is {dtype} on {x.device}"
        )
    if torch.is_grad_enabled() and (x.requires_grad or out.requires_grad):
        raise RuntimeError(
            f"{op}: out: no gradient is recorded into a given tensor; call it under torch.no_grad()"
        )
    if _overlap(x, out):
        raise ValueError(f"{op}: out: shares memory with the input")


def _overlap(x: Tensor, out: Tensor) -> bool:
    """Whether the stretches of memory that two tensors span have an element in common."""
    if torch.compiler.is_compiling() or x.device.type == "meta" or not x.numel() * out.numel():
        return False
    (a, a_end), (b, b_end) = _span(x), _span(out)
    return a < b_end and b < a_end


def _span(x: Tensor) -> tuple[int, int]:
    last = sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    return x.data_ptr(), x.data_ptr() + (last + 1) * x.element_size()
