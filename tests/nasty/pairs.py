"""An accelerated network beside one that is not, and whether both still say the same."""

import torch

import cenote
from nasty.agreeing import agree
from nasty.case import CATALOGUE, DECIDING, seed_all
from nasty.running import leaves


def pair(name="residual", train=False, **options):
    """The accelerated network and its twin, with an example input; both have run once."""
    case = CATALOGUE[name]
    mine, theirs = case.build(), case.build()
    x = case.given().args[0]
    fast = cenote.accelerate(mine, x, **{"budget": DECIDING} | options).train(train)
    theirs.train(train)
    same(fast, theirs, x)
    return fast, theirs, x


def same(fast, theirs, *args, factor=60, **kwargs):
    """Outputs of both, called alike, agree."""
    seed_all(5)
    ours = list(leaves(fast(*args, **kwargs)))
    seed_all(5)
    wanted = list(leaves(theirs(*args, **kwargs)))
    assert [place for place, _ in ours] == [place for place, _ in wanted]
    for (place, got), (_, want) in zip(ours, wanted, strict=True):
        if isinstance(want, torch.Tensor):
            assert got.stride() == want.stride()
            assert got.requires_grad == want.requires_grad
            agree(got.detach(), want.detach(), where=place or "output", factor=factor)
        else:
            assert got == want
