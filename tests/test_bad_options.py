"""Every mistake in what only some operators take: an error that names operator and argument."""

import numpy as np
import pytest
import torch

import cenote
from cenote import nn
from test_bad_input import X, refused

MODES = "identity, zeros, reflect, replicate, circular"


def either(name, module, *first):
    """Two ways to make the same mistake: a call, and the construction of a module."""
    function = getattr(cenote, name)
    return (
        (name, lambda **options: function(X, *first, **options)),
        (module, lambda **options: getattr(nn, module)(*first, **options)),
    )


@pytest.mark.parametrize(
    ("op", "call"),
    [
        *either("max_pool2d", "MaxPool2d", 2),
        *either("median_pool2d", "MedianPool2d", 2),
        *either("avg_pool2d", "AvgPool2d", 2),
        *either("sum_pool2d", "SumPool2d", 2),
        *either("lp_pool2d", "LPPool2d", 2, 2),
        *either("logsumexp_pool2d", "LogSumExpPool2d", 2),
        *either("gem_pool2d", "GeMPool2d", 3.0, 2),
        *either("stochastic_pool2d", "StochasticPool2d", 2),
        *either("mixed_pool2d", "MixedPool2d", 2),
        *either("blur_pool2d", "BlurPool2d"),
        *either("max_blur_pool2d", "MaxBlurPool2d", 2),
        ("pool", lambda **options: cenote.pool(X, cenote.Window([cenote.Axis(2)] * 2), **options)),
    ],
)
def test_padding_modes(op, call):
    for mode in ("zero", "constant", "", None, 0, ["reflect"]):
        with refused(ValueError, op, rf"padding_mode = .*: must be one of {MODES}$"):
            call(padding_mode=mode)


@pytest.mark.parametrize(("op", "call"), either("avg_pool2d", "AvgPool2d", 2))
def test_rounding(op, call):
    for rounding in ("half_up", "", None):
        with refused(ValueError, op, r"rounding = .*: must be one of trunc, half_even$"):
            call(rounding=rounding)


def test_padding_that_the_input_is_too_short_for():
    x = X[..., :2]
    message = r"axis 1 \(width\): padding 2 reflects more than an input of length 2 has beside its"
    with refused(ValueError, "max_pool2d", message):
        cenote.max_pool2d(x, 5, 1, 2, padding_mode="reflect")
    with refused(ValueError, "blur_pool2d", message.replace("padding 2", "padding 3")):
        cenote.blur_pool2d(x, 7)
    message = r"axis 1 \(width\): padding 3 goes around an input of length 2 more than once$"
    with refused(ValueError, "avg_pool2d", message):
        cenote.avg_pool2d(x, 4, 1, 3, padding_mode="circular")
    cenote.avg_pool2d(x, 4, 1, 3, padding_mode="replicate")
    cenote.max_pool2d(x, 3, 1, 1, padding_mode="reflect")
    cenote.max_pool2d(x, 3, 1, 2, padding_mode="circular")


@pytest.mark.parametrize(
    ("name", "op", "call"),
    [
        *(("eps", *pair) for pair in either("gem_pool2d", "GeMPool2d", 3.0, 2)),
        *(("eps", *pair) for pair in either("global_gem_pool2d", "GlobalGeMPool2d", 3.0)),
        ("p", "gem_pool2d", lambda p: cenote.gem_pool2d(X, p, 2)),
        ("p", "GeMPool2d", lambda p: nn.GeMPool2d(p, 2)),
        ("p", "global_gem_pool2d", lambda p: cenote.global_gem_pool2d(X, p)),
        ("p", "GlobalGeMPool2d", nn.GlobalGeMPool2d),
    ],
)
def test_positive_numbers(name, op, call):
    for value in (0, -1.5, float("inf"), float("nan")):
        with refused(ValueError, op, rf"{name} = {value}: must be finite and above 0$"):
            call(**{name: value})
    for value in ("3", True, None, [1.0]):
        with refused(TypeError, op, rf"{name} = .*: must be a number, not "):
            call(**{name: value})
    call(**{name: np.float32(2)})


