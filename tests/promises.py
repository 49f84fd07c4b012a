"""What the name of a case promises, for every name that promises something numbers can show."""

import numpy as np

from cenote import Axis, Window
from cenote.cases import Case
from cenote.window import Spans
from oracle.walk import walk

LANES = 16  # of the widest vectors there are, in float32
CHUNK = 4096  # outputs of a line that are computed at a time


def axes_of(case):
    return case.window.at(case.n)


def sides(case):
    return list(zip(axes_of(case), case.n, strict=True))


def counts(case):
    """How many elements every window reads."""
    return walk(case.window, case.n).count


def some_windows_empty(case):
    return 0 in counts(case) and counts(case).any()


def without_ceil(case):
    axes = [Axis(a.kernel, a.stride, *a.padding, a.dilation) for a in axes_of(case)]
    return Case(case.name, case.reason, case.shape, Window(axes))


def every(**promised):
    """That every axis has these attributes."""
    return lambda c: all(
        getattr(a, name) == value for a in axes_of(c) for name, value in promised.items()
    )


def long_rows(case, kernel, stride):
    """Rows of outputs longer than a vector and a half, under one square window."""
    square = every(kernel=kernel, stride=stride, dilation=1)(case)
    return square and 2 * case.out_shape[-1] >= 3 * LANES


def channels(c):
    return c.shape[-c.window.rank - 1]


def irregular(case):
    return [isinstance(axis, Spans) for axis in axes_of(case)]


