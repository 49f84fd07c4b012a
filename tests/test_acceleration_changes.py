"""What is done to a network after it was accelerated has effect from the next call on."""

import threading

import pytest
import torch
from torch import nn

import cenote
from nasty import CATALOGUE, DECIDING, seed_all, some
from nasty.agreeing import agree
from nasty.pairs import pair, same

NETWORKS = ("winograd_deep", "residual", "densenet_transition", "vgg_like", "norm_after_two_convs")
EVERY = pytest.mark.parametrize("name", some(NETWORKS, "winograd_deep"))


def norms(model):
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def convs(model):
    return [m for m in model.modules() if isinstance(m, nn.Conv2d)]


def scale_in_place(model):
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)


def scale_data(model):
    for p in model.parameters():
        p.data.mul_(-0.5)


def new_data(model):
    for p in model.parameters():
        p.data = p.data.flip(0).clone()


def new_parameters(model):
    for part in convs(model):
        part.weight = nn.Parameter(part.weight.detach() * 2)


def new_weights_by_numpy(model):
    for p in model.parameters():
        p.detach().numpy()[...] *= 0.75


def load(model):
    model.load_state_dict(
        {k: v * 2 if v.is_floating_point() else v for k, v in model.state_dict().items()}
    )


def load_assigned(model):
    state = {k: v.detach().clone() / 2 for k, v in model.state_dict().items()}
    model.load_state_dict(state, assign=True)


def step(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.zero_grad()


def foreach_step(model):
    torch._foreach_mul_([p.detach() for p in model.parameters()], 1.25)


def initialize(model):
    seed_all(3)
    for part in convs(model):
        part.reset_parameters()


def statistics(model):
    for part in norms(model):
        part.running_mean += 1
        part.running_var.mul_(2)


def statistics_by_assignment(model):
    for part in norms(model):
        part.running_mean = torch.full_like(part.running_mean, 0.3)


def statistics_forgotten(model):
    for part in norms(model):
        part.reset_running_stats()


def epsilon(model):
    for part in norms(model):
        part.eps = 0.7


def without_bias(model):
    for part in convs(model):
        part.bias = None


def one_norm_in_training(model):
    if norms(model):
        norms(model)[0].train()


def padding_mode(model):
    for part in convs(model):
        part.padding_mode = "replicate"


def swapped_parameters(model):
    for part in convs(model):
        other = nn.Parameter(part.weight.detach().clone() * 3)
        torch.utils.swap_tensors(part.weight, other)


CHANGES = [
    scale_in_place, scale_data, new_data, new_parameters, new_weights_by_numpy, load, load_assigned,
    step, foreach_step, initialize, statistics, statistics_by_assignment, statistics_forgotten,
    epsilon, without_bias, one_norm_in_training, padding_mode, swapped_parameters,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@EVERY
def test_a_change_between_calls_is_felt(name, change):
    fast, theirs, x = pair(name)
    with torch.no_grad():
        same(fast, theirs, x)
    change(fast)
    change(theirs)
    with torch.no_grad():
        same(fast, theirs, x)
    same(fast, theirs, x)


@EVERY
def test_changes_to_the_original_are_felt_too(name):
    fast, theirs, x = pair(name)
    mine = cenote.restore(fast)
    for change in (scale_in_place, statistics, load):
        change(mine)
        change(theirs)
        with torch.no_grad():
            same(fast, theirs, x)


@EVERY
def test_back_and_forth_between_modes(name):
    fast, theirs, x = pair(name)
    for train in (True, False, True, True, False, False):
        fast.train(train)
        theirs.train(train)
        for grad in (False, True):
            with torch.set_grad_enabled(grad):
                same(fast, theirs, x)
    for got, wanted in zip(fast.buffers(), theirs.buffers(), strict=True):
        agree(got, wanted, where="buffer")


@EVERY
def test_training_between_evaluations(name):
    fast, theirs, x = pair(name)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9) for m in (fast, theirs)]
    for _ in range(3):
        for model, optimizer in zip((fast, theirs), optimizers, strict=True):
            model.train()
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
            model.eval()
        with torch.inference_mode():
            same(fast, theirs, x, factor=400)


def test_first_without_gradients_then_with():
    for first in (torch.no_grad, torch.inference_mode):
        case = CATALOGUE["residual"]
        fast, theirs, x = (
            cenote.accelerate(case.build(), budget=DECIDING).eval(),
            case.build().eval(),
            case.given().args[0],
        )
        with first():
            same(fast, theirs, x)
        same(fast, theirs, x)
        fast(x).sum().backward()
        theirs(x).sum().backward()
        for (name, got), wanted in zip(fast.named_parameters(), theirs.parameters(), strict=True):
            agree(got.grad, wanted.grad, where=name, factor=200)


@pytest.mark.parametrize("train", [False, True])
@EVERY
def test_other_sizes_batches_and_layouts(name, train):
    fast, theirs, x = pair(name, train)
    if name != "vgg_like":
        same(fast, theirs, torch.randn(3, x.shape[1], 30, 22))
    same(fast, theirs, x[:1] if not train else x.repeat(2, 1, 1, 1))
    same(fast, theirs, x.to(memory_format=torch.channels_last))
    same(fast, theirs, x.flip(0).transpose(2, 3).contiguous().transpose(2, 3))
    same(fast, theirs, x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@EVERY
def test_another_type_afterwards(name, dtype):
    fast, theirs, x = pair(name)
    assert fast.to(dtype) is fast
    same(fast, theirs.to(dtype), x.to(dtype))
    same(fast.float(), theirs.float(), x)


def test_the_weights_in_another_layout():
    fast, theirs, x = pair("winograd_deep")
    fast.to(memory_format=torch.channels_last)
    theirs.to(memory_format=torch.channels_last)
    same(fast, theirs, x)
    for got, wanted in zip(fast.parameters(), theirs.parameters(), strict=True):
        assert got.stride() == wanted.stride()


def test_loop_length_and_rate_are_read_at_each_call():
    fast, theirs, x = pair("loop_of_an_attribute")
    fast.times = theirs.times = 1
    same(fast, theirs, x)
    assert cenote.restore(fast).times == 1
    fast, theirs, x = pair("dropout_before_max", train=True)
    fast[2].p = theirs[2].p = 0.8
    same(fast, theirs, x)


def test_parameters_frozen_afterwards():
    fast, theirs, x = pair("residual", train=True)
    for model in (fast, theirs):
        assert model.requires_grad_(False) is model
        model.fc.requires_grad_(True)
        model(x).sum().backward()
    for (name, got), wanted in zip(fast.named_parameters(), theirs.parameters(), strict=True):
        agree(got.grad, wanted.grad, where=name, factor=100)
    fast.requires_grad_(False)
    assert not fast(x).requires_grad


def test_two_threads_at_once():
    fast, theirs, _ = pair("winograd_deep")
    inputs = [
        torch.randn(2, 32, 21, 19, generator=torch.Generator().manual_seed(i)) for i in range(6)
    ]
    with torch.no_grad():
        wanted = [theirs(x) for x in inputs]
    found, start = {}, threading.Barrier(2)

    def work(mine):
        start.wait()
        with torch.no_grad():
            for i in mine * 5:
                found[i] = fast(inputs[i])
                agree(found[i], wanted[i], factor=60)

    fresh = cenote.accelerate(CATALOGUE["winograd_deep"].build(), budget=DECIDING).eval()
    for model in (fast, fresh):
        fast = model
        threads = [threading.Thread(target=work, args=([k, k + 2, k + 4],)) for k in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for i, value in enumerate(wanted):
            agree(found.pop(i), value, factor=60)
