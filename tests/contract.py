"""Holds one operator on one case to everything at once: see :func:`check_op`."""

import zlib
from dataclasses import dataclass, field
from functools import cache, lru_cache
from math import prod

import numpy as np
import torch
import torch.nn.functional as F

import cenote
import oracle
from cenote import reference
from inputs import KINDS, channels_last, contiguous, expanded, make_values

DTYPES = (torch.float32, torch.float64)
DENSE = (contiguous, channels_last)  # the layouts of which everything is asked
BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


@dataclass(frozen=True)
class Op:
    """An operator as the tests call it: a reduction and what else it takes."""

    name: str
    reduce: str
    options: dict = field(default_factory=dict, hash=False)

    def __str__(self):
        return self.name

    @property
    def function(self):
        return f"{self.reduce}_pool2d"

    def on(self, case):
        """The operator's options for a case: the case knows what to divide by instead."""
        given = dict(self.options)
        if "divisor_override" in given:
            given["divisor_override"] = case.divisor_override
        return given


OPS = (
    Op("max", "max"),
    Op("avg", "avg", {"count_include_pad": True}),
    Op("avg_inside", "avg", {"count_include_pad": False}),
    Op("avg_override", "avg", {"divisor_override": 7}),
)


def seed_of(case):
    return zlib.crc32(case.name.encode())


# What is expected, computed once for all layouts.


@dataclass
class Expected:
    """What the oracle says; ``slack`` and ``grad_slack`` bound the rounding of sums."""

    values: torch.Tensor
    grad: torch.Tensor
    indices: torch.Tensor | None = None
    slack: torch.Tensor | None = None
    grad_slack: torch.Tensor | None = None


def rounding(window, sizes):
    """How far averages may be off, in any order of summation; ``sizes`` are those of ``abs(x)``.

    A sum of T terms is off by at most T roundings of the sum of their sizes (Higham, Accuracy and
    Stability of Numerical Algorithms, 2002, section 4.2); the quotient adds two. ``eps`` is twice
    the unit roundoff; what is below normal is off by a step of its own each time.
    """
    limits = torch.finfo(sizes.dtype)
    steps = window.kernel_taps + 2
    return steps * (limits.eps * sizes.abs().double() + limits.smallest_normal * limits.eps)


def expect(op, window, x, grad, options):
    """The oracle's answer on a tensor ``x`` and a gradient of the output."""
    array, given = x.numpy(), grad.numpy()
    if op.reduce == "max":
        values, indices = oracle.max_pool(array, window)
        back = oracle.max_pool_backward(given, indices, array.shape, window)
        return Expected(torch.from_numpy(values), torch.from_numpy(back), torch.from_numpy(indices))
    found = []
    with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity, and such
        for part in (array, abs(array)):
            found.append(oracle.avg_pool(part, window, **options))
        for part in (given, abs(given)):
            found.append(oracle.avg_pool_backward(part, window, array.shape, **options))
        values, sizes, back, grad_sizes = (torch.from_numpy(t.astype(np.float64)) for t in found)
    slack, grad_slack = (rounding(window, t.to(x.dtype)) for t in (sizes, grad_sizes))
    return Expected(values, back, None, slack, grad_slack)


@lru_cache(maxsize=64)
def prepared(case, op, dtype, kind, shared):
    """Values, a gradient of small integers (sums of them are exact), and the oracle's answer."""
    x = make_values(case.shape, dtype, kind, seed_of(case), shared)
    rng = np.random.default_rng(seed_of(case))
    out = case.shape[: -case.window.rank] + oracle.out_sizes(case.window, case.n)
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
    """Finite numbers within ``slack``; infinities and NaNs exactly where they are expected."""
    assert actual.shape == expected.shape, what
    wide, finite = actual.double(), expected.isfinite()
    near = torch.where(finite, (wide - expected).abs() <= slack, wide == expected)
    good = near | (wide.isnan() & expected.isnan())
    assert good.all(), f"{what}: {_first_difference(wide, expected, good)}"


def _first_difference(actual, expected, good=None):
    wrong = (actual != expected if good is None else ~good).nonzero()
    where = tuple(wrong[0].tolist())
    return f"{len(wrong)} differ, first at {where}: {actual[where]} for {expected[where]}"


def compare(op, actual, expected, slack, what):
    if op.reduce == "max":
        assert_same_bits(actual, expected, what)
    else:
        assert_within(actual, expected, slack, what)


# The contract.


@cache
def instruction_sets():
    """The instruction sets that can be chosen here, the plain one included."""
    return tuple(cenote.doctor()["isas"])


