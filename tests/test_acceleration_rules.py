"""Every rule: where it applies, what it may change in a result, and where it must not apply."""

import pytest

import cenote
from nasty.agreeing import gradients_agree, values_agree
from nasty.by_rule import MODES, OTHER_ORDER, applies, misses
from nasty.running import run

RULES = cenote.acceleration.RULES
NEEDED = {  # by the rules without which these have nothing to do
    "layout": (
        "epilogues", "winograd", "separable", "shuffles", "recomputing", "norms", "concatenation",
    ),
    "epilogues": ("separable", "concatenation"),
    "folding": ("separable",),
    "pooling": ("merged-padding", "shared-chains", "concatenation"),
}  # fmt: skip


def needed(example):
    found = {rule for rule, by in NEEDED.items() if example.rule in by}
    strips = example.rule == "stages" and example.layout == "channels_last"
    return found | {"layout", "epilogues", "folding"} if strips else found


def used(example, without=()):
    """What a run leaves, and the rules by which the network was changed."""
    case, options = example.case(), MODES[example.mode]
    fast = cenote.accelerate(case.build(), layout=example.layout, budget=0, without=without)
    seen = run(case, fast, **options)
    wrong = "given up", "maps in rows:", "maps with channels last:"  # seen by a comparison, late
    assert not [left.why for left in fast.report.left if left.why.startswith(wrong)]
    assert fast.report.layouts or "hook" in example.name  # followed as a whole
    found = {change.rule for change in fast.report.changes}
    if "with channels last" in fast.report.layouts.values():
        found.add("layout")
    return seen, found


def same(example, seen, roundings):
    case, options = example.case(), MODES[example.mode]
    theirs = run(case, case.build(), **options)
    exact = run(case, case.build().double(), exact=True, **options) if roundings else None
    own = 3 if roundings else 0
    values_agree(seen, theirs, exact, factor=roundings, own=own)
    gradients_agree(seen, theirs, exact, factor=10 * roundings, own=own)


@pytest.mark.parametrize("example", list(applies()), ids=str)
def test_it_applies_and_changes_nothing(example):
    seen, rules = used(example)
    assert example.rule in rules
    same(example, seen, max(example.roundings, OTHER_ORDER))


@pytest.mark.parametrize("example", list(applies()), ids=str)
def test_alone_it_stays_within_its_bound(example):
    seen, rules = used(example, set(RULES) - {example.rule} - needed(example))
    assert example.rule in rules
    same(example, seen, example.roundings)


@pytest.mark.parametrize("example", list(applies()), ids=str)
def test_switched_off_it_does_not_apply(example):
    seen, rules = used(example, (example.rule,))
    assert example.rule not in rules
    same(example, seen, max(example.roundings, OTHER_ORDER))


@pytest.mark.parametrize("example", list(misses()), ids=str)
def test_a_near_miss_is_left_alone(example):
    seen, rules = used(example)
    assert example.rule not in rules
    same(example, seen, example.roundings)


def test_every_rule_is_here():
    for examples in (applies(), misses()):
        assert {example.rule for example in examples} == set(RULES)
