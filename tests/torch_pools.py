"""torch's own operators, for the cases and element types that they take."""

import torch
import torch.nn.functional as F

from inputs import FLOATS, INTEGERS

WIDE = (torch.float32, torch.float64)


def element_types(reduce, rank):
    """What torch 2.13 takes on the CPU; minima are maxima of the opposite numbers."""
    if reduce == "max":
        return FLOATS if rank == 1 else (*FLOATS, *INTEGERS)
    if reduce == "avg":
        return (*(FLOATS if rank < 3 else WIDE), torch.int64)
    return {"min": FLOATS, "sum": WIDE}.get(reduce, ())


def torch_pool(case, op, options, dtype):
    """torch's call for a case as ``x -> (values, indices or None)``; None where it has none."""
    rank, arguments = case.window.rank, case.arguments()
    if arguments is None or op.mode != "identity" or dtype not in element_types(op.reduce, rank):
        return None
    if "output_size" in arguments:
        return _adaptive(op, rank, arguments["output_size"], dtype)
    axes = case.window.at(case.n)
    if any(a.before != a.after or 2 * a.before > a.kernel for a in axes):
        return None
    arguments["padding"] = tuple(a.before for a in axes)
    if op.reduce in ("max", "min"):
        return _best(op.reduce, getattr(F, f"max_pool{rank}d"), **arguments)
    if any(a.dilation != 1 for a in axes) or "rounding" in options:
        return None
    if rank == 3 and any(a.kernel > n for a, n in zip(axes, case.n, strict=True)):
        return None  # torch's averages in 3-D refuse such windows, padding or not
    del arguments["dilation"]
    if op.reduce == "sum":
        options = {"divisor_override": 1}
    if rank == 1 and "divisor_override" in options:
        return None
    pool = getattr(F, f"avg_pool{rank}d")
    return lambda x: (pool(x, **arguments, **options), None)


def _best(reduce, pool, *args, **kwargs):
    sign = 1 if reduce == "max" else -1

    def best(x):
        if x.dim() == 5:  # in channels_last_3d torch's index of nothing but -inf is a wrong one
            x = x.contiguous()
        values, indices = pool(sign * x if sign < 0 else x, *args, **kwargs, return_indices=True)
        return sign * values if sign < 0 else values, indices

    return best


def _adaptive(op, rank, sizes, dtype):
    if op.options.get("divisor_override") or op.reduce == "sum" or not dtype.is_floating_point:
        return None
    if op.reduce in ("max", "min"):
        return _best(op.reduce, getattr(F, f"adaptive_max_pool{rank}d"), sizes)
    pool = getattr(F, f"adaptive_avg_pool{rank}d")
    return lambda x: (pool(x, sizes), None)
