"""Runs a network as it is used and notes all that can be seen of it afterwards."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields, is_dataclass

import numpy as np
import torch

from nasty.case import Given, seed_all


def leaves(value, where=""):
    """``(place, value)`` of everything in nested structures; of those, their types."""
    if isinstance(value, torch.Tensor):
        yield where, value
    elif isinstance(value, dict):
        yield where, (type(value), tuple(value))
        for name, part in value.items():
            yield from leaves(part, f"{where}[{name!r}]")
    elif isinstance(value, list | tuple):
        yield where, (type(value), len(value))
        for i, part in enumerate(value):
            yield from leaves(part, f"{where}[{i}]")
    elif is_dataclass(value):
        yield where, type(value)
        for member in fields(value):
            yield from leaves(getattr(value, member.name), f"{where}.{member.name}")
    else:
        yield where, value


def tensors(value):
    return [part for _, part in leaves(value) if isinstance(part, torch.Tensor)]


def aliases(outputs, inputs):
    """For each tensor that came out, which of inputs and outputs it lives in the memory of."""
    everything = [*inputs, *tensors(outputs)]
    owners = [t.untyped_storage().data_ptr() if t.numel() else i for i, t in enumerate(everything)]
    same = [next(k for k, other in enumerate(everything) if other is t) for t in everything]
    return [owners.index(owner) for owner in owners], same


def pattern(tensor):
    """Weights of both signs, so that every element counts for something else."""
    wave = torch.cos(torch.arange(tensor.numel(), dtype=torch.float64) * 0.7)
    return wave.view(tensor.shape).to(tensor.dtype)


def loss_of(outputs, *, mean=False):
    """Of all that can be derived: a weighted sum, or the mean square distance to the weights."""
    total = None
    for tensor in tensors(outputs):
        if not tensor.requires_grad or not tensor.numel():
            continue
        real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        weights = pattern(real)
        part = (real - weights).square().mean() if mean else (real * weights).sum()
        total = part if total is None else total + part.to(total.dtype)
    return total


def _kept(model, name):
    *path, last = name.split(".")
    return getattr(model.get_submodule(".".join(path)), last, None)


@dataclass
class Seen:
    """What a run leaves to see; ``exactly`` has to be equal, ``nearly`` within rounding."""

    exactly: dict = field(default_factory=dict)
    nearly: dict = field(default_factory=dict)
    gradients: dict = field(default_factory=dict)
    odd: bool = False  # whether NaN and infinities go in
    eps: float | None = None  # of the coarsest type inside, where the outputs do not show it

    def note(self, where, value):
        for place, part in leaves(value, where):
            if not isinstance(part, torch.Tensor):
                self.exactly[place] = part
                continue
            self.exactly[f"{place} (dtype)"] = part.dtype
            self.exactly[f"{place} (shape, strides)"] = tuple(part.shape), part.stride()
            self.exactly[f"{place} (requires_grad)"] = part.requires_grad
            self.nearly[place] = part.detach().clone()


def generators():
    """The state of Python's, NumPy's and torch's random numbers, in short."""
    name, keys, *rest = np.random.get_state()
    own = torch.get_rng_state().numpy().tobytes()
    return hash((random.getstate(), name, keys.tobytes(), tuple(rest), own))


def in_float64(tensor):
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor


def prepared(case, seed, *, exact=False, ask=False):
    given = case.given(seed)
    if exact:
        given = given.map(in_float64)
    if ask and case.leaves:
        asks = {
            id(t): t.detach().requires_grad_()
            for t in given.tensors()
            if t.is_floating_point() or t.is_complex()
        }
        given = given.map(lambda t: asks.get(id(t), t))
    return given


def call(model, given: Given):
    return model(*given.args, **given.kwargs)


def run(case, model, *, train, grad, ask=False, exact=False, seed=0) -> Seen:
    """One call, and with ``grad`` the way back; ``ask`` for the inputs' gradients too."""
    model.train(train)
    given = prepared(case, seed, exact=exact, ask=ask)
    inputs = given.tensors()
    seed_all(seed)
    seen = Seen(odd=case.odd, eps=case.eps)
    model.zero_grad()
    with torch.set_grad_enabled(grad):
        outputs = call(model, given)
    seen.note("output", outputs)
    seen.exactly["who shares memory with whom"] = aliases(outputs, inputs)
    loss = loss_of(outputs) if grad else None
    if loss is not None:
        loss.backward()
    for i, tensor in enumerate(inputs):
        seen.nearly[f"input {i} afterwards"] = tensor.detach().clone()
        if tensor.is_leaf:
            seen.gradients[f"gradient of input {i}"] = tensor.grad
    for name, parameter in model.named_parameters():
        seen.gradients[f"gradient of {name}"] = parameter.grad
    for name, buffer in model.named_buffers():
        seen.nearly[f"buffer {name}"] = buffer.clone()
    for name in case.kept:
        seen.note(f"attribute {name}", _kept(model, name))
    seen.exactly["random numbers"] = generators()
    return seen


def steps(case, model, *, count=10, exact=False, seed=0) -> Seen:
    """Parameters, buffers and losses of some steps of SGD, each with a batch of its own."""
    model.train()
    seen, optimizer = Seen(eps=case.eps), torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for step in range(count):
        given = prepared(case, seed + step, exact=exact)
        seed_all(seed + step)
        optimizer.zero_grad()
        loss = loss_of(call(model, given), mean=True)
        if loss is None:
            break
        loss.backward()
        optimizer.step()
        seen.gradients[f"loss of step {step}"] = loss.detach()
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            seen.gradients[f"{name} after the steps"] = tensor.clone()
    seen.exactly["random numbers"] = generators()
    return seen
