"""The watched pass: every operator seen, everything as it was, and whatever people bring."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cenote
from cenote.inspection.record import SCHEMA


class Functional(nn.Module):
    """Everything by functions, with a branch that Python decides."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 1, 3, 3))

    def forward(self, x):
        y = F.max_pool2d(F.relu(F.conv2d(x, self.weight, padding=1)), 2)
        return y * 2 if y.sum() > 1e9 else y + 1


class Twice(nn.Module):
    """One module, called twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(self.conv(x))


class Stops(nn.Module):
    """Fails in a layer inside a layer."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(7, 2))

    def forward(self, x):
        return self.body(x)


class Dictionaries(nn.Module):
    """Takes a dictionary and a tensor, gives both back."""

    def forward(self, given, *, scale):
        return {"sum": given["left"] + given["right"], "scaled": [given["left"] * scale]}


def kinds(record):
    return [operator.kind for operator in record.operators]


def test_functions_are_seen_like_modules():
    record = cenote.inspect(Functional(), torch.randn(1, 1, 8, 8))
    assert kinds(record)[:3] == ["conv", "relu", "max_pool"]
    assert "add" in kinds(record)
    pool = record.operators[2]
    assert pool.window == cenote.Window([cenote.Axis(2, 2)] * 2)
    assert pool.shape == (1, 4, 4, 4)
    assert pool.field.sizes == (4, 4)
    assert pool.field.box((1, 0)) == ((1, 5), (0, 3))


def test_nothing_is_changed():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(True))
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(2, 3, 8, 8)
    kept = x.clone()
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    for training in (False, True):
        model.train(not training)
        cenote.inspect(model, x, training=training, passes=2)
        assert model.training is not training
        assert all(m.training is not training for m in model.modules())
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert torch.equal(x, kept)
    assert x.grad is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_operators_that_write_in_place_leave_the_input_alone():
    x = torch.randn(1, 1, 4, 4)
    kept = x.clone()
    record = cenote.inspect(nn.Sequential(nn.ReLU(inplace=True), nn.MaxPool2d(2)), x)
    assert torch.equal(x, kept)
    assert kinds(record) == ["relu", "max_pool"]
    assert record.operators[1].sources == (0,)


def test_what_is_written_through_a_view_is_seen():
    class Shifts(nn.Module):
        def forward(self, x):
            room = torch.zeros_like(x)
            room[..., 1:] = x[..., :-1]
            return room

    # No operator made the result: it was written into. One that does nothing stands for it.
    record = cenote.inspect(Shifts(), torch.randn(1, 1, 6, 6), maps=True)
    last = record.operators[-1]
    assert last.kind == "result"
    assert record.outputs == (last.index,)
    assert last.shape == tuple(last.output.shape) == (1, 1, 6, 6)
    assert last.field.box((2, 3)) == ((2, 3), (2, 3))
    assert last.field.box((2, 0)) is None

    class AndThen(Shifts):
        def forward(self, x):
            return super().forward(x) * 2

    last = cenote.inspect(AndThen(), torch.randn(1, 1, 6, 6)).operators[-1]
    assert last.field.box((2, 3)) == ((2, 3), (2, 3))
    assert last.field.box((2, 0)) is None


def test_shared_modules_count_their_parameters_once():
    record = cenote.inspect(Twice(), torch.randn(1, 3, 8, 8))
    assert [o.parameters for o in record.operators] == [84, 0]
    assert [o.call for o in record.operators] == [0, 1]
    assert record.totals.parameters == record.parameters == 84
    assert record.totals.macs == 2 * 3 * 64 * 27
    assert next(m for m in record.modules if m.name == "conv").calls == 2


def test_totals_are_the_sums_of_the_operators():
    record = cenote.inspect(cenote.models.lenet5(), torch.randn(2, 1, 28, 28))
    for name in ("parameters", "macs", "flops", "read", "written", "kept"):
        assert getattr(record.totals, name) == sum(getattr(o, name) for o in record.operators)
    assert record.totals.seconds == pytest.approx(sum(o.seconds for o in record.operators))
    assert record.totals.seconds <= record.seconds


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (cenote.nn.Conv2d(6, 16, 5, stride=2, padding=1, groups=2), (1, 6, 20, 20)),
        (cenote.nn.DepthwiseConv2d(6, 3, padding=1), (1, 6, 20, 20)),
        (cenote.nn.ConvTranspose2d(6, 4, 3, stride=2), (1, 6, 20, 20)),
        (cenote.nn.SpatiallySeparableConv2d(6, 8, 5, padding=2), (1, 6, 20, 20)),
        (cenote.nn.DepthwiseSeparableConv2d(6, 8, 3), (1, 6, 20, 20)),
        (cenote.nn.FlattenedConv2d(6, 8, 3, padding=1), (1, 6, 20, 20)),
        (cenote.nn.Conv1d(6, 4, 3, padding="same", dilation=2), (1, 6, 20)),
        (cenote.nn.Conv3d(2, 4, 3), (1, 2, 8, 8, 8)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_what_modules_say_of_their_cost_is_what_is_seen(module, shape):
    record = cenote.inspect(module, torch.randn(shape))
    assert record.totals.macs == module.count_macs(*shape[2:])
    assert record.totals.parameters == module.count_parameters()


def test_bytes_kept_are_what_autograd_keeps():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    x = torch.randn(1, 1, 8, 8)
    held = {}

    def note(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        y = model(x)
    own = {p.data_ptr() for p in [*model.parameters(), x]}
    expected = sum(size for at, size in held.items() if at not in own)
    del y
    assert cenote.inspect(model, x).totals.kept == expected
    assert cenote.inspect(model, x, backward=False).totals.kept is None


def test_a_network_that_fails_gives_the_record_up_to_there():
    record = cenote.inspect(Stops(), torch.randn(1, 3, 8, 8))
    assert kinds(record) == ["conv", "reshape"]
    assert record.error.name == "body.2"
    assert record.error.kind == "Linear"
    assert "144" in record.error.message
    assert "stopped in body.2 (Linear)" in str(record)
    assert "in_features = 144 would fit" in record.error.hint


def test_dictionaries_and_several_inputs_have_names():
    given = {"left": torch.randn(1, 2, 8, 8), "right": torch.randn(1, 2, 8, 8)}
    record = cenote.inspect(Dictionaries(), given, kwargs={"scale": torch.ones(1)})
    assert [i.name for i in record.inputs] == ["input0.left", "input0.right", "scale"]
    add = record.operators[0]
    assert set(add.fields) == {0, 1}
    assert add.sources == (-1, -2)
    assert len(record.outputs) == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types_are_watched_as_they_are(dtype):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).to(dtype)
    record = cenote.inspect(model, torch.randn(1, 1, 8, 8, dtype=dtype))
    assert record.operators[0].dtype == str(dtype).removeprefix("torch.")
    assert record.operators[0].written == 2 * 36 * dtype.itemsize


def test_networks_on_meta_have_everything_but_values():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 4))
    record = cenote.inspect(model.to("meta"), torch.randn(1, 1, 8, 8, device="meta"))
    assert record.error is None
    assert record.operators[-1].shape == (1, 4)
    assert record.operators[1].field.sizes == (4, 4)


