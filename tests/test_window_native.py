"""The relation in C++ is the relation in Python."""

import random

from cenote import _native
from cenote.cases import CASES
from cenote.window import Axis


def flat(axis: Axis) -> list[int]:
    return [axis.kernel, axis.stride, *axis.padding, axis.dilation, int(axis.ceil)]


def hold(axis: Axis, n: int) -> None:
    outputs = axis.out(n)
    assert _native.window_out(flat(axis), n) == outputs
    for o in range(outputs):
        source, step, tap, tap_step, count = _native.window_inputs(flat(axis), n, o)
        assert [source + j * step for j in range(count)] == list(axis.inputs(o, n))
        assert [tap + j * tap_step for j in range(count)] == list(axis.taps(o, n))
        for padded in (False, True):
            assert _native.window_divisor(flat(axis), n, o, padded) == axis.divisor(o, n, padded)
    for i in range(n):
        source, step, tap, tap_step, count = _native.window_readers(flat(axis), n, i)
        readers = [source + j * step for j in range(count)]
        assert readers == list(axis.outputs(i, n))
        assert [tap + j * tap_step for j in range(count)] == [axis.tap(o, i) for o in readers]


def test_on_every_case():
    held = set()
    for case in CASES:
        sizes = case.shape[len(case.shape) - len(case.window) :]
        for axis, n in zip(case.window, sizes, strict=True):
            if (axis, n) not in held and n < 5000:
                held.add((axis, n))
                hold(axis.at(n), n)
    assert len(held) > 40


def test_on_random_axes():
    draw = random.Random(2)
    for _ in range(3000):
        kernel, dilation = draw.randint(1, 6), draw.randint(1, 5)
        extent = (kernel - 1) * dilation + 1
        pads = draw.randrange(extent + 2), draw.randrange(extent + 2)
        axis = Axis(kernel, draw.randint(1, 7), *pads, dilation, draw.random() < 0.5)
        hold(axis, draw.randint(1, 24))
