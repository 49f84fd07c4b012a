"""The pace of a step: the same network twice, and times that belong to it."""

import copy

import pytest
import torch
from torch import nn

import cenote
from cenote.inspection.pace import measure_pace, torchs_own


@pytest.mark.parametrize(
    "make",
    [
        cenote.models.lenet5,
        lambda: cenote.models.lenet5(pool="avg"),
        cenote.models.alexnet_small,
        cenote.models.vgg_small,
        cenote.models.nin_small,
    ],
)
def test_torchs_own_layers_make_the_same_numbers(make):
    model = make()
    before = [type(module) for module in model.modules()]
    twin = torchs_own(model)
    kinds = {type(module) for module in twin.modules()}
    assert not any(kind.__module__.startswith("cenote.nn") for kind in kinds)
    assert list(twin.state_dict()) == list(model.state_dict())
    assert [type(module) for module in model.modules()] == before
    x = torch.randn(16, 1, 28, 28)
    torch.testing.assert_close(model.eval()(x), twin.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [cenote.nn.MinPool2d(2), cenote.nn.Conv2d(1, 1, 3, flip=True)], ids=["min", "flip"]
)
def test_what_torch_does_not_have_is_named(layer):
    with pytest.raises(ValueError, match=r"^1: torch has no "):
        torchs_own(nn.Sequential(nn.Identity(), layer))


def test_a_step_is_timed_and_the_model_left_as_it_is(monkeypatch):
    model = cenote.models.lenet5().eval()
    before = copy.deepcopy(model.state_dict())
    now = iter([t for turn in range(7) for t in (0, 1 + turn % 2, 0, 4)])
    monkeypatch.setattr("cenote.inspection.pace.time.perf_counter", lambda: next(now))
    pace = measure_pace(model, torch.randn(8, 1, 28, 28), torch.zeros(8, dtype=torch.long), 3)
    assert (pace.torchs, pace.turns, pace.batch) == (4, 3, 8)
    assert pace.ours in (1, 2)
    assert pace.times == 4 / pace.ours
    assert not model.training
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in model.parameters())
    assert isinstance(model.features, nn.Sequential)
