"""Sums, shares of the input, and what undoes pooling, against torch and against each other."""

import itertools

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import Axis, Window
from test_operators import RANKS, SIZES, ours, planes, some, spatial, theirs, unfolded

INF = float("inf")


@pytest.mark.parametrize("rank", RANKS)
def test_min_and_sum(rank):
    x = planes(rank)
    least, where = ours("min_pool", rank)(x, 3, 2, 1, return_indices=True)
    greatest, same = theirs("max_pool", rank)(-x, 3, 2, 1, return_indices=True)
    assert torch.equal(least, -greatest)
    assert torch.equal(where, same)
    total = ours("sum_pool", rank)(x, 3, 2, 1, True)
    counts = ours("sum_pool", rank)(torch.ones_like(x), 3, 2, 1, True)
    expected = theirs("avg_pool", rank)(x, 3, 2, 1, True, False) * counts
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize("rank", RANKS)
def test_sums_of_integers_are_int64(rank):
    for dtype in (torch.int8, torch.uint8, torch.int32, torch.bool):
        x = torch.ones(2, 3, *[4] * rank).to(dtype) * (1 if dtype == torch.bool else 100)
        total = ours("sum_pool", rank)(x, 4)
        assert total.dtype == torch.int64
        assert torch.equal(total, x.sum(spatial(rank), keepdim=True))
        assert torch.equal(ours("global_sum_pool", rank)(x), total)
        assert torch.equal(ours("adaptive_sum_pool", rank)(x, 1), total)


@pytest.mark.parametrize("rank", RANKS)
def test_rounding_half_to_even(rank):
    x = torch.arange(-40, 40)[None, None].repeat(1, 2, 1).view(1, 2, *[1] * (rank - 1), 80)
    window = (1,) * (rank - 1) + (4,)
    mean = x.double().unfold(-1, 4, 1).mean(-1)
    pool = ours("avg_pool", rank)
    assert torch.equal(pool(x, window, 1, rounding="half_even"), mean.round().long())
    assert torch.equal(pool(x, window, 1), mean.trunc().long())
    by_minus_2 = (-2 * mean).round().long()
    halved = pool(x, window, 1, divisor_override=-2, rounding="half_even")
    assert torch.equal(halved, by_minus_2)


@pytest.mark.parametrize("rank", RANKS)
def test_adaptive_pooling_is_torchs(rank):
    x = planes(rank).requires_grad_()
    n = SIZES[-rank:]
    for size in [1, 2, 4, 5, 7, 9, 11, n, (3, None, 2)[:rank], (None,) * rank]:
        # torch takes None in two and three axes only
        known = size if isinstance(size, int) else [a or b for a, b in zip(size, n, strict=True)]
        expected, where = theirs("adaptive_max_pool", rank)(x, known, return_indices=True)
        values, indices = ours("adaptive_max_pool", rank)(x, size, return_indices=True)
        assert torch.equal(values, expected)
        assert torch.equal(indices, where)
        mean = theirs("adaptive_avg_pool", rank)(x, known)
        pooled = ours("adaptive_avg_pool", rank)(x, size)
        torch.testing.assert_close(pooled, mean)
        least, where = ours("adaptive_min_pool", rank)(x, size, return_indices=True)
        assert torch.equal(least, -theirs("adaptive_max_pool", rank)(-x, known))
        assert torch.equal(x.flatten(-rank).gather(-1, where.flatten(-rank)), least.flatten(-rank))
        counts = ours("adaptive_sum_pool", rank)(torch.ones_like(x), size)
        torch.testing.assert_close(ours("adaptive_sum_pool", rank)(x, size), mean * counts)
        weight = some(*mean.shape, seed=1)
        for one, other in ((values, expected), (pooled, mean)):
            given, wanted = (torch.autograd.grad(t, x, weight)[0] for t in (one, other))
            torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize("rank", RANKS)
