"""Holds one operator on one case to everything at once: see :func:`check_op`."""

import itertools
import zlib
from functools import cache, lru_cache, partial
from math import prod

import numpy as np
import torch

import cenote
import oracle
from cenote import reference
from cenote.window import Axis
from inputs import KINDS, channels_last, contiguous, expanded, make_values
from operators import OPERATORS, OPS, Op, expect
from oracle.walk import walk
from torch_pools import torch_pool

__all__ = ["DTYPES", "OPERATORS", "OPS", "Op", "check_op", "expect"]

DTYPES = (torch.float32, torch.float64)
DENSE = (contiguous, channels_last)  # the layouts of which everything is asked
BITS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}


def seed_of(case):
    return zlib.crc32(case.name.encode())


@lru_cache(maxsize=64)
def prepared(case, op, dtype, kind, shared):
    """Values, a gradient of small integers (sums of them are exact), and the oracle's answer."""
    rank = case.window.rank
    x = make_values(case.shape, dtype, kind, seed_of(case), shared, rank)
    rng = np.random.default_rng(seed_of(case))
    out = case.shape[:-rank] + oracle.out_sizes(case.window, case.n)
    grad = torch.from_numpy(rng.integers(-4, 5, out)).to(dtype)
    return x, grad, expect(op, case.window, x, grad, op.on(case))


# Comparisons.


def assert_same_bits(actual, expected, what):
    """Equal to the last bit and sign of zero; NaNs are equal whatever their payload."""
    assert actual.dtype == expected.dtype, what
    assert actual.shape == expected.shape, what
    if actual.dtype in BITS:
        actual, expected = (
            torch.where(t.isnan(), float("nan"), t).contiguous().view(BITS[t.dtype])
            for t in (actual, expected)
        )
    assert torch.equal(actual, expected), f"{what}: {_first_difference(actual, expected)}"


def assert_within(actual, expected, slack, what):
    """Finite numbers within ``slack``; infinities and NaNs exactly where they are expected.

    Nothing is claimed where the slack is infinite.
    """
    assert actual.shape == expected.shape, what
    wide, finite = actual.double(), expected.isfinite()
    near = torch.where(finite, (wide - expected).abs() <= slack, wide == expected)
    good = near | (wide.isnan() & expected.isnan()) | (slack == torch.inf)
    assert good.all(), f"{what}: {_first_difference(wide, expected, good)}"


def _first_difference(actual, expected, good=None):
    wrong = (actual != expected if good is None else ~good).nonzero()
    where = tuple(wrong[0].tolist())
    return f"{len(wrong)} differ, first at {where}: {actual[where]} for {expected[where]}"


def compare(actual, expected, slack, what):
    """Within the slack; without one, to the bit."""
    if slack is None:
        assert_same_bits(actual, expected, what)
    else:
        assert_within(actual, expected, slack, what)


# The contract.


@cache
def instruction_sets():
    """The instruction sets that can be chosen here, the plain one included."""
    return tuple(cenote.doctor()["isas"])


def run(op, x, window, options, grad=None):
    """``(output, gradient of x)`` in one go; no gradient of integers and booleans."""
    if not x.is_floating_point():
        return cenote.pool(x, window, op.reduce, **options), None
    leaf = x.detach().requires_grad_()
    out = cenote.pool(leaf, window, op.reduce, **options)
    given = torch.ones_like(out) if grad is None else grad
    return out.detach(), torch.autograd.grad(out, leaf, given)[0]


def check_op(case, op, dtype=torch.float32, layout=contiguous):
    """Hold an operator on a case, an element type and a layout to all that is promised.

    Shape, memory format and type of the output; values, indices and gradients against the oracle,
    ``cenote.reference`` and torch (where torch takes the window); NaNs, infinities, ties and
    signed zeros; the same at any number of threads and on every instruction set; a tile equals its
    part of the whole; the receptive field is what the gradient reaches. Other layouts than the
    dense ones are held to the oracle, with the values that ask most; where sums round, ordinary
    ones too, for few windows of the others have a finite sum. What picks an element is held to the
    bit, and so are integers and sums that are exact; what rounds, to a derived bound.
    """
    options, rank = op.on(case), case.window.rank
    for kind in KINDS if layout in DENSE else KINDS[2:] if op.selects else KINDS[::2]:
        values, grad, expected = prepared(case, op, dtype, kind, layout is expanded)
        x = layout(values, rank)
        assert_same_bits(x, values, "the test itself")
        check_values(case, op, x, options, expected)
        if x.is_floating_point():
            check_gradients(case, op, x, options, grad, expected)
            if kind == "ties" or op.selects:  # for the others the oracle has to answer once more
                check_expanded_gradient(case, op, x, options, grad)
        check_tiles(case, op, x, options, expected)
        if layout in DENSE:  # test_hypothesis mixes instruction sets and threads with the others
            check_reference(case, op, x, options, expected)
            check_torch(case, op, x, options, grad, expected)
            check_settings(case, op, x, options, grad, expected)
        assert_same_bits(x, values, "the input was written to")
    if prod(case.shape) and dtype in DTYPES:  # in half types the weakest links underflow
        check_field(case, op, layout, dtype)


