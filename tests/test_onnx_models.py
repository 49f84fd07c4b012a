"""Whole models become ONNX models: other operators, sizes left open, programs, networks."""

from math import prod

import pytest
import torch
from torch import nn

import cenote
from cenote import Axis, Window, _onnx
from cenote.window import Adaptive
from inputs import make_values
from onnx_models import EXPORTER, Calls, checked, export, run, types_behind

pytestmark = EXPORTER
F = cenote.functional

FREE = {0: "b", 2: "h", 3: "w"}
DYNAMIC = {
    "ceil": Window([Axis(4, 3, 2, 1, 1, True)] * 2),
    "dilated": Window([Axis(3, 1, 4, 4, 2, True)] * 2),
    "same_strided_dilated": Window([Axis.same(3, 2, 2)] * 2),
    "whole": Window([Adaptive(1)] * 2),
}


def test_dynamic_sizes():
    """Batch, height and width stay free, and the numbers are right at sizes never traced."""

    def call(x):
        found = []
        for window in DYNAMIC.values():
            found += cenote.pool(x, window, "max", return_indices=True)
            found.append(cenote.pool(x, window, "avg", count_include_pad=True))
            found.append(cenote.pool(x, window, "avg", count_include_pad=False))
            found.append(cenote.pool(x, window, "lp", norm_type=2.0))
        return found

    model = export(Calls([call]), [torch.zeros(2, 3, 12, 13)], dynamic_shapes=([FREE],))
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in sizes] == ["b", 3, "h", "w"]
    for shape in ((1, 3, 12, 13), (3, 3, 9, 14), (2, 3, 17, 8)):
        x = make_values(shape, torch.float32, "normal")
        outputs, mine = run(model, x), call(x)
        assert len(outputs) == len(mine) == 5 * len(DYNAMIC)
        for number, (got, expected) in enumerate(zip(outputs, mine, strict=True)):
            name = list(DYNAMIC)[number // 5]
            assert got.shape == expected.shape, name
            if number % 5 < 2:
                assert torch.equal(got, expected), name
                continue
            taps = prod(a.kernel for a in DYNAMIC[name].at(shape[2:]))
            slack = (taps + 8) * torch.finfo(x.dtype).eps * x.abs().max() * taps
            assert bool(((got - expected).abs() <= slack).all()), name


SAMPLES = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(0))
EXPONENT = torch.tensor([2.0, 3.0, 4.5]).reshape(3, 1, 1)
OTHERS = {
    "gem": (lambda x: F.gem_pool2d(x, 3, 3, 2, 1), {"AveragePool"}),
    "gem_by_plane": (lambda x: F.gem_pool2d(x, EXPONENT, 3, 2, 1), {"Pow"}),
    "lp_fraction": (lambda x: F.lp_pool2d(x, 1.5, 3, 2, padding=1), {"AveragePool"}),
    "lp_inf": (lambda x: F.lp_pool2d(x, float("inf"), 3, 2, padding=1), {"MaxPool"}),
    "mixed": (lambda x: F.mixed_pool2d(x, 3, 2, 1, alpha=0.3), {"MaxPool", "AveragePool"}),
    "stochastic": (lambda x: F.stochastic_pool2d(x, 3, 2, 1, training=False), {"Relu"}),
    "blur": (lambda x: F.blur_pool2d(x, (5, 4)), {"Conv"}),
    "max_blur": (lambda x: F.max_blur_pool2d(x, 2), {"MaxPool", "Conv"}),
    "pyramid": (lambda x: F.spatial_pyramid_pool2d(x, (1, 2, 5)), {"GlobalMaxPool"}),
    "sppf": (lambda x: F.sppf2d(x), {"MaxPool"}),
    "repeat": (lambda x: F.upsample_repeat2d(x, (2, 3)), {"Resize"}),
    "unpool": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), {"MaxPool"}),
    "reflected": (lambda x: F.avg_pool2d(x, 3, 2, 1, padding_mode="reflect"), {"AveragePool"}),
    "zeros": (lambda x: F.max_pool2d(-x.abs(), 3, 2, 1, padding_mode="zeros"), {"Pad", "MaxPool"}),
    "whole_logsumexp": (lambda x: F.global_logsumexp_pool2d(x, mean=True), {"ReduceLogSumExp"}),
    "whole_mixed": (lambda x: F.global_mixed_pool2d(x), {"GlobalMaxPool", "GlobalAveragePool"}),
    "logsumexp": (
        lambda x: F.logsumexp_pool2d(x, 3, 2, 1, sharpness=2.0),
        {"Gather", "ReduceLogSumExp"},
    ),
    "median": (lambda x: F.median_pool2d(x, 3, 2, 1), {"Gather", "TopK"}),
    "fractional": (lambda x: F.fractional_max_pool2d(x, 2, (5, 6), _random_samples=SAMPLES), set()),
    "integers": (lambda x: F.avg_pool2d((9 * x).int(), 3, 2, 1, rounding="half_even"), {"Div"}),
    "product": (lambda x: cenote.pool(x, DYNAMIC["ceil"], (torch.mul, torch.ones_like)), {"Mul"}),
}
"""Operators that are made of others, or of which ONNX has none, and nodes that they lead to."""


