"""Types, layouts, shapes, bits, and what else differs from torch: see docs/semantics.md."""

import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F

import cenote
from by_hand import (
    FLOATS,
    FORMATS,
    INTEGERS,
    NAN,
    RANKS,
    REDUCTIONS,
    by_name,
    gradient,
    line,
    numbers,
    row,
    same_bits,
    some,
    whole,
)
from cenote import Axis, Window, reference

NAMES = ("max_pool2d", "avg_pool2d")
PLACES = torch.tensor([[[0, 1]]])
NUMBERS = (*FLOATS, *INTEGERS)
EVERYTHING = (*NUMBERS, torch.bool)

# What is called, and what it takes.
TYPES = {
    "max_pool": (2, EVERYTHING),
    "min_pool": (2, EVERYTHING),
    "adaptive_max_pool": (1, EVERYTHING),
    "adaptive_min_pool": (1, EVERYTHING),
    "sppf": (3, EVERYTHING),
    "max_unpool": (PLACES, 2, EVERYTHING),
    "upsample_repeat": (2, EVERYTHING),
    "median_pool": (2, NUMBERS),
    "avg_pool": (2, NUMBERS),
    "adaptive_avg_pool": (1, NUMBERS),
    "lp_pool": (2.0, 2, FLOATS),
    "logsumexp_pool": (2, FLOATS),
    "gem_pool": (3.0, 2, FLOATS),
    "stochastic_pool": (2, FLOATS),
    "mixed_pool": (2, FLOATS),
    "blur_pool": (2, FLOATS),
    "max_blur_pool": (1, FLOATS),
    "global_max_pool": (EVERYTHING,),
    "global_min_pool": (EVERYTHING,),
    "global_avg_pool": (NUMBERS,),
    "global_median_pool": (NUMBERS,),
    "global_lp_pool": (2.0, FLOATS),
    "global_logsumexp_pool": (FLOATS,),
    "global_gem_pool": (3.0, FLOATS),
    "global_mixed_pool": (FLOATS,),
    "spatial_pyramid_pool": ((1, 2), "avg", NUMBERS),
}


def sliding(rank):
    """Every reduction, and what slides without being one, on inputs of a rank, as functions."""
    window = Window([Axis(3, 2, 1, 1)] * rank)
    functions = {
        reduce: partial(cenote.pool, window=window, reduce=reduce, **options)
        for reduce, options in REDUCTIONS.items()
    }
    functions["adaptive"] = by_name("adaptive_avg_pool", rank, output_size=3)
    functions["repeat"] = by_name("upsample_repeat", rank, scale_factor=2)
    functions["blur"] = by_name("blur_pool", rank)
    functions["blurred maxima"] = by_name("max_blur_pool", rank, kernel_size=2)
    functions["chain"] = by_name("sppf", rank)
    functions["product"] = partial(cenote.pool, window=window, reduce=(torch.mul, torch.ones_like))
    return functions


# Tensors.


def test_element_types():
    for name, (*arguments, taken) in TYPES.items():
        for dtype in EVERYTHING:
            x = line(1, 0, dtype=dtype)
            if dtype in taken:
                assert by_name(name, 1)(x, *arguments).dtype == dtype, name
            else:
                with pytest.raises(TypeError, match=f"{name}1d: input: elements"):
                    by_name(name, 1)(x, *arguments)
    for dtype in EVERYTHING:
        for total in ("sum_pool", "adaptive_sum_pool", "global_sum_pool"):
            arguments = [] if total.startswith("global") else [1]
            expected = dtype if dtype.is_floating_point else torch.int64
            assert by_name(total, 1)(line(1, 0, dtype=dtype), *arguments).dtype == expected
        plane = torch.zeros(1, 4, 4, dtype=dtype)
        if dtype in FLOATS:
            assert cenote.fractional_max_pool2d(plane, 2, 2).dtype == dtype
        else:
            with pytest.raises(TypeError, match="elements must be floating point"):
                cenote.fractional_max_pool2d(plane, 2, 2)


def test_types_that_torch_does_not_take():
    for dtype in INTEGERS:
        x = row(3, 1, 2, 5, dtype=dtype)
        assert numbers(cenote.max_pool2d(x, (1, 2))) == [3, 5] == numbers(F.max_pool2d(x, (1, 2)))
        assert numbers(cenote.max_pool1d(x[0], 2)) == [3, 5]
        assert numbers(cenote.adaptive_max_pool1d(x[0], 1)) == [5]
        assert numbers(cenote.adaptive_avg_pool2d(x, 1)) == [2]
        for refused in (
            lambda x=x: F.max_pool1d(x[0], 2),
            lambda x=x: F.adaptive_max_pool2d(x, 1),
            lambda x=x: F.adaptive_avg_pool2d(x, (1, 2)),
        ):
            with pytest.raises((NotImplementedError, RuntimeError), match=r"implemented|infer"):
                refused()
    integers = line(3, 4, dtype=torch.int64)
    truncated = torch.tensor([[[24.0]]]).sqrt()  # 25 / 2, truncated, times 2
    assert torch.equal(F.lp_pool1d(integers, 2, 2), truncated)
    with pytest.raises(TypeError, match="elements must be floating point"):
        cenote.lp_pool1d(integers, 2, 2)


