"""Finds out what each operator supports by trying it, and writes that down as docs/support.md.

``python tests/support.py`` writes the page; ``test_support.py`` holds the page to what is found.
A cell is earned: the call ran, and gave what the plain reference gives, or what torch's own
derivatives give.
"""

import contextlib
import sys
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import cenote
from cenote import _kernels
from cenote.window import Axis, Window

PAGE = Path(__file__).resolve().parent.parent / "docs" / "support.md"
TYPES = {
    "f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16, "f16": torch.float16,
    "i8": torch.int8, "u8": torch.uint8, "i16": torch.int16, "i32": torch.int32,
    "i64": torch.int64, "bool": torch.bool,
}  # fmt: skip
SIZES = 7, 5, 6
FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}


def by_rank(name, *arguments, **options):
    """The function for each number of axes, with arguments."""

    def given(f):
        return lambda x: f(x, *arguments, **options)

    return {rank: given(getattr(cenote, f"{name}{rank}d")) for rank in (1, 2, 3)}


def first_places(rank):
    """The flat index of the first of two places along every axis, for each element."""
    index = torch.zeros((), dtype=torch.int64)
    for length in SIZES[:rank]:
        index = index[..., None] * 2 * length + 2 * torch.arange(length)
    return index


def unpool(rank):
    index, f = first_places(rank), getattr(cenote, f"max_unpool{rank}d")
    return lambda x: f(x, index.to(x.device).expand(x.shape), 2)


def fractional(rank):
    def call(x):
        lead = x.shape[:-rank] if x.dim() == rank + 2 else (1, *x.shape[:-rank])
        samples = torch.full((*lead, rank), 0.4)
        f = getattr(cenote, f"fractional_max_pool{rank}d")
        return f(x, 2, output_size=(3,) * rank, _random_samples=samples)

    return call


def product(rank):
    window = Window([Axis(2, 2)] * rank)
    return lambda x: cenote.pool(x, window, (torch.mul, torch.ones_like))


OPERATORS = {
    "max_pool": by_rank("max_pool", 3, 2, 1),
    "min_pool": by_rank("min_pool", 3, 2, 1),
    "avg_pool": by_rank("avg_pool", 3, 2, 1),
    "sum_pool": by_rank("sum_pool", 3, 2, 1),
    "lp_pool": by_rank("lp_pool", 3.5, 3, 2),
    "logsumexp_pool": by_rank("logsumexp_pool", 3, 2, 1),
    "gem_pool": by_rank("gem_pool", 3.0, 3, 2, 1),
    "median_pool": by_rank("median_pool", 3, 2, 1),
    "stochastic_pool, drawn": by_rank("stochastic_pool", 3, 2),
    "stochastic_pool, mean": by_rank("stochastic_pool", 3, 2, training=False),
    "mixed_pool": by_rank("mixed_pool", 3, 2, 1),
    "fractional_max_pool": {rank: fractional(rank) for rank in (2, 3)},
    "adaptive_max_pool": by_rank("adaptive_max_pool", 3),
    "adaptive_min_pool": by_rank("adaptive_min_pool", 3),
    "adaptive_avg_pool": by_rank("adaptive_avg_pool", 3),
    "adaptive_sum_pool": by_rank("adaptive_sum_pool", 3),
    "global_max_pool": by_rank("global_max_pool"),
    "global_min_pool": by_rank("global_min_pool"),
    "global_avg_pool": by_rank("global_avg_pool"),
    "global_sum_pool": by_rank("global_sum_pool"),
    "global_lp_pool": by_rank("global_lp_pool", 3.5),
    "global_logsumexp_pool": by_rank("global_logsumexp_pool"),
    "global_gem_pool": by_rank("global_gem_pool", 3.0),
    "global_median_pool": by_rank("global_median_pool"),
    "global_mixed_pool": by_rank("global_mixed_pool"),
    "max_unpool": {rank: unpool(rank) for rank in (1, 2, 3)},
    "upsample_repeat": by_rank("upsample_repeat", 2),
    "blur_pool": by_rank("blur_pool"),
    "max_blur_pool": by_rank("max_blur_pool", 2),
    "spatial_pyramid_pool": by_rank("spatial_pyramid_pool", (1, 3)),
    "sppf": by_rank("sppf", 3),
    "pool, own reduction": {rank: product(rank) for rank in (1, 2, 3)},
}


