"""Images in memory: data sets found by name, checked to the byte, and handed out in batches."""

from cenote.data import augment
from cenote.data._batches import Batches
from cenote.data._catalog import names
from cenote.data._dataset import Dataset
from cenote.data._errors import DataError
from cenote.data._find import load
from cenote.data._idx import read_idx

__all__ = ["Batches", "DataError", "Dataset", "augment", "load", "names", "read_idx"]
