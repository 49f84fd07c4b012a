"""A run folder: what a training was told, what it measured, and its weights.

config.json      the options, the data set's facts, the versions; written once, at the start
metrics.jsonl    a line an epoch: losses, accuracies, learning rate, seconds, images per second
curves.png       the same as a picture
summary.json     the result on the test set; written once, at the end
checkpoints/     last.safetensors, to go on from, and best.safetensors, best on validation
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import cenote
from cenote import models
from cenote.data import Dataset, load
from cenote.training.checkpoint import Checkpoint, CheckpointError, load_model
from cenote.training.config import Config
from cenote.training.files import LEFTOVER, replace_json, replace_text

__all__ = ["SPLIT_SEED", "Facts", "Run", "RunError", "claim"]

FORMAT = 1

# One division for all seeds, so that runs of different seeds are measured on the same images.
SPLIT_SEED = 0


class RunError(ValueError):
    """A run folder is missing, in the way, or not the run that was asked for."""


@dataclass(frozen=True)
class Facts:
    """What a run must remember of its data: the numbers that every later image is treated with."""

    name: str
    fingerprint: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, whole: Dataset, train: Dataset) -> Facts:
        """The facts of the data set ``whole``, of which ``train`` is what weights are fitted to."""
        channels, height, width = whole.images.shape[1:]
        mean, std = train.statistics()
        shape = (channels, height, width)
        return cls(whole.name, whole.fingerprint, shape, whole.classes, mean, std)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Facts:
        """The facts as ``config.json`` holds them."""
        lists: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**lists)


@dataclass(frozen=True)
class Run:
    """One run: its folder, its configuration, the facts of its data, and what wrote it."""

    folder: Path
    config: Config
    facts: Facts
    versions: dict[str, str]

    @classmethod
    def new(cls, config: Config, facts: Facts) -> Run:
        """A run that nothing is written of yet."""
        versions = {"cenote": cenote.__version__, "torch": torch.__version__}
        return cls(config.folder, config, facts, versions)

    def write_config(self) -> None:
        """Write ``config.json``, with which the folder becomes a run."""
        stored = {
            "format": FORMAT,
            **self.versions,
            "options": self.config.to_json(),
            "data": asdict(self.facts),
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
            versions = {name: stored[name] for name in ("cenote", "torch")}
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path}: not the configuration of a run ({error})") from None
        return cls(folder, config, facts, versions)

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
        config = self.config
        part: Literal["train", "test"] = "test" if split == "test" else "train"
        whole = load(config.data, part, data_dir=config.data_dir, download=config.download)
        if split == "test":
            return whole
        self.check_data(whole)
        train, validation = whole.split(self.config.validation, SPLIT_SEED)
        return train if split == "train" else validation

    def check_data(self, whole: Dataset) -> None:
        """Hold the training images ``whole`` to those that the run was started with."""
        if whole.fingerprint != self.facts.fingerprint:
            raise RunError(
                f"{self.folder}: data = {self.config.data}: other data than the run was started "
                f"with (fingerprint {whole.fingerprint[:12]}, then {self.facts.fingerprint[:12]})"
            )

    def network(self) -> torch.nn.Module:
        """The run's network with fresh weights from the global seed.

        Raises:
            ValueError: there is no network of that name, or it has not all of the options.
        """
        channels, size, _ = self.facts.shape
        name, chosen = self.config.network, self.config.network_options
        fixed = {"classes": len(self.facts.classes), "channels": channels, "size": size}
        try:
            return models.get(name, **fixed, **chosen)
        except TypeError as error:
            refused = next((option for option in chosen if f"'{option}'" in str(error)), None)
            if refused is None:
                raise
            message = f"{refused} = {chosen[refused]}: {name} has no such option"
            raise ValueError(message) from None

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
        return f"{self.config.network}({chosen})"

    def model(self, which: str = "last") -> torch.nn.Module:
        """The trained network, ready to answer: with its ``"last"`` or its ``"best"`` weights.

        Raises:
            CheckpointError: there is no such checkpoint, or it is not this run's.
            ValueError: ``which`` is neither.
        """
        if which not in ("last", "best"):
            raise ValueError(f"checkpoint = {which!r}: must be last or best")
        path = self.last if which == "last" else self.best
        checkpoint = self.checkpoint(path)
        with torch.random.fork_rng(devices=[]):
            model = self.network()
        load_model(model, checkpoint, path)
        return model.eval()


def claim(folder: Path) -> None:
    """Make sure that a new run can begin in ``folder``: it must be new or empty.

    Raises:
        RunError: it is a file, or holds a run or anything else.
    """
    if (folder / "config.json").exists():
        raise RunError(
            f"out = {folder}: there is a run already; --resume (resume=True) goes on with it, "
            f"or choose another folder"
        )
    if folder.exists() and not folder.is_dir():
        raise RunError(f"out = {folder}: is a file, must be a folder")
    if folder.is_dir() and any(path.suffix != LEFTOVER for path in folder.iterdir()):
        raise RunError(f"out = {folder}: is not empty and holds no run; choose another folder")
