"""An accelerated network is the network: its state, attributes, modes, and how it fails."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cenote
from nasty import CATALOGUE, DECIDING, QUIET, some
from nasty.agreeing import agree
from nasty.pairs import pair, same
from nasty.running import run

EVERY = pytest.mark.parametrize("case", CATALOGUE.values(), ids=str)
pytestmark = QUIET


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


KEPT = "wrapped_function", "residual", "dense", "two_pools_of_one_conv", "branch_on_data"


@pytest.mark.parametrize("case", some(CATALOGUE.values(), *KEPT))
def test_a_network_that_nobody_holds_is_gone(case):
    def used(change):
        model = change(case.build())
        run(case, model, train=False, grad=False)
        run(case, model, train=True, grad=True)
        return {name: weakref.ref(part) for name, part in model.named_modules()}

    def left(parts):
        gc.collect()
        return [name for name, part in parts.items() if part() is not None]

    assert left(used(cenote.accelerate)) == left(used(lambda model: model))


@pytest.mark.parametrize("name", ["winograd_deep", "residual", "all_by_function"])
def test_the_original_works_as_before_after_calls(name):
    case = CATALOGUE[name]
    model, twin = case.build(), case.build()
    x = case.given().args[0]
    before = look(model)
    fast = cenote.accelerate(model, x, budget=DECIDING)
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


FAILING = "winograd_deep", "chain_of_max_without_padding", "avg_after_1x1"
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
@pytest.mark.parametrize("name", some(FAILING, "avg_after_1x1"))
def test_it_fails_as_the_original_does(name, first, wrong):
    case = CATALOGUE[name]
    theirs, fast, x = (
        case.build().eval(),
        cenote.accelerate(case.build(), budget=DECIDING).eval(),
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
