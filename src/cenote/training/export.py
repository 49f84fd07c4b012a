"""A trained network as a file for other programs; what was written is run and compared."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cenote.training.files import replace_file
from cenote.training.run import Run

__all__ = ["FORMATS", "ExportError", "export"]

_BATCH = 3  # samples that the two are compared on: not the number that is exported with
_CLOSE = 1e-4  # of the largest answer: other kernels add up in another order


class ExportError(ValueError):
    """A network cannot be written in a format, or what was written does not do what it does."""


def export(run: Run, format: str, out: Path | None = None, which: str = "last") -> str:
    """Write the run's network in ``format`` to ``out``; returns what was written and checked.

    ``onnx`` and ``torch`` take inputs (N, C, ...) for any N, normalised as in training: ``(x -
    mean) / std`` of values in [0, 1]. The file holds the classes, the mean, the standard deviation
    and the shape too, as JSON under ``cenote``. It is put in its place once the check is passed.

    Raises:
        ValueError: there is no such format.
        ExportError: the network cannot be written so, a package for it is missing, or what was
            written gives other answers.
        CheckpointError: the run has no such weights.
    """
    if format not in FORMATS:
        raise ValueError(f"format = {format!r}: must be one of {', '.join(FORMATS)}")
    write, ending = FORMATS[format]
    out = run.folder / f"model{ending}" if out is None else out
    model = run.model(which)
    facts = {
        "network": run.config.title,
        "options": run.config.network_options,
        "weights": which,
        **{k: v for k, v in asdict(run.facts).items() if k != "fingerprint"},
    }
    said: list[str] = []
    replace_file(out, lambda path: said.append(write(model, run.facts.shape, facts, path)))
    return f"wrote {out}: {said[0]}"


def _inputs(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(_BATCH, *shape, generator=torch.Generator().manual_seed(0))


def _safetensors(model: nn.Module, shape: tuple[int, ...], facts: Any, path: Path) -> str:
    from safetensors.torch import load, save

    del shape
    weights = {name: t.detach().clone().contiguous() for name, t in model.state_dict().items()}
    path.write_bytes(save(weights, {"cenote": json.dumps(facts)}))
    found = load(path.read_bytes())
    if found.keys() != weights.keys() or not all(torch.equal(found[n], weights[n]) for n in found):
        raise ExportError("safetensors: what was read back differs from the weights")
    return f"{len(found)} tensors, read back, equal to the bit"


def _torch(model: nn.Module, shape: tuple[int, ...], facts: Any, path: Path) -> str:
    x = _inputs(shape)
    program = _exported(lambda: torch.export.export(
        model, (x[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},)))  # fmt: skip
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={"cenote": json.dumps(facts)})
    path.write_bytes(content.getvalue())
    with path.open("rb") as file:
        loaded = torch.export.load(file).module()
    with torch.inference_mode():
        worst = _compare(loaded(x), model(x), "torch")
    return f"loaded and run on {_BATCH} inputs; largest difference {worst:.1e}"


def _onnx(model: nn.Module, shape: tuple[int, ...], facts: Any, path: Path) -> str:
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"onnx: needs the packages onnx and onnxscript ({error}); pip install onnx onnxscript"
        ) from None
    x = _inputs(shape)
    program = _exported(lambda: torch.onnx.export(
        model, (x[:2],), dynamo=True, input_names=["input"], output_names=["output"],
        dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False))  # fmt: skip
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = "cenote", json.dumps(facts)
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString())
    try:
        import onnxruntime
    except ImportError:
        return "NOT verified: onnxruntime is not installed"
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"input": x.numpy()})[0])
    with torch.inference_mode():
        worst = _compare(found, model(x), "onnx")
    return f"run with ONNX Runtime on {_BATCH} inputs; largest difference {worst:.1e}"


FORMATS: dict[str, tuple[Callable[[nn.Module, tuple[int, ...], Any, Path], str], str]] = {
    "onnx": (_onnx, ".onnx"),
    "torch": (_torch, ".pt2"),
    "safetensors": (_safetensors, ".safetensors"),
}


def _exported(make: Callable[[], Any]) -> Any:
    """What torch's exporter makes of the model, or its reason in a line."""
    with _quiet():
        try:
            return make()
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ExportError(
                f"torch cannot export this network ({type(error).__name__}: {reason})"
            ) from error


def _compare(found: Tensor, expected: Tensor, format: str) -> float:
    """The largest difference, once it is known to be small."""
    if found.shape != expected.shape:
        raise ExportError(
            f"{format}: what was written gives {tuple(found.shape)}, the network "
            f"{tuple(expected.shape)}; nothing was kept"
        )
    worst = float((found - expected).abs().max())
    most = _CLOSE * max(1.0, float(expected.abs().max()))
    if not worst <= most:
        raise ExportError(
            f"{format}: what was written differs from the network by {worst:.1e}, at most "
            f"{most:.1e} are rounding; nothing was kept"
        )
    return worst


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters say on standard output and in warnings what concerns their authors."""
    level = logging.getLogger("torch.onnx").level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            yield
        finally:
            logging.getLogger("torch.onnx").setLevel(level)
