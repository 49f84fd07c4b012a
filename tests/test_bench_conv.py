"""The benchmark of convolutions: what is measured, what it costs at least, and who is let in."""

import re
import sys
import time

import pytest
import torch
import torch.nn.functional as F

from cenote import nn
from cenote.benchmarking.convolution import grid, peers, plan
from cenote.benchmarking.convolution.grid import TRAINING, Row, rows
from cenote.benchmarking.convolution.work import TOLERANCE, Work, differs, floor
from cenote.benchmarking.peers import Contender, LeftOutError
from cenote.benchmarking.work import on_threads
from cenote.cases import CONVOLUTIONS

THERE, MISSING = peers.load([])
EVERY = rows({})
NAMES = [case.name for case in CONVOLUTIONS]
PATIENCE = 1e-4  # seconds: nothing here is about time

# name: shape of the input, of the last weight, of the output
PROMISED = {
    "depthwise_3x3": ((8, 64, 112, 112), (64, 1, 3, 3), (8, 64, 112, 112)),
    "depthwise_7x7": ((8, 96, 56, 56), (96, 1, 7, 7), (8, 96, 56, 56)),
    "depthwise_3x3_s2": ((8, 96, 56, 56), (96, 1, 3, 3), (8, 96, 28, 28)),
    "depthwise_line_9": ((32, 64, 4096), (64, 1, 9), (32, 64, 4096)),
    "depthwise_line_31": ((32, 64, 4096), (64, 1, 31), (32, 64, 4096)),
    "depthwise_line_63": ((32, 64, 4096), (64, 1, 63), (32, 64, 4096)),
    "depthwise_line_127": ((32, 64, 4096), (64, 1, 127), (32, 64, 4096)),
    "depthwise_line_255": ((8, 64, 4096), (64, 1, 255), (8, 64, 4096)),
    "lenet_first": ((256, 1, 28, 28), (6, 1, 5, 5), (256, 6, 28, 28)),
    "lenet_second": ((256, 6, 14, 14), (16, 6, 5, 5), (256, 16, 10, 10)),
    "vgg_first": ((4, 3, 224, 224), (64, 3, 3, 3), (4, 64, 224, 224)),
    "alexnet_first": ((4, 3, 224, 224), (64, 3, 11, 11), (4, 64, 55, 55)),
    "resnet_first": ((4, 3, 224, 224), (64, 3, 7, 7), (4, 64, 112, 112)),
    "grouped_8": ((8, 64, 56, 56), (64, 8, 3, 3), (8, 64, 56, 56)),
    "grouped_32": ((8, 64, 56, 56), (64, 2, 3, 3), (8, 64, 56, 56)),
    "shuffled_8": ((8, 64, 56, 56), (64, 8, 3, 3), (8, 64, 56, 56)),
    "line_64_to_64": ((32, 64, 4096), (64, 64, 3), (32, 64, 4096)),
    "dense_3x3": ((8, 64, 56, 56), (64, 64, 3, 3), (8, 64, 56, 56)),
    "dense_1x1": ((8, 64, 56, 56), (64, 64, 1, 1), (8, 64, 56, 56)),
    "separable_3x3": ((8, 64, 112, 112), (64, 1, 1, 3), (8, 64, 112, 112)),
    "flattened_3x3": ((8, 64, 112, 112), (64, 1, 1, 3), (8, 64, 112, 112)),
    "stage_lenet_first": ((256, 1, 28, 28), (6, 1, 5, 5), (256, 6, 14, 14)),
    "stage_lenet_second": ((256, 6, 14, 14), (16, 6, 5, 5), (256, 16, 5, 5)),
    "stage_tiny": ((1, 1, 28, 28), (6, 1, 5, 5), (1, 6, 14, 14)),
    "stage_vgg_1": ((4, 64, 224, 224), (64, 64, 3, 3), (4, 64, 112, 112)),
    "stage_vgg_2": ((4, 128, 112, 112), (128, 128, 3, 3), (4, 128, 56, 56)),
    "stage_vgg_3": ((4, 256, 56, 56), (256, 256, 3, 3), (4, 256, 28, 28)),
    "stage_vgg_4": ((4, 512, 28, 28), (512, 512, 3, 3), (4, 512, 14, 14)),
    "stage_vgg_5": ((4, 512, 14, 14), (512, 512, 3, 3), (4, 512, 7, 7)),
}


