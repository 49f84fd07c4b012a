"""A module that cannot be followed as a whole: its own code, with layers that can be.

It runs on a twin that has the same attributes, the same object's, but finds other layers where it
asks for its own.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from torch import nn

from cenote.acceleration.kinds import plain
from cenote.acceleration.steps.convolutions import KINDS as CONVOLUTIONS
from cenote.acceleration.steps.pools import KINDS as POOLS
from cenote.acceleration.switches import Switches
from cenote.acceleration.tracing import left_alone, left_alone_root

if TYPE_CHECKING:
    from cenote.acceleration.engine import Engine

__all__ = ["body_of", "sharing"]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class Body(nn.Module):
    """A twin of a module; what it is asked for by name it looks up among the parts first."""

    __slots__ = ("_cenote_parts",)

    def __getattr__(self, name: str) -> Any:
        parts = object.__getattribute__(self, "_cenote_parts")
        found = parts.get(name)
        # a layer that was replaced since is not the part's any more
        if found is not None and self.__dict__["_modules"].get(name) is found[0]:
            return found[1]
        return super().__getattr__(name)


def sharing(base: type, module: nn.Module, name: str) -> Any:
    """An object with the state of ``module``, the same dictionary, whose class is ``base`` first.

    Raises:
        TypeError: the two classes cannot be joined.
    """
    kind: Any = type(module)
    twin: Any = object.__new__(_joined(base, kind, name))
    object.__setattr__(twin, "__dict__", module.__dict__)
    return twin


@functools.lru_cache(maxsize=1024)
def _joined(base: Any, kind: Any, name: str) -> type:
    """A class of both, with the arguments of the second one's forward for who asks."""

    def made_anew(_: type, *args: Any, **kwargs: Any) -> Any:
        """What constructs another of its own class, as a slice of a sequence, gets a plain one."""
        return kind(*args, **kwargs)

    own: dict[str, Any] = {"__slots__": (), "__module__": base.__module__, "__new__": made_anew}
    if "forward" in base.__dict__:

        @functools.wraps(kind.forward)
        def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
            return base.forward(self, *args, **kwargs)

        own["forward"] = forward
    return type(name, (base, kind), own)


def body_of(module: nn.Module, switches: Switches) -> tuple[Any, list[tuple[str, Engine]]]:
    """The twin of a module whose layers are accelerated one by one, and their engines by name."""
    if left_alone_root(module):
        return module, []
    made: dict[nn.Module, Any] = {}
    engines: list[tuple[str, Engine]] = []
    found = {
        name: (child, _part(child, name, switches, made, engines))
        for name, child in module._modules.items()
        if child is not None
    }
    if type(module) in _CONTAINERS:
        return _container(module, {name: part for name, (_, part) in found.items()}), engines
    try:
        twin = sharing(Body, module, type(module).__name__)
    except TypeError:
        return module, []
    changed = {name: pair for name, pair in found.items() if pair[1] is not pair[0]}
    object.__setattr__(twin, "_cenote_parts", changed)
    return twin, engines


def _container(module: nn.Module, parts: dict[str, Any]) -> Any:
    twin = object.__new__(type(module))
    object.__setattr__(twin, "__dict__", {**module.__dict__, "_modules": parts})
    return twin


def _part(
    child: nn.Module,
    name: str,
    switches: Switches,
    made: dict[nn.Module, Any],
    engines: list[tuple[str, Engine]],
) -> Any:
    from cenote.acceleration.accelerated import Accelerated, wrap

    if child in made:
        return made[child]
    part: Any = child
    if isinstance(child, Accelerated) or left_alone(child):
        pass
    elif type(child) in (nn.ModuleList, nn.ModuleDict):
        inner = {
            key: _part(each, f"{name}.{key}", switches, made, engines)
            for key, each in child._modules.items()
            if each is not None
        }
        part = _container(child, inner)
    elif _worth_it(child):
        part = wrap(child, switches)
        engines.append((name, part._cenote))
    made[child] = part
    return part


def _worth_it(module: nn.Module) -> bool:
    """Whether something may be gained in a module: of a library's layers, in those of windows."""
    if isinstance(module, nn.Sequential):
        return True
    home = type(module).__module__
    if home.startswith("torch.nn.modules"):
        return plain(module, *CONVOLUTIONS, *POOLS)
    return not home.startswith("cenote.nn")
