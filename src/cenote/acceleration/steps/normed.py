"""A batch norm in training, what is added to its result, and an activation that cuts off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cenote import _norms
from cenote._ops.images import plain_gradients
from cenote.acceleration.kinds import Activation, cut_of
from cenote.acceleration.sketch import Step
from cenote.acceleration.steps.held import usable

__all__ = ["How", "Joined", "Normed", "serves", "spent"]


def serves(norm: Any, x: Tensor) -> bool:
    """Whether the norm's statistics of ``x`` are computed here."""
    if not usable(x) or x.numel() == x.shape[1] or not torch.is_grad_enabled():
        return False
    given = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return all(t is None or (usable(t, 1) and t.is_contiguous()) for t in given)


_keeps: Any = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)


def spent(x: Tensor, alone: bool) -> Tensor | None:
    """What was saved for the way back, to be written over; None where it may be read again.

    ``alone``: nothing else holds it.
    """
    return x if alone and not _keeps() else None


def _taken_in(norm: Any) -> tuple[float, tuple[Tensor | None, Tensor | None]]:
    """The weight of this batch in the running statistics, counting it as torch's layer does."""
    if not norm.track_running_stats:
        return 0.0, (None, None)
    running = (norm.running_mean, norm.running_var)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            return 1.0 / float(norm.num_batches_tracked), running
    return 0.0 if norm.momentum is None else float(norm.momentum), running


class Normed(Step):
    """``activation(norm(x) + other)``, the norm by the statistics of the batch.

    ``alone``: nothing but this holds ``x`` for the way back.
    """

    fresh = True

    def __init__(self, norm: Any, activation: Activation | None, *, alone: bool = False) -> None:
        super().__init__()
        self.norm, self.activation, self.alone = norm, activation, alone

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """The activated sum; running statistics follow as ever."""
        norm = self.norm
        alike = other is None or (usable(other) and other.shape == x.shape)
        if not alike or not serves(norm, x):
            y = norm(x)
            y = y if other is None else y + other
            return y if self.activation is None else self.activation(y)
        how = _NormedHow.of(norm, self.activation, self.alone)
        made: Tensor = _Function.apply(x, norm.weight, norm.bias, other, how)  # type: ignore[no-untyped-call]
        return made


class Joined(Step):
    """``activation(norm(torch.cat(parts, 1)))``, the norm by what it has seen; no gradient."""

    fresh = True

    def __init__(self, norm: Any, activation: Activation | None) -> None:
        super().__init__()
        self.norm, self.activation = norm, activation

    def __call__(self, *parts: Tensor) -> Tensor:
        """The activated and normalised parts, their channels one behind the other."""
        norm, first = self.norm, parts[0]
        of = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        if not (
            all(usable(x) and x.shape[2:] == first.shape[2:] for x in parts)
            and all(len(x) == len(first) for x in parts)
            and all(t is not None and usable(t, 1) and t.is_contiguous() for t in of)
            and sum(x.shape[1] for x in parts) == norm.num_features
        ):
            y = norm(torch.cat(parts, 1) if len(parts) > 1 else first)
            return y if self.activation is None else self.activation(y)
        return _norms.joined(parts, *of, cut_of(self.activation), eps=norm.eps)


@dataclass(frozen=True, eq=False)
class How:
    """What of a norm and its activation is no tensor with a gradient."""

    eps: float
    momentum: float
    running: tuple[Tensor | None, Tensor | None]
    activation: Activation | None
    alone: bool

    @classmethod
    def of(cls, norm: Any, activation: Activation | None, alone: bool, *more: Any) -> How:
        """For a call from now on: the norm counts it, as torch's layer does."""
        return cls(norm.eps, *_taken_in(norm), activation, alone, *more)

    @property
    def cut(self) -> _norms.Cut:
        """Where the activation cuts off."""
        return cut_of(self.activation)

    def applied(
        self, x: Tensor, gamma: Tensor, beta: Tensor, other: Tensor | None = None,
        to: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, _norms.Statistics]:  # fmt: skip
        """See :func:`cenote._norms.apply`."""
        return _norms.apply(
            x, gamma, beta, other, self.cut,
            eps=self.eps, momentum=self.momentum, running=self.running, to=to,
        )  # fmt: skip


class _NormedHow(How):
    def plainly(
        self, grad: Tensor, x: Tensor, gamma: Tensor, beta: Tensor, y: Tensor | None,
        wanted: tuple[bool, bool, bool, bool],
    ) -> list[Tensor | None]:  # fmt: skip
        """The gradients by operators that have derivatives; where something was added, of ``y``."""
        added = y is not None
        if y is not None:
            low, high = self.cut
            grad = grad.masked_fill((y <= low) | (y >= high), 0.0)

        def plain(x: Tensor, gamma: Tensor, beta: Tensor | None) -> Tensor:
            made = F.batch_norm(x, None, None, gamma, beta, True, 0.0, self.eps)
            return made if added or self.activation is None else self.activation(made)

        found = plain_gradients(plain, (x, gamma, beta), wanted[:3], grad)
        return [*found, grad if wanted[3] else None]


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, other: Tensor | None, how: _NormedHow
    ) -> Tensor:
        if other is not None:
            other = other.contiguous(memory_format=torch.channels_last)
        y, x, (mean, scale) = how.applied(x, gamma, beta, other)
        ctx.how = how
        told = None if other is None or how.activation is None else y
        ctx.save_for_backward(x, gamma, beta, mean, scale, told)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, gamma, beta, mean, scale, y = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:4]
        if torch.is_grad_enabled():
            return (*ctx.how.plainly(grad, x, gamma, beta, y, wanted), None)
        how: _NormedHow = ctx.how
        found = _norms.gradients(
            grad, x, gamma, beta, (mean, scale), how.cut, y, wanted, room=spent(x, how.alone)
        )
        return (*found, None)
