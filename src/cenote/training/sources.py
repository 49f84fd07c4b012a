"""What to train and on what, where it is no name: a file's function, a module, tensors."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cenote import models
from cenote.data import Dataset
from cenote.models import Preprocessing
from cenote.models._weights import of_other_classes, put_weights, read_weights

__all__ = [
    "Given",
    "Network",
    "Weights",
    "as_dataset",
    "begin_with",
    "begun_with",
    "digest_of",
    "loaded",
    "make_network",
    "preprocessing_of",
    "title_of",
    "unlike",
]

Network = nn.Module | Callable[..., nn.Module]


@dataclass(frozen=True)
class Given:
    """What a caller handed over as objects: a run folder cannot make it again."""

    network: Network | None = None
    train: Dataset | None = None
    test: Dataset | None = None
    weights: Weights | None = None


@dataclass(frozen=True)
class Weights:
    """The tensors by name out of the file ``path``, for a training to begin with."""

    path: Path
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> Weights:
        """Those in the file ``path``.

        Raises:
            WeightsError: there is no such file, or it cannot be read, or holds no tensors by name.
        """
        return cls(path, read_weights(path))


def title_of(network: Network) -> str:
    """What to call a module, or the function that makes one."""
    if isinstance(network, nn.Module):
        return type(network).__name__
    name = getattr(network, "__qualname__", type(network).__name__)
    return str(name).rpartition(".")[2].strip("<>")


def as_dataset(data: Any, name: str, classes: Sequence[str] | None = None) -> Dataset:
    """A data set as it is, or a pair of tensors or arrays as :meth:`cenote.data.Dataset.of` does.

    Raises:
        TypeError: ``data`` is neither a pair nor a data set.
        DataError: the tensors are not what a data set holds.
    """
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(
            f"{name}: must be a name, a path, a Dataset or a pair of tensors, "
            f"not {type(data).__name__}"
        )
    return Dataset.of(data[0], data[1], classes=classes, name=name)


def unlike(test: Dataset, train: Dataset) -> str | None:
    """What keeps what learns from ``train`` from being measured on ``test``; None if nothing."""
    for what, found, wanted in (
        ("inputs of", tuple(test.images.shape[1:]), tuple(train.images.shape[1:])),
        ("labels that are", _kind(test), _kind(train)),
        ("labels of", tuple(test.labels.shape[1:]), tuple(train.labels.shape[1:])),
    ):
        if found != wanted:
            return f"{what} {found}, those of data are {wanted}"
    return None


def _kind(dataset: Dataset) -> str:
    return "quantities" if dataset.regression else "classes"


def make_network(
    name: str, given: Network | None, fixed: Mapping[str, Any], chosen: Mapping[str, Any]
) -> nn.Module:
    """A fresh network: ``given``, or what ``name`` says, with those options that it takes.

    Of ``fixed`` (classes, channels, size), which the data decide, it gets those that it has; of
    ``chosen``, which a person decided, it must have all.

    Raises:
        ValueError: there is no such network, or it has not all of the ``chosen`` options.
        TypeError: what was called gave no module.
    """
    if given is None and ":" not in name:
        if name.endswith(".py"):
            from cenote.inspection.subject import without_name

            raise ValueError(without_name("network", name))
        return _ours(name, fixed, chosen)
    title = title_of(given) if given is not None else name
    make = given if given is not None else _of_file(name)
    if isinstance(make, nn.Module):
        _must_take(title, {}, chosen)
        return copy.deepcopy(make)
    _must_take(title, _taken(make, chosen), chosen)
    made = make(**_taken(make, fixed), **chosen)
    if not isinstance(made, nn.Module):
        from cenote.inspection.subject import kind_of

        raise TypeError(f"network = {title}: gave {kind_of(made)}, not a torch.nn.Module")
    return made


def begin_with(network: nn.Module, weights: Weights, classes: int, title: str) -> None:
    """Put ``weights`` into a fresh ``network`` of so many ``classes``.

    What answers keeps its fresh weights where the file has it for another number of classes.

    Raises:
        WeightsError: the weights are another network's; the message says what differs.
    """
    own = network.state_dict()
    fresh = {k: own[k] for k in of_other_classes(network, weights.tensors, classes)}
    put_weights(title, network, {**weights.tensors, **fresh}, weights.path)


def begun_with(network: nn.Module, weights: Weights) -> str:
    """What to say of the weights that :func:`begin_with` put into ``network``."""
    own, given = network.state_dict(), weights.tensors
    fresh = [k for k in own if k in given and given[k].shape != own[k].shape]
    if not fresh:
        return f"begins with the weights of {weights.path}"
    layer, there, here = fresh[0].rpartition(".")[0], given[fresh[0]], own[fresh[0]]
    return (
        f"begins with the weights of {weights.path}; the last layer, {layer}, is fresh: the file "
        f"has it for {len(there)} classes, the data have {len(here)}"
    )


def loaded(name: str, path: str | Path) -> tuple[nn.Module, int]:
    """One of our networks with the weights in a file, ready to answer, and its outputs' number.

    It is made for as many classes as the file has weights for.

    Raises:
        WeightsError: the file cannot be read, or is another network's.
    """
    tensors = read_weights(path)
    with torch.device("meta"):
        last = of_other_classes(models.get(name, classes=1), tensors, 1)
        outputs = len(tensors[last[0]]) if last else 1
        model = models.get(name, **({"classes": outputs} if last else {}))
    put_weights(name, model, tensors, path)
    return model.eval(), outputs


def preprocessing_of(name: str) -> Preprocessing | None:
    """What one of our networks says of the pictures that its weights expect; None for others."""
    if name not in models.names():
        return None
    with torch.device("meta"):
        found = getattr(models.get(name), "preprocessing", None)
    return found if isinstance(found, models.Preprocessing) else None


def digest_of(name: str) -> str | None:
    """The sha256 of the file in ``FILE.py:make_model``; None where ``name`` names no file."""
    path = Path(name.rpartition(":")[0])
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _ours(name: str, fixed: Mapping[str, Any], chosen: Mapping[str, Any]) -> nn.Module:
    options = {**fixed, **chosen}
    while True:
        try:
            return models.get(name, **options)
        except TypeError as error:
            refused = next((option for option in options if f"'{option}'" in str(error)), None)
            if refused is None:
                raise
            if refused in chosen:
                message = f"{refused} = {chosen[refused]}: {name} has no such option"
                raise ValueError(message) from None
            del options[refused]


def _must_take(title: str, taken: Mapping[str, Any], chosen: Mapping[str, Any]) -> None:
    for option, value in chosen.items():
        if option not in taken:
            raise ValueError(f"{option} = {value}: {title} has no such option")


def _taken(make: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``options`` that ``make`` can be called with."""
    parameters = inspect.signature(make).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(options)
    names = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return {option: value for option, value in options.items() if option in names}


def _of_file(name: str) -> Any:
    """What lies in a file or a module of Python under ``FILE.py:make_model``."""
    from cenote.inspection.subject import _few, _module, kind_of

    where, _, attribute = name.rpartition(":")
    module: Any = _module(where)
    found = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(module) if not n.startswith("_")]
            raise ValueError(
                f"network = {name!r}: {where} has no {attribute}; it has {_few(public)}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"network = {name!r}: is {kind_of(found)}, no module")
    return found
