"""The stage is convolution, activation and pooling: the same numbers, gradients, less memory."""

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import Axis, Window
from cenote.functional import _activations

HALVES = Window([Axis(2, 2)] * 2)
POOLS = [HALVES, Window([Axis(3, 2, 1, 1)] * 2), Window([Axis(2, 2, ceil=True), Axis(3, 1)])]
NAMES = [*_activations._RISING, *_activations._OTHERS, None]


def drawn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def composed(x, weight, bias, conv, pool, activation, reduce, groups=1):
    act = _activations.activation_of("test", activation).function
    n = x.shape[x.dim() - conv.rank :]
    arguments = {
        "stride": tuple(a.stride for a in conv),
        "padding": tuple(a.padding for a in conv.at(n)),
        "dilation": tuple(a.dilation for a in conv),
        "groups": groups,
    }
    y = {1: cenote.conv1d, 2: cenote.conv2d, 3: cenote.conv3d}[conv.rank](
        x, weight, bias, **arguments
    )
    return cenote.pool(act(y), pool, reduce)


@pytest.fixture(params=[1 << 30, 1])
def tile(request, monkeypatch):
    """All images at once, and one at a time."""
    monkeypatch.setattr("cenote._ops.fused._TILE", request.param)


def check(x, weight, bias, conv, pool, activation, reduce, groups=1):
    leaves = [t.requires_grad_() for t in (x, weight, bias) if t is not None]
    theirs = composed(x, weight, bias, conv, pool, activation, reduce, groups)
    mine = cenote.stage(
        x, weight, bias, conv=conv, pool=pool, activation=activation, reduce=reduce, groups=groups
    )
    assert torch.allclose(mine, theirs, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        bare = cenote.stage(
            x, weight, bias, conv=conv, pool=pool, activation=activation, reduce=reduce,
            groups=groups,
        )  # fmt: skip
        assert torch.allclose(bare, theirs, rtol=1e-12, atol=1e-12)
    grad = drawn(*theirs.shape, seed=5)
    for got, wanted in zip(
        torch.autograd.grad(mine, leaves, grad),
        torch.autograd.grad(theirs, leaves, grad),
        strict=True,
    ):
        assert torch.allclose(got, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("reduce", ["max", "avg"])
def test_every_activation(activation, reduce):
    conv = Window([Axis(5, 1, 2, 2)] * 2)
    check(drawn(3, 2, 12, 20), drawn(4, 2, 5, 5), drawn(4), conv, HALVES, activation, reduce)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("reduce", ["max", "min", "avg", "sum"])
@pytest.mark.parametrize("groups", [1, 2])
def test_every_reduction_and_window(pool, reduce, groups):
    conv = Window([Axis(3, 2, 1, 0), Axis(3, 1, 0, 2)])
    weight = drawn(6, 4 // groups, 3, 3)
    check(drawn(3, 4, 13, 21), weight, None, conv, pool, "relu", reduce, groups)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank(rank):
    x, weight = drawn(2, 3, *[9, 8, 7][:rank]), drawn(4, 3, *[3] * rank)
    conv, pool = Window([Axis.same(3)] * rank), Window([Axis(2, 2)] * rank)
    check(x, weight, drawn(4), conv, pool, "tanh", "max")


def test_a_callable_of_ones_own_keeps_its_place():
    x, weight = drawn(2, 1, 8, 8), drawn(3, 1, 3, 3)
    turned = cenote.stage(x, weight, pool=HALVES, activation=torch.neg)
    wanted = F.max_pool2d(-F.conv2d(x, weight), 2)
    assert torch.allclose(turned, wanted)


def test_gradients_of_both_orders():
    x, weight, bias = drawn(2, 1, 7, 7), drawn(2, 1, 3, 3), drawn(2)
    given = [t.requires_grad_() for t in (x, weight, bias)]
    for activation, reduce in (("tanh", "max"), ("gelu", "avg")):

        def function(*tensors, a=activation, r=reduce):
            return cenote.stage(*tensors, pool=HALVES, activation=a, reduce=r)

        assert torch.autograd.gradcheck(function, given)
        assert torch.autograd.gradgradcheck(function, given)


def test_nan_and_infinity_win_as_they_do_apart():
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 1, 1], x[0, 0, 6, 6] = torch.nan, torch.inf
    weight = torch.ones(1, 1, 1, 1)
    out = cenote.stage(x, weight, pool=HALVES)
    assert torch.equal(out.isnan(), F.max_pool2d(torch.relu(x), 2).isnan())
    assert out[0, 0, 3, 3] == torch.inf


def test_what_is_kept_is_a_byte_an_output():
    """Beside the input, the weights and the output itself, which the network holds anyway."""
    x = torch.randn(64, 1, 28, 28)
    weight, bias = torch.randn(6, 1, 5, 5), torch.randn(6)
    kept = []

    def pack(t):
        kept.append(t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = cenote.stage(
            x, weight.requires_grad_(), bias.requires_grad_(),
            conv=Window([Axis(5, 1, 2, 2)] * 2), pool=HALVES,
        )  # fmt: skip
    held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}
    known = [t.untyped_storage().data_ptr() for t in (x, weight, bias, out)]
    assert sum(size for place, size in held.items() if place not in known) == out.numel()


def test_threads_do_not_change_a_bit():
    x, weight, bias = (
        drawn(*s, dtype=torch.float32) for s in ((40, 1, 28, 28), (6, 1, 5, 5), (6,))
    )
    results = []
    for threads in (1, 2):
        with cenote.options(threads=threads):
            leaf = weight.clone().requires_grad_()
            out = cenote.stage(x, leaf, bias, pool=HALVES)
            out.square().sum().backward()
            results.append((out, leaf.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_under_compile_and_vmap_it_is_the_three_operations():
    x, weight = torch.randn(3, 1, 8, 8), torch.randn(2, 1, 3, 3)
    wanted = cenote.stage(x, weight, pool=HALVES)

    def function(t):
        return cenote.stage(t, weight, pool=HALVES)

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")(x)
    assert torch.allclose(compiled, wanted, rtol=1e-5, atol=1e-5)
    mapped = torch.vmap(lambda t: function(t[None])[0])(x)
    assert torch.allclose(mapped, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "stage: pool = 2: must be a Window, not int", {"pool": 2}),
        (ValueError, "stage: pool = .*: must be 2 axes with a kernel", {"pool": Window([Axis(2)])}),
        (ValueError, "stage: conv = .*: the weight's kernel is", {"conv": Window([Axis(2)] * 2)}),
        (ValueError, "stage: activation = 'rely': must be one of", {"activation": "rely"}),
        (TypeError, "stage: activation = 3: must be a word or callable", {"activation": 3}),
        (ValueError, "stage: reduce = 'mean': must be one of max", {"reduce": "mean"}),
        (
            ValueError,
            r"stage: axis 0 \(height\): a window of extent 9",
            {"pool": Window([Axis(9)] * 2)},
        ),
    ],
)
def test_mistakes_are_named(error, message, arguments):
    given = {"pool": HALVES, **arguments}
    with pytest.raises(error, match="^" + message):
        cenote.stage(torch.zeros(1, 1, 8, 8), torch.zeros(2, 1, 3, 3), **given)