PLANES = {
    "lenet_2x2": lambda c: all(a == Axis(2, 2) for a in c.window),
    "alexnet_3x3_s2": lambda c: all(a == Axis(3, 2) for a in c.window),
    "resnet_stem": lambda c: all(a == Axis(3, 2, 1, 1) for a in c.window),
    "vgg_2x2_odd_plane": lambda c: all(n % 2 for n in c.n),
    "inception_avg_3x3_s1_p1": lambda c: c.out_shape == c.shape,
    "squeezenet_ceil": lambda c: all(a == Axis(3, 2, ceil=True) for a in c.window),
    "spp_5x5_s1_p2": lambda c: c.out_shape == c.shape,
    "global_average_7x7": lambda c: c.n == (7, 7) and c.out_shape[2:] == (1, 1),
    "zero_batch": lambda c: c.shape[0] == 0,
    "unbatched": lambda c: len(c.shape) == 3,
    "one_pixel_plane": lambda c: c.n == (1, 1),
    "one_pixel_in_padding": lambda c: c.n == (1, 1) and c.window.kernel_taps == 9,
    "single_row": lambda c: c.n[0] == 1,
    "single_column": lambda c: c.n[1] == 1,
    "tall_plane": lambda c: c.n[0] > 20 * c.n[1],
    "wide_plane": lambda c: c.n[1] > 20 * c.n[0],
    "few_channels": lambda c: 1 < c.shape[1] < 4,
    "one_channel": lambda c: c.shape[1] == 1,
    "channels_are_lanes": lambda c: c.shape[1] == LANES,
    "channels_not_a_multiple_of_lanes": lambda c: c.shape[1] % 4 and c.shape[1] > LANES,
    "channels_lanes_plus_one": lambda c: c.shape[1] == LANES + 1,
    "width_smaller_than_lanes": lambda c: c.out_shape[-1] < 4,
    "width_is_lanes": lambda c: c.out_shape[-1] == LANES,
    "width_lanes_plus_one": lambda c: c.out_shape[-1] == LANES + 1,
    "width_two_lanes_less_one": lambda c: c.out_shape[-1] == 2 * LANES - 1,
    "stride_2_odd_width": lambda c: c.window[1].stride == 2 and c.n[1] % 2 == 1,
    "stride_2_lanes_plus_one": lambda c: c.window[1].stride == 2 and c.out_shape[-1] == LANES + 1,
    "one_tap": lambda c: c.window.kernel_taps == 1 and c.out_shape == c.shape,
    "one_tap_strided": lambda c: c.window.kernel_taps == 1 and c.window[0].stride > 1,
    "kernel_equals_plane": lambda c: tuple(a.kernel for a in c.window) == c.n,
    "row_window": lambda c: c.window[0].kernel == 1 < c.window[1].kernel,
    "column_window": lambda c: c.window[1].kernel == 1 < c.window[0].kernel,
    "axes_differ": lambda c: all(
        getattr(c.window[0], name) != getattr(c.window[1], name)
        for name in ("kernel", "stride", "before")
    ),
    "stride_larger_than_kernel": lambda c: all(a.stride > a.kernel for a in c.window),
    "stride_4": lambda c: all(a.stride == 4 for a in c.window),
    "kernel_9_stride_1": lambda c: all((a.kernel, a.stride) == (9, 1) for a in c.window),
    "kernel_31_stride_1": lambda c: all((a.kernel, a.stride) == (31, 1) for a in c.window),
    "exactly_255_taps": lambda c: c.window.kernel_taps == 255,
    "exactly_256_taps": lambda c: c.window.kernel_taps == 256,
    "more_than_255_taps": lambda c: 256 < c.window.kernel_taps < 65535,
    "more_than_65535_taps": lambda c: c.window.kernel_taps > 65536,
    "divide_by_one": lambda c: c.divisor_override == 1,
    "divide_by_minus_two": lambda c: c.divisor_override == -2,
    "long_rows_3x3": lambda c: long_rows(c, 3, 1) and c.out_shape == c.shape,
    "long_rows_3x3_s2": lambda c: long_rows(c, 3, 2),
    "long_rows_5x5": lambda c: long_rows(c, 5, 1) and c.out_shape == c.shape,
    "long_rows_5x5_s2": lambda c: long_rows(c, 5, 2),
    "long_rows_in_padding": lambda c: long_rows(c, 3, 1) and counts(c).min() == 1,
    "long_rows_s2_in_padding": lambda c: long_rows(c, 5, 2) and counts(c).min() == 1,
    "long_rows_few_channels": lambda c: long_rows(c, 3, 1) and channels(c) == 3,
    "few_channels_2x2": lambda c: channels(c) == 6 and every(kernel=2, stride=2)(c),
    "few_channels_padded_s2": lambda c: channels(c) == 3 and every(stride=2, padding=(1, 1))(c),
    "ten_channels_2x2": lambda c: channels(c) == 10 and every(kernel=2, stride=2)(c),
    "plane_of_many_outputs": lambda c: np.prod(c.out_shape[2:]) > CHUNK,
    "stride_4_tiles": lambda c: all(a == Axis(4, 4) and n % 4 == 0 for a, n in sides(c)),
    "stride_3_padded": lambda c: all(a == Axis(5, 3, 2, 2) for a in c.window),
    "only_before_padding": lambda c: all(a.before and not a.after for a in c.window),
    "only_after_padding": lambda c: all(a.after and not a.before for a in c.window),
    "asymmetric": lambda c: len({p for a in c.window for p in a.padding}) == 4,
    "padding_just_below_extent": lambda c: all(a.padding == (a.extent - 1,) * 2 for a in c.window),
    "plane_smaller_than_kernel": lambda c: all(a.kernel > n for a, n in sides(c)),
    "border_everywhere": lambda c: (counts(c) < c.window.kernel_taps).all(),
    "same_even_kernel": lambda c: all(a.after == a.before + 1 for a in c.window),
    "same_strided": lambda c: not any(a.resolved for a in c.window),
    "same_dilated": lambda c: c.out_shape == c.shape and c.window[0].dilation > 1,
    "same_stride_beyond_kernel": lambda c: all(a.stride > a.kernel for a in c.window),
    "padding_of_the_extent": lambda c: any(a.before == a.extent for a in c.window),
    "dilated": lambda c: all(a.dilation > 1 for a in c.window),
    "dilated_stride_shares_factor": lambda c: all(
        np.gcd(a.stride, a.dilation) > 1 for a in c.window
    ),
    "dilated_stride_coprime": lambda c: all(
        np.gcd(a.stride, a.dilation) == 1 < min(a.stride, a.dilation) for a in c.window
    ),
    "dilated_beyond_input": some_windows_empty,
    "dilated_beyond_row_only": some_windows_empty,
    "dilated_ceil": lambda c: all(a.ceil and a.dilation > 1 for a in c.window),
    "ceil_overhang": lambda c: c.out_shape > without_ceil(c).out_shape,
    "ceil_overhang_padded": lambda c: c.out_shape > without_ceil(c).out_shape,
    "ceil_fits": lambda c: c.out_shape == without_ceil(c).out_shape,
    "ceil_drops_window": lambda c: all(
        -(-(n + sum(a.padding) - a.extent) // a.stride) + 1 > a.out(n)
        for a, n in sides(c)
    ),
    "ceil_longer_than_input": lambda c: 0 in without_ceil(c).out_shape,
    "ceil_one_axis": lambda c: [a.ceil for a in c.window] == [True, False],
    "ceil_dilated_empty": some_windows_empty,
    "ceil_fewer_than_floor": lambda c: c.out_shape < without_ceil(c).out_shape,
    "window_longer_than_input": lambda c: any(a.kernel > n for a, n in sides(c)),
    "dilated_longer_than_input": lambda c: all(a.kernel < n for a, n in sides(c)),
    "ceil_longer_by_a_stride": lambda c: all(a.ceil for a in c.window),
}  # fmt: skip

LINES = {
    "speech_frames": every(kernel=16 * 25, stride=16 * 10),
    "text_over_time": lambda c: c.window == Window([Axis(*c.n)]),
    "line_tiles": lambda c: every(kernel=2, stride=2)(c) and c.n[0] % 2,
    "line_overlapping": every(kernel=3, stride=2),
    "line_longer_than_a_chunk": lambda c: CHUNK < c.out_shape[-1] < 2 * CHUNK,
    "line_chunks_strided": lambda c: c.out_shape[-1] > CHUNK and c.window[0].stride == 2,
    "line_window_over_chunks": lambda c: c.out_shape[-1] > CHUNK and c.window[0].dilation > 1000,
    "line_unbatched": lambda c: len(c.shape) == 2,
    "line_of_one": lambda c: c.n == (1,) and c.window.kernel_taps == 1,
    "line_of_one_in_padding": lambda c: c.n == (1,) and c.window.kernel_taps == 3,
    "line_zero_batch": lambda c: c.shape[0] == 0,
    "line_one_channel": lambda c: c.shape[:2] == (1, 1),
    "line_many_channels": lambda c: channels(c) > 2 * LANES and channels(c) > c.n[0],
    "line_lanes_plus_one": lambda c: c.out_shape[-1] == LANES + 1,
    "line_kernel_31": lambda c: every(kernel=31, stride=1)(c) and c.out_shape == c.shape,
    "line_more_than_255_taps": lambda c: c.window.kernel_taps > 256,
    "line_asymmetric": lambda c: (
        len(set(c.window[0].padding)) == 2 and 0 not in c.window[0].padding
    ),
    "line_same_even": lambda c: c.out_shape == c.shape and c.window[0].kernel % 2 == 0,
    "line_same_strided": lambda c: not c.window[0].resolved,
    "line_dilated": lambda c: c.window[0].dilation > c.window[0].stride > 1,
    "line_dilated_empty": some_windows_empty,
    "line_ceil": lambda c: c.out_shape > without_ceil(c).out_shape,
    "line_ceil_dilated": lambda c: (
        c.out_shape > without_ceil(c).out_shape and c.window[0].dilation > 1
    ),
}

VOLUMES = {
    "video_first": lambda c: [a.kernel for a in c.window] == [1, 2, 2],
    "video_2x2x2": every(kernel=2, stride=2, padding=(0, 0)),
    "video_same_strided": lambda c: not any(a.resolved for a in c.window),
    "medical_odd": lambda c: all(n % 2 for n in c.n),
    "medical_overlapping": every(kernel=3, stride=2, padding=(1, 1)),
    "medical_thick_slices": lambda c: len({(a.kernel, a.stride, a.before) for a in c.window}) == 3,
    "one_voxel": lambda c: c.n == (1, 1, 1) and c.window.kernel_taps == 1,
    "one_voxel_in_padding": lambda c: c.n == (1, 1, 1) and c.window.kernel_taps == 27,
    "one_slice": lambda c: c.n[0] == 1 < min(c.n[1:]),
    "one_thread": lambda c: c.n[1:] == (1, 1),
    "volume_unbatched": lambda c: len(c.shape) == 4,
    "volume_zero_batch": lambda c: c.shape[0] == 0,
    "volume_one_channel": lambda c: channels(c) == 1 < c.shape[0],
    "volume_channels_are_lanes": lambda c: channels(c) == LANES,
    "volume_channels_tail": lambda c: channels(c) % 4 and channels(c) > LANES,
    "volume_channels_lanes_plus_one": lambda c: channels(c) == LANES + 1,
    "volume_width_lanes_plus_one": lambda c: c.out_shape[-1] == LANES + 1,
    "volume_global": lambda c: tuple(a.kernel for a in c.window) == c.n,
    "volume_more_than_255_taps": lambda c: c.window.kernel_taps > 256,
    "volume_kernel_9": every(kernel=9, stride=1),
    "volume_of_large_slices": lambda c: np.prod(c.out_shape[-2:]) > CHUNK,
    "volume_asymmetric": lambda c: len({p for a in c.window for p in a.padding}) == 6,
    "volume_same_even": lambda c: all(a.after == a.before + 1 for a in c.window),
    "volume_dilated": every(dilation=2),
    "volume_dilated_empty": some_windows_empty,
    "volume_ceil": lambda c: c.out_shape > without_ceil(c).out_shape,
    "volume_ceil_dilated": lambda c: (
        c.out_shape > without_ceil(c).out_shape and every(dilation=2)(c)
    ),
}


def one_pixel(c):
    return c.out_shape[-2:] == (1, 1)


SHARES = {
    "alexnet_head": lambda c: c.out_shape[-2:] == (6, 6),
    "vgg_head": lambda c: c.out_shape == c.shape,
    "resnet_head_plane": lambda c: c.out_shape[-2:] == (1, 1) and channels(c) > 2 * LANES,
    "shares_divide": lambda c: not any(irregular(c)),
    "shares_overlap": lambda c: all(irregular(c)) and counts(c).sum() > np.prod(c.n),
    "shares_divide_one_axis": lambda c: irregular(c) == [False, True],
    "shares_of_a_row": lambda c: c.out_shape[-2] == 1 < c.out_shape[-1],
    "more_shares_than_elements": lambda c: all(
        o > n for o, n in zip(c.out_shape[2:], c.n, strict=True)
    ),
    "shares_of_one_pixel": lambda c: c.n == (1, 1),
    "shares_many_channels": lambda c: channels(c) % 4 and channels(c) > LANES,
    "shares_unbatched": lambda c: len(c.shape) == 3,
    "shares_zero_batch": lambda c: c.shape[0] == 0,
    "share_beside_a_kernel": lambda c: irregular(c) == [False, True] and c.arguments() is None,
    "whole_few_channels": lambda c: one_pixel(c) and channels(c) < LANES,
    "whole_odd_channels": lambda c: one_pixel(c) and channels(c) % 2 == 1 and channels(c) < LANES,
    "whole_fewer_pixels_than_a_row": lambda c: one_pixel(c) and np.prod(c.n) < LANES,
    "whole_channels_tail": lambda c: one_pixel(c) and LANES < channels(c) < 3 * LANES,
    "whole_many_channels": lambda c: one_pixel(c) and channels(c) > 8 * LANES,
    "line_shares": lambda c: c.out_shape[-1] == 7 and irregular(c) == [True],
    "line_shares_divide": lambda c: irregular(c) == [False],
    "line_whole": lambda c: c.out_shape[-1] == 1,
    "line_shares_unbatched": lambda c: len(c.shape) == 2,
    "volume_shares": lambda c: all(irregular(c)),
    "volume_shares_divide": lambda c: not any(irregular(c)),
    "volume_whole": lambda c: c.out_shape[-3:] == (1, 1, 1),
    "volume_shares_many_channels": lambda c: channels(c) == LANES + 1,
}

PROMISES = {**PLANES, **LINES, **VOLUMES, **SHARES}
