"""Cases in two dimensions: planes."""

from __future__ import annotations

from functools import partial

from cenote.case_tables.case import Case, along
from cenote.window import Axis, Window

__all__ = ["PLANES"]

_both = partial(along, 2)


def _pair(rows: Axis, columns: Axis) -> Window:
    return Window([rows, columns])


_NETWORKS = [
    Case("lenet_2x2", "the first pool of LeNet-5: windows tile", (2, 6, 28, 28), _both(2, 2)),
    Case("alexnet_3x3_s2", "overlapping pooling of AlexNet", (1, 4, 27, 27), _both(3, 2)),
    Case("resnet_stem", "the one pool of ResNet", (1, 8, 28, 28), _both(3, 2, 1)),
    Case("vgg_2x2_odd_plane", "the last row and column are dropped", (1, 5, 15, 13), _both(2, 2)),
    Case("inception_avg_3x3_s1_p1", "the pooling branch", (1, 8, 14, 14), _both(3, 1, 1)),
    Case("squeezenet_ceil", "ceil mode in a real network", (1, 4, 28, 26), _both(3, 2, ceil=True)),
    Case("spp_5x5_s1_p2", "the pyramid of YOLO repeats it", (1, 6, 13, 13), _both(5, 1, 2)),
    Case("global_average_7x7", "one output a plane, many planes", (2, 33, 7, 7), _both(7)),
]

_SHAPES = [
    Case("zero_batch", "nothing in, nothing out, no error", (0, 3, 6, 7), _both(3, 2, 1)),
    Case("unbatched", "rank 3: channels only", (3, 9, 10), _both(3, 2, 1)),
    Case("one_pixel_plane", "the smallest plane", (2, 3, 1, 1), _both(1)),
    Case("one_pixel_in_padding", "all taps but one are padding", (2, 3, 1, 1), _both(3, 1, 1)),
    Case("single_row", "height 1", (1, 3, 1, 21), _pair(Axis(1), Axis(3, 2, 1, 1))),
    Case("single_column", "width 1", (1, 3, 21, 1), _pair(Axis(3, 2, 1, 1), Axis(1))),
    Case("tall_plane", "many short rows", (1, 2, 70, 3), _both(3, 1, 1)),
    Case("wide_plane", "few long rows", (1, 2, 3, 257), _both(3, 1, 1)),
    Case("few_channels", "channels_last rows of 3", (2, 3, 12, 11), _both(3, 1, 1)),
    Case("one_channel", "both layouts at once", (2, 1, 9, 9), _both(2, 2)),
    Case("channels_are_lanes", "no tail in channels_last", (1, 16, 5, 5), _both(3, 1, 1)),
    Case("channels_not_a_multiple_of_lanes", "a tail there", (1, 19, 6, 5), _both(3, 2, 1)),
    Case("channels_lanes_plus_one", "a tail of one", (1, 17, 4, 5), _both(2, 1)),
    Case("width_smaller_than_lanes", "no full vector", (1, 3, 8, 3), _both(2, 1)),
    Case("width_is_lanes", "exactly one vector, no tail", (1, 3, 5, 16), _both(3, 1, 1)),
    Case("width_lanes_plus_one", "a tail of one", (1, 3, 5, 17), _both(3, 1, 1)),
    Case("width_two_lanes_less_one", "a tail lacking one", (1, 3, 5, 31), _both(3, 1, 1)),
    Case("stride_2_odd_width", "pairs of a row do not come out even", (1, 3, 9, 35), _both(2, 2)),
    Case("stride_2_lanes_plus_one", "17 outputs of stride 2", (1, 2, 4, 34), _both(3, 2, 1)),
]

