"""What is drawn, mixed, pooled at several scales, or the caller's own: see docs/semantics.md."""

import itertools
import math
from functools import partial

import pytest
import torch

import cenote
from by_hand import (
    HALVES,
    INF,
    NAN,
    RANKS,
    by_name,
    gradient,
    line,
    numbers,
    same_bits,
    some,
    whole,
    with_an_empty_window,
)
from cenote import Axis, Window


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# Stochastic pooling.


def test_draws_are_in_proportion_to_positive_elements():
    x = line(1.0, -5.0, 3.0).repeat(1, 4000, 1)
    drawn = cenote.stochastic_pool1d(x, 3, generator=seeded(0))
    ones, threes = (drawn == 1).sum().item(), (drawn == 3).sum().item()
    assert ones + threes == 4000
    assert abs(threes - 3000) < 5 * math.sqrt(4000 * 0.25 * 0.75)  # standard deviations


def test_draws_come_from_the_generator_or_torchs_own():
    x = torch.arange(1.0, 121.0).view(1, 2, 60)
    for dtype in (torch.float32, *HALVES):
        pool = partial(cenote.stochastic_pool1d, x.to(dtype), 6)
        once, again, other = (pool(generator=seeded(s)) for s in (1, 1, 2))
        assert torch.equal(once, again)
        assert not torch.equal(once, other)
        torch.manual_seed(1)
        assert torch.equal(pool(), once)


def test_the_layout_changes_no_draw():
    x = some(2, 5, 6, 6).abs()
    laid = x.contiguous(memory_format=torch.channels_last)
    drawn = [cenote.stochastic_pool2d(t, 3, generator=seeded(1)) for t in (x, laid)]
    assert torch.equal(*drawn)


def test_a_window_without_a_positive_element_gives_zero():
    x = line(-1.0, -2.0, 0.0, -0.0, -3.0, 5.0)
    for training in (True, False):
        assert numbers(cenote.stochastic_pool1d(x, 2, training=training)) == [0.0, 0.0, 5.0]


def test_nan_is_always_drawn_and_then_infinity():
    x = line(1.0, NAN, INF, 5.0, 1.0, INF, INF, 2.0, -1.0)
    first, *rest = numbers(cenote.stochastic_pool1d(x, 3, generator=seeded(0)))
    assert math.isnan(first)
    assert rest == [INF, INF]
    assert cenote.stochastic_pool1d(x[..., :3], 3, training=False).isnan()


def test_without_training_the_mean_of_the_draws():
    x = line(1.0, 3.0, 4.0, -4.0, -1.0, 0.0)
    assert numbers(cenote.stochastic_pool1d(x, 2, training=False)) == [2.5, 4.0, 0.0]
    halves = line(300.0, 400.0, dtype=torch.float16)  # their squares lie beyond the type
    expected = torch.tensor(2500 / 7, dtype=torch.float16)
    assert cenote.stochastic_pool1d(halves, 2, training=False) == expected


def test_the_mean_of_the_draws_of_large_and_small_elements():
    for size in (1e20, 1e-30):
        mean = cenote.stochastic_pool1d(size * line(3.0, 4.0), 2, training=False)
        assert mean.item() == pytest.approx(25 / 7 * size, rel=1e-6)
    assert cenote.stochastic_pool1d(line(1.0, INF), 2, training=False) == INF


# Mixed pooling.


def test_mixtures_of_maximum_and_mean():
    x = line(1.0, 4.0, 2.0, 0.0)
    for alpha, expected in ((0, [2.5, 1.0]), (0.25, [2.875, 1.25]), (1, [4.0, 2.0])):
        for given in (alpha, torch.tensor(float(alpha))):
            assert numbers(cenote.mixed_pool1d(x, 2, alpha=given)) == expected
    for inside, expected in ((True, [1.5, 3.5, 3.0]), (False, [2.0, 3.5, 4.0])):
        mixed = cenote.mixed_pool1d(line(2.0, 4.0), 2, 1, 1, count_include_pad=inside)
        assert numbers(mixed) == [expected[0], 3.5, expected[2]]


def test_at_both_ends_one_part_is_left_out():
    x = some(2, 3, 9)
    assert same_bits(cenote.mixed_pool1d(x, 3, 2, 1, alpha=0), cenote.avg_pool1d(x, 3, 2, 1))
    assert same_bits(cenote.mixed_pool1d(x, 3, 2, 1, alpha=1), cenote.max_pool1d(x, 3, 2, 1))
    low = line(1.0, -INF)
    assert cenote.mixed_pool1d(low, 2, alpha=1) == 1.0
    assert cenote.mixed_pool1d(low, 2, alpha=torch.tensor(1.0)).isnan()  # 0 times infinity
    for alpha, nothing in ((0, 0.0), (0.5, -INF), (1, -INF)):
        out = cenote.pool(line(2.0, 2.0, 2.0), with_an_empty_window(), "mixed", alpha=alpha)
        assert out[..., 1] == nothing


