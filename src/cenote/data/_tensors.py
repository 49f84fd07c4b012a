"""What the tensors of a data set must be, and how arrays from elsewhere become such tensors."""

from __future__ import annotations

import numpy as np
import torch

from cenote.data._errors import DataError

__all__ = ["as_images", "as_labels", "check_images", "check_labels"]

_CHANNELS = (1, 3, 4)  # of images: grey, colour, colour with alpha


def check_images(name: str, images: torch.Tensor) -> None:
    """Refuse what is neither uint8 (N, C, H, W) nor float32 (N, C, *n), all finite.

    Raises:
        DataError: the element type, the rank or an element is another.
    """
    found = f"found {tuple(images.shape)} of {images.dtype}"
    if images.dtype == torch.uint8:
        if images.dim() != 4:
            raise DataError(f"{name}: images must be of rank 4 and torch.uint8, {found}")
        return
    if images.dtype != torch.float32 or images.dim() < 3:
        raise DataError(
            f"{name}: images must be of rank 4 and torch.uint8, or of rank 3 or more and "
            f"torch.float32, {found}"
        )
    _check_finite(name, "images", images)


def check_labels(name: str, labels: torch.Tensor, classes: tuple[str, ...]) -> None:
    """Refuse what is neither int64 (N,) in 0 to classes - 1 nor float32 (N, ...), all finite.

    Raises:
        DataError: the element type, the rank or an element is another.
    """
    if labels.dtype == torch.float32 and labels.dim() and not classes:
        _check_finite(name, "labels", labels)
        return
    if labels.dtype != torch.int64 or labels.dim() != 1:
        raise DataError(
            f"{name}: labels must be of rank 1 and torch.int64, or values of torch.float32 "
            f"without classes, found {tuple(labels.shape)} of {labels.dtype} "
            f"and {len(classes)} classes"
        )
    if len(labels):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(classes):
            outside = ((labels < 0) | (labels >= len(classes))).nonzero()
            raise DataError(
                f"{name}: labels must lie in 0 to {len(classes) - 1} "
                f"for {len(classes)} classes, found {low} to {high}, "
                f"the first outside at [{int(outside[0])}]"
            )


def as_images(name: str, images: torch.Tensor | np.ndarray) -> torch.Tensor:
    """``images`` with channels as axis 1, in uint8 or float32.

    Raises:
        DataError: another element type.
    """
    x = _tensor(name, "images", images)
    if x.is_floating_point():
        x = x.to(torch.float32)
        return x.unsqueeze(1) if x.dim() == 2 else x
    if x.dtype != torch.uint8:
        raise DataError(f"{name}: images must be of uint8 or floating, found {x.dtype}")
    if x.dim() == 3:
        return x.unsqueeze(1)
    if x.dim() == 4 and x.shape[3] in _CHANNELS and x.shape[1] not in _CHANNELS:
        return x.permute(0, 3, 1, 2).contiguous()
    return x


def as_labels(name: str, labels: torch.Tensor | np.ndarray) -> torch.Tensor:
    """``labels`` in int64 if they are whole numbers, and in float32 if not.

    Raises:
        DataError: neither.
    """
    y = _tensor(name, "labels", labels)
    if y.is_floating_point():
        return y.to(torch.float32)
    if y.is_complex():
        raise DataError(f"{name}: labels must be integers or floating, found {y.dtype}")
    return (y.squeeze(1) if y.dim() == 2 and y.shape[1] == 1 else y).to(torch.int64)


def _tensor(name: str, what: str, values: torch.Tensor | np.ndarray) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach()
    try:
        array = np.ascontiguousarray(values)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    except TypeError:
        raise DataError(
            f"{name}: {what} must be numbers, found {type(values).__name__} of "
            f"{getattr(values, 'dtype', 'unknown type')}"
        ) from None


def _check_finite(name: str, what: str, values: torch.Tensor) -> None:
    finite = values.isfinite()
    if not finite.all():
        at = (~finite).nonzero()[0].tolist()
        raise DataError(f"{name}: {what}{at} = {float(values[tuple(at)])}: must be finite")
