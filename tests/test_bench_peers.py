"""Who takes part in the benchmark: results are looked at first, whoever is missing is said."""

import re
import sys
import time

import pytest
import torch

import cenote
from cenote.benchmarking import peers, pooling
from cenote.benchmarking.grid import INDICES, TRAINING, Row
from cenote.benchmarking.peers import Contender, LeftOutError
from cenote.benchmarking.peers.ours import Given, Roof
from cenote.benchmarking.work import Work, differs, on_threads
from cenote.cases import find
from cenote.options import current

THERE, MISSING = peers.load([])
OURS = {name: peer for name, peer in THERE.items() if name not in peers.PEERS}
PATIENCE = 1e-4  # seconds: nothing here is about time


def row(case="lenet_second", *words, **more):
    return Row(case, *words, **{"threads": 1, **more})


def result(name, work):
    with on_threads(1), torch.no_grad():
        return THERE[name].enter(work).results()


def expected(work):
    return result("cenote", work)


# What each peer takes; what is missing in a row of these is refused.
TAKES = {
    "torch": [
        row(), row(layout="NHWC"), row(reduce="min"), row(reduce="avg"), row(reduce="sum"),
        row(dtype="bf16"), row(dtype="u8"), row(pass_=INDICES), row(reduce="min", pass_=INDICES),
        row(pass_=TRAINING), row(reduce="avg", pass_=TRAINING, layout="NHWC"), row("nin_head"),
        row("nin_head", "avg"),
    ],
    "onnxruntime": [
        row(), row(reduce="avg"), row(pass_=INDICES), row("nin_head"), row("nin_head", "avg"),
        row(dtype="u8"),
    ],
    "openvino": [
        row(), row(layout="NHWC"), row(reduce="avg"), row(dtype="bf16"), row("nin_head"),
        row("nin_head", "avg", layout="NHWC"), row(dtype="u8"), row(pass_=INDICES),
    ],
    "onednn": [
        row(), row(layout="NHWC"), row(reduce="avg"), row(dtype="bf16"), row(dtype="u8"),
        row("nin_head", "avg"), row("nin_head", layout="NHWC"),
    ],
}  # fmt: skip
REFUSES = [
    ("torch", row("nin_head", "sum"), "torch has no sum"),
    ("torch.compile", row(), "compiled in some cases only"),
    ("onnxruntime", row(layout="NHWC"), "NCHW only"),
    ("onnxruntime", row(pass_=TRAINING), "forward only"),
    ("onnxruntime", row(reduce="min"), "has no min pooling"),
    ("openvino", row(pass_=TRAINING), "forward only"),
    ("openvino", row(reduce="sum"), "has no sum pooling"),
    ("onednn", row(pass_=INDICES), "forward without indices only"),
    ("onednn", row(reduce="min"), "has no min pooling"),
]


def installed(name):
    if name not in THERE:
        pytest.skip(f"{name}: {MISSING[name]}")
    return THERE[name]


@pytest.mark.parametrize("name", ["cenote", "torch"])
def test_those_that_need_nothing_are_always_there(name):
    assert name in THERE


@pytest.mark.parametrize(("name", "row"), [(n, r) for n, rs in TAKES.items() for r in rs], ids=str)
def test_a_peer_gives_what_cenote_gives(name, row):
    installed(name)
    work = Work(row)
    assert differs(work, expected(work), result(name, work)) is None


# Windows that libraries are known to see differently, by those that see them as cenote does.
TRICKY = {
    "inception_avg_3x3_s1_p1": {"torch", "onnxruntime", "openvino", "onednn"},
    "vgg_2x2_odd_plane": {"torch", "onnxruntime", "openvino", "onednn"},
    "ceil_overhang": {"torch", "onnxruntime", "openvino"},
    "ceil_overhang_padded": {"torch", "onnxruntime"},  # OpenVINO divides by what hangs over
    "dilated": {"onnxruntime", "onednn"},
    "only_after_padding": {"onnxruntime", "openvino", "onednn"},
    "alexnet_head": {"torch", "openvino"},
    "vgg_head": {"torch", "onnxruntime", "openvino", "onednn"},
    "line_overlapping": {"torch", "onnxruntime", "openvino", "onednn"},
    "volume_whole": {"torch", "onnxruntime", "openvino", "onednn"},
}


@pytest.mark.parametrize("name", [name for name in TAKES if name in THERE])
@pytest.mark.parametrize("case", TRICKY)
def test_averages_over_tricky_windows_are_the_same_or_left_out(case, name, monkeypatch):
    monkeypatch.setattr("cenote.benchmarking.work.named", find)
    work = Work(row(case, "avg"))
    if name in TRICKY[case]:
        assert differs(work, expected(work), result(name, work)) is None
        return
    inside, left_out = pooling._let_in(work, {**OURS, name: THERE[name]})
    assert name not in inside
    assert left_out[name]


