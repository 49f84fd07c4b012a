"""A network that was accelerated can be taken apart, hooked and copied like any other."""

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cenote
from nasty import CATALOGUE, DECIDING, seed_all, some
from nasty.agreeing import agree
from nasty.pairs import pair, same
from nasty.running import leaves


def replace_head(model):
    model.fc = nn.Linear(32, 3)


def replace_pool(model):
    model.stem[3] = nn.AvgPool2d(2)


def replace_in_a_block(model):
    model.layer[0].conv1 = nn.Conv2d(16, 16, 5, padding=2)


def replace_norm(model):
    model.layer[0].bn1 = nn.Identity()


def ceil(model):
    model.stem[-1].ceil_mode = True


def longer(model):
    model.layer.append(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)))


def another_activation(model):
    model.layer[0].relu = nn.LeakyReLU(-0.5)


def another_attribute(model):
    model.stem[2].inplace = False
    model.extra = 5


def deleted(model):
    model.layer[1].downsample[1] = nn.Identity()
    del model.stem[3]


def forward_replaced(model):
    model.stem[3].forward = lambda y: F.avg_pool2d(y, 2)


def hooked_part(model):
    model.layer[0].conv1.register_forward_hook(lambda m, args, out: out * 2)


def hooked_activation(model):
    model.stem[2].register_forward_pre_hook(lambda m, args: (args[0] + 1,))


def hooked_whole(model):
    model.register_forward_hook(lambda m, args, out: out + m.fc.bias.sum())


EDITS = [
    replace_head, replace_pool, replace_in_a_block, replace_norm, ceil, longer, another_activation,
    another_attribute, deleted, forward_replaced, hooked_part, hooked_activation, hooked_whole,
]  # fmt: skip


@pytest.mark.parametrize("train", some([False, True], "False"))
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_an_edit_is_felt(edit, train):
    fast, theirs, x = pair("residual_large", train)
    for model in (fast, theirs):
        seed_all(9)
        edit(model)
    same(fast, theirs, x)
    assert list(fast.state_dict()) == list(theirs.state_dict())
    with torch.no_grad():
        same(fast, theirs, x)


def test_hooks_can_be_taken_away_again():
    fast, theirs, x = pair("residual_large")
    handles = [m.stem[0].register_forward_hook(lambda m, a, y: y * 2) for m in (fast, theirs)]
    same(fast, theirs, x)
    for handle in handles:
        handle.remove()
    same(fast, theirs, x)


def test_a_backward_hook_afterwards():
    fast, theirs, x = pair("residual_large", train=True)
    seen = {fast: [], theirs: []}
    for model, found in seen.items():
        model.stem[3].register_full_backward_hook(
            lambda m, g, outs, found=found: found.extend(outs)
        )
        model(x).square().sum().backward()
    agree(*seen[fast], *seen[theirs], factor=200)


def test_global_hooks_see_every_module():
    fast, theirs, x = pair("residual_large")
    calls = []
    handle = nn.modules.module.register_module_forward_hook(
        lambda m, args, out: calls.append((type(m).__name__, tuple(out.shape)))
    )
    try:
        theirs(x)
        wanted, calls[:] = list(calls), []
        fast(x)
    finally:
        handle.remove()
    seen = [(name.removeprefix("Accelerated"), shape) for name, shape in calls]
    assert seen in (wanted, wanted + wanted[-1:])  # the whole may be called within its other self


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIED = [c.name for c in CATALOGUE.values() if c.pickles]
COPIED = list(dict.fromkeys(["residual", "methods", "tuple_out", *COPIED[::4]]))
COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "save": saved,
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("name", some(COPIED, "residual", "methods", "tuple_out"))
def test_copies_work_alone(name, way):
    case = CATALOGUE[name]
    fast = cenote.accelerate(case.build(), budget=DECIDING)
    given = case.given()
    with torch.no_grad():  # what a forward keeps of a graph, no one can copy
        fast(*given.args, **given.kwargs)
    before = [p.detach().clone() for p in fast.parameters()]
    twin = COPIES[way](fast)
    assert isinstance(twin, cenote.acceleration.Accelerated)
    assert twin is not fast
    assert list(twin.state_dict()) == list(fast.state_dict())
    mine = {id(p) for p in fast.parameters()}
    assert not any(id(p) in mine for p in twin.parameters())
    seed_all(4)
    want = list(leaves(fast.eval()(*case.given().args, **case.given().kwargs)))
    seed_all(4)
    got = list(leaves(twin.eval()(*case.given().args, **case.given().kwargs)))
    for (place, ours), (_, theirs) in zip(got, want, strict=True):
        if isinstance(theirs, torch.Tensor):
            agree(ours.detach(), theirs.detach(), where=place, factor=60)
    with torch.no_grad():
        for p in twin.parameters():
            p.zero_()
    assert all(torch.equal(p, was) for p, was in zip(fast.parameters(), before, strict=True))
