"""Pooling as standard ONNX nodes: what ``torch.onnx.export`` traces in place of our operators.

While an export runs (:func:`exporting`), each function here stands in for an operator and leaves
``MaxPool``, ``AveragePool``, ``LpPool``, ``GlobalMaxPool``, ... in the graph, by
``torch.onnx.ops.symbolic``. That is public, needs nothing but torch until the export itself, and
nothing that the user passes. The exporter's own table of translations is no alternative: it is
built before a model is traced, so that filling it would mean to import onnxscript with cenote. The
price: such a node is a placeholder in torch's graph, and ``verify=True`` compares with zeros.

Four rules make ONNX Runtime's numbers ours:

- No node rounds sizes up. ``ceil`` with the padding ``after`` is no ``ceil`` with the padding
  ``min(after + stride - 1, extent - 1)``, whatever the length.
- Runtimes refuse padding of the kernel or more, which dilation allows: a ``Pad`` takes the excess.
- Dilated and weighted sums are a ``Conv``: ``AveragePool`` has dilations from opset 19 on only.
- Where there is no node, or ONNX Runtime has none in the element type, the formulas of
  :mod:`cenote.reference` are traced: gathers and reductions. So are windows that may be empty,
  for there a runtime's maximum is the least finite number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce as fold
from math import inf, prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import reference
from cenote._kernels import Divisor
from cenote.window import Adaptive, Axis, Window

__all__ = ["exporting", "linear", "logsumexp", "power", "select"]

_SELECTED = {  # the type in which MaxPool runs, without loss
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.float16: torch.float16,
    torch.bfloat16: torch.float32,
    torch.int8: torch.int8,
    torch.uint8: torch.uint8,
    torch.bool: torch.uint8,
    torch.int16: torch.float64,
    torch.int32: torch.float64,
}
_SUMMED = (torch.float32, torch.float16, torch.bfloat16)  # in float32, as the kernels do it
_REDUCED = {torch.bfloat16: torch.float32, torch.int16: torch.int32, torch.bool: torch.int32}


def exporting() -> bool:
    """Whether a model is being traced for ONNX, by an exporter that knows symbolic nodes."""
    return (
        torch.onnx.is_in_onnx_export()
        and torch.compiler.is_exporting()
        and hasattr(torch.onnx.ops, "symbolic")
    )


class _Frame(NamedTuple):
    """A window over certain sizes as nodes take it: rounding down, all padding spelt out.

    ``pads`` are ``(before, after)`` of every axis, ``overhang`` what of ``after`` only ceil mode
    adds. Sizes and pads may be symbols.
    """

    axes: tuple[Axis, ...]
    pads: list[tuple[Any, Any]]
    overhang: list[int]
    out: list[Any]

    @classmethod
    def of(cls, window: Window, n: Sequence[Any]) -> _Frame | None:
        """The frame over sizes ``n``; None where no node does what the window says."""
        if window.rank > 3:
            return None
        axes, pads, overhang, out = [], [], [], []
        for given, length in zip(window, n, strict=True):
            axis = given if isinstance(given, Axis) else _fixed(window, n)[len(axes)].at(length)
            if not isinstance(axis, Axis):
                return None
            if axis.dilation > 1 and length < axis.dilation:  # the only way to an empty window
                return None
            before, after, over = _padding(axis, length)
            axes.append(axis)
            pads.append((before, after + over))
            overhang.append(over)
            out.append((length + before + after + over - axis.extent) // axis.stride + 1)
        return cls(tuple(axes), pads, overhang, out)

    def where_padding_is_elements(self) -> _Frame:
        """The frame on an input that was padded by :attr:`pads`, less the overhang."""
        return self._replace(pads=[(0, over) for over in self.overhang])

    @property
    def taps(self) -> int:
        return prod(axis.kernel for axis in self.axes)

    @property
    def dilated(self) -> bool:
        return any(axis.dilation > 1 for axis in self.axes)

    @property
    def sliding(self) -> dict[str, Any]:
        """The attributes that all nodes share."""
        kernels, strides = zip(*((axis.kernel, axis.stride) for axis in self.axes), strict=True)
        return {"kernel_shape": list(kernels), "strides": list(strides)}

    @property
    def dilations(self) -> dict[str, Any]:
        return {"dilations": [axis.dilation for axis in self.axes]} if self.dilated else {}


def _padding(axis: Axis, n: Any) -> tuple[Any, Any, int]:
    """``(before, after, overhang)`` for as many outputs as the axis has, rounding down."""
    if axis.before is None or axis.after is None:
        outputs = (n + axis.stride - 1) // axis.stride  # nodes divide toward zero: keep it positive
        covered = (outputs - 1) * axis.stride + axis.extent
        total = torch.sym_max(0, covered - n)
        return total // 2, total - total // 2, 0
    last = min(axis.after + axis.stride - 1, axis.extent - 1)
    return axis.before, axis.after, last - axis.after if axis.ceil else 0


def _split(frame: _Frame) -> tuple[list[int], list[Any]]:
    """Padding for a node's attribute, and what is left for :func:`torch.nn.functional.pad`."""
    kept = [
        [min(p, axis.kernel - 1) if isinstance(p, int) else 0 for p in ends]
        for axis, ends in zip(frame.axes, frame.pads, strict=True)
    ]
    left = [
        [p - k for p, k in zip(*pair, strict=True)] for pair in zip(frame.pads, kept, strict=True)
    ]
    return [e[0] for e in kept] + [e[1] for e in kept], [p for e in reversed(left) for p in e]


