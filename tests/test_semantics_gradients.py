"""Where gradients go, and in which precision: see docs/semantics.md."""

import itertools
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

import cenote
from by_hand import (
    HALVES,
    INF,
    NAN,
    RANKS,
    REDUCTIONS,
    by_name,
    gradient,
    line,
    numbers,
    some,
    with_an_empty_window,
)
from cenote import Axis, Window

PLACES = torch.tensor([[[5, -1, 5, 0]]])


def near(*values):
    """To compare float32 with: a few roundings."""
    return pytest.approx(values, rel=1e-6)


def backward(name, x, *args, **kwargs):
    return numbers(gradient(lambda t: by_name(name, 1)(t, *args, **kwargs), x))


# To whom they go.


def test_gradients_of_selections_go_to_what_was_selected():
    x = line(2.0, 7.0, 7.0, 5.0, 5.0, 5.0)
    for name, expected in (("max", [0, 1, 0, 1, 0, 0]), ("min", [1, 0, 0, 1, 0, 0])):
        assert backward(f"{name}_pool", x, 3) == expected
    assert backward("median_pool", x, 3) == [0, 1, 0, 1, 0, 0]
    overlapping = line(1.0, 9.0, 2.0, 3.0)
    assert backward("max_pool", overlapping, 2, 1) == [0, 2, 0, 1]
    plane = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    to = gradient(lambda t: cenote.fractional_max_pool2d(t, 2, 1), plane)
    assert numbers(to) == [0, 0, 0, 1]


def test_gradients_of_sums_go_to_every_element_over_its_divisor():
    x = line(1.0, 2.0, 3.0)
    assert backward("sum_pool", x, 2, 1) == [1, 2, 1]
    assert backward("avg_pool", x, 2, 1) == [0.5, 1, 0.5]
    assert backward("avg_pool", x, 2, 2, 0, True) == [0.5, 0.5, 1]
    assert backward("avg_pool", x, 2, 1, 1, count_include_pad=False) == [1.5, 1, 1.5]
    assert backward("adaptive_avg_pool", x, 2) == [0.5, 1, 0.5]
    assert backward("blur_pool", x, 3, 1, padding=0) == [0.25, 0.5, 0.25]
    assert backward("upsample_repeat", x, 4) == [4, 4, 4]


def test_gradients_of_norms():
    for p in (1, 1.5, 2, 3):
        size = (3**p + 4**p) ** (1 / p)
        expected = -((3 / size) ** (p - 1)), (4 / size) ** (p - 1)
        assert backward("lp_pool", line(-3.0, 4.0), p, 2) == near(*expected)
        theirs = gradient(partial(F.lp_pool1d, norm_type=p, kernel_size=2), line(3.0, 4.0))
        assert numbers(theirs) == near(-expected[0], expected[1])
    assert backward("lp_pool", line(-4.0, 4.0, 1.0), INF, 3) == [-1, 0, 0]
    assert backward("lp_pool", 1e20 * line(3.0, 4.0), 2, 2) == near(0.6, 0.8)


def test_gradients_of_norms_are_zero_at_zero():
    for p in (0.5, 1, 1.5, 2, 3, INF):
        assert backward("lp_pool", line(0.0, 0.0), p, 2) == [0, 0]
        assert backward("lp_pool", line(0.0, -4.0), p, 2) == near(0, -1)
    theirs = {0.5: INF, 1: 1.0, 2: 0.0}
    for p, at_zero in theirs.items():
        back = gradient(partial(F.lp_pool1d, norm_type=p, kernel_size=2), line(0.0, 4.0))
        assert numbers(back) == [at_zero, 1.0]


def test_gradients_of_smooth_maxima_go_by_shares():
    x = line(0.0, math.log(3.0))
    for mean in (False, True):
        assert backward("logsumexp_pool", x, 2, mean=mean) == near(0.25, 0.75)
        shares = backward("logsumexp_pool", x, 2, sharpness=-2.0, mean=mean)
        assert shares == near(0.9, 0.1)
    for s in (1.0, 3.0, -1.0):
        back = gradient(partial(cenote.logsumexp_pool1d, kernel_size=3, sharpness=s), some(2, 3, 9))
        pairs = some(2, 3, 9).unflatten(-1, (3, 3))
        torch.testing.assert_close(back, (s * pairs).softmax(-1).flatten(-2))


def test_gradients_of_smooth_maxima_over_minus_infinity_are_zero():
    low = line(-INF, -INF)
    assert backward("logsumexp_pool", low, 2) == [0, 0]
    assert backward("logsumexp_pool", -low, 2, sharpness=-1.0) == [0, 0]
    assert gradient(lambda t: t.logsumexp(-1), low).isnan().all()
    assert backward("logsumexp_pool", line(-INF, 3.0), 2) == [0, 1]
    for x in (line(INF, 1.0), line(NAN, 1.0)):
        ours = gradient(partial(cenote.logsumexp_pool1d, kernel_size=2), x)
        theirs = gradient(lambda t: t.logsumexp(-1), x)
        torch.testing.assert_close(ours, theirs, equal_nan=True)


def test_gradients_of_generalised_means_leave_out_what_lies_below_eps():
    for p in (2.0, torch.tensor(2.0)):
        assert backward("gem_pool", line(1.0, 7.0), p, 2) == near(0.1, 0.7)
        assert backward("gem_pool", line(0.5, 1.0), p, 2, eps=1.0) == near(0.0, 0.5)
        assert backward("gem_pool", line(-1.0, -1.0), p, 2) == [0, 0]


