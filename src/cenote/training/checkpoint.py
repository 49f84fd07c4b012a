"""Checkpoints in safetensors: tensors under their names, and the position in the training as JSON.

A file holds ``model/<parameter>``, ``average/<parameter>`` where weights are averaged,
``optimizer/<key>/<parameter>``, ``rng/torch`` and ``tally/<sum>``; its header holds the rest under
the key ``cenote``. Nothing in it is code, so a checkpoint from anywhere can be opened without fear.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cenote.training.files import replace_file

__all__ = ["Checkpoint", "CheckpointError", "load_model", "load_optimizer", "optimizer_tensors"]

FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or another network's; the message names the file."""


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and what else a training needs to go on, as JSON values."""

    tensors: Mapping[str, torch.Tensor]
    state: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Put this in the place of the file ``path``, whole or not at all."""
        # The writer takes neither strided views nor two names for one memory.
        tensors = {
            name: tensor.detach().cpu().clone().contiguous()
            for name, tensor in self.tensors.items()
        }
        metadata = {"cenote": json.dumps({"format": FORMAT, **self.state})}
        # Not its save_file: that has a temporary file of its own, which a kill would leave behind.
        content = save(tensors, metadata)
        replace_file(path, lambda temporary: _write(temporary, content))

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """The checkpoint in the file ``path``.

        Raises:
            CheckpointError: there is none, it is damaged, or it is not one of cenote's.
        """
        with _opened(path) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(tensors, _state(path, file.metadata()))

    @staticmethod
    def state_of(path: Path) -> Mapping[str, Any]:
        """The state alone of the checkpoint in the file ``path``, without reading its tensors.

        Raises:
            CheckpointError: as :meth:`load` does.
        """
        with _opened(path) as file:
            return _state(path, file.metadata())

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors whose names start with ``prefix/``, under what follows it."""
        start = f"{prefix}/"
        return {n[len(start) :]: t for n, t in self.tensors.items() if n.startswith(start)}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no checkpoint there")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged, not a whole safetensors file ({error})") from None


def _state(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    if metadata is None or "cenote" not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not a checkpoint of cenote")
    state: dict[str, Any] = json.loads(metadata["cenote"])
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: format {state.get('format')}, this version of cenote reads {FORMAT}"
        )
    return state


def load_model(
    model: torch.nn.Module, checkpoint: Checkpoint, path: Path, part: str = "model"
) -> None:
    """Put the checkpoint's weights into ``model``: those of the last step, or the ``"average"``.

    Raises:
        CheckpointError: the names or shapes are another network's; the first difference is named.
    """
    weights, own = checkpoint.part(part), model.state_dict()
    for name, tensor in own.items():
        if name not in weights:
            raise CheckpointError(f"{path}: another network's weights: {name} is missing")
        if weights[name].shape != tensor.shape:
            raise CheckpointError(
                f"{path}: another network's weights: {name} is {tuple(weights[name].shape)}, "
                f"expected {tuple(tensor.shape)}"
            )
    extra = sorted(set(weights) - set(own))
    if extra:
        raise CheckpointError(f"{path}: another network's weights: {extra[0]} is not in this one")
    model.load_state_dict(weights)


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, names: list[str]
) -> dict[str, torch.Tensor]:
    """The state of ``optimizer`` as ``optimizer/<key>/<parameter>``; ``names`` in its order."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{key}/{names[index]}": torch.as_tensor(value)
        for index, values in state.items()
        for key, value in values.items()
        if value is not None
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, names: list[str], checkpoint: Checkpoint
) -> None:
    """Put what :func:`optimizer_tensors` gave back into ``optimizer``."""
    index = {name: position for position, name in enumerate(names)}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in checkpoint.part("optimizer").items():
        key, parameter = name.split("/", 1)
        at = index[parameter]
        if tensor.shape == parameters[at].shape:  # the file does not say which order memory had
            tensor = torch.empty_like(parameters[at], dtype=tensor.dtype).copy_(tensor)
        state.setdefault(at, {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
