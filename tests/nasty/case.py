"""What a nasty network is: a name, the reason it exists, how to make it and what to give it."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

CATALOGUE: dict[str, Case] = {}
SLOW = os.environ.get("CENOTE_SLOW") == "1"
DECIDING = 2.0 if SLOW else 0.0  # seconds; without any, channels come last wherever they can

QUIET = [  # of torch's warnings of what some of them are made of
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated:DeprecationWarning"),
]


@dataclass
class Given:
    """The arguments of one call."""

    args: tuple = ()
    kwargs: dict = field(default_factory=dict)

    def map(self, change):
        return Given(
            tuple(_mapped(value, change) for value in self.args),
            {name: _mapped(value, change) for name, value in self.kwargs.items()},
        )

    def tensors(self):
        found = []
        self.map(found.append)
        return found


def _mapped(value, change):
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {name: _mapped(part, change) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(part, change) for part in value)
    return value


def given(*args, **kwargs):
    return Given(args, kwargs)


def image(*shape):
    return given(torch.randn(shape or (2, 8, 17, 15)))


@dataclass(frozen=True)
class Case:
    """A network worth a test.

    ``exact`` says that the same run in float64 means the same; ``jumps`` that a rounding may move
    its output by more than a rounding; ``odd`` that NaN and infinities go in; ``precision`` its
    coarsest type inside; ``leaves`` that its inputs may ask for gradients; ``learns`` that SGD has
    something to do; ``pickles`` that it pickles; ``kept`` names attributes that a call leaves
    something in.
    """

    name: str
    reason: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], Given] = image
    exact: bool = True
    jumps: bool = False
    odd: bool = False
    precision: torch.dtype | None = None
    leaves: bool = True
    learns: bool = True
    pickles: bool = True
    kept: tuple[str, ...] = ()

    def build(self, seed=0):
        """The network, with statistics and scales as after some life: scales of both signs."""
        seed_all(seed)
        model = self.make()
        with torch.no_grad():
            for part in model.modules():
                if isinstance(part, _BatchNorm):
                    _lived(part)
        return model

    def given(self, seed=0):
        seed_all(1000 + seed)
        return self.inputs()

    @property
    def eps(self):
        return self.precision and torch.finfo(self.precision).eps

    def __str__(self):
        return self.name


def some(values, *kept):
    """Values as parameters: those named here in every run, the others in the slow one."""
    return [
        pytest.param(v, id=str(v), marks=[] if str(v) in kept else pytest.mark.slow) for v in values
    ]


def _lived(norm):
    if isinstance(norm.weight, nn.UninitializedParameter):
        return
    if norm.running_mean is not None:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    if norm.weight is not None:
        norm.weight.normal_()
        norm.bias.normal_()


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Net(nn.Module):
    """Only ``build`` and ``forward`` are left to write."""

    def __init__(self):
        super().__init__()
        self.build()

    def build(self):
        pass


def add(name, reason, make, inputs=image, **properties):
    if name in CATALOGUE:
        raise ValueError(f"two networks are named {name!r}")
    CATALOGUE[name] = Case(name, reason, make, inputs, **properties)


def network(reason, inputs=image, **properties):
    """Adds a class under its name in words: ``ConvUsedTwice`` is ``conv_used_twice``."""

    def added(kind):
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind.__name__)
        add(name.lower(), reason, kind, inputs, **properties)
        return kind

    return added


def sequence(name, reason, layers, inputs=image, **properties):
    add(name, reason, lambda: nn.Sequential(*layers()), inputs, **properties)


def conv(inputs, outputs, kernel=3, **options):
    if isinstance(kernel, int):
        options.setdefault("padding", kernel // 2)
    return nn.Conv2d(inputs, outputs, kernel, **options)
