"""Data sets in memory: found by name or path, checked, and handed out in batches."""

from cenote.data import augment
from cenote.data._batches import Batches
from cenote.data._dataset import Dataset
from cenote.data._errors import DataError, DataWarning
from cenote.data._find import load, names, parts
from cenote.data._idx import read_idx

__all__ = [
    "Batches",
    "DataError",
    "DataWarning",
    "Dataset",
    "augment",
    "load",
    "names",
    "parts",
    "read_idx",
]
