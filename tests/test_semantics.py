"""What the operators compute, one statement a test: the statements are in docs/semantics.md.

Numbers are small enough to be checked by eye. torch is asked as well, where it agrees and where it
does not: a deviation that torch gives up some day turns its test red.
"""

import itertools
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import Axis, Window, reference

NAN, INF = float("nan"), float("inf")
FORMATS = (torch.contiguous_format, torch.channels_last)
NAMES = ("max_pool2d", "avg_pool2d")
HALVES = (torch.float16, torch.bfloat16)
UNEQUAL = ((2, 1), (0, 3))  # padding of height and width
# One case for each way in which the two divisors, ceil mode and padding meet.
PADDED = [(3, 2, 1, ceil, inside) for ceil in (False, True) for inside in (False, True)]


def row(*values, dtype=torch.float32):
    """One row as a plane: (1, 1, 1, len(values))."""
    return torch.tensor([[[values]]], dtype=dtype)


def some(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)


def along(axis):
    """A window along rows alone."""
    return Window([Axis(1), axis])


def numbers(x):
    return x.flatten().tolist()


def gradient(function, x, grad=None):
    """Of ``sum(function(x) * grad)``; all ones where no ``grad`` is given."""
    leaf = x.detach().requires_grad_()
    out = function(leaf)
    given = torch.ones_like(out) if grad is None else grad.expand_as(out)
    return torch.autograd.grad(out, leaf, given)[0]


def same_bits(a, b):
    kind = {8: torch.int64, 4: torch.int32, 2: torch.int16}[a.element_size()]
    return torch.equal(a.contiguous().view(kind), b.contiguous().view(kind))


# Windows.


def test_which_inputs_an_output_reads():
    x, (stride, before, dilation) = some(1, 1, 1, 11), (2, 3, 2)
    out = cenote.pool(x, along(Axis(3, stride, before, 1, dilation)))
    for o in range(out.shape[-1]):
        inputs = [o * stride - before + k * dilation for k in range(3)]
        assert out[..., o] == max(x[0, 0, 0, i] for i in inputs if 0 <= i < 11)


def test_sizes_are_torchs():
    for k, s, p, d, ceil, n in itertools.product(
        (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2), (False, True), (7, 8, 9)
    ):
        if p <= k // 2 and (k - 1) * d < n:
            theirs = F.max_pool2d(torch.zeros(1, n, n), k, s, p, d, ceil)
            assert (Axis(k, s, p, p, d, ceil).out(n),) * 2 == theirs.shape[1:]


def test_ceil_mode_lets_the_last_window_hang_over():
    x = row(1.0, 2.0, 3.0, 4.0)
    assert numbers(cenote.max_pool2d(x, (1, 3), 2)) == [3.0]
    assert numbers(cenote.max_pool2d(x, (1, 3), 2, ceil_mode=True)) == [3.0, 4.0]
    assert numbers(cenote.avg_pool2d(x, (1, 3), 2, ceil_mode=True)) == [2.0, 3.5]


def test_ceil_mode_drops_a_window_that_would_start_in_the_padding_behind():
    x = row(1.0, 2.0, 3.0)  # starts at -1 and 1; a third window would start at 3
    assert numbers(cenote.max_pool2d(x, (1, 2), 2, (0, 1), ceil_mode=True)) == [1.0, 3.0]
    assert numbers(F.max_pool2d(x, (1, 2), 2, (0, 1), ceil_mode=True)) == [1.0, 3.0]


