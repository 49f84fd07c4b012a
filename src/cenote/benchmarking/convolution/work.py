"""The work of a row of convolution: its tensors, what has to come out, and what it costs at least.

Inputs, weights and biases are multiples of 1/64. The sums of one convolution are exact then, in any
order, so that of windows with two elements almost alike the same one wins everywhere.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from cenote import _convolutions
from cenote.benchmarking.convolution.grid import TRAINING, Row, named
from cenote.cases import Conv

__all__ = ["TOLERANCE", "Work", "differs", "floor"]

TOLERANCE = 1e-4
"""By how much results may differ, as part of the largest: sums of float32 in another order."""

_FLOAT = 4  # bytes


class Work:
    """A row with its tensors, all contiguous and of float32.

    ``x`` (N, C, *n), for every step a weight and a bias or None, and for training ``grad``
    (N, O, *out).
    """

    def __init__(self, row: Row) -> None:
        self.row = row
        self.case = named(row.case)
        dice = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=dice).mul_(64).round_().div_(64)

        self.x = drawn(*self.case.shape)
        self.steps = [
            (drawn(*shape), drawn(step.channels) if step.bias else None)
            for shape, step in zip(self.case.weight_shapes(), self.case.steps, strict=True)
        ]
        self.grad = drawn(*self.case.out_shape) if row.pass_ == TRAINING else None

    def empty_output(self) -> Tensor:
        """Room for the output, every page of it touched."""
        return torch.zeros(self.case.out_shape)

    def names(self) -> list[str]:
        """What the results of the pass are: the output, then gradients."""
        found = ["output"]
        if self.grad is None:
            return found
        if not self.case.first:
            found.append("gradient of the input")
        for number, (_, bias) in enumerate(self.steps, start=1):
            which = f" {number}" if len(self.steps) > 1 else ""
            found.append(f"gradient of weight{which}")
            if bias is not None:
                found.append(f"gradient of bias{which}")
        return found


def floor(case: Conv, pass_: str) -> tuple[int, int]:
    """Multiply-accumulates and bytes that a pass cannot do without.

    Forward: every sum once; the input and the weights once in, the output once out. Training: as
    many again for the gradient of each weight and of each step's input, but for that of a first
    layer; the same bytes once more in, with the gradient of the output, and the gradients out. In a
    stage a byte an output says which element won: the way back has no work for the others.
    """
    shapes = case.shapes()
    each = [
        shape[0] * _convolutions.macs(step.window, shape[2:], weight[1], step.channels)
        for shape, step, weight in zip(shapes, case.steps, case.weight_shapes(), strict=False)
    ]
    source, target = _FLOAT * prod(case.shape), _FLOAT * prod(case.out_shape)
    weights = _FLOAT * case.weights
    if pass_ != TRAINING:
        return sum(each), source + weights + target
    kept = prod(case.out_shape) if case.pool is not None else 0
    back = sum(each) + sum(each[1:] if case.first else each)
    won = back * prod(case.out_shape) // prod(shapes[-1])
    given = weights + (0 if case.first else source)
    moved = source + weights + target + kept  # there
    return sum(each) + won, 2 * moved + given


def differs(work: Work, expected: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> str | None:
    """What is wrong with a contender's results, in a line; None if they are the expected ones.

    Every result by itself, relative to its largest element: :data:`TOLERANCE`.
    """
    if len(given) != len(expected):
        return f"{len(given)} results where {len(expected)} are right"
    for name, right, seen in zip(work.names(), expected, given, strict=True):
        if seen.shape != right.shape:
            return f"{name}: shape {tuple(seen.shape)} where {tuple(right.shape)} is right"
        bound = TOLERANCE * float(right.detach().abs().max())
        wrong = int((~((seen - right).abs() <= bound)).sum())  # NaN is wrong
        if wrong:
            return f"{name}: {wrong} of {right.numel()} elements differ"
    return None
