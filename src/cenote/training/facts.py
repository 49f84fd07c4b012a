"""What a run remembers of its data."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cenote.data import Dataset
from cenote.data._find import holds_idx
from cenote.models import Preprocessing
from cenote.models._weights import WeightsError, metadata_of

__all__ = ["Facts", "of_digits"]


@dataclass(frozen=True)
class Facts:
    """What a run must remember of its data: the numbers that every later image is treated with."""

    name: str
    fingerprint: str
    shape: tuple[int, ...]
    """Of one input: channels first."""
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    target: tuple[int, ...] = ()
    """Of one label: () for a class, and for a single quantity."""
    digits: bool = False
    """Whether the images are MNIST's digits, or like them: pictures are then made so, too."""
    resize: int | None = None
    """To what the shorter side of a picture is brought before the middle is cut out, if it is."""

    def __post_init__(self) -> None:
        # What a training does with a constant channel, everything that reads the facts does alike.
        object.__setattr__(self, "std", tuple(value or 1.0 for value in self.std))

    @classmethod
    def of(
        cls,
        whole: Dataset,
        train: Dataset,
        data: str = "",
        *,
        resize: int | None = None,
        own: Preprocessing | None = None,
    ) -> Facts:
        """The facts of ``whole``, of which ``train`` is what weights are fitted to.

        ``data`` is the name or the path that it was loaded by, ``resize`` what it was loaded with.
        Where weights come from elsewhere, their ``own`` mean and deviation take the place of the
        data's.
        """
        mean, std = train.statistics() if own is None else (own.mean, own.std)
        shape, target = tuple(whole.images.shape[1:]), tuple(whole.labels.shape[1:])
        facts = cls(whole.name, whole.fingerprint, shape, whole.classes, mean, std, target)
        return replace(facts, digits=of_digits(facts, data), resize=resize)

    @classmethod
    def of_weights(cls, path: Path) -> Facts | None:
        """What is known of the data that the weights in a file were fitted to; None if nothing.

        An exported network has its facts in the file, a checkpoint beside it in its run's folder.

        Raises:
            WeightsError: the file is a checkpoint apart from its run.
        """
        stored = metadata_of(path)
        if stored is None:
            return None
        if "mean" not in stored:
            config = path.parent.parent / "config.json"
            if not config.is_file():
                raise WeightsError(
                    f"weights = {path}: a checkpoint apart from its run, which knows how its "
                    f"pictures were made; write the weights with cenote export --format safetensors"
                )
            stored = json.loads(config.read_text(encoding="utf-8"))["data"]
        names = cls.__dataclass_fields__
        return cls.from_json({"fingerprint": "", **{k: v for k, v in stored.items() if k in names}})

    @property
    def preprocessing(self) -> Preprocessing | None:
        """The preparation of square pictures as a network has it; None for other inputs."""
        channels, *sides = self.shape
        if channels not in (1, 3) or len(sides) != 2 or sides[0] != sides[1]:
            return None
        return Preprocessing(self.resize or sides[0], sides[0], self.mean, self.std)

    @property
    def outputs(self) -> int:
        """How many classes, or else how many channels of quantities, a network has to give."""
        return len(self.classes) or (self.target[0] if self.target else 1)

    @property
    def fixed(self) -> dict[str, Any]:
        """What the data decide of a network: its classes, channels and size."""
        channels, *sizes = self.shape
        size = sizes[0] if len(set(sizes)) == 1 else tuple(sizes)
        return {"classes": self.outputs, "channels": channels, "size": size}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Facts:
        """The facts as ``config.json`` holds them."""
        lists: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**lists)


def of_digits(facts: Facts, data: str) -> bool:
    """Whether ``data`` is MNIST, or IDX files like its own; pictures in folders are themselves."""
    if facts.classes != tuple("0123456789") or facts.shape[1:] != (28, 28):
        return False
    path = Path(data)
    # Of files that are gone nothing else is known: those of IDX were all that could be meant once.
    gone = path.is_absolute() and not path.exists() and path.suffix != ".npz"
    return data == "mnist" or gone or holds_idx(path)
