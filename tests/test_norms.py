"""Batch norms with what is joined to them against float64, on every instruction set."""

import math

import pytest
import torch

import cenote
from cenote import _norms
from contract import instruction_sets

EPS = 1e-5
ROUNDING = 2.0**-23
RELU, RELU6 = (0.0, math.nan), (0.0, 6.0)
SHAPES = [  # channels: fewer than lanes, a multiple, some left over; rows: one part, several
    (2, 1, 1, 1), (1, 3, 5, 2), (2, 8, 3, 3), (3, 16, 4, 5), (2, 24, 7, 7), (1, 58, 9, 1),
    (4, 64, 33, 29), (2, 257, 5, 5), (1, 2048, 2, 7), (2, 40, 90, 91), (1, 16, 1, 300),
]  # fmt: skip


def drawn(shape, seed=0, middle=0.0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=draw) * 3 + middle
    return x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x


def tensors(shape, middle=0.0):
    channels = shape[1]
    x, other, grad = drawn(shape, 0, middle), drawn(shape, 1), drawn(shape, 2)
    return x, drawn((channels,), 3), drawn((channels,), 4), other, grad


def exact(x, gamma, beta, other, cut, grad):
    """All results in float64: y, the statistics, the gradients, and what goes into the cut."""
    x, gamma, beta, other = (t.double().requires_grad_() for t in (x, gamma, beta, other))
    mean = x.mean((0, 2, 3), keepdim=True)
    var = (x - mean).square().mean((0, 2, 3), keepdim=True)
    before = (x - mean) / (var + EPS).sqrt() * gamma[:, None, None] + beta[:, None, None] + other
    low, high = (None if math.isnan(bound) else bound for bound in cut)
    y = before if low is high is None else before.clamp(low, high)
    asked = torch.autograd.grad(y, (x, gamma, beta, other), grad.double())
    return y.detach(), mean.detach().flatten(), var.detach().flatten(), asked, before.detach()


def away_from(cut, before, grad):
    """A gradient without the elements that a rounding may put on the other side of a bound."""
    for bound in cut:
        if not math.isnan(bound):
            grad = grad.masked_fill((before - bound).abs() < 1e-4, 0.0)
    return grad


def close(got, right, roundings, scale=None):
    scale = right.abs().max() if scale is None else scale
    worst = (got.double() - right).abs().max()
    assert worst <= roundings * ROUNDING * scale + 1e-30, (
        f"{worst / ROUNDING / scale:.1f} roundings"
    )


@pytest.fixture(params=instruction_sets())
def isa(request):
    with cenote.options(isa=request.param):
        yield request.param


