"""What modules share: a module is a stored call, checked when it is made.

The attributes are the truth: what is set on a module afterwards (``pool.ceil_mode = True``) holds
from the next call on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from cenote import _args, _checks
from cenote.window import Window

__all__ = ["GeM", "Recipe", "Sliding"]


class Recipe(torch.nn.Module):
    """A function of ``rank`` axes and its arguments, each an attribute by its own name.

    Classes that torch has too inherit from torch's as well, so that everybody's tools recognise
    them.
    """

    rank: ClassVar[int]
    _function: ClassVar[Callable[..., Any]]
    _tuples: ClassVar[tuple[str, ...]] = ()  # what torch's module holds as tuples

    def _store(self, **arguments: Any) -> None:
        torch.nn.Module.__init__(self)  # torch's own classes take fewer arguments
        for name, value in arguments.items():
            every = name in self._tuples and type(value) in (int, float)
            setattr(self, name, (value,) * self.rank if every else value)

    def _check_mode(self) -> None:
        name, modes = type(self).__name__, _checks.PADDING_MODES
        _checks.check_choice(name, "padding_mode", self.padding_mode, modes)

    def extra_repr(self) -> str:
        """The arguments that are not the defaults; of torch's classes what torch shows, too."""
        shown = super().extra_repr()
        parts = [shown] if shown else []
        for name, parameter in inspect.signature(type(self).__init__).parameters.items():
            if name in ("self", "_random_samples") or f"{name}=" in shown:
                continue
            value = getattr(self, name)
            same_stride = name == "stride" and value == getattr(self, "kernel_size", None)
            if isinstance(value, Tensor):
                parts.append(f"{name}={_few(value)}")
            elif value != parameter.default and not same_stride:
                parts.append(f"{name}={value!r}")
        return ", ".join(parts)


def _few(value: Tensor) -> str:
    """A number that a tensor holds, or what shape it has."""
    if value.numel() == 1 and value.device.type != "meta":
        return f"{value.item():.4g}"
    return f"tensor of {tuple(value.shape)}"


class Sliding(Recipe):
    """A window that slides."""

    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    ceil_mode: bool
    padding_mode: str

    def __init__(
        self,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        ceil_mode: bool,
        padding_mode: str,
    ) -> None:
        self._store(
            kernel_size=kernel_size, stride=kernel_size if stride is None else stride,
            padding=padding, dilation=dilation, ceil_mode=ceil_mode, padding_mode=padding_mode,
        )  # fmt: skip
        _ = self.window  # bad arguments are to fail here, where they were written
        self._check_mode()

    @property
    def window(self) -> Window:
        """The window that the attributes describe."""
        return _args.pool_window(
            type(self).__name__, self.rank, self.kernel_size, self.stride, self.padding,
            self.dilation, self.ceil_mode,
        )  # fmt: skip


class GeM(Recipe):
    """A generalised mean, whose exponent is learnt unless it is not to be."""

    p: Any
    eps: float

    def _learn(self, p: float, eps: float, learnable: bool) -> None:
        name = type(self).__name__
        exponent = _checks.check_number(name, "p", p)
        self.p = torch.nn.Parameter(torch.tensor([exponent])) if learnable else exponent
        self.eps = _checks.check_number(name, "eps", eps)

    @property
    def learnable(self) -> bool:
        """Whether ``p`` is a parameter."""
        return isinstance(self.p, torch.nn.Parameter)
