"""The classic networks, by function or by name, with weights from files where there are some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cenote.models._alexnet import AlexNet, alexnet, alexnet_small, alexnet_two_towers
from cenote.models._classifier import Classifier
from cenote.models._lenet import LeNet5, lenet5
from cenote.models._nin import NiN, nin, nin_cifar, nin_small
from cenote.models._preprocessing import Preprocessing
from cenote.models._vgg import VGG, vgg11, vgg13, vgg16, vgg19, vgg_small
from cenote.models._vgg_bn import vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn
from cenote.models._weights import WeightsError, put_weights, read_weights

__all__ = [
    "VGG",
    "AlexNet",
    "Classifier",
    "LeNet5",
    "NiN",
    "Preprocessing",
    "WeightsError",
    "alexnet",
    "alexnet_small",
    "alexnet_two_towers",
    "get",
    "lenet5",
    "load",
    "names",
    "nin",
    "nin_cifar",
    "nin_small",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vgg_small",
]

_NETWORKS: dict[str, Callable[..., torch.nn.Module]] = {
    function.__name__: function
    for function in (
        lenet5,
        alexnet, alexnet_two_towers, alexnet_small,
        vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn, vgg_small,
        nin, nin_cifar, nin_small,
    )
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The networks that :func:`get` knows."""
    return tuple(_NETWORKS)


def get(name: str, **options: Any) -> torch.nn.Module:
    """The network called ``name``, freshly initialised; ``options`` go to its function.

    All take ``classes``, ``channels`` and ``size``; ``activation``, ``pool`` and ``dropout`` those
    that have a choice there. Every network has ``input_shape``, the channels, height and width
    that it was asked for, and ``preprocessing``: what becomes of a picture, or None where that is
    the data's business.

    Raises:
        ValueError: there is none of that name; the message lists them.
        TypeError: the network has no such option.
    """
    if name not in _NETWORKS:
        raise ValueError(f"model = {name!r}: must be one of {', '.join(_NETWORKS)}")
    return _NETWORKS[name](**options)


def load(name: str, *, weights: str | Path, **options: Any) -> torch.nn.Module:
    """The network called ``name`` with the weights out of a file, ready to answer.

    ``weights`` is a ``.safetensors`` file or one that ``torch.save`` wrote, which is read without
    running code from it. Names are those of ``state_dict()``; those of AlexNet (one tower) and the
    VGGs are torchvision's, in both directions. No random numbers are drawn.

    Raises:
        WeightsError: the file is missing, damaged, holds more than tensors, or is another
            network's: the message says which names are missing, unexpected or of another shape.
        ValueError: there is no network of that name, or an option is wrong.
        TypeError: the network has no such option.

    >>> torch.save(nin_small().state_dict(), "nin.pth")
    >>> load("nin_small", weights="nin.pth")(torch.zeros(1, 1, 28, 28)).shape
    torch.Size([1, 10])
    """
    with torch.device("meta"):
        model = get(name, **options)
    put_weights(name, model, read_weights(weights), weights)
    return model.eval()
