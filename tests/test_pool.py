"""max and avg pooling where it is easily wrong: threads, widths, ties, numbers by hand."""

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import Axis, Window
from cenote.cases import CASES, find
from contract import (
    DTYPES,
    OPS,
    Op,
    assert_same_bits,
    assert_within,
    expect,
    instruction_sets,
    run,
)
from inputs import LAYOUTS, channels_last, contiguous, make_values

LEGAL = [case for case in CASES if not case.refused]
LARGE = {  # enough bytes that planes and row bands go to several threads
    "many_planes": (8, 24, 62, 67),
    "few_planes": (1, 3, 301, 353),
    "one_plane": (1, 1, 520, 611),
}


def name(value):
    return value.__name__ if callable(value) else str(value).removeprefix("torch.")


@pytest.mark.parametrize("window", ["alexnet_3x3_s2", "inception_avg_3x3_s1_p1", "axes_differ"])
@pytest.mark.parametrize("layout", [contiguous, channels_last], ids=name)
@pytest.mark.parametrize("op", OPS[:2], ids=name)
@pytest.mark.parametrize("size", LARGE)
def test_threads_share_large_inputs(size, op, layout, window):
    window = find(window).window
    x = layout(make_values(LARGE[size], torch.float32, "special"))
    with cenote.options(threads=1):
        alone = run(op, x, window, op.options)
    for threads in (2, 3, 7):
        with cenote.options(threads=threads):
            together = run(op, x, window, op.options)
        assert_same_bits(together[0], alone[0], f"values on {threads} threads")
        assert_same_bits(together[1], alone[1], f"gradient on {threads} threads")
    if op.reduce == "max" and size != "many_planes":
        values, indices = cenote.pool(x, window, return_indices=True)
        flat = x.flatten(-2).gather(-1, indices.flatten(-2)).view(values.shape)
        assert_same_bits(values, alone[0], "values beside indices")
        assert_same_bits(flat, values, "indices point at the values")


