"""What the networks for images of any size share: what they are told, and what they refuse."""

from __future__ import annotations

import torch
from torch import nn

from cenote.models._parts import least_side, positive, sides_after
from cenote.models._preprocessing import Preprocessing

__all__ = ["Classifier", "dropout_of", "sides_of"]


class Classifier(nn.Module):
    """Images (N, channels, H, W) in, logits (N, classes) out.

    ``features``, ``avgpool``, ``flatten`` and ``classifier`` follow each other; the first and the
    last have the names that torchvision gives them, and all parameters are theirs.
    """

    features: nn.Sequential
    avgpool: nn.Module
    flatten: nn.Flatten
    classifier: nn.Module
    input_shape: tuple[int, int, int]
    """Channels, height and width of the images that the network was asked for."""
    smallest: int
    """The least height and width that leave every layer a window."""
    preprocessing: Preprocessing | None

    def __init__(
        self,
        name: str,
        *,
        features: nn.Sequential,
        avgpool: nn.Module,
        classifier: nn.Module,
        input_shape: tuple[int, int, int],
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.features, self.avgpool = features, avgpool
        self.flatten, self.classifier = nn.Flatten(), classifier
        self.input_shape, self.preprocessing = input_shape, preprocessing
        self.smallest = least_side(features)
        _, height, width = input_shape
        if min(height, width) < self.smallest:
            size = height if height == width else (height, width)
            self._too_small(f"size = {size}", (height, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) for images (N, channels, H, W) of any size from ``smallest`` on."""
        channels = self.input_shape[0]
        if x.dim() != 4 or x.shape[1] != channels:
            raise ValueError(
                f"{self.name}: expected images (N, {channels}, H, W), found {tuple(x.shape)}"
            )
        if x.shape[2] < self.smallest or x.shape[3] < self.smallest:
            self._too_small(f"images of {x.shape[2]}x{x.shape[3]}", (x.shape[2], x.shape[3]))
        logits: torch.Tensor = self.classifier(self.flatten(self.avgpool(self.features(x))))
        return logits

    def _too_small(self, what: str, sides: tuple[int, int]) -> None:
        try:
            sides_after(f"{self.name}: {what}", self.features, sides)
        except ValueError as error:
            raise ValueError(f"{error}; at least {self.smallest}") from None


def sides_of(name: str, size: int | tuple[int, int], **counts: int) -> tuple[int, int]:
    """``size`` as height and width, once it and the other ``counts`` are known to be positive.

    Raises:
        ValueError: something is below 1; the message names it.
    """
    height, width = (size, size) if isinstance(size, int) else size
    positive(name, **counts, size=min(height, width))
    return height, width


def dropout_of(name: str, dropout: float) -> float:
    """``dropout``, once it is known to be a share.

    Raises:
        ValueError: it does not lie in 0 to 1, 1 excluded.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"{name}: dropout = {dropout}: must be at least 0 and below 1")
    return float(dropout)
