"""Max pooling to a fraction of the size, with windows whose places are drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _args, _checks, _ops, _sizes
from cenote.functional._families import ANY, Family, Op

__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]


@Family
def _fractional_max_pool(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
    *,
    _op: Op = ANY,
) -> Any:
    """The greatest element of windows that lie about evenly, at drawn places, as torch has it.

    ``$in -> (N, C, *output_size)``; with ``return_indices`` a pair, the second of which says where
    in its plane each element lies (Graham, Fractional Max-Pooling, 2014).

    Args:
        input: the tensor; ``N`` may be missing.
        kernel_size: the window's size: one integer, or one for every axis.
        output_size: how many windows there are along every axis.
        output_ratio: instead of that, the part of the input's size, between 0 and 1.
        return_indices: whether to return indices too.
        _random_samples: numbers in [0, 1) to place the windows by, ``(N, C, $rank)``; drawn where
            it is None.

    Raises:
        TypeError: no tensor of floats, or arguments that are no numbers.
        ValueError: arguments out of bounds, both sizes or none, or windows that do not fit.

    >>> x = torch.arange(4.0**$rank).reshape($plane)
    >>> $name(x, 2, output_size=3).flatten()[-1] == 4**$rank - 1
    tensor(True)
    """
    name, rank = _op.name, _op.rank
    kernels = _args.integers(name, "kernel_size", kernel_size, rank)
    _checks.check_tensor(name, input, rank)
    _checks.check_floating(name, input)
    lead, n = input.shape[: input.dim() - rank], input.shape[input.dim() - rank :]
    outputs = _sizes.fractional_sizes(name, n, output_size, output_ratio)
    for position, (length, kernel, count) in enumerate(zip(n, kernels, outputs, strict=True)):
        if count + kernel - 1 > length:
            raise ValueError(
                f"{name}: {_args.axis_name(rank, position)}: {count} windows of kernel {kernel} do"
                f" not fit on an input of length {length}"
            )
    if _random_samples is None:
        dtype = input.dtype if input.dtype == torch.float64 else torch.float32
        samples = torch.rand((*lead, rank), dtype=dtype, device=input.device)
    else:
        _checks.check_draws(name, _random_samples, input, rank)
        samples = _random_samples[: lead[0]] if len(lead) == 2 else _random_samples[0]
    pair = _ops.fractional(input, kernels, outputs, samples)
    return pair if return_indices else pair[0]


fractional_max_pool2d, fractional_max_pool3d = _fractional_max_pool("fractional_max_pool", (2, 3))
