"""What a node of a graph is, whether it is written as a module, a function or a method."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from cenote import nn as ours
from cenote._norms import NO_CUT, Cut
from cenote.nn import Stages

__all__ = [
    "Activation",
    "activation_of",
    "changes_in_place",
    "concatenated",
    "cut_of",
    "cuts",
    "fresh",
    "is_addition",
    "keeps_layout",
    "layer_of",
    "module_at",
    "plain",
]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, ours.Conv1d, ours.Conv2d, ours.Conv3d)


@dataclass(frozen=True)
class Activation:
    """An element by element function.

    ``in_place`` where it writes into its input, ``steps`` where it never decreases and where of
    two inputs the greater gives the greater output or both give none of their gradient, so that a
    maximum may come first; ``fused`` what oneDNN calls it, with its numbers.
    """

    name: str
    in_place: bool = False
    steps: bool = False
    fused: tuple[str, tuple[float, ...], str | None] | None = None
    options: tuple[Any, ...] = field(default=())

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The function, which writes nowhere."""
        made: torch.Tensor = getattr(F, self.name)(x, *self.options)
        return made


def module_at(root: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module that a node calls."""
    if node.op != "call_module":
        return None
    assert isinstance(node.target, str)
    return root.get_submodule(node.target)


def plain(module: nn.Module | None, *kinds: type) -> bool:
    """Whether a module is one of these kinds: of what inherits from them, only with their forward.

    What somebody hooks into, or what computes its parameters, is none.
    """
    from cenote.acceleration.tracing import left_alone

    if module is None or not isinstance(module, kinds) or left_alone(module):
        return False
    if type(module) in kinds:
        return True
    kind = next(k for k in type(module).__mro__ if k in kinds)
    used = ("forward", "_conv_forward", "__call__", "_call_impl", "_check_input_dim")
    return all(getattr(type(module), name, 0) is getattr(kind, name, 0) for name in used)


def layer_of(root: nn.Module, node: Any, *kinds: type) -> Any:
    """The layer of one of these kinds that a node calls with one argument; None for others."""
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    if len(node.args) != 1 or node.kwargs or not isinstance(node.args[0], fx.Node):
        return None
    module = module_at(root, node)
    return module if plain(module, *kinds) else None


_CUTS = {"relu": (0.0, NO_CUT[1]), "relu6": (0.0, 6.0)}


def cuts(activation: Activation | None) -> bool:
    """Whether an activation, or none, cuts off and does nothing else."""
    return activation is None or activation.name in ("hardtanh", *_CUTS)


def cut_of(activation: Activation | None) -> Cut:
    """Where it cuts off."""
    if activation is None:
        return NO_CUT
    return _CUTS.get(activation.name) or (activation.options[0], activation.options[1])


_RELU = ("relu", (), None)


def _of_module(module: Any) -> Activation | None:
    in_place = bool(getattr(module, "inplace", False))
    if plain(module, nn.ReLU):
        return Activation("relu", in_place, True, _RELU)
    if plain(module, nn.ReLU6):
        return Activation("relu6", in_place, True, ("hardtanh", (0.0, 6.0), None))
    if plain(module, nn.Hardtanh):
        low, high = float(module.min_val), float(module.max_val)
        return Activation("hardtanh", in_place, low < high, ("hardtanh", (low, high), None),
                          (low, high))  # fmt: skip
    if plain(module, nn.SiLU):
        return Activation("silu", in_place, fused=("swish", (), None))
    if plain(module, nn.Hardswish):
        return Activation("hardswish", in_place, fused=("hardswish", (), None))
    if plain(module, nn.Hardsigmoid):
        return Activation("hardsigmoid", in_place, fused=("hardsigmoid", (), None))
    if plain(module, nn.Sigmoid):
        return Activation("sigmoid", fused=("sigmoid", (), None))
    if plain(module, nn.Tanh):
        return Activation("tanh", fused=("tanh", (), None))
    if plain(module, nn.LeakyReLU):
        slope = float(module.negative_slope)
        return Activation("leaky_relu", in_place, fused=("leaky_relu", (slope,), None),
                          options=(slope,))  # fmt: skip
    if plain(module, nn.GELU) and module.approximate in ("none", "tanh"):
        return Activation("gelu", fused=("gelu", (), module.approximate))
    return None


_FUNCTIONS: dict[Any, Activation] = {
    torch.relu: Activation("relu", False, True, _RELU),
    F.relu: Activation("relu", False, True, _RELU),
    torch.relu_: Activation("relu", True, True, _RELU),
    F.relu_: Activation("relu", True, True, _RELU),
    F.relu6: Activation("relu6", False, True, ("hardtanh", (0.0, 6.0), None)),
    F.silu: Activation("silu", fused=("swish", (), None)),
    F.hardswish: Activation("hardswish", fused=("hardswish", (), None)),
    F.hardsigmoid: Activation("hardsigmoid", fused=("hardsigmoid", (), None)),
    torch.sigmoid: Activation("sigmoid", fused=("sigmoid", (), None)),
    F.sigmoid: Activation("sigmoid", fused=("sigmoid", (), None)),
    torch.tanh: Activation("tanh", fused=("tanh", (), None)),
    F.tanh: Activation("tanh", fused=("tanh", (), None)),
}
_METHODS = {
    "relu": Activation("relu", False, True, _RELU),
    "relu_": Activation("relu", True, True, _RELU),
    "sigmoid": Activation("sigmoid", fused=("sigmoid", (), None)),
    "tanh": Activation("tanh", fused=("tanh", (), None)),
}


def activation_of(root: nn.Module, node: Any) -> Activation | None:
    """The activation that a node applies to its only tensor."""
    if not isinstance(node, fx.Node) or len(node.args) != 1 or set(node.kwargs) - {"inplace"}:
        return None
    in_place = node.kwargs.get("inplace", False)
    if not isinstance(in_place, bool) or not isinstance(node.args[0], fx.Node):
        return None
    if node.op == "call_module":
        module = module_at(root, node)
        return None if module is None or node.kwargs else _of_module(module)
    table: dict[Any, Activation] = _FUNCTIONS if node.op == "call_function" else _METHODS
    found = table.get(node.target) if node.op in ("call_function", "call_method") else None
    if found is None or not in_place:
        return found
    return Activation(found.name, True, found.steps, found.fused, found.options)


_ADDITIONS = (operator.add, operator.iadd, torch.add)


def is_addition(node: Any) -> bool:
    """Whether a node adds two tensors and nothing else."""
    if not isinstance(node, fx.Node) or node.kwargs or len(node.args) != 2:
        return False
    if not all(isinstance(arg, fx.Node) for arg in node.args) or node.args[0] is node.args[1]:
        return False
    called = node.op == "call_function" and node.target in _ADDITIONS
    return called or (node.op == "call_method" and node.target in ("add", "add_"))


def concatenated(node: Any) -> list[fx.Node]:
    """What a node puts together, channel behind channel; nothing where it does something else."""
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return []
    if node.target not in (torch.cat, torch.concat):
        return []
    given = dict(zip(("tensors", "dim"), node.args, strict=False)) | node.kwargs
    parts = given.get("tensors")
    if given.keys() != {"tensors", "dim"} or given["dim"] not in (1, -3):
        return []
    if not isinstance(parts, (list, tuple)):
        return []
    found = [part for part in parts if isinstance(part, fx.Node)]
    return found if len(found) == len(parts) else []


_NEVER_ALIASES = (
    *_CONVOLUTIONS, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip
_FRESH_FUNCTIONS = (
    F.conv1d, F.conv2d, F.conv3d, F.batch_norm, F.linear, torch.cat, torch.add, operator.add,
)  # fmt: skip


def fresh(root: nn.Module, node: Any) -> bool:
    """Whether what a node makes is surely a tensor of its own, which nothing else points into."""
    if not isinstance(node, fx.Node):
        return False
    if getattr(node.target, "fresh", False):
        return True
    if layer_of(root, node, *_NEVER_ALIASES) is not None:
        return True
    if activation_of(root, node) is not None:
        return not changes_in_place(root, node)
    if node.op == "call_function" and node.target in (torch.add, operator.add):
        return is_addition(node)
    return node.op == "call_function" and node.target in _FRESH_FUNCTIONS


_IN_PLACE_FUNCTIONS = {
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.setitem,
    operator.ifloordiv, operator.imod, operator.ipow, operator.iand, operator.ior, operator.ixor,
    operator.ilshift, operator.irshift, operator.imatmul, operator.iconcat, operator.delitem,
}  # fmt: skip


def changes_in_place(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node may write into what it is given."""
    if any(name == "out" or (name == "inplace" and value is not False)
           for name, value in node.kwargs.items()):  # fmt: skip
        return True
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.endswith("__")
    if node.op == "call_module":
        module = module_at(root, node)
        if plain(module, *_DROPPING) and not module.training:  # type: ignore[union-attr]
            return False
        return bool(getattr(module, "inplace", False)) or not _harmless(module)
    if node.op != "call_function":
        return False
    name = getattr(node.target, "__name__", "")
    if node.target in _IN_PLACE_FUNCTIONS:
        return True
    if any(value is True for value in node.args[1:]) and "inplace" in _parameters(node.target):
        return True
    return name.endswith("_") and not name.endswith("__")


def _harmless(module: nn.Module | None) -> bool:
    """Whether a module is a library's, which says so where it writes into its input."""
    home = type(module).__module__
    return home.startswith(("torch.nn.modules", "cenote.nn")) and not isinstance(module, Stages)


def _parameters(function: Any) -> tuple[str, ...]:
    code = getattr(function, "__code__", None)
    return code.co_varnames[: code.co_argcount] if code is not None else ("inplace",)


_KEEPING = (
    *_CONVOLUTIONS, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Identity, nn.ZeroPad2d,
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh,
    nn.LeakyReLU, nn.GELU, nn.ELU, nn.SELU, nn.Softplus, nn.Mish, nn.Linear,
)  # fmt: skip
_DROPPING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_KEEPING_FUNCTIONS = {
    torch.add, torch.sub, torch.mul, torch.div, torch.cat, torch.concat,
    torch.relu, torch.sigmoid, torch.tanh, torch.mean, torch._assert,
    operator.add, operator.sub, operator.mul, operator.truediv, operator.neg,
    operator.iadd, operator.isub, operator.imul, operator.itruediv,
    F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.max_pool2d, F.avg_pool2d, F.linear,
    F.relu, F.relu6, F.silu, F.hardswish, F.hardsigmoid, F.sigmoid, F.tanh, F.leaky_relu, F.gelu,
    F.elu, F.hardtanh,
}  # fmt: skip
_KEEPING_METHODS = {
    "add", "sub", "mul", "div", "relu", "sigmoid", "tanh", "mean", "size", "dim",
    "add_", "sub_", "mul_", "div_", "relu_", "sigmoid_", "tanh_",
}  # fmt: skip


def keeps_layout(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node's result is the same, whatever the order in memory of what it is given."""
    if node.op in ("placeholder", "get_attr"):
        return True
    if node.op == "call_module":
        module = module_at(root, node)
        if plain(module, *_DROPPING):
            assert module is not None
            return not module.training
        return plain(module, *_KEEPING)
    if node.op == "call_method":
        return node.target in _KEEPING_METHODS
    if node.op != "call_function":
        return False
    if hasattr(node.target, "any_layout"):
        return bool(node.target.any_layout)
    if node.target is F.dropout:
        training = node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)
        return training is False
    if node.target is getattr:
        return node.args[1] in ("shape", "dtype", "device", "ndim")
    return node.target in _KEEPING_FUNCTIONS