@pytest.mark.parametrize(
    ("op", "call"),
    [
        ("lp_pool2d", lambda p: cenote.lp_pool2d(X, p, 2)),
        ("LPPool2d", lambda p: nn.LPPool2d(p, 2)),
        ("global_lp_pool2d", lambda p: cenote.global_lp_pool2d(X, p)),
        ("GlobalLPPool2d", nn.GlobalLPPool2d),
        ("pool", lambda p: cenote.pool(X, cenote.Window([cenote.Axis(2)] * 2), "lp", norm_type=p)),
    ],
)
def test_norms(op, call):
    for value in (0, -2, float("nan"), -float("inf")):
        with refused(ValueError, op, rf"norm_type = {value}: must be above 0, infinity included$"):
            call(value)
    with refused(TypeError, op, r"norm_type = '2': must be a number, not str$"):
        call("2")
    with refused(TypeError, op, r"norm_type = tensor\(2\.\): must be a number, not Tensor$"):
        call(torch.tensor(2.0))


@pytest.mark.parametrize(
    ("op", "call"),
    [
        *either("logsumexp_pool2d", "LogSumExpPool2d", 2),
        *either("global_logsumexp_pool2d", "GlobalLogSumExpPool2d"),
    ],
)
def test_sharpness(op, call):
    for value in (0, 0.0, float("inf"), float("nan")):
        with refused(ValueError, op, rf"sharpness = {value}: must be finite and not 0$"):
            call(sharpness=value)
    with refused(TypeError, op, r"sharpness = None: must be a number, not NoneType$"):
        call(sharpness=None)


@pytest.mark.parametrize(
    ("op", "call"),
    [
        *either("mixed_pool2d", "MixedPool2d", 2),
        *either("global_mixed_pool2d", "GlobalMixedPool2d"),
    ],
)
def test_mixtures(op, call):
    for value in (-0.1, 1.5, float("nan")):
        with refused(ValueError, op, rf"alpha = {value}: must lie between 0 and 1$"):
            call(alpha=value)
    with refused(TypeError, op, r"alpha = '1': must be a number, not str$"):
        call(alpha="1")


@pytest.mark.parametrize(
    ("op", "name", "call"),
    [
        ("gem_pool2d", "p", lambda p: cenote.gem_pool2d(X, p, 2)),
        ("global_gem_pool2d", "p", lambda p: cenote.global_gem_pool2d(X, p)),
        ("mixed_pool2d", "alpha", lambda alpha: cenote.mixed_pool2d(X, 2, alpha=alpha)),
        ("global_mixed_pool2d", "alpha", lambda alpha: cenote.global_mixed_pool2d(X, alpha=alpha)),
    ],
)
def test_tensors_for_planes(op, name, call):
    for shape in ((2,), (3,), (3, 2, 1), (2, 1, 1), (1, 2, 3, 1, 1)):
        sizes = r"\(" + ", ".join(map(str, shape)) + r",?\)"
        message = rf"{name}: a tensor of shape {sizes} must be one number, or one for every plane"
        with refused(ValueError, op, message + r" of the input, \(2, 3, 1, 1\)$"):
            call(torch.ones(shape))
    with refused(TypeError, op, rf"{name}: elements must be floating point, not torch.int64$"):
        call(torch.tensor(1))
    for shape in ((), (1,), (3, 1, 1), (2, 1, 1, 1), (2, 3, 1, 1)):
        call(torch.full(shape, 0.5))


@pytest.mark.parametrize(("op", "call"), either("stochastic_pool2d", "StochasticPool2d", 2))
def test_generators(op, call):
    with refused(TypeError, op, r"generator: must be a torch.Generator, not int$"):
        call(generator=7)


# Sizes.


@pytest.mark.parametrize("reduce", ["max", "min", "avg", "sum"])
def test_output_sizes(reduce):
    function = getattr(cenote, f"adaptive_{reduce}_pool2d")
    module = f"Adaptive{reduce.title()}Pool2d"
    for op, call in (
        (f"adaptive_{reduce}_pool2d", lambda size: function(X, size)),
        (module, getattr(nn, module)),
    ):
        message = r"axis 1 \(width\): output_size = {}: must be at least 1$"
        with refused(ValueError, op, message.format(0)):
            call((None, 0))
        with refused(ValueError, op, message.format(-2)):
            call((3, -2))
        message = r"output_size = \(3, 2.5\): must be an integer or 2 of them, not float$"
        with refused(TypeError, op, message):
            call((3, 2.5))
        with refused(TypeError, op, r"output_size = True: must be an integer or 2 of them"):
            call(True)
        with refused(ValueError, op, r"output_size = \(1, 2, 3\): needs one integer or 2, not 3$"):
            call((1, 2, 3))


