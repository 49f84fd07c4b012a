"""One forward pass, watched: every operator with what it was given, who called it, and its time."""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from cenote.inspection.tracing.callers import Callers
from cenote.inspection.tracing.calls import Call, Constant, Place, Ref, Trace, leaves, replaced
from cenote.inspection.tracing.exported import runner_of

__all__ = ["Watcher", "watched_pass"]

_UNSEEN = frozenset({"aten::detach", "aten::alias", "aten::lift_fresh", "aten::_to_copy_view"})
"""What autograd does for itself: the result is the same value."""
_SHAPES_ONLY = frozenset(
    {
        "aten::empty_like", "aten::zeros_like", "aten::ones_like", "aten::full_like",
        "aten::new_zeros", "aten::new_ones", "aten::new_empty", "aten::new_full",
        "aten::rand_like", "aten::randn_like", "aten::new_empty_strided", "aten::randint_like",
        "aten::sym_size", "aten::is_same_size",
    }
)  # fmt: skip
"""What takes a tensor for its sizes alone: the result depends on no input."""
_SMALL = 1 << 20  # elements of a constant that a rule may want to read: indices


class Watcher(TorchDispatchMode):
    """Notes every operator that is called while it is active.

    Values are numbered; a tensor that is overwritten in place becomes another value, and so do
    those that share its storage.
    """

    def __init__(self, model: nn.Module, maps: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace()
        self.maps = maps
        # Elsewhere than on the CPU an operator returns before it is done.
        self.waits = any(p.device.type not in ("cpu", "meta") for p in model.parameters())
        self.callers = Callers(model)
        self._values: Any = WeakTensorKeyDictionary()
        self._count = 0
        self._living: dict[int, list[tuple[int | None, Any, Place]]] = {}
        self._owned: Any = WeakTensorKeyDictionary()
        for name, parameter in model.named_parameters():
            self._owned[parameter] = [name]
        self._wrote: dict[int, tuple[int, int]] = {}
        self._kept: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled meanwhile: torch need not import its compiler to say so."""
        return False

    # Values.

    def give(self, tensor: Tensor, value: int | None = None) -> int:
        """Number ``tensor`` as a value, a new one unless it is given."""
        if value is None:
            value = self._count
            self._count += 1
        self._values[tensor] = value
        place = _place(tensor)
        if place is not None:
            self._settle(value, tensor, place)
        return value

    def _settle(self, value: int | None, tensor: Tensor, place: Place) -> None:
        self._living.setdefault(place.storage, []).append((value, weakref.ref(tensor), place))

    def value_of(self, tensor: Tensor) -> int | None:
        """The value that ``tensor`` is now; None for constants and parameters."""
        found: int | None = self._values.get(tensor)
        return found

    def _ref(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        value = self.value_of(leaf)
        if value is not None:
            return Ref(value, tuple(leaf.shape), leaf.dtype)
        integers = not leaf.is_floating_point() and not leaf.is_complex()
        if integers and leaf.numel() <= _SMALL and leaf.device.type != "meta":
            return leaf.detach().cpu().clone()
        return Constant(tuple(leaf.shape), leaf.dtype)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if _composite(func):  # seen whole in inference mode alone
            with self:
                made_of = func.decompose(*args, **kwargs)
            if made_of is not NotImplemented:
                return made_of
        start = time.perf_counter()
        result = func(*args, **kwargs)
        if self.waits:
            torch.accelerator.synchronize()
        seconds = time.perf_counter() - start
        given = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
        name = func._schema.name
        traced = [t for t in given if t in self._values]
        if not traced or name in _SHAPES_ONLY:
            self.trace.elsewhere += seconds
            self._inherit(given, made)
            return result
        if name in _UNSEEN:
            self.give(made[0], self._values[given[0]])
            self.trace.elsewhere += seconds
            return result
        self._note(func, args, kwargs, given, made, seconds)
        return result

    def _inherit(self, given: list[Tensor], made: list[Tensor]) -> None:
        """What is made of parameters alone still is those parameters.

        Constants are remembered where they lie: a result may be written into one later.
        """
        names = [name for t in given for name in self._owned.get(t, ())]
        for tensor in made:
            if names:
                self._owned[tensor] = names
            place = _place(tensor)
            if place is not None:
                self._wrote.pop(place.storage, None)
                self._settle(None, tensor, place)

    def _note(
        self, func: Any, args: Any, kwargs: Any, given: list[Tensor], made: list[Tensor],
        seconds: float,
    ) -> None:  # fmt: skip
        held = replaced((tuple(args), dict(kwargs)), self._ref)
        index = len(self.trace.calls)
        overwritten = _overwritten(func, args, kwargs)
        fresh = [t for t in made if not any(t is o for o in overwritten)]
        name, number = self.callers.innermost
        call = Call(
            func, held[0], held[1], name, number, [], [],
            [tuple(t.shape) for t in given], [tuple(t.shape) for t in made],
            str(made[0].dtype).removeprefix("torch.") if made else "",
            [n for t in given for n in self._owned.get(t, ())],
            sum(map(_bytes, given)), 0, seconds,
        )  # fmt: skip
        storages = {_storage(t) for t in given}
        for tensor in made:
            if any(tensor is other for other in overwritten):
                continue
            call.made.append(self.give(tensor))
        for tensor in overwritten:
            self._overwrite(call, tensor)
        for value in call.made:
            self.trace.makers[value] = index
        new = [t for t in fresh if _storage(t) not in storages]
        call.written = sum(map(_bytes, new)) + sum(map(_bytes, overwritten))
        for tensor in new:
            self._wrote[_storage(tensor)] = (index, _bytes(tensor))
            self._kept.discard(_storage(tensor))
        if self.maps and made:
            call.output = made[0].detach().clone()
        self.trace.calls.append(call)

    def _overwrite(self, call: Call, tensor: Tensor) -> None:
        """Give ``tensor`` a new value, and each living tensor that shares its storage."""
        old, place = self.value_of(tensor), _place(tensor)
        new = self._count
        self._count += 1
        self._values[tensor] = new
        call.made.insert(0, new)
        if place is None:
            return
        living: list[tuple[int | None, Any, Place]] = []
        for value, reference, where in self._living.get(place.storage, ()):
            other = reference()
            if other is None or other is tensor:
                continue
            if where == place and value is not None and value == old:
                after = new
            else:
                after = self._count
                self._count += 1
                call.aliases.append((-1 if value is None else value, after, where, place))
                self.trace.makers[after] = len(self.trace.calls)
            self._values[other] = after
            living.append((after, reference, where))
        living.append((new, weakref.ref(tensor), place))
        self._living[place.storage] = living

    def result(self, tensor: Tensor, value: int) -> int:
        """The value of what the network returned, made by an operator of that shape.

        What was written into piece by piece was made by none: one that does nothing stands for it.
        """
        index = self.trace.makers.get(value)
        if index is None or value in self.trace.calls[index].made:
            return value
        ref = Ref(value, tuple(tensor.shape), tensor.dtype)
        whole, self._count = self._count, self._count + 1
        call = Call(
            torch.ops.aten.alias.default, (ref,), {}, "", 0, [whole], [], [ref.shape],
            [ref.shape], str(tensor.dtype).removeprefix("torch."), [], 0, 0, 0.0,
        )  # fmt: skip
        if self.maps:
            call.output = tensor.detach().clone()
        self.trace.makers[whole] = len(self.trace.calls)
        self.trace.calls.append(call)
        return whole

    # What a backward pass would need.

    def pack(self, tensor: Tensor) -> None:
        """Count a tensor that autograd would keep, once, for the operator that wrote it.

        It is not kept: nobody will ask for it, and a pass takes no more memory than it would alone.
        """
        storage = _storage(tensor)
        if storage in self._wrote and storage not in self._kept:
            self._kept.add(storage)
            index, count = self._wrote[storage]
            self.trace.calls[index].kept += count


@lru_cache(maxsize=4096)
def _composite(func: Any) -> bool:
    """Whether an operator is made of others, and PyTorch takes it apart where it can."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return bool(func.namespace == "aten" and has(func.name(), "CompositeImplicitAutograd"))


def _place(tensor: Tensor) -> Place | None:
    if tensor.layout is not torch.strided:
        return None
    return Place(
        _storage(tensor), int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride())
    )


