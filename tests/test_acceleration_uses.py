"""An accelerated network is the network: to state_dict, compile, export, DDP and torch.func."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import cenote
from nasty import CATALOGUE
from nasty.agreeing import agree
from nasty.running import leaves
from test_acceleration_changes import pair, same

EVERY = pytest.mark.parametrize("case", CATALOGUE.values(), ids=str)
QUIETLY = [
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated:DeprecationWarning"),
]
pytestmark = QUIETLY
TRACEABLE = (
    "winograd_deep",
    "residual_large",
    "densenet_transition",
    "two_pools_of_one_conv",
    "sppf",
)


def look(model):
    """All that is to be seen of a network without calling it."""
    hooks = [name for name in vars(model) if "hooks" in name]
    return [
        (name, type(m), sorted(vars(m)), m.training, [len(vars(m)[h] or ()) for h in hooks])
        for name, m in model.named_modules()
    ], [(name, id(p)) for name, p in [*model.named_parameters(), *model.named_buffers()]]


@EVERY
def test_the_original_stays_as_it_was(case):
    model = case.build()
    before, state = look(model), list(model.state_dict())
    fast = cenote.accelerate(model)
    assert isinstance(fast, cenote.acceleration.Accelerated)
    assert look(model) == before
    assert list(fast.state_dict()) == list(model.state_dict()) == state
    assert [n for n, _ in fast.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert all(a is b for a, b in zip(fast.parameters(), model.parameters(), strict=True))
    assert all(a is b for a, b in zip(fast.buffers(), model.buffers(), strict=True))
    assert [n for n, _ in fast.named_modules()] == [n for n, _ in model.named_modules()]
    assert [n for n, _ in fast.named_children()] == [n for n, _ in model.named_children()]
    assert cenote.accelerate(fast) is fast
    assert cenote.restore(fast) is model


@pytest.mark.parametrize("name", ["winograd_deep", "residual", "all_by_function"])
def test_the_original_works_as_before_after_calls(name):
    case = CATALOGUE[name]
    model, twin = case.build(), case.build()
    x = case.given().args[0]
    before = look(model)
    fast = cenote.accelerate(model, x)
    for train in (False, True):
        for m in (fast, model, twin):
            m.train(train)
        fast(x).sum().backward()
        for m in model.modules():  # one step of statistics more than the twin has
            if isinstance(m, nn.BatchNorm2d):
                assert not train or m.num_batches_tracked == 1
    types = [(n, t) for n, t, *_ in before[0]]
    assert [(n, type(m)) for n, m in model.named_modules()] == types
    assert look(model.train())[1] == before[1]
    twin.load_state_dict(model.state_dict())
    model.eval()
    twin.eval()
    assert torch.equal(model(x), twin(x))


@EVERY
def test_state_goes_both_ways(case):
    model, other = case.build(), case.build(1)
    if any(isinstance(p, nn.UninitializedParameter) for p in model.parameters()):
        return
    fast = cenote.accelerate(model)
    result = fast.load_state_dict(other.state_dict())
    assert not result.missing_keys
    assert not result.unexpected_keys
    other.load_state_dict(fast.state_dict())
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b), name


def test_attributes_are_the_originals():
    fast, _, _ = pair("residual_large")
    model = cenote.restore(fast)
    assert fast.fc is model.fc
    assert fast.layer[0].conv1 is model.layer[0].conv1
    assert fast.get_submodule("layer.1.bn2") is model.layer[1].bn2
    fast.answer, fast.extra = 42, nn.Linear(2, 2)
    assert model.answer == fast.answer == 42
    assert "extra.weight" in model.state_dict()
    assert "extra.weight" in fast.state_dict()
    del fast.answer
    assert not hasattr(fast, "answer")
    assert not hasattr(model, "answer")
    with pytest.raises(AttributeError, match="nowhere"):
        _ = fast.nowhere
    fast = cenote.accelerate(CATALOGUE["methods"].build())
    y = torch.randn(2, 6, 8, 8)
    assert torch.equal(fast.reduced(y), F.max_pool2d(y, 2))


def test_sequences_remain_sequences():
    fast, theirs, x = pair("vgg_like")
    assert len(fast) == len(theirs)
    assert [type(m) for m in fast] == [type(m) for m in theirs]
    assert isinstance(fast[0], nn.Conv2d)
    same(fast[:5], theirs[:5], x)


def test_modes_and_types_reach_the_original():
    fast, _, _ = pair("residual_large")
    model = cenote.restore(fast)
    assert fast.train() is fast
    assert model.training
    assert model.layer[0].bn1.training
    assert fast.eval() is fast
    assert not model.layer[0].bn1.training
    assert fast.double() is fast
    assert model.fc.weight.dtype == torch.float64
    assert fast.apply(lambda m: None) is fast
    assert fast.zero_grad() is None


def test_restore_finds_parts_inside():
    fast, theirs, x = pair("residual_large")
    model = cenote.restore(fast)
    whole = nn.Sequential(nn.ReLU(), fast, nn.ModuleDict({"again": fast}))
    whole = cenote.restore(whole)
    assert whole[1] is model
    assert whole[2]["again"] is model
    plain = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert cenote.restore(plain) is plain
    inner = cenote.accelerate(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.MaxPool2d(2)))
    outer = cenote.accelerate(nn.Sequential(inner, theirs).eval())
    reference = nn.Sequential(cenote.restore(inner), theirs).eval()
    same(outer, reference, x)


def test_options_are_checked():
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    for wrong in (3, "resnet18", None, nn.Sequential, lambda x: x):
        with pytest.raises(TypeError, match="model"):
            cenote.accelerate(wrong)
    with pytest.raises(ValueError, match="without"):
        cenote.accelerate(model, without=("winogradd",))
    with pytest.raises(ValueError, match="layout"):
        cenote.accelerate(model, layout="NHWC")


@pytest.mark.parametrize("count", [1, 2])
def test_rules_can_be_turned_off(count):
    rules = cenote.acceleration.RULES
    assert isinstance(rules, tuple)
    assert len(set(rules)) == len(rules) > 0
    case = CATALOGUE["residual_large"]
    x = case.given().args[0]
    for i in range(len(rules)):
        without = rules if count == 2 else (rules[i],)
        fast = cenote.accelerate(case.build(), x, without=without).eval()
        same(fast, case.build().eval(), x)
        assert not {change.rule for change in fast.report.changes} & set(without)
        if count == 2:
            break


@pytest.mark.parametrize("name", TRACEABLE)
def test_reports(name):
    case = CATALOGUE[name]
    model, x = case.build().eval(), case.given().args[0]
    before, report = look(model), cenote.explain(model, x)
    assert look(model) == before
    fast = cenote.accelerate(model, x)
    assert type(fast.report) is type(report)
    assert str(report)
    assert hasattr(report, "__rich__") or hasattr(report, "__rich_console__")
    for change in report.changes:
        assert change.rule in cenote.acceleration.RULES
        assert isinstance(change.where, str)
        for seconds in (change.before, change.after):
            assert seconds is None or 0 < seconds < 60
    for left in report.left:
        assert left.why
        assert isinstance(left.where, str)


WRONG = {
    "channels": lambda x: (x[:, :2],),
    "rank": lambda x: (x[0, 0],),
    "type": lambda x: (x.double(),),
    "no_tensor": lambda x: ("x",),
    "nothing": lambda x: (),
    "too_many": lambda x: (x, x),
    "too_small": lambda x: (x[:, :, :1, :1],),
    "empty": lambda x: (x[:, :, :0],),
}


def outcome(model, args):
    try:
        return model(*args).detach()
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("first", [False, True], ids=["afterwards", "at_first"])
@pytest.mark.parametrize("name", ["winograd_deep", "chain_of_max_without_padding", "avg_after_1x1"])
def test_it_fails_as_the_original_does(name, first, wrong):
    case = CATALOGUE[name]
    theirs, fast, x = (
        case.build().eval(),
        cenote.accelerate(case.build()).eval(),
        case.given().args[0],
    )
    if not first:
        fast(x)
    ours, wanted = (outcome(model, WRONG[wrong](x)) for model in (fast, theirs))
    if isinstance(wanted, torch.Tensor):
        agree(ours, wanted)
    elif wrong in ("nothing", "too_many"):  # names the forward whose signature it is
        assert ours[0] is wanted[0] is TypeError
    else:
        assert ours == wanted
    same(fast, theirs, x)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["residual_large", "sppf"])
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
@pytest.mark.parametrize("name", ["residual_large", "densenet_transition", "winograd_deep"])
def test_exported(name, called):
    case = CATALOGUE[name]
    fast, theirs, x = (
        cenote.accelerate(case.build()).eval(),
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
@pytest.mark.parametrize("name", TRACEABLE)
def test_traced_by_jit(name):
    fast, theirs, x = pair(name)
    with torch.no_grad():
        traced = torch.jit.trace(fast, x)
        same(traced, theirs, x)
        other = torch.randn(3, *x.shape[1:])
        same(traced, theirs, other)


@pytest.mark.parametrize("name", TRACEABLE)
def test_traced_symbolically(name):
    fast, theirs, x = pair(name)
    traced = torch.fx.symbolic_trace(fast)
    same(traced, theirs, x)
    assert list(traced.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("name", TRACEABLE)
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
@pytest.mark.parametrize("name", TRACEABLE)
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", TRACEABLE)
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


@pytest.mark.parametrize("name", TRACEABLE)
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
    fast = cenote.accelerate(case.build().to("meta")).eval()
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
        fast = cenote.accelerate(case.build())
        both = parallel(fast) if inside else cenote.accelerate(parallel(case.build()))
        optimizers = [torch.optim.SGD(m.parameters(), lr=0.01) for m in (both, theirs)]
        for _ in range(3):
            for model, optimizer in zip((both, theirs), optimizers, strict=True):
                optimizer.zero_grad()
                model(x).square().mean().backward()
                optimizer.step()
        for (name, wanted), got in zip(theirs.named_parameters(), both.parameters(), strict=True):
            agree(got.grad, wanted.grad, where=name, factor=1000)
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
