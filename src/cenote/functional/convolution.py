"""Convolution: torch's arguments, in torch's order, with torch's defaults.

As everywhere in this field the kernel is not turned: what is computed is the cross-correlation,
``out[o] = sum over k of x[o*stride - before + k*dilation] * weight[k]``. ``flip=True`` turns the
kernel, and gives the convolution of mathematics. ``padding`` also takes ``"same"`` (with a stride
too: the output has ``ceil(n / stride)`` elements), ``"valid"`` and ``((before, after), ...)``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import _args, _checks, _convolutions, _ops, options
from cenote.functional._families import ANY, Family, Op
from cenote.functional._padding import pad

__all__ = [
    "causal_conv1d",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "depthwise_conv1d",
    "depthwise_conv2d",
    "depthwise_conv3d",
    "shuffled_conv1d",
    "shuffled_conv2d",
    "shuffled_conv3d",
]


@Family
def _conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    flip: bool = False,
    _op: Op = ANY,
) -> Tensor:
    """Sums of a window's elements over all channels of a group, each times its weight.

    ``$in -> $mapped``; torch's function, and the same numbers within the rounding of a sum in
    another order.

    Args:
        input: the tensor; ``N`` may be missing.
        weight: ``$weight``.
        bias: one number for each of ``O`` channels, added to it.
        stride: how far the window moves on.
        padding: what lies around the planes: integers, pairs, ``"same"`` or ``"valid"``.
        dilation: how far apart the window's elements are.
        groups: channels are cut into so many groups, each of which sees nothing of the others.
        padding_mode: what the padding shows: ``"zeros"``, ``"reflect"``, ``"replicate"`` or
            ``"circular"``.
        flip: whether the kernel is turned along every axis, as the convolution of mathematics has
            it.

    Raises:
        TypeError: no tensors, of different types, or arguments that are not integers.
        ValueError: shapes that do not fit each other, or arguments out of bounds.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, torch.ones($ones, 1, 2), stride=2).flatten()[:2]
    $example
    """
    return _convolve(
        _op, input, weight, bias, stride, padding, dilation, groups, padding_mode, flip, False
    )


conv1d, conv2d, conv3d = _conv("conv", example="tensor([5., 2.])")


@Family
def _shuffled_conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    flip: bool = False,
    _op: Op = ANY,
) -> Tensor:
    """A grouped convolution whose outputs take turns: one of each group, then the next of each.

    ``$in -> $mapped``; the arguments are those of :func:`conv${rank}d`. Output channel
    ``k*groups + g`` is the ``k``-th of group ``g``: what a channel shuffle makes of a grouped
    convolution (Zhang et al., ShuffleNet, 2018), in one operation.

    Raises:
        TypeError: no tensors, of different types, or arguments that are not integers.
        ValueError: shapes that do not fit each other, or arguments out of bounds.

    >>> x, ones = torch.zeros(4, $sizes), torch.ones(4, 2, $kernel)
    >>> $name(x, ones, torch.arange(4.0), groups=2).flatten(1)[:, 0]
    tensor([0., 2., 1., 3.])
    """
    return _convolve(
        _op, input, weight, bias, stride, padding, dilation, groups, padding_mode, flip, True
    )


shuffled_conv1d, shuffled_conv2d, shuffled_conv3d = _shuffled_conv("shuffled_conv")


@Family
def _depthwise_conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    padding_mode: str = "zeros",
    flip: bool = False,
    _op: Op = ANY,
) -> Tensor:
    """Every channel convolved by itself, with ``m`` kernels of its own.

    ``$in -> $multiplied``; the weight is ``$each``: of the output's channels those from ``c*m`` on
    are made of channel ``c``. The other arguments are those of :func:`conv${rank}d`.

    Raises:
        TypeError: no tensors, of different types, or arguments that are not integers.
        ValueError: shapes that do not fit each other, or arguments out of bounds.

    >>> x = torch.ones(3, $sizes)
    >>> $name(x, torch.ones(6, 1, $kernel)).shape[0]
    6
    """
    _convolutions.check_input(_op.name, input, _op.rank)
    groups = input.shape[-_op.rank - 1]
    return _convolve(
        _op, input, weight, bias, stride, padding, dilation, groups, padding_mode, flip, False
    )


depthwise_conv1d, depthwise_conv2d, depthwise_conv3d = _depthwise_conv("depthwise_conv")


def causal_conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Tensor:
    """A convolution that sees nothing of what comes later: output ``o`` reads up to ``o*stride``.

    ``(N, C, L) -> (N, O, ceil(L / stride))``: :func:`conv1d` with ``(kernel - 1) * dilation``
    elements of padding before the input, and none behind it.

    Raises:
        TypeError: no tensors, of different types, or arguments that are not integers.
        ValueError: shapes that do not fit each other, or arguments out of bounds.

    >>> x = torch.tensor([[1.0, 4.0, 2.0, 0.0]])
    >>> causal_conv1d(x, torch.ones(1, 1, 2), dilation=2)
    tensor([[1., 4., 3., 4.]])
    """
    op = Op("causal_conv1d", 1)
    _convolutions.check_input(op.name, input, 1)
    _convolutions.check_weight(op.name, input, weight, 1, "O, C/groups")
    (apart,) = _args.integers(op.name, "dilation", dilation, 1)
    before = (weight.shape[2] - 1) * apart
    return _convolve(
        op,
        input,
        weight,
        bias,
        stride,
        ((before, 0),),
        dilation,
        groups,
        padding_mode,
        False,
        False,
    )


def _convolve(
    op: Op,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    padding_mode: str,
    flip: bool,
    shuffle: bool,
) -> Tensor:
    plain = padding_mode == "zeros" and not flip and not shuffle
    key = _signature(op, x, weight, bias, stride, padding, dilation, groups) if plain else None
    if key in _TORCHS and not options.current().verbose:
        return _TORCH[op.rank](x, weight, bias, stride, padding, dilation, groups)
    _convolutions.check_input(op.name, x, op.rank)
    _convolutions.check_weight(op.name, x, weight, op.rank, "O, C/groups")
    channels = x.shape[-op.rank - 1]
    count = _convolutions.check_groups(
        op.name, groups, **{"channels of the input": channels, "output channels": weight.shape[0]}
    )
    _convolutions.check_fit(op.name, x, weight, count, weight.shape[1] * count)
    _convolutions.check_bias(op.name, x, bias, weight.shape[0])
    window = _args.conv_window(op.name, op.rank, tuple(weight.shape[2:]), stride, padding, dilation)
    modes = _convolutions.PADDING_MODES
    _checks.check_choice(op.name, "padding_mode", padding_mode, modes)
    _convolutions.check_window(op.name, window, x.shape[x.dim() - op.rank :])
    if padding_mode != "zeros":
        x, window = pad(op.name, x, window, padding_mode)
    if flip:
        weight = weight.flip(tuple(range(2, weight.dim())))
    if key is not None and _ops.is_torchs(op.name, x, weight, bias, window, count):
        if len(_TORCHS) >= _MOST_SIGNATURES:
            _TORCHS.clear()
        _TORCHS.add(key)
    return _ops.convolve(op.name, x, weight, bias, window, count, shuffle)


_TORCH = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TORCHS: set[Any] = set()
"""What was checked before and is torch's to carry out: called again it is called at once."""
_MOST_SIGNATURES = 4096


