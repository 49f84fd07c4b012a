"""One line for the networks that people have already.

Rules that are exact, each with a name and a switch, change the graph of a network; where there is
no graph, the graphs of its parts. What comes out is compared with the network's own before it is
used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from cenote.acceleration.accelerated import Accelerated, wrap
from cenote.acceleration.report import Change, Left, Report
from cenote.acceleration.switches import RULES, Switches
from cenote.allocator import tune_allocator

__all__ = ["RULES", "Accelerated", "Change", "Left", "Report", "accelerate", "explain", "restore"]


def accelerate(
    model: nn.Module,
    x: Any = None,
    *,
    without: Iterable[str] = (),
    layout: str = "auto",
    budget: float = 2.0,
    allocator: bool = False,
) -> Any:
    """The same network, sooner: the same parameters by the same names, the same numbers.

    Convolutions and pooling are carried out by this package where it is faster, what stands
    together is done together, in the order in memory that is faster; ``docs/acceleration.md`` has
    the rules. The returned module is an instance of the model's class and shares its state; the
    model itself is not changed. Whatever cannot be followed is left as it is, and so is everything
    under torch.compile, torch.export, autocast and on other devices; ``.report`` says why.

    Args:
        model: any module.
        x: an example: a tensor, or a tuple of positional arguments. Without it, decisions are made
            at the first call of each kind (training, inference).
        without: names of rules that are not to be applied, of ``cenote.acceleration.RULES``.
        layout: ``"contiguous"`` or ``"channels_last"`` inside of the network, or ``"auto"``: what
            is measured to be faster.
        budget: seconds within which to choose between layouts, for each kind of call.
        allocator: let the process keep the memory that it frees; see :func:`cenote.tune_allocator`.

    Raises:
        TypeError: ``model`` is no module, or an argument of another kind.
        ValueError: a rule or a layout that there is not, or a negative budget.

    >>> from cenote import models
    >>> network = models.lenet5().eval()
    >>> fast = accelerate(network)
    >>> image = torch.zeros(1, 1, 28, 28)
    >>> torch.allclose(fast(image), network(image), atol=1e-6)
    True
    >>> restore(fast) is network
    True
    """
    _check("accelerate", model)
    switches = Switches.of(without, layout, budget)
    if allocator:
        tune_allocator()
    if isinstance(model, Accelerated):
        if model._cenote.switches != switches:
            model = wrap(model._cenote.original, switches)
    else:
        model = wrap(model, switches)
    if x is not None:
        _prepare(model, x)
    return model


def _check(name: str, model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{name}: model = {model!r}: must be a torch.nn.Module, not {type(model).__name__}"
        )


def _prepare(model: Any, x: Any) -> None:
    """Let a network decide on an example."""
    args = x if isinstance(x, tuple) else (x,)
    training = any(module.training for module in model.modules())
    with torch.set_grad_enabled(training):
        model._cenote.prepare(args)


def restore(model: nn.Module) -> nn.Module:
    """The original of an accelerated network; parts that are accelerated are put back, too.

    Raises:
        TypeError: no module.

    >>> part = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    >>> whole = nn.Sequential(accelerate(part), nn.MaxPool2d(2))
    >>> restore(whole)[0] is part
    True
    """
    _check("restore", model)
    if isinstance(model, Accelerated):
        model = model._cenote.original
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if isinstance(child, Accelerated):
                module._modules[name] = child._cenote.original
    return model


def explain(model: nn.Module, x: Any, **options: Any) -> Report:
    """What :func:`accelerate` changes in a network, what it leaves, and what each change saves.

    In the mode in which the network is: in training forward and back as a whole. See
    :func:`accelerate` for the arguments.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)).eval()
    >>> report = explain(network, torch.zeros(2, 3, 16, 16), layout="contiguous")
    >>> [(change.where, change.rule) for change in report.changes][-1]
    ('0 + 1 + 2', 'stages')
    >>> before, after = report.whole["inference"]
    """
    from cenote.acceleration.explaining import explained

    _check("explain", model)
    return explained(accelerate(model, x, **options), x)
