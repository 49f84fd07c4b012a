"""What a training makes small, and what it counts beside it: for classes, and for numbers.

Labels of integers (N,) are classes; labels of floats as the network's output are a share of each
class where the data set has classes (as mixed images have), and quantities where it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote.data import Dataset

__all__ = ["LOSSES", "Objective"]

_QUANTITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
}

LOSSES = ("auto", "cross_entropy", *_QUANTITIES)


@dataclass(frozen=True)
class Objective:
    """The loss by name, and its smoothing; ``classes`` is 0 where labels are quantities."""

    name: str
    classes: int
    smoothing: float = 0.0

    @classmethod
    def of(cls, dataset: Dataset, name: str, smoothing: float) -> Objective:
        """What suits the labels of ``dataset``; ``name`` is one of :data:`LOSSES`.

        Raises:
            ValueError: the loss is one for the other kind of labels.
        """
        classes = 0 if dataset.regression else len(dataset.classes)
        if name == "auto":
            name = "cross_entropy" if classes else "mse"
        if (name == "cross_entropy") != bool(classes):
            kind = "classes" if classes else "quantities"
            fitting = "cross_entropy" if classes else ", ".join(_QUANTITIES)
            raise ValueError(
                f"loss = {name!r}: labels of {dataset.name} are {kind}; take {fitting}"
            )
        return cls(name, classes, smoothing)

    @property
    def metric(self) -> str:
        """What is counted beside the loss: ``accuracy``, or ``mae``, the mean absolute error."""
        return "accuracy" if self.classes else "mae"

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar; ``output`` (N, classes), or as ``labels``."""
        if not self.classes:
            return _QUANTITIES[self.name](self._as(labels, output), labels)
        return F.cross_entropy(output, labels, label_smoothing=self.smoothing)

    def zero(self) -> Tensor:
        """An empty sum of :meth:`count`."""
        return torch.zeros((), dtype=torch.int64 if self.classes else torch.float64)

    def count(self, output: Tensor, labels: Tensor) -> Tensor:
        """How many answers are right, or the absolute errors, averaged in a sample and summed."""
        if not self.classes:
            return (self._as(labels, output) - labels).abs().double().sum() / labels[0].numel()
        truth = labels.argmax(1) if labels.is_floating_point() else labels
        return (output.argmax(1) == truth).sum()

    def check(self, output: Tensor, labels: Tensor) -> None:
        """Hold what a network gave to what the labels ask for.

        Raises:
            ValueError: it has another shape; both are named.
        """
        wanted = (len(labels), self.classes) if self.classes else tuple(labels.shape)
        found: object = type(output).__name__
        if isinstance(output, Tensor):
            found = tuple((output if self.classes else self._as(labels, output)).shape)
        if found != wanted:
            raise ValueError(
                f"network: gave {found} for a batch of {len(labels)}, must be {wanted}"
            )

    @staticmethod
    def _as(labels: Tensor, output: Tensor) -> Tensor:
        """A column (N, 1) as the values (N,) that it holds: a last layer of one unit gives one."""
        return output.squeeze(1) if labels.dim() == 1 and output.shape[1:] == (1,) else output
