"""How long a plan takes on an example, forward or forward and back, with nothing left changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cenote.acceleration.agreement import nothing_changed

__all__ = ["choose", "measure", "run_once"]

_CLEARLY = 0.93  # what is measured on a machine that does other things as well scatters so


def run_once(
    module: nn.Module,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asked: bool,
) -> float:
    """Seconds of one call, and of its gradients where they are asked for."""
    wanted: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
    with nothing_changed(module), torch.set_grad_enabled(asked):
        given = pytree.tree_map_only(
            Tensor, lambda t: t.detach().clone().requires_grad_(asked and t.requires_grad), args
        )
        start = time.perf_counter()
        out = function(*given, **kwargs)
        if asked:
            ends = [t for t in pytree.tree_leaves(out)
                    if isinstance(t, Tensor) and t.requires_grad]  # fmt: skip
            wanted += [t for t in given if isinstance(t, Tensor) and t.requires_grad]
            if ends and wanted:
                ones = [torch.ones_like(t) for t in ends]
                torch.autograd.grad(ends, wanted, ones, allow_unused=True)
        return time.perf_counter() - start


def measure(
    module: nn.Module,
    functions: Sequence[Callable[..., Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asked: bool,
    budget: float,
    most: int = 7,
) -> list[float]:
    """The least seconds of each function, run in turns until the budget is used up."""
    begun = time.perf_counter()
    best = [float("inf")] * len(functions)
    for turn in range(most + 1):
        for at, function in enumerate(functions):
            taken = run_once(module, function, args, kwargs, asked)
            if turn or time.perf_counter() - begun > budget:  # the first finds its memory
                best[at] = min(best[at], taken)
        spent = time.perf_counter() - begun
        if all(b < float("inf") for b in best) and spent * (turn + 2) / (turn + 1) > budget:
            break
        if spent > budget and turn == 0:
            return [b if b < float("inf") else spent for b in best]
    return best


def choose(
    module: nn.Module,
    functions: Sequence[Callable[..., Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    few: tuple[Any, ...],
    asked: bool,
    budget: float,
) -> int:
    """Which function is the fastest on the example, or on as many of its images as there is time.

    The last where there is no time to tell, or none is clearly faster.
    """
    if budget <= 0:
        return len(functions) - 1
    each = max(run_once(module, function, few, kwargs, asked) for function in functions)
    runs = 3 * len(functions)
    if few is not args and isinstance(args[0], Tensor):
        images = len(few[0])
        there = int(budget / (each / images * runs))
        few = (args[0][: max(there, images)],)
    elif each * runs > budget:
        return len(functions) - 1
    seconds = measure(module, functions, few, kwargs, asked, budget)
    seconds[-1] *= _CLEARLY
    return min(range(len(functions)), key=seconds.__getitem__)
