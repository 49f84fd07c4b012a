"""How much layers and answers change when images are shifted, turned or scaled.

Whoever sees a network lose a shift wants to know where. A convolution with stride 1 moves its map
as the image moved, and so do activations and poolings without a stride. A stride keeps every
``s``-th unit: a shift by a multiple of ``s`` still moves the map by whole units, every other one
shows other units, and only what varies slowly looks the same in between (Zhang, Making
Convolutional Networks Shift-Invariant Again, 2019; Azulay and Weiss, Why do deep convolutional
networks generalize so poorly to small image transformations?, 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cenote.inspection.shifting.changes import Comparison, LayerChange, Sensitivity, Step
from cenote.inspection.shifting.moves import Move, Rules, Shift
from cenote.inspection.shifting.plans import margin_of, plan
from cenote.inspection.undisturbed import (
    Fields,
    caught,
    check_images,
    chosen,
    rules_of,
    undisturbed,
)

__all__ = ["compare", "sensitivity"]


def sensitivity(
    model: torch.nn.Module,
    images: Tensor,
    *,
    moves: str = "shift",
    amounts: Sequence[float] | None = None,
    directions: Sequence[Sequence[int]] | None = None,
    border: str = "reflect",
    layers: Sequence[str] | None = None,
    labels: Tensor | None = None,
    fields: Fields | None = None,
    batch_size: int = 64,
) -> Sensitivity:
    """What moves of the images (N, C, *n) do to the maps of layers and to the network's answers.

    A layer's *change* compares its output with what it was. Its *error* compares it with the moved
    map: a unit is to have the value that was where its content came from. With the jump ``j`` of
    the layer's receptive fields, a shift by ``d`` pixels moves the map by ``d / j`` units: exactly
    where that is whole, by linear interpolation between two units where it is not. Layers before
    the first stride have the error 0; the first one whose error is not 0 is the one whose stride
    loses the shift (:meth:`Sensitivity.breaks`). Compared are the units that saw nothing but the
    inside of the image, before and after; in layers that have none, all whose content was there
    before, which their table marks.

    Args:
        model: called as ``model(images)``, in evaluation mode and without gradients; it is left as
            it was.
        images: floating, with one to three spatial axes.
        moves: ``"shift"`` in whole pixels; ``"rotate"`` in degrees against the clock or ``"scale"``
            by factors, about the middle and by bilinear interpolation, for images with two axes.
        amounts: by default shifts by 1 to 8 pixels, at most a quarter of the shortest axis; -30 to
            30 degrees; factors from 0.7 to 1.3.
        directions: what a shift by 1 is along each axis, (0, 1) being to the right; by default
            along each axis, and along all of them.
        border: what comes in from outside: ``"reflect"``, ``"replicate"``, ``"circular"`` (not for
            ``"rotate"`` and ``"scale"``) or ``"zeros"`` of the image. With ``"crop"`` the given
            images are larger than what the network sees: shifts move a window that lies as far
            inside as the greatest of them goes, so that everything is real.
        layers: names of modules; by default all that have none inside.
        labels: the classes (N,), for the accuracy.
        fields: the layers' receptive fields where they are known already, one for each axis;
            without, one watched forward pass finds them.
        batch_size: images at a time; the maps of all layers are held twice.

    Raises:
        TypeError: images that are no tensor of floats.
        ValueError: an argument out of its bounds.

    >>> network = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    >>> fields = {"0": [cenote.Field()] * 2, "1": [cenote.Field(2, 2)] * 2}
    >>> found = sensitivity(network, torch.rand(4, 3, 32, 32), amounts=[1, 2], fields=fields)
    >>> found.breaks(1), found.breaks(2)
    ('1', None)
    """
    check_images("sensitivity", images)
    planned = plan(images, moves, amounts, directions)
    margin = margin_of(images, moves, border, planned)
    names = chosen("sensitivity", model, layers)
    _check_labels(images, labels, batch_size)
    still = Shift(0, (0,) * (images.dim() - 2))
    tallies = [_Tally(move) for move in planned]
    right = 0
    with undisturbed(model), torch.no_grad():
        rules = rules_of(model, still.apply(images[:1], border, margin), names, fields)
        for part in range(0, len(images), batch_size):
            batch = images[part : part + batch_size]
            classes = None if labels is None else labels[part : part + batch_size]
            before = still.apply(batch, border, margin)
            output, maps = _look(model, before, names)
            right += _right(output, classes)
            for tally in tallies:
                seen = _look(model, tally.move.apply(batch, border, margin), names)
                tally.add(output, maps, seen, classes, rules, before.shape[2:])
    classified = labels is not None and _scores(output)
    return Sensitivity(
        model=type(model).__name__, moves=moves, border=border, images=len(images),
        layers=tuple(maps), accuracy=right / len(images) if classified else None,
        steps=tuple(tally.step(len(images), classified) for tally in tallies),
    )  # fmt: skip


def compare(
    models: Mapping[str, torch.nn.Module],
    images: Tensor,
    *,
    fields: Mapping[str, Fields] | None = None,
    **chosen: Any,
) -> Comparison:
    """:func:`sensitivity` of several networks, by name, under the same moves of the same images.

    ``fields`` are by network; the other arguments are those of :func:`sensitivity`, the same for
    all networks.

    Raises:
        ValueError: no networks, or an argument that :func:`sensitivity` refuses.
    """
    if not models:
        raise ValueError("compare: models = {}: must hold at least one network")
    known = fields or {}
    return Comparison({
        name: sensitivity(model, images, fields=known.get(name), **chosen)
        for name, model in models.items()
    })  # fmt: skip


class _Tally:
    """The sums of one move over the batches."""

    def __init__(self, move: Move) -> None:
        self.move = move
        self.output = torch.zeros(2, dtype=torch.float64)
        self.changes: dict[str, Tensor] = {}
        self.errors: dict[str, Tensor] = {}
        self.inside: dict[str, bool] = {}
        self.same = self.right = 0
        self.confidence = 0.0
        self.scored = False

    def add(
        self, output: Tensor, maps: dict[str, Tensor], seen: tuple[Tensor, dict[str, Tensor]],
        labels: Tensor | None, rules: Mapping[str, Rules], n: Sequence[int],
    ) -> None:  # fmt: skip
        """Count one batch: the output and the maps before the move, and what was ``seen`` after."""
        after, moved = seen
        self.output += _apart(output, after)
        for name, old in maps.items():
            new = moved[name]
            self.changes[name] = self.changes.get(name, 0) + _apart(old, new)
            if name not in rules or old.dim() != len(n) + 2:
                continue
            aligned = self.move.align(old, rules[name], n)
            self.inside[name] = aligned.inside
            if aligned.units.any():
                units = aligned.units.to(old.device)
                one = _apart(aligned.map[..., units], new[..., units])
                self.errors[name] = self.errors.get(name, 0) + one
        self.right += _right(after, labels)
        self.scored = _scores(output)
        if self.scored:
            winners = output.argmax(1)
            self.same += int((after.argmax(1) == winners).sum())
            apart = (_probabilities(after) - _probabilities(output)).gather(1, winners[:, None])
            self.confidence += float(apart.abs().sum())

    def step(self, count: int, classified: bool) -> Step:
        """What came of ``count`` images."""
        layers = {
            name: LayerChange(
                _relative(sums),
                _relative(self.errors[name]) if name in self.errors else None,
                name in self.errors and self.inside[name],
            )
            for name, sums in self.changes.items()
        }
        return Step(
            amount=self.move.amount, vector=self.move.vector, change=_relative(self.output),
            consistency=self.same / count if self.scored else None,
            confidence=self.confidence / count if self.scored else None,
            accuracy=self.right / count if classified else None, layers=layers,
        )  # fmt: skip


def _look(
    model: torch.nn.Module, images: Tensor, names: Sequence[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The output, and copies of the layers' maps."""
    with caught(model, names, lambda output: output.detach().clone()) as maps:
        output = model(images)
    output = output[0] if isinstance(output, list | tuple) and output else output
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise TypeError(f"sensitivity: model: must return a tensor, or a tuple of them, not {kind}")
    return output, maps


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """The squared norms of the difference, and the mean of both."""
    a, b = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (a, b))
    apart, first, second = (x.square().sum(dtype=torch.float64).cpu() for x in (a - b, a, b))
    return torch.stack([apart, (first + second) / 2])


def _relative(sums: Tensor) -> float:
    apart, norm = sums.tolist()
    return float((apart / norm) ** 0.5) if apart else 0.0


def _scores(output: Tensor) -> bool:
    """Whether every image has one row of scores."""
    return output.dim() == 2 and output.shape[1] > 1 and output.is_floating_point()


def _right(output: Tensor, labels: Tensor | None) -> int:
    if labels is None or not _scores(output):
        return 0
    return int((output.argmax(1) == labels.to(output.device)).sum())


def _probabilities(output: Tensor) -> Tensor:
    """The scores as they are where they are probabilities already, or their softmax."""
    sums = output.sum(1)
    if bool((output >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        return output
    return output.softmax(1)


def _check_labels(images: Tensor, labels: Any, batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"sensitivity: batch_size = {batch_size}: must be at least 1")
    if labels is not None and tuple(labels.shape) != (len(images),):
        raise ValueError(
            f"sensitivity: labels: shape {tuple(labels.shape)}: must be ({len(images)},), one for"
            " each image"
        )
