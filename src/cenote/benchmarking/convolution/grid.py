"""What is measured of convolutions: rows of a case, a pass and a number of threads.

A row holds all layouts: they are contenders, since nobody has to stay in the one of the input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from cenote.benchmarking.choosing import choose, find
from cenote.benchmarking.grid import TRAINING
from cenote.cases import CONVOLUTIONS, Conv

__all__ = ["COMPILED", "GRID", "PASSES", "QUICK", "TRAINING", "Block", "Row", "named", "rows"]

PASSES = ("forward", TRAINING)


@dataclass(frozen=True)
class Row:
    """One line of the table: what every contender does, on how many threads."""

    case: str
    pass_: str = "forward"
    threads: int = 2

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it another row than others."""
        return (self.case, self.pass_, self.threads)

    def __str__(self) -> str:
        return f"{self.case} {self.pass_} {self.threads} threads"


@dataclass(frozen=True)
class Block:
    """Rows for one reason: every combination of what is listed."""

    reason: str
    case: tuple[str, ...]
    pass_: tuple[str, ...] = PASSES
    threads: tuple[int, ...] = (2,)

    def rows(self) -> Iterator[Row]:
        """Its rows, both passes of a case together."""
        for values in product(self.case, self.pass_, self.threads):
            yield Row(*values)


_BORDERS = tuple(case.name for case in CONVOLUTIONS if case.name.startswith("stage_vgg_"))

GRID = (
    Block(
        "a channel a group, in planes: few sums for many bytes",
        ("depthwise_3x3", "depthwise_7x7", "depthwise_3x3_s2"),
    ),
    Block(
        "a channel a group, in lines: what a tap more costs",
        tuple(case.name for case in CONVOLUTIONS if case.name.startswith("depthwise_line_")),
    ),
    Block(
        "few channels: first layers, whose input takes no gradient, and LeNet's second",
        ("lenet_first", "lenet_second", "vgg_first", "alexnet_first", "resnet_first"),
    ),
    Block("groups of few channels", ("grouped_8", "grouped_32", "shuffled_8")),
    Block(
        "many channels: what torch does well, at no loss",
        ("line_64_to_64", "dense_3x3", "dense_1x1"),
    ),
    Block("chains that stand for one kernel", ("separable_3x3", "flattened_3x3")),
    Block(
        "convolution, relu and pool as one",
        ("stage_lenet_first", "stage_lenet_second", "stage_tiny"),
    ),
    Block("the same with many channels, where networks run", _BORDERS, ("forward",)),
)
"""The rows that are measured where nothing else is asked for."""

QUICK = (
    Block(
        "a look in a minute",
        ("depthwise_3x3", "lenet_first", "vgg_first", "grouped_32", "stage_lenet_first"),
    ),
)
"""The rows of ``--quick``."""

COMPILED = frozenset(
    {"depthwise_3x3", "depthwise_line_31", "lenet_first", "vgg_first", "grouped_32", "shuffled_8",
     "flattened_3x3", "stage_lenet_first", "stage_lenet_second", "stage_tiny", "stage_vgg_1"}
)  # fmt: skip
"""The cases in which torch.compile takes part by itself: it compiles some 5 s for every row."""


def named(name: str) -> Conv:
    """The benchmark's case of that name.

    Raises:
        ValueError: there is none; says which there are.
    """
    return find(name, CONVOLUTIONS)


def rows(wanted: dict[str, Sequence[object]], blocks: Iterable[Block] = GRID) -> list[Row]:
    """The rows of the grid that have the wanted words; where there is none, rows made of them.

    ``wanted``: for ``case, pass, threads`` the values to keep, empty for all.

    Raises:
        ValueError: a word that does not exist.

    >>> [str(row) for row in rows({"case": ["stage_vgg_5"], "threads": [1]})]
    ['stage_vgg_5 forward 1 threads', 'stage_vgg_5 forward+backward 1 threads']
    """

    def made(**given: Any) -> Block:
        return Block("asked for", **given)

    return choose(wanted, list(blocks), {"pass": PASSES}, CONVOLUTIONS, made)
