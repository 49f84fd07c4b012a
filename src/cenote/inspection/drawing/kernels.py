"""The kernels of a convolution: in colours where they look at a colour image, else on one scale."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from cenote.inspection.drawing.paper import checked_file
from cenote.inspection.drawing.planes import Planes
from cenote.inspection.drawing.scale import Scale
from cenote.inspection.drawing.sheets import Heading, draw_planes, draw_rgb
from cenote.inspection.style import LIGHT, Theme

__all__ = ["draw_kernels"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def draw_kernels(
    source: nn.Module | torch.Tensor,
    path: Path | str,
    *,
    layer: str | None = None,
    channel: int | str | None = None,
    columns: int | None = None,
    theme: Theme = LIGHT,
) -> Path:
    r"""Draw all kernels of one convolution.

    Args:
        source: a network, or the kernels themselves, (K, C, \*kernel) with one to three axes.
        path: the file, in .png or .svg.
        layer: the path of the convolution in the network; by default its first.
        channel: which of the C input channels: its number; ``"mean"`` of all; or ``"rgb"``: three
            channels as red, green and blue. By default ``"rgb"`` where three channels have two
            axes, the only channel, or the mean.
        columns: how many kernels stand in a row.
        theme: the colours.

    Raises:
        ValueError: the network has no such convolution, or no such channel.
    """
    path = checked_file(path)
    name, weight = _weight(source, layer)
    count, across, *sizes = weight.shape
    if channel is None:
        channel = "rgb" if across == 3 and len(sizes) == 2 else "mean" if across > 1 else 0
    shape = " \N{MULTIPLICATION SIGN} ".join(map(str, sizes))
    heading = Heading(name, f"{count} kernels of {shape}, {_described(channel, across)}")
    if channel == "rgb":
        if across != 3 or len(sizes) != 2:
            raise ValueError(f"channel = 'rgb': the kernels have {across} channels, {shape} each")
        limit = Scale.of([weight]).high
        planes = Planes(weight, tuple(range(count)))
        draw_rgb(planes, limit, heading, path, theme=theme, columns=columns)
        return path
    if channel == "mean":
        values = weight.mean(1)
    elif isinstance(channel, str) or not 0 <= channel < across:
        raise ValueError(
            f"channel = {channel!r}: must be 'rgb', 'mean' or a number from 0 to {across - 1}"
        )
    else:
        values = weight[:, channel]
    planes = Planes(values, tuple(range(count)))
    if len(sizes) == 3:
        note = f"slice {sizes[0] // 2} of {sizes[0]} along depth, the middle one"
        planes = Planes(values[:, sizes[0] // 2], planes.channels, (note,))
    scale = Scale.of([planes.values])
    # Zero is in the middle, also where no weight happens to be negative.
    signed = Scale(-scale.high, scale.high)
    draw_planes(planes, signed, heading, path, theme=theme, columns=columns)
    return path


def _described(channel: int | str, across: int) -> str:
    if channel == "rgb":
        return "colours as they weigh red, green and blue, grey where all are 0"
    if channel == "mean":
        return f"the mean over {across} input channels"
    return f"input channel {channel} of {across}" if across > 1 else "one input channel"


def _weight(source: nn.Module | torch.Tensor, layer: str | None) -> tuple[str, torch.Tensor]:
    """The name and the kernels (K, C, *kernel) of the convolution that is meant."""
    if isinstance(source, torch.Tensor):
        if layer is not None:
            raise ValueError(f"layer = {layer!r}: kernels were given, not a network")
        if not 3 <= source.dim() <= 5 or not source.numel():
            raise ValueError(f"source: kernels are (K, C, *kernel), found {tuple(source.shape)}")
        return "kernels", source.detach().cpu().float()
    found = {
        name: module
        for name, module in source.named_modules()
        if isinstance(module, _CONVOLUTIONS + _TRANSPOSED)
    }
    if not found:
        raise ValueError("source: the network has no convolution")
    name = next(iter(found)) if layer is None else layer
    if name not in found:
        import difflib

        near = difflib.get_close_matches(name, found, 3) or list(found)[:3]
        raise ValueError(f"layer = {layer!r}: no convolution; did you mean {', '.join(near)}?")
    weight = found[name].weight.detach().cpu().float()
    if isinstance(found[name], _TRANSPOSED):
        # (C, K / groups, *kernel), the other way round
        groups = found[name].groups
        parts = weight.unflatten(0, (groups, -1)).transpose(1, 2)
        weight = parts.flatten(0, 1)
    return name or type(source).__name__, weight
