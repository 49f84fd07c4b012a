"""From channels last back to rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote.acceleration.sketch import Step

__all__ = ["Rows"]


class Rows(Step):
    """A tensor of four axes in the order of its axes; whatever else as it is."""

    def __call__(self, x: Any) -> Any:
        """``x``, or a copy of it in that order, as torch's operators make new tensors."""
        if isinstance(x, Tensor) and x.dim() == 4:
            if not x.is_contiguous(memory_format=torch.channels_last):
                return x
            rows = x.contiguous()
            # the steps along axes of length one, too
            return rows.view(-1).view(rows.shape) if rows.numel() else rows
        if type(x) in (list, tuple):
            return type(x)(map(self, x))
        return x