_WINDOWS = [
    Case("one_tap", "pooling that changes nothing", (1, 3, 5, 6), _both(1)),
    Case("one_tap_strided", "plain subsampling", (1, 3, 7, 8), _both(1, 3)),
    Case("kernel_equals_plane", "one output a plane", (2, 3, 6, 9), _pair(Axis(6), Axis(9))),
    Case("row_window", "1 x 7", (1, 3, 6, 20), _pair(Axis(1), Axis(7, 1, 3, 3))),
    Case("column_window", "7 x 1", (1, 3, 20, 6), _pair(Axis(7, 1, 3, 3), Axis(1))),
    Case("axes_differ", "swapped axes show", (2, 3, 13, 18), _pair(Axis(2, 3), Axis(5, 2, 2, 2))),
    Case("stride_larger_than_kernel", "inputs that none reads", (1, 3, 11, 14), _both(2, 4)),
    Case("stride_4", "beyond a deinterleave of two", (1, 3, 13, 41), _both(5, 4, 2)),
    Case("kernel_9_stride_1", "direct and running maxima meet", (1, 2, 14, 19), _both(9, 1, 4)),
    Case("kernel_31_stride_1", "a huge one", (1, 2, 4, 33), _both(31, 1, 15)),
    Case("exactly_255_taps", "255 in a byte", (1, 2, 17, 18), _pair(Axis(15), Axis(17))),
    Case("exactly_256_taps", "tap numbers 0 to 255", (1, 2, 18, 17), _both(16)),
    Case("more_than_255_taps", "no byte holds it", (1, 2, 20, 21), _pair(Axis(16), Axis(17, 2))),
    Case("more_than_65535_taps", "nor two", (1, 1, 257, 257), _pair(Axis(256), Axis(257))),
    Case("divide_by_one", "an average that is a sum", (1, 2, 6, 7), _both(3, 2, 1), 1),
    Case("divide_by_minus_two", "a negative divisor", (1, 2, 6, 7), _both(3, 2, 1), -2),
]

_LONG_ROWS = [
    Case("long_rows_3x3", "windows share rows, over two bands", (1, 2, 19, 50), _both(3, 1, 1)),
    Case("long_rows_3x3_s2", "every other row is shared", (1, 2, 27, 85), _both(3, 2, 1)),
    Case("long_rows_5x5", "four of five are shared", (1, 2, 25, 41), _both(5, 1, 2)),
    Case("long_rows_5x5_s2", "three of five", (1, 1, 45, 83), _both(5, 2, 2)),
    Case("long_rows_in_padding", "windows with one row of three", (1, 2, 7, 40), _both(3, 1, 2)),
    Case("long_rows_s2_in_padding", "and of five", (1, 2, 19, 61), _both(5, 2, 4)),
    Case("long_rows_few_channels", "rows of 3 in channels_last", (1, 3, 15, 40), _both(3, 1, 1)),
    Case("few_channels_2x2", "two pixels of 6 a vector", (2, 6, 14, 14), _both(2, 2)),
    Case("few_channels_padded_s2", "five pixels of 3", (1, 3, 9, 21), _both(3, 2, 1)),
    Case("ten_channels_2x2", "one pixel a vector", (1, 10, 6, 6), _both(2, 2)),
    Case("plane_of_many_outputs", "more than 4096", (1, 1, 66, 67), _both(2)),
    Case("stride_4_tiles", "windows side by side in a short row", (1, 3, 12, 28), _both(4, 4)),
    Case("stride_3_padded", "a short row with padding", (1, 2, 10, 29), _both(5, 3, 2)),
]

_PADDING = [
    Case("only_before_padding", "pads one end", (1, 3, 8, 9), Window([Axis(3, 2, 2, 0)] * 2)),
    Case("only_after_padding", "pads the other", (1, 3, 8, 9), Window([Axis(3, 2, 0, 2)] * 2)),
    Case("asymmetric", "all four differ", (1, 3, 7, 9), _pair(Axis(4, 2, 3, 1), Axis(5, 1, 2, 4))),
    Case("padding_just_below_extent", "beyond torch's half", (1, 3, 5, 6), _both(3, 1, 2)),
    Case("plane_smaller_than_kernel", "all is border", (1, 3, 3, 2), _both(5, 1, 4)),
    Case("border_everywhere", "no window is whole", (1, 3, 2, 2), _both(3, 1, 1)),
    Case("same_even_kernel", "the odd one at the end", (1, 3, 7, 8), Window([Axis.same(2)] * 2)),
    Case("same_strided", "depends on n", (1, 3, 8, 9), Window([Axis.same(3, 2)] * 2)),
    Case("same_dilated", "no stride", (1, 3, 9, 8), Window([Axis.same(3, dilation=2)] * 2)),
    Case("same_stride_beyond_kernel", "no padding", (1, 3, 8, 9), Window([Axis.same(2, 4)] * 2)),
    Case(
        "padding_of_the_extent",
        "window 0 would hold padding alone",
        (1, 3, 8, 8),
        _pair(Axis(3), Axis(3, 1, 3, 0)),
        refused=r"axis 1 \(width\): padding 3 leaves window 0 without an element "
        r"\(kernel 3, dilation 1\)",
    ),
]

