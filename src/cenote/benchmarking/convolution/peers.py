"""Who takes part in the benchmark of convolutions, by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import cenote
from cenote import nn
from cenote.benchmarking.convolution.graph import model_of
from cenote.benchmarking.convolution.grid import COMPILED
from cenote.benchmarking.convolution.work import Work
from cenote.benchmarking.peers import Contender, LeftOutError, Peer, made, ort, vino, wanted
from cenote.benchmarking.peers.eager import Compiler
from cenote.cases import Conv, Step
from cenote.window import Window

__all__ = ["PEERS", "Ours", "load"]

Function = Callable[[Tensor], Tensor]
Steps = list[tuple[Tensor, "Tensor | None"]]


def arguments(step: Step) -> dict[str, Any]:
    """A step as torch's and cenote's functions take it."""
    return {
        "stride": tuple(axis.stride for axis in step.window),
        "padding": tuple(axis.before for axis in step.window),
        "dilation": tuple(axis.dilation for axis in step.window),
        "groups": step.groups,
    }


def leaves(work: Work, memory_format: torch.memory_format) -> Steps:
    """The weights and biases in that layout, for the row's pass: with a gradient or without."""
    asked = work.grad is not None
    return [
        (
            weight.contiguous(memory_format=memory_format).requires_grad_(asked),
            None if bias is None else bias.clone().requires_grad_(asked),
        )
        for weight, bias in work.steps
    ]


