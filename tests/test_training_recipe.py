"""Schedules and optimisers, by name."""

from __future__ import annotations

import itertools

import pytest
import torch

from cenote.training.recipe import OPTIMIZERS, SCHEDULES, optimizer, schedule

STEPS = 200


def factors(name, warmup):
    return [schedule(name, step, STEPS, warmup) for step in range(STEPS)]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.3])
def test_factors_rise_through_the_warmup_reach_the_peak_and_never_rise_again(name, warmup):
    values = factors(name, warmup)
    peak = round(warmup * STEPS)
    assert all(0 < value <= 1 for value in values)
    assert all(a < b for a, b in itertools.pairwise(values[:peak]))
    assert all(a >= b for a, b in itertools.pairwise(values[peak:]))
    assert max(values) == pytest.approx(1, abs=2e-2)  # a step may straddle the peak


def test_a_cosine_is_at_a_half_in_the_middle_and_ends_near_nothing():
    assert schedule("cosine", 99, 199, 0.0) == pytest.approx(0.5)
    assert factors("cosine", 0.0)[-1] < 1e-4


def test_onecycle_starts_at_a_twenty_fifth():
    assert factors("onecycle", 0.3)[0] == pytest.approx(1 / 25, rel=0.02)  # half a step in


def test_constant_stays():
    assert set(factors("constant", 0.0)) == {1.0}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_downhill(name):
    weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimiser = optimizer(name, [weight], rate=0.05, momentum=0.5, decay=0.0)
    for _ in range(200):
        optimiser.zero_grad()
        (weight**2).sum().backward()
        optimiser.step()
    assert weight.abs().max() < 0.1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_pulls_towards_zero(name):
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimiser = optimizer(name, [weight], rate=0.1, momentum=0.0, decay=0.5)
    weight.grad = torch.zeros(1)
    optimiser.step()
    assert weight.item() == pytest.approx(0.95)


def test_momentum_carries_on_without_a_gradient():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimiser = optimizer("sgd", [weight], rate=0.1, momentum=0.9, decay=0.0)
    for gradient in (1.0, 0.0):
        weight.grad = torch.tensor([gradient])
        optimiser.step()
    # Nesterov: 0.1 * (1 + 0.9) for the first step, then 0.1 * 0.9 * 0.9.
    assert weight.item() == pytest.approx(1 - 0.19 - 0.081)
