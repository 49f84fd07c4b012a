"""Convolutions become this package's, where maps are kept in rows: depthwise, few channels, 1-D.

Which of them its kernels carry out is decided by the shapes of every call; the others are torch's.
"""

from __future__ import annotations

from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import Convolution, convolution_of

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Put a step in the place of every convolution with padding of zeros."""
    for node in sketch.nodes():
        step = convolution_of(sketch, node)
        if step is None or isinstance(node.target, Convolution) or step.last:
            continue
        step.ours = True
        sketch.replace([node], step, (node.args[0],), "convolution", f"conv{step.rank}d by shape")
