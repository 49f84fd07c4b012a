"""Random windows, shapes, types, layouts and values against the oracle.

CENOTE_EXAMPLES says how many in all, 2,000 if nothing else; 100,000 make a night.
"""

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import cenote
import oracle
from cenote import Axis, Window
from cenote.window import Adaptive
from contract import assert_same_bits, assert_within, compare, instruction_sets, run
from examples import share
from inputs import ELEMENT_TYPES, FLOATS, INTEGERS, expanded, extremes, layouts
from operators import SELECTIONS, Op, expect, shows, to_numpy, to_torch
from oracle.walk import MODES

LONGEST = {1: [70], 2: [12, 40], 3: [5, 7, 12]}
LEADS = [(0, 2), (1, 1), (1, 3), (2, 2), (1, 9), (1, 17), (3,), (1,)]
NUMBERS = (*FLOATS, *INTEGERS)


@st.composite
def axes(draw, n, most=6):
    """Any axis that operators take on a length ``n``: padding below the extent, some output."""
    if draw(st.integers(0, 9)) == 0:
        return Axis.same(*(draw(st.integers(1, most)) for most in (5, 4, 3)))
    kernel, dilation = draw(st.integers(1, most)), draw(st.sampled_from([1, 1, 1, 2, 3]))
    extent = (kernel - 1) * dilation + 1
    before, after = (draw(st.integers(0, extent - 1)) for _ in range(2))
    stride, ceil = draw(st.integers(1, 5)), draw(st.booleans())
    axis = Axis(kernel, stride, before, after, dilation, ceil)
    return axis if axis.out(n) else Axis(min(kernel, n), stride)


@st.composite
def numbers(draw, shape, dtype, most=None):
    """A tensor filled from a small palette, so that ties are common and examples shrink."""
    if dtype is torch.bool:
        kinds = st.booleans()
    elif not dtype.is_floating_point:
        low, high = extremes(dtype)
        bound = high if most is None else min(high, most)
        whole = st.integers(max(low, -bound), bound)
        kinds = st.one_of(whole, st.integers(max(low, -2), 2), st.sampled_from([low, high]))
        kinds = kinds if most is None else whole
    else:  # bfloat16 rounds what float32 can be
        width = 32 if dtype is torch.bfloat16 else torch.finfo(dtype).bits
        finite = st.floats(-most, most, width=width) if most else st.floats(width=width)
        odd = st.sampled_from([0.0, -0.0, float("inf"), -float("inf"), float("nan")])
        kinds = st.one_of(finite, finite, odd)
    palette = draw(st.lists(kinds, min_size=1, max_size=10))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    places = torch.from_numpy(rng.integers(0, len(palette), shape))
    return torch.tensor(palette, dtype=dtype)[places]


@st.composite
def situations(draw, dtypes, most=lambda dtype: None, adaptive=False):
    """``(x, window, grad, mode)``: a tensor in some layout, a window, a gradient of the output."""
    rank = draw(st.integers(1, 3))
    n = [draw(st.integers(1, longest)) for longest in LONGEST[rank]]
    sliding = [draw(axes(length, 6 if rank < 3 else 4)) for length in n]
    if adaptive:
        shared = [Adaptive(draw(st.integers(1, length + 2))) for length in n]
        keep = draw(st.sampled_from([0, 0, 0, 1])) if rank > 1 else 0  # one axis may slide
        window = Window([*sliding[:keep], *shared[keep:]])
    else:
        window = Window(sliding)
    lead, dtype = draw(st.sampled_from(LEADS)), draw(st.sampled_from(dtypes))
    layout, mode = draw(st.sampled_from(layouts(dtype))), draw(st.sampled_from(MODES))
    mode = mode if not adaptive and shows(mode, window, n) else "identity"
    x = draw(numbers((*lead, *n), dtype, most(dtype)))
    if layout is expanded:
        x = x.narrow(-rank - 1, 0, 1).expand(x.shape)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    grad = torch.from_numpy(rng.integers(-4, 5, (*lead, *window.out(n)))).to(dtype)
    return layout(x, rank), window, grad, mode


knobs = st.fixed_dictionaries(
    {"isa": st.sampled_from([None, *instruction_sets()]), "threads": st.sampled_from([None, 1, 2])}
)


