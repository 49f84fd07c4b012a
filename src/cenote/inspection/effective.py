"""Effective receptive fields: how much of what a unit could see it listens to.

Of all inputs that a unit depends on, those near the middle reach it on the most ways: in a stack of
``n`` convolutions the influence falls off like a Gaussian whose width grows with ``sqrt(n)`` alone,
while the field grows with ``n`` (Luo, Li, Urtasun and Zemel, Understanding the Effective Receptive
Field in Deep Convolutional Neural Networks, 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cenote import _args
from cenote.inspection.receptive import Interval, Rule
from cenote.inspection.undisturbed import (
    Fields,
    caught,
    check_images,
    chosen,
    rules_of,
    undisturbed,
)

__all__ = ["EffectiveField", "effective_fields"]

_SHARES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """How much the centre unit of a layer depends on every element of the image.

    ``heat`` (*n) is the mean absolute derivative, in units of output by units of input. ``unit``
    is the unit's index, ``centre`` its place in the image, where element ``i`` reaches from ``i``
    to ``i + 1``: the middle of ``box``, the intervals that it could see, which may reach beyond the
    image; where those are not known, ``box`` is None, and the centre that of the heat, to half an
    element. ``pairs`` is the number of images and channels that the mean is of.
    """

    name: str
    heat: np.ndarray
    unit: tuple[int, ...]
    centre: tuple[float, ...]
    box: tuple[Interval, ...] | None
    pairs: int

    @property
    def theoretical(self) -> tuple[int, ...] | None:
        """The size of what the unit could see along each axis; None where it is not known."""
        return None if self.box is None else tuple(stop - start for start, stop in self.box)

    @property
    def sizes(self) -> dict[float, int]:
        """The sides that hold a half, 0.9 and 0.99 of the heat: see :meth:`energy`."""
        return {share: self.energy(share) for share in _SHARES}

    @property
    def spread(self) -> tuple[float, ...]:
        """The standard deviation of the heat along each axis, as that of a density, in elements."""
        total = self.heat.sum()
        found = []
        for axis, n in enumerate(self.heat.shape):
            others = tuple(a for a in range(self.heat.ndim) if a != axis)
            density = self.heat.sum(axis=others) / (total or 1)
            at = np.arange(n)
            variance = (density * (at - (density * at).sum()) ** 2).sum()
            found.append(float(np.sqrt(variance)))
        return tuple(found)

    def energy(self, share: float) -> int:
        """The side of the smallest square or box about the centre with ``share`` of the heat.

        It has the same side along each axis, in elements; what lies outside the image counts as
        nothing. 0 where there is no heat at all.

        Raises:
            ValueError: ``share`` is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"energy: share = {share}: must be above 0 and at most 1")
        if not self.heat.any():
            return 0
        away = [
            np.abs(np.arange(n) + 0.5 - c)
            for n, c in zip(self.heat.shape, self.centre, strict=True)
        ]
        distance = np.maximum.reduce(np.meshgrid(*away, indexing="ij")).ravel()
        order = np.argsort(distance, kind="stable")
        sums = self.heat.ravel()[order].cumsum()
        last = np.searchsorted(sums, share * sums[-1] * (1 - 1e-12))
        return int(2 * distance[order[last]] + 1)

    def patch(self, side: int | None = None) -> np.ndarray:
        """The heat about the centre: a box of ``side`` elements, cut where the image ends.

        By default it holds all that is not zero. A side that does not go evenly about the centre
        is one element longer.
        """
        side = self.energy(1.0) if side is None else side
        cut = []
        for n, centre in zip(self.heat.shape, self.centre, strict=True):
            start = int(np.floor(centre - side / 2))
            cut.append(slice(max(0, start), min(n, int(np.ceil(centre + side / 2)))))
        return self.heat[tuple(cut)]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dictionaries, numbers and strings."""
        return {
            "name": self.name, "unit": list(self.unit), "centre": list(self.centre),
            "box": None if self.box is None else [list(ends) for ends in self.box],
            "pairs": self.pairs, "spread": list(self.spread),
            "sizes": {str(share): side for share, side in self.sizes.items()},
            "heat": self.heat.tolist(),
        }  # fmt: skip


def effective_fields(
    model: torch.nn.Module,
    images: Tensor,
    layers: Sequence[str] | None = None,
    *,
    channels: int = 32,
    seed: int = 0,
    fields: Fields | None = None,
    batch_size: int = 32,
) -> dict[str, EffectiveField]:
    """The effective receptive field of the centre unit of each layer, by gradients.

    The heat of a layer with maps ``y`` (N, C, *o) is the mean over images and channels ``c`` of
    ``|d y[c, centre] / d x|``, summed over the channels of the images ``x``. Each image stands for
    some channels only, so that one backward pass a layer does: ``max(N, channels)`` pairs of an
    image and a channel, each image and each drawn channel as often as any other, and the mean of
    each channel's pairs counting alike. With one image that is the full mean. The cost: one forward
    pass of all pairs, and a backward pass from every layer, ``batch_size`` pairs at a time.

    The unit is that with index ``o // 2`` along each axis. Images should be larger than what it
    could see: what it would see of the padding is missing in the heat. Layers whose output is not
    (N, C, *o) with as many axes as the images, or does not depend on them by a gradient, are left
    out; of a layer that is called several times the last call counts.

    Args:
        model: called as ``model(images)``, in evaluation mode; it is left as it was.
        images: floating (N, C, *n), with one to three spatial axes.
        layers: names of modules; by default all that have none inside.
        channels: how many channels are drawn of a layer that has more.
        seed: of the draw.
        fields: the layers' receptive fields where they are known already, one for each axis;
            without, one watched forward pass finds them.
        batch_size: pairs at a time.

    Returns:
        By layer, in the order of data flow.

    Raises:
        TypeError: images that are no tensor of floats.
        ValueError: a layer that the network does not have, or a count below 1.

    >>> network = torch.nn.Sequential(*[torch.nn.Conv2d(1, 1, 3, padding=1) for _ in range(4)])
    >>> fields = {"3": [cenote.Field(9, 1, -4)] * 2}
    >>> found = effective_fields(network, torch.rand(1, 1, 15, 15), ["3"], fields=fields)["3"]
    >>> found.theoretical, found.heat.shape, found.energy(0.9) <= 9
    ((9, 9), (15, 15), True)
    """
    check_images("effective_fields", images)
    for name, value in (("channels", channels), ("batch_size", batch_size)):
        if _args.integer(value) is None or value < 1:
            raise ValueError(f"effective_fields: {name} = {value}: must be an integer, at least 1")
    names = chosen("effective_fields", model, layers)
    pairs = torch.arange(max(len(images), channels))
    looks: dict[str, _Look] = {}
    with undisturbed(model), torch.inference_mode(False), torch.enable_grad():
        rules = rules_of(model, images, names, fields)
        for part in pairs.split(batch_size):
            x = images[part % len(images)].detach().clone().requires_grad_()
            with caught(model, names, partial(_centre_unit, x.dim(), len(x))) as found:
                model(x)
            for position, (name, (units, unit)) in enumerate(found.items()):
                if name not in looks:
                    looks[name] = _Look(unit, units.shape[1], len(pairs), channels, seed)
                looks[name].add(part, x, units, keep=position < len(found) - 1)
    return {
        name: look.field(name, look.heat.numpy(), rules.get(name))
        for name, look in looks.items()
        if look.heat is not None
    }


def _centre_unit(dims: int, count: int, map: Tensor) -> tuple[Tensor, tuple[int, ...]] | None:
    """A copy (N, C) of the centre unit, which layers in place do not change, and its index."""
    if map.dim() != dims or len(map) != count or not map.requires_grad:
        return None
    unit = tuple(length // 2 for length in map.shape[2:])
    units = map
    for index in unit:
        units = units.select(2, index)
    return units.clone(), unit


class _Look:
    """The sum of one layer over the batches: pair ``i`` is image and channel ``i``, in turns."""

    def __init__(
        self, unit: tuple[int, ...], count: int, pairs: int, channels: int, seed: int
    ) -> None:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        self.unit, self.pairs = unit, pairs
        self.channels = order[:channels]
        turns = torch.arange(pairs) % len(self.channels)
        often = turns.bincount()[turns]  # a channel with one pair more has no more weight
        self.weights = 1 / (often * min(pairs, len(self.channels))).double()
        self.heat: Tensor | None = None

    def add(self, part: Tensor, x: Tensor, units: Tensor, *, keep: bool) -> None:
        """The backward pass of one batch of pairs."""
        drawn = self.channels[part % len(self.channels)].to(units.device)
        values = units.gather(1, drawn[:, None]).sum()
        (gradient,) = torch.autograd.grad(values, x, retain_graph=keep, allow_unused=True)
        if gradient is None:
            return
        heat = gradient.abs().sum(1, dtype=torch.float64).cpu()
        mean = torch.tensordot(self.weights[part], heat, 1)
        self.heat = mean if self.heat is None else self.heat + mean

    def field(self, name: str, heat: np.ndarray, rules: Sequence[Rule] | None) -> EffectiveField:
        """The mean, and where it lies."""
        box, centre = None, _centre(heat)
        if rules is not None:
            box = tuple(r.interval(u) for r, u in zip(rules, self.unit, strict=True))
            centre = tuple((start + stop) / 2 for start, stop in box)
        return EffectiveField(name, heat, self.unit, centre, box, self.pairs)


def _centre(heat: np.ndarray) -> tuple[float, ...]:
    """The heat's centre of gravity, to half an element; the middle where there is none."""
    total = heat.sum()
    found = []
    for axis, n in enumerate(heat.shape):
        others = tuple(a for a in range(heat.ndim) if a != axis)
        at = np.arange(n) + 0.5
        mean = (heat.sum(axis=others) * at).sum() / total if total else n / 2
        found.append(float(np.round(2 * mean) / 2))
    return tuple(found)
