"""What a step of training keeps for its way back, and what it writes over there."""

import gc
import threading

import pytest
import torch
from torch import nn

import cenote
from cenote import _norms, _passing


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


@pytest.fixture
def blocks(monkeypatch):
    """The lengths of all blocks that are made."""
    found, make = [], _passing.Block.__init__

    def seen(self, numel):
        found.append(numel)
        make(self, numel)

    monkeypatch.setattr(_passing.Block, "__init__", seen)
    return found


def test_a_block_is_handed_out_as_long_as_it_is_held(blocks):
    passing = _passing.Passing()
    held = passing.block(6)
    assert passing.block(4) is held
    larger = passing.block(10)
    assert passing.block(6) is larger
    del held, larger
    assert len(passing.block(2)) == 10  # as large as the last one came to be
    assert len(passing.block(2)) == 2
    assert blocks == [6, 10, 10, 2]


def test_every_thread_has_a_block_of_its_own():
    passing, others = _passing.Passing(), []
    held = passing.block(4)
    thread = threading.Thread(target=lambda: others.append(passing.block(4)))
    thread.start()
    thread.join()
    assert others[0] is not held
    assert passing.block(4) is held


def test_a_block_is_laid_out_with_channels_last():
    made = _passing.Block(100).last((2, 3, 4, 4))
    assert made.shape == (2, 3, 4, 4)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert made.untyped_storage().nbytes() == 400


def test_a_step_makes_one_block_and_leaves_none(blocks):
    _, fast, x = both(chain)
    summed(fast(x)).backward()  # looks for a layout as well
    gc.collect()
    blocks.clear()
    for _ in range(2):
        loss = summed(fast(x))
        loss.backward()
        del loss
    assert len(blocks) == 2
    assert blocks[0] == blocks[1] == 4 * 32 * 24 * 24


def test_two_graphs_at_once_share_no_numbers():
    network, fast, x = both(chain)
    parameters = list(network.parameters())
    right = [torch.autograd.grad(summed(network(x * by)), parameters) for by in (1, 3)]
    losses = [summed(fast(x * by)) for by in (1, 3)]
    for loss, wanted in zip(losses, right, strict=True):
        close(torch.autograd.grad(loss, parameters), wanted)


def test_another_thread_goes_back():
    network, fast, x = both(chain)
    parameters, found = list(network.parameters()), []
    right = torch.autograd.grad(summed(network(x)), parameters)
    loss = summed(fast(x))
    thread = threading.Thread(target=lambda: found.extend(torch.autograd.grad(loss, parameters)))
    thread.start()
    thread.join()
    close(found, right)
