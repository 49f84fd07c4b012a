"""Named windows and shapes: the cases that tests, benchmarks and ``cenote bench`` share.

Each case is named for the reason it exists. :data:`CASES` (sliding windows) and :data:`SHARED`
(adaptive ones) are small enough to be held against a slow oracle; :data:`BENCHMARKS` are the sizes
at which time is measured. Imports no torch.
"""

from __future__ import annotations

from cenote.case_tables.case import Case, along
from cenote.case_tables.lines import LINES
from cenote.case_tables.planes import PLANES
from cenote.case_tables.shares import SHARES
from cenote.case_tables.volumes import VOLUMES

__all__ = ["BENCHMARKS", "CASES", "SHARED", "Case", "find"]

CASES: tuple[Case, ...] = (*PLANES, *LINES, *VOLUMES)
"""Every case of sliding windows that operators are held to, the refused ones included."""

SHARED: tuple[Case, ...] = tuple(SHARES)
"""Every case of adaptive windows, which share an input, global ones included."""

BENCHMARKS: tuple[Case, ...] = (
    Case("big_2x2_s2", "the commonest pool", (32, 64, 112, 112), along(2, 2, 2)),
    Case("big_3x3_s1_p1", "more taps than outputs skip", (32, 64, 112, 112), along(2, 3, 1, 1)),
    Case("big_3x3_s2_p1", "the stem of ResNet, a batch", (32, 64, 112, 112), along(2, 3, 2, 1)),
    Case("big_5x5_s1_p2", "separable passes pay", (32, 64, 112, 112), along(2, 5, 1, 2)),
    Case("big_13x13_s1_p6", "running maxima pay", (8, 64, 56, 56), along(2, 13, 1, 6)),
    Case("lenet_first", "small planes, few channels", (256, 6, 28, 28), along(2, 2, 2)),
    Case("lenet_second", "smaller planes", (256, 16, 10, 10), along(2, 2, 2)),
    Case("alexnet_first", "AlexNet, a batch", (32, 96, 55, 55), along(2, 3, 2)),
    Case("vgg_first", "the largest pool of VGG-16", (8, 64, 224, 224), along(2, 2, 2)),
    Case("squeezenet_first", "one image, ceil mode", (1, 64, 111, 111), along(2, 3, 2, ceil=True)),
    Case("inception_branch", "stride 1 on small planes", (16, 192, 28, 28), along(2, 3, 1, 1)),
    Case("yolo_spp", "large windows, small planes", (4, 512, 20, 20), along(2, 13, 1, 6)),
    Case("resnet_head", "one output a plane", (64, 2048, 7, 7), along(2, 7)),
    Case("one_image_stem", "latency: a single image", (1, 64, 112, 112), along(2, 3, 2, 1)),
    Case("tiny_call", "nothing but the overhead of a call", (1, 1, 4, 4), along(2, 2, 2)),
    Case("dilated_context", "dilated pooling", (8, 64, 64, 64), along(2, 3, 1, 2, 2)),
)
"""The sizes at which time is measured."""


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
