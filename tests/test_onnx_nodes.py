"""The node tests that ship with ONNX, for every pooling operator it has, put to our operators.

Each is a model of one node, with inputs and outputs. The attributes become arguments:
``SAME_LOWER`` the pairs of "same" turned round, ``storage_order`` another count of the elements.
"""

import functools
import importlib
import warnings
from math import prod

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import Axis

# The modules of the onnx package that build the tests, and the names of all tests in them.
# None is passed over.
NODES = {
    "maxpool": """
        maxpool_1d_default maxpool_2d_default maxpool_3d_default
        maxpool_2d_ceil maxpool_2d_ceil_output_size_reduce_by_one
        maxpool_2d_dilations maxpool_3d_dilations maxpool_3d_dilations_use_ref_impl
        maxpool_3d_dilations_use_ref_impl_large
        maxpool_2d_pads maxpool_2d_strides maxpool_2d_same_lower maxpool_2d_same_upper
        maxpool_2d_precomputed_pads maxpool_2d_precomputed_same_upper
        maxpool_2d_precomputed_strides maxpool_2d_uint8
        maxpool_with_argmax_2d_precomputed_pads maxpool_with_argmax_2d_precomputed_strides
    """,
    "averagepool": """
        averagepool_1d_default averagepool_2d_default averagepool_3d_default
        averagepool_2d_ceil averagepool_2d_ceil_last_window_starts_on_pad
        averagepool_2d_dilations averagepool_3d_dilations_small
        averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False
        averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True
        averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False
        averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True
        averagepool_2d_pads averagepool_2d_pads_count_include_pad averagepool_2d_strides
        averagepool_2d_same_lower averagepool_2d_same_upper
        averagepool_2d_precomputed_pads averagepool_2d_precomputed_pads_count_include_pad
        averagepool_2d_precomputed_same_upper averagepool_2d_precomputed_strides
    """,
    "lppool": """
        lppool_1d_default lppool_2d_default lppool_3d_default
        lppool_2d_dilations lppool_2d_pads lppool_2d_strides
        lppool_2d_same_lower lppool_2d_same_upper
    """,
    "globalmaxpool": "globalmaxpool globalmaxpool_precomputed",
    "globalaveragepool": "globalaveragepool globalaveragepool_precomputed",
    "maxunpool": """
        maxunpool_export_with_output_shape maxunpool_export_without_output_shape
    """,
}
WITHOUT_TESTS = ["GlobalLpPool"]  # an operator of which ONNX ships no test


@functools.cache
def shipped():
    """ONNX's node tests by name; importing a module builds the tests that it holds."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the package's own arithmetic
        for module in NODES:
            importlib.import_module(f"{node.__name__}.{module}")
    return {case.name.removeprefix("test_"): case for case in node._NodeTestCases}


def pooling_node(case):
    return next((n for n in case.model.graph.node if "pool" in n.op_type.lower()), None)


def arguments(node, n):
    """A node's attributes as the arguments of our operators, over an input of sizes ``n``."""
    import onnx

    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    kernel = given["kernel_shape"]
    stride = given.get("strides", [1] * len(n))
    dilation = given.get("dilations", [1] * len(n))
    pads = given.get("pads", [0] * 2 * len(n))
    padding = tuple(zip(pads[: len(n)], pads[len(n) :], strict=True))
    auto = given.get("auto_pad", b"NOTSET")
    if auto == b"SAME_UPPER":
        padding = "same"
    elif auto == b"SAME_LOWER":
        axes = map(Axis.same, kernel, stride, dilation)
        padding = tuple(a.at(length).padding[::-1] for a, length in zip(axes, n, strict=True))
    else:
        assert auto in (b"NOTSET", b"VALID")
    found = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return given, {**found, "ceil_mode": bool(given.get("ceil_mode", 0))}


