"""Sizes without running, and errors that say what would fit."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cenote
from cenote.inspection.dry.shapes import (
    DataDependentError,
    ShapeError,
    explain_mismatch,
    hint_of,
    shapes,
)

SIDES = {1: (16,), 2: (16, 16), 3: (16, 16, 16)}


def sequence(*layers):
    return nn.Sequential(*layers)


def misfits(model, *inputs, **named):
    with pytest.raises(ShapeError) as caught:
        shapes(model, *inputs, **named)
    return caught.value


# What is seen.


def test_every_call_has_its_shapes():
    found = shapes(cenote.models.lenet5(), (8, 1, 28, 28))
    assert [call.name for call in found][:3] == ["", "features", "features.conv1"]
    assert found["features.pool2"].outputs == ((8, 16, 5, 5),)
    assert found["classifier.fc1"].inputs == ((8, 400),)
    assert found[""].outputs == ((8, 10),)
    assert found["features.conv1"].kind == "Conv2d"
    assert len(found) == 15


@pytest.mark.parametrize("given", [(2, 3, 8, 8), [2, 3, 8, 8], "2,3,8,8", " (2, 3, 8, 8) "])
def test_a_shape_is_written_in_several_ways(given):
    assert shapes(nn.Conv2d(3, 4, 3), given)[0].outputs == ((2, 4, 6, 6),)


def test_tensors_and_keywords_are_inputs_too():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.zeros(3, 5, 8)
    found = shapes(attention, x, x, x, kwargs={"need_weights": False})
    assert found[0].outputs == ((3, 5, 8),)
    found = shapes(attention, x, kwargs={"key": "3,7,8", "value": "3,7,8"})
    assert found[0].outputs == ((3, 5, 8), (3, 5, 7))


def test_an_element_type_stands_behind_a_colon():
    found = shapes(sequence(nn.Embedding(9, 4), nn.LSTM(4, 3, batch_first=True)), "2,7:int64")
    assert found["1"].outputs == ((2, 7, 3), (1, 2, 3), (1, 2, 3))


def test_a_module_called_twice_has_two_calls():
    shared = nn.Linear(4, 4)
    found = shapes(sequence(shared, nn.ReLU(), shared), (2, 4))
    assert [(call.name, call.call) for call in found] == [("", 0), ("0", 0), ("1", 0), ("0", 1)]
    assert "0 (call 2)" in str(found)


def test_lazy_layers_say_what_they_inferred():
    model = sequence(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10))
    found = shapes(model, (8, 3, 12, 12))
    assert [call.inferred for call in found] == [
        {}, {"in_channels": 3}, {"num_features": 8}, {}, {"in_features": 800},
    ]  # fmt: skip
    assert "in_features = 800" in str(found)
    assert type(model[3]) is nn.LazyLinear
    assert model[3].has_uninitialized_params()
    assert model(torch.zeros(1, 3, 6, 6)).shape == (1, 10)  # it still is as lazy as it was


def test_the_table_and_the_dictionary():
    found = shapes(sequence(nn.Conv2d(3, 4, 3), nn.ReLU()), (2, 3, 8, 8))
    assert [re.split(r"  +", line) for line in str(found).splitlines()[2:]] == [
        ["Sequential", "Sequential", "(2, 3, 8, 8)", "(2, 4, 6, 6)"],
        ["0", "Conv2d", "(2, 3, 8, 8)", "(2, 4, 6, 6)"],
        ["1", "ReLU", "(2, 4, 6, 6)", "(2, 4, 6, 6)"],
    ]
    assert found.to_dict()["calls"][1] == {
        "name": "0", "call": 0, "kind": "Conv2d", "inputs": [[2, 3, 8, 8]],
        "outputs": [[2, 4, 6, 6]], "inferred": {},
    }  # fmt: skip
    with pytest.raises(KeyError, match=r"'features\.conv1': no module of that name was called"):
        found["features.conv1"]
    with pytest.raises(KeyError, match=r"did you mean features\.conv2"):
        shapes(cenote.models.lenet5(), (1, 1, 28, 28))["features.conv_2"]


@pytest.mark.parametrize("given", ["a,b", "", "1,3:float99", "1,3:nn"])
def test_what_is_no_shape_is_refused(given):
    with pytest.raises(ValueError, match=r"inputs\[0\] = .*: must be a shape such as"):
        shapes(nn.ReLU(), given)


def test_negative_sizes_are_refused():
    with pytest.raises(ValueError, match=r"inputs\[0\] = \(1, -3\): sizes must be at least 0"):
        shapes(nn.ReLU(), (1, -3))


def test_nothing_is_allocated():
    with torch.device("meta"):
        model = sequence(nn.Linear(1 << 20, 1 << 20), nn.Linear(1 << 20, 1 << 20))
    assert shapes(model, (1 << 20, 1 << 20))[0].outputs == ((1 << 20, 1 << 20),)


# No trace is left.


class Remembers(nn.Module):
    """Everything that a forward pass may leave behind."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.constant = torch.arange(3.0).view(3, 1, 1)
        self.history, self.cache, self.seen = [], {}, set()

    def forward(self, x):
        x = self.drop(self.bn(x)) * self.constant + torch.rand(1)
        self.history.append(x)
        self.cache["x"] = self.last = x
        self.seen.add(tuple(x.shape))
        self.constant = self.constant + x.mean()
        return x + torch.arange(8) + torch.linspace(0, 1, 3).tolist()[1]


