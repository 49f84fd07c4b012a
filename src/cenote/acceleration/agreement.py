"""Whether a plan says what the network says: both run on the same input, nothing left changed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

__all__ = ["Answer", "copies", "nothing_changed", "shortened"]

# Of the size of an output: structure that was followed wrongly shows in whole figures, rounding in
# the fifth digit at most, where norms of few elements enlarge it.
_TOLERANCE = 2e-3


@contextlib.contextmanager
def nothing_changed(module: nn.Module) -> Iterator[None]:
    """Whatever runs inside, buffers and random numbers are as before afterwards; no gradients."""
    kept = [(buffer, buffer.clone()) for buffer in module.buffers()]
    state = torch.get_rng_state()
    try:
        with torch.no_grad():
            yield
            for buffer, old in kept:
                buffer.copy_(old)
    finally:
        torch.set_rng_state(state)


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

    def differs(self, plan: Callable[..., Any]) -> str:
        """Why the results of a plan are others; "" where they are the same within rounding."""
        try:
            with nothing_changed(self.module):
                found = plan(*copies(self.args), **copies(self.kwargs))
                same = _all_close(list(self.module.buffers()), self.buffers)
        except Exception as error:
            return f"the plan failed: {' '.join(str(error).split())[:160]}"
        if not same:
            return "buffers come out differently"
        return _difference(self.made, found)


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


def shortened(args: tuple[Any, ...], kwargs: dict[str, Any], images: int = 2) -> tuple[Any, ...]:
    """The first few images of a call on one batch, which say as much; others as they are."""
    if len(args) == 1 and not kwargs and isinstance(args[0], Tensor):
        x = args[0]
        if x.dim() in (3, 4, 5) and x.shape[0] > images:
            return (x[:images],)
    return args