def row(case="stage_tiny", pass_="forward"):
    return Row(case, pass_, 1)


@pytest.fixture
def one_image(monkeypatch):
    """Every case on its first image alone."""
    monkeypatch.setattr(
        "cenote.benchmarking.convolution.work.named", lambda name: grid.named(name).cut(1)
    )


def result(name, work):
    with on_threads(1), torch.no_grad():
        return THERE[name].enter(work).results()


def installed(name):
    if name not in THERE:
        pytest.skip(f"{name}: {MISSING[name]}")
    return THERE[name]


def test_every_case_that_is_promised_is_there():
    found = {c.name: (c.shape, c.weight_shapes()[-1], c.out_shape) for c in CONVOLUTIONS}
    assert found == PROMISED


def test_cases_have_names_of_their_own_and_reasons():
    assert len(set(NAMES)) == len(NAMES)
    assert all(case.reason and case.name.isidentifier() for case in CONVOLUTIONS)


def test_first_layers_are_those_that_see_images():
    assert {c.name for c in CONVOLUTIONS if c.first} == {
        "lenet_first", "vgg_first", "alexnet_first", "resnet_first", "stage_lenet_first",
        "stage_tiny",
    }  # fmt: skip


def test_both_passes_of_every_case_are_measured_and_borders_forward():
    borders = {f"stage_vgg_{number}" for number in range(1, 6)}
    assert len({r.key for r in EVERY}) == len(EVERY)
    assert {r.case for r in EVERY if r.pass_ == "forward"} == set(NAMES)
    assert {r.case for r in EVERY if r.pass_ == TRAINING} == set(NAMES) - borders
    assert {r.threads for r in EVERY} == {2}


def test_quick_rows_and_those_that_are_compiled_are_some_of_them():
    quick = rows({}, grid.QUICK)
    assert 5 < len(quick) < 15
    assert set(quick) < set(EVERY)
    assert set(NAMES) > grid.COMPILED


def test_words_choose_rows():
    assert rows({"case": ["dense_1x1"]}) == [Row("dense_1x1"), Row("dense_1x1", TRAINING)]
    assert rows({"case": ["stage_vgg_1"], "pass": [TRAINING]}) == [Row("stage_vgg_1", TRAINING)]
    assert len(rows({"pass": ["forward"]})) == len(NAMES)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"case": ["big_2x2_s2"]}, "case = 'big_2x2_s2': not known; there are depthwise_3x3, "),
        ({"pass": ["back"]}, r"pass = 'back': must be one of forward, forward\+backward$"),
    ],
)
def test_words_that_do_not_exist(wanted, message):
    with pytest.raises(ValueError, match=message):
        rows(wanted)


@pytest.mark.parametrize("name", ["separable_3x3", "flattened_3x3", "grouped_8", "alexnet_first"])
def test_work_is_that_of_the_modules(name):
    case = grid.named(name)
    made = {
        "separable_3x3": lambda: nn.SpatiallySeparableConv2d(64, 64, 3, padding=1, groups=64),
        "flattened_3x3": lambda: nn.FlattenedConv2d(64, 64, 3, padding=1),
        "grouped_8": lambda: nn.Conv2d(64, 64, 3, padding=1, groups=8),
        "alexnet_first": lambda: nn.Conv2d(3, 64, 11, 4, 2),
    }[name]()
    assert floor(case, "forward")[0] == case.shape[0] * made.count_macs(*case.shape[2:])
    assert case.weights == made.count_parameters()


IMAGE, PLANES, POOLED = 256 * 28 * 28, 256 * 6 * 28 * 28, 256 * 6 * 14 * 14
WEIGHTS, MACS = 6 * 25 + 6, PLANES * 25


