"""Random windows, shapes, layouts and values against the oracle; CENOTE_EXAMPLES says how many."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import cenote
from cenote import Axis, Window
from contract import DTYPES, Op, assert_same_bits, compare, expect, instruction_sets, rounding, run
from inputs import LAYOUTS, contiguous, expanded


@st.composite
def axes(draw, n):
    """Any axis that operators take on a length ``n``: padding below the extent, some output."""
    if draw(st.integers(0, 9)) == 0:
        return Axis.same(*(draw(st.integers(1, most)) for most in (5, 4, 3)))
    kernel, dilation = draw(st.integers(1, 6)), draw(st.sampled_from([1, 1, 1, 2, 3]))
    extent = (kernel - 1) * dilation + 1
    before, after = (draw(st.integers(0, extent - 1)) for _ in range(2))
    stride, ceil = draw(st.integers(1, 5)), draw(st.booleans())
    axis = Axis(kernel, stride, before, after, dilation, ceil)
    return axis if axis.out(n) else Axis(min(kernel, n), stride)


@st.composite
def numbers(draw, shape, dtype, most=None):
    """A tensor filled from a small palette, so that ties are common and examples shrink."""
    width = torch.finfo(dtype).bits
    finite = st.floats(-most, most, width=width) if most else st.floats(width=width)
    odd = st.sampled_from([0.0, -0.0, float("inf"), -float("inf"), float("nan")])
    palette = draw(st.lists(st.one_of(finite, odd), min_size=1, max_size=10))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return torch.tensor(palette, dtype=dtype)[
        torch.from_numpy(rng.integers(0, len(palette), shape))
    ]


@st.composite
def situations(draw, most=None):
    """``(x, window, grad)``: a tensor in some layout, a window on it, a gradient of the output."""
    n = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    window = Window(draw(axes(length)) for length in n)
    lead = draw(st.sampled_from([(0, 2), (1, 1), (1, 3), (2, 2), (1, 9), (1, 17), (3,), (1,)]))
    dtype, layout = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(LAYOUTS))
    bound = None if most is None else most[dtype]
    x = draw(numbers((*lead, *n), dtype, bound))
    if layout is expanded:
        x = x[..., :1, :, :].expand(x.shape)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    grad = torch.from_numpy(rng.integers(-4, 5, (*lead, *window.out(n)))).to(dtype)
    return layout(x), window, grad


knobs = st.fixed_dictionaries(
    {"isa": st.sampled_from([None, *instruction_sets()]), "threads": st.sampled_from([None, 1, 2])}
)


@given(situations(), knobs)
def test_max(situation, knobs):
    x, window, grad = situation
    expected = expect(Op("max", "max"), window, x, grad, {})
    with cenote.options(**knobs):
        values, indices = cenote.pool(x, window, return_indices=True)
        plain = cenote.pool(x, window)
        kept, back = run(Op("max", "max"), x, window, {}, grad)
    assert_same_bits(values, expected.values, "values")
    assert_same_bits(indices, expected.indices, "indices")
    assert_same_bits(plain, expected.values, "values without indices")
    assert_same_bits(kept, expected.values, "values while recording")
    assert torch.equal(back, expected.grad)  # sums of small integers: exact in any order


# Averages may add up what a window holds: its sum has to stay below the greatest number.
SUMMABLE = {torch.float32: 2.0**110, torch.float64: 2.0**1000}
divisors = st.one_of(
    st.fixed_dictionaries({"count_include_pad": st.booleans()}),
    st.fixed_dictionaries({"divisor_override": st.integers(-9, 9).filter(bool)}),
)


@given(situations(most=SUMMABLE), divisors, knobs)
def test_avg(situation, options, knobs):
    x, window, grad = situation
    op = Op("avg", "avg")
    expected = expect(op, window, x, grad, options)
    with cenote.options(**knobs):
        values, back = run(op, x, window, options, grad)
        plain = cenote.pool(x, window, "avg", **options)
    compare(op, values, expected.values, expected.slack, "values")
    compare(op, back, expected.grad, expected.grad_slack, "gradient")
    assert_same_bits(plain, values, "values without recording")


@given(situations(most=SUMMABLE), st.sampled_from(["max", "avg"]), st.data())
def test_a_tile_is_its_part_of_the_whole(situation, reduce, data):
    x, window, grad = situation
    n = tuple(x.shape[-2:])
    ends = [sorted(data.draw(st.tuples(*[st.integers(0, s)] * 2))) for s in grad.shape[-2:]]
    o0 = [min(a, s - 1) for (a, _), s in zip(ends, grad.shape[-2:], strict=True)]
    o1 = [max(b, a + 1) for (_, b), a in zip(ends, o0, strict=True)]
    block, cut = window.crop(o0, o1, n)
    part = (..., *(slice(a, b) for a, b in zip(o0, o1, strict=True)))
    tile = cenote.pool(x[(..., *block)], cut, reduce)
    whole = cenote.pool(x, window, reduce)[part]
    slack = None
    if reduce == "avg":
        slack = 2 * rounding(window, cenote.pool(x.abs(), window, "avg")[part])
        whole = whole.double()
    compare(Op(reduce, reduce), tile, whole, slack, f"outputs {o0} to {o1}")


@given(st.data())
def test_any_strides(data):
    """A view with arbitrary strides, elements shared between places included."""
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = [data.draw(st.integers(1, most)) for most in (2, 4, 7, 9)]
    strides = [data.draw(st.integers(0, 30)) for _ in shape]
    offset = data.draw(st.integers(0, 3))
    room = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    x = data.draw(numbers((room + 1,), dtype, SUMMABLE[dtype]))
    view = torch.as_strided(x, shape, strides, offset)
    window = Window(data.draw(axes(length)) for length in shape[2:])
    plain = contiguous(view)
    assert_same_bits(cenote.pool(view, window), cenote.pool(plain, window), "max")
    indices = (cenote.pool(t, window, return_indices=True)[1] for t in (view, plain))
    assert_same_bits(*indices, "indices")
    sizes = cenote.pool(plain.abs(), window, "avg")
    mean = cenote.pool(plain, window, "avg").double()
    slack = 2 * rounding(window, sizes)
    compare(Op("avg", "avg"), cenote.pool(view, window, "avg"), mean, slack, "avg")