@pytest.mark.parametrize("layout", [contiguous, channels_last], ids=name)
@pytest.mark.parametrize("size", LARGE)
def test_large_inputs_equal_torch(size, layout):
    x = layout(make_values(LARGE[size], torch.float32, "ties")).requires_grad_()
    theirs, where = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    ours, indices = cenote.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert_same_bits(ours, theirs, "values")
    assert_same_bits(indices, where, "indices")
    # Small integers: every sum below is exact, in any order.
    grad = make_values(ours.shape, torch.float32, "ties", 1)
    (back,) = torch.autograd.grad(ours, x, grad)
    (expected,) = torch.autograd.grad(theirs, x, grad)
    assert torch.equal(back, expected)
    mean, their_mean = (f(x, 4, 4, 2) for f in (cenote.avg_pool2d, F.avg_pool2d))
    assert torch.equal(mean, their_mean)  # sums of integers over 16: exact as well


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("dtype", DTYPES, ids=name)
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 8, 9, 12])
def test_every_width_around_the_vectors(kernel, dtype, isa):
    """Rows of 1 to 70 elements: every tail of every vector, at stride 1, 2 and 3."""
    op = Op("max", "max")
    for width in range(1, 71):
        for stride in (1, 2, 3):
            axis = Axis(kernel, stride, kernel // 2, kernel // 2)
            if axis.out(width) < 1:
                continue
            window = Window([Axis(2), axis])
            x = contiguous(make_values((1, 1, 3, width), dtype, "ties", width))
            expected = F.max_pool2d(
                x, (2, kernel), (1, stride), (0, kernel // 2), return_indices=True
            )
            with cenote.options(isa=isa):
                got = cenote.pool(x, window, return_indices=True)
                plain = cenote.pool(x, window)
            assert_same_bits(got[0], expected[0], f"values, width {width}, stride {stride}")
            assert_same_bits(got[1], expected[1], f"indices, width {width}, stride {stride}")
            assert_same_bits(plain, expected[0], f"{op}, width {width}, stride {stride}")


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("dtype", DTYPES, ids=name)
@pytest.mark.parametrize("reduce", ["max", "avg"])
def test_every_number_of_channels(reduce, dtype, isa):
    """1 to 40 channels in channels_last, forward and backward, against the other layout."""
    for channels in range(1, 41):
        x = make_values((2, channels, 6, 7), dtype, "ties", channels)
        rows = run(Op(reduce, reduce), x, Window([Axis(3, 2, 1, 1), Axis(2)]), {})
        with cenote.options(isa=isa):
            last = run(
                Op(reduce, reduce), channels_last(x), Window([Axis(3, 2, 1, 1), Axis(2)]), {}
            )
        if reduce == "max":
            assert_same_bits(last[0], rows[0], f"{channels} channels")
            assert_same_bits(last[1], rows[1], f"gradient of {channels} channels")
        else:  # sums of small integers are exact; the quotients round once or twice
            slack = torch.full_like(rows[0], 8 * torch.finfo(dtype).eps).double()
            assert_within(last[0], rows[0].double(), slack, f"{channels} channels")
            slack = torch.full_like(rows[1], 8 * torch.finfo(dtype).eps).double()
            assert_within(last[1], rows[1].double(), slack, f"gradient of {channels} channels")


# The semantics of DESIGN section 5, one by one, in numbers that a reader can check.


def max_of(row, window, **options):
    """Pooling of one row in every layout and on every instruction set; they have to agree."""
    x = torch.tensor([[[row]]])
    answers = []
    for layout in LAYOUTS:
        for isa in instruction_sets():
            with cenote.options(isa=isa):
                values, indices = cenote.pool(
                    layout(x), Window([Axis(1), window]), return_indices=True
                )
            answers.append((repr(values.flatten().tolist()), indices.flatten().tolist()))
    assert all(answer == answers[0] for answer in answers), answers
    return values.flatten().tolist(), indices.flatten().tolist()


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("row", "value", "index"),
    [
        ([1.0, 3.0, 2.0, 3.0], 3.0, 1),
        ([1.0, NAN, 9.0, 2.0], NAN, 1),
        ([NAN, 1.0, NAN, INF], NAN, 2),
        ([NAN, NAN, NAN, NAN], NAN, 3),
        ([-INF, -INF, -INF, -INF], -INF, 0),
        ([-INF, -INF, -7.0, -INF], -7.0, 2),
        ([1.0, INF, INF, 2.0], INF, 1),
        ([-0.0, 0.0, -0.0, 0.0], -0.0, 0),
        ([0.0, -0.0, 0.0, -0.0], 0.0, 0),
        ([-1e-45, -3e-45, 0.0, 0.0], 0.0, 2),
        ([-3e38, -INF, -3.1e38, -3.2e38], -3e38, 0),
    ],
)
def test_which_element_wins(row, value, index):
    values, indices = max_of(row, Axis(4))
    assert indices == [index]
    assert repr(values) == repr([torch.tensor(value).item()])


def test_all_infinite_window_behind_padding_names_its_first_element():
    values, indices = max_of([-INF] * 5, Axis(3, 2, 1, 1))
    assert values == [-INF] * 3
    assert indices == [0, 1, 3]


def test_empty_windows():
    """Taps at -2 and 3, and at -1 and 4, find nothing in three elements."""
    axis = Axis(2, 1, 4, 4, 5)
    values, indices = max_of([5.0, 6.0, 7.0], axis)
    assert values == [6.0, 7.0, -INF, -INF, 5.0, 6.0]
    assert indices == [1, 2, -1, -1, 0, 1]
    x = torch.tensor([[[[5.0, 6.0, 7.0]]]], requires_grad=True)
    window = Window([Axis(1), axis])
    inside = cenote.pool(x, window, "avg", count_include_pad=False)
    assert inside.flatten().tolist() == [6.0, 7.0, 0.0, 0.0, 5.0, 6.0]
    padded = cenote.pool(x, window, "avg")
    assert padded.flatten().tolist() == [3.0, 3.5, 0.0, 0.0, 2.5, 3.0]
    weights = torch.tensor([[[[1.0, 10.0, 100.0, 1000.0, 1e4, 1e5]]]])
    for out, expected in (
        (cenote.pool(x, window), [1e4, 1.0 + 1e5, 10.0]),
        (inside, [1e4, 1.0 + 1e5, 10.0]),
        (padded, [5e3, 0.5 + 5e4, 5.0]),
    ):
        (back,) = torch.autograd.grad(out, x, weights)
        assert back.flatten().tolist() == expected


def test_averages_by_hand():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert cenote.avg_pool2d(x, 2).item() == 3.0
    assert cenote.avg_pool2d(x, 2, divisor_override=3).item() == 4.0
    padded = cenote.avg_pool2d(x, 3, 1, 1)
    inside = cenote.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(padded, torch.full((1, 1, 2, 2), 12 / 9))
    torch.testing.assert_close(inside, torch.full((1, 1, 2, 2), 3.0))


def test_one_nan_does_not_spread():
    """A NaN or an infinity reaches the averages of its own windows and no others."""
    for bad in (NAN, INF):
        for shape in ((1, 1, 40, 40), (1, 20, 9, 9)):
            x = torch.ones(shape)
            x[0, 0, 5, 6] = bad
            for layout in (contiguous, channels_last):
                out = cenote.avg_pool2d(layout(x), 3, 1, 1, count_include_pad=False)
                hit = ~(out == 1.0)
                assert hit.sum() == 9
                assert hit[0, 0, 4:7, 5:8].all()


def test_gradient_of_ties_goes_to_the_first():
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    cenote.max_pool2d(x, 2).sum().backward()
    expected = torch.zeros(4, 4)
    expected[::2, ::2] = 1.0
    assert torch.equal(x.grad[0, 0], expected)


@pytest.mark.parametrize("op", OPS, ids=name)
@pytest.mark.parametrize("case", [case for case in LEGAL if case.shape[0] == 2], ids=name)
def test_numerical_gradient(case, op):
    """Distinct values, far apart: a small step changes no winner."""
    x = torch.randperm(24, generator=torch.Generator().manual_seed(5)).double().view(1, 2, 4, 3)
    window = Window(Axis(min(a.kernel, 3), a.stride, 1, 1) for a in case.window.at(case.n))
    if any(a.extent < 2 for a in window):
        window = Window([Axis(2, 1, 1, 0)] * 2)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda t: cenote.pool(t, window, op.reduce, **op.on(case)), x)


