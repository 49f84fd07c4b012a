"""What a convolution is without its elements: sizes that fit each other, and what it costs.

The messages about weights, biases and groups are written here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from cenote import _args, _checks
from cenote._args import axis_name, axis_names
from cenote.window import Window

__all__ = [
    "PADDING_MODES",
    "check_bias",
    "check_fit",
    "check_groups",
    "check_input",
    "check_kernel",
    "check_local_bias",
    "check_local_fit",
    "check_local_weight",
    "check_signals",
    "check_weight",
    "check_window",
    "macs",
]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def check_input(op: str, x: Any, rank: int) -> None:
    """Refuse what is no tensor of one channel axis and ``rank`` spatial ones, batched or not.

    Raises:
        TypeError: no tensor, or one of booleans.
        ValueError: the wrong number of dimensions.
    """
    _check_tensor(op, "input", x)
    if x.dtype == torch.bool:
        raise TypeError(f"{op}: input: elements of type {x.dtype} cannot be multiplied")
    if x.dim() not in (rank + 1, rank + 2):
        sizes = ", ".join(("C", *_letters(rank)))
        raise ValueError(
            f"{op}: input: must have {rank + 1} or {rank + 2} dimensions, ({sizes}) or (N,"
            f" {sizes}), not {x.dim()} (shape {tuple(x.shape)})"
        )


def check_weight(op: str, x: Tensor, weight: Any, rank: int, lead: str) -> None:
    """Refuse a weight that is no tensor of ``rank`` axes behind the two that ``lead`` names.

    Raises:
        TypeError: no tensor, or not of the input's element type.
        ValueError: the wrong number of dimensions, or a kernel without a tap.
    """
    _check_tensor(op, "weight", weight)
    if weight.dim() != rank + 2:
        sizes = ", ".join((lead, *(f"k{letter}" for letter in _letters(rank))))
        raise ValueError(
            f"{op}: weight: must have {rank + 2} dimensions, ({sizes}), not {weight.dim()}"
            f" (shape {tuple(weight.shape)})"
        )
    for axis, taps in enumerate(weight.shape[2:]):
        if taps == 0:
            raise ValueError(f"{op}: {axis_name(rank, axis)}: weight has no taps")
    _check_type(op, "weight", weight, x)


def check_groups(op: str, groups: Any, **channels: int) -> int:
    """``groups`` as a number that divides every number of channels, each named by its keyword.

    Raises:
        TypeError: no integer.
        ValueError: below 1, or channels left over.
    """
    number = _args.integer(groups)
    if number is None:
        raise TypeError(
            f"{op}: groups = {groups!r}: must be an integer, not {type(groups).__name__}"
        )
    if number < 1:
        raise ValueError(f"{op}: groups = {number}: must be at least 1")
    for name, count in channels.items():
        if count % number:
            raise ValueError(f"{op}: groups = {number}: does not divide the {count} {name}")
    return number


def check_fit(op: str, x: Tensor, weight: Tensor, groups: int, reads: int) -> None:
    """Refuse a weight that reads another number of channels than the input has.

    Raises:
        ValueError: they differ.
    """
    channels = x.shape[-(weight.dim() - 1)]
    if reads != channels:
        shape, several = tuple(weight.shape), f" in {groups} groups" if groups > 1 else ""
        raise ValueError(
            f"{op}: weight of shape {shape}{several} reads {reads} channels,"
            f" the input has {channels} (shape {tuple(x.shape)})"
        )


def check_bias(op: str, x: Tensor, bias: Any, channels: int) -> None:
    """Refuse a bias that is not one number for each of the output's channels.

    Raises:
        TypeError: neither None nor a tensor of the input's element type.
        ValueError: of another shape.
    """
    if bias is None:
        return
    _check_tensor(op, "bias", bias)
    if tuple(bias.shape) != (channels,):
        raise ValueError(
            f"{op}: bias: must have one number for each of {channels} output channels,"
            f" not shape {tuple(bias.shape)}"
        )
    _check_type(op, "bias", bias, x)


def check_window(op: str, window: Window, n: Sequence[int]) -> None:
    """Refuse inputs that are shorter than the window.

    Raises:
        ValueError: no window fits.
    """
    for position, (axis, length) in enumerate(zip(window, n, strict=True)):
        if axis.resolved and axis.out(length) < 1:
            raise ValueError(_args.does_not_fit(op, window.rank, position, axis, length))


def macs(window: Window, n: Sequence[int], reads: int, channels: int) -> int:
    """Multiply-accumulates for one element of a batch: those of the padding counted too.

    ``channels`` outputs at each position, each made of ``reads`` channels of every tap.
    """
    return prod(window.out(n)) * window.kernel_taps * reads * channels


def _letters(rank: int) -> tuple[str, ...]:
    return tuple(name[0].upper() for name in axis_names(rank))


def _check_tensor(op: str, name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}: {name}: must be a torch.Tensor, not {type(value).__name__}")


def _check_type(op: str, name: str, value: Tensor, x: Tensor) -> None:
    if value.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"{op}: {name}: elements of type {value.dtype}, the input's are {x.dtype}")


def check_kernel(op: str, weight: Any, rank: int | None = None) -> int:
    """The number of spatial axes of a weight ``(O, C/groups, *k)`` that stands without an input.

    Raises:
        TypeError: no tensor.
        ValueError: the wrong number of dimensions, or a kernel without a tap.
    """
    _check_tensor(op, "weight", weight)
    known = [rank] if rank is not None else [1, 2, 3]
    if weight.dim() - 2 not in known:
        wanted = " or ".join(str(axes + 2) for axes in known)
        raise ValueError(
            f"{op}: weight: must have {wanted} dimensions, not {weight.dim()}"
            f" (shape {tuple(weight.shape)})"
        )
    if 0 in weight.shape:
        raise ValueError(f"{op}: weight: has no elements (shape {tuple(weight.shape)})")
    return int(weight.dim() - 2)


def check_signals(op: str, x: Any, kernel: Any) -> int:
    """The number of axes that two signals are convolved along.

    Raises:
        TypeError: no tensors of one floating type.
        ValueError: the kernel has no axis, more than three, or more than the input, or no element.
    """
    _check_tensor(op, "input", x)
    _check_tensor(op, "kernel", kernel)
    _checks.check_floating(op, x)
    _check_type(op, "kernel", kernel, x)
    if not 1 <= kernel.dim() <= min(3, x.dim()):
        raise ValueError(
            f"{op}: kernel: must have one to three axes, and no more than the input's {x.dim()},"
            f" not {kernel.dim()} (shape {tuple(kernel.shape)})"
        )
    if kernel.numel() == 0 or 0 in x.shape[x.dim() - kernel.dim() :]:
        name = "kernel" if kernel.numel() == 0 else "input"
        raise ValueError(f"{op}: {name}: has no elements along an axis to convolve")
    return int(kernel.dim())


def check_local_weight(op: str, x: Tensor, weight: Any, rank: int) -> None:
    """Refuse a weight that is no tensor ``(*out, O, C, *k)``.

    Raises:
        TypeError: no tensor, or not of the input's element type.
        ValueError: the wrong number of dimensions.
    """
    _check_tensor(op, "weight", weight)
    if weight.dim() != 2 * rank + 2:
        out = ", ".join(f"{letter}'" for letter in _letters(rank))
        taps = ", ".join(f"k{letter}" for letter in _letters(rank))
        raise ValueError(
            f"{op}: weight: must have {2 * rank + 2} dimensions, ({out}, O, C, {taps}), not"
            f" {weight.dim()} (shape {tuple(weight.shape)})"
        )
    _check_type(op, "weight", weight, x)


def check_local_fit(
    op: str, x: Tensor, weight: Tensor, out: Sequence[int], positions: Sequence[int], reads: int
) -> None:
    """Refuse weights for other positions or channels than there are.

    Raises:
        ValueError: they differ.
    """
    channels = x.shape[x.dim() - len(positions) - 1]
    if channels != reads:
        raise ValueError(
            f"{op}: weight of shape {tuple(weight.shape)} reads {reads} channels, the input has"
            f" {channels} (shape {tuple(x.shape)})"
        )
    if tuple(out) != tuple(positions):
        raise ValueError(
            f"{op}: weight: is for {tuple(positions)} positions, the input leads to {tuple(out)}"
        )


def check_local_bias(
    op: str, x: Tensor, bias: Any, channels: int, positions: Sequence[int]
) -> None:
    """Refuse a bias that is neither a number a channel nor one for each of its positions too.

    Raises:
        TypeError: no tensor of the input's element type.
        ValueError: of another shape.
    """
    _check_tensor(op, "bias", bias)
    allowed = ((channels,), (channels, *positions))
    if tuple(bias.shape) not in allowed:
        raise ValueError(
            f"{op}: bias: must have shape {allowed[0]} or {allowed[1]}, not {tuple(bias.shape)}"
        )
    _check_type(op, "bias", bias, x)
