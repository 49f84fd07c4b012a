"""What this machine has and how fast things are on it."""

from cenote.benchmarking.doctor import doctor

__all__ = ["doctor"]
