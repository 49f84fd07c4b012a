"""What this package says of bad data, so that a caller can tell it from a bug."""


class DataError(ValueError):
    """A data set is missing, damaged, or not what its name promises."""


class DataWarning(UserWarning):
    """A part of a data set was left out; the message names it."""
