"""The operators inside everything that PyTorch does: tracing, transforms, modes, threads, forks."""

import copy
import inspect
import io
import multiprocessing
import os
import pickle
import threading

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import cenote
from cenote import Window, _kernels
from cenote._ops import eager
from cenote.window import Adaptive

SPAN = Window([Adaptive(3), Adaptive(4)])
PRODUCT = (torch.mul, torch.ones_like)


def upside_down(x):
    """Unpooling to twice the size: each element to the last of its four places."""
    rows, columns = x.shape[-2:]
    up, across = (2 * torch.arange(n, device=x.device) + 1 for n in (rows, columns))
    at = up[:, None] * 2 * columns + across
    return cenote.max_unpool2d(x, at.expand(x.shape), 2)


def drawn(pool):
    """With windows that lie at the same places in every call."""

    def call(x):
        planes = (*x.shape[: x.dim() - 2], 2)
        return pool(x, _random_samples=torch.full(planes, 0.4).reshape(-1, *planes[-2:]))

    return call


# Every operator; where an option changes the way that derivatives take, with it too.
CALLS = {
    "max": lambda x: cenote.max_pool2d(x, 3, 2, 1),
    "max_dilated": lambda x: cenote.max_pool2d(x, 2, 1, padding="same", dilation=3),
    # -inf where a window is empty; finite, so that differences can be taken
    "max_empty_windows": lambda x: cenote.max_pool2d(x, 2, 1, 8, dilation=9).clamp(min=-1e3),
    "max_reflect": lambda x: cenote.max_pool2d(x, 3, 2, 1, padding_mode="reflect"),
    "max_zeros": lambda x: cenote.max_pool2d(x - 2, 3, 2, 1, padding_mode="zeros"),
    "max_1d": lambda x: cenote.max_pool1d(x.flatten(-2), 3, 2, 1),
    "max_3d": lambda x: cenote.max_pool3d(x[..., None, :, :], (1, 2, 3), 2, (0, 1, 1)),
    "max_adaptive": lambda x: cenote.adaptive_max_pool2d(x, (3, 4)),
    "max_global": cenote.global_max_pool2d,
    "min": lambda x: cenote.min_pool2d(x, 3, 2, 1),
    "median": lambda x: cenote.median_pool2d(x, 3, 2, 1),
    "avg": lambda x: cenote.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "avg_same": lambda x: cenote.avg_pool2d(x, 4, 3, padding="same"),
    "avg_circular": lambda x: cenote.avg_pool2d(x, 3, 2, 1, padding_mode="circular"),
    "avg_1d": lambda x: cenote.avg_pool1d(x.flatten(-2), 4, 3, 1),
    "avg_3d": lambda x: cenote.avg_pool3d(x[..., None, :, :], (1, 2, 3), 2, (0, 1, 1)),
    "avg_adaptive": lambda x: cenote.adaptive_avg_pool2d(x, (3, None)),
    "avg_global": cenote.global_avg_pool2d,
    "sum": lambda x: cenote.sum_pool2d(x, 3, 2, 1),
    "lp_2": lambda x: cenote.lp_pool2d(x - 1, 2, 3, 2),
    "lp_3.5": lambda x: cenote.lp_pool2d(x - 1, 3.5, 3, 2, padding=1),
    "lp_inf": lambda x: cenote.lp_pool2d(x - 1, float("inf"), 3, 2),
    "logsumexp": lambda x: cenote.logsumexp_pool2d(x, 3, 2, 1, sharpness=0.5),
    "logsumexp_mean": lambda x: cenote.logsumexp_pool2d(x, 3, 2, 1, sharpness=-0.5, mean=True),
    "gem": lambda x: cenote.gem_pool2d(x + 1, 3.0, 3, 2, 1),
    "gem_tensor": lambda x: cenote.gem_pool2d(x + 1, x.new_tensor(2.5), 3, 2, 1),
    "mixed": lambda x: cenote.mixed_pool2d(x, 3, 2, 1, alpha=0.25),
    "stochastic_eval": lambda x: cenote.stochastic_pool2d(x + 1, 3, 2, 1, training=False),
    "fractional": drawn(lambda x, **kw: cenote.fractional_max_pool2d(x, 2, (3, 4), **kw)),
    "unpool": upside_down,
    "upsample_repeat": lambda x: cenote.upsample_repeat2d(x, (2, 3)),
    "blur": cenote.blur_pool2d,
    "max_blur": lambda x: cenote.max_blur_pool2d(x, 2, filter_size=4),
    "pyramid": lambda x: cenote.spatial_pyramid_pool2d(x, (1, 3)),
    "sppf": lambda x: cenote.sppf2d(x, 3, 2),
    "product": lambda x: cenote.pool(x / 4, SPAN, PRODUCT),
}
THEIRS = {
    "max": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_1d": lambda x: F.max_pool1d(x.flatten(-2), 3, 2, 1),
    "max_adaptive": lambda x: F.adaptive_max_pool2d(x, (3, 4)),
    "avg": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "avg_adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, None)),
    "lp_2": lambda x: F.lp_pool2d(x - 1, 2, 3, 2),
}
# Of these the second derivative is zero, as the first does not depend on the input.
LINEAR_PIECES = frozenset(CALLS) - {
    "lp_2", "lp_3.5", "logsumexp", "logsumexp_mean", "gem", "gem_tensor", "stochastic_eval",
    "product",
}  # fmt: skip


