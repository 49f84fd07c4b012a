"""Adaptive axes and windows that stand anywhere, against enumeration and against torch."""

import random

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote.window import Adaptive, Axis, Spans, Window


def random_spans(draw, n):
    starts = sorted(draw.randrange(n) for _ in range(draw.randint(1, 8)))
    stops, least = [], 0
    for start in starts:
        least = max(least, start + 1)
        least = draw.randint(least, n)
        stops.append(least)
    return Spans(tuple(starts), tuple(stops))


def test_adaptive_windows_are_torchs():
    """Each output is the mean of its window, whose first and last inputs thereby show."""
    for n in range(1, 24):
        ramp = torch.arange(float(n), dtype=torch.float64)[None]
        for outputs in range(1, 30):
            axis = Adaptive(outputs).at(n)
            means = [sum(axis.inputs(o, n)) / len(axis.inputs(o, n)) for o in range(axis.out(n))]
            theirs = F.adaptive_avg_pool1d(ramp, outputs)[0].tolist()
            assert means == pytest.approx(theirs, abs=1e-12), (n, outputs)


def test_adaptive_is_regular_where_the_outputs_divide_the_length():
    for n in range(1, 40):
        for outputs in range(1, 45):
            assert isinstance(Adaptive(outputs).at(n), Axis) == (n % outputs == 0)


def test_readers_are_the_inputs_transposed():
    draw = random.Random(3)
    for _ in range(400):
        n = draw.randint(1, 20)
        spans = random_spans(draw, n)
        every = range(spans.out(n))
        for i in range(n):
            readers = [o for o in every if i in spans.inputs(o, n)]
            assert list(spans.outputs(i, n)) == readers
            assert [spans.start(o) + spans.tap(o, i) for o in readers] == [i] * len(readers)
        assert spans.kernel == max(len(spans.taps(o, n)) for o in every)


def test_a_crop_holds_the_same_windows():
    draw = random.Random(4)
    for _ in range(400):
        n = draw.randint(1, 20)
        spans = random_spans(draw, n)
        o0 = draw.randrange(spans.out(n))
        o1 = draw.randint(o0 + 1, spans.out(n))
        part, cut = spans.crop(o0, o1, n)
        seen = list(range(n))[part]
        for o in range(o0, o1):
            inputs = [seen[i] for i in cut.inputs(o - o0, len(seen))]
            assert inputs == list(spans.inputs(o, n))


def test_windows_mix_axes_of_all_kinds():
    window = Window([Adaptive(3), Axis(3, 2, 1, 1), Spans((0, 2), (3, 4))])
    assert window.out((5, 9, 4)) == (3, 5, 2)
    assert window.at((5, 9, 4)).kernel_taps == 3 * 3 * 3
    assert window.taps((1, 0, 1), (5, 9, 4)) == (range(3), range(1, 3), range(2))
    assert str(window).startswith("Adaptive(outputs=3) by Axis(kernel=3")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adaptive(0), "outputs = 0: must be at least 1"),
        (lambda: Spans((0, 2), (3,)), "one of each a window"),
        (lambda: Spans((), ()), "one of each a window"),
        (lambda: Spans((-1,), (3,)), "one of each a window"),
        (lambda: Spans((2, 1), (3, 4)), r"starts = \(2, 1\): must not descend"),
        (lambda: Spans((1, 2), (4, 3)), r"stops = \(4, 3\): must not descend"),
        (lambda: Spans((1,), (1,)), "a window is empty"),
        (lambda: Spans((0,), (5,)).at(4), "length 4: the last window ends at 5"),
        (lambda: Spans((0,), (5,)).crop(0, 2, 9), "outputs 0 to 2: must lie in 0 to 1"),
        (lambda: Spans((0,), (5,)).field, "no one size and jump"),
        (lambda: Adaptive(3).field, "no one size and jump"),
    ],
)
def test_bad_windows_say_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_outputs_must_be_an_integer():
    with pytest.raises(TypeError, match=r"outputs = 2.5: must be an integer, not float"):
        Adaptive(2.5)


@pytest.mark.parametrize("reduce", ["max", "min", "avg", "sum", "lp", "logsumexp", "gem"])
def test_spans_pool_as_the_axis_that_they_come_from(reduce):
    """With and without a gradient, under vmap, and to the second order."""
    x = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given, laid_out = (Window([axis, Axis(2)]) for axis in (Adaptive(3), Adaptive(3).at(5)))
    results = []
    for window in (given, laid_out):
        leaf = x.clone().requires_grad_()
        y = cenote.pool(leaf, window, reduce)
        (g,) = torch.autograd.grad(y.pow(2).sum(), leaf, create_graph=True)
        (gg,) = torch.autograd.grad(g.pow(2).sum(), leaf)
        mapped = torch.vmap(lambda t, w=window: cenote.pool(t, w, reduce))(x)
        results.append((cenote.pool(x, window, reduce), y, g, gg, mapped))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)