@pytest.mark.parametrize(("name", "row", "why"), REFUSES, ids=str)
def test_a_peer_says_what_it_does_not_do(name, row, why):
    peer = installed(name)
    with pytest.raises(LeftOutError, match=why):
        peer.enter(Work(row))


def test_torch_compile_gives_what_cenote_gives():
    there, _ = peers.load(["torch.compile"])
    if "torch.compile" not in there:
        pytest.skip("no compiler")
    found = pooling.measure(row("tiny_call"), there, PATIENCE)
    assert set(found["contenders"]) >= {"roof", "cenote", "torch.compile"}


@pytest.mark.skipif(isinstance(MISSING.get("cenote out="), str), reason="no out=")
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_given_outputs_hold_what_fresh_ones_do(layout):
    work = Work(row(layout=layout))
    assert differs(work, expected(work), result("cenote out=", work)) is None


def test_given_outputs_are_left_out_where_there_is_no_such_keyword(monkeypatch):
    def pool(x, window, reduce):
        return x

    monkeypatch.setattr(cenote, "pool", pool)
    with pytest.raises(LeftOutError, match="no out="):
        Given()


class Wrong:
    """A peer with one wrong element."""

    version = "0"

    def __init__(self):
        self.timed = 0

    def enter(self, work):
        out = expected(work)[0].clone()
        out[0, 0, 0, 0] += 1

        def call():
            self.timed += 1

        return Contender(call, lambda: (out,))


def test_a_wrong_result_is_said_and_not_timed():
    wrong = Wrong()
    found = pooling.measure(row(), {**THERE, "torch": wrong}, PATIENCE)
    assert found["left_out"]["torch"] == "not timed: output: 1 of 102400 elements differ"
    assert "torch" not in found["contenders"]
    assert wrong.timed == 0


class Slow:
    """A peer that gives what it should and takes its time, at first or always."""

    version = "0"

    def __init__(self, always):
        self.always = always

    def enter(self, work):
        out = expected(work)

        def first():
            time.sleep(0.02)
            return out

        return Contender(first if self.always else lambda: out, first)


@pytest.mark.parametrize("always", [True, False])
def test_who_is_too_slow_is_said_and_not_waited_for(always, monkeypatch):
    monkeypatch.setattr(pooling, "TOO_SLOW", 0.01)
    found = pooling.measure(row(), {**OURS, "torch": Slow(always)}, PATIENCE)
    if always:
        assert re.fullmatch(r"not timed: a call took 0\.\d s", found["left_out"]["torch"])
    assert ("torch" in found["contenders"]) is not always


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda y: (y,), "1 results where 2 are right"),
        (lambda y: (y, y), "indices: .* elements differ"),
        (lambda y: (y[1:], y), r"output: shape \(255, 16, 5, 5\) where \(256, 16, 5, 5\) is right"),
    ],
)
def test_what_differs_is_named(given, said):
    work = Work(row(pass_=INDICES))
    right = expected(work)
    found = differs(work, right, given(right[0]))
    assert re.search(said, found)


def test_maxima_are_the_same_to_the_bit():
    work = Work(row())
    right = expected(work)[0]
    given = right.clone()
    given[0, 0, 0, 0] = torch.nextafter(right[0, 0, 0, 0], torch.tensor(9.0))
    assert differs(work, (right,), (given,)) == "output: 1 of 102400 elements differ"


@pytest.mark.parametrize(("dtype", "off"), [("f32", 1e-3), ("bf16", 0.2)])
def test_averages_may_be_rounded_elsewhere_but_not_be_others(dtype, off):
    work = Work(row(reduce="avg", dtype=dtype))
    right = expected(work)[0]
    wide = right.double()
    assert differs(work, (right,), ((wide * (1 + 1e-7)).to(right.dtype),)) is None
    assert "elements differ" in differs(work, (right,), ((wide + off).to(right.dtype),))


def test_a_peer_that_is_not_installed_is_a_line_and_no_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    there, missing = peers.load([])
    assert "torch" in there
    assert missing["openvino"] == "not installed (openvino)"
    assert missing["onnxruntime"] == "not installed (onnxruntime)"


def test_onednn_is_left_out_where_it_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    _, missing = peers.load(["onednn"])
    assert missing["onednn"] == "not installed (libdnnl.so.3)"


