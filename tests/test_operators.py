"""What each operator computes, against torch where it has the operator, else against formulas."""

import math

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import Axis, Window, reference

RANKS = (1, 2, 3)
SIZES = (9, 8, 7)
NAN, INF = float("nan"), float("inf")


def some(*shape, dtype=torch.float64, seed=0):
    """Normal numbers, the same every time."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def planes(rank, dtype=torch.float64, seed=0):
    return some(2, 3, *SIZES[-rank:], dtype=dtype, seed=seed)


def ours(name, rank):
    return getattr(cenote, f"{name}{rank}d")


def theirs(name, rank):
    return getattr(F, f"{name}{rank}d")


def unfolded(x, rank, kernel, stride=1):
    """Every window's elements as the last axis, in row-major order."""
    for axis in range(x.dim() - rank, x.dim()):
        x = x.unfold(axis, kernel, stride)
    return x.flatten(-rank)


def spatial(rank):
    return tuple(range(-rank, 0))


# Norms, means of powers, smooth maxima.


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("p", [1, 2, 3.0, 0.5, INF])
def test_lp_is_the_norm(rank, p):
    x = planes(rank)
    expected = torch.linalg.vector_norm(unfolded(x, rank, 3, 2), p, -1)
    torch.testing.assert_close(ours("lp_pool", rank)(x, p, 3, 2), expected)
    positive = x.abs()
    torch.testing.assert_close(
        ours("lp_pool", rank)(positive, p, 3, 2), theirs("lp_pool", rank)(positive, p, 3, 2)
    )
    whole = torch.linalg.vector_norm(x, p, spatial(rank), keepdim=True)
    torch.testing.assert_close(ours("global_lp_pool", rank)(x, p), whole)


def test_the_norm_of_nothing_is_zero():
    x = torch.tensor([[5.0, -7.0]])
    for p in (2, INF):
        found = cenote.lp_pool1d(x, p, 2, 1, padding=3, dilation=4)
        assert found.tolist() == [[7.0, 0.0, 0.0, 5.0]], p


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("sharpness", [1.0, 10, -3.5])
def test_logsumexp(rank, sharpness):
    x = planes(rank)
    elements = sharpness * unfolded(x, rank, 3, 2)
    expected = elements.logsumexp(-1) / sharpness
    pooled = ours("logsumexp_pool", rank)(x, 3, 2, sharpness=sharpness)
    torch.testing.assert_close(pooled, expected)
    mean = ours("logsumexp_pool", rank)(x, 3, 2, sharpness=sharpness, mean=True)
    torch.testing.assert_close(mean, elements.exp().mean(-1).log() / sharpness)
    whole = (sharpness * x).logsumexp(spatial(rank), keepdim=True) / sharpness
    torch.testing.assert_close(ours("global_logsumexp_pool", rank)(x, sharpness=sharpness), whole)
    count = math.prod(x.shape[-rank:])
    torch.testing.assert_close(
        ours("global_logsumexp_pool", rank)(x, sharpness=sharpness, mean=True),
        whole - math.log(count) / sharpness,
    )


def test_a_mean_in_logsumexp_counts_the_elements_inside():
    x = torch.zeros(1, 3, 3, dtype=torch.float64)
    for arguments in ({"padding": 1}, {"ceil_mode": True, "stride": 2}, {"padding": "same"}):
        zero = cenote.logsumexp_pool2d(x, 2, mean=True, **{"stride": 1, **arguments})
        torch.testing.assert_close(zero, torch.zeros_like(zero))
    summed = cenote.logsumexp_pool2d(x, 2, 1, 1).exp()
    torch.testing.assert_close(summed[0, 0], torch.tensor([1.0, 2.0, 2.0, 1.0]).double())


def test_logsumexp_lies_between_mean_and_extremes():
    x = planes(2)
    sharp = cenote.logsumexp_pool2d(x, 3, sharpness=5000.0, mean=True)
    torch.testing.assert_close(sharp, cenote.max_pool2d(x, 3), atol=1e-3, rtol=0)
    sharp = cenote.logsumexp_pool2d(x, 3, sharpness=-5000.0, mean=True)
    torch.testing.assert_close(sharp, cenote.min_pool2d(x, 3), atol=1e-3, rtol=0)
    flat = cenote.logsumexp_pool2d(x, 3, sharpness=1e-6, mean=True)
    torch.testing.assert_close(flat, cenote.avg_pool2d(x, 3), atol=1e-5, rtol=0)