def check_values(case, op, x, options, expected):
    out = cenote.pool(x, case.window, op.reduce, **options)
    whole = op.reduce == "sum" and not x.is_floating_point()
    assert out.dtype == (torch.int64 if whole else x.dtype)
    assert tuple(out.shape) == tuple(expected.values.shape) == case.out_shape
    assert not out.requires_grad
    check_format(case, x, out)
    compare(out, expected.values, expected.slack, "values")
    arguments = case.arguments()
    if arguments is not None:
        named = named_function(case, op)
        if named is not None:
            assert_same_bits(named(x, **arguments, **options), out, "the named function")
    if op.selects:
        again, indices = cenote.pool(x, case.window, op.reduce, return_indices=True, **options)
        check_format(case, x, indices)
        assert_same_bits(again, out, "values beside indices")
        assert_same_bits(indices, expected.indices, "indices")


ADAPTIVE = ("max", "min", "avg", "sum")


def named_function(case, op):
    """The function that is named for the operator; none is for adaptive medians and powers."""
    if "output_size" not in case.arguments():
        return getattr(cenote, f"{op.reduce}_pool{case.window.rank}d")
    if op.reduce not in ADAPTIVE or op.options:
        return None
    return getattr(cenote, f"adaptive_{op.reduce}_pool{case.window.rank}d")


FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def check_format(case, x, out):
    """The output lies in memory as the input does, wherever the input is in just one format."""
    formats = [torch.contiguous_format]
    if x.dim() == case.window.rank + 2 and x.dim() in FORMATS:
        formats.append(FORMATS[x.dim()])
    held = [f for f in formats if x.is_contiguous(memory_format=f)]
    if held:
        assert any(out.is_contiguous(memory_format=f) for f in held)


def check_gradients(case, op, x, options, grad, expected):
    out, back = run(op, x, case.window, options, grad)
    compare(out, expected.values, expected.slack, "values while recording")
    assert back.dtype == x.dtype
    alike = torch.empty_like(out).copy_(grad)  # in the output's own format
    if op.mode in ("identity", "zeros"):  # behind padding that shows elements it is contiguous
        check_format(case, x, run(op, x, case.window, options, alike)[1])
    sent = {"as it is": grad, "like the output": alike, "transposed": contiguous(grad.mT).mT}
    zero = _positive_zero(expected.grad)
    for how, given in sent.items():
        back = _positive_zero(run(op, x, case.window, options, given)[1])
        compare(back, zero, expected.grad_slack, f"gradient, {how}")


def check_expanded_gradient(case, op, x, options, grad):
    """A gradient of stride 0 is what ``sum().backward()`` sends."""
    one = grad.new_ones(()).expand(grad.shape)
    exact = expect(op, case.window, x, torch.ones_like(grad), options)
    for how, given in (("of ones", None), ("expanded", one)):
        back = _positive_zero(run(op, x, case.window, options, given)[1])
        compare(back, _positive_zero(exact.grad), exact.grad_slack, f"gradient, {how}")


def _positive_zero(t):
    """Gradients are sums: whether a zero one starts from +0 or from -0 says nothing."""
    return t + 0.0


def check_reference(case, op, x, options, expected):
    found = reference_pool(op, x, case.window.at(case.n), options)
    if found is None:
        return
    plain, indices = found
    compare(plain, expected.values, expected.slack, "values of the reference")
    if op.selects:
        assert_same_bits(indices, expected.indices, "indices of the reference")


def reference_pool(op, x, window, options):
    """``(values, indices or None)`` of ``cenote.reference``, under the names that it has there.

    None for what it has no one function for: other padding is a step before it, mixed pooling two
    of its functions, and its integers are summed on the way to an average.
    """
    given = dict(options)
    if op.mode != "identity" or op.reduce == "mixed" or given.pop("mean", False):
        return None
    if op.selects:
        median = op.reduce == "median"
        pick = reference.median_pool if median else partial(reference.select_pool, reduce=op.reduce)
        values, taps = pick(x, window)
        return values, reference.tap_indices(taps, window, tuple(x.shape[-window.rank :]))
    if op.reduce == "avg":
        return reference.linear_pool(x, window, **given), None
    if op.reduce == "logsumexp":
        return reference.logsumexp_pool(x, window, **given), None
    if op.reduce == "gem":
        p, eps = given["p"], given.get("eps", 1e-6)
        return reference.power_pool(x, window, p, eps, count_include_pad=False), None
    if not x.is_floating_point() or given.get("norm_type") == torch.inf:
        return None
    if op.reduce == "lp":
        return reference.power_pool(x, window, given["norm_type"], divisor_override=1), None
    return reference.linear_pool(x, window, divisor_override=1), None


