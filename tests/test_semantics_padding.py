"""Shares of the input, and padding that shows elements: see docs/semantics.md."""

import itertools

import pytest
import torch
import torch.nn.functional as F

import cenote
from by_hand import (
    RANKS,
    REDUCTIONS,
    by_name,
    gradient,
    line,
    numbers,
    same_bits,
    some,
    whole,
)
from cenote import Adaptive, Axis, Window

SHOWN = {  # three elements before 1 2 3 4 and two behind
    "zeros": [0, 0, 0, 1, 2, 3, 4, 0, 0],
    "reflect": [4, 3, 2, 1, 2, 3, 4, 3, 2],
    "replicate": [1, 1, 1, 1, 2, 3, 4, 4, 4],
    "circular": [2, 3, 4, 1, 2, 3, 4, 1, 2],
}


def padded(x, pads, mode):
    return F.pad(x, pads, mode="constant" if mode == "zeros" else mode)


# Shares of the input.


def test_where_shares_begin_and_end():
    for n, m in itertools.product(range(1, 9), repeat=2):
        x = whole(2, 3, n)
        ends = [(o * n // m, -(-(o + 1) * n // m)) for o in range(m)]
        most = torch.stack([x[..., a:b].amax(-1) for a, b in ends], -1)
        values, indices = cenote.adaptive_max_pool1d(x, m, return_indices=True)
        theirs = F.adaptive_max_pool1d(x, m, return_indices=True)
        assert torch.equal(values, most)
        assert torch.equal(values, theirs[0])
        assert torch.equal(indices, theirs[1])
        assert torch.equal(cenote.adaptive_avg_pool1d(x, m), F.adaptive_avg_pool1d(x, m))


def test_shares_overlap_where_they_do_not_divide():
    x = line(1.0, 2.0, 3.0, 4.0, 5.0)
    for name, expected in (("max", [2, 4, 5]), ("min", [1, 2, 4]), ("sum", [3, 9, 9])):
        assert numbers(by_name(f"adaptive_{name}_pool", 1)(x, 3)) == expected
    for library in (cenote, F):  # 2, 3 and 2 elements; then 2 of each four times
        assert numbers(library.adaptive_avg_pool1d(x, 3)) == [1.5, 3.0, 4.5]
        assert numbers(library.adaptive_avg_pool1d(x[..., :2], 5)) == [1, 1, 1.5, 2, 2]


def test_none_keeps_an_axis():
    x = some(2, 3, 5, 7)
    for library in (cenote, F):
        assert torch.equal(library.adaptive_max_pool2d(x, (None, 1)), x.amax(-1, keepdim=True))
    assert torch.equal(cenote.adaptive_max_pool2d(x, None), x)
    assert torch.equal(cenote.adaptive_max_pool1d(x[0], (None,)), x[0])
    with pytest.raises(TypeError, match="NoneType"):
        F.adaptive_max_pool1d(x[0], (None,))
    with pytest.raises(TypeError, match="NoneType"):
        F.adaptive_max_pool2d(x, None)


def test_no_outputs_are_refused():
    with pytest.raises(ValueError, match=r"axis 0 \(length\): output_size = 0: must be at least 1"):
        cenote.adaptive_max_pool1d(line(1.0), 0)
    assert F.adaptive_max_pool1d(line(1.0), 0).shape == (1, 1, 0)


def test_global_pooling_keeps_axes_of_size_one():
    first = {"lp": [2.0], "gem": [3.0]}
    for rank, reduce in itertools.product(RANKS, set(REDUCTIONS) - {"stochastic"}):
        x = some(2, 3, *(4, 5, 6)[:rank])
        out = by_name(f"global_{reduce}_pool", rank)(x, *first.get(reduce, []))
        whole_plane = by_name(f"{reduce}_pool", rank)(x, *first.get(reduce, []), x.shape[2:])
        assert out.shape == (2, 3, *[1] * rank)
        torch.testing.assert_close(out, whole_plane)
    _, index = cenote.global_min_pool2d(-x[..., 0], return_indices=True)
    assert torch.equal(index.flatten(), x[..., 0].flatten(2).argmax(-1).flatten())


def test_shares_stand_beside_windows():
    x = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    assert numbers(cenote.pool(x, Window([Axis(2), Adaptive(2)]), "sum")) == [12.0, 16.0]
    assert numbers(cenote.pool(x, Window([Adaptive(1), Axis(2)]), "sum")) == [12.0, 16.0]


# Padding that shows elements.


def test_what_padding_shows():
    x = line(1.0, 2.0, 3.0, 4.0, dtype=torch.float64)
    order = (lambda a, b: 10 * a + b, torch.zeros_like)  # a window's elements as digits
    for mode, shown in SHOWN.items():
        assert numbers(padded(x, (3, 2), mode)) == shown
        digits = cenote.pool(x, Window([Axis(9, 1, 3, 2)]), order, padding_mode=mode)
        assert digits.item() == int("".join(map(str, shown)))


def test_shown_elements_are_pooled_as_if_they_were_there():
    x, window = some(2, 3, 9), Window([Axis(4, 2, 2, 3)])
    for (reduce, options), mode in itertools.product(REDUCTIONS.items(), SHOWN):
        there = padded(x, (2, 3), mode)
        expected = cenote.pool(there, Window([Axis(4, 2)]), reduce, **options)
        given = [options]
        if "count_include_pad" in options:
            given += [{**options, "count_include_pad": True}]
        for each in given:
            shown = cenote.pool(x, window, reduce, padding_mode=mode, **each)
            assert same_bits(shown, expected), (reduce, mode)


def test_indices_point_at_what_padding_shows():
    x = -line(1.0, 2.0, 3.0)
    expected = {
        "identity": [0, 0, 1, 2],
        "zeros": [-1, 0, 1, -1],
        "reflect": [0, 0, 1, 1],
        "replicate": [0, 0, 1, 2],
        "circular": [0, 0, 1, 0],
    }
    for mode, places in expected.items():
        for pool, sign in ((cenote.max_pool1d, 1), (cenote.min_pool1d, -1)):
            values, indices = pool(sign * x, 2, 1, 1, return_indices=True, padding_mode=mode)
            assert numbers(indices) == places, mode
            at = [0.0 if i < 0 else sign * x[0, 0, i].item() for i in places]
            assert numbers(values) == at, mode
    _, indices = cenote.median_pool1d(x, 3, 1, 1, return_indices=True, padding_mode="zeros")
    assert numbers(indices) == [0, 1, 1]  # medians of 0 -1 -2, of -1 -2 -3, of -2 -3 0


def test_padded_zeros_win_ties_where_they_come_first():
    _, indices = cenote.max_pool1d(
        line(0.0, 0.0), 2, 1, 1, return_indices=True, padding_mode="zeros"
    )
    assert numbers(indices) == [-1, 0, 1]


def test_gradients_reach_what_padding_shows():
    x = line(1.0, 2.0, 3.0)
    expected = {
        "zeros": [2.0, 2.0, 2.0],
        "reflect": [2.0, 4.0, 2.0],
        "replicate": [3.0, 2.0, 3.0],
        "circular": [3.0, 2.0, 3.0],
    }
    for mode, sums in expected.items():
        back = gradient(lambda t, m=mode: cenote.sum_pool1d(t, 2, 1, 1, padding_mode=m), x)
        assert numbers(back) == sums
    back = gradient(lambda t: cenote.max_pool1d(t, 2, 1, 1, padding_mode="zeros"), -x)
    assert numbers(back) == [1.0, 1.0, 0.0]  # the zeros of both ends win and take theirs along


def test_how_far_padding_reaches():
    x = line(1.0, 2.0, 3.0)
    for mode, most, why in (
        ("zeros", 4, "leaves the last window without an element"),
        ("replicate", 4, "leaves the last window without an element"),
        ("reflect", 2, "reflects more than an input of length 3 has"),
        ("circular", 3, "goes around an input of length 3 more than once"),
    ):
        assert cenote.max_pool1d(x, 5, 1, ((2, most),), padding_mode=mode).shape[-1] == most + 1
        with pytest.raises(ValueError, match=rf"axis 0 \(length\): padding {most + 1} {why}"):
            cenote.max_pool1d(x, 5, 1, ((2, most + 1),), padding_mode=mode)


def test_what_hangs_over_shows_nothing():
    x = line(1.0, 2.0, 3.0, 4.0)  # reflected: 2 1 2 3 4 3; the third window holds 4 3
    for inside in (False, True):
        out = cenote.avg_pool1d(x, 3, 2, 1, True, inside, padding_mode="reflect")
        assert numbers(out * torch.tensor([3.0, 3.0, 2.0])) == [5.0, 9.0, 7.0]


def test_padding_modes_take_every_padding():
    x = -line(1.0, 2.0, 3.0)
    same = cenote.max_pool1d(x, 2, 1, "same", padding_mode="circular")
    pairs = cenote.max_pool1d(x, 2, 1, ((0, 1),), padding_mode="circular")
    assert numbers(same) == numbers(pairs) == [-1.0, -2.0, -1.0]
    assert torch.equal(cenote.max_pool1d(x, 2, padding_mode="circular"), cenote.max_pool1d(x, 2))
