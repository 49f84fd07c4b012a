"""What is measured: rows of a case, a reduction, a type, a layout, a pass and a number of threads.

Everything with everything would take a day. :data:`GRID` says which combinations are measured, a
block of them at a time, and why these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from cenote.benchmarking.choosing import choose, find
from cenote.cases import BENCHMARKS, Case

__all__ = [
    "AXES",
    "COMPILED",
    "GRID",
    "INDICES",
    "PASSES",
    "QUICK",
    "TRAINING",
    "Block",
    "Row",
    "named",
    "rows",
]

INDICES, TRAINING = "forward with indices", "forward+backward"
PASSES = ("forward", INDICES, TRAINING)
AXES = {
    "reduce": ("max", "min", "avg", "sum"),
    "dtype": ("f32", "bf16", "u8"),
    "layout": ("NCHW", "NHWC"),
    "pass": PASSES,
}
"""The values that a row's words may have; for 1-D and 3-D NCHW means channels first."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what every contender does, on how many threads.

    ``compared`` is False where only cenote and the roof take part.
    """

    case: str
    reduce: str = "max"
    dtype: str = "f32"
    layout: str = "NCHW"
    pass_: str = "forward"
    threads: int = 2
    compared: bool = True

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it another row than others."""
        return (self.case, self.reduce, self.dtype, self.layout, self.pass_, self.threads)

    def __str__(self) -> str:
        return " ".join(map(str, self.key[:-1])) + f" {self.threads} threads"


@dataclass(frozen=True)
class Block:
    """Rows for one reason: every combination of what is listed."""

    reason: str
    case: tuple[str, ...]
    reduce: tuple[str, ...] = ("max",)
    dtype: tuple[str, ...] = ("f32",)
    layout: tuple[str, ...] = ("NCHW", "NHWC")
    pass_: tuple[str, ...] = ("forward",)
    threads: tuple[int, ...] = (2,)
    compared: bool = True

    def rows(self) -> Iterator[Row]:
        """Its rows, but for layouts that a case does not have."""
        names = [field.name for field in fields(self)[1:-1]]
        for values in product(*(getattr(self, name) for name in names)):
            row = Row(**dict(zip(names, values, strict=True)), compared=self.compared)
            if why_not(row) is None:
                yield row


_SIZES = tuple(case.name for case in BENCHMARKS if case.name.startswith("size_"))
_WIDE = tuple(case.name for case in BENCHMARKS if case.name.startswith("wide_"))
_DRAM = ("big_2x2_s2", "big_3x3_s1_p1", "big_3x3_s2_p1", "big_5x5_s1_p2")
_TRAINED = (
    *_DRAM, "alexnet_first", "vgg_first", "googlenet_stem", "inception_branch", "squeezenet_batch",
    "lenet_first", "lenet_second", "tiny_lenet", "audio_k3_s1_p1", "video_3x3x3_s2_p1",
)  # fmt: skip

