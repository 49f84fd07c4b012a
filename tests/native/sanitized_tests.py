"""What runs under the sanitizers: every case in each native layout, on every instruction set."""

import sys
from pathlib import Path

import pytest
import torch

import cenote
from cenote import _convolving, _native, _norms, _separable, _winograd

sys.path.insert(0, str(Path(__file__).parent.parent))

import conv_cases
import test_separable
import test_winograd
from cenote.cases import CASES
from contract import OPS, run
from inputs import ELEMENT_TYPES, LAYOUTS, make_values


def test_this_is_the_sanitized_build():
    assert _native.sanitized


@pytest.mark.parametrize("isa", _native.targets())
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_case_stays_inside_its_memory(op, isa):
    done = 0
    with cenote.options(isa=isa):
        for case in CASES:
            if case.refused or case.window.at(case.n).kernel_taps > 65535:
                continue
            for layout in LAYOUTS[:2]:
                x = layout(make_values(case.shape, torch.float32, "special"))
                _, gradient = run(op, x, case.window, op.on(case))
                assert gradient.shape == x.shape
                done += 1
    assert done > 80


@pytest.mark.parametrize("isa", _native.targets())
@pytest.mark.parametrize("dtype", ELEMENT_TYPES, ids=str)
def test_every_type_stays_inside_its_memory(dtype, isa):
    floats = dtype.is_floating_point
    calls = [("max", {"return_indices": True}), ("min", {}), ("sum", {})]
    calls += [("lp", {"norm_type": 2.5}), ("logsumexp", {})] if floats else []
    with cenote.options(isa=isa):
        for case in CASES:
            if case.refused or case.window.at(case.n).kernel_taps > 65535:
                continue
            for layout in LAYOUTS[:2]:
                x = layout(make_values(case.shape, dtype, "ties"))
                for reduce, options in calls:
                    out = cenote.pool(x, case.window, reduce, **options)
                    assert (out[0] if isinstance(out, tuple) else out).shape == case.out_shape


@pytest.mark.parametrize("isa", _native.targets())
@pytest.mark.parametrize("dtype", _convolving.TYPES, ids=str)
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_convolution_stays_inside_its_memory(dtype, isa, shuffle):
    with cenote.options(isa=isa):
        for case in conv_cases.CASES:
            x, weight, bias, grad = case.tensors(dtype)
            common = (case.window, case.groups, shuffle)
            y = _convolving.convolve(x, weight, bias, *common)
            assert y.shape == grad.shape
            n = x.shape[2:]
            assert _convolving.input_gradient(grad, weight, *common, n).shape == x.shape
            sums, of_bias = _convolving.weight_gradient(x, grad, *common, weight.shape)
            assert (sums.shape, of_bias.shape) == (weight.shape, weight.shape[:1])


@pytest.mark.parametrize("isa", _native.targets())
@pytest.mark.parametrize("dtype", _convolving.TYPES, ids=str)
@pytest.mark.parametrize("most", [1, 2, 3])
def test_every_stage_stays_inside_its_memory(dtype, isa, most):
    with cenote.options(isa=isa):
        for case in conv_cases.CASES:
            x, weight, bias, _ = case.tensors(dtype)
            pool = tuple(min(most, n) for n in case.window.out(x.shape[2:]))
            call = (case.window, case.groups, False, pool)
            keep = max(pool) > 1
            y, taps = _convolving.stage(x, weight, bias, *call, keep, keep)
            for wanted in ((1, 1, 1), (1, 0, 0), (0, 1, 0)):
                found = _convolving.stage_gradient(x, weight, y, taps, *call, wanted)
                assert [t is not None for t in found] == [bool(want) for want in wanted]


@pytest.mark.parametrize("isa", _native.targets())
@pytest.mark.parametrize("case", test_winograd.CASES, ids=str)
def test_every_tile_stays_inside_its_memory(case, isa):
    x, weight, bias = case.tensors()
    with cenote.options(isa=isa):
        packed = _winograd.filters(weight, case.edge)
        y = _winograd.convolve(x, packed, weight.shape, bias, case.padding)
        given = torch.ones_like(y)
        to_weight = _winograd.weight_gradient(x, given, weight, case.padding, case.edge)
        assert to_weight.shape == weight.shape
        back = tuple(case.kernel - 1 - p for p in case.padding)
        turned = _winograd.filters(weight, case.edge, turned=True)
        to_x = _winograd.convolve(
            given, turned, (x.shape[1], case.out, *weight.shape[2:]), None, back
        )
        assert to_x.shape == x.shape


@pytest.mark.parametrize("isa", _native.targets())
def test_every_norm_stays_inside_its_memory(isa):
    draw = torch.Generator().manual_seed(0)
    with cenote.options(isa=isa):
        for shape in [(1, 1, 2, 1), (2, 5, 3, 3), (1, 24, 9, 7), (3, 58, 5, 5), (2, 300, 40, 3)]:
            x, other, grad = (
                torch.randn(shape, generator=draw).contiguous(memory_format=torch.channels_last)
                for _ in range(3)
            )
            gamma, beta, running = torch.ones(3, shape[1])
            for added in (None, other):
                y, _, found = _norms.apply(
                    x, gamma, beta, added, (0.0, 6.0), eps=1e-5, momentum=0.1,
                    running=(running, running),
                )  # fmt: skip
                told = None if added is None else y
                wanted = (True, True, True, added is not None)
                back = _norms.gradients(grad, x, gamma, beta, found, (0.0, 6.0), told, wanted)
                assert back[0].shape == y.shape == shape
            joined = _norms.joined([x, other], *torch.ones(4, 2 * shape[1]), eps=1e-5)
            assert joined.shape[1] == 2 * shape[1]


@pytest.mark.parametrize("isa", _native.targets())
@pytest.mark.parametrize("case", test_separable.CASES, ids=str)
def test_every_separable_convolution_stays_inside_its_memory(case, isa):
    x, weights = case.tensors()
    packed = test_separable.packed(weights, (0.0, 6.0))
    with cenote.options(isa=isa):
        y = _separable.separable(x, *packed, case.slides())
        if case.out:
            again = _separable.separable(x, *packed, case.slides(), torch.ones_like(y))
            assert again.shape == y.shape
        if case.channels:
            other = torch.ones(case.images, case.middle, *case.n)
            other = other.contiguous(memory_format=torch.channels_last)
            assert _separable.pointwise(x, packed[0], other).shape == other.shape
        both = _separable.interleave(x, x.flip(0))
        assert both.shape[1] == 2 * x.shape[1]


@pytest.mark.parametrize("isa", _native.targets())
@pytest.mark.parametrize("case", test_separable.MAXIMA, ids=str)
def test_every_maximum_behind_a_convolution_stays_inside_its_memory(case, isa):
    x, weights = case.tensors()
    with cenote.options(isa=isa):
        assert case.run(x, weights, (0.0, 6.0)).shape[0] == x.shape[0]
