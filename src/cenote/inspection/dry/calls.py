"""What would fit a function that does not take the tensors that it gets: a rule for each family.

These are the calls that a module's ``forward`` makes itself. A rule tells what is wrong, and gives
a result of the shape that was probably meant, so that the network goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor

from cenote.inspection.dry.misfit import Finding, Shape, listed, sizes
from cenote.inspection.dry.windows import least_sizes

__all__ = ["finding_of", "plain_name", "silently_wrong", "tensors_in"]

Owners = dict[int, str]
"""The names of parameters and buffers, by their identity."""
Rule = Callable[[str, Callable[..., Any], tuple[Any, ...], dict[str, Any], Owners], Finding | None]

_ELEMENTWISE = frozenset(
    {
        "add", "addcdiv", "addcmul", "and", "atan2", "copysign", "div", "eq", "floordiv", "fmod",
        "ge", "gt", "hypot", "iadd", "imul", "isub", "itruediv", "le", "lerp", "logical_and",
        "logical_or", "logical_xor", "lt", "masked_fill", "maximum", "minimum", "mul", "ne", "or",
        "pow", "radd", "rdiv", "remainder", "rmul", "rpow", "rsub", "sub", "true_divide", "truediv",
        "where", "xor",
    }
)  # fmt: skip
_PRODUCTS = frozenset({"matmul", "rmatmul", "mm", "bmm"})
_JOINING = frozenset({"cat", "concat", "concatenate", "stack"})


def plain_name(func: Any) -> str:
    """``add`` for ``torch.add``, ``Tensor.add_`` and ``Tensor.__add__``."""
    return str(getattr(func, "__name__", func)).strip("_")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors among arguments, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def silently_wrong(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Why tensors with numbers would be refused where those without pass; "" where not."""
    if not (name == "linear" or name.startswith("conv")) or len(args) < 2:
        return ""
    x, weight = args[:2]
    if not (isinstance(x, Tensor) and isinstance(weight, Tensor)):
        return ""
    if name.startswith("conv_transpose") and x.dim() >= weight.dim() - 1:
        channels = x.shape[x.dim() - weight.dim() + 1]
        if channels != weight.shape[0]:
            return f"{name}: {channels} channels, where the weight has {weight.shape[0]}"
    if x.dtype != weight.dtype and not torch.is_autocast_enabled("cpu"):
        return f"{name}: elements of {x.dtype}, where the weight has {weight.dtype}"
    return ""


def finding_of(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], owners: Owners
) -> Finding | None:
    """What does not fit in ``func(*args, **kwargs)``; None where that is not known."""
    name = plain_name(func)
    rule = _RULES.get(name)
    if rule is None and name in _ELEMENTWISE:
        rule = _elementwise
    elif rule is None and (name.endswith(("pool1d", "pool2d", "pool3d")) or name == "unfold"):
        rule = _pool
    return rule(name, func, args, kwargs, owners) if rule is not None else None


def _together(shapes: list[Shape]) -> tuple[Shape, list[int]]:
    """What shapes broadcast to as if they fitted, and the dimensions, from the end, that do not."""
    rank = max(map(len, shapes))
    full = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    columns = [{length for length in column if length != 1} for column in zip(*full, strict=True)]
    wrong = [at - rank for at, column in enumerate(columns) if len(column) > 1]
    return tuple(max(column, default=1) for column in columns), wrong


def _elementwise(
    name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], owners: Owners
) -> Finding | None:
    given = list(tensors_in((args, kwargs)))
    shapes = [tuple(t.shape) for t in given]
    if len(shapes) < 2:
        return None
    result, wrong = _together(shapes)
    if not wrong:
        return None
    rank = len(result)
    dims = listed(at + rank for at in wrong)
    few = "dimension" if len(wrong) == 1 else "dimensions"
    verb = "differs" if len(wrong) == 1 else "differ"
    dtype = given[0].dtype
    return Finding(
        f"{name} of {listed(map(sizes, shapes))}: {few} {dims} {verb}",
        got=tuple(shapes), cause="joined", result=given[0].new_empty(result, dtype=dtype),
    )  # fmt: skip


