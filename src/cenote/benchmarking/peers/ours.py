"""cenote, with fresh outputs and with given ones, and the roof: moving the bytes and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import cenote
from cenote import _kernels, _native
from cenote.benchmarking.grid import INDICES
from cenote.benchmarking.peers.contender import Contender, LeftOutError
from cenote.benchmarking.peers.eager import called, torch_arguments
from cenote.benchmarking.work import Work
from cenote.options import current

__all__ = ["Fresh", "Given", "Roof"]


class Fresh:
    """The named functions, as people call them."""

    version = cenote.__version__

    def enter(self, work: Work) -> Contender:
        """Call the function of torch's name and arguments, or ``cenote.pool`` where it has none."""
        reduce, keep = work.row.reduce, work.row.pass_ == INDICES
        try:
            given = torch_arguments(work)
        except LeftOutError:
            window = work.window
            kept: dict[str, Any] = {"return_indices": True} if keep else {}
            call = called(lambda x: cenote.pool(x, window, reduce, **kept), work)
            return Contender(call, call)
        prefix = "adaptive_" if "output_size" in given else ""
        pool: Callable[..., Any] = getattr(cenote, f"{prefix}{reduce}_pool{work.rank}d")
        if reduce in ("avg", "sum") and set(given.get("dilation", (1,))) == {1}:
            given.pop("dilation", None)
        if keep:
            given["return_indices"] = True
        call = called(lambda x: pool(x, **given), work)
        return Contender(call, call)


class Given:
    """``cenote.pool(..., out=...)``: the same memory in every call."""

    version = cenote.__version__

    def __init__(self) -> None:
        x, out = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 1)
        try:
            cenote.pool(x, cenote.Window([cenote.Axis(2)] * 2), "max", out=out)
        except TypeError:
            raise LeftOutError("this version of cenote has no out=") from None

    def enter(self, work: Work) -> Contender:
        """Pool into a tensor of the row's layout whose pages were touched."""
        if work.row.pass_ != "forward":
            raise LeftOutError("out= takes neither indices nor a gradient")
        x, window, reduce, out = work.x, work.window, work.row.reduce, work.empty_output()

        def call() -> tuple[torch.Tensor, ...]:
            return (cenote.pool(x, window, reduce, out=out),)

        return Contender(call, call, fresh=False)


class Roof:
    """All bytes of the row read, all written, on the same threads, and nothing else.

    Stores through the caches are faster while these hold what is written, stores past them beyond:
    there are two, and whichever is faster in a row is its roof. Without the kernels for it, a copy
    by torch of half of the bytes stands in.
    """

    version = cenote.__version__

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.native = getattr(_native, "roof", None)
        if (self.native is None) != (kind == "copy"):
            raise LeftOutError("stands in where there are no kernels for the roof, and only there")

    def enter(self, work: Work) -> Contender:
        """One sweep for every stream of the row, into memory that was touched before."""
        read, written = (max(sizes) for sizes in zip(*work.streams, strict=True))
        if self.native is None:
            read = written = (read + written + 1) // 2
        there = work.x.as_strided((work.x.numel(),), (1,)).view(torch.uint8)
        if read > len(there):
            there = torch.ones(read, dtype=torch.uint8)
        away = torch.ones(written, dtype=torch.uint8)
        sweeps = [self._sweep(there, away, *stream) for stream in work.streams]

        def call() -> None:
            for sweep in sweeps:
                sweep()

        return Contender(call, tuple, fresh=False)

    def _sweep(
        self, there: torch.Tensor, away: torch.Tensor, read: int, written: int
    ) -> Callable[[], object]:
        if self.native is None:
            half = (read + written) // 2
            source, target = there[:half], away[:half]
            return lambda: target.copy_(source)
        native, past = self.native, self.kind == "streamed"

        def sweep() -> None:
            call = _kernels.call_with(current())
            native(call, there.data_ptr(), read, away.data_ptr(), written, past)

        return sweep
