"""Plans give what the ordinary way gives, and serve only the calls that they are for."""

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote.functional import _plans

CALLS = {
    "max": (cenote.max_pool2d, F.max_pool2d),
    "avg": (cenote.avg_pool2d, F.avg_pool2d),
}
ARGUMENTS = [(2,), ((2, 3), (1, 2), (1, 0)), (3, 2), (3, 2, 1), (2, None, 0), (3, 1, 1)]


@pytest.fixture(autouse=True)
def _no_plans(monkeypatch):
    monkeypatch.setattr(_plans, "_plans", {})


@pytest.fixture(params=CALLS)
def pair(request):
    return CALLS[request.param]


def count_of(call):
    before = len(_plans._plans)
    result = call()
    return len(_plans._plans) - before, result


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_first_and_later_calls_are_torchs(pair, arguments):
    ours, theirs = pair
    for seed in range(3):  # the first makes the plan
        x = torch.randint(-9, 9, (2, 3, 9, 11), generator=torch.Generator().manual_seed(seed)) * 9.0
        torch.testing.assert_close(ours(x, *arguments), theirs(x, *arguments))
    assert len(_plans._plans) == 1


def test_sizes_types_and_arguments_have_plans_of_their_own(pair):
    ours, theirs = pair
    x = torch.arange(2 * 8 * 9).reshape(2, 8, 9).float()
    made = [
        count_of(lambda: ours(x, 2)),
        count_of(lambda: ours(x[:1].clone(), 2)),
        count_of(lambda: ours(x[None], 2)),
        count_of(lambda: ours(x.double(), 2)),
        count_of(lambda: ours(x, 2, 1)),
        count_of(lambda: ours(x, 2, ceil_mode=True)),
    ]
    assert [new for new, _ in made] == [1] * 6
    expected = [
        theirs(x, 2), theirs(x[:1], 2), theirs(x[None], 2), theirs(x.double(), 2),
        theirs(x, 2, 1), theirs(x, 2, ceil_mode=True),
    ]  # fmt: skip
    for (_, result), torchs in zip(made, expected, strict=True):
        assert torch.equal(result, torchs)


def test_the_two_divisors_are_told_apart():
    x = torch.ones(1, 1, 4, 4)
    for _ in range(2):
        assert cenote.avg_pool2d(x, 3, 1, 1)[0, 0, 0, 0].item() == pytest.approx(4 / 9)
        assert cenote.avg_pool2d(x, 3, 1, 1, count_include_pad=False)[0, 0, 0, 0].item() == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: f(x.mT, 2),
        lambda f, x: f(x, [2, 2]),
        lambda f, x: f(x, 2, padding="valid"),
        lambda f, x: f(x[:0], 2),
        lambda f, x: f(x.to("meta"), 2),
        lambda f, x: torch.vmap(lambda t: f(t, 2))(x[None]),
    ],
    ids=["strided", "lists", "words", "nothing", "meta", "vmap"],
)
def test_other_calls_make_no_plan(pair, call):
    x = torch.arange(2 * 8 * 8).reshape(2, 8, 8).float()
    assert count_of(lambda: call(pair[0], x))[0] == 0


WINDOW = cenote.Window([cenote.Axis(3, 2, 1, 1), cenote.Axis(2, 2)])
NAMED = {
    "max": lambda x: cenote.max_pool2d(x, (3, 2), 2, (1, 0)),
    "min": lambda x: cenote.min_pool2d(x, (3, 2), 2, (1, 0)),
    "avg": lambda x: cenote.avg_pool2d(x, (3, 2), 2, (1, 0)),
    "sum": lambda x: cenote.sum_pool2d(x, (3, 2), 2, (1, 0)),
}
SHARES = {
    "max": (cenote.adaptive_max_pool2d, cenote.global_max_pool2d),
    "min": (cenote.adaptive_min_pool2d, cenote.global_min_pool2d),
    "avg": (cenote.adaptive_avg_pool2d, cenote.global_avg_pool2d),
    "sum": (cenote.adaptive_sum_pool2d, cenote.global_sum_pool2d),
}


def ordinary(monkeypatch, call):
    """What a call gives without plans."""
    with monkeypatch.context() as without:
        for name in ("sliding", "shares", "general"):
            without.setattr(_plans, name, lambda *_: None)
        return call()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("reduce", NAMED)
