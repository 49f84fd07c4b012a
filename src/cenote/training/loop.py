"""The loop: batches in, weights out, and at every moment a way back to the same bits.

What the numbers depend on is the configuration, the position ``(epoch, batch)``, the weights, the
optimiser's state, the global random state and the running sums: that is what a checkpoint holds.
Batches are a function of ``(seed, epoch, batch)`` and schedules of the step: they have no state.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from cenote.data import Dataset
from cenote.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_model,
    load_optimizer,
    optimizer_tensors,
)
from cenote.training.evaluation import measure
from cenote.training.progress import INTERVAL, Progress, Status
from cenote.training.run import Run
from cenote.training.signals import Interrupts
from cenote.training.stepping import Stepper
from cenote.training.together import ALONE, Group

__all__ = ["Trainer"]


class Trainer(Stepper):
    """A training in flight, epoch after epoch; its files are written by the first process."""

    def __init__(self, run: Run, train: Dataset, validation: Dataset, group: Group = ALONE) -> None:
        super().__init__(run, train, validation, group)
        self.seconds = self.waited = 0.0  # of training, and of them for data, in the epoch
        self.history: list[dict[str, Any]] = []

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or ``patience`` is at its end."""
        return self.epoch >= self.run.config.epochs or self.stale

    @property
    def stale(self) -> bool:
        """Whether the last ``patience`` epochs brought nothing better."""
        patience, best = self.run.config.patience, self.best
        return patience is not None and best is not None and self.epoch - best["epoch"] >= patience

    def fit(self, progress: Progress, interrupts: Interrupts) -> None:
        """Train to the end, saving after every epoch, and inside one every ``save_seconds``.

        Raises:
            FloatingPointError: the loss or a weight is no longer finite.
            Interrupted: a person asked to stop; everything is saved.
        """
        while not self.finished:
            self._epoch(progress, interrupts)
            record = self._close_epoch()
            progress.epoch(record, self.run.config.epochs)
            self._look(interrupts, due=False)

    def _epoch(self, progress: Progress, interrupts: Interrupts) -> None:
        """The batches of the epoch under way that are still to do."""
        self.model.train()
        config, before, waited = self.run.config, self.seconds, self.waited
        started = shown = saved = time.perf_counter()
        first, asked = self.batch, started
        for images, labels in self.batches.epoch(self.epoch, start=first):
            came = time.perf_counter()
            waited += came - asked
            self._step(images, labels)
            now = asked = time.perf_counter()
            self.seconds, self.waited = before + now - started, waited
            if now - shown >= INTERVAL and self.group.first:
                shown = now
                progress.batch(self._status(self.batch - first, now - started))
            # Between two steps of the optimizer nothing is half done, so that nothing of it has
            # to be kept; in a group, all processes come here together.
            if self._opens and self._look(interrupts, due=now - saved >= config.save_seconds):
                saved = time.perf_counter()

    def _look(self, interrupts: Interrupts, *, due: bool) -> bool:
        """Save if it is ``due`` or somebody wants to stop, and stop then."""
        stop, due = self.group.any(interrupts.pending, due and self.group.first)
        if (stop or due) and self.batch:
            self.save()
        if stop:
            interrupts.stop()
        return due

    def _status(self, batches: int, seconds: float) -> Status:
        """The sums so far, read back; ``batches`` took ``seconds`` in this process."""
        epochs, total = self.run.config.epochs, len(self.batches)
        remaining = (epochs - self.epoch) * total - self.batch
        loss = float(self.loss) / self.seen
        if self.group.size == 1:
            self._finite(loss)
        return Status(
            epoch=self.epoch + 1,
            epochs=epochs,
            batch=self.batch,
            batches=total,
            loss=loss,
            score=self.correct.item() / self.seen,
            metric=self.objective.metric,
            images_per_second=batches * self.run.config.batch_size / seconds,
            left=remaining * seconds / batches,
        )

    def _close_epoch(self) -> dict[str, Any]:
        """Measure, note down and save the epoch that was just trained."""
        metric = self.objective.metric
        loss, counted, seen = self._sums()
        record: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "train_loss": loss / seen,
            f"train_{metric}": counted / seen,
            "validation_loss": None,
            f"validation_{metric}": None,
            "learning_rate": self._rate(len(self.batches) - 1),
            "seconds": self.seconds,
            "images_per_second": len(self.train) / self.seconds,
            "loading_share": self.waited / self.seconds,
        }
        if len(self.validation):
            facts = self.run.facts
            found = measure(
                self.measured, self.validation, self.objective,
                mean=facts.mean, std=facts.std, group=self.group,
            )  # fmt: skip
            record["validation_loss"] = found.loss
            record[f"validation_{metric}"] = getattr(found, metric)
        best = self.best
        self.history.append(record)
        self.epoch, self.batch, self.seen = self.epoch + 1, 0, 0
        self.seconds = self.waited = 0.0
        self.loss.zero_()
        self.correct.zero_()
        if self.group.first:
            # The best goes first: a kill in between repeats this epoch and writes the same again.
            if self.best is not best:
                Checkpoint(_named("model", self.measured), self._state()).save(self.run.best)
            self.run.write_history(self.history)
        self.save()
        return record

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the epoch that did best on the validation images, the first of equals."""
        name, sign = ("accuracy", 1) if self.objective.classes else ("loss", -1)
        measured = [r for r in self.history if r[f"validation_{name}"] is not None]
        return max(measured, key=lambda record: sign * record[f"validation_{name}"], default=None)

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.run.identity(),
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "waited": self.waited,
            "history": self.history,
            "averaged": 0 if self.average is None else int(self.average.n_averaged),
            "threads": torch.get_num_threads(),
            "processes": self.group.size,
            "device": self.group.device.type,
            "torch": torch.__version__,
        }

    def save(self) -> None:
        """Write the checkpoint to go on from; in a group, every process has to ask.

        Raises:
            FloatingPointError: the loss or a weight is not finite; nothing is written.
            OSError: the disk is full, or the folder cannot be written to; the old one stays.
        """
        loss, correct = self.loss, self.correct
        if self.batch:
            self._sums()
            loss, correct = self.group.total(loss, correct)
        if not self.group.first:
            return
        tensors = {
            **_named("model", self.model),
            **({} if self.average is None else _named("average", self.average.module)),
            **optimizer_tensors(self.optimizer, self.names),
            "rng/torch": torch.get_rng_state(),
            "tally/loss": loss,
            "tally/correct": correct,
        }
        if self.group.device.type == "cuda":
            tensors["rng/cuda"] = torch.cuda.get_rng_state(self.group.device)
        Checkpoint(tensors, self._state()).save(self.run.last)

    def restore(self) -> list[str]:
        """Go back to the run's last checkpoint; returns what may make the last bits differ.

        Without a checkpoint the run begins anew, which by its seed comes to the same.

        Raises:
            CheckpointError: the checkpoint is damaged or another network's.
        """
        path = self.run.last
        checkpoint = self.group.told(lambda: self.run.checkpoint(path) if path.exists() else None)
        if checkpoint is None:
            if self.group.first:
                self.run.write_history([])
            return []
        load_model(self.model, checkpoint, path)
        state = checkpoint.state
        try:
            if self.average is not None:
                load_model(self.average.module, checkpoint, path, "average")
                self.average.n_averaged.fill_(state["averaged"])
            load_optimizer(self.optimizer, self.names, checkpoint)
            torch.set_rng_state(checkpoint.tensors["rng/torch"])
            self.epoch, self.batch = state["epoch"], state["batch"]
            self.seconds, self.history = state["seconds"], list(state["history"])
            self.waited = state.get("waited", 0.0)
            if self.group.first:  # the sums are the whole group's
                self.loss.copy_(checkpoint.tensors["tally/loss"])
                self.correct.copy_(checkpoint.tensors["tally/correct"])
                self.seen = min(self.batch * self.run.config.batch_size, len(self.train))
        except KeyError as error:
            raise CheckpointError(f"{path}: not a checkpoint to go on from: no {error}") from None
        if self.group.device.type == "cuda" and "rng/cuda" in checkpoint.tensors:
            torch.cuda.set_rng_state(checkpoint.tensors["rng/cuda"], self.group.device)
        if self.group.first:
            self.run.write_history(self.history)
        here = {
            "threads": torch.get_num_threads(),
            "processes": self.group.size,
            "device": self.group.device.type,
            "torch": torch.__version__,
        }
        return [
            f"note: saved with {what} {state[what]}, now {value}: the last bits may differ"
            for what, value in here.items()
            if state.get(what, value) != value
        ]


def _named(part: str, model: torch.nn.Module) -> dict[str, Tensor]:
    return {f"{part}/{name}": tensor for name, tensor in model.state_dict().items()}
