"""From what people write for sizes that are no window's: levels, repetitions, fractions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cenote._args import axis_name, integer, integers
from cenote._checks import check_number

__all__ = ["count", "fractional_sizes", "levels"]


def count(op: str, name: str, value: Any) -> int:
    """One integer, at least 1.

    Raises:
        TypeError: it is no integer.
        ValueError: it is below 1.
    """
    number = integer(value)
    if number is None:
        raise TypeError(f"{op}: {name} = {value!r}: must be an integer, not {type(value).__name__}")
    if number < 1:
        raise ValueError(f"{op}: {name} = {number}: must be at least 1")
    return number


def levels(op: str, value: Any) -> tuple[int, ...]:
    """The levels of a pyramid: one or more integers.

    Raises:
        TypeError: no sequence, or something in it is no integer.
        ValueError: there is none, or one is below 1.
    """
    if not isinstance(value, list | tuple):
        kind = type(value).__name__
        raise TypeError(f"{op}: levels = {value!r}: must be a sequence of integers, not {kind}")
    if not value:
        raise ValueError(f"{op}: levels = {value}: needs at least one")
    return tuple(count(op, "levels", level) for level in value)


def fractional_sizes(
    op: str, n: Sequence[int], output_size: Any, output_ratio: Any
) -> tuple[int, ...]:
    """The output sizes of fractional pooling on sizes ``n``, from sizes or from ratios.

    Raises:
        TypeError: something is no number.
        ValueError: both are given or none, or one is out of its bounds.
    """
    check_one_given(op, output_size, output_ratio)
    rank = len(n)
    if output_size is not None:
        return integers(op, "output_size", output_size, rank)
    sizes = tuple(
        int(length * ratio) for length, ratio in zip(n, ratios(op, output_ratio, rank), strict=True)
    )
    for position, (size, length) in enumerate(zip(sizes, n, strict=True)):
        if size < 1:
            raise ValueError(
                f"{op}: {axis_name(rank, position)}: output_ratio = {output_ratio}: leaves nothing"
                f" of length {length}"
            )
    return sizes


def check_one_given(op: str, output_size: Any, output_ratio: Any) -> None:
    """Refuse both sizes and ratios, and neither."""
    if (output_size is None) == (output_ratio is None):
        given = "neither" if output_size is None else "both"
        raise ValueError(f"{op}: output_size, output_ratio: needs one of them, not {given}")


def ratios(op: str, output_ratio: Any, rank: int) -> tuple[float, ...]:
    """One ratio for every axis, each between 0 and 1."""
    several = isinstance(output_ratio, list | tuple)
    if several and len(output_ratio) not in (1, rank):
        raise ValueError(
            f"{op}: output_ratio = {output_ratio}: needs one number or {rank}, not"
            f" {len(output_ratio)}"
        )
    given = tuple(output_ratio) if several else (output_ratio,)
    found = tuple(check_number(op, "output_ratio", ratio, 0, 1) for ratio in given)
    return found * (rank if len(found) == 1 else 1)