def test_the_network_is_afterwards_what_it_was():
    model = Remembers().train()
    model.drop.eval()
    constant, before = model.constant, {k: v.clone() for k, v in model.state_dict().items()}
    parameters = list(model.parameters())
    assert shapes(model, (2, 3, 8, 8))[0].outputs == ((2, 3, 8, 8),)
    assert (model.history, model.cache, model.seen) == ([], {}, set())
    assert not hasattr(model, "last")
    assert model.constant is constant
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert (model.training, model.bn.training, model.drop.training) == (True, True, False)
    assert "forward" not in model.__dict__
    assert model(torch.zeros(2, 3, 8, 8)).device.type == "cpu"


def test_a_network_that_fails_is_afterwards_what_it_was():
    model = sequence(nn.Linear(4, 3), nn.BatchNorm1d(5), nn.LSTM(7, 2), nn.LazyLinear(3))
    before = [dict(module.__dict__) for module in model.modules()]
    assert len(misfits(model, (2, 6)).misfits) == 3
    assert [dict(module.__dict__) for module in model.modules()] == before
    assert model[0].in_features == 4
    assert model[0].weight.shape == (3, 4)
    assert [w.shape[-1] for w in model[2]._flat_weights[:2]] == [7, 2]


def test_random_numbers_go_on_as_if_nothing_had_been():
    state = torch.get_rng_state()
    draws = Calls(lambda m, x: x + torch.rand(4))
    shapes(sequence(nn.LazyLinear(4), nn.Dropout(), nn.RReLU(), draws), (2, 4))
    assert torch.equal(torch.get_rng_state(), state)


# Each kind of misfit: the layer, what it gets, and what would fit.

