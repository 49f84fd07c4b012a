"""What goes row by row, against float64 on every instruction set: pixels, channels and maxima."""

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import _separable
from contract import instruction_sets

UNIT = 2.0**-24  # a rounding's relative error
CUTS = {"none": _separable.NO_CUT, "relu": (0.0, math.nan), "relu6": (0.0, 6.0)}


@dataclass(frozen=True)
class Case:
    """``channels`` and ``out`` of 0: there is no convolution of pixels before, or behind."""

    name: str
    images: int
    channels: int
    middle: int
    out: int
    n: tuple[int, int]
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    bias: bool = True

    def __str__(self):
        return self.name

    def tensors(self):
        """The input and the three weights with their biases; None for those that there are not."""
        draw = torch.Generator().manual_seed(0)

        def drawn(*shape):
            return torch.randn(shape, generator=draw)

        shapes = [(self.middle, self.channels, 1, 1), (self.middle, 1, *self.kernel),
                  (self.out, self.middle, 1, 1)]  # fmt: skip
        weights = [
            (drawn(*s), drawn(s[0]) if self.bias else None) if 0 not in s else None for s in shapes
        ]
        x = drawn(self.images, self.channels or self.middle, *self.n)
        return x.contiguous(memory_format=torch.channels_last), weights

    def slides(self):
        return _separable.Windows(self.kernel, self.stride, self.padding)


CASES = [
    Case("lanes_and_panels", 2, 16, 32, 16, (9, 8)),
    Case("channels_left_over", 1, 5, 7, 9, (11, 6)),
    Case("more_channels_than_panels", 2, 24, 58, 70, (7, 9)),
    Case("by_two", 2, 16, 96, 24, (13, 17), stride=(2, 2)),
    Case("5x5", 1, 8, 20, 12, (12, 11), (5, 5), padding=(2, 2)),
    Case("no_padding", 1, 8, 20, 12, (9, 9), padding=(0, 0)),
    Case("axes_of_their_own", 2, 8, 18, 6, (12, 9), (2, 5), (3, 1), (1, 4)),
    Case("further_than_the_kernel", 1, 8, 16, 6, (14, 14), (2, 2), (4, 5), (0, 1)),
    Case("one_pixel", 3, 8, 20, 8, (1, 1)),
    Case("one_row", 2, 8, 20, 8, (1, 40)),
    Case("one_column", 1, 8, 20, 8, (40, 1)),
    Case("more_padding_than_plane", 1, 8, 16, 8, (2, 1), (5, 5), padding=(4, 4)),
    Case("several_strips_of_rows", 3, 8, 96, 10, (60, 61)),
    Case("wide_rows_one_by_one", 1, 16, 400, 20, (6, 200)),
    Case("no_bias", 1, 8, 20, 12, (6, 6), bias=False),
    Case("nothing_before", 2, 0, 33, 12, (14, 9)),
    Case("nothing_behind", 2, 12, 33, 0, (14, 9)),
    Case("alone", 1, 0, 17, 0, (8, 30), stride=(2, 2)),
]


def clamped(x, cut):
    low, high = (None if math.isnan(bound) else bound for bound in cut)
    return x if low is high is None else x.clamp(low, high)


def exact(case, x, weights, cut, other=None):
    """The result in float64, and the largest sum of magnitudes of each of its channels."""
    x, size = x.double(), x.double().abs()
    last = max(at for at, weight in enumerate(weights) if weight is not None)
    for at, weight in enumerate(weights):
        if weight is None:
            continue
        w, b = (None if t is None else t.double() for t in weight)
        call = {"stride": case.stride, "padding": case.padding, "groups": case.middle}
        more = call if at == 1 else {}
        x = F.conv2d(x, w, b, **more)
        size = F.conv2d(size, w.abs(), None if b is None else b.abs(), **more)
        if at == last and other is not None:
            x, size = x + other.double(), size + other.double().abs()
        x = clamped(x, cut)
    return x, size.amax((0, 2, 3), keepdim=True)


def packed(weights, cut):
    how = (_separable.pack_pointwise, _separable.pack_channels, _separable.pack_pointwise)
    return [w if w is None else pack(*w, cut) for w, pack in zip(weights, how, strict=True)]


def roundings(case):
    """Of a value on its way: one for each sum in a channel, and some."""
    return 4 + math.sqrt(case.channels) + math.prod(case.kernel) + math.sqrt(case.middle)


@pytest.fixture(params=instruction_sets())
def isa(request):
    with cenote.options(isa=request.param):
        yield request.param


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_chain_is_the_layers_one_by_one(case, cut, isa):
    x, weights = case.tensors()
    other = None
    if case.out:
        other = torch.randn_like(exact(case, x, weights, cut)[0]).float()
        other = other.contiguous(memory_format=torch.channels_last)
    right, size = exact(case, x, weights, cut, other)
    y = _separable.separable(x, *packed(weights, cut), case.slides(), other)
    assert y.shape == right.shape
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert ((y.double() - right).abs() <= roundings(case) * UNIT * size).all()