def _join(
    name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], owners: Owners
) -> Finding | None:
    given = list(tensors_in((args, kwargs)))
    if len(given) < 2:
        return None
    dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
    shapes, rank = [tuple(t.shape) for t in given], given[0].dim()
    if len({len(shape) for shape in shapes}) > 1:
        return Finding(
            f"{name} of {listed(map(sizes, shapes))}: not as many dimensions", got=tuple(shapes),
            cause="dimensions",
        )  # fmt: skip
    stacked = name == "stack"
    along = None if stacked else dim % rank
    wrong = [at for at in range(rank) if at != along and len({shape[at] for shape in shapes}) > 1]
    if not wrong:
        return None
    biggest = [max(shape[at] for shape in shapes) for at in range(rank)]
    fitted = [
        t.new_empty([n if at == along else biggest[at] for at, n in enumerate(t.shape)])
        for t in given
    ]
    where = "" if stacked else f" along dimension {dim}"
    all_but = "all dimensions" if stacked else "all others"
    several = f"dimension{'s' if len(wrong) > 1 else ''} {listed(wrong)}"
    verb = "differ" if len(wrong) > 1 else "differs"
    return Finding(
        f"{name}{where} of {listed(map(sizes, shapes))}: {all_but} must be equal, {several} {verb}",
        got=tuple(shapes), cause="joined", result=func(fitted, dim),
    )  # fmt: skip


def _product(
    name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], owners: Owners
) -> Finding | None:
    given = list(tensors_in((args, kwargs)))[:2]
    if len(given) < 2 or min(t.dim() for t in given) < 2:
        return None
    first, second = given[::-1] if name == "rmatmul" else given
    shapes = (tuple(first.shape), tuple(second.shape))
    batch, wrong = _together([shapes[0][:-2], shapes[1][:-2]])
    result = first.new_empty((*batch, shapes[0][-2], shapes[1][-1]))
    said = f"{name} of {sizes(shapes[0])} and {sizes(shapes[1])}"
    if shapes[0][-1] == shapes[1][-2]:
        if not wrong:
            return None
        return Finding(
            f"{said}: the dimensions before the last two differ", got=shapes, cause="joined",
            result=result,
        )  # fmt: skip
    advice, owner = "", owners.get(id(second))
    fitting = (*shapes[1][:-2], shapes[0][-1], shapes[1][-1])
    if owner:
        advice = f"{owner} of {sizes(fitting)} would fit"
    elif shapes[0][-1] == shapes[1][-1]:
        advice = f"the second's transpose(-2, -1), {sizes(second.mT.shape)}, would fit"
        result = first.new_empty((*batch, shapes[0][-2], shapes[1][-2]))
    return Finding(
        f"{said}: the last size of the first, {shapes[0][-1]}, must be the last but one of the "
        f"second, {shapes[1][-2]}", advice, shapes, {owner: fitting} if owner else {},
        result=result,
    )  # fmt: skip


