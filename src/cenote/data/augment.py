"""Random changes to a whole batch of images at once.

Each takes images (N, C, H, W), uint8 or floating, and a generator, and gives images of the same
shape and element type; what moves in from outside is 0. All random numbers are drawn on the
generator's device, so that the same state gives the same images everywhere.

Those that blend images (:class:`Mixup`, :class:`CutMix`) blend their targets alike, by ``mix``.
"""

from cenote.data.augmentations.colour import Colour, Erase
from cenote.data.augmentations.compose import Augmentation, Compose, by_name, mix, mixes, names
from cenote.data.augmentations.geometry import Affine, Flip, ResizedCrop, Shift
from cenote.data.augmentations.mixing import CutMix, Mixup

__all__ = [
    "Affine",
    "Augmentation",
    "Colour",
    "Compose",
    "CutMix",
    "Erase",
    "Flip",
    "Mixup",
    "ResizedCrop",
    "Shift",
    "by_name",
    "mix",
    "mixes",
    "names",
]
