"""Receptive fields of stacks against sets of inputs, followed unit by unit."""

import random
from functools import cache

import pytest

from cenote import Axis, Field
from cenote.field import IDENTITY, compose

STACKS = 20_000
PARTS = range(4)
LENGTH = 4_000  # long enough that a unit in the middle of three layers sees no border


@cache
def random_stacks() -> list[tuple[Axis, Axis, Axis]]:
    rng, found = random.Random(404), {}
    while len(found) < STACKS:
        stack = tuple(
            Axis(
                kernel=rng.randint(1, 5),
                stride=rng.randint(1, 4),
                before=rng.randint(0, 6),
                after=rng.randint(0, 6),
                dilation=rng.randint(1, 3),
                ceil=rng.random() < 0.5,
            )
            for _ in range(3)
        )
        found[stack] = None
    return list(found)


def lengths(stack):
    """The length of the input and of every layer's output."""
    found = [LENGTH]
    for axis in stack:
        found.append(axis.out(found[-1]))
    return found


def inputs_of(unit, stack, sizes):
    """Every input that ``unit`` of the last layer reaches through the taps of all layers."""
    seen = {unit}
    for axis, n in zip(reversed(stack), reversed(sizes[:-1]), strict=True):
        seen = {i for o in seen for i in axis.inputs(o, n)}
    return seen


@pytest.mark.parametrize("part", PARTS)
def test_field_of_a_stack_is_the_hull_of_its_taps(part):
    stacks = random_stacks()[part :: len(PARTS)]
    assert len(stacks) == STACKS // len(PARTS)
    for stack in stacks:
        sizes = lengths(stack)
        unit = sizes[-1] // 2
        seen = inputs_of(unit, stack, sizes)
        field = compose(axis.field for axis in stack)
        assert field.interval(unit) == (min(seen), max(seen) + 1), stack


@pytest.mark.parametrize("part", PARTS)
def test_border_units_see_nothing_outside_their_field(part):
    for stack in random_stacks()[part :: 10 * len(PARTS)]:
        sizes = lengths(stack)
        field = compose(axis.field for axis in stack)
        for unit in (0, 1, sizes[-1] - 1):
            start, stop = field.interval(unit)
            assert inputs_of(unit, stack, sizes) <= set(range(start, stop)), stack


def test_composition_is_a_monoid():
    rng = random.Random(7)
    for _ in range(20_000):
        f, g, h = (
            Field(rng.randint(1, 99), rng.randint(1, 9), rng.randint(-50, 50)) for _ in range(3)
        )
        assert IDENTITY >> f == f >> IDENTITY == f
        assert (f >> g) >> h == f >> (g >> h) == compose([f, g, h])
        assert f >> g == f.then(g)


def test_order_matters():
    pool, wide = Field(2, 2, 0), Field(3, 1, -1)
    assert pool >> wide == Field(size=6, jump=2, offset=-2)
    assert wide >> pool == Field(size=4, jump=2, offset=-1)


def test_composition_of_units_follows_the_intervals():
    inner, outer = Field(5, 3, -2), Field(4, 2, -1)
    for unit in range(-3, 9):
        first, stop = outer.interval(unit)
        start = inner.interval(first)[0]
        end = inner.interval(stop - 1)[1]
        assert (inner >> outer).interval(unit) == (start, end)


def test_identity_is_the_input_itself():
    assert Field() == IDENTITY == compose([]) == Axis(1).field
    assert [IDENTITY.interval(unit) for unit in (-1, 0, 7)] == [(-1, 0), (0, 1), (7, 8)]


def test_field_prints_readably_and_reads_back():
    field = Field(size=7, jump=2, offset=-3)
    assert repr(field) == "Field(size=7, jump=2, offset=-3)"
    assert eval(repr(field)) == field


def test_resnet_and_vgg_by_the_book():
    """Known fields: the stem of ResNet sees 11 pixels, the convolutions of VGG-16 see 212."""
    stem = compose([Axis(7, 2, 3, 3).field, Axis(3, 2, 1, 1).field])
    assert stem == Field(size=11, jump=4, offset=-5)
    conv, pool = Axis(3, 1, 1, 1).field, Axis(2, 2).field
    blocks = [[conv] * depth + [pool] for depth in (2, 2, 3, 3, 3)]
    assert compose(layer for block in blocks for layer in block) == Field(212, 32, -90)
