"""The oracle against torch, values and gradients, wherever torch has the operator.

Where it has none, torch does the arithmetic and its autograd the gradient on the elements that the
oracle's walk gives every window; the walk is held to torch's pools first.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import oracle
from cenote import Axis
from cenote.window import Adaptive, Spans
from oracle import bounds
from oracle.walk import MODES, walk

NAN, INF = float("nan"), float("inf")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def close(actual, expected):
    """To a few roundings of numbers of size 1, float64's eps being 2.2e-16."""
    actual = np.asarray(actual).astype(np.float64)
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-12)


CASES = {
    "overlapping": (2, 3, 1, 1),
    "tiles": (2, 2, 0, 1),
    "strided": (3, 1, 1, 1),
    "dilated": (3, 2, 1, 2),
}
SIZES = {1: (11,), 2: (7, 8), 3: (5, 6, 7)}


def torchs(name, rank):
    return getattr(F, f"{name}{rank}d")


@pytest.fixture(params=[1, 2, 3], ids="{}d".format)
def rank(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["floor", "ceil"])
def ceil(request):
    return request.param


def held(values, back, out, x):
    """Values and gradient equal torch's; the gradient of the output is random."""
    grad = numbers(*out.shape, seed=9)
    close(values, out)
    close(back(grad), torch.autograd.grad(out, x, torch.from_numpy(grad))[0])


# torch lets a last window start in padding that F.pad made: no ceil mode there.
@pytest.mark.parametrize(("mode", "ceil"), [("identity", True), *((mode, False) for mode in MODES)])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), CASES.values(), ids=CASES)
def test_max_is_torchs(rank, mode, ceil, kernel, stride, padding, dilation):
    x = torch.from_numpy(numbers(2, 3, *SIZES[rank]).round(1)).requires_grad_()  # with ties
    axes = [Axis(kernel, stride, padding, padding, dilation, ceil)] * rank
    given, pads = (x, padding) if mode == "identity" else (padded(x, axes, mode), 0)
    out, where = torchs("max_pool", rank)(
        given, kernel, stride, pads, dilation, ceil, return_indices=True
    )
    values, indices = oracle.select_pool(x.detach().numpy(), axes, "max", mode)
    if mode == "identity":
        np.testing.assert_array_equal(indices, where.numpy())
    held(values, lambda g: oracle.select_pool_backward(g, indices, x.shape, rank), out, x)


def padded(x, axes, mode):
    pads = [end for axis in reversed(axes) for end in (axis.before, axis.after)]
    return F.pad(x, pads, **({} if mode == "zeros" else {"mode": mode}))


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("name", ["overlapping", "tiles", "strided"])
def test_averages_and_sums_are_torchs(rank, ceil, counted, name):
    kernel, stride, padding, _ = CASES[name]
    x = torch.from_numpy(numbers(2, 3, *SIZES[rank])).requires_grad_()
    axes = [Axis(kernel, stride, padding, padding, 1, ceil)] * rank
    array, shape = x.detach().numpy(), tuple(x.shape)
    out = torchs("avg_pool", rank)(x, kernel, stride, padding, ceil, counted)
    back = lambda g: oracle.avg_pool_backward(g, axes, shape, counted)  # noqa: E731
    held(oracle.avg_pool(array, axes, counted), back, out, x)
    if rank > 1:
        out = torchs("avg_pool", rank)(x, kernel, stride, padding, ceil, divisor_override=1)
        back = lambda g: oracle.sum_pool_backward(g, axes, shape)  # noqa: E731
        held(oracle.sum_pool(array, axes), back, out, x)


def test_integer_averages_are_torchs():
    x = torch.randint(-50, 50, (2, 3, 7, 8))
    theirs = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    values = oracle.avg_pool(x.numpy(), [Axis(3, 2, 1, 1)] * 2, False)
    np.testing.assert_array_equal(values, theirs.numpy())
    sums = x.sum((-2, -1))
    np.testing.assert_array_equal(oracle.sum_pool(x.numpy(), [Axis(7), Axis(8)])[..., 0, 0], sums)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.7])
