"""Operators that are made of others, inside everything that PyTorch does."""

import pytest
import torch

import cenote
from cenote import Axis, Window
from test_operators import some

EXPONENT = torch.tensor([2.5], dtype=torch.float64)
ALPHA = torch.tensor(0.3, dtype=torch.float64)
SAMPLES = torch.full((2, 3, 2), 0.3, dtype=torch.float64)
PRODUCT = (torch.mul, torch.ones_like)


def unpooled(x):
    values, indices = cenote.max_pool2d(x, 2, return_indices=True)
    return cenote.max_unpool2d(values, indices, 2, output_size=tuple(x.shape))


CALLS = {
    "lp_inf": lambda x: cenote.lp_pool2d(x, float("inf"), 3, 2, padding=1),
    "logsumexp_mean": lambda x: cenote.logsumexp_pool2d(x, 3, 2, 1, sharpness=2.0, mean=True),
    "gem": lambda x: cenote.gem_pool2d(x.abs(), 2.5, 3, 2, 1),
    "gem_learnt": lambda x: cenote.gem_pool2d(x.abs(), EXPONENT.to(x.device), 3, 2, 1),
    "mixed": lambda x: cenote.mixed_pool2d(x, 3, 2, 1, alpha=0.25),
    "mixed_learnt": lambda x: cenote.mixed_pool2d(x, 3, 2, 1, alpha=ALPHA),
    "stochastic_mean": lambda x: cenote.stochastic_pool2d(x.abs(), 3, 2, 1, training=False),
    "median": lambda x: cenote.median_pool2d(x, 3, 2, 1),
    "blur": lambda x: cenote.blur_pool2d(x, 5),
    "max_blur": lambda x: cenote.max_blur_pool2d(x, 3, padding=1),
    "pyramid": lambda x: cenote.spatial_pyramid_pool2d(x, (1, 2, 3)),
    "pyramid_avg": lambda x: cenote.spatial_pyramid_pool2d(x, (1, 2, 3), "avg"),
    "sppf": lambda x: cenote.sppf2d(x, 3),
    "global_median": cenote.global_median_pool2d,
    "global_mean_exp": lambda x: cenote.global_logsumexp_pool2d(x, mean=True),
    "reflect": lambda x: cenote.max_pool2d(x, 3, 2, 1, padding_mode="reflect"),
    "circular": lambda x: cenote.avg_pool2d(x, 3, 2, 1, padding_mode="circular"),
    "zeros": lambda x: cenote.avg_pool2d(x, 3, 2, "same", padding_mode="zeros"),
    "upsample": lambda x: cenote.upsample_repeat2d(x, (2, 3)),
    "unpool": unpooled,
    "fractional": lambda x: cenote.fractional_max_pool2d(x, 2, (4, 5), _random_samples=SAMPLES),
    "ones_own": lambda x: cenote.pool(x, Window([Axis(2, 2, 1, 1)] * 2), PRODUCT),
}


@pytest.fixture(params=CALLS)
def call(request):
    return CALLS[request.param]


# The others are compiled with all operators, in test_pytorch.
@pytest.mark.parametrize(
    "name",
    ["gem_learnt", "mixed_learnt", "pyramid_avg", "global_median", "global_mean_exp", "zeros"],
)
def test_compile_without_a_graph_break(name):
    """For the first size alone, then for sizes that change."""
    torch._dynamo.reset()
    call = CALLS[name]
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    for size in (9, 12):
        x = some(2, 3, size, size + 2).requires_grad_()
        y = x.detach().clone().requires_grad_()
        found, expected = compiled(x), call(y)
        torch.testing.assert_close(found, expected)
        found.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(x.grad, y.grad)


class Net(torch.nn.Module):
    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        return self.call(x)


# "same" padding made of elements and drawn windows need sizes that are known.
@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("zeros", "fractional")])
def test_export_with_batches_and_heights_that_vary(name):
    sizes = {
        0: torch.export.Dim("batch", min=2, max=9),
        2: torch.export.Dim("height", min=6, max=40),
    }
    program = torch.export.export(Net(CALLS[name]), (some(4, 3, 9, 8),), dynamic_shapes=(sizes,))
    for shape in ((4, 3, 9, 8), (5, 3, 14, 8)):
        x = some(*shape)
        torch.testing.assert_close(program.module()(x), CALLS[name](x))


