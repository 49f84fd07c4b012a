"""Who calls: the modules that a pass is inside of, from hooks that leave the network as it is."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules import module as global_hooks

__all__ = ["Callers"]


class Callers:
    """The modules of ``model`` that are being called, innermost last, and how often each was."""

    def __init__(self, model: nn.Module) -> None:
        self.stack: list[tuple[str, int]] = []
        self.raised: tuple[BaseException, str] | None = None
        """The last error that left a module, and the innermost one that it left."""
        self.called: dict[str, int] = {}
        self.kinds: dict[str, str] = {}
        """Classes of modules that are known by hearsay alone."""
        self._thread = threading.get_ident()  # hooks on all modules are called by all threads
        self._names = {id(module): name for name, module in model.named_modules()}

    @property
    def innermost(self) -> tuple[str, int]:
        """The module at work, and how often it was called before; the model itself outside."""
        return self.stack[-1] if self.stack else ("", 0)

    @contextlib.contextmanager
    def hooked(self) -> Iterator[None]:
        """Follow the calls of all modules until the block ends."""
        handles = [
            global_hooks.register_module_forward_pre_hook(self._enter),
            global_hooks.register_module_forward_hook(self._leave, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, _: Any) -> None:
        name = self._names.get(id(module)) if threading.get_ident() == self._thread else None
        if name is not None:
            self.stack.append((name, self._count(name)))

    def _leave(self, module: nn.Module, _: Any, __: Any = None) -> None:
        if threading.get_ident() != self._thread:
            return
        error = sys.exc_info()[1]
        if error is not None and (self.raised is None or self.raised[0] is not error):
            self.raised = (error, self._names.get(id(module), ""))  # the innermost leaves first
        if id(module) in self._names and self.stack:
            self.stack.pop()

    def told(self, name: str, kind: str) -> None:
        """Note where an exported network's next operators came from."""
        self.kinds[name] = kind
        if self.innermost[0] != name or not self.stack:
            self.stack = [(name, self._count(name))]

    def _count(self, name: str) -> int:
        """How often ``name`` was called before this call."""
        number = self.called.get(name, 0)
        self.called[name] = number + 1
        return number
