"""A module's forward as a graph, or why there is none that always says the same.

``torch.fx`` follows a forward once, with stand-ins for tensors. What it cannot see is refused here:
branches on values, side effects, numbers drawn outside of torch's stand-ins, constants made on the
way, and contexts that hold for a part of it.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import operator
import random
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.fx.proxy import Proxy, TraceError

from cenote.acceleration.agreement import nothing_changed
from cenote.acceleration.stand_ins import Sizes, StandIn
from cenote.nn import Stages
from cenote.nn._watching import untouched

__all__ = ["Refused", "follow", "left_alone"]

_INTERNAL = frozenset(nn.Module().__dict__)
_MODULES_OF_ITS_OWN = ("torch.nn", "torch.ao.nn", "cenote.nn")


_ONE = threading.RLock()  # one trace at a time


class Refused(Exception):  # noqa: N818 - no mistake
    """A forward that cannot be followed; the message says why."""


def left_alone(module: nn.Module) -> str:
    """Why a module is called as it is and not looked into; "" where it may be."""
    if not untouched(module):
        return "hooks"
    if getattr(module, "parametrizations", None):
        return "parametrizations"
    if isinstance(module, torch.jit.ScriptModule):
        return "a script module"
    return ""


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True

    def __init__(self, given: dict[str, Any], sizes: Sizes | None) -> None:
        super().__init__()
        self.given, self.sizes = given, sizes
        self.refused = ""
        self.thread = threading.get_ident()  # torch.fx patches modules for all threads
        self.context = _context()

    def refuse(self, why: str) -> TraceError:
        """Note the first reason: a forward may swallow the exception."""
        self.refused = self.refused or why
        return TraceError(why)

    def proxy(self, node: fx.Node) -> Proxy:
        return StandIn(node, self)

    def to_bool(self, obj: Proxy) -> bool:
        raise self.refuse("it branches on a value")

    def iter(self, obj: Proxy) -> Iterator[Any]:
        parts = obj.parts() if isinstance(obj, StandIn) else None
        if parts is not None:
            return iter([operator.getitem(obj, at) for at in range(parts)])
        try:
            return super().iter(obj)
        except TraceError:
            raise self.refuse("it goes through a tensor in a loop") from None

    def create_proxy(self, kind: str, *args: Any, **kwargs: Any) -> Any:
        if kind != "output" and _context() != self.context:
            raise self.refuse("a part of it runs without gradients, or under autocast")
        made = super().create_proxy(kind, *args, **kwargs)
        value = self.given.get(str(made.node.target), made) if kind == "placeholder" else made
        if _constant(value):
            return value  # the same at every call of this kind
        if self.sizes is not None and kind != "output":
            self.sizes.note(made.node)
        return made

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, torch.Tensor) and not isinstance(a, nn.Parameter):
            known = any(a is b for b in self.root.buffers())
            known = known or any(a is b for b in getattr(self, "tensor_attrs", {}))
            if not known:
                raise self.refuse("it makes a tensor of its own on the way")
        return super().create_arg(a)

    def elsewhere(self) -> bool:
        """Whether a call is not one of the forward that is followed."""
        at_work = self.sizes is not None and self.sizes.at_work
        return at_work or threading.get_ident() != self.thread

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if left_alone(m) or _accelerated(m):
            return True
        if type(m) in (nn.Sequential, Stages):
            return False
        if isinstance(m, nn.Sequential) and type(m).forward is nn.Sequential.forward:
            return False
        return _of_a_library(m)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self.elsewhere():
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self.elsewhere():
            return forward(*args, **kwargs)
        if type(m) is Stages and not left_alone(m):
            forward = functools.partial(nn.Sequential.forward, m)  # its layers one by one
        return super().call_module(m, forward, args, kwargs)


def _accelerated(module: nn.Module) -> bool:
    return getattr(type(module), "is_accelerated", False)


def _of_a_library(module: nn.Module) -> bool:
    """A layer with a forward that is not the user's: it stands in the graph as one call.

    What inherits from such a layer and has a forward of its own stands there, too, as it is.
    """
    for kind in type(module).__mro__:
        home = kind.__module__
        if home.startswith(_MODULES_OF_ITS_OWN) and kind is not nn.Module:
            return kind not in (nn.Sequential, nn.ModuleList, nn.ModuleDict, Stages)
    return False


def _context() -> tuple[Any, ...]:
    saving = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        saving is not None and saving(True) is not None,
    )


def follow(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, sized: bool = False
) -> fx.Graph:
    """The graph of a module's forward for calls like one; nothing of the module is changed.

    What is no tensor is the same at all of them; ``sized``: and so are the sizes of those.

    Raises:
        Refused: it cannot be followed, or not so that the graph says the same at every call.
    """
    if why := left_alone_root(module):
        raise Refused(why)
    for name, part in module.named_modules():
        if part is not module and not untouched(part):
            raise Refused(f"{name} has hooks, which are to be called once")
        if part is not module and _calls_itself(part):
            raise Refused(f"{name} has a way of its own to be called")
    given = _named(module, args, kwargs)
    tracer = _Tracer(given, Sizes(module, given) if sized else None)
    if type(module) is Stages:
        tracer.traced_func_name = "one_by_one"
    before, dice = _state(module), _dice()
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.enable_grad():
            warnings.simplefilter("ignore")
            tracer.context = _context()
            with _ONE, nothing_changed(module), torch.enable_grad(), _telling(tracer):
                graph = tracer.trace(module)
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise Refused(tracer.refused or f"it cannot be followed: {said[:160]}") from None
    finally:
        changed = _put_back(module, before)
        drawn = _thrown(dice)
    if tracer.refused:
        raise Refused(tracer.refused)
    if changed:
        raise Refused(f"it changes {changed} as it runs")
    if drawn:
        raise Refused("it draws random numbers outside of the graph")
    for node in graph.nodes:
        if node.op == "get_attr" and "_tensor_constant" in node.target:
            raise Refused("it makes a tensor of its own on the way")
    return graph


def _constant(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def _named(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names of the forward's parameters, defaults too."""
    try:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise Refused(f"it does not take these arguments: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)


@contextlib.contextmanager
def _telling(tracer: _Tracer) -> Iterator[None]:
    """Autograd functions and contexts tell a tracer of themselves, which does not see them."""
    places: list[tuple[Any, str, str]] = [
        (torch.autograd.Function, "apply", "it has an autograd function of its own"),
        (torch.enable_grad, "__enter__", "a part of it asks for gradients by itself"),
        (torch.set_grad_enabled, "__init__", "a part of it asks for gradients by itself"),
    ]

    def teller(old: Any, why: str) -> Any:
        by_class = isinstance(old, classmethod)
        plainly = old.__func__ if by_class else old

        @functools.wraps(plainly)
        def tell(*args: Any, **kwargs: Any) -> Any:
            if not tracer.elsewhere():
                raise tracer.refuse(why)
            return plainly(*args, **kwargs)

        return classmethod(tell) if by_class else tell

    with contextlib.ExitStack() as stack:
        for home, name, why in places:
            old = home.__dict__[name]
            setattr(home, name, teller(old, why))
            stack.callback(setattr, home, name, old)
        yield


def _calls_itself(module: nn.Module) -> bool:
    """Whether what a class does around its forward would be done twice."""
    if isinstance(module, torch.jit.ScriptModule):
        return False
    kinds = [kind for kind in type(module).__mro__ if kind not in (nn.Module, object)]
    return any("__call__" in kind.__dict__ for kind in kinds)


def left_alone_root(module: nn.Module) -> str:
    """Why the outermost module is called as it is; its hooks are called around it."""
    if "forward" in module.__dict__:
        return "another forward was put in its place"
    if isinstance(module, torch.jit.ScriptModule | torch._dynamo.OptimizedModule):
        return "it is compiled already"
    return "parametrizations" if getattr(module, "parametrizations", None) else ""


def _state(module: nn.Module) -> list[tuple[nn.Module, dict[str, Any], dict[str, Any]]]:
    """What modules hold beside layers and tensors: the attributes, and copies of collections."""
    found = []
    for part in module.modules():
        held = dict(part.__dict__)
        inner = {
            name: copy.copy(value)
            for name, value in held.items()
            if name not in _INTERNAL and type(value) in (list, dict, set)
        }
        inner |= {name: dict(held[name]) for name in ("_parameters", "_buffers", "_modules")}
        found.append((part, held, inner))
    return found


def _put_back(
    module: nn.Module, before: list[tuple[nn.Module, dict[str, Any], dict[str, Any]]]
) -> str:
    """Make undone what a traced forward did to modules; the first name that it changed."""
    changed = ""
    for part, held, inner in before:
        now = part.__dict__
        for name in [*held, *(n for n in now if n not in held)]:
            if name not in held or now.get(name) is not held[name]:
                changed = changed or name
        for name, old in inner.items():
            value = held[name]
            if not _same(value, old):
                changed = changed or name
                value.clear()
                value.extend(old) if isinstance(value, list) else value.update(old)
        if changed:
            now.clear()
            now.update(held)
    return changed


def _same(value: Any, old: Any) -> bool:
    if len(value) != len(old):
        return False
    if isinstance(value, dict):
        return all(k in old and old[k] is v for k, v in value.items())
    if isinstance(value, set):
        return bool(value == old)
    return all(a is b for a, b in zip(value, old, strict=True))


def _dice() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _thrown(before: tuple[Any, ...]) -> bool:
    """Whether random numbers were drawn; the generators go back to where they were."""
    python, array, torchs = before
    now = _dice()
    same = (
        now[0] == python
        and now[1][2] == array[2]
        and np.array_equal(now[1][1], array[1])
        and torch.equal(now[2], torchs)
    )
    if not same:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(torchs)
    return not same
