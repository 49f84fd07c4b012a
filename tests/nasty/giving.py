"""What goes in and what comes out: structures, options, strides, types, sizes, values."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from nasty.case import Net, conv, given, image, network, sequence


class Tapped(Net):
    def build(self):
        self.conv, self.norm, self.pool = conv(8, 6), nn.BatchNorm2d(6), nn.MaxPool2d(2)

    def parts(self, x):
        y = F.relu(self.norm(self.conv(x)))
        return y, self.pool(y)


@network("a tuple, with None and a number in it")
class TupleOut(Tapped):
    def forward(self, x):
        y, p = self.parts(x)
        return p, None, y, 3, "done"


@network("lists in lists")
class ListOut(Tapped):
    def forward(self, x):
        y, p = self.parts(x)
        return [[y], [p, [p.sum()]], []]


@network("a dict, ordered as its forward wrote it")
class DictOut(Tapped):
    def forward(self, x):
        y, p = self.parts(x)
        return {"out": p, "aux": {"deep": y}, 0: p.mean()}


class Pair(NamedTuple):
    values: torch.Tensor
    more: tuple


@network("a namedtuple")
class NamedTupleOut(Tapped):
    def forward(self, x):
        y, p = self.parts(x)
        return Pair(p, more=(y,))


@dataclass
class Found:
    boxes: torch.Tensor
    scores: list


@network("a dataclass")
class DataclassOut(Tapped):
    def forward(self, x):
        y, p = self.parts(x)
        return Found(p, scores=[y.amax((2, 3))])


@network("one tensor twice, and a view of it: what is shared stays shared")
class SharedOut(Tapped):
    def forward(self, x):
        _, p = self.parts(x)
        return p, p, p.flatten(1), p[:, :2]


@network("the input is the output", learns=False)
class Nothing(Net):
    def forward(self, x):
        return x


@network("the input comes back beside what is made of it, and a view of it")
class InputOut(Tapped):
    def forward(self, x):
        return x, self.parts(x)[1], x.permute(0, 2, 3, 1)


@network("a parameter is an output")
class ParameterOut(Tapped):
    def forward(self, x):
        return self.parts(x)[1], self.conv.weight, self.norm.running_mean


sequence(
    "without_parameters",
    "only pools",
    lambda: [nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2)],
    learns=False,
)


@network("an empty forward of no arguments", lambda: given())
class NoInput(Net):
    def build(self):
        self.seed, self.conv = nn.Parameter(torch.randn(2, 8, 9, 9)), conv(8, 6)

    def forward(self):
        return F.max_pool2d(F.relu(self.conv(self.seed)), 2)


def several():
    a, b = torch.randn(2, 8, 12, 10), torch.randn(2, 4, 6, 5)
    return given(a, [b, None], mask=None, scale=0.5, names=("x", "y"))


@network("tensors in lists, None, numbers, strings, keywords", several)
class SeveralInputs(Net):
    def build(self):
        self.left, self.right = conv(8, 6), conv(4, 6)

    def forward(self, a, pair, *, mask=None, scale=1.0, names=()):
        b, nothing = pair
        y = F.max_pool2d(F.relu(self.left(a)), 2) + self.right(b) * scale
        y = y if mask is None else y * mask
        return {name: y + i for i, name in enumerate(names)}, nothing


@network(
    "a dict of tensors, changed by the call", lambda: given({"image": torch.randn(2, 8, 12, 10)})
)
class DictIn(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, sample):
        sample["features"] = F.max_pool2d(F.relu(self.conv(sample["image"])), 2)
        return sample


@network(
    "a mask chooses at each place",
    lambda: given(torch.randn(2, 8, 12, 10), torch.rand(2, 1, 12, 10) < 0.5),
)
class MaskIn(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x, mask):
        return F.max_pool2d(self.conv(x).masked_fill(~mask, -math.inf), 3, 2, 1)


@network("tokens, not pictures", lambda: given(torch.randint(0, 20, (2, 30))))
class Tokens(Net):
    def build(self):
        self.embedding, self.conv = nn.Embedding(20, 16), nn.Conv1d(16, 24, 3, padding=1)

    def forward(self, x):
        y = self.embedding(x).transpose(1, 2)
        return F.max_pool1d(F.relu(self.conv(y)), 2).amax(2)


def stack():
    return [
        conv(8, 16),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        conv(16, 16),
        nn.ReLU(True),
        nn.AvgPool2d(2),
    ]


def bare():
    return [conv(8, 16), nn.ReLU(), nn.MaxPool2d(2), conv(16, 6, 1), nn.AvgPool2d(2)]


sequence(
    "channels_last_in",
    "the caller's own layout",
    stack,
    lambda: given(torch.randn(2, 8, 17, 15).to(memory_format=torch.channels_last)),
)
sequence(
    "sliced_in",
    "every other column of a larger picture",
    stack,
    lambda: given(torch.randn(2, 10, 17, 30)[:, 1:9, :, ::2]),
)
sequence(
    "expanded_in",
    "one image, twice: stride 0",
    stack,
    lambda: given(torch.randn(1, 8, 17, 15).expand(3, -1, -1, -1)),
)
sequence(
    "grey_as_colour",
    "one channel, expanded",
    stack,
    lambda: given(torch.randn(2, 1, 17, 15).expand(-1, 8, -1, -1)),
)
sequence(
    "transposed_in",
    "width and height exchanged",
    stack,
    lambda: given(torch.randn(2, 8, 15, 17).transpose(2, 3)),
)
sequence(
    "flipped_batch_in",
    "batch and channels exchanged",
    stack,
    lambda: given(torch.randn(8, 2, 17, 15).transpose(0, 1)),
)
sequence("one_image", "strides that say nothing", stack, lambda: image(1, 8, 17, 15))
sequence(
    "one_channel_channels_last",
    "both layouts at once",
    lambda: [conv(1, 6), nn.ReLU(), nn.MaxPool2d(2)],
    lambda: given(torch.randn(2, 1, 17, 15).to(memory_format=torch.channels_last)),
)
sequence("unbatched_in", "(C, H, W)", bare, lambda: image(8, 17, 15))
sequence("empty_batch", "no image at all", bare, lambda: image(0, 8, 17, 15), learns=False)
sequence(
    "one_pixel",
    "nothing is left to pool",
    lambda: [conv(8, 6), nn.ReLU(), nn.MaxPool2d(3, 2, 1)],
    lambda: image(2, 8, 1, 1),
)
sequence("one_row", "a picture that is a line", bare, lambda: image(2, 8, 4, 90))
sequence("many_images", "more images than anything else", bare, lambda: image(37, 8, 5, 6))


def typed(dtype):
    return lambda: given(torch.randn(2, 8, 17, 15).to(dtype))


for name, dtype in {
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}.items():
    sequence(
        f"{name}_network",
        "another type",
        lambda d=dtype: [nn.Sequential(*bare()).to(d)],
        typed(dtype),
    )


@network("half the network in bfloat16", precision=torch.bfloat16)
class MixedTypes(Net):
    def build(self):
        self.first, self.second = conv(8, 6), conv(6, 4).bfloat16()

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.first(x)), 2)
        return F.max_pool2d(F.relu(self.second(y.to(self.second.weight.dtype))), 2).to(x.dtype)


@network(
    "complex numbers", lambda: given(torch.randn(2, 8, 9, 7, dtype=torch.complex64)), exact=False
)
class Complex(Net):
    def build(self):
        self.conv = nn.Conv2d(8, 6, 3, padding=1, dtype=torch.complex64)

    def forward(self, x):
        return F.max_pool2d(self.conv(x).abs(), 2)


@network(
    "bytes as they come from a file",
    lambda: given(torch.randint(0, 256, (2, 17, 15, 8), dtype=torch.uint8)),
)
class Bytes(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        y = x.permute(0, 3, 1, 2).to(self.conv.weight.dtype) / 255
        return F.max_pool2d(F.relu(self.conv(y)), 2)


def odd_values():
    x = torch.randn(2, 8, 17, 15)
    x[0, 1, 3, 4], x[0, 2, 9, 9] = math.nan, math.inf
    x[1, 0, 12, 2], x[1, 7, 16, 14] = -math.inf, math.nan
    return given(x)


sequence(
    "nan_into_max",
    "a maximum of NaN is NaN",
    lambda: [nn.MaxPool2d(3, 2, 1)],
    odd_values,
    learns=False,
    odd=True,
)
sequence(
    "nan_through_relu",
    "relu of NaN is NaN",
    lambda: [conv(8, 6), nn.ReLU(), nn.MaxPool2d(2)],
    odd_values,
    learns=False,
    odd=True,
)
# Where gradients come in another layout than the maps, torch's relu6 goes element by element, and
# passes on at NaN what it stops in vectors: the 1x1 behind gives them in the same.
sequence(
    "nan_through_relu6",
    "relu6 of NaN too",
    lambda: [conv(8, 6), nn.ReLU6(), nn.MaxPool2d(2), conv(6, 4, 1)],
    odd_values,
    learns=False,
    odd=True,
)
sequence(
    "nan_through_a_stage",
    "what is not a number stays where it was",
    bare,
    odd_values,
    learns=False,
    odd=True,
)
sequence(
    "nan_through_a_norm",
    "a folded norm keeps it there",
    lambda: [conv(8, 6), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)],
    odd_values,
    learns=False,
    odd=True,
)
sequence(
    "nan_through_avg_after_1x1",
    "moved, it spreads no further",
    lambda: [conv(8, 6, 1), nn.AvgPool2d(2)],
    odd_values,
    learns=False,
    odd=True,
)
sequence(
    "nan_through_a_chain",
    "a merged window reads it as often",
    lambda: [nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(3, 1, 1)],
    odd_values,
    learns=False,
    odd=True,
)


@network(
    "infinity weighs zero: NaN appears in the middle", lambda: odd_values(), learns=False, odd=True
)
class ZeroTimesInfinity(Net):
    def build(self):
        self.conv = conv(8, 6)
        with torch.no_grad():
            self.conv.weight[:, 2] = 0

    def forward(self, x):
        return F.max_pool2d(F.leaky_relu(self.conv(x)), 3, 2)


@network(
    "ties everywhere: the gradient goes to the first of equals",
    lambda: given(torch.randint(-1, 2, (2, 8, 17, 15)).float()),
    learns=False,
)
class Ties(Net):
    def forward(self, x):
        y = F.max_pool2d(F.relu(x), 3, 2, 1)
        return F.max_pool2d(F.max_pool2d(y, 3, 1, 1), 3, 1, 1) + y


@network("constant rows: equal values in every window")
class FlatPicture(Net):
    def build(self):
        self.conv = conv(8, 6, 1)

    def forward(self, x):
        return F.max_pool2d(F.relu6(self.conv(x.mean((2, 3), keepdim=True).expand_as(x))), 2)
