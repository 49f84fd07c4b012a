"""pool(..., out=tensor): the result in memory that the caller has ready."""

import pytest
import torch

import cenote
from cenote import Axis, Window
from cenote.functional import _plans

WINDOW = Window([Axis(3, 2, 1, 1), Axis(2, 2)])
X = torch.arange(2 * 3 * 8 * 10, dtype=torch.float32).reshape(2, 3, 8, 10).sin()
SIZES = (2, 3, 4, 5)
LAYOUTS = [torch.contiguous_format, torch.channels_last]
REDUCTIONS = [
    ("max", {}), ("min", {}), ("sum", {}), ("avg", {"count_include_pad": False}), ("median", {}),
    ("lp", {"norm_type": 3.0}), ("lp", {"norm_type": float("inf")}), ("logsumexp", {}),
    ("mixed", {"alpha": 0.25}), ("gem", {}), ("max", {"padding_mode": "replicate"}),
    ((torch.add, torch.zeros_like), {}),
]  # fmt: skip


@pytest.mark.parametrize("given", LAYOUTS, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(
    ("reduce", "options"), REDUCTIONS, ids=[str(number) for number in range(len(REDUCTIONS))]
)
def test_the_result_is_that_tensor(reduce, options, layout, given):
    x = X.contiguous(memory_format=layout)
    out = torch.full(SIZES, -7.0).contiguous(memory_format=given)
    strides = out.stride()
    assert cenote.pool(x, WINDOW, reduce, out=out, **options) is out
    assert torch.equal(out, cenote.pool(x, WINDOW, reduce, **options))
    assert out.stride() == strides


@pytest.mark.parametrize("reduce", ["max", "min", "sum", "avg"])
@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.bfloat16, torch.int64, torch.float64], ids=str
)
def test_types(reduce, dtype):
    x = (X * 50 + 60).to(dtype)
    expected = cenote.pool(x, WINDOW, reduce)
    assert torch.equal(cenote.pool(x, WINDOW, reduce, out=torch.empty_like(expected)), expected)


def test_nothing_is_allocated_for_it(monkeypatch):
    """Kernels write straight to a tensor of the input's layout."""
    out = torch.empty(SIZES)
    monkeypatch.setattr(torch, "empty", None)
    assert torch.equal(cenote.pool(X, WINDOW, out=out), cenote.max_pool2d(X, (3, 2), 2, (1, 0)))


def test_the_first_and_later_calls_make_one_plan(monkeypatch):
    monkeypatch.setattr(_plans, "_plans", {})
    out = torch.empty(SIZES)
    for sign in (1, -1, 1):
        assert cenote.pool(sign * X, WINDOW, out=out) is out
        assert torch.equal(out, cenote.max_pool2d(sign * X, (3, 2), 2, (1, 0)))
    assert len(_plans._plans) == 2


@pytest.mark.parametrize("verbose", [False, True])
def test_memory_that_is_read_with_its_sign_turned(verbose):
    out = torch._neg_view(torch.empty(SIZES))
    with cenote.options(verbose=verbose):
        assert cenote.pool(X, WINDOW, out=out) is out
    assert torch.equal(out, cenote.pool(X, WINDOW))


def test_memory_beside_that_of_the_input():
    """What shares a storage is refused only where it shares elements."""
    storage = torch.cat([X.flatten(), torch.empty(120)])
    x, out = storage[: X.numel()].view_as(X), storage[X.numel() :].view(SIZES)
    expected = cenote.pool(X, WINDOW)
    for _ in range(2):
        assert torch.equal(cenote.pool(x, WINDOW, out=out), expected)
    for shift in (1, 119, 120, X.numel()):
        there = storage[X.numel() - shift :][:120].view(SIZES)
        with pytest.raises(ValueError, match="out: shares memory with the input"):
            cenote.pool(x, WINDOW, out=there)


def test_only_the_result_takes_it():
    """What is computed on the way does not stay on offer for the next call."""
    out = torch.empty(SIZES)
    cenote.pool(X, WINDOW, (torch.add, torch.zeros_like), out=out)
    kept = out.clone()
    cenote.pool(-X, WINDOW)
    assert torch.equal(out, kept)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([1.0], TypeError, "pool: out: must be a tensor, not list"),
        (torch.empty(2, 3, 4, 4), ValueError, r"out: has the shape \(2, 3, 4, 4\), the result has"),
        (torch.empty(SIZES, dtype=torch.float64), ValueError, "out: holds torch.float64 on cpu"),
        (torch.empty(SIZES, device="meta"), ValueError, "out: holds torch.float32 on meta"),
        (torch.empty(SIZES, requires_grad=True), RuntimeError, "out: no gradient is recorded"),
        (X.flatten()[:120].view(SIZES), ValueError, "out: shares memory with the input"),
    ],
)
def test_what_is_refused(out, error, message):
    for _ in range(2):  # once without a plan, once behind it
        with pytest.raises(error, match=message):
            cenote.pool(X, WINDOW, out=out)
        cenote.pool(X, WINDOW)


def test_refused_with_indices_and_gradients():
    out = torch.full(SIZES, 7.0)
    with pytest.raises(ValueError, match="out: takes the values alone"):
        cenote.pool(X, WINDOW, out=out, return_indices=True)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out: no gradient is recorded"):
            cenote.pool(X.clone().requires_grad_(), WINDOW, out=out)
    assert out.eq(7).all()
    with torch.no_grad():
        cenote.pool(X.clone().requires_grad_(), WINDOW, out=out)
    assert torch.equal(out, cenote.pool(X, WINDOW))


def test_compiled():
    @torch.compile(fullgraph=True, backend="aot_eager")
    def into(x, out):
        return cenote.pool(x, WINDOW, out=out) + 1

    out = torch.empty(SIZES)
    assert torch.equal(into(X, out), cenote.pool(X, WINDOW) + 1)
    assert torch.equal(out, cenote.pool(X, WINDOW))