def hold(op, situation, options, knobs):
    """Values, with and without recording, indices and gradient are the oracle's."""
    x, window, grad, mode = situation
    if mode != "identity":
        options = {**options, "padding_mode": mode}
    expected = expect(op, window, x, grad, options)
    with cenote.options(**knobs):
        plain = cenote.pool(x, window, op.reduce, **options)
        kept, back = run(op, x, window, options, grad)
        if op.selects:
            values, indices = cenote.pool(x, window, op.reduce, return_indices=True, **options)
    compare(plain, expected.values, expected.slack, "values")
    assert_same_bits(kept, plain, "values while recording")
    if op.selects:
        assert_same_bits(values, plain, "values beside indices")
        assert_same_bits(indices, expected.indices, "indices")
    if back is not None:
        compare(back + 0.0, expected.grad + 0.0, expected.grad_slack, "gradient")


def selections(dtype):
    return SELECTIONS[:2] if dtype is torch.bool else SELECTIONS


@share(30)
@given(situations(ELEMENT_TYPES), knobs, st.data())
def test_what_picks(situation, knobs, data):
    reduce = data.draw(st.sampled_from(selections(situation[0].dtype)))
    hold(Op(reduce, reduce), situation, {}, knobs)


def summable(dtype):
    """Averages may add up what a window holds: its sum stays below the greatest number."""
    known = {torch.float64: 2.0**1000, torch.float16: 2.0**7, torch.int64: 2**50}
    return known.get(dtype, 2.0**110 if dtype.is_floating_point else None)


divisors = st.one_of(
    st.fixed_dictionaries({"count_include_pad": st.booleans()}),
    st.fixed_dictionaries({"divisor_override": st.integers(-9, 9).filter(bool)}),
)


@share(20)
@given(situations(NUMBERS, summable), divisors, st.sampled_from(["trunc", "half_even"]), knobs)
def test_averages(situation, options, rounding, knobs):
    if not situation[0].is_floating_point():
        options = {**options, "rounding": rounding}
    hold(Op("avg", "avg"), situation, options, knobs)


@share(8)
@given(situations(ELEMENT_TYPES, lambda t: summable(t) if t.is_floating_point else None), knobs)
def test_sums(situation, knobs):
    """Those of integers of any size, modulo 2^64."""
    hold(Op("sum", "sum"), situation, {}, knobs)


def moderate(dtype):
    return 100.0


known = st.sampled_from([0.5, 1, 2, 3, 4, float("inf")])
exponents = st.one_of(known, st.floats(0.25, 6, width=32))
sharp = st.floats(0.125, 8, width=32)
powers = st.one_of(
    st.tuples(st.just("lp"), st.fixed_dictionaries({"norm_type": exponents})),
    st.tuples(
        st.just("logsumexp"),
        st.fixed_dictionaries(
            {"sharpness": st.one_of(sharp, sharp.map(lambda s: -s)), "mean": st.booleans()}
        ),
    ),
    st.tuples(
        st.just("gem"),
        st.fixed_dictionaries(
            {
                "p": st.floats(0.25, 5, width=32),
                "eps": st.sampled_from([1e-6, 1e-3, 0.5]),
            }
        ),
    ),
    st.tuples(
        st.just("mixed"),
        st.fixed_dictionaries(
            {"alpha": st.floats(0, 1, width=32), "count_include_pad": st.booleans()}
        ),
    ),
)


@share(20)
@given(situations(FLOATS, moderate), powers, knobs)
def test_what_bends(situation, power, knobs):
    reduce, options = power
    hold(Op(reduce, reduce), situation, options, knobs)


@share(8)
@given(situations(NUMBERS, summable, adaptive=True), knobs, st.data())
def test_adaptive(situation, knobs, data):
    reduce = data.draw(st.sampled_from(["max", "min", "median", "avg", "sum"]))
    hold(Op(reduce, reduce), situation, {}, knobs)


