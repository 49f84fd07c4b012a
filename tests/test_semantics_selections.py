"""Maxima, minima and medians: see docs/semantics.md."""

import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F

import cenote
from by_hand import (
    FORMATS,
    INF,
    INTEGERS,
    NAN,
    RANKS,
    by_name,
    gradient,
    line,
    numbers,
    row,
    same_bits,
    some,
    whole,
    with_an_empty_window,
)

# Maxima and minima.


def test_minima_are_maxima_upside_down():
    for rank in RANKS:
        x = whole(2, 3, *[7] * rank)
        least, where = by_name("min_pool", rank)(x, 3, 2, 1, return_indices=True)
        torchs = getattr(F, f"max_pool{rank}d")(-x, 3, 2, 1, return_indices=True)
        assert torch.equal(least, -torchs[0])
        assert torch.equal(where, torchs[1])


def test_nan_wins_and_of_several_the_last():
    x = row(NAN, 1.0, NAN, INF)
    for pool in (cenote.max_pool2d, cenote.min_pool2d, F.max_pool2d):
        for sign in (1, -1):
            value, index = pool(sign * x, (1, 4), return_indices=True)
            assert value.isnan()
            assert index == 2
        assert numbers(gradient(partial(pool, kernel_size=(1, 4)), x)) == [0, 0, 1, 0]


def test_of_equal_maxima_the_first_in_row_major_order():
    x = torch.tensor([[[0.0, 1.0, 7.0], [7.0, 7.0, 2.0]]])
    for pool, sign in ((cenote.max_pool2d, 1), (cenote.min_pool2d, -1), (F.max_pool2d, 1)):
        assert pool(sign * x, (2, 3), return_indices=True)[1] == 2
        to = gradient(partial(pool, kernel_size=(2, 3)), sign * x)
        assert numbers(to) == [0, 0, 1, 0, 0, 0]


def test_zeros_of_both_signs_are_equal():
    for x in (row(-0.0, 0.0), row(0.0, -0.0)):
        for pool in (cenote.max_pool2d, cenote.min_pool2d, F.max_pool2d):
            value, index = pool(x, (1, 2), return_indices=True)
            assert same_bits(value, x[..., :1])
            assert index == 0


def test_minus_infinity_stays_and_has_an_index():
    x = row(-INF, -INF, -INF)
    for pool, sign in ((cenote.max_pool2d, 1), (cenote.min_pool2d, -1), (F.max_pool2d, 1)):
        values, indices = pool(sign * x, (1, 3), 1, (0, 1), return_indices=True)
        assert numbers(values) == [sign * -INF] * 3
        assert numbers(indices) == [0, 0, 1]


def test_a_maximum_over_nothing_is_the_least_value_at_minus_one():
    ends = {torch.float64: (-INF, INF), torch.float16: (-INF, INF), torch.bool: (False, True)}
    for dtype in INTEGERS:
        ends[dtype] = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    for dtype, (least, greatest) in ends.items():
        for reduce, nothing in (("max", least), ("min", greatest)):
            values, indices = cenote.pool(
                line(1, 1, 1, dtype=dtype), with_an_empty_window(), reduce, return_indices=True
            )
            assert numbers(values) == [1, nothing]
            assert numbers(indices) == [1, -1]


def test_torch_gives_an_empty_window_an_element_that_it_does_not_have():
    x = torch.ones(1, 4, 2)  # taps at rows -1 and 4
    arguments = (2, 1), 1, (1, 0), (5, 1)
    assert numbers(F.max_pool2d(x, *arguments, return_indices=True)[1]) == [8, 9]
    values, indices = cenote.max_pool2d(x, *arguments, return_indices=True)
    assert numbers(indices) == [-1, -1]
    with pytest.raises(RuntimeError, match="invalid max index: -1"):  # and writes nothing
        F.max_unpool2d(values, indices, (2, 1))


def test_indices_point_into_the_plane():
    x = some(2, 3, 7, 9)
    for memory_format, name in itertools.product(FORMATS, ("max", "min", "median")):
        laid = x.contiguous(memory_format=memory_format)
        values, indices = by_name(f"{name}_pool", 2)(laid, 3, 2, 1, return_indices=True)
        assert indices.dtype == torch.int64
        assert torch.equal(x.flatten(2).gather(2, indices.flatten(2)), values.flatten(2))
        if name == "max":
            assert torch.equal(indices, F.max_pool2d(laid, 3, 2, 1, return_indices=True)[1])


def test_maxima_and_their_gradients_are_torchs_to_the_bit():
    for dtype, memory_format in itertools.product((torch.float32, torch.float64), FORMATS):
        x = some(2, 3, 13, 17, dtype=dtype).contiguous(memory_format=memory_format)
        ours, theirs = (
            partial(f.max_pool2d, kernel_size=5, stride=2, padding=2) for f in (cenote, F)
        )
        assert same_bits(ours(x), theirs(x))
        grad = some(*ours(x).shape, dtype=dtype)
        assert same_bits(gradient(ours, x, grad), gradient(theirs, x, grad))


# Medians.


def test_of_an_even_number_of_elements_the_lower_median():
    for dtype in (torch.float32, *INTEGERS):
        x = line(4, 1, 3, 2, 9, dtype=dtype)
        assert numbers(cenote.median_pool1d(x, 4)) == [2] == numbers(x[..., :4].median(-1).values)
        assert numbers(cenote.median_pool1d(x, 5)) == [3] == numbers(x.median(-1).values)


def test_padding_is_no_element_of_a_median():
    x = line(3.0, 1.0, 2.0)
    assert numbers(cenote.median_pool1d(x, 3, 1, 1)) == [1.0, 2.0, 1.0]
    assert numbers(cenote.median_pool1d(-x, 3, 1, 1)) == [-3.0, -2.0, -2.0]
    x = line(127, 127, 1, dtype=torch.int8)  # what stands in the padding is as great as elements
    assert numbers(cenote.median_pool1d(x, 3, 1, 1)) == [127, 127, 1]


def test_nan_is_the_median_and_of_several_the_first():
    x = line(1.0, NAN, 2.0, NAN)
    value, index = cenote.median_pool1d(x, 4, return_indices=True)
    assert value.isnan()
    assert index == 1 == x.median(-1).indices
    assert numbers(gradient(lambda t: cenote.median_pool1d(t, 4), x)) == [0.0, 1.0, 0.0, 0.0]


def test_of_equal_medians_the_first():
    x = line(5.0, 2.0, 2.0, 2.0, 1.0)
    assert cenote.median_pool1d(x, 5, return_indices=True)[1] == 1
    assert x.median(-1).indices == 2
    zeros = line(0.0, -0.0, -0.0)
    assert not cenote.median_pool1d(zeros, 3).signbit()
    assert zeros.median(-1).values.signbit()


def test_the_median_of_nothing_has_no_index():
    for dtype in (torch.float32, torch.int8):
        values, indices = cenote.pool(
            line(2, 2, 2, dtype=dtype), with_an_empty_window(), "median", return_indices=True
        )
        assert numbers(values) == [2, 0]
        assert numbers(indices) == [1, -1]
