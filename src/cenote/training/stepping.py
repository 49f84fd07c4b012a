"""One batch after the other: the network, its optimiser, and the sums of an epoch."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cenote.data import Batches, Dataset, augment
from cenote.training.averaging import averaged
from cenote.training.norming import norms_of
from cenote.training.objective import Objective
from cenote.training.recipe import optimizer, schedule
from cenote.training.run import Run
from cenote.training.together import ALONE, Group

__all__ = ["Stepper"]


class Stepper:
    """A network and its optimiser, on their way through the batches of an epoch.

    Weights and everything random come from the global generator seeded with ``config.seed``. In a
    ``group``, every process has the same weights, and its part of every batch.
    """

    def __init__(self, run: Run, train: Dataset, validation: Dataset, group: Group = ALONE) -> None:
        config = run.config
        self.run, self.train, self.validation, self.group = run, train, validation, group
        self.objective = Objective.of(train, config.loss, config.label_smoothing)
        torch.manual_seed(config.seed)
        self.model = run.network().to(group.device)
        if config.channels_last:
            self.model = _channels_last(self.model, tuple(train.images.shape))
        self.average = None if config.ema is None else averaged(self.model, config.ema)
        self.forward = group.wrapped(self.model)
        self.norms = norms_of(self.model)
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
            augment=None if config.augment in (None, "none") else augment.by_name(config.augment),
            mean=run.facts.mean,
            std=run.facts.std,
            prefetch=config.prefetch,
        )
        self.epoch = self.batch = 0  # whole epochs done, and batches of the one under way
        # Of the epoch under way, over the samples that this process saw:
        self.loss = torch.zeros((), dtype=torch.float64, device=group.device)
        self.correct = self.objective.zero().to(group.device)
        self.seen = 0
        self._checked = False
        self._check_norms()

    @property
    def measured(self) -> torch.nn.Module:
        """The network with the weights that count: the averaged ones where there are any."""
        return self.model if self.average is None else self.average.module

    def _check_norms(self) -> None:
        """Refuse a batch of one sample where a batch norm would have one value a channel of it.

        Raises:
            ValueError: there will be such a batch; before anything is trained or written.
        """
        size, total = self.run.config.batch_size, len(self.train)
        if min(size, total) > 1 and total % size != 1:
            return
        name = _sees_one_value(self.model, self.run.facts.shape)
        if name is None:
            return
        fits = next((n for n in range(size + 1, total + 1) if total % n != 1), None)
        advice = f"take another batch_size, such as {fits}" if fits else "more images are needed"
        raise ValueError(
            f"batch_size = {size}: leaves a batch of 1 of the {total} training images, of which "
            f"batch norm {name} sees one value a channel, must be at least 2; {advice}"
        )

    @property
    def _opens(self) -> bool:
        """Whether the next batch begins a step of the optimizer."""
        return self.batch % self.run.config.accumulate == 0 or self.batch == len(self.batches)

    def _step(self, images: Tensor, labels: Tensor) -> None:
        """One batch; the optimizer moves once the batches of its step are together."""
        config = self.run.config
        if self._opens:
            self.optimizer.zero_grad()
        samples = len(labels)
        weight = samples / self._in_step(samples)
        images, labels, count = self._mine(images, labels)
        moves = (self.batch + 1) % config.accumulate == 0 or self.batch + 1 == len(self.batches)
        together = self.group.measuring(self.norms, count > 0)
        with self._local(moves), self._precision(), together:
            output = self.forward(images)
            if not self._checked:
                self.objective.check(output, labels)
                self._checked = True
            loss = self.objective.loss(output.float(), labels)
            share = weight if self.group.size == 1 else weight * count * self.group.size / samples
            (loss if share == 1 else loss * share).backward()
        if moves:
            self._move()
        # Sums stay tensors: reading them back for each batch would stall on every device but this.
        self.loss += loss.detach() * count
        if count:
            self.correct += self.objective.count(output.detach(), labels)
        self.seen += count
        self.batch += 1

    def _move(self) -> None:
        """One step of the optimizer."""
        config = self.run.config
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self.batch)
        if config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def _mine(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, int]:
        """This process's part of a batch, and how many samples of it count."""
        group = self.group
        if group.size > 1:
            part = group.part(len(labels))
            if group.rank:
                # The first process goes on with its own stream, which a checkpoint holds.
                key = hash((self.run.config.seed, group.rank, self.epoch, self.batch))
                torch.manual_seed(key & 0x7FFF_FFFF_FFFF_FFFF)
            count = part.stop - part.start
            # All processes have to compute together: one without a sample repeats one, unweighted.
            part = part if count else slice(0, 1)
            return images[part].to(group.device), labels[part].to(group.device), count
        if group.device.type != "cpu":
            images, labels = images.to(group.device), labels.to(group.device)
        return images, labels, len(labels)

    def _in_step(self, samples: int) -> int:
        """How many samples the step has that the batch under way, of ``samples``, belongs to."""
        config = self.run.config
        if config.accumulate == 1:
            return samples
        size = config.accumulate * config.batch_size
        start = self.batch // config.accumulate * size
        return min(start + size, len(self.train)) - start

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.run.config.precision == "f32":
            return contextlib.nullcontext()
        return torch.autocast(self.group.device.type, torch.bfloat16)

    def _local(self, moves: bool) -> contextlib.AbstractContextManager[Any]:
        """Gradients stay in the process until the last batch of a step brings them together."""
        if moves or self.group.size == 1:
            return contextlib.nullcontext()
        assert isinstance(self.forward, torch.nn.parallel.DistributedDataParallel)
        return self.forward.no_sync()

    def _rate(self, batch: int) -> float:
        """The learning rate of the step that a batch of the epoch under way belongs to."""
        config = self.run.config
        each = -(-len(self.batches) // config.accumulate)
        step, steps = self.epoch * each + batch // config.accumulate, config.epochs * each
        return self.peak * schedule(config.schedule, step, steps, self.warmup)

    def _sums(self) -> tuple[float, int | float, int]:
        """Loss, right answers or absolute errors, and samples, over all processes.

        Raises:
            FloatingPointError: the loss or a weight is not finite.
        """
        seen = torch.tensor(self.seen)
        loss, correct, seen = self.group.total(self.loss, self.correct, seen)
        count = int(seen)
        self._finite(float(loss) / count)
        return float(loss), correct.item(), count

    def _finite(self, loss: float) -> None:
        weights = all(bool(p.isfinite().all()) for p in self.model.parameters())
        if math.isfinite(loss) and weights:
            return
        what = "a weight" if math.isfinite(loss) else "the loss"
        kept = self.run.last if self.run.last.exists() else "not there yet"
        raise FloatingPointError(
            f"epoch {self.epoch + 1}, by batch {self.batch}: {what} is no longer finite; "
            f"a learning rate below {self.peak:g} may help (last good checkpoint: {kept})"
        )


def _sees_one_value(model: nn.Module, shape: tuple[int, ...]) -> str | None:
    """The first batch norm that a sample of ``shape`` gives one value a channel; None if none."""
    norms = {name: m for name, m in model.named_modules() if isinstance(m, _BatchNorm)}
    if not norms:
        return None
    found: list[str] = []

    def look(name: str, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        values = next(iter((*given, *named.values())))
        if values.numel() == 2 * values.shape[1]:
            found.append(name)

    modes = [(module, module.training) for module in model.modules()]
    model.train()
    hooks = [
        norm.register_forward_pre_hook(
            lambda _, given, named, name=name: look(name, given, named), with_kwargs=True
        )
        for name, norm in norms.items() if norm.training  # one may be kept as it is
    ]  # fmt: skip
    device = next(model.parameters()).device
    try:
        # Two samples, and eval: one would be refused by torch, and nothing may be counted.
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.eval()(torch.zeros(2, *shape, device=device))
    finally:
        for module, mode in modes:
            module.training = mode
        for hook in hooks:
            hook.remove()
    return found[0] if found else None


def _channels_last(model: torch.nn.Module, shape: tuple[int, ...]) -> torch.nn.Module:
    """``model`` with weights that make its convolutions write their maps channels last.

    Raises:
        ValueError: the inputs are no images.
    """
    if len(shape) != 4:
        sizes = "x".join(map(str, shape[1:]))
        raise ValueError(f"channels_last = True: is for images (C, H, W), the data have {sizes}")
    moving: Any = model
    moved: torch.nn.Module = moving.to(memory_format=torch.channels_last)
    return moved