def _storage(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse, opaque
        return id(tensor)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _overwritten(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that an operator writes into, by its schema."""
    found: list[Tensor] = []
    if not func._schema.is_mutable:
        return found
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        found += [leaf for leaf in leaves(value) if isinstance(leaf, Tensor)]
    return found


@contextlib.contextmanager
def _as_it_was(model: nn.Module, training: bool) -> Iterator[None]:
    """Put the network into a mode, and everything that a pass may change back afterwards."""
    flags = {module: module.training for module in model.modules()}
    state = torch.get_rng_state()
    buffers = [(b, b.detach().clone()) for b in model.buffers() if b.device.type != "meta"]
    try:
        with contextlib.suppress(NotImplementedError):  # an exported network has one mode
            model.train(training)
        yield
    finally:
        for module, flag in flags.items():
            module.training = flag
        with torch.no_grad():
            for buffer, before in buffers if training else ():
                buffer.copy_(before)
        torch.set_rng_state(state)


def watched_pass(
    model: nn.Module,
    held: tuple[tuple[Any, ...], dict[str, Any]],
    tensors: list[Tensor],
    *,
    maps: bool,
    backward: bool,
    training: bool,
) -> tuple[Trace, Watcher]:
    """Run ``model`` once and note what it does; an error is noted too, not raised."""
    watcher = Watcher(model, maps)
    for tensor in tensors:
        value = watcher.give(tensor)
        watcher.trace.inputs.append(Ref(value, tuple(tensor.shape), tensor.dtype))
    hooks: Callable[..., Any] = torch.autograd.graph.saved_tensors_hooks
    saving: Any = hooks(watcher.pack, lambda _: None) if backward else contextlib.nullcontext()
    with contextlib.ExitStack() as around:
        around.enter_context(_as_it_was(model, training))
        around.enter_context(torch.set_grad_enabled(backward))
        around.enter_context(watcher.callers.hooked())
        around.enter_context(saving)
        if "torch._dynamo" in sys.modules:  # only then is anything compiled; importing it is slow
            around.enter_context(torch.compiler.set_stance("force_eager"))
        around.enter_context(watcher)
        start = time.perf_counter()
        try:
            result = runner_of(model, watcher.callers.told)(*held[0], **held[1])
        except Exception as error:
            watcher.trace.error = error
            raised = watcher.callers.raised
            if raised is not None and raised[0] is error:
                watcher.trace.failed = raised[1]
            result = None
        watcher.trace.seconds = time.perf_counter() - start
    for leaf in tree_leaves(result):
        found = watcher.value_of(leaf) if isinstance(leaf, Tensor) else None
        if found is not None:
            watcher.trace.outputs.append(watcher.result(leaf, found))
    return watcher.trace, watcher