def test_exponents_and_shares_have_gradients():
    p = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    x = line(1.0, 7.0, dtype=torch.float64)
    (slope,) = torch.autograd.grad(cenote.gem_pool1d(x, p, 2).sum(), p)
    above, below = ((((1 + 7**q) / 2) ** (1 / q)) for q in (2 + 1e-6, 2 - 1e-6))
    assert slope.item() == pytest.approx((above - below) / 2e-6, rel=1e-6)
    alpha = torch.tensor(0.25, requires_grad=True)
    (slope,) = torch.autograd.grad(cenote.mixed_pool1d(line(1.0, 7.0), 2, alpha=alpha).sum(), alpha)
    assert slope == 7 - 4
    assert backward("mixed_pool", line(1.0, 7.0), 2, alpha=0.25) == [0.375, 0.625]


def test_gradients_of_draws_go_to_what_was_drawn():
    x = line(1.0, 0.0, 3.0, -1.0, -2.0, 0.0)
    leaf = x.requires_grad_()
    drawn = cenote.stochastic_pool1d(leaf, 3, generator=torch.Generator().manual_seed(0))
    (to,) = torch.autograd.grad(drawn.sum(), leaf)
    assert numbers(to) in ([1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0])
    assert (to * x).sum() == drawn.sum()
    # of (a*a + b*b)/(a + b), whose value is 2.5
    assert backward("stochastic_pool", line(3.0, 1.0), 2, training=False) == near(0.875, -0.125)
    assert backward("stochastic_pool", line(-3.0, 0.0), 2, training=False) == [0, 0]


def test_gradients_of_unpooling_go_to_the_element_that_stayed():
    x = line(1.0, 2.0, 3.0, 4.0)
    assert backward("max_unpool", x, PLACES, 2) == [0, 0, 1, 1]
    by_torch = torch.func.grad(lambda t: cenote.max_unpool1d(t, PLACES, 2).sum())(x)
    assert numbers(by_torch) == [0, 0, 1, 1]
    theirs = gradient(lambda t: F.max_unpool1d(t, PLACES.clamp(min=0), 2), x)
    assert numbers(theirs) == [1, 1, 1, 1]


def test_windows_of_nothing_take_no_gradient():
    for reduce, options in REDUCTIONS.items():
        out = partial(cenote.pool, window=with_an_empty_window(), reduce=reduce, **options)
        back = numbers(gradient(out, line(2.0, 2.0, 2.0), torch.tensor([1.0, NAN])))
        assert back == near(0, 1, 0), reduce


# In which precision.


def test_gradients_of_halves_are_summed_in_float32():
    x = torch.zeros(1, 1, 1, 401, dtype=torch.bfloat16)
    x[..., 200] = 1.0  # all of the 201 windows see it, and it wins them all
    grad = torch.ones(201, dtype=torch.bfloat16)
    grad[0] = 256.0  # 257 is no bfloat16: adding one at a time leads nowhere
    for library, most in ((cenote, 456.0), (F, 256.0)):
        of_max = gradient(partial(library.max_pool2d, kernel_size=(1, 201), stride=1), x, grad)
        of_sum = gradient(
            partial(library.avg_pool2d, kernel_size=(1, 201), stride=1, divisor_override=1), x, grad
        )
        assert of_max.max() == of_sum.max() == most


def test_halves_are_rounded_once():
    for dtype, (reduce, options) in itertools.product(HALVES, REDUCTIONS.items()):
        x = some(2, 3, 12, dtype=dtype).abs() + 0.5
        pool = partial(cenote.pool, window=Window([Axis(4, 4)]), reduce=reduce, **options)
        assert_rounded_once(pool(x), pool(x.double()), reduce)


def test_gradients_of_halves_are_rounded_once():
    for dtype, (reduce, options) in itertools.product(HALVES, REDUCTIONS.items()):
        x = some(2, 3, 12, dtype=dtype).abs() + 0.5
        pool = partial(cenote.pool, window=Window([Axis(4, 4)]), reduce=reduce, **options)
        assert_rounded_once(gradient(pool, x), gradient(pool, x.double()), reduce)
        # of 100 + log(2), which is no half
        assert backward("logsumexp_pool", line(100.0, 100.0, dtype=dtype), 2) == [0.5, 0.5]


def assert_rounded_once(found, exact, what):
    """Within half of an ulp of the exact result, and what float32 is off by."""
    assert found.dtype in HALVES
    ulp = torch.finfo(found.dtype).eps * 2 ** exact.abs().clamp(min=1e-4).log2().floor()
    assert ((found - exact).abs() <= 0.5 * ulp + 1e-5 * exact.abs()).all(), what


def test_gradients_of_transforms_agree():
    """torch.func takes another way: see what takes the reference."""
    for rank, (reduce, options) in itertools.product(RANKS, REDUCTIONS.items()):
        x = some(2, 3, *[5] * rank, dtype=torch.float64)
        window = Window([Axis(3, 2, 1, 1)] * rank)
        pool = partial(cenote.pool, window=window, reduce=reduce, **options)
        transformed = torch.func.grad(lambda t, f=pool: f(t).sum())(x)
        torch.testing.assert_close(transformed, gradient(pool, x), msg=reduce)


def test_gradients_of_transforms_agree_on_large_and_small_numbers():
    for size, (reduce, options) in itertools.product((1e20, 1e-20), REDUCTIONS.items()):
        x = size * line(3.0, 4.0)
        given = {**options, "eps": 1e-30} if reduce == "gem" else options
        pool = partial(cenote.pool, window=Window([Axis(2)]), reduce=reduce, **given)
        expected = gradient(pool, x)
        transformed = torch.func.grad(lambda t, f=pool: f(t).sum())(x)
        torch.testing.assert_close(transformed, expected, msg=reduce)
