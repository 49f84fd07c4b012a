"""Recipes: options that were found to go well together, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["RECIPES", "Recipe", "recipe"]


@dataclass(frozen=True)
class Recipe:
    """Options for :func:`cenote.fit`, and what they led to: figures, hardware, number of runs."""

    network: str
    options: Mapping[str, Any]
    result: str


RECIPES: dict[str, Recipe] = {
    "fast": Recipe(
        "lenet5",
        {
            "data": "mnist",
            "epochs": 6,
            "batch_size": 128,
            "augment": "shift2",
            "label_smoothing": 0.05,
        },
        "99.35 % of MNIST's test images, median of 5 seeds, in 13 s on 2 cores of an EPYC (Zen 4);"
        " ten plain epochs with torch's layers take 52 s there",
    ),
    "fashion-lenet5": Recipe(
        "lenet5",
        {
            "data": "fashion-mnist",
            "epochs": 30,
            "batch_size": 128,
            "augment": "flip+shift1",
            "label_smoothing": 0.05,
        },
        "91.91 % of Fashion-MNIST's test images, median of 5 seeds; 3.2 s an epoch on 2 cores of"
        " an EPYC (Zen 4)",
    ),
    "fashion": Recipe(
        "vgg_small",
        {
            "data": "fashion-mnist",
            "epochs": 15,
            "batch_size": 128,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "schedule": "cosine",
            "warmup": 0.1,
            "weight_decay": 5e-4,
            "label_smoothing": 0.05,
            "augment": "flip+shift2",
            "channels_last": True,
            "precision": "bf16",
        },
        "93.57 % of Fashion-MNIST's test images, median of 5 seeds; 33 s an epoch on 2 cores of an"
        " EPYC (Zen 4), which makes eight minutes",
    ),
}


def recipe(name: str, network: str | None) -> Recipe:
    """The recipe called ``name``, for ``network``.

    Raises:
        ValueError: there is none of that name, or it is another network's; the message lists them.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe = {name!r}: must be one of {', '.join(RECIPES)}")
    found = RECIPES[name]
    if network not in (None, found.network):
        raise ValueError(f"recipe = {name!r}: is one for {found.network}, not for {network}")
    return found