def _some(pads: Sequence[Any]) -> bool:
    return not all(isinstance(p, int) and p == 0 for p in pads)


def _node(kind: str, x: Tensor, frame: _Frame, value: float, **attributes: Any) -> Tensor:
    """A sliding node on ``x``, padded with ``value`` as far as the node does not pad itself."""
    pads, left = _split(frame)
    padded = F.pad(x, left, value=value) if _some(left) else x
    return _symbolic(kind, (padded,), frame.out, **frame.sliding, pads=pads, **attributes)


def _symbolic(kind: str, inputs: Sequence[Tensor], out: Sequence[Any], **attributes: Any) -> Tensor:
    x = inputs[0]
    shape = (*x.shape[:2], *out)
    return torch.onnx.ops.symbolic(kind, inputs, attributes, dtype=x.dtype, shape=shape)


def _fixed(window: Window, n: Sequence[Any]) -> Window:
    """The window, if where its windows lie does not depend on a size that is a symbol.

    Raises:
        ValueError: it does, and the formulas that are traced would hold for one size only.
    """
    for axis, (given, length) in enumerate(zip(window, n, strict=True)):
        if not given.resolved and not isinstance(length, int):
            raise ValueError(
                f"onnx: axis {axis}: {given} over a dynamic length: no node has such windows, and"
                " the formulas that stand in for one need its length; export it static"
            )
    return window


def _whole(window: Window) -> bool:
    return all(isinstance(axis, Adaptive) and axis.outputs == 1 for axis in window)


def _images(x: Tensor, rank: int) -> Tensor:
    """``x`` with axes for the batch and the channels, both of which nodes insist on."""
    return x if x.dim() == rank + 2 else x[None]


def _as_given(pooled: Tensor, x: Tensor, rank: int) -> Tensor:
    """A node's output in the type and with the number of axes that ``x`` came with."""
    return (pooled if x.dim() == rank + 2 else pooled[0]).to(x.dtype)


