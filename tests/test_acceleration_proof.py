"""Acceleration never changes a result: every nasty network, in every mode, against itself."""

import functools
import zlib

import pytest
import torch

import cenote
from nasty import CATALOGUE, DECIDING, QUIET, seed_all, some
from nasty.agreeing import agree, gradients_agree, one_seed_agrees, values_agree
from nasty.running import generators, run, steps

pytestmark = QUIET
EVERY = pytest.mark.parametrize("case", CATALOGUE.values(), ids=str)
LEARNING = [c for c in CATALOGUE.values() if c.learns]
LEARNING = pytest.mark.parametrize("case", some(LEARNING, "residual_large", "vgg_like", "dense"))
EXACT = pytest.mark.parametrize("case", [c for c in CATALOGUE.values() if c.exact], ids=str)
MODES = {
    "inference": {"train": False, "grad": False},
    "evaluation": {"train": False, "grad": True, "ask": True},
    "training": {"train": True, "grad": True},
    "training_without_gradients": {"train": True, "grad": False},
}
LAYOUTS = "contiguous", "channels_last"


@functools.cache
def original(name, mode, seed):
    """What the network itself leaves."""
    case = CATALOGUE[name]
    return run(case, case.build(seed), **MODES[mode], seed=seed)


@functools.cache
def exact(name, mode, seed):
    """What it leaves in float64, where that means the same."""
    case = CATALOGUE[name]
    return run(case, case.build(seed).double(), **MODES[mode], exact=True, seed=seed)


def judge(agreeing, ours, theirs, case, exact):
    """Near enough to the original; where not, near enough to the truth."""
    try:
        agreeing(ours, theirs, factor=20)
    except AssertionError:
        if not case.exact:
            raise
        agreeing(ours, theirs, exact())


def calls():
    """In every run each network in inference and in training, in one layout and the other."""
    for case in CATALOGUE.values():
        odd = zlib.crc32(case.name.encode()) % 2
        always = {("inference", LAYOUTS[odd]), ("training", LAYOUTS[1 - odd])}
        each = [(mode, layout) for mode in ("inference", "training") for layout in LAYOUTS]
        for mode, layout in [*each, *((mode, "auto") for mode in list(MODES)[:3])]:
            marks = [] if (mode, layout) in always else pytest.mark.slow
            yield pytest.param(case, mode, layout, id=f"{case}-{mode}-{layout}", marks=marks)


@pytest.mark.parametrize(("case", "mode", "layout"), list(calls()))
def test_one_call(case, mode, layout):
    def ours(seed):
        fast = cenote.accelerate(case.build(seed), layout=layout)
        return run(case, fast, **MODES[mode], seed=seed)

    def judged(agreeing, seen, seed):
        place = case.name, mode, seed
        judge(agreeing, seen, original(*place), case, lambda: exact(*place))

    first = ours(0)
    if not case.jumps:
        judged(values_agree, first, 0)

    def check(seed):
        seen = ours(seed) if seed else first
        judged(values_agree, seen, seed)
        judged(gradients_agree, seen, seed)

    one_seed_agrees(check)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["auto", *LAYOUTS])
@EVERY
def test_one_object_through_all_modes(case, layout):
    """One object in all modes; with an example where no layout is asked for."""

    def check(seed):
        mine, theirs = case.build(seed), case.build(seed)
        args = case.given(seed).args
        before = generators()
        if layout == "auto" and args:
            fast = cenote.accelerate(mine, args if len(args) > 1 else args[0])
        else:
            fast = cenote.accelerate(mine, layout=layout)
        assert generators() == before
        for mode in ("training", "inference", "evaluation", "training_without_gradients"):
            ours = run(case, fast, **MODES[mode], seed=seed)
            wanted = run(case, theirs, **MODES[mode], seed=seed)
            values_agree(ours, wanted, factor=60)
            gradients_agree(ours, wanted, factor=200)

    one_seed_agrees(check)


@pytest.mark.slow
@EXACT
def test_in_float64(case):
    """So exact that no maximum and no branch moves: what is left are errors of the method."""
    for mode in ("evaluation", "training"):
        fast = cenote.accelerate(case.build().double())
        ours = run(case, fast, **MODES[mode], exact=True)
        theirs = exact(case.name, mode, 0)
        values_agree(ours, theirs, factor=500)
        gradients_agree(ours, theirs, factor=5000)


