"""Convolutions, chains of them, and stages at the sizes at which time is measured.

What is measured on them: `benchmarking.convolution.grid`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from cenote.case_tables.case import along
from cenote.window import Axis, Window

__all__ = ["CONVOLUTIONS", "Conv", "Step"]


@dataclass(frozen=True)
class Step:
    """One convolution: so many output channels, a window with the kernel of its weight."""

    channels: int
    window: Window
    groups: int = 1
    bias: bool = True


@dataclass(frozen=True)
class Conv:
    """Convolutions one after the other on an input ``(N, C, *n)``, and why they are measured.

    ``made`` is what they are together: a ``conv``, a ``shuffled`` one, whose output channels take
    turns between groups, a ``separable`` or ``flattened`` chain, or a ``stage``, which ends with
    relu and a maximum over ``pool``. A ``first`` layer's input takes no gradient.
    """

    name: str
    reason: str
    shape: tuple[int, ...]
    steps: tuple[Step, ...]
    made: str = "conv"
    pool: Window | None = None
    first: bool = False

    @property
    def rank(self) -> int:
        """The number of axes that windows slide on."""
        return len(self.shape) - 2

    def shapes(self) -> list[tuple[int, ...]]:
        """The input's shape, then that of each step's output."""
        found = [self.shape]
        for step in self.steps:
            found.append((self.shape[0], step.channels, *step.window.out(found[-1][2:])))
        return found

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of the output: ``(N, O, *out)``."""
        last = self.shapes()[-1]
        return last if self.pool is None else (*last[:2], *self.pool.out(last[2:]))

    def weight_shapes(self) -> list[tuple[int, ...]]:
        """The shape of each step's weight: ``(O, C/groups, *k)``."""
        return [
            (step.channels, shape[1] // step.groups, *(axis.kernel for axis in step.window))
            for shape, step in zip(self.shapes(), self.steps, strict=False)
        ]

    @property
    def weights(self) -> int:
        """The number of weights and biases of all steps."""
        biases = sum(step.channels for step in self.steps if step.bias)
        return sum(map(prod, self.weight_shapes())) + biases

    def cut(self, images: int) -> Conv:
        """The same on the first images alone.

        >>> CONVOLUTIONS[0].cut(1).shape
        (1, 64, 112, 112)
        """
        return replace(self, shape=(min(images, self.shape[0]), *self.shape[1:]))

    def __str__(self) -> str:
        return self.name


def _one(
    name: str,
    reason: str,
    shape: tuple[int, ...],
    channels: int,
    window: Window,
    groups: int = 1,
    first: bool = False,
) -> Conv:
    return Conv(name, reason, shape, (Step(channels, window, groups),), first=first)


def _depthwise(
    name: str, reason: str, shape: tuple[int, ...], kernel: int, stride: int = 1
) -> Conv:
    window = along(len(shape) - 2, kernel, stride, kernel // 2)
    return _one(name, reason, shape, shape[1], window, groups=shape[1])


def _stage(
    name: str, reason: str, shape: tuple[int, ...], channels: int, window: Window,
    first: bool = False,
) -> Conv:  # fmt: skip
    step = Step(channels, window)
    return Conv(name, reason, shape, (step,), "stage", along(2, 2, 2), first)


_MOBILE, _GROUPED, _LINE = (8, 64, 112, 112), (8, 64, 56, 56), (32, 64, 4096)
_IMAGES, _MNIST = (4, 3, 224, 224), (256, 1, 28, 28)
_THREE = along(2, 3, 1, 1)
_DOWN, _ACROSS = Window([Axis(3, 1, 1, 1), Axis(1)]), Window([Axis(1), Axis(3, 1, 1, 1)])

_DEPTHWISE = [
    _depthwise("depthwise_3x3", "MobileNet's", _MOBILE, 3),
    _depthwise("depthwise_7x7", "ConvNeXt's: 49 taps", (8, 96, 56, 56), 7),
    _depthwise("depthwise_3x3_s2", "MobileNet's reductions", (8, 96, 56, 56), 3, 2),
    _depthwise("depthwise_line_9", "sequences: few taps", _LINE, 9),
    _depthwise("depthwise_line_31", "sequences: Conformer's 31 taps", _LINE, 31),
    _depthwise("depthwise_line_63", "sequences: what a tap more costs", _LINE, 63),
    _depthwise("depthwise_line_127", "sequences: twice as many", _LINE, 127),
    _depthwise("depthwise_line_255", "sequences: as long as filters get", (8, 64, 4096), 255),
]

_FIRST = [
    _one("lenet_first", "LeNet-5: one channel to 6", _MNIST, 6, along(2, 5, 1, 2), first=True),
    _one("lenet_second", "LeNet-5: 6 channels to 16", (256, 6, 14, 14), 16, along(2, 5)),
    _one("vgg_first", "VGG conv1_1: 3 channels to 64", _IMAGES, 64, _THREE, first=True),
    _one("alexnet_first", "AlexNet: 11x11, stride 4", _IMAGES, 64, along(2, 11, 4, 2), first=True),
    _one("resnet_first", "ResNet: 7x7, stride 2", _IMAGES, 64, along(2, 7, 2, 3), first=True),
]

_GROUPS = [
    _one("grouped_8", "8 channels a group", _GROUPED, 64, _THREE, groups=8),
    _one("grouped_32", "ResNeXt's 32 groups: 2 channels each", _GROUPED, 64, _THREE, groups=32),
    Conv("shuffled_8", "ShuffleNet: groups, then channels in turns", _GROUPED,
         (Step(64, _THREE, 8),), "shuffled"),
]  # fmt: skip

_DENSE = [
    _one("line_64_to_64", "sequences, dense: 3 taps", _LINE, 64, along(1, 3, 1, 1)),
    _one("dense_3x3", "ResNet's: torch's own ground", _GROUPED, 64, _THREE),
    _one("dense_1x1", "pointwise: a matrix product", _GROUPED, 64, along(2, 1)),
]

_CHAINS = [
    Conv("separable_3x3", "3x1, then 1x3, every channel by itself", _MOBILE,
         (Step(64, _DOWN, 64, False), Step(64, _ACROSS, 64)), "separable"),
    Conv("flattened_3x3", "along channels, height and width by itself", _MOBILE,
         (Step(64, along(2, 1), bias=False), Step(64, _DOWN, 64, False), Step(64, _ACROSS, 64)),
         "flattened"),
]  # fmt: skip

_STAGES = [
    _stage("stage_lenet_first", "LeNet-5 to its first pool", _MNIST, 6, along(2, 5, 1, 2), True),
    _stage("stage_lenet_second", "LeNet-5 to its second", (256, 6, 14, 14), 16, along(2, 5)),
    _stage("stage_tiny", "a call on one small image", (1, 1, 28, 28), 6, along(2, 5, 1, 2), True),
    *(
        _stage(f"stage_vgg_{number}", f"VGG-16 to its pool {number}", (4, c, n, n), c, _THREE)
        for number, c, n in (
            (1, 64, 224), (2, 128, 112), (3, 256, 56), (4, 512, 28), (5, 512, 14)
        )
    ),
]  # fmt: skip

CONVOLUTIONS: tuple[Conv, ...] = (*_DEPTHWISE, *_FIRST, *_GROUPS, *_DENSE, *_CHAINS, *_STAGES)
"""Every convolution whose time is measured."""
