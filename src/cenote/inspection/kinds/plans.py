"""What the pictures of the kinds of convolution show, as plain data: which unit reads what.

Positions come from :class:`~cenote.window.Axis`, channels and numbers from the layers at work;
nothing is worked out here a second time.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from cenote import nn
from cenote._checks import check_choice
from cenote.window import Axis, Window

__all__ = ["KINDS", "Kind", "Plan", "Position", "Step", "levels", "plan"]

Position = tuple[int, ...]
Unit = TypeVar("Unit", bound=Hashable)


@dataclass(frozen=True)
class Kind:
    """A kind of convolution at the size of a picture: its layers, and the outputs to point at.

    ``chained`` layers follow one another; others are variants side by side, on the same input.
    ``numbers`` fill the input, row by row, where the picture calculates; ``beside`` is the plain
    convolution that all layers together are compared with.
    """

    layers: Callable[[], Sequence[torch.nn.Module]]
    n: Position
    units: tuple[Position, ...]
    chained: bool = False
    numbers: tuple[float, ...] = ()
    beside: Callable[[], torch.nn.Module] | None = None


@dataclass(frozen=True)
class Step:
    """One convolution of a picture.

    ``reads`` has the input positions of every output position, ``feeds`` the input channels of
    every output channel. ``given``, ``weight`` and ``made`` are numbers row by row, empty where the
    picture has none. An ``adjoint`` step slides its window over the output.
    """

    window: Window
    adjoint: bool
    n: Position
    out: Position
    reads: Mapping[Position, tuple[Position, ...]]
    feeds: Mapping[int, tuple[int, ...]]
    parameters: int
    macs: int
    given: tuple[float, ...]
    weight: tuple[float, ...]
    made: tuple[float, ...]

    def whole(self, unit: Position) -> tuple[Position, ...]:
        """Where the window of ``unit`` lies, the padding included: one position a tap.

        In an adjoint step the unit is an input, and its window lies on the output.
        """
        sizes = self.out if self.adjoint else self.n
        along = [_whole(a, o, n) for a, o, n in zip(self.window, unit, sizes, strict=True)]
        return tuple(itertools.product(*along))


@dataclass(frozen=True)
class Plan:
    """Everything that a picture says: its steps, and the units that it points at."""

    name: str
    chained: bool
    steps: tuple[Step, ...]
    units: tuple[Position, ...]
    beside: Step | None = None


def levels(reads: Sequence[Mapping[Unit, Iterable[Unit]]], unit: Unit) -> list[set[Unit]]:
    """What ``unit`` of the last of several steps depends on: at the input, after each step.

    >>> levels([{0: (0, 1), 1: (1, 2)}, {0: (0, 1)}], 0)
    [{0, 1, 2}, {0, 1}, {0}]
    """
    found = [{unit}]
    for step in reversed(reads):
        found.insert(0, {read for one in found[0] for read in step[one]})
    return found


def plan(name: str) -> Plan:
    """What the picture of a kind shows.

    Raises:
        ValueError: a name that is not in :data:`KINDS`.

    >>> plan("causal").steps[-1].reads[12,]
    ((4,), (12,))
    """
    check_choice("plan", "name", name, tuple(KINDS))
    kind = KINDS[name]
    beside = None if kind.beside is None else _step(kind.beside(), kind.n, kind.numbers)
    steps: list[Step] = []
    n, numbers = kind.n, kind.numbers
    for layer in kind.layers():
        steps.append(_step(layer, n, numbers))
        if kind.chained:
            n, numbers = steps[-1].out, steps[-1].made
    return Plan(name, kind.chained, tuple(steps), kind.units, beside)


def _step(layer: Any, n: Position, numbers: Sequence[float]) -> Step:
    feeds, out = _feeds(layer, n)
    given: list[float] = []
    weight: list[float] = []
    made: list[float] = []
    if numbers:
        x = torch.tensor(numbers, dtype=torch.float32).reshape(1, 1, *n)
        with torch.no_grad():
            given, weight, made = (t.flatten().tolist() for t in (x, layer.weight, layer(x)))
    adjoint = isinstance(layer, torch.nn.modules.conv._ConvTransposeNd)
    window: Window = layer.window
    window = window.at(out if adjoint else n)
    return Step(
        window, adjoint, n, out, _reads(window, adjoint, n, out), feeds, layer.count_parameters(),
        layer.count_macs(*n), tuple(given), tuple(weight), tuple(made),
    )  # fmt: skip


def _reads(
    window: Window, adjoint: bool, n: Position, out: Position
) -> dict[Position, tuple[Position, ...]]:
    def along(axis: Axis, o: int, n: int, out: int) -> range:
        return axis.outputs(o, out) if adjoint else axis.inputs(o, n)

    return {
        o: tuple(itertools.product(*map(along, window, o, n, out)))
        for o in itertools.product(*map(range, out))
    }


def _feeds(layer: Any, n: Position) -> tuple[dict[int, tuple[int, ...]], Position]:
    """Which channels feed which, found by showing one at a time to weights of 1; output sizes."""
    layer = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(1)
        channels = layer.in_channels
        shape = (channels, channels, *[1] * len(n))
        shown = layer(torch.eye(channels).reshape(shape).expand(-1, -1, *n))
    lit = shown.flatten(2).any(2)
    feeds = {o: tuple(lit[:, o].nonzero()[:, 0].tolist()) for o in range(lit.shape[1])}
    return feeds, tuple(shown.shape[2:])


def _whole(axis: Axis, o: int, n: int) -> list[int]:
    """The positions of all taps, on the input as if its padding belonged to it."""
    before, after = axis.padding
    return [i - before for i in replace(axis, before=0, after=0).inputs(o, before + n + after)]


def _with_weight(layer: Any, *numbers: float) -> Any:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(numbers, dtype=torch.float32).reshape(layer.weight.shape))
    return layer


_SOBEL = (1, 0, -1, 2, 0, -2, 1, 0, -1)
_SOME = (1, 0, 2, 1, 0, 2, 1, 0, 3, 1, 0, 2, 1, 0, 1, 1, 3, 0, 2, 1, 0, 1, 2, 0, 1)
_IMPULSE = (*[0] * 12, 1, *[0] * 12)


def _separated() -> Any:
    layer = nn.SpatiallySeparableConv2d(1, 1, 3, bias=False)
    _with_weight(layer.parts[0], 1, 2, 1)
    _with_weight(layer.parts[1], 1, 0, -1)
    return layer


def _dense() -> Any:
    weight = _separated().dense_weight().flatten().tolist()
    return _with_weight(nn.Conv2d(1, 1, 3, bias=False), *weight)


def _local() -> list[Any]:
    shared = _with_weight(nn.Conv2d(1, 1, 3, bias=False), *(tap * 5 % 9 - 4 for tap in range(9)))
    own = nn.LocallyConnected2d(1, 1, 3, size=5, bias=False)
    return [shared, _with_weight(own, *(tap * tap % 83 % 9 - 4 for tap in range(81)))]


def _flips() -> list[Any]:
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False, flip=flip) for flip in (False, True)]
    return [_with_weight(layer, *range(1, 10)) for layer in layers]


def _transposed() -> list[Any]:
    three = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1, bias=False)
    four = nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, bias=False)
    return [_with_weight(three, *[1] * 9), _with_weight(four, *[1] * 16)]


KINDS: dict[str, Kind] = {
    "plain": Kind(
        lambda: [_with_weight(nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False), *_SOBEL)],
        n=(5, 5), units=((0, 0), (0, 1)), numbers=_SOME,
    ),
    "pointwise": Kind(
        lambda: [nn.PointwiseConv2d(4, 5, bias=False)], n=(5, 5), units=((1, 3),),
        beside=lambda: nn.Conv2d(4, 5, 3, padding=1, bias=False),
    ),
    "dilated": Kind(
        lambda: [nn.Conv2d(1, 1, 3, dilation=apart, bias=False) for apart in (1, 2, 3)],
        n=(7, 7), units=((0, 0),),
    ),
    "grouped": Kind(
        lambda: [nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False)], n=(5, 5), units=((1, 3),),
        beside=lambda: nn.Conv2d(6, 6, 3, padding=1, bias=False),
    ),
    "shuffled_grouped": Kind(
        lambda: [
            nn.ShuffledConv2d(6, 6, 3, padding=1, groups=2, bias=False),
            nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False),
        ],
        n=(5, 5), units=((1, 3),), chained=True,
    ),
    "depthwise": Kind(
        lambda: [nn.DepthwiseConv2d(3, 3, padding=1, multiplier=2, bias=False)],
        n=(5, 5), units=((1, 3),), beside=lambda: nn.Conv2d(3, 6, 3, padding=1, bias=False),
    ),
    "depthwise_separable": Kind(
        lambda: nn.DepthwiseSeparableConv2d(3, 5, 3, padding=1, bias=False).parts,
        n=(5, 5), units=((1, 3),), chained=True,
        beside=lambda: nn.Conv2d(3, 5, 3, padding=1, bias=False),
    ),
    "spatially_separable": Kind(
        lambda: _separated().parts, n=(5, 5), units=((0, 1),), chained=True, numbers=_SOME,
        beside=_dense,
    ),
    "flattened": Kind(
        lambda: nn.FlattenedConv2d(4, 3, 3, bias=False).parts,
        n=(5, 5), units=((0, 1),), chained=True, beside=lambda: nn.Conv2d(4, 3, 3, bias=False),
    ),
    "locally_connected": Kind(_local, n=(5, 5), units=((0, 0), (1, 2)), numbers=_SOME),
    "transposed": Kind(_transposed, n=(3, 3), units=((1, 0), (1, 1)), numbers=(1,) * 9),
    "causal": Kind(
        lambda: [nn.CausalConv1d(1, 1, 2, dilation=2**depth, bias=False) for depth in range(4)],
        n=(18,), units=((17,),), chained=True,
    ),
    "flip": Kind(_flips, n=(5, 5), units=((1, 1),), numbers=_IMPULSE),
}  # fmt: skip
"""The kinds by name; ``flip`` is cross-correlation beside the convolution of mathematics."""