def test_ceil_mode_gives_fewer_outputs_only_where_pooling_refuses_the_padding():
    assert (Axis(2, 2, 0, 2).out(4), Axis(2, 2, 0, 2, ceil=True).out(4)) == (3, 2)
    with pytest.raises(ValueError, match="padding 2 leaves the last window without an element"):
        cenote.pool(row(1.0, 2.0, 3.0, 4.0), along(Axis(2, 2, 0, 2, ceil=True)))
    for k, s, d, n in itertools.product(range(1, 5), range(1, 5), (1, 2, 3), range(1, 12)):
        for before, after in itertools.product(range((k - 1) * d + 1), repeat=2):
            plain, ceil = (Axis(k, s, before, after, d, c) for c in (False, True))
            assert plain.out(n) <= ceil.out(n) <= plain.out(n) + 1


def test_padding_may_be_any_size_below_the_extent():
    x = row(1.0, 2.0, 3.0)
    assert numbers(cenote.max_pool2d(x, (1, 3), 1, (0, 2))) == [1.0, 2.0, 3.0, 3.0, 3.0]
    assert cenote.avg_pool2d(x, (1, 3), 3, (0, 4), dilation=2).shape[-1] == 3
    with pytest.raises(RuntimeError, match="pad should be at most half"):
        F.max_pool2d(x, (1, 3), 1, (0, 2))


def test_padding_of_the_extent_is_refused():
    with pytest.raises(ValueError, match=r"axis 1 \(width\): padding 3 leaves window 0 without"):
        cenote.max_pool2d(row(1.0, 2.0, 3.0), (1, 3), 1, (0, 3))
    with pytest.raises(ValueError, match="padding 5 leaves window 0 without"):
        cenote.avg_pool2d(row(1.0, 2.0, 3.0), (1, 3), 1, (0, 5), dilation=2)


def test_each_end_may_have_its_own_padding():
    x = some(2, 3, 5, 6)
    (top, bottom), (left, right) = UNEQUAL
    sides = (left, right, top, bottom)
    blank, zeros = F.pad(x, sides, value=-INF), F.pad(x, sides)
    assert torch.equal(cenote.max_pool2d(x, 4, 2, UNEQUAL), F.max_pool2d(blank, 4, 2))
    torch.testing.assert_close(cenote.avg_pool2d(x, 4, 2, UNEQUAL), F.avg_pool2d(zeros, 4, 2))
    with pytest.raises(TypeError, match="must be tuple of ints"):
        F.max_pool2d(x, 4, 2, UNEQUAL)


def test_same_gives_an_output_for_every_stride_begun():
    for k, s, d, n in itertools.product(range(1, 6), range(1, 5), (1, 2), range(1, 10)):
        axis = Axis.same(k, s, d).at(n)
        assert axis.out(n) == math.ceil(n / s)
        assert axis.after - axis.before in (0, 1)
        assert axis.before + axis.after == max(0, (axis.out(n) - 1) * s + axis.extent - n)
    x = row(1.0, 2.0, 3.0, 4.0)  # an even kernel: the odd element of padding comes last
    for ceil in (False, True):
        assert numbers(cenote.max_pool2d(x, (1, 2), 1, "same", ceil_mode=ceil)) == [2, 3, 4, 4]
        assert numbers(cenote.max_pool2d(x, (1, 3), 2, "same", ceil_mode=ceil)) == [3, 4]


def test_valid_is_no_padding():
    x = some(1, 2, 7, 8)
    assert torch.equal(cenote.max_pool2d(x, 3, 2, "valid"), F.max_pool2d(x, 3, 2))
    with pytest.raises(TypeError, match="must be tuple of ints, not str"):
        F.max_pool2d(x, 3, 2, "valid")


# Maxima.


def test_nan_wins_and_of_several_the_last():
    x = row(NAN, 1.0, NAN, INF)
    for library in (cenote, F):
        value, index = library.max_pool2d(x, (1, 4), return_indices=True)
        assert value.isnan()
        assert index == 2
    assert numbers(gradient(partial(cenote.max_pool2d, kernel_size=(1, 4)), x)) == [0, 0, 1, 0]