def test_global_pooling_reduces_planes(rank):
    x, axes = planes(rank), spatial(rank)
    for name, expected in (
        ("max", x.amax(axes, keepdim=True)),
        ("min", x.amin(axes, keepdim=True)),
        ("avg", x.mean(axes, keepdim=True)),
        ("sum", x.sum(axes, keepdim=True)),
    ):
        torch.testing.assert_close(ours(f"global_{name}_pool", rank)(x), expected)
    flat = x.flatten(-rank)
    for name, extreme in (("max", flat.argmax(-1)), ("min", flat.argmin(-1))):
        _, indices = ours(f"global_{name}_pool", rank)(x, return_indices=True)
        assert torch.equal(indices.view(2, 3), extreme)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, None, 0), (2, 3, 1), (3, 3, 1)])
def test_unpooling_is_torchs(rank, kernel, stride, padding):
    """Windows that do not overlap: of doubled indices torch keeps any."""
    x = planes(rank)
    window = (kernel, stride, padding)
    values, indices = ours("max_pool", rank)(x, *window, return_indices=True)
    values = values.requires_grad_()
    for size in (list(x.shape), x.shape[-rank:], tuple(x.shape)):
        back = ours("max_unpool", rank)(values, indices, *window, size)
        expected = theirs("max_unpool", rank)(values, indices, *window, size)
        assert torch.equal(back, expected)
        weight = some(*back.shape, seed=2)
        given, wanted = (torch.autograd.grad(t, values, weight)[0] for t in (back, expected))
        assert torch.equal(given, wanted)
    first = torch.zeros_like(indices)  # which lies in planes of any size
    assert (
        ours("max_unpool", rank)(values, first, *window).shape
        == theirs("max_unpool", rank)(values, first, *window).shape
    )


def test_unpooling_skips_minus_one_and_keeps_the_last():
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]], requires_grad=True)
    indices = torch.tensor([[5, -1, 5, 0]])
    out = cenote.max_unpool1d(x, indices, 2)
    assert out.tolist() == [[4.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0]]
    out.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0, 1.0, 1.0]]


@pytest.mark.parametrize("rank", RANKS)
def test_pooling_what_was_unpooled_gives_it_back(rank):
    x = planes(rank).abs()
    for padding in ("same", "valid", 1, ((1, 0),) * rank):
        values, indices = ours("max_pool", rank)(x, 3, 3, padding, return_indices=True)
        back = ours("max_unpool", rank)(values, indices, 3, 3, padding, x.shape)
        assert torch.equal(ours("max_pool", rank)(back, 3, 3, padding), values)


@pytest.mark.parametrize("rank", RANKS)
def test_repetition_is_the_adjoint_of_sums(rank):
    factors = (3, 2, 1)[:rank]
    x = planes(rank)
    expected = x
    for axis, factor in zip(spatial(rank), factors, strict=True):
        expected = expected.repeat_interleave(factor, axis)
    repeated = ours("upsample_repeat", rank)(x, factors)
    assert torch.equal(repeated, expected)
    big = some(*expected.shape, seed=3)
    one = (ours("sum_pool", rank)(big, factors) * x).sum()
    torch.testing.assert_close(one, (big * repeated).sum())
    for dtype in (torch.int64, torch.uint8, torch.bool, torch.bfloat16):
        few = x.abs().to(dtype)
        assert torch.equal(
            ours("upsample_repeat", rank)(few, 2),
            ours("upsample_repeat", rank)(few.double(), 2).to(dtype),
        )


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_fractional_pooling_is_torchs(rank, dtype):
    x = planes(rank, dtype).requires_grad_()
    samples = torch.rand(2, 3, rank, generator=torch.Generator().manual_seed(1), dtype=dtype)
    for kernel, sizes in itertools.product((1, 2, (2, 3, 2)[:rank]), (1, 3, (5, 4, 2)[:rank])):
        values, indices = ours("fractional_max_pool", rank)(
            x, kernel, sizes, return_indices=True, _random_samples=samples
        )
        expected, where = theirs("fractional_max_pool", rank)(
            x, kernel, sizes, return_indices=True, _random_samples=samples
        )
        assert torch.equal(values, expected)
        assert torch.equal(indices, where)
        weight = some(*values.shape, dtype=dtype, seed=4)
        given, wanted = (torch.autograd.grad(t, x, weight)[0] for t in (values, expected))
        torch.testing.assert_close(given, wanted)
        alone = ours("fractional_max_pool", rank)(x[1], kernel, sizes, _random_samples=samples[1:])
        assert torch.equal(alone, values[1])