def test_parameters_on_meta_take_a_real_input_along():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2)).to("meta")
    record = cenote.inspect(model, torch.randn(1, 1, 8, 8))
    assert record.operators[-1].shape == (1, 2)
    assert any("on meta" in note for note in record.notes)


def test_lines_and_volumes():
    line = cenote.inspect(
        nn.Sequential(nn.Conv1d(2, 4, 5, stride=2), nn.MaxPool1d(2)), torch.randn(1, 2, 40)
    )
    assert line.operators[-1].field.axes[0].name == "length"
    assert line.operators[-1].field.sizes == (7,)
    volume = cenote.inspect(nn.Conv3d(1, 2, (1, 3, 5)), torch.randn(1, 1, 6, 7, 8))
    assert volume.operators[0].field.sizes == (1, 3, 5)
    assert [a.name for a in volume.operators[0].field.axes] == ["depth", "height", "width"]


def test_an_unknown_operator_is_named_and_ends_what_is_known():
    class Samples(nn.Module):
        def forward(self, x):
            grid = F.affine_grid(torch.eye(2, 3)[None], [1, 1, 8, 8], align_corners=False)
            return F.max_pool2d(F.grid_sample(F.relu(x), grid, align_corners=False), 2)

    record = cenote.inspect(Samples(), torch.randn(1, 1, 8, 8))
    assert record.operators[0].field is not None
    last = record.operators[-1]
    assert last.field is None
    assert last.unknown == "grid_sampler_2d"
    assert last.shape == (1, 1, 4, 4)
    assert any("grid_sampler_2d" in note for note in record.notes)


# torch.compile imports old parts of torch.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
def test_compiled_and_exported_networks_are_looked_through():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).eval()
    x = torch.randn(1, 1, 8, 8)
    exported = torch.export.export(model, (x,)).module()
    for network in (torch.compile(model), exported):
        assert kinds(cenote.inspect(network, x)) == ["conv", "relu"]


def test_the_plain_form_is_json_and_has_its_version(tmp_path):
    record = cenote.inspect(cenote.models.lenet5(), torch.randn(1, 1, 28, 28))
    path = tmp_path / "record.json"
    assert json.loads(record.to_json(path)) == json.loads(path.read_text()) == record.to_dict()
    plain = record.to_dict()
    assert plain["schema"] == SCHEMA
    pool = plain["operators"][5]
    assert pool["name"] == "features.pool2"
    axis = pool["fields"]["0"]["axes"][0]
    assert (axis["size"], axis["jump"], axis["offset"]) == (16, 4, -2)
    assert axis["starts"] == [0, 2, 6, 10, 14]
    assert axis["stops"] == [14, 18, 22, 26, 28]


def test_maps_are_kept_on_request_and_survive_what_comes_after():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
    x = torch.randn(1, 1, 8, 8)
    record = cenote.inspect(model, x, maps=True)
    assert torch.equal(record.operators[0].output, model[0](x))
    assert torch.equal(record.operators[1].output, model(x))
    assert cenote.inspect(model, x).operators[0].output is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cenote.inspect(F.relu, torch.zeros(1)), TypeError, r"model = .*: must be a torch"),
        (lambda: cenote.inspect(nn.ReLU()), TypeError, "inputs: no tensor among them"),
        (lambda: cenote.inspect(nn.ReLU(), "x"), TypeError, "inputs: no tensor among them"),
        (
            lambda: cenote.inspect(nn.ReLU(), torch.zeros(2, 2), spatial=3),
            ValueError,
            r"spatial = 3: must lie in 0 to 2",
        ),
        (
            lambda: cenote.inspect(nn.ReLU(), torch.zeros(2), passes=0),
            ValueError,
            "passes = 0: must be at least 1",
        ),
        (
            lambda: cenote.inspect(cenote.models.lenet5(), torch.zeros(1, 1, 28, 28)).named("conv"),
            KeyError,
            "name = 'conv': no module of that name was called",
        ),
        (
            lambda: cenote.inspect(nn.ReLU(), torch.zeros(1, 1, 4)).operators[0].field.box((4,)),
            ValueError,
            r"unit\[0\] = 4: must lie in 0 to 3",
        ),
    ],
)
def test_mistakes_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