def test_of_equal_maxima_the_first_in_row_major_order():
    x = torch.tensor([[[0.0, 1.0, 7.0], [7.0, 7.0, 2.0]]])
    for library in (cenote, F):
        assert library.max_pool2d(x, (2, 3), return_indices=True)[1] == 2
        to = gradient(partial(library.max_pool2d, kernel_size=(2, 3)), x)
        assert numbers(to) == [0, 0, 1, 0, 0, 0]


def test_zeros_of_both_signs_are_equal():
    for x in (row(-0.0, 0.0), row(0.0, -0.0)):
        for library in (cenote, F):
            value, index = library.max_pool2d(x, (1, 2), return_indices=True)
            assert same_bits(value, x[..., :1])
            assert index == 0


def test_minus_infinity_stays_and_has_an_index():
    x = row(-INF, -INF, -INF)
    for library in (cenote, F):
        values, indices = library.max_pool2d(x, (1, 3), 1, (0, 1), return_indices=True)
        assert numbers(values) == [-INF] * 3
        assert numbers(indices) == [0, 0, 1]


def test_a_maximum_over_nothing_is_the_least_value_at_minus_one():
    for dtype, least in ((torch.float64, -INF), (torch.int8, -128), (torch.bool, False)):
        x = row(1, 1, 1, dtype=dtype)
        window = along(Axis(2, 2, 4, 2, 5))  # taps at -4 and 1, then at -2 and 3
        values, indices = cenote.pool(x, window, return_indices=True)
        assert numbers(values) == [1, least]
        assert numbers(indices) == [1, -1]
    assert numbers(gradient(lambda t: cenote.pool(t, window), row(1.0, 1.0, 1.0))) == [0, 1, 0]


def test_only_dilation_empties_windows():
    for k, s, n in itertools.product(range(1, 5), range(1, 5), range(1, 8)):
        for before, after, ceil in itertools.product(range(k), range(k), (False, True)):
            axis = Axis(k, s, before, after, ceil=ceil)
            assert all(axis.taps(o, n) for o in range(axis.out(n)))


def test_torch_gives_an_empty_window_an_element_that_it_does_not_have():
    x = torch.ones(1, 4, 2)  # taps at rows -1 and 4
    arguments = (2, 1), 1, (1, 0), (5, 1)
    assert numbers(F.max_pool2d(x, *arguments, return_indices=True)[1]) == [8, 9]
    values, indices = cenote.max_pool2d(x, *arguments, return_indices=True)
    assert numbers(indices) == [-1, -1]
    with pytest.raises(RuntimeError, match="invalid max index: -1"):  # and writes nothing
        F.max_unpool2d(values, indices, (2, 1))


def test_indices_point_into_the_plane():
    x = some(2, 3, 7, 9)
    for memory_format in FORMATS:
        laid = x.contiguous(memory_format=memory_format)
        values, indices = cenote.max_pool2d(laid, 3, 2, 1, return_indices=True)
        assert indices.dtype == torch.int64
        assert torch.equal(x.flatten(2).gather(2, indices.flatten(2)), values.flatten(2))
        assert torch.equal(indices, F.max_pool2d(laid, 3, 2, 1, return_indices=True)[1])


def test_maxima_and_their_gradients_are_torchs_to_the_bit():
    for dtype, memory_format in itertools.product((torch.float32, torch.float64), FORMATS):
        x = some(2, 3, 13, 17, dtype=dtype).contiguous(memory_format=memory_format)
        ours, theirs = (
            partial(f.max_pool2d, kernel_size=5, stride=2, padding=2) for f in (cenote, F)
        )
        assert same_bits(ours(x), theirs(x))
        grad = some(*ours(x).shape, dtype=dtype)
        assert same_bits(gradient(ours, x, grad), gradient(theirs, x, grad))


# Averages.


def test_padding_counts_unless_asked_not_to():
    x = row(2.0, 4.0)
    assert numbers(cenote.avg_pool2d(x, (1, 2), 1, (0, 1))) == [1.0, 3.0, 2.0]
    inside = cenote.avg_pool2d(x, (1, 2), 1, (0, 1), count_include_pad=False)
    assert numbers(inside) == [2.0, 3.0, 4.0]


