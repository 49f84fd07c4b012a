"""Fractional pooling, unpooling and repetition: see docs/semantics.md."""

import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F

import cenote
from by_hand import (
    FORMATS,
    INF,
    INTEGERS,
    NAN,
    RANKS,
    by_name,
    gradient,
    line,
    numbers,
    same_bits,
    some,
    whole,
)

NOWHERE = "must be -1 or lie in a plane of"


def places(*values):
    """Indices of one line."""
    return line(*values, dtype=torch.int64)


# Fractional pooling.


def test_fractional_maxima_are_torchs_number_for_number():
    for rank, dtype in itertools.product((2, 3), (torch.float64, torch.float32, torch.float16)):
        x = whole(2, 3, *(9, 7, 8)[:rank], dtype=dtype)
        x[0, 0, 0, 1], x[1, 2, 3] = NAN, -INF
        samples = torch.rand(2, 3, rank, generator=torch.Generator().manual_seed(rank)).to(dtype)
        for options in (
            {"output_size": (4, 3, 5)[:rank]},
            {"output_ratio": (0.6, 0.5, 0.7)[:rank]},
        ):
            ours, theirs = (
                getattr(f, f"fractional_max_pool{rank}d")(
                    x, 2, **options, return_indices=True, _random_samples=samples
                )
                for f in (cenote, F)
            )
            assert torch.equal(ours[1], theirs[1])
            torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0, equal_nan=True)


def test_samples_that_are_not_given_are_drawn_as_torch_draws_them():
    for rank, dtype in itertools.product((2, 3), (torch.float32, torch.float64)):
        drawn = []
        for library in (cenote, F):
            torch.manual_seed(3)
            pool = getattr(library, f"fractional_max_pool{rank}d")
            drawn.append(pool(some(2, 3, *[9] * rank, dtype=dtype), 2, 4))
        assert torch.equal(*drawn)


def test_where_fractional_windows_start():
    x = torch.arange(20.0).expand(1, 20, 20)  # every element says where it stands
    for u in (0.0, 0.25, 0.5, 0.75):
        out = cenote.fractional_max_pool2d(x, 1, 9, _random_samples=torch.full((1, 1, 2), u))
        step = (20 - 1) / (9 - 1)
        starts = [int((o + u) * step) - int(u * step) for o in range(8)]
        assert numbers(out[0, 0]) == [*starts, 19]
    last = cenote.fractional_max_pool2d(x, 3, 1, return_indices=True)[1]
    assert last == 17 * 20 + 19  # the only window stands at the end


def test_of_two_axes_the_first_sample_is_the_widths():
    axes = torch.arange(20.0).expand(1, 20, 20)
    apart, far = [0, 2, 4, 7, 9, 11, 14, 16, 19], [0, 2, 4, 7, 9, 12, 14, 16, 19]
    for library in (cenote, F):
        along_width = torch.tensor([[[0.5, 0.0]]])
        pool = partial(library.fractional_max_pool2d, kernel_size=1, output_size=9)
        assert numbers(pool(axes, _random_samples=along_width)[0, 0]) == far
        assert numbers(pool(axes.mT, _random_samples=along_width)[0, :, 0]) == apart
        depth = torch.arange(20.0).view(20, 1, 1).expand(1, 20, 20, 20)
        pool = partial(library.fractional_max_pool3d, kernel_size=1, output_size=9)
        in_depth = torch.tensor([[[0.5, 0.0, 0.0]]])
        assert numbers(pool(depth, _random_samples=in_depth)[0, :, 0, 0]) == far


def test_every_plane_and_axis_has_a_sample():
    x = some(2, 3, 6, 6)
    samples = torch.rand(3, 3, 2, generator=torch.Generator().manual_seed(0))
    for library in (cenote, F):  # samples of images that are not there change nothing
        pool = partial(library.fractional_max_pool2d, kernel_size=2, output_size=3)
        assert torch.equal(pool(x, _random_samples=samples), pool(x, _random_samples=samples[:2]))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 3\) must be \(2, 3, 2\)"):
        cenote.fractional_max_pool2d(x, 2, 3, _random_samples=torch.zeros(2, 3, 3))
    with pytest.raises(ValueError, match=r"shape \(1, 3, 2\) must be \(2, 3, 2\)"):
        cenote.fractional_max_pool2d(x, 2, 3, _random_samples=samples[:1])


def test_fractional_windows_have_to_fit():
    with pytest.raises(
        ValueError, match="3 windows of kernel 3 do not fit on an input of length 4"
    ):
        cenote.fractional_max_pool2d(some(1, 4, 4), 3, 3)
    with pytest.raises(RuntimeError, match="pool height 3 too large"):
        F.fractional_max_pool2d(some(1, 4, 4), 3, 3)


def test_one_ratio_serves_all_axes():
    x = some(1, 7, 9)
    for ratio in (0.5, (0.5, 0.5)):
        assert cenote.fractional_max_pool2d(x, 2, output_ratio=ratio).shape == (1, 3, 4)
    with pytest.raises(TypeError, match="float"):
        F.fractional_max_pool2d(x, 2, output_ratio=0.5)


# Unpooling and repetition.


