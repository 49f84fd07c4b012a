"""Weights in oneDNN's order: for the shapes that a layer is called with, so many of them."""

import pytest
import torch
from torch import nn

import cenote
from cenote.acceleration.steps import convolutions


@pytest.fixture
def packing(monkeypatch):
    """The shapes that weights were packed for, in order."""
    seen = []
    reorder = torch.ops.mkldnn._reorder_convolution_weight

    class Counting:
        _convolution_pointwise = torch.ops.mkldnn._convolution_pointwise

        @staticmethod
        def _reorder_convolution_weight(*args):
            seen.append(args[-1][0])
            return reorder(*args)

    class Ops:
        mkldnn = Counting

    class Torch:
        ops = Ops

        def __getattr__(self, name):
            return getattr(torch, name)

    monkeypatch.setattr(convolutions, "torch", Torch())
    return seen


@pytest.mark.skipif(not convolutions.packs(), reason="torch without oneDNN")
def test_a_weight_is_packed_for_each_of_a_few_shapes(packing):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU()).eval()
    fast = cenote.accelerate(network, layout="channels_last", budget=0)
    with torch.no_grad():
        fast(torch.randn(6, 3, 9, 9))  # compares with two images
        assert packing == [2, 6]
        for images in (1, 6, 3, 1, 4, 5, 7, 5):
            x = torch.randn(images, 3, 9, 9)
            torch.testing.assert_close(fast(x), network(x))
    assert packing == [2, 6, 1, 3, 4]
