"""What each change saves: the nodes of both graphs timed one by one, on an example."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from cenote.acceleration import agreement, timing
from cenote.acceleration.engine import Engine, mode_name
from cenote.acceleration.plan import Plan
from cenote.acceleration.report import Change, Report

__all__ = ["explained"]

_TURNS = 5


class _Timed(fx.Interpreter):
    """Carries out a graph node by node and notes how long each takes."""

    def __init__(self, module: fx.GraphModule | nn.Module, graph: fx.Graph) -> None:
        super().__init__(module, graph=graph)
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def run_node(self, n: fx.Node) -> Any:
        """One node."""
        start = time.perf_counter()
        made = super().run_node(n)
        self.seconds[n.name].append(time.perf_counter() - start)
        return made


def explained(model: Any, x: Any) -> Report:
    """The report of an accelerated network with the seconds of each change on ``x``.

    Where maps are kept in another order, what turns them is counted by itself.
    """
    engine: Engine = model._cenote
    report: Report = engine.report()
    args = x if isinstance(x, tuple) else (x,)
    training = any(module.training for module in model.modules())
    with torch.set_grad_enabled(training):
        if engine.watch is None:
            return report
        key = engine.key(engine.watch, args, {})
        if key not in engine.ways:  # part by part: decided as it runs
            with agreement.nothing_changed(engine.original), torch.set_grad_enabled(training):
                engine(agreement.copies(args), {})
            report = engine.report()
            key = engine.key(engine.watch, args, {})
        plan = engine.plans.get(key)
        way = engine.ways.get(key)
        if way is None:
            return report
        mode = mode_name(key)
        functions = [engine.original.forward, way]
        before, after = timing.measure(engine.original, functions, args, {}, key[1], 1e9, _TURNS)
    report.whole[mode] = (before, after)
    if plan is not None:
        _fill(report, mode, engine.original, plan, args)
    return report


def _fill(
    report: Report, mode: str, original: nn.Module, plan: Plan, args: tuple[Any, ...]
) -> None:
    """Seconds for the last change at each place, which took over the work of all before it.

    A layer that is called several times has one line, with all of its calls.
    """
    old, new = _Timed(original, plan.original), _Timed(plan.code, plan.code.graph)
    with agreement.nothing_changed(original):
        for _ in range(_TURNS + 1):
            for interpreter in (old, new):
                _run(interpreter, args)
    last = {mark.node: at for at, mark in enumerate(plan.marks)}
    times: dict[Change, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for at, mark in enumerate(plan.marks):
        if last[mark.node] != at or mark.node not in new.seconds:
            continue
        change = Change(mark.where, mark.rule, mark.what, mode)
        before, after = times[change]
        before += sum(_typical(old.seconds[name]) for name in mark.took if name in old.seconds)
        times[change] = before, after + _typical(new.seconds[mark.node])
    for change, (before, after) in times.items():
        place = report.changes.index(change)
        report.changes[place] = dataclasses.replace(change, before=before, after=after)


def _run(interpreter: _Timed, args: tuple[Any, ...]) -> None:
    given = pytree.tree_map_only(Tensor, lambda t: t.detach().clone(), args)
    holders = [node for node in interpreter.graph.nodes if node.op == "placeholder"]
    rest = [node.args[0] for node in holders[len(given) :] if node.args]
    interpreter.run(*given, *rest, enable_io_processing=False)


def _typical(seconds: list[float]) -> float:
    return statistics.median(seconds[1:])
