"""Convolutions in several steps: along one axis after the other, or depth and points apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from cenote import _args, _checks, _convolutions
from cenote.nn._chain import Chain
from cenote.nn.convolution import (
    Conv2d,
    Conv3d,
    DepthwiseConv1d,
    DepthwiseConv2d,
    DepthwiseConv3d,
    PointwiseConv1d,
    PointwiseConv2d,
    PointwiseConv3d,
)
from cenote.window import Window

__all__ = [
    "DepthwiseSeparableConv1d",
    "DepthwiseSeparableConv2d",
    "DepthwiseSeparableConv3d",
    "FlattenedConv1d",
    "FlattenedConv2d",
    "FlattenedConv3d",
    "SpatiallySeparableConv2d",
    "SpatiallySeparableConv3d",
]


def _one_axis(rank: int, axis: int, values: Any, rest: Any) -> tuple[Any, ...]:
    return tuple(values[axis] if position == axis else rest for position in range(rank))


class _SpatiallySeparable(Chain):
    """``k x 1``, then ``1 x k``."""

    _part: ClassVar[Callable[..., Any]]

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
        components: Any = None,
    ) -> None:
        super().__init__()
        name, rank = type(self).__name__, self.rank
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        for argument, value in channels.items():
            _args.integers(name, argument, value, 1)
        count = _convolutions.check_groups(name, groups, **channels)
        kernels = _args.integers(name, "kernel_size", kernel_size, rank)
        strides = _args.integers(name, "stride", stride, rank)
        dilations = _args.integers(name, "dilation", dilation, rank)
        window = _args.conv_window(name, rank, kernels, strides, padding, dilations)
        between = out_channels // count if components is None else components
        each = _args.integers(name, "components", between, rank - 1, given=components)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.groups, self.components = count, each
        self.error = 0.0
        width = [in_channels, *(number * count for number in each), out_channels]
        same = isinstance(padding, str)
        steps = []
        for axis in range(rank):
            pads = padding if same else _one_axis(rank, axis, [a.padding for a in window], (0, 0))
            steps.append(
                self._part(
                    width[axis],
                    width[axis + 1],
                    _one_axis(rank, axis, kernels, 1),
                    _one_axis(rank, axis, strides, 1),
                    pads,
                    _one_axis(rank, axis, dilations, 1),
                    count,
                    bias and axis == rank - 1,
                    padding_mode,
                    device,
                    dtype,
                )
            )
        self.along = torch.nn.ModuleList(steps)

    @property
    def parts(self) -> list[Any]:
        """One convolution an axis, outermost first."""
        return list(self.along)

    @property
    def bias(self) -> Tensor | None:
        """That of the last step: the others have none."""
        bias: Tensor | None = self.parts[-1].bias
        return bias

    def dense_weight(self) -> Tensor:
        """The weight of the one convolution that does the same: ``(O, C/groups, *k)``."""
        weights = [part.weight for part in self.parts]
        product = _grouped(weights[0], self.groups)  # (g, R, C, *k so far)
        for position, weight in enumerate(weights[1:], start=1):
            step = _grouped(weight, self.groups)
            shape = [1] * self.rank
            shape[position] = step.shape[3 + position]
            step = step.reshape(*step.shape[:3], *shape)
            axes = "xyz"[: self.rank]
            other = axes.upper()
            product = torch.einsum(f"gor{other},grc{axes}->goc{axes}{other}", step, product)
            product = _multiplied(product, self.rank, position)
        dense: Tensor = product.flatten(0, 1)
        return dense

    @classmethod
    def from_dense(
        cls,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        *,
        components: Any = None,
        padding_mode: str = "zeros",
    ) -> Any:
        """The layer that comes nearest to a convolution with this weight, and how near that is.

        The weight is taken apart by singular values, after each axis (Jaderberg et al., Speeding
        up Convolutional Neural Networks with Low Rank Expansions, 2014). ``components`` is how
        many are kept for each group; without it all that count, and the layer does the same. The
        attribute ``error`` is what is missing: the norm of the difference by the weight's norm.

        Args:
            weight: ``(O, C/groups, *k)`` of floats.
            bias: one number for each of ``O`` channels.
            stride: as the convolution's.
            padding: as the convolution's.
            dilation: as the convolution's.
            groups: as the convolution's.
            components: one integer, or one for each cut between two axes.
            padding_mode: as the convolution's.

        Raises:
            TypeError: no tensors of floats, or arguments that are not integers.
            ValueError: shapes that do not fit each other, or arguments out of bounds.

        >>> blur = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None]
        >>> layer = SpatiallySeparableConv2d.from_dense(blur, components=1)
        >>> layer.error < 1e-6, layer.count_parameters()
        (True, 6)
        """
        name = f"{cls.__name__}.from_dense"
        _convolutions.check_kernel(name, weight, cls.rank)
        _checks.check_floating(name, weight)
        count = _convolutions.check_groups(name, groups, **{"output channels": weight.shape[0]})
        _convolutions.check_bias(name, weight, bias, weight.shape[0])
        wanted: tuple[int | None, ...] = (None,) * (cls.rank - 1)
        if components is not None:
            wanted = _args.integers(name, "components", components, cls.rank - 1)
        factors, kept = _taken_apart(weight.detach(), count, wanted)
        layer = cls(
            weight.shape[1] * count, weight.shape[0], tuple(weight.shape[2:]), stride, padding,
            dilation, count, bias is not None, padding_mode, weight.device, weight.dtype,
            components=kept,
        )  # fmt: skip
        with torch.no_grad():
            for part, factor in zip(layer.parts, factors, strict=True):
                part.weight.copy_(factor)
            if bias is not None:
                layer.parts[-1].bias.copy_(bias)
            norm = weight.double().norm()
            missing = (layer.dense_weight().double() - weight.double()).norm()
            layer.error = float(missing / norm) if norm > 0 else 0.0
        return layer

    def extra_repr(self) -> str:
        """How many components there are between the axes, and what they miss of a dense kernel."""
        between = ", ".join(map(str, self.components))
        return f"components={between}" + (f", error={self.error:.3g}" if self.error else "")


def _grouped(weight: Tensor, groups: int) -> Tensor:
    apart: Tensor = weight.unflatten(0, (groups, weight.shape[0] // groups))
    return apart


def _multiplied(product: Tensor, rank: int, position: int) -> Tensor:
    """``(g, o, c, *axes, *others)``, of which at most one of a pair is longer than 1, joined."""
    lead = product.shape[:3]
    near, far = product.shape[3 : 3 + rank], product.shape[3 + rank :]
    return product.reshape(*lead, *(a * b for a, b in zip(near, far, strict=True)))


def _taken_apart(
    weight: Tensor, groups: int, wanted: tuple[int | None, ...]
) -> tuple[list[Tensor], tuple[int, ...]]:
    """The steps' weights, outermost axis first, and how many components lie between them."""
    rank = weight.dim() - 2
    grouped = _grouped(weight.double(), groups)  # (g, K, C, *k)
    kernels = grouped.shape[3:]
    # (g, C, k0, ..., K): from the channels that are read, along the axes, to those that are made
    rest = grouped.movedim(1, -1).contiguous()
    read = rest.shape[1]
    factors, kept = [], []
    for axis in range(rank - 1):
        left = rest.reshape(groups, read * kernels[axis], -1)
        u, s, v = torch.linalg.svd(left, full_matrices=False)
        limit = wanted[axis]
        most = s.shape[-1]
        if limit is None:  # all that are more than rounding
            small = s.amax() * max(left.shape[1:]) * torch.finfo(weight.dtype).eps
            limit = max(1, int((s > small).sum(-1).amax()))
        number = min(limit, most)
        root = s[:, :number].sqrt()
        factor = (u[:, :, :number] * root[:, None]).transpose(1, 2)  # (g, R, read*k)
        shape = _one_axis(rank, axis, kernels, 1)
        factors.append(factor.reshape(groups * number, read, *shape).to(weight.dtype))
        rest, read = root[:, :, None] * v[:, :number], number
        kept.append(number)
    last = rest.reshape(groups, read, kernels[-1], -1).permute(0, 3, 1, 2)  # (g, K, R, k)
    shape = _one_axis(rank, rank - 1, kernels, 1)
    factors.append(last.reshape(-1, read, *shape).to(weight.dtype))
    return factors, tuple(kept)


