"""How long a plan takes on an example, forward or forward and back, with nothing left changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cenote.acceleration.agreement import Answer, copies, nothing_changed

__all__ = ["Contest", "measure", "run_once"]

_CLEARLY = 0.93  # what is measured on a machine that does other things as well scatters so
_ON_FEW = 0.8  # and what is done once for each weight counts for more than it will
_AT_ONCE = 0.7  # and so what was measured one time alone, while memory was being found
_FAR = 1.5  # runs forward that are so far apart decide
_LONG = 0.1  # seconds of a run of which finding memory is a small part
_SHARE = 0.25  # of the budget, for turns on more images than were compared
_TURNS = 3  # on those that were compared
_NEVER = float("inf")


def run_once(
    module: nn.Module,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asked: bool,
    *,
    wanted: Sequence[Tensor] | None = None,
    seen: Callable[[Any, float], bool] | None = None,
) -> float:
    """Seconds of one call, and of its gradients where they are asked for.

    ``wanted``: the parameters to take gradients of, or all. ``seen`` is given what the call made
    and its seconds and says whether to go back as well; it is not timed.
    """
    if wanted is None:
        wanted = [p for p in module.parameters() if p.requires_grad]
    with nothing_changed(module), torch.set_grad_enabled(asked):
        given, named = _fresh(args, asked), _fresh(kwargs, asked)
        start = time.perf_counter()
        out = function(*given, **named)
        taken = time.perf_counter() - start
        if (seen is None or seen(out, taken)) and asked:
            start = time.perf_counter()
            _go_back(out, [*wanted, *_asking((given, named))])
            taken += time.perf_counter() - start
        return taken


def _fresh(values: Any, asked: bool) -> Any:
    """Copies that may be written into, and ask for gradients where the values do."""
    if not asked:
        return copies(values)
    return pytree.tree_map_only(
        Tensor, lambda t: t.detach().requires_grad_(t.requires_grad).clone(), values
    )


def _asking(values: Any) -> list[Tensor]:
    return [t for t in pytree.tree_leaves(values) if isinstance(t, Tensor) and t.requires_grad]


def _go_back(out: Any, wanted: list[Tensor]) -> None:
    ends = _asking(out)
    if ends and wanted:
        ones = [torch.ones_like(t) for t in ends]
        torch.autograd.grad(ends, wanted, ones, allow_unused=True)


def measure(
    module: nn.Module,
    functions: Sequence[Callable[..., Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asked: bool,
    budget: float,
    most: int = 7,
    *,
    wanted: Sequence[Tensor] | None = None,
) -> list[float]:
    """The least seconds of each function, run in turns until the budget is used up."""
    begun = time.perf_counter()
    best = [_NEVER] * len(functions)
    for turn in range(most + 1):
        for at, function in enumerate(functions):
            taken = run_once(module, function, args, kwargs, asked, wanted=wanted)
            if turn or time.perf_counter() - begun > budget:  # the first finds its memory
                best[at] = min(best[at], taken)
        spent = time.perf_counter() - begun
        if _NEVER not in best and spent * (turn + 2) / (turn + 1) > budget:
            break
        if spent > budget and turn == 0:
            return [b if b < _NEVER else spent for b in best]
    return best


def _far(seconds: float, others: float) -> bool:
    return seconds > max(_LONG, _FAR * others)


class Contest:
    """Plans that say what a network says: the first is preferred, another has to be clearly faster.

    Each is compared as it enters; where gradients are asked for, that run goes back too and is
    timed. ``budget``: seconds, zero for no timing; no turn is begun that would end after
    ``until``, on the clock of :func:`time.perf_counter`.
    """

    def __init__(self, answer: Answer, asked: bool, budget: float, until: float) -> None:
        self.answer, self.asked, self.budget, self.until = answer, asked, budget, until
        self.functions: list[Callable[..., Any]] = []
        self.compared: list[float] = []  # seconds forward of the runs that were compared
        self.best: list[float] = []
        # The gradients of matrices take as long with every plan.
        self.wanted = [p for p in answer.module.parameters() if p.requires_grad and p.dim() != 2]

    def enter(self, function: Callable[..., Any]) -> str:
        """Why a plan cannot take part, "" where it does."""
        found: list[tuple[str, float]] = []

        def seen(out: Any, seconds: float) -> bool:
            found.append((self.answer.differs(out), seconds))
            return self.budget > 0 and not found[0][0] and not self._behind(seconds)

        taken = _NEVER
        try:
            taken = self._run(function, seen)
        except Exception as error:
            if not found:  # the way back is the network's own affair
                return f"the plan failed: {' '.join(str(error).split())[:160]}"
        why, forward = found[0]
        if not why:
            self.functions.append(function)
            self.best.append(taken if self.asked and not self._behind(forward) else _NEVER)
            self.compared.append(forward)
        return why

    def winner(self, args: tuple[Any, ...]) -> int:
        """The place of the fastest, on as many images of ``args`` as there is time for.

        The first where there is no time to tell, or none is clearly faster.
        """
        if len(self.functions) < 2 or not self.budget:
            return 0
        if self.asked:
            if _NEVER in self.best:
                return self._ahead(_CLEARLY)
        else:
            self.best[0] = self._run(self.functions[0])
            if _far(self.compared[1], self.best[0]):
                return 0
        more = self._more(args)
        return self._by_turns() if more is None else self._at_length(more)

    def _behind(self, forward: float) -> bool:
        """Whether a run forward took so long that the way back will not make up for it."""
        return bool(self.compared) and _far(forward, self.compared[0])

    def _ahead(self, clearly: float) -> int:
        return int(self.best[1] < clearly * self.best[0])

    def _run(
        self, function: Callable[..., Any], seen: Callable[[Any, float], bool] | None = None
    ) -> float:
        answer = self.answer
        return run_once(
            answer.module, function, answer.args, answer.kwargs, self.asked,
            wanted=self.wanted, seen=seen,
        )  # fmt: skip

    def _more(self, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """As many images as there is time for where that is twice those that were compared."""
        few = self.answer.args
        each = max(seconds for seconds in self.best if seconds < _NEVER)
        times = self.budget * _SHARE / (each * _TURNS * len(self.functions))
        if few is args or not isinstance(args[0], Tensor):
            return args if times >= 1 else None
        return (args[0][: int(times * len(few[0]))],) if times >= 2 else None

    def _at_length(self, args: tuple[Any, ...]) -> int:
        answer, budget = self.answer, self.budget * _SHARE
        self.best = measure(
            answer.module, self.functions, args, answer.kwargs, self.asked, budget,
            wanted=self.wanted,
        )  # fmt: skip
        return self._ahead(_CLEARLY)

    def _by_turns(self) -> int:
        """By what was compared, in turns while there is doubt and time; the first ones are cold."""
        turns = 0
        if not self.asked:
            self.best[1] = self._run(self.functions[1])
            turns = 1
        while self._doubted(turns):
            if time.perf_counter() + sum(self.best) > self.until:
                break
            taken = [self._run(function) for function in self.functions]
            self.best = list(map(min, self.best, taken))
            turns += 1
        if turns:
            return self._ahead(_ON_FEW)
        if self._ahead(_AT_ONCE):  # or was it that the first was the first to run?
            self.best[0] = min(self.best[0], self._run(self.functions[0]))
        return self._ahead(_AT_ONCE)

    def _doubted(self, turns: int) -> bool:
        """Whether another turn may change the outcome; the second does not win by one alone."""
        first, second = self.best
        return second < first if turns == 0 else turns == 1 and self._ahead(_ON_FEW) > 0