def check_torch(case, op, x, options, grad, expected):
    call = torch_pool(case, op, options, x.dtype)
    if call is None or (op.selects and (expected.indices < 0).any()):
        return  # for an empty window torch's index lies outside the tensor
    floating = x.is_floating_point()
    leaf = x.detach().requires_grad_(floating)
    out, indices = call(leaf)
    values, slack, theirs = expected.values, expected.slack, out.detach()
    if not op.selects:  # torch adds to 0 what it has divided: its averages are never -0
        values, theirs = _positive_zero(values), _positive_zero(theirs)
    if slack is None and "output_size" in case.arguments() and op.reduce == "avg":
        values = values.double()  # torch divides once an axis where windows are adaptive
        slack = case.window.rank * torch.finfo(x.dtype).eps * values.abs()
    compare(theirs, values, slack, "values of torch")
    if indices is not None:
        assert_same_bits(indices, expected.indices, "indices of torch")
    if x.dtype in DTYPES:  # torch adds gradients of half types in the half type
        back = _positive_zero(torch.autograd.grad(out, leaf, grad)[0])
        compare(back, _positive_zero(expected.grad), expected.grad_slack, "gradient of torch")


def check_settings(case, op, x, options, grad, expected):
    """The same bits at any number of threads; what picks, also on every instruction set."""
    out, back = run(op, x, case.window, options, grad)
    for threads in (1, 2):
        with cenote.options(threads=threads):
            again = run(op, x, case.window, options, grad)
        assert_same_bits(again[0], out, f"values on {threads} threads")
        if back is not None:
            assert_same_bits(again[1], back, f"gradient on {threads} threads")
    for isa in instruction_sets():
        with cenote.options(isa=isa):
            bare = cenote.pool(x, case.window, op.reduce, **options)
            again = run(op, x, case.window, options, grad)
            assert_same_bits(again[0], bare, f"values while recording, {isa}")
            # Wider vectors add in another order: within the rounding of the sums all the same.
            compare(bare, expected.values, expected.slack, f"values, {isa}")
            if back is not None:
                zero = _positive_zero(expected.grad)
                compare(_positive_zero(again[1]), zero, expected.grad_slack, f"gradient, {isa}")
            if op.selects:
                indices = cenote.pool(x, case.window, op.reduce, return_indices=True, **options)[1]
                assert_same_bits(indices, expected.indices, f"indices, {isa}")


def check_tiles(case, op, x, options, expected):
    """Outputs computed from the input block that they need are that part of the answer."""
    if op.mode not in ("identity", "zeros"):
        return  # what other padding shows may lie outside the block
    for o0, o1 in tiles(case.window.out(case.n)):
        block, window = case.window.crop(o0, o1, case.n)
        tile = cenote.pool(x[(..., *block)], window, op.reduce, **options)
        part = (..., *(slice(a, b) for a, b in zip(o0, o1, strict=True)))
        slack = None if expected.slack is None else expected.slack[part]
        compare(tile, expected.values[part], slack, f"tile {o0} to {o1}")


def tiles(sizes):
    """Blocks of the output, every axis cut in two: at a third, the next at two thirds, and on."""
    cuts = [
        (0, size // 3 if k % 2 == 0 else size - size // 3, size) for k, size in enumerate(sizes)
    ]
    pairs = [[(a, b) for a, b in itertools.pairwise(cut) if a < b] for cut in cuts]
    for block in itertools.product(*pairs):
        yield tuple(zip(*block, strict=True))


def check_field(case, op, layout, dtype):
    """A unit's gradient reaches exactly the inputs of its window, or the one that it picks."""
    window, n, sizes = case.window, case.n, case.window.out(case.n)
    x = make_values(case.shape, dtype, "normal", 1, layout is expanded, window.rank).abs() + 0.1
    one = torch.zeros(case.out_shape, dtype=dtype)
    picks = op.selects or op.options.get("norm_type") == torch.inf
    if picks:
        best = op.reduce if op.selects else "max"
        _, indices = oracle.select_pool(x.numpy(), window, best, op.mode)
    for o in {tuple(0 for _ in sizes), tuple(s // 2 for s in sizes), tuple(s - 1 for s in sizes)}:
        one.zero_()[(..., *o)] = 1.0
        reached = run(op, layout(x, window.rank), window, op.on(case), one)[1] != 0
        seen = np.zeros((prod(case.shape) // prod(n), prod(n)), bool)
        if picks:
            winners = indices[(..., *o)].reshape(-1, 1)  # -1 of an empty window and of padding
            np.put_along_axis(seen, np.maximum(winners, 0), winners >= 0, 1)
        else:
            numbers = walk(window, n, op.mode).elements[np.ravel_multi_index(o, sizes)]
            seen[:, numbers[numbers >= 0]] = True
        seen = torch.from_numpy(seen).view(case.shape)
        assert torch.equal(reached, seen), f"field of unit {o}"
        if op.mode == "identity" and all(isinstance(axis, Axis) for axis in window.at(n)):
            check_hull(window.at(n), o, reached)


def check_hull(window, o, reached):
    """No gradient leaves the interval that the receptive field gives."""
    for dim, (axis, unit) in enumerate(zip(window.field, o, strict=True), -window.rank):
        start, stop = axis.interval(unit)
        hit = reached.nonzero()[:, dim]
        assert hit.numel() == 0 or start <= hit.min() <= hit.max() < stop