def test_logsumexp_of_nothing():
    x = torch.zeros(1, 2)
    for sharpness, nothing in ((1.0, -INF), (-1.0, INF)):
        for mean in (False, True):
            found = cenote.logsumexp_pool1d(x, 2, 1, 3, dilation=4, sharpness=sharpness, mean=mean)
            assert found.tolist() == [[0.0, nothing, nothing, 0.0]]


@pytest.mark.parametrize("rank", RANKS)
def test_gem_is_the_mean_of_powers(rank):
    x, eps = planes(rank), 0.25
    raised = unfolded(x, rank, 3, 2).clamp(min=eps)
    for p in (1, 2.5, 6):
        expected = raised.pow(p).mean(-1).pow(1 / p)
        pool = ours("gem_pool", rank)
        torch.testing.assert_close(pool(x, p, 3, 2, eps=eps), expected)
        for tensor in (torch.tensor(float(p)), torch.full((1,), p, dtype=torch.float64)):
            torch.testing.assert_close(pool(x, tensor, 3, 2, eps=eps), expected)
        whole = x.clamp(min=eps).pow(p).mean(spatial(rank), keepdim=True).pow(1 / p)
        torch.testing.assert_close(ours("global_gem_pool", rank)(x, p, eps=eps), whole)


def test_gem_leaves_padding_out():
    x = torch.full((1, 3, 3), 2.0)
    for p in (3.0, torch.tensor(3.0)):
        torch.testing.assert_close(cenote.gem_pool2d(x, p, 3, 1, 1), torch.full((1, 3, 3), 2.0))


def test_gem_learns_its_exponent():
    x = planes(2)[:1, :, :5, :4].abs().requires_grad_()
    for shape in ((), (1,), (3, 1, 1)):
        p = torch.full(shape, 2.5, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, p: cenote.gem_pool2d(x, p, 3, 1, 1), (x, p))
    module = cenote.nn.GeMPool2d(3.0, 2)
    module(planes(2, torch.float32)).sum().backward()
    assert module.p.grad.abs().item() > 0


# Drawn, mixed, in the middle.


def test_stochastic_draws_in_proportion():
    """20,000 windows: each frequency lies within five standard deviations of its probability."""
    row = torch.tensor([1.0, 4.0, 0.0, 2.0, -3.0, 3.0])
    x = row.repeat(20_000)[None]
    drawn = cenote.stochastic_pool1d(x, 6, generator=torch.Generator().manual_seed(3))
    for value, probability in ((1.0, 0.1), (4.0, 0.4), (2.0, 0.2), (3.0, 0.3)):
        deviation = math.sqrt(probability * (1 - probability) / 20_000)
        assert abs((drawn == value).double().mean().item() - probability) < 5 * deviation
    assert set(drawn.flatten().tolist()) == {1.0, 2.0, 3.0, 4.0}


@pytest.mark.parametrize("rank", RANKS)
def test_stochastic_in_evaluation_is_the_mean_of_the_draws(rank):
    x = planes(rank)
    positive = unfolded(x, rank, 3, 2).relu()
    expected = (positive * positive).sum(-1) / positive.sum(-1)
    pooled = ours("stochastic_pool", rank)(x, 3, 2, training=False)
    torch.testing.assert_close(pooled, expected.nan_to_num())


def test_stochastic_gradient_goes_to_the_drawn_element():
    x = some(2, 3, 8, 8).requires_grad_()
    drawn = cenote.stochastic_pool2d(x, 2, generator=torch.Generator().manual_seed(1))
    again = cenote.stochastic_pool2d(x, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)
    (grad,) = torch.autograd.grad(drawn.sum(), x)
    taken = unfolded(grad, 2, 2, 2)
    assert torch.equal(taken.sum(-1), (drawn > 0).double())
    assert torch.equal((taken * unfolded(x, 2, 2, 2)).sum(-1), drawn)


def test_stochastic_odd_values():
    def of(row, **options):
        draw = torch.Generator().manual_seed(0)
        x = torch.tensor([row]).repeat(1, 50).requires_grad_()
        out = cenote.stochastic_pool1d(x, len(row), generator=draw, **options)
        return out, torch.autograd.grad(out.sum(), x)[0]

    nothing, grad = of([-1.0, 0.0, -2.0])
    assert nothing.eq(0).all()
    assert grad.eq(0).all()
    assert cenote.stochastic_pool1d(torch.zeros(1, 4), 2, training=False).eq(0).all()
    assert of([1.0, NAN, 5.0])[0].isnan().all()
    assert of([1.0, INF, 5.0])[0].eq(INF).all()
    assert of([3e38, 3e38, 1.0])[0].eq(3e38).sum() > 40  # a plain sum would be infinite
    assert of([1e-45, 0.0])[0].gt(0).all()


