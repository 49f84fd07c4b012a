"""OpenVINO: a model of one operation, its tensors over memory of the row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote.benchmarking.grid import INDICES
from cenote.benchmarking.peers.contender import Contender, LeftOutError
from cenote.benchmarking.work import Work
from cenote.window import Adaptive, Axis

__all__ = ["OpenVino", "Runtime"]


class Runtime:
    """Requests to the CPU plugin."""

    def __init__(self) -> None:
        try:
            import openvino
        except ImportError as error:
            raise LeftOutError(f"not installed ({error.name})") from None
        self.openvino = openvino
        self.core = openvino.Core()
        self.version = openvino.__version__

    def request(self, model: Any, threads: int, precision: str) -> Any:
        """A request to the model, compiled for that number of threads."""
        compiled = self.core.compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # or the thread that everybody calls from stays pinned
            "INFERENCE_PRECISION_HINT": precision,
        })  # fmt: skip
        return compiled.create_infer_request()


class OpenVino(Runtime):
    """MaxPool, AvgPool, reductions of whole planes, adaptive pools."""

    def enter(self, work: Work) -> Contender:
        """Compile for the row's number of threads, and hand over its memory."""
        if work.grad is not None:
            raise LeftOutError("forward only")
        precision = "bf16" if work.row.dtype == "bf16" else "f32"
        request = self.request(self._model(work), work.row.threads, precision)
        outputs = [work.empty_output()]
        if work.row.pass_ == INDICES:
            shape, memory_format = work.case.out_shape, work.memory_format
            outputs.append(torch.empty(shape, dtype=torch.int64, memory_format=memory_format))
        request.set_input_tensor(self._tensor(work.x, work))
        for position, output in enumerate(outputs):
            request.set_output_tensor(position, self._tensor(output, work))

        def results() -> tuple[Tensor, ...]:
            request.infer()
            return tuple(outputs)

        return Contender(request.infer, results, fresh=False, workers="openvino")

    def _tensor(self, tensor: Tensor, work: Work) -> Any:
        """The same memory as one of its tensors; NHWC as a tensor of that shape."""
        dense = tensor
        if work.row.layout == "NHWC":
            dense = tensor.permute(0, *range(2, tensor.dim()), 1)
        if tensor.dtype == torch.bfloat16:
            bits = dense.view(torch.int16).numpy()
            return self.openvino.Tensor(bits, list(bits.shape), self.openvino.Type.bf16)
        return self.openvino.Tensor(dense.numpy(), shared_memory=True)

    def _model(self, work: Work) -> Any:
        ov = self.openvino
        kind = {"f32": ov.Type.f32, "bf16": ov.Type.bf16, "u8": ov.Type.u8}[work.row.dtype]
        x = ov.opset14.parameter(list(work.case.shape), kind)
        outputs = self._pooled(x, work)
        model = ov.Model(outputs, [x], "pool")
        if work.row.layout == "NCHW":
            return model
        first, last = ("NCHW", "NHWC") if work.rank == 2 else ("NCDHW", "NDHWC")
        steps = ov.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_layout(ov.Layout(last))
        steps.input().model().set_layout(ov.Layout(first))
        for position in range(len(outputs)):
            steps.output(position).tensor().set_layout(ov.Layout(last))
            steps.output(position).model().set_layout(ov.Layout(first))
        return steps.build()

    def _pooled(self, x: Any, work: Work) -> list[Any]:
        operators, row = self.openvino.opset14, work.row
        if row.reduce not in ("max", "avg"):
            raise LeftOutError(f"has no {row.reduce} pooling")
        axes = work.window.at(work.case.n)
        uneven = not all(isinstance(axis, Axis) for axis in axes)
        whole = all(axis == Adaptive(1) for axis in work.window)
        if (whole or uneven) and row.pass_ != INDICES:
            return [self._shared(x, work)]
        if uneven:
            raise LeftOutError("has no indices of windows that share unevenly")
        strides, kernel = [a.stride for a in axes], [a.kernel for a in axes]
        before, after = [a.before for a in axes], [a.after for a in axes]
        rounding = "ceil_torch" if axes[0].ceil else "floor"
        if row.reduce == "avg":
            if any(axis.dilation != 1 for axis in axes):
                raise LeftOutError("its averages have no dilation")
            pooled = operators.avg_pool(x, strides, before, after, kernel, False, rounding)
            return [pooled.output(0)]
        dilations = [axis.dilation for axis in axes]
        pooled = operators.max_pool(
            x, strides, dilations, before, after, kernel, rounding, None, "i64", 2
        )
        return [pooled.output(place) for place in range(2 if row.pass_ == INDICES else 1)]

    def _shared(self, x: Any, work: Work) -> Any:
        """Global windows as reductions, others as adaptive pools."""
        operators, rank, reduce = self.openvino.opset14, work.rank, work.row.reduce
        spatial = list(range(2, 2 + rank))
        if all(axis == Adaptive(1) for axis in work.window):
            whole = operators.reduce_max if reduce == "max" else operators.reduce_mean
            return whole(x, spatial, keep_dims=True).output(0)
        sizes = list(work.case.out_shape[2:])
        if reduce == "max":
            return operators.adaptive_max_pool(x, sizes, "i32").output(0)
        return operators.adaptive_avg_pool(x, sizes).output(0)
