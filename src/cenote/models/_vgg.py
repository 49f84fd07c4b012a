"""VGG: nothing but 3x3 convolutions, until the maps are small enough for dense layers."""

from __future__ import annotations

from torch import nn

from cenote.models._classifier import Classifier, dropout_of, sides_of
from cenote.models._parts import initialise_deep
from cenote.models._preprocessing import imagenet
from cenote.nn import AdaptiveAvgPool2d, Conv2d, GlobalAvgPool2d, MaxPool2d, Stages

__all__ = [
    "VGG",
    "built",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "vgg_small",
]

_BLOCKS = {
    "vgg11": ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg13": ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg16": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    "vgg19": ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
    "vgg_small": ((16,) * 2, (48,) * 2, (96,) * 2),
}
"""The kernels of each convolution, block by block; a max pooling ends every block."""


class VGG(Classifier):
    """VGG in one of its depths; see :func:`vgg16`."""


def vgg11(
    *,
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> VGG:
    """VGG-11, configuration A of Simonyan and Zisserman 2014; otherwise as :func:`vgg16`.

    ============  ================================  ==========  =====  ===========  ======
    layer         what                              output      field   parameters    MACs
    ============  ================================  ==========  =====  ===========  ======
    features.0    conv 3x3, relu, max pool 2x2      64x112x112      4        1,792  86.7 M
    features.3    conv 3x3, relu, max pool 2x2      128x56x56      10       73,856   925 M
    features.6    2 x conv 3x3, relu, max pool 2x2  256x28x28      30      885,248  2.77 G
    features.11   2 x conv 3x3, relu, max pool 2x2  512x14x14      70    3,539,968  2.77 G
    features.16   2 x conv 3x3, relu, max pool 2x2  512x7x7       150    4,719,616   925 M
    classifier.0  linear, relu                      4096          all  102,764,544   103 M
    classifier.3  linear, relu                      4096          all   16,781,312  16.8 M
    classifier.6  linear                            1000          all    4,097,000  4.10 M
    all                                                                132,863,336  7.61 G
    ============  ================================  ==========  =====  ===========  ======
    """
    return built(
        "vgg11", norm=False, dropout=dropout, classes=classes, channels=channels, size=size
    )


def vgg13(
    *,
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> VGG:
    """VGG-13, configuration B of Simonyan and Zisserman 2014; otherwise as :func:`vgg16`.

    ============  ================================  ==========  =====  ===========  ======
    layer         what                              output      field   parameters    MACs
    ============  ================================  ==========  =====  ===========  ======
    features.0    2 x conv 3x3, relu, max pool 2x2  64x112x112      6       38,720  1.94 G
    features.5    2 x conv 3x3, relu, max pool 2x2  128x56x56      16      221,440  2.77 G
    features.10   2 x conv 3x3, relu, max pool 2x2  256x28x28      36      885,248  2.77 G
    features.15   2 x conv 3x3, relu, max pool 2x2  512x14x14      76    3,539,968  2.77 G
    features.20   2 x conv 3x3, relu, max pool 2x2  512x7x7       156    4,719,616   925 M
    classifier.0  linear, relu                      4096          all  102,764,544   103 M
    classifier.3  linear, relu                      4096          all   16,781,312  16.8 M
    classifier.6  linear                            1000          all    4,097,000  4.10 M
    all                                                                133,047,848  11.3 G
    ============  ================================  ==========  =====  ===========  ======
    """
    return built(
        "vgg13", norm=False, dropout=dropout, classes=classes, channels=channels, size=size
    )


def vgg16(
    *,
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> VGG:
    """VGG-16, configuration D of Simonyan and Zisserman 2014, with fresh weights from torch's seed.

    All convolutions are 3x3 with a pixel of padding, and a relu follows each.

    ============  ================================  ==========  =====  ===========  ======
    layer         what                              output      field   parameters    MACs
    ============  ================================  ==========  =====  ===========  ======
    features.0    2 x conv 3x3, relu, max pool 2x2  64x112x112      6       38,720  1.94 G
    features.5    2 x conv 3x3, relu, max pool 2x2  128x56x56      16      221,440  2.77 G
    features.10   3 x conv 3x3, relu, max pool 2x2  256x28x28      44    1,475,328  4.62 G
    features.17   3 x conv 3x3, relu, max pool 2x2  512x14x14     100    5,899,776  4.62 G
    features.24   3 x conv 3x3, relu, max pool 2x2  512x7x7       212    7,079,424  1.39 G
    classifier.0  linear, relu                      4096          all  102,764,544   103 M
    classifier.3  linear, relu                      4096          all   16,781,312  16.8 M
    classifier.6  linear                            1000          all    4,097,000  4.10 M
    all                                                                138,357,544  15.5 G
    ============  ================================  ==========  =====  ===========  ======

    ``avgpool`` brings maps of any size to 7x7; of 224x224 images they have it already. Both wide
    linear layers are followed by relu and dropout. Names are those of torchvision's network, whose
    state dict loads. ``size`` is the side of the images, or height and width; the network takes
    all from 32x32 on.

    Raises:
        ValueError: a count below 1, a dropout outside 0 to 1, or a size at which a layer has no
            window left; the message names it.

    >>> with torch.device("meta"):
    ...     sum(p.numel() for p in vgg16().parameters())
    138357544
    """
    return built(
        "vgg16", norm=False, dropout=dropout, classes=classes, channels=channels, size=size
    )


def vgg19(
    *,
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> VGG:
    """VGG-19, configuration E of Simonyan and Zisserman 2014; otherwise as :func:`vgg16`.

    ============  ================================  ==========  =====  ===========  ======
    layer         what                              output      field   parameters    MACs
    ============  ================================  ==========  =====  ===========  ======
    features.0    2 x conv 3x3, relu, max pool 2x2  64x112x112      6       38,720  1.94 G
    features.5    2 x conv 3x3, relu, max pool 2x2  128x56x56      16      221,440  2.77 G
    features.10   4 x conv 3x3, relu, max pool 2x2  256x28x28      52    2,065,408  6.47 G
    features.19   4 x conv 3x3, relu, max pool 2x2  512x14x14     124    8,259,584  6.47 G
    features.28   4 x conv 3x3, relu, max pool 2x2  512x7x7       268    9,439,232  1.85 G
    classifier.0  linear, relu                      4096          all  102,764,544   103 M
    classifier.3  linear, relu                      4096          all   16,781,312  16.8 M
    classifier.6  linear                            1000          all    4,097,000  4.10 M
    all                                                                143,667,240  19.6 G
    ============  ================================  ==========  =====  ===========  ======
    """
    return built(
        "vgg19", norm=False, dropout=dropout, classes=classes, channels=channels, size=size
    )


def vgg_small(
    *,
    dropout: float = 0.0,
    classes: int = 10,
    channels: int = 1,
    size: int | tuple[int, int] = 28,
) -> VGG:
    """VGG for images of 28x28 or 32x32: three blocks with batch norms, and a mean over the maps.

    ============  ======================================  ========  =====  ==========  ======
    layer         what                                    output    field  parameters    MACs
    ============  ======================================  ========  =====  ==========  ======
    features.0    2 x conv 3x3, norm, relu, max pool 2x2  16x14x14      6       2,544  1.92 M
    features.7    2 x conv 3x3, norm, relu, max pool 2x2  48x7x7       16      27,936  5.42 M
    features.14   2 x conv 3x3, norm, relu, max pool 2x2  96x3x3       36     124,992  6.10 M
    avgpool       mean of each map                        96x1x1      all           0       0
    classifier.1  linear                                  10          all         970     960
    all                                                                       156,442  13.4 M
    ============  ======================================  ========  =====  ==========  ======

    The large planes have few maps: there each one costs most. The dropout stands in front of the
    one linear layer. Options and errors as in :func:`vgg16`; there is no preprocessing: what the
    data says, holds.

    >>> sum(p.numel() for p in vgg_small().parameters())
    156442
    """
    name = "vgg_small"
    height, width = sides_of(name, size, classes=classes, channels=channels)
    last = _BLOCKS[name][-1][-1]
    network = VGG(
        name, features=_features(name, channels, norm=True), avgpool=GlobalAvgPool2d(),
        classifier=nn.Sequential(nn.Dropout(dropout_of(name, dropout)), nn.Linear(last, classes)),
        input_shape=(channels, height, width),
    )  # fmt: skip
    initialise_deep(network)
    return network


def built(
    name: str,
    *,
    norm: bool,
    dropout: float,
    classes: int,
    channels: int,
    size: int | tuple[int, int],
) -> VGG:
    """The VGG called ``name``, for ImageNet, with batch norms or without."""
    height, width = sides_of(name, size, classes=classes, channels=channels)
    share = dropout_of(name, dropout)
    classifier = nn.Sequential(
        nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(share),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(share),
        nn.Linear(4096, classes),
    )  # fmt: skip
    network = VGG(
        name, features=_features(name.removesuffix("_bn"), channels, norm=norm),
        avgpool=AdaptiveAvgPool2d(7), classifier=classifier,
        input_shape=(channels, height, width), preprocessing=imagenet(channels, (height, width)),
    )  # fmt: skip
    initialise_deep(network)
    return network


def _features(name: str, channels: int, *, norm: bool) -> Stages:
    """The blocks of ``name``: in each convolution, norm and relu in turns, then a max pooling."""
    layers: list[nn.Module] = []
    for block in _BLOCKS[name]:
        for kernels in block:
            layers.append(Conv2d(channels, kernels, kernel_size=3, padding=1))
            layers += [nn.BatchNorm2d(kernels)] if norm else []
            layers.append(nn.ReLU())
            channels = kernels
        layers.append(MaxPool2d(2))
    return Stages(*layers)
