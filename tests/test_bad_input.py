"""Every mistake gets an error that names operator, axis and argument = value; never a crash."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import cenote
from cenote import Axis, Spans, Window, nn
from cenote.cases import CASES

X = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
FUNCTIONS = {"max_pool2d": cenote.max_pool2d, "avg_pool2d": cenote.avg_pool2d}
ALIKE = {  # all functions with windows that slide, as if they took the same arguments
    **FUNCTIONS,
    "min_pool2d": cenote.min_pool2d,
    "sum_pool2d": cenote.sum_pool2d,
    "median_pool2d": cenote.median_pool2d,
    "logsumexp_pool2d": cenote.logsumexp_pool2d,
    "stochastic_pool2d": cenote.stochastic_pool2d,
    "mixed_pool2d": cenote.mixed_pool2d,
    "lp_pool2d": lambda x, *a, **k: cenote.lp_pool2d(x, 2, *a, **k),
    "gem_pool2d": lambda x, *a, **k: cenote.gem_pool2d(x, 3.0, *a, **k),
}
MODULES = {
    "MaxPool2d": nn.MaxPool2d,
    "AvgPool2d": nn.AvgPool2d,
    "MedianPool2d": nn.MedianPool2d,
    "SumPool2d": nn.SumPool2d,
    "MixedPool2d": nn.MixedPool2d,
    "StochasticPool2d": nn.StochasticPool2d,
    "LogSumExpPool2d": nn.LogSumExpPool2d,
    "LPPool2d": lambda *a, **k: nn.LPPool2d(2, *a, **k),
    "GeMPool2d": lambda *a, **k: nn.GeMPool2d(3.0, *a, **k),
}
EVERYBODY = sorted(ALIKE) + sorted(MODULES)


def call(op, kernel_size=2, **arguments):
    """The function on :data:`X`, or the construction of the module: each has to refuse at once."""
    if op in ALIKE:
        return ALIKE[op](X, kernel_size, **arguments)
    return MODULES[op](kernel_size, **arguments)


def refused(error, op, message):
    return pytest.raises(error, match=rf"^{op}: {message}")


@pytest.mark.parametrize("reduce", ["max", "avg"])
@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=str)
def test_refused_cases(case, reduce):
    x = torch.zeros(case.shape)
    with refused(ValueError, "pool", case.refused):
        cenote.pool(x, case.window, reduce)
    arguments = case.arguments()
    if reduce == "avg":
        arguments["dilation"] = arguments.pop("dilation")
    with refused(ValueError, f"{reduce}_pool2d", case.refused):
        FUNCTIONS[f"{reduce}_pool2d"](x, **arguments)


@pytest.mark.parametrize("op", EVERYBODY)
@pytest.mark.parametrize("name", ["kernel_size", "stride", "dilation"])
@pytest.mark.parametrize("value", [0, -1, -(2**40)])
def test_less_than_one(op, name, value):
    for given, axis in ((value, "0 .height."), ((2, value), "1 .width.")):
        with refused(ValueError, op, rf"axis {axis}: {name} = {value}: must be at least 1$"):
            call(op, **{name: given})


@pytest.mark.parametrize("op", EVERYBODY)
def test_negative_padding(op):
    with refused(ValueError, op, r"axis 0 \(height\): padding = -1: must be at least 0$"):
        call(op, padding=-1)
    with refused(ValueError, op, r"axis 1 \(width\): padding = -2: must be at least 0$"):
        call(op, padding=(0, -2))
    with refused(ValueError, op, r"axis 1 \(width\): padding = \(0, -1\): must be at least 0$"):
        call(op, padding=((0, 0), (0, -1)))


@pytest.mark.parametrize("op", EVERYBODY)
@pytest.mark.parametrize("name", ["kernel_size", "stride", "padding", "dilation"])
@pytest.mark.parametrize(
    "value",
    [2.0, True, "2", np.float32(1), torch.tensor(1.5), b"2", {2}, np.array([1, 1])],
    ids=repr,
)
def test_no_integer(op, name, value):
    if name == "padding" and isinstance(value, str):
        with refused(ValueError, op, r"padding = '2': as a word it is 'same' or 'valid'$"):
            call(op, padding=value)
        return
    with refused(TypeError, op, rf"{name} = .*: must be an integer or 2 of them, not "):
        call(op, **{name: value})


@pytest.mark.parametrize("op", EVERYBODY)
@pytest.mark.parametrize("name", ["kernel_size", "stride", "padding", "dilation"])
@pytest.mark.parametrize("pair", [(1.0, 1), (1, True), (1, None), ("1", 1)], ids=repr)
def test_no_integer_in_a_pair(op, name, pair):
    """Also where the same pair of integers, equal to it as a key, was given just before."""
    call(op, **{name: (1, 1)})
    with refused(TypeError, op, rf"{name} = .*: must be an integer or 2 of them, not "):
        call(op, **{name: pair})


@pytest.mark.parametrize("op", EVERYBODY)
@pytest.mark.parametrize("bad", [1.0, True, None, "1"], ids=repr)
def test_no_integer_in_pairs_of_padding(op, bad):
    call(op, padding=((1, 1), (1, 1)))
    with refused(TypeError, op, r"padding = .*: must consist of integers$"):
        call(op, padding=((1, 1), (1, bad)))


@pytest.mark.parametrize("op", EVERYBODY)
def test_wrong_number_of_integers(op):
    for name in ("kernel_size", "stride", "dilation", "padding"):
        with refused(ValueError, op, rf"{name} = .*: needs one integer or 2, not 3$"):
            call(op, **{name: (1, 1, 1)})
    with refused(ValueError, op, r"kernel_size = \(\): needs one integer or 2, not 0$"):
        call(op, ())
    for padding in (((1, 1),), ((1, 1), (1,)), ((1, 1), 1), ((1, 1), (1, 1), (1, 1))):
        with refused(ValueError, op, r"padding = .*: as pairs it needs 2 of \(before, after\)$"):
            call(op, padding=padding)


@pytest.mark.parametrize("op", EVERYBODY)
@pytest.mark.parametrize("word", ["Same", "full", "reflect", "", "same "])
def test_words_for_padding(op, word):
    with refused(ValueError, op, rf"padding = '{word}': as a word it is 'same' or 'valid'$"):
        call(op, padding=word)


@pytest.mark.parametrize("op", EVERYBODY)
def test_padding_of_the_extent(op):
    last = r"leaves the last window without an element \(kernel 3, dilation 1\)$"
    with refused(ValueError, op, r"axis 1 \(width\): padding 3 leaves window 0 without an element"):
        call(op, 3, padding=(0, 3))
    with refused(ValueError, op, r"axis 0 \(height\): padding 9 leaves window 0 without"):
        call(op, 3, padding=9)
    with refused(ValueError, op, rf"axis 1 \(width\): padding 4 {last}"):
        call(op, 3, padding=((0, 0), (2, 4)))
    with refused(ValueError, op, r"axis 0 \(height\): padding 4 .* \(kernel 2, dilation 3\)$"):
        call(op, 2, padding=4, dilation=3)
    call(op, 2, padding=3, dilation=3)
    call(op, 3, padding=2)


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize("shape", [(), (8,), (8, 8), (1, 2, 3, 8, 8), (1, 1, 1, 1, 8, 8)], ids=str)
def test_wrong_rank(op, shape):
    message = (
        r"input: must have 3 or 4 dimensions, \(C, H, W\) or \(N, C, H, W\), "
        rf"not {len(shape)} \(shape \(.*\)\)$"
    )
    with refused(ValueError, op, message):
        FUNCTIONS[op](torch.zeros(shape), 2)
    with refused(ValueError, op, message):
        FUNCTIONS[op](torch.zeros(shape, requires_grad=True), 2)


@pytest.mark.parametrize("op", FUNCTIONS)
def test_window_longer_than_input(op):
    with refused(
        ValueError,
        op,
        r"axis 1 \(width\): a window of extent 9 \(kernel 5, dilation 2\) does not fit on an "
        r"input of length 4 with padding 1 and 2$",
    ):
        FUNCTIONS[op](X[..., :4], (2, 5), 1, ((0, 0), (1, 2)), dilation=2)
    with refused(ValueError, op, r"axis 0 \(height\): .* extent 9 .* does not fit .* length 8 "):
        FUNCTIONS[op](X, 9)
    assert FUNCTIONS[op](X, 9, 2, ceil_mode=True).shape == (2, 3, 1, 1)
    with refused(ValueError, op, r"axis 0 \(height\): .* extent 10 .* does not fit .* length 8 "):
        FUNCTIONS[op](X, 10, 2, ceil_mode=True)


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize(
    ("shape", "axis"), [((1, 1, 0, 4), "0 .height."), ((2, 4, 0), "1 .width.")]
)
def test_plane_without_elements(op, shape, axis):
    for padding in (0, 1, "same"):
        with refused(ValueError, op, rf"axis {axis}: the input has no elements$"):
            FUNCTIONS[op](torch.zeros(shape), 2, 1, padding)


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 0, 8, 8), (0, 8, 8), (0, 0, 8, 8)], ids=str)
def test_no_planes_are_no_mistake(op, shape):
    """Nothing in, nothing out: torch refuses some of these."""
    x = torch.zeros(shape, requires_grad=True)
    out = FUNCTIONS[op](x, 2)
    assert out.shape == (*shape[:-2], 4, 4)
    out.sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize(
    ("thing", "kind"),
    [(None, "NoneType"), ([[[1.0]]], "list"), (np.zeros((1, 4, 4)), "ndarray"), (3.0, "float")],
    ids=["None", "list", "array", "number"],
)
def test_no_tensor(op, thing, kind):
    with refused(TypeError, op, rf"input: must be a torch\.Tensor, not {kind}$"):
        FUNCTIONS[op](thing, 2)


@pytest.mark.parametrize("op", FUNCTIONS)
def test_elements_that_cannot_be_pooled(op):
    for dtype in (torch.complex64, torch.complex128):
        with refused(TypeError, op, rf"input: elements of type {dtype} "):
            FUNCTIONS[op](X.to(dtype), 2)
    with refused(TypeError, op, r"input: must be a dense tensor, not of layout torch.sparse_coo$"):
        FUNCTIONS[op](X.to_sparse(), 2)
    for dtype in (torch.uint16, torch.float8_e4m3fn):
        with refused(TypeError, op, rf"input: elements of type {dtype} are not supported$"):
            FUNCTIONS[op](torch.zeros(1, 4, 4, dtype=dtype), 2)


def test_booleans_have_no_average_and_no_median():
    for name, what in (("avg", "average"), ("median", "median")):
        for op, arguments in ((f"{name}_pool2d", (2,)), (f"global_{name}_pool2d", ())):
            message = rf"input: elements of type torch.bool have no {what}$"
            with refused(TypeError, op, message):
                getattr(cenote, op)(X > 0, *arguments)


FLOATING = {
    "lp_pool2d": (2, 2),
    "logsumexp_pool2d": (2,),
    "gem_pool2d": (3.0, 2),
    "stochastic_pool2d": (2,),
    "mixed_pool2d": (2,),
    "global_lp_pool2d": (2,),
    "global_logsumexp_pool2d": (),
    "global_gem_pool2d": (3.0,),
    "global_mixed_pool2d": (),
    "blur_pool2d": (),
    "max_blur_pool2d": (2,),
    "fractional_max_pool2d": (2, 3),
}


@pytest.mark.parametrize("op", FLOATING)
def test_floats_alone(op):
    for dtype in (torch.int64, torch.uint8, torch.bool):
        message = rf"input: elements must be floating point, not of type {dtype}$"
        with refused(TypeError, op, message):
            getattr(cenote, op)(X.to(dtype), *FLOATING[op])


@pytest.mark.parametrize("op", ["avg_pool2d", "AvgPool2d"])
def test_divisors(op):
    with refused(ValueError, op, r"divisor_override = 0: must not be zero$"):
        call(op, divisor_override=0)
    for value in (2.0, "2", True, (2, 2)):
        with refused(TypeError, op, r"divisor_override = .*: must be an integer, not "):
            call(op, divisor_override=value)


def test_pool_itself():
    window = Window([Axis(2), Axis(2)])
    with refused(TypeError, "pool", r"window: must be a cenote.Window, not int$"):
        cenote.pool(X, 3)
    with refused(TypeError, "pool", r"window: must be a cenote.Window, not list$"):
        cenote.pool(X, [Axis(2), Axis(2)])
    every = "max, min, avg, sum, lp, logsumexp, gem, median, stochastic, mixed"
    for reduce in ("mode", None, torch.add, ["max"]):
        message = rf"reduce = .*: must be one of {every}, or a pair of callables$"
        with refused(ValueError, "pool", message):
            cenote.pool(X, window, reduce)
    with refused(ValueError, "pool", r"input: must have 3 or 4 dimensions"):
        cenote.pool(X[0, 0], window)
    with refused(ValueError, "pool", r"axis 1 \(width\): padding 2 leaves window 0"):
        cenote.pool(X, Window([Axis(2), Axis(2, before=2)]))
    spans = Window([Spans((0, 2), (3, 9)), Axis(2)])
    message = r"axis 0 \(height\): windows that end at 9 do not fit on an input of length 8$"
    with refused(ValueError, "pool", message):
        cenote.pool(X, spans)


@pytest.mark.parametrize(
    ("reduce", "option", "taken"),
    [
        ("max", {"divisor_override": 2}, "return_indices, padding_mode"),
        ("avg", {"return_indices": True}, "count_include_pad, divisor_override, rounding, .*"),
        ("sum", {"rounding": "trunc"}, "padding_mode"),
        ("lp", {"p": 2}, "norm_type, padding_mode"),
        ("gem", {"norm_type": 2}, "p, eps, padding_mode"),
        ("logsumexp", {"alpha": 2}, "sharpness, mean, padding_mode"),
        ("median", {"strides": 2}, "return_indices, padding_mode"),
        ("stochastic", {"seed": 2}, "training, generator, padding_mode"),
        ("mixed", {"mean": 2}, "count_include_pad, alpha, padding_mode"),
    ],
)
def test_options_that_a_reduction_does_not_take(reduce, option, taken):
    window, (name,) = Window([Axis(2), Axis(2)]), option
    message = rf"{name}: reduce = '{reduce}' does not take it, but {taken}$"
    with refused(TypeError, "pool", message):
        cenote.pool(X, window, reduce, **option)


def test_reductions_of_ones_own():
    window = Window([Axis(2), Axis(2)])
    message = r"reduce = .*: as a pair it is \(combine, identity\), callables$"
    for pair in ((torch.add,), (torch.add, 0), (torch.add, torch.zeros_like, 1), ()):
        with refused(TypeError, "pool", message):
            cenote.pool(X, window, pair)
    with refused(TypeError, "pool", "return_indices: reduce = a pair of callables does not take"):
        cenote.pool(X, window, (torch.add, torch.zeros_like), return_indices=True)
    message = r"reduce: gave the shape \(2, 2, 3, 7, 7\) for outputs of shape \(2, 3, 7, 7\)$"
    with refused(ValueError, "pool", message):
        cenote.pool(X, window, (torch.add, lambda like: torch.zeros(2, *like.shape)))


def test_modules_check_again_what_is_set_on_them():
    module = nn.MaxPool2d(2)
    module.padding = 2
    with refused(ValueError, "(MaxPool2d|max_pool2d)", r"axis 0 \(height\): padding 2 leaves"):
        module(X)
    mean = nn.AvgPool2d(2)
    mean.divisor_override = 0
    with refused(ValueError, "(AvgPool2d|avg_pool2d)", r"divisor_override = 0: must not be zero$"):
        mean(X)


def test_an_argument_that_changes_is_read_again():
    """Windows are kept between calls: a tensor or list that changes must not bring back the old."""
    size = torch.tensor(2)
    assert cenote.max_pool2d(X, size).shape[-1] == 4
    size.fill_(4)
    assert cenote.max_pool2d(X, size).shape[-1] == 2
    sizes = [2, 2]
    assert cenote.max_pool2d(X, sizes).shape[-1] == 4
    sizes[1] = 4
    assert cenote.max_pool2d(X, sizes).shape[-1] == 2


HUGE = 2**31 + 5


@pytest.mark.parametrize("number", [HUGE, 2**33 + 1, 2**62, 2**63 - 1, 2**64 + 3, 2**200], ids=hex)
@pytest.mark.parametrize("op", FUNCTIONS)
def test_numbers_that_overflow(op, number):
    """Products of such numbers pass 63 bits: the right answer or an error, in no time."""
    function, corner = FUNCTIONS[op], X[..., :1, :1]
    assert_answer_or_error(lambda: function(X, 1, number), corner)
    assert_answer_or_error(lambda: function(X, 1, dilation=number, stride=8), corner)
    too_long = r"(axis 0 \(height\): .* does not fit .* length 8 |kernel .*: more than \d+ taps)"
    with refused(ValueError, op, too_long):
        function(X, number, 1)
    with refused(ValueError, op, too_long):
        function(X, 2, dilation=number)


def assert_answer_or_error(compute, expected):
    """The right answer, or an error that begins with the operator's name."""
    try:
        answer, message = compute(), None
    except (ValueError, OverflowError) as error:
        answer, message = None, str(error)
    if message is None:
        torch.testing.assert_close(answer, expected)
    else:
        assert message.startswith(("max_pool2d: ", "avg_pool2d: "))


