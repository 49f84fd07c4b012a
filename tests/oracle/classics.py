"""The networks that published tables of receptive fields and costs are about, up to their last map.

They are those of the TF-Slim model library, from which Araujo, Norris and Sim ("Computing Receptive
Fields of Convolutional Neural Networks", Distill 2019) took their table:

- AlexNet is v2, with one column, and 3x3 pools without padding.
- ResNets take their stride in the last unit of a block, in its 3x3 convolution, padded
  explicitly; the shortcut of an equally wide unit is subsampled by a pool of one tap. So strides
  come one unit later than in the paper.
- Inception-v2 begins with a separable convolution (8 filters a channel).
- "Same" padding is TensorFlow's: ``ceil(n / stride)`` outputs, the odd element at the end, so that
  it depends on the input's length; torch knows "same" only without stride. Here it stands before
  the layer as explicit padding (:class:`Same`), or is left to cenote (``house="cenote"``).

Every module that the table has a line for carries the name of the table's end-point.
"""

import torch
import torch.nn.functional as F
from torch import nn

import cenote


class Same(nn.Module):
    """``inner`` on an input that is padded as TensorFlow does, with what changes nothing."""

    def __init__(self, inner, kernel, stride, value=0.0):
        super().__init__()
        self.inner, self.kernel, self.stride, self.value = inner, kernel, stride, value

    def forward(self, x):
        pads = []
        for n, kernel in zip(x.shape[:1:-1], self.kernel[::-1], strict=True):
            total = max(0, (-(-n // self.stride) - 1) * self.stride + kernel - n)
            pads += [total // 2, total - total // 2]
        return self.inner(F.pad(x, pads, value=self.value) if any(pads) else x)


class Makers:
    """Layers in the words of one house; ``width`` divides all channels, for tests of geometry."""

    def __init__(self, house="torch", width=1):
        self.house, self.width = house, width

    def of(self, channels):
        return max(1, channels // self.width) if channels > 3 else channels

    def conv(self, inputs, outputs, kernel, stride=1, same=True, groups=1, act=True, bias=False):
        """A convolution, a batch norm and a ReLU; with ``act=False`` the convolution alone."""
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        inputs, outputs = self.of(inputs), self.of(outputs)
        groups = inputs if groups > 1 else 1
        given = {"stride": stride, "groups": groups, "bias": bias}
        if self.house == "cenote":
            layer = cenote.nn.Conv2d(
                inputs, outputs, kernel, padding="same" if same else 0, **given
            )
        else:
            layer = nn.Conv2d(inputs, outputs, kernel, **given)
            layer = Same(layer, kernel, stride) if same and max(kernel) > 1 else layer
        return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU()) if act else layer

    def pool(self, kind, kernel, stride, same=True):
        name = f"{kind}Pool2d"
        if self.house == "cenote":
            return getattr(cenote.nn, name)(kernel, stride, "same" if same else 0)
        layer = getattr(nn, name)(kernel, stride)
        if not same:
            return layer
        return Same(layer, (kernel, kernel), stride, float("-inf") if kind == "Max" else 0.0)


class Cat(nn.ModuleList):
    def forward(self, x):
        return torch.cat([branch(x) for branch in self], 1)


def named(**layers):
    """A chain of layers with names."""
    chain = nn.Sequential()
    for name, layer in layers.items():
        chain.add_module(name, layer)
    return chain


def alexnet(house="torch", width=1):
    def conv(*given, **more):
        return nn.Sequential(m.conv(*given, act=False, bias=True, **more), nn.ReLU())

    m = Makers(house, width)
    return named(
        conv1=conv(3, 64, 11, 4, same=False), pool1=m.pool("Max", 3, 2, same=False),
        conv2=conv(64, 192, 5), pool2=m.pool("Max", 3, 2, same=False),
        conv3=conv(192, 384, 3), conv4=conv(384, 384, 3), conv5=conv(384, 256, 3),
        pool5=m.pool("Max", 3, 2, same=False),
    )  # fmt: skip


def vgg(depths, house="torch", width=1):
    m, layers, inputs = Makers(house, width), {}, 3
    for block, (depth, outputs) in enumerate(zip(depths, (64, 128, 256, 512, 512), strict=True), 1):
        for layer in range(1, depth + 1):
            conv = m.conv(inputs, outputs, 3, act=False, bias=True)
            layers[f"conv{block}_{layer}"] = nn.Sequential(conv, nn.ReLU())
            inputs = outputs
        layers[f"pool{block}"] = m.pool("Max", 2, 2, same=False)
    return named(**layers)


def vgg_16(house="torch", width=1):
    return vgg((2, 2, 3, 3, 3), house, width)


def mobilenet_v1(house="torch", width=1):
    """Depthwise and pointwise in turns (Howard et al. 2017)."""
    m, inputs = Makers(house, width), 32
    layers = {"Conv2d_0": m.conv(3, 32, 3, 2)}
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    plan += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    for index, (outputs, stride) in enumerate(plan, 1):
        layers[f"Conv2d_{index}_depthwise"] = m.conv(inputs, inputs, 3, stride, groups=inputs)
        layers[f"Conv2d_{index}_pointwise"] = m.conv(inputs, outputs, 1)
        inputs = outputs
    return named(**layers)


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1, and a shortcut; ``first`` says what comes before them: v2."""

    def __init__(self, m, inputs, base, stride, version):
        super().__init__()
        outputs = 4 * base
        self.before = self.after = nn.Identity()
        if version == 2:
            self.before = nn.Sequential(nn.BatchNorm2d(m.of(inputs)), nn.ReLU())
        else:
            self.after = nn.ReLU()
        if inputs == outputs:
            self.shortcut = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
        else:
            self.shortcut = m.conv(inputs, outputs, 1, stride, act=False, bias=version == 2)
        explicit = nn.ZeroPad2d(1) if stride > 1 else nn.Identity()
        self.residual = nn.Sequential(
            m.conv(inputs, base, 1), explicit, m.conv(base, base, 3, stride, same=stride == 1),
            m.conv(base, outputs, 1, act=False, bias=version == 2),
        )  # fmt: skip
        self.projects = inputs != outputs
        if version == 1:  # a norm without an activation
            self.residual.append(nn.BatchNorm2d(m.of(outputs)))
            if self.projects:
                self.shortcut = nn.Sequential(self.shortcut, nn.BatchNorm2d(m.of(outputs)))

    def forward(self, x):
        ready = self.before(x)
        return self.after(self.shortcut(ready if self.projects else x) + self.residual(ready))


def resnet(depths, version, house="torch", width=1):
    """(He et al. 2015, 2016)"""
    m = Makers(house, width)
    stem = m.conv(3, 64, 7, 2, same=False, act=version == 1, bias=version == 2)
    layers = {"pad1": nn.ZeroPad2d(3), "conv1": stem, "pool1": m.pool("Max", 3, 2)}
    inputs = 64
    for block, (depth, base) in enumerate(zip(depths, (64, 128, 256, 512), strict=True), 1):
        units = nn.Sequential()
        for unit in range(depth):
            last = unit == depth - 1 and block < 4
            units.append(Bottleneck(m, inputs, base, 2 if last else 1, version))
            inputs = 4 * base
        layers[f"block{block}"] = units
    return named(**layers)


def resnet_50(version, **given):
    return resnet((3, 4, 6, 3), version, **given)


def resnet_101(version, **given):
    return resnet((3, 4, 23, 3), version, **given)
