"""What an accelerated module does at a call: the plan for the way in which it is used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn.modules import module as global_hooks
from torch.nn.parameter import is_lazy

from cenote._ops.eager import undisturbed
from cenote.acceleration import agreement, parts, timing
from cenote.acceleration.arguments import all_finite, all_plain, channels_last, kinds_of, tensors_of
from cenote.acceleration.guards import Watch
from cenote.acceleration.plan import Plan, make_plan, why_rows
from cenote.acceleration.report import Change, Left, Report
from cenote.acceleration.switches import Switches
from cenote.acceleration.tracing import Refused, follow

__all__ = ["Engine"]

_PART = 0.75  # of the budget, after which no turn may end
_MOST = 32  # kinds of calls with a way of their own; others are the original's


class Key(NamedTuple):
    """A kind of calls.

    ``modes``: who trains; ``asked``: whether gradients are; ``given``: whether tensors come with
    their channels last; ``spec``: which arguments there are, with the values of what is no tensor;
    ``sizes`` where the graph depends on them.
    """

    modes: tuple[bool, ...]
    asked: bool
    given: bool
    spec: tuple[Any, ...]
    sizes: tuple[Any, ...] | None


class Engine:
    """The plans of one module, made when they are first needed and again when it has changed."""

    def __init__(self, original: nn.Module, switches: Switches) -> None:
        self.original, self.switches = original, switches
        self.lock = threading.RLock()
        self.watch: Watch | None = None
        self.ways: dict[Key, Callable[..., Any]] = {}
        self.plans: dict[Key, Plan] = {}
        self.graphs: dict[Any, fx.Graph | str] = {}
        self.sized: set[Any] = set()  # kinds of calls whose graphs depend on sizes
        self.body: tuple[Any, list[tuple[str, Engine]]] | None = None
        self.notes: dict[Key, list[tuple[str, str]]] = {}
        self.seconds = 0.0

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the original's forward makes of the arguments."""
        if not undisturbed() or _looked_at() or not all_plain(args, kwargs):
            return self.original.forward(*args, **kwargs)
        watch = self.watch
        if watch is None or watch.changed():
            if any(map(is_lazy, self.original.parameters())):
                return self.original.forward(*args, **kwargs)
            watch = self.begin()
        key = self.key(watch, args, kwargs)
        way = self.ways.get(key)
        if way is None:
            with self.lock:
                way = self.ways.get(key) or self.decide(key, args, kwargs)
        return way(*args, **kwargs)

    def prepare(self, args: tuple[Any, ...]) -> None:
        """Decide for calls like this one, which is not carried out.

        Where there is no graph, nothing is decided: its parts would have to be called.
        """
        if not undisturbed() or _looked_at() or not all_plain(args, {}):
            return
        if any(map(is_lazy, self.original.parameters())):
            return
        watch = self.begin()
        with self.lock:
            key = self.key(watch, args, {})
            self.find(key, args, {})
            key = self.key(watch, args, {})
            if not isinstance(self.find(key, args, {}), str):
                self.decide(key, args, {})

    def key(self, watch: Watch, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Key:
        """The way in which the module is used by a call."""
        given = tensors_of(args, kwargs)
        asked = torch.is_grad_enabled() and (
            watch.wants_gradients() or any(t.requires_grad for t in given)
        )
        modes, spec = watch.modes(), kinds_of(args, kwargs)
        sizes = tuple(t.shape for t in given) if (modes, spec) in self.sized else None
        return Key(
            modes, asked, any(map(channels_last, given)) or watch.weights_last(), spec, sizes
        )

    def begin(self) -> Watch:
        """Start from what the module is now; whatever was decided is dropped."""
        with self.lock:
            if self.watch is None or self.watch.changed():  # not by another thread meanwhile
                self.ways, self.plans, self.graphs, self.notes = {}, {}, {}, {}
                self.sized, self.body = set(), None
                self.watch = Watch(self.original)
            return self.watch

    def decide(self, key: Key, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
        """The function for calls of a kind, of which this is the first."""
        start = time.perf_counter()
        if len(self.ways) >= _MOST:
            return self.original.forward
        graph = self.find(key, args, kwargs)
        if self.watch is not None:
            key = self.key(self.watch, args, kwargs)  # by sizes, if that was found to be needed
            graph = self.find(key, args, kwargs)
        notes: list[tuple[str, str]] = []
        self.notes[key] = notes
        answer = None
        if not isinstance(graph, str):
            whole = key.sizes is not None
            answer = agreement.answer_of(self.original, args, kwargs, whole=whole)
        if not isinstance(graph, str) and answer is None:  # the original says why
            return self.original.forward
        if isinstance(graph, str):
            notes.append(("", graph))
            way: Callable[..., Any] = self.part_by_part()
        else:
            assert answer is not None
            until = start + _PART * self.switches.budget
            plan = self.plan(graph, key, args, answer, notes, until)
            if plan is None:
                way = self.part_by_part()
            else:
                self.plans[key] = plan
                way = self.guarded(key, plan)
        self.ways[key] = way
        self.seconds += time.perf_counter() - start
        return way

    def find(self, key: Key, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Graph | str:
        """The graph of the module for calls of a kind, or why there is none.

        Where a first one cannot be had for all sizes, there may be one for these.
        """
        kind = (key.modes, key.spec)
        known = (*kind, key.sizes)
        if known in self.graphs:
            return self.graphs[known]
        graph: fx.Graph | str
        try:
            graph = follow(self.original, args, kwargs, sized=key.sizes is not None)
        except Refused as refused:
            graph = str(refused)
        self.graphs[known] = graph
        if key.sizes is not None or not isinstance(graph, str):
            return graph
        self.sized.add(kind)
        assert self.watch is not None
        if isinstance(self.find(self.key(self.watch, args, kwargs), args, kwargs), str):
            self.sized.discard(kind)
        return graph

    def plan(
        self,
        graph: fx.Graph,
        key: Key,
        args: tuple[Any, ...],
        answer: agreement.Answer,
        notes: list[tuple[str, str]],
        until: float,
    ) -> Plan | None:
        """The fastest of the plans that agree with the original on this call."""
        asked, given = key.asked, key.given
        tried = [(last, given) for last in self.layouts(graph, asked, given, notes)]
        budget = self.switches.budget if len(tried) > 1 else 0.0
        contest = timing.Contest(answer, asked, budget, until)
        good: list[Plan] = []
        for last, kept in [*tried, (True, True)]:
            if good and (kept or not budget):
                break  # the last is for a network that turns its maps by itself
            plan = make_plan(
                self.original, graph, self.switches, asked=asked, last=last, given=kept
            )
            why = contest.enter(plan.run)
            if why:
                notes.append(("", f"maps {_said(last)}: {why}"))
            else:
                good.append(plan)
            if given:
                break
        if not good:
            return None
        found = good[contest.winner(args)]
        found.forget()  # it was computed for other shapes, of a few images
        return found

    def layouts(
        self, graph: fx.Graph, asked: bool, given: bool, notes: list[tuple[str, str]]
    ) -> list[bool]:
        """Whether channels are last, in the plans to try; the one preferred comes first."""
        if given:
            return [True]
        wanted = self.switches.layout
        why = "" if wanted == "contiguous" else why_rows(self.original, graph, self.switches, asked)
        if why and why != "no convolution of images":
            notes.append(("", f"maps stay in rows: {why}"))
        if why or wanted == "contiguous":
            return [False]
        if wanted == "channels_last":
            return [True]
        return [True, False]

    def guarded(self, key: Key, plan: Plan) -> Callable[..., Any]:
        """A plan that is given up where it fails and the original does not."""
        run, original = plan.run, self.original.forward

        def carried_out(*args: Any, **kwargs: Any) -> Any:
            if plan.finite and not all_finite(args, kwargs):
                return original(*args, **kwargs)
            try:
                return run(*args, **kwargs)
            except Exception as error:
                made = original(*args, **kwargs)  # a caller's mistake is told as torch tells it
                said = " ".join(str(error).split())[:160]
                self.notes[key].append(("", f"given up, it failed: {said}"))
                self.plans.pop(key, None)
                self.ways[key] = original
                return made

        return carried_out

    def part_by_part(self) -> Callable[..., Any]:
        """The original's own code, whose layers find plans where they can be followed."""
        if self.body is None:
            self.body = parts.body_of(self.original, self.switches)
        body: Callable[..., Any] = self.body[0].forward
        return body

    def report(self) -> Report:
        """What was decided so far."""
        report = Report()
        self._add_to(report, "")
        return report

    def _add_to(self, report: Report, prefix: str) -> None:
        report.seconds += self.seconds
        for key, notes in self.notes.items():
            mode = mode_name(key)
            plan = self.plans.get(key)
            if plan is not None:
                for mark in plan.marks:
                    change = Change(_joined(prefix, mark.where), mark.rule, mark.what, mode)
                    if change not in report.changes:  # as of the same call with other sizes
                        report.changes.append(change)
                if not prefix:
                    report.layouts[mode] = _said(plan.last)
            for where, why in [*notes, *(plan.left if plan is not None else [])]:
                left = Left(_joined(prefix, where), why, mode)
                if left not in report.left:
                    report.left.append(left)
        if self.body is not None:
            for name, engine in self.body[1]:
                engine._add_to(report, _joined(prefix, name))


def mode_name(key: Key) -> str:
    """A way in which a module is used, in words."""
    modes, asked, given = key.modes, key.asked, key.given
    name = "training" if asked and any(modes) else "eval, with gradients" if asked else "inference"
    if not asked and any(modes):
        name = "training mode, without gradients"
    return name + (", channels last as given" if given else "")


def _joined(prefix: str, name: str) -> str:
    return ".".join(part for part in (prefix, name) if part)


def _said(last: bool) -> str:
    return "with channels last" if last else "in rows"


def _looked_at() -> bool:
    """Whether somebody looks at all modules' calls, or at what is kept for the way back."""
    every = getattr(global_hooks, "_has_any_global_hook", None)
    saving = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return every is None or every() or saving is None or saving(True) is not None
