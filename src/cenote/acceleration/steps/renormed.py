"""A batch norm in training, its activation and a convolution, of which the input alone is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import _winograd
from cenote._ops.images import plain_gradients
from cenote.acceleration.kinds import Activation
from cenote.acceleration.sketch import Step
from cenote.acceleration.steps.convolutions import Convolution
from cenote.acceleration.steps.held import usable

__all__ = ["Renormed"]


class Renormed(Step):
    """``convolution(activation(norm(x)))``, the norm by the statistics of the batch."""

    fresh = True

    def __init__(self, norm: Any, activation: Activation | None, convolution: Convolution) -> None:
        super().__init__()
        self.norm, self.activation, self.convolution = norm, activation, convolution

    def __call__(self, x: Tensor) -> Tensor:
        """The convolved, activated and normalised ``x``; running statistics follow as ever."""
        norm, layer = self.norm, self.convolution.layer
        given = (x, norm.weight, norm.bias, layer.weight)
        if not usable(x) or x.numel() == x.shape[1] or not torch.is_grad_enabled():
            return self._one_by_one(x)
        if any(t.dtype is not torch.float32 for t in given):
            return self._one_by_one(x)
        how = _How(
            norm.eps, _momentum(norm), self.activation, self.convolution.numbers(),
            self.convolution.tiles and not self.convolution.why_no_tiles(x),
        )  # fmt: skip
        kept = (norm.running_mean, norm.running_var) if norm.track_running_stats else (None, None)
        made: Tensor = _Function.apply(  # type: ignore[no-untyped-call]
            x, norm.weight, norm.bias, layer.weight, layer.bias, *kept, how
        )
        return made

    def _one_by_one(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return self.convolution(y if self.activation is None else self.activation(y))


def _momentum(norm: Any) -> float:
    """The weight of this batch in the running statistics, counting it, as torch's layer does."""
    if norm.track_running_stats and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            return 1.0 / float(norm.num_batches_tracked)
    return 0.0 if norm.momentum is None else float(norm.momentum)


@dataclass(frozen=True, eq=False)
class _How:
    """What is the same on the way back."""

    eps: float
    momentum: float
    activation: Activation | None
    numbers: tuple[Any, ...]
    tiles: bool

    def activated(self, y: Tensor) -> Tensor:
        """Written over ``y``."""
        if self.activation is None:
            return y
        if self.activation.name == "relu":
            return y.relu_()
        return F.hardtanh_(y, *self.limits())

    def limits(self) -> tuple[float, float]:
        """Between which numbers the activation does nothing."""
        assert self.activation is not None
        return self.activation.options or (0.0, 6.0)

    def masked(self, grad: Tensor, y: Tensor) -> Tensor:
        """The gradient of what goes into the activation, whose outputs are ``y``."""
        if self.activation is None:
            return grad
        made: Tensor
        if self.activation.name == "relu":
            made = torch.ops.aten.threshold_backward(grad, y, 0)
        else:
            made = torch.ops.aten.hardtanh_backward(grad, y, *self.limits())
        return made

    def convolved(self, y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """By tiles or by torch."""
        stride, padding, dilation, groups = self.numbers
        if not self.tiles:
            return F.conv2d(y, weight, bias, stride, padding, dilation, groups)
        out = (y.shape[2] + 2 * padding[0] - weight.shape[2] + 1,
               y.shape[3] + 2 * padding[1] - weight.shape[3] + 1)  # fmt: skip
        packed = _winograd.filters(weight, _winograd.edge_for(weight.shape[2], out), passing=True)
        return _winograd.convolve(y, packed, weight.shape, bias, padding)

    def gradients(
        self, grad: Tensor, y: Tensor, weight: Tensor, wanted: list[bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of the convolution: of its input, weight and bias."""
        stride, padding, dilation, groups = self.numbers
        if self.tiles:
            return _winograd.gradients(y, weight, grad, padding, wanted)
        found: tuple[Tensor | None, Tensor | None, Tensor | None]
        found = torch.ops.aten.convolution_backward(
            grad, y, weight, [weight.shape[0]], stride, padding, dilation, False, [0, 0], groups,
            wanted,
        )  # fmt: skip
        return found

    def plainly(
        self, x: Tensor, gamma: Tensor, beta: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        """All of it by operators that have derivatives."""
        y = F.batch_norm(x, None, None, gamma, beta, True, 0.0, self.eps)
        y = y if self.activation is None else self.activation(y)
        return F.conv2d(y, weight, bias, *self.numbers)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, weight: Tensor, bias: Tensor | None,
        mean: Tensor | None, var: Tensor | None, how: _How,
    ) -> Tensor:  # fmt: skip
        y, middle, scale = torch.native_batch_norm(
            x, gamma, beta, mean, var, True, how.momentum, how.eps
        )
        ctx.how = how
        ctx.save_for_backward(x, gamma, beta, weight, bias, middle, scale)
        return how.convolved(how.activated(y), weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, gamma, beta, weight, bias, middle, scale = ctx.saved_tensors
        how: _How = ctx.how
        wanted = ctx.needs_input_grad[:5]
        if torch.is_grad_enabled():
            found = plain_gradients(how.plainly, (x, gamma, beta, weight, bias), wanted, grad)  # type: ignore[arg-type]
            return (*found, None, None, None)
        # the norm with the numbers that it had, as a norm that is not in training
        y = torch.native_batch_norm(
            x, gamma, beta, middle, scale.reciprocal().square_(), False, 0.0, 0.0
        )[0]
        y = how.activated(y)
        inner = any(wanted[:3])
        grad = grad.contiguous(memory_format=torch.channels_last)
        back, to_weight, to_bias = how.gradients(
            grad, y, weight, [inner, wanted[3], wanted[4] and bias is not None]
        )
        if back is None:
            return None, None, None, to_weight, to_bias, None, None, None
        if to_weight is not None and weight.shape[2:] == (1, 1):
            to_weight = to_weight.flatten(1)[..., None, None]  # strides as of rows
        back = how.masked(back, y)
        del y
        to_x, to_gamma, to_beta = torch.ops.aten.native_batch_norm_backward(
            back, x, gamma, None, None, middle, scale, True, how.eps, list(wanted[:3])
        )
        return to_x, to_gamma, to_beta, to_weight, to_bias, None, None, None