@pytest.mark.parametrize(
    ("case", "pass_", "macs", "moved"),
    [
        ("lenet_first", "forward", MACS, 4 * (IMAGE + WEIGHTS + PLANES)),
        ("lenet_first", TRAINING, 2 * MACS, 4 * (2 * (IMAGE + WEIGHTS + PLANES) + WEIGHTS)),
        ("stage_lenet_first", "forward", MACS, 4 * (IMAGE + WEIGHTS + POOLED)),
        (  # a quarter of the way back, and a byte an output each way
            "stage_lenet_first", TRAINING, MACS + MACS // 4,
            4 * (2 * (IMAGE + WEIGHTS + POOLED) + WEIGHTS) + 2 * POOLED,
        ),
        (
            "lenet_second", TRAINING, 3 * 256 * 16 * 100 * 150,
            4 * (2 * (256 * 6 * 196 + 2416 + 256 * 1600) + 2416 + 256 * 6 * 196),
        ),
    ],
)  # fmt: skip
def test_what_a_pass_cannot_do_without(case, pass_, macs, moved):
    assert floor(grid.named(case), pass_) == (macs, moved)


def test_only_the_first_input_of_a_chain_may_be_without_a_gradient():
    case = grid.named("separable_3x3")
    once = floor(case, "forward")[0]
    assert floor(case, TRAINING)[0] == 3 * once


@pytest.mark.parametrize("name", NAMES)
def test_torch_gives_what_cenote_gives(name, one_image):
    work = Work(row(name, TRAINING))
    right = result("cenote", work)
    assert len(right) == len(work.names())
    assert differs(work, right, result("torch", work)) is None


KINDS = (
    "depthwise_3x3_s2", "alexnet_first", "shuffled_8", "separable_3x3", "flattened_3x3",
    "stage_lenet_second",
)  # fmt: skip


@pytest.mark.parametrize("peer", ["torch.channels_last", "onnxruntime", "openvino"])
@pytest.mark.parametrize("name", [*KINDS, "line_64_to_64"])
def test_a_peer_gives_what_cenote_gives_or_says_why_not(name, peer, one_image):
    installed(peer)
    work = Work(row(name, TRAINING if peer == "torch.channels_last" else "forward"))
    if peer == "torch.channels_last" and name == "line_64_to_64":
        with pytest.raises(LeftOutError, match="tensors of rank 3 have no channels_last"):
            result(peer, work)
        return
    assert differs(work, result("cenote", work), result(peer, work)) is None


def test_torch_compile_gives_what_cenote_gives():
    there, missing = peers.load(["torch.compile"])
    if "torch.compile" not in there:
        pytest.skip(missing["torch.compile"])
    found = plan.measure(row(), there, PATIENCE)
    assert set(found["contenders"]) == {"cenote", "torch.compile"}


@pytest.mark.parametrize(
    ("name", "row", "why"),
    [
        ("onnxruntime", row(pass_=TRAINING), "forward only"),
        ("openvino", row(pass_=TRAINING), "forward only"),
        ("torch.compile", row("dense_1x1"), "compiled in some cases only"),
    ],
)
def test_a_peer_says_what_it_does_not_do(name, row, why):
    peer = installed(name)
    with pytest.raises(LeftOutError, match=why):
        peer.enter(Work(row))


def test_a_peer_that_is_not_installed_is_a_line_and_no_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    there, missing = peers.load([])
    assert {"cenote", "torch", "torch.channels_last"} <= there.keys()
    assert missing["openvino"] == "not installed (openvino)"
    assert missing["onnxruntime"] == "not installed (onnxruntime)"


def test_only_the_peers_that_are_named_take_part():
    assert set(peers.load(["torch"])[0]) == {"cenote", "torch"}
    with pytest.raises(ValueError, match=r"peer = 'onednn': must be one of torch, torch\.channels"):
        peers.load(["onednn"])


