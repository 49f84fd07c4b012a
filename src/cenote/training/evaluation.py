"""How well a network does on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from cenote.data import Batches, Dataset

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """What a network answered: ``logits`` (N, classes) for the images with ``labels`` (N,)."""

    logits: torch.Tensor
    labels: torch.Tensor

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats."""
        return float(F.cross_entropy(self.logits, self.labels))

    @property
    def probabilities(self) -> torch.Tensor:
        """The softmax of the logits (N, classes)."""
        return self.logits.softmax(1)

    @property
    def predicted(self) -> torch.Tensor:
        """The most probable class of each image (N,)."""
        return self.logits.argmax(1)

    @property
    def wrong(self) -> torch.Tensor:
        """The indices of the images that it got wrong, ascending."""
        return (self.predicted != self.labels).nonzero().flatten()

    @property
    def accuracy(self) -> float:
        """The share of images that it got right."""
        return 1 - len(self.wrong) / len(self.labels)

    @property
    def confusion(self) -> torch.Tensor:
        """How many images of class ``row`` were taken for class ``column`` (classes, classes)."""
        classes = self.logits.shape[1]
        pairs = self.labels * classes + self.predicted
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def evaluate(
    model: torch.nn.Module,
    dataset: Dataset,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 512,
) -> Evaluation:
    """What ``model`` answers to each image of ``dataset``; ``mean`` and ``std`` are the training's.

    Raises:
        ValueError: the data set is empty.
    """
    if len(dataset) == 0:
        raise ValueError(f"evaluate: {dataset.name} holds no images")
    batches = Batches(dataset, batch_size, seed=0, shuffle=False, mean=mean, std=std)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits = torch.cat([model(images) for images, _ in batches.epoch(0)])
    finally:
        model.train(training)
    return Evaluation(logits.clone(), dataset.labels)
