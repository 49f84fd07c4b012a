"""A forward pass without numbers, that goes on after what does not fit."""

from __future__ import annotations

import functools
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import cenote
from cenote.inspection.dry import calls, layers
from cenote.inspection.dry.misfit import DataDependentError, Finding, Misfit, sizes
from cenote.inspection.dry.swap import Saved, on_meta, without_numbers

__all__ = ["DryRun", "Seen", "Stop"]

_TORCH, _CENOTE = (str(Path(inspect.getfile(package)).parent) for package in (torch, cenote))
_NETWORKS = str(Path(_CENOTE) / "models")
_ERRORS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError)
_MENDS = 4  # of one call: channels, then element type, then size
_MOVES = frozenset({"to", "cpu", "cuda"})
_VALUES = frozenset(
    {
        "allclose", "argwhere", "array", "bincount", "bool", "contains", "equal", "float", "histc",
        "index", "int", "item", "masked_select", "nonzero", "numpy", "repeat_interleave", "tolist",
        "unique", "unique_consecutive",
    }
)  # fmt: skip
_WORDS = {"bool": "a condition", "getitem": "indexing by a mask"}
_CODE = 60  # characters of a line of code that are shown
_LAZY = ("in_features", "in_channels", "num_features")


class Stop(Exception):  # noqa: N818
    """What does not fit, and after what nothing can be said."""


@dataclass
class Seen:
    """One call of a module: the shapes of the tensors that it got and gave."""

    name: str
    call: int
    kind: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...] = ()
    inferred: dict[str, int] = field(default_factory=dict)