def called(
    function: Function,
    steps: Steps,
    work: Work,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Callable[[], tuple[Tensor, ...]]:
    """The row's pass of a function that has its weights: the output, then gradients."""
    x = work.x.contiguous(memory_format=memory_format)
    if work.grad is None:
        return lambda: (function(x),)
    grad = work.grad.contiguous(memory_format=memory_format)
    parameters = [t for step in steps for t in step if t is not None]
    if not work.case.first:
        x = x.detach().requires_grad_()
        parameters.insert(0, x)

    def training() -> tuple[Tensor, ...]:
        with torch.enable_grad():
            y = function(x)
        return y, *torch.autograd.grad(y, parameters, grad)

    return training


class Ours:
    """cenote's functions and modules, as people call them, on contiguous tensors."""

    version = cenote.__version__

    def enter(self, work: Work) -> Contender:
        """Call the function or the module of the case."""
        steps = leaves(work, torch.contiguous_format)
        function = _chain(work.case, steps) if len(steps) > 1 else _single(work.case, *steps[0])
        call = called(function, steps, work)
        return Contender(call, call)


def _single(case: Conv, weight: Tensor, bias: Tensor | None) -> Function:
    [step] = case.steps
    if case.pool is not None:
        conv, pool, groups = step.window, case.pool, step.groups
        return lambda x: cenote.stage(x, weight, bias, conv=conv, pool=pool, groups=groups)
    prefix = "shuffled_" if case.made == "shuffled" else ""
    conv_of: Callable[..., Tensor] = getattr(cenote, f"{prefix}conv{case.rank}d")
    given = arguments(step)
    return lambda x: conv_of(x, weight, bias, **given)


def _chain(case: Conv, steps: Steps) -> Function:
    """The module of the chain, with those tensors as its parameters."""
    window = _joined(case)
    given = (
        case.shape[1], case.out_shape[1], tuple(a.kernel for a in window),
        tuple(a.stride for a in window), tuple(a.before for a in window),
    )  # fmt: skip
    module: Any = (
        nn.SpatiallySeparableConv2d(*given, groups=case.steps[0].groups)
        if case.made == "separable"
        else nn.FlattenedConv2d(*given)
    )
    for number, (part, (weight, bias)) in enumerate(zip(module.parts, steps, strict=True)):
        part.weight = torch.nn.Parameter(weight.detach())
        part.bias = None if bias is None else torch.nn.Parameter(bias.detach())
        steps[number] = (part.weight, part.bias)
    function: Function = module
    return function


def _joined(case: Conv) -> Window:
    """The window that the steps have together: along each axis that of the longest kernel."""
    along = zip(*(step.window for step in case.steps), strict=True)
    return Window(max(axes, key=lambda axis: axis.kernel) for axes in along)


def composed(case: Conv) -> str:
    """Of what operations of torch a case is composed, where it is not one."""
    parts = ["conv" if len(case.steps) == 1 else f"{len(case.steps)} convs"]
    parts += ["channel_shuffle"] if case.made == "shuffled" else []
    parts += ["relu", "max_pool"] if case.pool is not None else []
    return "" if parts == ["conv"] else ", ".join(parts)


def _torch(case: Conv, steps: Steps) -> Function:
    """Torch's convolutions one after the other, and what stands behind them."""
    conv: Callable[..., Tensor] = F.conv1d if case.rank == 1 else F.conv2d
    given = [arguments(step) for step in case.steps]
    if len(steps) > 1:
        return _in_turn(conv, steps, given)
    [(weight, bias)], [words] = steps, given
    if case.made == "shuffled":
        groups = case.steps[0].groups
        return lambda x: F.channel_shuffle(conv(x, weight, bias, **words), groups)
    if case.pool is None:
        return lambda x: conv(x, weight, bias, **words)
    kernel, stride = tuple(a.kernel for a in case.pool), tuple(a.stride for a in case.pool)
    return lambda x: F.max_pool2d(F.relu(conv(x, weight, bias, **words)), kernel, stride)


def _in_turn(conv: Callable[..., Tensor], steps: Steps, given: list[dict[str, Any]]) -> Function:
    def function(x: Tensor) -> Tensor:
        for (weight, bias), words in zip(steps, given, strict=True):
            x = conv(x, weight, bias, **words)
        return x

    return function


class Eager:
    """torch's functions, everything in one layout."""

    version = str(torch.__version__)

    def __init__(self, memory_format: torch.memory_format = torch.contiguous_format) -> None:
        self.memory_format = memory_format

    def enter(self, work: Work) -> Contender:
        """Call the functions as they are."""
        if self.memory_format == torch.channels_last and work.case.rank != 2:
            raise LeftOutError("tensors of rank 3 have no channels_last")
        steps = leaves(work, self.memory_format)
        call = called(_torch(work.case, steps), steps, work, self.memory_format)
        return Contender(call, call, composed=composed(work.case))


class Compiled(Compiler):
    """The same functions through torch.compile, on contiguous tensors."""

    def __init__(self, everywhere: bool = False) -> None:
        super().__init__(COMPILED, everywhere)

    def enter(self, work: Work) -> Contender:
        """Compile for the row's shapes and number of threads."""
        steps = leaves(work, torch.contiguous_format)
        function = self.compiled(work.row.case, _torch(work.case, steps))
        call = called(function, steps, work)
        return Contender(call, call, composed=composed(work.case))


def _forward_only(work: Work) -> None:
    if work.grad is not None:
        raise LeftOutError("forward only")


class OnnxRuntime(ort.Runtime):
    """Conv, and what stands behind it, from and to memory of the row."""

    def enter(self, work: Work) -> Contender:
        """Make a session of the row's number of threads, and bind its memory."""
        _forward_only(work)
        out = work.empty_output()
        call = self.bound(model_of(work), work.row.threads, work.x, [out])

        def results() -> tuple[Tensor, ...]:
            call()
            return (out,)

        return Contender(call, results, False, "onnxruntime", composed(work.case))


class OpenVino(vino.Runtime):
    """The same model of ONNX."""

    def enter(self, work: Work) -> Contender:
        """Compile for the row's number of threads, and hand over its memory."""
        _forward_only(work)
        model = self.core.read_model(model_of(work).SerializeToString())
        request, out = self.request(model, work.row.threads, "f32"), work.empty_output()
        request.set_input_tensor(self.openvino.Tensor(work.x.numpy(), shared_memory=True))
        request.set_output_tensor(0, self.openvino.Tensor(out.numpy(), shared_memory=True))

        def results() -> tuple[Tensor, ...]:
            request.infer()
            return (out,)

        return Contender(request.infer, results, False, "openvino", composed(work.case))


PEERS: dict[str, Callable[[], Peer[Work]]] = {
    "torch": Eager,
    "torch.channels_last": partial(Eager, torch.channels_last),
    "torch.compile": Compiled,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
}
"""What cenote is compared with, where it is installed."""


def load(names: list[str]) -> tuple[dict[str, Peer[Work]], dict[str, str]]:
    """Cenote and the peers of those names that are there, and why others are not.

    Raises:
        ValueError: a name that is not known.
    """
    makers = wanted(PEERS, names)
    if "torch.compile" in names:
        makers["torch.compile"] = partial(Compiled, everywhere=True)
    ours: dict[str, Callable[[], Peer[Work]]] = {"cenote": Ours}
    return made(ours | makers)
