"""Winograd's convolution against sums over taps in float64, within bounds of its own rounding."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import _winograd
from contract import instruction_sets

UNIT = 2.0**-24  # a rounding's relative error
STEPS = 30  # roundings of a value on its way through the transforms, both axes, there and back


@dataclass(frozen=True)
class Case:
    name: str
    x: tuple[int, int, int, int]
    out: int
    kernel: int = 3
    padding: tuple[int, int] = (1, 1)
    edge: int = 6
    bias: bool = True

    def __str__(self):
        return f"{self.name}-{self.edge}"

    @property
    def weight(self):
        return (self.out, self.x[1], self.kernel, self.kernel)

    def tensors(self):
        draw = torch.Generator().manual_seed(0)
        x, w, b = (torch.randn(s, generator=draw) for s in (self.x, self.weight, (self.out,)))
        return x.contiguous(memory_format=torch.channels_last), w, b if self.bias else None


TILES = [
    Case("one_tile", (1, 16, 4, 4), 16),
    Case("one_tile_without_padding", (1, 16, 6, 6), 16, padding=(0, 0)),
    Case("plane_not_a_multiple_of_the_tile", (3, 16, 9, 11), 32),
    Case("plane_of_one_element", (2, 16, 1, 1), 16),
    Case("more_padding_than_plane", (1, 16, 2, 1), 16, padding=(2, 2)),
    Case("axes_padded_differently", (1, 16, 7, 13), 16, padding=(0, 2)),
    Case("channels_not_a_multiple_of_lanes", (1, 5, 6, 5), 23),
    Case("outputs_not_a_multiple_of_panels", (1, 33, 6, 5), 50, bias=False),
    Case("filters_shared_out", (1, 257, 7, 7), 144),
    Case("several_blocks_of_tiles", (3, 48, 41, 37), 32),
    Case("no_images", (0, 16, 8, 8), 16),
]
FIVE = [
    Case("one_tile", (1, 16, 2, 2), 16, 5, (2, 2)),
    Case("plane_of_one_element", (1, 16, 1, 1), 16, 5, (2, 2)),
    Case("most_padding", (3, 20, 5, 7), 33, 5, (4, 4)),
    Case("no_padding", (1, 16, 9, 12), 16, 5, (0, 0), bias=False),
    Case("axes_padded_differently", (1, 16, 7, 13), 16, 5, (1, 3)),
]
SMALL = [Case(c.name, c.x, c.out, c.kernel, c.padding, 4, c.bias) for c in TILES]
CASES = TILES + SMALL + [Case(f"five_{c.name}", *(c.x, c.out, 5, c.padding)) for c in FIVE]


def matrices(edge, kernel):
    """A^T, G and B^T, from products of the distances to the points."""
    points = list(_winograd.points(edge))
    step = edge - kernel + 1
    back, filters, there = np.zeros((step, edge)), np.zeros((edge, kernel)), np.zeros((edge, edge))
    for i, point in enumerate(points):
        others = points[:i] + points[i + 1 :]
        there[i, : edge - 1] = np.poly(others)[::-1]
        filters[i] = point ** np.arange(kernel) / np.prod([point - other for other in others])
        back[:, i] = point ** np.arange(step)
    there[-1] = np.poly(points)[::-1]
    filters[-1, -1] = back[-1, -1] = 1
    return back, filters, there


def both(matrix, x):
    return np.einsum("ij,...jk,lk->...il", matrix, x, matrix, optimize=True)


def tiles_of(x, edge, step, padding, sizes):
    """(N, C, h, w) -> (N, down, across, C, edge, edge)."""
    counts = [-(-size // step) for size in sizes]
    ends = [count * step + edge - step for count in counts]
    wide = np.zeros(
        (*x.shape[:2], *(max(e, n + p) for e, n, p in zip(ends, x.shape[2:], padding, strict=True)))
    )
    wide[:, :, padding[0] : padding[0] + x.shape[2], padding[1] : padding[1] + x.shape[3]] = x
    views = np.lib.stride_tricks.sliding_window_view(wide, (edge, edge), (2, 3))
    views = views[:, :, : ends[0] - edge + 1 : step, : ends[1] - edge + 1 : step]
    return views.transpose(0, 2, 3, 1, 4, 5)


def placed(y, sizes):
    """(N, down, across, O, step, step) -> (N, O, *sizes)."""
    n, down, across, out, step, _ = y.shape
    whole = y.transpose(0, 3, 1, 4, 2, 5).reshape(n, out, down * step, across * step)
    return whole[:, :, : sizes[0], : sizes[1]]


def reckoned(case, x, weight, absolute):
    """The same by matrices in float64; with `absolute` of nothing but absolute values."""
    take = np.abs if absolute else np.asarray
    back, filters, there = (take(m) for m in matrices(case.edge, case.kernel))
    sizes = [n + 2 * p - case.kernel + 1 for n, p in zip(x.shape[2:], case.padding, strict=True)]
    step = case.edge - case.kernel + 1
    v = both(there, tiles_of(take(x.double().numpy()), case.edge, step, case.padding, sizes))
    u = both(filters, take(weight.double().numpy()))
    return placed(both(back, np.einsum("ndacij,ocij->ndaoij", v, u, optimize=True)), sizes)


def slack(case, x, weight):
    """How far an output may be off: a rounding a step and channel, of the sum of magnitudes."""
    return (case.x[1] + STEPS) * UNIT * reckoned(case, x, weight, True)


def run(case, x, weight, bias=None, **kwargs):
    packed = _winograd.filters(weight, case.edge)
    return _winograd.convolve(x, packed, weight.shape, bias, case.padding, **kwargs)


def far(y, exact):
    return (y.double() - exact).abs().numpy()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_are_those_of_sums_over_taps(case):
    x, weight, bias = case.tensors()
    wide = bias if bias is None else bias.double()
    exact = F.conv2d(x.double(), weight.double(), wide, padding=case.padding)
    sums = exact if bias is None else exact - wide[:, None, None]
    assert np.allclose(reckoned(case, x, weight, False), sums.numpy(), rtol=1e-9, atol=1e-9)
    bound = slack(case, x, weight) + UNIT * exact.abs().numpy()
    other = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    more = bound + 2 * UNIT * (exact.abs() + other.abs()).numpy()
    for isa in instruction_sets():
        with cenote.options(isa=isa):
            y = run(case, x, weight, bias)
            added = run(case, x.contiguous(), weight, bias, other=other, relu=True)
        assert y.shape == exact.shape
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert (far(y, exact) <= bound).all()
        assert (far(added, (exact + other).relu()) <= more).all()


@pytest.mark.parametrize("positive", [False, True], ids=["normal", "positive"])
@pytest.mark.parametrize("channels", [16, 128])
@pytest.mark.parametrize("kind", [(6, 3), (6, 5), (4, 3)], ids=str)
def test_errors_are_few_roundings_of_the_largest_sum_of_magnitudes(kind, channels, positive):
    edge, kernel = kind
    case = Case("", (1, channels, 24, 24), 16, kernel, (kernel // 2, kernel // 2), edge)
    x, weight, _ = case.tensors()
    x = x.relu() if positive else x
    exact = F.conv2d(x.double(), weight.double(), padding=case.padding)
    magnitudes = F.conv2d(x.double().abs(), weight.double().abs(), padding=case.padding)
    error = (run(case, x, weight) - exact).abs().max() / magnitudes.max()
    assert error <= 16 * UNIT


def widest(case):
    """What the gradients are reckoned by: a case, and the gradient of its output."""
    x, weight, _ = case.tensors()
    y = F.conv2d(x, weight, padding=case.padding)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    return x, weight, grad.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("case", [c for c in CASES if c.x[0]], ids=str)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
def test_gradients_are_torchs(case, last):
    x, weight, grad = widest(case)
    weight = weight.contiguous(memory_format=torch.channels_last) if last else weight
    k, out, channels = case.kernel, *weight.shape[:2]
    to_x, to_weight, _ = torch.ops.aten.convolution_backward(
        grad.double(), x.double(), weight.double(), None, [1, 1], case.padding, [1, 1], False,
        [0, 0], 1, [True, True, False],
    )  # fmt: skip
    back = Case(
        "", tuple(grad.shape), channels, k, tuple(k - 1 - p for p in case.padding), case.edge
    )
    turned = weight.flip(2, 3).transpose(0, 1)
    bound = slack(back, grad, turned)
    steps = STEPS + grad.shape[0] * -(-grad.shape[2] // 2) * -(-grad.shape[3] // 2)
    largest = steps * UNIT * magnitudes_of_weight_gradient(case, x, grad)
    for isa in instruction_sets():
        with cenote.options(isa=isa):
            packed = _winograd.filters(weight, case.edge, turned=True)
            mine = _winograd.convolve(grad, packed, (channels, out, k, k), None, back.padding)
            sums = _winograd.weight_gradient(x, grad, weight, case.padding, case.edge)
        assert (far(mine, to_x) <= bound).all()
        assert sums.stride() == weight.stride()
        assert (far(sums, to_weight) <= largest).all()


def magnitudes_of_weight_gradient(case, x, grad):
    back, filters, there = (np.abs(m) for m in matrices(case.edge, case.kernel))
    sizes, step = grad.shape[2:], case.edge - case.kernel + 1
    v = both(there, tiles_of(x.double().abs().numpy(), case.edge, step, case.padding, sizes))
    m = both(back.T, tiles_of(grad.double().abs().numpy(), step, step, (0, 0), sizes))
    return both(filters.T, np.einsum("ndacij,ndaoij->ocij", v, m, optimize=True))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_training_is_torchs(kernel, bias):
    case = Case("", (4, 32, 15, 14), 48, kernel, (1, 2))
    assert not _winograd.why_not(case.x, case.weight, padding=case.padding)
    leaves = [t.requires_grad_() for t in case.tensors()[: 2 + bias]]
    mine = _winograd.conv2d(*leaves, padding=case.padding)
    wide = [t.detach().double().requires_grad_() for t in leaves]
    theirs = F.conv2d(*wide, padding=case.padding)
    grad = torch.randn(mine.shape, generator=torch.Generator().manual_seed(3))
    found = torch.autograd.grad(mine, leaves, grad)
    wanted = torch.autograd.grad(theirs, wide, grad.double())
    for a, b in zip((mine, *found), (theirs, *wanted), strict=True):
        assert (a - b).abs().max() <= 64 * UNIT * b.abs().max()


def test_gradients_have_gradients():
    case = Case("", (2, 16, 8, 8), 16)
    x, weight, bias = (t.requires_grad_() for t in case.tensors())
    twice = []
    for convolved in (_winograd.conv2d, F.conv2d):
        y = convolved(x, weight, bias, padding=case.padding)
        to_x, to_weight = torch.autograd.grad((y * y).sum(), (x, weight), create_graph=True)
        penalty = (to_x * to_x).sum() + (to_weight * to_weight).sum()
        twice.append(torch.autograd.grad(penalty, (x, weight, bias)))
    for mine, theirs in zip(*twice, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())


def test_numbers_of_threads_change_no_bit():
    case = Case("", (3, 48, 41, 37), 80)
    x, weight, grad = widest(case)
    made = []
    for threads in (1, 2):
        with cenote.options(threads=threads):
            made.append((run(case, x, weight), _winograd.weight_gradient(x, grad, weight, (1, 1))))
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
@pytest.mark.parametrize("edge", [6, 4])
def test_what_is_not_finite_stays_in_the_tiles_that_read_it(edge, value):
    """A sum over taps confines it to the windows that hold it: tiles are a deviation."""
    case = Case("", (2, 16, 17, 18), 16, edge=edge)
    x, weight, _ = case.tensors()
    clean, step = run(case, x, weight), edge - 2
    at = (1, 3, 8, 9)
    x[at] = value
    y = run(case, x, weight)
    tiles = torch.zeros(y.shape, dtype=torch.bool)
    for i in range(0, 17, step):
        for j in range(0, 18, step):
            reads = i <= at[2] + 1 < i + edge and j <= at[3] + 1 < j + edge
            tiles[1, :, i : i + step, j : j + step] = reads
    assert torch.equal(y[~tiles], clean[~tiles])
    assert not y[1, :, 7:10, 8:11].isfinite().any()  # the windows that hold it


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"stride": (2, 1)}, "windows move"),
        ({"dilation": (1, 2)}, "taps lie"),
        ({"groups": 2}, "groups"),
        ({"padding": (3, 0)}, "padding"),
        ({"weight": (64, 64, 3, 5)}, "a kernel"),
        ({"weight": (64, 8, 3, 3), "x": (8, 8, 56, 56)}, "8 channels"),
        ({"x": (8, 64, 1, 56)}, "nothing"),
        ({"x": (1, 64, 3, 3)}, "tiles"),
    ],
    ids=str,
)
def test_what_is_not_convolved_so_is_told_why(changed, why):
    given = {"x": (8, 64, 56, 56), "weight": (64, 64, 3, 3)}
    assert _winograd.why_not(**given) == ""
    assert why in _winograd.why_not(**{**given, **changed})