def test_fractional_pooling_takes_the_first_samples_and_the_most_windows():
    x = some(2, 3, 6, 5)
    samples = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    for images in (x, x[0]):
        expected = F.fractional_max_pool2d(images, 2, 3, _random_samples=samples)
        found = cenote.fractional_max_pool2d(images, 2, 3, _random_samples=samples)
        assert torch.equal(found, expected)
    dense = cenote.fractional_max_pool2d(x, 2, (5, 4), _random_samples=samples)
    assert torch.equal(dense, F.max_pool2d(x, 2, 1))


def test_fractional_pooling_by_ratio_draws_its_own_samples():
    x = some(2, 3, 12, 10)
    torch.manual_seed(2)
    first = cenote.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.75))
    assert first.shape == (2, 3, 6, 7)
    second = cenote.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.75))
    torch.manual_seed(2)
    assert torch.equal(cenote.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.75)), first)
    assert not torch.equal(first, second)
    half = x.bfloat16()
    samples = torch.full((2, 3, 2), 0.3)
    assert torch.equal(
        cenote.fractional_max_pool2d(half, 3, 4, _random_samples=samples),
        F.fractional_max_pool2d(half.float(), 3, 4, _random_samples=samples).bfloat16(),
    )


# Filters and scales.

BINOMIAL = {2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1], 6: [1, 5, 10, 10, 5, 1],
            7: [1, 6, 15, 20, 15, 6, 1]}  # fmt: skip