def select(x: Tensor, window: Window, reduce: str, indices: bool) -> Any:
    """The element of every window that ``reduce`` selects, and its flat index if asked.

    ``(*lead, *n) -> (*lead, *window.out(n))``, ``lead`` being ``(N, C)`` or ``(C,)``.
    """
    rank, n = window.rank, x.shape[x.dim() - window.rank :]
    sliding = reduce in ("max", "min")
    if sliding and _whole(window):
        return _select_whole(x, rank, reduce, indices)
    kind, frame = _SELECTED.get(x.dtype), _Frame.of(window, n) if sliding else None
    if kind is None or frame is None:
        values, taps = reference.select_pool(x, _fixed(window, n), reduce)
        return (values, reference.tap_indices(taps, window, n)) if indices else values
    images = _turned(_images(x, rank).to(kind), reduce)
    pads, left = _split(frame)
    if _some(left):
        images = F.pad(images, left, value=reference.identity("max", kind))
    attributes = {**frame.sliding, "pads": pads, **frame.dilations}
    if not indices:
        values = _symbolic("MaxPool", (images,), frame.out, **attributes)
        return _as_given(_turned(values, reduce), x, rank)
    shape = (*images.shape[:2], *frame.out)
    values, numbers = torch.onnx.ops.symbolic_multi_out(
        "MaxPool", (images,), attributes, dtypes=(kind, torch.int64), shapes=(shape, shape)
    )
    values = _as_given(_turned(values, reduce), x, rank)
    return values, _in_plane(numbers, n, left).reshape(values.shape)


def _in_plane(numbers: Tensor, n: Sequence[Any], left: Sequence[Any]) -> Tensor:
    """A node's indices as indices in a plane of sizes ``n``.

    The node counts on from plane to plane, and counts what was padded in front of it.
    """
    if not _some(left) and all(isinstance(length, int) for length in n):
        return numbers % prod(n)
    index, pitch = torch.zeros_like(numbers), 1
    for axis, length in enumerate(reversed(n)):
        before, after = left[2 * axis : 2 * axis + 2]
        padded = torch.full((), before + length + after, dtype=torch.int64)
        index = index + (numbers % padded - before) * pitch
        # torch's own rounded division of integers is translated through floats
        numbers, pitch = _symbolic("Div", (numbers, padded), numbers.shape[2:]), pitch * length
    return index


def _turned(x: Tensor, reduce: str) -> Tensor:
    """For a minimum ``x`` with the order of its elements turned round, else ``x``."""
    if reduce == "max":
        return x
    return -x if x.dtype.is_floating_point else ~x  # -(-128) is no int8, ~(-128) is


def _select_whole(x: Tensor, rank: int, reduce: str, indices: bool) -> Any:
    if x.dtype in (torch.float32, torch.float16) and not indices:
        images = _turned(_images(x, rank), reduce)
        pooled = _symbolic("GlobalMaxPool", (images,), [1] * rank)
        return _as_given(_turned(pooled, reduce), x, rank)
    flat = x.flatten(-rank).to(_REDUCED.get(x.dtype, x.dtype))
    values = flat.amax(-1) if reduce == "max" else flat.amin(-1)
    shape = (*x.shape[: x.dim() - rank], *[1] * rank)
    values = values.to(x.dtype).reshape(shape)
    if not indices:
        return values
    return values, (flat.argmax(-1) if reduce == "max" else flat.argmin(-1)).reshape(shape)


def linear(
    x: Tensor,
    window: Window,
    divisor: Divisor,
    weights: Sequence[Sequence[float]] | None = None,
) -> Tensor:
    """The sum of every window over its divisor; the average, or the sum where that is 1.

    ``(*lead, *n) -> (*lead, *window.out(n))``. ``weights`` holds a number for every tap of an axis,
    axis by axis; a tap of the window weighs their product.
    """
    rank, n = window.rank, x.shape[x.dim() - window.rank :]
    frame = _Frame.of(window, n) if x.dtype in _SUMMED and not _whole(window) else None
    if frame is not None:
        return _as_given(_averaged(_images(x, rank).float(), frame, divisor, weights), x, rank)
    if x.dtype in _SUMMED and _whole(window):
        pooled = _symbolic("GlobalAveragePool", (_images(x, rank).float(),), [1] * rank)
        factor = 1 if divisor.override is None else prod(n) / divisor.override
        return _as_given(pooled * factor, x, rank)
    return reference.linear_pool(x, _fixed(window, n), *divisor, weights=weights)


