"""Multiply-accumulates and parameters: as others count them where they are right, else by hand.

A convolution has as many as it has outputs, times taps, times input channels of a group: taps in
the padding count, as the literature has it. A bias, a norm and a pool accumulate no products.

fvcore counts the calls of a traced graph; it passes over attention and pooling. torchinfo counts
modules: elements of their parameters, times positions for convolutions. So what is called as a
function is nothing for it, and a bias counts as a multiplication. Each test that is named after one
of them says what it counts, and counts by hand what there is.
"""

import logging
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cenote
from test_inspect_published import NETWORKS

BILLIONS = {
    "alexnet_v2": 1.380, "vgg_16": 30.713, "inception_v2": 3.883, "inception_v3": 5.689,
    "mobilenet_v1": 1.140, "resnet_v1_50": 6.963, "resnet_v1_101": 14.387, "resnet_v2_50": 6.969,
}  # fmt: skip
"""FLOPs at 224 in the published table: two for each multiply-accumulate, and some for the rest."""


@pytest.fixture(scope="module")
def fvcore():
    found = pytest.importorskip("fvcore.nn")
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)

    def count(model, *inputs):
        """By kind of operator."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch.jit, on which it stands
            return found.FlopCountAnalysis(model, inputs).by_operator()

    return count


@pytest.fixture(scope="module")
def torchinfo():
    found = pytest.importorskip("torchinfo")
    return lambda model, x: found.summary(model, input_data=x, verbose=0)


def watched(model, *inputs):
    return cenote.inspect(model.eval(), *inputs, backward=False)


def counted(model, *inputs):
    return watched(model, *inputs).totals.macs


def no_products(model, x):
    """What torchinfo adds: every bias of a convolution, everywhere, and the elements of norms."""
    found = []

    def count(module, args, output):
        if isinstance(module, nn.BatchNorm2d):
            found.append(2 * output.shape[1])
        elif module.bias is not None:
            found.append(output.numel())

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    model(x)
    for hook in hooks:
        hook.remove()
    return sum(found)


@pytest.mark.parametrize("name", ["alexnet_v2", "inception_v3", "mobilenet_v1", "resnet_v2_50"])
def test_classics_as_others_count_them(name, fvcore, torchinfo):
    model, x = NETWORKS[name]().eval(), torch.rand(1, 3, 96, 96)
    record = watched(model, x)
    assert record.totals.macs == fvcore(model, x)["conv"]
    summary = torchinfo(model, x)
    assert record.parameters == record.totals.parameters == summary.total_params
    assert summary.total_mult_adds - record.totals.macs == no_products(model, x)


@pytest.mark.parametrize("name", BILLIONS)
def test_classics_as_the_table_has_them(name):
    """The table's numbers come from tensorflow.profiler, which adds some for pools and biases."""
    macs = counted(NETWORKS[name](), torch.rand(1, 3, 224, 224))
    assert 0 <= BILLIONS[name] * 1e9 - 2 * macs < 0.005 * 2 * macs


ALIKE = {
    "groups_divide_the_input_channels": (nn.Conv2d(6, 9, 3, groups=3, bias=False), (2, 6, 8, 7)),
    "depthwise": (nn.Conv2d(5, 10, 3, padding=1, groups=5, bias=False), (1, 5, 8, 8)),
    "padding_counts": (nn.Conv2d(3, 4, 5, padding=4, bias=False), (1, 3, 4, 4)),
    "stride_and_dilation": (nn.Conv1d(4, 6, 3, stride=2, dilation=3, bias=False), (2, 4, 20)),
    "three_axes": (nn.Conv3d(2, 3, (1, 2, 3), bias=False), (1, 2, 4, 5, 6)),
    "linear": (nn.Linear(8, 16, bias=False), (5, 8)),
    "batch": (nn.Conv2d(3, 4, 3, bias=False), (5, 3, 8, 8)),
}


@pytest.mark.parametrize("name", ALIKE)
def test_all_three_agree(name, fvcore, torchinfo):
    model, shape = ALIKE[name]
    x = torch.rand(shape)
    macs = counted(model, x)
    assert macs == sum(fvcore(model, x).values()) == torchinfo(model, x).total_mult_adds
    assert macs > 0


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(6, 2, 3, 3))

    def forward(self, x):
        return F.conv2d(x, self.weight, stride=2, padding=1, groups=2)


def test_torchinfo_counts_a_functional_convolution_once_and_not_at_every_position(torchinfo):
    """6 * 5 * 5 outputs of 9 taps and 2 channels; it takes the parameter's 108 elements."""
    x = torch.rand(1, 4, 9, 9)
    assert counted(Functional(), x) == 6 * 5 * 5 * 9 * 2
    assert torchinfo(Functional(), x).total_mult_adds == 6 * 2 * 9


def test_torchinfo_counts_a_bias_as_a_multiplication(torchinfo):
    model, x = nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)
    assert counted(model, x) == 4 * 6 * 6 * 9 * 3
    assert torchinfo(model, x).total_mult_adds == 4 * 6 * 6 * (9 * 3 + 1)