def filtered(x, rank, taps, stride):
    """The definition: reflected padding, then a convolution of each channel with the filter."""
    axis = torch.tensor(BINOMIAL[taps], dtype=x.dtype) / 2 ** (taps - 1)
    weight = axis
    for _ in range(rank - 1):
        weight = weight[..., None] * axis
    around = [(taps - 1) // 2, taps // 2] * rank
    padded = F.pad(x, around, mode="reflect")
    channels = x.shape[1]
    convolve = getattr(F, f"conv{rank}d")
    return convolve(padded, weight.expand(channels, 1, *weight.shape), None, stride, 0, 1, channels)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("taps", BINOMIAL)
def test_blur_is_a_binomial_filter(rank, taps):
    x = planes(rank)
    for stride in (1, 2, 3):
        blurred = ours("blur_pool", rank)(x, taps, stride)
        torch.testing.assert_close(blurred, filtered(x, rank, taps, stride))
        assert blurred.shape[2:] == tuple(-(-n // stride) for n in SIZES[-rank:])
    for mode in ("reflect", "replicate", "circular"):
        constant = ours("blur_pool", rank)(torch.full_like(x, 0.3), taps, padding_mode=mode)
        torch.testing.assert_close(constant, torch.full_like(constant, 0.3))
    zeros = ours("blur_pool", rank)(x, taps, padding_mode="zeros")
    assert torch.equal(zeros, ours("blur_pool", rank)(x, taps, padding_mode="identity"))


@pytest.mark.parametrize("rank", RANKS)
def test_max_blur_is_a_maximum_then_a_filter(rank):
    x = planes(rank)
    dense = theirs("max_pool", rank)(x, 3, 1, 1)
    expected = filtered(dense, rank, 4, 2)
    found = ours("max_blur_pool", rank)(x, 3, padding=1, filter_size=4)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("reduce", ["max", "min", "avg", "sum"])
def test_pyramid_is_adaptive_pooling_side_by_side(rank, reduce):
    x, levels = planes(rank), (1, 2, 4)
    pooled = ours("spatial_pyramid_pool", rank)(x, levels, reduce)
    assert pooled.shape == (2, 3 * sum(level**rank for level in levels))
    each = [ours(f"adaptive_{reduce}_pool", rank)(x, level).flatten(1) for level in levels]
    assert torch.equal(pooled, torch.cat(each, 1))
    assert torch.equal(ours("spatial_pyramid_pool", rank)(x[0], levels, reduce), pooled[0])
    longer = torch.cat([x, x[..., :3]], -1)
    assert ours("spatial_pyramid_pool", rank)(longer, levels, reduce).shape == pooled.shape


@pytest.mark.parametrize("rank", RANKS)
def test_sppf_is_a_pyramid_of_windows(rank):
    x = planes(rank)
    pools = [theirs("max_pool", rank)(x, k, 1, k // 2) for k in (5, 9, 13)]
    assert torch.equal(ours("sppf", rank)(x), torch.cat([x, *pools], 1))
    assert torch.equal(ours("sppf", rank)(x[0]), torch.cat([x, *pools], 1)[0])
    once = ours("sppf", rank)(x, 3, 1)
    assert torch.equal(once, torch.cat([x, theirs("max_pool", rank)(x, 3, 1, 1)], 1))


# The general one.

OPTIONS = {
    "max": {}, "min": {}, "median": {}, "sum": {}, "mixed": {"alpha": 0.25},
    "avg": {"count_include_pad": False}, "lp": {"norm_type": 3.0}, "gem": {"p": 2.0, "eps": 0.1},
    "logsumexp": {"sharpness": 2.0, "mean": True}, "stochastic": {"training": False},
}  # fmt: skip


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("reduce", OPTIONS)
def test_pool_is_what_all_names_mean(rank, reduce):
    x = planes(rank)
    window = Window([Axis(3, 2, 1, 1)] * rank)
    pooled = cenote.pool(x, window, reduce, **OPTIONS[reduce])
    named = ours(f"{reduce}_pool", rank)(x, kernel_size=3, stride=2, padding=1, **OPTIONS[reduce])
    assert torch.equal(pooled, named)
    if reduce in ("max", "min", "median"):
        _, indices = cenote.pool(x, window, reduce, return_indices=True)
        assert indices.dtype == torch.int64


def test_the_defaults_of_pool():
    x = planes(2).abs()
    window = Window([Axis(2, 2)] * 2)
    assert torch.equal(cenote.pool(x, window, "lp"), cenote.lp_pool2d(x, 2, 2))
    assert torch.equal(cenote.pool(x, window, "gem"), cenote.gem_pool2d(x, 3, 2))
    assert torch.equal(cenote.pool(x, window), cenote.max_pool2d(x, 2))


@pytest.mark.parametrize("rank", RANKS)
def test_reductions_of_ones_own(rank):
    x = planes(rank)
    window = Window([Axis(3, 2, 1, 1)] * rank)

    def least(like):
        return torch.full_like(like, -INF)

    found = cenote.pool(x, window, (torch.maximum, least))
    assert torch.equal(found, ours("max_pool", rank)(x, 3, 2, 1))
    product = cenote.pool(x, window, (torch.mul, torch.ones_like), padding_mode="reflect")
    around = F.pad(x, [1] * (2 * rank), mode="reflect")
    torch.testing.assert_close(product, unfolded(around, rank, 3, 2).prod(-1))
    assert torch.autograd.gradcheck(
        lambda x: cenote.pool(x, window, (torch.mul, torch.ones_like)),
        x[:1, :1].clone().requires_grad_(),
    )


def test_reductions_of_ones_own_go_through_taps_in_order():
    x = torch.arange(9.0).view(1, 3, 3)
    window = Window([Axis(2, 1, 1, 1)] * 2)
    last = cenote.pool(x, window, (lambda so_far, new: new, torch.zeros_like))
    assert last.tolist() == [[[0, 1, 2, 2], [3, 4, 5, 5], [6, 7, 8, 8], [6, 7, 8, 8]]]
    digits = cenote.pool(x, window, (lambda so_far, new: 10 * so_far + new, torch.zeros_like))
    assert digits[0, 1].tolist() == [3, 134, 1245, 25]