def test_window_given_twice_is_the_named_function():
    x = make_values((2, 3, 11, 12), torch.float32, "normal")
    window = Window([Axis(3, 2, 1, 1), Axis(2, 1, 0, 1)])
    named = cenote.max_pool2d(x, (3, 2), (2, 1), ((1, 1), (0, 1)))
    assert_same_bits(named, cenote.pool(x, window), "pairs")
    same = cenote.max_pool2d(x, 3, 2, "same")
    assert same.shape == (2, 3, 6, 6)
    assert_same_bits(same, cenote.pool(x, Window([Axis.same(3, 2)] * 2)), "same")
    valid = cenote.avg_pool2d(x, 3, 2, "valid")
    assert_same_bits(valid, cenote.avg_pool2d(x, 3, 2), "valid")


def test_two_outputs_share_one_input():
    """Gradients of two uses of a tensor add up, and backward runs twice if it is asked to."""
    x = make_values((1, 2, 6, 6), torch.float64, "normal").requires_grad_()
    out = cenote.max_pool2d(x, 2) + cenote.avg_pool2d(x, 2)
    first = torch.autograd.grad(out.sum(), x, retain_graph=True)[0]
    again = torch.autograd.grad(out.sum(), x)[0]
    assert torch.equal(first, again)
    values = expect(
        OPS[0], Window([Axis(2, 2)] * 2), x.detach(), torch.ones(1, 2, 3, 3).double(), {}
    )
    assert torch.equal(first, values.grad + 0.25)


@pytest.mark.slow
@pytest.mark.parametrize("reduce", ["max", "avg"])
def test_more_elements_than_32_bits_count(reduce):
    """One plane of just over 2^31 elements: offsets and indices that no int32 holds."""
    height, width = 46_342, 46_346  # 2,147,766,332 elements, 8.6 GB
    x = torch.zeros(1, 1, height, width)
    assert x.numel() > 2**31
    marks = [(0, 0), (1, width - 1), (height // 2, 17), (height - 2, 5), (height - 1, width - 1)]
    for number, (i, j) in enumerate(marks, 1):
        x[0, 0, i, j] = number
    out = cenote.pool(x, Window([Axis(4, 4, 0, 2), Axis(4, 4, 0, 2)]), reduce)
    assert out.shape == (1, 1, 11_586, 11_587)
    for number, (i, j) in enumerate(marks, 1):
        taps = 1 if reduce == "max" else 16
        assert out[0, 0, i // 4, j // 4].item() == number / taps
    assert out.count_nonzero() == len(marks)
    if reduce == "max":
        del out
        corner, window = x[:, :, -10:], Window([Axis(10, 10), Axis(46_346)])
        assert cenote.pool(corner, window).item() == len(marks)
        values, indices = cenote.pool(
            x, Window([Axis(4, 4, 0, 2), Axis(4, 4, 0, 2)]), return_indices=True
        )
        for number, (i, j) in enumerate(marks, 1):
            assert values[0, 0, i // 4, j // 4].item() == number
            assert indices[0, 0, i // 4, j // 4].item() == i * width + j
