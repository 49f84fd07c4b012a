"""What the operators compute, one statement a test: the statements are in docs/semantics.md.

Numbers are small enough to be checked by eye. torch is asked as well, where it agrees and where it
does not: a deviation that torch gives up some day turns its test red.

Here: what runs, and windows. The files beside this one, whose names begin so, hold the rest.
"""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

import by_hand
import cenote
from by_hand import (
    IN_PYTHON,
    INF,
    RANKS,
    REDUCTIONS,
    along,
    by_name,
    gradient,
    line,
    numbers,
    row,
    same_bits,
    some,
)
from cenote import Axis, Spans, Window, reference

UNEQUAL = ((2, 1), (0, 3))  # padding of height and width


# What runs.


def test_an_axis_of_one_element_changes_no_number():
    x, window = some(2, 3, 11), Window([Axis(3, 2, 1, 1)])
    for reduce, options in REDUCTIONS.items():
        out = cenote.pool(x, window, reduce, **options)
        for more in (1, 2):
            longer = Window([Axis(1)] * more + [*window])
            pooled = cenote.pool(x.view(2, 3, *[1] * more, 11), longer, reduce, **options)
            assert same_bits(pooled.view(2, 3, -1), out), reduce


def test_named_functions_are_names_for_pool():
    first = {"lp": [2.0], "gem": [3.0]}  # torch has the norm's power in front
    for rank, (reduce, options) in itertools.product(RANKS, REDUCTIONS.items()):
        x, window = some(2, 3, *[7] * rank), Window([Axis(3, 2)] * rank)
        rest = {k: v for k, v in options.items() if k not in ("norm_type", "p")}
        named = by_name(f"{reduce}_pool", rank)(x, *first.get(reduce, []), 3, 2, **rest)
        assert same_bits(named, cenote.pool(x, window, reduce, **options)), reduce


def test_what_takes_the_reference(monkeypatch):
    def refuse(*args, **kwargs):
        raise NotImplementedError("the reference")

    for name in set(reference.__all__) - {"fractional_starts"}:  # where to look, not what is there
        monkeypatch.setattr(reference, name, refuse)
    x, window, spans = some(2, 3, 8), Window([Axis(2, 2)]), Window([Spans((0, 1), (4, 8))])
    index = torch.arange(8).expand(x.shape)
    native = [
        lambda t, r=reduce, o=options: cenote.pool(t, window, r, **o)
        for reduce, options in REDUCTIONS.items()
        if reduce != "median"
    ]
    native += [
        lambda t: cenote.adaptive_avg_pool1d(t, 3),
        lambda t: cenote.adaptive_max_pool1d(t, 3),
        lambda t: cenote.max_unpool1d(t, index, 2),
        lambda t: cenote.upsample_repeat1d(t, 2),
        lambda t: cenote.blur_pool1d(t),
        lambda t: cenote.max_blur_pool1d(t, 2),
        lambda t: cenote.spatial_pyramid_pool1d(t),
        lambda t: cenote.sppf1d(t),
        lambda t: cenote.fractional_max_pool2d(t, 2, 2),
    ]
    assert numbers(cenote.pool(torch.ones(1, 1, 8), spans, "sum")) == [4.0, 7.0]
    for function in native:
        assert function(x).is_floating_point()
        assert gradient(function, x).shape == x.shape
    for function in (
        lambda: cenote.median_pool1d(x, 2),
        lambda: cenote.stochastic_pool1d(x, 2),
        lambda: cenote.pool(x, window, (torch.mul, torch.ones_like)),
        lambda: gradient(lambda t: cenote.pool(t, spans, "avg"), x),
        lambda: torch.func.jvp(native[0], (x,), (x,)),
        lambda: torch.func.grad(lambda t: native[0](t).sum())(x),
    ):
        with pytest.raises(NotImplementedError, match="the reference"):
            function()


# Windows.


def test_which_inputs_an_output_reads():
    x, axis = some(1, 1, 11).abs() + 0.1, Axis(3, 2, 3, 1, 2)
    for reduce, options in REDUCTIONS.items():
        out = cenote.pool(x, Window([axis]), reduce, **options)
        for o in range(out.shape[-1]):
            inputs = [o * 2 - 3 + k * 2 for k in range(3)]
            elements = [x[0, 0, i].item() for i in inputs if 0 <= i < 11]
            expected = IN_PYTHON[reduce](elements)
            assert out[0, 0, o].item() == pytest.approx(expected, rel=1e-5), reduce


def test_sizes_are_torchs():
    for k, s, p, d, ceil, n in itertools.product(
        (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2), (False, True), (7, 8, 9)
    ):
        if p <= k // 2 and (k - 1) * d < n:
            theirs = F.max_pool2d(torch.zeros(1, n, n), k, s, p, d, ceil)
            assert (Axis(k, s, p, p, d, ceil).out(n),) * 2 == theirs.shape[1:]


def test_ceil_mode_lets_the_last_window_hang_over():
    x, window = line(1.0, 2.0, 3.0), Window([Axis(2, 2, ceil=True)])
    assert cenote.max_pool1d(x, 2).shape[-1] == 1
    for reduce, options in REDUCTIONS.items():
        out = cenote.pool(x, window, reduce, **options)
        expected = [IN_PYTHON[reduce]([1, 2]), IN_PYTHON[reduce]([3])]
        assert numbers(out) == pytest.approx(expected, rel=1e-6), reduce
    assert numbers(cenote.pool(x, window, (torch.mul, torch.ones_like))) == [2.0, 3.0]


