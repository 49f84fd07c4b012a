"""torch's own sample inputs for its pooling operators and modules, every one, put to ours.

The database is the one that torch tests itself with. Its sample inputs give the same values,
gradients and gradients of gradients here and in torch; its error inputs are refused here too, or
stand in a table with the reason. What was seen is counted, so that nothing is passed over in
silence.
"""

import functools
from math import prod

import pytest
import torch

import cenote

HALVES = (torch.bfloat16, torch.float16)
FLOATS = ("bfloat16", "float16", "float32", "float64")
INTEGERS = ("int16", "int32", "int64", "int8", "uint8")

# How many samples there are for an element type, and for which types.
SAMPLES = {
    "nn.functional.adaptive_avg_pool1d": (6, FLOATS),
    "nn.functional.adaptive_avg_pool2d": (10, FLOATS),
    "nn.functional.adaptive_avg_pool3d": (12, FLOATS),
    "nn.functional.adaptive_max_pool1d": (8, FLOATS),
    "nn.functional.adaptive_max_pool2d": (24, FLOATS),
    "nn.functional.adaptive_max_pool3d": (20, FLOATS),
    "nn.functional.avg_pool1d": (9, (*FLOATS, "int64")),
    "nn.functional.avg_pool2d": (7, (*FLOATS, "int64")),
    "nn.functional.avg_pool3d": (8, ("float32", "float64", "int64")),
    "nn.functional.fractional_max_pool2d": (37, FLOATS),
    "nn.functional.fractional_max_pool3d": (48, FLOATS),
    "nn.functional.max_pool1d": (864, FLOATS),
    "nn.functional.max_pool2d": (1440, (*FLOATS, *INTEGERS)),
    "nn.functional.max_pool3d": (576, (*FLOATS, *INTEGERS)),
    "max_pool2d_with_indices_backward": (1440, FLOATS),
    "nn.functional.max_unpool1d": (144, FLOATS),
    "nn.functional.max_unpool2d": (288, FLOATS),
    "nn.functional.max_unpool3d": (96, FLOATS),
    # Only those samples whose indices are all different, which depends on random numbers.
    "nn.functional.max_unpool1d.grad": (12, FLOATS),
    "nn.functional.max_unpool2d.grad": (24, FLOATS),
    "nn.functional.max_unpool3d.grad": (6, FLOATS),
}
ERRORS = {
    "nn.functional.adaptive_avg_pool1d": 2,
    "nn.functional.adaptive_avg_pool2d": 3,
    "nn.functional.adaptive_avg_pool3d": 3,
    "nn.functional.adaptive_max_pool1d": 2,
    "nn.functional.adaptive_max_pool2d": 3,
    "nn.functional.adaptive_max_pool3d": 3,
    "nn.functional.avg_pool1d": 2,
    "nn.functional.avg_pool2d": 5,
    "nn.functional.avg_pool3d": 6,
    "nn.functional.max_pool1d": 24,
    "nn.functional.max_pool2d": 7,
    "nn.functional.max_pool3d": 7,
    "nn.functional.max_unpool1d": 1,
    "nn.functional.max_unpool2d": 1,
    "nn.functional.max_unpool3d": 1,
}
MODULES = {
    "AdaptiveAvgPool1d": 3,
    "AdaptiveAvgPool2d": 5,
    "AdaptiveAvgPool3d": 5,
    "AdaptiveMaxPool1d": 2,
    "AdaptiveMaxPool2d": 4,
    "AdaptiveMaxPool3d": 6,
    "AvgPool1d": 4,
    "AvgPool2d": 7,
    "AvgPool3d": 15,
    "FractionalMaxPool2d": 5,
    "FractionalMaxPool3d": 6,
    "LPPool1d": 3,
    "LPPool2d": 3,
    "LPPool3d": 3,
    "MaxPool1d": 3,
    "MaxPool2d": 3,
    "MaxPool3d": 4,
}

# Error inputs that are no errors here: (operator, shape, a part of the arguments) and the reason.
HALF = "padding may be any size below the extent"
EMPTY = "no channels: nothing in, nothing out"
EXTENSIONS = {
    ("max_pool1d", (0, 1, 49), "kernel_size=3, dilation=2, stride=1, padding=3"): HALF,
    ("max_pool1d", (0, 10), "kernel_size=1"): EMPTY,
    ("max_pool3d", (0, 1, 2, 10), "kernel_size=1"): EMPTY,
}


@functools.cache
def database():
    """torch's entries for pooling, by name and variant; the import takes seconds."""
    from torch.testing._internal.common_methods_invocations import op_db

    return {
        ".".join(filter(None, (op.name, op.variant_test_name))): op
        for op in op_db
        if "pool" in op.name
    }


