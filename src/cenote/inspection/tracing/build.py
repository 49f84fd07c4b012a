"""``inspect``: watch one forward pass of any network, and make a record of it."""

from __future__ import annotations

import contextlib
import gc
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten_with_path, tree_map

from cenote.inspection.record import Failure, Input, Module, Operator, Record
from cenote.inspection.tracing.callers import Callers
from cenote.inspection.tracing.calls import Call, Trace
from cenote.inspection.tracing.fields import Fields
from cenote.inspection.tracing.given import Given
from cenote.inspection.tracing.kinds import cost_of, details_of, kind_of
from cenote.inspection.tracing.sight import Sight
from cenote.inspection.tracing.watch import Watcher, watched_pass
from cenote.inspection.tracing.windows import window_of_call

__all__ = ["inspect"]


def inspect(
    model: nn.Module,
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    spatial: int | None = None,
    maps: bool = False,
    backward: bool = True,
    training: bool = False,
    passes: int = 1,
) -> Record:
    """Watch one forward pass of ``model`` on ``inputs``, and record every operator of it.

    The network is not changed: it runs once as it is (``passes`` times, if its times shall be
    medians), in evaluation mode unless ``training``, and parameters, buffers, flags, gradients and
    the state of torch's random numbers are what they were before. Operators are seen whether
    modules or functions call them, also where Python decides what runs.

    Args:
        model: any module.
        *inputs: what the network is called with: tensors, or lists and dictionaries that hold
            some. Receptive fields are about their spatial axes, those after batch and channels.
        kwargs: what else it is called with, by name.
        spatial: how many of the last axes of each input are spatial; by default all after the
            second: 2 of (N, C, H, W).
        maps: keep the output of every operator, for pictures.
        backward: note what a backward pass would keep; the pass then runs with gradients on.
        training: run in training mode.
        passes: how many passes times are medians of.

    Returns:
        A :class:`cenote.inspection.Record`. Where the network raised an error, it holds everything
        up to there, and :attr:`Record.error` says which module it was.

    Raises:
        TypeError: ``model`` is no module, or there is no tensor among the inputs.
        ValueError: ``spatial`` or ``passes`` is out of range.

    >>> import torch, cenote
    >>> record = inspect(cenote.models.lenet5(), torch.zeros(1, 1, 28, 28))
    >>> record.named("features.pool2")[0].field.sizes
    (16, 16)
    >>> record.totals.macs
    416520
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model = {type(model).__name__}: must be a torch.nn.Module")
    if passes < 1:
        raise ValueError(f"passes = {passes}: must be at least 1")
    model = getattr(model, "_orig_mod", model)  # what torch.compile wrapped
    with _ONE_AT_A_TIME, _unswept():
        return _passes(model, inputs, dict(kwargs or {}), spatial, passes, maps=maps,
                       backward=backward, training=training)  # fmt: skip


T = TypeVar("T")
_ONE_AT_A_TIME = threading.RLock()  # hooks on all modules belong to one pass


class Deferred(Sequence[T]):
    """A tuple that is made when somebody first looks into it: who wants maps alone never does."""

    def __init__(self, make: Callable[[], tuple[T, ...]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[T, ...] | None = None

    def _all(self) -> tuple[T, ...]:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made

    def __getitem__(self, at: Any) -> Any:
        return self._all()[at]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[T]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, Deferred) else other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


@contextlib.contextmanager
def _unswept() -> Iterator[None]:
    """Let nobody look for garbage meanwhile: a record is many objects, none of which goes."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _passes(
    model: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], spatial: int | None,
    passes: int, *, maps: bool, backward: bool, training: bool,
) -> Record:  # fmt: skip
    meta = any(parameter.is_meta for parameter in model.parameters())
    seen = None
    seconds: list[list[float]] = []
    for _ in range(passes):
        held = tree_map(partial(_own, meta=meta), (inputs, kwargs))
        given, tensors = _inputs(held, spatial)
        seen = watched_pass(model, held, tensors, maps=maps, backward=backward, training=training)
        seconds.append([seen[0].seconds, *(call.seconds for call in seen[0].calls)])
    assert seen is not None
    trace, watcher = seen
    if len({len(times) for times in seconds}) == 1:
        trace.seconds, *each = map(statistics.median, zip(*seconds, strict=True))
        for call, time in zip(trace.calls, each, strict=True):
            call.seconds = time
    hint = None
    if isinstance(trace.error, (RuntimeError, ValueError)):
        hint = _hint(model, held)
    return _record(model, given, trace, watcher, backward, training, hint)


def _hint(model: nn.Module, held: tuple[tuple[Any, ...], dict[str, Any]]) -> str | None:
    """What would have fitted where sizes do not."""
    from cenote.inspection.dry.shapes import explain_mismatch

    found = explain_mismatch(model, *held[0], kwargs=held[1])
    return None if found is None else str(found)


def _own(leaf: Any, meta: bool) -> Any:
    """A tensor of our own, so that a network that works in place spoils nothing."""
    if not isinstance(leaf, Tensor):
        return leaf
    return leaf.detach().to("meta") if meta else leaf.detach().clone()


def _inputs(held: Any, spatial: int | None) -> tuple[tuple[Input, ...], list[Tensor]]:
    """Every tensor among what the network is called with, by its place there."""
    given, tensors = [], []
    for path, leaf in tree_flatten_with_path(held)[0]:
        if not isinstance(leaf, Tensor):
            continue
        shape = tuple(leaf.shape)
        count = max(0, len(shape) - 2) if spatial is None else spatial
        if not 0 <= count <= len(shape):
            raise ValueError(f"spatial = {spatial}: must lie in 0 to {len(shape)}, of {shape}")
        axes = tuple(range(len(shape) - count, len(shape)))
        parts = [str(getattr(key, "key", getattr(key, "idx", ""))) for key in path[1:]]
        name = ".".join([f"input{parts[0]}", *parts[1:]] if parts[0].isdigit() else parts)
        given.append(Input(name, shape, str(leaf.dtype).removeprefix("torch."), axes))
        tensors.append(leaf)
    if not tensors:
        raise TypeError(
            "inputs: no tensor among them; call inspect(model, x) as you would call model(x)"
        )
    return tuple(given), tensors


