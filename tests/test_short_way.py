"""The short way past torch's dispatcher: every condition that closes it, one at a time."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

import cenote
from cenote import _ops
from cenote._ops import eager
from test_pytorch import Recorder, some


class Plain(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class Subclass(torch.Tensor):
    pass


def under(context):
    def check(x):
        with context():
            return _ops.eager_only(x), cenote.max_pool2d(x, 2)

    return check


def under_trace(x):
    seen = []

    def body(x):
        seen.append(_ops.eager_only(x))
        return cenote.max_pool2d(x, 2)

    with pytest.warns(DeprecationWarning, match="torch.jit.trace"):
        traced = torch.jit.trace(body, x, check_trace=False)
    return seen[0], traced(x)


def under_transform(x):
    seen = []

    def body(x):
        seen.append(_ops.eager_only(x))
        return cenote.max_pool2d(x, 2)

    return torch.vmap(body)(x[None])[0], seen[0]


CLOSED_BY = {
    "dispatch_mode": under(Recorder),
    "function_mode": under(Plain),
    "forward_ad": under(forward_ad.dual_level),
    "profiler": under(lambda: torch.autograd.profiler.profile(use_kineto=False)),
    "tracing": under_trace,
    "functorch": lambda x: under_transform(x)[::-1],
    "subclass": lambda x: (
        _ops.eager_only(x.as_subclass(Subclass)),
        cenote.max_pool2d(x.as_subclass(Subclass), 2).as_subclass(torch.Tensor),
    ),
    "negative_bit": lambda x: (
        _ops.eager_only(torch._neg_view(-x)),
        cenote.max_pool2d(torch._neg_view(-x), 2),
    ),
    "other_type": lambda x: (_ops.eager_only(x.to(torch.uint16)), cenote.max_pool2d(x, 2)),
    "other_device": lambda x: (_ops.eager_only(x.to("meta")), cenote.max_pool2d(x, 2)),
}


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # sizes are checked as numbers
@pytest.mark.parametrize("reason", CLOSED_BY)
def test_the_short_way_is_closed_by(reason):
    x = some(2, 3, 8, 8)
    assert _ops.eager_only(x)
    open_, result = CLOSED_BY[reason](x)
    assert not open_
    assert torch.equal(result, F.max_pool2d(x, 2))
    assert _ops.eager_only(x)


def test_the_short_way_is_closed_by_compiling():
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x: x + 1 if _ops.eager_only(x) else x, fullgraph=True, backend="aot_eager"
    )
    x = some(2, 3)
    assert torch.equal(compiled(x), x)


def test_the_short_way_is_closed_by_unknown_guards(monkeypatch):
    monkeypatch.setattr(eager, "_guards_known", False)
    x = some(2, 3, 8, 8)
    assert not _ops.eager_only(x)
    assert torch.equal(cenote.max_pool2d(x, 2), F.max_pool2d(x, 2))