def some(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Distinct values, far enough apart for finite differences."""
    count = torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(count)
    return (torch.randperm(count, generator=generator).to(dtype) / 7).reshape(shape)


@pytest.fixture(params=CALLS)
def name(request):
    return request.param


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (cenote.max_pool2d, F._max_pool2d),
        (cenote.avg_pool2d, None),
        (cenote.nn.MaxPool2d, torch.nn.MaxPool2d),
        (cenote.nn.AvgPool2d, torch.nn.AvgPool2d),
    ],
    ids=["max_pool2d", "avg_pool2d", "MaxPool2d", "AvgPool2d"],
)
def test_arguments_are_torchs_in_torchs_order(ours, theirs):
    def listed(f):
        return [(p.name, p.default) for p in inspect.signature(f).parameters.values()
                if p.kind is not p.KEYWORD_ONLY]  # fmt: skip

    expected = [  # F.avg_pool2d is a builtin without a signature
        ("input", inspect.Parameter.empty), ("kernel_size", inspect.Parameter.empty),
        ("stride", None), ("padding", 0), ("ceil_mode", False), ("count_include_pad", True),
        ("divisor_override", None),
    ] if theirs is None else listed(theirs)  # fmt: skip
    assert listed(ours) == expected


def test_opcheck(name):
    """Every registered operator that a call and its gradient go through."""
    x = some(2, 3, 9, 11)
    with Recorder() as seen:
        y = CALLS[name](x.requires_grad_())
        y.sum().backward()
    assert seen.calls or name == "product"  # which is made of torch's operators alone
    for op, args in dict(seen.calls).items():
        given = tuple(a.detach().requires_grad_(a.is_floating_point()) if torch.is_tensor(a) else a
                      for a in args)  # fmt: skip
        torch.library.opcheck(op, given)


class Recorder(TorchDispatchMode):
    """Notes every cenote operator that is called under it."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "cenote":
            self.calls.append((func, args))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rank_3", [False, True], ids=["batched", "unbatched"])
def test_gradients_of_both_orders(name, rank_3):
    x = some(*((2, 7, 8) if rank_3 else (2, 2, 7, 8)), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(CALLS[name], x)
    assert torch.autograd.gradgradcheck(CALLS[name], x)


@pytest.mark.parametrize("call", THEIRS)
def test_double_backward_is_torchs(call):
    def second(f):
        x = some(2, 3, 9, 11, dtype=torch.float64).requires_grad_()
        (g,) = torch.autograd.grad(f(x).pow(3).sum(), x, create_graph=True)
        (gg,) = torch.autograd.grad(g.pow(2).sum(), x)
        return gg

    torch.testing.assert_close(second(CALLS[call]), second(THEIRS[call]))
    assert second(CALLS[call]).abs().sum() > 0


def test_jvp_has_tangents(name):
    x, t = some(2, 3, 9, 11, dtype=torch.float64), some(2, 3, 9, 11, dtype=torch.float64).flip(-1)
    _, tangent = torch.func.jvp(CALLS[name], (x,), (t,))
    eps = 1e-6
    expected = (CALLS[name](x + eps * t) - CALLS[name](x - eps * t)) / (2 * eps)
    torch.testing.assert_close(tangent, expected, rtol=1e-5, atol=1e-5)
    assert tangent.abs().sum() > 0
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(CALLS[name](forward_ad.make_dual(x, t)))
        torch.testing.assert_close(dual.tangent, tangent)


def test_functional_transforms_agree_with_backward(name):
    x = some(1, 2, 6, 7, dtype=torch.float64)

    def loss(x):
        return CALLS[name](x).pow(2).sum()

    leaf = x.clone().requires_grad_()
    loss(leaf).backward()
    torch.testing.assert_close(torch.func.grad(loss)(x), leaf.grad)
    forward = torch.func.jacfwd(CALLS[name])(x)
    backward = torch.func.jacrev(CALLS[name])(x)
    torch.testing.assert_close(forward, backward)
    assert forward.abs().sum() > 0
    hessian = torch.func.hessian(loss)(x)
    transposed = hessian.movedim((4, 5, 6, 7), (0, 1, 2, 3))
    if name in LINEAR_PIECES:
        assert torch.equal(hessian, transposed)
    torch.testing.assert_close(hessian, transposed)


@pytest.mark.parametrize("in_dim", [0, 2, -1])
def test_vmap_is_a_loop(name, in_dim):
    stack = some(3, 2, 3, 9, 8)
    expected = torch.stack([CALLS[name](x) for x in stack])
    moved = stack.movedim(0, in_dim)
    mapped = torch.vmap(CALLS[name], in_dims=in_dim)(moved)
    if name in LINEAR_PIECES:
        assert torch.equal(mapped, expected)
    torch.testing.assert_close(mapped, expected)  # torch's own powers differ in the last bit


def test_backward_through_vmap(name):
    x, y = some(3, 2, 9, 8).requires_grad_(), some(3, 2, 9, 8).requires_grad_()
    torch.vmap(CALLS[name])(x).pow(2).sum().backward()
    CALLS[name](y).pow(2).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_compiled_jvp_has_tangents(name):
    torch._dynamo.reset()

    def tangent(x, t):
        return torch.func.jvp(CALLS[name], (x,), (t,))[1]

    x, t = some(2, 3, 9, 11), some(2, 3, 9, 11).flip(-1)
    compiled = torch.compile(tangent, backend="aot_eager")
    torch.testing.assert_close(compiled(x, t), tangent(x, t))
    assert tangent(x, t).abs().sum() > 0


def test_vmap_of_gradients(name):
    def loss(x):
        return CALLS[name](x).pow(2).sum()

    stack = some(3, 2, 9, 8)
    expected = torch.stack([torch.func.grad(loss)(x) for x in stack])
    torch.testing.assert_close(torch.vmap(torch.func.grad(loss))(stack), expected)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_compile_without_a_graph_break(name, dynamic):
    if name == "product" and dynamic and os.environ.get("CENOTE_SLOW") != "1":
        pytest.skip("slow: set CENOTE_SLOW=1")  # a formula of sizes for every tap
    torch._dynamo.reset()
    compiled = torch.compile(CALLS[name], fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for size in (11, 12):
        x, y = some(2, 3, 9, size).requires_grad_(), some(2, 3, 9, size).requires_grad_()
        ours, expected = compiled(x), CALLS[name](y)
        assert torch.equal(ours, expected)
        ours.sum().backward()
        expected.sum().backward()
        assert torch.equal(x.grad, y.grad)


def test_compile_of_indices():
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x: cenote.max_pool2d(x, 2, return_indices=True), fullgraph=True, backend="aot_eager"
    )
    x = some(2, 3, 8, 8)
    assert torch.equal(compiled(x)[1], F.max_pool2d(x, 2, return_indices=True)[1])


def test_export_saves_and_loads(name):
    class Net(torch.nn.Module):
        def forward(self, x):
            return CALLS[name](x)

    dim = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Net(), (some(4, 3, 9, 11),), dynamic_shapes=({0: dim},))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    x = some(6, 3, 9, 11)
    assert torch.equal(loaded(x), CALLS[name](x))


def test_meta_and_fake_tensors_have_the_shape_and_layout(name):
    for layout in (torch.contiguous_format, torch.channels_last):
        x = some(2, 3, 9, 11).contiguous(memory_format=layout)
        real, meta = CALLS[name](x), CALLS[name](x.to("meta"))
        assert meta.device.type == "meta"
        assert (meta.shape, meta.stride()) == (real.shape, real.stride())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_takes_the_reference(dtype):
    x = some(2, 3, 9, 11).to(dtype)
    assert torch.equal(cenote.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 3, 2, 1))
    # one rounding of a float32 sum on both sides
    torch.testing.assert_close(cenote.avg_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1))