CONV, LINEAR = nn.Conv2d(3, 8, 3), nn.Linear(9216, 10)
LAYERS = {
    "linear": (sequence(nn.Flatten(), LINEAR), (8, 6400),
        "1 (Linear): in_features = 9216, but it gets (8, 6400): in_features = 6400 would fit",
        {"in_features": 6400}),
    "linear_without_flatten": (sequence(nn.Linear(400, 10)), (8, 16, 5, 5),
        "0 (Linear): in_features = 400, but it gets (8, 16, 5, 5): with torch.nn.Flatten() before "
        "it, it would fit: 16 * 5 * 5 = 400", {}),
    "linear_of_the_network_itself": (nn.Linear(4, 3), (2, 5),
        "Linear: in_features = 4, but it gets (2, 5): in_features = 5 would fit",
        {"in_features": 5}),
    "bilinear": (nn.Bilinear(3, 5, 4), ((2, 3), (2, 6)),
        "Bilinear: in2_features = 5, but it gets (2, 6): in2_features = 6 would fit",
        {"in2_features": 6}),
    "conv": (CONV, (1, 4, 9, 9),
        "in_channels = 3, but it gets (1, 4, 9, 9): in_channels = 4 would fit", {"in_channels": 4}),
    "conv_channels_last": (CONV, (1, 9, 9, 3),
        "it gets (1, 9, 9, 3), whose channels come last: x.permute(0, 3, 1, 2) would fit, "
        "(1, 3, 9, 9)", {}),
    "conv_without_channels": (nn.Conv2d(1, 2, 3), (8, 28, 28),
        "it gets (8, 28, 28), which has no channels: x.unsqueeze(1) would fit, (8, 1, 28, 28)", {}),
    "conv_flat_input": (CONV, (8, 784),
        "it takes (N, C, H, W), 3 or 4 dimensions, but it gets (8, 784)", {}),
    "conv_grouped": (nn.Conv2d(8, 8, 3, groups=4), (1, 6, 9, 9),
        "in_channels = 6 would fit, with groups that divide it, which 4 does not",
        {"in_channels": 6}),
    "conv_depthwise": (nn.Conv2d(8, 8, 3, groups=8), (1, 6, 9, 9),
        "in_channels = 6 would fit, with groups = 6 and out_channels a multiple of 6",
        {"in_channels": 6, "groups": 6}),
    "conv_transpose": (nn.ConvTranspose2d(8, 4, 2), (1, 6, 9, 9),
        "in_channels = 8, but it gets (1, 6, 9, 9): in_channels = 6 would fit", {"in_channels": 6}),
    "conv1d": (nn.Conv1d(2, 2, 3), (1, 3, 9), "in_channels = 3 would fit", {"in_channels": 3}),
    "conv_bytes": (CONV, torch.zeros(1, 3, 9, 9, dtype=torch.uint8),
        "its weight is float32, but it gets uint8 (1, 3, 9, 9): with x.to(torch.float32) it would "
        "fit", {"dtype": torch.float32}),
    "linear_double": (nn.Linear(4, 3), "2,4:float64",
        "its weight is float32, but it gets float64 (2, 4)", {"dtype": torch.float32}),
    "conv_window": (nn.Conv2d(3, 8, (5, 3), dilation=2), (1, 3, 8, 8),
        "a window of 5x3 does not fit on (1, 3, 8, 8): it takes at least (1, 3, 9, 5)",
        {"input_size": (9, 5)}),
    "pool_window": (nn.MaxPool2d(3), (1, 4, 2, 9),
        "a window of 3 does not fit on (1, 4, 2, 9): it takes at least (1, 4, 3, 3)",
        {"input_size": (3, 3)}),
    "unfold_window": (nn.Unfold(3), (1, 4, 2, 2), "it takes at least (1, 4, 3, 3)",
        {"input_size": (3, 3)}),
    "pool_flat_input": (nn.MaxPool2d(3), (2, 9),
        "it takes (N, C, H, W), 3 or 4 dimensions, but it gets (2, 9)", {}),
    "batch_norm": (nn.BatchNorm2d(4), (2, 6, 5, 5),
        "num_features = 4, but it gets (2, 6, 5, 5): num_features = 6 would fit",
        {"num_features": 6}),
    "batch_norm_dimensions": (nn.BatchNorm2d(4), (2, 4),
        "it takes 4 dimensions, but it gets (2, 4): BatchNorm1d would fit", {}),
    "batch_norm_one_value": (nn.BatchNorm2d(4), (1, 4, 1, 1),
        "in training it needs more than one value a channel, but it gets (1, 4, 1, 1): a larger "
        "batch, or model.eval(), would fit", {}),
    "instance_norm": (nn.InstanceNorm2d(4, affine=True), (2, 6, 5, 5),
        "num_features = 6 would fit", {"num_features": 6}),
    "group_norm": (nn.GroupNorm(2, 4), (2, 7, 5),
        "num_channels = 7 would fit, with num_groups that divide it, which 2 does not",
        {"num_channels": 7}),
    "layer_norm": (nn.LayerNorm((4, 5)), (2, 4, 6),
        "normalized_shape = (4, 5), but it gets (2, 4, 6): normalized_shape = (4, 6) would fit",
        {"normalized_shape": (4, 6)}),
    "rms_norm": (nn.RMSNorm(4), (2, 6), "normalized_shape = (6,) would fit",
        {"normalized_shape": (6,)}),
    "prelu": (nn.PReLU(3), (2, 4, 5), "num_parameters = 4 would fit", {"num_parameters": 4}),
    "embedding": (nn.Embedding(9, 4), (2, 7),
        'indices must be int64 or int32, but it gets float32 (2, 7): x.long() would fit (as a '
        'shape: "1,16:int64")', {"dtype": torch.int64}),
    "lstm": (nn.LSTM(4, 3), (5, 2, 6), "input_size = 4, but it gets (5, 2, 6): input_size = 6 "
        "would fit", {"input_size": 6}),
    "attention": (nn.MultiheadAttention(8, 2), ((5, 2, 6),) * 3,
        "embed_dim = 8, but it gets (5, 2, 6): embed_dim = 6 would fit", {"embed_dim": 6}),
    "attention_heads": (nn.MultiheadAttention(8, 4), ((5, 2, 6),) * 3,
        "embed_dim = 6 would fit, with num_heads that divide it, which 4 does not",
        {"embed_dim": 6}),
    "attention_keys": (nn.MultiheadAttention(8, 2, kdim=4), ((5, 2, 8), (5, 2, 7), (5, 2, 8)),
        "kdim = 4, but it gets (5, 2, 7): kdim = 7 would fit", {"kdim": 7}),
    "weight_of_a_parametrization": (nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), (2, 5),
        "in_features = 5 would fit", {"in_features": 5}),
    "cenote_conv": (cenote.nn.Conv2d(3, 4, 3), (1, 5, 9, 9),
        "in_channels = 3, but it gets (1, 5, 9, 9): in_channels = 5 would fit", {"in_channels": 5}),
    "cenote_depthwise": (cenote.nn.DepthwiseConv2d(4, 3), (1, 5, 9, 9),
        "in_channels = 5 would fit, with groups = 5", {"in_channels": 5, "groups": 5}),
    "cenote_conv_transpose": (cenote.nn.ConvTranspose2d(3, 4, 3), (1, 5, 9, 9),
        "in_channels = 5 would fit", {"in_channels": 5}),
    "cenote_window": (cenote.nn.MinPool2d(3), (1, 4, 2, 9),
        "a window of 3 does not fit on (1, 4, 2, 9): it takes at least (1, 4, 3, 3)",
        {"input_size": (3, 3)}),
}  # fmt: skip


