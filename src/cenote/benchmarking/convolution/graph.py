"""A row as a model of ONNX: Conv, with what stands behind it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cenote.benchmarking.convolution.work import Work
from cenote.benchmarking.peers import LeftOutError
from cenote.benchmarking.peers.ort import modelled
from cenote.window import Window

__all__ = ["model_of"]


def model_of(work: Work) -> Any:
    """The model from ``x`` to ``y0``, the weights in it as constants.

    Raises:
        LeftOutError: there is no onnx.
    """
    try:
        import onnx
    except ImportError as error:
        raise LeftOutError(f"not installed ({error.name})") from None
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes, constants, last = [], [], "x"
    for number, (step, tensors) in enumerate(zip(work.case.steps, work.steps, strict=True)):
        names = [last]
        for name, tensor in zip((f"w{number}", f"b{number}"), tensors, strict=True):
            if tensor is not None:
                constants.append(_constant(onnx, name, tensor))
                names.append(name)
        last = f"conv{number}"
        nodes.append(
            helper.make_node("Conv", names, [last], group=step.groups, **_window(step.window))
        )
    if work.case.made == "shuffled":
        behind, more = _shuffled(onnx, work, last)
        nodes += behind
        constants += more
    elif work.case.pool is not None:
        nodes.append(helper.make_node("Relu", [last], ["relu"]))
        nodes.append(helper.make_node("MaxPool", ["relu"], ["y0"], **_window(work.case.pool)))
    else:
        nodes[-1].output[0] = "y0"
    value = helper.make_tensor_value_info
    ends = value("x", kind, work.case.shape), value("y0", kind, work.case.out_shape)
    return modelled(onnx, "convolution", nodes, ends[:1], ends[1:], constants)


def _constant(onnx: Any, name: str, tensor: Tensor) -> Any:
    return onnx.numpy_helper.from_array(tensor.numpy(), name)


def _window(window: Window) -> dict[str, Any]:
    return {
        "kernel_shape": [axis.kernel for axis in window],
        "strides": [axis.stride for axis in window],
        "dilations": [axis.dilation for axis in window],
        "pads": [axis.before for axis in window] + [axis.after for axis in window],
    }


def _shuffled(onnx: Any, work: Work, last: str) -> tuple[list[Any], list[Any]]:
    """Channels in turns: the axis cut in two, the halves exchanged, joined again."""
    import numpy as np

    count, channels, *n = work.case.out_shape
    groups = work.case.steps[0].groups
    shapes = {"apart": [count, groups, channels // groups, *n], "joined": [count, channels, *n]}
    constants = [onnx.numpy_helper.from_array(np.array(s, np.int64), k) for k, s in shapes.items()]
    turned = [0, 2, 1, *range(3, 3 + len(n))]
    make = onnx.helper.make_node
    nodes = [
        make("Reshape", [last, "apart"], ["cut"]),
        make("Transpose", ["cut"], ["turned"], perm=turned),
        make("Reshape", ["turned", "joined"], ["y0"]),
    ]
    return nodes, constants