def test_lp_is_torchs_on_positive_numbers(rank, p):
    """torch sums ``x^p``, without ``abs``, and multiplies averages: floor mode, no padding."""
    x = torch.from_numpy(abs(numbers(2, 3, *SIZES[rank])) + 0.1).requires_grad_()
    array, axes = x.detach().numpy(), [Axis(3, 2)] * rank
    out = torchs("lp_pool", rank)(x, p, 3, 2)
    held(
        oracle.lp_pool(array, axes, p), lambda g: oracle.lp_pool_backward(g, array, axes, p), out, x
    )


# The windows' elements from the walk, which the pools above have held to torch's; then torch's
# own arithmetic and autograd on them, for every operator that torch has no pool for.

WINDOWS = {
    "overlapping": lambda rank: [Axis(3, 2, 1, 1)] * rank,
    "dilated_with_empty_windows": lambda rank: [
        *[Axis(2, 1, 1, 1)] * (rank - 1),
        Axis(2, 4, 7, 7, 8),
    ],
    "ceil": lambda rank: [Axis(3, 2, 0, 1, ceil=True)] * rank,
    "adaptive": lambda rank: [Adaptive(4)] * rank,
}


def taken(x, axes, mode):
    """``(elements, present)`` of torch's tensors: windows without elements are left out."""
    walked = walk(axes, tuple(x.shape[-len(axes) :]), mode)
    some = walked.count > 0
    flat = F.pad(x.flatten(-len(axes)), (0, 2))  # for what is zero and what is not there
    return (
        flat[..., torch.from_numpy(walked.elements[some])],
        torch.from_numpy(walked.present[some]),
        some,
    )


FORMULAS = {
    "lp_half": (lambda e, ok: ((e.abs() ** 0.5) * ok).sum(-1) ** 2, "lp_pool", {"p": 0.5}),
    "lp_3": (lambda e, ok: ((e.abs() ** 3) * ok).sum(-1) ** (1 / 3), "lp_pool", {"p": 3}),
    "lp_inf": (lambda e, ok: (e.abs() * ok).amax(-1), "lp_pool", {"p": INF}),
    "logsumexp": (
        lambda e, ok: (2.5 * e).where(ok, -INF).logsumexp(-1) / 2.5,
        "logsumexp_pool",
        {"sharpness": 2.5},
    ),
    "logmeanexp": (
        lambda e, ok: -(((-e).exp() * ok).sum(-1) / ok.sum(-1)).log(),
        "logsumexp_pool",
        {"sharpness": -1.0, "mean": True},
    ),
    "gem": (
        lambda e, ok: (((e.clamp(min=0.1) ** 3.5) * ok).sum(-1) / ok.sum(-1)) ** (1 / 3.5),
        "gem_pool",
        {"p": 3.5, "eps": 0.1},
    ),
    "gem_negative": (
        lambda e, ok: (((e.clamp(min=0.1) ** -2) * ok).sum(-1) / ok.sum(-1)) ** (-1 / 2),
        "gem_pool",
        {"p": -2.0, "eps": 0.1},
    ),
    "mixed": (
        lambda e, ok: 0.3 * e.where(ok, -INF).amax(-1) + 0.7 * (e * ok).sum(-1) / ok.sum(-1),
        "mixed_pool",
        {"alpha": 0.3, "count_include_pad": False},
    ),
    "stochastic": (
        lambda e, ok: (e.relu() ** 2 * ok).sum(-1) / (e.relu() * ok).sum(-1).clamp(min=1e-30),
        "stochastic_mean",
        {},
    ),
}


@pytest.mark.parametrize(
    ("windows", "mode"),
    [
        *((name, "identity") for name in WINDOWS),
        *(("overlapping", mode) for mode in MODES[1:]),
        *(("ceil", mode) for mode in MODES[1:]),
    ],
)
@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_torchs_arithmetic(rank, name, windows, mode):
    formula, function, options = FORMULAS[name]
    axes = WINDOWS[windows](rank)
    x = torch.from_numpy(numbers(2, 2, *SIZES[rank], seed=rank)).requires_grad_()
    array = x.detach().numpy()
    elements, present, some = taken(x, axes, mode)
    out = formula(elements, present)
    values = getattr(oracle, function)(array, axes, **options, mode=mode)
    close(values.reshape(2, 2, -1)[..., some], out)
    grad = numbers(*values.shape, seed=9)
    back = getattr(oracle, f"{function}_backward")(grad, array, axes, **options, mode=mode)
    given = torch.from_numpy(grad.reshape(2, 2, -1)[..., some])
    close(back, torch.autograd.grad(out, x, given)[0])