def elements(rank, dtype, offset=1):
    """Distinct positive numbers, few enough for every type; booleans alternate."""
    shape = (2, 3, *SIZES[:rank])
    count = torch.Size(shape).numel()
    order = torch.randperm(count, generator=torch.Generator().manual_seed(rank))
    if dtype == torch.bool:
        return (order % 3 == 0).reshape(shape)
    values = order % 100 if dtype in (torch.int8, torch.uint8) else order
    return (values.to(dtype) / 8 if dtype.is_floating_point else values.to(dtype)).reshape(
        shape
    ) + offset


class Seen(TorchDispatchMode):
    """The namespaces of the operators that compute something."""

    def __init__(self):
        super().__init__()
        self.spaces = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "cenote":
            self.spaces.add("cenote")
            with contextlib.nullcontext():
                return func(*args, **(kwargs or {}))
        if not any(word in func.name() for word in ("detach", "view", "alias", "empty")):
            self.spaces.add("aten")
        return func(*args, **(kwargs or {}))


def call(f, x):
    torch.manual_seed(0)  # some draw
    return f(x)


def with_reference(f, x):
    supports = _kernels.supports
    _kernels.supports = lambda _: False
    try:
        return call(f, x)
    finally:
        _kernels.supports = supports


def close(a, b):
    torch.testing.assert_close(a, b, equal_nan=True)
    return True


def computed_by(f, x):
    """How a type is served: by kernels, by kernels and torch's operators, or by torch's alone."""
    try:
        y = call(f, x)
    except TypeError:
        return "no"
    assert close(y, with_reference(f, x))
    with Seen() as seen:
        call(f, x)
    if seen.spaces == {"cenote"}:
        return "native"
    return "with torch" if "cenote" in seen.spaces else "torch"


def one_word(cells):
    assert len(set(cells)) == 1, cells
    return cells[0]


def types_of(ranks):
    """How each type is served, alike in every rank."""
    return {
        name: one_word([computed_by(f, elements(rank, dtype)) for rank, f in ranks.items()])
        for name, dtype in TYPES.items()
    }


def layouts_of(ranks):
    """The layouts that give the same numbers, and whether they are kept."""
    found = ["contiguous"]
    kept = []
    for rank, f in ranks.items():
        x = elements(rank, torch.float32)
        expected = call(f, x)
        assert close(call(f, x.flip(-1).flip(-1).mT.contiguous().mT), expected)
        spread = torch.zeros(*x.shape[:-1], 2 * x.shape[-1])[..., ::2].copy_(x)
        assert close(call(f, spread), expected)
        if rank in FORMATS:
            y = call(f, x.contiguous(memory_format=FORMATS[rank]))
            assert close(y, expected)
            kept.append(y.dim() == rank + 2 and y.is_contiguous(memory_format=FORMATS[rank]))
    found.append("channels last" if all(kept) else "channels last in, contiguous out")
    return ", ".join([*found, "any strides"])


def gradient(f, x):
    return torch.autograd.gradcheck(
        lambda t: call(f, t), x.double().requires_grad_(), fast_mode=True
    )


def second_gradient(f, x):
    return torch.autograd.gradgradcheck(
        lambda t: call(f, t), x.double().requires_grad_(), fast_mode=True
    )


def forward_mode(f, x):
    x = x.double()
    t = x.flip(-1)
    tangent = torch.func.jvp(lambda v: call(f, v), (x,), (t,))[1]
    difference = (call(f, x + 1e-6 * t) - call(f, x - 1e-6 * t)) / 2e-6
    torch.testing.assert_close(tangent, difference, rtol=1e-5, atol=1e-5)
    return bool(tangent.abs().sum() > 0)