@pytest.mark.parametrize("op", ["global_max_pool2d", "global_avg_pool2d", "adaptive_max_pool2d"])
def test_what_whole_planes_need(op):
    size = (1,) if op.startswith("adaptive") else ()
    with refused(ValueError, op, r"input: must have 3 or 4 dimensions"):
        getattr(cenote, op)(X[0, 0], *size)
    with refused(ValueError, op, r"axis 1 \(width\): the input has no elements$"):
        getattr(cenote, op)(X[..., :0], *size)


@pytest.mark.parametrize(("op", "call"), either("blur_pool2d", "BlurPool2d"))
def test_filters(op, call):
    for taps in (1, 8):
        message = rf"axis 0 \(height\): kernel_size = {taps}: must be between 2 and 7$"
        with refused(ValueError, op, message):
            call(kernel_size=taps)
    with refused(ValueError, op, r"axis 1 \(width\): stride = 0: must be at least 1$"):
        call(stride=(1, 0))
    with refused(ValueError, op, r"padding = 'full': as a word it is 'half', 'same' or 'valid'$"):
        call(padding="full")
    with refused(ValueError, op, r"axis 0 \(height\): padding 3 leaves window 0 without"):
        call(padding=3)


@pytest.mark.parametrize(("op", "call"), either("max_blur_pool2d", "MaxBlurPool2d", 2))
def test_filters_behind_maxima(op, call):
    message = r"axis 0 \(height\): filter_size = 8: must be between 2 and 7$"
    with refused(ValueError, op, message):
        call(filter_size=8)
    with refused(ValueError, op, r"axis 0 \(height\): stride = 0: must be at least 1$"):
        call(stride=0)
    with refused(ValueError, op, r"padding = 'half': as a word it is 'same' or 'valid'$"):
        call(padding="half")


@pytest.mark.parametrize(
    ("op", "call"),
    [
        ("upsample_repeat2d", lambda factor: cenote.upsample_repeat2d(X, factor)),
        ("UpsampleRepeat2d", nn.UpsampleRepeat2d),
    ],
)
def test_factors(op, call):
    with refused(ValueError, op, r"axis 1 \(width\): scale_factor = 0: must be at least 1$"):
        call((2, 0))
    message = r"scale_factor = 2.0: must be an integer or 2 of them, not float$"
    with refused(TypeError, op, message):
        call(2.0)


@pytest.mark.parametrize(
    ("op", "call"),
    [
        ("spatial_pyramid_pool2d", lambda *a: cenote.spatial_pyramid_pool2d(X, *a)),
        ("SpatialPyramidPool2d", nn.SpatialPyramidPool2d),
    ],
)
def test_pyramids(op, call):
    with refused(ValueError, op, r"levels = \(\): needs at least one$"):
        call(())
    with refused(ValueError, op, r"levels = 0: must be at least 1$"):
        call((2, 0))
    with refused(TypeError, op, r"levels = 4: must be a sequence of integers, not int$"):
        call(4)
    with refused(TypeError, op, r"levels = 2.0: must be an integer, not float$"):
        call((1, 2.0))
    with refused(ValueError, op, r"reduce = 'lp': must be one of max, min, avg, sum$"):
        call((1,), "lp")


@pytest.mark.parametrize(("op", "call"), either("sppf2d", "SPPF2d"))
def test_chains(op, call):
    with refused(ValueError, op, r"repeats = 0: must be at least 1$"):
        call(repeats=0)
    with refused(TypeError, op, r"repeats = 1.5: must be an integer, not float$"):
        call(repeats=1.5)
    with refused(ValueError, op, r"axis 0 \(height\): kernel_size = 0: must be at least 1$"):
        call(kernel_size=0)


# What lies at indices.


