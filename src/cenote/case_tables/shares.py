"""Cases of adaptive windows: outputs that share the input, one for all of it included."""

from __future__ import annotations

from cenote.case_tables.case import Case, share
from cenote.window import Adaptive, Axis, Window

__all__ = ["SHARES"]

SHARES = [
    Case("alexnet_head", "6x6 outputs of 13x13", (1, 4, 13, 13), share(6, 6)),
    Case("vgg_head", "7x7 of a plane that is 7x7", (1, 5, 7, 7), share(7, 7)),
    Case("resnet_head_plane", "one output a plane, many planes", (2, 33, 7, 7), share(1, 1)),
    Case("shares_divide", "regular windows after all", (1, 3, 12, 8), share(4, 2)),
    Case("shares_overlap", "outputs do not divide the input", (1, 3, 13, 17), share(5, 3)),
    Case("shares_divide_one_axis", "irregular along the other", (1, 3, 12, 17), share(4, 5)),
    Case("shares_of_a_row", "many columns, all rows", (1, 2, 5, 70), share(1, 16)),
    Case("more_shares_than_elements", "elements repeat", (1, 3, 3, 4), share(7, 9)),
    Case("shares_of_one_pixel", "all of them the same", (2, 3, 1, 1), share(3, 2)),
    Case("shares_many_channels", "a tail in channels_last", (1, 19, 7, 5), share(3, 2)),
    Case("shares_unbatched", "rank 3: channels only", (3, 9, 10), share(4, 4)),
    Case("shares_zero_batch", "nothing in, nothing out", (0, 3, 6, 7), share(4, 2)),
    Case(
        "share_beside_a_kernel",
        "a window slides on rows only",
        (1, 3, 9, 11),
        Window([Axis(3, 2, 1, 1), Adaptive(4)]),
    ),
    Case("whole_few_channels", "pixels side by side in a vector", (2, 6, 9, 11), share(1, 1)),
    Case("whole_odd_channels", "a row of 13 vectors", (2, 13, 5, 7), share(1, 1)),
    Case("whole_fewer_pixels_than_a_row", "one is not filled", (2, 5, 2, 3), share(1, 1)),
    Case("whole_channels_tail", "two vectors and a half", (2, 40, 3, 5), share(1, 1)),
    Case("whole_many_channels", "more vectors than are held at once", (1, 150, 2, 3), share(1, 1)),
    Case("line_shares", "7 outputs of a long line", (1, 2, 1000), share(7)),
    Case("line_shares_divide", "regular ones", (3, 4, 24), share(6)),
    Case("line_whole", "the mean of a line", (3, 5, 31), share(1)),
    Case("line_shares_unbatched", "channels only", (3, 20), share(3)),
    Case("volume_shares", "irregular on all axes", (1, 3, 5, 7, 8), share(2, 3, 5)),
    Case("volume_shares_divide", "regular ones", (1, 3, 4, 6, 6), share(2, 2, 3)),
    Case("volume_whole", "the mean of a volume", (3, 5, 3, 4, 5), share(1, 1, 1)),
    Case(
        "volume_shares_many_channels",
        "a tail in channels_last_3d",
        (1, 17, 3, 4, 5),
        share(2, 3, 2),
    ),
]