def test_what_hangs_over_in_ceil_mode_never_counts():
    x = row(2.0, 4.0, 6.0, 8.0)  # padded to six; the third window has two taps in it
    for inside, last in ((True, 8 / 2), (False, 8 / 1)):
        out = cenote.avg_pool2d(x, (1, 3), 2, (0, 1), True, inside)
        assert numbers(out)[2:] == [last]
        assert torch.equal(out, F.avg_pool2d(x, (1, 3), 2, (0, 1), True, inside))


def test_divisor_override_divides_every_sum():
    x = row(2.0, 4.0)
    for by, expected in ((4, [0.5, 1.5, 1.0]), (-2, [-1.0, -3.0, -2.0])):
        out = cenote.avg_pool2d(x, (1, 2), 1, (0, 1), divisor_override=by)
        assert numbers(out) == expected
        assert torch.equal(out, F.avg_pool2d(x, (1, 2), 1, (0, 1), divisor_override=by))


def test_averages_take_dilation():
    x = row(1.0, 2.0, 3.0, 4.0, 5.0)
    assert numbers(cenote.avg_pool2d(x, (1, 2), 1, dilation=3)) == [2.5, 3.5]
    with pytest.raises(TypeError, match="unexpected keyword argument 'dilation'"):
        F.avg_pool2d(x, (1, 2), 1, dilation=3)


def test_an_average_of_nothing_is_zero():
    window = along(Axis(2, 3, 4, 4, 5))  # taps at -4 and 1, then at -1 and 4
    for options in ({"count_include_pad": False}, {"count_include_pad": True}):
        out = cenote.pool(row(6.0, 6.0, 6.0), window, "avg", **options)
        assert numbers(out) == [6.0 / (1 + options["count_include_pad"]), 0.0]
    back = gradient(lambda t: cenote.pool(t, window, "avg"), row(6.0, 6.0, 6.0))
    assert numbers(back) == [0.0, 0.5, 0.0]


def test_nan_and_infinity_stay_in_their_windows():
    x = row(NAN, 1.0, 3.0, INF, -INF)
    for library in (cenote, F):
        out = numbers(library.avg_pool2d(x, (1, 2), 1))
        assert out[1:3] == [2.0, INF]
        assert math.isnan(out[0])
        assert math.isnan(out[3])


def test_integer_averages_are_truncated_toward_zero():
    x = row(-3, 0, 3, 0, dtype=torch.int64)
    assert numbers(cenote.avg_pool2d(x, (1, 2))) == [-1, 1] == numbers(F.avg_pool2d(x, (1, 2)))
    large = row(2**61 + 1, 2**61 + 3, dtype=torch.int64)
    assert cenote.avg_pool2d(large, (1, 2)) == 2**61 + 2  # no float on the way


def test_narrow_integers_are_summed_in_wide_ones():
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        most = torch.iinfo(dtype).max
        x = row(most, most, most, dtype=dtype)
        assert cenote.avg_pool2d(x, (1, 3)) == most
        with pytest.raises(NotImplementedError, match="avg_pool2d"):
            F.avg_pool2d(x, (1, 3))


def test_averages_of_halves_are_summed_in_float32():
    for dtype in HALVES:
        x = some(2, 3, 9, 8, dtype=dtype)
        for library in (cenote, F):
            wide = library.avg_pool2d(x.float(), 3, 2, 1)
            assert same_bits(library.avg_pool2d(x, 3, 2, 1), wide.to(dtype))
    assert cenote.avg_pool2d(row(6e4, 6e4, dtype=torch.float16), (1, 2)) == 6e4  # 65504 is the end


