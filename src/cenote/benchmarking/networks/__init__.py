"""The benchmark of whole networks: as they are, compiled, accelerated, and in other runtimes."""

from cenote.benchmarking.networks.plan import Plan

__all__ = ["Plan"]
