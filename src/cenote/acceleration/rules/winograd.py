"""Convolutions of 3x3 and 5x5 windows by tiles, with fewer multiplications than taps.

See :mod:`cenote._winograd` for the algorithm and its roundings, of which the largest are 1.4 times
those of plain sums. Where maps have their channels last; shapes decide at every call whether it
pays. With gradients, these are computed so, too.
"""

from __future__ import annotations

from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import Convolution, convolution_of

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Let every convolution that tiles may serve use them."""
    if not sketch.last:
        return
    for node in sketch.nodes():
        step = convolution_of(sketch, node)
        if step is None or step.rank != 2 or not _serves(step):
            continue
        step.tiles, step.asked = True, sketch.asked
        size = step.layer.weight.shape[2]
        what = f"{size}x{size} by tiles where that is faster"
        if isinstance(node.target, Convolution):
            sketch.note(node, "winograd", what)
        else:
            sketch.replace([node], step, (node.args[0],), "winograd", what)


def _serves(step: Convolution) -> bool:
    stride, padding, dilation, groups = step.numbers()
    out, channels, *kernel = step.layer.weight.shape
    fits = tuple(kernel) in ((3, 3), (5, 5)) and groups == 1 and min(out, channels) >= 16
    ones = all(n == 1 for n in (*stride, *dilation))
    return fits and ones and all(p < k for p, k in zip(padding, kernel, strict=True))
