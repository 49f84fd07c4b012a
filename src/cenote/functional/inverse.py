"""From small planes to large ones: what undoes pooling, as far as it can be undone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _args, _checks, _ops
from cenote._kernels import Divisor
from cenote.functional._families import ANY, Family, Op
from cenote.window import Axis, Window

__all__ = [
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "upsample_repeat1d",
    "upsample_repeat2d",
    "upsample_repeat3d",
]


@Family
def _max_unpool(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    _op: Op = ANY,
) -> Tensor:
    """Every element where its index points, and 0 everywhere else, as torch has it.

    ``$in -> $out`` with ``(L - 1)*stride + kernel_size - padding at both ends`` along an axis of
    length ``L``. Elements with index -1 go nowhere; where several have the same index, the last in
    row-major order stays and takes the gradient.

    Args:
        input: the maxima; ``N`` may be missing.
        indices: where they lie in their planes, as ``max_pool${rank}d`` returns it.
        kernel_size: the size of the pooling window; with dilation, its extent.
        stride: how far it moved on; None is ``kernel_size``.
        padding: what lay around the planes.
        output_size: the planes' sizes, or the whole tensor's, where several have the same outputs.

    Raises:
        TypeError: no tensors, or arguments that are not integers.
        ValueError: indices outside the planes, or sizes that the window does not give.

    >>> x = torch.tensor([5.0, 7.0]).reshape($pair)
    >>> $name(x, torch.tensor([3, 1]).reshape($pair), $row).flatten()
    tensor([0., 7., 0., 5.])
    """
    window = _args.pool_window(_op.name, _op.rank, kernel_size, stride, padding)
    _checks.check_tensor(_op.name, input, _op.rank)
    _checks.check_indices(_op.name, input, indices)
    sizes = _unpooled(_op, input, window, output_size)
    if _ops.eager_only(input) and _ops.eager_only(indices):  # else there are no numbers to look at
        _checks.check_places(_op.name, indices, sizes)
    return _ops.unpool(input, indices, sizes)


def _unpooled(op: Op, input: Tensor, window: Window, output_size: Any) -> tuple[int, ...]:
    """The sizes whose pooling gives the input's: those asked for, or the least that do."""
    n = input.shape[input.dim() - op.rank :]
    sizes = tuple(
        (length - 1) * axis.stride + axis.extent - sum(axis.padding)
        if axis.resolved
        else length * axis.stride
        for length, axis in zip(n, window, strict=True)
    )
    if output_size is not None:
        several = isinstance(output_size, list | tuple)
        whole = several and len(output_size) in (op.rank + 2, input.dim())  # a tensor's own sizes
        spatial = tuple(output_size[-op.rank :]) if whole else output_size
        asked = _args.integers(op.name, "output_size", spatial, op.rank)
        if torch.compiler.is_compiling():  # sizes may be symbolic, and are not to be bounded
            return asked
        for position, (size, axis) in enumerate(zip(sizes, window, strict=True)):
            if not size - axis.stride < asked[position] < size + axis.stride:
                raise ValueError(
                    f"{op.name}: {_args.axis_name(op.rank, position)}: output_size ="
                    f" {asked[position]}: must lie between {size - axis.stride} and"
                    f" {size + axis.stride}, both excluded"
                )
        return asked
    for position, (size, axis) in enumerate(zip(sizes, window, strict=True)):
        if size < 1:
            raise ValueError(
                f"{op.name}: {_args.axis_name(op.rank, position)}: {n[position]} outputs of kernel"
                f" {axis.kernel}, stride {axis.stride} and padding {axis.padding} come from no"
                " element"
            )
    return sizes


max_unpool1d, max_unpool2d, max_unpool3d = _max_unpool("max_unpool")


@Family
def _upsample_repeat(input: Tensor, scale_factor: Any, *, _op: Op = ANY) -> Tensor:
    """Every element repeated ``scale_factor`` times along every axis.

    ``$in -> $out``; the adjoint of :func:`sum_pool${rank}d` whose kernel and stride are
    ``scale_factor``: one integer, or one for every axis.

    Raises:
        TypeError: no tensor, or factors that are not integers.
        ValueError: a wrong number of dimensions, or factors below 1.

    >>> $name(torch.tensor([5.0, 7.0]).reshape($pair), $row).flatten()
    tensor([5., 5., 7., 7.])
    """
    _checks.check_tensor(_op.name, input, _op.rank)
    factors = _args.integers(_op.name, "scale_factor", scale_factor, _op.rank)
    window = Window(Axis(factor, factor) for factor in factors)
    n = input.shape[input.dim() - _op.rank :]
    sizes = tuple(length * factor for length, factor in zip(n, factors, strict=True))
    plain = input.to(torch.uint8) if input.dtype == torch.bool else input
    return _ops.linear_transpose(plain, window, sizes, Divisor(override=1)).to(input.dtype)


upsample_repeat1d, upsample_repeat2d, upsample_repeat3d = _upsample_repeat("upsample_repeat")
