"""Every operator under the modes that PyTorch can be in, and every module through its life."""

import copy
import inspect
import pickle
import threading
from dataclasses import replace

import pytest
import torch

import cenote
from cenote.nn._cost import Costed
from test_pytorch import CALLS, some

MODULES = {name: getattr(cenote.nn, name) for name in cenote.nn.__all__}
CONVOLVING = {name: module for name, module in MODULES.items() if issubclass(module, Costed)}
POOLING = {
    name: module
    for name, module in MODULES.items()
    if name not in CONVOLVING and name not in ("Stage", "Stages")
}
ARGUMENTS = {  # what a module asks for beside its defaults
    "kernel_size": 2, "norm_type": 3.0, "scale_factor": 2, "p": 3.0, "output_size": 3,
    "in_channels": 3, "out_channels": 6, "channels": 3, "size": (4, 6, 8),
}  # fmt: skip


@pytest.fixture(params=CALLS)
def name(request):
    return request.param


def both_ways(call, x):
    """The output, and the gradient of its sum."""
    leaf = x.clone().requires_grad_()
    y = call(leaf)
    y.sum().backward()
    return y.detach(), leaf.grad


@pytest.mark.parametrize(
    "mode", [torch.inference_mode, torch.no_grad], ids=["inference", "no_grad"]
)
def test_without_gradients(name, mode):
    x = some(2, 3, 9, 11)
    expected = CALLS[name](x)
    with mode():
        y = CALLS[name](x.clone().requires_grad_())
    assert not y.requires_grad
    torch.testing.assert_close(y, expected)


def test_a_tensor_of_inference_mode_is_pooled_outside_of_it(name):
    x = some(2, 3, 9, 11)
    with torch.inference_mode():
        held = x.clone()
    torch.testing.assert_close(CALLS[name](held), CALLS[name](x))


def test_deterministic_algorithms_change_nothing(name):
    x = some(2, 3, 9, 11)
    expected = both_ways(CALLS[name], x)
    torch.use_deterministic_algorithms(True)
    try:
        result = both_ways(CALLS[name], x)
    finally:
        torch.use_deterministic_algorithms(False)
    for ours, theirs in zip(result, expected, strict=True):
        assert torch.equal(ours, theirs)


def test_autocast_leaves_the_type_alone(name):
    x = some(2, 3, 9, 11)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = CALLS[name](x)
    assert y.dtype == torch.float32
    assert torch.equal(y, CALLS[name](x))


def test_many_threads_at_once(name):
    """As DataParallel and servers do: the same call from several threads."""
    x = some(2, 3, 9, 11)
    expected = both_ways(CALLS[name], x)
    wrong = []

    def work():
        for _ in range(3):
            result = both_ways(CALLS[name], x)
            wrong.extend(a for a, b in zip(result, expected, strict=True) if not torch.equal(a, b))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # sizes are checked as numbers
def test_jit_trace(name):
    if name.startswith("fractional"):
        pytest.skip("its sample numbers are made anew in the test's own call")
    x = some(2, 3, 9, 11)
    with pytest.warns(DeprecationWarning, match=r"torch\.jit\.trace"):
        traced = torch.jit.trace(CALLS[name], x, check_trace=False)
    torch.testing.assert_close(traced(x.flip(-1)), CALLS[name](x.flip(-1)))


