"""Running a network without its numbers: what does not fit, and what would."""
