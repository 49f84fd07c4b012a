"""Knobs: what they change, where they end, what they refuse."""

import os
import subprocess
import sys

import pytest
import torch

import cenote
from cenote import _kernels, _native
from cenote.options import Options, current, from_environment


def test_knobs_hold_inside_the_block_only():
    before = current()
    with cenote.options(threads=1):
        with cenote.options(isa="scalar"):
            assert (current().threads, current().isa) == (1, "scalar")
        assert current().isa == before.isa
    assert current() == before


def test_an_error_inside_ends_the_block():
    before = current()
    with pytest.raises(ZeroDivisionError), cenote.options(threads=1):
        _ = 1 / 0
    assert current() == before


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"isa": "avx9000"}, r"isa = 'avx9000': no such instruction set; usable here: .*scalar"),
        ({"threads": 0}, "threads = 0: must be an integer of at least 1"),
        ({"threads": "2"}, "threads = '2': must be an integer"),
        ({"verbose": 1}, "verbose = 1: must be True or False"),
    ],
    ids=lambda p: str(p),
)
def test_values_that_are_refused(knobs, message):
    with pytest.raises(ValueError, match=message), cenote.options(**knobs):
        pass


def test_a_knob_that_does_not_exist():
    with pytest.raises(TypeError, match="no knob 'isas'; there are isa, threads, verbose"):
        cenote.options(isas="avx2").__enter__()


def test_the_environment_gives_the_defaults():
    given = {"CENOTE_ISA": "scalar", "CENOTE_THREADS": "3", "CENOTE_VERBOSE": "1"}
    assert from_environment(given) == Options("scalar", 3, True)
    assert from_environment({}) == Options()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CENOTE_ISA", "mmx"), ("CENOTE_THREADS", "many"), ("CENOTE_THREADS", "0"),
     ("CENOTE_VERBOSE", "yes")],
)  # fmt: skip
def test_a_wrong_variable_is_named(variable, value):
    with pytest.raises(ValueError, match=f"^{variable} = '?{value}"):
        from_environment({variable: value})


def test_verbose_says_which_kernel_ran_and_why(capfd, monkeypatch):
    with cenote.options(verbose=True, isa="scalar", threads=1):
        cenote.max_pool2d(torch.zeros(1, 2, 4, 4), 2)
        monkeypatch.setattr(_kernels, "supports", lambda x: False)
        cenote.max_pool2d(torch.zeros(1, 2, 4, 4, dtype=torch.int32), 2)
    native, reference = capfd.readouterr().err.splitlines()
    assert native == "cenote: max f32 1x2x4x4: native kernel, scalar; up to 1 threads"
    assert reference == "cenote: max int32 1x2x4x4: reference, no kernels for int32"


def test_the_list_of_targets_ends_in_plain_code():
    assert _native.targets()[-1] == "scalar"
    assert set(_native.targets()) <= set(_native.all_targets())
    assert cenote.doctor()["isas"] == _native.targets()


def test_torch_rules_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert cenote.doctor()["threads"] == 1
        torch.set_num_threads(2)
        assert cenote.doctor()["threads"] == (2 if _native.openmp else 1)
    finally:
        torch.set_num_threads(before)


def test_importing_takes_little_more_than_torch():
    """What cenote adds to the import of torch: no command line, no plots, no network."""
    program = (
        "import sys, time, torch; start = time.perf_counter(); import cenote;"
        "print(time.perf_counter() - start);"
        "print([m for m in ('matplotlib', 'rich', 'typer', 'requests', 'PIL', 'jinja2')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )  # fmt: skip
    _, heavy = done.stdout.splitlines()
    assert heavy == "[]"
