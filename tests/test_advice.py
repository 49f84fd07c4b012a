"""Advice: each kind is given where there is reason to, and not where there is none."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cenote
from cenote.inspection import advise
from cenote.inspection.advice import KINDS


def given(model, shape, **options):
    record = cenote.inspect(model, torch.randn(shape))
    assert record.error is None
    found = advise(record, **options)
    assert all(a.kind in KINDS and a.text for a in found)
    return {a.kind: a for a in found}


def stack(*layers):
    return nn.Sequential(*layers)


def test_a_plain_stack_needs_none():
    model = stack(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
    assert given(model, (1, 1, 32, 32)) == {}


def test_layers_that_already_see_everything():
    deep = stack(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(8)))
    advice = given(deep, (1, 1, 8, 8))["unproductive"]
    # After four layers a unit sees 9 of 8: the fifth and all that follow are 4.
    assert advice.name == "4"
    assert advice.numbers["convolutions"] == 4
    assert advice.numbers["share_of_macs"] == pytest.approx(0.5)
    assert "unproductive" not in given(deep, (1, 1, 32, 32))


def test_objects_that_no_unit_sees_whole():
    model = stack(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3))
    advice = given(model, (1, 1, 32, 32), object_size=9)["object"]
    assert advice.numbers == {"object": [9, 9], "largest": [5, 5]}
    assert "object" not in given(model, (1, 1, 32, 32), object_size=5)
    assert "object" not in given(model, (1, 1, 32, 32), object_size=(5, 4))
    with pytest.raises(ValueError, match=r"object_size = \(1, 2, 3\): must be"):
        given(model, (1, 1, 32, 32), object_size=(1, 2, 3))


class Branches(nn.Module):
    def __init__(self, kernel):
        super().__init__()
        self.one = cenote.nn.Conv2d(1, 1, kernel, padding="same")
        self.other = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return self.one(x) + self.other(x)


def test_branches_with_other_centres():
    advice = given(Branches(2), (1, 1, 16, 16))["misaligned"]
    assert advice.numbers["apart"] == [0.5, 0.5]
    assert "misaligned" not in given(Branches(5), (1, 1, 16, 16))


def test_branches_with_other_jumps():
    class Cut(nn.Module):
        def forward(self, x):
            return F.max_pool2d(x, 2) + x[..., :4, :4]

    assert given(Cut(), (1, 1, 8, 8))["misaligned"].numbers["apart"] == [None, None]


def test_transposed_kernels_that_are_no_multiple_of_the_stride():
    uneven = given(nn.ConvTranspose2d(1, 1, 3, stride=2), (1, 1, 8, 8))["checkerboard"]
    assert uneven.numbers == {"kernel": 3, "stride": 2}
    assert "1 and 2 taps" in uneven.text
    assert "checkerboard" not in given(nn.ConvTranspose2d(1, 1, 4, stride=2), (1, 1, 8, 8))


def test_dilations_that_leave_holes():
    def dilated(*rates):
        return stack(*(nn.Conv2d(1, 1, 3, padding=r, dilation=r) for r in rates))

    holes = given(dilated(2, 2), (1, 1, 32, 32))["gridding"]
    assert holes.numbers == {"seen": 25, "area": 81}
    assert "gridding" not in given(dilated(1, 2, 5), (1, 1, 40, 40))


@pytest.mark.parametrize(
    ("layer", "missed", "reason"),
    [
        (nn.Conv2d(1, 1, 1, stride=3), 10, "passes over"),
        (nn.MaxPool2d(3, 3), 1, "does not fit"),
    ],
)
def test_inputs_that_are_never_read(layer, missed, reason):
    advice = given(layer, (1, 1, 16, 16))["unread"]
    assert advice.numbers["missed"] == missed
    assert reason in advice.text
    assert "unread" not in given(nn.MaxPool2d(4), (1, 1, 16, 16))


def test_strides_without_a_filter():
    assert "aliasing" in given(nn.MaxPool2d(2), (1, 1, 16, 16))
    blurred = given(cenote.nn.MaxBlurPool2d(2, stride=2), (1, 1, 16, 16))
    assert "aliasing" not in blurred
    assert "aliasing" not in given(nn.AvgPool2d(2), (1, 1, 16, 16))


def test_fields_that_lie_mostly_outside():
    model = stack(*(nn.Conv2d(1, 1, 7, padding=3) for _ in range(3)))
    advice = given(model, (1, 1, 12, 12))["padding"]
    # Of 19 elements, unit 0 has 10 inside, 1 has 11, 2 to 9 all 12, and so on.
    inside = (2 * (10 + 11) + 8 * 12) / 12
    assert advice.numbers["share"] == pytest.approx(1 - (inside / 19) ** 2)
    assert advice.numbers["corner"] == pytest.approx(1 - (10 / 19) ** 2)
    assert "padding" not in given(model, (1, 1, 64, 64))


def test_advice_survives_what_is_unknown():
    class Unknown(nn.Module):
        def forward(self, x):
            return F.max_pool2d(torch.cdist(x, x), 2)

    assert set(given(Unknown(), (1, 1, 8, 8))) == {"aliasing"}