@pytest.mark.parametrize("adds", [False, True], ids=["alone", "sum"])
@pytest.mark.parametrize("cut", [_norms.NO_CUT, RELU, RELU6], ids=["none", "relu", "relu6"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_both_ways(shape, cut, adds, isa):
    x, gamma, beta, other, grad = tensors(shape)
    none = torch.zeros_like(other)
    *_, before = exact(x, gamma, beta, other if adds else none, cut, grad)
    grad = away_from(cut, before, grad)
    right, mean, var, wanted, _ = exact(x, gamma, beta, other if adds else none, cut, grad)
    added = other if adds else None
    y, _, found = _norms.apply(x, gamma, beta, added, cut, eps=EPS)
    close(found[0], mean, 4, x.abs().max())
    close(found[1], (var + EPS).rsqrt(), 8)
    close(y, right, 16)
    if not adds:
        assert torch.equal(_norms.again(x, gamma, beta, found, cut), y)
    told = y if adds and cut is not _norms.NO_CUT else None
    back = _norms.gradients(grad, x, gamma, beta, found, cut, told, (True, True, True, adds))
    rows = x.numel() // x.shape[1]
    close(back[0], wanted[0], 32, max(wanted[0].abs().max(), (gamma * found[1]).abs().max()))
    close(back[1], wanted[1], 16, 3 * rows)
    close(back[2], wanted[2], 16, 3 * rows)
    if adds:
        assert torch.equal(back[3].double(), wanted[3])


@pytest.mark.parametrize("into", ["x", "grad"])
@pytest.mark.parametrize("adds", [False, True], ids=["alone", "sum"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_gradient_may_be_written_over_what_it_is_made_of(shape, adds, into, isa):
    x, gamma, beta, other, grad = tensors(shape)
    y, _, found = _norms.apply(x, gamma, beta, other if adds else None, RELU, eps=EPS)
    rest = (gamma, beta, found, RELU, y if adds else None, (True, True, True, adds))
    right = _norms.gradients(grad, x, *rest)
    room = x if into == "x" else grad
    got = _norms.gradients(grad, x, *rest, room=room)
    assert got[0].data_ptr() == room.data_ptr()
    for ours, true in zip(got, right, strict=True):
        assert ours is true is None or torch.equal(ours, true)


def test_a_mean_far_from_zero_costs_no_digits_of_the_variance(isa):
    x, gamma, beta, *_ = tensors((2, 24, 40, 41), middle=3000.0)
    *_, (mean, scale) = _norms.apply(x, gamma, beta, eps=EPS)
    true = x.double().mean((0, 2, 3))
    close(mean, true, 2)
    var = (x.double() - true[:, None, None]).square().mean((0, 2, 3))
    close(scale, (var + EPS).rsqrt(), 8)


def test_a_first_pixel_unlike_all_others(isa):
    x, gamma, beta, *_ = tensors((1, 8, 64, 64))
    x[0, :, 0, 0] = 1e6
    *_, (_, scale) = _norms.apply(x, gamma, beta, eps=EPS)
    var = x.double().var((0, 2, 3), correction=0)
    close(scale, (var + EPS).rsqrt(), 8)


@pytest.mark.parametrize("value", [0.0, 0.1, -3333.3])
def test_a_channel_of_one_value_has_no_variance(value, isa):
    x = torch.full((2, 24, 17, 13), value).contiguous(memory_format=torch.channels_last)
    y, _, (mean, scale) = _norms.apply(x, torch.ones(24), torch.zeros(24), eps=1e-5)
    assert torch.equal(mean, x[0, :, 0, 0])
    assert (scale == 1e5**0.5).all()
    assert (y == 0).all()


def test_running_statistics_take_in_the_batch_as_torch_does(isa):
    x, gamma, beta, *_ = tensors((3, 24, 9, 8))
    ours, theirs = torch.nn.BatchNorm2d(24, momentum=0.3), torch.nn.BatchNorm2d(24, momentum=0.3)
    for step in range(3):
        theirs(x + step)
        running = (ours.running_mean, ours.running_var)
        _norms.apply(x + step, gamma, beta, eps=EPS, momentum=0.3, running=running)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("shape", [(4, 64, 33, 29), (2, 58, 30, 31)], ids=str)
def test_threads_change_nothing_but_roundings(shape):
    x, gamma, beta, _, grad = tensors(shape)
    found = []
    for threads in (1, 2, 5):
        with cenote.options(threads=threads):
            y, _, both = _norms.apply(x, gamma, beta, None, RELU, eps=EPS)
            found.append((y, *_norms.gradients(grad, x, gamma, beta, both, RELU)[:3]))
    for other in found[1:]:
        for first, then in zip(found[0], other, strict=True):
            assert (first - then).abs().max() <= 1e-5 * first.abs().max()


@pytest.mark.parametrize("sizes", [(5,), (16, 24, 3), (58, 1), (32,) * 9], ids=str)
@pytest.mark.parametrize("cut", [_norms.NO_CUT, RELU, RELU6], ids=["none", "relu", "relu6"])
def test_parts_are_put_together_and_normalised(sizes, cut, isa):
    parts = [drawn((2, size, 7, 9), seed) for seed, size in enumerate(sizes)]
    parts[0] = parts[0].contiguous()  # in rows
    mean, var, gamma, beta = (drawn((sum(sizes),), seed) for seed in range(4))
    var = var.abs()
    y = _norms.joined(parts, mean, var, gamma, beta, cut, eps=EPS)
    mean, var, gamma, beta = (t.double()[:, None, None] for t in (mean, var, gamma, beta))
    right = (torch.cat(parts, 1).double() - mean) / (var + EPS).sqrt() * gamma + beta
    low, high = (None if math.isnan(bound) else bound for bound in cut)
    close(y, right if low is high is None else right.clamp(low, high), 4, right.abs().max())
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_nan_and_infinity_reach_what_they_reach_in_torch(isa):
    x, gamma, beta, other, grad = tensors((2, 16, 5, 5))
    x[0, 3, 1, 1], x[1, 7, 2, 2], other[0, 5, 0, 0] = math.nan, math.inf, math.nan
    x, gamma, beta, other = (t.requires_grad_() for t in (x, gamma, beta, other))
    theirs = torch.relu(torch.nn.functional.batch_norm(x, None, None, gamma, beta, True) + other)
    wanted = torch.autograd.grad(theirs, (x, gamma, beta, other), grad)
    with torch.no_grad():
        y, _, found = _norms.apply(x, gamma, beta, other, RELU, eps=EPS)
        back = _norms.gradients(grad, x, gamma, beta, found, RELU, y, (True,) * 4)
    for got, right in ((y, theirs), *zip(back, wanted, strict=True)):
        assert torch.equal(got.isnan(), right.isnan())


def test_what_lies_otherwise_in_memory_is_put_in_order(isa):
    x, gamma, beta, _, grad = tensors((2, 24, 6, 7))
    y, _, found = _norms.apply(x, gamma, beta, None, RELU, eps=EPS)
    rows, kept, also = _norms.apply(x.contiguous(), gamma, beta, None, RELU, eps=EPS)
    assert torch.equal(y, rows)
    first = _norms.gradients(grad, x, gamma, beta, found, RELU)
    then = _norms.gradients(grad.contiguous(), kept, gamma, beta, also, RELU)
    assert all(torch.equal(a, b) for a, b in zip(first[:3], then[:3], strict=True))


def test_more_than_the_caches_hold_goes_past_them():
    shape = (8, 64, 224, 224)  # 103 MB
    x, gamma, beta, other, grad = tensors(shape)
    y, _, found = _norms.apply(x, gamma, beta, other, RELU, eps=EPS)
    mean, scale = found[0].double(), found[1].double()
    close(mean, x.double().mean((0, 2, 3)), 2, 1.0)
    close(scale, (x.double().var((0, 2, 3), correction=0) + EPS).rsqrt(), 2)
    gain = (gamma * scale)[:, None, None]
    right = (x.double() - mean[:, None, None]) * gain + beta[:, None, None] + other
    close(y, right.clamp(min=0), 8)
    to_x, _, _, to_other = _norms.gradients(
        grad, x, gamma, beta, found, RELU, y, (True, True, True, True)
    )
    assert torch.equal(to_other, grad.masked_fill(y <= 0, 0.0))
    assert to_x.isfinite().all()
    again = _norms.gradients(grad, x, gamma, beta, found, RELU, y, (True,) * 4, room=x)[0]
    assert again.data_ptr() == x.data_ptr()
    assert torch.equal(again, to_x)
    assert to_x.sum((0, 2, 3)).abs().max() < 1.0  # of 401,408 elements each: a mean is taken away