@dataclass(frozen=True)
class Maximum:
    """A convolution, the maximum over its windows, and, with ``out``, one of pixels."""

    name: str
    x: tuple[int, int, int, int]
    middle: int
    conv: _separable.Windows
    pool: _separable.Windows
    out: int = 0
    ceil: bool = False

    def __str__(self):
        return self.name

    def tensors(self):
        """The input, and weights with biases."""
        draw = torch.Generator().manual_seed(0)
        shapes = [(self.middle, self.x[1], *self.conv.kernel), (self.out, self.middle, 1, 1)]
        weights = [
            (torch.randn(s, generator=draw), torch.randn(s[0], generator=draw))
            for s in shapes[: 2 if self.out else 1]
        ]
        x = torch.randn(self.x, generator=draw)
        return x.contiguous(memory_format=torch.channels_last), weights

    def exact(self, x, weights, cut):
        """The result in float64, and the largest sum of magnitudes of its channels."""
        call = {"stride": self.conv.stride, "padding": self.conv.padding}
        x, size = x.double(), x.double().abs()
        for at, (weight, bias) in enumerate(weights):
            more = {} if at else call
            x = clamped(F.conv2d(x, weight.double(), bias.double(), **more), cut)
            size = F.conv2d(size, weight.double().abs(), bias.double().abs(), **more)
            if not at:
                x, size = (F.max_pool2d(t, *self.pool, ceil_mode=self.ceil) for t in (x, size))
        return x, size.amax((0, 2, 3), keepdim=True)

    def run(self, x, weights, cut):
        packed = [_separable.pack_pointwise(*weight, cut) for weight in weights]
        last = packed[1] if self.out else None
        n = self.conv.outs(x.shape[2:])
        empty = torch.empty(1, 1, *n)
        outs = F.max_pool2d(empty, *self.pool, ceil_mode=self.ceil).shape[2:]
        return _separable.separable(
            x, packed[0], None, last, self.pool, windows=self.conv, outs=outs
        )


W = _separable.Windows
STEM, THREE = W((7, 7), (2, 2), (3, 3)), W((3, 3), (2, 2), (1, 1))
MAXIMA = [
    Maximum("stem", (2, 3, 37, 30), 24, STEM, THREE),
    Maximum("stem_and_pixels", (2, 3, 33, 41), 20, STEM, THREE, 12),
    Maximum("ceil", (1, 3, 31, 28), 16, W((3, 3), (2, 2)), W((3, 3), (2, 2)), ceil=True),
    Maximum("far_apart", (2, 3, 63, 51), 8, W((11, 11), (4, 4), (2, 2)), W((3, 3), (2, 2))),
    Maximum("wide_and_low", (1, 5, 6, 300), 40, W((3, 3), (1, 1), (1, 1)), W((2, 2), (2, 2))),
    Maximum("of_pixels", (2, 20, 9, 11), 18, W(), THREE, 7),
    Maximum("axes_of_their_own", (1, 4, 19, 14), 33, W((2, 5), (3, 1), (0, 4)), W((1, 2), (2, 3))),
    Maximum(
        "overlapping", (2, 8, 12, 13), 16, W((5, 5), (1, 1), (2, 2)), W((5, 5), (1, 1), (2, 2))
    ),
    Maximum("one_pixel", (1, 3, 1, 1), 16, W((3, 3), (1, 1), (1, 1)), W((3, 3), (1, 1), (1, 1)), 5),
    Maximum("steps_beyond_the_windows", (1, 3, 23, 20), 8, W((2, 2), (3, 3)), W((2, 2), (4, 3))),
]


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("case", MAXIMA, ids=str)
def test_a_maximum_is_that_of_the_convolution(case, cut, isa):
    x, weights = case.tensors()
    right, size = case.exact(x, weights, cut)
    wide = torch.full((x.shape[0], x.shape[1] + 5, *x.shape[2:]), math.nan)
    wide = wide.contiguous(memory_format=torch.channels_last)
    wide[:, 2:-3] = x
    elements = case.x[1] * math.prod(case.conv.kernel)
    bound = (4 + math.sqrt(elements) + math.sqrt(case.middle)) * UNIT * size
    for given in (x, wide[:, 2:-3]):
        y = case.run(given, weights, cut)
        assert y.shape == right.shape
        assert ((y.double() - right).abs() <= bound).all()


