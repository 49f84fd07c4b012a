"""Random networks of up to twelve blocks, as data that can be read and built again.

A failing example prints as ``Network(shape=..., steps=[Step('Conv', {...}), ...])``; paste it and
call :func:`build`. Shapes are of one sample, ``(C, *n)``; what comes out of a block is found by
running it.
"""

from math import prod
from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import nn

from oracle.blocks import BLOCKS

LARGEST = 2_000
"""The most elements that a sample has anywhere: the NaN oracle runs hundreds of samples at once."""
SPATIAL = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Step(NamedTuple):
    name: str
    given: dict


class Network(NamedTuple):
    shape: tuple
    steps: list


def build(network):
    """The network, in float64, as it would be used."""
    return sequence(network.shape, network.steps)


def sequence(shape, steps):
    blocks = nn.Sequential()
    for step in steps:
        blocks.append(made(shape, step))
        shape = after(blocks[-1], shape)
    return blocks


def made(shape, step):
    return BLOCKS[step.name](shape, **step.given).double().eval()


def after(block, shape):
    """The shape that a block makes of a shape."""
    with torch.no_grad():
        return tuple(block(torch.ones(1, *shape, dtype=torch.float64)).shape[1:])


def all_steps(steps):
    """Those in branches too."""
    for step in steps:
        yield step
        for part in step.given.get("parts", ()):
            yield from all_steps(part)


def each(draw, strategy, count):
    return tuple(draw(strategy) for _ in range(count))


