"""A network that can answer: of a run, or one of ours by name with a file of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cenote.models._weights import metadata_of, put_weights, read_weights
from cenote.training.facts import Facts
from cenote.training.run import Run
from cenote.training.sources import loaded, make_network, preprocessing_of

__all__ = ["Ready"]


@dataclass(frozen=True)
class Ready:
    """A network that can answer, with the facts that pictures are prepared by."""

    facts: Facts
    model: torch.nn.Module

    @classmethod
    def of_run(cls, run: Run, which: str = "last") -> Ready:
        """A run's network, with its ``"last"`` or its ``"best"`` weights."""
        return cls(run.facts, run.model(which))

    @classmethod
    def of_weights(
        cls, name: str, weights: str | Path, classes: Sequence[str] | None = None
    ) -> Ready:
        """One of our networks by name, with the weights in a file and its own preprocessing.

        It has as many outputs as the file; ``classes`` are their names, by default numbers.

        Raises:
            ValueError: the network has no preprocessing, or not as many outputs as ``classes``.
            WeightsError: the file cannot be read, or is another network's.
        """
        found = Facts.of_weights(Path(weights))
        if found is not None:
            return cls._of_ours(name, Path(weights), found, classes)
        own = preprocessing_of(name)
        if own is None:
            raise ValueError(
                f"{name}: has no size, mean and deviation of its own to prepare pictures with; "
                f"only a run knows them then (cenote train {name})"
            )
        model, outputs = loaded(name, weights)
        names = _names(classes, tuple(map(str, range(outputs))), name, weights)
        shape = (own.channels, own.crop, own.crop)
        return cls(Facts(name, "", shape, names, own.mean, own.std, resize=own.resize), model)

    @classmethod
    def _of_ours(
        cls, name: str, weights: Path, facts: Facts, classes: Sequence[str] | None
    ) -> Ready:
        """The network that an exported file or a checkpoint of a run is of, with their facts."""
        stored = metadata_of(weights) or {}
        if "mean" not in stored:
            run = weights.parent.parent
            raise ValueError(f"weights = {weights}: of the run {run}: give that, not {name}")
        if stored.get("network") != name:
            raise ValueError(f"weights = {weights}: of {stored.get('network')}, not of {name}")
        names = _names(classes, facts.classes, name, weights)
        facts = replace(facts, name=name, classes=names)
        model = make_network(name, None, facts.fixed, stored.get("options") or {})
        put_weights(name, model, read_weights(weights), weights)
        return cls(facts, model.eval())


def _names(
    given: Sequence[str] | None, known: tuple[str, ...], name: str, weights: str | Path
) -> tuple[str, ...]:
    """The classes that were ``given``, as many as are ``known``, or else those.

    Raises:
        ValueError: they are not as many.
    """
    if given is not None and len(given) != len(known):
        raise ValueError(
            f"classes: found {len(given)} names, {name} has {len(known)} outputs in {weights}"
        )
    return known if given is None else tuple(given)
