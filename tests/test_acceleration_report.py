"""What is said of an acceleration: reports, explanations, and messages about bad arguments."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import cenote
from cenote.acceleration.report import Change, Report
from cenote.acceleration.steps.held import state_of
from nasty import CATALOGUE, QUIET, some
from nasty.pairs import same
from test_acceleration_uses import look

pytestmark = QUIET
TOLD = "residual_large", "densenet_transition", "winograd_deep", "two_pools_of_one_conv", "sppf"


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", some(TOLD, "residual_large", "densenet_transition", "sppf"))
def test_an_explanation_has_times_and_changes_nothing(name, train):
    case = CATALOGUE[name]
    model, x = case.build().train(train), case.given().args[0]
    before, state = look(model), {k: v.clone() for k, v in model.state_dict().items()}
    report = cenote.explain(model, x, budget=0)
    assert look(model) == before
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    ((mode, times),) = report.whole.items()
    assert mode == ("training" if train else "inference")
    assert all(0 < seconds < 60 for seconds in times)
    told = [change for change in report.changes if change.before is not None]
    assert told
    for change in report.changes:
        assert change.rule in cenote.acceleration.RULES
        assert change.where
        assert change.mode == mode
        assert (change.before is None) == (change.after is None) == (change.saved is None)
    for change in told:
        assert 0 <= change.before < 60 > change.after > 0
        assert change.saved == change.before - change.after
    assert all(left.why for left in report.left)
    if name == "sppf":  # one layer, called three times: one line
        pools = [change for change in report.changes if change.rule == "pooling"]
        assert [change.where for change in pools] == ["pool"]
        assert pools[0] in told


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("case", some(CATALOGUE.values(), "pool_used_twice", "dict_out"))
def test_every_network_has_an_explanation(case, train):
    given = case.given()
    if given.kwargs:
        pytest.skip("an example is given by position")
    report = cenote.explain(case.build().train(train), given.args, budget=0)
    assert str(report)
    for change in report.changes:
        assert (change.before is None) == (change.after is None)


def test_an_explanation_of_what_has_no_graph():
    case = CATALOGUE["branch_on_data"]
    report = cenote.explain(case.build().eval(), case.given().args, budget=0)
    assert any("branches on a value" in left.why for left in report.left)
    assert str(report)


def test_a_report_grows_call_by_call():
    case = CATALOGUE["residual_large"]
    x = case.given().args[0]
    fast = cenote.accelerate(case.build().eval(), budget=0)
    assert str(fast.report) == "Nothing is decided before the first call."
    assert fast.report.changes == fast.report.left == []
    with torch.no_grad():
        fast(x)
    assert (
        set(fast.report.layouts) == {change.mode for change in fast.report.changes} == {"inference"}
    )
    fast.train()(x)
    assert set(fast.report.layouts) == {"inference", "training"}
    assert fast.report.seconds > 0


def test_a_report_as_text_and_as_values():
    case = CATALOGUE["residual_large"]
    model, x = case.build().eval(), case.given().args[0]
    report = cenote.explain(model, x, budget=0)
    text = str(report)
    for said in ("inference:", "times as fast", "saved ms", *(c.rule for c in report.changes)):
        assert said in text
    values = json.loads(json.dumps(report.to_dict()))
    assert [Change(**change) for change in values["changes"]] == report.changes
    assert set(values) == {"changes", "left", "whole", "layouts", "seconds"}
    assert values["whole"]["inference"] == list(report.whole["inference"])
    assert "saved ms" not in str(cenote.accelerate(model, x, budget=0).report)
    assert Change("here", "pooling", "what", "inference", 3.0, 1.0).saved == 2
    assert Report().to_dict()["changes"] == []


BAD = {
    "without_one_string": ({"without": "layout"}, TypeError, "without = 'layout': must be a coll"),
    "without_a_number": ({"without": 3}, TypeError, "without = 3: must be a collection"),
    "without_no_rule": ({"without": ["tile"]}, ValueError, "without = .*: there is no rule 'tile'"),
    "layout_unknown": ({"layout": "NHWC"}, ValueError, "layout = 'NHWC': must be one of auto, "),
    "budget_negative": ({"budget": -1}, ValueError, "budget = -1: must be at least 0 seconds"),
    "budget_no_number": ({"budget": "2"}, TypeError, "budget = '2': must be seconds, not str"),
    "budget_of_truth": ({"budget": True}, TypeError, "budget = True: must be seconds, not bool"),
    "budget_nan": ({"budget": float("nan")}, ValueError, "budget = nan: must be at least 0"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), BAD.values(), ids=BAD)
def test_a_bad_option_is_named(options, error, message):
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(error, match=f"accelerate: {message}"):
        cenote.accelerate(model, **options)
    with pytest.raises(error, match=message):
        cenote.explain(model, torch.ones(1, 3, 5, 5), **options)


@pytest.mark.parametrize("wrong", [3, "resnet18", None, nn.Sequential, len], ids=str)
def test_what_is_no_module_is_named(wrong):
    for function in (cenote.accelerate, cenote.restore):
        with pytest.raises(TypeError, match=f"{function.__name__}: model = .* must be a torch.nn"):
            function(wrong)
    with pytest.raises(TypeError, match=r"model = .* must be a torch\.nn\.Module"):
        cenote.explain(wrong, torch.ones(1))


def test_all_rules_off_change_nothing():
    case = CATALOGUE["residual_large"]
    x = case.given().args[0]
    fast = cenote.accelerate(case.build(), x, without=cenote.acceleration.RULES, budget=0).eval()
    same(fast, case.build().eval(), x)
    assert fast.report.changes == []


def in_training(norm):
    norm.train()(torch.randn(4, norm.num_features, 3, 3))
    return norm.eval()


WRITTEN = {
    "in_place": lambda t: t.mul_(2),
    "through_data": lambda t: t.data.mul_(2),
    "one_element_through_data": lambda t: t.data.narrow(0, t.numel() // 3, 1).add_(1),
    "last_element_by_numpy": lambda t: t.numpy().__setitem__(-1, 9),
    "by_numpy": lambda t: np.multiply(t.numpy(), 2, out=t.numpy()),
    "set_to_other_memory": lambda t: t.set_(t.clone().mul_(2)),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 64, 2048], ids="{} elements".format)
@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_a_state_tells_every_write_into_up_to_8_kib(write, size):
    tensor = torch.randn(size, generator=torch.Generator().manual_seed(size))
    before = state_of([tensor, None])
    assert before == state_of([tensor, None])
    write(tensor)
    assert state_of([tensor, None]) != before


@pytest.mark.parametrize("name", ["in_place", "through_data", "by_numpy", "set_to_other_memory"])
def test_a_state_tells_what_changes_much_of_a_larger_tensor(name):
    tensor = torch.randn(64, 32, 3, 3)
    before = state_of([tensor])
    WRITTEN[name](tensor)
    assert state_of([tensor]) != before


def test_a_state_tells_statistics_of_training():
    norm = nn.BatchNorm2d(5)
    before = state_of(norm.buffers())  # a count of batches is no weight
    assert before is None
    statistics = [norm.running_mean, norm.running_var]
    before = state_of(statistics)
    in_training(norm)
    assert state_of(statistics) != before


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(3).double(), torch.ones(6)[::2], torch.ones(3, device="meta"), torch.ones(2, 3).T],
    ids=["float64", "strided", "meta", "transposed"],
)
def test_a_state_that_is_not_known_is_none(tensor):
    assert state_of([torch.ones(2), tensor]) is None


def test_a_state_in_inference_mode_is_not_known():
    with torch.inference_mode():
        assert state_of([torch.ones(3)]) is None