def test_integers_take_the_reference():
    x = (some(2, 3, 9, 11) * 7).long() - 300
    assert torch.equal(cenote.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 3, 2, 1))
    assert torch.equal(cenote.avg_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1))


# The long way: registered operators, and the reference behind them.


def test_the_long_way_gives_the_same_bits_and_gradients(name, monkeypatch):
    def both(x):
        leaf = x.clone().requires_grad_()
        y = CALLS[name](leaf)
        y.sum().backward()
        return y.detach(), leaf.grad, CALLS[name](x)

    x = some(2, 3, 9, 11)
    short = both(x)
    monkeypatch.setattr(eager, "_guards_known", False)
    assert all(map(torch.equal, short, both(x)))


def test_the_long_way_is_the_reference_on_other_devices(name, monkeypatch):
    x = some(2, 3, 9, 11, dtype=torch.float64)

    def both():
        leaf = x.clone().requires_grad_()
        y = CALLS[name](leaf)
        (g,) = torch.autograd.grad(y, leaf, some(*y.shape, dtype=y.dtype), create_graph=True)
        return y.detach(), g.detach()

    native = both()
    monkeypatch.setattr(_kernels, "supports", lambda _: False)
    for ours, expected in zip(both(), native, strict=True):
        torch.testing.assert_close(ours, expected)


