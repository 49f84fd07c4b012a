"""Receptive fields of whole networks against what their units are found to depend on.

The oracle (:mod:`oracle.gradients`) runs networks and knows no geometry. CENOTE_NETWORKS says how
many random ones there are. One difference is allowed, and only where it can arise: an element that
linear or cubic interpolation multiplies by exactly 0 may be counted as seen or not.
"""

import os
import random
import warnings
from math import prod

import hypothesis
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import nn

import cenote
from cenote import Axis
from oracle import gradients
from oracle.gradients import bounds, nan_inputs, nan_supports, positive_, samples, smoothen
from oracle.network_cases import CASES, step
from oracle.networks import Network, all_steps, build, networks

NETWORKS = int(os.environ.get("CENOTE_NETWORKS", "100"))

# torch says of even kernels that "same" copies the input
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


# The oracle itself


def runs(places, length):
    seen = np.zeros(length, dtype=bool)
    seen[list(places)] = True
    return seen


@pytest.mark.parametrize(
    "axis",
    [
        Axis(3, 2, 1, 1),
        Axis(4, 1, 0, 3, dilation=2),
        Axis(1, 3),
        Axis(2, 5, 1, 0),
        Axis(5, 1, 6, 2),
    ],
    ids=repr,
)
def test_both_oracles_find_the_inputs_of_a_window(axis):
    conv = step("Conv", out=2, kernel=(axis.kernel,), stride=(axis.stride,),
                             pads=((axis.before, axis.after),), dilation=(axis.dilation,),
                             groups=1, mode="zeros", house="functional")  # fmt: skip
    model = positive_(build(Network((3, 11), [conv])))
    with torch.no_grad():
        found = nan_supports(model(nan_inputs((3, 11))), (11,))
    x = samples((3, 11), 1).requires_grad_()
    units = [(1, o) for o in range(axis.out(11))]
    slopes = gradients.gradient_supports(model(x), x, units)
    for (channel, o), slope in zip(units, slopes, strict=True):
        expected = runs(axis.inputs(o, 11), 11)
        assert found[channel, o].tolist() == expected.tolist()
        assert slope.tolist() == expected.tolist()


def test_nan_counts_a_weight_of_zero_and_the_gradient_does_not():
    """Halving with ``align_corners``: unit 1 of 3 lies on element 2 of 5."""
    model = build(Network((1, 5), [step("Resize", mode="linear", size=(3,), align_corners=True)]))
    found = nan_supports(model(nan_inputs((1, 5))), (5,))
    x = samples((1, 5), 1).requires_grad_()
    (slope,) = gradients.gradient_supports(model(x), x, [(0, 1)])
    assert slope.tolist() == runs([2], 5).tolist()
    assert found[0, 1].tolist() == runs([2, 3], 5).tolist()


def test_the_gradient_misses_what_a_maximum_passes_over_unless_smoothened():
    pool = step("Pool", kind="max", kernel=(3,), stride=(2,), pads=((1, 1),), dilation=(1,),
                             ceil=False, house="torch")  # fmt: skip
    model = build(Network((1, 7), [pool]))
    x = samples((1, 7), 1).requires_grad_()
    (sharp,) = gradients.gradient_supports(model(x), x, [(0, 1)])
    (smooth,) = gradients.gradient_supports(smoothen(model)(x), x, [(0, 1)])
    assert sharp.sum() == 1
    assert smooth.tolist() == runs([1, 2, 3], 7).tolist()


def cancels(step):
    """Whether gradients may add up to nothing on the way: after a norm or a softmax they can."""
    return step.name in ("Norm", "Resize") or step.given.get("kind") == "softmax"