def of(given):
    return given if isinstance(given, tuple) and isinstance(given[0], tuple) else (given,)


@pytest.mark.parametrize("case", LAYERS)
def test_a_layer_says_what_would_fit(case):
    model, given, message, fits = LAYERS[case]
    error = misfits(model, *of(given))
    assert message in str(error)
    assert (len(error.misfits), error.fits) == (1, fits)


REPAIRED = {  # the same layers, as the advice would have them
    "linear": (sequence(nn.Flatten(), nn.Linear(6400, 10)), (8, 6400)),
    "linear_without_flatten": (sequence(nn.Flatten(), nn.Linear(400, 10)), (8, 16, 5, 5)),
    "conv": (nn.Conv2d(4, 8, 3), (1, 4, 9, 9)),
    "conv_channels_last": (CONV, (1, 3, 9, 9)),
    "conv_depthwise": (nn.Conv2d(6, 6, 3, groups=6), (1, 6, 9, 9)),
    "conv_window": (nn.Conv2d(3, 8, (5, 3), dilation=2), (1, 3, 9, 5)),
    "pool_window": (nn.MaxPool2d(3), (1, 4, 3, 3)),
    "batch_norm_one_value": (nn.BatchNorm2d(4).eval(), (1, 4, 1, 1)),
    "layer_norm": (nn.LayerNorm((4, 6)), (2, 4, 6)),
    "attention": (nn.MultiheadAttention(6, 2), ((5, 2, 6),) * 3),
    "lstm": (nn.LSTM(6, 3), (5, 2, 6)),
}


