"""The pace of a step: the same network twice, and times that belong to it."""

import copy

import torch
from torch import nn

import cenote
from cenote.inspection.pace import measure_pace, torchs_own


def test_torchs_own_layers_make_the_same_numbers():
    for pool in ("max", "avg"):
        model = cenote.models.lenet5(pool=pool)
        twin = torchs_own(model)
        kinds = {type(module) for module in twin.modules()}
        assert not any(kind.__module__.startswith("cenote.nn") for kind in kinds)
        assert list(twin.state_dict()) == list(model.state_dict())
        x = torch.randn(16, 1, 28, 28)
        assert torch.allclose(model(x), twin(x), atol=1e-5)


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
