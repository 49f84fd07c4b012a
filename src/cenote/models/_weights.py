"""Weights from files: safetensors, or torch's own format without any code in it."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

__all__ = ["WeightsError", "metadata_of", "of_other_classes", "put_weights", "read_weights"]

_SHOWN = 5  # names of each kind that a message lists
_INSIDE = ("state_dict", "model_state_dict", "model")  # where training scripts keep the weights
_OF_A_RUN = ("average/", "model/")
"""What names begin with in a checkpoint of cenote: of the weights that count, where averaged."""


class WeightsError(ValueError):
    """A file of weights is missing, damaged or another network's; the message names the file."""


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors by name in a ``.safetensors`` file, or in one of torch's (``.pth``, ``.pt``).

    What a file of torch's holds beside tensors is refused, since reading it could run code. Of a
    cenote checkpoint it is the network's weights, of a training script's dictionary the entry
    ``state_dict``, ``model_state_dict`` or ``model``.

    Raises:
        WeightsError: there is no such file, or it cannot be read, or holds no tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"weights = {path}: no such file")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torchs(path)
    for inside in _INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(inside), Mapping):
            content = content[inside]
            break
    if not isinstance(content, Mapping) or not content or not all(map(_named, content.items())):
        raise WeightsError(f"weights = {path}: does not hold tensors by name")
    return dict(content)


def _named(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], torch.Tensor)


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            start = ""
            if "cenote" in (file.metadata() or {}):
                # A checkpoint holds more than the network; an exported network is all there is.
                start = next((s for s in _OF_A_RUN if any(n.startswith(s) for n in names)), "")
            # Copies: the file may be written anew while the network is in use.
            return {
                name.removeprefix(start): file.get_tensor(name).clone()
                for name in names if name.startswith(start)
            }  # fmt: skip
    except SafetensorError as error:
        raise WeightsError(f"weights = {path}: not a whole safetensors file ({error})") from None


def metadata_of(path: Path) -> dict[str, Any] | None:
    """What cenote wrote into a safetensors file beside the tensors; None of other files.

    Raises:
        WeightsError: there is no such file, or it is damaged.
    """
    if not path.is_file():
        raise WeightsError(f"weights = {path}: no such file")
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            said = (file.metadata() or {}).get("cenote")
    except SafetensorError as error:
        raise WeightsError(f"weights = {path}: not a whole safetensors file ({error})") from None
    found: dict[str, Any] | None = None if said is None else json.loads(said)
    return found


def _torchs(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # That a pickle is an unusual one: what cannot be read is refused below.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"weights = {path}: holds more than tensors, or is no file of torch's; what could run "
            f"code is not read"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"weights = {path}: not a whole file of torch's ({first})") from None


def put_weights(
    name: str, model: torch.nn.Module, weights: Mapping[str, torch.Tensor], source: str | Path
) -> None:
    """Put ``weights``, all of them and in the model's element types, into ``model``.

    A model whose parameters are on the meta device gets the tensors themselves. Batch norms may
    lack ``num_batches_tracked``, which older files do not have: it is 0 then.

    Raises:
        WeightsError: names are missing or unexpected, or tensors of another shape or of no number
            type; the message counts them all and lists the first of each.
    """
    own = model.state_dict()
    counters = {key for key in own if key.endswith("num_batches_tracked")}
    given = {**{key: torch.zeros_like(own[key], device="cpu") for key in counters}, **weights}
    missing = [key for key in own if key not in given]
    unexpected = [key for key in given if key not in own]
    shapes = [
        f"{key} {tuple(given[key].shape)}, expected {tuple(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    wrong = [f"{len(found)} {kind} ({_few(found)})" for kind, found in kinds.items() if found]
    if wrong:
        raise WeightsError(f"weights = {source}: not those of {name}: {'; '.join(wrong)}")
    typed = {key: tensor.to(own[key].dtype).contiguous() for key, tensor in given.items()}
    model.load_state_dict(typed, assign=any(tensor.is_meta for tensor in own.values()))


def of_other_classes(
    model: torch.nn.Module, weights: Mapping[str, torch.Tensor], classes: int
) -> tuple[str, ...]:
    """The parameters of the layer that answers, where ``weights`` have them for other classes.

    That layer is the only one whose tensors differ in shape, and they differ in their first size
    alone, which is ``classes`` in ``model``. Where it is not so, there are none.
    """
    own = model.state_dict()
    names = tuple(k for k in own if k in weights and weights[k].shape != own[k].shape)
    pairs = [(own[name].shape, weights[name].shape) for name in names]
    fits = all(a[:1] == (classes,) and len(a) == len(b) and a[1:] == b[1:] for a, b in pairs)
    modules, counts = {name.rpartition(".")[0] for name in names}, {b[:1] for _, b in pairs}
    return names if fits and len(modules) == len(counts) == 1 else ()


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    separator = "; " if any("," in name for name in names) else ", "
    return separator.join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