def run(op, x, window, options, grad=None):
    """``(output, gradient of x)`` in one go."""
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
    dense ones are held to the oracle, with the values that ask most.
    """
    options = op.on(case)
    for kind in KINDS if layout in DENSE else ("special",):
        values, grad, expected = prepared(case, op, dtype, kind, layout is expanded)
        x = layout(values)
        assert_same_bits(x, values, "the test itself")
        check_values(case, op, x, options, expected)
        check_gradients(case, op, x, options, grad, expected)
        check_tiles(case, op, x, options)
        if layout in DENSE:  # test_hypothesis mixes instruction sets and threads with the others
            check_reference(case, op, x, options, expected)
            check_torch(case, op, x, options, grad, expected)
            check_settings(case, op, x, options, grad, expected)
        assert_same_bits(x, values, "the input was written to")
    if prod(case.shape):
        check_field(case, op, layout(values), options)


def check_values(case, op, x, options, expected):
    out = cenote.pool(x, case.window, op.reduce, **options)
    assert out.dtype == x.dtype
    assert tuple(out.shape) == tuple(expected.values.shape) == case.out_shape
    assert not out.requires_grad
    check_format(x, out)
    compare(op, out, expected.values, expected.slack, "values")
    arguments = case.arguments()
    if arguments is not None:
        if op.reduce == "avg":
            dilation = arguments.pop("dilation")
            named = cenote.avg_pool2d(x, **arguments, **options, dilation=dilation)
        else:
            named = cenote.max_pool2d(x, **arguments)
        assert_same_bits(named, out, "the named function")
    if op.reduce == "max":
        again, indices = cenote.pool(x, case.window, "max", return_indices=True)
        check_format(x, indices)
        assert_same_bits(again, out, "values beside indices")
        assert_same_bits(indices, expected.indices, "indices")


def check_format(x, out):
    """The output lies in memory as the input does, wherever the input is in just one format."""
    formats = [torch.contiguous_format]
    if x.dim() == 4:
        formats.append(torch.channels_last)
    held = [f for f in formats if x.is_contiguous(memory_format=f)]
    if held:
        assert any(out.is_contiguous(memory_format=f) for f in held)


def check_gradients(case, op, x, options, grad, expected):
    out, back = run(op, x, case.window, options, grad)
    compare(op, out, expected.values, expected.slack, "values while recording")
    assert back.dtype == x.dtype
    alike = torch.empty_like(out).copy_(grad)  # in the output's own format
    check_format(x, run(op, x, case.window, options, alike)[1])
    sent = {"as it is": grad, "like the output": alike, "transposed": contiguous(grad.mT).mT}
    zero = _positive_zero(expected.grad)
    for how, given in sent.items():
        back = _positive_zero(run(op, x, case.window, options, given)[1])
        compare(op, back, zero, expected.grad_slack, f"gradient, {how}")
    one = grad.new_ones(()).expand(grad.shape)  # what sum().backward() sends: stride 0
    ones = run(op, x, case.window, options)[1]
    distance = None if expected.grad_slack is None else 2 * rounding(case.window, ones)
    compare(op, run(op, x, case.window, options, one)[1], ones, distance, "expanded gradient")


def _positive_zero(t):
    """Gradients are sums: whether a zero one starts from +0 or from -0 says nothing."""
    return t + 0.0


def check_reference(case, op, x, options, expected):
    if op.reduce == "avg":
        plain = reference.avg_pool(x, case.window, **options)
    else:
        plain, taps = reference.select_pool(x, case.window, "max")
        indices = reference.tap_indices(taps, case.window, case.n)
        assert_same_bits(indices, expected.indices, "indices of the reference")
    compare(op, plain, expected.values, expected.slack, "values of the reference")


def torch_function(case, op, options):
    """torch's own call for this case, or None where it takes no such window."""
    arguments = case.arguments()
    if arguments is None:
        return None
    axes = case.window.at(case.n)
    if any(a.before != a.after or 2 * a.before > a.kernel for a in axes):
        return None
    arguments["padding"] = tuple(a.before for a in axes)
    if op.reduce == "max":
        return lambda x: F.max_pool2d(x, **arguments, return_indices=True)
    if any(a.dilation != 1 for a in axes):
        return None
    del arguments["dilation"]
    return lambda x: (F.avg_pool2d(x, **arguments, **options), None)