@functools.cache
def modules():
    from torch.testing._internal.common_modules import module_db

    return {m.name.removeprefix("nn."): m for m in module_db if "Pool" in m.name}


def backward_of_ones(input, **arguments):
    """What torch's entry for the backward operator computes, by our own backward pass."""
    x = input.detach().requires_grad_()
    out = cenote.functional.max_pool2d(x, **{**arguments, "return_indices": False})
    (grad,) = torch.autograd.grad(out, x, torch.ones_like(out))
    return grad + 0 * input  # as in torch, the gradient that leads on to the input is zero


def ours(name):
    if name == "max_pool2d_with_indices_backward":
        return backward_of_ones
    return getattr(cenote.functional, short(name))


def short(name):
    return name.removeprefix("nn.functional.").removesuffix(".grad")


def small_integers(like, seed):
    """Numbers whose sums are exact in every type."""
    numbers = torch.randint(-2, 3, like.shape, generator=torch.Generator().manual_seed(seed))
    return numbers.to(like.dtype)


def derivatives(f, x, order, sign=lambda y: y):
    """What ``f(x)`` gives, its gradient and the gradient's gradient, as far as ``order`` goes."""
    torch.default_generator.manual_seed(42)  # as torch does for fractional pooling
    x = x.detach().requires_grad_(order > 0)
    out = f(x)
    found = list(out) if isinstance(out, tuple) else [out]
    if order > 0:
        weights = sign(small_integers(found[0], 1)).requires_grad_()
        (grad,) = torch.autograd.grad(found[0], x, weights, create_graph=order > 1)
        found.append(grad)
        if order > 1 and x.numel() > 0:
            found += torch.autograd.grad(grad, weights, sign(small_integers(x, 2)))
    return [y.detach() for y in found]


def assert_equal(got, expected, what):
    assert len(got) == len(expected), what
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.dtype == theirs.dtype, what
        assert mine.shape == theirs.shape, what
        assert torch.equal(mine, theirs), what


def assert_average(f, torchs, x, order, terms, what):
    """Averages and their derivatives against torch's in float64, within the rounding of sums.

    A sum of ``terms`` numbers, in whatever order, and its division are off by at most
    ``(terms + 1) * eps / 2`` times the sum of their sizes, and so may torch's be. Half types are
    summed in float32 and rounded once; torch sums some of them in the half type.
    """
    got = derivatives(f, x, order)
    expected = derivatives(torchs, x.double(), order)
    # The maps are linear, and the factors of one have one sign.
    sizes = derivatives(torchs, x.double().abs(), order, torch.abs)
    summed = torch.finfo(torch.float32 if x.dtype in HALVES else x.dtype).eps
    own = torch.finfo(x.dtype)
    assert len(got) == len(expected), what
    for mine, theirs, size in zip(got, expected, sizes, strict=True):
        assert mine.dtype == x.dtype, what
        assert mine.shape == theirs.shape, what
        slack = (terms + 1) * summed * size.abs()
        if x.dtype in HALVES:
            slack += own.eps * theirs.abs() + own.tiny * own.eps
        assert_within(mine.double(), theirs, slack, what)


def assert_norm(f, torchs, x, terms, what):
    """Norms and their gradients against torch's in float64, relative to each of them.

    Every term is positive, so that errors are relative: ``terms`` roundings of a sum, and a few of
    every power before and after it, twice over in the product that the gradient is.
    """
    got, expected = derivatives(f, x, 1), derivatives(torchs, x.double(), 1, torch.abs)
    got[1] = derivatives(f, x, 1, torch.abs)[1]
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.dtype == x.dtype, what
        assert mine.shape == theirs.shape, what
        slack = 4 * (terms + 8) * torch.finfo(x.dtype).eps * theirs.abs()
        assert_within(mine.double(), theirs, slack, what)


def assert_within(mine, theirs, slack, what):
    off = (mine - theirs).abs()
    assert bool((off <= slack).all()), f"{what}: off by {off.max()}"


