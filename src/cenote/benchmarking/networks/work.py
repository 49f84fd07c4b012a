"""The work of a row: a network, a batch, what has to come out, and how far off it may be.

What is timed is what is compared: dropout is off in training too (p = 0), since contenders draw
their masks in other orders. The running statistics of batch norms are those of the batch, so that
values at inference are of the size that they have in a trained network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cenote.benchmarking.networks import definitions
from cenote.benchmarking.networks.grid import AUXILIARY, TRAINING, Row, of

__all__ = ["GRADIENT", "OUTPUT", "Work", "floats", "off", "settle", "too_far"]

OUTPUT = 1e-3
"""How far outputs and losses may be off, as part of the largest value."""

GRADIENT = 0.1
"""How far a parameter's gradient may be off, as part of its norm and a hundredth of that of all.

In float32 a value that changes sign by rounding switches its ReLU, and one of a tie its window:
between torch's own two layouts lie up to 0.08 (Inception-v3). A gradient that is
wrong is off by about 1.
"""

Loss = Callable[[object], Tensor]


class Work:
    """A network with a batch ``x`` (N, 3, H, W), and for training ``labels`` (N,)."""

    def __init__(self, row: Row) -> None:
        self.row, self.training = row, row.mode == TRAINING
        self.network = of(row.network)
        torch.manual_seed(0)
        self.model = definitions.network(row.network)
        self.x = torch.randn(self.network.shape)
        self.labels = torch.randint(0, 1000, (len(self.x),))
        settle(self.model, (self.x,), self.training)

    def copied(self) -> nn.Module:
        """The network with parameters of its own, in the row's mode."""
        return copy.deepcopy(self.model)

    def loss(self, given: object) -> Tensor:
        """Cross-entropy of the logits; those of auxiliary outputs count for a part."""
        first, *others = floats(given)
        found = F.cross_entropy(first, self.labels)
        for logits in others:
            weight = AUXILIARY.get(self.row.network, 0.0)
            found = found + weight * F.cross_entropy(logits, self.labels)
        return found


def settle(model: nn.Module, inputs: tuple[object, ...], training: bool) -> None:
    """Switch dropout off, let batch norms see the inputs once, and set the mode."""
    norms: dict[nn.modules.batchnorm._BatchNorm, float | None] = {}
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            norms[module], module.momentum = module.momentum, 1.0
    if norms:
        with torch.no_grad():
            model.train()(*inputs)
    for module, momentum in norms.items():
        module.momentum = momentum
    model.train(training)


def floats(given: object) -> Iterator[Tensor]:
    """The tensors of real numbers in an output, however it is put together."""
    if isinstance(given, Tensor):
        if given.is_floating_point():
            yield given
        return
    parts: object = given.values() if isinstance(given, Mapping) else given
    if isinstance(parts, (tuple, list)) or isinstance(given, Mapping):
        for part in parts:  # type: ignore[attr-defined]
            yield from floats(part)


def off(
    expected: tuple[Tensor, ...], given: tuple[Tensor, ...], training: bool
) -> tuple[float, float] | str:
    """How far results are off, in parts: values, and gradients; or what cannot be compared.

    At inference all are values; in training the first is the loss and the others are gradients.
    """
    if len(given) != len(expected):
        return f"{len(given)} results where {len(expected)} are right"
    for right, seen in zip(expected, given, strict=True):
        if seen.shape != right.shape:
            return f"shape {tuple(seen.shape)} where {tuple(right.shape)} is right"
    pairs = list(zip(expected, given, strict=True))
    values, gradients = (pairs[:1], pairs[1:]) if training else (pairs, [])
    worst = [_part(float((seen - right).abs().max()), float(right.abs().max()))
             for right, seen in values if right.numel()]  # fmt: skip
    norms = [float(right.norm()) for right, _ in gradients]
    least = 0.01 * sum(norm**2 for norm in norms) ** 0.5
    turned = [
        _part(float((seen - right).norm()), norm + least)
        for (right, seen), norm in zip(gradients, norms, strict=True)
    ]
    return _worst(worst), _worst(turned)


def _part(difference: float, of: float) -> float:
    return 0.0 if difference == 0 else difference / of if of else float("inf")


def _worst(parts: list[float]) -> float:
    """The largest; NaN where there is one."""
    return next((part for part in parts if part != part), max(parts, default=0.0))


def too_far(found: tuple[float, float] | str) -> str | None:
    """What is wrong with results that are so far off, in a line; None if that is rounding."""
    if isinstance(found, str):
        return found
    for what, part, bound in zip(("outputs", "gradients"), found, (OUTPUT, GRADIENT), strict=True):
        if not part <= bound:  # NaN is wrong
            return f"{what} are off by {part:.1e} of the largest; at most {bound:g} is rounding"
    return None
