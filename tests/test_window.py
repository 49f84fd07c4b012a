"""Axis and Window against plain enumeration, and against torch's own 1-D pooling."""

import copy
import dataclasses
import pickle
import random
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cenote import Axis, Field, Window

COUNT = 50_000
PARTS = range(10)  # each test runs in ten parts, so that two workers share it


@cache
def random_axes() -> list[tuple[Axis, int]]:
    """Distinct random ``(axis, length)`` pairs: anything that Axis accepts, with some output."""
    rng, found = random.Random(20260), {}
    while len(found) < COUNT:
        axis = Axis(
            kernel=rng.randint(1, 7),
            stride=rng.randint(1, 6),
            before=rng.randint(0, 8),
            after=rng.randint(0, 8),
            dilation=rng.choice((1, 1, 2, 3, 5)),
            ceil=rng.random() < 0.5,
        )
        found[axis, rng.randint(0, 20)] = None
    return list(found)


@cache
def torch_axes() -> list[tuple[Axis, int]]:
    """Distinct random pairs that torch's pooling accepts: padding up to half the kernel."""
    rng, found = random.Random(20261), {}
    while len(found) < COUNT:
        kernel = rng.randint(1, 16)
        pad = rng.randint(0, kernel // 2)
        axis = Axis(kernel, rng.randint(1, 10), pad, pad, 1, rng.random() < 0.5)
        n = rng.randint(1, 70)
        if n + 2 * pad >= kernel:
            found[axis, n] = None
    return list(found)


def part_of(pairs, part):
    assert len(set(pairs)) == COUNT
    return pairs[part :: len(PARTS)]


def enumerated_outputs(axis, n):
    """Every window that may stand on the padded input, found by moving one along it."""
    end = n + axis.before + axis.after

    def stands(o):
        first, stop = o * axis.stride, o * axis.stride + axis.extent
        if not axis.ceil:
            return stop <= end
        # It may hang over the end if the window before it left something there uncovered.
        return stop - axis.stride < end and first < axis.before + n

    outputs = [o for o in range(end + 1) if stands(o)]
    assert outputs == list(range(len(outputs)))
    return outputs


def enumerated_pairs(axis, n, o):
    """The ``(tap, input)`` pairs of output ``o``, straight from the relation."""
    walk = ((k, o * axis.stride - axis.before + k * axis.dilation) for k in range(axis.kernel))
    return [(k, i) for k, i in walk if 0 <= i < n]


@pytest.mark.parametrize("part", PARTS)
def test_axis_against_enumeration(part):
    for axis, n in part_of(random_axes(), part):
        outputs = enumerated_outputs(axis, n)
        assert axis.out(n) == len(outputs), (axis, n)
        readers = {i: [] for i in range(n)}
        for o in outputs:
            pairs = enumerated_pairs(axis, n, o)
            assert list(axis.taps(o, n)) == [k for k, _ in pairs], (axis, n, o)
            assert list(axis.inputs(o, n)) == [i for _, i in pairs], (axis, n, o)
            assert axis.divisor(o, n) == len(pairs), (axis, n, o)
            for k, i in pairs:
                assert axis.tap(o, i) == k, (axis, n, o, i)
                readers[i].append(o)
        for i, expected in readers.items():
            assert list(axis.outputs(i, n)) == expected, (axis, n, i)


@pytest.mark.parametrize("part", PARTS)
def test_padded_divisor_against_enumeration(part):
    for axis, n in part_of(random_axes(), part):
        end = n + axis.after
        for o in range(axis.out(n)):
            start = o * axis.stride - axis.before
            inside = sum(start + k * axis.dilation < end for k in range(axis.kernel))
            assert axis.divisor(o, n, count_include_pad=True) == inside, (axis, n, o)


@pytest.mark.parametrize("part", PARTS)
def test_crop_reads_the_same_inputs(part):
    rng = random.Random(part)
    checked = 0
    for axis, n in part_of(random_axes(), part):
        outputs = axis.out(n)
        if not outputs or max(axis.before, axis.after) >= axis.extent:
            continue  # operators refuse a window that lies in the padding alone
        o0 = rng.randrange(outputs)
        o1 = rng.randint(o0 + 1, outputs)
        kept, cut = axis.crop(o0, o1, n)
        length = kept.stop - kept.start
        assert 0 <= kept.start <= kept.stop <= n, (axis, n, o0, o1)
        assert cut.out(length) == o1 - o0, (axis, n, o0, o1)
        assert max(cut.before, cut.after) < cut.extent, (axis, n, o0, o1)
        for o in range(o0, o1):
            inside = [i + kept.start for i in cut.inputs(o - o0, length)]
            assert inside == list(axis.inputs(o, n)), (axis, n, o0, o1, o)
            assert cut.taps(o - o0, length) == axis.taps(o, n), (axis, n, o0, o1, o)
            for counted in (False, True):
                expected = axis.divisor(o, n, counted)
                assert cut.divisor(o - o0, length, counted) == expected, (axis, n, o0, o1, o)
        checked += 1
    assert checked > COUNT // len(PARTS) // 4


@pytest.mark.parametrize("part", PARTS)
def test_crop_keeps_nothing_superfluous(part):
    for axis, n in part_of(random_axes(), part):
        if max(axis.before, axis.after) >= axis.extent:
            continue
        for o in range(axis.out(n)):
            kept, _ = axis.crop(o, o + 1, n)
            start, stop = o * axis.stride - axis.before, o * axis.stride - axis.before + axis.extent
            expected = [i for i in range(start, stop) if 0 <= i < n]
            assert list(range(n))[kept] == expected, (axis, n, o)


@pytest.mark.parametrize("part", PARTS)
def test_average_pooling_of_torch(part):
    """On a ramp the average tells which inputs were summed and what they were divided by."""
    for axis, n in part_of(torch_axes(), part):
        ramp = torch.arange(1, n + 1, dtype=torch.float64).view(1, 1, n)
        for counted in (False, True):
            theirs = F.avg_pool1d(ramp, axis.kernel, axis.stride, axis.before, axis.ceil, counted)
            ours = [
                sum(i + 1 for i in axis.inputs(o, n)) / axis.divisor(o, n, counted)
                for o in range(axis.out(n))
            ]
            assert theirs.flatten().tolist() == ours, (axis, n, counted)


@pytest.mark.parametrize("part", PARTS)
def test_max_pooling_of_torch(part):
    """The maxima of a ramp and of its mirror image are the last and the first input of a window."""
    rng = random.Random(part)
    for dense, n in part_of(torch_axes(), part):
        axis = dataclasses.replace(dense, dilation=rng.choice((1, 2, 3)))
        if n + axis.before + axis.after < axis.extent:
            continue  # too long for torch without ceil mode
        ramp = torch.arange(n, dtype=torch.float32)
        both = torch.stack([ramp, -ramp]).view(1, 2, n)
        theirs = F.max_pool1d(both, axis.kernel, axis.stride, axis.before, axis.dilation, axis.ceil)
        seen = [axis.inputs(o, n) for o in range(axis.out(n))]
        last = [max(inputs, default=-torch.inf) for inputs in seen]
        first = [-min(inputs, default=torch.inf) for inputs in seen]
        assert theirs[0].tolist() == [last, first], (axis, n)


def test_same_gives_one_output_a_stride():
    rng = random.Random(3)
    for _ in range(10_000):
        axis = Axis.same(rng.randint(1, 9), rng.randint(1, 7), rng.randint(1, 4))
        n = rng.randint(1, 60)
        resolved = axis.at(n)
        before, after = resolved.padding
        assert axis.out(n) == resolved.out(n) == -(-n // axis.stride), (axis, n)
        assert after - before in (0, 1), (axis, n)  # the odd element at the end
        assert max(before, after) < axis.extent, (axis, n)
        if before:  # no more padding than the last window needs
            last = (resolved.out(n) - 1) * axis.stride - before + axis.extent
            assert last == n + after, (axis, n)


def test_same_is_known_at_once_with_stride_one():
    assert Axis.same(3).resolved
    assert Axis.same(4) == Axis(4, before=1, after=2)
    assert Axis.same(3, dilation=4).padding == (4, 4)
    assert not Axis.same(3, stride=2).resolved
    assert Axis.same(3, stride=2).at(10) == Axis(3, 2, 0, 1)
    assert Axis.same(3, stride=2).at(11) == Axis(3, 2, 1, 1)


def test_ceil_mode_by_example():
    assert (Axis(3, 2).out(6), Axis(3, 2, ceil=True).out(6)) == (2, 3)
    # The third window would start in the padding behind the input: ceil mode has fewer outputs.
    assert (Axis(2, 2, 0, 2).out(4), Axis(2, 2, 0, 2, ceil=True).out(4)) == (3, 2)
    # A window that is longer than the input is allowed by less than a stride.
    assert (Axis(5, 3).out(3), Axis(5, 3, ceil=True).out(3)) == (0, 1)
    assert Axis(5, 2, ceil=True).out(3) == 0


def test_sizes_are_exact_where_floats_are_not():
    assert Axis(1).out(2**24 + 2) == 2**24 + 2
    assert Axis(3, 1, 1, 1).out(2**62 + 1) == 2**62 + 1
    assert Axis(3, 2, 1, 1).taps(2**61, 2**62 + 1) == range(0, 2)


@pytest.mark.parametrize("axis", [Axis(3, 2, 1, 2), Axis(4, 3, 0, 2, 5)])
def test_field_of_an_axis_is_its_enumerated_window(axis):
    n = 1000
    for o in range(30, 60):
        start, stop = axis.field.interval(o)
        inputs = axis.inputs(o, n)
        assert (start, stop) == (min(inputs), max(inputs) + 1)
    assert axis.field == Field(axis.extent, axis.stride, -axis.before)


def test_axis_prints_readably_and_reads_back():
    assert repr(Axis(3)) == "Axis(kernel=3)"
    assert repr(Axis(3, 2, 1, 0)) == "Axis(kernel=3, stride=2, before=1)"
    assert repr(Axis(2, ceil=True, dilation=4)) == "Axis(kernel=2, dilation=4, ceil=True)"
    assert repr(Axis.same(3, stride=2)) == "Axis.same(kernel=3, stride=2)"
    same = [Axis.same(k, s, d) for k in (1, 2, 3) for s in (1, 2) for d in (1, 3)]
    by_hand = [Axis(3, s, None, None, 2, ceil) for s in (1, 2) for ceil in (False, True)]
    general = [axis for axis, _ in random_axes()[:2000]]
    for axis in same + by_hand + general:
        assert eval(repr(axis)) == axis


def test_window_prints_readably_and_reads_back():
    stem = Window([Axis(3, 2, 1, 1)] * 2)
    uneven = Window([Axis(3, 2, 1, 2, 2, True), Axis.same(5, 2), Axis(4)])
    assert repr(stem) == f"Window([{stem[0]!r}, {stem[1]!r}])"
    assert str(stem) == "3x3, stride 2, padding 1"
    assert str(uneven) == "3x5x4, stride 2x2x1, dilation 2x1x1, padding 1+2xsamex0, ceil"
    assert str(Window([Axis(7)])) == "7"
    for window in (stem, uneven):
        assert eval(repr(window)) == window
        assert type(eval(repr(window))) is Window


def test_window_is_axes_side_by_side():
    rows, columns = Axis(3, 2, 1, 0), Axis.same(4, 3, 2)
    window, n = Window([rows, columns]), (9, 14)
    fixed = window.at(n)
    assert window.rank == 2
    assert window.kernel_taps == 12
    assert fixed == (rows, columns.at(14))
    assert window.out(n) == fixed.out(n) == (rows.out(9), 5)
    assert fixed.taps((1, 2), n) == (rows.taps(1, 9), fixed[1].taps(2, 14))
    assert fixed.divisor((0, 0), n) == rows.divisor(0, 9) * fixed[1].divisor(0, 14)
    counted = rows.divisor(0, 9, True) * fixed[1].divisor(4, 14, True)
    assert fixed.divisor((0, 4), n, count_include_pad=True) == counted
    assert fixed.field == (rows.field, fixed[1].field)
    slices, cut = window.crop((1, 0), (3, 2), n)
    assert (slices[0], cut[0]) == rows.crop(1, 3, 9)
    assert (slices[1], cut[1]) == columns.crop(0, 2, 14)


def test_axes_and_windows_are_values():
    axis, window = Axis(3, 2, 1, 1), Window([Axis(3), Axis.same(2, 2)])
    assert len({axis, Axis(3, 2, 1, 1), Axis(3, 2, 1, 0)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        axis.kernel = 4
    for value in (axis, window):
        for other in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
            assert other == value
            assert type(other) is type(value)


def test_integers_of_other_libraries_become_ints():
    axis = Axis(np.int64(3), np.uint8(2), np.int32(1), torch.tensor(1), np.int16(2))
    assert axis == Axis(3, 2, 1, 1, 2)
    numbers = (axis.kernel, axis.stride, axis.before, axis.after, axis.dilation)
    assert [type(number) for number in numbers] == [int] * 5


@pytest.mark.parametrize("name", ["kernel", "stride", "dilation"])
@pytest.mark.parametrize("value", [0, -1, -(2**70)])
def test_axis_refuses_less_than_one(name, value):
    with pytest.raises(ValueError, match=rf"^{name} = {value}: must be at least 1$"):
        Axis(**{"kernel": 3, name: value})


@pytest.mark.parametrize("name", ["before", "after"])
def test_axis_refuses_negative_padding(name):
    with pytest.raises(ValueError, match=rf"^{name} = -2: padding must not be negative$"):
        Axis(3, **{name: -2})


@pytest.mark.parametrize(("before", "after"), [(None, 0), (1, None)])
def test_axis_refuses_half_of_same(before, after):
    message = rf"^before = {before}, after = {after}: 'same' \(None\) pads both ends$"
    with pytest.raises(ValueError, match=message):
        Axis(3, before=before, after=after)


@pytest.mark.parametrize("name", ["kernel", "stride", "before", "after", "dilation"])
@pytest.mark.parametrize(
    ("value", "kind"), [(2.0, "float"), ("2", "str"), ((2,), "tuple"), (True, "bool")]
)
def test_axis_refuses_what_is_no_integer(name, value, kind):
    with pytest.raises(TypeError, match=rf"^{name} = .*: must be an integer, not (a )?{kind}$"):
        Axis(**{"kernel": 3, name: value})


def test_unresolved_same_names_the_way_out():
    axis = Axis.same(3, stride=2)
    for ask in (lambda: axis.padding, lambda: axis.taps(0, 5), lambda: axis.field):
        with pytest.raises(ValueError, match=r"Axis\.same\(kernel=3, stride=2\): .*call at\(n\)"):
            ask()


@pytest.mark.parametrize(("o0", "o1"), [(-1, 2), (2, 2), (3, 2), (0, 5), (4, 5)])
def test_crop_refuses_outputs_that_do_not_exist(o0, o1):
    with pytest.raises(ValueError, match=rf"^outputs {o0} to {o1}: must lie in 0 to 4"):
        Axis(3, 2, 1, 1).crop(o0, o1, 8)


@pytest.mark.parametrize(("o0", "o1"), [(0, 1), (5, 6)])
def test_crop_refuses_windows_wholly_in_the_padding(o0, o1):
    with pytest.raises(ValueError, match=rf"^outputs {o0} to {o1}: .*wholly in the padding"):
        Axis(2, 1, 3, 3).crop(o0, o1, 1)


def test_window_refuses_what_is_no_axis():
    with pytest.raises(TypeError, match=r"^window\[1\] = 3: must be an Axis, not int$"):
        Window([Axis(3), 3])
    with pytest.raises(ValueError, match=r"^window: needs at least one axis$"):
        Window([])


@pytest.mark.parametrize("n", [(5,), (5, 6, 7)])
def test_window_refuses_another_number_of_sizes(n):
    window = Window([Axis(3), Axis(3)])
    for ask in (window.out, window.at, lambda n: window.crop((0, 0), (1, 1), n)):
        with pytest.raises(ValueError, match=r"a window over 2 axes needs 2 sizes"):
            ask(n)