def _record(
    model: nn.Module, given: tuple[Input, ...], trace: Trace, watcher: Watcher, backward: bool,
    training: bool, hint: str | None,
) -> Record:  # fmt: skip
    model_parameters = {name: p.numel() for name, p in model.named_parameters()}
    seen = _seen(model, watcher.callers, trace)
    operators: Sequence[Operator] = Deferred(
        lambda: _operators(model_parameters, trace, given, backward)
    )
    error = None
    if trace.error is not None:
        module = dict(model.named_modules()).get(trace.failed, model)
        said = f"{type(trace.error).__name__}: {trace.error}"
        error = Failure(trace.failed, type(module).__name__, said, hint)
    outputs = tuple(dict.fromkeys(trace.makers[v] for v in trace.outputs if v in trace.makers))
    return Record(
        type(model).__name__, given, operators, _modules(model, watcher.callers), outputs,
        sum(model_parameters.values()), training, trace.seconds, error,
        Deferred(lambda: _notes(seen, operators)), _taps_of(trace, given),
    )  # fmt: skip


def _operator(
    index: int, call: Call, trace: Trace, fields: Fields, parameters: int, backward: bool
) -> Operator:
    shapes = Shapes(call)
    kind = kind_of(shapes)
    window = window_of_call(shapes)
    if window is not None:
        n = call.input_shapes[0][len(call.input_shapes[0]) - len(window) :]
        window = window.at(n)
    macs, flops = cost_of(shapes, kind) if fields.unknown[index] is None or window else (None, None)
    inputs = [-1 - i for i in range(len(trace.inputs))]
    where = {ref.value: inputs[i] for i, ref in enumerate(trace.inputs)}
    sources = dict.fromkeys(trace.makers.get(r.value, where.get(r.value, -1)) for r in call.refs)
    weighs = [n for n in call.parameters if n.rpartition(".")[2].endswith("weight")]
    return Operator(
        index, call.name, call.number, kind, call.operator, tuple(s for s in sources if s < index),
        window, tuple(call.input_shapes), tuple(call.output_shapes), call.dtype, parameters,
        macs, flops, call.read, call.written, call.kept if backward else None, call.seconds,
        fields.of_call[index], fields.unknown[index], details_of(shapes, kind),
        weighs[0] if weighs else None, call.output,
    )  # fmt: skip


class Shapes(Given):
    """A call by the sizes of its arguments alone: what kinds and costs ask for."""

    def __init__(self, call: Call) -> None:
        super().__init__(call, {})

    def sight(self, argument: Any) -> Sight:
        """The sizes of an argument."""
        return Sight(tuple(getattr(argument, "shape", ())))


def _modules(model: nn.Module, callers: Callers) -> tuple[Module, ...]:
    found = []
    for name, module in model.named_modules():
        if name in callers.called:
            kind = callers.kinds.get(name, type(module).__name__)
            parameters = sum(p.numel() for p in module.parameters())
            found.append(Module(name, kind, parameters, callers.called[name]))
    return tuple(found)


def _seen(model: nn.Module, callers: Callers, trace: Trace) -> list[str]:
    """What the reader should know of how the pass went."""
    notes = []
    weights = {name for call in trace.calls for name in call.parameters}
    if any(parameter.is_meta for parameter in model.parameters()):
        notes.append("parameters are on meta: nothing was computed, times mean nothing")
    holders = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
    unseen = {
        name for name, module in model.named_modules()
        if name not in callers.called and not isinstance(module, holders)
        and not any(used.startswith(f"{name}.") for used in weights)
    }  # fmt: skip
    outermost = sorted(n for n in unseen if n.rpartition(".")[0] not in unseen)
    if outermost and trace.error is None and not callers.kinds:
        shown = ", ".join(outermost[:5]) + (", ..." if len(outermost) > 5 else "")
        notes.append(f"never called: {shown}")
    if any(call.base == "aten::_local_scalar_dense" for call in trace.calls):
        notes.append("values were read into Python (.item()): what it made of them is not followed")
    if trace.error is None and not trace.outputs:
        notes.append("the network returned no tensor that depends on an input")
    return notes


def _notes(seen: list[str], operators: Sequence[Operator]) -> tuple[str, ...]:
    unknown = dict.fromkeys(o.unknown for o in operators if o.unknown)
    if unknown:
        seen = [*seen, f"fields are unknown from {', '.join(unknown)} on"]
    return tuple(seen)


def _operators(
    counts: dict[str, int], trace: Trace, given: tuple[Input, ...], backward: bool
) -> tuple[Operator, ...]:
    """What each call was, what it cost, what its units see."""
    with _unswept():
        fields = Fields(trace, given)
        used: set[str] = set()
        operators = []
        for index, call in enumerate(trace.calls):
            fresh = {name for name in call.parameters if name not in used}
            used |= fresh
            own = sum(counts.get(name, 0) for name in fresh)
            operators.append(_operator(index, call, trace, fields, own, backward))
    return tuple(operators)


def _taps_of(trace: Trace, given: tuple[Input, ...]) -> Any:
    def taps(operator: int, unit: tuple[int, ...], input: int = 0) -> Any:
        from cenote.inspection.tracing.taps import exact_taps

        return exact_taps(trace, given, operator, unit, input)

    return taps
