"""The convolution of mathematics: signals of any length with each other, and as a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import _args, _checks, _convolutions

__all__ = ["conv_matrix", "convolve"]

_MODES = ("full", "same", "valid")
_METHODS = ("direct", "fft")
_FORWARD = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def convolve(
    input: Tensor, kernel: Tensor, mode: str = "full", *, method: str = "direct"
) -> Tensor:
    """``out[m] = sum over k of input[m - k] * kernel[k]``: the kernel is turned, unlike a CNN's.

    ``(*lead, *n) -> (*lead, *(n + k - 1))`` with mode ``"full"``, of every pair that overlaps;
    ``(*lead, *n)``, the middle of that, with ``"same"``; ``(*lead, *(n - k + 1))`` with
    ``"valid"``, where they overlap wholly. The convolved axes are the last ``kernel.dim()``, up to
    three.

    Args:
        input: the tensor of floats.
        kernel: ``(*k)``, of the same type; one for everything.
        mode: which outputs there are.
        method: ``"direct"``, or ``"fft"``: the product of Fourier transforms, which is the same
            within rounding and takes ``M log M`` steps instead of ``M k``.

    Raises:
        TypeError: no tensors of one floating type.
        ValueError: more than three axes or fewer than the kernel's, an unknown mode or method, or
            with ``"valid"`` a kernel that is longer than the input.

    >>> convolve(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 10.0]))
    tensor([ 1., 12., 23., 30.])
    """
    op = "convolve"
    rank = _convolutions.check_signals(op, input, kernel)
    _checks.check_choice(op, "mode", mode, _MODES)
    _checks.check_choice(op, "method", method, _METHODS)
    n, k = input.shape[input.dim() - rank :], kernel.shape
    if mode == "valid":
        for axis, (length, taps) in enumerate(zip(n, k, strict=True)):
            if taps > length:
                where = _args.axis_name(rank, axis)
                raise ValueError(
                    f"{op}: {where}: kernel of length {taps} does not fit on an input of length"
                    f" {length}"
                )
    full = _by_fft(input, kernel) if method == "fft" else _directly(input, kernel)
    for axis, (length, taps) in enumerate(zip(n, k, strict=True)):
        if mode == "same":
            full = full.narrow(input.dim() - rank + axis, (taps - 1) // 2, length)
        if mode == "valid":
            full = full.narrow(input.dim() - rank + axis, taps - 1, length - taps + 1)
    return full


def _directly(x: Tensor, kernel: Tensor) -> Tensor:
    rank = kernel.dim()
    lead = x.shape[: x.dim() - rank]
    planes = x.reshape(prod(lead), 1, *x.shape[x.dim() - rank :])
    turned = kernel.flip(tuple(range(rank)))[None, None]
    out = _FORWARD[rank](planes, turned, padding=[taps - 1 for taps in kernel.shape])
    return out.reshape(*lead, *out.shape[2:])


def _by_fft(x: Tensor, kernel: Tensor) -> Tensor:
    rank = kernel.dim()
    axes = tuple(range(x.dim() - rank, x.dim()))
    sizes = [n + k - 1 for n, k in zip(x.shape[x.dim() - rank :], kernel.shape, strict=True)]
    spectrum = torch.fft.rfftn(x, s=sizes, dim=axes) * torch.fft.rfftn(kernel, s=sizes)
    full: Tensor = torch.fft.irfftn(spectrum, s=sizes, dim=axes)
    return full


def conv_matrix(
    weight: Tensor,
    size: int | Sequence[int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """A convolution written out: the sparse matrix that maps a flattened input to its output.

    ``(O * prod(out), C * prod(size))``, coalesced COO. ``conv_matrix(w, n) @ x.flatten()`` is
    ``conv(x, w).flatten()``; the matrix transposed is the transposed convolution of the same
    arguments.

    Args:
        weight: ``(O, C/groups, *k)`` of one to three axes.
        size: the input's sizes: one integer for every axis, or one each.
        stride: how far the window moves on.
        padding: integers, pairs, ``"same"`` or ``"valid"``.
        dilation: how far apart the window's elements are.
        groups: into how many groups channels are cut.

    Raises:
        TypeError: no tensor, or arguments that are not integers.
        ValueError: shapes that do not fit each other, or arguments out of bounds.

    >>> conv_matrix(torch.tensor([[[1.0, 2.0]]]), 3).to_dense()
    tensor([[1., 2., 0.],
            [0., 1., 2.]])
    """
    op = "conv_matrix"
    rank = _convolutions.check_kernel(op, weight)
    n = _args.integers(op, "size", size, rank)
    channels, reads = weight.shape[:2]
    count = _convolutions.check_groups(op, groups, **{"output channels": channels})
    kernel = tuple(weight.shape[2:])
    window = _args.conv_window(op, rank, kernel, stride, padding, dilation)
    _convolutions.check_window(op, window, n)
    window = window.at(n)
    row, column, tap = [torch.zeros(1, dtype=torch.int64)] * 3
    for axis, length in zip(window, n, strict=True):  # pairs along one axis more each time
        o = torch.arange(axis.out(length))[:, None]
        k = torch.arange(axis.kernel)[None, :]
        i = o * axis.stride - axis.padding[0] + k * axis.dilation
        inside = (i >= 0) & (i < length)
        pairs = (o.expand_as(i)[inside], i[inside], k.expand_as(i)[inside])
        row, column, tap = (
            (far[:, None] * pitch + near[None, :]).flatten()
            for far, near, pitch in zip(
                (row, column, tap), pairs, (axis.out(length), length, axis.kernel), strict=True
            )
        )
    outputs, inputs = prod(window.out(n)), prod(n)
    channel = torch.arange(channels)[:, None, None]
    read = torch.arange(reads)[None, :, None]
    group = channel // (channels // count)
    rows = (channel * outputs + row).expand(channels, reads, -1)
    columns = ((group * reads + read) * inputs + column).expand(channels, reads, -1)
    values = weight.flatten(2)[:, :, tap.to(weight.device)]
    places = torch.stack([rows.flatten(), columns.flatten()]).to(weight.device)
    shape = (channels * outputs, reads * count * inputs)
    return torch.sparse_coo_tensor(
        places, values.flatten(), shape, check_invariants=False
    ).coalesce()
