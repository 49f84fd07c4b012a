"""Pools after activations, after pads, in chains, around 1x1 convolutions: what may move."""

import torch
import torch.nn.functional as F
from torch import nn

import cenote
from nasty.case import Net, conv, given, image, network, sequence

# fmt: off
RISING = {
    "relu6": nn.ReLU6, "leaky_relu": lambda: nn.LeakyReLU(0.1), "elu": nn.ELU, "selu": nn.SELU,
    "celu": nn.CELU, "softplus": nn.Softplus, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
    "hardtanh": nn.Hardtanh, "hardsigmoid": nn.Hardsigmoid, "softsign": nn.Softsign,
    "logsigmoid": nn.LogSigmoid, "softshrink": nn.Softshrink, "hardshrink": nn.Hardshrink,
    "threshold": lambda: nn.Threshold(0.1, -0.2), "identity": nn.Identity,
}
OTHERS = {
    "silu": nn.SiLU, "gelu": nn.GELU, "gelu_tanh": lambda: nn.GELU("tanh"), "mish": nn.Mish,
    "hardswish": nn.Hardswish, "tanhshrink": nn.Tanhshrink,
    "falling_leaky_relu": lambda: nn.LeakyReLU(-0.5),
    "threshold_that_falls": lambda: nn.Threshold(0.1, 2.0),
    "prelu_of_both_signs": lambda: both_signs(nn.PReLU(6)),
    "random_leaky_relu": nn.RReLU,
}
# fmt: on


def both_signs(activation):
    with torch.no_grad():
        activation.weight.copy_(torch.linspace(-0.8, 0.8, len(activation.weight)))
    return activation


def after(activation, pool):
    return lambda: [conv(8, 6), activation(), pool()]


for name, activation in RISING.items():
    reason = "rises (or never falls), so it may move behind the maximum"
    jumps = name in ("hardshrink", "threshold")
    sequence(
        f"{name}_before_max", reason, after(activation, lambda: nn.MaxPool2d(3, 2, 1)), jumps=jumps
    )
for name, activation in OTHERS.items():
    reason = "falls somewhere, so it must stay before the maximum"
    exact, jumps = name != "random_leaky_relu", name == "threshold_that_falls"
    sequence(
        f"{name}_before_max", reason, after(activation, lambda: nn.MaxPool2d(3, 2, 1)), exact=exact,
        jumps=jumps,
    )  # fmt: skip

sequence(
    "prelu_with_one_slope",
    "its slope is learnt, and may turn negative while it is",
    after(nn.PReLU, lambda: nn.MaxPool2d(2)),
)
sequence(
    "relu_before_avg",
    "an average of activations is not the activation of an average",
    after(nn.ReLU, lambda: nn.AvgPool2d(2)),
)
sequence(
    "relu_before_lp", "a power sum, not a maximum", after(nn.Softplus, lambda: nn.LPPool2d(2, 2))
)
sequence(
    "relu_before_adaptive_max",
    "windows of different sizes",
    after(nn.ReLU, lambda: nn.AdaptiveMaxPool2d((5, 4))),
)
sequence(
    "norm_between_relu_and_max",
    "scales of both signs stand between",
    lambda: [conv(8, 6), nn.ReLU(), nn.BatchNorm2d(6), nn.MaxPool2d(2)],
)
sequence(
    "norm_after_the_pool",
    "a scale of negative sign does not commute with the maximum",
    lambda: [conv(8, 6), nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.ReLU()],
)
sequence(
    "pool_before_relu",
    "already in the good order",
    lambda: [conv(8, 6), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(True)],
)
sequence(
    "dropout_before_max",
    "drops other values than behind it, and draws other numbers",
    lambda: [conv(8, 6), nn.ReLU(), nn.Dropout(0.3), nn.MaxPool2d(2)],
    exact=False,
)
sequence(
    "channel_dropout",
    "whole channels, drawn per image",
    lambda: [conv(8, 6), nn.Dropout2d(0.4), nn.ReLU(), nn.MaxPool2d(2)],
    exact=False,
)
sequence(
    "dilated_max_with_ceil",
    "the last window hangs over the edge, with holes",
    lambda: [conv(8, 6), nn.ReLU(), nn.MaxPool2d(3, 2, 1, 2, ceil_mode=True)],
)
sequence(
    "max_longer_than_its_stride",
    "stride above kernel leaves inputs that nobody reads",
    lambda: [conv(8, 6), nn.ReLU(), nn.MaxPool2d(2, 3)],
)
sequence(
    "cenote_layers",
    "already ours",
    lambda: [cenote.nn.Conv2d(8, 6, 3, padding=1), nn.ReLU(), cenote.nn.MaxPool2d(2)],
)