_DILATION = [
    Case("dilated", "taps apart", (1, 3, 9, 20), _both(3, 1, 2, 2)),
    Case("dilated_stride_shares_factor", "odd inputs unread", (1, 3, 9, 12), _both(3, 2, 2, 2)),
    Case("dilated_stride_coprime", "every input read", (1, 3, 13, 17), _both(3, 2, 2, 3)),
    Case("dilated_beyond_input", "middle windows empty", (1, 3, 3, 4), _both(2, 1, 4, 5)),
    Case(
        "dilated_beyond_row_only",
        "empty along one axis, which empties the window",
        (1, 3, 9, 3),
        _pair(Axis(3, 1, 1, 1), Axis(2, 1, 4, 4, 6)),
    ),
    Case("dilated_ceil", "the overhang dilated", (1, 3, 10, 12), _both(3, 3, 1, 2, True)),
]

_CEIL = [
    Case("ceil_overhang", "the last window hangs over", (1, 3, 8, 10), _both(3, 2, ceil=True)),
    Case("ceil_overhang_padded", "padding, then overhang", (1, 3, 8, 7), _both(4, 3, 1, ceil=True)),
    Case("ceil_fits", "nothing hangs over", (1, 3, 7, 9), _both(3, 2, ceil=True)),
    Case("ceil_drops_window", "it would start in padding", (1, 3, 3, 5), _both(2, 2, 1, ceil=True)),
    Case("ceil_longer_than_input", "by less than a stride", (1, 3, 4, 5), _both(6, 3, ceil=True)),
    Case("ceil_one_axis", "ceil per axis", (1, 3, 8, 8), _pair(Axis(3, 2, ceil=True), Axis(3, 2))),
    Case("ceil_dilated_empty", "window 0 straddles", (1, 2, 2, 5), _both(2, 3, 2, 4, ceil=True)),
    Case(
        "ceil_fewer_than_floor",
        "only where the padding behind is the extent or more",
        (1, 3, 4, 4),
        Window([Axis(2, 2, 0, 2, ceil=True)] * 2),
        refused=r"axis 0 \(height\): padding 2 leaves the last window without an element "
        r"\(kernel 2, dilation 1\)",
    ),
]

_TOO_LONG = [
    Case(
        "window_longer_than_input",
        "no output at all",
        (1, 3, 4, 6),
        _both(5),
        refused=r"axis 0 \(height\): .*\(kernel 5, dilation 1\) does not fit .* length 4",
    ),
    Case(
        "dilated_longer_than_input",
        "the extent counts, not the kernel",
        (1, 3, 9, 6),
        _both(3, 1, 1, 4),
        refused=r"axis 1 \(width\): .* extent 9 \(kernel 3, dilation 4\) does not fit .* length 6",
    ),
    Case(
        "ceil_longer_by_a_stride",
        "ceil mode allows less than a stride",
        (1, 3, 3, 9),
        _both(5, 2, ceil=True),
        refused=r"axis 0 \(height\): .*\(kernel 5, dilation 1\) does not fit .* length 3",
    ),
]

PLANES = _NETWORKS + _SHAPES + _WINDOWS + _LONG_ROWS + _PADDING + _DILATION + _CEIL + _TOO_LONG
