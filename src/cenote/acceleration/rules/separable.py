"""A convolution of single channels and the 1x1 ones around it are computed row by row.

A few rows of a map go through all of them before the next: what lies between stays in a cache,
which is most of what such a part of a network reads and writes. Without gradients, and where
nothing but what cuts off stands between.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import Convolution
from cenote.acceleration.steps.separable import InStrips

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Join every convolution of single channels with those before and behind it."""
    if sketch.asked or not sketch.last:
        return
    for node in sketch.nodes():
        between = _between(node)
        if between is None:
            continue
        before, behind = node.args[0], sketch.only_user(node)
        assert isinstance(before, fx.Node)
        first, last = _small(before), _pointwise(behind)
        if len(before.args) > 1 or sketch.only_user(before) is not node:
            first = None  # something is added to it, or it is read elsewhere
        if behind is not None and behind.args[0] is not node:
            last = None  # it is what is added
        chain = [before] * (first is not None) + [node]
        if last is not None and behind is not None:
            chain.append(behind)
        if len(chain) > 1 and sketch.still(chain[0], chain[-1]):
            args: Any = (chain[0].args[0], *chain[-1].args[1:])
            step, what = InStrips(first, between, last), _said(between, first, last)
            sketch.replace(chain, step, args, "separable", what)


def _between(node: fx.Node) -> Convolution | None:
    step = _step(node)
    return step if step and step.of_channels() and len(node.args) == 1 else None


def _small(node: object) -> Convolution | None:
    step = _step(node)
    return step if step and step.in_strips() else None


def _pointwise(node: object) -> Convolution | None:
    step = _step(node)
    return step if step and step.of_pixels() else None


def _step(node: object) -> Convolution | None:
    step = node.target if isinstance(node, fx.Node) else None
    return step if isinstance(step, Convolution) and step.rank == 2 else None


def _said(between: Convolution, first: Convolution | None, last: Convolution | None) -> str:
    height, width = between.layer.weight.shape[2:]
    said = f"{height}x{width} of single channels"
    if first is not None:
        said = "{}x{} and ".format(*first.layer.weight.shape[2:]) + said
    return f"{said}{' and 1x1' if last else ''}, row by row"