def test_unpooling_puts_maxima_back():
    for rank in RANKS:
        x = some(2, 3, *[6] * rank)
        values, indices = by_name("max_pool", rank)(x, 2, return_indices=True)
        back = by_name("max_unpool", rank)(values, indices, 2)
        assert torch.equal(back, getattr(F, f"max_unpool{rank}d")(values, indices, 2))
        assert torch.equal(back, torch.where(back == 0, 0.0, x))
        assert torch.equal(by_name("max_pool", rank)(back.abs(), 2), values.abs())


def test_indices_outside_the_plane_are_refused():
    for stray in (4, -2):
        with pytest.raises(ValueError, match=f"indices: {stray} {NOWHERE} 4 elements"):
            cenote.max_unpool1d(line(5.0, 7.0), places(1, stray), 2)
        with pytest.raises(RuntimeError, match=f"invalid max index: {stray}"):
            F.max_unpool1d(line(5.0, 7.0), places(1, stray), 2)


def test_indices_outside_the_plane_are_refused_in_traced_code():
    # The stray element would land in the second plane: nothing outside the tensor is touched.
    x, indices = some(1, 2, 2), torch.tensor([[[1, 4], [0, 1]]])
    for traced in (torch.vmap(unpooled), torch.compile(unpooled, backend="eager")):
        with pytest.raises((ValueError, RuntimeError), match=f"4 {NOWHERE} 4 elements"):
            traced(x, indices)


def unpooled(x, indices):
    return cenote.max_unpool1d(x, indices, 2)


def test_elements_at_minus_one_go_nowhere():
    assert numbers(cenote.max_unpool1d(line(5.0, 7.0), places(-1, 2), 2)) == [0, 0, 7, 0]
    with pytest.raises(RuntimeError, match="invalid max index: -1"):
        F.max_unpool1d(line(5.0, 7.0), places(-1, 2), 2)


def test_of_doubled_indices_the_last_in_row_major_order_stays():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]).expand(2, 1, 2, 2)
    indices = torch.tensor([[[5, 5], [5, 0]], [[0, 9], [9, 9]]]).unsqueeze(1)
    for memory_format in FORMATS:
        out = cenote.max_unpool2d(x, indices.contiguous(memory_format=memory_format), 2)
        assert numbers(out[0]) == [4, 0, 0, 0, 0, 3, *[0] * 10]
        assert numbers(out[1]) == [1, *[0] * 8, 4, *[0] * 6]


def test_unpooled_sizes_are_torchs():
    x, indices = line(5.0, 7.0), places(0, 1)
    for k, s, p in itertools.product((2, 3), (1, 2, 3), (0, 1)):
        for size in (None, *range(1, 10)):
            asked = None if size is None else (size,)
            try:
                expected = F.max_unpool1d(x, indices, k, s, p, asked).shape
            except (ValueError, RuntimeError):  # by more than a stride off, or too small
                with pytest.raises(ValueError, match="max_unpool1d: "):
                    cenote.max_unpool1d(x, indices, k, s, p, asked)
                continue
            assert cenote.max_unpool1d(x, indices, k, s, p, asked).shape == expected
    for size in (5, (5,), (1, 1, 5), [1, 1, 5]):
        assert cenote.max_unpool1d(x, indices, 2, output_size=size).shape == (1, 1, 5)


def test_with_dilation_the_kernel_of_unpooling_is_the_extent():
    x = line(1.0, 5.0, 2.0, 7.0, 3.0)
    values, indices = cenote.max_pool1d(x, 2, 1, 0, 2, return_indices=True)
    assert numbers(cenote.max_unpool1d(values, indices, 3, 1)) == [0, 0, 2, 7, 3]


def test_every_type_is_unpooled():
    for dtype in (*INTEGERS, torch.bool):
        out = cenote.max_unpool1d(line(1, 1, dtype=dtype), places(1, 2), 2)
        assert numbers(out) == [0, 1, 1, 0]
        assert out.dtype == dtype
        with pytest.raises(NotImplementedError, match="max_unpool"):
            F.max_unpool1d(line(1, 1, dtype=dtype), places(1, 2), 2)


def test_repetition_repeats_every_element_as_it_is():
    for rank, factor in itertools.product(RANKS, (1, 2, 3)):
        x = some(2, 3, *[3] * rank)
        out = by_name("upsample_repeat", rank)(x, factor)
        assert same_bits(out, F.interpolate(x, scale_factor=factor, mode="nearest"))
    for dtype in (*INTEGERS, torch.bool):
        x = torch.tensor([[[1, 0]]], dtype=dtype)
        assert torch.equal(cenote.upsample_repeat1d(x, 2), x.repeat_interleave(2, -1))
    large = line(2**62 + 1, dtype=torch.int64)
    assert numbers(cenote.upsample_repeat1d(large, 2)) == [2**62 + 1] * 2


def test_repetition_keeps_negative_zero():
    x = line(-0.0, NAN)
    for out in (cenote.upsample_repeat1d(x, 2), F.interpolate(x, scale_factor=2, mode="nearest")):
        assert out[..., :2].signbit().all()
        assert out[..., 2:].isnan().all()


def test_repetition_is_the_adjoint_of_sums():
    for rank in RANKS:
        x, y = whole(2, 3, *[6] * rank), whole(2, 3, *[2] * rank)
        repeated = by_name("upsample_repeat", rank)(y, 3)
        assert (by_name("sum_pool", rank)(x, 3) * y).sum() == (x * repeated).sum()
        assert torch.equal(gradient(by_name("sum_pool", rank, kernel_size=3), x, y), repeated)
