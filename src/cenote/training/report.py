"""The page of a finished run: figures, curves, classes, epochs, and a look into the network."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from cenote.data import Batches, Dataset
from cenote.training.config import describe
from cenote.training.evaluation import Deviation, Evaluation
from cenote.training.files import replace_text
from cenote.training.run import Run

__all__ = ["write_report"]

_MOST_DRAWN = 30  # classes of a confusion matrix whose numbers can be read
_MOST_MACS = 20e9  # a network with more is not taken apart on the page: it would take minutes


def write_report(
    run: Run,
    model: torch.nn.Module,
    test: Dataset | None,
    found: Evaluation | Deviation | None,
    summary: Mapping[str, Any],
) -> Path:
    """Write ``report.html`` into the run's folder, whole or not at all; it needs no other file."""
    from cenote.inspection.style import templates

    environment = templates(Path(__file__).parent / "templates")
    environment.filters["share"] = lambda v: "" if v is None else f"{100 * v:.2f} %"
    environment.filters["number"] = _number
    text = environment.get_template("report.html").render(
        _context(run, model, test, found, summary)
    )
    path = run.folder / "report.html"
    replace_text(path, text)
    return path


def _context(
    run: Run,
    model: torch.nn.Module,
    test: Dataset | None,
    found: Evaluation | Deviation | None,
    summary: Mapping[str, Any],
) -> dict[str, Any]:
    from cenote.inspection import pictures
    from cenote.inspection.style import THEMES

    history, classes = run.history, run.facts.classes
    curves = confusion = None
    if classes:
        curves = _picture(pictures.curves, history, test=summary.get("test_accuracy"))
    if isinstance(found, Evaluation) and len(classes) <= _MOST_DRAWN:
        confusion = _picture(pictures.confusion, found.confusion, classes)
    return {
        "title": f"{run.config.title} on {run.facts.name}",
        "description": describe(run.config),
        "themes": THEMES,
        "figures": _figures(summary),
        "curves": curves,
        "confusion": confusion,
        "classes": summary.get("test_classes"),
        "columns": list(history[0]) if history else [],
        "history": history,
        "explorer": None if test is None else _explorer(run, model, test),
        "options": [(k, v) for k, v in run.config.to_json().items() if v is not None],
    }


def _figures(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that come first, of those that were measured."""
    shown: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
        ("test_accuracy", "of the test images right", lambda v: f"{100 * v:.2f} %"),
        ("test_errors", "wrong", lambda v: f"{v:,}"),
        ("test_mae", "mean absolute error", lambda v: f"{v:.4g}"),
        ("test_rmse", "root mean squared error", lambda v: f"{v:.4g}"),
        ("parameters", "parameters", lambda v: f"{v:,}"),
        ("seconds", "of training", lambda v: f"{v:.1f} s"),
        ("images_per_second", "a second", lambda v: f"{v:,.0f}"),
        ("loading_share", "of it waiting for data", lambda v: f"{100 * v:.1f} %"),
    )
    return [(t, text(summary[n])) for n, t, text in shown if summary.get(n) is not None]


def _explorer(run: Run, model: torch.nn.Module, test: Dataset) -> str | None:
    """The inspector's page of the first test input; None where that input is no image."""
    if test.images.dim() != 4 or len(test) == 0:
        return None
    from cenote.inspection import inspect
    from cenote.inspection.explorer import explorer_html

    facts = run.facts
    one = Dataset(test.name, test.images[:1], test.labels[:1], test.classes)
    inputs, _ = next(iter(Batches(one, 1, seed=0, shuffle=False, mean=facts.mean, std=facts.std)
                          .epoch(0)))  # fmt: skip
    model = model.eval()
    where = next((p.device for p in model.parameters()), torch.device("cpu"))
    record = inspect(model, inputs.to(where), maps=True, backward=False)
    if record.error is not None or record.totals.macs > _MOST_MACS:
        return None
    pixels = one.images[0]
    image: Any = inputs
    if pixels.dtype == torch.uint8 and len(pixels) in (1, 3):
        image = (pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)).numpy()
    return explorer_html(record, image=image, title=f"{run.config.title} on {facts.name}")


def _picture(draw: Callable[..., None], *arguments: Any, **options: Any) -> dict[str, str]:
    """A picture in both themes, as data addresses."""
    from cenote.inspection.style import THEMES, data_uri

    found = {}
    for theme in THEMES:
        buffer = io.BytesIO()
        draw(*arguments, buffer, theme=theme, **options)
        found[theme.name] = data_uri(buffer.getvalue())
    return found


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)
