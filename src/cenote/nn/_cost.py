"""What a layer costs, by formula: for the inspector, and for whoever compares."""

from __future__ import annotations

import torch

__all__ = ["Costed"]


class Costed(torch.nn.Module):
    """A layer that knows how many parameters it has and how many multiplications it makes."""

    def count_parameters(self) -> int:
        """The number of weights and biases, by the formula of the layer's kind."""
        raise NotImplementedError

    def count_macs(self, *n: int) -> int:
        """Multiply-accumulates for one input of spatial sizes ``n``; biases make none."""
        raise NotImplementedError
