"""Who takes part in the benchmark of networks, by name, in the order of the table."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import cenote
from cenote.benchmarking.networks.work import Work, floats
from cenote.benchmarking.peers import Contender, LeftOutError, Peer, made, ort, vino, wanted
from cenote.benchmarking.peers.eager import Compiler

__all__ = ["OURS", "PEERS", "Ready", "called", "load"]

NCHW, NHWC = torch.contiguous_format, torch.channels_last


@dataclass(frozen=True)
class Ready(Contender):
    """A contender that took ``prepared`` seconds to be made ready, which are not in its turns."""

    prepared: float = 0.0


def called(
    model: nn.Module,
    inputs: tuple[Any, ...],
    loss: Callable[[object], Tensor] | None = None,
    prepared: float = 0.0,
) -> Ready:
    """The contender that calls a model: inference, or with a loss a step of training.

    A step is forward, loss and backward to the parameters, whose gradients are not there before.
    Its results are the loss and the gradients, by the order of the parameters.
    """
    if loss is None:

        def forward() -> object:
            with torch.no_grad():
                return model(*inputs)

        def seen() -> tuple[Tensor, ...]:
            torch.manual_seed(0)  # what a model draws is the same for everybody
            return tuple(floats(forward()))

        return Ready(forward, seen, prepared=prepared)
    parameters = [p for p in model.parameters() if p.requires_grad]

    def forget() -> None:
        for parameter in parameters:
            parameter.grad = None

    def step() -> Tensor:
        with torch.enable_grad():
            found = loss(model(*inputs))
            found.backward()
        return found

    def results() -> tuple[Tensor, ...]:
        forget()
        torch.manual_seed(0)
        found = step().detach()
        gradients = tuple(
            torch.zeros_like(p) if p.grad is None else p.grad.contiguous() for p in parameters
        )
        forget()
        return found, *gradients

    return Ready(step, results, prepared=prepared, before=forget)


def _loss(work: Work) -> Callable[[object], Tensor] | None:
    return work.loss if work.training else None


class Eager:
    """torch as it comes, the network and its batch in one layout."""

    version = str(torch.__version__)

    def __init__(self, memory_format: torch.memory_format = NCHW) -> None:
        self.memory_format = memory_format

    def enter(self, work: Work) -> Contender:
        """Convert both, once."""
        start = time.perf_counter()
        model = work.copied().to(memory_format=self.memory_format)  # type: ignore[call-overload]
        x = work.x.contiguous(memory_format=self.memory_format)
        return called(model, (x,), _loss(work), time.perf_counter() - start)


class Compiled(Compiler):
    """torch.compile of the network as it comes."""

    def __init__(self) -> None:
        super().__init__((), everywhere=True)

    def enter(self, work: Work) -> Contender:
        """Compile for the batch; nothing that was compiled in another run is used again."""
        start = time.perf_counter()
        model = work.copied()
        compiled: Any = self.compiled(work.row.network, model)
        with _nothing_kept():
            called(compiled, (work.x,), _loss(work)).results()
        return called(compiled, (work.x,), _loss(work), time.perf_counter() - start)


@contextlib.contextmanager
def _nothing_kept() -> Iterator[None]:
    """A folder of its own for what the compiler writes, gone afterwards."""
    from torch._inductor import utils

    fresh = getattr(utils, "fresh_cache", None) or getattr(utils, "fresh_inductor_cache")  # noqa: B009
    with fresh():
        yield


class Ours:
    """``cenote.accelerate``, with the batch as it is for torch."""

    version = cenote.__version__

    def enter(self, work: Work) -> Contender:
        """Accelerate for the batch."""
        model = work.copied()
        start = time.perf_counter()
        fast = accelerated(model, (work.x,))
        return called(fast, (work.x,), _loss(work), time.perf_counter() - start)


def accelerated(model: nn.Module, inputs: tuple[Any, ...], **options: Any) -> nn.Module:
    """The model through ``cenote.accelerate``, in the mode that it is in."""
    accelerate: Callable[..., nn.Module] = cenote.accelerate  # type: ignore[attr-defined,unused-ignore]
    with torch.enable_grad():
        return accelerate(model, inputs if len(inputs) > 1 else inputs[0], **options)


def _exported(work: Work) -> Any:
    """The network as a model of ONNX from ``x`` to ``y0``."""
    if work.training:
        raise LeftOutError("inference only")
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise LeftOutError(f"not installed ({error.name})") from None
    with _quiet():
        program = torch.onnx.export(
            work.copied(), (work.x,), dynamo=True, input_names=["x"], output_names=["y0"],
            verbose=False,
        )  # fmt: skip
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter says on standard output what concerns its authors."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _room(work: Work) -> Tensor:
    """Where the output goes."""
    with torch.no_grad():
        return torch.zeros_like(work.model(work.x))


class OnnxRuntime(ort.Runtime):
    """The exported network, from and to memory of the row."""

    def enter(self, work: Work) -> Contender:
        """Export, make a session of the row's number of threads, and bind its memory."""
        start = time.perf_counter()
        model = _exported(work)
        out = _room(work)
        call = self.bound(model, work.row.threads, work.x, [out])
        return _bound(call, out, "onnxruntime", time.perf_counter() - start)


class OpenVino(vino.Runtime):
    """The same model of ONNX."""

    def enter(self, work: Work) -> Contender:
        """Export, compile for the row's number of threads, and hand over its memory."""
        start = time.perf_counter()
        model = self.core.read_model(_exported(work).SerializeToString())
        request, out = self.request(model, work.row.threads, "f32"), _room(work)
        request.set_input_tensor(self.openvino.Tensor(work.x.numpy(), shared_memory=True))
        request.set_output_tensor(0, self.openvino.Tensor(out.numpy(), shared_memory=True))
        return _bound(request.infer, out, "openvino", time.perf_counter() - start)


def _bound(call: Callable[[], object], out: Tensor, workers: str, prepared: float) -> Contender:
    def results() -> tuple[Tensor, ...]:
        call()
        return (out,)

    return Ready(call, results, fresh=False, workers=workers, prepared=prepared)


OURS: dict[str, Callable[[], Peer[Work]]] = {"cenote": Ours}
"""What is compared with the others: always asked for."""

PEERS: dict[str, Callable[[], Peer[Work]]] = {
    "torch": Eager,
    "torch.channels_last": partial(Eager, NHWC),
    "torch.compile": Compiled,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
}
"""What it is compared with, where it is installed."""


def load(names: list[str]) -> tuple[dict[str, Peer[Work]], dict[str, str]]:
    """Cenote, torch, which all are compared with, and the peers of those names, if they are there.

    Raises:
        ValueError: a name that is not known.
    """
    makers = wanted(PEERS, names)
    return made({"torch": PEERS["torch"]} | OURS | makers)
