"""Named windows and shapes: the cases that tests, benchmarks and ``cenote bench`` share.

Each case is named for the reason it exists. :data:`CASES` (sliding windows) and :data:`SHARED`
(adaptive ones) are small enough to be held against a slow oracle; :data:`BENCHMARKS` are the sizes
at which the time of pooling is measured, :data:`CONVOLUTIONS` those of convolutions. Imports no
torch.
"""

from __future__ import annotations

from cenote.case_tables.benchmarks import BENCHMARKS as _BENCHMARKS
from cenote.case_tables.case import Case
from cenote.case_tables.convolutions import CONVOLUTIONS, Conv, Step
from cenote.case_tables.lines import LINES
from cenote.case_tables.planes import PLANES
from cenote.case_tables.shares import SHARES
from cenote.case_tables.volumes import VOLUMES

__all__ = ["BENCHMARKS", "CASES", "CONVOLUTIONS", "SHARED", "Case", "Conv", "Step", "find"]

CASES: tuple[Case, ...] = (*PLANES, *LINES, *VOLUMES)
"""Every case of sliding windows that operators are held to, the refused ones included."""

SHARED: tuple[Case, ...] = tuple(SHARES)
"""Every case of adaptive windows, which share an input, global ones included."""

BENCHMARKS: tuple[Case, ...] = tuple(_BENCHMARKS)
"""The sizes at which the time of pooling is measured."""


def find(name: str) -> Case:
    """The case of that name, from any table; KeyError lists what there is.

    >>> find("lenet_2x2").out_shape
    (2, 6, 14, 14)
    """
    every = CASES + SHARED + BENCHMARKS
    for case in every:
        if case.name == name:
            return case
    known = ", ".join(case.name for case in every)
    raise KeyError(f"case {name!r}: not known; there are {known}")