def test_shares_of_the_maximum_lie_between_zero_and_one():
    x = line(2.0, 4.0)
    for alpha in (-0.1, 1.1, NAN):
        with pytest.raises(ValueError, match=r"alpha = .*: must lie between 0 and 1"):
            cenote.mixed_pool1d(x, 2, alpha=alpha)
    assert cenote.mixed_pool1d(x, 2, alpha=torch.tensor(1.5)) == 4.5  # not looked at


def test_every_plane_may_have_its_own_share():
    x = torch.tensor([[[2.0, 4.0], [2.0, 4.0]]])
    alpha = torch.tensor([[1.0], [0.5]])
    assert numbers(cenote.mixed_pool1d(x, 2, alpha=alpha)) == [4.0, 3.5]


# Several scales.


def test_a_pyramid_lays_its_levels_side_by_side():
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 6.0, 5.0]]])
    assert numbers(cenote.spatial_pyramid_pool1d(x, (1, 2))) == [4, 8, 2, 4, 8, 6]
    for rank, reduce in itertools.product(RANKS, ("max", "min", "avg", "sum")):
        x = whole(2, 3, *(5, 6, 7)[:rank])
        shares = [by_name(f"adaptive_{reduce}_pool", rank)(x, m).flatten(1) for m in (1, 2, 4)]
        pyramid = by_name("spatial_pyramid_pool", rank)(x, reduce=reduce)
        assert torch.equal(pyramid, torch.cat(shares, 1))
        assert torch.equal(by_name("spatial_pyramid_pool", rank)(x[0], reduce=reduce), pyramid[0])


def test_a_chain_of_maxima_widens_its_window():
    x = line(1.0, 4.0, 2.0, 0.0)
    assert numbers(cenote.sppf1d(x, 3, 2)) == [1, 4, 2, 0, 4, 4, 4, 2, 4, 4, 4, 4]
    for rank in RANKS:
        x = whole(2, 3, *[7] * rank)
        windows = [by_name("max_pool", rank)(x, k, 1, "same") for k in (1, 5, 9, 13)]
        assert torch.equal(by_name("sppf", rank)(x), torch.cat(windows, 1))
        assert torch.equal(by_name("sppf", rank)(x[0]), torch.cat(windows, 1)[0])


# Any reduction.

DIGITS = (lambda a, b: 10 * a + b, torch.zeros_like)  # not associative: shows the order


def test_elements_are_combined_in_row_major_order_from_the_identity():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert cenote.pool(x, Window([Axis(2), Axis(2)]), DIGITS) == 1234
    minus = (torch.sub, lambda like: torch.full_like(like, 100.0))
    assert cenote.pool(x, Window([Axis(2), Axis(2)]), minus) == 90


def test_taps_outside_are_left_out():
    x = line(1.0, 2.0, 3.0)
    assert numbers(cenote.pool(x, Window([Axis(2, 2, 1, 0)]), DIGITS)) == [1.0, 23.0]
    shown = cenote.pool(x, Window([Axis(2, 2, 1, 0)]), DIGITS, padding_mode="circular")
    assert numbers(shown) == [31.0, 23.0]
    ones = (torch.mul, torch.ones_like)
    assert numbers(cenote.pool(2 * x, with_an_empty_window(), ones)) == [4.0, 1.0]


def test_any_operation_on_any_type_has_its_gradient():
    x = some(2, 3, 8)
    product = cenote.pool(x, Window([Axis(4, 4)]), (torch.mul, torch.ones_like))
    torch.testing.assert_close(product, x.unflatten(-1, (2, 4)).prod(-1))
    back = gradient(
        lambda t: cenote.pool(t, Window([Axis(3)]), (torch.mul, torch.ones_like)),
        line(2.0, 3.0, 5.0),
    )
    assert numbers(back) == [15.0, 10.0, 6.0]
    either = (torch.bitwise_xor, torch.zeros_like)
    whole_numbers = line(5, 3, 6, dtype=torch.int16)
    assert cenote.pool(whole_numbers, Window([Axis(3)]), either) == 5 ^ 3 ^ 6


def test_a_callers_mistakes_are_named():
    x, window = some(1, 1, 4), Window([Axis(2)])
    with pytest.raises(TypeError, match=r"as a pair it is \(combine, identity\), callables"):
        cenote.pool(x, window, (torch.mul,))
    with pytest.raises(ValueError, match=r"gave the shape \(1, 3\) for outputs of shape"):
        cenote.pool(x, window, (lambda a, b: (a + b).sum(-1), lambda like: like.sum(-1)))