@pytest.mark.parametrize("randomness", ["same", "different"])
@pytest.mark.parametrize(
    "draw",
    [
        lambda x: cenote.stochastic_pool2d(x, 3, 2),
        lambda x: cenote.fractional_max_pool2d(x, 2, (3, 4)),
    ],
    ids=["stochastic", "fractional"],
)
def test_vmap_of_draws(draw, randomness):
    x = some(1, 3, 9, 11).expand(6, 3, 9, 11)  # alike, so that what differs was drawn
    torch.manual_seed(0)
    y = torch.vmap(draw, randomness=randomness)(x)
    alike = [torch.equal(y[0], other) for other in y[1:]]
    assert all(alike) == (randomness == "same")
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(draw)(x)


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # torch's
@pytest.mark.slow
def test_ahead_of_time_inductor(tmp_path):
    """Compiled and linked by torch, loaded again, run without Python code of the model's."""

    class Net(torch.nn.Module):
        def forward(self, x):
            return [call(x) for name, call in CALLS.items() if name in ("max", "avg", "lp_3.5")]

    x = some(2, 3, 9, 11)
    program = torch.export.export(Net(), (x,))
    path = str(tmp_path / "net.pt2")
    torch._inductor.aoti_compile_and_package(program, package_path=path)
    loaded = torch._inductor.aoti_load_package(path)
    for ours, expected in zip(loaded(x), Net()(x), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.slow
def test_inductor(name):
    torch._dynamo.reset()
    x = some(2, 3, 9, 11)
    expected = both_ways(CALLS[name], x)
    result = both_ways(torch.compile(CALLS[name], fullgraph=True), x)
    for ours, theirs in zip(result, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


# Modules.


def made(module):
    """One of a class, and an input for it."""
    if module in (cenote.nn.Stage, cenote.nn.Stages):
        layers = (cenote.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), cenote.nn.MaxPool2d(2))
        return module(*layers), (some(2, 3, 6, 8),)
    wanted = [
        p.name
        for p in inspect.signature(module.__init__).parameters.values()
        if p.default is p.empty and p.name != "self"
    ]
    arguments = {name: ARGUMENTS[name] for name in wanted}
    if "output_ratio" in inspect.signature(module.__init__).parameters:
        arguments["output_ratio"] = 0.5
    rank = getattr(module, "rank", 1)
    if "size" in arguments:
        arguments["size"] = arguments["size"][:rank]
    if module is cenote.nn.TCN:
        arguments["channels"] = (4, 5)
    if "TCN" in module.__name__:  # torch pickles no parametrized module
        arguments["weight_norm"] = False
    pool = module(**arguments)
    x = (some(2, 3, *(4, 6, 8)[:rank]),)
    if "Unpool" in module.__name__:
        pooled = getattr(cenote, f"max_pool{rank}d")(x[0], 2, return_indices=True)
        return pool, pooled
    return pool, x


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_modules_survive_copies(module):
    pool, x = made(module)
    pool.eval()

    def run(pool):
        torch.manual_seed(0)
        return pool(*x)

    expected = run(pool)
    for again in (copy.deepcopy(pool), pickle.loads(pickle.dumps(pool))):
        assert torch.equal(run(again), expected)
        assert repr(again) == repr(pool)
        assert list(again.state_dict()) == list(pool.state_dict())


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_modules_are_torchs_where_torch_has_one(module):
    theirs = getattr(torch.nn, module.__name__, None)
    if theirs is None:
        assert issubclass(module, torch.nn.Module)
        return
    assert issubclass(module, theirs)

    def listed(f):
        return [(p.name, p.default) for p in inspect.signature(f).parameters.values()
                if p.kind is not p.KEYWORD_ONLY]  # fmt: skip

    assert listed(module.__init__) == listed(theirs.__init__)


@pytest.mark.parametrize("module", POOLING.values(), ids=POOLING)
def test_what_is_set_afterwards_holds(module):
    """Every argument is an attribute, and the call reads it."""
    pool, x = made(module)
    if hasattr(pool, "kernel_size") and "Blur" not in module.__name__ and "SPPF" not in repr(pool):
        pool.kernel_size = "no number"
        with pytest.raises(TypeError, match="kernel_size = 'no number'"):
            pool(*x)
    for name in inspect.signature(module.__init__).parameters:
        assert name == "self" or hasattr(pool, name)


@pytest.mark.parametrize(
    "module",
    [m for m in CONVOLVING.values() if issubclass(m, torch.nn.modules.conv._ConvNd)],
    ids=lambda module: module.__name__,
)
def test_what_is_set_afterwards_on_a_convolution_holds(module):
    """The call reads the attributes, and so does what is said of it."""
    conv, x = made(module)
    n = x[0].shape[2:]
    costs = conv.count_macs(*n)
    conv.padding = (0,) * conv.rank
    before = conv(*x).shape[2:]
    conv.padding = (1,) * conv.rank
    after = conv(*x).shape[2:]
    step = -2 if "Transpose" in module.__name__ else 2
    assert tuple(after) == tuple(length + step for length in before)
    assert conv.window == cenote.Window(replace(a, before=1, after=1) for a in conv.window)
    assert "Transpose" in module.__name__ or conv.count_macs(*n) > costs
