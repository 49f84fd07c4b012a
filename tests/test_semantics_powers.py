"""Norms, smooth maxima and generalised means: see docs/semantics.md."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

import cenote
from by_hand import (
    INF,
    NAN,
    line,
    numbers,
    some,
)

# Norms.


def test_norms_are_of_absolute_values():
    x = line(-1.0, 2.0, -3.0, 4.0)
    for p in (0.5, 1, 2, 2.5, 3):
        expected = [(1**p + 2**p) ** (1 / p), (3**p + 4**p) ** (1 / p)]
        assert numbers(cenote.lp_pool1d(x, p, 2)) == pytest.approx(expected, rel=1e-6)
        assert numbers(F.lp_pool1d(x.abs(), p, 2)) == pytest.approx(expected, rel=1e-6)
    for p, signed in ((1, [1.0, 1.0]), (3, [7 ** (1 / 3), 37 ** (1 / 3)])):
        assert numbers(F.lp_pool1d(x, p, 2)) == pytest.approx(signed, rel=1e-6)
    for p in (0.5, 3):
        assert F.lp_pool1d(line(-1.0, -2.0), p, 2).isnan()


def test_the_infinite_norm_is_the_greatest_size():
    x = some(2, 3, 6, 6)
    ours = cenote.lp_pool2d(x, INF, 3, 2)
    assert torch.equal(ours, F.max_pool2d(x.abs(), 3, 2))
    assert torch.equal(ours, F.lp_pool2d(x.abs(), INF, 3, 2))


def test_powers_of_norms_are_positive():
    for p in (0, -1, -INF, NAN):
        with pytest.raises(ValueError, match=r"norm_type = .*: must be above 0"):
            cenote.lp_pool1d(line(3.0, 4.0), p, 2)
    assert F.lp_pool1d(line(3.0, 4.0), -1, 2).item() == pytest.approx(12 / 7)
    with pytest.raises(ZeroDivisionError):
        F.lp_pool1d(line(3.0, 4.0), 0, 2)


def test_norms_of_what_is_left_are_not_scaled():
    x = line(3.0, 4.0, 5.0)
    assert numbers(cenote.lp_pool1d(x, 2, 2, ceil_mode=True)) == [5.0, 5.0]
    theirs = numbers(F.lp_pool1d(x, 2, 2, ceil_mode=True))  # as if two were there: 5 * sqrt(2)
    assert theirs == pytest.approx([5.0, 50**0.5], rel=1e-6)


def test_norms_take_padding_and_dilation():
    x = line(3.0, 4.0, 5.0, 12.0)
    assert numbers(cenote.lp_pool1d(x, 2, 2, padding=((1, 1),))) == pytest.approx([3, 41**0.5, 12])
    assert numbers(cenote.lp_pool1d(x, 1, 2, 1, dilation=2)) == [8.0, 16.0]
    for name in ("padding", "dilation"):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            F.lp_pool1d(x, 2, 2, **{name: 1})


def test_powers_of_float32_neither_overflow_nor_vanish():
    for size in (1e20, 1.0, 1e-30):
        x = size * line(3.0, 4.0)
        assert cenote.lp_pool1d(x, 2, 2).item() == pytest.approx(5 * size, rel=1e-6)
        cubes = (3**3 + 4**3) / 2
        assert cenote.gem_pool1d(x, 3.0, 2, eps=1e-30).item() == pytest.approx(
            max(size * cubes ** (1 / 3), 1e-30), rel=1e-6
        )
    assert F.lp_pool1d(1e20 * line(3.0, 4.0), 2, 2) == INF
    assert F.lp_pool1d(1e-30 * line(3.0, 4.0), 2, 2) == 0.0
    assert cenote.lp_pool1d(line(300.0, 400.0, dtype=torch.float16), 2, 2) == 500.0
    assert F.lp_pool1d(line(300.0, 400.0, dtype=torch.float16), 2, 2) == INF


def test_powers_that_float64_does_not_hold_are_infinite_or_zero():
    for x, expected in ((1e200, INF), (1e-200, 0.0)):
        given = x * line(3.0, 4.0, dtype=torch.float64)
        assert cenote.lp_pool1d(given, 2, 2) == expected == F.lp_pool1d(given, 2, 2)
    assert cenote.lp_pool1d(line(3.0, 4.0), 1000, 2) == INF  # 4^1000


def test_nan_and_infinities_in_norms():
    x = line(NAN, 1.0, -INF, 2.0)
    for p in (0.5, 1, 2, 3, INF):
        first, second = numbers(cenote.lp_pool1d(x, p, 2))
        assert math.isnan(first)
        assert second == INF


# Smooth maxima.


def test_smooth_maxima_are_the_logarithms_of_sums():
    x = some(2, 3, 6, dtype=torch.float64)
    pairs = x.unflatten(-1, (3, 2))
    for s in (1, 2.5, -1.0):
        out = cenote.logsumexp_pool1d(x, 2, sharpness=s)
        torch.testing.assert_close(out, (s * pairs).logsumexp(-1) / s)
        out = cenote.logsumexp_pool1d(x, 2, sharpness=s, mean=True)
        torch.testing.assert_close(out, (s * pairs).exp().mean(-1).log() / s)


def test_sharpness_leads_from_the_sum_to_the_maximum():
    x = line(1.0, 2.0, 4.0)
    for s in (0.5, 1.0, 3.0, 40.0):
        over = cenote.logsumexp_pool1d(x, 3, sharpness=s).item() - 4
        assert 0 <= over <= math.log(3) / s
        under = 1 - cenote.logsumexp_pool1d(x, 3, sharpness=-s).item()
        assert 0 <= under <= math.log(3) / s
    assert cenote.logsumexp_pool1d(x, 3, sharpness=1e30) == 4
    assert cenote.logsumexp_pool1d(x, 3, sharpness=-1e30) == 1


def test_a_mean_of_equal_elements_is_their_value():
    x = line(3.0, 3.0, 3.0)
    for s in (1.0, -2.0):
        mean = cenote.logsumexp_pool1d(x, 2, 1, 1, sharpness=s, mean=True)  # 1, 2, 2, 1 elements
        assert numbers(mean) == pytest.approx([3.0] * 4, rel=1e-6)
        plain = cenote.logsumexp_pool1d(x, 2, 1, 1, sharpness=s)
        two = 3 + math.log(2) / s
        assert numbers(plain) == pytest.approx([3.0, two, two, 3.0], rel=1e-6)


def test_exponentials_do_not_overflow():
    for x, s in ((1e4, 1.0), (-1e4, 1.0), (1e4, -1.0), (1e30, 1e30)):
        out = cenote.logsumexp_pool1d(line(x, x), 2, sharpness=s).item()
        assert out == pytest.approx(x + math.log(2) / s, rel=1e-6)


def test_infinities_in_smooth_maxima_are_torchs():
    pairs = torch.tensor(list(itertools.product((-INF, 0.0, 1.0, INF, NAN), repeat=2)))
    for s in (1.0, 2.0, -1.0):
        out = cenote.logsumexp_pool1d(pairs[None], 2, sharpness=s).flatten()
        torch.testing.assert_close(out, (s * pairs).logsumexp(-1) / s, equal_nan=True)


def test_a_smooth_maximum_over_nothing():
    x = torch.zeros(1, 2)  # taps at -3 and 1, -2 and 2, -1 and 3, 0 and 4
    for s, mean in itertools.product((1.0, -1.0), (False, True)):
        out = cenote.logsumexp_pool1d(x, 2, 1, 3, dilation=4, sharpness=s, mean=mean)
        assert numbers(out) == [0.0, -s * INF, -s * INF, 0.0]


def test_sharpness_is_finite_and_not_zero():
    for s in (0, INF, -INF, NAN):
        with pytest.raises(ValueError, match=r"sharpness = .*: must be finite and not 0"):
            cenote.logsumexp_pool1d(line(1.0, 2.0), 2, sharpness=s)


# Generalised means.


def test_generalised_means_are_roots_of_means_of_powers():
    x = line(1.0, 7.0)
    for p, expected in ((1, 4.0), (2, 5.0), (3.0, 172 ** (1 / 3))):
        for given in (p, torch.tensor(float(p)), torch.full((1, 1), float(p))):
            assert cenote.gem_pool1d(x, given, 2).item() == pytest.approx(expected, rel=1e-6)


def test_generalised_means_start_from_eps():
    x = line(-5.0, 0.0, -5.0, 3.0)
    for p in (2.0, torch.tensor(2.0)):
        assert numbers(cenote.gem_pool1d(x, p, 2)) == pytest.approx([1e-6, 4.5**0.5], rel=1e-6)
        out = cenote.gem_pool1d(x, p, 2, eps=1.0)
        assert numbers(out) == pytest.approx([1.0, 5**0.5], rel=1e-6)


def test_generalised_means_leave_padding_out():
    x = line(2.0, 2.0, 2.0)
    for p in (3.0, torch.tensor(3.0)):
        out = cenote.gem_pool1d(x, p, 3, 2, 1)
        assert numbers(out) == pytest.approx([2.0, 2.0], rel=1e-6)


def test_every_plane_may_have_its_own_exponent():
    x = torch.tensor([[[1.0, 7.0], [1.0, 7.0]]])
    p = torch.tensor([1.0, 2.0]).view(2, 1)
    assert numbers(cenote.gem_pool1d(x, p, 2)) == pytest.approx([4.0, 5.0], rel=1e-6)
    with pytest.raises(
        ValueError, match=r"shape \(2,\) must be one number, or one for every plane"
    ):
        cenote.gem_pool1d(x, p.flatten(), 2)


def test_a_tensor_gives_what_its_number_gives():
    for x, p in ((1e20, 3.0), (0.0, 8.0), (2.0, 3.0)):  # 1e60 and eps^8 are no float32
        number = cenote.gem_pool1d(line(x, x), p, 2).item()
        assert number == pytest.approx(max(x, 1e-6), rel=1e-6)
        assert cenote.gem_pool1d(line(x, x), torch.tensor(p), 2).item() == pytest.approx(number)


def test_exponents_are_finite_and_positive():
    for p in (0, -1, INF, NAN):
        with pytest.raises(ValueError, match=r"p = .*: must be finite and above 0"):
            cenote.gem_pool1d(line(1.0, 2.0), p, 2)
    harmonic = cenote.gem_pool1d(line(1.0, 2.0), torch.tensor(-1.0), 2)  # not looked at
    assert harmonic.item() == pytest.approx(4 / 3)
    with pytest.raises(ValueError, match="eps = 0: must be finite and above 0"):
        cenote.gem_pool1d(line(1.0, 2.0), 2, 2, eps=0)


def test_nan_and_infinities_in_generalised_means():
    x = line(NAN, 1.0, INF, 1.0, -INF, 2.0)
    for p in (2.0, torch.tensor(2.0)):
        first, *rest = numbers(cenote.gem_pool1d(x, p, 2))
        assert math.isnan(first)
        assert rest == pytest.approx([INF, 2**0.5], rel=1e-6)  # eps takes the place of -inf