@pytest.mark.parametrize("in_dim", [0, 2])
def test_vmap_is_a_loop(call, in_dim):
    stack = some(4, 2, 3, 8, 9)
    expected = torch.stack([call(x) for x in stack])
    moved = stack.movedim(0, in_dim)
    torch.testing.assert_close(torch.vmap(call, in_dims=in_dim)(moved), expected)


def test_derivatives(call):
    """Numerically, in reverse, forward and twice; those of functional transforms are the same."""
    x, t = some(2, 3, 8, 9), some(2, 3, 8, 9, seed=1)
    _, tangent = torch.func.jvp(call, (x,), (t,))
    step = 1e-6
    slope = (call(x + step * t) - call(x - step * t)) / (2 * step)
    torch.testing.assert_close(tangent, slope, rtol=1e-4, atol=1e-5)  # of differences

    def loss(x):
        return call(x).pow(2).sum()

    leaf = x.clone().requires_grad_()
    loss(leaf).backward()
    torch.testing.assert_close(torch.func.grad(loss)(x), leaf.grad)
    stack = some(2, 2, 3, 8, 9, seed=2)
    each = torch.stack([torch.func.grad(loss)(x) for x in stack])
    torch.testing.assert_close(torch.vmap(torch.func.grad(loss))(stack), each)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "fractional"])
def test_gradients_of_both_orders(name):
    x = some(1, 1, 7, 6).requires_grad_()
    assert torch.autograd.gradcheck(CALLS[name], x)
    assert torch.autograd.gradgradcheck(CALLS[name], x)


def test_other_layouts_batches_and_devices(call):
    """channels_last stays, no images are no mistake, no batch is one image, meta has shapes."""
    x = some(2, 3, 9, 8).contiguous(memory_format=torch.channels_last)
    out = call(x)
    torch.testing.assert_close(out, call(x.contiguous()))
    if out.dim() == 4:
        assert out.is_contiguous(memory_format=torch.channels_last)
    if call is not CALLS["fractional"]:  # whose samples are for two images on this device
        assert call(x.to("meta")).shape == out.shape
        empty = x[:0].clone().requires_grad_()
        assert call(empty).shape == (0, *out.shape[1:])
        call(empty).sum().backward()
        assert empty.grad.shape == empty.shape
    torch.testing.assert_close(call(x[0]), out[0])


def test_stochastic_pooling_compiles_and_maps():
    def drawn(x):
        return cenote.stochastic_pool2d(x.abs(), 2)

    torch._dynamo.reset()
    compiled = torch.compile(drawn, fullgraph=True, backend="aot_eager")
    for size in (8, 10):
        x = some(2, 3, size, 8)
        windows = x.abs().unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
        for out in (
            compiled(x),
            torch.vmap(drawn, randomness="different")(x[:, None])[:, 0],
        ):
            assert (windows == out[..., None]).any(-1).all()
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(drawn)(x[:, None])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "pool",
    [
        lambda x: cenote.lp_pool2d(x, 3, 3),
        lambda x: cenote.lp_pool2d(x, float("inf"), 3),
        lambda x: cenote.logsumexp_pool2d(x, 3, sharpness=2.0),
        lambda x: cenote.logsumexp_pool2d(x, 3, sharpness=2.0, mean=True),
        lambda x: cenote.gem_pool2d(x, 3, 3),
        lambda x: cenote.gem_pool2d(x, torch.tensor(3.0), 3),
        lambda x: cenote.mixed_pool2d(x, 3, alpha=0.3),
        lambda x: cenote.mixed_pool2d(x, 3, alpha=torch.tensor(0.3)),
        lambda x: cenote.stochastic_pool2d(x, 3, training=False),
        lambda x: cenote.blur_pool2d(x, 5),
    ],
)
def test_half_types_are_computed_in_float32_and_rounded_once(pool, dtype):
    x = some(2, 3, 9, 9, dtype=dtype)
    out = pool(x)
    assert out.dtype == dtype
    assert torch.equal(out, pool(x.float()).to(dtype))