def test_torchinfo_counts_transposed_convolutions_by_their_outputs(torchinfo, fvcore):
    """Every input is multiplied by every tap; outputs are ``stride**2`` times as many."""
    model, x = nn.ConvTranspose2d(3, 5, 4, 2, 1, bias=False), torch.rand(1, 3, 7, 7)
    assert counted(model, x) == 3 * 7 * 7 * 16 * 5 == fvcore(model, x)["conv"]
    assert torchinfo(model, x).total_mult_adds == 14 * 14 * 16 * 5 * 3


def test_torchinfo_forgets_that_a_linear_layer_works_on_every_token(torchinfo, fvcore):
    model, x = nn.Linear(8, 16, bias=False), torch.rand(1, 10, 8)
    assert counted(model, x) == 10 * 8 * 16 == sum(fvcore(model, x).values())
    assert torchinfo(model, x).total_mult_adds == 8 * 16


class Attend(nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


def test_neither_counts_attention(torchinfo, fvcore):
    """Every query by every key, and every weight by every value, in two heads of four features."""
    x = torch.rand(1, 2, 10, 4)
    assert counted(Attend(), x) == 2 * (10 * 10 * 4 + 10 * 10 * 4)
    assert sum(fvcore(Attend(), x).values()) == 0
    assert torchinfo(Attend(), x).total_mult_adds == 0


def test_torchinfo_counts_nothing_of_an_attention_module_and_fvcore_half(torchinfo, fvcore):
    """10 tokens of 8 features: three projections, scores and sums, a projection."""
    model, x = Itself(nn.MultiheadAttention(8, 2, batch_first=True)), torch.rand(1, 10, 8)
    projections, attention = 4 * 10 * 8 * 8, 2 * 10 * 10 * 8
    assert counted(model, x) == projections + attention
    assert sum(fvcore(model, x).values()) == projections
    assert torchinfo(model, x).total_mult_adds == 0


class Itself(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Products(nn.Module):
    def forward(self, x):
        return torch.einsum("bij,bkj->bik", x, x)


def test_torchinfo_counts_no_product_without_a_module(torchinfo, fvcore):
    x = torch.rand(2, 5, 6)
    assert counted(Products(), x) == 2 * 5 * 5 * 6 == sum(fvcore(Products(), x).values())
    assert torchinfo(Products(), x).total_mult_adds == 0


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Avg"])
def test_fvcore_passes_over_pooling_which_multiplies_nothing_but_costs(kind, rank, fvcore):
    """Not a product, so 0; but every output looks at every tap, give or take the first."""
    model, x = getattr(nn, f"{kind}Pool{rank}d")(2), torch.rand(1, 3, *[8] * rank)
    record = watched(model, x)
    pool = next(o for o in record.operators if o.kind == f"{kind.lower()}_pool")
    taps, outputs = 2**rank, 3 * 4**rank
    assert pool.macs == record.totals.macs == 0
    assert outputs * (taps - 1) <= pool.flops <= outputs * (taps + 1)
    assert sum(fvcore(model, x).values()) == 0


@pytest.mark.parametrize("module", [
    cenote.nn.Conv2d(6, 4, 3, stride=2, padding="same", groups=2),
    cenote.nn.DepthwiseConv2d(6, 3, padding=1),
    cenote.nn.PointwiseConv2d(6, 5),
    cenote.nn.ConvTranspose2d(6, 4, 3, stride=2),
], ids=lambda module: type(module).__name__)  # fmt: skip
def test_convolutions_of_cenote_count_what_they_say_themselves(module):
    record = watched(module, torch.rand(1, 6, 9, 9))
    assert record.totals.macs == module.count_macs(9, 9)
    assert record.totals.parameters == module.count_parameters()


def test_a_module_called_twice_works_twice_and_has_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.unused = nn.Linear(5, 7)

        def forward(self, x):
            return self.conv(self.conv(x))

    record = watched(Twice(), torch.rand(1, 4, 6, 6))
    assert record.totals.macs == 2 * 4 * 6 * 6 * 9 * 4
    assert record.totals.parameters == 4 * 4 * 9 + 4
    assert record.parameters == record.totals.parameters + 5 * 7 + 7


def test_a_convolution_is_two_operations_for_each_product_and_one_for_the_bias():
    x = torch.rand(1, 3, 8, 8)
    macs = 4 * 6 * 6 * 9 * 3
    assert watched(nn.Conv2d(3, 4, 3, bias=False), x).totals.flops == 2 * macs
    assert watched(nn.Conv2d(3, 4, 3), x).totals.flops == 2 * macs + 4 * 6 * 6


def test_recurrent_layers_count_every_gate_in_every_step():
    """Four gates of 5 units, from 4 inputs and 5 states, in each of 3 steps."""
    assert counted(nn.LSTM(4, 5, batch_first=True), torch.rand(1, 3, 4)) == 3 * 4 * 5 * (4 + 5)