class DryRun(TorchFunctionMode):
    """Runs ``model`` without numbers; notes what modules get and give, and what does not fit."""

    def __init__(self, model: nn.Module, prefix: str = "") -> None:
        super().__init__()
        self.model = getattr(model, "_orig_mod", model)
        self._prefix = prefix
        self.seen: list[Seen] = []
        self.misfits: list[Misfit] = []
        self.stopped = False
        """Whether something did not fit after which there was no way to go on."""
        self._names: dict[int, str] = {}
        self._kinds: dict[int, str] = {}
        self._lazy: set[int] = set()
        for name, module in self.model.named_modules():
            self._names[id(module)] = ".".join(filter(None, (prefix, name)))
            self._kinds[id(module)] = type(module).__name__
            if getattr(module, "has_uninitialized_params", bool)():
                self._lazy.add(id(module))
        self._stack: list[nn.Module] = []
        self._owners: calls.Owners = {}
        self._counts: dict[str, int] = {}

    def run(self, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the network gives, without numbers.

        Raises:
            Stop: something does not fit, and there is no way to go on; it is the last misfit.
            DataDependentError: the network asks for numbers.
        """
        inputs, kwargs = on_meta(inputs), on_meta(kwargs)
        with torch.no_grad(), without_numbers(self.model, self._wrapped):
            named = (*self.model.named_parameters(), *self.model.named_buffers())
            path = f"{self._prefix}." if self._prefix else ""
            self._owners = {id(tensor): path + name for name, tensor in named}
            with self:
                return self.model(*inputs, **kwargs)

    # Modules.

    def _wrapped(self, module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._call(module, forward, args, kwargs)

        return call

    def _call(
        self, module: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        name = self._names[id(module)]
        number = self._counts.get(name, 0)
        self._counts[name] = number + 1
        shapes = _shapes((args, kwargs))
        entry = Seen(name, number, self._kinds[id(module)], shapes)
        if id(module) in self._lazy:
            entry.inferred = {key: getattr(module, key) for key in _LAZY if hasattr(module, key)}
        self.seen.append(entry)
        self._stack.append(module)
        try:
            result = self._mended(module, forward, args, kwargs)
        except _ERRORS as error:
            self._say_where(error, name, entry.kind)
            raise
        finally:
            self._stack.pop()
        entry.outputs = _shapes(result)
        return result

    def _mended(
        self, module: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What a module gives, as if it took what it gets."""
        try:
            return forward(*args, **kwargs)
        except _ERRORS as error:
            if not layers.is_known(module) or isinstance(error, DataDependentError):
                raise
        before = Saved(module)  # another call of it is to find what was written
        try:
            return self._mending(module, forward, args, kwargs)
        finally:
            before.restore()

    def _mending(
        self, module: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        before = len(self.misfits)
        for _ in range(_MENDS):
            try:
                return forward(*args, **kwargs)
            except _ERRORS as error:
                bound = inspect.signature(forward).bind(*args, **kwargs)
                args, kwargs = bound.args, bound.kwargs
                finding = layers.finding_of(
                    module, args, lambda *others, kwargs=kwargs: forward(*others, **kwargs)
                )
                if finding is None:
                    if len(self.misfits) == before:
                        self._unknown(module, error, _shapes((args, kwargs)), "")
                    raise Stop from error
                self._note(finding)
                if finding.result is not None:
                    return finding.result
                if finding.cause == "dimensions":
                    raise Stop from error
                args = finding.args or args
        raise Stop

    # Functions.

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = calls.plain_name(func)
        if name in ("get", "set", "dim", "size"):
            return func(*args, **kwargs)
        given = list(calls.tensors_in((args, kwargs)))
        bare = any(tensor.is_meta for tensor in given)
        if bare and not all(tensor.is_meta or tensor.dim() == 0 for tensor in given):
            args, kwargs = on_meta(args), on_meta(kwargs)
        if bare and name in _MOVES and args[0].is_meta:
            return _staying(name, args, kwargs)
        try:
            wrong = calls.silently_wrong(name, args, kwargs)
            if wrong:
                raise RuntimeError(wrong)
            return func(*args, **kwargs)
        except _ERRORS as error:
            if not bare:
                raise
            return self._instead(func, name, args, kwargs, error)

    def _instead(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception
    ) -> Any:
        """What a function that failed gives, as if its arguments fitted."""
        module = self._stack[-1] if self._stack else self.model
        if name in _VALUES or _asks_for_numbers(error):
            raise self._data_dependent(module, name) from None
        if layers.is_known(module):
            raise error
        finding = calls.finding_of(func, args, kwargs, self._owners)
        if finding is None:
            if not isinstance(error, RuntimeError):
                raise error
            self._unknown(module, error, _shapes((args, kwargs)), name)
            raise Stop from error
        self._note(finding)
        if finding.result is not None:
            return finding.result
        if finding.args is None:
            raise Stop from error
        return func(*finding.args, **kwargs)

    # Notes.

    def _note(self, finding: Finding) -> None:
        module = self._stack[-1] if self._stack else self.model
        known = layers.is_known(module) or type(module).__module__.startswith("torch.")
        misfit = Misfit(
            self._names[id(module)], self._kinds[id(module)], finding.got, finding.fits,
            finding.problem, finding.advice, "" if known else _user_line(), finding.cause,
        )  # fmt: skip
        if misfit not in self.misfits:
            self.misfits.append(misfit)

    def _unknown(self, module: nn.Module, error: Exception, got: Any, name: str) -> None:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        call = f"{name} of " if name else ""
        shapes = ", ".join(map(sizes, got))
        self._note(Finding(f"{call}{shapes}: {said}", got=tuple(got), cause="unknown"))

    def _data_dependent(self, module: nn.Module, name: str) -> DataDependentError:
        path, kind = self._names[id(module)], self._kinds[id(module)]
        layer = f"{path} ({kind})" if path else kind
        where = _user_line()
        place = f" [{where}]" if where else ""
        return DataDependentError(
            path,
            f"{layer}: {_WORDS.get(name, name)} needs the numbers of a tensor, and there are only "
            f"shapes{place}: use cenote.inspect(model, x) with a real input",
        )

    def _say_where(self, error: BaseException, name: str, kind: str) -> None:
        """Note on an error that the network itself raises which module it was."""
        if isinstance(error, DataDependentError) or getattr(error, "cenote_noted", False):
            return
        error.cenote_noted = True  # type: ignore[attr-defined]
        if hasattr(error, "add_note"):
            error.add_note(f"raised in {name} ({kind})" if name else f"raised in {kind}")


def _asks_for_numbers(error: Exception) -> bool:
    said = str(error)
    return isinstance(error, NotImplementedError) or any(
        words in said for words in ("meta tensor", "Meta tensors", "meta device type")
    )


def _shapes(value: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tensor.shape) for tensor in calls.tensors_in(value))


def _staying(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """A tensor that is to go to a device: only its element type changes."""
    x: Tensor = args[0]
    asked = [*args[1:], *kwargs.values()]
    dtypes = [a.dtype if isinstance(a, Tensor) else a for a in asked if name == "to"]
    return next((x.to(d) for d in dtypes if isinstance(d, torch.dtype)), x)


def _user_line() -> str:
    """The innermost line under way that is no library's: ``net.py:31: x = x + y``."""
    ours = [frame for frame in _frames(sys._getframe()) if not _library(frame)]
    if not ours:
        return ""
    path, number = ours[0].f_code.co_filename, ours[0].f_lineno
    code = linecache.getline(path, number).strip()
    code = code if len(code) <= _CODE else f"{code[: _CODE - 3]}..."
    return f"{Path(path).name}:{number}" + (f": {code}" if code else "")


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """From the innermost out, up to the beginning of the dry run."""
    while frame is not None and frame.f_code is not DryRun.run.__code__:
        yield frame
        frame = frame.f_back


def _library(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    inside = path.startswith(_CENOTE) and not path.startswith(_NETWORKS)
    return inside or path.startswith((_TORCH, "<frozen")) or path == functools.__file__
