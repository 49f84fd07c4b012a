"""Convolutions of every kind, the norms behind them, and weights that are not what they seem."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver
from torch.nn.utils import parametrizations, parametrize, prune

from nasty.case import Net, conv, image, network, sequence


def stage(inputs, outputs, kernel=3, **options):
    return [conv(inputs, outputs, kernel, **options), nn.BatchNorm2d(outputs), nn.ReLU(True)]


def wide():
    return image(2, 32, 21, 19)


for name, options in {
    "conv_same": {"padding": "same"},
    "conv_same_dilated": {"padding": "same", "dilation": 2},
    "conv_valid": {"padding": "valid"},
    "conv_reflect": {"padding_mode": "reflect"},
    "conv_replicate": {"padding_mode": "replicate", "stride": 2},
    "conv_circular": {"padding_mode": "circular"},
    "conv_reflect_same": {"padding_mode": "reflect", "padding": "same"},
    "conv_padding_wider_than_kernel": {"padding": 4},
    "conv_dilated": {"dilation": (2, 3), "padding": (2, 3)},
    "conv_strided_unevenly": {"stride": (2, 1), "padding": (0, 1)},
    "conv_grouped": {"groups": 2},
    "conv_depthwise": {"groups": 8},
    "conv_depthwise_multiplied": {"groups": 4},
    "conv_without_bias": {"bias": False},
}.items():
    outputs = 16 if "multiplied" in name else 8
    sequence(
        f"{name}_stage",
        "its windows, then norm, activation and pool as of any other",
        lambda n=outputs, o=options: [*stage(8, n, **o), nn.MaxPool2d(2)],
    )

sequence("conv_even_same", "one more after than before", lambda: [conv(8, 6, 4, padding="same")])
sequence(
    "conv_uneven_kernel",
    "3x1 then 1x5, as Inception has them",
    lambda: [conv(8, 6, (3, 1), padding=(1, 0)), conv(6, 6, (1, 5), padding=(0, 2))],
)
sequence(
    "conv_transposed",
    "learns its way up",
    lambda: [nn.ConvTranspose2d(8, 6, 3, 2, 1, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)],
)
sequence(
    "winograd_one",
    "enough channels for transformed 3x3",
    lambda: [conv(32, 32), nn.ReLU(), nn.MaxPool2d(2)],
    wide,
)
sequence(
    "winograd_deep",
    "transformed 3x3 three times, with norms",
    lambda: [*stage(32, 48), *stage(48, 48), nn.MaxPool2d(3, 2, 1), *stage(48, 32)],
    wide,
)
sequence(
    "winograd_without_padding",
    "tiles that end at the edge",
    lambda: [conv(32, 40, padding=0, bias=False), conv(40, 24, padding=2)],
    wide,
)
sequence(
    "vgg_like",
    "two stages of two, in-place activations, a head",
    lambda: [
        conv(8, 16),
        nn.ReLU(True),
        conv(16, 16),
        nn.ReLU(True),
        nn.MaxPool2d(2),
        conv(16, 32),
        nn.ReLU(True),
        conv(32, 32),
        nn.ReLU(True),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Dropout(0.0),
        nn.Linear(288, 5),
    ],
)
sequence(
    "alexnet_like",
    "large kernels, large strides",
    lambda: [
        conv(3, 8, 11, stride=4, padding=2),
        nn.ReLU(True),
        nn.MaxPool2d(3, 2),
        conv(8, 12, 5),
        nn.ReLU(True),
        nn.MaxPool2d(3, 2),
    ],
    lambda: image(2, 3, 67, 75),
)
sequence(
    "one_channel_in",
    "LeNet's first",
    lambda: [conv(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)],
    lambda: image(3, 1, 28, 28),
)
sequence("only_1x1", "a matrix product", lambda: [*stage(8, 32, 1), conv(32, 8, 1)])

sequence(
    "norm_without_affine",
    "no scale to fold",
    lambda: [conv(8, 6), nn.BatchNorm2d(6, affine=False), nn.ReLU()],
)
sequence(
    "norm_without_statistics",
    "the batch's own, in eval mode too",
    lambda: [conv(8, 6), nn.BatchNorm2d(6, track_running_stats=False), nn.ReLU(), nn.MaxPool2d(2)],
)
sequence(
    "norm_with_cumulative_momentum",
    "momentum None counts batches",
    lambda: [conv(8, 6), nn.BatchNorm2d(6, momentum=None), nn.ReLU(), nn.MaxPool2d(2)],
)
sequence(
    "norm_with_large_epsilon",
    "eps is part of the scale",
    lambda: [conv(8, 6), nn.BatchNorm2d(6, eps=0.5, momentum=0.9), nn.ReLU()],
)
sequence(
    "norm_before_conv",
    "folds into nothing: the border is zero, not the shift",
    lambda: [nn.BatchNorm2d(8), conv(8, 6), nn.ReLU(), nn.MaxPool2d(2)],
)
sequence(
    "norm_then_norm",
    "two in a row",
    lambda: [conv(8, 6), nn.BatchNorm2d(6), nn.BatchNorm2d(6), nn.ReLU()],
)
sequence(
    "group_norm", "per image", lambda: [conv(8, 6), nn.GroupNorm(2, 6), nn.ReLU(), nn.MaxPool2d(2)]
)
sequence(
    "instance_norm",
    "per image, with running statistics",
    lambda: [conv(8, 6), nn.InstanceNorm2d(6, affine=True, track_running_stats=True), nn.ReLU()],
)
sequence(
    "local_response_norm",
    "across channels",
    lambda: [conv(8, 6), nn.ReLU(), nn.LocalResponseNorm(3), nn.MaxPool2d(2)],
)
sequence(
    "lazy_conv",
    "has no weight before its first call",
    lambda: [nn.LazyConv2d(6, 3), nn.ReLU(), nn.MaxPool2d(2)],
    exact=False,
    pickles=False,
)
sequence(
    "lazy_norm",
    "has no statistics before its first call",
    lambda: [conv(8, 6), nn.LazyBatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2)],
    exact=False,
)


class FrozenNorm(nn.BatchNorm2d):
    def train(self, mode=True):
        return super().train(False)


sequence(
    "frozen_norm",
    "stays in eval mode while the network trains",
    lambda: [conv(8, 6), FrozenNorm(6), nn.ReLU(), nn.MaxPool2d(2)],
)


@network("one norm of two in eval mode, set by hand after train()")
class NormsInDifferentModes(Net):
    def build(self):
        self.body = nn.Sequential(*stage(8, 6), *stage(6, 6), nn.MaxPool2d(2))

    def train(self, mode=True):
        super().train(mode)
        self.body[1].eval()
        self.body[4].train()
        return self

    def forward(self, x):
        return self.body(x)


@network("its own forward scales the weight: a subclass is another layer")
class SubclassedConv(Net):
    class Scaled(nn.Conv2d):
        def forward(self, x):
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return F.conv2d(x, 2 * weight, self.bias, self.stride, self.padding)

    def build(self):
        self.body = nn.Sequential(
            self.Scaled(8, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)
        )

    def forward(self, x):
        return self.body(x)


@network("overrides what conv's forward calls")
class SubclassedConvForward(Net):
    class Doubled(nn.Conv2d):
        def _conv_forward(self, x, weight, bias):
            return 2 * super()._conv_forward(x, weight, bias)

    class Shifted(nn.MaxPool2d):
        def forward(self, x):
            return super().forward(x) + 1

    def build(self):
        self.conv, self.pool = self.Doubled(8, 6, 3), self.Shifted(2)

    def forward(self, x):
        return self.pool(F.relu(self.conv(x)))


class Called(nn.MaxPool2d):
    def __call__(self, x):
        return 3 * super().__call__(x)


sequence(
    "subclass_with_its_own_call",
    "forward is torch's, __call__ is not",
    lambda: [conv(8, 6), nn.ReLU(), Called(2)],
)


@network("an instance's forward is replaced", pickles=False)
class ForwardOfAnInstance(Net):
    def build(self):
        self.conv, self.pool = conv(8, 6), nn.MaxPool2d(2)
        self.pool.forward = lambda y: F.max_pool2d(y, 2) * 7

    def forward(self, x):
        return self.pool(F.relu(self.conv(x)))


@network("weights held as plain parameters, and functions")
class AllByFunction(Net):
    def build(self):
        self.weight, self.bias = (
            nn.Parameter(torch.randn(6, 8, 3, 3) / 9),
            nn.Parameter(torch.randn(6)),
        )
        self.scale, self.shift = nn.Parameter(torch.randn(6)), nn.Parameter(torch.randn(6))
        self.register_buffer("mean", torch.randn(6))
        self.register_buffer("var", torch.rand(6) + 0.5)

    def forward(self, x):
        y = F.conv2d(x, self.weight, self.bias, padding=1)
        y = F.batch_norm(y, self.mean, self.var, self.scale, self.shift, self.training, 0.2, 1e-3)
        return F.max_pool2d(F.relu(y), 3, stride=2, padding=1)


@network("the weight is computed at every call")
class ComputedWeight(Net):
    def build(self):
        self.weight, self.gate = nn.Parameter(torch.randn(6, 8, 3, 3)), nn.Parameter(torch.randn(6))

    def forward(self, x):
        weight = self.weight * torch.sigmoid(self.gate)[:, None, None, None] / 8
        return F.max_pool2d(F.relu(torch.conv2d(x, weight, padding="same")), 2)


@network("a weight per image, by groups: the weight depends on the input")
class DynamicWeight(Net):
    def build(self):
        self.to_weight = nn.Linear(8, 8 * 9)

    def forward(self, x):
        n, c, *size = x.shape
        weight = self.to_weight(x.mean((2, 3))).view(n * c, 1, 3, 3)
        return F.conv2d(x.reshape(1, n * c, *size), weight, padding=1, groups=n * c).view(
            n, c, *size
        )


@network("weight_norm: the weight is another at every step", pickles=False)
class WeightNorm(Net):
    def build(self):
        self.conv, self.norm = parametrizations.weight_norm(conv(8, 6)), nn.BatchNorm2d(6)

    def forward(self, x):
        return F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)


@network("the old weight_norm is a pre-hook that sets a plain attribute")
class OldWeightNorm(Net):
    def build(self):
        self.conv = torch.nn.utils.weight_norm(conv(8, 6))

    def forward(self, x):
        return F.max_pool2d(F.relu(self.conv(x)), 2)


@network("spectral_norm takes a power step at every training call", pickles=False)
class SpectralNorm(Net):
    def build(self):
        self.conv, self.norm = parametrizations.spectral_norm(conv(8, 6)), nn.BatchNorm2d(6)

    def forward(self, x):
        return F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)


class Symmetric(nn.Module):
    def forward(self, weight):
        return (weight + weight.flip(-1)) / 2


@network("a parametrization of one's own, and one on the norm's scale", pickles=False)
class Parametrized(Net):
    def build(self):
        self.conv, self.norm = conv(8, 6), nn.BatchNorm2d(6)
        parametrize.register_parametrization(self.conv, "weight", Symmetric())
        parametrize.register_parametrization(self.norm, "weight", nn.Softplus())

    def forward(self, x):
        return F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)


@network("pruned: weight_orig, a mask and a hook")
class Pruned(Net):
    def build(self):
        self.conv, self.norm = conv(8, 6), nn.BatchNorm2d(6)
        prune.random_unstructured(self.conv, "weight", 0.5)

    def forward(self, x):
        return F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)


def fake_quantizer():
    return FakeQuantize(observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255)


@network("rounds between convolution and pool, and watches the range", exact=False, jumps=True)
class QuantizationAware(Net):
    def build(self):
        self.inside, self.conv, self.outside = fake_quantizer(), conv(8, 6), fake_quantizer()

    def forward(self, x):
        return F.max_pool2d(self.outside(F.relu(self.conv(self.inside(x)))), 2)


@network("bias as a tensor that is no parameter")
class BiasAsBuffer(Net):
    def build(self):
        self.conv = conv(8, 6, bias=False)
        self.register_buffer("shift", torch.randn(1, 6, 1, 1))

    def forward(self, x):
        return F.max_pool2d(F.relu(self.conv(x) + self.shift), 2)


@network("some parameters ask for no gradient")
class HalfFrozen(Net):
    def build(self):
        self.body = nn.Sequential(*stage(8, 6), nn.MaxPool2d(2), *stage(6, 6), conv(6, 3, 1))
        self.body[0].requires_grad_(False)
        self.body[1].bias.requires_grad_(False)
        self.body[4].weight.requires_grad_(False)

    def forward(self, x):
        return self.body(x)
