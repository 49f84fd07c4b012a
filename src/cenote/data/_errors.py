"""The one error of this package, so that a caller can tell bad data from a bug."""


class DataError(ValueError):
    """A data set is missing, damaged, or not what its name promises."""
