"""Networks that catch out whoever changes networks, by the reason that each exists for."""

from nasty import architectures, convolving, flow, giving, hooked, pooling, sharing
from nasty.case import CATALOGUE, DECIDING, QUIET, SLOW, Case, Given, seed_all, some

SUBJECTS = sharing, pooling, convolving, flow, hooked, giving, architectures

__all__ = [
    "CATALOGUE", "DECIDING", "QUIET", "SLOW", "SUBJECTS", "Case", "Given", "seed_all", "some",
]  # fmt: skip
