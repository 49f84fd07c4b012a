"""The rules by name, and what a caller asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["LAYOUTS", "RULES", "Switches"]

RULES = (
    "pooling",
    "convolution",
    "merged-padding",
    "shared-chains",
    "folding",
    "early-average",
    "epilogues",
    "winograd",
    "separable",
    "shuffles",
    "stages",
    "late-activation",
    "recomputing",
    "norms",
    "concatenation",
    "layout",
    "reuse",
)
"""In the order in which they are tried."""

LAYOUTS = ("auto", "contiguous", "channels_last")


@dataclass(frozen=True)
class Switches:
    """What is on: which rules are off, the layout asked for, seconds that choosing may take."""

    without: frozenset[str] = frozenset()
    layout: str = "auto"
    budget: float = 2.0

    @classmethod
    def of(cls, without: Any, layout: Any, budget: Any) -> Switches:
        """Arguments as they come from outside.

        Raises:
            TypeError: rules that are no names, or a budget that is no number.
            ValueError: a rule or a layout that there is not, or a negative budget.
        """
        if isinstance(without, str) or not isinstance(without, Iterable):
            raise TypeError(
                f"accelerate: without = {without!r}: must be a collection of rules' names"
            )
        names = list(without)
        for name in names:
            if name not in RULES:
                raise ValueError(
                    f"accelerate: without = {names!r}: there is no rule {name!r}; there are"
                    f" {', '.join(RULES)}"
                )
        if layout not in LAYOUTS:
            raise ValueError(
                f"accelerate: layout = {layout!r}: must be one of {', '.join(LAYOUTS)}"
            )
        if isinstance(budget, bool) or not isinstance(budget, int | float):
            raise TypeError(
                f"accelerate: budget = {budget!r}: must be seconds, not {type(budget).__name__}"
            )
        if not budget >= 0:
            raise ValueError(f"accelerate: budget = {budget}: must be at least 0 seconds")
        return cls(frozenset(names), layout, float(budget))

    def on(self, rule: str) -> bool:
        """Whether a rule is tried."""
        return rule not in self.without
