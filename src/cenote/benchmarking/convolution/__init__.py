"""The benchmark of convolutions, of chains of them, and of stages that pool behind them."""

from cenote.benchmarking.convolution.plan import Plan

__all__ = ["Plan"]
