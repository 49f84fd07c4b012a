"""The kinds of convolution: each does what a plain one with the right weight does."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch

import cenote
from cenote import nn
from cenote.nn._chain import runs_of
from cenote.window import Axis, Window
from oracle.convolution import taps_of

RANKS = (1, 2, 3)
CONV = {1: cenote.conv1d, 2: cenote.conv2d, 3: cenote.conv3d}


def of(name, rank):
    return getattr(nn, f"{name}{rank}d")


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# Modules are torch's.

TORCHS = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


@pytest.mark.parametrize("name", TORCHS)
def test_modules_are_torchs(name):
    arguments = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1,
                 "dilation": 1, "groups": 2}  # fmt: skip
    mine, theirs = getattr(nn, name)(**arguments), getattr(torch.nn, name)(**arguments)
    assert isinstance(mine, getattr(torch.nn, name))
    theirs.load_state_dict(mine.state_dict())
    rank = int(name[-2])
    x = torch.randn(2, 4, *[9] * rank)
    assert torch.allclose(mine(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert repr(mine) == repr(theirs)
    mine.load_state_dict(theirs.state_dict())
    for again in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert torch.equal(again(x), mine(x))


@pytest.mark.parametrize("rank", RANKS)
def test_output_size_picks_the_output_padding(rank):
    conv = of("ConvTranspose", rank)(2, 3, 3, stride=2, padding=1)
    torchs = getattr(torch.nn, f"ConvTranspose{rank}d")(2, 3, 3, stride=2, padding=1)
    torchs.load_state_dict(conv.state_dict())
    x = torch.randn(1, 2, *[5] * rank)
    for size in (9, 10):
        out = conv(x, output_size=[size] * rank)
        assert torch.allclose(out, torchs(x, output_size=[size] * rank), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"output_size = 11: .* length 5 leads to 9 to 10"):
        conv(x, output_size=[11] * rank)


def test_attributes_are_the_truth():
    conv = nn.Conv2d(2, 2, 3)
    conv.padding = "same"
    assert conv(torch.zeros(1, 2, 7, 7)).shape == (1, 2, 7, 7)
    assert conv.window == Window([Axis.same(3)] * 2)


# Formulas.

MODULES = [
    *(of("Conv", rank)(4, 6, 3, stride=2, padding=1, groups=2) for rank in RANKS),
    *(of("ShuffledConv", rank)(4, 6, 3, groups=2) for rank in RANKS),
    *(of("PointwiseConv", rank)(4, 5) for rank in RANKS),
    *(of("DepthwiseConv", rank)(4, 3, padding="same", multiplier=2) for rank in RANKS),
    *(of("DepthwiseSeparableConv", rank)(4, 5, 3, stride=2, bias=False) for rank in RANKS),
    *(of("FlattenedConv", rank)(4, 5, 3, padding=1) for rank in RANKS),
    *(of("SpatiallySeparableConv", rank)(4, 6, 3, padding=1, groups=2) for rank in (2, 3)),
    *(of("LocallyConnected", rank)(4, 2, 3, size=7) for rank in RANKS),
    nn.CausalConv1d(4, 5, 3, dilation=2),
    nn.TCNBlock(4, 5, 3, 2),
    nn.TCN(4, [5, 5, 6], 3, weight_norm=False),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: type(m).__name__)
def test_formulas_count_what_there_is(module):
    parameters = sum(p.numel() for p in module.parameters())
    assert module.count_parameters() == parameters
    rank = int(type(module).__name__[-2]) if type(module).__name__.endswith("d") else 1
    n = [7] * rank
    x = torch.randn(1, 4, *n)
    assert module.count_macs(*n) == counted_macs(module, x)


def counted_macs(module, x):
    """By hooks: outputs, times what each is made of."""
    total = 0

    def count(layer, given, made):
        nonlocal total
        if isinstance(layer, torch.nn.modules.conv._ConvNd):
            each = layer.weight[0].numel()
            total += made[0].numel() * each
        elif hasattr(layer, "size"):
            total += layer.weight.numel()

    hooks = [part.register_forward_hook(count) for part in module.modules()]
    module(x)
    for hook in hooks:
        hook.remove()
    return total


def test_transposed_multiplies_every_input_by_every_tap():
    conv = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2)
    assert conv.count_parameters() == 4 * 3 * 9 + 6
    assert conv.count_macs(5, 7) == 5 * 7 * 4 * 3 * 9


def test_counts_of_the_literature():
    # MobileNet, table 1: depthwise separable against full 3x3, 512 to 512 channels
    separable = nn.DepthwiseSeparableConv2d(512, 512, 3, padding=1, bias=False)
    assert separable.count_parameters() == 512 * 9 + 512 * 512
    assert separable.count_macs(14, 14) == 14 * 14 * (512 * 9 + 512 * 512)
    # Jin et al. 2014: C + X + Y parameters a filter
    assert nn.FlattenedConv2d(96, 128, 5, bias=False).count_parameters() == 128 * (96 + 5 + 5)
    # VGG conv1_1
    assert nn.Conv2d(3, 64, 3, padding=1).count_macs(224, 224) == 86_704_128


# Equivalences.


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_separable_is_dense_with_the_product_kernel(rank, groups, mode):
    layer = of("SpatiallySeparableConv", rank)(
        4, 6, 3, 2, 1, groups=groups, padding_mode=mode, dtype=torch.float64, components=2
    )
    x = drawn(2, 4, *[9, 8, 7][:rank])
    dense = CONV[rank](x, layer.dense_weight(), layer.bias, 2, 1, groups=groups, padding_mode=mode)
    assert torch.allclose(layer(x), dense)
    assert layer.window == Window([Axis(3, 2, 1, 1)] * rank)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_from_dense_keeps_all_that_counts(rank, groups):
    weight = drawn(8, 4 // groups, *[5, 3, 4][:rank])
    kind = of("SpatiallySeparableConv", rank)
    layer = kind.from_dense(weight, drawn(8), 1, 2, groups=groups)
    assert layer.error < 1e-12
    assert torch.allclose(layer.dense_weight(), weight)
    x = drawn(2, 4, *[9, 8, 7][:rank])
    dense = CONV[rank](x, weight, layer.bias, 1, 2, groups=groups)
    assert torch.allclose(layer(x), dense)


def test_from_dense_says_how_much_is_missing():
    weight = drawn(6, 3, 5, 4)
    values = torch.linalg.svdvals(weight.permute(1, 2, 3, 0).reshape(15, 24))
    for components in (1, 4, 15):
        layer = nn.SpatiallySeparableConv2d.from_dense(weight, components=components)
        wanted = (values[components:].square().sum() / values.square().sum()).sqrt()
        assert layer.error == pytest.approx(float(wanted), abs=1e-12)
        assert layer.components == (components,)
        assert f"components={components}" in repr(layer)


def test_from_dense_of_a_kernel_of_one_component():
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])[None, None]
    layer = nn.SpatiallySeparableConv2d.from_dense(sobel)
    assert layer.components == (1,)
    assert layer.error < 1e-6
    zero = nn.SpatiallySeparableConv2d.from_dense(torch.zeros(1, 1, 3, 3))
    assert zero.error == 0
    assert (zero.dense_weight() == 0).all()


@pytest.mark.parametrize("rank", RANKS)
def test_flattened_is_the_outer_product(rank):
    layer = of("FlattenedConv", rank)(3, 5, 3, stride=2, padding=1, dtype=torch.float64)
    lateral, *along = (part.weight for part in layer.parts)
    x = drawn(2, 3, *[9, 8, 7][:rank])
    product = layer.dense_weight()
    axes = "xyz"[:rank]
    vectors = [part.flatten(1) for part in along]
    wanted = torch.einsum(
        f"oc,{','.join('o' + a for a in axes)}->oc{axes}", lateral.flatten(1), *vectors
    )
    assert torch.allclose(product, wanted)
    assert torch.allclose(layer(x), CONV[rank](x, wanted, layer.parts[-1].bias, 2, 1))


def test_depthwise_separable_is_its_two_parts():
    made = nn.DepthwiseSeparableConv2d(
        4, 6, 3, padding=1, norm=torch.nn.BatchNorm2d, activation=torch.nn.ReLU, multiplier=2
    ).eval()
    x = torch.randn(2, 4, 9, 9)
    inner = cenote.depthwise_conv2d(x, made.depthwise.weight, padding=1)
    wanted = made.pointwise(torch.relu(made.norm(inner)))
    assert torch.allclose(made(x), wanted, rtol=1e-5, atol=1e-5)
    assert made.depthwise.bias is None
    assert isinstance(made.norm, torch.nn.BatchNorm2d)


@pytest.mark.parametrize("rank", RANKS)
def test_locally_connected_is_a_kernel_a_position(rank):
    window = Window([Axis(3, 2, 1, 0)] * rank)
    n = [7, 6, 5][:rank]
    out = window.out(n)
    x, weight, bias = drawn(2, 3, *n), drawn(*out, 4, 3, *[3] * rank), drawn(4, *out)
    function = getattr(cenote, f"locally_connected{rank}d")
    y = function(x, weight, bias, 2, ((1, 0),) * rank)
    places = [taps_of(axis, length) for axis, length in zip(window, n, strict=True)]
    for o in itertools.product(*map(range, out)):
        total = bias[(slice(None), *o)].clone()[None].repeat(2, 1)
        for k in itertools.product(*[range(3)] * rank):
            at = [places[a][o[a]][k[a]] for a in range(rank)]
            if all(0 <= p < length for p, length in zip(at, n, strict=True)):
                seen = x[(slice(None), slice(None), *at)]
                total += seen @ weight[(*o, slice(None), slice(None), *k)].T
        assert torch.allclose(y[(slice(None), slice(None), *o)], total)
    shared = weight[(0,) * rank].expand_as(weight)
    plain = CONV[rank](x, weight[(0,) * rank], None, 2, ((1, 0),) * rank)
    assert torch.allclose(function(x, shared, None, 2, ((1, 0),) * rank), plain)


def test_locally_connected_has_gradients():
    x, weight = drawn(2, 2, 5).requires_grad_(), drawn(3, 4, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(cenote.locally_connected1d, (x, weight))


# Convolution as mathematics has it.


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize(("n", "k"), [(9, 4), (9, 1), (7, 7), (12, 5)])
def test_convolve_is_numpys(mode, method, n, k):
    x, kernel = drawn(3, n), drawn(k)
    out = cenote.convolve(x, kernel, mode, method=method)
    for got, row in zip(out, x, strict=True):
        assert np.allclose(got, np.convolve(row, kernel, mode))


@pytest.mark.parametrize("rank", RANKS)
def test_full_convolution_is_the_product_of_spectra(rank):
    x, kernel = drawn(2, *[6, 5, 4][:rank]), drawn(*[3, 9, 2][:rank])
    direct = cenote.convolve(x, kernel)
    assert direct.shape[1:] == tuple(
        n + k - 1 for n, k in zip(x.shape[1:], kernel.shape, strict=True)
    )
    assert torch.allclose(direct, cenote.convolve(x, kernel, method="fft"))
    turned = kernel.flip(tuple(range(rank)))[None, None]
    pads = [k - 1 for k in kernel.shape]
    assert torch.allclose(direct, CONV[rank](x[:, None], turned, padding=pads)[:, 0])
    flipped = CONV[rank](x[:, None], kernel[None, None], padding=pads, flip=True)
    assert torch.allclose(direct, flipped[:, 0])


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "arguments", [{}, {"stride": 2, "padding": 1}, {"padding": 2, "dilation": 2}]
)
def test_a_convolution_is_a_matrix_and_transposed_its_transpose(rank, groups, arguments):
    n = [6, 5, 5][:rank]
    weight, x = drawn(4, 4 // groups, *[3] * rank), drawn(4, *n)
    matrix = cenote.conv_matrix(weight, n, groups=groups, **arguments)
    y = CONV[rank](x, weight, groups=groups, **arguments)
    assert matrix.is_sparse
    assert matrix.shape == (y.numel(), x.numel())
    assert torch.allclose(matrix @ x.flatten(), y.flatten())
    back = getattr(cenote, f"conv_transpose{rank}d")(
        y, weight, groups=groups, output_padding=tuple(
            length - axis.adjoint(size) for length, size, axis in zip(
                n, y.shape[1:], cenote.nn.__dict__[f"Conv{rank}d"](4, 4, 3, **arguments).window,
                strict=True)
        ), **arguments
    )  # fmt: skip
    assert torch.allclose(matrix.T @ y.flatten(), back.flatten())


# Temporal networks.


@pytest.mark.parametrize("norm", [True, False])
def test_a_tcn_sees_what_its_field_says_and_nothing_later(norm):
    torch.manual_seed(0)
    net = nn.TCN(2, [3, 4, 4], 3, weight_norm=norm).double().eval()
    for parameter in net.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 1.0)  # so that no gradient is lost in a ReLU
    x = torch.rand(1, 2, 60, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(net(x)[0, :, 45].sum(), x)
    seen = grad[0].abs().sum(0).nonzero().flatten()
    assert net.field == 1 + 2 * 2 * (1 + 2 + 4)
    assert (int(seen.min()), int(seen.max())) == (45 - net.field + 1, 45)


def test_integers_and_complex_numbers_are_torchs():
    for dtype in (torch.int32, torch.int64, torch.complex64):
        x = torch.arange(25).reshape(1, 1, 5, 5).to(dtype)
        out = cenote.conv2d(x, torch.ones(1, 1, 2, 2, dtype=dtype), padding=((1, 0), (0, 0)))
        assert out.dtype == dtype
        assert out[0, 0, 0, 0] == 1


# Mistakes.

X = torch.zeros(2, 4, 8, 8)
W = torch.zeros(6, 4, 3, 3)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            TypeError,
            "conv2d: input: elements of type torch.bool cannot be multiplied",
            lambda: cenote.conv2d(X.bool(), W),
        ),
        (
            TypeError,
            "conv2d: input: must be a torch.Tensor, not list",
            lambda: cenote.conv2d([1], W),
        ),
        (
            ValueError,
            r"conv2d: input: must have 3 or 4 dimensions, \(C, H, W\) or \(N, C, H, W\), not 2",
            lambda: cenote.conv2d(X[0, 0], W),
        ),
        (
            ValueError,
            r"conv2d: weight: must have 4 dimensions, \(O, C/groups, kH, kW\), not 3",
            lambda: cenote.conv2d(X, W[0]),
        ),
        (
            ValueError,
            r"conv2d: weight of shape \(6, 3, 3, 3\) reads 3 channels, the input has 4",
            lambda: cenote.conv2d(X, W[:, :3]),
        ),
        (
            ValueError,
            "conv2d: groups = 3: does not divide the 4 channels of the input",
            lambda: cenote.conv2d(X, W, groups=3),
        ),
        (
            ValueError,
            "conv2d: groups = 4: does not divide the 6 output channels",
            lambda: cenote.conv2d(X, W[:, :1], groups=4),
        ),
        (
            ValueError,
            "conv2d: groups = 0: must be at least 1",
            lambda: cenote.conv2d(X, W, groups=0),
        ),
        (
            TypeError,
            "conv2d: groups = 1.0: must be an integer, not float",
            lambda: cenote.conv2d(X, W, groups=1.0),
        ),
        (
            TypeError,
            "conv2d: weight: elements of type torch.float64, the input's are torch.float32",
            lambda: cenote.conv2d(X, W.double()),
        ),
        (
            ValueError,
            r"conv2d: bias: must have one number for each of 6 output channels, not shape \(4,\)",
            lambda: cenote.conv2d(X, W, torch.zeros(4)),
        ),
        (
            ValueError,
            r"conv2d: axis 0 \(height\): stride = 0: must be at least 1",
            lambda: cenote.conv2d(X, W, stride=0),
        ),
        (
            ValueError,
            r"conv2d: axis 1 \(width\): a window of extent 9 \(kernel 3, dilation 4\) does not fit",
            lambda: cenote.conv2d(X, W, dilation=(1, 4)),
        ),
        (
            ValueError,
            "conv2d: padding_mode = 'wrap': must be one of zeros, reflect, replicate, circular",
            lambda: cenote.conv2d(X, W, padding_mode="wrap"),
        ),
        (
            ValueError,
            "conv2d: padding = 'full': as a word it is 'same' or 'valid'",
            lambda: cenote.conv2d(X, W, padding="full"),
        ),
        (
            ValueError,
            r"conv_transpose2d: axis 0 \(height\): output_padding = 2: must be less than",
            lambda: cenote.conv_transpose2d(X, W.transpose(0, 1), stride=2, output_padding=2),
        ),
        (
            ValueError,
            r"conv_transpose2d: axis 0 \(height\): padding \(9, 9\) leaves nothing of the output",
            lambda: cenote.conv_transpose2d(X, W.transpose(0, 1), padding=9),
        ),
        (
            ValueError,
            "conv_transpose2d: weight of shape .* reads 6 channels, the input has 4",
            lambda: cenote.conv_transpose2d(X, W),
        ),
        (
            ValueError,
            r"locally_connected2d: weight: is for \(5, 5\) positions, the input leads to \(6, 6\)",
            lambda: cenote.locally_connected2d(X, torch.zeros(5, 5, 2, 4, 3, 3)),
        ),
        (
            ValueError,
            r"convolve: kernel: must have one to three axes, and no more than the input's 1",
            lambda: cenote.convolve(X[0, 0, 0], W[0, 0]),
        ),
        (
            ValueError,
            r"convolve: axis 0 \(length\): kernel of length 9 does not fit",
            lambda: cenote.convolve(X[0, 0, 0], torch.zeros(9), "valid"),
        ),
        (
            ValueError,
            "Conv2d: groups = 3: does not divide the 4 in_channels",
            lambda: nn.Conv2d(4, 6, 3, groups=3),
        ),
        (TypeError, "Conv2d: out_channels = 2.5: must be an integer", lambda: nn.Conv2d(4, 2.5, 3)),
        (
            ValueError,
            r"Conv2d: axis 0 \(height\): kernel_size = 0: must be at least 1",
            lambda: nn.Conv2d(4, 6, 0),
        ),
        (
            ValueError,
            "DepthwiseConv2d: .*multiplier = 0: must be at least 1",
            lambda: nn.DepthwiseConv2d(4, 3, multiplier=0),
        ),
        (
            TypeError,
            "DepthwiseSeparableConv2d: norm: must be None or make a module, not str",
            lambda: nn.DepthwiseSeparableConv2d(4, 4, 3, norm="batch"),
        ),
        (
            ValueError,
            "TCNBlock: dropout = 1.5: must be at least 0 and below 1",
            lambda: nn.TCNBlock(4, 4, 3, dropout=1.5),
        ),
        (
            ValueError,
            r"TCN: channels = \[\]: needs one number for each block",
            lambda: nn.TCN(4, []),
        ),
    ],
)
def test_mistakes_are_named(error, message, call):
    with pytest.raises(error, match="^" + message):
        call()


@pytest.mark.parametrize(
    ("module", "runs"),
    [
        (nn.SpatiallySeparableConv2d(6, 6, 3, padding=1, groups=6), [2]),
        (nn.SpatiallySeparableConv2d(6, 6, (3, 5), (2, 1), ((1, 0), (2, 3)), groups=6), [2]),
        (nn.SpatiallySeparableConv2d(6, 6, 5, 2, "same", 2, groups=6), [2]),
        (nn.SpatiallySeparableConv2d(6, 6, 7, padding=9, groups=6, bias=False), [2]),
        (nn.FlattenedConv2d(4, 6, 3, padding=1), [1, 2]),
        (nn.FlattenedConv2d(4, 6, 3, 2, "same"), [1, 2]),
        (nn.SpatiallySeparableConv2d(4, 6, 3), [1, 1]),  # many channels to a sum
        (nn.SpatiallySeparableConv2d(6, 6, 9, groups=6), [1, 1]),  # 81 taps in one kernel
        (nn.FlattenedConv2d(4, 6, 3, padding_mode="reflect"), [1, 1, 1]),
        (nn.FlattenedConv3d(2, 3, 3), [1, 1, 1, 1]),
        (nn.FlattenedConv1d(2, 3, 3), [1, 1]),
    ],
    ids=str,
)
def test_steps_that_are_one_kernel_give_what_they_give_apart(module, runs):
    assert [len(run) for run in runs_of(module.parts)] == runs
    module = copy.deepcopy(module).double()
    x = drawn(2, module.in_channels, *(11, 12, 13)[: module.rank]).requires_grad_()
    together, apart = module(x), x
    for part in module.parts:
        apart = part(apart)
    assert torch.allclose(together, apart, rtol=1e-12, atol=1e-12)
    leaves, grad = [x, *module.parameters()], drawn(*apart.shape)
    for got, wanted in zip(
        torch.autograd.grad(together, leaves, grad),
        torch.autograd.grad(apart, leaves, grad),
        strict=True,
    ):
        assert torch.allclose(got, wanted, rtol=1e-10, atol=1e-10)


def test_whoever_hooks_into_a_step_sees_its_output():
    module = nn.SpatiallySeparableConv2d(6, 6, 3, groups=6)
    seen = []
    module.parts[0].register_forward_hook(lambda part, args, out: seen.append(out))
    module(drawn(2, 6, 8, 9).float())
    assert [tuple(out.shape) for out in seen] == [(2, 6, 6, 9)]
