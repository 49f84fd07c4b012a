"""From what people write (``3``, ``(3, 5)``, ``"same"``, ``((0, 1), (2, 2))``) to a Window.

The messages that users see are written here, and nowhere else.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import torch

from cenote.window import Axis, Window

__all__ = ["Pads", "check_input", "check_window", "pool_window"]

Pads = int | str | Sequence[int] | Sequence[Sequence[int]]

_GREATEST = 2**31 - 1  # of every number of a window, and of its taps together

# torch itself can neither compare nor add these
_UNSUPPORTED = (torch.uint16, torch.uint32, torch.uint64)

_AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def axis_name(rank: int, axis: int) -> str:
    """How a message calls an axis: ``axis 1 (width)``."""
    return f"axis {axis} ({_AXES[rank][axis]})" if rank in _AXES else f"axis {axis}"


def pool_window(
    op: str,
    rank: int,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: Any = False,
) -> Window:
    """The window of a pooling call, checked; equal arguments give the same object.

    Raises:
        TypeError: something is no integer.
        ValueError: an argument of the wrong length, or out of its bounds.
    """
    given = (kernel_size, stride, padding, dilation)
    if not torch.compiler.is_compiling():  # a traced call happens once, and caches are not traced
        frozen = tuple(map(_freeze, given))
        if all(map(_is_plain, frozen)):
            return _cached(op, rank, *frozen, bool(ceil_mode))
    return _build(op, rank, *given, bool(ceil_mode))


def _freeze(value: Any) -> Any:
    return tuple(map(_freeze, value)) if isinstance(value, list | tuple) else value


def _is_plain(value: Any) -> bool:
    """Whether a value may be a key: True and 1.0 equal 1, and must not be taken for it."""
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return value is None or type(value) is int or type(value) is str


def _build(
    op: str, rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil: bool
) -> Window:
    kernels = _integers(op, "kernel_size", kernel_size, rank, least=1)
    absent = stride is None or (isinstance(stride, list | tuple) and len(stride) == 0)
    strides = kernels if absent else _integers(op, "stride", stride, rank, least=1)
    dilations = _integers(op, "dilation", dilation, rank, least=1)
    if isinstance(padding, str) and padding == "same":
        window = Window(map(Axis.same, kernels, strides, dilations))
    else:
        pads = _pads(op, padding, rank)
        window = Window(
            Axis(k, s, before, after, d, ceil)
            for k, s, (before, after), d in zip(kernels, strides, pads, dilations, strict=True)
        )
    check_window(op, window)
    return window


_cached = functools.lru_cache(maxsize=1024)(_build)


def _integers(op: str, name: str, value: Any, rank: int, least: int) -> tuple[int, ...]:
    """One integer for every axis, from an integer or ``rank`` of them."""
    several = isinstance(value, list | tuple)
    if several and len(value) not in (1, rank):
        raise ValueError(f"{op}: {name} = {value}: needs one integer or {rank}, not {len(value)}")
    found = []
    for item in value if several else (value,):
        number = _integer(item)
        if number is None:
            kind = type(item).__name__
            raise TypeError(
                f"{op}: {name} = {value!r}: must be an integer or {rank} of them, not {kind}"
            )
        found.append(number)
    numbers = tuple(found) * (rank if len(found) == 1 else 1)
    for axis, number in enumerate(numbers):
        if number < least:
            where = axis_name(rank, axis)
            raise ValueError(f"{op}: {where}: {name} = {number}: must be at least {least}")
    return numbers


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _pads(op: str, padding: Any, rank: int) -> list[tuple[int, int]]:
    """``(before, after)`` for every axis."""
    if isinstance(padding, str):
        if padding != "valid":
            raise ValueError(f"{op}: padding = {padding!r}: as a word it is 'same' or 'valid'")
        return [(0, 0)] * rank
    if not isinstance(padding, list | tuple) or not any(
        isinstance(p, list | tuple) for p in padding
    ):
        return [(p, p) for p in _integers(op, "padding", padding, rank, least=0)]
    if len(padding) != rank or not all(
        isinstance(p, list | tuple) and len(p) == 2 for p in padding
    ):
        raise ValueError(f"{op}: padding = {padding}: as pairs it needs {rank} of (before, after)")
    pairs = []
    for axis, (before, after) in enumerate(padding):
        numbers = _integer(before), _integer(after)
        if numbers[0] is None or numbers[1] is None:
            raise TypeError(f"{op}: padding = {padding!r}: must consist of integers")
        if min(before, after) < 0:
            where = axis_name(rank, axis)
            raise ValueError(f"{op}: {where}: padding = {(before, after)}: must be at least 0")
        pairs.append((numbers[0], numbers[1]))
    return pairs


def check_window(op: str, window: Window) -> None:
    """Refuse padding that leaves an outer window without an element."""
    for position, axis in enumerate(window):
        if axis.before is None or axis.after is None:
            continue
        pad = max(axis.before, axis.after)
        if pad >= axis.extent:
            which = "window 0" if axis.before == pad else "the last window"
            raise ValueError(
                f"{op}: {axis_name(window.rank, position)}: padding {pad} leaves {which} without an"
                f" element (kernel {axis.kernel}, dilation {axis.dilation})"
            )


def check_input(op: str, x: Any, window: Window) -> None:
    """Refuse what is no tensor, of the wrong rank or type, or shorter than the window.

    Raises:
        TypeError: no tensor, or elements that cannot be pooled.
        ValueError: the wrong number of dimensions, or a window that does not fit.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{op}: input: must be a torch.Tensor, not {type(x).__name__}")
    rank = window.rank
    if x.dim() not in (rank + 1, rank + 2):
        sizes = ", ".join(("C", *(name[0].upper() for name in _AXES.get(rank, ("n",) * rank))))
        raise ValueError(
            f"{op}: input: must have {rank + 1} or {rank + 2} dimensions, ({sizes}) or (N,"
            f" {sizes}), not {x.dim()} (shape {tuple(x.shape)})"
        )
    if x.is_complex() or x.is_quantized:
        raise TypeError(f"{op}: input: elements of type {x.dtype} have no order to pool by")
    if x.dtype in _UNSUPPORTED:
        raise TypeError(f"{op}: input: elements of type {x.dtype} are not supported")
    if x.layout is not torch.strided:
        raise TypeError(f"{op}: input: must be a dense tensor, not of layout {x.layout}")
    for position, (axis, n) in enumerate(zip(window, x.shape[x.dim() - rank :], strict=True)):
        if n == 0:
            raise ValueError(f"{op}: {axis_name(rank, position)}: the input has no elements")
        if axis.out(n) < 1:
            before, after = axis.padding
            raise ValueError(
                f"{op}: {axis_name(rank, position)}: a window of extent {axis.extent}"
                f" (kernel {axis.kernel}, dilation {axis.dilation}) does not fit on an input of"
                f" length {n} with padding {before} and {after}"
            )
    _check_magnitude(op, window)


def _check_magnitude(op: str, window: Window) -> None:
    """Refuse numbers that the kernels could not count with."""
    if window.kernel_taps > _GREATEST:
        raise ValueError(f"{op}: kernel {window}: more than {_GREATEST} taps")
    for position, axis in enumerate(window):
        for name in ("stride", "dilation", "extent"):
            if getattr(axis, name) > _GREATEST:
                where = f"{axis_name(window.rank, position)}: {name} = {getattr(axis, name)}"
                raise ValueError(f"{op}: {where}: must be at most {_GREATEST}")


def check_divisor(op: str, divisor_override: Any) -> int | None:
    """Refuse a divisor that is no integer, or 0."""
    if divisor_override is None:
        return None
    divisor = _integer(divisor_override)
    if divisor is None:
        kind = type(divisor_override).__name__
        raise TypeError(
            f"{op}: divisor_override = {divisor_override!r}: must be an integer, not {kind}"
        )
    if divisor == 0:
        raise ValueError(f"{op}: divisor_override = 0: must not be zero")
    return divisor