@LEARNING
def test_ten_steps(case):
    def check(seed):
        theirs = steps(case, case.build(seed), seed=seed)
        ours = steps(case, cenote.accelerate(case.build(seed), budget=DECIDING), seed=seed)
        values_agree(ours, theirs)
        judge(
            gradients_agree, ours, theirs, case,
            lambda: steps(case, case.build(seed).double(), exact=True, seed=seed),
        )  # fmt: skip

    one_seed_agrees(check)


@pytest.mark.slow
@EVERY
def test_the_catalogue_itself(case):
    """Each network does the same twice, and its own float32 is near enough to judge others."""
    for mode in ("evaluation", "training"):
        again, theirs = run(case, case.build(), **MODES[mode]), original(case.name, mode, 0)
        values_agree(again, theirs, factor=0, own=0)
        gradients_agree(again, theirs, factor=0, own=0)
        if case.exact:
            values_agree(again, theirs, exact(case.name, mode, 0))
            gradients_agree(again, theirs, exact(case.name, mode, 0))


def test_there_are_enough_of_them():
    assert len(CATALOGUE) >= 200
    assert sum(case.learns for case in CATALOGUE.values()) >= 180


def broken_values():
    right = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    one_off, swapped, unknown = right.clone(), right.flip(0), right.clone()
    one_off[1, 2] += 1e-5
    unknown[0, 0] = float("nan")
    return {
        "one element": (one_off, "off"),
        "two rows exchanged": (swapped, "off"),
        "a NaN": (unknown, "isnan"),
        "an infinity": (right.where(right < 1, torch.inf), "isposinf"),
        "another type": (right.double(), "float64"),
        "another shape": (right.T, "in place of"),
        "nothing": (None, "None in place of"),
    }


@pytest.mark.parametrize("name", broken_values())
def test_a_broken_value_is_seen(name):
    right = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    agree(right, right.clone())
    agree(right * (1 + 5e-7), right, right.double())
    broken, message = broken_values()[name]
    with pytest.raises(AssertionError, match=message):
        agree(broken, right, right.double())


def test_an_inexact_original_proves_nothing():
    right = torch.ones(5, dtype=torch.float64)
    with pytest.raises(AssertionError, match="too far to be compared"):
        agree(torch.ones(5), torch.full((5,), 1.01), right)


class Shifted(torch.nn.Module):
    """An acceleration that is wrong by a little, in one place."""

    def __init__(self, model, change):
        super().__init__()
        self.model, self.change = model, change

    def forward(self, x):
        return self.change(self.model(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y + 1e-4, "output: "),
        (lambda y: y.double(), "dtype"),
        (lambda y: y.transpose(2, 3).contiguous().transpose(2, 3), "strides"),
        (lambda y: y.detach(), "requires_grad"),
        (lambda y: (y,), "only one of the two"),
        (lambda y: y + 0 * torch.rand(1), "random numbers"),
    ],
)
def test_a_wrong_acceleration_is_seen(change, message):
    case = CATALOGUE["relu_before_adaptive_max"]
    model = case.build()
    ours = run(case, Shifted(model, change), train=False, grad=True)
    with pytest.raises(AssertionError, match=message):
        values_agree(ours, original(case.name, "evaluation", 0), exact(case.name, "evaluation", 0))


def test_a_wrong_gradient_is_seen():
    case = CATALOGUE["relu_before_adaptive_max"]
    model = case.build()
    model[0].weight.register_hook(lambda grad: grad * (1 + 1e-4))
    ours = run(case, model, train=False, grad=True, ask=True)
    with pytest.raises(AssertionError, match=r"gradient of 0\.weight"):
        gradients_agree(
            ours, original(case.name, "evaluation", 0), exact(case.name, "evaluation", 0)
        )


def test_seeding_is_of_all_generators():
    seed_all(3)
    first = generators()
    torch.rand(1)
    assert generators() != first
    seed_all(3)
    assert generators() == first
