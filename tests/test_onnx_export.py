"""Models with our operators become ONNX models of standard nodes, with the same numbers.

Many windows go into one model, an input and an output each: exporting costs more than pooling.
"""

import collections
import functools
import logging
from math import prod

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import cenote
from cenote import Axis, Window
from cenote.cases import CASES, SHARED, find
from cenote.window import Adaptive
from inputs import make_values

F = cenote.functional

pytestmark = [
    # what the exporter itself runs into
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def quiet():
    """torch's log of every step, which it writes as soon as somebody listens, takes most time."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


EMPTY = "a window without an element is -inf, where a runtime has the least finite number"
UNEVEN = "windows of different lengths, which no node has"
GATHERED = {
    "dilated_beyond_input": EMPTY,
    "dilated_beyond_row_only": EMPTY,
    "ceil_dilated_empty": EMPTY,
    "line_dilated_empty": EMPTY,
    "volume_dilated_empty": EMPTY,
    "alexnet_head": UNEVEN,
    "shares_overlap": UNEVEN,
    "shares_divide_one_axis": UNEVEN,
    "shares_of_a_row": UNEVEN,
    "more_shares_than_elements": UNEVEN,
    "shares_of_one_pixel": UNEVEN,
    "shares_many_channels": UNEVEN,
    "shares_unbatched": UNEVEN,
    "shares_zero_batch": UNEVEN,
    "share_beside_a_kernel": UNEVEN,
    "line_shares": UNEVEN,
    "line_shares_unbatched": UNEVEN,
    "volume_shares": UNEVEN,
    "volume_shares_many_channels": UNEVEN,
}
"""Cases that are exported as gathers and reductions in place of a node, and why."""

REFUSED = {
    "shares_zero_batch": "ONNX Runtime multiplies no batch of none with a matrix, and its ArgMax of"
    " none has the wrong shape"
}
"""Sums, norms and indices that are exported, but that ONNX Runtime does not run, and why."""

NODES = {
    "max": {"MaxPool", "GlobalMaxPool"},
    "min": {"MaxPool", "GlobalMaxPool"},
    "avg": {"AveragePool", "GlobalAveragePool", "Conv"},
    "avg_inside": {"AveragePool", "GlobalAveragePool", "Conv"},
    "avg_override": {"AveragePool", "GlobalAveragePool", "Conv"},
    "sum": {"AveragePool", "GlobalAveragePool", "Conv"},
    "lp": {"LpPool", "GlobalLpPool"},
}
"""The one of which each has to be there: ``Conv`` for dilated sums, and only for them."""

AROUND = {"Neg", "Pad", "Mul", "Div", "Reshape", "Unsqueeze", "Squeeze", "Cast"}
"""What else may stand around the node."""

OPTIONS = {
    "max": ("max", {}),
    "min": ("min", {}),
    "avg": ("avg", {"count_include_pad": True}),
    "avg_inside": ("avg", {"count_include_pad": False}),
    "avg_override": ("avg", {"divisor_override": 7}),
    "sum": ("sum", {}),
    "lp": ("lp", {"norm_type": 2.0}),
}
LEGAL = [case for case in (*CASES, *SHARED) if not case.refused]


class Calls(nn.Module):
    """Every function on the input of its number."""

    def __init__(self, functions):
        super().__init__()
        self.functions = functions

    def forward(self, xs):
        return [f(x) for f, x in zip(self.functions, xs, strict=True)]


def export(module, *args, **options):
    """The ONNX model that a module becomes: whole, and of standard nodes alone."""
    program = torch.onnx.export(module.eval(), args, dynamo=True, verbose=False, **options)
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    assert [imported.domain for imported in model.opset_import] == [""]
    assert len(model.functions) == 0
    assert {node.domain for node in model.graph.node} == {""}
    return model


def run(model, *inputs):
    """What ONNX Runtime makes of a model, by its own order of inputs and outputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [given.name for given in session.get_inputs()]
    fed = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
    return [torch.from_numpy(y) for y in session.run(None, fed)]


def types_behind(model):
    """For every output the types of the nodes that it is made by."""
    made_by = {name: node for node in model.graph.node for name in node.output}

    def collect(name, seen, types):
        node = made_by.get(name)
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            types[node.op_type] += 1
            for given in node.input:
                collect(given, seen, types)
        return types

    return [collect(y.name, set(), collections.Counter()) for y in model.graph.output]


def pool(x, case, op):
    reduce, options = OPTIONS[op]
    if "divisor_override" in options:
        options = {"divisor_override": case.divisor_override}
    return cenote.pool(x, case.window, reduce, **options)


def assert_close(got, mine, x, case, op, what):
    """Selections to the bit; sums within the rounding of two of them, and of what follows them."""
    assert got.shape == mine.shape, what
    if op in ("max", "min"):
        assert torch.equal(got, mine), what
        return
    taps = case.window.at(case.n).kernel_taps
    size = pool(x.abs(), case, op).abs()
    off = (got - mine).abs()
    assert bool((off <= (taps + 8) * torch.finfo(x.dtype).eps * size).all()), (
        f"{what}: off by {off.max()}"
    )


def parts():
    """The maximum on every case; of the six others two on each, and under "slow" all."""
    yield pytest.param("max", LEGAL, id="max")
    for number, op in enumerate(list(OPTIONS)[1:]):
        some = LEGAL[number % 3 :: 3]
        yield pytest.param(op, some, id=f"{op}-part")
        rest = [case for case in LEGAL if case not in some]
        yield pytest.param(op, rest, id=f"{op}-rest", marks=pytest.mark.slow)


@pytest.mark.parametrize(("op", "cases"), list(parts()))
def test_cases(op, cases):
    if op not in ("max", "min"):
        cases = [case for case in cases if case.name not in REFUSED]
    xs = [make_values(case.shape, torch.float32, "normal") for case in cases]
    functions = [functools.partial(pool, case=case, op=op) for case in cases]
    model = export(Calls(functions), xs)
    outputs, types = run(model, *xs), types_behind(model)
    for x, case, got, behind in zip(xs, cases, outputs, types, strict=True):
        assert_close(got, pool(x, case, op), x, case, op, str(case))
        nodes = NODES[op] & set(behind)
        if case.name in GATHERED:
            assert not nodes, f"{case}: has a node after all, {nodes}"
            continue
        assert len(nodes) == 1, f"{case}: {behind}"
        assert set(behind) - nodes <= AROUND, f"{case}: {behind}"
        dilated = any(axis.dilation > 1 for axis in case.window.at(case.n))
        assert ("Conv" in nodes) == (dilated and "Conv" in NODES[op]), f"{case}: {behind}"


def test_every_case_is_here():
    assert len(LEGAL) >= 136
    assert set(GATHERED) < {case.name for case in LEGAL}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_runtime_refuses(name):
    case = find(name)
    x = make_values(case.shape, torch.float32, "normal")
    model = export(Calls([functools.partial(pool, case=case, op="avg")]), [x])
    with pytest.raises(Exception, match=r"MatMul.* cannot broadcast on dim 0"):
        run(model, x)


@pytest.mark.parametrize(
    ("reduce", "cases"),
    [
        pytest.param("max", LEGAL[::4], id="max-part"),
        pytest.param("min", LEGAL[1::9], id="min-part"),
        pytest.param("max", LEGAL, id="max", marks=pytest.mark.slow),
        pytest.param("min", LEGAL, id="min", marks=pytest.mark.slow),
    ],
)
def test_indices(reduce, cases):
    """Of equal elements the first, in a plane, wherever padding stands."""

    def indices(x, case):
        return cenote.pool(x, case.window, reduce, return_indices=True)[1]

    cases = [case for case in cases if case.name not in REFUSED]
    xs = [make_values(case.shape, torch.float32, "ties") for case in cases]
    model = export(Calls([functools.partial(indices, case=case) for case in cases]), xs)
    for x, case, got in zip(xs, cases, run(model, *xs), strict=True):
        assert got.dtype == torch.int64, str(case)
        assert torch.equal(got, indices(x, case)), str(case)


TYPES = {
    "max": "float32 float64 float16 bfloat16 int8 uint8 int16 int32 int64 bool",
    "min": "float32 float64 float16 bfloat16 int8 uint8 int16 int32 int64 bool",
    "avg": "float32 float64 float16 bfloat16 int8 uint8 int16 int32 int64",
    "sum": "float32 float64 float16 bfloat16 int8 uint8 int16 int32 int64 bool",
    "lp": "float32 float64 float16 bfloat16",
}
TYPED = [find("ceil_overhang_padded"), find("resnet_head_plane")]


def extremes(shape, dtype):
    """Numbers to both ends of an integer type; a few small ones of a floating one."""
    if dtype == torch.bool or dtype.is_floating_point:
        return make_values(shape, torch.float32, "ties").to(dtype)
    numbers = torch.randint(-9, 9, shape, generator=torch.Generator().manual_seed(3)).to(dtype)
    flat = numbers.flatten()
    flat[::7], flat[3::7] = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    return flat.reshape(shape)


@pytest.mark.parametrize("op", TYPES)
def test_element_types(op):
    """Every one, in ONNX Runtime too: where that has no node for it, by another way."""
    pairs = [(case, getattr(torch, name)) for name in TYPES[op].split() for case in TYPED]
    xs = [extremes(case.shape, dtype) for case, dtype in pairs]

    # bfloat16 stays inside the model: NumPy has no such type
    def call(x, case, op, dtype):
        y = pool(x.to(dtype), case, op)
        return y.float() if y.dtype == torch.bfloat16 else y

    functions = [functools.partial(call, case=case, op=op, dtype=dtype) for case, dtype in pairs]
    given = [x.float() if x.dtype == torch.bfloat16 else x for x in xs]
    outputs = run(export(Calls(functions), given), *given)
    for (case, dtype), x, f, got in zip(pairs, given, functions, outputs, strict=True):
        mine, what = f(x), f"{case} {dtype}"
        assert got.dtype == mine.dtype, what
        if mine.dtype.is_floating_point and op in ("avg", "sum", "lp"):
            eps = torch.finfo(dtype).eps
            taps = case.window.at(case.n).kernel_taps
            size = f(x.abs()).abs().double()
            slack = (taps + 8) * torch.finfo(torch.float32 if eps > 1e-6 else dtype).eps * size
            slack = slack + (eps * size if eps > 1e-6 else 0)
            assert bool(((got.double() - mine.double()).abs() <= slack).all()), what
        else:
            assert torch.equal(got, mine), what


FREE = {0: "b", 2: "h", 3: "w"}
DYNAMIC = {
    "asymmetric": Window([Axis(4, 2, 3, 1), Axis(5, 1, 2, 4)]),
    "ceil": Window([Axis(4, 3, 2, 1, 1, True)] * 2),
    "dilated": Window([Axis(3, 1, 4, 4, 2, True)] * 2),
    "same_strided": Window([Axis.same(3, 2)] * 2),
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


def test_oldest_opset():
    """The exporter's least opset knows no dilation of averages."""
    cases = [find("dilated"), find("dilated_ceil"), find("resnet_stem")]
    pairs = [(case, op) for case in cases for op in ("max", "avg", "lp")]
    xs = [make_values(case.shape, torch.float32, "normal") for case, _ in pairs]
    functions = [functools.partial(pool, case=case, op=op) for case, op in pairs]
    model = export(Calls(functions), xs, opset_version=18)
    assert model.opset_import[0].version == 18
    for (case, op), x, got in zip(pairs, xs, run(model, *xs), strict=True):
        assert_close(got, pool(x, case, op), x, case, op, f"{case} {op}")


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
