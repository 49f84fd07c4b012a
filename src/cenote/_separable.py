"""Convolutions of one element and of single channels, on channels last in float32, forward alone.

A separable convolution, a 1x1 one, one of single channels and a second 1x1 one, is computed a few
rows at a time: what lies between the three, most of what they read and write, stays in a cache. So
is a convolution with the maximum over windows behind it. All convolutions end in ``cut``: nothing
in a result is below or above a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import _native
from cenote._kernels import call_with
from cenote._norms import NO_CUT, Cut
from cenote.options import current

__all__ = [
    "Packed",
    "Windows",
    "interleave",
    "pack_channels",
    "pack_pointwise",
    "pitch",
    "pointwise",
    "separable",
]

_PANEL = 16  # so many output channels lie together in packed weights


@dataclass(frozen=True)
class Packed:
    """A weight in the kernels' order and its bias, both with zeros up to a whole panel."""

    channels: int
    out: int
    weight: Tensor
    bias: Tensor
    cut: Cut = NO_CUT

    def args(self) -> tuple[int, int, int, int, Cut]:
        """As the kernels take it."""
        return self.channels, self.out, self.weight.data_ptr(), self.bias.data_ptr(), self.cut


_NONE = (0, 0, 0, 0, NO_CUT)


def pack_pointwise(weight: Tensor, bias: Tensor | None, cut: Cut = NO_CUT) -> Packed:
    """``(O, C, kh, kw) -> (panels of O, kh * kw * C, 16)``."""
    rows = weight.detach().permute(0, 2, 3, 1).flatten(1)
    out, elements = rows.shape
    panels = F.pad(rows, (0, 0, 0, -out % _PANEL)).reshape(-1, _PANEL, elements)
    return Packed(elements, out, panels.transpose(1, 2).contiguous(), _padded(bias, weight), cut)


def pack_channels(weight: Tensor, bias: Tensor | None, cut: Cut = NO_CUT) -> Packed:
    """``(C, 1, kh, kw) -> (kh, kw, C)``: one kernel a channel."""
    channels = weight.shape[0]
    taps = F.pad(weight.detach()[:, 0].permute(1, 2, 0), (0, -channels % _PANEL)).contiguous()
    return Packed(channels, channels, taps, _padded(bias, weight), cut)


def _padded(bias: Tensor | None, weight: Tensor) -> Tensor:
    out = weight.shape[0]
    bias = torch.zeros(out, dtype=weight.dtype) if bias is None else bias.detach()
    return F.pad(bias, (0, -out % _PANEL))


def pitch(x: Tensor) -> int:
    """Floats from a pixel to the next where channels are neighbours and rows follow; else 0."""
    _, channels, height, width = x.shape
    to_image, to_channel, to_row, to_pixel = x.stride()
    if to_channel != 1 and channels > 1:
        return 0
    if width == 1:
        to_pixel = to_row
    if height * width == 1:
        to_pixel = to_image
    rows = height == 1 or to_row == width * to_pixel
    images = x.shape[0] == 1 or to_image == height * width * to_pixel
    return to_pixel if rows and images and to_pixel >= channels else 0


def _pixels(x: Tensor | None) -> tuple[int, int]:
    return (0, 0) if x is None else (x.data_ptr(), pitch(x))


def _laid_out(x: Tensor) -> Tensor:
    return x if pitch(x) else x.contiguous(memory_format=torch.channels_last)


def pointwise(
    x: Tensor, what: Packed, other: Tensor | None = None, to: Tensor | None = None
) -> Tensor:
    """``(N, C, h, w) -> (N, O, h, w)``: ``cut(conv(x) + other)``.

    ``to``: where it is written, channels of a tensor whose channels are last.
    """
    x = _laid_out(x)
    other = None if other is None else _laid_out(other)
    images, _, height, width = x.shape
    if to is None:
        to = _empty(images, what.out, (height, width))
    _native.pointwise(
        call_with(current()), what.args(), images * height * width,
        _pixels(x), _pixels(other), _pixels(to),
    )  # fmt: skip
    return to


class Windows(NamedTuple):
    """Where windows lie: kernel, stride, and padding on both sides."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    def outs(self, n: Sequence[int]) -> tuple[int, ...]:
        """How many there are along each axis."""
        return tuple(
            (size + 2 * pad - kernel) // stride + 1
            for size, kernel, stride, pad in zip(n, *self, strict=True)
        )


_PIXELS = Windows()


def separable(
    x: Tensor,
    first: Packed | None,
    between: Packed | None,
    last: Packed | None,
    slides: Windows,
    other: Tensor | None = None,
    *,
    windows: Windows = _PIXELS,
    outs: Sequence[int] | None = None,
    to: Tensor | None = None,
) -> Tensor:
    """``(N, C, h, w) -> (N, O, h', w')``: all that is given, one behind the other.

    ``between`` is of single channels, or None for the maximum over windows; ``slides`` are its
    windows, ``windows`` those of the first, ``outs`` how many slides there are, if their number was
    rounded up. ``other`` is added before the last one's ``cut``; only with a last one.
    """
    x = _laid_out(x)
    other = None if other is None else _laid_out(other)
    n = x.shape[2:] if first is None else windows.outs(x.shape[2:])
    outs = slides.outs(n) if outs is None else outs
    middle = between or first
    assert middle is not None
    if to is None:
        to = _empty(len(x), middle.out if last is None else last.out, outs)
    packed = [_NONE if p is None else p.args() for p in (first, between, last)]
    _native.separable(
        call_with(current()),
        [*x.shape[:2], middle.out, *x.shape[2:], *chain(*windows), *n, *chain(*slides), *outs],
        packed[0], packed[1], packed[2], _pixels(x), _pixels(other), _pixels(to),
    )  # fmt: skip
    return to


def interleave(first: Tensor, second: Tensor) -> Tensor:
    """``(N, C, h, w), (N, C, h, w) -> (N, 2C, h, w)``: channels of both, in turns."""
    first, second = _laid_out(first), _laid_out(second)
    images, channels, height, width = first.shape
    y = _empty(images, 2 * channels, (height, width))
    _native.interleave(
        call_with(current()), images * height * width, channels,
        _pixels(first), _pixels(second), _pixels(y),
    )  # fmt: skip
    return y


def _empty(images: int, channels: int, sizes: Sequence[int]) -> Tensor:
    return torch.empty((images, channels, *sizes), memory_format=torch.channels_last)
