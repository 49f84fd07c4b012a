"""The parts of random networks: each is made for samples of one ``shape``, ``(C, *n)``.

A network is described by data (:mod:`oracle.networks`); this is what the data mean. Blocks written
with torch's modules, with its functions and with cenote's do the same thing in different words.
What selects has a ``smooth`` stand-in that depends on the same elements and has a gradient to all.
"""

from math import prod

import torch
import torch.nn.functional as F
from torch import nn

import cenote

BLOCKS = {}


def block(cls):
    BLOCKS[cls.__name__] = cls
    return cls


def flat(pads):
    """``((before, after), ...)``, outermost first, as ``F.pad`` has it: innermost first."""
    return [end for pair in reversed(pads) for end in pair]


def even(pads):
    return all(before == after for before, after in pads)


@block
class Conv(nn.Module):
    """``house`` is who convolves: torch's module, torch's function or cenote's module."""

    def __init__(self, shape, out, kernel, stride, pads, dilation, groups, mode, house):
        super().__init__()
        rank = len(shape) - 1
        self.around, self.mode, self.house = None, mode, house
        if house != "cenote" and not isinstance(pads, str):
            if house == "functional" or not even(pads):
                self.around, pads = flat(pads), [(0, 0)] * rank
            pads = tuple(before for before, _ in pads)
        modules = cenote.nn if house == "cenote" else nn
        inner = mode if self.around is None else "zeros"
        self.conv = getattr(modules, f"Conv{rank}d")(
            shape[0], out, kernel, stride, pads, dilation, groups, padding_mode=inner
        )
        self.function = getattr(F, f"conv{rank}d")

    def forward(self, x):
        if self.around is not None:
            x = F.pad(x, self.around, "constant" if self.mode == "zeros" else self.mode)
        if self.house != "functional":
            return self.conv(x)
        conv = self.conv
        return self.function(
            x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
        )


@block
class ConvTranspose(nn.Module):
    def __init__(self, shape, out, kernel, stride, padding, more, dilation, groups, house):
        super().__init__()
        modules = cenote.nn if house == "cenote" else nn
        self.conv = getattr(modules, f"ConvTranspose{len(shape) - 1}d")(
            shape[0], out, kernel, stride, padding, more, groups, dilation=dilation
        )

    def forward(self, x):
        return self.conv(x)


@block
class Pool(nn.Module):
    def __init__(self, shape, kind, kernel, stride, pads, dilation, ceil, house):
        super().__init__()
        rank = len(shape) - 1
        self.smooth, self.given = False, (kernel, stride, pads, dilation)
        modules = nn if house == "torch" else cenote.nn
        pads = tuple(before for before, _ in pads) if house == "torch" else pads
        name = f"{kind.capitalize()}Pool{rank}d"
        more = {"ceil_mode": ceil} | ({"dilation": dilation} if max(dilation) > 1 else {})
        if house == "functional":
            function = getattr(cenote, f"{kind}_pool{rank}d")
            self.pool = lambda x: function(x, kernel, stride, pads, **more)
        else:
            self.pool = getattr(modules, name)(kernel, stride, pads, **more)
        self.selects = kind in ("max", "min", "median")

    def forward(self, x):
        return self.added(x) if self.smooth and self.selects else self.pool(x)

    def added(self, x):
        """The sum over each window instead, by a convolution with ones."""
        kernel, stride, pads, dilation = self.given
        out = self.pool(x.detach()).shape[2:]
        around = []
        for axis, length in enumerate(x.shape[2:]):
            extent = (kernel[axis] - 1) * dilation[axis] + 1
            span = (out[axis] - 1) * stride[axis] + extent
            before = max(0, span - length) // 2 if pads == "same" else pads[axis][0]
            around.append((before, span - before - length))
        ones = torch.ones(x.shape[1], 1, *kernel, dtype=x.dtype)
        convolve = getattr(F, f"conv{len(kernel)}d")
        return convolve(F.pad(x, flat(around)), ones, None, stride, 0, dilation, x.shape[1])


@block
class Adaptive(nn.Module):
    def __init__(self, shape, kind, outputs, house):
        super().__init__()
        self.smooth, self.outputs, rank = False, outputs, len(shape) - 1
        self.function = getattr(cenote if house == "cenote" else F, f"adaptive_{kind}_pool{rank}d")
        self.average = getattr(F, f"adaptive_avg_pool{rank}d")

    def forward(self, x):
        return (self.average if self.smooth else self.function)(x, self.outputs)


@block
class Resize(nn.Module):
    def __init__(self, shape, **given):
        super().__init__()
        self.given = given

    def forward(self, x):
        return F.interpolate(x, **self.given)


@block
class Pad(nn.Module):
    def __init__(self, shape, pads, mode):
        super().__init__()
        self.pads, self.mode = flat(pads), mode

    def forward(self, x):
        return F.pad(x, self.pads, self.mode)


@block
class Slice(nn.Module):
    """``cuts`` are ``(start, stop, step)`` for each of the last axes; -1 turns an axis around."""

    def __init__(self, shape, cuts):
        super().__init__()
        self.cuts = cuts

    def forward(self, x):
        lead = x.dim() - len(self.cuts)
        x = x[(..., *(slice(start, stop, abs(step)) for start, stop, step in self.cuts))]
        turned = [lead + axis for axis, (_, _, step) in enumerate(self.cuts) if step < 0]
        return x.flip(turned) if turned else x


@block
class Select(nn.Module):
    """One place along an axis, which goes away."""

    def __init__(self, shape, axis, index):
        super().__init__()
        self.axis, self.index = axis + 1, index

    def forward(self, x):
        return x.select(self.axis, self.index)