def _weighted(
    name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], owners: Owners
) -> Finding | None:
    """Linear layers and convolutions called as functions."""
    if len(args) < 2 or not all(isinstance(t, Tensor) for t in args[:2]):
        return None
    x, weight = args[:2]
    rank = weight.dim() - 2
    groups = kwargs.get("groups", 1)
    if name == "linear":
        fitting = (*weight.shape[:-1], x.shape[-1])
    elif x.dim() not in (rank + 1, rank + 2):
        return None
    else:
        channels = x.shape[x.dim() - rank - 1]
        groups = groups if channels % groups == 0 else 1
        fitting = (weight.shape[0], channels // groups, *weight.shape[2:])
        if name.startswith("conv_transpose"):
            fitting = (channels, *weight.shape[1:])
    if fitting == tuple(weight.shape):
        if x.dtype != weight.dtype:
            return _typed(name, x, weight, args)
        return _window(name, func, args, kwargs, rank) if rank else None
    owner = owners.get(id(weight), "a weight")
    return Finding(
        f"{name} of {sizes(x.shape)} with {owner} of {sizes(weight.shape)}",
        f"{owner} of {sizes(fitting)} would fit", (tuple(x.shape),), {owner: fitting},
        args=(x, weight.new_empty(fitting), *args[2:]),
    )  # fmt: skip


def _typed(name: str, x: Tensor, weight: Tensor, args: tuple[Any, ...]) -> Finding:
    ours, theirs = (str(t.dtype).removeprefix("torch.") for t in (weight, x))
    return Finding(
        f"{name} of {theirs} {sizes(x.shape)} with a weight of {ours}",
        f"x.to(torch.{ours}) would fit", (tuple(x.shape),), {"dtype": weight.dtype}, cause="type",
        args=(x.to(weight.dtype), *args[1:]),
    )  # fmt: skip


def _window(
    name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], rank: int
) -> Finding | None:
    x = args[0]
    least = least_sizes(lambda larger: func(larger, *args[1:], **kwargs), x, rank)
    if least is None:
        return None
    lead = tuple(x.shape[: x.dim() - rank])
    fitting = (*lead, *(max(a, b) for a, b in zip(x.shape[x.dim() - rank :], least, strict=True)))
    return Finding(
        f"the window of {name} does not fit on {sizes(x.shape)}",
        f"it takes at least {sizes((*lead, *least))}", (tuple(x.shape),), {"input_size": least},
        cause="window", args=(x.new_empty(fitting), *args[1:]),
    )  # fmt: skip


def _pool(
    name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], owners: Owners
) -> Finding | None:
    rank = int(name[-2]) if name.endswith("d") and name[-2].isdigit() else 2
    if not args or not isinstance(args[0], Tensor) or args[0].dim() not in (rank + 1, rank + 2):
        return None
    return _window(name, func, args, kwargs, rank)


def _view(
    name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], owners: Owners
) -> Finding | None:
    x, wanted = args[0], args[1:]
    if len(wanted) == 1 and isinstance(wanted[0], list | tuple):
        wanted = tuple(wanted[0])
    if not all(isinstance(n, int) for n in wanted) or x.dim() == 0:
        return None
    free = wanted.count(-1)
    known = prod(n for n in wanted if n != -1)
    fits = x.numel() == known if not free else known and x.numel() % known == 0
    if fits or free > 1:
        return None  # a matter of strides, or of two sizes left open
    each = x.numel() // x.shape[0] if x.shape[0] else 0
    flat = (x.shape[0], each)
    flattens = len(wanted) == 2 and wanted[0] in (-1, x.shape[0])
    return Finding(
        f"{name}{sizes(wanted)} of {sizes(x.shape)}, which has {x.numel()} elements"
        + (f", {each} a sample" if x.dim() > 1 else ""),
        f"flatten(1), to {sizes(flat)}, would fit" if flattens else "",
        (tuple(x.shape),), {"shape": flat} if flattens else {},
        result=x.new_empty(flat) if flattens else _as_wanted(x, wanted),
    )  # fmt: skip


def _as_wanted(x: Tensor, wanted: tuple[int, ...]) -> Tensor:
    known = prod(n for n in wanted if n != -1) or 1
    return x.new_empty([max(1, x.numel() // known) if n == -1 else n for n in wanted])


def _indices(
    name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], owners: Owners
) -> Finding | None:
    x = args[0]
    if x.dtype in (torch.int64, torch.int32):
        return None
    return Finding(
        f"the indices of {name} must be int64 or int32, and are "
        f"{str(x.dtype).removeprefix('torch.')} {sizes(x.shape)}", "x.long() would fit",
        (tuple(x.shape),), {"dtype": torch.int64}, cause="type", args=(x.long(), *args[1:]),
    )  # fmt: skip


_RULES: dict[str, Rule] = {
    **dict.fromkeys(_JOINING, _join),
    **dict.fromkeys(_PRODUCTS, _product),
    **dict.fromkeys(("view", "reshape"), _view),
    **dict.fromkeys(
        ("linear", *(f"conv{kind}{rank}d" for kind in ("", "_transpose") for rank in (1, 2, 3))),
        _weighted,
    ),
    "embedding": _indices,
}
