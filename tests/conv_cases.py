"""Convolutions worth a test, by reason: shapes at the edges of vectors, bands and blocks."""

from dataclasses import dataclass

import torch

from cenote import Axis, Window


@dataclass(frozen=True)
class Conv:
    name: str
    reason: str
    shape: tuple
    channels: int
    window: Window
    groups: int = 1
    bias: bool = True

    @property
    def weight_shape(self):
        kernel = [axis.kernel for axis in self.window]
        return (self.channels, self.shape[1] // self.groups, *kernel)

    def tensors(self, dtype, seed=0):
        """``(x, weight, bias or None, gradient of the output)``."""
        draw = torch.Generator().manual_seed(seed)
        out = (self.shape[0], self.channels, *self.window.out(self.shape[2:]))
        shapes = [self.shape, self.weight_shape, (self.channels,), out]
        x, weight, bias, grad = (torch.randn(s, generator=draw, dtype=dtype) for s in shapes)
        return x, weight, bias if self.bias else None, grad

    def arguments(self):
        return {
            "stride": tuple(axis.stride for axis in self.window),
            "padding": tuple((axis.before, axis.after) for axis in self.window),
            "dilation": tuple(axis.dilation for axis in self.window),
            "groups": self.groups,
        }

    def __str__(self):
        return self.name


def both(kernel, stride=1, padding=0, dilation=1):
    return Window([Axis(kernel, stride, padding, padding, dilation)] * 2)


def line(kernel, stride=1, before=0, after=0, dilation=1):
    return Window([Axis(kernel, stride, before, after, dilation)])


CASES = [
    Conv("lenet_first", "one channel, 6 outputs", (3, 1, 28, 28), 6, both(5, 1, 2)),
    Conv("lenet_second", "two blocks of outputs", (2, 6, 14, 14), 16, both(5)),
    Conv("vgg_first", "3 channels, 64 outputs", (1, 3, 20, 37), 64, both(3, 1, 1)),
    Conv("alexnet_first", "11x11, stride 4", (1, 3, 43, 51), 10, both(11, 4, 2)),
    Conv("resnet_first", "7x7, stride 2", (1, 3, 22, 38), 8, both(7, 2, 3)),
    Conv("one_tap", "a pointwise one", (2, 3, 5, 17), 5, both(1)),
    Conv("pointwise_strided", "plain subsampling", (1, 4, 9, 35), 3, both(1, 2)),
    Conv("no_bias", "sums start at 0", (2, 2, 6, 18), 3, both(3, 1, 1), bias=False),
    Conv("one_row", "height 1", (2, 2, 1, 33), 3, Window([Axis(1), Axis(3, 1, 1, 1)])),
    Conv("one_column", "width 1", (2, 2, 33, 1), 3, Window([Axis(3, 1, 1, 1), Axis(1)])),
    Conv("one_pixel", "all taps but one in the padding", (2, 3, 1, 1), 4, both(3, 1, 1)),
    Conv("row_is_a_vector", "16 outputs", (1, 2, 4, 16), 5, both(3, 1, 1)),
    Conv("row_and_one", "17 outputs", (1, 2, 4, 17), 7, both(3, 1, 1)),
    Conv("five_vectors", "tiles of 3 and 2", (1, 1, 3, 80), 8, both(3, 1, 1)),
    Conv("nine_vectors", "three tiles", (1, 2, 2, 130), 2, both(3, 1, 1)),
    Conv("nine_outputs", "blocks of 5 and 4", (1, 2, 6, 20), 9, both(3)),
    Conv("asymmetric", "all four ends differ", (2, 2, 7, 19), 4,
         Window([Axis(4, 2, 3, 1), Axis(5, 1, 2, 4)])),
    Conv("padding_beyond_kernel", "outputs of padding alone", (1, 2, 5, 6), 3, both(2, 1, 4)),
    Conv("stride_beyond_kernel", "inputs that none reads", (1, 2, 14, 40), 3, both(2, 5, 1)),
    Conv("dilated", "holes in the kernel", (1, 2, 15, 30), 4, both(3, 1, 2, 2)),
    Conv("dilated_strided", "holes and steps, coprime", (1, 2, 17, 41), 4, both(3, 2, 3, 3)),
    Conv("dilated_strided_alike", "with a factor in common", (1, 2, 17, 41), 3, both(3, 2, 2, 2)),
    Conv("grouped", "4 channels a group", (2, 8, 9, 18), 12, both(3, 1, 1), groups=2),
    Conv("grouped_strided", "uneven blocks a group", (1, 6, 11, 21), 30, both(3, 2, 1), groups=3),
    Conv("depthwise", "a channel a group", (2, 7, 10, 20), 7, both(3, 1, 1), groups=7),
    Conv("depthwise_7x7", "many taps", (1, 5, 12, 36), 5, both(7, 1, 3), groups=5),
    Conv("depthwise_strided", "a network's reduction", (1, 5, 13, 34), 5, both(3, 2, 1), groups=5),
    Conv("depthwise_multiplier", "3 kernels a channel", (2, 4, 8, 17), 12, both(3, 1, 1), groups=4),
    Conv("several_bands", "more rows than are copied at once", (1, 4, 300, 220), 2, both(3, 1, 1)),
    Conv("line", "one axis", (3, 4, 50), 6, line(3, 1, 1, 1)),
    Conv("line_dilated", "a TCN's", (2, 3, 70), 5, line(3, 1, 8, 0, 4)),
    Conv("line_strided", "stride 3", (2, 2, 100), 9, line(7, 3, 2, 1)),
    Conv("line_depthwise_long", "63 taps", (2, 6, 200), 6, line(63, 1, 31, 31), groups=6),
    Conv("line_grouped", "2 channels a group", (1, 8, 40), 8, line(5, 1, 2, 2), groups=4),
]  # fmt: skip
