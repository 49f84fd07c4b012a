"""The operators as PyTorch knows them: ``torch.ops.cenote.*``, and the short ways to them.

Forward and backward are operators of their own, each with an implementation, a fake one for
tracing, an autograd formula made of the others, and a batching rule. In plain eager mode none of
that is needed: :func:`eager_only` says when, and the call goes straight to the kernels.
"""

from cenote._ops.convolution import WAYS, convolve, convolve_back, is_torchs
from cenote._ops.eager import eager_only
from cenote._ops.fused import stage
from cenote._ops.linear import linear, linear_transpose
from cenote._ops.places import fractional, pick, unpool
from cenote._ops.power import power
from cenote._ops.select import select
from cenote._ops.smooth import logsumexp

__all__ = [
    "WAYS",
    "convolve",
    "convolve_back",
    "eager_only",
    "fractional",
    "is_torchs",
    "linear",
    "linear_transpose",
    "logsumexp",
    "pick",
    "power",
    "select",
    "stage",
    "unpool",
]
