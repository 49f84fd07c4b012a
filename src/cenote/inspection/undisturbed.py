"""Looking at layers at work, and leaving the network as it was."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from cenote.field import Field
from cenote.inspection.receptive import AxisField, Rule

__all__ = ["Fields", "caught", "check_images", "chosen", "rules_of", "undisturbed"]

_T = TypeVar("_T")

Fields = Mapping[str, Sequence[Field | Rule]]
"""By layer, what its units see of the images, one for each spatial axis."""


@contextlib.contextmanager
def undisturbed(model: torch.nn.Module) -> Iterator[None]:
    """The network in evaluation mode; at the end it is as it was.

    That is: the training flag of every module, every buffer, and torch's random numbers.
    """
    flags = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(d.index for d in devices)):
        model.eval()
        try:
            yield
        finally:
            for module, flag in flags:
                module.training = flag
            with torch.no_grad():
                for module, name, buffer, value in buffers:
                    if getattr(module, name) is not buffer:
                        setattr(module, name, buffer)
                    if not torch.equal(buffer, value):
                        buffer.copy_(value)


@contextlib.contextmanager
def caught(
    model: torch.nn.Module, names: Sequence[str], take: Callable[[Tensor], _T | None]
) -> Iterator[dict[str, _T]]:
    """What ``take`` makes of the floating output of each named module, in the order of data flow.

    Of a module that is called several times, the last call counts; of several outputs, the first.
    ``take`` must copy what it keeps: a layer in place would change it.
    """
    found: dict[str, _T] = {}

    def note(name: str, output: Any) -> None:
        tensor = output[0] if isinstance(output, list | tuple) and output else output
        taken = None
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            taken = take(tensor)
        if taken is not None:
            found.pop(name, None)
            found[name] = taken

    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda m, a, o, name=name: note(name, o))
        for name in names
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def chosen(op: str, model: torch.nn.Module, layers: Sequence[str] | None) -> list[str]:
    """The modules to look at: those that are named, or all that have none inside.

    Raises:
        ValueError: a name that no module has.
    """
    modules = dict(model.named_modules())
    if layers is None:
        return [name for name, module in modules.items() if not list(module.children())]
    names = [layers] if isinstance(layers, str) else list(layers)
    for name in names:
        if name not in modules:
            near = difflib.get_close_matches(str(name), list(modules), 3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ValueError(
                f"{op}: layers: {name!r}: {type(model).__name__} has no such module{hint}"
            )
    return names


def check_images(op: str, images: Any) -> None:
    """Refuse what is no batch of floating images with one to three spatial axes."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{op}: images: must be a torch.Tensor, not {type(images).__name__}")
    if not images.is_floating_point():
        raise TypeError(f"{op}: images: elements must be floating point, not {images.dtype}")
    if not 3 <= images.dim() <= 5 or images.numel() == 0:
        raise ValueError(
            f"{op}: images: shape {tuple(images.shape)}: must be (N, C, *n) with one to three"
            " spatial axes, and hold something"
        )


def rules_of(
    model: torch.nn.Module, images: Tensor, names: Sequence[str], fields: Fields | None
) -> dict[str, tuple[Rule, ...]]:
    """The fields of the layers, one rule for each spatial axis, as far as they are known.

    ``fields`` are taken as they are; without them, one watched forward pass finds them.
    """
    rank = images.dim() - 2
    if fields is None:
        return _watched(model, images[:1], names) if names else {}
    rules = {}
    for name, axes in fields.items():
        if len(axes) != rank:
            raise ValueError(f"fields: {name!r}: {len(axes)} axes, but the images have {rank}")
        rules[name] = tuple(Rule.of(f) if isinstance(f, Field) else f for f in axes)
    return rules


def _watched(
    model: torch.nn.Module, images: Tensor, names: Sequence[str]
) -> dict[str, tuple[Rule, ...]]:
    from cenote.inspection import inspect  # late: the package may import this module

    record = inspect(model, images, backward=False)
    found = {}
    for name in names:
        operators = [o for o in record.operators if o.name == name]
        field = operators[-1].field if operators else None
        if field is None or len(field.shape) != images.dim():
            continue
        # Only where each axis of the map goes along the same axis of the images.
        along = [a for at, a in enumerate(field.axes, 2) if a.dim in (None, at)]
        rules = [rule for rule in map(_rule, along) if rule is not None and rule.jump != 0]
        if len(rules) == images.dim() - 2:
            found[name] = tuple(rules)
    return found


def _rule(axis: AxisField) -> Rule | None:
    """The rule of all units, or that of most where padding shows the image once more.

    With circular or reflecting padding units at the ends see other intervals than a rule says.
    """
    if axis.rule is not None or axis.dim is None:
        return axis.rule
    starts, sizes = axis.starts.ravel(), (axis.stops - axis.starts).ravel()
    size = int(np.median(sizes))
    units = np.flatnonzero(sizes == size)
    if size < 1 or 2 * len(units) <= max(2, len(sizes)):
        return None
    jump, rest = divmod(int(starts[units[-1]] - starts[units[0]]), int(units[-1] - units[0]))
    offset = int(starts[units[0]] - units[0] * jump)
    if rest or (starts[units] != units * jump + offset).any():
        return None
    return Rule.of(Field(size, jump, offset))