# Modules.


def test_modules_are_torchs_and_survive_copies():
    for module in (cenote.nn.MaxPool2d(3, 2, 1), cenote.nn.AvgPool2d(3, 2, 1, dilation=2)):
        assert isinstance(module, torch.nn.MaxPool2d | torch.nn.AvgPool2d)
        x = some(2, 3, 9, 11)
        for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert torch.equal(again(x), module(x))
            assert repr(again) == repr(module)


def test_attributes_set_afterwards_hold():
    module = cenote.nn.MaxPool2d(2, 2)
    x = some(1, 1, 7, 7)
    assert module(x).shape[-1] == 3
    module.ceil_mode = True
    assert module(x).shape[-1] == 4
    module.return_indices = True
    assert torch.equal(module(x)[1], F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)[1])


def test_modules_refuse_bad_arguments_where_they_are_written():
    with pytest.raises(ValueError, match=r"MaxPool2d: axis 1 \(width\): kernel_size = 0"):
        cenote.nn.MaxPool2d((3, 0))
    with pytest.raises(ValueError, match="AvgPool2d: divisor_override = 0"):
        cenote.nn.AvgPool2d(2, divisor_override=0)


# Threads and processes.


def test_many_threads_at_once():
    x = some(8, 16, 56, 56)
    expected = F.max_pool2d(x, 3, 2, 1)
    wrong = []

    def work():
        for _ in range(10):
            if not torch.equal(cenote.max_pool2d(x, 3, 2, 1), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _in_child(x: torch.Tensor, queue) -> None:
    torch.set_num_threads(1)  # torch's own kernels would hang in a child
    with cenote.options(threads=2):
        y = cenote.max_pool2d(x, 3, 2, 1)
    queue.put(float(y.sum()))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_after_use():
    x = some(8, 16, 112, 112)
    with cenote.options(threads=2):
        expected = cenote.max_pool2d(x, 3, 2, 1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(x, queue))
    child.start()
    try:
        assert queue.get(timeout=60) == pytest.approx(float(expected.sum()))
    finally:
        child.join(10)
        child.kill()
