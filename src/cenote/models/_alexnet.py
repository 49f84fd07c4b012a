"""AlexNet, which won ImageNet 2012 by ten points: two towers then, one since 2014."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from cenote.models._classifier import Classifier, dropout_of, sides_of
from cenote.models._parts import ACTIVATIONS, chosen, initialise, initialise_deep
from cenote.models._preprocessing import imagenet
from cenote.nn import AdaptiveAvgPool2d, Conv2d, MaxPool2d, Stages

__all__ = ["AlexNet", "alexnet", "alexnet_small", "alexnet_two_towers"]


class AlexNet(Classifier):
    """AlexNet in one of its forms; see :func:`alexnet`."""


def alexnet(
    *,
    variant: str = "one_tower",
    activation: str = "relu",
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> AlexNet:
    """AlexNet, as torchvision has it, or as it was; fresh weights from torch's seed.

    ``variant="one_tower"`` is the network of Krizhevsky, "One weird trick for parallelizing
    convolutional neural networks", 2014, that torchvision ships: its state dict loads. All
    poolings overlap: 3x3 with stride 2.

    ============  =========================================  =========  =====  ==========  ======
    layer         what                                       output     field  parameters    MACs
    ============  =========================================  =========  =====  ==========  ======
    features.0    conv 11x11/4, pad 2, relu, max pool 3x3/2  64x27x27      19      23,296  70.3 M
    features.3    conv 5x5, relu, max pool 3x3/2             192x13x13     67     307,392   224 M
    features.6    conv 3x3, relu                             384x13x13     99     663,936   112 M
    features.8    conv 3x3, relu                             256x13x13    131     884,992   150 M
    features.10   conv 3x3, relu, max pool 3x3/2             256x6x6      195     590,080  99.7 M
    classifier.1  linear, relu                               4096         all  37,752,832  37.7 M
    classifier.4  linear, relu                               4096         all  16,781,312  16.8 M
    classifier.6  linear                                     1000         all   4,097,000  4.10 M
    all                                                                        61,100,840   714 M
    ============  =========================================  =========  =====  ==========  ======

    ``avgpool`` brings maps of any size to 6x6; of 224x224 images they have it already. Both wide
    linear layers have a dropout in front. ``variant="two_towers"`` is
    :func:`alexnet_two_towers`. ``activation`` is ``"relu"``, ``"sigmoid"`` or ``"tanh"``, ``size``
    the side of the images, or height and width; the network takes all from 63x63 on.

    Raises:
        ValueError: an unknown variant or activation, a count below 1, a dropout outside 0 to 1, or
            a size at which a layer has no window left; the message names it.

    >>> sum(p.numel() for p in alexnet().parameters())
    61100840
    """
    build = chosen("alexnet", "variant", variant, _VARIANTS)
    return build(
        activation=activation, dropout=dropout, classes=classes, channels=channels, size=size
    )


def _one_tower(
    *,
    activation: str,
    dropout: float,
    classes: int,
    channels: int,
    size: int | tuple[int, int],
) -> AlexNet:
    act = _activation("alexnet", activation)
    height, width = sides_of("alexnet", size, classes=classes, channels=channels)
    share = dropout_of("alexnet", dropout)
    features = Stages(
        Conv2d(channels, 64, kernel_size=11, stride=4, padding=2), act(), MaxPool2d(3, 2),
        Conv2d(64, 192, kernel_size=5, padding=2), act(), MaxPool2d(3, 2),
        Conv2d(192, 384, kernel_size=3, padding=1), act(),
        Conv2d(384, 256, kernel_size=3, padding=1), act(),
        Conv2d(256, 256, kernel_size=3, padding=1), act(), MaxPool2d(3, 2),
    )  # fmt: skip
    classifier = nn.Sequential(
        nn.Dropout(share), nn.Linear(256 * 6 * 6, 4096), act(),
        nn.Dropout(share), nn.Linear(4096, 4096), act(),
        nn.Linear(4096, classes),
    )  # fmt: skip
    network = AlexNet(
        "alexnet", features=features, avgpool=AdaptiveAvgPool2d(6), classifier=classifier,
        input_shape=(channels, height, width), preprocessing=imagenet(channels, (height, width)),
    )  # fmt: skip
    return _initialised(network, activation)


def alexnet_two_towers(
    *,
    activation: str = "relu",
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> AlexNet:
    """AlexNet of Krizhevsky, Sutskever and Hinton 2012; fresh weights from torch's seed.

    Two graphics cards shared the work: in ``conv2``, ``conv4`` and ``conv5`` each half of the
    kernels sees half of the maps, that of its own card, which is a convolution in two groups.

    =====  ===============================================  =========  =====  ==========  ======
    layer  what                                             output     field  parameters    MACs
    =====  ===============================================  =========  =====  ==========  ======
    conv1  conv 11x11/4, pad 2, relu, norm, max pool 3x3/2  96x27x27      19      34,944   105 M
    conv2  conv 5x5, 2 groups, relu, norm, max pool 3x3/2   256x13x13     67     307,456   224 M
    conv3  conv 3x3, relu                                   384x13x13     99     885,120   150 M
    conv4  conv 3x3, 2 groups, relu                         384x13x13    131     663,936   112 M
    conv5  conv 3x3, 2 groups, relu, max pool 3x3/2         256x6x6      195     442,624  74.8 M
    fc6    linear, relu                                     4096         all  37,752,832  37.7 M
    fc7    linear, relu                                     4096         all  16,781,312  16.8 M
    fc8    linear                                           1000         all   4,097,000  4.10 M
    all                                                                       60,965,224   724 M
    =====  ===============================================  =========  =====  ==========  ======

    The norms divide by ``(2 + 1e-4 * sum of squares of 5 neighbouring channels) ** 0.75``; torch's
    layer takes the mean of the squares, hence 5e-4. The paper's images are 224x224 and its first
    maps 55x55, which takes 2 pixels of padding. ``avgpool`` is not in the paper: it leaves 6x6
    maps as they are, and brings those of other images to that. Options and errors as in
    :func:`alexnet`.

    >>> sum(p.numel() for p in alexnet_two_towers().parameters())
    60965224
    """
    name = "alexnet_two_towers"
    act = _activation(name, activation)
    height, width = sides_of(name, size, classes=classes, channels=channels)
    share = dropout_of(name, dropout)
    features = Stages(
        OrderedDict(
            conv1=Conv2d(channels, 96, kernel_size=11, stride=4, padding=2),
            act1=act(),
            norm1=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
            pool1=MaxPool2d(3, 2),
            conv2=Conv2d(96, 256, kernel_size=5, padding=2, groups=2),
            act2=act(),
            norm2=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
            pool2=MaxPool2d(3, 2),
            conv3=Conv2d(256, 384, kernel_size=3, padding=1),
            act3=act(),
            conv4=Conv2d(384, 384, kernel_size=3, padding=1, groups=2),
            act4=act(),
            conv5=Conv2d(384, 256, kernel_size=3, padding=1, groups=2),
            act5=act(),
            pool5=MaxPool2d(3, 2),
        )
    )
    classifier = nn.Sequential(
        OrderedDict(
            fc6=nn.Linear(256 * 6 * 6, 4096),
            act6=act(),
            dropout6=nn.Dropout(share),
            fc7=nn.Linear(4096, 4096),
            act7=act(),
            dropout7=nn.Dropout(share),
            fc8=nn.Linear(4096, classes),
        )
    )
    network = AlexNet(
        name, features=features, avgpool=AdaptiveAvgPool2d(6), classifier=classifier,
        input_shape=(channels, height, width), preprocessing=imagenet(channels, (height, width)),
    )  # fmt: skip
    return _initialised(network, activation)


def alexnet_small(
    *,
    activation: str = "relu",
    dropout: float = 0.5,
    classes: int = 10,
    channels: int = 1,
    size: int | tuple[int, int] = 28,
) -> AlexNet:
    """AlexNet for images of 28x28 or 32x32: a quarter of the kernels, and a first layer that fits.

    ============  ==============================  ========  =====  ==========  ======
    layer         what                            output    field  parameters    MACs
    ============  ==============================  ========  =====  ==========  ======
    features.0    conv 5x5, relu, max pool 3x3/2  16x14x14      7         416   314 k
    features.3    conv 5x5, relu, max pool 3x3/2  48x7x7       19      19,248  3.76 M
    features.6    conv 3x3, relu                  96x7x7       27      41,568  2.03 M
    features.8    conv 3x3, relu                  64x7x7       35      55,360  2.71 M
    features.10   conv 3x3, relu, max pool 3x3/2  64x3x3      all      36,928  1.81 M
    classifier.1  linear, relu                    256         all     147,712   147 k
    classifier.4  linear, relu                    256         all      65,792  65.5 k
    classifier.6  linear                          10          all       2,570  2.56 k
    all                                                               369,594  10.8 M
    ============  ==============================  ========  =====  ==========  ======

    The first convolution has stride 1 and the second one's size, 5x5, the poolings still overlap,
    the wide linear layers have a sixteenth of their units. Options and errors as in
    :func:`alexnet`; there is no preprocessing: what the data says, holds.

    >>> alexnet_small()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    name = "alexnet_small"
    act = _activation(name, activation)
    height, width = sides_of(name, size, classes=classes, channels=channels)
    share = dropout_of(name, dropout)
    features = Stages(
        Conv2d(channels, 16, kernel_size=5, padding=2), act(), MaxPool2d(3, 2, ceil_mode=True),
        Conv2d(16, 48, kernel_size=5, padding=2), act(), MaxPool2d(3, 2, ceil_mode=True),
        Conv2d(48, 96, kernel_size=3, padding=1), act(),
        Conv2d(96, 64, kernel_size=3, padding=1), act(),
        Conv2d(64, 64, kernel_size=3, padding=1), act(), MaxPool2d(3, 2, ceil_mode=True),
    )  # fmt: skip
    classifier = nn.Sequential(
        nn.Dropout(share), nn.Linear(64 * 3 * 3, 256), act(),
        nn.Dropout(share), nn.Linear(256, 256), act(),
        nn.Linear(256, classes),
    )  # fmt: skip
    network = AlexNet(
        name, features=features, avgpool=AdaptiveAvgPool2d(3), classifier=classifier,
        input_shape=(channels, height, width),
    )  # fmt: skip
    return _initialised(network, activation)


_VARIANTS: dict[str, Callable[..., AlexNet]] = {
    "one_tower": _one_tower,
    "two_towers": alexnet_two_towers,
}


def _activation(name: str, activation: str) -> Callable[[], nn.Module]:
    return chosen(name, "activation", activation, ACTIVATIONS)


def _initialised(network: AlexNet, activation: str) -> AlexNet:
    if activation == "relu":
        initialise_deep(network)
    else:
        initialise(network, activation)
    return network
