"""How weights move: optimisers and learning-rate schedules, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch

__all__ = ["OPTIMIZERS", "SCHEDULES", "Schedule", "optimizer", "schedule"]

Schedule = Callable[[float, float], float]
"""``(progress, warmup) -> factor``: what share of the peak learning rate to use.

``progress`` is the share of all steps done, in [0, 1); ``warmup`` the share spent warming up.
A schedule is a pure function, so there is no state of it to save.
"""

_ONECYCLE_START = 1 / 25
_ONECYCLE_END = 1e-4 / 25


def _cosine(start: float, end: float, progress: float) -> float:
    """From ``start`` to ``end`` along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def _constant(progress: float, warmup: float) -> float:
    return progress / warmup if progress < warmup else 1.0


def _annealed(progress: float, warmup: float) -> float:
    """Half a cosine down to 0 after the warm-up (Loshchilov and Hutter, "SGDR", 2017)."""
    if progress < warmup:
        return progress / warmup
    return _cosine(1.0, 0.0, (progress - warmup) / (1 - warmup))


def _onecycle(progress: float, warmup: float) -> float:
    """Up from a low rate, then down to almost nothing (Smith and Topin, 2018)."""
    if progress < warmup:
        return _cosine(_ONECYCLE_START, 1.0, progress / warmup)
    return _cosine(1.0, _ONECYCLE_END, (progress - warmup) / (1 - warmup))


SCHEDULES: dict[str, Schedule] = {
    "constant": _constant,
    "cosine": _annealed,
    "onecycle": _onecycle,
}


def schedule(name: str, step: int, steps: int, warmup: float) -> float:
    """The factor on the peak learning rate at ``step`` of ``steps``, never 0.

    Adam at rate 0 would spend a batch and learn nothing, hence the half step of lead.

    >>> [round(schedule("onecycle", step, 10, 0.3), 3) for step in (0, 2, 9)]
    [0.104, 0.936, 0.013]
    """
    return SCHEDULES[name]((step + 0.5) / steps, warmup)


def _adam(
    parameters: Iterable[torch.nn.Parameter], rate: float, momentum: float, decay: float
) -> torch.optim.Optimizer:
    """Adam with decoupled decay (Loshchilov and Hutter, 2019); ``momentum`` is sgd's alone."""
    del momentum
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)


def _sgd(
    parameters: Iterable[torch.nn.Parameter], rate: float, momentum: float, decay: float
) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters,
        lr=rate,
        momentum=momentum,
        weight_decay=decay,
        nesterov=momentum > 0,
        fused=True,
    )


OPTIMIZERS: dict[
    str, Callable[[Iterable[torch.nn.Parameter], float, float, float], torch.optim.Optimizer]
] = {"adam": _adam, "sgd": _sgd}


def optimizer(
    name: str,
    parameters: Iterable[torch.nn.Parameter],
    *,
    rate: float,
    momentum: float,
    decay: float,
) -> torch.optim.Optimizer:
    """The optimiser called ``name``, fused: one kernel for all parameters, not one for each."""
    return OPTIMIZERS[name](parameters, rate, momentum, decay)