@block
class Branches(nn.Module):
    """Several ways from here, that meet: cut to the sizes that they have in common."""

    def __init__(self, shape, parts, join, axis):
        super().__init__()
        from oracle.networks import sequence

        self.parts = nn.ModuleList(sequence(shape, part) for part in parts)
        self.join, self.axis = join, axis + 1

    def forward(self, x):
        found = [part(x) for part in self.parts]
        for axis in range(1, found[0].dim()):
            lengths = [y.shape[axis] for y in found]
            if (self.join == "cat" and axis == self.axis) or len(set(lengths)) == 1:
                continue
            least = min(lengths) if self.join == "cat" else min(n for n in lengths if n > 1)
            found = [y if y.shape[axis] <= least else y.narrow(axis, 0, least) for y in found]
        if self.join == "cat":
            return torch.cat(found, self.axis)
        total = found[0]
        for y in found[1:]:
            total = total + y if self.join == "add" else total * y
        return total


@block
class Reshape(nn.Module):
    def __init__(self, shape, to):
        super().__init__()
        self.to = to

    def forward(self, x):
        return x.reshape(x.shape[0], *self.to)


@block
class Permute(nn.Module):
    def __init__(self, shape, order):
        super().__init__()
        self.order = (0, *(axis + 1 for axis in order))

    def forward(self, x):
        return x.permute(self.order)


@block
class Shuffle(nn.Module):
    def __init__(self, shape, kind, factor):
        super().__init__()
        self.shuffle = {
            "pixel": nn.PixelShuffle,
            "unpixel": nn.PixelUnshuffle,
            "channel": nn.ChannelShuffle,
        }[kind](factor)

    def forward(self, x):
        return self.shuffle(x)


@block
class Norm(nn.Module):
    def __init__(self, shape, kind, groups=1):
        super().__init__()
        rank, channels = len(shape) - 1, shape[0]
        self.kind = kind
        if kind == "batch":
            self.norm = getattr(nn, f"BatchNorm{rank}d")(channels)
        elif kind == "instance":
            self.norm = getattr(nn, f"InstanceNorm{rank}d")(channels, affine=True)
        elif kind == "group":
            self.norm = nn.GroupNorm(groups, channels)
        else:  # "channels": every position for itself; "last": along the last axis
            self.norm = nn.LayerNorm(channels if kind == "channels" else shape[-1])

    def forward(self, x):
        if self.kind != "channels":
            return self.norm(x)
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


@block
class Linear(nn.Module):
    """Along the last axis."""

    def __init__(self, shape, out):
        super().__init__()
        self.linear = nn.Linear(shape[-1], out)

    def forward(self, x):
        return self.linear(x)


@block
class Dense(nn.Module):
    """Everything to everything, and back to ``to``."""

    def __init__(self, shape, to):
        super().__init__()
        self.linear, self.to = nn.Linear(prod(shape), prod(to)), to

    def forward(self, x):
        return self.linear(x.flatten(1)).unflatten(1, self.to)


@block
class Attention(nn.Module):
    """Over positions; channels are features."""

    def __init__(self, shape, kind):
        super().__init__()
        self.kind, channels = kind, shape[0]
        if kind == "module":
            self.attention = nn.MultiheadAttention(channels, 1, batch_first=True)
        else:
            self.project = nn.Linear(channels, 3 * channels)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        if self.kind == "module":
            mixed = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        else:
            mixed = F.scaled_dot_product_attention(*self.project(tokens).chunk(3, -1))
        return mixed.transpose(1, 2).reshape(x.shape)


@block
class Unfold(nn.Module):
    """Windows as columns; with ``back`` added up again where they came from."""

    def __init__(self, shape, kernel, dilation, padding, stride, back):
        super().__init__()
        self.given = (kernel, dilation, padding, stride)
        self.back = shape[1:] if back else None

    def forward(self, x):
        columns = F.unfold(x, *self.given)
        return columns if self.back is None else F.fold(columns, self.back, *self.given)


@block
class Fourier(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.axes, self.sizes = tuple(range(2, len(shape) + 1)), shape[1:]
        self.gain = nn.Parameter(torch.rand(*shape[1:-1], shape[-1] // 2 + 1))

    def forward(self, x):
        return torch.fft.irfftn(
            torch.fft.rfftn(x, dim=self.axes) * self.gain, self.sizes, self.axes
        )


@block
class Along(nn.Module):
    """What works along one axis: ``roll``, ``softmax``, ``mean``, ``sum``, ``cumsum``."""

    def __init__(self, shape, kind, axis, **given):
        super().__init__()
        self.kind, self.axis, self.given = kind, axis + 1, given

    def forward(self, x):
        if self.kind == "roll":
            return x.roll(self.given["shifts"], self.axis)
        return getattr(torch, self.kind)(x, dim=self.axis, **self.given)


@block
class Activation(nn.Module):
    def __init__(self, shape, kind, inplace):
        super().__init__()
        self.smooth = False
        self.act = {"relu": nn.ReLU, "silu": nn.SiLU, "leaky": nn.LeakyReLU}[kind](inplace=inplace)

    def forward(self, x):
        return F.softplus(x) if self.smooth else self.act(x)


@block
class Twice(nn.Module):
    """One convolution, called twice: a module has two receptive fields."""

    def __init__(self, shape, kernel, dilation):
        super().__init__()
        rank = len(shape) - 1
        self.conv = getattr(nn, f"Conv{rank}d")(
            shape[0], shape[0], kernel, padding="same", dilation=dilation
        )

    def forward(self, x):
        return self.conv(F.softplus(self.conv(x)))
