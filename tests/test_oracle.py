"""The oracle on tiny numbers, worked by hand; against torch in ``test_oracle_torch.py``."""

import numpy as np
import pytest

import oracle
from cenote import Axis
from cenote.window import Adaptive, Spans
from oracle.walk import MODES, NOTHING, ZERO, walk

NAN, INF = float("nan"), float("inf")
ROW = np.array([[5.0, 6.0, 7.0]])
SPARSE = [Axis(2, 1, 4, 4, 5)]  # taps 5 apart from -4 on: the two windows in the middle are empty


def close(actual, expected):
    """To a few roundings of numbers of size 1, float64's eps being 2.2e-16."""
    actual = np.asarray(actual).astype(np.float64)
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-12)


def test_what_padding_shows():
    shown = {mode: walk([Axis(5, 1, 2, 2)], [3], mode).elements[0].tolist() for mode in MODES}
    assert shown == {
        "identity": [0, 1, 2],
        "zeros": [ZERO, ZERO, 0, 1, 2],
        "reflect": [2, 1, 0, 1, 2],
        "replicate": [0, 0, 0, 1, 2],
        "circular": [1, 2, 0, 1, 2],
    }
    behind = {mode: walk([Axis(5, 1, 2, 2)], [3], mode).elements[-1].tolist() for mode in MODES}
    assert behind["reflect"] == [0, 1, 2, 1, 0]
    assert behind["replicate"] == [0, 1, 2, 2, 2]
    assert behind["circular"] == [0, 1, 2, 0, 1]
    with pytest.raises(ValueError, match="nothing to reflect at -3 in a length of 3"):
        walk([Axis(5, 1, 3, 0)], [3], "reflect")


def test_what_hangs_over_shows_nothing_in_any_mode():
    axis = [Axis(4, 3, 1, 1, ceil=True)]  # -1 to 7 is padded, the last window is 5 to 8
    for mode in MODES[1:]:
        walked = walk(axis, [7], mode)
        assert walked.elements[-1, 3] == NOTHING
        assert walked.count.tolist() == walked.counted.tolist() == [4, 4, 3]


def test_rows_and_columns_count_row_major():
    walked = walk([Axis(2), Axis(2, 2)], [2, 4])
    assert walked.out == (1, 2)
    assert walked.elements.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_windows_that_do_not_slide():
    assert walk([Adaptive(3)], [5]).elements.tolist() == [[0, 1, NOTHING], [1, 2, 3], [3, 4, -2]]
    assert walk([Spans((0, 2), (1, 4))], [4]).elements.tolist() == [[0, NOTHING], [2, 3]]
    assert oracle.out_sizes([Adaptive(7), Adaptive(1)], (3, 9)) == (7, 1)


@pytest.mark.parametrize(
    ("reduce", "row", "value", "index"),
    [
        ("max", [1, 3, 2, 3], 3, 1),
        ("min", [4, 2, 9, 2], 2, 1),
        ("median", [5, 3, 9, 3], 3, 1),
        ("median", [9, 1, 5, 7], 5, 2),
        ("max", [1, NAN, 2, NAN], NAN, 3),
        ("min", [NAN, NAN, -INF, 0], NAN, 1),
        ("median", [1, NAN, 2, NAN], NAN, 1),
        ("max", [-INF] * 4, -INF, 0),
        ("min", [INF] * 4, INF, 0),
        ("median", [INF, INF, -INF, -INF], -INF, 2),
        ("max", [-1, -0.0, 0.0, -2], -0.0, 1),
        ("min", [0.0, -0.0, 1, 1], 0.0, 0),
    ],
)
def test_which_element_wins(reduce, row, value, index):
    values, indices = oracle.select_pool(np.array([row], float), [Axis(4)], reduce)
    assert repr(values.tolist()) == repr([[float(value)]])
    assert indices.tolist() == [[index]]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool_])