for name, options in {
    "avg_ceil": {"ceil_mode": True},
    "avg_without_the_pad": {"padding": 1, "count_include_pad": False},
    "avg_with_the_pad": {"padding": 1},
    "avg_ceil_with_the_pad": {"padding": 1, "ceil_mode": True},
    "avg_with_a_divisor": {"divisor_override": 3},
    "avg_with_a_negative_divisor": {"divisor_override": -2},
}.items():
    sequence(
        name,
        "the divisor at the border",
        lambda o=options: [conv(8, 6), nn.AvgPool2d(3, 2, **o), nn.ReLU()],
    )
    sequence(
        f"{name}_after_1x1",
        "the divisor is felt by the bias when the pool moves",
        lambda o=options: [conv(8, 16, 1), nn.AvgPool2d(3, 2, **o)],
    )

sequence("avg_after_1x1", "may stand before it", lambda: [conv(8, 16, 1), nn.AvgPool2d(2)])
sequence(
    "avg_after_1x1_without_bias",
    "may stand before it",
    lambda: [conv(8, 16, 1, bias=False), nn.AvgPool2d(2)],
)
sequence(
    "avg_after_1x1_and_relu",
    "may not stand before it",
    lambda: [conv(8, 16, 1), nn.ReLU(), nn.AvgPool2d(2)],
)
sequence(
    "avg_after_1x1_with_padding",
    "the border is bias alone",
    lambda: [conv(8, 16, 1, padding=1), nn.AvgPool2d(2)],
)
sequence(
    "avg_after_1x1_with_stride",
    "reads every other place",
    lambda: [conv(8, 16, 1, stride=2), nn.AvgPool2d(2)],
)
sequence(
    "avg_after_1x1_in_groups",
    "one group per pair",
    lambda: [conv(8, 16, 1, groups=4), nn.AvgPool2d(2)],
)
sequence(
    "global_avg_after_1x1",
    "the whole image, and then a linear layer",
    lambda: [conv(8, 16, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)],
)
sequence(
    "avg_after_1x1_and_norm",
    "the norm is folded in eval mode alone",
    lambda: [conv(8, 16, 1), nn.BatchNorm2d(16), nn.AvgPool2d(2)],
)
sequence(
    "densenet_transition",
    "bn, relu, 1x1, average",
    lambda: [nn.BatchNorm2d(8), nn.ReLU(True), conv(8, 4, 1, bias=False), nn.AvgPool2d(2)],
)
sequence(
    "max_after_1x1",
    "a maximum does not commute with a sum",
    lambda: [conv(8, 16, 1), nn.MaxPool2d(2)],
)

sequence(
    "zero_pad_then_max",
    "zeros take part, and values are negative",
    lambda: [conv(8, 6), nn.ZeroPad2d((1, 2, 0, 1)), nn.MaxPool2d(3, 2)],
)
sequence(
    "zero_pad_after_relu_then_max",
    "zeros never win over what relu leaves",
    lambda: [conv(8, 6), nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(3, 2)],
)
sequence(
    "lowest_pad_then_max",
    "minus infinity is the pool's own padding",
    lambda: [conv(8, 6), nn.ConstantPad2d((0, 1, 2, 1), float("-inf")), nn.MaxPool2d(3, 2)],
)
sequence(
    "constant_pad_then_max",
    "0.5 is nobody's padding",
    lambda: [conv(8, 6), nn.ConstantPad2d((1, 1, 1, 1), 0.5), nn.MaxPool2d(3, 2)],
)
sequence(
    "zero_pad_then_avg",
    "the zeros are counted",
    lambda: [nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, count_include_pad=False)],
    learns=False,
)
sequence(
    "zero_pad_then_padded_avg",
    "two pads, of which the second is not counted",
    lambda: [nn.ZeroPad2d(1), nn.AvgPool2d(3, 2, 1, count_include_pad=False)],
    learns=False,
)
sequence(
    "reflection_pad_then_avg",
    "mirrors",
    lambda: [nn.ReflectionPad2d(2), nn.AvgPool2d(3, 2)],
    learns=False,
)
sequence(
    "negative_pad_then_max",
    "cuts",
    lambda: [conv(8, 6), nn.ZeroPad2d((-1, 1, -2, 0)), nn.MaxPool2d(2)],
)
sequence(
    "zero_pad_then_conv",
    "as TensorFlow pads: after alone",
    lambda: [nn.ZeroPad2d((0, 1, 0, 1)), conv(8, 6, stride=2, padding=0)],
)
sequence(
    "one_pad_then_conv",
    "ones, not zeros",
    lambda: [nn.ConstantPad2d(1, 1.0), conv(8, 6, padding=0), nn.ReLU()],
)
sequence(
    "wide_pad_then_padded_conv",
    "two pads in a row",
    lambda: [nn.ZeroPad2d((3, 0, 0, 2)), conv(8, 6, padding=1), nn.ReLU()],
)
sequence(
    "circular_pad_then_max",
    "joins the ends",
    lambda: [nn.CircularPad2d(1), nn.MaxPool2d(3)],
    learns=False,
)