@pytest.mark.parametrize("case", REPAIRED)
def test_the_advice_is_good(case):
    model, given = REPAIRED[case]
    assert shapes(model, *of(given))[0].outputs
    model(*(torch.zeros(shape) for shape in of(given)))


@pytest.mark.parametrize("case", LAYERS)
def test_torch_refuses_what_is_reported(case):
    model, given, _, _ = LAYERS[case]
    inputs = [
        g if isinstance(g, torch.Tensor)
        else torch.zeros(2, 4, dtype=torch.float64) if isinstance(g, str) else torch.zeros(g)
        for g in of(given)
    ]  # fmt: skip
    with pytest.raises((RuntimeError, ValueError, TypeError, AssertionError)) as caught:
        model(*inputs)
    name = "layer" if case != "linear" else "1"
    hint = hint_of(model, name, tuple(inputs), caught.value)
    assert hint.startswith(name)
    assert re.sub(r"^(\d )?\(?(Linear|Bilinear)\)?: ", "", LAYERS[case][2]) in hint


# What a forward does itself, with the line where it does.


class Calls(nn.Module):
    """A module whose forward is one function of its parameter and inputs."""

    def __init__(self, function, *sizes):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.zeros(sizes)) if sizes else None

    def forward(self, *inputs):
        return self.function(self, *inputs)


FUNCTIONS = {
    "add": (Calls(lambda m, x, y: x + y), ((2, 8, 4, 4), (2, 3, 4, 8)),
        "add of (2, 8, 4, 4) and (2, 3, 4, 8): dimensions 1 and 3 differ ["),
    "add_in_place": (Calls(lambda m, x, y: x.add_(y)), ((2, 8), (2, 3)),
        "add of (2, 8) and (2, 3): dimension 1 differs ["),
    "where": (Calls(lambda m, x, y: torch.where(x > 0, x, y)), ((2, 8), (2, 3)),
        "where of (2, 8), (2, 8) and (2, 3): dimension 1 differs ["),
    "cat": (Calls(lambda m, x, y: torch.cat([x, y], dim=1)), ((1, 4, 15, 15), (1, 4, 16, 16)),
        "cat along dimension 1 of (1, 4, 15, 15) and (1, 4, 16, 16): all others must be equal, "
        "dimensions 2 and 3 differ ["),
    "cat_of_ranks": (Calls(lambda m, x, y: torch.cat([x, y])), ((2, 3), (2, 3, 1)),
        "cat of (2, 3) and (2, 3, 1): not as many dimensions ["),
    "stack": (Calls(lambda m, x, y: torch.stack((x, y), 1)), ((2, 3), (2, 4)),
        "stack of (2, 3) and (2, 4): all dimensions must be equal, dimension 1 differs ["),
    "bmm": (Calls(lambda m, x, y: torch.bmm(x, y)), ((2, 3, 4), (2, 5, 4)),
        "bmm of (2, 3, 4) and (2, 5, 4): the last size of the first, 4, must be the last but one "
        "of the second, 5 ["),
    "bmm_transposed": (Calls(lambda m, x, y: torch.bmm(x, y)), ((2, 3, 4), (2, 5, 4)),
        "]: the second's transpose(-2, -1), (2, 4, 5), would fit"),
    "bmm_batches": (Calls(lambda m, x, y: torch.bmm(x, y)), ((2, 3, 4), (3, 4, 5)),
        "bmm of (2, 3, 4) and (3, 4, 5): the dimensions before the last two differ ["),
    "matmul_weight": (Calls(lambda m, x: x @ m.weight, 7, 5), ((2, 8),),
        "]: weight of (8, 5) would fit"),
    "linear": (Calls(lambda m, x: F.linear(x, m.weight), 5, 7), ((2, 8),),
        "]: weight of (5, 8) would fit"),
    "conv2d": (Calls(lambda m, x: F.conv2d(x, m.weight), 5, 7, 3, 3), ((2, 8, 9, 9),),
        "]: weight of (5, 8, 3, 3) would fit"),
    "conv_transpose2d": (
        Calls(lambda m, x: F.conv_transpose2d(x, m.weight), 5, 7, 3, 3), ((2, 8, 9, 9),),
        "]: weight of (8, 7, 3, 3) would fit"),
    "conv2d_bytes": (Calls(lambda m, x: F.conv2d(x.byte(), m.weight), 5, 7, 3, 3),
        ((2, 7, 9, 9),), "conv2d of uint8 (2, 7, 9, 9) with a weight of float32 ["),
    "conv2d_window": (Calls(lambda m, x: F.conv2d(x, m.weight), 5, 7, 3, 3), ((2, 7, 2, 9),),
        "the window of conv2d does not fit on (2, 7, 2, 9) ["),
    "max_pool2d": (Calls(lambda m, x: F.max_pool2d(x, 3)), ((2, 7, 2, 9),),
        "]: it takes at least (2, 7, 3, 3)"),
    "view": (Calls(lambda m, x: x.view(-1, 400)), ((8, 16, 6, 6),),
        "view(-1, 400) of (8, 16, 6, 6), which has 4608 elements, 576 a sample ["),
    "reshape": (Calls(lambda m, x: x.reshape((-1, 400))), ((8, 16, 6, 6),),
        "]: flatten(1), to (8, 576), would fit"),
    "embedding": (Calls(lambda m, x: F.embedding(x, m.weight), 5, 7), ((2, 8),),
        "the indices of embedding must be int64 or int32, and are float32 (2, 8) ["),
    "einsum": (Calls(lambda m, x, y: torch.einsum("ij,jk->ik", x, y)), ((2, 3), (4, 5)),
        "einsum of (2, 3), (4, 5): einsum(): "),
}  # fmt: skip


