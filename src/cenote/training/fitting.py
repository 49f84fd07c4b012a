"""``cenote.fit``: a whole training, from a few words to a run folder."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from cenote.allocator import tune_allocator as tuned_allocator
from cenote.data import load
from cenote.training.config import FREE_ON_RESUME, Config, describe, option_names
from cenote.training.evaluation import evaluate
from cenote.training.files import remove_leftovers, replace_file
from cenote.training.loop import Trainer
from cenote.training.progress import Progress, open_progress
from cenote.training.recipes import recipe as find_recipe
from cenote.training.run import SPLIT_SEED, Facts, Run, RunError, claim
from cenote.training.signals import Interrupted, Interrupts

__all__ = ["Result", "fit"]


@dataclass(frozen=True)
class Result:
    """A finished training: its run folder, the network with its final weights, and its figures."""

    run: Run
    model: torch.nn.Module
    history: list[dict[str, Any]]
    summary: dict[str, Any]

    @property
    def accuracy(self) -> float:
        """The share of the test images that the final weights get right."""
        return float(self.summary["test_accuracy"])


def fit(
    what: str | Config | None = None,
    *,
    resume: bool = False,
    recipe: str | None = None,
    tune_allocator: bool = False,
    **options: Any,
) -> Result:
    """Train a network and leave a run folder; the test set is looked at once, at the end.

    ``what`` is the network's name or a whole :class:`Config`; ``options`` are fields of Config by
    name. With ``resume``, the run in ``out`` goes on to the same bits as if it had never stopped;
    options that are not given are then the run's own. A ``recipe``, one of
    :data:`cenote.training.RECIPES`, stands for the options that it lists, where they are not
    given. The global random state and the number of threads are as before afterwards. With
    ``tune_allocator`` (:func:`cenote.tune_allocator`) the process keeps freed memory until the
    training ends, which changes no number; the allocator is only about as before afterwards, and
    so that is for the caller to choose.

    Raises:
        TypeError, ValueError: an option is unknown or wrong, or a recipe; the message names it.
        RunError: ``out`` is taken, or holds no run, or another one than the options say.
        FloatingPointError: the loss is no longer finite.
        Interrupted: Ctrl-C; the run is saved, and the message says how to go on.

    >>> import cenote
    >>> result = cenote.fit("lenet5", data="mnist", epochs=10)  # doctest: +SKIP
    >>> result.accuracy  # doctest: +SKIP
    0.9915
    """
    given = _given(what, options)
    chosen = None if recipe is None else find_recipe(recipe, given.get("network"))
    if chosen is not None:
        given = {"network": chosen.network, **chosen.options} | given
    config = _stored(given) if resume else Config(**given)
    with contextlib.ExitStack() as stack:
        if tune_allocator:
            stack.enter_context(tuned_allocator())
        stack.enter_context(_threads(config.threads))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        progress = open_progress(config.progress)
        stack.callback(progress.close)
        if chosen is not None:
            progress.say(f"recipe {recipe}: {chosen.result}")
        return _fit(config, resume, progress)


def _fit(config: Config, resume: bool, progress: Progress) -> Result:
    if not resume:
        claim(config.folder)
    whole = load(config.data, "train", data_dir=config.data_dir, download=config.download)
    train, validation = whole.split(config.validation, SPLIT_SEED)
    if resume:
        run = replace(Run.open(config.folder), config=config)
        run.check_data(whole)
        for folder in (run.folder, run.last.parent):
            remove_leftovers(folder)
        trainer = Trainer(run, train, validation)
        notes = trainer.restore()
    else:
        run = Run.new(config, Facts.of(whole, train))
        trainer = Trainer(run, train, validation)  # an unknown network leaves no folder behind
        run.write_config()
        notes = []
    summary = run.summary
    if summary is None:
        for line in (describe(config) + _position(trainer), *notes):
            progress.say(line)
        with Interrupts() as interrupts:
            _train(trainer, progress, interrupts)
            summary = _finish(trainer)
    else:
        progress.say(f"{run.folder} is finished already: nothing is left to train")
    return Result(run, trainer.model.eval(), trainer.history, summary)


def _train(trainer: Trainer, progress: Progress, interrupts: Interrupts) -> None:
    try:
        trainer.fit(progress, interrupts)
    except Interrupted:
        _draw(trainer)
        folder = trainer.run.folder
        done = f"epoch {trainer.epoch + 1}, batch {trainer.batch} of {len(trainer.batches)}"
        raise Interrupted(
            f"stopped in {done}, and saved; go on with: "
            f"cenote train --out {shlex.quote(str(folder))} --resume"
        ) from None


def _finish(trainer: Trainer) -> dict[str, Any]:
    """Look at the test set, once, with the final weights, and write the summary and the curves."""
    run = trainer.run
    measured = evaluate(trainer.model, run.data("test"), mean=run.facts.mean, std=run.facts.std)
    seconds = sum(record["seconds"] for record in trainer.history)
    best = trainer.best
    summary = {
        "test_accuracy": measured.accuracy,
        "test_loss": measured.loss,
        "test_errors": len(measured.wrong),
        "test_images": len(measured.labels),
        "train_images": len(trainer.train),
        "validation_accuracy": trainer.history[-1]["validation_accuracy"],
        "best_epoch": best and best["epoch"],
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "seconds": seconds,
        "images_per_second": len(trainer.history) * len(trainer.train) / seconds,
        "threads": torch.get_num_threads(),
    }
    _draw(trainer)
    run.write_summary(summary)
    return summary


def _draw(trainer: Trainer) -> None:
    if trainer.history:
        from cenote.inspection.pictures import curves

        path = trainer.run.folder / "curves.png"
        replace_file(path, lambda temporary: curves(trainer.history, temporary))


def _position(trainer: Trainer) -> str:
    if trainer.epoch == trainer.batch == 0:
        return ""
    return f"; going on after epoch {trainer.epoch}, batch {trainer.batch}"


def _given(what: str | Config | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the caller named, from both ways of naming them."""
    given = dict(options)
    if isinstance(what, Config):
        given = {f.name: getattr(what, f.name) for f in fields(what)} | given
    elif what is not None:
        given = {"network": what} | given
    unknown = sorted(set(given) - set(option_names()))
    if unknown:
        raise TypeError(
            f"fit: no option {', '.join(unknown)}; there are {', '.join(option_names())}"
        )
    return given


def _stored(given: Mapping[str, Any]) -> Config:
    """The configuration of the run to resume, held against the options that were ``given``."""
    asked = Config(**given)
    run = Run.open(asked.folder)
    for name in given:
        if name in FREE_ON_RESUME:
            continue
        new, old = getattr(asked, name), getattr(run.config, name)
        if new != old:
            raise RunError(
                f"{name} = {new}: the run in {run.folder} was started with {name} = {old}; "
                f"leave the option out, or begin a new run in another folder"
            )
    free = {name: getattr(asked, name) for name in given if name in FREE_ON_RESUME - {"out"}}
    return replace(run.config, **free)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