@network(
    "F.pad before a pool, with a value that a call decides",
    lambda: given(torch.randn(2, 8, 17, 15), fill=-0.3),
    learns=False,
)
class PadOfAnArgument(Net):
    def forward(self, x, fill):
        return F.max_pool2d(F.pad(x, (1, 0, 1, 0), value=fill), 2)


@network("SPPF: 5, 9 and 13 as one chain")
class SPPF(Net):
    def build(self):
        self.before, self.pool, self.after = conv(8, 6, 1), nn.MaxPool2d(5, 1, 2), conv(24, 8, 1)

    def forward(self, x):
        x = F.silu(self.before(x))
        a = self.pool(x)
        b = self.pool(a)
        return self.after(torch.cat([x, a, b, self.pool(b)], 1))


@network("SPP: 5, 9 and 13 side by side", learns=False)
class SPP(Net):
    def build(self):
        self.pools = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in (5, 9, 13))

    def forward(self, x):
        return torch.cat([x, *(pool(x) for pool in self.pools)], 1)


@network(
    "the middle of a chain is changed in place before the next link reads it",
    leaves=False,
    learns=False,
)
class ChainChangedInBetween(Net):
    def forward(self, x):
        a = F.max_pool2d(x, 3, 1, 1)
        b = F.max_pool2d(a, 3, 1, 1)
        a.mul_(-1)
        return F.max_pool2d(b, 3, 1, 1) + F.max_pool2d(a, 3, 1, 1) + b


sequence(
    "chain_of_max",
    "no one else reads the middle: one window of 7",
    lambda: [nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(5, 1, 2), nn.MaxPool2d(3, 2, 1)],
    learns=False,
)
sequence(
    "chain_of_max_without_padding",
    "one window of 7, stride 2",
    lambda: [nn.MaxPool2d(3, 1), nn.MaxPool2d(5, 2)],
    learns=False,
)
sequence(
    "chain_of_avg",
    "two averages are no average",
    lambda: [nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1)],
    learns=False,
)
sequence(
    "chain_with_dilation",
    "the second reads every other place",
    lambda: [nn.MaxPool2d(2, 1), nn.MaxPool2d(3, 1, 1, dilation=2)],
    learns=False,
)


@network("the places are asked for, and used to unpool")
class IndicesAndUnpool(Net):
    def build(self):
        self.conv = conv(8, 6)
        self.pool, self.unpool = nn.MaxPool2d(2, 2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, x):
        y = F.relu(self.conv(x))
        values, places = self.pool(y)
        return self.unpool(values, places, output_size=y.shape), places


@network("a minimum written as a maximum")
class MinimumByNegation(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        y = F.relu(self.conv(x))
        return -F.max_pool2d(-y, 3, 2, 1)


@network("pools by function: keyword, string and tuple arguments, every spelling")
class PoolsByFunction(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        y = torch.relu(self.conv(x))
        return (
            torch.max_pool2d(y, (2, 2), ceil_mode=True),
            F.max_pool2d(y, kernel_size=[3], stride=None, padding=(1, 1)),
            F.avg_pool2d(input=y, kernel_size=(3, 2), stride=[2, 1]),
            F.adaptive_avg_pool2d(y, (None, 4)),
            torch.amax(F.adaptive_max_pool2d(y, 3), (2, 3)),
            y.mean((-2, -1), keepdim=True),
        )


@network("places by function", lambda: image(2, 8, 12, 12), learns=False)
class IndicesByFunction(Net):
    def forward(self, x):
        values, places = F.max_pool2d(x, 2, return_indices=True)
        more, others = F.adaptive_max_pool2d(x, 3, return_indices=True)
        return values, places, more, others
