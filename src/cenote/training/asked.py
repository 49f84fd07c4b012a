"""What a caller of ``cenote.fit`` asks for: options by name, and what is handed over as objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from cenote.data import Dataset
from cenote.data._tensors import check_labels
from cenote.training.checkpoint import Checkpoint
from cenote.training.claiming import RunError
from cenote.training.config import FREE_ON_RESUME, Config, option_names
from cenote.training.run import Run
from cenote.training.sources import Given, Network, as_dataset, title_of, unlike

__all__ = ["given_options", "handed_over", "stored_config"]

_SETTLED = ("augment", "validation", "size", "resize", "channels")
"""Options that the data or the weights decide where they are left open."""


def given_options(
    what: str | Config | Network | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options that the caller named, from both ways of naming them.

    Raises:
        TypeError: there is no such option, or ``what`` is no network.
    """
    given = dict(options)
    if isinstance(what, Config):
        given = {f.name: getattr(what, f.name) for f in fields(what)} | given
    elif what is not None:
        given = {"network": what if isinstance(what, str) else title_of(_network(what))} | given
    unknown = sorted(set(given) - set(option_names()))
    if unknown:
        raise TypeError(
            f"fit: no option {', '.join(unknown)}; there are {', '.join(option_names())}"
        )
    return given


def _network(what: Any) -> Network:
    if not isinstance(what, torch.nn.Module) and not callable(what):
        raise TypeError(
            f"fit: {what!r}: must be a network's name, a module, a function that makes one, or a "
            f"Config, not {type(what).__name__}"
        )
    network: Network = what
    return network


def handed_over(what: Any, data: Any, test: Any) -> Given:
    """What was handed over as objects and not by name.

    Raises:
        TypeError: ``what`` is no network, ``data`` no data, or ``test`` stands beside a name.
        ValueError: ``test`` is not like ``data``.
    """
    network = None if what is None or isinstance(what, (str, Config)) else _network(what)
    if data is None or isinstance(data, (str, Path)):
        if test is not None:
            raise TypeError("fit: test: only beside data that is no name; a name has its own")
        return Given(network)
    train = as_dataset(data, "data")
    return Given(network, train, None if test is None else _measured(test, train))


def _measured(test: Any, train: Dataset) -> Dataset:
    """The test data, once it is known that what learns from ``train`` can be measured on them."""
    found = as_dataset(test, "test")
    if (difference := unlike(found, train)) is not None:
        raise ValueError(f"fit: test: {difference}")
    if not isinstance(test, Dataset):
        return as_dataset(test, "test", train.classes or None)
    check_labels("test", found.labels, train.classes)
    return found


def stored_config(given: Mapping[str, Any], processes: int) -> Config:
    """The configuration of the run to resume, held against the options that were ``given``.

    As many ``processes`` as before take as many threads as before, unless a number is given.

    Raises:
        RunError: there is no run, or it was started with other options; the message names one.
    """
    asked = Config(**given)
    run = Run.open(asked.folder)
    for name in given:
        if name in FREE_ON_RESUME or (name == "data" and asked.handed_over == run.config.data):
            continue  # before objects were marked, they were noted down by their name
        new, old = getattr(asked, name), getattr(run.config, name)
        # Left open, they were settled by the data or the weights when the run began.
        if new != old and not (new is None and name in _SETTLED):
            raise RunError(
                f"{name} = {new}: the run in {run.folder} was started with {name} = {old}; "
                f"leave the option out, or begin a new run in another folder"
            )
    free = {name: getattr(asked, name) for name in given if name in FREE_ON_RESUME - {"out"}}
    if asked.threads is None:  # sums in the same order, for the same bits
        state = Checkpoint.state_of(run.last) if run.last.exists() else {}
        same = state.get("processes", 1) == processes
        free["threads"] = (state.get("threads") if same else None) or run.config.threads
    return replace(run.config, **free)
