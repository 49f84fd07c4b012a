"""The case table says what it claims, and the oracle agrees with torch on it."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import oracle
from cenote import Axis, Window
from cenote.cases import BENCHMARKS, CASES, Case, find
from inputs import make_values

LANES = 16  # of the widest vectors there are, in float32


def axes_of(case):
    return case.window.at(case.n)


def sides(case):
    return list(zip(axes_of(case), case.n, strict=True))


def empty_windows(case):
    return sum(len(inputs) == 0 for _, inputs, _ in oracle.windows(case.window, case.n))


def some_windows_empty(case):
    return 0 < empty_windows(case) < len(oracle.windows(case.window, case.n))


# What a name promises, for every name that promises something a number can show.
PROMISES = {
    "lenet_2x2": lambda c: all(a == Axis(2, 2) for a in c.window),
    "alexnet_3x3_s2": lambda c: all(a == Axis(3, 2) for a in c.window),
    "resnet_stem": lambda c: all(a == Axis(3, 2, 1, 1) for a in c.window),
    "vgg_2x2_odd_plane": lambda c: all(n % 2 for n in c.n),
    "inception_avg_3x3_s1_p1": lambda c: c.out_shape == c.shape,
    "squeezenet_ceil": lambda c: all(a == Axis(3, 2, ceil=True) for a in c.window),
    "spp_5x5_s1_p2": lambda c: c.out_shape == c.shape,
    "global_average_7x7": lambda c: c.n == (7, 7) and c.out_shape[2:] == (1, 1),
    "zero_batch": lambda c: c.shape[0] == 0,
    "unbatched": lambda c: len(c.shape) == 3,
    "one_pixel_plane": lambda c: c.n == (1, 1),
    "one_pixel_in_padding": lambda c: c.n == (1, 1) and c.window.kernel_taps == 9,
    "single_row": lambda c: c.n[0] == 1,
    "single_column": lambda c: c.n[1] == 1,
    "tall_plane": lambda c: c.n[0] > 20 * c.n[1],
    "wide_plane": lambda c: c.n[1] > 20 * c.n[0],
    "few_channels": lambda c: 1 < c.shape[1] < 4,
    "one_channel": lambda c: c.shape[1] == 1,
    "channels_are_lanes": lambda c: c.shape[1] == LANES,
    "channels_not_a_multiple_of_lanes": lambda c: c.shape[1] % 4 and c.shape[1] > LANES,
    "channels_lanes_plus_one": lambda c: c.shape[1] == LANES + 1,
    "width_smaller_than_lanes": lambda c: c.out_shape[-1] < 4,
    "width_is_lanes": lambda c: c.out_shape[-1] == LANES,
    "width_lanes_plus_one": lambda c: c.out_shape[-1] == LANES + 1,
    "width_two_lanes_less_one": lambda c: c.out_shape[-1] == 2 * LANES - 1,
    "stride_2_odd_width": lambda c: c.window[1].stride == 2 and c.n[1] % 2 == 1,
    "stride_2_lanes_plus_one": lambda c: c.window[1].stride == 2 and c.out_shape[-1] == LANES + 1,
    "one_tap": lambda c: c.window.kernel_taps == 1 and c.out_shape == c.shape,
    "one_tap_strided": lambda c: c.window.kernel_taps == 1 and c.window[0].stride > 1,
    "kernel_equals_plane": lambda c: tuple(a.kernel for a in c.window) == c.n,
    "row_window": lambda c: c.window[0].kernel == 1 < c.window[1].kernel,
    "column_window": lambda c: c.window[1].kernel == 1 < c.window[0].kernel,
    "axes_differ": lambda c: all(
        getattr(c.window[0], name) != getattr(c.window[1], name)
        for name in ("kernel", "stride", "before")
    ),
    "stride_larger_than_kernel": lambda c: all(a.stride > a.kernel for a in c.window),
    "stride_4": lambda c: all(a.stride == 4 for a in c.window),
    "kernel_9_stride_1": lambda c: all((a.kernel, a.stride) == (9, 1) for a in c.window),
    "kernel_31_stride_1": lambda c: all((a.kernel, a.stride) == (31, 1) for a in c.window),
    "exactly_255_taps": lambda c: c.window.kernel_taps == 255,
    "exactly_256_taps": lambda c: c.window.kernel_taps == 256,
    "more_than_255_taps": lambda c: 256 < c.window.kernel_taps < 65535,
    "more_than_65535_taps": lambda c: c.window.kernel_taps > 65536,
    "divide_by_one": lambda c: c.divisor_override == 1,
    "divide_by_minus_two": lambda c: c.divisor_override == -2,
    "only_before_padding": lambda c: all(a.before and not a.after for a in c.window),
    "only_after_padding": lambda c: all(a.after and not a.before for a in c.window),
    "asymmetric": lambda c: len({p for a in c.window for p in a.padding}) == 4,
    "padding_just_below_extent": lambda c: all(a.padding == (a.extent - 1,) * 2 for a in c.window),
    "plane_smaller_than_kernel": lambda c: all(a.kernel > n for a, n in sides(c)),
    "border_everywhere": lambda c: all(
        len(inputs) < c.window.kernel_taps for _, inputs, _ in oracle.windows(c.window, c.n)
    ),
    "same_even_kernel": lambda c: all(a.after == a.before + 1 for a in c.window),
    "same_strided": lambda c: not any(a.resolved for a in c.window),
    "same_dilated": lambda c: c.out_shape == c.shape and c.window[0].dilation > 1,
    "same_stride_beyond_kernel": lambda c: all(a.stride > a.kernel for a in c.window),
    "padding_of_the_extent": lambda c: any(a.before == a.extent for a in c.window),
    "dilated": lambda c: all(a.dilation > 1 for a in c.window),
    "dilated_stride_shares_factor": lambda c: all(
        np.gcd(a.stride, a.dilation) > 1 for a in c.window
    ),
    "dilated_stride_coprime": lambda c: all(
        np.gcd(a.stride, a.dilation) == 1 < min(a.stride, a.dilation) for a in c.window
    ),
    "dilated_beyond_input": lambda c: some_windows_empty(c),
    "dilated_beyond_row_only": lambda c: some_windows_empty(c),
    "dilated_ceil": lambda c: all(a.ceil and a.dilation > 1 for a in c.window),
    "ceil_overhang": lambda c: c.out_shape > without_ceil(c).out_shape,
    "ceil_overhang_padded": lambda c: c.out_shape > without_ceil(c).out_shape,
    "ceil_fits": lambda c: c.out_shape == without_ceil(c).out_shape,
    "ceil_drops_window": lambda c: all(
        -(-(n + sum(a.padding) - a.extent) // a.stride) + 1 > a.out(n)
        for a, n in sides(c)
    ),
    "ceil_longer_than_input": lambda c: 0 in without_ceil(c).out_shape,
    "ceil_one_axis": lambda c: [a.ceil for a in c.window] == [True, False],
    "ceil_dilated_empty": lambda c: some_windows_empty(c),
    "ceil_fewer_than_floor": lambda c: c.out_shape < without_ceil(c).out_shape,
    "window_longer_than_input": lambda c: any(a.kernel > n for a, n in sides(c)),
    "dilated_longer_than_input": lambda c: all(a.kernel < n for a, n in sides(c)),
    "ceil_longer_by_a_stride": lambda c: all(a.ceil for a in c.window),
}  # fmt: skip


def without_ceil(case):
    axes = [Axis(a.kernel, a.stride, *a.padding, a.dilation) for a in axes_of(case)]
    return Case(case.name, case.reason, case.shape, Window(axes))


def test_names_are_unique_and_reasons_given():
    names = [case.name for case in CASES + BENCHMARKS]
    assert len(set(names)) == len(names)
    assert len(CASES) >= 40
    assert all(case.reason and case.name.isidentifier() for case in CASES + BENCHMARKS)


def test_every_name_keeps_its_promise():
    assert set(PROMISES) == {case.name for case in CASES}
    broken = [case.name for case in CASES if not PROMISES[case.name](case)]
    assert broken == []


@pytest.mark.parametrize("case", CASES + BENCHMARKS, ids=str)
def test_sizes(case):
    """A batch or none; the oracle's sizes; outputs wherever nothing is refused."""
    assert len(case.shape) - case.window.rank in (1, 2)
    assert case.n == case.shape[-2:]
    assert case.out_shape[-2:] == oracle.out_sizes(case.window, case.n)
    padded = any(max(a.padding) >= a.extent for a in axes_of(case))
    assert bool(case.refused) == (padded or 0 in case.out_shape[-2:])


