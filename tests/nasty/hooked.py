"""Hooks of all sorts: what they see, what they change, and that they are called."""

import torch
import torch.nn.functional as F
from torch import nn

from nasty.case import Net, conv, network


def note(module, *values):
    """Leaves, in the module it is called with, what it was called with."""
    tensors = [v for part in values for v in (part if isinstance(part, tuple) else (part,))]
    found = [None if t is None else t.detach().clone() for t in tensors]
    module.__dict__.setdefault("notes", []).append(found)


def doubled(module, inputs, output):
    return output * 2


def shifted(module, inputs):
    return (inputs[0] + 1,)


def with_options(module, inputs, options):
    return inputs, {**options, "scale": 3}


def halved(module, grad_input, grad_output):
    return tuple(None if g is None else g / 2 for g in grad_input)


class Hooked(Net):
    def build(self):
        self.conv, self.norm = conv(8, 6), nn.BatchNorm2d(6)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.hook()

    def hook(self):
        pass

    def forward(self, x):
        return self.pool(self.relu(self.norm(self.conv(x))))


@network(
    "each layer's output is looked at",
    kept=("conv.notes", "norm.notes", "relu.notes", "pool.notes"),
)
class ForwardHooks(Hooked):
    def hook(self):
        for part in (self.conv, self.norm, self.relu, self.pool):
            part.register_forward_hook(note)


@network("a hook doubles what the convolution gives")
class ForwardHookThatChanges(Hooked):
    def hook(self):
        self.conv.register_forward_hook(doubled)


@network("a hook on the activation, which would vanish in a stage", kept=("relu.notes",))
class HookOnTheActivation(Hooked):
    def hook(self):
        self.relu.register_forward_hook(note)


@network("a hook shifts what the pool is given")
class PreHookThatChanges(Hooked):
    def hook(self):
        self.pool.register_forward_pre_hook(shifted)


@network("a hook on the network itself", kept=("notes",))
class HookOnTheWhole(Hooked):
    def hook(self):
        self.register_forward_hook(note)
        self.register_forward_pre_hook(shifted)


@network("a hook adds a keyword")
class PreHookWithKeywords(Net):
    class Scaled(Net):
        def build(self):
            self.conv = conv(8, 6)

        def forward(self, x, scale=1):
            return F.max_pool2d(F.relu(self.conv(x)), 2) * scale

    def build(self):
        self.part = self.Scaled()
        self.part.register_forward_pre_hook(with_options, with_kwargs=True)

    def forward(self, x):
        return self.part(x)


@network("gradients are looked at on their way", kept=("norm.notes",))
class BackwardHooks(Hooked):
    def hook(self):
        self.norm.register_full_backward_hook(note)


def tripled(module, grad_output):
    return tuple(g * 3 for g in grad_output)


@network("gradients are halved on their way")
class BackwardHookThatChanges(Hooked):
    def hook(self):
        self.relu.register_full_backward_hook(halved)
        self.pool.register_full_backward_pre_hook(tripled)


@network("a hook on a parameter", pickles=False)
class ParameterHook(Hooked):
    def hook(self):
        self.conv.weight.register_hook(lambda grad: grad * 5)


@network("state_dict has hooks of its own", pickles=False)
class StateHooks(Hooked):
    def hook(self):
        self.register_state_dict_post_hook(
            lambda m, state, prefix, meta: state.update(extra=torch.ones(1))
        )
        self.register_load_state_dict_pre_hook(lambda m, state, *more: state.pop("extra", None))