@settings(max_examples=max(1, NETWORKS // 4))
@given(networks())
def test_both_oracles_agree_where_no_weight_is_zero(network):
    hypothesis.assume(not any(cancels(step) for step in all_steps(network.steps)))
    model = positive_(build(network))
    with torch.no_grad():
        found = nan_supports(model(nan_inputs(network.shape)), network.shape[1:])
    for unit, slope in slopes_of(model, network):
        assert (slope == found[unit]).all(), unit


# What inspect says


def some_units(shape):
    """Both ends, and two between."""
    dice = random.Random(len(shape))
    units = [tuple(0 for _ in shape), tuple(length - 1 for length in shape)]
    return units + [tuple(dice.randrange(length) for length in shape) for _ in range(2)]


def slopes_of(model, network):
    """Some units of the output, and what gradients find of them."""
    x = samples(network.shape, 1).requires_grad_()
    output = smoothen(model)(x.clone())  # what works in place must not find a leaf
    units = some_units(output.shape[1:])
    smoothen(model, False)
    return zip(units, gradients.gradient_supports(output, x, units), strict=True)


def interpolates(step):
    return step.name == "Resize" and "nearest" not in step.given["mode"]


def watched(network):
    """What inspect says of one sample, and of one for every position that is NaN there.

    One sample more is whole: it makes the number of samples another than that of positions, so
    that a dimension of that length is the batch.
    """
    model = positive_(build(network))
    record = cenote.inspect(model, samples(network.shape, 1))
    x = torch.cat([nan_inputs(network.shape), samples(network.shape, 1)])
    touched = cenote.inspect(model, x, maps=True, backward=False)
    assert record.error is None, record.error
    assert touched.error is None, touched.error
    return model, record, touched


def paired(record, touched):
    """Operators of both, by place. torch may go another way with many samples, through copies
    more or less: then those of many stand for themselves, but for the output."""
    if [o.operator for o in record.operators] == [o.operator for o in touched.operators]:
        return list(zip(record.operators, touched.operators, strict=True))
    last = (record.operators[record.outputs[0]], touched.operators[touched.outputs[0]])
    return [(operator, operator) for operator in touched.operators] + [last]


def supports_of(operator, network, sure=False):
    """Bool ``(1, *units, *n)``; None unless it is ``sure`` that samples lie along dimension 0."""
    output, count = operator.output, prod(network.shape[1:]) + 1
    if output is None or not (output.is_floating_point() or output.is_complex()):
        return None
    if output.dim() < 2 or output.shape[0] != count or (count in output.shape[1:] and not sure):
        return None
    return nan_supports(output[:-1], network.shape[1:])[None]


def hulls(supports, rank):
    """For each axis where the supports begin and end; both 0 of units that see nothing."""
    ends = []
    for axis in range(-rank, 0):
        others = tuple(a for a in range(-rank, 0) if a != axis)
        line = supports.any(axis=others)
        some = line.any(-1)
        first, last = line.argmax(-1), line.shape[-1] - line[..., ::-1].argmax(-1)
        ends.append((np.where(some, first, 0), np.where(some, last, 0)))
    return ends


def hold_operator(operator, supports, taps_of=None):
    """Box, units and (where there is who to ask) taps of an operator are those of the supports."""
    assert operator.unknown is None, f"{operator.operator}: unknown from {operator.unknown}"
    assert operator.fields is not None, operator.operator
    name = f"operator {operator.index}, {operator.name} {operator.operator}"
    field, lengths = operator.fields.get(0), supports.shape[len(operator.shape) :]
    if field is None:
        assert not supports.any(), f"{name}: sees nothing of the input, it says"
        return
    assert field.shape == operator.shape, name
    for unit in some_units(operator.shape[1:]):
        expected = supports[(0, *unit)]
        assert field.box(unit) == bounds(expected), f"{name}, unit {unit}: box"
        if taps_of is not None:
            taps = np.asarray(taps_of(operator.index, unit))
            assert taps.shape == expected.shape, f"{name}, unit {unit}: taps"
            assert (taps == expected).all(), f"{name}, unit {unit}: taps\n{taps.astype(int)}"
    ends = hulls(supports, len(lengths))
    for pixel in some_units(lengths):
        inside = [(start <= p) & (p < stop) for (start, stop), p in zip(ends, pixel, strict=True)]
        sees = np.broadcast_to(field.units(pixel), operator.shape)[:1]
        assert (sees == np.logical_and.reduce(inside)).all(), f"{name}: units of {pixel}"


def hold_bounds(record, touched, model, network):
    """Between the gradient and NaN, at the output."""
    operator = record.operators[record.outputs[0]]
    most = supports_of(touched.operators[touched.outputs[0]], network, sure=True)
    assert operator.unknown is None
    for unit, least in slopes_of(model, network):
        taps = np.asarray(record.taps(operator.index, unit))
        assert (least <= taps).all(), f"unit {unit}: misses\n{(least & ~taps).astype(int)}"
        assert (taps <= most[(0, *unit)]).all(), f"unit {unit}: too much\n{taps.astype(int)}"
        box, low, high = operator.fields[0].box(unit), bounds(least), bounds(most[(0, *unit)])
        if low is None:  # all weights on the way are 0, or none is
            assert box is None or high is not None, f"unit {unit}: {box}"
            continue
        pairs = zip(box, low, high, strict=True)
        assert all(h[0] <= b[0] <= lo[0] < lo[1] <= b[1] <= h[1] for b, lo, h in pairs), (
            f"unit {unit}: box {box}, between {low} and {high}"
        )


def hold(network):
    """Every operator whose output can be told apart by sample is held to what NaN reaches."""
    model, record, touched = watched(network)
    if not record.operators:  # what goes in comes out
        assert record.outputs == ()
        return 0
    with torch.no_grad():
        returned = tuple(model(samples(network.shape, 1)).shape)
    made = [record.operators[index].shape for index in record.outputs]
    assert made == [returned], f"outputs: {made} made, {returned} returned"
    if any(interpolates(step) for step in all_steps(network.steps)):
        hold_bounds(record, touched, model, network)
        return 1
    # Circular padding fills a tensor part by part: before the last, some of it is anything.
    filling = {o.name for o in touched.operators if o.kind == "copy"}
    last = {o.name: o.index for o in touched.operators}
    held = 0
    for operator, seen in paired(record, touched):
        if seen.name in filling and seen.index != last[seen.name]:
            continue
        supports = supports_of(seen, network)
        if supports is not None:
            hold_operator(operator, supports, record.taps if operator is not seen else None)
            held += 1
    return held


@settings(max_examples=NETWORKS)
@given(networks())
def test_random_networks_see_what_nan_reaches(network):
    hold(network)


@settings(max_examples=max(1, NETWORKS // 4))
@given(networks())
def test_modules_see_what_nan_reaches_when_nobody_watches(network):
    """The same with hooks and no ``maps``: that watching shows the network as it is."""
    hypothesis.assume(not any(interpolates(step) for step in all_steps(network.steps)))
    model, found = positive_(build(network)), {}

    def keep(name):
        def hook(module, args, output):
            found.setdefault(name, nan_supports(output.detach(), network.shape[1:])[None])

        return hook

    hooks = [block.register_forward_hook(keep(name)) for name, block in model.named_children()]
    with torch.no_grad():
        model(nan_inputs(network.shape))
    for hook in hooks:
        hook.remove()
    record = cenote.inspect(model, samples(network.shape, 1))
    for name, supports in found.items():
        inside = [o for o in record.operators if o.name == name or o.name.startswith(f"{name}.")]
        if inside and inside[-1].shape == supports.shape[: -len(network.shape) + 1]:
            hold_operator(inside[-1], supports, record.taps)


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    assert hold(CASES[name]) > 0


def of(name):
    model = positive_(build(CASES[name]))
    record = cenote.inspect(model, samples(CASES[name].shape, 1))
    return record, record.operators[record.outputs[0]]


def test_pad_after_valid_convolution_by_hand():
    """Seven features of 9 inputs, two zeros around, three taps: unit 0 sees feature 0 alone."""
    _, last = of("pad_after_valid_convolution_sees_less_than_the_triple_says")
    axis = last.field.axes[0]
    assert (axis.size, axis.jump, axis.offset) == (5, 1, -2)
    assert [last.field.box((unit,)) for unit in (0, 1, 4, 8)] == [
        ((0, 3),), ((0, 4),), ((2, 7),), ((6, 9),),
    ]  # fmt: skip
    assert axis.rule.interval(0) == (-2, 3)


def test_units_that_see_nothing_have_no_box():
    _, last = of("padding_that_no_window_needs_sees_nothing")
    assert last.field.box((0,)) is None
    assert last.field.box((4,)) == ((0, 1),)
    assert not last.field.units((0,))[..., :4].any()


def test_dilation_by_hand():
    record, last = of("dilation_leaves_holes")
    assert last.field.box((0,)) == ((0, 9),)
    assert np.flatnonzero(record.taps(last.index, (0,))).tolist() == [0, 2, 3, 5, 6, 8]


def test_circular_padding_by_hand():
    record, last = of("circular_padding_sees_both_ends")
    assert last.field.box((0,)) == ((0, 11),)
    assert np.flatnonzero(record.taps(last.index, (0,))).tolist() == [0, 1, 2, 9, 10]


def test_branches_that_are_not_aligned_by_hand():
    """Kernels 2, 5 and 1 without padding: centres of unit 0 at 1, 2.5 and 0.5, so 2 apart."""
    record, _ = of("branches_that_are_not_aligned")
    meetings = [o for o in record.operators if o.kind == "add"]
    assert [o.field.aligned for o in meetings] == [False, False]
    assert meetings[0].field.misalignment == (1.5,)
    assert record.operators[record.outputs[0]].field.sizes == (5,)


def test_two_inputs_are_seen_each_for_itself():
    class Both(nn.Module):
        def forward(self, x, y):
            return F.avg_pool1d(x, 3) + F.avg_pool1d(y[..., 2:], 2, 3)

    record = cenote.inspect(Both(), torch.rand(1, 1, 9), torch.rand(1, 1, 10))
    fields = record.operators[record.outputs[0]].fields
    assert {k: [fields[k].box((o,)) for o in range(3)] for k in fields} == {
        0: [((0, 3),), ((3, 6),), ((6, 9),)],
        1: [((2, 4),), ((5, 7),), ((8, 10),)],
    }


def test_attention_behind_a_mask_sees_no_more_than_everything_and_no_less_than_its_past():
    """Undecidable for NaN, which masks multiply by 0; the gradient says what is seen."""

    class Causal(nn.Module):
        def forward(self, x):
            tokens = x.transpose(1, 2)
            return F.scaled_dot_product_attention(tokens, tokens, tokens, is_causal=True)

    x = samples((3, 6), 1).requires_grad_()
    record = cenote.inspect(Causal(), x.detach())
    last = record.operators[record.outputs[0]]
    slopes = gradients.gradient_supports(Causal()(x), x, [(t, 0) for t in range(6)])
    for t, least in enumerate(slopes):
        assert least.tolist() == runs(range(t + 1), 6).tolist()
        taps = np.asarray(record.taps(last.index, (t, 0)))
        assert (least <= taps).all()
        assert last.field.box((t, 0)) == bounds(taps)


def test_no_warning_is_raised_by_watching():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of("down_and_up_again_is_periodic")