def max_pool(node, x):
    given, window = arguments(node, x.shape[2:])
    pooled = getattr(cenote.functional, f"max_pool{x.dim() - 2}d")
    values, indices = pooled(x, **window, return_indices=True)
    assert torch.equal(pooled(x, **window), values)
    places = np.unravel_index(indices.numpy(), x.shape[2:])
    order = "F" if given.get("storage_order", 0) else "C"
    numbers = np.ravel_multi_index(places, x.shape[2:], order=order)
    planes = np.arange(prod(x.shape[:2])).reshape(*x.shape[:2], *[1] * (x.dim() - 2))
    return values, torch.from_numpy(numbers + planes * prod(x.shape[2:]))


def average_pool(node, x):
    given, window = arguments(node, x.shape[2:])
    include = bool(given.get("count_include_pad", 0))
    pooled = getattr(cenote.functional, f"avg_pool{x.dim() - 2}d")
    return (pooled(x, **window, count_include_pad=include),)


def lp_pool(node, x):
    given, window = arguments(node, x.shape[2:])
    return (getattr(cenote.functional, f"lp_pool{x.dim() - 2}d")(x, given.get("p", 2), **window),)


def global_max_pool(node, x):
    return (getattr(cenote.functional, f"global_max_pool{x.dim() - 2}d")(x),)


def global_average_pool(node, x):
    return (getattr(cenote.functional, f"global_avg_pool{x.dim() - 2}d")(x),)


def max_unpool(node, x, indices, shape=None):
    """``shape`` pads what the indices were counted in: they know nothing of it."""
    _, window = arguments(node, x.shape[2:])
    kernel, stride = window["kernel_size"], window["stride"]
    assert set(window["padding"]) == {(0, 0)}
    y = getattr(cenote.functional, f"max_unpool{x.dim() - 2}d")(x, indices, kernel, stride)
    if shape is not None:
        y = F.pad(
            y, [p for d in range(x.dim() - 2) for p in (0, int(shape[-1 - d]) - y.shape[-1 - d])]
        )
    return (y,)


OPERATORS = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "GlobalMaxPool": global_max_pool,
    "GlobalAveragePool": global_average_pool,
    "MaxUnpool": max_unpool,
}
WRITTEN = {  # four inputs and an output over 9 that ONNX writes down with four decimals
    "averagepool_2d_ceil_last_window_starts_on_pad": (1 + 4 / 9) * 0.5e-4 + 1e-7
}
ROUNDING = ("AveragePool", "LpPool", "GlobalAveragePool")


def test_all_that_ship_are_here():
    import onnx

    names = [name for listed in NODES.values() for name in listed.split()]
    assert len(names) == len(set(names)) == 53
    assert set(names) == set(shipped())
    assert {pooling_node(case).op_type for case in shipped().values()} == set(OPERATORS)
    known = {s.name for s in onnx.defs.get_all_schemas() if "pool" in s.name.lower()}
    assert known == {
        *OPERATORS,
        *WITHOUT_TESTS,
        "MaxRoiPool",
    }  # the last pools regions, not windows


@pytest.mark.parametrize("name", [name for listed in NODES.values() for name in listed.split()])
def test_node(name):
    case = shipped()[name]
    assert len(case.model.graph.node) == len(case.data_sets) == 1
    node, (inputs, outputs) = case.model.graph.node[0], case.data_sets[0]
    found = OPERATORS[node.op_type](node, *map(torch.from_numpy, map(np.asarray, inputs)))
    for mine, theirs in zip(found, outputs, strict=node.op_type != "MaxPool"):
        assert mine.shape == theirs.shape
        assert mine.numpy().dtype == theirs.dtype
        if node.op_type in ROUNDING:
            slack = WRITTEN.get(name) or rounding(node, inputs[0])
            assert np.abs(mine.numpy() - theirs).max() <= slack
        else:
            np.testing.assert_array_equal(mine.numpy(), theirs)


def rounding(node, x):
    """What two sums in float32 may differ by, and some 8 roundings of powers and quotients."""
    n = x.shape[2:]
    taps = prod(n if node.op_type.startswith("Global") else arguments(node, n)[0]["kernel_shape"])
    largest = np.abs(x).max() * (taps if node.op_type == "LpPool" else 1)
    return (taps + 8) * np.finfo(np.float32).eps * largest
