"""A run folder: what a training was told, what it measured, and its weights.

config.json      the options, the data set's facts, the versions; written once, at the start
metrics.jsonl    a line an epoch: losses, accuracies, learning rate, seconds, images per second
curves.png       the same as a picture
summary.json     the result on the test set, of each class too; written once, at the end
report.html      all of it on one page, with a look into the network
tensorboard/     event files, where they were asked for
run.lock         there while a process writes to the folder
checkpoints/     last.safetensors, to go on from, and best.safetensors, best on validation
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

import cenote
from cenote.data import Dataset, load
from cenote.data._find import holds_pictures
from cenote.training.checkpoint import Checkpoint, CheckpointError, load_model
from cenote.training.claiming import RunError
from cenote.training.config import Config
from cenote.training.facts import Facts, of_digits
from cenote.training.files import replace_json, replace_text
from cenote.training.sources import Given, Network, begin_with, digest_of, make_network

__all__ = ["SPLIT_SEED", "Run", "check_named"]

FORMAT = 1

# One division for all seeds, so that runs of different seeds are measured on the same images.
SPLIT_SEED = 0


@dataclass(frozen=True)
class Run:
    """One run: its folder, its configuration, the facts of its data, and what wrote it."""

    folder: Path
    config: Config
    facts: Facts
    versions: dict[str, str]
    given: Given = field(default=Given(), repr=False, compare=False)
    source: str | None = None
    """The sha256 that the file of the network had when the run was started."""

    @classmethod
    def new(cls, config: Config, facts: Facts, given: Given | None = None) -> Run:
        """A run that nothing is written of yet."""
        versions = {"cenote": cenote.__version__, "torch": torch.__version__}
        given = given or Given()
        source = None if given.network is not None else digest_of(config.network)
        return cls(config.folder, config, facts, versions, given, source)

    def write_config(self) -> None:
        """Write ``config.json``, with which the folder becomes a run."""
        self.last.unlink(missing_ok=True)  # the first weights of a run that ended in vain
        stored = {
            "format": FORMAT,
            **self.versions,
            "options": self.config.to_json(),
            "data": asdict(self.facts),
            "network_sha256": self.source,
        }
        replace_json(self.folder / "config.json", stored)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """The run in ``folder``.

        Raises:
            RunError: there is none, or its ``config.json`` cannot be read.
        """
        folder = Path(folder)
        path = folder / "config.json"
        if not path.is_file():
            raise RunError(f"{folder}: no run there (it has no config.json)")
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            facts = Facts.from_json(stored["data"])
            config = Config.from_json({**stored["options"], "out": folder})
            if "digits" not in stored["data"]:  # written before it was noted
                facts = replace(facts, digits=of_digits(facts, config.data))
            versions = {name: stored[name] for name in ("cenote", "torch")}
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path}: not the configuration of a run ({error})") from None
        return cls(folder, config, facts, versions, source=stored.get("network_sha256"))

    @property
    def last(self) -> Path:
        """The checkpoint to go on from; after the training, its final weights."""
        return self.folder / "checkpoints" / "last.safetensors"

    @property
    def best(self) -> Path:
        """The weights that did best on the validation images."""
        return self.folder / "checkpoints" / "best.safetensors"

    @property
    def summary(self) -> dict[str, Any] | None:
        """The result on the test set; None as long as the training is not finished."""
        path = self.folder / "summary.json"
        if not path.is_file():
            return None
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return summary

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``, one a finished epoch."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines]

    def write_history(self, history: Sequence[dict[str, Any]]) -> None:
        """Put ``history`` in the place of ``metrics.jsonl``."""
        lines = "".join(json.dumps(record) + "\n" for record in history)
        replace_text(self.folder / "metrics.jsonl", lines)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Put ``summary`` in the place of ``summary.json``."""
        replace_json(self.folder / "summary.json", summary)

    def data(self, split: str) -> Dataset:
        """The images of ``split``: train or validation as this run divides them, or test.

        Raises:
            RunError: the data on this machine is not what the run was started with.
            ValueError: ``split`` is none of the three.
        """
        if split not in ("train", "validation", "test"):
            raise ValueError(f"split = {split!r}: must be one of train, validation, test")
        whole = self._whole(split)
        if split == "test":
            self._check_test(whole)
            return whole
        self.check_data(whole)
        train, validation = whole.split(self.config.settled(whole).validation or 0, SPLIT_SEED)
        return train if split == "train" else validation

    def _whole(self, split: str) -> Dataset:
        given, config = self.given, self.config
        if given.train is not None:
            found = given.test if split == "test" else given.train
            if found is None:
                raise RunError(f"{self.folder}: no test data were given")
            return found
        check_named(config)
        part: Literal["train", "test"] = "test" if split == "test" else "train"
        pictures = config.pictures
        if part == "test" and holds_pictures(config.data):  # like those that were trained on
            channels, *size = self.facts.shape
            pictures |= {"channels": channels, "size": config.size or tuple(size)}
        return load(
            config.data, part, data_dir=config.data_dir, download=config.download, **pictures
        )

    def check_data(self, whole: Dataset) -> None:
        """Hold the training images ``whole`` to those that the run was started with."""
        self._compare(whole, self.facts.fingerprint, "data than the run was started with")

    def _check_test(self, test: Dataset) -> None:
        """Hold test data to what the network was measured on, or else to its training data."""
        noted = (self.summary or {}).get("test_fingerprint")
        if noted is not None:
            self._compare(test, noted, "test data than the run was measured on")
        facts, shape = self.facts, tuple(test.images.shape[1:])
        kinds = ("quantities", "classes")
        kind, wanted = kinds[not test.regression], kinds[bool(facts.classes)]
        target = tuple(test.labels.shape[1:]) if facts.target else ()  # of old runs it is not known
        if (shape, kind, target) != (facts.shape, wanted, facts.target):
            raise RunError(
                f"{self.folder}: data = {self.config.data}: test data of {shape} whose labels are "
                f"{kind} of {target}; those of the training are {facts.shape}, {wanted} of "
                f"{facts.target}"
            )

    def _compare(self, found: Dataset, wanted: str, what: str) -> None:
        if found.fingerprint != wanted:
            raise RunError(
                f"{self.folder}: data = {self.config.data}: other {what} "
                f"(fingerprint {found.fingerprint[:12]}, then {wanted[:12]})"
            )

    def network(self) -> torch.nn.Module:
        """The run's network with fresh weights from the global seed, or those it was given with.

        Raises:
            ValueError: there is no network of that name, or it has not all of the options.
            WeightsError: the weights that were given are another network's.
        """
        name, given = self.config.network, self.given
        network = make_network(name, given.network, self.facts.fixed, self.config.network_options)
        if given.weights is not None:
            begin_with(network, given.weights, self.facts.outputs, self.config.title)
        return network

    def checkpoint(self, path: Path) -> Checkpoint:
        """The checkpoint in ``path``, once it is known to be of this run's network.

        Raises:
            CheckpointError: it is missing, damaged or another network's.
        """
        checkpoint = Checkpoint.load(path)
        own, its = self.identity(), checkpoint.state["network"]
        if own != its:
            raise CheckpointError(f"{path}: a checkpoint of {its}, but the run trains {own}")
        return checkpoint

    def identity(self) -> str:
        """The network and its options in one word, to tell checkpoints apart."""
        chosen = ", ".join(f"{k}={v}" for k, v in self.config.network_options.items())
        return f"{self.config.title}({chosen})"

    def changed(self) -> str | None:
        """What to say where the network's file is no longer the one that the run began with."""
        if self.source is None or self.given.network is not None:
            return None
        now = digest_of(self.config.network)
        if now in (None, self.source):
            return None
        return (
            f"{self.config.network}: the file has changed since the run was started (sha256 "
            f"{str(now)[:12]}, then {self.source[:12]}): the network may be another one"
        )

    def model(self, which: str = "last", *, network: Network | None = None) -> torch.nn.Module:
        """The trained network, ready to answer: with its ``"last"`` or its ``"best"`` weights.

        Where weights were averaged, these are the averages. A run whose network was handed over
        as an object needs one like it again as ``network``. A warning says if the file that makes
        the network has changed since.

        Raises:
            CheckpointError: there is no such checkpoint, or it is not this run's.
            ValueError: ``which`` is neither.
        """
        if which not in ("last", "best"):
            raise ValueError(f"weights = {which!r}: must be last or best")
        path = self.last if which == "last" else self.best
        checkpoint = self.checkpoint(path)
        run = self if network is None else replace(self, given=Given(network))
        if (changed := run.changed()) is not None:
            warnings.warn(changed, stacklevel=2)
        with torch.random.fork_rng(devices=[]):
            model = run.network()
        load_model(model, checkpoint, path, "average" if checkpoint.part("average") else "model")
        return model.eval()


def check_named(config: Config) -> None:
    """Make sure that the data of ``config`` can be looked up.

    Raises:
        RunError: they were handed over as an object, and have to be so again.
    """
    if config.handed_over is not None:
        raise RunError(
            f"{config.folder}: its data were handed over as an object, {config.data}, which no "
            f"name leads to; in Python, fit(data=..., resume=True) takes it again"
        )