@share(6)
@given(situations(NUMBERS, summable), st.data())
def test_a_tile_is_its_part_of_the_whole(situation, data):
    x, window, grad, _ = situation
    reduce = data.draw(st.sampled_from(["max", "min", "median", "avg", "sum"]))
    rank, n = window.rank, tuple(x.shape[-window.rank :])
    sizes = grad.shape[-rank:]
    ends = [sorted(data.draw(st.tuples(*[st.integers(0, s)] * 2))) for s in sizes]
    o0 = [min(a, s - 1) for (a, _), s in zip(ends, sizes, strict=True)]
    o1 = [max(b, a + 1) for (_, b), a in zip(ends, o0, strict=True)]
    block, cut = window.crop(o0, o1, n)
    part = (..., *(slice(a, b) for a, b in zip(o0, o1, strict=True)))
    expected = expect(Op(reduce, reduce), window, x, grad, {})
    tile = cenote.pool(x[(..., *block)], cut, reduce)
    slack = None if expected.slack is None else expected.slack[part]
    compare(tile, expected.values[part], slack, f"outputs {o0} to {o1}")


@share(4)
@given(st.data())
def test_any_strides(data):
    """A view with arbitrary strides, elements shared between places included."""
    dtype, rank = data.draw(st.sampled_from(NUMBERS)), data.draw(st.integers(1, 3))
    shape = [data.draw(st.integers(1, most)) for most in (2, 4, *(9, 7, 5)[:rank])]
    strides = [data.draw(st.integers(0, 30)) for _ in shape]
    offset = data.draw(st.integers(0, 3))
    room = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    x = data.draw(numbers((room + 1,), dtype, summable(dtype)))
    view = torch.as_strided(x, shape, strides, offset)
    window = Window(data.draw(axes(length, 4)) for length in shape[2:])
    grad = torch.ones((*shape[:2], *window.out(shape[2:])), dtype=dtype)
    reduce = data.draw(st.sampled_from(["max", "min", "avg", "sum"]))
    hold(Op(reduce, reduce), (view, window, grad, "identity"), {}, {})


# What is no reduction over a window.


@share(2)
@given(st.data(), st.sampled_from(NUMBERS))
def test_unpooling(data, dtype):
    """Any indices: doubled ones, and the -1 of an empty window."""
    rank = data.draw(st.integers(1, 3))
    sizes = [data.draw(st.integers(1, 5)) for _ in range(rank)]
    lead = data.draw(st.sampled_from(LEADS))
    x = data.draw(numbers((*lead, *sizes), dtype))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    indices = torch.from_numpy(rng.integers(-1, 2**rank * np.prod(sizes), (*lead, *sizes)))
    leaf = x.clone().requires_grad_(x.is_floating_point())
    out = getattr(cenote, f"max_unpool{rank}d")(leaf, indices, 2)
    full = tuple(2 * size for size in sizes)
    expected = to_torch(oracle.unpool(to_numpy(x), indices.numpy(), full))
    assert_same_bits(out.detach(), expected.to(dtype), "values")
    if x.is_floating_point():
        grad = torch.from_numpy(rng.integers(-4, 5, out.shape)).to(dtype)
        back = torch.autograd.grad(out, leaf, grad)[0]
        expected = to_torch(oracle.unpool_backward(to_numpy(grad), indices.numpy(), rank))
        assert_same_bits(back, expected.to(dtype), "gradient")


@share(2)
@given(st.data(), st.sampled_from(FLOATS), st.sampled_from(MODES[1:]))
def test_blurring(data, dtype, mode):
    rank = data.draw(st.integers(1, 3))
    taps, stride = data.draw(st.integers(2, 7)), data.draw(st.integers(1, 3))
    axis = Axis(taps, stride, (taps - 1) // 2, taps // 2)
    n = [
        data.draw(st.integers(max(1, axis.extent - axis.before - axis.after), 9))
        for _ in range(rank)
    ]
    window = Window([axis] * rank)
    assume(shows(mode, window, n))
    x = data.draw(numbers((2, 3, *n), dtype, moderate(dtype))).requires_grad_()
    out = getattr(cenote, f"blur_pool{rank}d")(x, taps, stride, padding_mode=mode)
    grad = torch.ones_like(out)
    expected = expect(Op("blur", "blur"), window, x.detach(), grad, {"padding_mode": mode})
    assert_within(out.detach(), expected.values, expected.slack, "values")
    back = torch.autograd.grad(out, x, grad)[0]
    assert_within(back, expected.grad, expected.grad_slack, "gradient")
