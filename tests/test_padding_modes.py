"""Padding that is made of elements: as if ``F.pad`` had put them there, indices included."""

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import Adaptive, Axis, Window
from test_operators import RANKS, ours, planes, some

MODES = ("zeros", "reflect", "replicate", "circular")
PADS = ((2, 1), (0, 2), (1, 0))
SELECTING = ("max", "min", "median")
OTHERS = {
    "avg": {}, "sum": {}, "mixed": {}, "lp": {"norm_type": 3.0}, "gem": {"p": 2.0},
    "logsumexp": {"sharpness": 2.0, "mean": True}, "stochastic": {"training": False},
}  # fmt: skip


def padded(x, pads, mode):
    """torch's own padding; the last axis comes first there."""
    amounts = [amount for pair in reversed(pads) for amount in pair]
    if mode == "zeros":
        return F.pad(x, amounts)
    return F.pad(x, amounts, mode=mode)


@pytest.fixture(params=RANKS)
def rank(request):
    return request.param


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.mark.parametrize("ceil", [False, True], ids=["floor", "ceil"])
@pytest.mark.parametrize("name", [*SELECTING, *OTHERS])
def test_padded_elements_are_elements(name, rank, mode, ceil):
    x, pads = planes(rank), PADS[:rank]
    given = dict(OTHERS.get(name, {}), kernel_size=3, stride=2, ceil_mode=ceil)
    pool = ours(f"{name}_pool", rank)
    found = pool(x, padding=pads, padding_mode=mode, **given)
    assert found.shape == pool(x, padding=pads, **given).shape  # no more in ceil mode either
    around = pool(padded(x, pads, mode), **given)[(..., *map(slice, found.shape[2:]))]
    torch.testing.assert_close(found, around, rtol=0, atol=0)


@pytest.mark.parametrize("name", SELECTING)
def test_indices_point_at_the_element_that_is_shown(name, rank, mode):
    x, pads = planes(rank), PADS[:rank]
    pool = ours(f"{name}_pool", rank)
    values, indices = pool(x, 3, 2, pads, padding_mode=mode, return_indices=True)
    around = padded(x, pads, mode)
    _, within = pool(around, 3, 2, return_indices=True)
    numbers = torch.arange(x[0, 0].numel(), dtype=torch.float64).view(1, 1, *x.shape[2:])
    shown = padded(numbers + 1, pads, mode).long() - 1  # -1 where a zero was put
    shown = shown.expand(2, 3, *shown.shape[2:]).flatten(2)
    assert torch.equal(indices.flatten(2), shown.gather(-1, within.flatten(2)))
    if mode != "zeros":
        picked = x.flatten(2).gather(-1, indices.flatten(2)).view(values.shape)
        assert torch.equal(picked, values)


def test_a_zero_of_the_padding_wins_where_all_is_below():
    x = torch.full((1, 3), -1.0, requires_grad=True)
    values, indices = cenote.max_pool1d(x, 3, 2, 1, padding_mode="zeros", return_indices=True)
    assert values.tolist() == [[0.0, 0.0]]
    assert indices.tolist() == [[-1, -1]]
    values.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0, 0.0]]


def test_gradients_go_through_the_map(rank, mode):
    def of(call):
        x = planes(rank).requires_grad_()
        return torch.autograd.grad((call(x) ** 2).sum(), x)[0]

    pads = PADS[:rank]
    for name in ("max", "avg"):
        pool = ours(f"{name}_pool", rank)
        found = of(lambda x, pool=pool: pool(x, 3, 2, pads, padding_mode=mode))
        expected = of(lambda x, pool=pool: pool(padded(x, pads, mode), 3, 2))
        torch.testing.assert_close(found, expected)


def test_every_divisor_counts_what_is_padded(mode):
    x = planes(2)
    with_padding = cenote.avg_pool2d(x, 3, 1, 1, padding_mode=mode)
    inside = cenote.avg_pool2d(x, 3, 1, 1, count_include_pad=False, padding_mode=mode)
    assert torch.equal(inside, with_padding)
    torch.testing.assert_close(inside, F.avg_pool2d(padded(x, ((1, 1), (1, 1)), mode), 3, 1))


def test_same_padding_in_every_mode(rank, mode):
    x = planes(rank)
    found = ours("max_pool", rank)(x, 4, 3, "same", padding_mode=mode)
    window = Window([Axis.same(4, 3)] * rank).at(x.shape[2:])
    pads = [axis.padding for axis in window]
    assert torch.equal(found, ours("max_pool", rank)(padded(x, pads, mode), 4, 3))


def test_integers_and_booleans_are_padded_too(rank, mode):
    x, pads = planes(rank), PADS[:rank]
    for dtype in (torch.int8, torch.int64, torch.bool):
        numbers = (x > 0).to(dtype) if dtype == torch.bool else (10 * x).to(dtype)
        expected = ours("max_pool", rank)(numbers.double(), 3, 2, pads, padding_mode=mode)
        found = ours("max_pool", rank)(numbers, 3, 2, pads, padding_mode=mode)
        assert torch.equal(found, expected.to(dtype))


@pytest.mark.parametrize("name", ["max", "avg", "median", "gem"])
def test_layouts_stay(name, mode):
    x = some(2, 8, 7, 6, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    first = [2.0] if name == "gem" else []
    found = ours(f"{name}_pool", 2)(x, *first, 3, 1, 1, padding_mode=mode)
    assert found.is_contiguous(memory_format=torch.channels_last)
    plain = ours(f"{name}_pool", 2)(x.contiguous(), *first, 3, 1, 1, padding_mode=mode)
    torch.testing.assert_close(found, plain)


def test_without_padding_all_modes_are_one(mode):
    x = planes(2)
    assert torch.equal(cenote.max_pool2d(x, 3, padding_mode=mode), cenote.max_pool2d(x, 3))
    window = Window([Adaptive(3), Axis(3, 1, 1, 1)])
    found = cenote.pool(x, window, padding_mode=mode)
    expected = cenote.pool(padded(x, ((0, 0), (1, 1)), mode), Window([Adaptive(3), Axis(3)]))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        ("zeros", [0, 0, 1, 2, 3, 4, 0]),
        ("reflect", [3, 2, 1, 2, 3, 4, 3]),
        ("replicate", [1, 1, 1, 2, 3, 4, 4]),
        ("circular", [3, 4, 1, 2, 3, 4, 1]),
    ],
)
def test_what_each_mode_shows(mode, row):
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    first = cenote.pool(  # of three taps the first, so that each window shows its own start
        x, Window([Axis(3, 1, 2, 1)]), (lambda a, b: torch.where(a.isnan(), b, a), nans),
        padding_mode=mode,
    )  # fmt: skip
    assert first.tolist() == [row[:-2]]
    last = cenote.pool(x, Window([Axis(3, 1, 2, 1)]), (lambda a, b: b, nans), padding_mode=mode)
    assert last.tolist() == [row[2:]]


def nans(like):
    return torch.full_like(like, float("nan"))
