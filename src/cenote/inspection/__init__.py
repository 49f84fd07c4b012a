"""Seeing: what a network does with an image, as records, pictures and one page."""

from cenote.inspection.demo import demonstrate
from cenote.inspection.layers import Layer, watch, window_of

__all__ = ["Layer", "demonstrate", "watch", "window_of"]
