"""The loop: batches in, weights out, and at every moment a way back to the same bits.

What the numbers depend on is the configuration, the position ``(epoch, batch)``, the weights, the
optimiser's state, the global random state and the running sums: that is what a checkpoint holds.
Batches are a function of ``(seed, epoch, batch)`` and schedules of the step: they have no state.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch
import torch.nn.functional as F

from cenote.data import Batches, Dataset, augment
from cenote.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_model,
    load_optimizer,
    optimizer_tensors,
)
from cenote.training.evaluation import evaluate
from cenote.training.progress import INTERVAL, Progress, Status
from cenote.training.recipe import optimizer, schedule
from cenote.training.run import Run
from cenote.training.signals import Interrupts

__all__ = ["Trainer"]


class Trainer:
    """A training in flight: the network, its optimiser, and the position in the epochs.

    Weights and everything random come from the global generator seeded with ``config.seed``.
    """

    def __init__(self, run: Run, train: Dataset, validation: Dataset) -> None:
        config = run.config
        self.run, self.train, self.validation = run, train, validation
        torch.manual_seed(config.seed)
        self.model = run.network()
        self.names = [name for name, _ in self.model.named_parameters()]
        self.peak = float(config.learning_rate or 0)
        self.warmup = float(config.warmup or 0)
        self.optimizer = optimizer(
            config.optimizer,
            self.model.parameters(),
            rate=self.peak,
            momentum=config.momentum,
            decay=config.weight_decay,
        )
        self.batches = Batches(
            train,
            config.batch_size,
            seed=config.seed,
            augment=None if config.augment == "none" else augment.by_name(config.augment),
            mean=run.facts.mean,
            std=run.facts.std,
        )
        self.epoch = self.batch = 0  # whole epochs done, and batches of the one under way
        self.loss = torch.zeros((), dtype=torch.float64)  # summed over the images of the epoch
        self.correct = torch.zeros((), dtype=torch.int64)
        self.seconds = 0.0  # of training, in the epoch under way
        self.history: list[dict[str, Any]] = []

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.run.config.epochs

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
            interrupts.check()

    def _epoch(self, progress: Progress, interrupts: Interrupts) -> None:
        """The batches of the epoch under way that are still to do."""
        self.model.train()
        config, before = self.run.config, self.seconds
        started = shown = saved = time.perf_counter()
        first = self.batch
        for images, labels in self.batches.epoch(self.epoch, start=first):
            self._step(images, labels)
            now = time.perf_counter()
            self.seconds = before + now - started
            if now - shown >= INTERVAL:
                shown = now
                progress.batch(self._status(self.batch - first, now - started))
            if interrupts.pending or now - saved >= config.save_seconds:
                self.save()
                interrupts.check()
                saved = time.perf_counter()

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self.batch)
        logits = self.model(images)
        smoothing = self.run.config.label_smoothing
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        # Sums stay tensors: reading them back for each batch would stall on every device but this.
        self.loss += loss.detach() * len(labels)
        self.correct += (logits.detach().argmax(1) == labels).sum()
        self.batch += 1

    def _rate(self, batch: int) -> float:
        """The learning rate of a batch of the epoch under way."""
        config, batches = self.run.config, len(self.batches)
        step, steps = self.epoch * batches + batch, config.epochs * batches
        return self.peak * schedule(config.schedule, step, steps, self.warmup)

    @property
    def _seen(self) -> int:
        return min(self.batch * self.run.config.batch_size, len(self.train))

    def _status(self, batches: int, seconds: float) -> Status:
        """The sums so far, read back; ``batches`` took ``seconds`` in this process."""
        epochs, total = self.run.config.epochs, len(self.batches)
        remaining = (epochs - self.epoch) * total - self.batch
        return Status(
            epoch=self.epoch + 1,
            epochs=epochs,
            batch=self.batch,
            batches=total,
            loss=self._finite_loss(),
            accuracy=int(self.correct) / self._seen,
            images_per_second=batches * self.run.config.batch_size / seconds,
            left=remaining * seconds / batches,
        )

    def _finite_loss(self) -> float:
        loss = float(self.loss) / self._seen
        weights = all(bool(p.isfinite().all()) for p in self.model.parameters())
        if not math.isfinite(loss) or not weights:
            what = "a weight" if math.isfinite(loss) else "the loss"
            kept = self.run.last if self.run.last.exists() else "not there yet"
            raise FloatingPointError(
                f"epoch {self.epoch + 1}, by batch {self.batch}: {what} is no longer finite; "
                f"a learning rate below {self.peak:g} may help (last good checkpoint: {kept})"
            )
        return loss

    def _close_epoch(self) -> dict[str, Any]:
        """Measure, note down and save the epoch that was just trained."""
        record: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "train_loss": self._finite_loss(),
            "train_accuracy": int(self.correct) / len(self.train),
            "validation_loss": None,
            "validation_accuracy": None,
            "learning_rate": self._rate(len(self.batches) - 1),
            "seconds": self.seconds,
            "images_per_second": len(self.train) / self.seconds,
        }
        if len(self.validation):
            facts = self.run.facts
            measured = evaluate(self.model, self.validation, mean=facts.mean, std=facts.std)
            record["validation_loss"] = measured.loss
            record["validation_accuracy"] = measured.accuracy
        best = self.best
        self.history.append(record)
        self.epoch, self.batch, self.seconds = self.epoch + 1, 0, 0.0
        self.loss.zero_()
        self.correct.zero_()
        # The best goes first: a kill in between repeats this epoch and writes the same file again.
        if self.best is not best:
            Checkpoint(self._model_tensors(), self._state()).save(self.run.best)
        self.run.write_history(self.history)
        self.save()
        return record

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the epoch that did best on the validation images, the first of equals."""
        measured = [r for r in self.history if r["validation_accuracy"] is not None]
        return max(measured, key=lambda record: record["validation_accuracy"], default=None)

    def _model_tensors(self) -> dict[str, torch.Tensor]:
        return {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.run.identity(),
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "history": self.history,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }

    def save(self) -> None:
        """Write the checkpoint to go on from.

        Raises:
            FloatingPointError: the loss or a weight is not finite; nothing is written.
        """
        if self.batch:
            self._finite_loss()
        tensors = {
            **self._model_tensors(),
            **optimizer_tensors(self.optimizer, self.names),
            "rng/torch": torch.get_rng_state(),
            "tally/loss": self.loss,
            "tally/correct": self.correct,
        }
        Checkpoint(tensors, self._state()).save(self.run.last)

    def restore(self) -> list[str]:
        """Go back to the run's last checkpoint; returns what may make the last bits differ.

        Without a checkpoint the run begins anew, which by its seed comes to the same.

        Raises:
            CheckpointError: the checkpoint is damaged or another network's.
        """
        path = self.run.last
        if not path.exists():
            self.run.write_history([])
            return []
        checkpoint = self.run.checkpoint(path)
        load_model(self.model, checkpoint, path)
        try:
            load_optimizer(self.optimizer, self.names, checkpoint)
            torch.set_rng_state(checkpoint.tensors["rng/torch"])
            self.loss.copy_(checkpoint.tensors["tally/loss"])
            self.correct.copy_(checkpoint.tensors["tally/correct"])
            state = checkpoint.state
            self.epoch, self.batch = state["epoch"], state["batch"]
            self.seconds, self.history = state["seconds"], list(state["history"])
        except KeyError as error:
            raise CheckpointError(f"{path}: not a checkpoint to go on from: no {error}") from None
        self.run.write_history(self.history)
        here = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        return [
            f"note: saved with {what} {state[what]}, now {value}: the last bits may differ"
            for what, value in here.items()
            if state[what] != value
        ]