def test_integers_and_booleans_win_too(dtype):
    low, high = (False, True) if dtype is np.bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    x = np.array([[low, high, low, high, low]]).astype(dtype)
    for reduce, value, index in (("max", high, 1), ("min", low, 0), ("median", low, 0)):
        values, indices = oracle.select_pool(x, [Axis(5)], reduce)
        assert values.dtype == dtype
        assert (values.tolist(), indices.tolist()) == ([[value]], [[index]])


def test_empty_windows():
    values, indices = oracle.select_pool(ROW, SPARSE)
    assert values.tolist() == [[6.0, 7.0, -INF, -INF, 5.0, 6.0]]
    assert indices.tolist() == [[1, 2, -1, -1, 0, 1]]
    assert oracle.select_pool(ROW, SPARSE, "min")[0].tolist() == [[6, 7, INF, INF, 5, 6]]
    assert oracle.select_pool(ROW, SPARSE, "median")[0].tolist() == [[6, 7, 0, 0, 5, 6]]
    assert oracle.select_pool(ROW.astype(np.int16), SPARSE)[0][0, 2] == -(2**15)
    assert oracle.avg_pool(ROW, SPARSE, False).tolist() == [[6.0, 7.0, 0.0, 0.0, 5.0, 6.0]]
    assert oracle.avg_pool(ROW, SPARSE, True).tolist() == [[3.0, 3.5, 0.0, 0.0, 2.5, 3.0]]
    assert oracle.avg_pool(ROW, SPARSE, True, -2).tolist() == [[-3, -3.5, 0, 0, -2.5, -3]]
    assert oracle.sum_pool(ROW, SPARSE).tolist() == [[6, 7, 0, 0, 5, 6]]
    for p in (1, 2, INF):
        close(oracle.lp_pool(ROW, SPARSE, p), [[6, 7, 0, 0, 5, 6]])
    for mean in (False, True):
        close(oracle.logsumexp_pool(ROW, SPARSE, 2.0, mean), [[6, 7, -INF, -INF, 5, 6]])
        close(oracle.logsumexp_pool(ROW, SPARSE, -2.0, mean), [[6, 7, INF, INF, 5, 6]])
    close(oracle.gem_pool(ROW, SPARSE, 3.0), [[6, 7, 0, 0, 5, 6]])
    close(oracle.stochastic_mean(ROW, SPARSE), [[6, 7, 0, 0, 5, 6]])


def test_padded_zeros_have_no_number_and_win_where_they_come_first():
    values, indices = oracle.select_pool(
        np.array([[-1.0, -2, 0]]), [Axis(3, 1, 1, 1)], "max", "zeros"
    )
    assert values.tolist() == [[0, 0, 0]]
    assert indices.tolist() == [[-1, 2, 2]]
    back = oracle.select_pool_backward(np.array([[1.0, 10, 100]]), indices, (1, 3), 1)
    assert back.tolist() == [[0, 0, 110]]


def test_integers_are_divided_as_integers():
    x = np.array([[7, -8, -3, -4, 5, 6]], np.int8)  # sums -1, -7, 11
    two = [Axis(2, 2)]
    assert oracle.avg_pool(x, two).tolist() == [[0, -3, 5]]
    assert oracle.avg_pool(x, two, rounding="half_even").tolist() == [[0, -4, 6]]
    assert oracle.avg_pool(x, two, divisor_override=-2).tolist() == [[0, 3, -5]]
    assert oracle.avg_pool(x, two, divisor_override=-2, rounding="half_even").tolist() == [
        [0, 4, -6]
    ]
    assert oracle.avg_pool(np.full((1, 2), 100, np.int8), two).tolist() == [[100]]
    odd = np.array([[5, 2, -3, 0]], np.int64)  # 3.5 and -1.5, to the even neighbours
    assert oracle.avg_pool(odd, two, rounding="half_even").tolist() == [[4, -2]]