def sliding(draw, n, padded=True, most=4):
    """Kernels, strides, paddings and dilations for lengths ``n``; at least one output each."""
    kernel = tuple(draw(st.integers(1, min(most, length))) for length in n)
    dilation = tuple(
        draw(st.integers(1, min(3, (length - 1) // (k - 1) if k > 1 else 3)))
        for k, length in zip(kernel, n, strict=True)
    )
    stride = each(draw, st.sampled_from([1, 1, 1, 2, 2, 3]), len(n))
    pads = []
    for k, d, length in zip(kernel, dilation, n, strict=True):
        extent = (k - 1) * d + 1
        end = st.integers(0, max(0, min(extent - 1, length - 1)))
        pads.append((draw(end), draw(end)) if padded else (0, 0))
    return kernel, stride, tuple(pads), dilation


def conv(draw, shape):
    channels, n = shape[0], shape[1:]
    kernel, stride, pads, dilation = sliding(draw, n, draw(st.booleans()))
    mode = draw(st.sampled_from(["zeros"] * 5 + ["reflect", "replicate", "circular"]))
    house = draw(st.sampled_from(["torch", "torch", "functional", "cenote"]))
    if draw(st.integers(0, 4)) == 0 and house != "functional":
        pads, stride = "same", stride if house == "cenote" else (1,) * len(n)
        mode = "zeros"
    elif mode == "zeros" and draw(st.integers(0, 9)) == 0:  # more than any window spans
        pads = tuple((before + 4, after) for before, after in pads)
    groups = draw(st.sampled_from([g for g in (1, 1, 2, 3, channels) if channels % g == 0]))
    return {
        "out": groups * draw(st.integers(1, 2 if groups > 1 else 3)),
        "kernel": kernel, "stride": stride, "pads": pads, "dilation": dilation,
        "groups": groups, "mode": mode, "house": house,
    }  # fmt: skip


def conv_transpose(draw, shape):
    channels, rank = shape[0], len(shape) - 1
    kernel = each(draw, st.integers(1, 4), rank)
    stride = each(draw, st.integers(1, 3), rank)
    dilation = each(draw, st.sampled_from([1, 1, 2]), rank)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(
        draw(st.integers(0, min(extent - 1, max(0, ((length - 1) * s + extent - 1) // 2))))
        for extent, length, s in zip(extents, shape[1:], stride, strict=True)
    )
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    groups = draw(st.sampled_from([1, 1, channels]))
    return {
        "out": groups * draw(st.integers(1, 2)), "kernel": kernel, "stride": stride,
        "padding": padding, "more": more, "dilation": dilation, "groups": groups,
        "house": draw(st.sampled_from(["torch", "torch", "cenote"])),
    }  # fmt: skip


def pool(draw, shape):
    kernel, stride, pads, dilation = sliding(draw, shape[1:])
    house = draw(st.sampled_from(["torch", "torch", "cenote", "functional"]))
    kind = draw(st.sampled_from(["max", "avg"]))
    if house == "torch":
        pads = tuple((min(b, k // 2),) * 2 for (b, _), k in zip(pads, kernel, strict=True))
        dilation = dilation if kind == "max" else (1,) * len(kernel)
    else:
        kind = draw(st.sampled_from(["max", "min", "avg", "sum"]))
        pads = "same" if draw(st.integers(0, 3)) == 0 else pads
    return {
        "kind": kind, "kernel": kernel, "stride": stride, "pads": pads, "dilation": dilation,
        "ceil": draw(st.booleans()) and kind != "sum" and pads != "same", "house": house,
    }  # fmt: skip


def adaptive(draw, shape):
    whole = draw(st.integers(0, 2)) == 0
    outputs = tuple(1 if whole else draw(st.integers(1, n + 1)) for n in shape[1:])
    kind, house = draw(st.sampled_from(["max", "avg"])), draw(st.sampled_from(["torch", "cenote"]))
    return {"kind": kind, "outputs": outputs, "house": house}


def resize(draw, shape):
    rank = len(shape) - 1
    modes = ["nearest", "nearest-exact", SPATIAL[rank]] + ["bicubic"] * (rank == 2)
    mode, given = draw(st.sampled_from(modes)), {}
    if draw(st.booleans()):
        given["size"] = tuple(draw(st.integers(1, 2 * n)) for n in shape[1:])
    else:
        scales = st.sampled_from([2.0, 3.0, 1.5, 0.5] if min(shape[1:]) > 1 else [2.0, 3.0])
        given["scale_factor"] = each(draw, scales, rank)
    if "nearest" not in mode:
        given["align_corners"] = draw(st.booleans())
        if rank == 2 and not given["align_corners"]:
            # Where one column comes out, torch's own result is wrong: every row is the first.
            one_column = "size" in given and given["size"][-1] == 1 < given["size"][0]
            given["antialias"] = draw(st.integers(0, 3)) == 0 and not one_column
    return {"mode": mode, **given}


def pad(draw, shape):
    mode = draw(st.sampled_from(["constant", "constant", "reflect", "replicate", "circular"]))
    ends = []
    for n in shape[1:]:
        least = -((n - 1) // 2) if mode == "constant" and draw(st.booleans()) else 0
        ends.append(each(draw, st.integers(max(-3, least), min(4, n - 1)), 2))
    return {"pads": tuple(ends), "mode": mode}


def cut(draw, shape):
    cuts = []
    for n in shape[1:]:
        start = draw(st.integers(0, (n - 1) // 2))
        stop = draw(st.integers(max(start + 1, n // 2), n))
        cuts.append((start, stop, draw(st.sampled_from([1, 1, 2, 3, -1, -2]))))
    return {"cuts": tuple(cuts)}


def select(draw, shape):
    axis = draw(st.integers(1, len(shape) - 1))
    return {"axis": axis, "index": draw(st.integers(0, shape[axis] - 1))}


def branches(draw, shape, depth):
    if depth > 1:
        return None
    count = draw(st.integers(2, 3))
    parts = [draw_steps(draw, shape, draw(st.integers(0, 3)), depth + 1)[0] for _ in range(count)]
    join = draw(st.sampled_from(["cat", "cat", "add", "mul"]))
    ends = [after(sequence(shape, part), shape) for part in parts]
    if len({len(end) for end in ends}) > 1:
        return None
    return {"parts": parts, "join": join, "axis": draw(st.integers(0, len(ends[0]) - 1))}


def reshape(draw, shape):
    """Neighbouring axes put together, or one taken apart."""
    axis = draw(st.integers(0, len(shape) - 2))
    factors = [f for f in (2, 3, 4) if shape[axis] % f == 0 and shape[axis] > f]
    if factors and len(shape) < 4 and draw(st.booleans()):
        factor = draw(st.sampled_from(factors))
        return {"to": (*shape[:axis], factor, shape[axis] // factor, *shape[axis + 1 :])}
    return {"to": (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])}


def shuffle(draw, shape):
    kinds = {"channel": (shape[0], 2), "pixel": (shape[0], 4)}
    fits = [kind for kind, (size, factor) in kinds.items() if size % factor == 0]
    fits = fits if len(shape) == 3 else [kind for kind in fits if kind == "channel"]
    if len(shape) == 3 and shape[1] % 2 == shape[2] % 2 == 0:
        fits.append("unpixel")
    return {"kind": draw(st.sampled_from(fits)), "factor": 2} if fits else None


def norm(draw, shape):
    kinds = ["batch"] * 4 + ["channels"] * 2 * (shape[0] > 1) + ["last"] * (shape[-1] > 1)
    kinds += ["instance", "group"] * (prod(shape[1:]) > 1)
    kind = draw(st.sampled_from(kinds))
    groups = [g for g in (1, 2, shape[0]) if shape[0] % g == 0]
    return {"kind": kind, "groups": draw(st.sampled_from(groups))}


def dense(draw, shape):
    to = (draw(st.integers(1, 2)), *(draw(st.integers(2, 5)) for _ in range(2)))
    return {"to": to} if prod(shape) < 400 else None


def attention(draw, shape):
    few = prod(shape[1:]) <= 64  # every token looks at every other, in every sample
    return {"kind": draw(st.sampled_from(["module", "function"]))} if few else None


def unfold(draw, shape):
    if len(shape) != 3:
        return None
    kernel, stride, _, dilation = sliding(draw, shape[1:], padded=False, most=3)
    padding = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    back = draw(st.booleans())
    return {
        "kernel": kernel, "dilation": dilation, "padding": padding, "stride": stride, "back": back,
    }  # fmt: skip


def along(draw, shape):
    kind = draw(st.sampled_from(["roll", "roll", "softmax", "mean", "sum", "cumsum"]))
    axis, given = draw(st.integers(0, len(shape) - 1)), {}
    kind = "cumsum" if kind == "softmax" and shape[axis] == 1 else kind  # else always 1
    if kind == "roll":
        given["shifts"] = draw(st.integers(-5, 5))
    elif kind in ("mean", "sum"):
        given["keepdim"] = len(shape) < 3 or draw(st.booleans())
    return {"kind": kind, "axis": axis, **given}


DRAWN = {
    "Conv": (8, conv),
    "Pool": (6, pool),
    "ConvTranspose": (3, conv_transpose),
    "Resize": (2, resize),
    "Pad": (3, pad),
    "Slice": (2, cut),
    "Branches": (4, branches),
    "Norm": (2, norm),
    "Activation": (
        3,
        lambda draw, shape: {
            "kind": draw(st.sampled_from(["relu", "silu", "leaky"])),
            "inplace": draw(st.booleans()),
        },
    ),
    "Twice": (1, lambda draw, shape: {"kernel": draw(st.integers(1, 3)), "dilation": 1}),
    "Adaptive": (1, adaptive),
    "Select": (1, lambda draw, shape: select(draw, shape) if len(shape) > 2 else None),
    "Reshape": (1, lambda draw, shape: reshape(draw, shape) if len(shape) > 2 else None),
    "Permute": (1, lambda draw, shape: {"order": tuple(draw(st.permutations(range(len(shape)))))}),
    "Shuffle": (1, shuffle),
    "Linear": (1, lambda draw, shape: {"out": draw(st.integers(1, 6))}),
    "Dense": (1, dense),
    "Attention": (1, attention),
    "Unfold": (1, unfold),
    "Fourier": (1, lambda draw, shape: {}),
    "Along": (2, along),
}
"""By block, how often it is drawn and what draws its numbers; None where it does not fit."""
BAG = [name for name, (weight, _) in DRAWN.items() for _ in range(weight)]


def draw_steps(draw, shape, count, depth=0):
    """Steps from ``shape`` on, and what they end in."""
    steps = []
    for _ in range(count):
        name = draw(st.sampled_from(BAG))
        drawn = DRAWN[name][1]
        given = drawn(draw, shape, depth) if name == "Branches" else drawn(draw, shape)
        if given is None:
            continue
        step = Step(name, given)
        end = after(made(shape, step), shape)
        if 2 <= len(end) <= 4 and 0 < prod(end) <= LARGEST:
            steps.append(step)
            shape = end
    return steps, shape


@st.composite
def networks(draw, most=12):
    """Of one, two (mostly) or three axes, on inputs of some 300 positions at most."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 2, 3]))
    longest = {1: 40, 2: 17, 3: 7}[rank]
    n = tuple(draw(st.integers(longest // 3, longest)) for _ in range(rank))
    shape = (draw(st.integers(1, 3)), *n)
    steps, _ = draw_steps(draw, shape, draw(st.integers(2, most)))
    return Network(shape, steps)
