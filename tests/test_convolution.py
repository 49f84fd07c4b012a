"""Convolution against its definition and against torch: values and gradients, every way."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import Axis, Window, _ops
from contract import instruction_sets
from conv_cases import CASES
from oracle import convolution as oracle

TORCH = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
OURS = {1: cenote.conv1d, 2: cenote.conv2d, 3: cenote.conv3d}
SHUFFLED = {1: cenote.shuffled_conv1d, 2: cenote.shuffled_conv2d, 3: cenote.shuffled_conv3d}


def rounding(terms, sizes):
    """How far a sum of so many products may be off, of which the sizes add up to ``sizes``."""
    return 2 * (terms + 2) * np.finfo(np.float32).eps * sizes


def exact(case, x, weight, bias):
    """The convolution in float64, and by how much float32 may miss it."""
    arrays = [t.double().numpy() if t is not None else None for t in (x, weight, bias)]
    sizes = [np.abs(a) if a is not None else None for a in arrays]
    values = oracle.convolve(*arrays, case.window, case.groups)
    taps = int(np.prod(weight.shape[1:]))
    return values, rounding(taps, oracle.convolve(*sizes, case.window, case.groups))


@pytest.fixture(params=["images", "rows", "torch"])
def way(request, monkeypatch):
    """One way alone, whichever would be chosen."""
    chosen = next(w for w in _ops.WAYS if w.name == request.param)
    forced = dataclasses.replace(chosen, why_not=lambda call: "")
    monkeypatch.setattr(_ops.convolution, "WAYS", [forced])
    monkeypatch.setattr("cenote.functional.convolution._TORCHS", set())
    return request.param


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_are_those_of_the_definition(case, way):
    x, weight, bias, _ = case.tensors(torch.float32)
    values, slack = exact(case, x, weight, bias)
    for isa in instruction_sets() if way != "torch" else [None]:
        with cenote.options(isa=isa):
            out = OURS[case.window.rank](x, weight, bias, **case.arguments())
        assert out.shape == values.shape
        assert (np.abs(out.double().numpy() - values) <= slack).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_torchs(case, way):
    x, weight, bias, grad = case.tensors(torch.float64)
    given = [t.requires_grad_() for t in (x, weight, bias) if t is not None]
    y = OURS[case.window.rank](x, weight, bias, **case.arguments())
    mine = torch.autograd.grad(y, given, grad)
    pads = [p for axis in reversed(case.window) for p in axis.padding]
    arguments = {**case.arguments(), "padding": 0}
    theirs = TORCH[case.window.rank](F.pad(x, pads), weight, bias, **arguments)
    assert torch.allclose(y, theirs, rtol=1e-12, atol=1e-12)
    for got, wanted in zip(mine, torch.autograd.grad(theirs, given, grad), strict=True):
        scale = wanted.abs().max() + 1
        assert (got - wanted).abs().max() <= 1e-12 * scale * 100


@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_do_not_change_a_bit(case, way):
    x, weight, bias, grad = case.tensors(torch.float32)
    results = []
    for threads in (1, 2):
        with cenote.options(threads=threads):
            leaves = [t.clone().requires_grad_() for t in (x, weight)]
            y = OURS[case.window.rank](*leaves, bias, **case.arguments())
            results.append((y, *torch.autograd.grad(y, leaves, grad)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("case", [c for c in CASES if c.groups > 1], ids=str)
def test_shuffled_is_grouped_and_a_channel_shuffle(case, way):
    x, weight, bias, grad = case.tensors(torch.float64)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    rank = case.window.rank
    y = SHUFFLED[rank](*leaves, **case.arguments())
    plain = OURS[rank](*leaves, **case.arguments())
    shuffled = torch.nn.ChannelShuffle(case.groups)(plain)
    assert torch.allclose(y, shuffled, rtol=1e-12, atol=1e-12)
    for got, wanted in zip(
        torch.autograd.grad(y, leaves, grad),
        torch.autograd.grad(shuffled, leaves, grad),
        strict=True,
    ):
        assert torch.allclose(got, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", [c for c in CASES if c.shape[-1] < 30], ids=str)
def test_gradients_of_gradients(case, way):
    x, weight, bias, _ = case.tensors(torch.float64)
    corner = x[:1, :, :9, :9] if x.dim() == 4 else x[:1]
    few = corner.contiguous(), weight, bias
    given = [t.requires_grad_() for t in few if t is not None]

    def function(*tensors):
        return OURS[case.window.rank](*tensors, **case.arguments())

    try:
        function(*given)
    except ValueError:
        pytest.skip("the window does not fit on the corner that is tried")
    assert torch.autograd.gradcheck(function, given, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, given, fast_mode=True)


def test_nan_and_infinity_stay_where_they_are_seen(way):
    x = torch.ones(1, 1, 6, 40)
    x[0, 0, 2, 3], x[0, 0, 4, 30] = torch.nan, torch.inf
    weight = torch.ones(2, 1, 3, 3)
    out = cenote.conv2d(x, weight, padding=1)
    wanted = F.conv2d(x, weight, padding=1)
    assert torch.equal(out.isnan(), wanted.isnan())
    assert torch.equal(out.isinf(), wanted.isinf())


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_modes(rank, mode):
    draw = torch.Generator().manual_seed(rank)
    x = torch.randn((2, 3, *[7] * rank), generator=draw)
    weight = torch.randn((4, 3, *[3] * rank), generator=draw)
    window = Window([Axis(3, 2, 2, 1)] * rank)
    out = OURS[rank](x, weight, stride=2, padding=((2, 1),) * rank, padding_mode=mode)
    wanted = oracle.convolve(x.double().numpy(), weight.double().numpy(), None, window, 1, mode)
    assert np.allclose(out, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 5])
def test_same_padding_is_a_stride_of_the_input(rank, stride, kernel):
    x = torch.randn(1, 2, *[8, 9, 7][:rank])
    weight = torch.randn(3, 2, *[kernel] * rank)
    out = OURS[rank](x, weight, stride=stride, padding="same")
    assert out.shape[2:] == tuple(-(-n // stride) for n in x.shape[2:])
    window = Window([Axis.same(kernel, stride)] * rank)
    wanted = oracle.convolve(x.double().numpy(), weight.double().numpy(), None, window, 1)
    assert np.allclose(out, wanted, rtol=1e-5, atol=1e-5)
    if stride == 1 and kernel % 2:  # torch warns of even ones
        assert torch.allclose(out, TORCH[rank](x, weight, padding="same"), rtol=1e-5, atol=1e-5)


def test_true_convolution_turns_the_kernel():
    x, weight = torch.randn(1, 2, 6, 7), torch.randn(3, 2, 3, 2)
    turned = cenote.conv2d(x, weight.flip(2, 3))
    assert torch.equal(cenote.conv2d(x, weight, flip=True), turned)


def test_unbatched_input_and_half_types():
    x, weight = torch.randn(3, 8, 9), torch.randn(4, 3, 3, 3)
    assert cenote.conv2d(x, weight).shape == (4, 6, 7)
    assert torch.equal(cenote.conv2d(x, weight), cenote.conv2d(x[None], weight)[0])
    half = cenote.conv2d(x.bfloat16(), weight.bfloat16())
    assert torch.equal(half, F.conv2d(x.bfloat16(), weight.bfloat16()))


def test_channels_last_stays_channels_last():
    x = torch.randn(2, 8, 9, 9).to(memory_format=torch.channels_last)
    weight = torch.randn(8, 1, 3, 3)
    out = cenote.conv2d(x, weight, groups=8, padding=1)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("stride", "padding", "more", "dilation"),
    [(1, 0, 0, 1), (2, 1, 1, 1), (3, ((1, 2),), 0, 1), (2, ((2, 0),), 1, 2), (1, 3, 0, 3)],
)
def test_transposed_is_the_definition(rank, groups, stride, padding, more, dilation):
    draw = torch.Generator().manual_seed(7)
    x = torch.randn((2, 4, *[5, 4, 3][:rank]), generator=draw)
    weight = torch.randn((4, 3, *[3] * rank), generator=draw)
    bias = torch.randn(3 * groups, generator=draw)
    pads = padding * rank if isinstance(padding, tuple) else padding
    function = getattr(cenote, f"conv_transpose{rank}d")
    out = function(x, weight, bias, stride, pads, more, groups, dilation)
    pairs = list(pads) if isinstance(pads, tuple) else [(pads, pads)] * rank
    wanted = oracle.transposed(
        *(t.double().numpy() for t in (x, weight, bias)), [stride] * rank, pairs,
        [dilation] * rank, [more] * rank, groups,
    )  # fmt: skip
    assert out.shape == wanted.shape
    assert np.allclose(out, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 4])
def test_transposed_of_same_is_a_multiple_of_the_input(rank, stride, kernel):
    x = torch.randn(1, 2, *[5, 4, 3][:rank], dtype=torch.float64)
    weight = torch.randn(2, 3, *[kernel] * rank, dtype=torch.float64)
    out = getattr(cenote, f"conv_transpose{rank}d")(x, weight, stride=stride, padding="same")
    assert out.shape[2:] == tuple(n * stride for n in x.shape[2:])
    far = torch.randn_like(out)
    there = OURS[rank](far, weight, stride=stride, padding="same")
    assert torch.allclose((there * x).sum(), (out * far).sum())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_transposed_is_the_adjoint(case):
    """``<conv(u), v> == <u, conv_transpose(v)>``, where the convolution leaves nothing unread."""
    x, weight, _, grad = case.tensors(torch.float64)
    arguments = case.arguments()
    rank = case.window.rank
    y = OURS[rank](x, weight, **arguments)
    more = [
        n - ((o - 1) * a.stride - sum(a.padding) + a.extent)
        for n, o, a in zip(x.shape[2:], y.shape[2:], case.window, strict=True)
    ]
    if any(m >= max(a.stride, a.dilation) for m, a in zip(more, case.window, strict=True)):
        pytest.skip("more is left over than an output padding gives back")
    function = getattr(cenote, f"conv_transpose{rank}d")
    back = function(grad, weight, output_padding=tuple(more), **arguments)
    assert back.shape == x.shape
    assert torch.allclose((y * grad).sum(), (x * back).sum())
    (gradient,) = torch.autograd.grad(
        (OURS[rank](x.requires_grad_(), weight, **arguments) * grad).sum(), x
    )
    assert torch.allclose(back, gradient, rtol=1e-10, atol=1e-10)


def test_causal_sees_nothing_later():
    x = torch.randn(1, 2, 30, requires_grad=True)
    y = cenote.causal_conv1d(x, torch.randn(3, 2, 4), dilation=3)
    assert y.shape == (1, 3, 30)
    (grad,) = torch.autograd.grad(y[0, :, 12].sum(), x)
    assert (grad[0, :, 13:] == 0).all()
    assert (grad[0, :, 12 - 9 : 13 : 3] != 0).all()


def test_depthwise_is_grouped():
    x, weight = torch.randn(2, 4, 9, 20), torch.randn(8, 1, 3, 3)
    out = cenote.depthwise_conv2d(x, weight, padding=1)
    assert torch.equal(out, cenote.conv2d(x, weight, padding=1, groups=4))


def test_grouped_is_block_diagonal():
    x, weight = torch.randn(2, 6, 7, 18).double(), torch.randn(4, 3, 3, 3).double()
    dense = torch.zeros(4, 6, 3, 3).double()
    dense[:2, :3], dense[2:, 3:] = weight[:2], weight[2:]
    grouped = cenote.conv2d(x, weight, groups=2)
    assert torch.allclose(grouped, cenote.conv2d(x, dense))


def test_dilated_is_dense_with_holes():
    x, weight = torch.randn(2, 3, 12, 20).double(), torch.randn(4, 3, 3, 3).double()
    holes = torch.zeros(4, 3, 7, 7).double()
    holes[:, :, ::3, ::3] = weight
    assert torch.allclose(cenote.conv2d(x, weight, dilation=3), cenote.conv2d(x, holes))


def test_verbose_says_which_way_and_why(capsys):
    with cenote.options(verbose=True):
        cenote.conv2d(torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3))
        cenote.conv3d(torch.randn(1, 3, 8, 8, 8), torch.randn(4, 3, 3, 3, 3))
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("cenote: conv2d float32 1x3x8x8 by 4x3x3x3: ")
    assert "torch; not images: three axes; not rows: three axes" in said[1]


def test_traced_and_transformed_calls_are_torchs():
    x, weight = torch.randn(3, 2, 8, 9), torch.randn(4, 2, 3, 3)
    wanted = cenote.conv2d(x, weight, padding=((1, 0), (2, 1)))

    def function(t):
        return cenote.conv2d(t, weight, padding=((1, 0), (2, 1)))

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")(x)
    assert torch.allclose(compiled, wanted, rtol=1e-5, atol=1e-5)
    mapped = torch.vmap(function)(x[:, None])[:, 0]
    assert torch.allclose(mapped, wanted, rtol=1e-5, atol=1e-5)
    tangent = torch.randn_like(x)
    _, moved = torch.func.jvp(function, (x,), (tangent,))
    assert torch.allclose(moved, function(tangent), rtol=1e-4, atol=1e-4)


def test_autocast_is_torchs():
    x, weight = torch.randn(2, 3, 8, 9), torch.randn(4, 3, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert cenote.conv2d(x, weight).dtype == torch.bfloat16


def test_what_was_torchs_is_called_at_once_and_checked_as_before(monkeypatch, capsys):
    x, weight, bias = torch.randn(2, 32, 9, 9), torch.randn(8, 32, 3, 3), torch.randn(8)
    checked = []
    check = cenote._convolutions.check_input
    monkeypatch.setattr(
        cenote._convolutions, "check_input", lambda *args: checked.append(args) or check(*args)
    )
    expected = F.conv2d(x, weight, bias, 2, 1)
    for _ in range(3):
        assert torch.equal(cenote.conv2d(x, weight, bias, 2, 1), expected)
    assert len(checked) == 1
    with cenote.options(verbose=True):
        cenote.conv2d(x, weight, bias, 2, 1)
    assert "conv2d float32 2x32x9x9 by 8x32x3x3: torch; not images" in capsys.readouterr().err
    for wrong in (2.0, True, "2", (2, 2.0), -1):
        with pytest.raises((TypeError, ValueError), match=r"conv2d: .*stride"):
            cenote.conv2d(x, weight, bias, wrong, 1)
    with pytest.raises(ValueError, match="conv2d: "):
        cenote.conv2d(x[:, :31], weight, bias, 2, 1)
    with pytest.raises(TypeError, match="conv2d: "):
        cenote.conv2d(x, weight.double(), bias, 2, 1)


def test_what_is_torchs_only_under_a_transform_is_not_taken_for_it():
    x, weight = torch.randn(3, 2, 8, 40, 40), torch.randn(8, 1, 3, 3)
    said = []
    one = torch.vmap(lambda image: cenote.conv2d(image, weight, None, 1, 1, 1, 8))(x)
    monkey = cenote._convolving.convolve
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cenote._convolving, "convolve", lambda *a: said.append(a) or monkey(*a))
        apart = torch.stack([cenote.conv2d(image, weight, None, 1, 1, 1, 8) for image in x])
    assert len(said) == 3
    assert torch.allclose(one, apart, atol=1e-5)
