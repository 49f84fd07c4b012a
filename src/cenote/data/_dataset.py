"""A labelled set of images, sequences or grids, held in two tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from cenote.data._errors import DataError
from cenote.data._tensors import as_images, as_labels, check_images, check_labels

__all__ = ["Dataset"]

_CHUNK = 4096  # images that are compared with their neighbours at once


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """What a network is shown, what it should answer, and what the answers are called.

    ``images`` are (N, C, H, W) in uint8, or for sequences, grids and whatever else (N, C, *n) in
    float32. ``labels`` are classes, (N,) in int64 with a name for each in ``classes``; or for
    regression values, (N, ...) in float32 without classes. ``ordered`` says that the samples
    follow one another in time. ``skipped`` names the files that a folder holds beside them.

    Raises:
        DataError: an element type, a rank, a count, a label or a value is not as above.

    >>> images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    >>> Dataset("zeros", images, torch.tensor([0, 1, 0]), ("no", "yes"))
    Dataset('zeros', 3 images of 1x4x4, 2 classes)
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...] = ()
    ordered: bool = False
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_images(self.name, self.images)
        check_labels(self.name, self.labels, self.classes)
        if len(self.images) != len(self.labels):
            raise DataError(f"{self.name}: {len(self.images)} images but {len(self.labels)} labels")

    @classmethod
    def of(
        cls,
        images: torch.Tensor | np.ndarray,
        labels: torch.Tensor | np.ndarray,
        classes: Sequence[str] | None = None,
        *,
        name: str = "given",
    ) -> Dataset:
        """The data set of a pair of tensors or arrays, brought into shape where that is certain.

        uint8 images may lack the channel axis, (N, H, W), or have it last, (N, H, W, C), which 1,
        3 or 4 at the end and another number in front tell. Floating ones become float32; (N, L) is
        a set of sequences of one channel. Labels of any integer type, (N,) or (N, 1), are classes,
        numbered to the highest unless ``classes`` names them; floating ones are values.

        Raises:
            DataError: other element types or ranks, labels that do not fit, values not finite.

        >>> Dataset.of(torch.zeros(5, 9, 9, 3, dtype=torch.uint8), torch.arange(5))
        Dataset('given', 5 images of 3x9x9, 5 classes)
        >>> Dataset.of(torch.zeros(5, 40), torch.zeros(5))
        Dataset('given', 5 samples of 1x40, a value each)
        """
        x, y = as_images(name, images), as_labels(name, labels)
        if classes is None and not y.is_floating_point():
            classes = tuple(map(str, range(int(y.max()) + 1 if len(y) else 0)))
        return cls(name, x, y, tuple(classes or ()))

    @property
    def regression(self) -> bool:
        """Whether the labels are values in float32 and not classes."""
        return self.labels.is_floating_point()

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        what = "samples" if self.images.is_floating_point() else "images"
        answers = f"{len(self.classes)} classes"
        if self.regression:
            each = "x".join(map(str, self.labels.shape[1:]))
            answers = f"{each or 'a'} value{'s' if each else ''} each"
        return f"Dataset({self.name!r}, {len(self)} {what} of {shape}, {answers})"

    def split(self, validation: int | float, seed: int) -> tuple[Dataset, Dataset]:
        """Two parts, ``(train, validation)``, the same ones for the same ``seed``.

        ``validation`` is a number of images, or as a float a share of them. Equal images always go
        to the same side, so that nothing is validated that was learnt by heart: groups of them are
        drawn whole, those that fit. Where the rest that is missing then is smaller than every group
        left, the part has so many fewer images; or it gets the smallest group, and has more than
        asked for, if that comes nearer or it would be empty. One group is always left to train on:
        of images that are all equal none are held out. Both parts keep the order of the whole.

        What follows one another in time (``ordered``) is validated on its end, of exactly the size
        asked for, equal or not: a sample drawn from the middle would have its neighbours' values
        among those trained on.

        Raises:
            ValueError: ``validation`` is negative or leaves no image to train on.
        """
        if not len(self):
            raise ValueError(f"split: {self.name} holds no images, nothing to train on")
        count = validation
        if isinstance(validation, float):
            count = round(validation * len(self)) if 0 <= validation < 1 else -1
        if not 0 <= count < len(self):
            raise ValueError(
                f"split: validation = {validation}: must be a count from 0 to {len(self) - 1} "
                f"or a share from 0.0 to below 1.0 of the {len(self)} images of {self.name}"
            )
        taken = torch.zeros(len(self), dtype=torch.bool)
        if self.ordered:
            taken[len(self) - int(count) :] = True
        else:
            taken[self._draw(int(count), seed)] = True
        return self._part(~taken), self._part(taken)

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """``(mean, std)`` of each channel, std dividing by the count; of uint8 as if 255 were 1.

        For uint8 they come from a histogram in integers, so that the bits do not depend on any
        order of summation; for float32 from float64 sums in an order that no number of threads
        changes. Without images both are 0.
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
        measure = _of_values if self.images.is_floating_point() else _of_bytes
        channels = [measure(self.images[:, c]) for c in range(self.images.shape[1])]
        return tuple(mean for mean, _ in channels), tuple(std for _, std in channels)

    def _draw(self, count: int, seed: int) -> torch.Tensor:
        """About ``count`` indices drawn at random, groups of equal images as a whole."""
        groups = _groups(self.images)
        generator = torch.Generator().manual_seed(seed)
        chosen: list[np.ndarray] = []
        passed: list[np.ndarray] = []
        room = count
        for g in torch.randperm(len(groups), generator=generator).tolist():
            if room == 0:
                break
            fits = len(groups[g]) <= room
            (chosen if fits else passed).append(groups[g])
            room -= len(groups[g]) if fits else 0
        # Of all the groups one at least is left to train on.
        if room and len(passed) > 1:
            smallest = min(passed, key=len)
            if not chosen or len(smallest) - room < room:
                chosen.append(smallest)
        return torch.from_numpy(np.concatenate([np.empty(0, np.intp), *chosen]))

    def _part(self, mask: torch.Tensor) -> Dataset:
        chosen = mask.nonzero().squeeze(1).to(self.images.device)
        images, labels = self.images.index_select(0, chosen), self.labels.index_select(0, chosen)
        return replace(self, images=images, labels=labels)


def _of_bytes(channel: torch.Tensor) -> tuple[float, float]:
    histogram = torch.bincount(channel.flatten(), minlength=256).tolist()
    n = sum(histogram)
    total = sum(value * times for value, times in enumerate(histogram))
    squares = sum(value * value * times for value, times in enumerate(histogram))
    if n == 0:
        return 0.0, 0.0
    return total / (255 * n), ((n * squares - total * total) ** 0.5) / (255 * n)


def _of_values(channel: torch.Tensor) -> tuple[float, float]:
    values = channel.cpu().numpy().astype(np.float64)
    return (float(values.mean()), float(values.std())) if values.size else (0.0, 0.0)


def _groups(images: torch.Tensor) -> list[np.ndarray]:
    """The indices of equal images together, the groups in the order of their bytes."""
    n = len(images)
    rows = images.cpu().contiguous().numpy().reshape(n, -1).view(np.uint8)
    # One void element a row makes numpy compare whole images: exact, and 75 ms for all of MNIST.
    keys = rows.view(f"V{rows.shape[1]}").ravel()
    order = np.argsort(keys, kind="stable")
    # Neighbours are compared a piece at a time: all at once would copy the whole data set.
    starts = [np.zeros(min(n, 1), np.intp)]
    for at in range(1, n, _CHUNK):
        here, before = order[at : at + _CHUNK], order[at - 1 : min(at + _CHUNK, n) - 1]
        starts.append(at + np.flatnonzero(keys[here] != keys[before]))
    return np.split(order, np.concatenate(starts)[1:])
