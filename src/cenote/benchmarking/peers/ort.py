"""ONNX Runtime: a graph of one node, input and output bound to memory of the row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cenote.benchmarking.grid import INDICES
from cenote.benchmarking.peers.contender import Contender, LeftOutError
from cenote.benchmarking.work import Work
from cenote.window import Adaptive, Axis

__all__ = ["OnnxRuntime", "Runtime", "modelled"]

_OPSET, _IR = 22, 10


class Runtime:
    """Sessions of the CPU provider over memory that is given."""

    def __init__(self) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise LeftOutError(f"not installed ({error.name})") from None
        self.onnx, self.runtime = onnx, onnxruntime
        self.version = onnxruntime.__version__

    def bound(
        self, model: Any, threads: int, x: Tensor, outputs: Sequence[Tensor]
    ) -> Callable[[], None]:
        """A run of the model from ``x`` to ``outputs``: its ``x``, its ``y0``, ``y1``, ..."""
        options = self.runtime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        # Its threads spin after a run, in the way of whoever is next; within a run as they like.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = self.runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        binding = session.io_binding()
        for bind, name, tensor in [
            (binding.bind_input, "x", x),
            *((binding.bind_output, f"y{i}", y) for i, y in enumerate(outputs)),
        ]:
            bind(name, "cpu", 0, self._type(tensor), list(tensor.shape), tensor.data_ptr())

        def call() -> None:
            session.run_with_iobinding(binding)

        return call

    def _type(self, tensor: Tensor) -> Any:
        proto = self.onnx.TensorProto
        return {
            torch.float32: proto.FLOAT, torch.bfloat16: proto.BFLOAT16,
            torch.uint8: proto.UINT8, torch.int64: proto.INT64,
        }[tensor.dtype]  # fmt: skip


def modelled(
    onnx: Any, name: str, nodes: Any, inputs: Any, outputs: Any, constants: Any = ()
) -> Any:
    """A model of one graph."""
    graph = onnx.helper.make_graph(nodes, name, inputs, outputs, list(constants))
    imports = [onnx.helper.make_opsetid("", _OPSET)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=_IR)


class OnnxRuntime(Runtime):
    """MaxPool, AveragePool and their global forms."""

    def enter(self, work: Work) -> Contender:
        """Make a session of the row's number of threads, and bind its memory."""
        if work.grad is not None:
            raise LeftOutError("forward only")
        if work.row.layout != "NCHW":
            raise LeftOutError("NCHW only")
        model = self._model(work)
        outputs = [work.empty_output()]
        if work.row.pass_ == INDICES:
            outputs.append(torch.zeros(work.case.out_shape, dtype=torch.int64))
        call = self.bound(model, work.row.threads, work.x, outputs)

        def results() -> tuple[Tensor, ...]:
            call()
            return (outputs[0], *(_within_planes(y, work) for y in outputs[1:]))

        return Contender(call, results, fresh=False, workers="onnxruntime")

    def _model(self, work: Work) -> Any:
        helper, kind = self.onnx.helper, self._type(work.x)
        names = ["y0", "y1"] if work.row.pass_ == INDICES else ["y0"]
        operator, attributes = _operator(work)
        node = helper.make_node(operator, ["x"], names, **attributes)
        value = helper.make_tensor_value_info
        types = [kind, self.onnx.TensorProto.INT64]
        outputs = [
            value(name, of, work.case.out_shape) for name, of in zip(names, types, strict=False)
        ]
        return modelled(self.onnx, "pool", [node], [value("x", kind, work.case.shape)], outputs)


def _operator(work: Work) -> tuple[str, dict[str, Any]]:
    """The node's operator and attributes."""
    row = work.row
    if row.reduce not in ("max", "avg"):
        raise LeftOutError(f"has no {row.reduce} pooling")
    name = "MaxPool" if row.reduce == "max" else "AveragePool"
    if all(axis == Adaptive(1) for axis in work.window) and row.pass_ != INDICES:
        return f"Global{name}", {}
    axes = work.window.at(work.case.n)
    if not all(isinstance(axis, Axis) for axis in axes):
        raise LeftOutError("has no windows that share unevenly")
    attributes: dict[str, Any] = {
        "kernel_shape": [axis.kernel for axis in axes],
        "strides": [axis.stride for axis in axes],
        "dilations": [axis.dilation for axis in axes],
        "pads": [axis.before for axis in axes] + [axis.after for axis in axes],
        "ceil_mode": int(axes[0].ceil),
    }
    if row.reduce == "avg":
        attributes["count_include_pad"] = 1
    return name, attributes


def _within_planes(indices: Tensor, work: Work) -> Tensor:
    """Indices into each plane, of those into the whole tensor that ONNX has."""
    size = torch.Size(work.case.n).numel()
    return indices % size