def test_find():
    assert find("resnet_stem").window == Window([Axis(3, 2, 1, 1)] * 2)
    assert find("tiny_call") in BENCHMARKS
    with pytest.raises(KeyError, match=r"case 'resnet_sten': not known; there are lenet_2x2, "):
        find("resnet_sten")


def test_arguments_say_the_window_again():
    for case in CASES:
        arguments = case.arguments()
        if arguments is None:
            assert case.name == "ceil_one_axis"
            continue
        pads, ceil = arguments["padding"], arguments["ceil_mode"]
        columns = (arguments[name] for name in ("kernel_size", "stride", "dilation"))
        axes = [
            Axis(k, s, before, after, d, ceil)
            for k, s, d, (before, after) in zip(*columns, pads, strict=True)
        ]
        assert Window(axes) == axes_of(case)


def test_the_table_needs_no_torch():
    """``cenote.cases`` and what it imports leave torch alone, package initialisation apart."""
    code = (
        "import sys, types, pathlib, importlib.util as util\n"
        "spec = util.find_spec('cenote')\n"
        "package = types.ModuleType('cenote')\n"
        "package.__path__ = list(spec.submodule_search_locations)\n"
        "sys.modules['cenote'] = package\n"
        "import cenote.cases\n"
        "print('torch' in sys.modules, len(cenote.cases.CASES))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"False {len(CASES)}\n"


def torch_takes(case):
    axes = axes_of(case)
    same_ceil = len({a.ceil for a in axes}) == 1
    pads = all(a.before == a.after and 2 * a.before <= a.kernel for a in axes)
    return not case.refused and same_ceil and pads and not empty_windows(case)


@pytest.mark.parametrize("case", [case for case in CASES if torch_takes(case)], ids=str)
@pytest.mark.parametrize("kind", ["normal", "ties", "special"])
def test_oracle_agrees_with_torch(case, kind):
    arguments = case.arguments()
    arguments["padding"] = tuple(before for before, _ in arguments["padding"])
    x = make_values(case.shape, torch.float64, kind).requires_grad_()
    theirs, where = F.max_pool2d(x, **arguments, return_indices=True)
    grad = make_values(theirs.shape, torch.float64, "normal", 1)
    values, indices = oracle.max_pool(x.detach().numpy(), case.window)
    np.testing.assert_array_equal(values, theirs.detach().numpy())
    np.testing.assert_array_equal(np.signbit(values), np.signbit(theirs.detach().numpy()))
    np.testing.assert_array_equal(indices, where.numpy())
    back = oracle.max_pool_backward(grad.numpy(), indices, case.shape, case.window)
    close(back, torch.autograd.grad(theirs, x, grad)[0])
    if arguments.pop("dilation") != (1, 1):
        return
    for counted in (True, False):
        theirs = F.avg_pool2d(x, **arguments, count_include_pad=counted)
        with np.errstate(invalid="ignore"):
            close(oracle.avg_pool(x.detach().numpy(), case.window, counted), theirs.detach())
        back = oracle.avg_pool_backward(grad.numpy(), case.window, case.shape, counted)
        close(back, torch.autograd.grad(theirs, x, grad)[0])


def close(actual, expected):
    """To a few roundings of numbers of size 1; a window of 65,792 taps sums that many."""
    np.testing.assert_allclose(actual.astype(float), expected.numpy(), rtol=1e-12, atol=1e-12)


def test_oracle_on_windows_that_torch_refuses():
    """Worked by hand: taps 5 apart from -4 on over three elements, then 2 before and none after."""
    x, sparse = np.array([[5.0, 6.0, 7.0]]), [Axis(2, 1, 4, 4, 5)]
    values, indices = oracle.max_pool(x, sparse)
    assert values.tolist() == [[6.0, 7.0, -np.inf, -np.inf, 5.0, 6.0]]
    assert indices.tolist() == [[1, 2, -1, -1, 0, 1]]
    assert oracle.avg_pool(x, sparse, False).tolist() == [[6.0, 7.0, 0.0, 0.0, 5.0, 6.0]]
    assert oracle.avg_pool(x, sparse, True).tolist() == [[3.0, 3.5, 0.0, 0.0, 2.5, 3.0]]
    values, indices = oracle.max_pool(x, [Axis(3, 1, 2, 0)])
    assert (values.tolist(), indices.tolist()) == ([[5.0, 6.0, 7.0]], [[0, 1, 2]])
    padded = oracle.avg_pool(x, [Axis(3, 1, 2, 0)], True).astype(float)
    assert padded.tolist() == [[5 / 3, 11 / 3, 6.0]]
    assert oracle.avg_pool(x, [Axis(3, 1, 2, 0)], False).tolist() == [[5.0, 5.5, 6.0]]
    assert oracle.avg_pool(x, [Axis(3, 1, 2, 0)], True, -2).tolist() == [[-2.5, -5.5, -9.0]]


def test_oracle_of_any_rank():
    cube = np.arange(2 * 27.0).reshape(2, 3, 3, 3)
    values, indices = oracle.max_pool(cube, [Axis(2, 2, ceil=True)] * 3)
    assert values.shape == (2, 2, 2, 2)
    assert indices[0].flatten().tolist() == [13, 14, 16, 17, 22, 23, 25, 26]
    assert values[1].flatten().tolist() == [40, 41, 43, 44, 49, 50, 52, 53]
