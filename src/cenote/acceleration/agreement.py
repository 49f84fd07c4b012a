"""Whether a plan says what the network says: both run on the same input, nothing left changed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

__all__ = ["Answer", "answer_of", "copies", "nothing_changed"]

# Of the size of an output: structure that was followed wrongly shows in whole figures, rounding in
# the fifth digit at most, where norms of few elements enlarge it.
_TOLERANCE = 2e-3

_LONG = 0.1  # seconds that an image takes, from which on one is compared and not two


@contextlib.contextmanager
def nothing_changed(module: nn.Module) -> Iterator[None]:
    """Whatever runs inside, buffers and random numbers are as before afterwards; no gradients."""
    kept = [(buffer, buffer.clone()) for buffer in module.buffers()]
    state = torch.get_rng_state()
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_rng_state(state)
        with torch.no_grad():
            for buffer, old in kept:
                if not torch.equal(buffer, old):  # else what was folded with it would be made again
                    buffer.copy_(old)


class Answer:
    """What a module makes of a call, and of its buffers.

    Raises:
        Exception: whatever the module raises.
    """

    def __init__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module, self.args, self.kwargs = module, args, kwargs
        with nothing_changed(module):
            start = time.perf_counter()
            self.made = module.forward(*copies(args), **copies(kwargs))
            self.seconds = time.perf_counter() - start
            self.buffers = [buffer.clone() for buffer in module.buffers()]

    @torch.no_grad()
    def differs(self, found: Any) -> str:
        """Why results, and the module's buffers now, are others; "" where all are close."""
        if not _all_close(list(self.module.buffers()), self.buffers):
            return "buffers come out differently"
        return _difference(self.made, found)

    def finite(self) -> bool:
        """Whether all of it can be told from other numbers."""
        made = [t for t in pytree.tree_leaves(self.made) if isinstance(t, Tensor)]
        return all(bool(t.isfinite().all()) for t in [*made, *self.buffers])


def answer_of(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, whole: bool = False
) -> Answer | None:
    """What a module makes of the first two images of a call; None where it fails.

    Of the first alone where that takes long and no norm is made of the batch; of all of the call
    where it is not one batch, where fewer fail, or where ``whole`` is asked for.
    """
    pair = args if whole else _first(args, kwargs, 2)
    if pair is not args and not any(map(_of_the_batch, module.modules())):
        one = _tried(module, _first(args, kwargs, 1), kwargs)
        if one is not None and one.seconds >= _LONG and one.finite():
            return one
    found = _tried(module, pair, kwargs)
    return _tried(module, args, kwargs) if found is None and pair is not args else found


def _tried(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Answer | None:
    with contextlib.suppress(Exception):  # a caller's mistake, or one image too few
        return Answer(module, args, kwargs)
    return None


def _of_the_batch(module: nn.Module) -> bool:
    """Whether a norm's statistics are those of the images that it is given."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and (
        module.training or module.running_mean is None
    )


def _difference(wanted: Any, found: Any) -> str:
    wants, shape = pytree.tree_flatten(wanted)
    finds, other = pytree.tree_flatten(found)
    if shape != other:
        return "its outputs are arranged differently"
    for a, b in zip(wants, finds, strict=True):
        if isinstance(a, Tensor) != isinstance(b, Tensor):
            return "its outputs are of other kinds"
        if isinstance(a, Tensor):
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"an output of {tuple(b.shape)}, not {tuple(a.shape)}"
            if a.dim() == 4 and a.stride() != b.stride():
                return "its outputs lie in memory in another order"
            if not _close(a, b):
                return "its outputs are other numbers"
        elif type(a) is not type(b):
            return "its outputs are of other kinds"
    return ""


def _all_close(buffers: list[Tensor], wanted: list[Tensor]) -> bool:
    """Whether buffers are close; a mean that is zero but for rounding is, too."""
    floats = [b.double().flatten() for b in wanted if b.is_floating_point() and b.numel()]
    floor = 1e-3 * float(torch.cat(floats).nan_to_num().pow(2).mean().sqrt()) if floats else 0.0
    return all(_close(b, a, floor) for a, b in zip(buffers, wanted, strict=True))


def _close(a: Tensor, b: Tensor, floor: float = 0.0) -> bool:
    if not a.is_floating_point():
        return torch.equal(a, b)
    tolerance = max(_TOLERANCE, 16 * torch.finfo(a.dtype).eps)  # more for half precision
    a, b = a.double(), b.double()
    odd = ~a.isfinite()
    if not torch.equal(odd, ~b.isfinite()):
        return bool(odd.any())  # NaN and infinity may spread otherwise
    a, b = a.masked_fill(odd, 0), b.masked_fill(odd, 0)
    if a.numel() == 0:
        return True
    size = a.pow(2).mean().sqrt().clamp(min=floor)
    return bool((a - b).pow(2).mean().sqrt() <= tolerance * size + 1e-12)


def copies(values: Any) -> Any:
    """Copies of the tensors: a forward may write into what it is given."""
    return pytree.tree_map_only(Tensor, lambda t: t.detach().clone(), values)


def _first(args: tuple[Any, ...], kwargs: dict[str, Any], images: int) -> tuple[Any, ...]:
    """The first few images of a call on one batch, which say as much; others as they are."""
    if len(args) == 1 and not kwargs and isinstance(args[0], Tensor):
        x = args[0]
        if x.dim() in (3, 4, 5) and x.shape[0] > images:
            return (x[:images],)
    return args
