"""What is measured of networks: rows of a network and what it is asked to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cenote.benchmarking.networks import definitions

__all__ = ["INFERENCE", "MODES", "NETWORKS", "QUICK", "TRAINING", "Network", "Row", "of", "rows"]

INFERENCE, TRAINING = "inference", "training"
MODES = (INFERENCE, TRAINING)
BATCH = 8


@dataclass(frozen=True)
class Network:
    """A network of torchvision's: its name there, how people write it, the side of its pictures."""

    name: str
    title: str
    side: int = 224

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The sizes of a batch (N, 3, H, W)."""
        return BATCH, 3, self.side, self.side


NETWORKS = (
    Network("alexnet", "AlexNet"),
    Network("vgg16", "VGG-16"),
    Network("squeezenet1_1", "SqueezeNet 1.1"),
    Network("googlenet", "GoogLeNet"),
    Network("inception_v3", "Inception-v3", 299),
    Network("densenet121", "DenseNet-121"),
    Network("resnet18", "ResNet-18"),
    Network("resnet50", "ResNet-50"),
    Network("shufflenet_v2_x1_0", "ShuffleNet-v2 x1.0"),
    Network("mobilenet_v2", "MobileNet-v2"),
)
"""The networks that are measured where nothing else is asked for."""

QUICK = ("squeezenet1_1", "shufflenet_v2_x1_0")
"""The networks of ``--quick``."""

AUXILIARY = {"googlenet": 0.3, "inception_v3": 0.4}
"""The weight of each auxiliary output's loss, as in the networks' papers
(Szegedy et al., 2014, section 5; torchvision's reference training for the second)."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a network at inference or in training, on how many threads."""

    network: str
    mode: str = INFERENCE
    threads: int = 2

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it another row than others."""
        return (self.network, self.mode, self.threads)

    def __str__(self) -> str:
        return f"{self.network} {self.mode} {self.threads} threads"


def of(name: str) -> Network:
    """The network of that name: one of those above, or any other of torchvision's.

    Raises:
        ValueError: there is none, or torchvision, which knows the others, is not installed.
    """
    for network in NETWORKS:
        if network.name == name:
            return network
    if name not in definitions.names():
        ours = ", ".join(network.name for network in NETWORKS)
        raise ValueError(
            f"network = {name!r}: not known; there are {ours}, and all others of torchvision's"
        )
    return Network(name, name, 299 if name.startswith("inception") else 224)


def rows(networks: Iterable[str] = (), modes: Sequence[str] = (), threads: int = 2) -> list[Row]:
    """The rows of those networks and modes, of all without a word; names may share a comma.

    Raises:
        ValueError: a word that does not exist.

    >>> [str(row) for row in rows(["vgg16,alexnet"], ["training"])]
    ['vgg16 training 2 threads', 'alexnet training 2 threads']
    """
    named = [name.strip() for words in networks for name in words.split(",")]
    for mode in modes:
        if mode not in MODES:
            raise ValueError(f"mode = {mode!r}: must be one of {', '.join(MODES)}")
    chosen = [of(name).name for name in named] or [network.name for network in NETWORKS]
    return [Row(name, mode, threads) for name in chosen for mode in (modes or MODES)]