def test_a_nan_is_the_maximum_of_its_windows(isa):
    case = Maximum("nan", (1, 3, 21, 21), 16, W((3, 3), (1, 1), (1, 1)), THREE)
    x, weights = case.tensors()
    x[0, 1, 9, 9] = math.nan
    right, _ = case.exact(x, weights, CUTS["none"])
    assert right.isnan().any()
    assert torch.equal(case.run(x, weights, CUTS["none"]).isnan(), right.isnan())


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("case", MAXIMA, ids=str)
def test_threads_change_no_maximum(case, threads):
    x, weights = case.tensors()
    with cenote.options(threads=1):
        alone = case.run(x, weights, CUTS["relu"])
    with cenote.options(threads=threads):
        assert torch.equal(case.run(x, weights, CUTS["relu"]), alone)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_change_nothing(case, threads):
    x, weights = case.tensors()
    with cenote.options(threads=1):
        alone = _separable.separable(x, *packed(weights, CUTS["relu"]), case.slides())
    with cenote.options(threads=threads):
        together = _separable.separable(x, *packed(weights, CUTS["relu"]), case.slides())
    assert torch.equal(alone, together)


PIXELS = [(1, 1, 1, 1), (2, 16, 5, 5), (1, 33, 7, 9), (3, 64, 20, 21), (1, 700, 3, 3)]


@pytest.mark.parametrize("out", [1, 16, 31, 100])
@pytest.mark.parametrize("shape", PIXELS, ids=str)
def test_pixels(shape, out, isa):
    case = Case("pixels", shape[0], shape[1], out, 0, shape[2:])
    x, (weight, _, _) = case.tensors()
    other = torch.randn(shape[0], out, *shape[2:])
    for cut in CUTS.values():
        for added in (None, other.contiguous(memory_format=torch.channels_last)):
            right, size = exact(case, x, [weight], cut, added)
            y = _separable.pointwise(x, _separable.pack_pointwise(*weight, cut), added)
            assert ((y.double() - right).abs() <= roundings(case) * UNIT * size).all()


def test_channels_of_a_wider_tensor_are_read_and_written_where_they_are(isa):
    case = Case("parts", 2, 20, 24, 18, (9, 7))
    x, weights = case.tensors()
    wide = torch.full((2, 53, 9, 7), math.nan).contiguous(memory_format=torch.channels_last)
    wide[:, 11:31] = x
    room = torch.full((2, 40, 9, 7), 7.0).contiguous(memory_format=torch.channels_last)
    y = _separable.separable(
        wide[:, 11:31], *packed(weights, CUTS["relu6"]), case.slides(), to=room[:, 3:21]
    )
    right, size = exact(case, x, weights, CUTS["relu6"])
    assert y.data_ptr() == room[:, 3:21].data_ptr()
    assert ((room[:, 3:21].double() - right).abs() <= roundings(case) * UNIT * size).all()
    assert (room[:, :3] == 7).all()
    assert (room[:, 21:] == 7).all()
    other = torch.ones(2, 24, 9, 7).contiguous(memory_format=torch.channels_last)
    pixels = _separable.pack_pointwise(*weights[0])
    z = _separable.pointwise(wide[:, 11:31], pixels, other, room[:, 9:33])
    right, size = exact(case, x, weights[:1], _separable.NO_CUT, other)
    assert ((z.double() - right).abs() <= roundings(case) * UNIT * size).all()
    assert (room[:, 33:] == 7).all()
    assert (room[:, :3] == 7).all()


def test_a_nan_goes_where_the_layers_take_it(isa):
    case = Case("nan", 1, 8, 20, 12, (9, 9))
    x, weights = case.tensors()
    x[0, 3, 4, 4] = math.nan
    y = _separable.separable(x, *packed(weights, CUTS["relu6"]), case.slides())
    right, _ = exact(case, x, weights, CUTS["relu6"])
    assert right.isnan().any()
    assert torch.equal(y.isnan(), right.isnan())


@pytest.mark.parametrize("shape", [(2, 58, 5, 7), (1, 5, 3, 3), (2, 16, 4, 4), (1, 1, 2, 2),
                                   (8, 64, 28, 28)], ids=str)  # fmt: skip
def test_interleaved(shape, isa):
    first, second = torch.randn(2, *shape).unbind()
    second = second.contiguous(memory_format=torch.channels_last)
    wide = torch.cat([first, first], 1).contiguous(memory_format=torch.channels_last)
    right = torch.stack([first, second], 2).flatten(1, 2)
    for given in (first, wide[:, shape[1] :], wide[:, : shape[1]]):
        y = _separable.interleave(given, second)
        assert torch.equal(y, right)
        assert y.is_contiguous(memory_format=torch.channels_last)


def test_the_pitch_of_pixels():
    x = torch.randn(2, 6, 4, 5).contiguous(memory_format=torch.channels_last)
    assert _separable.pitch(x) == 6 == _separable.pitch(x[:, 1:3])
    assert _separable.pitch(x[:1, :, :1, 1:]) == 6  # one row is a row of pixels, wherever it begins
    for other in (x.contiguous(), x[..., 1:], x[:, :, ::2], x[:, :, 1:], x[:, ::2]):
        assert _separable.pitch(other) == 0
    assert _separable.pitch(x[::2, :, 1:]) == 6  # one image
    assert _separable.pitch(torch.randn(3, 8, 1, 1)) == 8
