"""Layers that go row by row: a few rows at a time go through all of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cenote import _args, _separable
from cenote.acceleration.sketch import Step
from cenote.acceleration.steps.convolutions import Convolution
from cenote.acceleration.steps.held import usable
from cenote.acceleration.steps.pools import Pool

__all__ = ["InStrips"]


class InStrips(Step):
    """A convolution, one of single channels or a maximum, and a 1x1 convolution, or two of them.

    A few rows at a time go through all. What is added to the result of the last one, where it is a
    convolution, is the second argument.
    """

    fresh = True

    def __init__(
        self, first: Convolution | None, middle: Convolution | Pool, last: Convolution | None
    ) -> None:
        super().__init__()
        self.first, self.middle, self.last = first, middle, last
        self.steps = [step for step in (first, middle, last) if step is not None]
        self.convolutions = [step for step in self.steps if isinstance(step, Convolution)]

    @property
    def finite(self) -> bool:
        """Whether NaN may get lost where the layers go one by one."""
        return any(step.finite for step in self.convolutions)

    def forget(self) -> None:
        """Drop what was computed from parameters."""
        for step in self.convolutions:
            step.forget()

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """What the layers make of ``x``, and of ``other`` added to it."""
        outs = self._outs(x)
        if not outs or not self._adds(x, other, outs):
            return self._one_by_one(x, other)
        found = {step: step.held() for step in self.convolutions}
        if None in found.values():
            return self._one_by_one(x, other)
        first, middle, last = (
            step.panels(held) if isinstance(step, Convolution) and (held := found[step]) else None
            for step in (self.first, self.middle, self.last)
        )
        return _separable.separable(
            x, first, middle, last, self._slides(), other, windows=_windows(self.first), outs=outs
        )

    def _one_by_one(self, x: Tensor, other: Tensor | None) -> Tensor:
        for step in self.steps[:-1]:
            x = step(x)
        last: Any = self.steps[-1]
        made: Tensor = last(x) if other is None else last(x, other)
        return made

    def _slides(self) -> _separable.Windows:
        middle = self.middle
        if isinstance(middle, Convolution):
            return _windows(middle)
        every: Any = map(middle.every, ("kernel_size", "stride", "padding"))
        return _separable.Windows(*every)

    def _outs(self, x: Tensor) -> tuple[int, ...]:
        """The lengths of the result; nothing where ``x`` is not computed so."""
        begin = self.convolutions[0]
        if not usable(x) or x.shape[1] != begin.layer.in_channels:
            return ()
        if not (begin.converts or _separable.pitch(x)):
            return ()
        n: tuple[int, ...] = tuple(x.shape[2:])
        if self.first is not None:
            n = _windows(self.first).outs(n)
        if min(n) < 1:
            return ()
        middle = self.middle
        if isinstance(middle, Convolution):
            outs = _windows(middle).outs(n)
        else:
            given = (middle.get(name) for name in middle.names[:5])
            outs = _args.pool_window("max_pool2d", 2, *given).out(n)
        return outs if min(outs) > 0 else ()

    def _adds(self, x: Tensor, other: Tensor | None, outs: tuple[int, ...]) -> bool:
        """Whether ``other`` is added element by element, if at all."""
        if other is None:
            return True
        channels = self.convolutions[-1].layer.out_channels
        return usable(other) and tuple(other.shape) == (len(x), channels, *outs)


def _windows(step: Convolution | None) -> _separable.Windows:
    if step is None:
        return _separable.Windows()
    (down, across), (above, left), _, _ = step.numbers()
    height, width = step.layer.weight.shape[2:]
    return _separable.Windows((height, width), (down, across), (above, left))
