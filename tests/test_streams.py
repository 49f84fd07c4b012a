"""Tensors larger than the caches, whose results are stored past those."""

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import Axis, Window
from contract import instruction_sets

SHAPE = (3, 24, 401, 403)  # 46 MB of float32, no row a whole number of vectors
WINDOW = Window([Axis(3, 2, 1, 1), Axis(2, 2)])
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(scope="module")
def large():
    # Small integers: every sum is exact, in any order.
    return torch.randint(-9, 9, SHAPE, generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_forward_and_backward(large, layout, isa):
    ours = large.clone(memory_format=layout).requires_grad_()
    theirs = ours.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    for pool, other in [
        (lambda x: cenote.max_pool2d(x, (3, 2), 2, (1, 0)), F.max_pool2d),
        (lambda x: cenote.avg_pool2d(x, (3, 2), 2, (1, 0), divisor_override=1), None),
    ]:
        with cenote.options(isa=isa):
            found = pool(ours)
            grad = torch.ones_like(found)
            (back,) = torch.autograd.grad(found, ours, grad)
        if other is not None:
            expected = other(theirs, (3, 2), 2, (1, 0))
        else:
            expected = F.avg_pool2d(theirs, (3, 2), 2, (1, 0), divisor_override=1)
        assert torch.equal(found, expected)
        assert torch.equal(back, torch.autograd.grad(expected, theirs, grad)[0])


@pytest.fixture(scope="module")
def even():
    """Rows of a whole number of vectors: such go past the caches without being gathered first."""
    shape = (3, 32, 320, 320)  # 39 MB
    return torch.randint(-9, 9, shape, generator=torch.Generator().manual_seed(1)).float()


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (3, 2, 1)])
def test_rows_of_whole_vectors(even, layout, isa, kernel, stride, padding):
    ours = even.clone(memory_format=layout)
    window = (kernel, stride, padding)
    for x in (ours, ours.clone().requires_grad_()):
        with cenote.options(isa=isa):
            found = cenote.max_pool2d(x, *window)
            back = torch.autograd.grad(found.sum(), x)[0] if x.requires_grad else None
        theirs = x.detach().requires_grad_()
        expected = F.max_pool2d(theirs, *window)
        assert torch.equal(found, expected)
        if back is not None:
            assert torch.equal(back, torch.autograd.grad(expected.sum(), theirs)[0])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("skipped", [0, 1, 5, 15])
def test_results_that_start_anywhere_in_a_line(large, skipped, threads):
    """Whole lines go past the caches; what lies before the first and behind the last stays."""
    expected = cenote.pool(large, WINDOW)
    room = torch.full((expected.numel() + 40,), -99.0)
    out = room[skipped : skipped + expected.numel()].view(expected.shape)
    with cenote.options(threads=threads):
        cenote.pool(large, WINDOW, out=out)
    assert torch.equal(out, expected)
    assert room[:skipped].eq(-99).all()
    assert room[skipped + expected.numel() :].eq(-99).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.uint8, torch.float64], ids=str)
@pytest.mark.parametrize("reduce", ["max", "avg"])
def test_other_types(large, dtype, reduce):
    x = (large + 9).to(dtype).repeat(4 if dtype.itemsize < 4 else 1, 1, 1, 1)
    found = cenote.pool(x, WINDOW, reduce)
    plane = cenote.pool(x[-1, -1:], WINDOW, reduce)  # one small enough for the caches
    assert torch.equal(found[-1, -1:], plane)
    assert torch.equal(found[:3], found[-3:])
