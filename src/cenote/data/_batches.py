"""Batches straight from tensors in memory: one gather a batch, no Python per sample."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import torch
import torch.nn.functional as F

from cenote.data._dataset import Dataset
from cenote.data.augment import Augmentation, mix, mixes

__all__ = ["Batches"]

Batch = tuple[torch.Tensor, torch.Tensor]


class Batches:
    """A data set, cut into batches anew every epoch.

    The order of an epoch comes from ``(seed, epoch)`` and the augmentation of a batch from
    ``(seed, epoch, batch)``, by way of generators of their own: an epoch that is taken up again in
    the middle sees the same bits, and no other use of random numbers disturbs it.

    ``augment`` works on the images as they are stored; then uint8 ones become float32 and
    ``(pixel / 255 - mean) / std``, and float32 ones ``(value - mean) / std``, by default with the
    data set's own statistics. To evaluate, pass those of the training set. A ``std`` of 0, which a
    constant channel has, divides by 1. An augmentation that blends images makes of the labels
    (B,) the shares of the classes (B, classes).

    With ``prefetch``, a thread makes that many batches ahead; the bits are the same. ``seconds``
    is the time that epochs have waited for their batches so far.

    Raises:
        ValueError: ``batch_size`` below 1, ``prefetch`` below 0, ``mean`` or ``std`` not one number
            a channel, or ``augment`` for what is no image or has targets of its shape.

    >>> images = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1)
    >>> five = Dataset("five", images, torch.arange(5), tuple("abcde"))
    >>> [labels.tolist() for _, labels in Batches(five, 2, seed=0, shuffle=False).epoch(0)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool = True,
        augment: Augmentation | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        drop_last: bool = False,
        prefetch: int = 0,
    ) -> None:
        for name, value, low in (("batch_size", batch_size, 1), ("prefetch", prefetch, 0)):
            if value < low:
                raise ValueError(f"Batches: {name} = {value}: must be at least {low}")
        _check_augment(dataset, augment)
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.augment = augment
        self.drop_last = drop_last
        self.prefetch = prefetch
        self.seconds = 0.0
        own = dataset.statistics() if mean is None or std is None else ((), ())
        self.mean = self._per_channel("mean", own[0] if mean is None else mean)
        self.std = self._per_channel("std", own[1] if std is None else std)
        # (pixel / 255 - mean) / std as pixel * scale - shift: two passes over the batch, not three.
        images = dataset.images
        top = 1 if images.is_floating_point() else 255
        divisor = torch.tensor([s or 1.0 for s in self.std], dtype=torch.float64)
        shift = torch.tensor(self.mean, dtype=torch.float64) / divisor
        each = (-1, *[1] * (images.dim() - 2))
        self._scale = (1 / (top * divisor)).to(images.device, torch.float32).reshape(each)
        self._shift = shift.to(images.device, torch.float32).reshape(each)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n, b = len(self.dataset), self.batch_size
        return n // b if self.drop_last else -(-n // b)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Epoch ``number`` from batch ``start`` on: pairs of images (B, C, *n) and labels (B, ...).

        Batches before ``start`` are skipped without being computed.

        Raises:
            ValueError: ``start`` lies outside 0 to ``len(self)``.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"Batches: start = {start}: must lie in 0 to {len(self)} batches")
        walk = self._walk(number, start)
        return self._timed(_ahead(walk, self.prefetch) if self.prefetch else walk)

    def _walk(self, number: int, start: int) -> Iterator[Batch]:
        images, labels = self.dataset.images, self.dataset.labels
        order = None
        if self.shuffle:
            order = torch.randperm(len(labels), generator=_generator(self.seed, number))
            order = order.to(images.device)
        for batch in range(start, len(self)):
            part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            if order is None:
                x, y = images[part], labels[part]
            else:
                x, y = images.index_select(0, order[part]), labels.index_select(0, order[part])
            if self.augment is not None:
                x, y = self._augmented(self.augment, x, y, _generator(self.seed, number, batch))
            # uint8 becomes a tensor of its own by this; float32 would be the data set's own values.
            scaled = (
                x * self._scale if x.is_floating_point() else x.to(torch.float32).mul_(self._scale)
            )
            yield scaled.sub_(self._shift), y

    def _augmented(
        self, augment: Augmentation, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator
    ) -> Batch:
        if not mixes(augment):
            return augment(x, generator), y
        if not self.dataset.regression:
            y = F.one_hot(y, len(self.dataset.classes)).to(torch.float32)
        return mix(augment, x, y, generator)

    def _timed(self, walk: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            began = perf_counter()
            batch = next(walk, None)
            self.seconds += perf_counter() - began
            if batch is None:
                return
            yield batch

    def _per_channel(self, name: str, values: Sequence[float]) -> tuple[float, ...]:
        channels = self.dataset.images.shape[1]
        if len(values) != channels:
            raise ValueError(
                f"Batches: {name} = {tuple(values)}: must be one number for each of the "
                f"{channels} channels of {self.dataset.name}"
            )
        return tuple(float(value) for value in values)


def _ahead(walk: Iterator[Batch], count: int) -> Iterator[Batch]:
    """``walk``, of which a thread makes ``count`` batches ahead of the one that is being used."""
    worker = ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
        waiting = deque(worker.submit(next, walk, None) for _ in range(count))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(worker.submit(next, walk, None))
            yield batch
    finally:
        worker.shutdown(cancel_futures=True)


def _check_augment(dataset: Dataset, augment: Augmentation | None) -> None:
    """Augmentations know where pixels are in images (N, C, H, W), and nowhere else."""
    if augment is None:
        return
    shape, targets = tuple(dataset.images.shape), tuple(dataset.labels.shape)
    if len(shape) != 4:
        raise ValueError(
            f"Batches: augment = {augment!r}: must be None for what is not (N, C, H, W); "
            f"{dataset.name} is {shape}"
        )
    if len(targets) > 1:
        raise ValueError(
            f"Batches: augment = {augment!r}: must be None where the targets are a grid "
            f"themselves, which would not be moved along; those of {dataset.name} are {targets}"
        )


def _generator(*key: int) -> torch.Generator:
    """A generator whose stream belongs to ``key`` alone: neighbouring keys share nothing."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little", signed=True))
