"""The operators as the tests call them, and what the oracle says of them in torch's terms."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

import oracle
from inputs import ELEMENT_TYPES, FLOATS, INTEGERS
from oracle import bounds
from oracle.walk import walk

SELECTIONS = ("max", "min", "median")
NUMBERS = (*FLOATS, *INTEGERS)


@dataclass(frozen=True)
class Op:
    """An operator: a reduction, what else ``cenote.pool`` takes with it, and its element types."""

    name: str
    reduce: str
    options: dict = field(default_factory=dict, hash=False)
    dtypes: tuple = FLOATS

    def __str__(self):
        return self.name

    @property
    def selects(self):
        """Whether it picks an element: exact, with an index."""
        return self.reduce in SELECTIONS

    @property
    def mode(self):
        return self.options.get("padding_mode", "identity")

    def on(self, case):
        """The operator's options for a case: the case knows what to divide by instead."""
        given = dict(self.options)
        if "divisor_override" in given:
            given["divisor_override"] = case.divisor_override
        return given

    def padded(self, mode):
        """The same operator where padding shows something else."""
        if mode == "identity":
            return self
        return replace(
            self, name=f"{self.name}_{mode}", options={**self.options, "padding_mode": mode}
        )


OPS = (
    Op("max", "max"),
    Op("avg", "avg", {"count_include_pad": True}),
    Op("avg_inside", "avg", {"count_include_pad": False}),
    Op("avg_override", "avg", {"divisor_override": 7}),
)
"""The two classics, for tests of every combination."""

OPERATORS = (
    *(replace(op, dtypes=ELEMENT_TYPES if op.selects else NUMBERS) for op in OPS),
    Op("min", "min", dtypes=ELEMENT_TYPES),
    Op("median", "median", dtypes=NUMBERS),
    Op("avg_half_even", "avg", {"rounding": "half_even"}, INTEGERS),
    Op("sum", "sum", dtypes=ELEMENT_TYPES),
    Op("lp_half", "lp", {"norm_type": 0.5}),
    Op("lp_1", "lp", {"norm_type": 1}),
    Op("lp_2", "lp", {"norm_type": 2.0}),
    Op("lp_2_7", "lp", {"norm_type": 2.7}),
    Op("lp_inf", "lp", {"norm_type": float("inf")}),
    Op("logsumexp", "logsumexp"),
    Op("logmeanexp_sharp", "logsumexp", {"sharpness": 4.0, "mean": True}),
    Op("logsumexp_min", "logsumexp", {"sharpness": -1.5}),
    Op("gem", "gem", {"p": 3.0}),
    Op("gem_fraction", "gem", {"p": 0.7, "eps": 0.05}),
    Op("mixed", "mixed"),
    Op("mixed_inside", "mixed", {"alpha": 0.3, "count_include_pad": False}),
)
"""Every sliding operator, with the options that make it another one."""


def shows(mode, window, n):
    """Whether padding has something to show: an element to mirror, a line no shorter than it."""
    if mode in ("identity", "zeros", "replicate"):
        return True
    ends = [
        max(oracle.padding(axis, length)) if hasattr(axis, "before") else 0
        for axis, length in zip(window, n, strict=True)
    ]
    return all(e < length + (mode == "circular") for e, length in zip(ends, n, strict=True))


# What is expected.


@dataclass
class Expected:
    """What the oracle says; without a slack to the bit, and an infinite slack claims nothing."""

    values: torch.Tensor
    grad: torch.Tensor | None = None
    indices: torch.Tensor | None = None
    slack: torch.Tensor | None = None
    grad_slack: torch.Tensor | None = None


def to_numpy(x):
    """The same numbers; those of half types in float64, for want of such types in NumPy."""
    return (x.double() if x.is_floating_point() else x).resolve_neg().numpy()


def to_torch(array):
    """In float64, if it is not of integers."""
    array = array.astype(np.float64) if array.dtype.kind == "f" else array
    return torch.from_numpy(np.ascontiguousarray(array))


def arithmetic(dtype):
    return bounds.ARITHMETIC[str(dtype).removeprefix("torch.")]


def expect(op, window, x, grad, options):
    """The oracle's answer on a tensor ``x`` and, for floating types, a gradient of the output."""
    given = {"mode": options.get("padding_mode", "identity"), **options}
    given.pop("padding_mode", None)
    array = to_numpy(x)
    if op.selects:
        return _selection(op, window, x, array, grad, given["mode"])
    if not x.is_floating_point():
        function = {"sum": oracle.sum_pool, "avg": oracle.avg_pool}[op.reduce]
        return Expected(to_torch(function(array, window, **given)))
    values, slack, back, back_slack = _WAYS[op.reduce](
        arithmetic(x.dtype), array, to_numpy(grad), window, **given
    )
    a = arithmetic(x.dtype)
    slack = a.end(values, slack)
    back_slack = np.where(np.isnan(back), np.inf, a.end(back, back_slack))  # NaN: not claimed
    assert not np.isnan(slack).any()
    assert not np.isnan(back_slack).any()
    expected = Expected(*map(to_torch, (values, back)), None, *map(to_torch, (slack, back_slack)))
    exact = _exact(op, window, x, array, given)
    if exact is not None:
        expected.values, expected.slack = exact, None
    return expected