def test_other_operators():
    x = make_values((2, 3, 12, 14), torch.float32, "normal")
    functions = [f for f, _ in OTHERS.values()]
    model = export(Calls(functions), [x] * len(functions))
    types = types_behind(model)
    outputs = run(model, *[x] * len(functions))
    for (name, (f, nodes)), got, behind in zip(OTHERS.items(), outputs, types, strict=True):
        assert nodes <= set(behind), f"{name}: {behind}"
        # sums of up to 168 numbers of size 1, and a few powers
        torch.testing.assert_close(
            got, f(x), rtol=2e-5, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


WITHOUT_NODES = {
    "adaptive_avg": lambda x: F.adaptive_avg_pool2d(x, (None, 5)),
    "adaptive_max": lambda x: F.adaptive_max_pool2d(x, (4, 5), return_indices=True)[1],
    "pyramid": lambda x: F.spatial_pyramid_pool2d(x, (1, 2), "sum"),
    "logsumexp_same": lambda x: F.logsumexp_pool2d(x, 3, 2, "same"),
    "median": lambda x: F.median_pool2d(x, 3, 2, 1),
    "float64": lambda x: F.avg_pool2d(x.double(), 3, 2, 1, ceil_mode=True).float(),
    "int64": lambda x: F.avg_pool2d((9 * x).long(), 4, 3, 2, True, False, rounding="half_even"),
    "int64_min": lambda x: F.min_pool2d((9 * x).long(), 3, 2, 1, return_indices=True)[1],
    "blur": lambda x: F.blur_pool2d(x),
    "unpool": lambda x: F.max_unpool2d(
        *F.max_pool2d(x, 2, return_indices=True), 2, output_size=x.shape[2:]
    ),
    "repeat": lambda x: F.upsample_repeat2d(x, (2, 3)),
    "median_same": lambda x: F.median_pool2d(x, 3, 2, "same"),
    "reflected_same": lambda x: F.avg_pool2d(x, 3, 2, "same", padding_mode="reflect"),
}


QUICK = ("adaptive_avg", "median_same", "reflected_same")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name in WITHOUT_NODES
    ],
)
def test_dynamic_sizes_without_nodes(name):
    """Formulas too hold at sizes never traced."""
    call = WITHOUT_NODES[name]
    model = export(Calls([call]), [torch.zeros(2, 3, 12, 13)], dynamic_shapes=([FREE],))
    for shape in ((1, 3, 12, 13), (3, 3, 9, 14), (2, 3, 17, 8)):
        x = make_values(shape, torch.float32, "normal")
        torch.testing.assert_close(run(model, x)[0], call(x), rtol=2e-5, atol=2e-5)


EXPORTED = {
    "max": lambda x: F.max_pool2d(x, 3, 2, 1),
    "indices": lambda x: F.min_pool2d(x, 3, 2, 1, return_indices=True)[1],
    "avg": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "sum": lambda x: F.sum_pool2d((9 * x).int(), 3),
    "lp": lambda x: F.lp_pool2d(x, 2, 3),
    "gem": lambda x: F.gem_pool2d(x, 3, 3),
    "logsumexp": lambda x: F.logsumexp_pool2d(x, 3, 2, "same"),
    "blur": lambda x: F.blur_pool2d(x, (5, 4)),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (5, 4)),
    "unpool": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "repeat": lambda x: F.upsample_repeat2d(x, 2),
    "fractional": lambda x: F.fractional_max_pool2d(x, 2, (5, 6), _random_samples=SAMPLES),
}


def test_exported_programs():
    """What was exported before becomes ONNX too, if asked to."""
    x = make_values((2, 3, 12, 14), torch.float32, "normal")
    functions = list(EXPORTED.values())
    program = torch.export.export(Calls(functions).eval(), ([x] * len(functions),))
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert sum(name.startswith("cenote.") for name in names) == 9
    rewritten = program.run_decompositions(_onnx.decompositions())
    model = checked(torch.onnx.export(rewritten, dynamo=True, verbose=False))
    for name, f, got in zip(EXPORTED, functions, run(model, *[x] * len(functions)), strict=True):
        assert torch.allclose(got, f(x), rtol=2e-5, atol=2e-5), name


def test_modules_in_a_network():
    """What a user writes, with what a user gets: no argument but a free batch."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        cenote.nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.ReLU(),
        cenote.nn.AvgPool2d(2, padding="same"),
        cenote.nn.MinPool2d(2, 1),
        cenote.nn.LPPool2d(2, 2, 1),
        cenote.nn.SumPool2d(3, 1, 1),
        cenote.nn.AdaptiveMaxPool2d(3),
        cenote.nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    x = make_values((2, 3, 32, 32), torch.float32, "normal")
    model = export(net, x, dynamic_shapes=({0: "batch"},))
    assert [node.op_type for node in model.graph.node if "Pool" in node.op_type] == [
        "MaxPool", "AveragePool", "MaxPool", "LpPool", "AveragePool", "MaxPool",
        "GlobalAveragePool",
    ]  # fmt: skip
    x = make_values((5, 3, 32, 32), torch.float32, "normal", 1)
    with torch.no_grad():
        torch.testing.assert_close(run(model, x)[0], net(x), rtol=1e-4, atol=1e-5)