def test_the_maximum_of_booleans_is_any():
    x = row(False, True, False, False, True, True, dtype=torch.bool)
    assert numbers(cenote.max_pool2d(x, (1, 2))) == [True, False, True]
    assert numbers(cenote.min_pool2d(x, (1, 2))) == [False, False, True]  # all
    with pytest.raises(NotImplementedError, match="max_pool2d"):
        F.max_pool2d(x, (1, 2))
    with pytest.raises(TypeError, match=r"elements of type torch\.bool have no average"):
        cenote.avg_pool2d(x, (1, 2))


def test_tensors_that_are_refused():
    x = some(1, 1, 4, 4)
    with pytest.raises(TypeError, match=r"must be a dense tensor, not of layout torch\._mkldnn"):
        cenote.max_pool2d(x.to_mkldnn(), 2)
    assert F.max_pool2d(x.to_mkldnn(), 2).is_mkldnn
    with pytest.raises(TypeError, match=r"elements of type torch\.complex64"):
        cenote.max_pool2d(x.to(torch.complex64), 2)
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor, not list"):
        cenote.max_pool2d(x.tolist(), 2)


def test_the_output_lies_as_the_input_does():
    x = some(2, 3, 8, 10)
    for memory_format in FORMATS:
        laid = x.contiguous(memory_format=memory_format)
        for name in NAMES:
            assert getattr(cenote, name)(laid, 2).stride() == getattr(F, name)(laid, 2).stride()
        for name, function in sliding(2).items():
            assert function(laid).is_contiguous(memory_format=memory_format), name
            if name not in ("blur", "product"):  # behind reflected padding they are contiguous
                assert gradient(function, laid).stride() == laid.stride(), name
        values, indices = cenote.max_pool2d(laid, 2, return_indices=True)
        assert indices.is_contiguous(memory_format=memory_format)
        unpooled = cenote.max_unpool2d(values.contiguous(), indices, 2)
        assert unpooled.is_contiguous(memory_format=memory_format)
        drawn = cenote.fractional_max_pool2d(laid, 2, 4)
        assert drawn.is_contiguous(memory_format=memory_format)
        assert F.fractional_max_pool2d(laid, 2, 4).is_contiguous()


def test_strides_change_no_number():
    x = some(2, 6, 8, 10).abs()
    views = (x[:, ::2], x.mT, x[..., 1:, 3:], x[:, :1].expand(2, 6, 8, 10), x.movedim(1, -1))
    for view, (name, function) in itertools.product(views, sliding(2).items()):
        copy = view.clone(memory_format=torch.contiguous_format)
        if name in ("max", "min", "median", "chain", "repeat"):
            assert torch.equal(function(view), function(copy)), name
        else:
            torch.testing.assert_close(function(view), function(copy), msg=name)
    chunk = x.contiguous(memory_format=torch.channels_last)[:, 1:4]
    assert cenote.max_pool2d(chunk, 2).is_contiguous(memory_format=torch.channels_last)


def test_without_a_batch():
    for rank in RANKS:
        x = whole(3, *[8] * rank)
        for name, function in sliding(rank).items():
            assert torch.equal(function(x), function(x[None])[0]), name


def test_no_planes_are_no_mistake():
    for shape in ((0, 3, 8, 8), (2, 0, 8, 8), (0, 8, 8)):
        x = torch.zeros(shape)
        for name, function in sliding(2).items():
            out = function(x)
            lead = (*shape[:-3], 4 * shape[-3]) if name == "chain" else shape[:-2]
            assert out.shape[:-2] == lead, name
            assert out.shape[-2:] == function(torch.zeros(1, 8, 8)).shape[1:], name
            assert gradient(function, x).shape == shape, name
        if shape[0] or len(shape) == 3:
            for name in NAMES:
                with pytest.raises(RuntimeError, match="Expected 3D or 4D"):
                    getattr(F, name)(x, 2)


def test_a_plane_without_elements_is_refused():
    with pytest.raises(ValueError, match=r"axis 0 \(height\): the input has no elements"):
        cenote.max_pool2d(torch.zeros(1, 1, 0, 4), 2, 1, 1)
    for name, function in sliding(1).items():
        with pytest.raises(ValueError, match=r"axis 0 \(length\): the input has no elements"):
            pytest.fail(f"{name} gave {function(torch.zeros(1, 1, 0))}")