def huge_kernels(number):
    """Windows of more taps than 32 or 64 bits count, centred on every pixel: all see the plane."""
    pads = (number // 2, number // 2)
    greatest = X.amax((-1, -2), keepdim=True).expand_as(X)
    mean = X.mean((-1, -2), keepdim=True).expand_as(X)
    leaf = X.clone().requires_grad_()

    def gradient():
        return torch.autograd.grad(cenote.max_pool2d(leaf, number, 1, "same").sum(), leaf)[0]

    def average():
        return cenote.avg_pool2d(X, number, 1, "same", count_include_pad=False)

    where = torch.zeros_like(X)
    where[..., -1, -1] = 64.0
    assert_answer_or_error(lambda: cenote.max_pool2d(X, number, 1, "same"), greatest)
    assert_answer_or_error(lambda: cenote.max_pool2d(X, number, 1, (pads, pads)), greatest)
    assert_answer_or_error(gradient, where)
    assert_answer_or_error(average, mean)


def test_kernels_that_overflow():
    """In a process of its own: what walks tap by tap would never come back."""
    here = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {here!r})\n"
        "import test_bad_input as bad\n"
        "for number in (2**16 + 1, 2**20 + 1, bad.HUGE, 2**40 + 1, 2**62 + 1, 2**70 + 1):\n"
        "    bad.huge_kernels(number)\n"
        "    print(number, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 6


@pytest.mark.parametrize("op", FUNCTIONS)
def test_other_devices_are_no_crash(op):
    """The meta device has shapes and no numbers; it stands for those that have no kernels here."""
    x = X.to("meta")
    out = FUNCTIONS[op](x, 3, 2, 1)
    assert (out.device.type, out.shape) == ("meta", (2, 3, 4, 4))
