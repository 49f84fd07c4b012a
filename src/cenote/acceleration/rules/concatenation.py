"""Convolutions whose results are put together write into the whole, each where it belongs.

Without gradients, where maps have their channels last. What cannot write there is copied, as ever.
"""

from __future__ import annotations

from torch import fx

from cenote.acceleration import kinds
from cenote.acceleration.sketch import Sketch
from cenote.acceleration.steps.convolutions import Convolution
from cenote.acceleration.steps.joined import Filled, Room
from cenote.acceleration.steps.pools import Pool
from cenote.acceleration.steps.separable import InStrips

__all__ = ["apply"]


def apply(sketch: Sketch) -> None:
    """Make room for every concatenation before the first convolution that writes there."""
    if sketch.asked or not sketch.last:
        return
    for node in sketch.nodes():
        parts = kinds.concatenated(node)
        sizes = [_channels(part) for part in parts]
        writers = [part for part in parts if _writes(sketch, part)]
        if not writers or None in sizes or len(set(parts)) < len(parts):
            continue
        first = min(writers)
        step = first.target
        assert isinstance(step, Convolution)
        with sketch.graph.inserting_before(first):
            room = sketch.graph.call_function(Room(step, sum(filter(None, sizes))), first.args[:1])
        at = 0
        for part, size in zip(parts, sizes, strict=True):
            if part in writers:
                part.kwargs = {"room": room, "at": at}
            at += size or 0
        what = f"{len(writers)} of {len(parts)} parts are written in their places"
        sketch.replace([node], Filled(), (room, *parts), "concatenation", what)


def _writes(sketch: Sketch, part: fx.Node) -> bool:
    """Whether a part is made by a convolution that can write anywhere, for the whole alone."""
    step = part.target
    if not isinstance(step, Convolution) or len(part.args) != 1 or part.kwargs:
        return False
    tiles = step.tiles and (step.activation is None or step.activation.name == "relu")
    return (tiles or (step.at_once and step.of_pixels())) and sketch.only_user(part) is not None


def _channels(part: fx.Node) -> int | None:
    """Of what a node makes, where that is known."""
    if isinstance(part.target, Convolution):
        return int(part.target.layer.out_channels)
    if isinstance(part.target, Pool) and isinstance(part.args[0], fx.Node):
        return _channels(part.args[0])
    if isinstance(part.target, InStrips):
        return int(part.target.convolutions[-1].layer.out_channels)
    if isinstance(part.target, Filled):
        room = part.args[0]
        assert isinstance(room, fx.Node)
        return int(room.target.channels)  # type: ignore[union-attr]
    return None
