"""The work of a row: its input, what has to come out, and the bytes that it has to move."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

import cenote
from cenote.benchmarking.grid import INDICES, TRAINING, Row, named

__all__ = ["DTYPES", "Work", "differs", "on_threads"]

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "u8": torch.uint8}
_FORMATS = {
    ("NHWC", 2): torch.channels_last,
    ("NHWC", 3): torch.channels_last_3d,
}
_BLOCK = 1 << 22  # elements that are drawn; larger inputs repeat them


class Work:
    """A row with its tensors: ``x`` (N, C, *n), and for training ``grad`` (N, C, *out).

    The numbers are random and free of NaN and infinities, which peers treat differently.
    """

    def __init__(self, row: Row) -> None:
        self.row = row
        self.case = named(row.case)
        self.window = self.case.window
        self.rank = self.window.rank
        self.dtype = DTYPES[row.dtype]
        self.memory_format = _FORMATS.get((row.layout, self.rank), torch.contiguous_format)
        self.x = self._random(self.case.shape, 0)
        self.grad: Tensor | None = None
        if row.pass_ == TRAINING:
            self.grad = self._random(self.case.out_shape, 1)

    def _random(self, shape: tuple[int, ...], seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        count = prod(shape)
        block = torch.empty(min(count, _BLOCK))
        if self.dtype == torch.uint8:
            block.random_(0, 256, generator=generator)
        else:
            block.normal_(generator=generator)
        drawn = block.to(self.dtype)
        filled = torch.empty(shape, dtype=self.dtype, memory_format=self.memory_format)
        # In the order of memory, so that no second copy of a large tensor is ever needed.
        flat = filled.as_strided((count,), (1,))
        for start in range(0, count, _BLOCK):
            part = flat[start : start + _BLOCK]
            part.copy_(drawn[: len(part)])
        return filled

    def empty_output(self) -> Tensor:
        """Room for the output in the row's layout, every page of it touched."""
        out = torch.empty(self.case.out_shape, dtype=self.dtype, memory_format=self.memory_format)
        return out.zero_()

    @property
    def outputs(self) -> int:
        """The number of outputs."""
        return prod(self.case.out_shape)

    @property
    def streams(self) -> list[tuple[int, int]]:
        """``(bytes read, bytes written)`` of each sweep that the pass cannot do without.

        The input once in, the output once out; with indices eight bytes an output more. Training
        writes one byte an output for the maxima (two above 255 taps), reads it again with the
        gradient of the output, and writes that of the input.
        """
        size = self.dtype.itemsize
        read, written = prod(self.case.shape) * size, self.outputs * size
        if self.row.pass_ == INDICES:
            return [(read, written + 8 * self.outputs)]
        if self.row.pass_ != TRAINING:
            return [(read, written)]
        kept = self.outputs * self._kept_bytes()
        return [(read, written + kept), (written + kept, read)]

    def _kept_bytes(self) -> int:
        if self.row.reduce not in ("max", "min"):
            return 0
        middle = [size // 2 for size in self.window.out(self.case.n)]
        taps = self.window.taps(middle, self.case.n)
        return 1 if prod(map(len, taps)) <= 0xFF else 2

    @property
    def bytes(self) -> int:
        """The sum of all streams."""
        return sum(read + written for read, written in self.streams)


def differs(work: Work, expected: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> str | None:
    """What is wrong with a contender's results, in a line; None if they are the expected ones.

    Maxima, minima and indices are the same to the bit. What is added up may be rounded elsewhere:
    by a few units of the last place of the largest number on the way.
    """
    names = ("output", "indices" if work.row.pass_ == INDICES else "gradient")
    if len(given) != len(expected):
        return f"{len(given)} results where {len(expected)} are right"
    for name, right, seen in zip(names, expected, given, strict=False):
        if seen.shape != right.shape:
            return f"{name}: shape {tuple(seen.shape)} where {tuple(right.shape)} is right"
        chosen = name == "output" and work.row.reduce in ("max", "min")
        if chosen or right.dtype == torch.int64:
            wrong = int((seen != right).sum())
        else:
            bound = _tolerance(work)
            wrong = int((~torch.isclose(seen.double(), right.double(), bound, bound)).sum())
        if wrong:
            return f"{name}: {wrong} of {right.numel()} elements differ"
    return None


def _tolerance(work: Work) -> float:
    """Relative, and absolute for numbers around 1, of which there are as many as taps."""
    if work.dtype == torch.uint8:
        return 0.0
    if work.dtype == torch.bfloat16:
        return 2e-2
    taps = prod(getattr(axis, "kernel", 1) for axis in work.window.at(work.case.n))
    return float(2e-6 * max(4.0, taps**0.5))


@contextlib.contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Set the number of threads of torch, of OpenMP beside it, and of cenote, for a block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with cenote.options(threads=threads):
            yield
    finally:
        torch.set_num_threads(before)