def test_onednn_is_left_out_where_it_brings_threads_of_its_own(monkeypatch):
    installed("onednn")
    monkeypatch.setattr("cenote.benchmarking.peers.dnnl._openmps", lambda: {"one", "two"})
    _, missing = peers.load(["onednn"])
    assert missing["onednn"] == "brings a second OpenMP into the process"


def test_only_the_peers_that_are_named_take_part():
    there, _ = peers.load(["torch"])
    assert set(there) & set(peers.PEERS) == {"torch"}
    with pytest.raises(ValueError, match=r"peer = 'caffe': must be one of torch, torch"):
        peers.load(["caffe"])


def test_errors_of_peers_are_a_line():
    assert peers.reason(LeftOutError("no such layout")) == "no such layout"
    long = RuntimeError("Exception from a.cpp:1:\nCheck 'ok' failed\n" + "why " * 100)
    assert peers.reason(long).startswith("RuntimeError: why why")
    assert len(peers.reason(long)) == 160


def test_who_allocates_stands_against_fresh_outputs():
    found = pooling.measure(row(), THERE, PATIENCE)
    there = found["contenders"]
    for name, ratio in found["times_faster"].items():
        given = "cenote out=" if "cenote out=" in there and not there[name]["fresh"] else "cenote"
        assert ratio == pytest.approx(there[name]["median"] / there[given]["median"])
    assert there["torch"]["fresh"]
    assert there["cenote"]["fresh"]


def test_the_roof_is_one_of_the_record_and_1():
    found = pooling.measure(row(), THERE, PATIENCE)
    assert found["roof"] in ("cached", "streamed", "copy")
    assert found["contenders"]["roof"]["of_roof"] == 1
    assert not [name for name in found["contenders"] if name.startswith("roof ")]


@pytest.mark.parametrize(
    ("row", "streams"),
    [
        (row(), [(4 * 409600, 4 * 102400)]),
        (row(dtype="bf16"), [(2 * 409600, 2 * 102400)]),
        (row(dtype="u8"), [(409600, 102400)]),
        (row(pass_=INDICES), [(4 * 409600, 12 * 102400)]),
        (row(pass_=TRAINING), [(4 * 409600, 5 * 102400), (5 * 102400, 4 * 409600)]),
        (row(reduce="avg", pass_=TRAINING), [(4 * 409600, 4 * 102400), (4 * 102400, 4 * 409600)]),
    ],
    ids=str,
)
def test_bytes_that_have_to_move(row, streams):
    work = Work(row)
    assert work.streams == streams
    assert work.bytes == sum(map(sum, streams))


def test_two_bytes_are_kept_for_windows_of_more_than_255_taps():
    few, many = (
        Work.streams.fget(_shell(name)) for name in ("big_13x13_s1_p6", "wide_31x31_s1_p15")
    )
    assert few[1][0] == 5 * 8 * 64 * 56 * 56
    assert many[1][0] == 6 * 4 * 64 * 128 * 128


def _shell(name):
    """A work without its tensors."""
    work = Work.__new__(Work)
    work.row, work.dtype = row(name, pass_=TRAINING), torch.float32
    work.case = pooling.grid.named(name)
    work.window = work.case.window
    return work


def test_the_roof_sweeps_once_for_every_stream():
    work = Work(row(pass_=TRAINING))
    roof = Roof("copy") if not hasattr(cenote._native, "roof") else Roof("cached")
    seen = []
    roof.native = lambda call, source, read, target, written, past: seen.append((read, written))
    roof.enter(work).call()
    assert seen == work.streams


def test_inputs_are_of_the_row_and_free_of_what_peers_treat_differently():
    for dtype in ("f32", "bf16", "u8"):
        work = Work(row(dtype=dtype, layout="NHWC"))
        assert work.x.is_contiguous(memory_format=torch.channels_last)
        assert torch.isfinite(work.x.float()).all()
        assert work.x.float().std() > 0.5
    assert torch.equal(Work(row()).x, Work(row()).x)


def test_large_inputs_repeat_what_was_drawn(monkeypatch):
    monkeypatch.setattr("cenote.benchmarking.work._BLOCK", 1000)
    x = Work(row()).x.flatten()
    assert torch.equal(x[:1000], x[1000:2000])
    assert len(x[:1000].unique()) > 900


def test_threads_are_set_for_the_row_and_put_back():
    before = torch.get_num_threads()
    with on_threads(before + 1):
        assert torch.get_num_threads() == current().threads == before + 1
    assert torch.get_num_threads() == before
    assert current().threads is None


def test_a_row_against_the_roof_alone():
    found = pooling.measure(row("size_1e4", compared=False), THERE, PATIENCE)
    assert set(found["contenders"]) <= {"roof", "cenote", "cenote out="}
    assert found["left_out"]["torch"] == "measured against the roof alone"
