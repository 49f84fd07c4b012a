"""From what people write (``3``, ``(3, 5)``, ``"same"``, ``((0, 1), (2, 2))``) to a Window.

What is wrong with a window is said here; what is wrong with a tensor, in :mod:`cenote._checks`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from cenote.window import Adaptive, Axis, Window

__all__ = [
    "Pads",
    "adaptive_window",
    "blur_window",
    "check_window",
    "conv_window",
    "does_not_fit",
    "filter_window",
    "global_window",
    "integers",
    "pool_window",
]

Pads = int | str | Sequence[int] | Sequence[Sequence[int]]

_GREATEST = 2**31 - 1  # of every number of a window, and of its taps together

_AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}

_GLOBAL = {rank: Window([Adaptive(1)] * rank) for rank in _AXES}

_T = TypeVar("_T")


def axis_names(rank: int) -> tuple[str, ...]:
    """What the axes are called, outermost first."""
    return _AXES.get(rank, ("n",) * rank)


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
    return _kept(_build, _build_once, op, rank, given, bool(ceil_mode))


def conv_window(
    op: str, rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> Window:
    """The window of a convolution, checked; padding may be as large as it likes.

    Raises:
        TypeError: something is no integer.
        ValueError: an argument of the wrong length, or out of its bounds.
    """
    given = (kernel_size, stride, padding, dilation)
    return _kept(_slide, _slide_once, op, rank, given, False)


def adaptive_window(op: str, rank: int, output_size: Any) -> Window:
    """The window of an adaptive pooling call, checked; ``None`` keeps an axis as it is.

    Raises:
        TypeError: something is neither an integer nor None.
        ValueError: the wrong number of sizes, or one below 1.
    """
    return _kept(_build_adaptive, _build_adaptive_once, op, rank, (output_size,))


def blur_window(op: str, rank: int, kernel_size: Any, stride: Any, padding: Any) -> Window:
    """The window of a binomial filter: :func:`pool_window` that also knows "half" padding.

    Raises:
        TypeError: something is no integer.
        ValueError: an argument of the wrong length, or out of its bounds.
    """
    kernels = integers(op, "kernel_size", kernel_size, rank, least=2, most=7)
    if isinstance(padding, str) and padding == "half":
        padding = tuple(((k - 1) // 2, k // 2) for k in kernels)
    elif isinstance(padding, str) and padding not in ("same", "valid"):
        raise ValueError(f"{op}: padding = {padding!r}: as a word it is 'half', 'same' or 'valid'")
    return pool_window(op, rank, kernels, stride, padding)


def filter_window(op: str, rank: int, filter_size: Any, stride: Any) -> Window:
    """The window of the filter behind a maximum: :func:`blur_window` with "half" padding.

    Raises:
        TypeError: something is no integer.
        ValueError: an argument of the wrong length, or out of its bounds.
    """
    sizes = integers(op, "filter_size", filter_size, rank, least=2, most=7)
    return blur_window(op, rank, sizes, stride, "half")


def global_window(rank: int) -> Window:
    """One window over everything."""
    return _GLOBAL[rank]


def _kept(
    build: Callable[..., _T], once: Callable[..., _T], op: str, rank: int, given: Any, *more: Any
) -> _T:
    """What is built of the arguments, or was built of equal ones before."""
    if not torch.compiler.is_compiling():  # a traced call happens once, and caches are not traced
        frozen = _freeze(given)
        if _is_plain(frozen):
            return once(op, rank, *frozen, *more)
    return build(op, rank, *given, *more)


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
    window = _slide(op, rank, kernel_size, stride, padding, dilation, ceil)
    check_window(op, window)
    return window


def _slide(
    op: str, rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil: bool
) -> Window:
    kernels = integers(op, "kernel_size", kernel_size, rank)
    absent = stride is None or (isinstance(stride, list | tuple) and len(stride) == 0)
    strides = kernels if absent else integers(op, "stride", stride, rank)
    dilations = integers(op, "dilation", dilation, rank)
    if isinstance(padding, str) and padding == "same":
        return Window(map(Axis.same, kernels, strides, dilations))
    pads = _pads(op, padding, rank)
    return Window(
        Axis(k, s, before, after, d, ceil)
        for k, s, (before, after), d in zip(kernels, strides, pads, dilations, strict=True)
    )


def _build_adaptive(op: str, rank: int, output_size: Any) -> Window:
    several = isinstance(output_size, list | tuple)
    sizes = tuple(output_size) if several else (output_size,) * rank
    # Axis(1), each element a window of its own, is what keeps a size without knowing it.
    known = tuple(1 if size is None else size for size in sizes)
    counts = integers(op, "output_size", known, rank, given=output_size)
    kept = tuple(size is None for size in sizes) * (rank if len(sizes) == 1 else 1)
    return Window(
        Axis(1) if keep else Adaptive(count) for keep, count in zip(kept, counts, strict=True)
    )


_build_once = functools.lru_cache(maxsize=1024)(_build)
_slide_once = functools.lru_cache(maxsize=1024)(_slide)
_build_adaptive_once = functools.lru_cache(maxsize=1024)(_build_adaptive)


def integers(
    op: str,
    name: str,
    value: Any,
    rank: int,
    least: int = 1,
    most: int | None = None,
    given: Any = None,
) -> tuple[int, ...]:
    """One integer for every axis, from an integer or ``rank`` of them.

    ``given`` is what the caller wrote, where ``value`` was made of it.

    Raises:
        TypeError: something is no integer.
        ValueError: the wrong number of integers, or one out of its bounds.
    """
    written = value if given is None else given
    several = isinstance(value, list | tuple)
    if several and len(value) != 1 and len(value) != rank:
        raise ValueError(f"{op}: {name} = {written}: needs one integer or {rank}, not {len(value)}")
    found = []
    for item in value if several else (value,):
        number = integer(item)
        if number is None:
            kind = type(item).__name__
            raise TypeError(
                f"{op}: {name} = {written!r}: must be an integer or {rank} of them, not {kind}"
            )
        found.append(number)
    numbers = tuple(found) * (rank if len(found) == 1 else 1)
    for axis, number in enumerate(numbers):
        if number < least or (most is not None and number > most):
            where = axis_name(rank, axis)
            bound = f"at least {least}" if most is None else f"between {least} and {most}"
            raise ValueError(f"{op}: {where}: {name} = {number}: must be {bound}")
    return numbers


def integer(value: Any) -> int | None:
    """``value`` as an int, None for what is no integer; bool is none."""
    if type(value) is int or isinstance(value, torch.SymInt):  # a symbolic size stays one
        return value  # type: ignore[return-value]
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
        return [(p, p) for p in integers(op, "padding", padding, rank, least=0)]
    if len(padding) != rank or not all(
        isinstance(p, list | tuple) and len(p) == 2 for p in padding
    ):
        raise ValueError(f"{op}: padding = {padding}: as pairs it needs {rank} of (before, after)")
    pairs = []
    for axis, (before, after) in enumerate(padding):
        numbers = integer(before), integer(after)
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
        if not isinstance(axis, Axis) or axis.before is None or axis.after is None:
            continue
        pad = max(axis.before, axis.after)
        if pad >= axis.extent:
            which = "window 0" if axis.before == pad else "the last window"
            raise ValueError(
                f"{op}: {axis_name(window.rank, position)}: padding {pad} leaves {which} without an"
                f" element (kernel {axis.kernel}, dilation {axis.dilation})"
            )


def does_not_fit(op: str, rank: int, position: int, axis: Axis, n: int) -> str:
    """What is said of an input that is shorter than the window."""
    before, after = axis.padding
    return (
        f"{op}: {axis_name(rank, position)}: a window of extent {axis.extent}"
        f" (kernel {axis.kernel}, dilation {axis.dilation}) does not fit on an input of"
        f" length {n} with padding {before} and {after}"
    )


def check_magnitude(op: str, window: Window) -> None:
    """Refuse numbers that the kernels could not count with."""
    # Adaptive axes have no more taps than the input has elements.
    regular = [(p, axis) for p, axis in enumerate(window) if not isinstance(axis, Adaptive)]
    taps = 1
    for _, axis in regular:
        taps *= axis.kernel
    if taps > _GREATEST:
        raise ValueError(f"{op}: kernel {window}: more than {_GREATEST} taps")
    for position, axis in regular:
        for name in ("stride", "dilation", "extent"):
            if getattr(axis, name) > _GREATEST:
                where = f"{axis_name(window.rank, position)}: {name} = {getattr(axis, name)}"
                raise ValueError(f"{op}: {where}: must be at most {_GREATEST}")