def test_mistakes_are_type_and_value_errors():
    x = some(1, 1, 4, 4)
    for kernel, stride, padding in ((0, 1, 0), (2, 0, 0), (2, 1, -1), (2, 1, 2), (5, 1, 0)):
        with pytest.raises(RuntimeError):
            F.max_pool2d(x, kernel, stride, padding)
        with pytest.raises(ValueError, match=r"^max_pool2d: axis 0 \(height\): "):
            cenote.max_pool2d(x, kernel, stride, padding)
    with pytest.raises(TypeError, match=r"^max_pool2d: kernel_size = 2.0: must be an integer"):
        cenote.max_pool2d(x, 2.0)


# Bits.


def test_threads_change_no_bit():
    x = some(2, 5, 97, 211)  # a megabyte with the output: worth several threads
    functions = {name: f for name, f in sliding(2).items() if name not in ("median", "product")}
    for (name, pool), memory_format in itertools.product(functions.items(), FORMATS):
        laid = x.contiguous(memory_format=memory_format)
        found = []
        for threads in (1, 2, 3):
            with cenote.options(threads=threads):
                found.append((pool(laid), gradient(pool, laid)))
        for out, back in found[1:]:
            assert same_bits(out, found[0][0]), name
            assert same_bits(back, found[0][1]), name


def test_instruction_sets_change_no_bit_of_a_maximum():
    x = some(2, 5, 17, 23)
    x[..., ::3, ::4] = NAN
    x[..., 1::5, :] = -0.0
    for name in ("max_pool", "min_pool"):
        found = []
        for isa in cenote.doctor()["isas"]:
            with cenote.options(isa=isa):
                found.append(by_name(name, 2)(x, 3, 2, 1, return_indices=True))
        for values, indices in found:
            assert same_bits(values, found[0][0])
            assert torch.equal(indices, found[0][1])


def test_the_reference_agrees():
    x, window = some(2, 3, 13, 17), Window([Axis(3, 2, 1, 1), Axis(4, 1, 0, 2, 2, ceil=True)])
    for reduce in ("max", "min"):
        values, taps = reference.select_pool(x, window, reduce)
        ours, indices = cenote.pool(x, window, reduce, return_indices=True)
        assert same_bits(values, ours)
        assert torch.equal(reference.tap_indices(taps, window, (13, 17)), indices)
    for found, reduce, options in (
        (reference.avg_pool(x, window), "avg", {}),
        (reference.avg_pool(x, window, divisor_override=1), "sum", {}),
        (reference.power_pool(x, window, 3.0, divisor_override=1), "lp", {"norm_type": 3.0}),
        (reference.power_pool(x, window, 3.0, 0.1, False), "gem", {"p": 3.0, "eps": 0.1}),
        (reference.logsumexp_pool(x, window, 2.0), "logsumexp", {"sharpness": 2.0}),
    ):
        torch.testing.assert_close(found, cenote.pool(x, window, reduce, **options))


# Beside torch.


def test_arguments_that_torch_does_not_know():
    x = line(1.0, 2.0, 3.0)
    for name, keyword in (
        ("max_pool1d", {"padding_mode": "reflect"}),
        ("avg_pool2d", {"rounding": "half_even"}),
    ):
        shape = x if name.endswith("1d") else x[None]
        assert getattr(cenote, name)(shape, 1, **keyword).numel() == 3
        with pytest.raises(TypeError, match=next(iter(keyword))):
            getattr(F, name)(shape, 1, **keyword)


def test_autocast_leaves_the_type_alone():
    x = some(1, 1, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for dtype in (torch.float32, torch.bfloat16):
            for name in NAMES:
                assert getattr(F, name)(x.to(dtype), 2).dtype == dtype
            for name, function in sliding(2).items():
                assert function(x.to(dtype)).dtype == dtype, name


def test_the_input_may_be_overwritten_before_the_backward_pass():
    for name in ("max", "min", "avg", "sum", "adaptive", "repeat", "blur"):
        leaf = some(1, 1, 4, 4).requires_grad_()
        inside = leaf * 1
        out = sliding(2)[name](inside)
        expected = gradient(sliding(2)[name], leaf)
        inside.mul_(2)
        out.sum().backward()
        assert torch.equal(leaf.grad, expected), name
    for name in NAMES:
        inside = some(1, 1, 4, 4).requires_grad_() * 1
        out = getattr(F, name)(inside, 2).sum()
        inside.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            out.backward()


def test_modules_are_traced_but_not_scripted():
    module, x = cenote.nn.MaxPool2d(2), some(1, 1, 4, 4)
    assert torch.equal(torch.export.export(module, (x,)).module()(x), module(x))
    with (
        pytest.warns(DeprecationWarning, match="torch.jit.script"),
        pytest.raises(RuntimeError, match="window"),
    ):
        torch.jit.script(module)