@pytest.mark.parametrize("case", FUNCTIONS)
def test_a_function_says_what_would_fit_and_where_it_is_called(case):
    model, given, message = FUNCTIONS[case]
    error = misfits(model, *given)
    assert message in str(error)
    assert re.match(r"test_shapes\.py:\d+: ", error.misfits[0].where)
    with pytest.raises((RuntimeError, ValueError)):
        model(*map(torch.zeros, given))


def test_the_line_is_the_users():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1)

        def forward(self, x):
            return torch.relu(self.conv(x) + x)  # the line

    error = misfits(sequence(nn.Identity(), Residual()), (2, 3, 8, 8))
    line = Residual.forward.__code__.co_firstlineno + 1
    assert error.misfits[0].where == (
        f"test_shapes.py:{line}: return torch.relu(self.conv(x) + x)  # the line"
    )
    assert (error.layer, error.got) == ("1", ((2, 8, 8, 8), (2, 3, 8, 8)))


# Several at once.


def test_all_misfits_are_told_as_if_those_before_were_mended():
    model = sequence(
        nn.Conv2d(1, 6, 5), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5),
        nn.Flatten(), nn.Linear(400, 120), nn.Linear(100, 10),
    )  # fmt: skip
    error = misfits(model, (8, 3, 28, 28))
    assert str(error).splitlines() == [
        "Sequential: 5 misfits, each as if those before it were mended",
        "  0 (Conv2d): in_channels = 1, but it gets (8, 3, 28, 28): in_channels = 3 would fit",
        "  1 (BatchNorm2d): num_features = 8, but it gets (8, 6, 24, 24): num_features = 6 would "
        "fit",
        "  4 (Conv2d): in_channels = 8, but it gets (8, 6, 12, 12): in_channels = 6 would fit",
        "  6 (Linear): in_features = 400, but it gets (8, 1024): in_features = 1024 would fit",
        "  7 (Linear): in_features = 100, but it gets (8, 120): in_features = 120 would fit",
    ]
    assert (error.layer, error.got, error.fits) == ("0", ((8, 3, 28, 28),), {"in_channels": 3})


