"""Everything that a training run can be told, with its defaults, in one place.

The command line is generated from :class:`Config`, ``config.json`` is its image, and
:func:`cenote.fit` takes its fields as keywords: an option is written here once.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import torch

from cenote.data import Dataset
from cenote.data import names as data_names
from cenote.data.augment import names as augment_names
from cenote.models import names as network_names
from cenote.training.objective import LOSSES
from cenote.training.recipe import OPTIMIZERS, SCHEDULES

__all__ = ["PROGRESS", "Config", "check_option", "describe", "option_names"]

PROGRESS = ("auto", "plain", "none")
PRECISIONS = ("f32", "bf16")
DEVICES = ("cpu", "cuda")
BAD = ("skip", "refuse")

# What suits each optimiser; found on a validation split of MNIST, never on its test set.
_LEARNING_RATES = {"adam": 6e-3, "sgd": 0.1}
_MOST_VALIDATION = 5000  # images, where a tenth would be more
_WARMUPS = {"constant": 0.0, "cosine": 0.05, "onecycle": 0.3}
_AUGMENT = "shift1"  # of images with a label each


def _each(values: Mapping[str, float]) -> str:
    """Values by what they belong to, as help texts have them."""
    return ", ".join(f"{value:g} for {name}" for name, value in values.items())


def _option(default: Any, text: str, **limits: Any) -> Any:
    """A field, its help and its limits: ``low`` (inclusive), ``above``, ``below``, ``names``."""
    return field(default=default, metadata={"help": text, **limits})


@dataclass(frozen=True)
class Config:
    """The options of one training run, checked on construction.

    ``None`` for the learning rate, the warm-up and the folder stands for the value that suits the
    other options, and is replaced by it at once; for ``augment`` and ``validation`` it stands for
    what suits the data, and :meth:`settled` replaces it. So a stored configuration says everything.

    Raises:
        TypeError: an option is not of its type.
        ValueError: an option lies outside its limits or is none of its names.

    >>> Config(optimizer="sgd").learning_rate
    0.1
    """

    network: str = _option(
        "lenet5",
        f"Network to train, FILE.py:make_model or one of ours: {', '.join(network_names())}.",
    )
    data: str = _option("mnist", f"Data set, {', '.join(data_names())}, or where its files are.")
    out: Path | None = field(
        default=None, metadata={"help": "Folder of the run; runs/NETWORK by default."}
    )
    size: int | None = _option(
        None, "Side that a folder of pictures is brought to; needed if theirs differ.", low=1
    )
    resize: int | None = _option(
        None, "Bring the shorter side of pictures to this first, and cut --size out.", low=1
    )
    channels: int | None = _option(
        None,
        "Channels of a folder of pictures, 1 or 3; by default 1 if all are grey.",
        names=(1, 3),
    )
    bad: str = _option(
        "skip", "Files in a folder that are no good pictures: skip or refuse.", names=BAD
    )
    weights: Path | None = field(
        default=None,
        metadata={"help": "Weights to begin with: a .safetensors file, or one of torch's."},
    )
    epochs: int = _option(10, "Passes over the training images.", low=1)
    batch_size: int = _option(256, "Images in a batch.", low=1)
    optimizer: str = _option("adam", "adam or sgd.", names=tuple(OPTIMIZERS))
    learning_rate: float | None = _option(
        None, f"Peak learning rate; by default {_each(_LEARNING_RATES)}.", above=0.0
    )
    momentum: float = _option(0.9, "Nesterov momentum of sgd.", low=0.0, below=1.0)
    weight_decay: float = _option(0.0, "Weight decay; decoupled for adam.", low=0.0)
    schedule: str = _option("onecycle", "constant, cosine or onecycle.", names=tuple(SCHEDULES))
    warmup: float | None = _option(
        None,
        f"Share of the training spent warming up; by default {_each(_WARMUPS)}.",
        low=0.0,
        below=1.0,
    )
    label_smoothing: float = _option(
        0.0, "Share of the label given to all classes.", low=0.0, below=1.0
    )
    loss: str = _option(
        "auto",
        "auto, cross_entropy, mse, mae or huber; auto is cross_entropy for classes, else mse.",
        names=LOSSES,
    )
    precision: str = _option(
        "f32", "f32, or bf16 where that is safe (autocast); weights stay f32.", names=PRECISIONS
    )
    channels_last: bool = _option(
        False, "Keep the maps of images with their channels last in memory; often faster."
    )
    accumulate: int = _option(
        1, "Batches whose gradients are put together into one step of the optimizer.", low=1
    )
    clip_norm: float | None = _option(
        None, "Scale gradients down to this norm, of all of them together.", above=0.0
    )
    ema: float | None = _option(
        None,
        "Decay of averaged weights, such as 0.999; they are measured and kept.",
        above=0.0,
        below=1.0,
    )
    patience: int | None = _option(
        None, "Stop after so many epochs without a better validation result.", low=1
    )
    augment: str | None = _option(
        None,
        f"Augmentation of the training images: {', '.join(augment_names())}, or several joined "
        f"with +; by default {_AUGMENT} for images with a label each, else none.",
    )
    validation: int | None = _option(
        None,
        "Training images held out for choosing, 0 for none; by default a tenth, "
        f"{_MOST_VALIDATION} at most.",
        low=0,
    )
    seed: int = _option(0, "Seed of weights, order, augmentation and dropout.", low=0)
    activation: str | None = _option(
        None, "Activation, for networks that leave a choice; by default the network's own."
    )
    pool: str | None = _option(
        None, "Pooling, for networks that leave a choice; by default the network's own."
    )
    dropout: float | None = _option(
        None, "Dropout, where a network has it; by default its own.", low=0.0, below=1.0
    )
    prefetch: int = _option(0, "Batches that a thread makes ahead; the bits are the same.", low=0)
    device: str = _option("cpu", "cpu or cuda.", names=DEVICES)
    threads: int | None = _option(
        None,
        "Threads to compute with; by default PyTorch's choice, and with --resume as many as "
        "before.",
        low=1,
    )
    data_dir: Path | None = field(
        default=None, metadata={"help": "Where to look for data sets first."}
    )
    download: bool = _option(True, "Download a data set that is not on this machine.")
    save_seconds: float = _option(60.0, "Save inside an epoch once this long has passed.", low=0.0)
    progress: str = _option("auto", "auto, plain (lines) or none.", names=PROGRESS)
    tensorboard: bool = _option(False, "Write event files for TensorBoard too.")
    report: bool = _option(True, "Write report.html at the end.")

    def __post_init__(self) -> None:
        for name in ("out", "data_dir", "weights"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        for name in ("data_dir", "weights"):
            if isinstance(path := getattr(self, name), Path):
                object.__setattr__(self, name, path.expanduser().absolute())
        for f in fields(self):
            object.__setattr__(
                self, f.name, _checked(f.name, getattr(self, f.name), f.type, f.metadata)
            )
        # A path must still lead there when the run is looked at from another folder.
        named = self.data in data_names() or self.handed_over is not None
        if not named and Path(self.data).exists():
            object.__setattr__(self, "data", str(Path(self.data).resolve()))
        where, colon, made = self.network.rpartition(":")
        if colon and Path(where).is_file():
            object.__setattr__(self, "network", f"{Path(where).resolve()}:{made}")
        if self.patience is not None and self.validation == 0:
            raise ValueError(f"patience = {self.patience}: needs validation images, validation = 0")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", _LEARNING_RATES[self.optimizer])
        if self.warmup is None:
            object.__setattr__(self, "warmup", _WARMUPS[self.schedule])
        if self.out is None:
            object.__setattr__(self, "out", Path("runs") / self.title.rpartition(":")[2])

    def settled(self, whole: Dataset) -> Config:
        """The same with what was left open for the training data ``whole`` to say.

        Raises:
            ValueError: ``patience`` needs validation images, and too few are there for any.
        """
        images = whole.images.dtype == torch.uint8 and whole.images.dim() == 4
        augment = _AUGMENT if images and whole.labels.dim() == 1 else "none"
        validation = min(_MOST_VALIDATION, len(whole) // 10)
        return replace(
            self,
            augment=augment if self.augment is None else self.augment,
            validation=validation if self.validation is None else self.validation,
        )

    @property
    def handed_over(self) -> str | None:
        """What data that were handed over as an object are called; None for a name or a path."""
        marked = self.data.startswith("<") and self.data.endswith(">")
        return self.data[1:-1] if marked else None

    @property
    def folder(self) -> Path:
        """``out``, which construction has settled."""
        return cast(Path, self.out)

    @property
    def title(self) -> str:
        """The network without the folder of the file that makes it."""
        where, colon, made = self.network.rpartition(":")
        return f"{Path(where).name}:{made}" if colon else self.network

    @property
    def network_options(self) -> dict[str, Any]:
        """The options that go to the network's function: those of its own that were chosen."""
        chosen = {name: getattr(self, name) for name in ("activation", "pool", "dropout")}
        return {name: value for name, value in chosen.items() if value is not None}

    @property
    def pictures(self) -> dict[str, Any]:
        """The options of :func:`cenote.data.load` that are for folders of pictures alone."""
        return {name: getattr(self, name) for name in ("size", "resize", "channels", "bad")}

    def to_json(self) -> dict[str, Any]:
        """The options as JSON values."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Config:
        """The configuration that :meth:`to_json` wrote.

        Raises:
            ValueError: an option that this version does not know.
        """
        unknown = sorted(set(stored) - set(option_names()))
        if unknown:
            raise ValueError(f"options {', '.join(unknown)}: not known to this version of cenote")
        return cls(**stored)


# These say where, with what and how loudly, not what: a run may go on with others.
FREE_ON_RESUME = frozenset(
    {"out", "threads", "device", "data_dir", "download", "save_seconds", "progress", "prefetch"}
    | {"tensorboard", "report"}
)


def check_option(name: str, value: Any) -> None:
    """Hold the ``value`` of one option to its type and its limits.

    Raises:
        TypeError, ValueError: it is of another type, or outside of them.
    """
    (f,) = (f for f in fields(Config) if f.name == name)
    if "Path" in str(f.type) and isinstance(value, str):
        value = Path(value)
    _checked(name, value, f.type, f.metadata)


def option_names() -> tuple[str, ...]:
    """The names of all options, in order."""
    return tuple(f.name for f in fields(Config))


def describe(config: Config) -> str:
    """What a run does, in one line.

    >>> describe(Config())
    'lenet5 on mnist, 10 epochs in batches of 256, adam at 0.006 onecycle, seed 0'
    """
    augment = "" if config.augment is None else f"augment {config.augment}, "
    return (
        f"{config.title} on {config.data}, {config.epochs} epochs in batches of "
        f"{config.batch_size}, {config.optimizer} at {config.learning_rate:g} {config.schedule}, "
        f"{augment}seed {config.seed}"
    )


def _checked(name: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> Any:
    """``value`` as its type and within its limits, or an error that says what was expected."""
    if value is None and "None" in kind:
        return None
    value = _typed(name, value, kind.split(" ")[0])
    if "names" in limits and value not in limits["names"]:
        names = ", ".join(map(str, limits["names"]))
        raise ValueError(f"{name} = {value!r}: must be one of {names}")
    for bound, holds, words in _BOUNDS:
        if bound in limits and not holds(value, limits[bound]):
            raise ValueError(f"{name} = {value}: must be {words} {limits[bound]:g}")
    return value


_BOUNDS: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
    ("low", operator.ge, "at least"),
    ("above", operator.gt, "above"),
    ("below", operator.lt, "below"),
)

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "Path": (Path,),
}


def _typed(name: str, value: Any, kind: str) -> Any:
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
        article = "an" if kind == "int" else "a"
        raise TypeError(f"{name} = {value!r}: must be {article} {kind}, not {type(value).__name__}")
    if kind != "float":
        return value
    number = float(cast(float, value))
    if not math.isfinite(number):
        raise ValueError(f"{name} = {value}: must be finite")
    return number
