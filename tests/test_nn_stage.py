"""nn.Stage and nn.Stages: three layers as one, and one by one where somebody looks at them."""

import copy

import pytest
import torch
from torch import nn

import cenote
from cenote import functional
from cenote.nn import Stage, Stages

CONVOLUTIONS = [nn.Conv2d, cenote.nn.Conv2d]
ACTIVATIONS = [nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.SELU, nn.Identity, nn.Softsign,
               nn.Hardsigmoid, nn.LogSigmoid]  # fmt: skip
POOLS = [nn.MaxPool2d, cenote.nn.MaxPool2d, nn.AvgPool2d, cenote.nn.AvgPool2d, cenote.nn.MinPool2d]


@pytest.fixture
def calls(monkeypatch):
    """How often layers were carried out as one."""
    made = []
    stage = functional.stage

    def counted(*args, **kwargs):
        made.append(kwargs)
        return stage(*args, **kwargs)

    monkeypatch.setattr("cenote.nn.stage.functional.stage", counted)
    return made


def images(n=16):
    return torch.randn(n, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def both_ways(model, x):
    leaf = x.clone().requires_grad_()
    y = model(leaf)
    grads = torch.autograd.grad(y.square().sum(), [leaf, *model.parameters()])
    return [y, *grads]


@pytest.mark.parametrize("conv", CONVOLUTIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pool", POOLS)
def test_it_is_the_three_layers(conv, activation, pool, calls):
    layers = (conv(3, 5, 3, stride=1, padding=1), activation(), pool(2))
    apart = both_ways(nn.Sequential(*layers), images())
    assert not calls
    for model in (Stage(*layers), Stages(*layers)):
        calls.clear()
        for got, wanted in zip(both_ways(model, images()), apart, strict=True):
            assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-4)
        assert len(calls) == 1


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ((nn.Linear(1, 1), nn.ReLU(), nn.MaxPool2d(2)), "Linear is no plain convolution"),
        ((cenote.nn.ShuffledConv2d(4, 4, 3, groups=2), nn.ReLU(), nn.MaxPool2d(2)),
         "ShuffledConv2d is no plain convolution"),
        ((nn.Conv2d(3, 4, 3), nn.PReLU(), nn.MaxPool2d(2)), "PReLU is no activation with a name"),
        ((nn.Conv2d(3, 4, 3), nn.ReLU(), nn.LPPool2d(2, 2)), "LPPool2d is no pooling"),
        ((nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.MaxPool2d(2)),
         "padding that is not zeros"),
        ((cenote.nn.Conv2d(3, 4, 3, flip=True), nn.ReLU(), nn.MaxPool2d(2)), "a turned kernel"),
        ((nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2, return_indices=True)), "returns indices"),
        ((nn.Conv2d(3, 4, 3), nn.ReLU(), cenote.nn.MaxPool2d(2, padding_mode="reflect")),
         "padding mode"),
        ((nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d(2, padding=1)), "a divisor of its own"),
        ((nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d(2, divisor_override=3)),
         "a divisor of its own"),
        ((nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.MaxPool2d(2)),
         "is no plain convolution"),
    ],
)  # fmt: skip
def test_it_says_why_layers_are_called_one_by_one(layers, why):
    assert why in Stage(*layers).why_not()
    assert why in Stages(*layers).why_not(0)


def test_other_layers_are_called_one_by_one_to_the_same_result(calls):
    layers = [
        nn.Conv2d(3, 4, 3), nn.PReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(4),
        nn.Conv2d(4, 5, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 2, 2), nn.ReLU(), nn.Flatten(),
    ]  # fmt: skip
    mine, theirs = Stages(*layers), nn.Sequential(*copy.deepcopy(layers))
    assert torch.allclose(mine(images()), theirs(images()), atol=1e-6)
    assert len(calls) == 1


@pytest.mark.parametrize("place", range(3))
def test_whoever_hooks_into_a_layer_sees_its_output(place, calls):
    model = Stages(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    expected = nn.Sequential(*model)[: place + 1](images())
    seen = []
    handle = model[place].register_forward_hook(lambda module, args, out: seen.append(out))
    model(images())
    assert torch.equal(seen[0], expected)
    assert not calls
    handle.remove()
    model(images())
    assert len(calls) == 1


def test_a_hook_on_every_module_sees_all_of_them(calls):
    model = Stages(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    seen = []
    hook = nn.modules.module.register_module_forward_hook(lambda m, args, out: seen.append(m))
    try:
        model(images())
    finally:
        hook.remove()
    assert seen == [*model, model]
    assert not calls


def test_a_forward_put_in_its_place_is_called(calls):
    model = Stages(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    model[1].forward = lambda x: torch.zeros_like(x)
    assert not model(images()).any()
    assert not calls


def test_what_is_set_afterwards_holds(calls):
    model = Stages(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    model(images())
    model[2].stride, model[0].padding = 1, (2, 2)
    assert model(images()).shape[-2:] == (13, 13)
    assert len(calls) == 2


def test_a_graph_has_the_three_layers(calls):
    model = Stages(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    exported = torch.export.export(model, (images(),))
    assert not calls
    assert torch.allclose(exported.module()(images()), model(images()), atol=1e-6)


def test_names_are_those_of_a_sequence():
    model = cenote.models.lenet5()
    assert list(model.state_dict())[:4] == [
        "features.conv1.weight", "features.conv1.bias", "features.conv2.weight",
        "features.conv2.bias",
    ]  # fmt: skip
    assert isinstance(model.features[:3], Stages)


def test_a_layer_that_is_none_is_named():
    with pytest.raises(TypeError, match=r"Stage: pool = 2: must be a module, not int"):
        Stage(nn.Conv2d(1, 1, 1), nn.ReLU(), 2)