def test_gradients_of_parameters_are_autograds(rank):
    x, axes = torch.from_numpy(numbers(2, 2, *SIZES[rank])), [Axis(3, 2, 1, 1)] * rank
    elements, present, _ = taken(x, axes, "identity")
    grad = numbers(2, 2, *oracle.out_sizes(axes, SIZES[rank]), seed=9)
    given = torch.from_numpy(grad).view(2, 2, -1)
    p = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)
    means = ((elements.clamp(min=0.1) ** p) * present).sum(-1) / present.sum(-1)
    back = oracle.gem_pool_backward_p(grad, x.numpy(), axes, 2.5, 0.1)
    close(back, torch.autograd.grad(means ** (1 / p), p, given)[0])
    alpha = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    mean = (elements * present).sum(-1) / 3**rank
    mixed = alpha * elements.where(present, -INF).amax(-1) + (1 - alpha) * mean
    back = oracle.mixed_pool_backward_alpha(grad, x.numpy(), axes)
    close(back, torch.autograd.grad(mixed, alpha, given)[0])


@pytest.mark.parametrize("reduce", ["min", "median"])
@pytest.mark.parametrize("windows", WINDOWS)
def test_minima_and_medians_are_torchs(rank, windows, reduce):
    axes = WINDOWS[windows](rank)
    x = torch.from_numpy(numbers(2, 2, *SIZES[rank]))
    elements, present, some = taken(x, axes, "identity")
    if reduce == "min":
        theirs = elements.where(present, INF).amin(-1)
    else:
        theirs = elements.where(present, NAN).nanmedian(-1).values
    values, indices = oracle.select_pool(x.numpy(), axes, reduce)
    np.testing.assert_array_equal(values.reshape(2, 2, -1)[..., some], theirs.numpy())
    flat, where = x.flatten(2), torch.from_numpy(indices).flatten(2)[..., some]
    assert torch.equal(flat.gather(2, where), theirs)


@pytest.mark.parametrize("size", [2, 3, 4, 7])
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "zeros"])
def test_blur_is_torchs_convolution(rank, size, mode):
    x = torch.from_numpy(numbers(2, 3, *SIZES[rank])).requires_grad_()
    axes = [Axis(size, 2, (size - 1) // 2, size // 2)] * rank
    row = torch.ones(1, dtype=torch.float64)
    for _ in range(size - 1):  # Pascal's triangle, a row from the one above
        row = (F.pad(row, (1, 0)) + F.pad(row, (0, 1))) / 2
    weights = row
    for _ in range(rank - 1):
        weights = torch.tensordot(weights, row, 0)
    filters = weights.expand(3, 1, *weights.shape)
    convolve = getattr(F, f"conv{rank}d")
    out = convolve(padded(x, axes, mode), filters, stride=2, groups=3)
    array, shape = x.detach().numpy(), tuple(x.shape)
    held(
        oracle.blur_pool(array, axes, mode),
        lambda g: oracle.blur_pool_backward(g, axes, shape, mode),
        out,
        x,
    )


@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5, 9])
def test_adaptive_windows_are_torchs(rank, outputs):
    x = torch.from_numpy(numbers(2, 2, *SIZES[rank])).requires_grad_()
    array, axes, shape = x.detach().numpy(), [Adaptive(outputs)] * rank, tuple(x.shape)
    out, where = torchs("adaptive_max_pool", rank)(x, outputs, return_indices=True)
    values, indices = oracle.select_pool(array, axes)
    np.testing.assert_array_equal(indices, where.numpy())
    held(values, lambda g: oracle.select_pool_backward(g, indices, shape, rank), out, x)
    out = torchs("adaptive_avg_pool", rank)(x, outputs)
    held(oracle.avg_pool(array, axes), lambda g: oracle.avg_pool_backward(g, axes, shape), out, x)


