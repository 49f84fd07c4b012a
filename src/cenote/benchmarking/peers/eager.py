"""torch itself, as it comes and compiled."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote.benchmarking.grid import COMPILED, INDICES
from cenote.benchmarking.peers.contender import Contender, LeftOutError
from cenote.benchmarking.work import Work

__all__ = ["Compiled", "Compiler", "Eager", "called", "torch_arguments"]

Function = Callable[[Tensor], Any]


def torch_arguments(work: Work) -> dict[str, Any]:
    """The window as torch's functions take it, adaptive ones or sliding ones."""
    given = work.case.arguments()
    if given is None:
        raise LeftOutError("torch has no arguments for this window")
    if "padding" in given:
        if any(before != after for before, after in given["padding"]):
            raise LeftOutError("torch pads both ends alike")
        given["padding"] = tuple(before for before, _ in given["padding"])
    return given


def called(function: Function, work: Work) -> Callable[[], tuple[Tensor, ...]]:
    """The row's pass of a function of ``x`` alone: outputs, with indices or a gradient."""
    if work.grad is None:
        x = work.x

        def forward() -> tuple[Tensor, ...]:
            given = function(x)
            return given if isinstance(given, tuple) else (given,)

        return forward
    leaf, grad = work.x.detach().requires_grad_(), work.grad

    def training() -> tuple[Tensor, ...]:
        with torch.enable_grad():
            y = function(leaf)
        return y, torch.autograd.grad(y, leaf, grad)[0]

    return training


def _function(work: Work) -> tuple[Function, str]:
    """The function of torch for the row, and what it is composed of where torch has none."""
    given, reduce = torch_arguments(work), work.row.reduce
    prefix = "adaptive_" if "output_size" in given else ""
    kind = {"min": "max", "sum": "avg"}.get(reduce, reduce)
    pool = getattr(F, f"{prefix}{kind}_pool{work.rank}d")
    if kind == "max":
        if work.row.pass_ == INDICES:
            given["return_indices"] = True
        if reduce == "max":
            return lambda x: pool(x, **given), ""
        return _negated(pool, given), "-max(-x)"
    if set(given.pop("dilation", (1,))) != {1}:
        raise LeftOutError("torch's averages have no dilation")
    if reduce == "avg":
        return lambda x: pool(x, **given), ""
    if prefix or work.rank == 1:
        raise LeftOutError("torch has no sum, and no other divisor here")
    return lambda x: pool(x, **given, divisor_override=1), "avg, divisor 1"


def _negated(pool: Callable[..., Any], given: dict[str, Any]) -> Function:
    def least(x: Tensor) -> Any:
        greatest = pool(-x, **given)
        if isinstance(greatest, tuple):
            return -greatest[0], greatest[1]
        return -greatest

    return least


class Eager:
    """Functions of torch.nn.functional, on tensors in the row's layout."""

    version = str(torch.__version__)

    def enter(self, work: Work) -> Contender:
        """Call the function as it is."""
        function, composed = _function(work)
        call = called(function, work)
        return Contender(call, call, composed=composed)


class Compiler:
    """torch.compile, for ``cases`` alone or everywhere; compiling is no part of the time."""

    version = str(torch.__version__)

    def __init__(self, cases: Collection[str], everywhere: bool = False) -> None:
        if shutil.which("g++") is None and shutil.which("clang++") is None:
            raise LeftOutError("needs a C++ compiler")
        self.cases, self.everywhere = cases, everywhere

    def compiled(self, case: str, function: Function) -> Function:
        """The function compiled for the shapes and the number of threads of its first call."""
        if not self.everywhere and case not in self.cases:
            raise LeftOutError("compiled in some cases only, unless it is asked for with --peer")
        import torch._inductor.config as inductor

        inductor.compile_threads = 1  # no processes that linger on the cores
        torch.compiler.reset()
        compiled: Function = torch.compile(function, dynamic=False, fullgraph=True)
        return compiled


class Compiled(Compiler):
    """The same functions through torch.compile."""

    def __init__(self, everywhere: bool = False) -> None:
        super().__init__(COMPILED, everywhere)

    def enter(self, work: Work) -> Contender:
        """Compile for the row's shape, layout and number of threads."""
        function, composed = _function(work)
        compiled = self.compiled(work.row.case, function)
        called(function, work)()  # what torch itself refuses need not be traced
        call = called(compiled, work)
        return Contender(call, call, composed=composed)
