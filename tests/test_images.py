"""An image in every lane: stages and convolutions against torch, for every window and batch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import cenote
from cenote import Axis, Window, _convolving
from cenote._ops import images
from contract import instruction_sets

POOLS = [(1, 1), (2, 2), (1, 2), (2, 1), (3, 3), (2, 3), (1, 3), (5, 4), (15, 16)]


def drawn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def composed(x, weight, bias, window, groups, shuffle, pool, positive):
    pads = [p for axis in reversed(window) for p in axis.padding]
    y = F.conv2d(
        F.pad(x, pads), weight, bias, [a.stride for a in window], 0,
        [a.dilation for a in window], groups,
    )  # fmt: skip
    y = torch.relu(y) if positive else y
    y = F.max_pool2d(y, pool)
    return F.channel_shuffle(y, groups) if shuffle else y


def check(x, weight, bias, *args, **kwargs):
    """Values and all gradients, where no two sums round to different winners.

    In float64, where none are so near to each other, and in float32 for whole numbers, whose sums
    are exact, with equals among them.
    """
    check_one((x, weight, bias), drawn, *args, **kwargs)
    whole = [(2 * t.detach()).round().float() for t in (x, weight, bias)]
    check_one(whole, lambda *a, **k: (2 * drawn(*a, **k)).round().float(), *args, **kwargs)


def check_one(given, drawn, window, pool, groups=1, shuffle=False, positive=True):
    x, weight, bias = given
    call = (window.at(x.shape[2:]), groups, shuffle, pool)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    theirs = composed(*leaves, window, groups, shuffle, pool, positive)
    keep = pool != (1, 1)
    mine, taps = _convolving.stage(
        *(t.detach() for t in leaves), *call, positive and keep, keep
    )  # fmt: skip
    if positive and not keep:
        mine = torch.relu(mine)
    assert torch.allclose(mine, theirs, rtol=1e-11, atol=1e-11)
    grad = drawn(*theirs.shape, seed=7)
    wanted = torch.autograd.grad(theirs, leaves, grad)
    given = grad * (mine > 0) if positive and not keep else grad
    for asked in [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        got = _convolving.stage_gradient(x.detach(), weight.detach(), given, taps, *call, asked)
        for found, expected, ask in zip(got, wanted, asked, strict=True):
            assert (found is not None) == bool(ask)
            assert found is None or torch.allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7])
def test_every_window_of_kernel_and_pool(isa, pool, kernel):
    x, weight = drawn(5, 2, 17, 19), drawn(3, 2, kernel, kernel, seed=1)
    window = Window([Axis(kernel, 1, kernel // 2, kernel // 2)] * 2)
    with cenote.options(isa=isa):
        check(x, weight, drawn(3, seed=2), window, pool)


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("batch", [1, 3, 4, 7, 8, 9, 16, 17, 33])
def test_every_number_of_images(isa, batch):
    window = Window([Axis(3, 1, 1, 1)] * 2)
    with cenote.options(isa=isa):
        check(drawn(batch, 1, 6, 7), drawn(2, 1, 3, 3), drawn(2), window, (2, 2))
        check(drawn(batch, 1, 6, 7), drawn(2, 1, 3, 3), drawn(2), window, (1, 1))


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("channels", range(1, 15))
def test_every_block_of_output_channels(isa, channels):
    window = Window([Axis(3)] * 2)
    with cenote.options(isa=isa):
        check(drawn(3, 2, 9, 8), drawn(channels, 2, 3, 3), drawn(channels), window, (2, 2))
        check(drawn(3, 2, 9, 8), drawn(channels, 2, 3, 3), drawn(channels), window, (1, 1))


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 13), st.integers(1, 13)),
    st.tuples(*[st.tuples(*[st.integers(1, 5), st.integers(1, 3)] * 2, st.integers(1, 3))] * 2),
    st.integers(1, 4),
    st.integers(1, 3),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.booleans(),
    st.booleans(),
)
def test_any_stage(shape, axes, outputs, groups, pool, shuffle, positive):
    batch, reads, *n = shape
    window = Window(Axis(k, s, b - 1, a - 1, d) for k, s, b, a, d in axes)
    out = window.out(n)
    if min(o // p for o, p in zip(out, pool, strict=True)) < 1:
        return
    x = drawn(batch, reads * groups, *n)
    weight = drawn(outputs * groups, reads, *(axis.kernel for axis in window), seed=1)
    check(x, weight, drawn(len(weight), seed=2), window, pool, groups, shuffle, positive)


def test_one_axis():
    x, weight, bias = drawn(16, 3, 40), drawn(4, 3, 5), drawn(4)
    window, pool = Window([Axis(5, 1, 2, 2)]), Window([Axis(2, 2)])
    for t in (x, weight, bias):
        t.requires_grad_()
    assert not images.why_not(x, weight, window)
    mine = cenote.stage(x, weight, bias, conv=window, pool=pool)
    theirs = F.max_pool1d(torch.relu(F.conv1d(x, weight, bias, padding=2)), 2)
    assert torch.allclose(mine, theirs)
    grads = [torch.autograd.grad(y.square().sum(), (x, weight, bias)) for y in (mine, theirs)]
    assert all(torch.allclose(a, b) for a, b in zip(*grads, strict=True))


def test_nan_wins_and_the_first_of_equals():
    """As in the pooling: of several NaNs the last one's gradient, of equals the first one's."""
    x = torch.zeros(16, 1, 2, 2)
    x[1, 0, 0, 1] = x[1, 0, 1, 0] = torch.nan
    x[2, 0, 1, 1] = torch.inf
    x[3] = -1.0
    one = torch.ones(1, 1, 1, 1)
    call = (Window([Axis(1)] * 2), 1, False, (2, 2))
    for positive in (False, True):
        y, taps = _convolving.stage(x, one, None, *call, positive, True)
        assert y[1].isnan()
        assert y[2] == torch.inf
        assert y[3] == (0 if positive else -1)
        back, _, _ = _convolving.stage_gradient(x, one, torch.ones_like(y), taps, *call, (1, 0, 0))
        found = [image.flatten().tolist() for image in back[:4, 0]]
        first = [0, 0, 0, 0] if positive else [1, 0, 0, 0]
        assert found == [first, [0, 0, 1, 0], [0, 0, 0, 1], first]


def test_threads_do_not_change_a_bit():
    x, weight, bias = (
        drawn(*s, dtype=torch.float32) for s in ((70, 3, 12, 12), (9, 3, 5, 5), (9,))
    )
    call = (Window([Axis(5)] * 2), 1, False, (2, 2))
    results = []
    for threads in (1, 2):
        with cenote.options(threads=threads):
            y, taps = _convolving.stage(x, weight, bias, *call, True, True)
            grad = drawn(*y.shape, dtype=torch.float32)
            back = _convolving.stage_gradient(x, weight, grad, taps, *call, (1, 1, 1))
            results.append((y, *back))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("shape", "weight", "kernel", "said"),
    [
        ((3, 20, 20), (4, 3, 3, 3), 3, "no batch"),
        ((5, 3, 20, 20), (4, 3, 3, 3), 3, "5 images for vectors of "),
        ((64, 64, 60, 60), (4, 64, 3, 3), 3, "images do not stay in a core's cache"),
        (
            (64, 64, 8, 8),
            (512, 64, 3, 3),
            3,
            "sums for 294912 weights do not stay in a core's cache",
        ),
        ((64, 3, 20, 20), (4, 3, 3, 3), 3, ""),
    ],
)
def test_it_says_why_not(shape, weight, kernel, said):
    why = images.why_not(torch.empty(shape), torch.empty(weight), Window([Axis(kernel)] * 2))
    assert said in why
    assert bool(said) == bool(why)
    if "5 images" in said:
        tiny = images.why_not(
            torch.empty(shape), torch.empty(weight), Window([Axis(kernel)] * 2), 10**9
        )
        assert tiny == ""