def _selection(op, window, x, array, grad, mode):
    values, indices = oracle.select_pool(array, window, op.reduce, mode)
    found = Expected(to_torch(values).to(x.dtype), None, to_torch(indices))
    if x.is_floating_point():
        given, rank = to_numpy(grad), len(window)
        back = oracle.select_pool_backward(given, indices, array.shape, rank)
        found.grad = to_torch(back).to(x.dtype)
        if not (given == np.round(given)).all():  # sums of small integers are exact in any order
            a, walked = arithmetic(x.dtype), walk(window, array.shape[-rank:], mode)
            sizes = oracle.select_pool_backward(abs(given), indices, array.shape, rank)
            found.grad = to_torch(back)
            found.grad_slack = to_torch(bounds.linear(a, back, sizes, walked.readers))
    return found


def _exact(op, window, x, array, given):
    """Sums of a few small integers are exact in any order, and their average is rounded once."""
    if op.reduce not in ("avg", "sum"):
        return None
    sizes = oracle.sum_pool(abs(array), window, given["mode"])
    if not (array == np.round(array)).all() or sizes.max(initial=0) >= 2**24:
        return None
    kind = np.float64 if x.dtype is torch.float64 else np.float32
    total = oracle.sum_pool(array, window, given["mode"]).astype(kind) + kind(0)  # no -0
    if op.reduce == "avg":
        walked = walk(window, array.shape[-len(window) :], given["mode"])
        by = oracle.sums.divisors(
            walked, given.get("count_include_pad", True), given.get("divisor_override")
        )
        total = total / by.reshape(walked.out).astype(kind)
    return torch.from_numpy(np.ascontiguousarray(total)).to(x.dtype)


# For every reduction with rounding: values, their bound, gradient, its bound.


def _linear(a, window, x, mode, forward, backward, grad, sizes=None):
    """Sizes are those of the sums of absolute values, whose divisor may be negative."""
    walked = walk(window, x.shape[-len(window) :], mode)
    values, back = forward(x), backward(grad)
    sizes = abs(forward(abs(x))) if sizes is None else sizes
    back_sizes = abs(backward(abs(grad)))
    slack = a.gamma(walked.longest + 2) * sizes + walked.longest * a.tiny
    return values, slack, back, a.gamma(walked.readers + 2) * back_sizes + walked.readers * a.tiny


def _avg(a, x, grad, window, mode, rounding="trunc", **given):
    del rounding  # of integers alone
    return _linear(
        a, window, x, mode,
        lambda t: oracle.avg_pool(t, window, **given, mode=mode),
        lambda g: oracle.avg_pool_backward(g, window, x.shape, **given, mode=mode),
        grad,
    )  # fmt: skip


def _sum(a, x, grad, window, mode):
    return _linear(
        a, window, x, mode,
        lambda t: oracle.sum_pool(t, window, mode),
        lambda g: oracle.sum_pool_backward(g, window, x.shape, mode),
        grad,
    )  # fmt: skip


def _blur(a, x, grad, window, mode):
    """Weights are exact; their products with elements round, one an axis where axes go in turn."""
    return _linear(
        a, window, x, mode,
        lambda t: oracle.blur_pool(t, window, mode),
        lambda g: oracle.blur_pool_backward(g, window, x.shape, mode),
        grad,
        2 * oracle.blur_pool(abs(x), window, mode),
    )  # fmt: skip


def _mixed(a, x, grad, window, mode, alpha=0.5, count_include_pad=True):
    given = {"alpha": alpha, "count_include_pad": count_include_pad, "mode": mode}
    sizes = bounds.mixed_sizes(x, window, **given)
    values, slack, back, back_slack = _linear(
        a, window, x, mode,
        lambda t: oracle.mixed_pool(t, window, **given),
        lambda g: oracle.mixed_pool_backward(g, x, window, **given),
        grad,
        sizes,
    )  # fmt: skip
    return values, slack + 3 * a.unit * sizes, back, 3 * back_slack


def _lp(a, x, grad, window, mode, norm_type):
    given = {"p": float(norm_type), "mode": mode}
    return (
        oracle.lp_pool(x, window, **given),
        bounds.lp(a, x, window, **given),
        oracle.lp_pool_backward(grad, x, window, **given),
        bounds.lp_backward(a, grad, x, window, **given),
    )


def _logsumexp(a, x, grad, window, mode, sharpness=1.0, mean=False):
    given = {"sharpness": sharpness, "mean": mean, "mode": mode}
    return (
        oracle.logsumexp_pool(x, window, **given),
        bounds.logsumexp(a, x, window, **given),
        oracle.logsumexp_pool_backward(grad, x, window, **given),
        bounds.logsumexp_backward(a, grad, x, window, **given),
    )


def _gem(a, x, grad, window, mode, p, eps=1e-6):
    given = {"p": p, "eps": eps, "mode": mode}
    return (
        oracle.gem_pool(x, window, **given),
        bounds.gem(a, x, window, **given),
        oracle.gem_pool_backward(grad, x, window, **given),
        bounds.gem_backward(a, grad, x, window, **given),
    )


_WAYS = {
    "avg": _avg,
    "sum": _sum,
    "blur": _blur,
    "mixed": _mixed,
    "lp": _lp,
    "logsumexp": _logsumexp,
    "gem": _gem,
}