def test_gradients_of_halves_are_summed_in_float32():
    x = torch.zeros(1, 1, 1, 401, dtype=torch.bfloat16)
    x[..., 200] = 1.0  # all of the 201 windows see it, and it wins them all
    grad = torch.ones(201, dtype=torch.bfloat16)
    grad[0] = 256.0  # 257 is no bfloat16: adding one at a time leads nowhere
    for library, most in ((cenote, 456.0), (F, 256.0)):
        of_max = gradient(partial(library.max_pool2d, kernel_size=(1, 201), stride=1), x, grad)
        of_sum = gradient(
            partial(library.avg_pool2d, kernel_size=(1, 201), stride=1, divisor_override=1), x, grad
        )
        assert of_max.max() == of_sum.max() == most


def test_averages_whose_sums_are_exact_are_torchs_to_the_bit():
    for dtype, memory_format in itertools.product((torch.float32, torch.float64), FORMATS):
        x = (some(2, 3, 9, 11, dtype=dtype) * 100).round().contiguous(memory_format=memory_format)
        for arguments in PADDED:
            assert torch.equal(cenote.avg_pool2d(x, *arguments), F.avg_pool2d(x, *arguments))


def test_other_averages_are_right_within_the_rounding_of_their_sums():
    x = some(2, 3, 9, 11)
    for arguments in PADDED:
        exact = F.avg_pool2d(x.double(), *arguments)
        sizes = F.avg_pool2d(x.double().abs(), *arguments)
        # nine terms are added with at most nine roundings, and divided with one
        slack = 10 * torch.finfo(torch.float32).eps * sizes
        assert ((cenote.avg_pool2d(x, *arguments) - exact).abs() <= slack).all()


def test_an_average_of_negative_zeros_is_positive():
    for channels in (1, 20):
        x = torch.full((1, channels, 2, 2), -0.0)
        for layout in (torch.contiguous_format, torch.channels_last):
            for padding in (0, 1):
                ours = cenote.avg_pool2d(x.contiguous(memory_format=layout), 2, 1, padding)
                assert same_bits(ours, F.avg_pool2d(x, 2, 1, padding))
                assert not ours.signbit().any()


# Tensors.


def test_element_types():
    floats, integers = (torch.float32, torch.float64, *HALVES), (torch.uint8, torch.int8)
    for dtype in (*floats, *integers, torch.int16, torch.int32, torch.int64):
        x = row(3, 1, 2, 5, dtype=dtype)
        assert numbers(cenote.max_pool2d(x, (1, 2))) == [3, 5] == numbers(F.max_pool2d(x, (1, 2)))
        assert numbers(cenote.avg_pool2d(x, (1, 2)).long()) == [2, 3]
        assert cenote.avg_pool2d(x, (1, 2)).dtype == cenote.max_pool2d(x, (1, 2)).dtype == dtype


def test_the_maximum_of_booleans_is_any():
    x = row(False, True, False, False, dtype=torch.bool)
    assert numbers(cenote.max_pool2d(x, (1, 2))) == [True, False]
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
    for memory_format, name in itertools.product(FORMATS, NAMES):
        laid = x.contiguous(memory_format=memory_format)
        out = getattr(cenote, name)(laid, 2)
        assert out.stride() == getattr(F, name)(laid, 2).stride()
        back = gradient(partial(getattr(cenote, name), kernel_size=2), laid)
        assert back.stride() == laid.stride()


def test_strides_change_no_number():
    x = some(2, 6, 8, 10)
    views = (x[:, ::2], x.mT, x[..., 1:, 3:], x[:, :1].expand(2, 6, 8, 10), x.movedim(1, -1))
    for view in views:
        copy = view.clone(memory_format=torch.contiguous_format)
        assert torch.equal(cenote.max_pool2d(view, 2), cenote.max_pool2d(copy, 2))
        torch.testing.assert_close(cenote.avg_pool2d(view, 2), cenote.avg_pool2d(copy, 2))
    chunk = x.contiguous(memory_format=torch.channels_last)[:, 1:4]
    assert cenote.max_pool2d(chunk, 2).is_contiguous(memory_format=torch.channels_last)


