"""LeNet-5, the convolutional network that read cheques in the nineties."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from cenote.models._classifier import sides_of
from cenote.models._parts import ACTIVATIONS, POOLS, chosen, initialise, sides_after
from cenote.models._preprocessing import Preprocessing
from cenote.nn import Stages

__all__ = ["LeNet5", "lenet5"]


class LeNet5(nn.Module):
    """LeNet-5 for images (N, channels, H, W) of one size; see :func:`lenet5` for the layers.

    Raises:
        ValueError: an unknown activation or pooling, a count below 1, or a size at which a layer
            has no window left.
    """

    # The halves have the names that torchvision's classics give them, so that whoever looks for
    # feature maps finds them; the layers have short ones that read well in a table.
    features: nn.Sequential
    classifier: nn.Sequential

    def __init__(
        self,
        *,
        activation: str = "relu",
        pool: str = "max",
        classes: int = 10,
        channels: int = 1,
        size: int | tuple[int, int] = 28,
    ) -> None:
        super().__init__()
        act = chosen("lenet5", "activation", activation, ACTIVATIONS)
        pooling = chosen("lenet5", "pool", pool, POOLS)
        height, width = sides_of("lenet5", size, classes=classes, channels=channels)
        self.input_shape = (channels, height, width)
        self.preprocessing: Preprocessing | None = None
        self.features = Stages(
            OrderedDict(
                conv1=nn.Conv2d(channels, 6, kernel_size=5, padding=2),
                act1=act(),
                pool1=pooling(2),
                conv2=nn.Conv2d(6, 16, kernel_size=5),
                act2=act(),
                pool2=pooling(2),
            )
        )
        rows, columns = sides_after(f"lenet5: size = {size}", self.features, (height, width))
        self.classifier = nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                fc1=nn.Linear(16 * rows * columns, 120),
                act3=act(),
                fc2=nn.Linear(120, 84),
                act4=act(),
                fc3=nn.Linear(84, classes),
            )
        )
        initialise(self, activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) for images (N, channels, H, W)."""
        if x.shape[1:] != self.input_shape:
            expected = ", ".join(map(str, self.input_shape))
            raise ValueError(f"LeNet5: expected images (N, {expected}), found {tuple(x.shape)}")
        logits: torch.Tensor = self.classifier(self.features(x))
        return logits


def lenet5(
    *,
    activation: str = "relu",
    pool: str = "max",
    classes: int = 10,
    channels: int = 1,
    size: int | tuple[int, int] = 28,
) -> LeNet5:
    """LeNet-5 of LeCun, Bottou, Bengio and Haffner 1998, with fresh weights from torch's seed.

    As it stands for ``size`` 28, ``channels`` 1 and ``classes`` 10, with 61,706 parameters:

    ========  ===========================  =============  ==========
    layer     what                         output         parameters
    ========  ===========================  =============  ==========
    conv1     6 kernels 5x5, padding 2     (N, 6, 28, 28)        156
    act1      ``activation``               (N, 6, 28, 28)          0
    pool1     ``pool`` 2x2, stride 2       (N, 6, 14, 14)          0
    conv2     16 kernels 5x5               (N, 16, 10, 10)     2,416
    act2      ``activation``               (N, 16, 10, 10)         0
    pool2     ``pool`` 2x2, stride 2       (N, 16, 5, 5)           0
    flatten   row-major                    (N, 400)                0
    fc1       linear                       (N, 120)           48,120
    act3      ``activation``               (N, 120)                0
    fc2       linear                       (N, 84)            10,164
    act4      ``activation``               (N, 84)                 0
    fc3       linear                       (N, 10)               850
    ========  ===========================  =============  ==========

    ``activation`` is ``"relu"``, ``"sigmoid"`` or ``"tanh"``; ``pool`` is ``"max"`` or ``"avg"``;
    ``size`` is the side of the images, or their height and width.
    ``activation="tanh", pool="avg"`` comes nearest to 1998, where conv2 joined only some of the
    planes, pooling had a weight and a bias for each plane, and the output was radial.

    Raises:
        ValueError: an unknown activation or pooling, a count below 1, or a size at which a layer
            has no window left.

    >>> sum(p.numel() for p in lenet5().parameters())
    61706
    """
    return LeNet5(activation=activation, pool=pool, classes=classes, channels=channels, size=size)
