"""The calls of docs/frameworks.md give the numbers that other frameworks gave, a row a test.

The numbers were printed by torch 2.13.0, onnxruntime 1.31.1 (opset 22), TensorFlow 2.21.0, Keras
3.15.1, jax 0.10.2 and flax 0.12.8, each on the input that the test builds. torch is run again; the
others are not needed here.
"""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import cenote

PAGE = Path(__file__).resolve().parent.parent / "docs/frameworks.md"
NAN, INF = float("nan"), float("inf")
LOWEST = torch.finfo(torch.float32).min


def row(*values, dtype=torch.float32):
    """One row of one channel: (1, 1, len(values))."""
    return torch.tensor([[values]], dtype=dtype)


def count(*shape):
    """0, 1, 2, ... in row-major order."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


def numbers(x):
    return x.flatten().tolist()


def roots(*values):
    """To compare with: powers and roots of float32 are off by a few of its ulps."""
    return pytest.approx(values, rel=1e-6)


def gradient(function, x, grad=None):
    leaf = x.clone().requires_grad_()
    out = function(leaf)
    given = torch.ones_like(out) if grad is None else grad
    return numbers(torch.autograd.grad(out, leaf, given)[0])


X = row(1, 2, 3, 4, 5)


# Windows.


def test_stride_left_out():
    x = X
    assert numbers(F.max_pool1d(x, 2)) == [2, 4]
    assert numbers(cenote.max_pool1d(x, 2)) == [2, 4]  # Keras
    assert numbers(cenote.max_pool1d(x, 2, 1)) == [2, 3, 4, 5]  # ONNX Runtime, lax, flax


def test_same_pads_the_odd_element_behind():
    x = row(1, 2, 3, 4, 5, 6)
    # ONNX Runtime's SAME_UPPER, TensorFlow, Keras, lax, flax
    assert numbers(cenote.max_pool1d(x, 3, 2, padding="same")) == [3, 5, 6]
    with pytest.raises(TypeError):
        F.max_pool1d(x, 3, 2, padding="same")


def test_same_with_the_odd_element_before():
    x = row(1, 2, 3, 4, 5, 6)
    before, after = cenote.Axis.same(3, 2).at(6).padding
    # ONNX Runtime's and lax's SAME_LOWER
    assert numbers(cenote.max_pool1d(x, 3, 2, ((after, before),))) == [2, 4, 6]


def test_same_with_dilation():
    x = X
    assert numbers(cenote.max_pool1d(x, 3, 1, "same", 2)) == [3, 4, 5, 4, 5]  # lax
    assert numbers(cenote.max_pool1d(x, 3, 1, 1, 2)) == [4, 5, 4]  # ONNX Runtime


def test_same_with_a_stride_beyond_the_kernel():
    x = X
    assert numbers(cenote.max_pool1d(x, 1, 3, "same")) == [1, 4]  # TensorFlow, lax


def test_padding_of_one_end():
    x = X
    # ONNX Runtime, tf.nn.max_pool2d, lax
    assert numbers(cenote.max_pool1d(-x, 3, 1, ((2, 0),))) == [-1, -1, -1, -2, -3]
    with pytest.raises(TypeError):
        F.max_pool1d(-x, 3, 1, ((2, 0),))


def test_the_greatest_padding():
    x = X
    for call in (F.max_pool1d, F.avg_pool1d, lambda *args: F.max_pool1d(*args, dilation=2)):
        with pytest.raises(RuntimeError, match="half of"):
            call(x, 3, 1, 2)
    assert numbers(cenote.max_pool1d(x, 3, 1, 4, 2)) == [1, 2, 3, 4, 5, 4, 5, 4, 5]
    with pytest.raises(ValueError, match="padding 5 leaves window 0 without an element"):
        cenote.max_pool1d(x, 3, 1, 5, 2)
    # lax
    expected = [-INF, -INF, 1, 2, 3, 4, 5]
    assert numbers(cenote.max_pool1d(F.pad(x, (4, 0), value=-torch.inf), 3, 1)) == expected


def test_negative_padding():
    x = X
    assert numbers(cenote.max_pool1d(x[..., 1:], 2, 1)) == [3, 4, 5]  # lax
    with pytest.raises(RuntimeError, match="non-negative"):
        F.max_pool1d(x, 2, 1, -1)


def test_holes_in_the_input():
    x = X
    holes = torch.full((1, 1, 9), -torch.inf)
    holes[..., ::2] = x
    assert numbers(cenote.max_pool1d(holes, 2, 1)) == [1, 2, 2, 3, 3, 4, 4, 5]  # lax


def test_a_window_longer_than_the_input():
    with pytest.raises(RuntimeError):
        F.max_pool1d(row(1, 2), 3)
    with pytest.raises(ValueError, match="does not fit"):
        cenote.max_pool1d(row(1, 2), 3)


def test_ceil_mode_beside_valid():
    x = X
    # ONNX Runtime's auto_pad=VALID
    assert numbers(cenote.max_pool1d(x, 2, 2, "valid", ceil_mode=True)) == [2, 4, 5]


def test_ceil_mode():
    x = X
    assert numbers(F.max_pool1d(x, 2, 2, ceil_mode=True)) == [2, 4, 5]
    assert numbers(cenote.max_pool1d(x, 2, 2, ceil_mode=True)) == [2, 4, 5]  # ONNX Runtime
    assert numbers(F.max_pool1d(x, 2, 2, 1, ceil_mode=True)) == [1, 3, 5]
    assert numbers(cenote.max_pool1d(x, 2, 2, 1, ceil_mode=True)) == [1, 3, 5]  # ONNX Runtime


def test_ceil_mode_in_averages():
    x = row(1, 2, 3, 4)
    assert numbers(F.avg_pool1d(x, 3, 2, 1, True)) == [1, 3, 2]
    assert numbers(cenote.avg_pool1d(x, 3, 2, 1, True)) == [1, 3, 2]  # ONNX Runtime


def test_ceil_mode_of_long_inputs():
    bare = torch.empty(1, 1, 1, 16777220, device="meta")
    assert F.max_pool2d(bare, (1, 3), 1, ceil_mode=True).shape[-1] == 16777218
    assert cenote.Axis(3, ceil=True).out(16777220) == 16777218


# Averages.


def test_whether_padding_counts():
    x = X
    counted, bare = [1, 2, 3, 4, 3], [1.5, 2, 3, 4, 4.5]
    assert numbers(F.avg_pool1d(x, 3, 1, 1)) == counted
    assert numbers(cenote.avg_pool1d(x, 3, 1, 1)) == counted  # flax
    # ONNX Runtime; "same" of TensorFlow and Keras
    assert numbers(cenote.avg_pool1d(x, 3, 1, 1, count_include_pad=False)) == bare


def test_same_averages():
    x = X
    # ONNX Runtime, TensorFlow, Keras
    bare = [1.5, 2.5, 3.5, 4.5, 5]
    assert numbers(cenote.avg_pool1d(x, 2, 1, "same", count_include_pad=False)) == bare
    assert numbers(cenote.avg_pool1d(x, 2, 1, "same")) == [1.5, 2.5, 3.5, 4.5, 2.5]  # flax


def test_same_averages_of_keras_on_torch():
    x = row(1, 2, 3, 4)
    # Keras on TensorFlow, JAX and NumPy; ONNX Runtime
    assert numbers(cenote.avg_pool1d(x, 3, 2, "same", count_include_pad=False)) == [2, 3.5]
    repeated = cenote.avg_pool1d(x, 3, 2, "same", padding_mode="replicate")
    assert numbers(repeated) == pytest.approx([2, 11 / 3])


def test_averages_with_dilation():
    x = X
    # ONNX Runtime, tf.nn.pool
    assert numbers(cenote.avg_pool1d(x, 2, 1, dilation=2)) == [2, 3, 4]
    assert numbers(cenote.avg_pool1d(x, 2, 1, ((1, 0),), dilation=2)) == [1, 2, 3, 4]  # tf.nn.pool
    bare = cenote.avg_pool1d(x, 2, 1, ((1, 0),), count_include_pad=False, dilation=2)
    assert numbers(bare) == [2, 2, 3, 4]  # ONNX Runtime
    with pytest.raises(TypeError):
        F.avg_pool1d(x, 2, 1, dilation=2)


def test_averages_of_integers():
    x = row(-1, -2, 3, 4, dtype=torch.int64)
    assert numbers(F.avg_pool1d(x, 2)) == [-1, 3]
    assert numbers(cenote.avg_pool1d(x, 2)) == [-1, 3]
    assert numbers(cenote.avg_pool1d(x.float(), 2)) == [-1.5, 3.5]  # flax
    with pytest.raises(NotImplementedError):
        F.avg_pool1d(x.int(), 2)
    x = row(100, 100, dtype=torch.int8)
    assert numbers(cenote.avg_pool1d(x, 2)) == [100]


@pytest.mark.parametrize(
    ("dtype", "first", "average"), [(torch.float16, 2048, 257), (torch.bfloat16, 256, 33)]
)
def test_averages_of_halves(dtype, first, average):
    x = row(first, *[1] * 7, dtype=dtype)
    assert numbers(F.avg_pool1d(x, 8)) == [average]
    # ONNX Runtime where it is float16, TensorFlow with oneDNN where it is bfloat16
    assert numbers(cenote.avg_pool1d(x, 8)) == [average]


# Maxima.


def without_nan(x):
    low = torch.finfo(x.dtype).min
    return cenote.max_pool1d(x.nan_to_num(nan=low, posinf=torch.inf, neginf=low), 3)


@pytest.mark.parametrize("values", [(NAN, 1, 2), (1, NAN, 2), (1, 2, NAN)])
def test_nan(values):
    x, nothing = row(*values), row(NAN, NAN, NAN)
    for held in (x, nothing):
        assert F.max_pool1d(held, 3).isnan().all()
        assert cenote.max_pool1d(held, 3).isnan().all()  # lax; Keras on JAX, NumPy, torch
    # ONNX Runtime, TensorFlow
    assert numbers(without_nan(x)) == [2]
    assert numbers(without_nan(nothing)) == [LOWEST]
    assert numbers(without_nan(row(INF, NAN, 1))) == [INF]


def test_minus_infinity():
    x = row(-INF, -INF, -INF)
    assert numbers(F.max_pool1d(x, 3)) == [-INF]
    assert numbers(cenote.max_pool1d(x, 3)) == [-INF]  # lax; ONNX Runtime with indices
    assert numbers(without_nan(x)) == [LOWEST]  # TensorFlow; ONNX Runtime without


def test_padding_never_wins():
    x = X
    expected = [-1, -1, -2, -3, -4]
    assert numbers(F.max_pool1d(-x, 3, 1, 1)) == expected
    # ONNX Runtime, "same" of TensorFlow, lax
    assert numbers(cenote.max_pool1d(-x, 3, 1, 1)) == expected


def test_padding_that_wins():
    x = X
    # ONNX Runtime, lax
    assert numbers(cenote.max_pool1d(-x, 2, 1, ((1, 0),), 2)) == [-2, -1, -2, -3]
    zeros = cenote.max_pool1d(-x, 2, 1, ((1, 0),), 2, padding_mode="zeros")
    assert numbers(zeros) == [0, -1, -2, -3]  # tf.nn.pool
    assert numbers(cenote.max_pool1d(-x, 2).clamp(min=0)) == [0, 0]  # lax


def test_maxima_with_dilation():
    x = X
    assert numbers(F.max_pool1d(x, 2, 1, dilation=2)) == [3, 4, 5]
    # ONNX Runtime, tf.nn.pool, lax
    assert numbers(cenote.max_pool1d(x, 2, 1, dilation=2)) == [3, 4, 5]


def test_a_window_of_padding_alone():
    x = row(5, 6)
    torchs = F.max_pool1d(x, 2, 1, 1, 3, return_indices=True)
    ours = cenote.max_pool1d(x, 2, 1, 1, 3, return_indices=True)
    assert [numbers(t) for t in torchs] == [[-INF], [2]]
    assert [numbers(t) for t in ours] == [[-INF], [-1]]  # the value is lax's as well
    # tf.nn.pool
    assert numbers(cenote.max_pool1d(x, 2, 1, 1, 3, padding_mode="zeros")) == [0]
    # ONNX Runtime, tf.nn.pool
    assert numbers(cenote.avg_pool1d(x, 2, 1, 1, dilation=3)) == [0]


@pytest.mark.parametrize("values", [(0.0, -0.0), (-0.0, 0.0)])
def test_zeros_of_both_signs(values):
    x = row(*values)  # ONNX Runtime and TensorFlow gave the first one too
    for pool in (F.max_pool1d, cenote.max_pool1d):
        assert torch.equal(pool(x, 2).signbit(), x[..., :1].signbit())


def test_minima():
    x = X
    assert numbers(cenote.min_pool1d(x, 3, 2, "same")) == [1, 2, 4]  # flax


def test_any_reduction():
    x = X
    products = cenote.pool(x, cenote.Window([cenote.Axis(2)]), (torch.mul, torch.ones_like))
    assert numbers(products) == [2, 6, 12, 20]  # lax


# Indices.


def test_indices_of_onnx():
    x = count(2, 3, 2, 2)
    y, i = cenote.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(i, F.max_pool2d(x, 2, return_indices=True)[1])
    assert numbers(i) == [3] * 6
    assert numbers(i + torch.arange(6).view(2, 3, 1, 1) * 4) == [3, 7, 11, 15, 19, 23]
    x = torch.tensor([[[[1.0, 9, 2], [3, 4, 5]]]])
    y, i = cenote.max_pool2d(x, 2, 1, return_indices=True)
    assert torch.equal(i, F.max_pool2d(x, 2, 1, return_indices=True)[1])
    assert numbers(y) == [9, 9]
    assert numbers(i) == [1, 1]
    assert numbers(i % 3 * 2 + i // 3) == [2, 2]  # storage_order=1


def test_indices_of_tensorflow():
    x = count(2, 2, 2, 3)
    y, i = cenote.max_pool2d(x.permute(0, 3, 1, 2), 2, return_indices=True)
    assert numbers(y.permute(0, 2, 3, 1)) == [9, 10, 11, 21, 22, 23]
    flat = i.permute(0, 2, 3, 1) * 3 + torch.arange(3)
    assert numbers(flat) == [9, 10, 11, 9, 10, 11]
    assert numbers(flat + torch.arange(2).view(2, 1, 1, 1) * 12) == [9, 10, 11, 21, 22, 23]


def test_unpooling():
    y, i = row(5, 7), row(1, 2, dtype=torch.int64)
    assert numbers(F.max_unpool1d(y, i, 2)) == [0, 5, 7, 0]
    assert numbers(cenote.max_unpool1d(y, i, 2)) == [0, 5, 7, 0]  # ONNX Runtime
    y, i = y.view(1, 2, 1), i.view(1, 2, 1)
    assert numbers(cenote.max_unpool1d(y, i % 2, 2)) == [0, 5, 7, 0]  # ONNX Runtime
    with pytest.raises(RuntimeError, match="invalid max index: 2"):
        F.max_unpool1d(y, i, 2)
    y, i = row(5, 7), row(1, 1, dtype=torch.int64)
    assert numbers(F.max_unpool1d(y, i, 2)) in ([0, 5, 0, 0], [0, 7, 0, 0])
    assert numbers(cenote.max_unpool1d(y, i, 2)) == [0, 7, 0, 0]  # ONNX Runtime
    y, i = row(5, 7), row(1, -1, dtype=torch.int64)
    assert numbers(cenote.max_unpool1d(y, i, 2)) == [0, 5, 0, 0]
    with pytest.raises(RuntimeError, match="invalid max index: -1"):
        F.max_unpool1d(y, i, 2)


# Gradients.


def test_gradients_of_equal_maxima():
    x = row(1, 2, 2, 2)
    assert gradient(lambda x: F.max_pool1d(x, 4), x) == [0, 1, 0, 0]
    # TensorFlow in 1-D and 2-D, lax
    assert gradient(lambda x: cenote.max_pool1d(x, 4), x) == [0, 1, 0, 0]
    assert gradient(lambda x: x.amax(-1), x) == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    x, grad = row(3, 3, 1, 2, 2, 5), row(10, 20, 30)
    y = cenote.max_pool1d(x, 2)
    shared = (x == cenote.upsample_repeat1d(y, 2)) * cenote.upsample_repeat1d(grad, 2)
    assert numbers(shared) == [10, 10, 0, 20, 0, 30]  # tf.nn.max_pool3d


def test_gradients_of_nan():
    x = row(5, NAN, 1)
    assert gradient(lambda x: F.max_pool1d(x, 3), x) == [0, 1, 0]
    assert gradient(lambda x: cenote.max_pool1d(x, 3), x) == [0, 1, 0]


def test_gradients_with_dilation():
    averaged = gradient(lambda x: cenote.avg_pool1d(x, 2, 1, dilation=2), X)
    assert averaged == [0.5, 0.5, 1, 0.5, 0.5]  # tf.nn.pool
    summed = gradient(lambda x: cenote.sum_pool1d(x, 2, 1, dilation=2), X)
    assert summed == [1, 1, 2, 1, 1]  # lax
    assert gradient(lambda x: F.max_pool1d(x, 2, 1, dilation=2), X) == [0, 0, 1, 1, 1]
    # tf.nn.pool
    assert gradient(lambda x: cenote.max_pool1d(x, 2, 1, dilation=2), X) == [0, 0, 1, 1, 1]


# Lp.


def test_lp_of_negative_numbers():
    def with_signs(x, p):
        return cenote.sum_pool1d(x**p, 2) ** (1 / p)

    x = row(-1, 2, -3, 4)
    assert numbers(cenote.lp_pool1d(x, 1, 2)) == [3, 7]  # ONNX Runtime
    assert numbers(cenote.lp_pool1d(x, 3, 2)) == roots(2.0800838, 4.4979414)  # ONNX Runtime
    for p, expected in ((1, [1, 1]), (3, [1.9129312, 3.3322217])):
        assert numbers(F.lp_pool1d(x, p, 2)) == roots(*expected)
        assert numbers(with_signs(x, p)) == roots(*expected)
    x = row(-1, -2)
    assert numbers(cenote.lp_pool1d(x, 3, 2)) == roots(2.0800838)  # ONNX Runtime
    assert F.lp_pool1d(x, 3, 2).isnan().all()
    assert with_signs(x, 3).isnan().all()
    assert numbers(F.lp_pool1d(x, INF, 2)) == [2]
    assert numbers(cenote.lp_pool1d(x, torch.inf, 2)) == [2]


def test_lp_in_ceil_mode():
    x = X
    ours = cenote.lp_pool1d(x, 2, 2, ceil_mode=True)
    assert numbers(ours) == roots(5**0.5, 5, 5)  # ONNX Runtime
    scaled = (2 * cenote.avg_pool1d(x**2, 2, ceil_mode=True)).sqrt()
    assert numbers(scaled) == roots(5**0.5, 5, 50**0.5)
    assert numbers(F.lp_pool1d(x, 2, 2, ceil_mode=True)) == roots(5**0.5, 5, 50**0.5)


def test_lp_with_padding_and_dilation():
    x = X  # ONNX Runtime
    padded = cenote.lp_pool1d(x, 2, 2, padding=((1, 0),))
    assert numbers(padded) == roots(1, 13**0.5, 41**0.5)
    dilated = cenote.lp_pool1d(x, 2, 2, 1, dilation=2)
    assert numbers(dilated) == roots(10**0.5, 20**0.5, 34**0.5)


def test_lp_of_everything():
    x = row(-3, 4)
    assert numbers(cenote.global_lp_pool1d(x, 3)) == roots(4.4979414)  # ONNX Runtime, opset 18


# Adaptive and global pooling.


def test_adaptive():
    x = X
    assert numbers(F.adaptive_avg_pool1d(x, 3)) == [1.5, 3, 4.5]
    assert numbers(cenote.adaptive_avg_pool1d(x, 3)) == [1.5, 3, 4.5]  # Keras
    assert numbers(F.adaptive_max_pool1d(x, 3)) == [2, 4, 5]
    assert numbers(cenote.adaptive_max_pool1d(x, 3)) == [2, 4, 5]  # Keras
    assert numbers(F.adaptive_avg_pool2d(x, (None, 3))) == [1.5, 3, 4.5]
    assert numbers(cenote.adaptive_avg_pool2d(x, (None, 3))) == [1.5, 3, 4.5]
    x = row(1, 2)
    assert numbers(F.adaptive_avg_pool1d(x, 5)) == [1, 1, 1.5, 2, 2]
    assert numbers(cenote.adaptive_avg_pool1d(x, 5)) == [1, 1, 1.5, 2, 2]  # Keras


def test_global():
    x = count(1, 5, 1, 1)
    kept = cenote.global_max_pool2d(x.permute(0, 3, 1, 2))
    assert kept.shape == (1, 1, 1, 1)  # ONNX Runtime, Keras with keepdims=True
    assert kept.flatten(1).shape == (1, 1)  # Keras
    assert numbers(kept) == [4]


# Tensors.


def test_channels_last():
    x = count(2, 2, 2, 3)
    y = cenote.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    assert numbers(y) == [9, 10, 11, 21, 22, 23]  # TensorFlow
    assert y.is_contiguous()


def test_without_a_batch():
    assert torch.equal(cenote.max_pool1d(X[0], 2), F.max_pool1d(X[0], 2))
    assert numbers(cenote.max_pool1d(X[0], 2)) == [2, 4]  # flax


def test_empty_tensors():
    for pool in (F.max_pool1d, cenote.max_pool1d):
        assert pool(torch.zeros(0, 1, 4), 2).shape == (0, 1, 2)
    bare = torch.zeros(1, 1, 0)
    with pytest.raises(RuntimeError):
        F.max_pool1d(bare, 1)
    with pytest.raises(ValueError, match="no elements"):
        cenote.max_pool1d(bare, 1, padding="same")


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


def takes(pool, x):
    """Whether the call is taken; what it gives has the type that it was given."""
    try:
        return pool(x).dtype == x.dtype
    except (NotImplementedError, TypeError):
        return False


def test_element_types():
    def taken(pool, shape):
        others = (torch.bool, torch.uint16, torch.uint32)
        types = (*FLOATS, *INTEGERS, *others)
        return {t for t in types if takes(pool, torch.ones(shape, dtype=t))}

    line, cube = (1, 1, 2), (1, 1, 1, 1, 2)
    assert taken(lambda x: F.max_pool1d(x, 2), line) == set(FLOATS)
    assert taken(lambda x: F.max_pool3d(x, (1, 1, 2)), cube) == {*FLOATS, *INTEGERS}
    assert taken(lambda x: F.avg_pool1d(x, 2), line) == {*FLOATS, torch.int64}
    averaged = {torch.float32, torch.float64, torch.int64}
    assert taken(lambda x: F.avg_pool3d(x, (1, 1, 2)), cube) == averaged
    assert taken(lambda x: cenote.max_pool1d(x, 2), line) == {*FLOATS, *INTEGERS, torch.bool}
    assert taken(lambda x: cenote.avg_pool1d(x, 2), line) == {*FLOATS, *INTEGERS}


# The page itself.


def squeezed(text):
    """Without what a formatter may change: white space and commas before a closing bracket."""
    return re.sub(r"\s|,(?=\s*[)\]}])", "", text)


def test_the_page_says_what_is_tested_here():
    source = squeezed(Path(__file__).read_text("utf-8"))
    rows = [line.rstrip("| \n") for line in PAGE.read_text("utf-8").splitlines() if line[:1] == "|"]
    calls = [span for line in rows for span in re.findall(r"`([^`]+)`", line.split("|")[-1])]
    calls = [span for span in calls if re.search(r"[(\[%]", span)]
    assert len(calls) > 60
    assert [call for call in calls if squeezed(call) not in source] == []
    named = set(re.findall(r"\btest_\w+\b(?!\.py)", PAGE.read_text("utf-8")))
    written = {name for name in globals() if name.startswith("test_")}
    assert named == written - {"test_the_page_says_what_is_tested_here"}
