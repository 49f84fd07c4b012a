"""Convolutions with one weight: plain, pointwise, depthwise, shuffled, causal, transposed.

They are torch's modules: what holds a ``torch.nn.Conv2d`` holds these, and their state dicts are
interchangeable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from cenote import _args, _checks, _convolutions, functional
from cenote.nn._cost import Costed
from cenote.window import Window

__all__ = [
    "CausalConv1d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "DepthwiseConv1d",
    "DepthwiseConv2d",
    "DepthwiseConv3d",
    "PointwiseConv1d",
    "PointwiseConv2d",
    "PointwiseConv3d",
    "ShuffledConv1d",
    "ShuffledConv2d",
    "ShuffledConv3d",
]


class _Convolution(Costed):
    """What convolutions and their adjoints share: a weight, a window and groups.

    torch's classes refuse some padding that these take: they are never told of it.
    """

    rank: ClassVar[int]
    _function: ClassVar[Callable[..., Tensor]]
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    groups: int
    bias: Tensor | None
    weight: Tensor
    flip: bool

    def _check(self, channels: dict[str, Any], groups: Any) -> None:
        """Refuse numbers of channels that are none, or that groups do not divide."""
        name = type(self).__name__
        for argument, value in channels.items():
            _args.integers(name, argument, value, 1)
        _convolutions.check_groups(name, groups, **channels)

    def _set_padding(self, padding: Any, flip: bool) -> None:
        whole = type(padding) is int
        self.padding = (padding,) * self.rank if whole else padding
        if isinstance(padding, list | tuple):
            self.padding = tuple(tuple(p) if isinstance(p, list | tuple) else p for p in padding)
        self.flip = flip
        _ = self.window  # bad arguments are to fail here, where they were written

    @property
    def window(self) -> Window:
        """The window that the attributes describe."""
        return _args.conv_window(
            type(self).__name__, self.rank, self.kernel_size, self.stride, self.padding,
            self.dilation,
        )  # fmt: skip

    def count_parameters(self) -> int:
        """``O * C/groups * taps``, and ``O`` biases."""
        weights = self.in_channels // self.groups * self.out_channels * prod(self.kernel_size)
        return weights + (self.out_channels if self.bias is not None else 0)

    def extra_repr(self) -> str:
        """What torch shows, and whether the kernel is turned."""
        return super().extra_repr() + (", flip=True" if self.flip else "")

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.__dict__.setdefault("flip", False)  # of what torch's own class left


class _Plain(_Convolution):
    padding_mode: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        flip: bool = False,
    ) -> None:
        name = type(self).__name__
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        self._check(channels, groups)
        sizes = _args.integers(name, "kernel_size", kernel_size, self.rank)
        strides = _args.integers(name, "stride", stride, self.rank)
        dilations = _args.integers(name, "dilation", dilation, self.rank)
        _checks.check_choice(name, "padding_mode", padding_mode, _convolutions.PADDING_MODES)
        super().__init__(
            in_channels, out_channels, sizes, strides, 0, dilations, groups, bias, padding_mode,
            device=device, dtype=dtype,
        )  # fmt: skip
        self._set_padding(padding, flip)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve ``input``."""
        return self._function(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups,
            padding_mode=self.padding_mode, flip=self.flip,
        )  # fmt: skip

    def count_macs(self, *n: int) -> int:
        """``prod(out) * O * C/groups * taps``."""
        return _convolutions.macs(
            self.window, n, self.in_channels // self.groups, self.out_channels
        )


class Conv1d(_Plain, torch.nn.Conv1d):
    """A convolution of ``(N, C, L)``; see :func:`cenote.conv1d`."""

    rank = 1
    _function = staticmethod(functional.conv1d)


class Conv2d(_Plain, torch.nn.Conv2d):
    """A convolution of ``(N, C, H, W)``; see :func:`cenote.conv2d`.

    >>> conv = Conv2d(3, 64, 7, stride=2, padding="same")
    >>> conv(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 64, 112, 112])
    >>> conv.count_parameters(), conv.count_macs(224, 224)
    (9472, 118013952)
    """

    rank = 2
    _function = staticmethod(functional.conv2d)


class Conv3d(_Plain, torch.nn.Conv3d):
    """A convolution of ``(N, C, D, H, W)``; see :func:`cenote.conv3d`."""

    rank = 3
    _function = staticmethod(functional.conv3d)


class ShuffledConv1d(Conv1d):
    """Grouped, its outputs in turns, of ``(N, C, L)``; see :func:`cenote.shuffled_conv1d`."""

    _function = staticmethod(functional.shuffled_conv1d)


class ShuffledConv2d(Conv2d):
    """Grouped, its outputs in turns, of ``(N, C, H, W)``; see :func:`cenote.shuffled_conv2d`."""

    _function = staticmethod(functional.shuffled_conv2d)


class ShuffledConv3d(Conv3d):
    """Grouped, its outputs in turns, of ``(N, C, D, H, W)``; see :func:`cenote.shuffled_conv3d`."""

    _function = staticmethod(functional.shuffled_conv3d)


class _Pointwise(_Plain):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 1,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, 1, groups=groups, bias=bias, device=device, dtype=dtype
        )


class PointwiseConv1d(_Pointwise, Conv1d):
    """A 1-tap convolution of ``(N, C, L)``: each position by itself, its channels mixed."""


