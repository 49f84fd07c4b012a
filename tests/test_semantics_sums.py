"""Averages, sums and blurring: see docs/semantics.md."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

import cenote
from by_hand import (
    FORMATS,
    HALVES,
    INF,
    NAN,
    RANKS,
    by_name,
    line,
    numbers,
    row,
    same_bits,
    some,
    whole,
    with_an_empty_window,
)

# One case for each way in which the two divisors, ceil mode and padding meet.
PADDED = [(3, 2, 1, ceil, inside) for ceil in (False, True) for inside in (False, True)]


# Averages.


def test_padding_counts_unless_asked_not_to():
    x = row(2.0, 4.0)
    assert numbers(cenote.avg_pool2d(x, (1, 2), 1, (0, 1))) == [1.0, 3.0, 2.0]
    inside = cenote.avg_pool2d(x, (1, 2), 1, (0, 1), count_include_pad=False)
    assert numbers(inside) == [2.0, 3.0, 4.0]


def test_what_hangs_over_in_ceil_mode_never_counts():
    x = row(2.0, 4.0, 6.0, 8.0)  # padded to six; the third window has two taps in it
    for inside, last in ((True, 8 / 2), (False, 8 / 1)):
        out = cenote.avg_pool2d(x, (1, 3), 2, (0, 1), True, inside)
        assert numbers(out)[2:] == [last]
        assert torch.equal(out, F.avg_pool2d(x, (1, 3), 2, (0, 1), True, inside))


def test_divisor_override_divides_every_sum():
    x = row(2.0, 4.0)
    for by, expected in ((4, [0.5, 1.5, 1.0]), (-2, [-1.0, -3.0, -2.0])):
        out = cenote.avg_pool2d(x, (1, 2), 1, (0, 1), divisor_override=by)
        assert numbers(out) == expected
        assert torch.equal(out, F.avg_pool2d(x, (1, 2), 1, (0, 1), divisor_override=by))
    with pytest.raises(ValueError, match="divisor_override = 0: must not be zero"):
        cenote.avg_pool2d(x, (1, 2), divisor_override=0)


def test_divisor_override_in_one_dimension():
    assert numbers(cenote.avg_pool1d(line(2.0, 4.0), 2, divisor_override=4)) == [1.5]
    with pytest.raises(TypeError, match="divisor_override"):
        F.avg_pool1d(line(2.0, 4.0), 2, divisor_override=4)


def test_a_divisor_that_no_integer_holds_is_refused():
    for by in (2**63, -(2**63) - 1, 2**64):
        with pytest.raises(ValueError, match="avg_pool2d: divisor_override = "):
            cenote.avg_pool2d(row(2.0, 4.0), (1, 2), divisor_override=by)


def test_averages_take_dilation():
    x = row(1.0, 2.0, 3.0, 4.0, 5.0)
    assert numbers(cenote.avg_pool2d(x, (1, 2), 1, dilation=3)) == [2.5, 3.5]
    with pytest.raises(TypeError, match="unexpected keyword argument 'dilation'"):
        F.avg_pool2d(x, (1, 2), 1, dilation=3)


def test_an_average_of_nothing_is_zero():
    x = line(6.0, 6.0, 6.0)
    for options, first in (
        ({"count_include_pad": False}, 6.0),
        ({"count_include_pad": True}, 3.0),
        ({"divisor_override": 4}, 1.5),
    ):
        out = cenote.pool(x, with_an_empty_window(), "avg", **options)
        assert numbers(out) == [first, 0.0]


def test_nan_and_infinity_stay_in_their_windows():
    x = row(NAN, 1.0, 3.0, INF, -INF)
    for library in (cenote, F):
        out = numbers(library.avg_pool2d(x, (1, 2), 1))
        assert out[1:3] == [2.0, INF]
        assert math.isnan(out[0])
        assert math.isnan(out[3])


def test_integer_averages_are_truncated_toward_zero():
    x = row(-3, 0, 3, 0, dtype=torch.int64)
    assert numbers(cenote.avg_pool2d(x, (1, 2))) == [-1, 1] == numbers(F.avg_pool2d(x, (1, 2)))
    large = row(2**61 + 1, 2**61 + 3, dtype=torch.int64)
    assert cenote.avg_pool2d(large, (1, 2)) == 2**61 + 2  # no float on the way


def test_half_even_rounds_to_the_nearest_and_halves_to_even():
    for pair in itertools.product(range(-4, 5), repeat=2):
        for by in (None, 4, -2):
            x = line(*pair, dtype=torch.int64)
            out = cenote.avg_pool1d(x, 2, divisor_override=by, rounding="half_even")
            assert out == round(sum(pair) / (by or 2))  # Python rounds so too
    large = line(2**61 + 1, 2**61 + 4, dtype=torch.int64)
    assert cenote.avg_pool1d(large, 2, rounding="half_even") == 2**61 + 2


def test_rounding_is_of_integers_alone():
    x = some(2, 3, 9)
    half_even = cenote.avg_pool1d(x, 3, 2, rounding="half_even")
    assert same_bits(half_even, cenote.avg_pool1d(x, 3, 2))


def test_narrow_integers_are_summed_in_wide_ones():
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        most = torch.iinfo(dtype).max
        x = row(most, most, most, dtype=dtype)
        assert cenote.avg_pool2d(x, (1, 3)) == most
        with pytest.raises(NotImplementedError, match="avg_pool2d"):
            F.avg_pool2d(x, (1, 3))


def test_averages_of_halves_are_summed_in_float32():
    for dtype in HALVES:
        x = some(2, 3, 9, 8, dtype=dtype)
        for library in (cenote, F):
            wide = library.avg_pool2d(x.float(), 3, 2, 1)
            assert same_bits(library.avg_pool2d(x, 3, 2, 1), wide.to(dtype))
        volume = x[:, :, None]
        assert same_bits(cenote.avg_pool3d(volume, (1, 3, 3)), cenote.avg_pool2d(x, 3)[:, :, None])
        with pytest.raises(NotImplementedError, match="avg_pool3d"):
            F.avg_pool3d(volume, (1, 3, 3))
    assert cenote.avg_pool2d(row(6e4, 6e4, dtype=torch.float16), (1, 2)) == 6e4  # 65504 is the end


def test_averages_whose_sums_are_exact_are_torchs_to_the_bit():
    for dtype, memory_format in itertools.product((torch.float32, torch.float64), FORMATS):
        x = (some(2, 3, 9, 11, dtype=dtype) * 100).round().contiguous(memory_format=memory_format)
        for arguments in PADDED:
            assert torch.equal(cenote.avg_pool2d(x, *arguments), F.avg_pool2d(x, *arguments))


def test_other_averages_are_right_within_the_rounding_of_their_sums():
    x = some(2, 3, 9, 11)
    for arguments in PADDED:
        exact = F.avg_pool2d(x.double(), *arguments)
        sizes = F.avg_pool2d(x.double().abs(), *arguments)
        # nine terms are added with at most nine roundings, and divided with one
        slack = 10 * torch.finfo(torch.float32).eps * sizes
        assert ((cenote.avg_pool2d(x, *arguments) - exact).abs() <= slack).all()


def test_an_average_of_negative_zeros_is_positive():
    for channels in (1, 20):
        x = torch.full((1, channels, 2, 2), -0.0)
        for layout in (torch.contiguous_format, torch.channels_last):
            for padding in (0, 1):
                ours = cenote.avg_pool2d(x.contiguous(memory_format=layout), 2, 1, padding)
                assert same_bits(ours, F.avg_pool2d(x, 2, 1, padding))
                assert not ours.signbit().any()
                assert not cenote.sum_pool2d(x, 2, 1, padding).signbit().any()


# Sums.


def test_sums_are_averages_over_a_divisor_of_one():
    for rank, ceil in itertools.product((2, 3), (False, True)):
        x = whole(2, 3, *[6] * rank)
        expected = getattr(F, f"avg_pool{rank}d")(x, 3, 2, 1, ceil, divisor_override=1)
        assert torch.equal(by_name("sum_pool", rank)(x, 3, 2, 1, ceil), expected)


def test_sums_of_integers_are_int64():
    for dtype, most in ((torch.int8, 127), (torch.uint8, 255), (torch.int32, 2**31 - 1)):
        x = line(most, most, most, dtype=dtype)
        total = cenote.sum_pool1d(x, 3)
        assert total.dtype == torch.int64 == x.sum(-1).dtype
        assert total == 3 * most == x.sum()
    flags = line(True, True, False, dtype=torch.bool)
    for pool in (cenote.sum_pool1d, cenote.adaptive_sum_pool1d):
        assert numbers(pool(flags, 1)) == ([1, 1, 0] if pool is cenote.sum_pool1d else [2])
    large = line(2**63 - 1, 1, dtype=torch.int64)
    assert cenote.sum_pool1d(large, 2) == -(2**63) == large.sum()  # past the end they wrap round


# Blurring.


def test_blurring_weighs_with_binomials():
    x = line(*[0.0] * 6, 64.0, *[0.0] * 6)
    for taps in range(2, 8):
        weights = [math.comb(taps - 1, k) / 2 ** (taps - 1) for k in range(taps)]
        expected = F.conv1d(x, torch.tensor([[weights]]))
        assert torch.equal(cenote.blur_pool1d(x, taps, 1, padding="valid"), expected)
    for taps in (1, 8):
        with pytest.raises(ValueError, match=f"kernel_size = {taps}: must be between 2 and 7"):
            cenote.blur_pool1d(x, taps)


def test_half_padding_gives_an_output_for_every_stride_begun():
    for taps, stride, n in itertools.product(range(2, 8), range(1, 4), range(7, 12)):
        ones = torch.ones(1, n)
        blurred = cenote.blur_pool1d(ones, taps, stride)
        assert torch.equal(blurred, torch.ones(1, math.ceil(n / stride)))
        sides = (taps - 1) // 2, taps // 2
        x = whole(1, n)
        there = cenote.blur_pool1d(F.pad(x, sides, mode="reflect"), taps, stride, padding=0)
        assert torch.equal(cenote.blur_pool1d(x, taps, stride), there)


def test_blurring_pads_as_it_is_told():
    x = line(4.0, 8.0)
    for mode, expected in (
        ("reflect", [6.0, 6.0]),
        ("replicate", [5.0, 7.0]),
        ("circular", [6.0, 6.0]),
        ("zeros", [4.0, 5.0]),
        ("identity", [4.0, 5.0]),
    ):
        assert numbers(cenote.blur_pool1d(x, 3, 1, padding_mode=mode)) == expected
    assert numbers(cenote.blur_pool1d(x, 2, 1, padding=((1, 0),), padding_mode="zeros")) == [2, 6]
    with pytest.raises(ValueError, match="padding 1 reflects more than an input of length 1"):
        cenote.blur_pool1d(line(4.0))


def test_axes_are_blurred_one_after_the_other():
    for rank, taps in ((2, (3, 4)), (3, (2, 3, 5))):
        x = whole(2, 3, *[8] * rank)
        expected = x
        for axis, k in enumerate(taps):
            alone = [1] * rank
            alone[axis] = k
            turned = expected.movedim(2 + axis, -1)
            blurred = cenote.blur_pool1d(turned.reshape(-1, 1, 8), k, 1)
            expected = blurred.view(turned.shape).movedim(-1, 2 + axis)
        assert torch.equal(by_name("blur_pool", rank)(x, taps, 1), expected)


def test_a_maximum_comes_apart_from_its_stride():
    x = line(0.0, 4.0, 0.0, 0.0, 2.0)
    most = cenote.max_pool1d(x, 2, 1, "same")  # 4 4 0 2 2
    assert numbers(cenote.max_blur_pool1d(x, 2, padding="same")) == [4.0, 1.5, 2.0]
    for rank in RANKS:
        x = whole(2, 3, *[9] * rank)
        most = by_name("max_pool", rank)(x, 3, 1, 1)
        blurred = by_name("blur_pool", rank)(most, 4, 3)
        assert same_bits(by_name("max_blur_pool", rank)(x, 3, 3, padding=1, filter_size=4), blurred)