class Wrong:
    """torch, but for one element of one result."""

    version = "0"

    def __init__(self, which, by):
        self.which, self.by, self.timed = which, by, 0

    def enter(self, work):
        given = [t.detach().clone() for t in result("torch", work)]
        given[self.which].view(-1)[0] += self.by * float(given[self.which].abs().max())

        def call():
            self.timed += 1

        return Contender(call, lambda: tuple(given))


@pytest.mark.parametrize(
    ("which", "said"),
    [
        (0, "output: 1 of 1176 elements differ"),
        (1, "gradient of weight: 1 of 150 elements differ"),
        (2, "gradient of bias: 1 of 6 elements differ"),
    ],
)
def test_a_wrong_result_is_said_and_not_timed(which, said):
    wrong = Wrong(which, 10 * TOLERANCE)
    found = plan.measure(row(pass_=TRAINING), {"cenote": THERE["cenote"], "torch": wrong}, PATIENCE)
    assert found["left_out"] == {"torch": f"not timed: {said}"}
    assert set(found["contenders"]) == {"cenote"}
    assert found["times_faster"] == {}
    assert wrong.timed == 0


def test_sums_in_another_order_are_not_wrong():
    near = Wrong(0, TOLERANCE / 10)
    found = plan.measure(row(), {"cenote": THERE["cenote"], "torch": near}, PATIENCE)
    assert set(found["contenders"]) == {"cenote", "torch"}
    assert near.timed > 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda y: (), "0 results where 1 are right"),
        (
            lambda y: (y[..., 1:],),
            r"output: shape \(1, 6, 14, 13\) where \(1, 6, 14, 14\) is right",
        ),
        (lambda y: (y + float("nan"),), "output: 1176 of 1176 elements differ"),
    ],
)
def test_what_differs_is_named(given, said):
    work = Work(row())
    right = result("cenote", work)
    assert re.search(said, differs(work, right, given(right[0])))


def test_who_is_too_slow_is_said_and_not_waited_for(monkeypatch):
    monkeypatch.setattr(plan, "TOO_SLOW", 0.01)

    class Slow(Wrong):
        def enter(self, work):
            given = result("torch", work)

            def call():
                time.sleep(0.02)
                return given

            return Contender(call, call)

    there = {"cenote": THERE["cenote"], "torch": Slow(0, 0)}
    found = plan.measure(row(), there, PATIENCE)
    assert re.fullmatch(r"not timed: a call took 0\.\d s", found["left_out"]["torch"])


@pytest.mark.parametrize("name", ["stage_lenet_second", "stage_vgg_5"])
def test_the_sums_that_a_pool_compares_are_exact(name, one_image):
    work = Work(row(name))
    [(weight, bias)] = work.steps
    padding = work.case.steps[0].window[0].before
    once = F.conv2d(work.x, weight, bias, padding=padding)
    wide = F.conv2d(work.x.double(), weight.double(), bias.double(), padding=padding)
    assert torch.equal(once.double(), wide)


def test_figures_of_a_row():
    there = {name: THERE[name] for name in ("cenote", "torch")}
    found = plan.measure(row("stage_tiny"), there, PATIENCE)
    mine, theirs = found["contenders"]["cenote"], found["contenders"]["torch"]
    assert (found["macs"], found["bytes"]) == floor(grid.named("stage_tiny"), "forward")
    assert mine["gflops"] == pytest.approx(2 * found["macs"] / mine["median"] / 1e9)
    assert mine["gbs"] == pytest.approx(found["bytes"] / mine["median"] / 1e9)
    assert found["times_faster"] == {"torch": pytest.approx(theirs["median"] / mine["median"])}
    assert theirs["composed"] == "conv, relu, max_pool"
    assert mine["n"] >= 5
    assert found["layers"] == "1 to 6, 5x5, padding 2; max 2x2, stride 2"
    assert found["tolerance"] == TOLERANCE


def test_threads_of_the_row_are_those_of_everybody():
    seen = []

    class Watching(Wrong):
        def enter(self, work):
            seen.append(torch.get_num_threads())
            return super().enter(work)

    plan.measure(row(), {"cenote": THERE["cenote"], "torch": Watching(0, 0)}, PATIENCE)
    assert seen == [1]