def _averaged(
    x: Tensor, frame: _Frame, divisor: Divisor, weights: Sequence[Sequence[float]] | None
) -> Tensor:
    """An average by the one node that divides so, else a sum over a divisor."""
    if divisor.override is not None:
        return _summed(x, frame, weights) / divisor.override
    include = divisor.count_include_pad
    if include and _some(frame.overhang):  # no node counts padding without the overhang
        within = zip(frame.pads, frame.overhang, strict=True)
        ends = [p for (before, after), over in within for p in (after - over, before)]
        x, frame, include = F.pad(x, ends[::-1]), frame.where_padding_is_elements(), False
    if weights is None and not frame.dilated:
        if include:
            return _node("AveragePool", x, frame, 0.0, count_include_pad=1)
        if not _some(_split(frame)[1]):
            return _node("AveragePool", x, frame, 0.0)
    if include:
        return _summed(x, frame, weights) / frame.taps
    counted = _summed(torch.ones_like(x[:1, :1]), frame, None)
    return _summed(x, frame, weights) / counted


def _summed(x: Tensor, frame: _Frame, weights: Sequence[Sequence[float]] | None) -> Tensor:
    """The sum of every window, padding being zeros."""
    if weights is None and not frame.dilated:
        return _node("AveragePool", x, frame, 0.0, count_include_pad=1) * frame.taps
    along = weights or [[1.0] * axis.kernel for axis in frame.axes]
    factors = [torch.tensor(list(numbers)) for numbers in along]
    kernel = fold(lambda a, b: a[..., None] * b, factors)[None, None]
    planes = x.reshape(-1, 1, *x.shape[2:])  # one channel a plane: every plane for itself
    pads, left = _split(frame)
    padded = F.pad(planes, left) if _some(left) else planes
    attributes = {**frame.sliding, "pads": pads, **frame.dilations}
    pooled = _symbolic("Conv", (padded, kernel), frame.out, **attributes)
    return pooled.reshape(*x.shape[:2], *pooled.shape[2:])


def power(x: Tensor, window: Window, p: float, floor: float | None, divisor: Divisor) -> Tensor:
    """``(sum of f(x)^p / divisor)^(1/p)``: ``f`` is ``abs``, or with a floor ``max(x, floor)``.

    ``(*lead, *n) -> (*lead, *window.out(n))``.
    """
    rank, n = window.rank, x.shape[x.dim() - window.rank :]
    base = x.abs() if floor is None else x.clamp(min=floor)
    if p == inf:
        return select(base, window, "max", indices=False)  # type: ignore[no-any-return]
    norm = floor is None and divisor.override == 1 and p == int(p) > 0
    if norm and x.dtype in _SUMMED:
        images = _images(x, rank).float()
        if _whole(window):
            return _as_given(_symbolic("GlobalLpPool", (images,), [1] * rank, p=int(p)), x, rank)
        frame = _Frame.of(window, n)
        if frame is not None:
            node = _node("LpPool", images, frame, 0.0, **frame.dilations, p=int(p))
            return _as_given(node, x, rank)
    wide = base.float() if x.dtype in _SUMMED else base
    return linear(wide.pow(p), window, divisor).pow(1 / p).to(x.dtype)


def logsumexp(x: Tensor, window: Window, sharpness: float) -> Tensor:
    """The smooth maximum of every window: ``log(sum(exp(sharpness * x))) / sharpness``.

    ``(*lead, *n) -> (*lead, *window.out(n))``. ONNX slides no window so: only the reduction of
    whole planes is one node, other windows are gathered side by side.
    """
    n = x.shape[x.dim() - window.rank :]
    if not _whole(window):
        return reference.logsumexp_pool(x, _fixed(window, n), sharpness)
    wide = x.float() if x.dtype in _SUMMED else x
    dims = list(range(-window.rank, 0))
    return ((wide * sharpness).logsumexp(dims, keepdim=True) / sharpness).to(x.dtype)
