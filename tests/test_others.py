"""Operators that are more than a reduction over one window, held to the oracle.

Blurring, unpooling, fractional, stochastic and global pooling, parameters that learn, and what is
put together from other operators.
"""

import math

import numpy as np
import pytest
import torch

import cenote
import oracle
from cenote import Axis, Window
from cenote.cases import CASES
from cenote.window import Adaptive, Spans
from contract import assert_same_bits, assert_within, compare, seed_of
from inputs import FLOATS, LAYOUTS, channels_last, contiguous, make_values
from operators import NUMBERS, OPERATORS, Op, arithmetic, expect, shows, to_numpy, to_torch
from oracle import bounds
from oracle.walk import MODES, walk

SIZES = {1: (23,), 2: (9, 11), 3: (5, 6, 7)}
RANKS = pytest.mark.parametrize("rank", [1, 2, 3], ids="{}d".format)


def named(name, rank):
    return getattr(cenote, f"{name}{rank}d")


def whole(shape, dtype, seed=0):
    """Small integers, as a gradient whose sums are exact."""
    return make_values(shape, dtype, "ties", seed)


@RANKS
@pytest.mark.parametrize("taps", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_blur(rank, taps, dtype):
    """Every filter, with strides, layouts and padding dealt out over types and sizes."""
    for k, mode in enumerate(MODES):
        stride, layout = 1 + (k + taps) % 3, LAYOUTS[(k + taps + rank) % 6]
        window = Window([Axis(taps, stride, (taps - 1) // 2, taps // 2)] * rank)
        assert shows(mode, window, SIZES[rank])
        x = make_values((2, 3, *SIZES[rank]), dtype, ("normal", "special")[k % 2], k, rank=rank)
        leaf = layout(x, rank).requires_grad_()
        out = named("blur_pool", rank)(leaf, taps, stride, padding_mode=mode)
        grad = whole(out.shape, dtype)
        expected = expect(Op("blur", "blur"), window, x, grad, {"padding_mode": mode})
        assert_within(out.detach(), expected.values, expected.slack, f"values, {mode}")
        back = torch.autograd.grad(out, leaf, grad)[0]
        assert_within(back, expected.grad, expected.grad_slack, f"gradient, {mode}")


@RANKS
@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_unpool_puts_back_what_max_pool_took(rank, dtype):
    """Overlapping windows name an element more than once; all of them name the same value."""
    x = make_values((2, 3, *SIZES[rank]), dtype, "normal", rank)
    values, indices = named("max_pool", rank)(x, 3, 2, 1, return_indices=True)
    floating = dtype.is_floating_point
    leaf = values.detach().requires_grad_(floating)
    back = named("max_unpool", rank)(leaf, indices, 3, 2, 1, output_size=SIZES[rank])
    where = indices.numpy()
    expected = to_torch(oracle.unpool(to_numpy(values), where, SIZES[rank])).to(dtype)
    assert_same_bits(back.detach(), expected, "values")
    if floating:
        grad = whole(back.shape, dtype)
        expected = to_torch(oracle.unpool_backward(to_numpy(grad), where, rank)).to(dtype)
        assert_same_bits(torch.autograd.grad(back, leaf, grad)[0], expected, "gradient")


@pytest.mark.parametrize("rank", [2, 3], ids="{}d".format)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("outputs", [1, 3, 4])
def test_fractional(rank, dtype, outputs):
    x = make_values((2, 3, *SIZES[rank]), dtype, "ties", 1).requires_grad_()
    samples = torch.rand(2, 3, rank, dtype=dtype, generator=torch.Generator().manual_seed(2))
    values, indices = named("fractional_max_pool", rank)(
        x, 2, outputs, return_indices=True, _random_samples=samples
    )
    grad = whole(values.shape, dtype)
    (back,) = torch.autograd.grad(values, x, grad)
    kind = np.dtype(str(dtype).removeprefix("torch.")).type
    for image, channel in np.ndindex(2, 3):
        own = samples[image, channel].numpy()
        own = own[::-1] if rank == 2 else own  # as torch deals them out
        starts = [
            oracle.fractional_starts(sample, length, 2, outputs, kind)
            for sample, length in zip(own, SIZES[rank], strict=True)
        ]
        window = [Spans(tuple(row), tuple(start + 2 for start in row)) for row in starts]
        plane = x[image, channel].detach().numpy()
        best, where = oracle.select_pool(plane[None], window)
        np.testing.assert_array_equal(values[image, channel].detach().numpy(), best[0])
        np.testing.assert_array_equal(indices[image, channel].numpy(), where[0])
        pulled = oracle.select_pool_backward(
            grad[image, channel].numpy()[None], where, (1, *SIZES[rank]), rank
        )
        np.testing.assert_array_equal(back[image, channel].numpy(), pulled[0])


# Stochastic pooling (Zeiler and Fergus, 2013).

DRAWN = [
    case for case in CASES if not case.refused and case.arguments() and math.prod(case.n) < 500
]


@pytest.mark.parametrize("case", DRAWN, ids=str)
def test_stochastic_means(case):
    """Without training nothing is drawn: the mean by the probabilities."""
    rank = case.window.rank
    dtype, layout = FLOATS[seed_of(case) % 4], LAYOUTS[seed_of(case) % 4]
    x = make_values(case.shape, dtype, "normal", seed_of(case))
    leaf, array = layout(x, rank).requires_grad_(), to_numpy(x)
    out = named("stochastic_pool", rank)(leaf, **case.arguments(), training=False)
    assert out.dtype == dtype
    a = arithmetic(dtype)
    values = oracle.stochastic_mean(array, case.window)
    slack = a.end(values, bounds.stochastic(a, array, case.window, "identity"))
    assert_within(out.detach(), to_torch(values), to_torch(slack), "values")
    grad = whole(out.shape, dtype)
    given = to_numpy(grad)
    back = oracle.stochastic_mean_backward(given, array, case.window)
    slack = bounds.stochastic_backward(a, given, array, case.window, "identity")
    found = torch.autograd.grad(out, leaf, grad)[0]
    assert_within(found, to_torch(back), to_torch(a.end(back, slack)), "gradient")


@pytest.mark.parametrize("case", DRAWN, ids=str)
def test_stochastic_draws_lie_in_their_windows(case):
    """An element above 0 where there is one; its gradient goes where it came from."""
    rank = case.window.rank
    x = make_values(case.shape, torch.float64, "normal", seed_of(case)).requires_grad_()
    out = named("stochastic_pool", rank)(x, **case.arguments(), training=True)
    walked = walk(case.window, case.n)
    flat = np.concatenate([x.detach().numpy().reshape(-1, math.prod(case.n)).clip(0)] * 2, 1)
    if not x.numel():
        assert out.shape == case.out_shape
        return
    drawn = out.detach().numpy().reshape(len(flat), -1)
    offered = np.where(walked.present, flat[:, walked.elements], 0)
    assert (
        ((offered == drawn[..., None]) & walked.present | (offered.sum(-1) == 0)[..., None])
        .any(-1)
        .all()
    )
    assert ((drawn > 0) == (offered.sum(-1) > 0)).all()
    (back,) = torch.autograd.grad(out.sum(), x)
    assert back.sum() == (drawn > 0).sum()
    assert (back * x).sum().item() == pytest.approx(drawn.sum())


def test_stochastic_draws_follow_the_probabilities():
    """20,000 windows of 1, -5, 3: of so many draws 75% fall on the 3, give or take 0.3%."""
    x = torch.tensor([1.0, -5.0, 3.0]).expand(1, 20_000, 3)
    draw = cenote.stochastic_pool1d(x, 3, generator=torch.Generator().manual_seed(7))
    assert set(draw.unique().tolist()) == {1.0, 3.0}
    assert (draw == 3).double().mean().item() == pytest.approx(0.75, abs=5 * 0.0031)
    again = cenote.stochastic_pool1d(x, 3, generator=torch.Generator().manual_seed(7))
    assert torch.equal(draw, again)
    other = cenote.stochastic_pool1d(x, 3, generator=torch.Generator().manual_seed(8))
    assert not torch.equal(draw, other)


# Parameters that learn.


@RANKS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gradient_of_p(rank, dtype):
    x = make_values((2, 3, *SIZES[rank]), dtype, "normal", rank)
    p = torch.tensor(2.5, dtype=dtype, requires_grad=True)
    out = named("gem_pool", rank)(x, p, 3, 2, 1, eps=0.05)
    grad, window = whole(out.shape, dtype), [Axis(3, 2, 1, 1)] * rank
    array, given = x.numpy(), grad.numpy().astype(float)
    back = oracle.gem_pool_backward_p(given, array, window, 2.5, 0.05)
    slack = bounds.gem_backward_p(arithmetic(dtype), given, array, window, 2.5, 0.05, "identity")
    (found,) = torch.autograd.grad(out, p, grad)
    assert found.shape == p.shape
    assert abs(found.item() - float(back)) <= slack + 1e-15 * abs(back)


@RANKS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("counted", [True, False])
def test_gradient_of_alpha(rank, dtype, counted):
    x = make_values((2, 3, *SIZES[rank]), dtype, "normal", rank)
    alpha = torch.tensor(0.25, dtype=dtype, requires_grad=True)
    out = named("mixed_pool", rank)(x, 3, 2, 1, count_include_pad=counted, alpha=alpha)
    grad, window = whole(out.shape, dtype), [Axis(3, 2, 1, 1)] * rank
    array, given = x.numpy(), grad.numpy().astype(float)
    back = oracle.mixed_pool_backward_alpha(given, array, window, counted)
    sizes = bounds.mixed_sizes(array, window, 1.0, counted, "identity") * abs(given)
    slack = arithmetic(dtype).gamma(3**rank + sizes.size + 5) * sizes.sum()
    (found,) = torch.autograd.grad(out, alpha, grad)
    assert abs(found.item() - float(back)) <= slack


# Whole planes.

GLOBAL = [
    op
    for op in OPERATORS
    if "divisor_override" not in op.options and op.options.get("rounding") is None
]


@RANKS
@pytest.mark.parametrize("op", GLOBAL, ids=str)
@pytest.mark.parametrize("layout", [contiguous, channels_last], ids=lambda f: f.__name__)
def test_global(rank, op, layout):
    """One window over everything; the axes stay, with size 1."""
    options = {k: v for k, v in op.options.items() if k != "count_include_pad"}
    window = Window([Adaptive(1)] * rank)
    for dtype in op.dtypes:
        x = make_values((2, 5, *SIZES[rank]), dtype, "normal", rank)
        out = named(f"global_{op.reduce}_pool", rank)(layout(x, rank), **options)
        grad = torch.ones(2, 5, *[1] * rank, dtype=dtype)
        expected = expect(op, window, x, grad, op.options)
        assert out.shape == (2, 5, *[1] * rank)
        compare(out, expected.values, expected.slack, f"values, {dtype}")
        if op.selects:
            call = named(f"global_{op.reduce}_pool", rank)
            _, indices = call(layout(x, rank), **options, return_indices=True)
            assert_same_bits(indices, expected.indices, f"indices, {dtype}")


# What is put together.


@RANKS
@pytest.mark.parametrize("taps", [2, 3, 5])
def test_max_blur_is_max_then_blur(rank, taps):
    x = make_values((2, 3, *SIZES[rank]), torch.float64, "normal", rank).requires_grad_()
    out = named("max_blur_pool", rank)(x, 2, 2, filter_size=taps)
    best, where = oracle.select_pool(x.detach().numpy(), [Axis(2)] * rank)
    blur = [Axis(taps, 2, (taps - 1) // 2, taps // 2)] * rank
    np.testing.assert_allclose(
        out.detach().numpy(), oracle.blur_pool(best, blur).astype(float), rtol=1e-13, atol=1e-14
    )
    grad = whole(out.shape, torch.float64)
    back = oracle.blur_pool_backward(grad.numpy(), blur, best.shape)
    back = oracle.select_pool_backward(back, where, tuple(x.shape), rank).astype(float)
    found = torch.autograd.grad(out, x, grad)[0].numpy()
    np.testing.assert_allclose(found, back, rtol=1e-13, atol=1e-13)


@RANKS
@pytest.mark.parametrize("reduce", ["max", "avg"])
def test_spatial_pyramid_is_adaptive_pools_side_by_side(rank, reduce):
    x = make_values((2, 3, *SIZES[rank]), torch.float64, "normal", rank)
    out = named("spatial_pyramid_pool", rank)(x, (1, 2, 4), reduce)
    levels = [expect(Op(reduce, reduce), Window([Adaptive(level)] * rank), x, x.new_ones(
        2, 3, *[level] * rank), {}).values.flatten(1) for level in (1, 2, 4)]  # fmt: skip
    assert out.shape == (2, 3 * sum(level**rank for level in (1, 2, 4)))
    np.testing.assert_allclose(out.numpy(), torch.cat(levels, 1).numpy(), rtol=1e-14, atol=1e-15)


@RANKS
def test_sppf_is_a_chain_of_maxima(rank):
    x = make_values((2, 3, *SIZES[rank]), torch.float32, "special", rank)
    chain = [x.numpy()]
    for _ in range(2):
        chain.append(oracle.select_pool(chain[-1], [Axis(5, 1, 2, 2)] * rank)[0])
    assert_same_bits(named("sppf", rank)(x, 5, 2), torch.from_numpy(np.concatenate(chain, 1)), "")


@RANKS
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_upsampling_is_the_adjoint_of_sums(rank, factor):
    x = make_values((2, 3, *SIZES[rank]), torch.float64, "normal", rank).requires_grad_()
    out = named("upsample_repeat", rank)(x, factor)
    repeated = x.detach().numpy()
    for axis in range(2, 2 + rank):
        repeated = repeated.repeat(factor, axis)
    assert_same_bits(out.detach(), torch.from_numpy(repeated), "values")
    grad = whole(out.shape, torch.float64)
    back = oracle.sum_pool(grad.numpy(), [Axis(factor, factor)] * rank)
    assert_same_bits(torch.autograd.grad(out, x, grad)[0] + 0.0, to_torch(back) + 0.0, "gradient")