def test_without_a_batch():
    x = some(3, 8, 10)
    for name in NAMES:
        function = getattr(cenote, name)
        assert torch.equal(function(x, 3, 2, 1), function(x[None], 3, 2, 1)[0])


def test_no_planes_are_no_mistake():
    for shape in ((0, 3, 8, 8), (2, 0, 8, 8), (0, 8, 8)):
        for name in NAMES:
            function, x = getattr(cenote, name), torch.zeros(shape)
            assert function(x, 2).shape == (*shape[:-2], 4, 4)
            assert gradient(partial(function, kernel_size=2), x).shape == shape
            if shape[0] or len(shape) == 3:
                with pytest.raises(RuntimeError, match="Expected 3D or 4D"):
                    getattr(F, name)(x, 2)


def test_a_plane_without_elements_is_refused():
    with pytest.raises(ValueError, match=r"axis 0 \(height\): the input has no elements"):
        cenote.max_pool2d(torch.zeros(1, 1, 0, 4), 2, 1, 1)


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
    for name, memory_format in itertools.product(NAMES, FORMATS):
        laid = x.contiguous(memory_format=memory_format)
        found = []
        for threads in (1, 2, 3):
            with cenote.options(threads=threads):
                pool = partial(getattr(cenote, name), kernel_size=5, stride=2, padding=2)
                found.append((pool(laid), gradient(pool, laid)))
        for out, back in found[1:]:
            assert same_bits(out, found[0][0])
            assert same_bits(back, found[0][1])


def test_instruction_sets_change_no_bit_of_a_maximum():
    x = some(2, 5, 17, 23)
    x[..., ::3, ::4] = NAN
    x[..., 1::5, :] = -0.0
    found = []
    for isa in cenote.doctor()["isas"]:
        with cenote.options(isa=isa):
            found.append(cenote.max_pool2d(x, 3, 2, 1, return_indices=True))
    for values, indices in found:
        assert same_bits(values, found[0][0])
        assert torch.equal(indices, found[0][1])


def test_the_reference_agrees():
    x, window = some(2, 3, 13, 17), Window([Axis(3, 2, 1, 1), Axis(4, 1, 0, 2, 2, ceil=True)])
    values, taps = reference.select_pool(x, window)
    ours, indices = cenote.pool(x, window, return_indices=True)
    assert same_bits(values, ours)
    assert torch.equal(reference.tap_indices(taps, window, (13, 17)), indices)
    torch.testing.assert_close(reference.avg_pool(x, window), cenote.pool(x, window, "avg"))


# Beside torch.


def test_autocast_leaves_the_type_alone():
    x = some(1, 1, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for library, dtype in itertools.product((cenote, F), (torch.float32, torch.bfloat16)):
            assert library.max_pool2d(x.to(dtype), 2).dtype == dtype
            assert library.avg_pool2d(x.to(dtype), 2).dtype == dtype


def test_the_input_may_be_overwritten_before_the_backward_pass():
    for name in NAMES:
        for library in (cenote, F):
            leaf = some(1, 1, 4, 4).requires_grad_()
            inside = leaf * 1
            out = getattr(library, name)(inside, 2).sum()
            inside.mul_(2)
            if library is F:
                with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                    out.backward()
            else:
                out.backward()
                assert leaf.grad.sum() == 4.0


def test_modules_are_traced_but_not_scripted():
    module, x = cenote.nn.MaxPool2d(2), some(1, 1, 4, 4)
    assert torch.equal(torch.export.export(module, (x,)).module()(x), module(x))
    with (
        pytest.warns(DeprecationWarning, match="torch.jit.script"),
        pytest.raises(RuntimeError, match="window"),
    ):
        torch.jit.script(module)
