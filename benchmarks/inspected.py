"""Networks to inspect, each with what is right about it, counted by hand.

``shapes`` are the outputs of its convolutions, poolings, linear layers and joinings; ``macs`` the
multiply-accumulates of convolutions and linear layers, with the additions of ``biases`` kept apart;
``taps`` the elements that its pooling looks at for ``pooled`` outputs; ``target`` the shape of the
last output whose receptive field is asked for; ``field`` its size in published tables.
"""

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import nn

import cenote
from cenote.inspection.pace import torchs_own


@dataclass(frozen=True)
class Truth:
    input: tuple
    parameters: int
    macs: int
    biases: int
    shapes: tuple = ()
    pooled: int = 0
    taps: int = 0
    target: tuple = ()
    field: int | None = None
    """None: found by trying, row for row."""


def vgg16():
    widths = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
    layers, channels = [], 3
    for width in widths:
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    head += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, *head)


class Residual(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.short = None
        if stride > 1:
            conv = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.short = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.short is None else self.short(x)))


def resnet18():
    blocks, channels = [], 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Residual(channels, width, stride), Residual(width, width, 1)]
        channels = width
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)]
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *blocks, *tail)


class Functional(nn.Module):
    """No layer at all: parameters, and functions in ``forward``."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.second = nn.Parameter(torch.randn(16, 4, 3, 3))
        self.last = nn.Parameter(torch.randn(10, 16))

    def features(self, x):
        x = F.max_pool2d(F.relu(F.conv2d(x, self.first, padding=1)), 2)
        return F.avg_pool2d(F.conv2d(x, self.second, padding=1, groups=2), 2)

    def forward(self, x):
        return F.linear(self.features(x).mean((2, 3)), self.last)


class Branches(nn.Module):
    """Ways with different windows, one dilated, one through a pooling, joined."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.point = nn.Conv2d(8, 8, 1)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.last = nn.Conv2d(24, 8, 3, padding=1)

    def forward(self, x):
        x = self.stem(x)
        ways = torch.cat([self.point(x), self.dilated(x), self.pool(x)], 1)
        return self.last(ways) + x


class Shared(nn.Module):
    """One convolution, called twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        return self.norm(self.again(torch.relu(self.again(self.first(x)))))


def transposed():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 4, 4, 2, 1),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
    )  # fmt: skip


class Many(nn.Module):
    """Two thousand operators on next to nothing."""

    def forward(self, x):
        for _ in range(1000):
            x = torch.relu(x) * 0.5
        return x


def _pooling(windows):
    """Outputs of all poolings, and the elements that they look at."""
    return {
        "pooled": sum(prod(shape) for shape, _ in windows),
        "taps": sum(prod(shape) * taps for shape, taps in windows),
    }


_VGG_CONVS = ((64, 224, 2), (128, 112, 2), (256, 56, 3), (512, 28, 3), (512, 14, 3))
_RESNET_CONVS = ((64, 56, 4), (128, 28, 4), (256, 14, 4), (512, 7, 4))

NETWORKS = {
    "LeNet-5": (lambda: torchs_own(cenote.models.lenet5()), Truth(
        (1, 1, 28, 28), 61_706, 416_520, 6 * 784 + 16 * 100 + 120 + 84 + 10,
        ((1, 6, 28, 28), (1, 6, 14, 14), (1, 16, 10, 10), (1, 16, 5, 5), (1, 120), (1, 84),
         (1, 10)), target=(1, 16, 5, 5),
        **_pooling([((6, 14, 14), 4), ((16, 5, 5), 4)]),
    )),
    "VGG-16": (vgg16, Truth(
        (1, 3, 224, 224), 138_357_544, 15_470_264_320,
        sum(width * side**2 * count for width, side, count in _VGG_CONVS) + 4096 + 4096 + 1000,
        tuple((1, width, side, side) for width, side, count in _VGG_CONVS for _ in range(count))
        + tuple((1, width, side // 2, side // 2) for width, side, _ in _VGG_CONVS)
        + ((1, 4096), (1, 4096), (1, 1000)),
        target=(1, 512, 7, 7), field=212,
        **_pooling([((width, side // 2, side // 2), 4) for width, side, _ in _VGG_CONVS]),
    )),
    "ResNet-18": (resnet18, Truth(
        (1, 3, 224, 224), 11_689_512, 1_814_073_344, 1000,
        (
            (1, 64, 112, 112), (1, 64, 56, 56), (1, 512, 1, 1), (1, 1000),
            *((1, width, side, side) for width, side, count in _RESNET_CONVS
              for _ in range(count)),
        ),
        target=(1, 512, 7, 7), field=435,
        pooled=64 * 56**2 + 512, taps=64 * (3 * 56 - 1) ** 2 + 512 * 49,
    )),
    "functional": (Functional, Truth(
        (1, 3, 32, 32), 216 + 576 + 160, 216 * 1024 + 576 * 256 + 160, 0,
        ((1, 8, 32, 32), (1, 8, 16, 16), (1, 16, 16, 16), (1, 16, 8, 8), (1, 10)),
        target=(1, 16, 8, 8), **_pooling([((8, 16, 16), 4), ((16, 8, 8), 4)]),
    )),
    "branches": (Branches, Truth(
        (1, 3, 32, 32), 224 + 72 + 584 + 1736, (216 + 64 + 576 + 1728) * 256, 32 * 256,
        ((1, 8, 16, 16),) * 4 + ((1, 24, 16, 16), (1, 8, 16, 16), (1, 8, 16, 16)),
        target=(1, 8, 16, 16), pooled=8 * 256, taps=8 * 46**2,
    )),
    "shared layer": (Shared, Truth(
        (1, 3, 32, 32), 224 + 584 + 16, (216 + 576 + 576) * 1024, 24 * 1024,
        ((1, 8, 32, 32),) * 3, target=(1, 8, 32, 32),
    )),
    "transposed": (transposed, Truth(
        (1, 3, 32, 32), 224 + 516 + 76, 216 * 256 + 8 * 4 * 16 * 256 + 72 * 1024,
        8 * 256 + 4 * 1024 + 4 * 1024,
        ((1, 8, 16, 16), (1, 4, 32, 32), (1, 4, 32, 32)), target=(1, 4, 32, 32),
    )),
    "2,000 operators": (Many, Truth((1, 8, 16, 16), 0, 0, 0)),
    "2,000 larger operators": (Many, Truth((1, 64, 56, 56), 0, 0, 0)),
}  # fmt: skip


def fields(network, truth):
    """For every row of the target the first and last row of the input that reaches it.

    By trying: a row of NaN goes through every window that holds it, whatever the weights are.
    """
    part = getattr(network, "features", network)
    found = {}
    for row in range(truth.input[2]):
        x = torch.zeros(truth.input)
        x[:, :, row] = float("nan")
        with torch.no_grad():
            reached = part(x)
        assert tuple(reached.shape) == truth.target
        for unit in reached.isnan().any(dim=(0, 1, 3)).nonzero().flatten().tolist():
            first, _ = found.get(unit, (row, row))
            found[unit] = (first, row + 1)
    return found