class PointwiseConv2d(_Pointwise, Conv2d):
    """A 1x1 convolution of ``(N, C, H, W)``: each pixel by itself, its channels mixed.

    >>> PointwiseConv2d(64, 128).count_parameters() == 64 * 128 + 128
    True
    """


class PointwiseConv3d(_Pointwise, Conv3d):
    """A 1x1x1 convolution of ``(N, C, D, H, W)``: each voxel by itself, its channels mixed."""


class _Depthwise(_Plain):
    def __init__(
        self,
        channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        multiplier: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        flip: bool = False,
    ) -> None:
        name = type(self).__name__
        (count,) = _args.integers(name, "channels", channels, 1)
        (times,) = _args.integers(name, "multiplier", multiplier, 1)
        super().__init__(
            count, count * times, kernel_size, stride, padding, dilation, count, bias,
            padding_mode, device, dtype, flip=flip,
        )  # fmt: skip

    @property
    def multiplier(self) -> int:
        """How many channels are made of each."""
        return self.out_channels // self.in_channels


class DepthwiseConv1d(_Depthwise, Conv1d):
    """Every channel of ``(N, C, L)`` by itself; see :func:`cenote.depthwise_conv1d`."""


class DepthwiseConv2d(_Depthwise, Conv2d):
    """Every channel of ``(N, C, H, W)`` by itself; see :func:`cenote.depthwise_conv2d`.

    >>> conv = DepthwiseConv2d(32, 3, padding=1, multiplier=2)
    >>> conv(torch.zeros(1, 32, 8, 8)).shape[1], conv.count_parameters()
    (64, 640)
    """


class DepthwiseConv3d(_Depthwise, Conv3d):
    """Every channel of ``(N, C, D, H, W)`` by itself; see :func:`cenote.depthwise_conv3d`."""


class CausalConv1d(Conv1d):
    """A convolution of ``(N, C, L)`` that sees nothing later; see :func:`cenote.causal_conv1d`.

    >>> CausalConv1d(1, 1, 3, dilation=4)(torch.zeros(1, 1, 20)).shape
    torch.Size([1, 1, 20])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        (taps,) = _args.integers("CausalConv1d", "kernel_size", kernel_size, 1)
        (apart,) = _args.integers("CausalConv1d", "dilation", dilation, 1)
        super().__init__(
            in_channels, out_channels, taps, stride, (((taps - 1) * apart, 0),), apart, groups,
            bias, padding_mode, device, dtype,
        )  # fmt: skip


class _Transposed(_Convolution):
    output_padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        flip: bool = False,
    ) -> None:
        name = type(self).__name__
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        self._check(channels, groups)
        sizes = _args.integers(name, "kernel_size", kernel_size, self.rank)
        strides = _args.integers(name, "stride", stride, self.rank)
        dilations = _args.integers(name, "dilation", dilation, self.rank)
        more = _args.integers(name, "output_padding", output_padding, self.rank, least=0)
        _checks.check_choice(name, "padding_mode", padding_mode, ("zeros",))
        super().__init__(
            in_channels, out_channels, sizes, strides, 0, more, groups, bias, dilations,
            padding_mode, device=device, dtype=dtype,
        )  # fmt: skip
        self._set_padding(padding, flip)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """The adjoint of a convolution of ``input``; of ``output_size``, where one is given.

        Raises:
            ValueError: a size that no output padding leads to.
        """
        more = self.output_padding if output_size is None else self._more(input, output_size)
        return self._function(
            input, self.weight, self.bias, self.stride, self.padding, more, self.groups,
            self.dilation, flip=self.flip,
        )  # fmt: skip

    def _more(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        name = type(self).__name__
        wanted = tuple(output_size)[-self.rank :]
        n = input.shape[input.dim() - self.rank :]
        least = [axis.adjoint(length) for axis, length in zip(self.window, n, strict=True)]
        more = tuple(size - low for size, low in zip(wanted, least, strict=True))
        for position, (extra, axis) in enumerate(zip(more, self.window, strict=True)):
            most = max(axis.stride, axis.dilation) - 1
            if not 0 <= extra <= most:
                low = least[position]
                raise ValueError(
                    f"{name}: {_args.axis_name(self.rank, position)}: output_size ="
                    f" {wanted[position]}: an input of length {n[position]} leads to {low} to"
                    f" {low + most}"
                )
        return more

    def count_macs(self, *n: int) -> int:
        """``prod(n) * C * O/groups * taps``: every input is multiplied by every tap."""
        taps = prod(self.kernel_size)
        return prod(n) * self.in_channels * (self.out_channels // self.groups) * taps


class ConvTranspose1d(_Transposed, torch.nn.ConvTranspose1d):
    """The adjoint of a convolution of ``(N, C, L)``; see :func:`cenote.conv_transpose1d`."""

    rank = 1
    _function = staticmethod(functional.conv_transpose1d)


class ConvTranspose2d(_Transposed, torch.nn.ConvTranspose2d):
    """The adjoint of a convolution of ``(N, C, H, W)``; see :func:`cenote.conv_transpose2d`.

    >>> ConvTranspose2d(8, 4, 4, stride=2, padding=1)(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 4, 14, 14])
    """

    rank = 2
    _function = staticmethod(functional.conv_transpose2d)


class ConvTranspose3d(_Transposed, torch.nn.ConvTranspose3d):
    """The adjoint of a convolution of ``(N, C, D, H, W)``; see :func:`cenote.conv_transpose3d`."""

    rank = 3
    _function = staticmethod(functional.conv_transpose3d)