def test_unpooling():
    values, indices = cenote.max_pool2d(X, 2, return_indices=True)

    def refuse(error, message, *arguments, **options):
        with refused(error, "max_unpool2d", message):
            cenote.max_unpool2d(*arguments, **options)

    refuse(TypeError, r"indices: must be a torch.Tensor, not list$", values, [0], 2)
    message = r"indices: elements must be torch.int64, not torch.int32$"
    refuse(TypeError, message, values, indices.int(), 2)
    message = r"indices: shape \(2, 3, 4, 3\) must be the input's, \(2, 3, 4, 4\)$"
    refuse(ValueError, message, values, indices[..., :3], 2)
    for stray in (64, 10**12, -2):
        wrong = indices.clone()
        wrong[1, 2, 3, 0] = stray
        message = rf"indices: {stray} must be -1 or lie in a plane of 8x8 elements$"
        refuse(ValueError, message, values, wrong, 2)
        refuse(ValueError, message, values.requires_grad_(), wrong, 2)
    values = values.detach()
    for size in ((8, 10), (2, 3, 8, 10), (8, 6)):
        message = rf"axis 1 \(width\): output_size = {size[-1]}: must lie between 6 and 10, both"
        refuse(ValueError, message, values, indices, 2, output_size=size)
    message = r"output_size = \(1, 8, 8\): needs one integer or 2, not 3$"
    refuse(ValueError, message, values, indices, 2, output_size=(1, 8, 8))
    message = r"output_size = \(8, 8.0\): must be an integer or 2 of them, not float$"
    refuse(TypeError, message, values, indices, 2, output_size=(8, 8.0))
    one = torch.zeros(1, 1, 1)
    message = r"axis 0 \(height\): 1 outputs of kernel 2, stride 1 and padding \(1, 1\) come from"
    refuse(ValueError, message, one, one.long(), 2, 1, 1)
    with refused(ValueError, "MaxUnpool2d", r"axis 0 \(height\): kernel_size = 0: must be"):
        nn.MaxUnpool2d(0)


def test_fractional_sizes():
    name = "fractional_max_pool2d"
    for op, call in (
        (name, lambda *a, **k: cenote.fractional_max_pool2d(X, 2, *a, **k)),
        ("FractionalMaxPool2d", lambda *a, **k: nn.FractionalMaxPool2d(2, *a, **k)),
    ):
        with refused(ValueError, op, "output_size, output_ratio: needs one of them, not neither$"):
            call()
        with refused(ValueError, op, "output_size, output_ratio: needs one of them, not both$"):
            call(3, 0.5)
        with refused(ValueError, op, r"output_ratio = 1.5: must lie between 0 and 1$"):
            call(output_ratio=(0.5, 1.5))
        with refused(TypeError, op, r"output_ratio = '1': must be a number, not str$"):
            call(output_ratio="1")
        message = r"output_ratio = \(1, 1, 1\): needs one number or 2, not 3$"
        with refused(ValueError, op, message):
            call(output_ratio=(1, 1, 1))
        with refused(ValueError, op, r"axis 1 \(width\): output_size = 0: must be at least 1$"):
            call((2, 0))
    message = r"axis 0 \(height\): 8 windows of kernel 2 do not fit on an input of length 8$"
    with refused(ValueError, name, message):
        cenote.fractional_max_pool2d(X, 2, 8)
    message = r"axis 0 \(height\): output_ratio = 0.1: leaves nothing of length 8$"
    with refused(ValueError, name, message):
        cenote.fractional_max_pool2d(X, 2, output_ratio=0.1)
    with refused(ValueError, "FractionalMaxPool2d", r"axis 0 \(height\): kernel_size = 0: must be"):
        nn.FractionalMaxPool2d(0, 2)


def test_random_samples():
    def refuse(error, message, samples, x=X):
        with refused(error, "fractional_max_pool2d", message):
            cenote.fractional_max_pool2d(x, 2, 3, _random_samples=samples)

    refuse(TypeError, "_random_samples: must be a tensor of floats, not list$", [0.5])
    message = "_random_samples: must be a tensor of floats, not torch.int64$"
    refuse(TypeError, message, torch.zeros(2, 3, 2, dtype=torch.int64))
    for shape in ((1, 3, 2), (2, 3), (2, 2, 2), (2, 3, 3)):
        message = r"_random_samples: shape \(.*\) must be \(2, 3, 2\): one number for every plane"
        refuse(ValueError, message, torch.zeros(shape))
    refuse(ValueError, r"_random_samples: .* must be \(1, 3, 2\)", torch.zeros(3, 2), X[0])
