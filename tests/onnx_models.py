"""Models that become ONNX models, and ONNX Runtime to run them."""

import collections

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

EXPORTER = [  # what the exporter itself runs into
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),
]


class Calls(nn.Module):
    """Every function on the input of its number."""

    def __init__(self, functions):
        super().__init__()
        self.functions = functions

    def forward(self, xs):
        return [f(x) for f, x in zip(self.functions, xs, strict=True)]


def export(module, *args, **options):
    """The ONNX model that a module becomes."""
    return checked(torch.onnx.export(module.eval(), args, dynamo=True, verbose=False, **options))


def checked(program):
    """The model of an ONNX program, which is valid, whole, and of standard nodes alone."""
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    assert [imported.domain for imported in model.opset_import] == [""]
    assert len(model.functions) == 0
    assert {node.domain for node in model.graph.node} == {""}
    return model


def run(model, *inputs):
    """What ONNX Runtime makes of a model, by its own order of inputs and outputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [given.name for given in session.get_inputs()]
    fed = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
    return [torch.from_numpy(y) for y in session.run(None, fed)]


def types_behind(model):
    """For every output the types of the nodes that it is made by."""
    made_by = {name: node for node in model.graph.node for name in node.output}

    def collect(name, seen, types):
        node = made_by.get(name)
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            types[node.op_type] += 1
            for given in node.input:
                collect(given, seen, types)
        return types

    return [collect(y.name, set(), collections.Counter()) for y in model.graph.output]