class SpatiallySeparableConv2d(_SpatiallySeparable):
    """``k x 1``, then ``1 x k``, on ``(N, C, H, W)``: a dense kernel of few components.

    ``components`` channels a group lie between the two; as many as a group has outputs, if none
    are given. ``R*(C*kH + O*kW)`` parameters where a dense kernel has ``O*C*kH*kW``.

    >>> SpatiallySeparableConv2d(16, 32, 7, bias=False).count_parameters()
    10752
    """

    rank = 2
    _part = Conv2d


class SpatiallySeparableConv3d(_SpatiallySeparable):
    """``k x 1 x 1``, ``1 x k x 1``, then ``1 x 1 x k``, on ``(N, C, D, H, W)``."""

    rank = 3
    _part = Conv3d


class _DepthwiseSeparable(Chain):
    _depthwise: ClassVar[Callable[..., Any]]
    _pointwise: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        multiplier: int = 1,
        norm: Callable[[int], torch.nn.Module] | None = None,
        activation: Callable[[], torch.nn.Module] | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        for argument, value in (("norm", norm), ("activation", activation)):
            if value is not None and not callable(value):
                kind = type(value).__name__
                raise TypeError(f"{name}: {argument}: must be None or make a module, not {kind}")
        _args.integers(name, "in_channels", in_channels, 1)
        _args.integers(name, "out_channels", out_channels, 1)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.depthwise = self._depthwise(
            in_channels, kernel_size, stride, padding, dilation, multiplier, bias and norm is None,
            padding_mode, device, dtype,
        )  # fmt: skip
        middle = in_channels * multiplier
        self.norm = torch.nn.Identity() if norm is None else norm(middle)
        self.activation = torch.nn.Identity() if activation is None else activation()
        self.pointwise = self._pointwise(
            middle, out_channels, bias=bias, device=device, dtype=dtype
        )

    @property
    def parts(self) -> list[Any]:
        """The depthwise convolution and the pointwise one."""
        return [self.depthwise, self.pointwise]

    @property
    def window(self) -> Window:
        """That of the depthwise convolution."""
        window: Window = self.depthwise.window
        return window

    def forward(self, input: Tensor) -> Tensor:
        """Each channel by itself, what lies between, then all channels of each position."""
        out: Tensor = self.pointwise(self.activation(self.norm(self.depthwise(input))))
        return out


