"""A batch norm in training, its activation and a convolution, of which the input alone is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import _norms, _winograd
from cenote._ops.images import plain_gradients
from cenote._passing import Passing
from cenote.acceleration.kinds import Activation
from cenote.acceleration.sketch import Step
from cenote.acceleration.steps.convolutions import Convolution
from cenote.acceleration.steps.held import usable
from cenote.acceleration.steps.normed import How, serves, spent

__all__ = ["Renormed"]

_passing = Passing()  # for inputs of convolutions, and gradients of norms' results


class Renormed(Step):
    """``convolution(activation(norm(x)))``, the norm by the statistics of the batch."""

    fresh = True

    def __init__(
        self,
        norm: Any,
        activation: Activation | None,
        convolution: Convolution,
        *,
        alone: bool = False,
    ) -> None:
        super().__init__()
        self.norm, self.activation, self.convolution = norm, activation, convolution
        self.alone = alone

    def __call__(self, x: Tensor) -> Tensor:
        """The convolved, activated and normalised ``x``; running statistics follow as ever."""
        norm, layer = self.norm, self.convolution.layer
        if not serves(norm, x) or not usable(layer.weight):
            return self._one_by_one(x)
        convolution = self.convolution
        tiles = convolution.tiles and not convolution.why_no_tiles(x)
        how = _How.of(norm, self.activation, self.alone, convolution.numbers(), tiles)
        made: Tensor = _Function.apply(  # type: ignore[no-untyped-call]
            x, norm.weight, norm.bias, layer.weight, layer.bias, how
        )
        return made

    def _one_by_one(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return self.convolution(y if self.activation is None else self.activation(y))


@dataclass(frozen=True, eq=False)
class _How(How):
    numbers: tuple[Any, ...]
    tiles: bool

    def convolved(self, y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """By tiles or by torch."""
        stride, padding, dilation, groups = self.numbers
        if not self.tiles:
            return F.conv2d(y, weight, bias, stride, padding, dilation, groups)
        out = (y.shape[2] + 2 * padding[0] - weight.shape[2] + 1,
               y.shape[3] + 2 * padding[1] - weight.shape[3] + 1)  # fmt: skip
        packed = _winograd.filters(weight, _winograd.edge_for(weight.shape[2], out), passing=True)
        return _winograd.convolve(y, packed, weight.shape, bias, padding)

    def of_weight(
        self, grad: Tensor, y: Tensor, weight: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of the convolution's weight and bias, with the strides of the weight."""
        if not any(wanted):
            return None, None
        if self.tiles:
            return _winograd.gradients(y, weight, grad, self.numbers[1], (False, *wanted))[1:]
        like = torch.empty_like(weight, memory_format=torch.channels_last)  # it is not read
        _, to_weight, to_bias = self._gradients(grad, y, like, [False, *wanted])
        if to_weight is not None and weight.is_contiguous():
            to_weight = to_weight.contiguous().flatten(1).view(weight.shape)  # strides as of rows
        return to_weight, to_bias

    def of_input(
        self, grad: Tensor, like: Tensor, weight: Tensor, to: Tensor | None = None
    ) -> Tensor:
        """The gradient of the convolution's input; ``to``: where it may be written."""
        wanted = (True, False, False)
        if self.tiles:
            back = _winograd.gradients(like, weight, grad, self.numbers[1], wanted, to)[0]
        else:
            back = self._gradients(grad, like, weight, list(wanted))[0]
        assert back is not None
        return back

    def _gradients(
        self, grad: Tensor, y: Tensor, weight: Tensor, wanted: list[bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        stride, padding, dilation, groups = self.numbers
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
        how: _How,
    ) -> Tensor:  # fmt: skip
        block = _passing.block(x.numel())
        y, x, (mean, scale) = how.applied(x, gamma, beta, to=block.last(x.shape))
        ctx.how, ctx.block = how, block  # which is there for the next as long as there is a graph
        ctx.save_for_backward(x, gamma, beta, weight, bias, mean, scale)
        return how.convolved(y, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, gamma, beta, weight, bias, mean, scale = ctx.saved_tensors
        how: _How = ctx.how
        wanted = ctx.needs_input_grad[:5]
        if torch.is_grad_enabled():
            found = plain_gradients(how.plainly, (x, gamma, beta, weight, bias), wanted, grad)  # type: ignore[arg-type]
            return (*found, None)
        grad = grad.contiguous(memory_format=torch.channels_last)
        here = _passing.block(x.numel()).last(x.shape)  # ctx.block, unless in another thread
        y = _norms.again(x, gamma, beta, (mean, scale), how.cut, to=here)
        to_weight, to_bias = how.of_weight(
            grad, y, weight, (wanted[3], wanted[4] and bias is not None)
        )
        if not any(wanted[:3]):
            return None, None, None, to_weight, to_bias, None
        room = spent(x, how.alone)
        back = how.of_input(grad, x, weight, None if room is None else here)
        to_x, to_gamma, to_beta, _ = _norms.gradients(
            back, x, gamma, beta, (mean, scale), how.cut, wanted=(*wanted[:3], False),
            room=back if room is None else room,
        )  # fmt: skip
        return to_x, to_gamma, to_beta, to_weight, to_bias, None