def test_ceil_mode_drops_a_window_that_would_start_in_the_padding_behind():
    x = row(1.0, 2.0, 3.0)  # starts at -1 and 1; a third window would start at 3
    assert numbers(cenote.max_pool2d(x, (1, 2), 2, (0, 1), ceil_mode=True)) == [1.0, 3.0]
    assert numbers(F.max_pool2d(x, (1, 2), 2, (0, 1), ceil_mode=True)) == [1.0, 3.0]


def test_ceil_mode_gives_fewer_outputs_only_where_pooling_refuses_the_padding():
    assert (Axis(2, 2, 0, 2).out(4), Axis(2, 2, 0, 2, ceil=True).out(4)) == (3, 2)
    with pytest.raises(ValueError, match="padding 2 leaves the last window without an element"):
        cenote.pool(row(1.0, 2.0, 3.0, 4.0), along(Axis(2, 2, 0, 2, ceil=True)))
    for k, s, d, n in itertools.product(range(1, 5), range(1, 5), (1, 2, 3), range(1, 12)):
        for before, after in itertools.product(range((k - 1) * d + 1), repeat=2):
            plain, ceil = (Axis(k, s, before, after, d, c) for c in (False, True))
            assert plain.out(n) <= ceil.out(n) <= plain.out(n) + 1


def test_padding_may_be_any_size_below_the_extent():
    x = row(1.0, 2.0, 3.0)
    assert numbers(cenote.max_pool2d(x, (1, 3), 1, (0, 2))) == [1.0, 2.0, 3.0, 3.0, 3.0]
    assert cenote.avg_pool2d(x, (1, 3), 3, (0, 4), dilation=2).shape[-1] == 3
    with pytest.raises(RuntimeError, match="pad should be at most half"):
        F.max_pool2d(x, (1, 3), 1, (0, 2))


def test_padding_of_the_extent_is_refused():
    with pytest.raises(ValueError, match=r"axis 1 \(width\): padding 3 leaves window 0 without"):
        cenote.max_pool2d(row(1.0, 2.0, 3.0), (1, 3), 1, (0, 3))
    with pytest.raises(ValueError, match="padding 5 leaves window 0 without"):
        cenote.avg_pool2d(row(1.0, 2.0, 3.0), (1, 3), 1, (0, 5), dilation=2)


def test_each_end_may_have_its_own_padding():
    x = some(2, 3, 5, 6)
    (top, bottom), (left, right) = UNEQUAL
    sides = (left, right, top, bottom)
    blank, zeros = F.pad(x, sides, value=-INF), F.pad(x, sides)
    assert torch.equal(cenote.max_pool2d(x, 4, 2, UNEQUAL), F.max_pool2d(blank, 4, 2))
    torch.testing.assert_close(cenote.avg_pool2d(x, 4, 2, UNEQUAL), F.avg_pool2d(zeros, 4, 2))
    with pytest.raises(TypeError, match="must be tuple of ints"):
        F.max_pool2d(x, 4, 2, UNEQUAL)


def test_same_gives_an_output_for_every_stride_begun():
    for k, s, d, n in itertools.product(range(1, 6), range(1, 5), (1, 2), range(1, 10)):
        axis = Axis.same(k, s, d).at(n)
        assert axis.out(n) == math.ceil(n / s)
        assert axis.after - axis.before in (0, 1)
        assert axis.before + axis.after == max(0, (axis.out(n) - 1) * s + axis.extent - n)
    x = row(1.0, 2.0, 3.0, 4.0)  # an even kernel: the odd element of padding comes last
    for ceil in (False, True):
        assert numbers(cenote.max_pool2d(x, (1, 2), 1, "same", ceil_mode=ceil)) == [2, 3, 4, 4]
        assert numbers(cenote.max_pool2d(x, (1, 3), 2, "same", ceil_mode=ceil)) == [3, 4]


def test_valid_is_no_padding():
    x = some(1, 2, 7, 8)
    assert torch.equal(cenote.max_pool2d(x, 3, 2, "valid"), F.max_pool2d(x, 3, 2))
    with pytest.raises(TypeError, match="must be tuple of ints, not str"):
        F.max_pool2d(x, 3, 2, "valid")


def test_only_dilation_empties_windows():
    for k, s, n in itertools.product(range(1, 5), range(1, 5), range(1, 8)):
        for before, after, ceil in itertools.product(range(k), range(k), (False, True)):
            axis = Axis(k, s, before, after, ceil=ceil)
            assert all(axis.taps(o, n) for o in range(axis.out(n)))


def test_what_a_window_of_padding_alone_gives():
    x, window = line(2.0, 2.0, 2.0), by_hand.with_an_empty_window()
    for reduce, options in REDUCTIONS.items():
        out = cenote.pool(x, window, reduce, **options)
        nothing = by_hand.NOTHING.get(reduce, 0.0)
        expected = [pytest.approx(IN_PYTHON[reduce]([2]), rel=1e-6), nothing]
        assert numbers(out) == expected, reduce
        back = gradient(lambda t, r=reduce, o=options: cenote.pool(t, window, r, **o), x)
        assert numbers(back) == [0.0, 1.0, 0.0], reduce
