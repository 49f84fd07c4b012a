"""Where convolutions have to get, and how far a record is from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cenote.benchmarking.convolution.grid import PASSES, TRAINING
from cenote.benchmarking.record import ConvRecord
from cenote.benchmarking.targets import Target

__all__ = ["WANTED", "Wanted", "targets"]

_TORCH, _LAST = "torch", "torch.channels_last"


@dataclass(frozen=True)
class Wanted:
    """How many times faster than a peer all rows of some cases and passes have to be.

    ``raised`` is the bound with the allocator's thresholds raised, where it is another. Without
    cases every row counts.
    """

    what: str
    times: float
    case: tuple[str, ...] = ()
    pass_: tuple[str, ...] = PASSES
    peer: str = _TORCH
    raised: float | None = None

    def of(self, record: ConvRecord) -> Target:
        """The least that a record has."""
        found = [
            row["times_faster"][self.peer]
            for row in record["rows"]
            if self.peer in row["times_faster"]
            and row["pass"] in self.pass_
            and (not self.case or row["case"] in self.case)
        ]
        raised = record["allocator"]["setting"] == "raised"
        bound = self.raised if raised and self.raised is not None else self.times
        what, least = f"{self.what}, against {self.peer}", min(found, default=math.nan)
        return Target(what, bound, least, len(found))


_LONG = tuple(f"depthwise_line_{taps}" for taps in (31, 63, 127, 255))

WANTED = (
    Wanted("depthwise 3x3, forward", 2.5, ("depthwise_3x3",), ("forward",)),
    Wanted("depthwise 3x3, forward+backward", 8, ("depthwise_3x3",), (TRAINING,)),
    Wanted("depthwise 3x3", 1, ("depthwise_3x3",), peer=_LAST),
    Wanted("depthwise 7x7, forward+backward", 5, ("depthwise_7x7",), (TRAINING,)),
    Wanted("depthwise 1-D, 31 taps and more", 5, _LONG),
    Wanted("LeNet conv1, forward+backward", 5, ("lenet_first",), (TRAINING,)),
    Wanted("VGG conv1_1, forward", 3, ("vgg_first",), ("forward",)),
    Wanted("VGG conv1_1, forward", 1.5, ("vgg_first",), ("forward",), _LAST),
    Wanted("AlexNet conv1, forward", 1.3, ("alexnet_first",), ("forward",)),
    Wanted("AlexNet conv1, forward", 1, ("alexnet_first",), ("forward",), _LAST),
    Wanted("conv1d 64 to 64, 3 taps", 3, ("line_64_to_64",), raised=1.4),
    Wanted("3x3 in 8 groups", 1.5, ("grouped_8",)),
    Wanted("3x3 in 32 groups", 1.5, ("grouped_32",)),
    Wanted("3x3 in 8 groups, shuffled", 1.5, ("shuffled_8",)),
    Wanted("spatially separable chain, forward+backward", 1.5, ("separable_3x3",), (TRAINING,)),
    Wanted("flattened chain, forward+backward", 1.5, ("flattened_3x3",), (TRAINING,)),
    Wanted("LeNet stage 1, forward+backward", 8, ("stage_lenet_first",), (TRAINING,)),
    Wanted("LeNet stage 2, forward+backward", 8, ("stage_lenet_second",), (TRAINING,)),
    Wanted("every row: at most 5 % slower", 0.95),
)
"""What is wanted: times faster than a peer, the least of the rows."""


def targets(record: ConvRecord) -> list[Target]:
    """Every target, with what this record reaches."""
    return [wanted.of(record) for wanted in WANTED]
