"""What is measured: the cases that are promised, the rows of the grid, and how to choose."""

import pytest

from cenote.benchmarking import grid
from cenote.benchmarking.grid import INDICES, TRAINING, Row, rows
from cenote.benchmarking.pooling import shown
from cenote.cases import BENCHMARKS
from cenote.window import Adaptive, Axis

EVERY = rows({})

PROMISED = {
    "AlexNet": {"alexnet_first", "alexnet_last", "alexnet_adaptive"},
    "VGG-16": {"vgg_first", "vgg_last"},
    "NiN": {"nin_first", "nin_head"},
    "GoogLeNet": {"googlenet_stem", "inception_branch"},
    "SqueezeNet": {"squeezenet_first", "squeezenet_batch"},
    "ResNet": {"big_3x3_s2_p1", "one_image_stem", "resnet_head", "resnet_head_global"},
    "Inception-v3": {"inception_v3_branch", "inception_v3_reduction"},
    "DenseNet": {"densenet_transition"},
    "SPPF": {"yolo_sppf", "yolo_spp_9", "yolo_spp"},
    "LeNet": {"lenet_first", "lenet_second", "tiny_lenet"},
    "global and adaptive": {"global_large_planes", "vgg_adaptive"},
    "audio": {"audio_k4_s4", "audio_k3_s1_p1"},
    "video": {"video_2x2x2_s2", "video_3x3x3_s2_p1", "video_3x3x3_s1_p1"},
    "few channels": {"rgb_2x2_s2", "rgb_3x3_s1_p1"},
    "odd widths": {"odd_widths"},
    "kernels 31 and 63 beside 5": {"wide_5x5_s1_p2", "wide_31x31_s1_p15", "wide_63x63_s1_p31"},
    "cost per element": {f"size_1e{power}" for power in range(4, 10)},
}


@pytest.mark.parametrize("promise", PROMISED)
def test_every_case_that_is_promised_is_measured(promise):
    assert PROMISED[promise] <= {row.case for row in EVERY}


def test_every_window_that_is_promised_is_measured():
    axes = {case.window[0] for case in BENCHMARKS}
    wanted = [Axis(2, 2), Axis(3, 2, 1, 1), Axis(3, 1, 1, 1), Axis(5, 1, 2, 2), Axis(9, 1, 4, 4)]
    wanted += [Axis(k, 1, k // 2, k // 2) for k in (7, 13, 31, 63)]
    assert {*wanted, Adaptive(1)} <= axes


def test_shapes_that_are_promised():
    shapes = {case.shape for case in BENCHMARKS}
    assert {(32, 64, 16000), (2, 32, 32, 112, 112), (1, 6, 28, 28), (32, 64, 112, 112)} <= shapes
    assert grid.named("odd_widths").shape[-1] % 16


def test_every_case_is_measured_and_there_is_no_row_twice():
    assert {row.case for row in EVERY} == {case.name for case in BENCHMARKS}
    assert len({row.key for row in EVERY}) == len(EVERY)


def test_all_but_the_sizes_are_measured_in_all_their_layouts():
    seen = {(row.case, row.layout) for row in EVERY if row.key[1:] == _plain(row)}
    for case in BENCHMARKS:
        first_only = case.window.rank == 1 or case.name.startswith("size_")
        for layout in ("NCHW",) if first_only else ("NCHW", "NHWC"):
            assert (case.name, layout) in seen


def _plain(row):
    return ("max", "f32", row.layout, "forward", 2)


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("reduce", {"max", "min", "avg", "sum"}),
        ("dtype", {"f32", "bf16", "u8"}),
        ("layout", {"NCHW", "NHWC"}),
        ("pass_", {"forward", INDICES, TRAINING}),
        ("threads", {1, 2}),
    ],
)
def test_every_word_is_measured_somewhere(axis, values):
    assert {getattr(row, axis) for row in EVERY} == values


def test_no_row_asks_for_what_there_is_not():
    assert not [r for r in EVERY if r.pass_ == INDICES and r.reduce not in ("max", "min")]
    assert not [r for r in EVERY if r.pass_ == TRAINING and r.dtype == "u8"]
    assert not [r for r in EVERY if r.layout == "NHWC" and grid.named(r.case).window.rank == 1]


def test_only_what_is_too_long_for_peers_is_without_them():
    alone = {row.case for row in EVERY if not row.compared}
    assert alone == PROMISED["cost per element"] | PROMISED["kernels 31 and 63 beside 5"]
    assert alone.isdisjoint(row.case for row in EVERY if row.compared)
    kernels = {axis.kernel for row in EVERY if row.compared for axis in _axes(row)}
    assert {31, 63} <= kernels


def _axes(row):
    case = grid.named(row.case)
    return case.window.at(case.n) if "adaptive" not in case.name else ()


def test_quick_rows_are_few_and_of_the_same_cases():
    quick = rows({}, grid.QUICK)
    assert 10 < len(quick) < 30
    assert {row.key for row in quick} <= {row.key for row in EVERY}


def test_torch_compile_has_cases_of_its_own():
    assert {case.name for case in BENCHMARKS} > grid.COMPILED


def test_words_choose_rows_of_the_grid():
    chosen = rows({"case": ["vgg_first", "tiny_lenet"], "pass": [TRAINING]})
    assert {row.case for row in chosen} == {"vgg_first", "tiny_lenet"}
    assert {row.pass_ for row in chosen} == {TRAINING}
    assert set(chosen) <= set(EVERY)


def test_words_beyond_the_grid_make_rows():
    assert rows({"case": ["nin_head"], "dtype": ["u8"], "threads": [3]}) == [
        Row("nin_head", "max", "u8", layout, "forward", 3) for layout in ("NCHW", "NHWC")
    ]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"case": ["nosuch"]}, "case = 'nosuch': not known; there are big_2x2_s2, big_3x3_s1_p1, "),
        ({"reduce": ["mean"]}, "reduce = 'mean': must be one of max, min, avg, sum"),
        ({"dtype": ["f64"]}, "dtype = 'f64': must be one of f32, bf16, u8"),
        ({"layout": ["CHW"]}, "layout = 'CHW': must be one of NCHW, NHWC"),
        ({"pass": ["back"]}, "pass = 'back': must be one of forward, forward with indices, "),
        ({"reduce": ["avg"], "pass": [INDICES]}, "no row can have all of this: reduce .*'avg'"),
    ],
)
def test_words_that_do_not_exist(wanted, message):
    with pytest.raises(ValueError, match=message):
        rows(wanted)


def test_windows_in_words():
    words = {
        name: shown(grid.named(name).window) for name in ("resnet_head_global", "vgg_adaptive")
    }
    assert words == {"resnet_head_global": "global", "vgg_adaptive": "to 7x7"}
    assert shown(grid.named("big_3x3_s2_p1").window) == "3x3, stride 2, padding 1"