def test_what_went_wrong_after_the_misfits_is_told_too():
    class Strict(nn.Module):
        def forward(self, x):
            raise ValueError("not today")

    error = misfits(sequence(nn.Linear(4, 3), Strict()), (2, 5))
    assert len(error.misfits) == 1
    assert str(error).splitlines()[-1] == "then: ValueError: not today"


def test_a_shared_layer_is_held_to_what_was_written_each_time():
    shared = nn.Linear(4, 4)
    error = misfits(sequence(shared, shared, nn.Linear(5, 5)), (2, 6))
    assert [str(misfit) for misfit in error.misfits] == [
        "0 (Linear): in_features = 4, but it gets (2, 6): in_features = 6 would fit",
        "2 (Linear): in_features = 5, but it gets (2, 4): in_features = 4 would fit",
    ]


# Which input would fit.


@pytest.mark.parametrize("layers", [nn, cenote.nn])
def test_the_smallest_input_that_all_windows_fit(layers):
    def stage(channels):
        return (layers.Conv2d(channels, 4, 3), nn.ReLU(), layers.MaxPool2d((2, 3)))

    model = sequence(*stage(3), *stage(4), *stage(4), nn.Flatten(), nn.Linear(4, 2))
    error = misfits(model, (2, 3, 12, 40))
    assert error.misfits[0].cause == "window"
    height, width = error.input[2:]
    assert str(error).endswith(f"the smallest input that every window fits is {error.input}")
    model = model[:-2]
    model(torch.zeros(error.input))
    for smaller in ((height - 1, width), (height, width - 1)):
        with pytest.raises((RuntimeError, ValueError)):
            model(torch.zeros(2, 3, *smaller))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.deeper = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.out = nn.ConvTranspose2d(8, 4, 2, stride=2)

    def forward(self, x):
        down = self.down(x)
        up = torch.cat([down, self.up(self.deeper(down))], 1)
        return torch.cat([x, self.out(up)], dim=1)


def test_a_u_net_says_which_input_its_halves_meet_at():
    error = misfits(UNet(), (1, 1, 29, 29))
    assert error.input == (1, 1, 32, 32)
    assert str(error).endswith("an input that fits is (1, 1, 32, 32)")
    assert shapes(UNet(), error.input)[0].outputs == ((1, 5, 32, 32),)


def test_no_input_is_named_where_none_fits():
    error = misfits(Calls(lambda m, x: torch.cat([x, x[..., 1:]], 1)), (1, 1, 8, 8))
    assert error.input is None


# What has numbers only.

NUMBERS = {
    "a condition": lambda m, x: x if x.sum() > 0 else -x,
    "item": lambda m, x: x * x.max().item(),
    "indexing by a mask": lambda m, x: x[x > 0],
    "nonzero": lambda m, x: x.nonzero(),
    "tolist": lambda m, x: x.tolist(),
    "unique": lambda m, x: x.unique(),
    "float": lambda m, x: float(x.sum()),
}


@pytest.mark.parametrize("words", NUMBERS)
def test_who_asks_for_numbers_is_told_how_to_give_them(words):
    message = (
        rf"1 \(Calls\): {words} needs the numbers of a tensor, and there are only shapes "
        r"\[test_shapes\.py:\d+: .*\]: use cenote\.inspect\(model, x\) with a real input"
    )
    with pytest.raises(DataDependentError, match=message) as caught:
        shapes(sequence(nn.Identity(), Calls(NUMBERS[words])), (2, 4))
    assert caught.value.layer == "1"


def test_moving_to_a_device_asks_for_no_numbers():
    move = Calls(lambda m, x: x.to("cpu").cpu().to(torch.device("cpu"), torch.float64).to(x.dtype))
    assert shapes(move, (2, 4))[0].outputs == ((2, 4),)


def test_what_the_network_raises_itself_stays_what_it_is():
    with pytest.raises(ValueError, match=r"expected images \(N, 1, 28, 28\)") as caught:
        shapes(cenote.models.lenet5(), (8, 3, 28, 28))
    assert type(caught.value) is ValueError
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        shapes(nn.ReLU())


# For whoever has watched a network fail.


