"""How well a network does on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from cenote.data import Batches, Dataset
from cenote.training.objective import Objective
from cenote.training.together import ALONE, Group

__all__ = ["Deviation", "Evaluation", "evaluate", "measure"]


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

    @property
    def figures(self) -> dict[str, Any]:
        """What is noted down of it."""
        found = {"accuracy": self.accuracy, "loss": self.loss}
        return {**found, "errors": len(self.wrong), "images": len(self.labels)}

    def per_class(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """For each class its name, images, precision, recall and F1.

        Precision is the share of right answers among those that named the class, recall the share
        of its images that were recognised, F1 their harmonic mean. What would divide by 0 is None.
        """
        counts = self.confusion
        rows = zip(
            classes, counts.diag().tolist(), counts.sum(0).tolist(), counts.sum(1).tolist(),
            strict=True,
        )  # fmt: skip
        return [
            {
                "class": name,
                "images": images,
                "precision": right / answers if answers else None,
                "recall": right / images if images else None,
                "f1": 2 * right / (answers + images) if answers + images else None,
            }
            for name, right, answers, images in rows
        ]


@dataclass(frozen=True)
class Deviation:
    """What a network predicted, beside the quantities ``labels`` of the same shape (N, ...)."""

    predicted: torch.Tensor
    labels: torch.Tensor
    objective: Objective

    @property
    def loss(self) -> float:
        """The mean loss of the training, whichever it was."""
        return float(self.objective.loss(self.predicted, self.labels))

    @property
    def mae(self) -> float:
        """The mean absolute error, in the labels' unit."""
        return float((self.predicted - self.labels).abs().mean())

    @property
    def rmse(self) -> float:
        """The root of the mean squared error, in the labels' unit."""
        return float((self.predicted - self.labels).square().mean().sqrt())

    @property
    def figures(self) -> dict[str, Any]:
        """What is noted down of it."""
        found = {"mae": self.mae, "rmse": self.rmse, "loss": self.loss}
        return {**found, "images": len(self.labels)}


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
        ValueError: the data set is empty, or its labels are no classes.
    """
    found = measure(
        model, dataset, Objective.of(dataset, "cross_entropy", 0.0),
        mean=mean, std=std, batch_size=batch_size,
    )  # fmt: skip
    assert isinstance(found, Evaluation)
    return found


def measure(
    model: torch.nn.Module,
    dataset: Dataset,
    objective: Objective,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 512,
    group: Group = ALONE,
) -> Evaluation | Deviation:
    """What ``model`` answers to each sample of ``dataset``, shared out among the processes.

    Raises:
        ValueError: the data set is empty.
    """
    if len(dataset) == 0:
        raise ValueError(f"evaluate: {dataset.name} holds no images")
    part = group.part(len(dataset))
    own = dataset
    if group.size > 1:
        own = replace(dataset, images=dataset.images[part], labels=dataset.labels[part])
    batches = Batches(own, batch_size, seed=0, shuffle=False, mean=mean, std=std)
    training = model.training
    model.eval()
    answers = []
    try:
        with torch.inference_mode():
            for images, labels in batches.epoch(0):
                answers.append(model(images.to(group.device)))
                if len(answers) == 1:
                    objective.check(answers[0], labels)
    finally:
        model.train(training)
    found = torch.cat(answers).cpu() if answers else torch.empty(0)
    found = group.joined(found)
    if objective.classes:
        return Evaluation(found.clone(), dataset.labels)
    return Deviation(found.clone().reshape(dataset.labels.shape), dataset.labels, objective)
