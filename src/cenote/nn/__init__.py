"""Modules: each a stored recipe, checked when it is made; its ``forward`` is one call."""

from cenote.nn.pooling import AvgPool2d, MaxPool2d

__all__ = ["AvgPool2d", "MaxPool2d"]
