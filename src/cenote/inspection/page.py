"""One self-contained page that tells what a trained network does with an image, layer by layer."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from cenote.data import Dataset
from cenote.inspection import pictures, tiles
from cenote.inspection.layers import Layer
from cenote.inspection.pace import Pace
from cenote.inspection.style import THEMES, data_uri, templates
from cenote.training import Evaluation, Run
from cenote.training.files import replace_text

__all__ = ["NAMES", "Mistake", "Story", "write_page"]

_TIMES = "\N{MULTIPLICATION SIGN}"
_BETWEEN_DIGITS = re.compile(r"(?<=\d)x(?=\d)")
NAMES = {"lenet5": "LeNet-5", "mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
"""How networks and data sets that are known by a short name are written."""
_GALLERY = 120  # mistakes shown: a trained network makes fewer, an untrained one thousands


@dataclass(frozen=True)
class Mistake:
    """A test image that the network got wrong, with the probability that it gave its answer."""

    index: int
    truth: str
    answer: str
    probability: float


@dataclass(frozen=True)
class Story:
    """What the page tells: a run, its answers to the test set, and ``chosen`` images watched."""

    run: Run
    test: Dataset
    measured: Evaluation
    chosen: Sequence[int]
    layers: Sequence[Layer]
    pace: Pace

    @cached_property
    def mistakes(self) -> list[Mistake]:
        """All mistakes, the surest first."""
        found = []
        for index in self.measured.wrong.tolist():
            answer = int(self.measured.predicted[index])
            found.append(
                Mistake(
                    index,
                    self.test.classes[int(self.test.labels[index])],
                    self.test.classes[answer],
                    float(self.measured.probabilities[index, answer]),
                )
            )
        return sorted(found, key=lambda mistake: -mistake.probability)

    @cached_property
    def stages(self) -> list[list[Layer]]:
        """The layers with maps, a new stage at each convolution."""
        stages: list[list[Layer]] = []
        for layer in self.layers:
            if layer.output.dim() != 4:
                break
            if isinstance(layer.module, torch.nn.Conv2d) or not stages:
                stages.append([])
            stages[-1].append(layer)
        return stages

    @cached_property
    def dense(self) -> list[list[Layer]]:
        """The layers after the maps, a new group at each dense one; the last gives the answer."""
        groups: list[list[Layer]] = []
        for layer in self.layers:
            if isinstance(layer.module, torch.nn.Linear):
                groups.append([])
            if groups:
                groups[-1].append(layer)
        return groups

    @property
    def kernels(self) -> torch.Tensor:
        """The weights (K, C, H, W) of the first convolution."""
        weight = self.stages[0][0].module.weight
        assert isinstance(weight, torch.Tensor)
        return weight.detach()


def write_page(story: Story, path: Path) -> None:
    """Write the page to ``path``, whole or not at all; it needs no other file and no network."""
    environment = templates()
    environment.filters["thousands"] = lambda value: f"{value:,.0f}"
    template = environment.get_template("demo.html")
    replace_text(path, template.render(_context(story)))


def _context(story: Story) -> dict[str, Any]:
    run, measured = story.run, story.measured
    summary = run.summary or {}
    shown = story.mistakes[:_GALLERY]
    limit = float(story.kernels.mean(1).abs().max())
    return {
        "run": run,
        "config": run.config,
        "network": NAMES.get(run.config.network, run.config.network),
        "data": NAMES.get(run.facts.name, run.facts.name),
        "summary": summary,
        "accuracy": measured.accuracy,
        "pace": story.pace,
        "errors": len(measured.wrong),
        "images": len(measured.labels),
        "themes": THEMES,
        "layers": _table(story.layers),
        "walks": [_walk(story, position) for position in range(len(story.chosen))],
        "kernels": [
            _themed(partial(tiles.bitmap, kernel, limit)) for kernel in story.kernels.mean(1)
        ],
        "kernel_limit": limit,
        "curves": _picture(pictures.curves, run.history, test=measured.accuracy),
        "confusion": _picture(pictures.confusion, measured.confusion, story.test.classes),
        "confusions": _worst(story),
        "mistakes": [(m, tiles.grey(story.test.images[m.index, 0])) for m in shown],
    }


def _table(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    return [
        {
            "title": _BETWEEN_DIGITS.sub(_TIMES, layer.title),
            "name": layer.name.rpartition(".")[2],
            "shape": f" {_TIMES} ".join(map(str, layer.shape)),
            "parameters": layer.parameters,
            "sees": _sees(layer),
        }
        for layer in layers
    ]


def _sees(layer: Layer) -> str:
    if layer.fields is None:
        return "everything"
    return f" {_TIMES} ".join(str(field.size) for field in layer.fields)


def _walk(story: Story, position: int) -> dict[str, Any]:
    """One image on its way from the input to the answer."""
    index = story.chosen[position]
    truth = int(story.test.labels[index])
    answer = int(story.measured.predicted[index])
    probabilities = story.measured.probabilities[index].tolist()
    return {
        "truth": story.test.classes[truth],
        "answer": story.test.classes[answer],
        "right": truth == answer,
        "index": index,
        "image": tiles.grey(story.test.images[index, 0]),
        "size": tuple(story.test.images.shape[2:]),
        "stages": [_stage(stage, position, story) for stage in story.stages],
        "dense": [_dense(group, position) for group in story.dense[:-1]],
        "probabilities": list(zip(story.test.classes, probabilities, strict=True)),
    }


def _stage(stage: Sequence[Layer], position: int, story: Story) -> dict[str, Any]:
    limit = pictures.stage_limit(stage, position)
    return {"limit": limit, "steps": [_step(layer, position, limit, story) for layer in stage]}


def _step(layer: Layer, position: int, limit: float, story: Story) -> dict[str, Any]:
    planes = layer.output[position]
    columns = planes.shape[0] if planes.shape[0] <= 8 else 8
    # About 90 bitmap pixels a map, so that coarse maps look coarse and all are equally wide.
    scale = max(1, 90 // planes.shape[1])
    return {
        **_table([layer])[0],
        "count": planes.shape[0],
        "columns": columns,
        "maps": _themed(
            lambda theme: tiles.sheet(planes, limit, theme, columns=columns, scale=scale)
        ),
        "strongest": _strongest(layer, position, story),
    }


def _strongest(layer: Layer, position: int, story: Story) -> dict[str, Any]:
    """Where the unit with the largest value looks: a rectangle in image pixels."""
    planes = layer.output[position]
    flat = int(planes.argmax())
    channel, rest = divmod(flat, planes[0].numel())
    row, column = divmod(rest, planes.shape[2])
    assert layer.fields is not None
    (top, bottom), (left, right) = (
        field.interval(unit) for field, unit in zip(layer.fields, (row, column), strict=True)
    )
    return {
        "channel": channel,
        "value": float(planes.max()),
        "x": left,
        "y": top,
        "width": right - left,
        "height": bottom - top,
    }


def _dense(group: Sequence[Layer], position: int) -> dict[str, Any]:
    """The units of a dense layer, activated, as one map; LeNet's 84 were 12 by 7 by design."""
    values = group[-1].output[position].flatten()
    widest = round(len(values) ** 0.5 * 1.5)
    columns = next(c for c in range(widest, 0, -1) if len(values) % c == 0)
    limit = max(float(values.abs().max()), 1e-12)
    plane = values.view(-1, columns)
    return {
        **_table(group[:1])[0],
        "low": min(0.0, float(values.min())),
        "high": float(values.max()),
        "columns": columns,
        "rows": plane.shape[0],
        "map": _themed(partial(tiles.bitmap, plane, limit)),
    }


def _worst(story: Story) -> list[dict[str, Any]]:
    """The three commonest confusions."""
    counts = story.measured.confusion.clone().fill_diagonal_(0)
    classes = story.test.classes
    values, indices = counts.flatten().topk(min(3, counts.numel()))
    pairs = zip(values.tolist(), indices.tolist(), strict=True)
    return [
        {"truth": classes[i // len(classes)], "answer": classes[i % len(classes)], "count": count}
        for count, i in pairs
        if count
    ]


def _themed(draw: Callable[[Any], str]) -> dict[str, str]:
    return {theme.name: draw(theme) for theme in THEMES}


def _picture(draw: Callable[..., None], *arguments: Any, **options: Any) -> dict[str, str]:
    """A matplotlib picture in both themes, as data addresses."""

    def uri(theme: Any) -> str:
        buffer = io.BytesIO()
        draw(*arguments, buffer, theme=theme, **options)
        return data_uri(buffer.getvalue())

    return _themed(uri)
