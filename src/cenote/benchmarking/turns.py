"""Contenders take turns, so that whatever else happens on the machine happens to all of them."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypedDict, TypeVar

from cenote.benchmarking.peers import Contender

__all__ = ["LEAST", "TOO_SLOW", "Figures", "Turns", "figures", "take_turns"]

TOO_SLOW = 2.0
"""Seconds: a contender whose call takes longer is not waited for."""

T = TypeVar("T")
LEAST = 5  # turns of each contender
_MOST = 2000
_TURN = 1e-3  # seconds: shorter calls are repeated in a turn, on warm caches
_QUIET = 10e-3  # seconds; libgomp's threads spin for 4 to 6 ms after their work is done


@dataclass
class Turns:
    """The seconds of a call, one number a turn, and the calls that a turn is the mean of."""

    calls: int = 1
    seconds: list[float] = field(default_factory=list)


def take_turns(
    contenders: Mapping[str, Contender],
    seconds: float,
    least: int = LEAST,
    clock: Callable[[], float] = time.perf_counter,
    dice: random.Random | None = None,
) -> dict[str, Turns]:
    """Time calls, the contenders one after the other, until the seconds have passed.

    Everybody gets at least ``least`` turns. A contender that takes a tenth of the seconds for one
    gets no more than those, and its time is not counted, so that quick ones are measured well
    beside slow ones. Who shares threads stands together; between others there is a pause, and who
    begins changes from round to round; with ``dice`` who comes after whom does.
    """
    ordered = _rotated if dice is None else partial(_shuffled, dice)
    turns = {name: Turns() for name in contenders}
    for name, contender in contenders.items():
        turns[name].calls = _calls(contender, clock)
    groups: dict[str, list[str]] = {}
    for name, contender in contenders.items():
        groups.setdefault(contender.workers, []).append(name)
    slow: set[str] = set()
    spent, rounds = 0.0, 0
    collecting = gc.isenabled()
    gc.disable()
    try:
        while rounds < least or (spent < seconds and rounds < _MOST and len(slow) < len(turns)):
            for group in ordered(list(groups.values()), rounds):
                if len(groups) > 1:
                    time.sleep(_QUIET)
                for name in ordered(group, rounds):
                    if name in slow and rounds >= least:
                        continue
                    taken = _turn(contenders[name], turns[name].calls, clock)
                    turns[name].seconds.append(taken / turns[name].calls)
                    if taken > seconds / 10:
                        slow.add(name)
                    else:
                        spent += taken
            rounds += 1
    finally:
        if collecting:
            gc.enable()
    return turns


def _rotated(things: list[T], by: int) -> list[T]:
    start = by % len(things)
    return things[start:] + things[:start]


def _shuffled(dice: random.Random, things: list[T], by: int) -> list[T]:
    """In any order, whatever the round: caches and memory are as whoever was before left them."""
    return dice.sample(things, len(things))


def _calls(contender: Contender, clock: Callable[[], float]) -> int:
    """How many calls fill a turn; the first one, which compiles and allocates, does not count.

    Where something stands before every call a turn is one call.
    """
    if contender.before is not None:
        contender.before()
    start = clock()
    contender.call()
    if clock() - start >= 0.1 or contender.before is not None:
        return 1  # a call more would take longer than it tells
    start = clock()
    contender.call()
    once = max(clock() - start, 1e-7)
    if once >= _TURN:
        return 1
    calls = max(2, round(_TURN / once))
    start = clock()
    for _ in range(calls):
        contender.call()
    return max(1, round(calls * _TURN / max(clock() - start, 1e-7)))


def _turn(contender: Contender, calls: int, clock: Callable[[], float]) -> float:
    call = contender.call
    if calls > 1:
        call()  # its own data back into the caches, which others have filled
    if contender.before is not None:
        contender.before()
    start = clock()
    for _ in range(calls):
        call()
    return clock() - start


class Figures(TypedDict):
    """What turns come to, all times in seconds of one call."""

    n: int  # turns
    calls: int  # calls in a turn; a turn's number is their mean
    median: float
    quartiles: list[float]  # first and third
    min: float
    gbs: float  # the row's bytes by the median, in 10^9 bytes a second


def figures(turns: Turns, moved: int) -> Figures:
    """What is kept of a contender's turns; ``moved`` is the row's bytes."""
    taken = turns.seconds
    lower, median, upper = statistics.quantiles(taken, n=4) if len(taken) > 1 else taken * 3
    return {
        "n": len(taken),
        "calls": turns.calls,
        "median": median,
        "quartiles": [lower, upper],
        "min": min(taken),
        "gbs": moved / median / 1e9,
    }