def _signature(op: Op, x: Any, weight: Any, bias: Any, *numbers: Any) -> Any:
    """What decides about a call, or None where torch does not take the arguments as they are."""
    if torch.compiler.is_compiling() or not isinstance(x, Tensor) or not isinstance(weight, Tensor):
        return None
    for value in numbers:
        if type(value) is not int and not (
            type(value) is tuple and all(type(number) is int for number in value)
        ):
            return None
    asked = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    given = None if bias is None else (bias.shape, bias.dtype) if isinstance(bias, Tensor) else 0
    return (
        op.rank, x.shape, x.dtype, x.device, x.is_contiguous(), weight.shape, weight.dtype,
        weight.is_contiguous(), weight.device, given, asked, numbers,
    )  # fmt: skip


@Family
def _conv_transpose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    flip: bool = False,
    _op: Op = ANY,
) -> Tensor:
    """The adjoint of a convolution: what its gradient does, as an operation of its own.

    ``$in -> $mapped`` with ``(L - 1)*stride - before - after + extent + output_padding`` elements
    along an axis of length ``L``; torch's function. Every input is multiplied by the kernel, and
    the products are laid out ``stride`` apart and added up. With ``padding="same"`` the output is
    ``stride`` times as long as the input.

    Args:
        input: the tensor; ``N`` may be missing.
        weight: ``$adjoint``, the shape of the convolution that maps ``O`` channels to ``C``.
        bias: one number for each of ``O`` channels, added to it.
        stride: how far apart the windows of neighbouring inputs start.
        padding: what is cut off the output's ends: integers, pairs, ``"same"`` or ``"valid"``.
        output_padding: how much longer the output is: as long as a convolution with this stride
            would not notice.
        groups: channels are cut into so many groups, each of which sees nothing of the others.
        dilation: how far apart the window's elements are.
        flip: whether the kernel is turned along every axis.

    Raises:
        TypeError: no tensors, of different types, or arguments that are not integers.
        ValueError: shapes that do not fit each other, or arguments out of bounds.

    >>> x = torch.tensor([1.0, 4.0]).expand($pair)
    >>> $name(x, torch.ones($ones, 1, 2), stride=2).flatten()[:4]
    $spread
    """
    name, rank = _op.name, _op.rank
    _convolutions.check_input(name, input, rank)
    _convolutions.check_weight(name, input, weight, rank, "C, O/groups")
    reads = weight.shape[0]
    channels = {"channels of the weight": reads}
    count = _convolutions.check_groups(name, groups, **channels)
    _convolutions.check_fit(name, input, weight, count, reads)
    _convolutions.check_bias(name, input, bias, weight.shape[1] * count)
    kernel = tuple(weight.shape[2:])
    more = _args.integers(name, "output_padding", output_padding, rank, least=0)
    window = _args.conv_window(name, rank, kernel, stride, padding, dilation)
    if flip:
        weight = weight.flip(tuple(range(2, weight.dim())))
    return _ops.convolve_back(name, input, weight, bias, window, more, count)


conv_transpose1d, conv_transpose2d, conv_transpose3d = _conv_transpose(
    "conv_transpose", spread="tensor([1., 1., 4., 4.])"
)
