"""Whether two results are the same within rounding, judged by the same computed in float64."""

from __future__ import annotations

import torch

FACTOR = 20  # roundings of the largest value; a transformed convolution needs most of them
OWN = 3  # times the error that the original makes itself
SEEDS = 0, 1  # a rounding moves a maximum or a branch at one seed in a hundred, an error at each


def agree(got, wanted, exact=None, *, where="value", scale=0.0, eps=None, factor=FACTOR, own=OWN):
    """Raises an ``AssertionError`` that says where and by how much ``got`` is too far off.

    ``wanted`` is what the original gives and ``exact`` what it gives in float64. The error may be
    ``factor`` roundings of the largest value (or of ``scale``) and ``own`` times ``wanted``'s own.
    """
    if got is None or wanted is None:
        assert got is wanted, f"{where}: {_named(got)} in place of {_named(wanted)}"
        return
    assert got.dtype == wanted.dtype, f"{where}: {got.dtype} in place of {wanted.dtype}"
    assert got.shape == wanted.shape, f"{where}: {got.shape} in place of {wanted.shape}"
    if not (wanted.is_floating_point() or wanted.is_complex()):
        assert torch.equal(got, wanted), f"{where}: {int((got != wanted).sum())} elements differ"
        return
    got, wanted = _real(got), _real(wanted)
    for name in ("isnan", "isposinf", "isneginf"):
        found = getattr(torch, name)
        assert torch.equal(found(got), found(wanted)), (
            f"{where}: {name} at {int(found(got).sum())} places in place of"
            f" {int(found(wanted).sum())}, or at others"
        )
    finite = torch.isfinite(wanted)
    eps = max(eps or 0, torch.finfo(wanted.dtype).eps)
    got, wanted = got[finite].double(), wanted[finite].double()
    true = wanted if exact is None else _real(exact)[finite].double()
    if not got.numel():
        return
    largest = max(true.abs().max().item(), scale)
    theirs = (wanted - true).abs().max().item()
    assert theirs <= min(5000 * eps, 0.25) * largest, (
        f"{where}: the original is {theirs / (eps * largest):.0f} roundings off itself, too far to"
        " be compared with"
    )
    bound = factor * eps * largest + own * theirs
    error = (got - true).abs()
    worst = error.max().item()
    assert worst <= bound, (
        f"{where}: {worst:.3g} off, {worst / (eps * largest or 1):.0f} roundings of {largest:.3g},"
        f" at {int((error > bound).sum())} of {error.numel()} elements; the original is"
        f" {theirs:.3g} off, at most {bound:.3g} is rounding"
    )


def _real(tensor):
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _named(tensor):
    return "None" if tensor is None else f"a tensor of shape {tuple(tensor.shape)}"


def largest(values):
    sizes = [
        v.detach().abs().nan_to_num(0, 0, 0).max().item()
        for v in values
        if v is not None and v.numel()
    ]
    return max(sizes, default=0.0)


def values_agree(ours, theirs, exact=None, **options):
    """Of what was seen: everything that must be equal, then all numbers but the gradients."""
    assert list(ours.exactly) == list(theirs.exactly), _first_difference(ours, theirs)
    for where, value in theirs.exactly.items():
        assert ours.exactly[where] == value, f"{where}: {ours.exactly[where]} in place of {value}"
    assert list(ours.nearly) == list(theirs.nearly)
    for where, value in theirs.nearly.items():
        true = exact.nearly[where] if exact else None
        agree(ours.nearly[where], value, true, where=where, eps=theirs.eps, **options)


def gradients_agree(ours, theirs, exact=None, **options):
    """Each against its own size, or a twentieth of the largest: a sum that cancels has none.

    Among odd values the original may have a NaN where others have a number: zero times NaN, of a
    gradient that does not reach the output, need not be computed.
    """
    assert list(ours.gradients) == list(theirs.gradients)
    scale = largest(theirs.gradients.values()) / 20
    for where, value in theirs.gradients.items():
        true, got = exact.gradients[where] if exact else None, ours.gradients[where]
        if theirs.odd and got is not None and value is not None:
            unknown = value.isnan()
            got, value = got.masked_fill(unknown, 0), value.masked_fill(unknown, 0)
            true = None if true is None else true.masked_fill(unknown, 0)
        agree(got, value, true, where=where, scale=scale, eps=theirs.eps, **options)


def one_seed_agrees(check):
    """The gradient of a maximum jumps where two values meet: one of two seeds may do that."""
    for seed in SEEDS:
        try:
            return check(seed)
        except AssertionError:
            if seed == SEEDS[-1]:
                raise
    return None


def _first_difference(ours, theirs):
    odd = set(ours.exactly) ^ set(theirs.exactly)
    return f"only one of the two has {sorted(odd)[:4]}"
