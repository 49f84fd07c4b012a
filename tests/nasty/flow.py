"""What Python can do in a forward: branches, loops, state, randomness, exceptions, hooks."""

import functools
import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from nasty.case import Net, conv, given, image, network


def block(inputs=8, outputs=8):
    return nn.Sequential(conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))


@network("a branch that the data takes")
class BranchOnData(Net):
    def build(self):
        self.conv, self.pool = conv(8, 6), nn.MaxPool2d(2)

    def forward(self, x):
        y = self.conv(x)
        if y.mean() > 0:
            y = F.relu(y)
        return self.pool(y * 2 if x[0, 0, 0, 0].item() > 0 else y)


@network("a branch on shapes: one image, few rows, len(x), the type")
class BranchOnShape(Net):
    def build(self):
        self.conv, self.pool = conv(8, 6), nn.MaxPool2d(2)

    def forward(self, x):
        if not isinstance(x, torch.Tensor) or x.dim() != 4:
            raise TypeError("four dimensions")
        y = self.conv(x)
        if x.shape[0] == 1 or len(x) > 3:
            return y.squeeze(0)
        return self.pool(y) if x.size(2) > 10 else F.avg_pool2d(y, 2)


@network("a branch on the mode")
class BranchOnTraining(Net):
    def build(self):
        self.conv, self.norm, self.extra = conv(8, 6), nn.BatchNorm2d(6), conv(6, 2)

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return (y, self.extra(y)) if self.training else y


@network("a branch on layout: strides and is_contiguous")
class BranchOnLayout(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.conv(x)), 2)
        if not x.is_contiguous():
            y = y + 1
        if y.stride()[1] == 1 or y.is_contiguous(memory_format=torch.channels_last):
            y = y * 2
        return y.view(len(y), -1) if y.is_contiguous() else y.flatten(1)


@network("a loop as long as an attribute says")
class LoopOfAnAttribute(Net):
    def build(self):
        self.times, self.conv = 3, conv(8, 8)

    def forward(self, x):
        for _ in range(self.times):
            x = F.relu(self.conv(x))
        return F.max_pool2d(x, 2)


@network("counts its calls, and does something else at every other")
class Counter(Net):
    def build(self):
        self.calls, self.conv = 0, conv(8, 6)

    def forward(self, x):
        self.calls += 1
        y = self.conv(x) * self.calls
        return F.max_pool2d(y, 2) if self.calls % 2 else F.avg_pool2d(y, 2)


@network("counts in a buffer, as a schedule of its own")
class CounterInABuffer(Net):
    def build(self):
        self.conv = conv(8, 6)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("ema", torch.zeros(6))

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.conv(x)), 2)
        if self.training:
            self.calls += 1
            self.ema.mul_(0.9).add_(y.detach().mean((0, 2, 3)), alpha=0.1)
        return y / (1 + self.calls)


@network("stochastic depth by Python's and NumPy's generators")
class StochasticDepth(Net):
    def build(self):
        self.parts = nn.ModuleList(conv(8, 8) for _ in range(4))

    def forward(self, x):
        for part in self.parts:
            if random.random() < 0.6:
                x = x + F.relu(part(x))
            if np.random.rand() < 0.5:
                x = F.max_pool2d(x, 3, 1, 1)
        return x


@network("noise from torch's generator between the layers", exact=False)
class Noise(Net):
    def build(self):
        self.conv, self.drop = conv(8, 6), nn.Dropout(0.2)

    def forward(self, x):
        y = self.conv(x + torch.randn_like(x) * 0.1)
        keep = torch.rand(len(x), 1, 1, 1) < 0.7
        return F.max_pool2d(self.drop(F.relu(y)) * keep, 2)


@network("leaves its activations in attributes and lists", kept=("seen", "last"))
class Remembers(Net):
    def build(self):
        self.conv, self.pool, self.seen, self.last = conv(8, 6), nn.MaxPool2d(2), [], None

    def forward(self, x):
        self.last = y = F.relu(self.conv(x))
        self.seen.append(y.detach().mean((1, 2, 3)))
        return self.pool(y)


@network("a submodule leaves its output in its parent's attribute", kept=("taps",))
class RemembersBelow(Net):
    class Tap(Net):
        taken = None

        def forward(self, x):
            self.taken = x
            return x

    def build(self):
        self.tap = self.Tap()
        self.body = nn.Sequential(conv(8, 6), self.tap, nn.ReLU(True), nn.MaxPool2d(2))

    def forward(self, x):
        y = self.body(x)
        self.taps = {"before relu, after relu_": self.tap.taken}
        return y


@network("tries, and catches what torch says")
class Tries(Net):
    def build(self):
        self.wrong, self.right, self.pool = conv(5, 6), conv(8, 6), nn.MaxPool2d(2)

    def forward(self, x):
        try:
            y = self.wrong(x)
        except RuntimeError as error:
            y = self.right(x) * (1 + ("channels" in str(error)))
        try:
            return F.max_pool2d(y, 40)
        except RuntimeError:
            return self.pool(F.relu(y))


