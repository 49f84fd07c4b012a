"""The demonstration: train a classic network, and show on one page what it learnt."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cenote.inspection import pictures
from cenote.inspection.layers import watch
from cenote.inspection.pace import Pace, measure_pace
from cenote.inspection.page import Story, write_page
from cenote.training import Evaluation, Run, RunError, evaluate, fit
from cenote.training.files import replace_file, replace_json

__all__ = ["demonstrate"]

_SHOWN = 5  # images that the page follows through the network, the last of them a mistake


def demonstrate(out: str | Path = "demo", **options: Any) -> Path:
    """Train LeNet-5 in ``out/run``, draw what it learnt into ``out``, and return the page's path.

    ``options`` are those of :func:`cenote.fit`. A run that is there already is gone on with, or,
    if it is finished, only drawn anew.

    Raises:
        RunError: ``out`` holds other things, or a run with other options.
    """
    out = Path(out)
    run_folder = out / "run"
    resume = (run_folder / "config.json").exists()
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"out = {out}: is not empty and holds no demo; choose another folder")
    result = fit("lenet5", out=run_folder, resume=resume, **options)
    story = _story(result.run, result.model, out / "pace.json")
    _draw(story, out)
    write_page(story, out / "index.html")
    return out / "index.html"


def _story(run: Run, model: torch.nn.Module, pace: Path) -> Story:
    test = run.data("test")
    measured = evaluate(model, test, mean=run.facts.mean, std=run.facts.std)
    chosen = _followed(measured)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (run.facts.mean, run.facts.std))
    images = (test.images[chosen].float() / 255 - mean) / std
    layers = watch(model, images)
    if not pace.exists():
        some = slice(0, run.config.batch_size)
        batch = (test.images[some].float() / 255 - mean) / std
        replace_json(pace, asdict(measure_pace(model, batch, test.labels[some])))
    known = Pace(**json.loads(pace.read_text(encoding="utf-8")))
    return Story(run, test, measured, chosen, layers, known)


def _followed(measured: Evaluation) -> list[int]:
    """Images to follow: the surest right answers of some classes, then the least sure wrong one.

    A mistake made with little certainty is the one whose reasons can be seen.
    """
    sure = measured.probabilities.amax(1)
    right = measured.predicted == measured.labels
    chosen = []
    for label in (3, 7, 4, 8, 2, 5, 0, 1, 6, 9):
        candidates = (right & (measured.labels == label)).nonzero().flatten()
        if len(candidates):
            # The median, not the maximum: a typical image rather than the most extreme one.
            order = sure[candidates].argsort()
            chosen.append(int(candidates[order[len(order) // 2]]))
        if len(chosen) == _SHOWN - 1:
            break
    wrong = measured.wrong
    if len(wrong):
        chosen.append(int(wrong[sure[wrong].argmin()]))
    return chosen


def _draw(story: Story, out: Path) -> None:
    """The pictures as files beside the page, each whole or not there."""
    run, measured, test = story.run, story.measured, story.test
    wrong = story.mistakes[:120]
    stages = story.stages

    def put(name: str, draw: Any, *arguments: Any, **options: Any) -> None:
        replace_file(out / name, lambda path: draw(*arguments, path, **options))

    put("curves.png", pictures.curves, run.history, test=measured.accuracy)
    put("confusion.png", pictures.confusion, measured.confusion, test.classes)
    captions = [f"{m.truth} as {m.answer}, {100 * m.probability:.0f} %" for m in wrong]
    tiles = test.images[[m.index for m in wrong], 0]
    put("mistakes.png", pictures.mistakes, tiles, captions)
    put("kernels.png", pictures.kernels, story.kernels)
    for position, index in enumerate(story.chosen):
        name = f"maps-{position}-{test.classes[int(test.labels[index])]}.png"
        put(name, pictures.feature_maps, stages, position)
