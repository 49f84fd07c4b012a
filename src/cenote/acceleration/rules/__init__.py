"""The rules, one a file: each changes a graph where it is sure of the result."""

from __future__ import annotations

from collections.abc import Callable

from cenote.acceleration.rules import (
    concatenation,
    convolution,
    early_average,
    epilogues,
    folding,
    late_activation,
    layout,
    merged_padding,
    norms,
    pooling,
    recomputing,
    reuse,
    separable,
    shared_chains,
    shuffles,
    stages,
    winograd,
)
from cenote.acceleration.sketch import Sketch
from cenote.acceleration.switches import RULES

__all__ = ["apply_all"]

_APPLY: dict[str, Callable[[Sketch], None]] = {
    "pooling": pooling.apply,
    "convolution": convolution.apply,
    "merged-padding": merged_padding.apply,
    "shared-chains": shared_chains.apply,
    "folding": folding.apply,
    "early-average": early_average.apply,
    "epilogues": epilogues.apply,
    "winograd": winograd.apply,
    "separable": separable.apply,
    "shuffles": shuffles.apply,
    "stages": stages.apply,
    "late-activation": late_activation.apply,
    "recomputing": recomputing.apply,
    "norms": norms.apply,
    "concatenation": concatenation.apply,
    "layout": layout.apply,
    "reuse": reuse.apply,
}


def apply_all(sketch: Sketch) -> None:
    """Apply the rules that are on, in their order."""
    for rule in RULES:
        if rule in _APPLY and sketch.switches.on(rule):
            _APPLY[rule](sketch)
    sketch.graph.lint()