@network(
    "options through **kwargs, with defaults",
    lambda: given(torch.randn(2, 8, 17, 15), scale=2.0, kernel_size=3),
)
class Options(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x, *more, scale=1.0, **options):
        if more:
            raise ValueError("none is known")
        return F.max_pool2d(F.relu(self.conv(x * scale)), **options)


@network("closures, lambdas and partial", pickles=False)
class Closures(Net):
    def build(self):
        self.conv = conv(8, 6)
        pool, factor = nn.MaxPool2d(2), 3
        self.steps = [
            self.conv,
            lambda y: y * factor,
            torch.relu,
            functools.partial(self.end, pool),
        ]

    @staticmethod
    def end(pool, y):
        return pool(y)

    def forward(self, x):
        return functools.reduce(lambda value, step: step(value), self.steps, x)


class Hidden:
    """Not a module: torch does not see the layers that it holds."""

    def __init__(self, *layers):
        self.layers = list(layers)

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@network("layers in a plain list and in a plain object: no parameters of the network", exact=False)
class PlainLists(Net):
    def build(self):
        self.first = conv(8, 6)
        self.layers = [conv(6, 6), nn.ReLU(), nn.MaxPool2d(2)]
        self.hidden = Hidden(conv(6, 4), nn.ReLU(), nn.AvgPool2d(2))

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return self.hidden(x)


@network("the work is in methods, of itself and of a part")
class Methods(Net):
    class Part(Net):
        def build(self):
            self.conv = conv(8, 6)

        def features(self, x):
            return F.relu(self.conv(x))

        def forward(self, x):
            raise NotImplementedError("call features")

    def build(self):
        self.part, self.pool = self.Part(), nn.MaxPool2d(2)

    def reduced(self, y):
        return self.pool(y)

    def forward(self, x):
        return self.reduced(self.part.features(x)) + self.part.conv.weight.sum()


@network("the first part under no_grad, the second detached")
class PartsWithoutGradients(Net):
    def build(self):
        self.frozen, self.middle, self.last = block(), block(), conv(8, 4)

    def forward(self, x):
        with torch.no_grad():
            y = self.frozen(x)
        z = self.middle(y)
        return self.last(z), z.detach().amax((2, 3))


@network("enable_grad inside, so that gradients are asked for within", learns=False)
class GradientInside(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            energy = F.max_pool2d(F.softplus(self.conv(leaf)), 2).square().sum()
            (force,) = torch.autograd.grad(energy, leaf)
        return force.detach()


@network("a second derivative: the gradient is part of the value")
class GradientPenalty(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        with torch.enable_grad():
            leaf = x if x.requires_grad else x.detach().requires_grad_()
            score = F.avg_pool2d(torch.tanh(self.conv(leaf)), 2).sum()
            (slope,) = torch.autograd.grad(score, leaf, create_graph=True)
        return slope.square().mean((1, 2, 3))


@network("checkpointed blocks run twice in a training step")
class Checkpointed(Net):
    def build(self):
        self.first, self.second = block(), block()

    def forward(self, x):
        y = checkpoint(self.first, x, use_reentrant=False)
        return checkpoint(lambda z: self.second(z) * 2, y, use_reentrant=False)


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        return grad * 0.5


@network("a derivative of one's own between convolution and pool", jumps=True)
class CustomFunction(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        return F.max_pool2d(Sign.apply(F.relu(self.conv(x))) + x[:, :6], 2)


@network("a hook on a tensor between activation and pool changes the gradient")
class TensorHook(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        y = F.relu(self.conv(x))
        if y.requires_grad:
            y.register_hook(lambda grad: grad.clamp(-0.5, 0.5))
        return F.max_pool2d(y, 2)


@torch.fx.wrap
def damped(x, by):
    return x * by if by else x


@network("a function that fx is told to leave closed")
class WrappedFunction(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        return F.max_pool2d(damped(F.relu(self.conv(x)), 0.5), 2)


@network("modules are made in forward")
class MadeInForward(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        return nn.Sequential(self.conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())(x)


@network("asks for its parts by name and number")
class ByName(Net):
    def build(self):
        self.parts = nn.ModuleDict({"conv": conv(8, 6), "pool": nn.MaxPool2d(2)})
        self.shift = nn.ParameterList([torch.randn(6, 1, 1)])

    def forward(self, x):
        y = self.get_submodule("parts.conv")(x)
        named = dict(self.named_children())
        return named["parts"]["pool"](y + self.shift[0]) * len(list(self.parameters()))


@network("scripted by torch.jit inside", lambda: image(2, 8, 12, 12), pickles=False, exact=False)
class ScriptedInside(Net):
    def build(self):
        self.conv = conv(8, 6)
        self.inner = torch.jit.script(nn.Sequential(conv(6, 6), nn.ReLU(), nn.MaxPool2d(2)))

    def forward(self, x):
        return self.inner(F.relu(self.conv(x)))
