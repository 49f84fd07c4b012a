"""An accelerated network is the network to compile, export, jit, fx, torch.func, autocast, DDP."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import cenote
from nasty import CATALOGUE, DECIDING, some
from nasty.agreeing import agree, largest
from nasty.pairs import pair, same
from nasty.running import leaves

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated:DeprecationWarning")
TRACEABLE = (
    "winograd_deep", "residual_large", "densenet_transition", "two_pools_of_one_conv", "sppf",
)  # fmt: skip
EACH = pytest.mark.parametrize("name", some(TRACEABLE, "residual_large"))
EITHER = pytest.mark.parametrize("train", [False, True])


@pytest.mark.parametrize("backend", some(["eager", "aot_eager"], "eager"))
@EITHER
@pytest.mark.parametrize("name", some(["residual_large", "sppf"], "residual_large"))
def test_compiled(name, train, backend):
    fast, theirs, x = pair(name, train)
    torch._dynamo.reset()
    compiled = torch.compile(fast, backend=backend)
    same(compiled, theirs, x)
    compiled(x).sum().backward()
    theirs(x).sum().backward()
    for (place, got), wanted in zip(fast.named_parameters(), theirs.parameters(), strict=True):
        agree(got.grad, wanted.grad, where=place, factor=1000)
    torch._dynamo.reset()


@pytest.mark.parametrize("called", [False, True], ids=["at_first", "afterwards"])
@pytest.mark.parametrize("name", some(TRACEABLE[:3], "residual_large"))
def test_exported(name, called):
    case = CATALOGUE[name]
    fast, theirs, x = (
        cenote.accelerate(case.build(), budget=DECIDING).eval(),
        case.build().eval(),
        case.given().args[0],
    )
    if called:
        fast(x)
    program = torch.export.export(fast, (x,))
    with torch.no_grad():
        same(program.module(), theirs, x)
    assert set(program.state_dict) == set(torch.export.export(theirs, (x,)).state_dict)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@EACH
def test_traced_by_jit(name):
    fast, theirs, x = pair(name)
    with torch.no_grad():
        traced = torch.jit.trace(fast, x)
        same(traced, theirs, x)
        other = torch.randn(3, *x.shape[1:])
        same(traced, theirs, other)


@EACH
def test_traced_symbolically(name):
    fast, theirs, x = pair(name)
    traced = torch.fx.symbolic_trace(fast)
    same(traced, theirs, x)
    assert list(traced.state_dict()) == list(theirs.state_dict())


@EACH
def test_called_functionally(name):
    fast, theirs, x = pair(name)
    other = {n: p.detach() * 1.5 for n, p in theirs.named_parameters()}
    buffers = {n: b.clone() for n, b in theirs.named_buffers()}
    wanted = torch.func.functional_call(theirs, (other, buffers), (x,))
    agree(torch.func.functional_call(fast, (other, buffers), (x,)), wanted, factor=60)

    def loss(model):
        return lambda parameters: torch.func.functional_call(
            model, (parameters, buffers), (x,)
        ).sum()

    ours, theirs_too = torch.func.grad(loss(fast))(other), torch.func.grad(loss(theirs))(other)
    for place, wanted in theirs_too.items():
        agree(ours[place], wanted, where=place, factor=1000)
    same(fast, theirs, x)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@EACH
def test_mapped_and_derived(name):
    fast, theirs, x = pair(name)
    many = torch.stack([x, x.flip(0)])
    agree(torch.vmap(fast)(many).detach(), torch.vmap(theirs)(many).detach(), factor=60)

    def slope(model):
        return torch.func.grad(lambda y: model(y).square().sum())(x)

    agree(slope(fast), slope(theirs), factor=1000)
    _, ours = torch.func.jvp(fast, (x,), (x.flip(0),))
    _, wanted = torch.func.jvp(theirs, (x,), (x.flip(0),))
    agree(ours.detach(), wanted.detach(), factor=1000)


@pytest.mark.parametrize("dtype", some([torch.bfloat16, torch.float16], "torch.bfloat16"))
@EITHER
@EACH
def test_under_autocast(name, train, dtype):
    fast, theirs, x = pair(name, train)
    with torch.autocast("cpu", dtype=dtype):
        ours, wanted = fast(x), theirs(x)
        with torch.no_grad():
            assert fast(x).dtype == wanted.dtype
    assert ours.dtype == wanted.dtype
    assert ours.stride() == wanted.stride()
    agree(ours.detach().float(), wanted.detach().float(), eps=torch.finfo(dtype).eps, factor=8)
    if not train:
        same(fast, theirs, x)  # nothing of it stays


@EACH
def test_without_data(name):
    fast, theirs, x = pair(name)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        ours, wanted = fast(mode.from_tensor(x)), theirs(mode.from_tensor(x))
        assert (ours.shape, ours.stride(), ours.dtype) == (
            wanted.shape,
            wanted.stride(),
            wanted.dtype,
        )
    same(fast, theirs, x)
    fast, theirs = cenote.accelerate(copy.deepcopy(theirs).to("meta")), theirs.to("meta")
    ours, wanted = fast(x.to("meta")), theirs(x.to("meta"))
    assert ours.is_meta
    assert (ours.shape, ours.stride(), ours.dtype) == (wanted.shape, wanted.stride(), wanted.dtype)


def test_materialised_after_meta():
    case = CATALOGUE["residual_large"]
    theirs, x = case.build().eval(), case.given().args[0]
    fast = cenote.accelerate(case.build().to("meta"), budget=DECIDING).eval()
    fast(x.to("meta"))
    fast.to_empty(device="cpu").load_state_dict(theirs.state_dict())
    same(fast, theirs, x)


@pytest.mark.parametrize("inside", [True, False], ids=["ddp_of_fast", "fast_of_ddp"])
def test_in_data_parallel(inside):
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        case = CATALOGUE["residual_large"]
        theirs, x = case.build(), case.given().args[0]
        parallel = nn.parallel.DistributedDataParallel
        fast = cenote.accelerate(
            case.build() if inside else parallel(case.build()), budget=DECIDING
        )
        both = parallel(fast) if inside else fast
        optimizers = [torch.optim.SGD(m.parameters(), lr=0.01) for m in (both, theirs)]
        for _ in range(3):
            for model, optimizer in zip((both, theirs), optimizers, strict=True):
                optimizer.zero_grad()
                model(x).square().mean().backward()
                optimizer.step()
        scale = largest(p.grad for p in theirs.parameters()) / 20
        for (name, wanted), got in zip(theirs.named_parameters(), both.parameters(), strict=True):
            agree(got.grad, wanted.grad, where=name, scale=scale, factor=1000)
            agree(got.detach(), wanted.detach(), where=name, factor=100)
    finally:
        dist.destroy_process_group()


def test_several_outputs_of_several_kinds_compile():
    torch._dynamo.reset()
    fast, theirs, x = pair("dict_out")
    compiled = torch.compile(fast, backend="eager")
    assert len(list(leaves(compiled(x)))) == len(list(leaves(theirs(x))))
    same(compiled, theirs, x)
    torch._dynamo.reset()