@pytest.mark.parametrize("sizes", [(2, 3, 8, 9), (1, 4, 1, 1), (3, 1, 6, 7)], ids=str)
def test_plans_give_what_the_ordinary_way_gives(monkeypatch, reduce, layout, sizes):
    """The same bits, strides and gradients, by every entry point, the first time and later."""
    x = torch.randn(sizes, generator=torch.Generator().manual_seed(5))
    x = x.contiguous(memory_format=layout)
    adaptive, whole = SHARES[reduce]
    calls = [whole, lambda x: adaptive(x, 1)]
    if sizes[2] > 1:
        calls += [NAMED[reduce], lambda x: cenote.pool(x, WINDOW, reduce)]
        calls += [lambda x: adaptive(x, (4, 3)), lambda x: adaptive(x, 2)]
    for call in calls:
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()

        def gradient(call=call, leaf=leaf):
            y = call(leaf)
            (once,) = torch.autograd.grad(y.square().sum(), leaf, create_graph=True)
            return y.detach(), once.detach(), torch.autograd.grad(once.sum(), leaf)[0]

        for work in (lambda call=call: (call(x),), gradient):
            expected = ordinary(monkeypatch, work)
            for _ in range(2):
                found = work()
                assert all(map(torch.equal, found, expected))
                assert [t.stride() for t in found] == [t.stride() for t in expected]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32], ids=str)
def test_sums_of_integers_are_wide(dtype):
    x = torch.ones(1, 1, 4, 4, dtype=dtype)
    for _ in range(2):
        for result in (
            cenote.sum_pool2d(x, 2),
            cenote.pool(x, cenote.Window([cenote.Axis(2, 2)] * 2), "sum"),
        ):
            assert result.dtype == torch.int64
            assert result.eq(4).all()


def test_windows_anywhere_keep_their_gradient():
    spans = cenote.Window([cenote.Spans((0, 1), (3, 4)), cenote.Spans((0, 2), (1, 4))])
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    expected = cenote.pool(x, spans)
    leaf = x.clone().requires_grad_()
    result = cenote.pool(leaf, spans)
    assert torch.equal(result, expected)
    result.sum().backward()
    assert leaf.grad.sum() == 4


def test_a_gradient_is_not_lost_to_a_plan(pair):
    ours, _ = pair
    x = torch.arange(64.0).reshape(1, 8, 8)
    ours(x, 2)
    leaf = x.clone().requires_grad_()
    ours(leaf, 2).sum().backward()
    assert leaf.grad.sum() == 16
    with torch.no_grad():
        assert not ours(leaf, 2).requires_grad


def test_what_equals_an_integer_is_refused_behind_a_plan_too(pair):
    ours, _ = pair
    x = torch.ones(1, 8, 8)
    ours(x, 1)
    ours(x, (1, 1), (1, 1))
    for wrong in (True, 1.0, (1, True), (1.0, 1)):
        with pytest.raises(TypeError, match="kernel_size"):
            ours(x, wrong)
        with pytest.raises(TypeError, match="stride"):
            ours(x, 1, wrong)


def test_mistakes_raise_and_leave_no_plan(pair):
    ours, _ = pair
    with pytest.raises(ValueError, match="does not fit"):
        ours(torch.ones(1, 3, 3), 5)
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor"):
        ours([[1.0]], 1)
    with pytest.raises(TypeError, match="have no average"):
        cenote.avg_pool2d(torch.ones(1, 4, 4, dtype=torch.bool), 2)
    assert not _plans._plans


def test_options_hold_behind_a_plan(pair, capsys):
    ours, theirs = pair
    x = torch.arange(64.0).reshape(1, 8, 8)
    ours(x, 2)
    for isa in cenote.doctor()["isas"]:
        with cenote.options(isa=isa, threads=1):
            assert torch.equal(ours(x, 2), theirs(x, 2))
    assert not capsys.readouterr().err
    with cenote.options(verbose=True):
        ours(x, 2)
    assert "native kernel" in capsys.readouterr().err


def test_plans_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(_plans, "_MOST", 3)
    for length in range(4, 12):
        x = torch.arange(float(length)).reshape(1, 1, length)
        assert torch.equal(cenote.max_pool2d(x, 1), x)
        assert len(_plans._plans) <= 3
