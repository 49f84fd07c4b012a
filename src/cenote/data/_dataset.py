"""A labelled set of images, held in two tensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from cenote.data._errors import DataError

__all__ = ["Dataset"]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images (N, C, H, W) in uint8, their labels (N,) in int64, and what the labels are called.

    Raises:
        DataError: an element type, a rank, a count or a label is not as above.

    >>> images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    >>> Dataset("zeros", images, torch.tensor([0, 1, 0]), ("no", "yes"))
    Dataset('zeros', 3 images of 1x4x4, 2 classes)
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for field, tensor, dtype, rank in (
            ("images", self.images, torch.uint8, 4),
            ("labels", self.labels, torch.int64, 1),
        ):
            if tensor.dtype != dtype or tensor.dim() != rank:
                raise DataError(
                    f"{self.name}: {field} must be of rank {rank} and {dtype}, "
                    f"found {tuple(tensor.shape)} of {tensor.dtype}"
                )
        if len(self.images) != len(self.labels):
            raise DataError(f"{self.name}: {len(self.images)} images but {len(self.labels)} labels")
        if len(self.labels):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                raise DataError(
                    f"{self.name}: labels must lie in 0 to {len(self.classes) - 1} "
                    f"for {len(self.classes)} classes, found {low} to {high}"
                )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"Dataset({self.name!r}, {len(self)} images of {shape}, {len(self.classes)} classes)"

    def split(self, validation: int | float, seed: int) -> tuple[Dataset, Dataset]:
        """Two parts, ``(train, validation)``, the same ones for the same ``seed``.

        ``validation`` is a number of images, or as a float a share of them. Equal images go to the
        same side, so that nothing is validated that was learnt by heart; a group of them is divided
        only when no whole group fits into what is still missing. Both parts keep the order of the
        whole.

        Raises:
            ValueError: ``validation`` is negative or leaves no image to train on.
        """
        count = validation
        if isinstance(validation, float):
            count = round(validation * len(self)) if 0 <= validation < 1 else -1
        if not 0 <= count < len(self):
            raise ValueError(
                f"split: validation = {validation}: must be a count from 0 to {len(self) - 1} "
                f"or a share from 0.0 to below 1.0 of the {len(self)} images of {self.name}"
            )
        taken = torch.zeros(len(self), dtype=torch.bool)
        taken[_draw(self.images, int(count), seed)] = True
        return self._part(~taken), self._part(taken)

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """``(mean, std)`` of each channel on the scale where 255 is 1, std dividing by the count.

        Computed from a histogram in integers, so that the bits do not depend on any order of
        summation. Without images both are 0.
        """
        return self._statistics

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the shape, the images and the labels: it changes when the data does."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().reshape(-1).data)
        return digest.hexdigest()

    @cached_property
    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        channels = [_mean_and_std(self.images[:, c]) for c in range(self.images.shape[1])]
        return tuple(mean for mean, _ in channels), tuple(std for _, std in channels)

    def _part(self, mask: torch.Tensor) -> Dataset:
        chosen = mask.nonzero().squeeze(1).to(self.images.device)
        images, labels = self.images.index_select(0, chosen), self.labels.index_select(0, chosen)
        return replace(self, images=images, labels=labels)


def _mean_and_std(channel: torch.Tensor) -> tuple[float, float]:
    histogram = torch.bincount(channel.flatten(), minlength=256).tolist()
    n = sum(histogram)
    total = sum(value * times for value, times in enumerate(histogram))
    squares = sum(value * value * times for value, times in enumerate(histogram))
    if n == 0:
        return 0.0, 0.0
    return total / (255 * n), ((n * squares - total * total) ** 0.5) / (255 * n)


def _draw(images: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """``count`` indices drawn at random, whole groups of equal images where they fit."""
    n = len(images)
    rows = images.cpu().contiguous().numpy().reshape(n, -1)
    # One void element a row makes numpy compare whole images: exact, and 75 ms for all of MNIST.
    keys = rows.view(f"V{rows.shape[1]}").ravel()
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    by_group = np.argsort(group, kind="stable")
    ends = np.cumsum(sizes)

    generator = torch.Generator().manual_seed(seed)
    chosen: list[np.ndarray] = []
    left_over = by_group[:0]
    room = count
    for g in torch.randperm(len(sizes), generator=generator).tolist():
        if room == 0:
            break
        members = by_group[ends[g] - sizes[g] : ends[g]]
        if len(members) <= room:
            chosen.append(members)
            room -= len(members)
        else:
            left_over = members
    return torch.from_numpy(np.concatenate([*chosen, left_over[:room]]))