def mapped(f, x):
    """Over the batch: each image as if it were alone."""
    if "drawn" in getattr(f, "what", ""):
        return torch.vmap(f, randomness="different")(x).shape == f(x).shape
    return close(torch.vmap(f, in_dims=1)(x.movedim(0, 1)), torch.stack([f(t) for t in x]))


def compiled(f, x):
    torch._dynamo.reset()
    return close(call(torch.compile(f, fullgraph=True, backend="eager"), x), call(f, x))


def exported(f, x):
    class Net(torch.nn.Module):
        def forward(self, x):
            return f(x)

    batch = torch.export.Dim("batch", min=2, max=9)
    program = torch.export.export(Net(), (x,), dynamic_shapes=({0: batch},)).module()
    return close(call(program, x), call(f, x))


def meta(f, x):
    y = call(f, x.to("meta"))
    return (y.shape, y.dtype) == (call(f, x).shape, x.dtype)


FEATURES = {
    "gradient": gradient, "second gradient": second_gradient, "forward mode": forward_mode,
    "vmap": mapped, "compile": compiled, "export": exported, "meta": meta,
}  # fmt: skip


def features_of(name, ranks):
    """The features that hold, tried on two dimensions."""
    f = ranks[2]
    if "drawn" in name:  # a mark for what may be asked of it

        def f(x, g=ranks[2]):
            return g(x)

        f.what = "drawn"
    return {feature: attempt(check, f) for feature, check in FEATURES.items()}


def attempt(check, f):
    try:
        return bool(check(f, elements(2, torch.float32)))
    except Exception:  # whatever it is, the feature is not there
        return False


def page():
    """docs/support.md as it ought to be."""
    head = ["operator", "dimensions", *TYPES, "layouts"]
    types = [row(head), row(["---"] * len(head))]
    features = [row(["operator", *FEATURES]), row(["---"] * (len(FEATURES) + 1))]
    for name, ranks in OPERATORS.items():
        served = types_of(ranks)
        dimensions = ", ".join(map(str, ranks))
        types.append(row([f"`{name}`", dimensions, *served.values(), layouts_of(ranks)]))
        held = features_of(name, ranks)
        features.append(row([f"`{name}`", *("yes" if h else "no" for h in held.values())]))
    return TEXT.format(types="\n".join(types), features="\n".join(features))


def row(cells):
    return f"| {' | '.join(cells)} |"


TEXT = """# What is supported

Written by `python tests/support.py`, which tries every cell; `tests/test_support.py` holds this
page to what it finds. What the operators compute is in [semantics.md](semantics.md).

## Types, layouts, dimensions

On the CPU. *native*: kernels of our own do all of it. *with torch*: kernels and operators of
torch. *torch*: operators of torch alone. *no*: refused with a `TypeError` that says why. Each cell
gave what the plain reference gives, in every dimension named.

{types}

Where a layout is kept, the output lies in memory as the input does.

## Inside PyTorch

Tried on two dimensions. *gradient* and *second gradient* are held to finite differences, *forward
mode* (`torch.func.jvp`) too, with tangents that are not zero; *vmap* to a loop; *compile*
(`fullgraph=True`), *export* (with a dynamic batch) and *meta* to the call itself.

{features}

## Convolutions

`conv`, `shuffled_conv`, `depthwise_conv`, `causal_conv`, `conv_transpose`, `locally_connected`,
`convolve`, `conv_matrix` and `stage` take what torch's convolutions take: every type but booleans,
any layout, any device, and all of the above: under every transform they are torch's. In plain eager
mode kernels of our own serve f32 and f64, contiguous, in one and two dimensions, where they are
quicker; see [convolution.md](convolution.md).

Which operators become standard ONNX nodes is held by `tests/test_onnx_export.py`.
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