GRID = (
    Block(
        "every case once as it is most used; what is too long for peers follows by itself",
        tuple(case.name for case in BENCHMARKS if case.name not in _SIZES + _WIDE),
    ),
    Block(
        "averages where they are used: Inception, DenseNet, heads, and from memory",
        (*_DRAM, "big_13x13_s1_p6", "inception_v3_branch", "densenet_transition", "lenet_first",
         "resnet_head", "resnet_head_global", "nin_head", "global_large_planes", "vgg_adaptive",
         "alexnet_adaptive", "peers_31x31_s1_p15", "peers_63x63_s1_p31",
         "audio_k4_s4", "video_2x2x2_s2", "tiny_lenet"),
        reduce=("avg",),
    ),
    Block(
        "minima and sums run the same loops as maxima and averages: a pair of windows tells",
        ("big_2x2_s2", "big_3x3_s2_p1", "big_5x5_s1_p2"),
        reduce=("min", "sum"),
    ),
    Block(
        "narrow types move fewer bytes and compute as much: the windows from memory tell",
        (*_DRAM, "big_13x13_s1_p6", "vgg_first"),
        dtype=("bf16", "u8"),
    ),
    Block(
        "averages of narrow types are added up in wider ones",
        ("big_2x2_s2", "big_3x3_s2_p1"),
        reduce=("avg",),
        dtype=("bf16", "u8"),
    ),
    Block(
        "indices are eight bytes an output: segmentation networks keep them",
        ("big_2x2_s2", "big_3x3_s2_p1", "vgg_first", "lenet_first", "video_2x2x2_s2"),
        pass_=(INDICES,),
    ),
    Block("training, where pools are trained", _TRAINED, pass_=(TRAINING,)),
    Block(
        "training with averages",
        ("big_2x2_s2", "big_3x3_s1_p1", "inception_v3_branch", "densenet_transition",
         "resnet_head_global", "lenet_first"),
        reduce=("avg",),
        pass_=(TRAINING,),
    ),
    Block(
        "one thread: how far two of them scale, and small calls, which two cannot help",
        (*_DRAM, "big_13x13_s1_p6", "peers_31x31_s1_p15", "lenet_first", "tiny_lenet", "tiny_call"),
        threads=(1,),
    ),
    Block(
        "training on one thread",
        ("big_2x2_s2", "big_3x3_s2_p1", "tiny_lenet"),
        pass_=(TRAINING,),
        threads=(1,),
    ),
    Block(
        "what a tap more costs where there are hundreds: kernels 31 and 63 beside 5",
        _WIDE,
        reduce=("max", "avg"),
        compared=False,
    ),
    Block(
        "cost per element over five orders of magnitude, against the roof alone",
        _SIZES,
        layout=("NCHW",),
        compared=False,
    ),
)  # fmt: skip
"""The rows that are measured where nothing else is asked for."""

QUICK = (
    Block(
        "a look in a minute",
        ("big_2x2_s2", "big_3x3_s2_p1", "lenet_first", "inception_branch", "yolo_sppf",
         "resnet_head_global", "audio_k3_s1_p1", "tiny_lenet"),
    ),
    Block("training", ("lenet_first", "inception_branch"), pass_=(TRAINING,)),
)  # fmt: skip
"""The rows of ``--quick``."""

COMPILED = frozenset(
    {"big_2x2_s2", "big_3x3_s1_p1", "big_3x3_s2_p1", "big_5x5_s1_p2", "alexnet_first", "vgg_first",
     "inception_branch", "yolo_sppf", "resnet_head_global", "lenet_first", "tiny_lenet"}
)  # fmt: skip
"""The cases in which torch.compile takes part by itself: it compiles some 5 s for every row."""


def named(name: str) -> Case:
    """The benchmark's case of that name.

    Raises:
        ValueError: there is none; says which there are.
    """
    return find(name, BENCHMARKS)


def why_not(row: Row) -> str | None:
    """Why there is no such row, or None."""
    if row.layout == "NHWC" and named(row.case).window.rank == 1:
        return "tensors of rank 3 have no channels_last"
    if row.pass_ == INDICES and row.reduce not in ("max", "min"):
        return f"{row.reduce} has no indices"
    if row.pass_ == TRAINING and row.dtype == "u8":
        return "integers have no gradient"
    return None


def rows(wanted: dict[str, Sequence[object]], blocks: Iterable[Block] = GRID) -> list[Row]:
    """The rows of the grid that have the wanted words; where there is none, rows made of them.

    ``wanted``: for ``case, reduce, dtype, layout, pass, threads`` the values to keep, empty for
    all. Of what is not named, a row that is made has what most rows have, in both layouts.

    Raises:
        ValueError: a word that does not exist, or words that no row can have together.

    >>> [str(row) for row in rows({"case": ["tiny_call"], "dtype": ["bf16"], "layout": ["NCHW"]})]
    ['tiny_call max bf16 NCHW forward 2 threads']
    """

    def made(**given: Any) -> Block:
        return Block("asked for", **given)

    return choose(wanted, list(blocks), AXES, BENCHMARKS, made)
