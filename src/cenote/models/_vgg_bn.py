"""VGG with batch norms, which came a year later and let it train from any weights."""

from __future__ import annotations

from cenote.models._vgg import VGG, built

__all__ = ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]


def vgg11_bn(
    *,
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> VGG:
    """:func:`vgg11` with a batch norm (Ioffe and Szegedy 2015) in front of each convolution's relu.

    ============  ======================================  ==========  =====  ===========  ======
    layer         what                                    output      field   parameters    MACs
    ============  ======================================  ==========  =====  ===========  ======
    features.0    conv 3x3, norm, relu, max pool 2x2      64x112x112      4        1,920  86.7 M
    features.4    conv 3x3, norm, relu, max pool 2x2      128x56x56      10       74,112   925 M
    features.8    2 x conv 3x3, norm, relu, max pool 2x2  256x28x28      30      886,272  2.77 G
    features.15   2 x conv 3x3, norm, relu, max pool 2x2  512x14x14      70    3,542,016  2.77 G
    features.22   2 x conv 3x3, norm, relu, max pool 2x2  512x7x7       150    4,721,664   925 M
    classifier.0  linear, relu                            4096          all  102,764,544   103 M
    classifier.3  linear, relu                            4096          all   16,781,312  16.8 M
    classifier.6  linear                                  1000          all    4,097,000  4.10 M
    all                                                                      132,868,840  7.61 G
    ============  ======================================  ==========  =====  ===========  ======
    """
    return built(
        "vgg11_bn", norm=True, dropout=dropout, classes=classes, channels=channels, size=size
    )


def vgg13_bn(
    *,
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> VGG:
    """:func:`vgg13` with a batch norm (Ioffe and Szegedy 2015) in front of each convolution's relu.

    ============  ======================================  ==========  =====  ===========  ======
    layer         what                                    output      field   parameters    MACs
    ============  ======================================  ==========  =====  ===========  ======
    features.0    2 x conv 3x3, norm, relu, max pool 2x2  64x112x112      6       38,976  1.94 G
    features.7    2 x conv 3x3, norm, relu, max pool 2x2  128x56x56      16      221,952  2.77 G
    features.14   2 x conv 3x3, norm, relu, max pool 2x2  256x28x28      36      886,272  2.77 G
    features.21   2 x conv 3x3, norm, relu, max pool 2x2  512x14x14      76    3,542,016  2.77 G
    features.28   2 x conv 3x3, norm, relu, max pool 2x2  512x7x7       156    4,721,664   925 M
    classifier.0  linear, relu                            4096          all  102,764,544   103 M
    classifier.3  linear, relu                            4096          all   16,781,312  16.8 M
    classifier.6  linear                                  1000          all    4,097,000  4.10 M
    all                                                                      133,053,736  11.3 G
    ============  ======================================  ==========  =====  ===========  ======
    """
    return built(
        "vgg13_bn", norm=True, dropout=dropout, classes=classes, channels=channels, size=size
    )


def vgg16_bn(
    *,
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> VGG:
    """:func:`vgg16` with a batch norm (Ioffe and Szegedy 2015) in front of each convolution's relu.

    ============  ======================================  ==========  =====  ===========  ======
    layer         what                                    output      field   parameters    MACs
    ============  ======================================  ==========  =====  ===========  ======
    features.0    2 x conv 3x3, norm, relu, max pool 2x2  64x112x112      6       38,976  1.94 G
    features.7    2 x conv 3x3, norm, relu, max pool 2x2  128x56x56      16      221,952  2.77 G
    features.14   3 x conv 3x3, norm, relu, max pool 2x2  256x28x28      44    1,476,864  4.62 G
    features.24   3 x conv 3x3, norm, relu, max pool 2x2  512x14x14     100    5,902,848  4.62 G
    features.34   3 x conv 3x3, norm, relu, max pool 2x2  512x7x7       212    7,082,496  1.39 G
    classifier.0  linear, relu                            4096          all  102,764,544   103 M
    classifier.3  linear, relu                            4096          all   16,781,312  16.8 M
    classifier.6  linear                                  1000          all    4,097,000  4.10 M
    all                                                                      138,365,992  15.5 G
    ============  ======================================  ==========  =====  ===========  ======
    """
    return built(
        "vgg16_bn", norm=True, dropout=dropout, classes=classes, channels=channels, size=size
    )


def vgg19_bn(
    *,
    dropout: float = 0.5,
    classes: int = 1000,
    channels: int = 3,
    size: int | tuple[int, int] = 224,
) -> VGG:
    """:func:`vgg19` with a batch norm (Ioffe and Szegedy 2015) in front of each convolution's relu.

    ============  ======================================  ==========  =====  ===========  ======
    layer         what                                    output      field   parameters    MACs
    ============  ======================================  ==========  =====  ===========  ======
    features.0    2 x conv 3x3, norm, relu, max pool 2x2  64x112x112      6       38,976  1.94 G
    features.7    2 x conv 3x3, norm, relu, max pool 2x2  128x56x56      16      221,952  2.77 G
    features.14   4 x conv 3x3, norm, relu, max pool 2x2  256x28x28      52    2,067,456  6.47 G
    features.27   4 x conv 3x3, norm, relu, max pool 2x2  512x14x14     124    8,263,680  6.47 G
    features.40   4 x conv 3x3, norm, relu, max pool 2x2  512x7x7       268    9,443,328  1.85 G
    classifier.0  linear, relu                            4096          all  102,764,544   103 M
    classifier.3  linear, relu                            4096          all   16,781,312  16.8 M
    classifier.6  linear                                  1000          all    4,097,000  4.10 M
    all                                                                      143,678,248  19.6 G
    ============  ======================================  ==========  =====  ===========  ======
    """
    return built(
        "vgg19_bn", norm=True, dropout=dropout, classes=classes, channels=channels, size=size
    )
