"""Pooling becomes standard ONNX nodes, with the same numbers on every case.

Many windows go into one model, an input and an output each: exporting costs more than pooling.
"""

import functools

import pytest
import torch

import cenote
from cenote.cases import CASES, SHARED, find
from inputs import make_values
from onnx_models import EXPORTER, Calls, export, run, types_behind

pytestmark = EXPORTER

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
        pytest.param("max", LEGAL[::6], id="max-part"),
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
    cases = TYPED if op in ("max", "sum") else TYPED[:1]  # the others become the same nodes
    pairs = [(case, getattr(torch, name)) for name in TYPES[op].split() for case in cases]
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
