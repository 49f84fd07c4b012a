"""Locally connected layers: a convolution whose every output position has weights of its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import _args, _convolutions
from cenote.functional._families import ANY, Family, Op
from cenote.window import Window

__all__ = ["locally_connected1d", "locally_connected2d", "locally_connected3d"]


@Family
def _locally_connected(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    _op: Op = ANY,
) -> Tensor:
    """A convolution without shared weights: each output position has its own.

    ``$in -> $mapped``. As :func:`conv${rank}d` with one group, but for the weight.

    Args:
        input: the tensor; ``N`` may be missing.
        weight: ``$local``: for each output position, the weights of a convolution.
        bias: one number for each of ``O`` channels; or for each of them at each position, ``$map``.
        stride: how far the window moves on.
        padding: what lies around the planes: integers, pairs, ``"same"`` or ``"valid"``.
        dilation: how far apart the window's elements are.

    Raises:
        TypeError: no tensors, of different types, or arguments that are not integers.
        ValueError: shapes that do not fit each other, or arguments out of bounds.

    >>> x = torch.ones(1, $sizes)
    >>> weight = torch.ones($outs, 5, 1, $kernel)
    >>> $name(x, weight).shape[0]
    5
    """
    op, rank = _op.name, _op.rank
    _convolutions.check_input(op, input, rank)
    _convolutions.check_local_weight(op, input, weight, rank)
    positions, (channels, reads), kernel = (
        tuple(weight.shape[:rank]), weight.shape[rank : rank + 2], tuple(weight.shape[rank + 2 :])
    )  # fmt: skip
    window = _args.conv_window(op, rank, kernel, stride, padding, dilation)
    n = input.shape[input.dim() - rank :]
    _convolutions.check_window(op, window, n)
    _convolutions.check_local_fit(op, input, weight, window.out(n), positions, reads)
    seen = _windows(input, window.at(n))  # (*lead, C, *out, *kernel)
    space, taps = "xyz"[:rank], "uvw"[:rank]
    out = torch.einsum(f"...c{space}{taps},{space}oc{taps}->...o{space}", seen, weight)
    if bias is None:
        return out
    _convolutions.check_local_bias(op, input, bias, channels, positions)
    return out + (bias if bias.dim() > 1 else bias.reshape(-1, *[1] * rank))


locally_connected1d, locally_connected2d, locally_connected3d = _locally_connected(
    "locally_connected"
)


def _windows(x: Tensor, window: Window) -> Tensor:
    """Every window's elements behind its position: ``(*lead, *out, *kernel)``."""
    pads = [axis.padding for axis in window]
    if any(pair != (0, 0) for pair in pads):
        x = F.pad(x, [amount for pair in reversed(pads) for amount in pair])
    lead = x.dim() - len(window)
    for position, axis in enumerate(window):
        x = x.unfold(lead + position, axis.extent, axis.stride)[..., :: axis.dilation]
    return x
