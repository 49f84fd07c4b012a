"""Every network that torchvision classifies pictures with gives what it gave, accelerated.

Some of the families in the normal run, with a small head where the head is nearly all of it; all of
them, as they are, with CENOTE_SLOW=1.
"""

import copy
import functools
import importlib
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

import cenote
from nasty.agreeing import agree, one_seed_agrees, values_agree
from nasty.case import DECIDING, SLOW, Case, given, seed_all, some
from nasty.running import run

if find_spec("torchvision") is None:
    pytest.skip("torchvision is not installed", allow_module_level=True)

from cenote.benchmarking.networks.definitions import names, network

PIXELS = {  # with what hangs on Inception's side; a multiple of the patch
    "inception_v3": 299, "maxvit_t": 224, "vit_h_14": 56,
}  # fmt: skip
FAMILIES = (
    "alexnet", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "resnet18",
    "shufflenet_v2_x0_5", "squeezenet1_1", "vgg11_bn",
)  # fmt: skip


def size(name):
    """Pixels along an edge."""
    return PIXELS.get(name, 64 if SLOW or name == "alexnet" else 48)


def without_head(name):
    """Its features and a small head: the head's hundred million weights are never made."""
    with torch.device("meta"):
        model = network(name)
    channels = 256 * 6 * 6 if name == "alexnet" else 512 * 7 * 7
    model.classifier = nn.Linear(channels, 10)
    model.to_empty(device="cpu")
    for part in model.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return model


SMALL = {
    "alexnet": lambda models: without_head("alexnet"),
    "vgg11_bn": lambda models: without_head("vgg11_bn"),
    "densenet121": lambda models: models.DenseNet(8, (2, 3, 2), 16, num_classes=10),
}


@functools.lru_cache(maxsize=1)  # all of them take more memory than there is
def made(name):
    """Without dropping, and with statistics of its own: a network as after training."""
    seed_all(0)
    if SLOW or name not in SMALL:
        options = {"image_size": size(name)} if name.startswith("vit") else {}
        model = network(name, num_classes=10, **options)
    else:
        model = SMALL[name](importlib.import_module("torchvision.models"))
    for part in model.modules():
        if isinstance(part, nn.Dropout) or type(part).__name__ == "StochasticDepth":
            part.p = 0.0
        elif isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0
    # Of a few pictures, statistics of the last maps are of a few pixels: eval makes much of that.
    settle(model, picture(name, 32 if SLOW else 4).args[0])
    return model


def settle(model, x):
    """Scales of both signs, shifts that leave most units on, and the statistics of one batch.

    With as many off as on, gradients of float32 are 3 % away from those of float64 in a network
    as deep as Inception, torch's own too: what is near a corner falls on either side of it.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5).mul_(
                torch.where(torch.rand_like(norm.weight) < 0.2, -1, 1)
            )
            norm.bias.uniform_(-0.5, 1.0)
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        model.train()(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def picture(name, batch=4):
    return given(torch.randn(batch, 3, size(name), size(name)))


def distance(got, wanted):
    """Of all gradients together: the length of the difference, against the length."""
    assert list(got.gradients) == list(wanted.gradients)
    apart = length = 0.0
    for name, true in wanted.gradients.items():
        found = got.gradients[name]
        assert (found is None) == (true is None), name
        if true is not None:
            true = true.double()
            length += true.square().sum().item()
            apart += true.sub(found).square_().sum().item()
    return (apart / length) ** 0.5


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", some(names(), *FAMILIES))
def test_network(name, train):
    case = Case(name, "is used", lambda: copy.deepcopy(made(name)), lambda: picture(name))

    def used(model, seed, **options):
        return run(case, model, train=train, grad=True, seed=seed, **options)

    def accelerated(model, seed, **options):
        return used(cenote.accelerate(model, budget=DECIDING), seed, **options)

    @functools.cache
    def exact(seed):
        """Its gradients in a file: two sets of the largest network's fill the memory."""
        seen = used(case.make().double(), seed, exact=True)
        file = Path(folder, f"{seed}.pt")
        torch.save(seen.gradients, file)
        seen.gradients = torch.load(file, mmap=True)
        return seen

    def check_in_float64():
        wanted, ours = exact(0), accelerated(case.make().double(), 0, exact=True)
        values_agree(ours, wanted, factor=2e4)
        assert distance(ours, wanted) <= 1e-10

    def check(seed):
        theirs = used(case.make(), seed)
        assert distance(theirs, exact(seed)) < 0.02  # where relu is near zero
        theirs.gradients.clear()
        ours = accelerated(case.make(), seed)
        values_agree(ours, theirs, exact(seed), factor=200, own=20)
        assert distance(ours, exact(seed)) < 0.02

    with tempfile.TemporaryDirectory() as folder:
        check_in_float64()
        one_seed_agrees(check)
        exact.cache_clear()  # what is mapped is let go before its file


@pytest.mark.parametrize("name", some(names(), *FAMILIES))
def test_inference(name):
    """Without gradients, again, for one picture, and in the layout of the channels last."""
    case = Case(name, "is used", lambda: copy.deepcopy(made(name)), lambda: picture(name))
    theirs, x = case.make().eval(), case.given().args[0]
    fast = cenote.accelerate(case.make().eval(), x, budget=DECIDING)
    with torch.inference_mode():
        for value in (x, x, x[:1], x.to(memory_format=torch.channels_last)):
            got, wanted = fast(value), theirs(value)
            assert got.stride() == wanted.stride()
            agree(got, wanted, factor=2e4)


def test_all_of_them_are_here():
    assert len(names()) >= 80
    assert set(FAMILIES) < set(names())
