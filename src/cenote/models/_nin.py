"""Network in Network: small networks that slide over the image, and a mean instead of weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import nn

from cenote.models._classifier import Classifier, dropout_of, sides_of
from cenote.models._parts import chosen, initialise_deep
from cenote.models._preprocessing import imagenet
from cenote.nn import AvgPool2d, Conv2d, GlobalAvgPool2d, MaxPool2d, Stages

__all__ = ["NiN", "nin", "nin_cifar", "nin_small"]

Layers = OrderedDict[str, nn.Module]


class NiN(Classifier):
    """Network in Network in one of its forms; see :func:`nin`."""


def nin(
    *,
    variant: str = "imagenet",
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> NiN:
    """Network in Network of Lin, Chen and Yan 2013, for ImageNet; fresh weights from torch's seed.

    An mlpconv block is a convolution and two of 1x1, each with a relu: a small dense network that
    slides over the image. The last one has a map for each class, and its mean is the logit: there
    are no dense layers. This is the form that the authors put into Caffe's zoo:

    =======  ==============================  =========  =====  ==========  ======
    layer    what                            output     field  parameters    MACs
    =======  ==============================  =========  =====  ==========  ======
    conv1    conv 11x11/4, relu              96x54x54      11      34,944   102 M
    cccp1_1  conv 1x1, relu                  96x54x54      11       9,312  26.9 M
    cccp1_2  conv 1x1, relu, max pool 3x3/2  96x27x27      19       9,312  26.9 M
    conv2    conv 5x5, relu                  256x27x27     51     614,656   448 M
    cccp2_1  conv 1x1, relu                  256x27x27     51      65,792  47.8 M
    cccp2_2  conv 1x1, relu, max pool 3x3/2  256x13x13     67      65,792  47.8 M
    conv3    conv 3x3, relu                  384x13x13     99     885,120   150 M
    cccp3_1  conv 1x1, relu                  384x13x13     99     147,840  24.9 M
    cccp3_2  conv 1x1, relu, max pool 3x3/2  384x6x6      131     147,840  24.9 M
    conv4    conv 3x3, relu                  1024x6x6     195   3,539,968   127 M
    cccp4_1  conv 1x1, relu                  1024x6x6     195   1,049,600  37.7 M
    cccp4_2  conv 1x1, relu                  1000x6x6     195   1,025,000  36.9 M
    avgpool  mean of each map                1000x1x1     355           0       0
    all                                                         7,595,176  1.10 G
    =======  ==============================  =========  =====  ==========  ======

    Poolings take what is left over at the ends (``ceil_mode``), as Caffe's do. The dropout stands
    in front of the last block. ``variant="cifar"`` is :func:`nin_cifar`. ``size`` is the side of
    the images, or height and width; the network takes all that leave each layer a window.

    Raises:
        ValueError: an unknown variant, a count below 1, a dropout outside 0 to 1, or a size at
            which a layer has no window left; the message names it.

    >>> sum(p.numel() for p in nin().parameters())
    7595176
    """
    build = chosen("nin", "variant", variant, _VARIANTS)
    return build(dropout=dropout, classes=classes, channels=channels, size=size)


def _imagenet(*, dropout: float, classes: int, channels: int, size: int | tuple[int, int]) -> NiN:
    height, width = sides_of("nin", size, classes=classes, channels=channels)
    layers: Layers = OrderedDict()
    _mlpconv(layers, 1, Conv2d(channels, 96, kernel_size=11, stride=4), (96, 96))
    layers["pool1"] = MaxPool2d(3, 2, ceil_mode=True)
    _mlpconv(layers, 2, Conv2d(96, 256, kernel_size=5, padding=2), (256, 256))
    layers["pool2"] = MaxPool2d(3, 2, ceil_mode=True)
    _mlpconv(layers, 3, Conv2d(256, 384, kernel_size=3, padding=1), (384, 384))
    layers["pool3"] = MaxPool2d(3, 2, ceil_mode=True)
    layers["dropout3"] = nn.Dropout(dropout_of("nin", dropout))
    _mlpconv(layers, 4, Conv2d(384, 1024, kernel_size=3, padding=1), (1024, classes))
    return _built("nin", layers, (channels, height, width))


def nin_cifar(
    *,
    dropout: float = 0.5,
    classes: int = 10,
    channels: int = 3,
    size: int | tuple[int, int] = 32,
) -> NiN:
    """Network in Network of Lin, Chen and Yan 2013, for CIFAR; fresh weights from torch's seed.

    =======  ==============================  =========  =====  ==========  ======
    layer    what                            output     field  parameters    MACs
    =======  ==============================  =========  =====  ==========  ======
    conv1    conv 5x5, relu                  192x32x32      5      14,592  14.7 M
    cccp1_1  conv 1x1, relu                  160x32x32      5      30,880  31.5 M
    cccp1_2  conv 1x1, relu, max pool 3x3/2  96x16x16       7      15,456  15.7 M
    conv2    conv 5x5, relu                  192x16x16     15     460,992   118 M
    cccp2_1  conv 1x1, relu                  192x16x16     15      37,056  9.44 M
    cccp2_2  conv 1x1, relu, avg pool 3x3/2  192x8x8       19      37,056  9.44 M
    conv3    conv 3x3, relu                  192x8x8       27     331,968  21.2 M
    cccp3_1  conv 1x1, relu                  192x8x8       27      37,056  2.36 M
    cccp3_2  conv 1x1, relu                  10x8x8        27       1,930   123 k
    avgpool  mean of each map                10x1x1       all           0       0
    all                                                           966,986   222 M
    =======  ==============================  =========  =====  ==========  ======

    Options and errors as in :func:`nin`; there is no preprocessing.

    >>> sum(p.numel() for p in nin_cifar().parameters())
    966986
    """
    name = "nin_cifar"
    height, width = sides_of(name, size, classes=classes, channels=channels)
    share = dropout_of(name, dropout)
    layers: Layers = OrderedDict()
    _mlpconv(layers, 1, Conv2d(channels, 192, kernel_size=5, padding=2), (160, 96))
    layers["pool1"] = MaxPool2d(3, 2, ceil_mode=True)
    layers["dropout1"] = nn.Dropout(share)
    _mlpconv(layers, 2, Conv2d(96, 192, kernel_size=5, padding=2), (192, 192))
    layers["pool2"] = AvgPool2d(3, 2, ceil_mode=True)
    layers["dropout2"] = nn.Dropout(share)
    _mlpconv(layers, 3, Conv2d(192, 192, kernel_size=3, padding=1), (192, classes))
    return _built(name, layers, (channels, height, width), preprocessed=False)


def nin_small(
    *,
    dropout: float = 0.2,
    classes: int = 10,
    channels: int = 1,
    size: int | tuple[int, int] = 28,
) -> NiN:
    """Network in Network with a quarter of the CIFAR form's maps, for images of 28x28 or 32x32.

    =======  ====================================  ========  =====  ==========  ======
    layer    what                                  output    field  parameters    MACs
    =======  ====================================  ========  =====  ==========  ======
    conv1    conv 5x5, norm, relu                  48x28x28      5       1,344   941 k
    cccp1_1  conv 1x1, norm, relu                  40x28x28      5       2,040  1.51 M
    cccp1_2  conv 1x1, norm, relu, max pool 3x3/2  24x14x14      7       1,032   753 k
    conv2    conv 5x5, norm, relu                  48x14x14     15      28,944  5.64 M
    cccp2_1  conv 1x1, norm, relu                  48x14x14     15       2,448   452 k
    cccp2_2  conv 1x1, norm, relu, avg pool 3x3/2  48x7x7       19       2,448   452 k
    conv3    conv 3x3, norm, relu                  48x7x7       27      20,880  1.02 M
    cccp3_1  conv 1x1, norm, relu                  48x7x7       27       2,448   113 k
    classes  conv 1x1                              10x7x7       27         490  23.5 k
    avgpool  mean of each map                      10x1x1      all           0       0
    all                                                                 62,074  10.9 M
    =======  ====================================  ========  =====  ==========  ======

    Each convolution has a batch norm (Ioffe and Szegedy 2015) in front of its relu, and the last
    one, whose maps are the classes, has neither: a map that relu holds at 0 would learn nothing.
    Options and errors as in :func:`nin`; there is no preprocessing.

    >>> sum(p.numel() for p in nin_small().parameters())
    62074
    """
    name = "nin_small"
    height, width = sides_of(name, size, classes=classes, channels=channels)
    share = dropout_of(name, dropout)
    layers: Layers = OrderedDict()
    _mlpconv(layers, 1, Conv2d(channels, 48, kernel_size=5, padding=2), (40, 24), norm=True)
    layers["pool1"] = MaxPool2d(3, 2, ceil_mode=True)
    layers["dropout1"] = nn.Dropout(share)
    _mlpconv(layers, 2, Conv2d(24, 48, kernel_size=5, padding=2), (48, 48), norm=True)
    layers["pool2"] = AvgPool2d(3, 2, ceil_mode=True)
    layers["dropout2"] = nn.Dropout(share)
    _mlpconv(layers, 3, Conv2d(48, 48, kernel_size=3, padding=1), (48,), norm=True)
    layers["classes"] = Conv2d(48, classes, kernel_size=1)
    return _built(name, layers, (channels, height, width), preprocessed=False)


_VARIANTS: dict[str, Callable[..., NiN]] = {"imagenet": _imagenet, "cifar": nin_cifar}


def _mlpconv(
    layers: Layers, block: int, conv: Conv2d, maps: Sequence[int], *, norm: bool = False
) -> None:
    """Add a convolution and a 1x1 one for each of ``maps``, all with an activation.

    The names are those of Caffe's zoo, where the 1x1 layers are cross-channel parametric poolings
    (``cccp``), but for the block's number.
    """
    inputs = conv.out_channels
    parts = {f"conv{block}": conv}
    for index, outputs in enumerate(maps, 1):
        parts[f"cccp{block}_{index}"] = Conv2d(inputs, outputs, kernel_size=1)
        inputs = outputs
    for name, part in parts.items():
        layers[name] = part
        if norm:
            layers[f"norm_{name}"] = nn.BatchNorm2d(part.out_channels)
        layers[f"relu_{name}"] = nn.ReLU()


def _built(
    name: str, layers: Layers, input_shape: tuple[int, int, int], *, preprocessed: bool = True
) -> NiN:
    channels, height, width = input_shape
    network = NiN(
        name, features=Stages(layers), avgpool=GlobalAvgPool2d(), classifier=nn.Identity(),
        input_shape=input_shape,
        preprocessing=imagenet(channels, (height, width)) if preprocessed else None,
    )  # fmt: skip
    initialise_deep(network)
    return network
