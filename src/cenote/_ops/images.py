"""Convolution of small planes with an image in every lane, and the maxima of what it makes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from cenote import _convolving
from cenote._ops.eager import eager_only
from cenote.window import Axis, Window

__all__ = ["Images", "Plainly", "plain_gradients", "pooled_sizes", "run", "why_not"]

Plainly = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]

_CACHE = 512 * 1024  # bytes: the images that are in work stay in a core's own


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """What is the same on the way back.

    ``pool`` is how many outputs of the convolution there are to a window, ``positive`` whether less
    than nothing becomes nothing, ``plainly`` the same by operations that have derivatives.
    """

    conv: Window
    groups: int
    shuffle: bool
    pool: tuple[int, ...]
    positive: bool
    plainly: Plainly


@functools.lru_cache(maxsize=1024)
def pooled_sizes(pool: Window, n: tuple[int, ...]) -> tuple[int, ...] | None:
    """How many elements each window has, where windows lie side by side and cover whole ones."""
    for axis, length in zip(pool, n, strict=True):
        if not isinstance(axis, Axis) or axis.kernel != axis.stride or axis.dilation > 1:
            return None
        if axis.padding != (0, 0) or axis.out(length) != length // axis.kernel:
            return None
    sizes = tuple(axis.kernel for axis in pool if isinstance(axis, Axis))
    return sizes if prod(sizes) < 255 else None


def why_not(x: Tensor, weight: Tensor, window: Window, little: int = 0) -> str:
    """Why a plain contiguous tensor is not convolved so; "" where it is.

    Lanes without an image are computed with as well: some may be, or most of them where all
    multiply-accumulates together are no more than ``little``.
    """
    if x.dim() != window.rank + 2:
        return "no batch"
    lanes = _convolving.images_at_once(x.dtype)
    return _no_room(x.shape, weight.shape, window, lanes, x.itemsize, little)


@functools.lru_cache(maxsize=1024)
def _no_room(
    shape: torch.Size, weight: torch.Size, window: Window, lanes: int, itemsize: int, little: int
) -> str:
    images, sizes = shape[0], window.out(shape[2:])
    macs = lanes * prod(sizes) * prod(weight)
    part = images < lanes or (images % lanes > 0 and images < 4 * lanes)
    if lanes < 4 or (part and macs > little):
        return f"{images} images for vectors of {lanes}"
    padded = prod(
        (size - 1) * axis.stride + axis.extent for size, axis in zip(sizes, window, strict=True)
    )
    if lanes * itemsize * weight[1] * padded > _CACHE:
        return f"{lanes} images do not stay in a core's cache"
    if lanes * itemsize * prod(weight) > 4 * _CACHE:
        return f"sums for {prod(weight)} weights do not stay in a core's cache"
    return ""


def run(x: Tensor, weight: Tensor, bias: Tensor | None, what: Images, asked: bool) -> Tensor:
    """``(N, C, *n) -> (N, O, *out)``; ``asked`` where a gradient may be."""
    if asked:
        made: Tensor = _Staged.apply(x, weight, bias, what)  # type: ignore[no-untyped-call]
        return made
    return _forward(x, weight, bias, what, keep=False)[0]


def _forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, what: Images, *, keep: bool
) -> tuple[Tensor, Tensor | None]:
    return _convolving.stage(
        x, weight, bias, what.conv, what.groups, what.shuffle, what.pool, what.positive, keep
    )


class _Staged(torch.autograd.Function):
    """Convolution and maximum: a byte an output says which element won, if any did."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, what: Images) -> Tensor:
        y, taps = _forward(x, weight, bias, what, keep=prod(what.pool) > 1)
        ctx.what = what
        ctx.save_for_backward(x, weight, bias, taps)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, bias, taps = ctx.saved_tensors
        what: Images = ctx.what
        wanted = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or not eager_only(grad) or grad.dtype != x.dtype:
            return (*plain_gradients(what.plainly, (x, weight, bias), wanted, grad), None)
        found = _convolving.stage_gradient(
            x, weight, grad.contiguous(), taps, what.conv, what.groups, what.shuffle, what.pool,
            wanted,
        )  # fmt: skip
        return (*found, None)


def plain_gradients(
    function: Plainly,
    saved: tuple[Tensor, Tensor, Tensor | None],
    wanted: Sequence[bool],
    grad: Tensor,
) -> list[Tensor | None]:
    """By the operations' own formulas, which have derivatives themselves."""
    with torch.enable_grad():
        out = function(*saved)
        asked = [t for t, want in zip(saved, wanted, strict=True) if want and t is not None]
        found = iter(torch.autograd.grad(out, asked, grad, create_graph=True))
    return [next(found) if want and t is not None else None
            for t, want in zip(saved, wanted, strict=True)]  # fmt: skip
