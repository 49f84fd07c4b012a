"""The end of a training: the test set, once, and the files that tell of it."""

from __future__ import annotations

import time
import warnings
from typing import Any

import torch

from cenote.data import DataError, Dataset, DataWarning
from cenote.training.claiming import RunError
from cenote.training.evaluation import Deviation, Evaluation, measure
from cenote.training.files import replace_file
from cenote.training.loop import Trainer
from cenote.training.progress import Progress

__all__ = ["draw", "finish"]

_MOST_CLASSES = 200  # with more, a summary is no place for the confusion matrix


def finish(trainer: Trainer, progress: Progress) -> dict[str, Any]:
    """Look at the test set with the final weights, and write summary, curves and report."""
    run, group = trainer.run, trainer.group
    test = _test_set(trainer, progress)
    found = None
    if test is not None:
        found = measure(
            trainer.measured, test, trainer.objective,
            mean=run.facts.mean, std=run.facts.std, group=group,
        )  # fmt: skip
    summary = {**_figures(found, trainer), **_pace(trainer)}
    summary["test_fingerprint"] = None if test is None else test.fingerprint
    if group.first:
        draw(trainer)
        if run.config.report:
            _report(trainer, test, found, summary, progress)
        run.write_summary(summary)  # the last: with it the run counts as finished
    return summary


def _test_set(trainer: Trainer, progress: Progress) -> Dataset | None:
    """The test set, or None where there is none: a training is not lost for that."""
    try:
        with warnings.catch_warnings(record=True) as said:
            test = trainer.run.data("test")
    except (DataError, RunError) as error:
        progress.say(f"note: nothing was tested ({error})")
        return None
    for w in said:
        # Of the same files it was said when the training began.
        known = w.category is DataWarning and test.skipped and test.skipped == trainer.train.skipped
        if not known:
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    if len(test) == 0:
        progress.say(f"note: nothing was tested ({test.name} has no test images)")
        return None
    return test


def _figures(found: Evaluation | Deviation | None, trainer: Trainer) -> dict[str, Any]:
    metric = trainer.objective.metric
    names = ("accuracy", "loss", "errors", "images")
    if metric == "mae":
        names = ("mae", "rmse", "loss", "images")
    figures: dict[str, Any] = dict.fromkeys(names) if found is None else found.figures
    summary = {f"test_{name}": figures[name] for name in names}
    if isinstance(found, Evaluation):
        classes = trainer.run.facts.classes
        summary["test_classes"] = found.per_class(classes)
        if len(classes) <= _MOST_CLASSES:
            summary["test_confusion"] = found.confusion.tolist()
    best = trainer.best
    last = trainer.history[-1]
    return {
        **summary,
        "train_images": len(trainer.train),
        f"validation_{metric}": last[f"validation_{metric}"],
        "best_epoch": best and best["epoch"],
        "stopped_early": trainer.epoch < trainer.run.config.epochs,
    }


def _pace(trainer: Trainer) -> dict[str, Any]:
    history = trainer.history
    seconds = sum(record["seconds"] for record in history)
    waited = [r["seconds"] * r["loading_share"] for r in history if "loading_share" in r]
    return {
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "seconds": seconds,
        "images_per_second": len(history) * len(trainer.train) / seconds,
        "loading_share": sum(waited) / seconds if len(waited) == len(history) else None,
        "threads": torch.get_num_threads(),
        "processes": trainer.group.size,
    }


def draw(trainer: Trainer) -> None:
    """The curves of the epochs so far, as a picture."""
    if trainer.history and trainer.objective.classes:
        from cenote.inspection.pictures import curves

        path = trainer.run.folder / "curves.png"
        replace_file(path, lambda temporary: curves(trainer.history, temporary))


def _report(
    trainer: Trainer,
    test: Dataset | None,
    found: Evaluation | Deviation | None,
    summary: dict[str, Any],
    progress: Progress,
) -> None:
    """The page; a training does not fail because its page does, but it is said."""
    from cenote.training.report import write_report

    started = time.perf_counter()
    try:
        write_report(trainer.run, trainer.measured, test, found, summary)
    except Exception as error:
        progress.say(f"note: no report.html ({type(error).__name__}: {error})")
        return
    took = time.perf_counter() - started
    if took > 10:
        progress.say(f"report.html took {took:.0f} s; --no-report leaves it out")
