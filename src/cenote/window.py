"""A window slides: the one relation that ties outputs, taps and inputs.

Along an axis of length ``n``, output ``o`` reads input ``i`` through tap ``k`` when

    i = o*stride - before + k*dilation,    0 <= i < n,    0 <= k < kernel

Everything else follows from it: output sizes, loop bounds, divisors, the backward pass, receptive
fields, tiling. Integers only, and no torch. ``native/window.h`` states the same relation for the
kernels; ``tests/test_window_native.py`` holds the two together.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from math import gcd, prod
from typing import Any

from cenote.field import Field
from cenote.spans import Spans, refuse_field

__all__ = ["Adaptive", "Axis", "Spans", "Window"]


@dataclass(frozen=True, slots=True, repr=False)
class Axis:
    """A window along one axis: ``kernel`` taps ``dilation`` apart, moved on by ``stride``.

    ``before`` and ``after`` are the padding at the two ends, in elements; both are ``None`` for
    "same" padding, whose amount depends on the input's length until :meth:`at` resolves it.
    With ``ceil`` the last window may hang over the end, as long as it starts inside the input or
    the padding before it.

    Raises:
        TypeError: an argument is not an integer.
        ValueError: kernel, stride or dilation below 1, padding below 0, or only one end "same".

    >>> Axis(kernel=3, stride=2, before=1, after=1).out(112)
    56
    >>> [Axis(3, 2, 1, 1).taps(o, 5) for o in range(3)]
    [range(1, 3), range(0, 3), range(0, 2)]
    """

    kernel: int
    stride: int = 1
    before: int | None = 0
    after: int | None = 0
    dilation: int = 1
    ceil: bool = False

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation"):
            value = _integer(name, getattr(self, name))
            if value < 1:
                raise ValueError(f"{name} = {value}: must be at least 1")
            object.__setattr__(self, name, value)
        if (self.before is None) != (self.after is None):
            raise ValueError(
                f"before = {self.before}, after = {self.after}: 'same' (None) pads both ends"
            )
        for name in ("before", "after"):
            if getattr(self, name) is None:
                continue
            value = _integer(name, getattr(self, name))
            if value < 0:
                raise ValueError(f"{name} = {value}: padding must not be negative")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "ceil", bool(self.ceil) and self.before is not None)
        if self.before is None and self.stride == 1:  # "same" does not depend on the length then
            object.__setattr__(self, "before", (self.extent - 1) // 2)
            object.__setattr__(self, "after", self.extent // 2)

    @classmethod
    def same(cls, kernel: int, stride: int = 1, dilation: int = 1) -> Axis:
        """The axis whose output length is ``ceil(n / stride)``, the odd element padded at the end.

        This is ONNX's SAME_UPPER and Keras' "same". With stride 1 the padding does not depend on
        the input's length and is known at once.

        >>> Axis.same(3)
        Axis(kernel=3, before=1, after=1)
        >>> Axis.same(3, stride=2).at(10)
        Axis(kernel=3, stride=2, after=1)
        """
        return cls(kernel, stride, None, None, dilation)

    @property
    def extent(self) -> int:
        """The length of input that one window spans: ``(kernel - 1) * dilation + 1``."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def resolved(self) -> bool:
        """Whether the padding is known: false for "same" with a stride, until :meth:`at`."""
        return self.before is not None

    def at(self, n: int) -> Axis:
        """This axis over an input of length ``n``, with "same" padding turned into numbers."""
        if self.before is not None:
            return self
        outputs = (n + self.stride - 1) // self.stride
        total = max(0, (outputs - 1) * self.stride + self.extent - n)
        return Axis(self.kernel, self.stride, total // 2, total - total // 2, self.dilation)

    @property
    def padding(self) -> tuple[int, int]:
        """``(before, after)`` as numbers; raises ValueError while "same" is unresolved."""
        if self.before is None or self.after is None:
            raise ValueError(f"{self}: 'same' padding depends on the length; call at(n) first")
        return self.before, self.after

    def out(self, n: int) -> int:
        """How many windows fit on an input of length ``n``; 0 where none does."""
        axis = self.at(n)
        before, after = axis.padding
        if axis.ceil:
            last = n + before - 1 + min(0, after - axis.extent + axis.stride)
        else:
            last = n + before + after - axis.extent
        return max(0, last // axis.stride + 1)

    def adjoint(self, n: int) -> int:
        """What a convolution's adjoint makes of length ``n``: the least with ``n`` outputs.

        With "same" padding ``n * stride``, the greatest that does.
        """
        before, after = self.cut
        if self.before is None:
            return n * self.stride
        return (n - 1) * self.stride + self.extent - before - after

    @property
    def cut(self) -> tuple[int, int]:
        """What the adjoint cuts off both ends: the padding, which has no input."""
        if self.before is not None:
            return self.padding
        total = max(0, self.extent - self.stride)
        return total // 2, total - total // 2

    def start(self, o: int) -> int:
        """The input position of output ``o``'s tap 0; negative in the padding."""
        return o * self.stride - self.padding[0]

    def taps(self, o: int, n: int) -> range:
        """The taps of output ``o`` that lie inside an input of length ``n``; may be empty."""
        start = self.start(o)
        first = max(0, -(start // self.dilation))
        stop = min(self.kernel, -((start - n) // self.dilation))
        return range(first, max(first, stop))

    def inputs(self, o: int, n: int) -> range:
        """The inputs that output ``o`` reads, one for each of :meth:`taps`, in the same order."""
        taps, start = self.taps(o, n), self.start(o)
        return range(
            start + taps.start * self.dilation, start + taps.stop * self.dilation, self.dilation
        )

    def outputs(self, i: int, n: int) -> range:
        """The outputs that read input ``i``, ascending: :meth:`inputs` transposed."""
        position = i + self.padding[0]
        step = self.stride // gcd(self.stride, self.dilation)
        # The taps that fall on i are one residue class modulo step; their outputs lie evenly apart.
        first = next(
            (k for k in range(step) if (position - k * self.dilation) % self.stride == 0), -1
        )
        if first < 0:
            return range(0)
        apart = self.dilation // gcd(self.stride, self.dilation)
        greatest = (position - first * self.dilation) // self.stride
        used = len(range(first, self.kernel, step))
        least = greatest - (used - 1) * apart
        least += max(0, -(least // apart)) * apart
        return range(least, max(least, min(greatest + 1, self.out(n))), apart)

    def tap(self, o: int, i: int) -> int:
        """The tap through which output ``o`` reads input ``i``, for a pair that does."""
        return (i - self.start(o)) // self.dilation

    def divisor(self, o: int, n: int, count_include_pad: bool = False) -> int:
        """How many elements output ``o``'s average counts, those of the padding too if asked."""
        if not count_include_pad:
            return len(self.taps(o, n))
        end = n + self.padding[1] - self.start(o)
        return max(0, min(self.kernel, -(-end // self.dilation)))

    def crop(self, o0: int, o1: int, n: int) -> tuple[slice, Axis]:
        """The part of an input that outputs ``o0`` to ``o1`` need, and the window on it.

        The returned axis, applied to that part, yields exactly those outputs: the padding that is
        left there takes the place of what was cut away.

        Raises:
            ValueError: outputs that do not exist, or one whose window lies wholly in the padding.

        >>> Axis(3, 1, 1, 1).crop(0, 4, 100)
        (slice(0, 5, None), Axis(kernel=3, before=1))
        """
        axis = self.at(n)
        if not 0 <= o0 < o1 <= axis.out(n):
            raise ValueError(
                f"outputs {o0} to {o1}: must lie in 0 to {axis.out(n)} and not be empty"
            )
        start, stop = axis.start(o0), axis.start(o1 - 1) + axis.extent
        low = min(max(start, 0), n)
        high = max(low, min(stop, n))
        end = n + axis.padding[1]  # past it lies no padding, only what ceil mode overhangs
        before, after = low - start, min(stop, end) - high
        if before < 0 or after < 0:
            raise ValueError(f"outputs {o0} to {o1}: a window wholly in the padding has no crop")
        kept = Axis(axis.kernel, axis.stride, before, after, axis.dilation, ceil=stop > end)
        return slice(low, high), kept

    @property
    def field(self) -> Field:
        """The receptive field of this window: ``(size=extent, jump=stride, offset=-before)``."""
        return Field(size=self.extent, jump=self.stride, offset=-self.padding[0])

    def __repr__(self) -> str:
        if not self.resolved:
            given = [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)]
            shown = [f"{name}={value}" for name, value in given if name == "kernel" or value != 1]
            return f"Axis.same({', '.join(shown)})"
        shown = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)
            if f.name == "kernel" or getattr(self, f.name) != f.default
        ]
        return f"Axis({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Adaptive:
    """As many windows as there shall be outputs, which share whatever input there is evenly.

    Output ``o`` of ``outputs`` sees the inputs ``floor(o*n/outputs)`` to
    ``ceil((o + 1)*n/outputs)``; windows overlap by an element where the number of outputs does not
    divide the length. ``Adaptive(1)`` is one window over everything.

    Raises:
        TypeError: the number is not an integer.
        ValueError: it is below 1.

    >>> Adaptive(4).at(12)
    Axis(kernel=3, stride=3)
    >>> Adaptive(3).at(5)
    Spans(starts=(0, 1, 3), stops=(2, 4, 5))
    """

    outputs: int

    def __post_init__(self) -> None:
        value = _integer("outputs", self.outputs)
        if value < 1:
            raise ValueError(f"outputs = {value}: must be at least 1")
        object.__setattr__(self, "outputs", value)

    resolved = False

    def at(self, n: int) -> Axis | Spans:
        """The windows on an input of length ``n``: regular ones where the outputs divide it."""
        if n % self.outputs == 0:
            size = n // self.outputs
            return Axis(size, size)
        every = range(self.outputs)
        starts = tuple(o * n // self.outputs for o in every)
        return Spans(starts, tuple(-(-(o + 1) * n // self.outputs) for o in every))

    def out(self, n: int) -> int:
        """The number of outputs, whatever the length."""
        return self.outputs

    @property
    def field(self) -> Field:
        """Raises ValueError: what a unit sees depends on the length; call :meth:`at` first."""
        refuse_field(self)


class Window(tuple[Any, ...]):
    """A window over several axes: a tuple of :class:`Axis`, outermost first.

    :class:`Adaptive` axes and :class:`Spans` may stand among them.

    Raises:
        TypeError: an element is not an Axis.
        ValueError: no axis at all.

    >>> print(Window([Axis(3, 2, 1, 1)] * 2))
    3x3, stride 2, padding 1
    >>> Window([Axis(3, 2, 1, 1)] * 2).out((112, 112))
    (56, 56)
    """

    __slots__ = ()

    def __new__(cls, axes: Iterable[Axis | Adaptive | Spans]) -> Window:
        """A window over ``axes``, outermost first."""
        window = super().__new__(cls, axes)
        for position, axis in enumerate(window):
            if not isinstance(axis, Axis | Adaptive | Spans):
                raise TypeError(
                    f"window[{position}] = {axis!r}: must be an Axis, not {type(axis).__name__}"
                )
        if not window:
            raise ValueError("window: needs at least one axis")
        return window

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self)

    @property
    def kernel_taps(self) -> int:
        """The number of taps of the whole window, inside the input or not; of the longest one.

        Adaptive axes have none before :meth:`at`.
        """
        taps = 1
        for axis in self:
            taps *= axis.kernel
        return taps

    def at(self, n: Sequence[int]) -> Window:
        """This window over sizes ``n``: "same" padding in numbers, adaptive axes laid out."""
        return Window(axis.at(length) for axis, length in zip(self, self._sizes(n), strict=True))

    def out(self, n: Sequence[int]) -> tuple[int, ...]:
        """The output sizes over an input of sizes ``n``; 0 where no window fits."""
        return tuple(axis.out(length) for axis, length in zip(self, self._sizes(n), strict=True))

    def taps(self, o: Sequence[int], n: Sequence[int]) -> tuple[range, ...]:
        """The taps of output ``o`` inside the input, one range an axis."""
        return tuple(
            a.at(length).taps(p, length)
            for a, p, length in zip(self, o, self._sizes(n), strict=True)
        )

    def divisor(self, o: Sequence[int], n: Sequence[int], count_include_pad: bool = False) -> int:
        """How many elements output ``o``'s average counts: the product over the axes."""
        triples = zip(self, o, self._sizes(n), strict=True)
        return prod(a.at(length).divisor(p, length, count_include_pad) for a, p, length in triples)

    def crop(
        self, o0: Sequence[int], o1: Sequence[int], n: Sequence[int]
    ) -> tuple[tuple[slice, ...], Window]:
        """The input block that the output block ``o0`` to ``o1`` needs, and the window on it."""
        quads = zip(self, o0, o1, self._sizes(n), strict=True)
        cut = [a.at(length).crop(first, last, length) for a, first, last, length in quads]
        return tuple(part for part, _ in cut), Window(axis for _, axis in cut)

    @property
    def field(self) -> tuple[Field, ...]:
        """The receptive field, one :class:`~cenote.field.Field` an axis."""
        return tuple(axis.field for axis in self)

    def _sizes(self, n: Sequence[int]) -> Sequence[int]:
        if len(n) != len(self):
            raise ValueError(
                f"n = {tuple(n)}: a window over {len(self)} axes needs {len(self)} sizes"
            )
        return n

    def __repr__(self) -> str:
        return f"Window([{', '.join(map(repr, self))}])"

    def __str__(self) -> str:
        if not all(isinstance(axis, Axis) for axis in self):
            return " by ".join(map(repr, self))
        parts = ["x".join(str(axis.kernel) for axis in self)]
        for name in ("stride", "dilation"):
            values = [getattr(axis, name) for axis in self]
            if any(value != 1 for value in values):
                parts.append(f"{name} {_shared(values)}")
        pads = [
            "same" if axis.before is None
            else axis.before if axis.before == axis.after
            else f"{axis.before}+{axis.after}"
            for axis in self
        ]  # fmt: skip
        if any(pad != 0 for pad in pads):
            parts.append(f"padding {_shared(pads)}")
        if any(axis.ceil for axis in self):
            parts.append("ceil")
        return ", ".join(parts)


def _integer(name: str, value: Any) -> int:
    """``value`` as an int, for whatever counts as an integer; bool and float do not."""
    if isinstance(value, bool):
        raise TypeError(f"{name} = {value}: must be an integer, not a bool")
    if type(value).__name__ == "SymInt":  # a size while tracing: its number is not to be asked for
        return value  # type: ignore[no-any-return]
    try:
        return operator.index(value)
    except TypeError:
        message = f"{name} = {value!r}: must be an integer, not {type(value).__name__}"
        raise TypeError(message) from None


def _shared(values: Sequence[object]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))
