"""What a step of training keeps for its way back, and what it writes over there."""

import pytest
import torch
from torch import nn

import cenote
from cenote import _norms


class Sums(nn.Module):
    """A sum behind a norm, and norms alone; what they read is used once, or twice, or given."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.twice, self.also = nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16)
        self.given, self.pool = nn.BatchNorm2d(16), nn.AvgPool2d(2)

    def forward(self, x):
        y = torch.relu(self.norm(self.first(x)) + x)
        z = self.twice(y)
        return self.pool(torch.relu(self.also(z)) + self.given(x)), z


def chain():
    """Norms before convolutions: by tiles, by strides, by groups, of single pixels."""
    return nn.Sequential(
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(),
        nn.Conv2d(32, 32, 3, 2, groups=32), nn.BatchNorm2d(32),
        nn.Conv2d(32, 24, 1), nn.BatchNorm2d(24), nn.ReLU(),
    )  # fmt: skip


NETWORKS = pytest.mark.parametrize("make", [chain, Sums])


def both(make):
    torch.manual_seed(0)
    network = make()
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(4, 16, 24, 24, generator=draw)
    return network, cenote.accelerate(network, layout="channels_last"), x


def summed(made):
    return sum(part.square().mean() for part in (made if isinstance(made, tuple) else (made,)))


def asked(network, x):
    return [*(p for p in network.parameters() if p.requires_grad), x]


def close(got, right, own=1e-4):
    for ours, true in zip(got, right, strict=True):
        assert (ours - true).abs().max() <= own * max(true.abs().max(), 1e-2)


@pytest.fixture
def rooms(monkeypatch):
    """For each gradient of a norm: whether it was written over the norm's own input."""
    found, gradients = [], _norms.gradients

    def seen(grad, x, *args, room=None, **options):
        found.append(room is x)
        return gradients(grad, x, *args, room=room, **options)

    monkeypatch.setattr(_norms, "gradients", seen)
    return found


@NETWORKS
def test_gradients_are_the_networks_own(make):
    network, fast, x = both(make)
    x.requires_grad_()
    right = torch.autograd.grad(summed(network(x)), asked(network, x))
    close(torch.autograd.grad(summed(fast(x)), asked(network, x)), right)


@NETWORKS
def test_a_graph_that_is_kept_gives_the_same_again(make, rooms):
    network, fast, x = both(make)
    x.requires_grad_()
    loss = summed(fast(x))
    first = torch.autograd.grad(loss, asked(network, x), retain_graph=True)
    assert rooms
    assert not any(rooms)
    then = torch.autograd.grad(loss, asked(network, x))
    assert any(rooms)
    for a, b in zip(first, then, strict=True):
        assert torch.equal(a, b)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, asked(network, x))


@pytest.mark.parametrize("frozen", ["weight", "bias", "both", "norm"])
def test_what_is_not_asked_for_is_not_computed(frozen):
    network, fast, x = both(chain)
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d if frozen == "norm" else nn.Conv2d):
            layer.weight.requires_grad_(frozen == "bias")
            if layer.bias is not None:
                layer.bias.requires_grad_(frozen == "weight")
    network[0].weight.requires_grad_(True)
    parameters = [p for p in network.parameters() if p.requires_grad]
    right = torch.autograd.grad(summed(network(x)), parameters)
    close(torch.autograd.grad(summed(fast(x)), parameters), right)


def test_what_others_hold_is_not_written_over(rooms):
    _, fast, x = both(Sums)
    given = x.clone()
    made, held = fast(x)
    before = held.detach().clone()
    summed((made, held)).backward()
    assert torch.equal(held, before)
    assert torch.equal(x, given)
    assert sorted(rooms) == [False, False, True]  # of the convolution used once alone


def test_weights_with_channels_last_have_gradients_like_them():
    network, fast, x = both(chain)
    network.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    parameters = list(network.parameters())
    right = torch.autograd.grad(summed(network(x)), parameters)
    got = torch.autograd.grad(summed(fast(x)), parameters)
    for ours, true in zip(got, right, strict=True):
        assert (ours - true).abs().max() <= 1e-4 * max(true.abs().max(), 1e-2)


@NETWORKS
def test_gradients_of_gradients_are_the_networks_own(make):
    network, fast, x = both(make)
    network.double()  # torch's norms then, and the same corners
    x = x.double().requires_grad_()

    def second(model):
        first = torch.autograd.grad(summed(model(x)), x, create_graph=True)[0]
        return torch.autograd.grad(first.square().sum(), asked(network, x), allow_unused=True)

    for ours, true in zip(second(fast), second(network), strict=True):
        assert (ours is None) == (true is None)
        assert ours is None or torch.allclose(ours, true, rtol=1e-9)
