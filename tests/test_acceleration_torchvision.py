"""Every network that torchvision classifies pictures with gives what it gave, accelerated.

One of each family in the normal run, at the smallest picture that makes sense and with a small
head where the head is nearly all of it; all of them, as they are, with CENOTE_SLOW=1.
"""

import copy
import functools
import importlib
import os
from importlib.util import find_spec

import pytest
import torch
from torch import nn

import cenote
from nasty.agreeing import agree, values_agree
from nasty.case import Case, given, seed_all
from nasty.running import run

if find_spec("torchvision") is None:
    pytest.skip("torchvision is not installed", allow_module_level=True)

from cenote.benchmarking.networks.definitions import names, network

SLOW = os.environ.get("CENOTE_SLOW") == "1"
SIZES = {"inception_v3": 96, "maxvit_t": 56}
AS_THEY_ARE = {"inception_v3": 299, "maxvit_t": 224}  # with what hangs on Inception's side
SMALL_OPTIONS = {"inception_v3": {"aux_logits": False}}
BUDGET = 2.0 if SLOW else 0.2  # seconds to choose in
FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18",
    "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "vgg11_bn", "vit_b_16",
)  # fmt: skip
ALL = [pytest.param(n, marks=[] if n in FAMILIES else pytest.mark.slow) for n in names()]


def size(name):
    """Pixels along an edge."""
    return (AS_THEY_ARE if SLOW else SIZES).get(name, 64)


def convnext(models):
    sizes = [(8, 16, 1), (16, 32, 2), (32, None, 1)]
    return models.ConvNeXt([models.convnext.CNBlockConfig(*s) for s in sizes], num_classes=10)


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
    "convnext_tiny": convnext,
    "densenet121": lambda models: models.DenseNet(8, (2, 3, 2), 16, num_classes=10),
    "swin_t": lambda models: models.SwinTransformer(
        [4, 4], 12, [2, 2], [2, 4], [7, 7], num_classes=10
    ),
    "vit_b_16": lambda models: models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=10),
    "maxvit_t": lambda models: models.MaxVit(
        (56, 56), 16, 7, [16, 32], [1, 1], 8, 0.0, num_classes=10
    ),
}


@functools.cache
def made(name):
    """Without dropping, and with statistics of its own: a network as after training."""
    seed_all(0)
    if SLOW or name not in SMALL:
        options = {"image_size": size(name)} if name.startswith("vit") else {}
        options |= {} if SLOW else SMALL_OPTIONS.get(name, {})
        model = network(name, num_classes=10, **options)
    else:
        model = SMALL[name](importlib.import_module("torchvision.models"))
    for part in model.modules():
        if isinstance(part, nn.Dropout) or type(part).__name__ == "StochasticDepth":
            part.p = 0.0
        elif isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0
    settle(model, picture(name).args[0])
    return model


def settle(model, x):
    """Scales of both signs, and the statistics of one batch."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5).mul_(
                torch.where(torch.rand_like(norm.weight) < 0.2, -1, 1)
            )
            norm.bias.uniform_(-0.5, 0.5)
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
    pairs = [(got.gradients[k], wanted.gradients[k]) for k in wanted.gradients]
    assert all((a is None) == (b is None) for a, b in pairs)
    pairs = [(a.double(), b.double()) for a, b in pairs if a is not None]
    apart = sum((a - b).square().sum().item() for a, b in pairs)
    return (apart / sum(b.square().sum().item() for _, b in pairs)) ** 0.5


def twice(case):
    """The network, and the same once more."""
    return case.make(), case.make()


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", ALL)
def test_network(name, train):
    case = Case(name, "is used", lambda: copy.deepcopy(made(name)), lambda: picture(name))
    options = {"train": train, "grad": True}
    original, mine = twice(case)
    theirs, ours = (
        run(case, original, **options),
        run(case, cenote.accelerate(mine, budget=BUDGET), **options),
    )
    original, mine = (model.double() for model in twice(case))
    exact = run(case, original, exact=True, **options)
    in_float64 = run(case, cenote.accelerate(mine, budget=BUDGET), exact=True, **options)

    values_agree(ours, theirs, exact, factor=200, own=20)
    assert distance(theirs, exact) < 0.02 > distance(ours, exact)  # where relu is near zero
    values_agree(in_float64, exact, factor=2e4)
    assert distance(in_float64, exact) <= 1e-10


@pytest.mark.parametrize("name", ALL)
def test_inference(name):
    """Without gradients, again, for one picture, and in the layout of the channels last."""
    case = Case(name, "is used", lambda: copy.deepcopy(made(name)), lambda: picture(name))
    theirs, mine = (model.eval() for model in twice(case))
    x = case.given().args[0]
    fast = cenote.accelerate(mine, x, budget=BUDGET)
    with torch.inference_mode():
        for value in (x, x, x[:1], x.to(memory_format=torch.channels_last)):
            got, wanted = fast(value), theirs(value)
            assert got.stride() == wanted.stride()
            agree(got, wanted, factor=2e4)


def test_all_of_them_are_here():
    assert len(ALL) >= 80
    assert set(FAMILIES) < set(names())
