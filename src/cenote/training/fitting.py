"""``cenote.fit``: a whole training, from a few words to a run folder."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cenote.allocator import tune_allocator as tuned_allocator
from cenote.data import DataError, Dataset, load, parts
from cenote.data._find import holds_pictures, only_pictures
from cenote.models import Preprocessing
from cenote.training.asked import given_options, handed_over, stored_config
from cenote.training.claiming import RunError, claim, in_vain
from cenote.training.config import Config, describe
from cenote.training.events import Events, check_installed
from cenote.training.facts import Facts
from cenote.training.files import remove_leftovers
from cenote.training.finishing import draw, finish
from cenote.training.locking import locked
from cenote.training.loop import Trainer
from cenote.training.progress import Progress, Several, open_progress
from cenote.training.recipes import recipe as find_recipe
from cenote.training.run import SPLIT_SEED, Run, check_named
from cenote.training.signals import Interrupted, Interrupts
from cenote.training.sources import Given, Network, Weights, begun_with, preprocessing_of
from cenote.training.together import Group, joined, restarted

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
        """The share of the test images that the final weights get right.

        Raises:
            ValueError: there were no test images, or labels are quantities, not classes.
        """
        found = self.summary.get("test_accuracy")
        if found is None:
            raise ValueError(f"{self.run.folder}: no accuracy on test images was measured")
        return float(found)


def fit(
    what: str | Config | Network | None = None,
    *,
    data: Any = None,
    test: Any = None,
    resume: bool = False,
    recipe: str | None = None,
    tune_allocator: bool = False,
    **options: Any,
) -> Result:
    """Train a network and leave a run folder; the test set is looked at once, at the end.

    ``what`` is the network's name, ``"FILE.py:make_model"``, a module (a copy of it is trained), a
    function that makes one, or a whole :class:`Config`. Such a function is called with those of
    ``classes``, ``channels`` and ``size`` that it takes. ``data`` is a data set's name or path, a
    :class:`cenote.data.Dataset` or a pair of tensors or arrays, inputs (N, C, ...) and labels (N,);
    ``test`` is as much, of what the result is measured on, where ``data`` is no name.
    ``options`` are fields of Config by name. With ``resume``, the run in ``out`` goes on to the
    same bits as if it had never stopped; options that are not given are then the run's own, and
    what was handed over as an object has to be so again. A ``recipe``, one of
    :data:`cenote.training.RECIPES`, stands for the options that it lists, where they are not
    given. The global random state and the number of threads are as before afterwards. With
    ``tune_allocator`` (:func:`cenote.tune_allocator`) the process keeps freed memory until the
    training ends, which changes no number; the allocator is only about as before afterwards, and
    so that is for the caller to choose.

    Under ``torchrun``, all processes call this, and share the batches: ``docs/scale.md``.

    Raises:
        TypeError, ValueError: an option is unknown or wrong, or a recipe; the message names it.
        RunError: ``out`` is taken, or holds no run, or another one than the options say.
        FolderInUseError: another process trains in ``out``.
        FloatingPointError: the loss is no longer finite.
        OSError: the disk is full, or ``out`` cannot be written to; what was saved before stays.
        WeightsError: the file ``weights`` cannot be read, or is another network's.
        WorkerLostError: another process of the training is gone; the message says how to go on.
        Interrupted: Ctrl-C; the run is saved, and the message says how to go on.

    >>> import cenote
    >>> result = cenote.fit("lenet5", data="mnist", epochs=10)  # doctest: +SKIP
    >>> result.accuracy  # doctest: +SKIP
    0.9915
    """
    given = given_options(what, options)
    objects = handed_over(what, data, test)
    if objects.train is not None:
        given["data"] = f"<{objects.train.name}>"  # no name that could be looked up
    elif data is not None:
        given["data"] = str(data)
    chosen = None if recipe is None else find_recipe(recipe, given.get("network"))
    if chosen is not None:
        given = {"network": chosen.network, **chosen.options} | given
    asked = Config(**given)
    with contextlib.ExitStack() as stack:
        if tune_allocator:
            stack.enter_context(tuned_allocator())
        stack.enter_context(_threads(asked.threads))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        group = stack.enter_context(joined(asked.device))
        stack.enter_context(group.watched(lambda: _advice(asked.folder, group)))
        progress = open_progress(asked.progress if group.first else "none")
        stack.callback(progress.close)
        # Of several hosts, torchrun counts the restarts of each by itself.
        again = group.any(restarted())[0]
        resume = resume or (again and group.told(lambda: _begun(asked.folder)))
        config = group.told(lambda: stored_config(given, group.size)) if resume else asked
        torch.set_num_threads(config.threads or torch.get_num_threads())
        if chosen is not None:
            progress.say(f"recipe {recipe}: {chosen.result}")
        return _fit(config, resume, progress, objects, group)


def _fit(config: Config, resume: bool, progress: Progress, given: Given, group: Group) -> Result:
    with contextlib.ExitStack() as stack:
        if resume and group.first:
            stack.enter_context(locked(config.folder))
        trainer, notes = _begin(config, resume, given, group)
        run = trainer.run
        if not resume and group.first:
            stack.enter_context(locked(config.folder))
            claim(config.folder)  # nobody came in between
            run.write_config()
            if given.network is not None or config.weights is not None:
                trainer.save()  # its first weights come from no seed
        notes += trainer.restore() if resume else []
        if resume and (changed := run.changed()) is not None:
            notes.append(f"note: {changed}")
        summary = group.told(lambda: run.summary)
        if summary is None:
            for line in (describe(run.config) + _position(trainer), *notes):
                progress.say(line)
            events = _events(trainer)
            stack.callback(events.close)
            with Interrupts() as interrupts:
                _train(trainer, Several(progress, events), interrupts)
                summary = finish(trainer, progress)
            if isinstance(events, Events):
                events.end(summary)
        else:
            for line in (f"{run.folder} is finished already: nothing is left to train", *notes):
                progress.say(line)
    return Result(run, trainer.measured.eval(), trainer.history, summary)


def _begin(config: Config, resume: bool, given: Given, group: Group) -> tuple[Trainer, list[str]]:
    """The training before its first step, and what to say of it; nothing is written yet."""
    if config.tensorboard:
        check_installed()
    stored = None
    if resume:
        stored = group.told(lambda: _cleaned(config.folder))
    else:
        group.told(lambda: claim(config.folder))
    weights = own = None
    if config.weights is not None:
        if stored is None and given.network is None:
            own = _expects(config.network, config.weights)
        # A checkpoint holds the weights: once there is one, the file is not needed any more.
        if stored is None or not group.told(stored.last.exists):
            weights = Weights.read(config.weights)
    whole = given.train
    if whole is None:
        check_named(config)
        config = _expected(config, own)
        whole = load(
            config.data, "train",
            data_dir=config.data_dir, download=config.download, **config.pictures,
        )  # fmt: skip
    else:
        only_pictures(whole.name, **config.pictures)
    _compare(whole, group)
    if len(whole) == 0:
        raise DataError(f"data = {whole.name}: holds no samples, must be at least 1 to train on")
    config = config.settled(whole)
    train, validation = whole.split(config.validation or 0, SPLIT_SEED)
    begun = replace(given, weights=weights)
    if stored is not None:
        run = replace(stored, config=config, given=begun)
        run.check_data(whole)
    else:
        pictures = whole.images.dtype == torch.uint8
        fits = own is not None and pictures and own.channels == whole.images.shape[1]
        data = config.handed_over or config.data
        facts = Facts.of(whole, train, data, resize=config.resize, own=own if fits else None)
        run = Run.new(config, facts, begun)
    trainer = Trainer(run, train, validation, group)  # an unknown network leaves no folder behind
    trainer.run = replace(run, given=given)  # without the file's tensors: nobody needs them twice
    notes = [] if weights is None else [begun_with(trainer.model, weights)]
    if given.train is None and len(validation) and "validation" in parts(config.data):
        notes.append(
            "note: the data have a validation part of their own, which is left aside; "
            "validation images are drawn from those to train on"
        )
    return trainer, notes


def _expects(network: str, weights: Path) -> Preprocessing | None:
    """How pictures were prepared that ``weights`` were fitted to, as far as anybody says."""
    facts = Facts.of_weights(weights)
    return preprocessing_of(network) if facts is None else facts.preprocessing


def _expected(config: Config, own: Preprocessing | None) -> Config:
    """The same with pictures brought to what weights expect, where ``config`` leaves it open."""
    if own is None or not holds_pictures(config.data):
        return config
    config = replace(config, channels=config.channels or own.channels)
    if config.size is not None:
        return config
    return replace(config, size=own.crop, resize=config.resize or own.resize)


def _compare(whole: Dataset, group: Group) -> None:
    """Hold the training images of all processes against those of the first.

    Raises:
        RunError: there are others; in all processes, so that none waits for another.
    """
    if group.size == 1:
        return
    own = torch.frombuffer(bytearray.fromhex(whole.fingerprint), dtype=torch.uint8)
    first, *others = group.gathered(own)
    wrong = [rank for rank, found in enumerate(others, 1) if not torch.equal(found, first)]
    if wrong:
        prints = [bytes(found.tolist()).hex()[:12] for found in (first, others[wrong[0] - 1])]
        raise RunError(
            f"data = {whole.name}: process {', '.join(map(str, wrong))} of {group.size} has other "
            f"data than process 0 (fingerprint {prints[1]}, that of process 0 is {prints[0]})"
        )


def _events(trainer: Trainer) -> Progress:
    wanted = trainer.run.config.tensorboard and trainer.group.first
    return Events(trainer.run, len(trainer.history)) if wanted else Progress()


def _begun(folder: Path) -> bool:
    return (folder / "config.json").exists() and not in_vain(folder)


def _cleaned(folder: Path) -> Run:
    run = Run.open(folder)
    for place in (run.folder, run.last.parent):
        remove_leftovers(place)
    return run


def _train(trainer: Trainer, progress: Progress, interrupts: Interrupts) -> None:
    try:
        trainer.fit(progress, interrupts)
    except Interrupted:
        if trainer.group.first:
            draw(trainer)
        done = f"epoch {trainer.epoch + 1}, batch {trainer.batch} of {len(trainer.batches)}"
        raise Interrupted(
            f"stopped in {done}, and saved; {_advice(trainer.run.folder, trainer.group)}"
        ) from None


def _advice(folder: Path, group: Group) -> str:
    """How to go on with the run in ``folder``."""
    start = "cenote" if group.size == 1 else f"torchrun --nproc-per-node {group.size} -m cenote"
    return f"go on with: {start} train --out {shlex.quote(str(folder))} --resume"


def _position(trainer: Trainer) -> str:
    if trainer.epoch == trainer.batch == 0:
        return ""
    return f"; going on after epoch {trainer.epoch}, batch {trainer.batch}"


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
