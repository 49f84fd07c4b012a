"""Cases in three dimensions: videos and medical volumes. Batches are of one or of three."""

from __future__ import annotations

from cenote.case_tables.case import Case, along
from cenote.window import Axis, Window

__all__ = ["VOLUMES"]

_KEEP = Axis(1)

VOLUMES = [
    Case("video_first", "1x2x2: time is kept", (1, 3, 4, 10, 9), Window([_KEEP, *along(2, 2, 2)])),
    Case("video_2x2x2", "time is halved too", (1, 4, 6, 8, 8), along(3, 2, 2)),
    Case(
        "video_same_strided", "I3D pads as needed", (1, 3, 5, 9, 8), Window([Axis.same(3, 2)] * 3)
    ),
    Case("medical_odd", "slices, rows and columns are left", (1, 2, 7, 9, 11), along(3, 2, 2)),
    Case("medical_overlapping", "3x3x3 at stride 2", (1, 3, 7, 8, 9), along(3, 3, 2, 1)),
    Case(
        "medical_thick_slices",
        "axes differ",
        (1, 2, 5, 12, 13),
        Window([Axis(2, 1), Axis(3, 2, 1, 1), Axis(5, 3, 2, 1)]),
    ),
    Case("one_voxel", "the smallest volume", (3, 2, 1, 1, 1), along(3, 1)),
    Case("one_voxel_in_padding", "26 of 27 taps are padding", (1, 3, 1, 1, 1), along(3, 3, 1, 1)),
    Case("one_slice", "depth 1", (1, 3, 1, 6, 7), Window([_KEEP, *along(2, 3, 1, 1)])),
    Case(
        "one_thread",
        "height and width 1",
        (1, 3, 17, 1, 1),
        Window([Axis(3, 2, 1, 1), _KEEP, _KEEP]),
    ),
    Case("volume_unbatched", "rank 4: channels only", (3, 4, 5, 6), along(3, 3, 1, 1)),
    Case("volume_zero_batch", "nothing in, nothing out", (0, 3, 4, 5, 6), along(3, 2, 2)),
    Case("volume_one_channel", "both layouts at once", (3, 1, 4, 5, 5), along(3, 2, 1)),
    Case("volume_channels_are_lanes", "no tail of channels", (1, 16, 3, 3, 4), along(3, 2, 1, 1)),
    Case("volume_channels_tail", "19 channels", (1, 19, 3, 4, 3), along(3, 3, 2, 1)),
    Case("volume_channels_lanes_plus_one", "a tail of one", (1, 17, 2, 3, 4), along(3, 2)),
    Case("volume_width_lanes_plus_one", "17 outputs a row", (1, 2, 3, 4, 19), along(3, 3)),
    Case("volume_global", "one output a volume", (3, 5, 4, 5, 3), Window(map(Axis, (4, 5, 3)))),
    Case("volume_more_than_255_taps", "7x7x7 is 343", (1, 1, 8, 9, 10), along(3, 7, 2, 3)),
    Case("volume_kernel_9", "running maxima on three axes", (1, 1, 3, 4, 10), along(3, 9, 1, 4)),
    Case("volume_of_large_slices", "more than 4096 outputs each", (1, 1, 3, 66, 67), along(3, 2)),
    Case(
        "volume_asymmetric",
        "all six ends differ",
        (1, 2, 4, 5, 6),
        Window([Axis(4, 2, 1, 2), Axis(5, 2, 3, 4), Axis(7, 1, 5, 6)]),
    ),
    Case("volume_same_even", "the odd one at the end", (1, 2, 4, 5, 6), Window([Axis.same(2)] * 3)),
    Case("volume_dilated", "taps apart", (1, 2, 7, 8, 9), along(3, 3, 1, 2, 2)),
    Case(
        "volume_dilated_empty",
        "windows empty along one axis",
        (1, 2, 4, 3, 5),
        Window([Axis(2), Axis(2, 1, 4, 4, 6), Axis(3, 1, 1, 1)]),
    ),
    Case("volume_ceil", "the last windows hang over", (1, 3, 4, 6, 8), along(3, 3, 2, ceil=True)),
    Case("volume_ceil_dilated", "over three ends", (1, 2, 6, 8, 7), along(3, 3, 3, 1, 2, True)),
]
