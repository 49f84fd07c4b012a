"""Cases in one dimension: sound, text and other rows. Batches are of one or of three."""

from __future__ import annotations

from cenote.case_tables.case import Case, along
from cenote.window import Axis, Window

__all__ = ["LINES"]

LINES = [
    Case("speech_frames", "25 ms every 10 ms at 16 kHz", (1, 1, 1600), along(1, 400, 160)),
    Case("text_over_time", "the longest n-gram: all of it", (3, 20, 28), along(1, 28)),
    Case("line_tiles", "windows tile, an element is left", (3, 5, 33), along(1, 2, 2)),
    Case("line_overlapping", "stride below the kernel", (1, 6, 40), along(1, 3, 2, 1)),
    Case("line_longer_than_a_chunk", "4200 outputs at once", (1, 2, 4200), along(1, 3, 1, 1)),
    Case("line_chunks_strided", "4150 outputs of stride 2", (1, 1, 8300), along(1, 2, 2)),
    Case("line_window_over_chunks", "taps 1500 apart", (1, 1, 4400), along(1, 3, 1, 1500, 1500)),
    Case("line_unbatched", "rank 2: channels only", (3, 37), along(1, 3, 1, 1)),
    Case("line_of_one", "the shortest line", (3, 2, 1), along(1, 1)),
    Case("line_of_one_in_padding", "all taps but one are padding", (1, 3, 1), along(1, 3, 1, 1)),
    Case("line_zero_batch", "nothing in, nothing out", (0, 3, 9), along(1, 3, 2, 1)),
    Case("line_one_channel", "a row and nothing else", (1, 1, 35), along(1, 4, 3, 2)),
    Case("line_many_channels", "more channels than elements", (1, 37, 11), along(1, 3, 1, 1)),
    Case("line_lanes_plus_one", "17 outputs", (1, 2, 19), along(1, 3)),
    Case("line_kernel_31", "running maxima along the only axis", (1, 2, 90), along(1, 31, 1, 15)),
    Case("line_more_than_255_taps", "no byte holds it", (1, 2, 400), along(1, 300, 7)),
    Case("line_asymmetric", "both ends differ", (1, 3, 21), Window([Axis(5, 2, 4, 1)])),
    Case("line_same_even", "the odd one at the end", (1, 3, 20), Window([Axis.same(4)])),
    Case("line_same_strided", "depends on n", (1, 3, 22), Window([Axis.same(5, 3)])),
    Case("line_dilated", "taps apart", (1, 3, 30), along(1, 3, 2, 3, 4)),
    Case("line_dilated_empty", "middle windows empty", (1, 3, 4), along(1, 2, 1, 5, 6)),
    Case("line_ceil", "the last window hangs over", (1, 3, 21), along(1, 4, 3, 1, ceil=True)),
    Case("line_ceil_dilated", "so does a tap apart", (1, 3, 20), along(1, 3, 4, 2, 3, True)),
]