class DepthwiseSeparableConv1d(_DepthwiseSeparable):
    """A depthwise convolution of ``(N, C, L)``, then a pointwise one."""

    rank = 1
    _depthwise, _pointwise = DepthwiseConv1d, PointwiseConv1d


class DepthwiseSeparableConv2d(_DepthwiseSeparable):
    """A depthwise convolution of ``(N, C, H, W)``, then a pointwise one (MobileNet, 2017).

    ``norm`` makes a module of a number of channels, ``activation`` one of nothing; they stand
    between the two. ``C*m*kH*kW + C*m*O`` weights; the depthwise bias is left out before a norm.

    >>> DepthwiseSeparableConv2d(32, 64, 3, padding=1, bias=False).count_parameters()
    2336
    """

    rank = 2
    _depthwise, _pointwise = DepthwiseConv2d, PointwiseConv2d


class DepthwiseSeparableConv3d(_DepthwiseSeparable):
    """A depthwise convolution of ``(N, C, D, H, W)``, then a pointwise one."""

    rank = 3
    _depthwise, _pointwise = DepthwiseConv3d, PointwiseConv3d


class _Flattened(Chain):
    _depthwise: ClassVar[Callable[..., Any]]
    _pointwise: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name, rank = type(self).__name__, self.rank
        _args.integers(name, "in_channels", in_channels, 1)
        _args.integers(name, "out_channels", out_channels, 1)
        kernels = _args.integers(name, "kernel_size", kernel_size, rank)
        strides = _args.integers(name, "stride", stride, rank)
        dilations = _args.integers(name, "dilation", dilation, rank)
        window = _args.conv_window(name, rank, kernels, strides, padding, dilations)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.lateral = self._pointwise(
            in_channels, out_channels, bias=False, device=device, dtype=dtype
        )
        steps = []
        for axis in range(rank):
            pads = (
                padding
                if isinstance(padding, str)
                else _one_axis(rank, axis, [a.padding for a in window], (0, 0))
            )
            steps.append(
                self._depthwise(
                    out_channels,
                    _one_axis(rank, axis, kernels, 1),
                    _one_axis(rank, axis, strides, 1),
                    pads,
                    _one_axis(rank, axis, dilations, 1),
                    1,
                    bias and axis == rank - 1,
                    padding_mode,
                    device,
                    dtype,
                )
            )
        self.along = torch.nn.ModuleList(steps)

    @property
    def parts(self) -> list[Any]:
        """The one along the channels, then one an axis, outermost first."""
        return [self.lateral, *self.along]

    def dense_weight(self) -> Tensor:
        """The weight of the one convolution that does the same: the filters' outer products."""
        weight: Tensor = self.lateral.weight
        for part in self.parts[1:]:
            weight = weight * part.weight
        return weight


class FlattenedConv1d(_Flattened):
    """1-D convolutions along the channels, then along the length, of ``(N, C, L)``."""

    rank = 1
    _depthwise, _pointwise = DepthwiseConv1d, PointwiseConv1d


class FlattenedConv2d(_Flattened):
    """1-D convolutions along channels, height and width in turn, of ``(N, C, H, W)``.

    Every filter is the outer product of three vectors (Jin, Dundar and Culurciello, Flattened
    Convolutional Neural Networks for Feedforward Acceleration, 2014): ``C + kH + kW`` weights where
    a dense filter has ``C*kH*kW``.

    >>> FlattenedConv2d(64, 1, 5, bias=False).count_parameters()
    74
    """

    rank = 2
    _depthwise, _pointwise = DepthwiseConv2d, PointwiseConv2d


class FlattenedConv3d(_Flattened):
    """1-D convolutions along channels, depth, height and width in turn, of ``(N, C, D, H, W)``."""

    rank = 3
    _depthwise, _pointwise = DepthwiseConv3d, PointwiseConv3d