def test_integer_sums_are_exact_and_wrap():
    big = np.array([[2**62, 2**62 + 1, 2**62, 2**62]])
    assert oracle.sum_pool(big, [Axis(1)]).tolist() == big.tolist()
    assert oracle.sum_pool(big, [Axis(4)]).tolist() == [[1]]
    assert oracle.sum_pool(big - 2**62, [Axis(4)]).tolist() == [[1]]
    assert oracle.sum_pool(np.full((1, 300), 255, np.uint8), [Axis(300)]).tolist() == [[76500]]
    flags = oracle.sum_pool(np.array([[True, True, False, True]]), [Axis(4)])
    assert (flags.dtype, flags.tolist()) == (np.int64, [[3]])


def test_powers_by_hand():
    x = np.array([[3.0, -4.0]])
    close(oracle.lp_pool(x, [Axis(2)], 2), [[5]])
    close(oracle.lp_pool(x, [Axis(2)], 1), [[7]])
    close(oracle.lp_pool(x, [Axis(2)], 0.5), [[(3**0.5 + 2) ** 2]])
    close(oracle.lp_pool(x, [Axis(2)], INF), [[4]])
    one = np.ones((1, 1))
    close(oracle.lp_pool_backward(one, x, [Axis(2)], 2), [[0.6, -0.8]])
    close(oracle.lp_pool_backward(one, x, [Axis(2)], INF), [[0, -1]])
    close(oracle.lp_pool_backward(one, np.zeros((1, 2)), [Axis(2)], 2), [[0, 0]])
    close(oracle.gem_pool(np.array([[1.0, -5.0, 3.0]]), [Axis(3)], 2.0, 1.0), [[(11 / 3) ** 0.5]])
    close(oracle.logsumexp_pool(np.log([[1.0, 3.0]]), [Axis(2)]), [[np.log(4)]])
    close(oracle.logsumexp_pool(np.log([[1.0, 3.0]]), [Axis(2)], mean=True), [[np.log(2)]])
    close(oracle.logsumexp_pool(np.array([[1e4, INF, -INF]]), [Axis(1)]), [[1e4, INF, -INF]])
    close(oracle.logsumexp_pool_backward(one, np.log([[1.0, 3.0]]), [Axis(2)]), [[0.25, 0.75]])
    close(oracle.stochastic_mean(np.array([[1.0, -9, 3.0]]), [Axis(3)]), [[2.5]])
    close(oracle.stochastic_mean(np.array([[-1.0, 0.0]]), [Axis(2)]), [[0]])
    close(oracle.mixed_pool(np.array([[1.0, 3.0]]), [Axis(2)], 0.25), [[0.75 + 1.5]])
    assert oracle.mixed_pool(np.array([[-INF, 3.0]]), [Axis(2)], 1.0) == 3
    assert oracle.mixed_pool(ROW, SPARSE, 0.0)[0, 2] == 0


def test_blur_by_hand():
    x = np.array([[0.0, 0, 4, 0, 0]])
    close(oracle.blur_pool(x, [Axis(3, 2, 1, 1)]), [[0, 2, 0]])
    close(oracle.blur_pool(x, [Axis(3, 1, 1, 1)]), [[0, 1, 2, 1, 0]])
    close(oracle.blur_pool(np.ones((1, 4)), [Axis(4, 2, 1, 2)]), [[1, 1]])
    close(oracle.blur_pool(np.ones((1, 4)), [Axis(3, 1, 1, 1)], "zeros"), [[0.75, 1, 1, 0.75]])
    assert oracle.sums.binomial([Axis(3), Axis(2)]).tolist() == [
        1 / 8,
        1 / 8,
        1 / 4,
        1 / 4,
        1 / 8,
        1 / 8,
    ]


def test_unpooling_by_hand():
    x, indices = np.array([[1.0, 2, 3, 4]]), np.array([[5, -1, 0, 5]])
    assert oracle.unpool(x, indices, (6,)).tolist() == [[3, 0, 0, 0, 0, 4]]
    grad = np.arange(10.0, 16)[None]
    assert oracle.unpool_backward(grad, indices, 1).tolist() == [[0, 0, 10, 15]]