def check_torch(case, op, x, options, grad, expected):
    call = torch_function(case, op, options)
    if call is None or (op.reduce == "max" and (expected.indices < 0).any()):
        return  # for an empty window torch's index lies outside the tensor
    leaf = x.detach().requires_grad_()
    out, indices = call(leaf)
    back = torch.autograd.grad(out, leaf, grad)[0]
    compare(op, out.detach(), expected.values, expected.slack, "values of torch")
    compare(
        op, _positive_zero(back), _positive_zero(expected.grad), expected.grad_slack, "its grad"
    )
    if indices is not None:
        assert_same_bits(indices, expected.indices, "indices of torch")


def check_settings(case, op, x, options, grad, expected):
    """The same bits at any number of threads; max also on every instruction set."""
    out, back = run(op, x, case.window, options, grad)
    for threads in (1, 2):
        with cenote.options(threads=threads):
            again = run(op, x, case.window, options, grad)
        assert_same_bits(again[0], out, f"values on {threads} threads")
        assert_same_bits(again[1], back, f"gradient on {threads} threads")
    for isa in instruction_sets():
        with cenote.options(isa=isa):
            bare = cenote.pool(x, case.window, op.reduce, **options)
            again = run(op, x, case.window, options, grad)
            assert_same_bits(again[0], bare, f"values while recording, {isa}")
            if op.reduce == "max":
                indices = cenote.pool(x, case.window, "max", return_indices=True)[1]
                assert_same_bits(indices, expected.indices, f"indices, {isa}")
                assert_same_bits(again[1], back, f"gradient, {isa}")
        # Wider vectors add in another order: averages agree within the rounding of their sums.
        compare(op, again[0], expected.values, expected.slack, f"values, {isa}")
        if op.reduce == "avg":
            assert_within(again[1], expected.grad, expected.grad_slack, f"gradient, {isa}")


def check_tiles(case, op, x, options):
    """Outputs computed from the input block that they need equal their part of the whole."""
    out = cenote.pool(x, case.window, op.reduce, **options)
    slack = None
    if op.reduce == "avg":  # both are off by their rounding
        slack = 2 * rounding(case.window, cenote.pool(x.abs(), case.window, "avg", **options))
    for o0, o1 in tiles(case.window.out(case.n)):
        block, window = case.window.crop(o0, o1, case.n)
        tile = cenote.pool(x[(..., *block)], window, op.reduce, **options)
        part = (..., *(slice(a, b) for a, b in zip(o0, o1, strict=True)))
        if op.reduce == "max":
            assert_same_bits(tile, out[part], f"tile {o0} to {o1}")
        else:
            assert_within(tile, out[part].double(), slack[part], f"tile {o0} to {o1}")


def tiles(sizes):
    """Four blocks of the output, cut at a third of the height and two thirds of the width."""
    rows, columns = sizes
    cuts = [(0, rows // 3, rows), (0, columns - columns // 3, columns)]
    for top, bottom in zip(cuts[0], cuts[0][1:], strict=False):
        for left, right in zip(cuts[1], cuts[1][1:], strict=False):
            if top < bottom and left < right:
                yield (top, left), (bottom, right)


def check_field(case, op, x, options):
    """A unit's gradient reaches exactly the inputs that the window gives it, for max the best."""
    window, n = case.window.at(case.n), case.n
    sizes = window.out(n)
    x = make_values(x.shape, x.dtype, "normal", 1)
    for o in {tuple(0 for _ in sizes), tuple(s // 2 for s in sizes), tuple(s - 1 for s in sizes)}:
        one = torch.zeros(case.out_shape, dtype=x.dtype)
        one[(..., *o)] = 1.0
        reached = run(op, x, window, options, one)[1] != 0
        inputs = [list(a.inputs(p, length)) for a, p, length in zip(window, o, n, strict=True)]
        read = np.zeros(n, bool)
        read[np.ix_(*inputs)] = True
        seen = torch.from_numpy(read)
        if op.reduce == "max":
            best = torch.where(seen, x, -torch.inf).flatten(-2).argmax(-1)
            winner = F.one_hot(best, prod(n)).bool().view(reached.shape)
            seen = winner & seen.any()
        assert torch.equal(reached, seen.expand(reached.shape)), f"field of unit {o}"
        check_hull(window, o, reached)


def check_hull(window, o, reached):
    """No gradient leaves the interval that the receptive field gives."""
    for dim, (axis, unit) in enumerate(zip(window.field, o, strict=True), -window.rank):
        start, stop = axis.interval(unit)
        hit = reached.nonzero()[:, dim]
        assert hit.numel() == 0 or start <= hit.min() <= hit.max() < stop