def test_stochastic_never_draws_what_has_no_chance():
    """Draws lie in [0, 1): the least and nearly the greatest find an element of some weight."""
    x = torch.tensor([[0.0, 2.0, 0.0, 1.0, -1.0]])
    for draw, tap in ((0.0, 1), (0.5, 1), (1 - 2**-24, 3)):
        draws = torch.tensor([[draw]])
        assert reference.stochastic_taps(x, Window([Axis(5)]), draws).tolist() == [[tap]]


def test_stochastic_draws_from_torchs_generator():
    x = some(1, 1, 32, 32)
    torch.manual_seed(5)
    first, second = cenote.stochastic_pool2d(x, 2), cenote.stochastic_pool2d(x, 2)
    torch.manual_seed(5)
    assert torch.equal(cenote.stochastic_pool2d(x, 2), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("rank", RANKS)
def test_mixed_is_a_mixture(rank):
    x = planes(rank)
    greatest, mean = theirs("max_pool", rank)(x, 3, 2, 1), theirs("avg_pool", rank)(x, 3, 2, 1)
    inside = theirs("avg_pool", rank)(x, 3, 2, 1, False, False)
    each = torch.tensor([0.1, 0.5, 2.0]).double().view(3, *[1] * rank)
    for alpha in (0.0, 0.25, 1, torch.tensor(0.7), each):
        expected = alpha * greatest + (1 - alpha) * mean
        pooled = ours("mixed_pool", rank)(x, 3, 2, 1, alpha=alpha)
        torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(
        ours("mixed_pool", rank)(x, 3, 2, 1, False, False), (greatest + inside) / 2
    )
    whole = (x.amax(spatial(rank), keepdim=True) + x.mean(spatial(rank), keepdim=True)) / 2
    torch.testing.assert_close(ours("global_mixed_pool", rank)(x), whole)


def test_mixed_learns_and_is_never_zero_times_infinity():
    alpha = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    x = planes(2)[:1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x, a: cenote.mixed_pool2d(x, 3, alpha=a), (x, alpha))
    odd = torch.tensor([[1.0, -INF, -INF, -INF]])
    assert cenote.mixed_pool1d(odd, 2, alpha=1.0).tolist() == [[1.0, -INF]]
    assert cenote.mixed_pool1d(torch.tensor([[INF, 1.0]]), 2, alpha=0).tolist() == [[INF]]


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("kernel", [2, 3])
def test_median_is_torchs(rank, kernel):
    x = planes(rank)
    elements = unfolded(x, rank, kernel, 2)
    values, indices = ours("median_pool", rank)(x, kernel, 2, return_indices=True)
    assert torch.equal(values, elements.median(-1).values)
    found = x.flatten(-rank).gather(-1, indices.flatten(-rank)).view(values.shape)
    assert torch.equal(found, values)
    whole, where = ours("global_median_pool", rank)(x, return_indices=True)
    assert torch.equal(whole.flatten(1), x.flatten(-rank).median(-1).values.view(2, 3))
    assert torch.equal(where.flatten(1), x.flatten(-rank).median(-1).indices.view(2, 3))
    numbers = (x * 3).long()
    assert torch.equal(
        ours("median_pool", rank)(numbers, kernel, 2),
        unfolded(numbers, rank, kernel, 2).median(-1).values,
    )


def test_median_leaves_padding_out_and_lets_nan_win():
    x = planes(2)
    around = F.pad(x, [1] * 4, value=NAN)  # which nanmedian skips
    expected = unfolded(around, 2, 3).nanmedian(-1).values
    assert torch.equal(cenote.median_pool2d(x, 3, 1, 1), expected)
    row = torch.tensor([[1.0, NAN, 3.0, NAN, INF, INF]])
    values, indices = cenote.median_pool1d(row, 2, return_indices=True)
    assert indices.tolist() == [[1, 3, 4]]
    assert values[0, :2].isnan().all()
    values, indices = cenote.median_pool1d(row[:, :2], 2, 1, 3, 4, return_indices=True)
    assert values[0, 1:].tolist() == [0.0, 0.0, 1.0]
    assert indices.tolist() == [[1, -1, -1, 0]]


def test_median_gradient_goes_to_the_median():
    x = torch.tensor([[4.0, 1.0, 3.0, 2.0, 2.0, 2.0]], requires_grad=True)
    cenote.median_pool1d(x, 3).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]]