def terms_of(size, n):
    """As many numbers as a sum over a window has, or one over the windows that see an input.

    ``size`` is a kernel, or the output of an adaptive operator.
    """
    sizes = size if isinstance(size, tuple | list) else (size,)
    sizes = tuple(sizes) * (len(n) if len(sizes) == 1 else 1)
    windows = [length if s is None else s for s, length in zip(sizes, n, strict=True)]
    shared = [max(a // b, b // a) + 2 for a, b in zip(windows, n, strict=True)]
    return max(prod(windows), prod(shared))


def test_tables_are_the_database():
    assert set(SAMPLES) == set(database())
    for name, op in database().items():
        types = {str(d).removeprefix("torch.") for d in op.supported_dtypes("cpu")}
        assert types == set(SAMPLES[name][1]), name
        assert (op.error_inputs_func is not None) == (name in ERRORS), name
    assert set(MODULES) == set(modules())


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name, (_, types) in SAMPLES.items() for dtype in types]
)
def test_samples(name, dtype):
    op, f, dtype = database()[name], ours(name), getattr(torch, dtype)
    torch.manual_seed(20)
    samples = list(op.sample_inputs("cpu", dtype, requires_grad=dtype.is_floating_point))
    assert len(samples) >= SAMPLES[name][0]
    order = 0
    if dtype in op.supported_backward_dtypes("cpu"):
        order = 2 if op.supports_gradgrad and f is not backward_of_ones else 1
    if "unpool" in name and not name.endswith("grad"):
        order = 0  # torch claims no gradient where two outputs share an index
    for number, sample in enumerate(samples):
        x, args, kwargs = sample.input, sample.args, sample.kwargs
        what = f"sample {number}: {tuple(x.shape)} {args} {kwargs}"
        mine, theirs = (functools.partial(call, g, args, kwargs) for g in (f, op.op))
        if "avg" in name and dtype.is_floating_point:
            rank = int(name[-2])
            size = args[0] if args else kwargs["kernel_size"]
            assert_average(mine, theirs, x, order, terms_of(size, x.shape[-rank:]), what)
        else:
            assert_equal(derivatives(mine, x, order), derivatives(theirs, x, order), what)


def call(f, args, kwargs, x):
    return f(x, *args, **kwargs)


@pytest.mark.parametrize("name", ERRORS)
def test_error_inputs(name):
    op, f = database()[name], ours(name)
    errors = list(op.error_inputs("cpu"))
    assert len(errors) >= ERRORS[name]
    extended = set()
    for error in errors:
        sample = error.sample_input
        torchs = pytest.raises(error.error_type, match=error.error_regex)
        with torchs:
            op.op(sample.input, *sample.args, **sample.kwargs)
        key = short(name), tuple(sample.input.shape), written(sample.kwargs)
        if key in EXTENSIONS:
            extended.add(key)
            f(sample.input, *sample.args, **sample.kwargs)
            continue
        with pytest.raises((TypeError, ValueError), match=rf"^{short(name)}: "):
            f(sample.input, *sample.args, **sample.kwargs)
    assert extended == {key for key in EXTENSIONS if key[0] == short(name)}


def written(kwargs):
    return ", ".join(f"{k}={v!r}" for k, v in kwargs.items() if k != "return_indices")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", MODULES)
def test_modules(name, dtype):
    """torch's modules, built by the same words; the only samples that there are of lp pooling."""
    torch.manual_seed(20)
    info = modules()[name]
    assert dtype in info.dtypes
    samples = info.module_inputs_func(info, "cpu", dtype, requires_grad=True, training=True)
    assert len(samples) >= MODULES[name]
    for number, sample in enumerate(samples):
        built, (x,) = sample.constructor_input, sample.forward_input.args
        what = f"sample {number}: {tuple(x.shape)} {built.args} {built.kwargs}"
        mine = getattr(cenote.nn, name)(*built.args, **built.kwargs).to(dtype)
        theirs = info.module_cls(*built.args, **built.kwargs).to(dtype)
        assert isinstance(mine, info.module_cls), what
        if not name.startswith(("Avg", "AdaptiveAvg", "LP")):
            assert_equal(derivatives(mine, x, 2), derivatives(theirs, x, 2), what)
            continue
        size = [*built.args, *built.kwargs.values()][name.startswith("LP")]
        terms = terms_of(size, x.shape[-int(name[-2]) :])
        if name.startswith("LP"):  # torch's powers of negative numbers are NaN
            assert_norm(mine, theirs, x.abs(), terms, what)
        else:
            assert_average(mine, theirs, x, 2, terms, what)


def test_module_error_inputs():
    """torch gives them for one module."""
    info = modules()["MaxPool2d"]
    assert [m for m in modules().values() if m.module_error_inputs_func] == [info]
    errors = info.module_error_inputs_func(
        info, "cpu", torch.float32, requires_grad=False, training=True
    )
    assert len(errors) >= 3
    for error in errors:
        sample = error.module_error_input
        built, (x,) = sample.constructor_input, sample.forward_input.args
        with pytest.raises(error.error_type, match=error.error_regex):
            info.module_cls(*built.args, **built.kwargs)(x)
        with pytest.raises((TypeError, ValueError), match=r"^(MaxPool2d|max_pool2d): "):
            cenote.nn.MaxPool2d(*built.args, **built.kwargs)(x)