def test_unpooling_is_torchs(rank):
    x = torch.from_numpy(numbers(2, 2, *SIZES[rank]))
    pooled, where = torchs("max_pool", rank)(x, 2, return_indices=True)
    pooled.requires_grad_()
    out = torchs("max_unpool", rank)(pooled, where, 2, output_size=SIZES[rank])
    values = oracle.unpool(pooled.detach().numpy(), where.numpy(), SIZES[rank])
    held(values, lambda g: oracle.unpool_backward(g, where.numpy(), rank), out, pooled)


@pytest.mark.parametrize("outputs", [1, 3, 4])
@pytest.mark.parametrize("rank", [2, 3])
def test_fractional_windows_are_torchs(rank, outputs):
    x = torch.from_numpy(numbers(2, 3, *(9, 10, 11)[:rank]))
    samples = torch.rand(
        2, 3, rank, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    out, where = torchs("fractional_max_pool", rank)(
        x, 2, output_size=outputs, return_indices=True, _random_samples=samples
    )
    for image in range(2):
        for channel in range(3):
            own = samples[image, channel].tolist()
            # torch's samples count from the innermost axis in 2-D, from the outermost in 3-D.
            own = own[::-1] if rank == 2 else own
            axes = [given_starts(*of, outputs) for of in zip(own, x.shape[2:], strict=True)]
            plane = x[image, channel].numpy()[None]
            values, indices = oracle.select_pool(plane, axes)
            np.testing.assert_array_equal(values[0], out[image, channel].numpy())
            np.testing.assert_array_equal(indices[0], where[image, channel].numpy())


def given_starts(sample, length, outputs):
    starts = oracle.fractional_starts(sample, length, 2, outputs)
    return Spans(tuple(starts), tuple(start + 2 for start in starts))


# The bounds: they hold for plain arithmetic in the type itself, and tell a digit that is missing.

TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("windows", ["overlapping", "dilated_with_empty_windows"])
@pytest.mark.parametrize(
    "name", sorted(set(FORMULAS) - {"lp_inf"})
)  # amax splits its gradient at ties
def test_bounds_hold_and_tell(name, windows, dtype):
    """torch's float32 arithmetic keeps within them; a loss of 12 of its 24 bits would show."""
    formula, function, options = FORMULAS[name]
    axes, a = WINDOWS[windows](2), bounds.ARITHMETIC[dtype]
    x = torch.from_numpy(numbers(2, 3, 7, 8)).to(TYPES[dtype])
    leaf = x.float().clone().requires_grad_()
    elements, present, some = taken(leaf, axes, "identity")
    out = formula(elements, present)
    array, grad = x.double().numpy(), numbers(2, 3, *oracle.out_sizes(axes, (7, 8)), seed=4).round()
    values = getattr(oracle, function)(array, axes, **options)
    back = getattr(oracle, f"{function}_backward")(grad, array, axes, **options)
    slack, back_slack = bounds_of(function, a, grad, array, axes, options)
    given = torch.from_numpy(grad.reshape(2, 3, -1)[..., some]).float()
    pulled = torch.autograd.grad(out, leaf, given)[0].to(TYPES[dtype]).double().numpy()
    tidy = out.detach().to(TYPES[dtype]).double().numpy()
    values, slack = (t.reshape(2, 3, -1)[..., some] for t in np.broadcast_arrays(values, slack))
    for ours, exact, off in ((tidy, values, slack), (pulled, back, back_slack)):
        off = a.end(exact, off)
        assert (abs(ours - exact) <= off).all()
        assert (off <= 2.0**-12 * (1 + abs(exact)) + 2 * a.end_unit * abs(exact)).all()


def bounds_of(function, a, grad, x, axes, options):
    """The bounds on an operator's values and on its gradient, before the last rounding."""
    if function == "mixed_pool":
        sizes = bounds.mixed_sizes(x, axes, options["alpha"], False, "identity")
        back = oracle.mixed_pool_backward(abs(grad), x, axes, **options)
        return tuple(bounds.linear(a, 0 * t, t, 9 + 5) for t in (sizes, back))
    name = function.removesuffix("_pool").removesuffix("_mean")
    given = {**options, "mode": "identity"}
    if name == "logsumexp":
        given.setdefault("mean", False)
    return (
        getattr(bounds, name)(a, x, axes, **given),
        getattr(bounds, f"{name}_backward")(a, grad, x, axes, **given),
    )
