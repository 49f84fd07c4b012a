"""Before and after, on a model of one's own: as it is, in channels_last, and accelerated."""

from __future__ import annotations

import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cenote.benchmarking.networks.peers import accelerated, called
from cenote.benchmarking.networks.plan import spread
from cenote.benchmarking.networks.work import floats, off, too_far
from cenote.benchmarking.peers import Contender, reason
from cenote.benchmarking.record import NetworkContender
from cenote.benchmarking.turns import take_turns
from cenote.inspection.subject import load_subject

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Compared", "compare", "print_compared"]

GIVEN, LAST, OURS = "torch, as given", "torch, channels_last", "cenote"


@dataclass(frozen=True)
class Compared:
    """What the contenders took, in seconds, why some are missing, and what was changed."""

    title: str
    mode: str
    contenders: dict[str, NetworkContender]
    left_out: dict[str, str]
    report: str

    @property
    def faster(self) -> dict[str, float]:
        """How many times faster than the model as given."""
        first = self.contenders[GIVEN]["median"]
        return {name: first / found["median"] for name, found in self.contenders.items()}


def compare(
    target: str,
    sizes: Sequence[str],
    *,
    without: Sequence[str] = (),
    training: bool = False,
    turns: int = 15,
    layout: str = "auto",
) -> Compared:
    """Measure a model before and after ``cenote.accelerate``, in one run.

    Args:
        target: ``FILE.py:make_model``, or what else ``cenote inspect`` takes.
        sizes: of each input: ``8,3,224,224``, or with an element type, ``8,16:int64``.
        without: rules that ``accelerate`` leaves out.
        training: a step, the loss being the mean square of all outputs; dropout is off then.
        turns: of each contender.
        layout: that ``accelerate`` runs the model in.

    Raises:
        ValueError: an argument that is wrong, a model that does not take the input, or results
            of the accelerated one that are others.
    """
    if turns < 1:
        raise ValueError(f"turns = {turns}: must be at least 1")
    _check(without)
    subject = load_subject(target, sizes)
    model, inputs = subject.model.train(training), subject.inputs
    if training:
        for module in model.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = 0.0
    loss = _loss if training else None
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {GIVEN: called(model, inputs, loss)}
        expected = _expected(made[GIVEN], sizes)
        left_out, offs = {}, {GIVEN: 0.0}
        try:
            made[LAST] = _last(model, inputs, loss)
            offs[LAST] = _agreed(expected, made[LAST], training)
        except Exception as error:  # whatever torch stumbles over: the others go on without it
            made.pop(LAST, None)
            left_out[LAST] = reason(error)
        start = time.perf_counter()
        fast = accelerated(_copied(model), inputs, without=tuple(without), layout=layout)
        prepared = time.perf_counter() - start
        made[OURS] = called(fast, inputs, loss, prepared)
        offs[OURS] = _agreed(expected, made[OURS], training)
        taken = take_turns(made, 0.0, turns, dice=random.Random(0))
    found = {name: spread(t, made[name].prepared, offs[name]) for name, t in taken.items()}
    mode = "training" if training else "inference"
    shown = ", ".join("x".join(map(str, x.shape)) for x in inputs if isinstance(x, Tensor))
    title = f"{subject.title}, {mode}, input {shown}"
    return Compared(title, mode, found, left_out, str(getattr(fast, "report", "")))


def _check(without: Sequence[str]) -> None:
    known = _rules()
    for name in without:
        if name not in known:
            raise ValueError(f"without = {name!r}: must be one of {', '.join(known)}")


def _rules() -> tuple[str, ...]:
    """The names of the rules of ``cenote.accelerate``."""
    from cenote.acceleration import RULES  # type: ignore[attr-defined,unused-ignore]

    return tuple(RULES)


def _loss(given: object) -> Tensor:
    """The mean square of all outputs, whose gradient reaches everything."""
    return torch.stack([y.float().square().mean() for y in floats(given)]).sum()


def _copied(model: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(model)


def _last(
    model: nn.Module, inputs: tuple[Any, ...], loss: Callable[[object], Tensor] | None
) -> Any:
    """The model and its pictures in channels_last."""
    if not any(isinstance(x, Tensor) and x.dim() == 4 for x in inputs):
        raise ValueError("no input is of four axes (N, C, H, W)")
    last = torch.channels_last
    turned = tuple(
        x.contiguous(memory_format=last) if isinstance(x, Tensor) and x.dim() == 4 else x
        for x in inputs
    )
    return called(_copied(model).to(memory_format=last), turned, loss)  # type: ignore[call-overload]


def _expected(first: Contender, sizes: Sequence[str]) -> tuple[Tensor, ...]:
    try:
        found = tuple(t.detach().clone() for t in first.results())
    except Exception as error:
        given = " ".join(sizes) or "the model's own"
        raise ValueError(f"input = {given}: the model does not take it ({reason(error)})") from None
    if not found:
        raise ValueError("model: gives no tensor of real numbers that could be compared")
    return found


def _agreed(expected: tuple[Tensor, ...], contender: Contender, training: bool) -> float:
    """How far off the results are.

    Raises:
        ValueError: farther than by rounding.
    """
    found = off(expected, contender.results(), training)
    if (wrong := too_far(found)) is not None:
        raise ValueError(f"other results than the model's: {wrong}")
    return max(found) if isinstance(found, tuple) else 0.0


def print_compared(compared: Compared, console: Console) -> None:
    """The table, what was left out, and the report."""
    from rich.table import Table

    console.print(compared.title, style="bold", soft_wrap=True, markup=False)
    table = Table()
    table.add_column("")
    for name in ("ms, median", "quartiles", "times faster", "off by"):
        table.add_column(name, justify="right")
    for name, found in compared.contenders.items():
        lower, upper = (value * 1e3 for value in found["quartiles"])
        table.add_row(
            name, f"{found['median'] * 1e3:.2f}", f"{lower:.2f} to {upper:.2f}",
            f"{compared.faster[name]:.2f}x", f"{found['off']:.0e}" if name != GIVEN else "",
        )  # fmt: skip
    console.print(table)
    turns = statistics.median(found["n"] for found in compared.contenders.values())
    ready = compared.contenders[OURS]["prepared"]
    console.print(
        f"{turns:.0f} turns of each, interleaved; cenote.accelerate took {ready:.2f} s",
        soft_wrap=True,
    )
    for name, why in compared.left_out.items():
        console.print(f"left out: {name}: {why}", soft_wrap=True, markup=False)
    if compared.report:
        console.print("")
        console.print(compared.report, soft_wrap=True, markup=False)
