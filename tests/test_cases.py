"""The case table says what it claims, and every operator keeps its contract on it."""

import itertools
import subprocess
import sys
from collections import Counter

import pytest
import torch

import oracle
from cenote import Axis, Window
from cenote.cases import BENCHMARKS, CASES, SHARED, find
from cenote.window import Adaptive
from contract import OPERATORS, check_op, check_torch, prepared
from inputs import ELEMENT_TYPES, KINDS, LAYOUTS, layouts
from operators import shows
from oracle.walk import MODES
from promises import PROMISES
from torch_pools import torch_pool

EVERY = CASES + SHARED
LEGAL = [case for case in EVERY if not case.refused]


def test_names_are_unique_and_reasons_given():
    names = [case.name for case in EVERY + BENCHMARKS]
    assert len(set(names)) == len(names)
    assert len(EVERY) >= 140
    assert all(case.reason and case.name.isidentifier() for case in EVERY + BENCHMARKS)


def test_every_name_keeps_its_promise():
    assert set(PROMISES) == {case.name for case in EVERY}
    broken = [case.name for case in EVERY if not PROMISES[case.name](case)]
    assert broken == []


@pytest.mark.parametrize("case", EVERY + BENCHMARKS, ids=str)
def test_sizes(case):
    """A batch or none; the oracle's sizes; outputs wherever nothing is refused."""
    rank = case.window.rank
    assert len(case.shape) - rank in (1, 2)
    assert case.n == case.shape[-rank:]
    assert case.out_shape[-rank:] == oracle.out_sizes(case.window, case.n)
    padded = any(max(a.padding) >= a.extent for a in case.window.at(case.n))
    assert bool(case.refused) == (padded or 0 in case.out_shape[-rank:])


def test_find():
    assert find("resnet_stem").window == Window([Axis(3, 2, 1, 1)] * 2)
    assert find("shares_overlap").window == Window([Adaptive(5), Adaptive(3)])
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
        assert Window(axes) == case.window.at(case.n)
    for case in SHARED:
        arguments = case.arguments()
        if arguments is None:
            assert case.name == "share_beside_a_kernel"
        else:
            assert Window(map(Adaptive, arguments["output_size"])) == case.window


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


# The contract on a covering design. All of cases x operators x types x layouts x what padding shows
# are half a million; every case meets every operator once, and type, layout and padding are dealt
# out so that each of the sets in `covered` is complete. The order of the tables decides, nothing
# else: the same configurations on every machine.


def covered(case, op, mode, dtype, layout):
    """The combinations that a configuration takes part in."""
    rank = case.window.rank
    return (
        ("operator, type", op.name, dtype),
        ("operator, layout", op.name, layout),
        ("rank, layout, type", rank, layout, dtype),
        ("operator, rank, type", op.name, rank, dtype),
        ("operator, padding", op.name, mode),
        ("padding, rank, layout", mode, rank, layout),
    )


def deal(taken, case, op):
    """The type, then the layout, then the padding that have been taken least so far."""
    rank = case.window.rank

    def least(choices, keys):
        return min(choices, key=lambda choice: [taken[key] for key in keys(choice)])

    dtype = least(
        op.dtypes, lambda t: [("operator, rank, type", op.name, rank, t), ("rank, type", rank, t)]
    )
    layout = least(
        layouts(dtype),
        lambda f: [("rank, layout, type", rank, f, dtype), ("operator, layout", op.name, f)],
    )
    mode = least(
        modes_of(case),
        lambda m: [("operator, padding", op.name, m), ("padding, rank, layout", m, rank, layout)],
    )
    return mode, dtype, layout


def design():
    """Every case with every operator, the rest as it is dealt out."""
    taken = Counter()
    for case in LEGAL:
        for op in OPERATORS:
            mode, dtype, layout = deal(taken, case, op)
            taken.update(covered(case, op, mode, dtype, layout))
            taken["rank, type", case.window.rank, dtype] += 1
            yield case, op, mode, dtype, layout


def modes_of(case):
    """What padding can show in a case; where there is none, all is the same."""
    padded = any(hasattr(a, "ceil") and max(a.padding) for a in case.window.at(case.n))
    known = [mode for mode in MODES if shows(mode, case.window, case.n)]
    return known if padded else MODES[:1]


def label(value):
    return value.__name__ if callable(value) else str(value).removeprefix("torch.")


DESIGN = list(design())


@pytest.mark.parametrize(("case", "op", "mode", "dtype", "layout"), DESIGN, ids=label)
def test_contract(case, op, mode, dtype, layout):
    check_op(case, op.padded(mode), dtype, layout)


def peers(case):
    """What torch has for a case, whatever the design asked of it."""
    every = itertools.product(OPERATORS, (torch.float32, torch.float64, torch.int64))
    return [(op, t) for op, t in every if t in op.dtypes and torch_pool(case, op, op.on(case), t)]


TORCHS = [case for case in LEGAL if peers(case)]


@pytest.mark.parametrize("case", TORCHS, ids=str)
def test_torch_and_the_oracle_agree(case):
    for op, dtype in peers(case):
        for kind in KINDS:
            values, grad, expected = prepared(case, op, dtype, kind, False)
            check_torch(case, op, values, op.on(case), grad, expected)
    assert len(TORCHS) > 100  # of the others torch refuses the padding


def test_the_design_covers():
    seen = {key for configuration in DESIGN for key in covered(*configuration)}
    wanted = {
        ("rank, layout, type", rank, layout, dtype)
        for rank in (1, 2, 3)
        for dtype in ELEMENT_TYPES
        for layout in layouts(dtype)
    }
    for op in OPERATORS:
        wanted |= {("operator, type", op.name, dtype) for dtype in op.dtypes}
        wanted |= {("operator, layout", op.name, layout) for layout in LAYOUTS}
        wanted |= {("operator, padding", op.name, mode) for mode in MODES}
        wanted |= {("operator, rank, type", op.name, r, t) for r in (1, 2, 3) for t in op.dtypes}
    wanted |= {
        ("padding, rank, layout", mode, rank, layout)
        for mode in MODES
        for rank in (1, 2, 3)
        for layout in LAYOUTS
    }
    assert wanted - seen == set()
    assert len({(case.name, op.name) for case, op, *_ in DESIGN}) == len(LEGAL) * len(OPERATORS)
    assert torch.bool in {dtype for *_, dtype, _ in DESIGN}