def test_a_hint_knows_the_module_that_failed():
    model = sequence(nn.Flatten(), sequence(nn.Linear(4, 3)))
    hint = hint_of(model[1][0], "1.0", (torch.zeros(2, 5),), RuntimeError("shapes"))
    assert hint == "1.0 (Linear): in_features = 4, but it gets (2, 5): in_features = 5 would fit"
    assert hint_of(model[1][0], "1.0", (torch.zeros(2, 4),), RuntimeError("shapes")) is None
    assert hint_of(model[1][0], "1.0", (), RuntimeError("shapes")) is None
    some = (torch.zeros(2, 3), torch.zeros(4, 5))
    assert hint_of(FUNCTIONS["einsum"][0], "", some, RuntimeError("shapes")) is None
    weight = hint_of(FUNCTIONS["linear"][0], "head", (torch.zeros(2, 8),), RuntimeError("shapes"))
    assert weight.endswith("]: head.weight of (5, 8) would fit")


def test_a_network_that_fits_needs_no_explanation():
    assert explain_mismatch(nn.Linear(4, 3), torch.zeros(2, 4)) is None
    assert explain_mismatch(Calls(NUMBERS["item"]), torch.zeros(2, 4)) is None
    assert explain_mismatch(nn.Linear(4, 3), torch.zeros(2, 5)).fits == {"in_features": 5}


# What cenote has runs without numbers too.

ARGUMENTS = {
    "PointwiseConv": (4, 8), "DepthwiseConv": (4, 3), "ShuffledConv": (4, 8, 3),
    "GlobalLPPool": (2.0,), "LPPool": (2.0, 2), "GeMPool": (3.0, 2),
    "SpatialPyramidPool": ((1, 2),), "FractionalMaxPool": (2, 5), "SPPF": (3,), "BlurPool": (4,),
}  # fmt: skip


def made(name):
    family, kind = name[:-2], getattr(cenote.nn, name)
    if family == "LocallyConnected":
        return kind(4, 8, 3, SIDES[int(name[-2])])
    default = (4, 8, 3) if family.endswith("Conv") or family == "ConvTranspose" else (2,)
    if family.startswith("Global"):
        default = ()
    if family.startswith("Conv"):
        default = (4, 8, 3)
    return kind(*ARGUMENTS.get(family, default))


@pytest.mark.parametrize("name", [name for name in cenote.nn.__all__ if name[-2].isdigit()])
def test_cenotes_modules_go_without_numbers(name):
    rank, module = int(name[-2]), made(name)
    x = torch.randn(2, 4, *SIDES[rank])
    inputs = (x,)
    if name.startswith("MaxUnpool"):
        inputs = getattr(F, f"max_pool{rank}d")(x, 2, return_indices=True)
    assert shapes(module, *inputs)[0].outputs == (tuple(module(*inputs).shape),)


@pytest.mark.parametrize("pool", ["max", "avg"])
def test_stages_and_temporal_networks_go_without_numbers(pool):
    model = cenote.models.lenet5(pool=pool)
    assert shapes(model, (3, 1, 28, 28))["classifier.flatten"].outputs == ((3, 400),)
    stage = cenote.nn.Stage(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2))
    assert shapes(stage, (3, 1, 28, 28))["pool"].outputs == ((3, 6, 12, 12),)
    x = torch.zeros(2, 4, 32)
    network = cenote.nn.TCN(4, [8, 6], 3)
    assert shapes(network, x)[0].outputs == (tuple(network(x).shape),)


def test_cenotes_functions_go_without_numbers():
    def forward(m, x):
        x = cenote.conv2d(x, m.weight, padding="same")
        x = cenote.stage(x, m.weight, conv=cenote.Window([cenote.Axis(3)] * 2), activation="relu",
                         pool=cenote.Window([cenote.Axis(2, 2)] * 2), reduce="max")  # fmt: skip
        return cenote.global_avg_pool2d(cenote.min_pool2d(x, 2))

    model = Calls(forward, 4, 4, 3, 3)
    x = torch.randn(2, 4, 16, 16)
    assert shapes(model, x)[0].outputs == (tuple(model(x).shape),)
