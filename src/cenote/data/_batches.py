"""Batches straight from tensors in memory: one gather a batch, no Python per sample."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch

from cenote.data._dataset import Dataset
from cenote.data.augment import Augmentation

__all__ = ["Batches"]


class Batches:
    """A data set, cut into batches anew every epoch.

    The order of an epoch comes from ``(seed, epoch)`` and the augmentation of a batch from
    ``(seed, epoch, batch)``, by way of generators of their own: an epoch that is taken up again in
    the middle sees the same bits, and no other use of random numbers disturbs it.

    ``augment`` works on the uint8 images; then they become float32 and
    ``(pixel / 255 - mean) / std``, by default with the data set's own statistics. To evaluate,
    pass those of the training set. A ``std`` of 0, which a constant channel has, divides by 1.

    Raises:
        ValueError: ``batch_size`` below 1, or ``mean`` or ``std`` not one number a channel.

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
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"Batches: batch_size = {batch_size}: must be at least 1")
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.augment = augment
        self.drop_last = drop_last
        own = dataset.statistics() if mean is None or std is None else ((), ())
        self.mean = self._per_channel("mean", own[0] if mean is None else mean)
        self.std = self._per_channel("std", own[1] if std is None else std)
        # (pixel / 255 - mean) / std as pixel * scale - shift: two passes over the batch, not three.
        divisor = torch.tensor([s or 1.0 for s in self.std], dtype=torch.float64)
        device = dataset.images.device
        shift = torch.tensor(self.mean, dtype=torch.float64) / divisor
        self._scale = (1 / (255 * divisor)).to(device, torch.float32).reshape(-1, 1, 1)
        self._shift = shift.to(device, torch.float32).reshape(-1, 1, 1)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n, b = len(self.dataset), self.batch_size
        return n // b if self.drop_last else -(-n // b)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Epoch ``number`` from batch ``start`` on: pairs of images (B, C, H, W) and labels (B,).

        Batches before ``start`` are skipped without being computed.

        Raises:
            ValueError: ``start`` lies outside 0 to ``len(self)``.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"Batches: start = {start}: must lie in 0 to {len(self)} batches")
        return self._walk(number, start)

    def _walk(self, number: int, start: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
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
                x = self.augment(x, _generator(self.seed, number, batch))
            yield x.to(torch.float32).mul_(self._scale).sub_(self._shift), y

    def _per_channel(self, name: str, values: Sequence[float]) -> tuple[float, ...]:
        channels = self.dataset.images.shape[1]
        if len(values) != channels:
            raise ValueError(
                f"Batches: {name} = {tuple(values)}: must be one number for each of the "
                f"{channels} channels of {self.dataset.name}"
            )
        return tuple(float(value) for value in values)


def _generator(*key: int) -> torch.Generator:
    """A generator whose stream belongs to ``key`` alone: neighbouring keys share nothing."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little", signed=True))
