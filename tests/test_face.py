"""How operators are called: torch's arguments in torch's order, modules beside functions."""

import copy
import inspect
import pickle

import pytest
import torch
import torch.nn.functional as F

import cenote
from cenote import nn
from test_operators import RANKS, SIZES, ours, planes, some

SELECT = ("max_pool", "min_pool", "median_pool")
SLIDING = (*SELECT, "avg_pool", "sum_pool", "lp_pool", "logsumexp_pool", "gem_pool",
           "stochastic_pool", "mixed_pool")  # fmt: skip
ADAPTIVE = tuple(f"adaptive_{name}_pool" for name in ("max", "min", "avg", "sum"))
GLOBAL = tuple(
    f"global_{name}_pool"
    for name in ("max", "min", "median", "avg", "sum", "lp", "logsumexp", "gem", "mixed")
)
OTHERS = ("max_unpool", "upsample_repeat", "blur_pool", "max_blur_pool", "spatial_pyramid_pool",
          "sppf")  # fmt: skip
FAMILIES = (*SLIDING, *ADAPTIVE, *GLOBAL, *OTHERS)
FUNCTIONS = [
    *(f"{family}{rank}d" for family in FAMILIES for rank in RANKS),
    *(f"fractional_max_pool{rank}d" for rank in (2, 3)),
]
CONVOLUTIONS = [
    *(
        f"{family}{rank}d"
        for rank in RANKS
        for family in (
            "conv",
            "conv_transpose",
            "depthwise_conv",
            "shuffled_conv",
            "locally_connected",
        )
    ),
    "causal_conv1d",
]
BESIDE = ["conv_matrix", "convolve", "pool", "stage"]
OF_SEVERAL_STEPS = [
    *(f"{family}{rank}d" for rank in RANKS
      for family in ("PointwiseConv", "DepthwiseSeparableConv", "FlattenedConv")),
    *(f"SpatiallySeparableConv{rank}d" for rank in (2, 3)),
    "Stage", "Stages", "TCN", "TCNBlock",
]  # fmt: skip
CAPITALS = {"lp": "LP", "gem": "GeM", "logsumexp": "LogSumExp", "sppf": "SPPF"}


def module_of(function):
    """``lp_pool2d`` is ``LPPool2d``."""
    family, rank = function[:-2], function[-2:]
    return "".join(CAPITALS.get(word, word.title()) for word in family.split("_")) + rank


def positional(callable_):
    return [
        (p.name, p.default)
        for p in inspect.signature(callable_).parameters.values()
        if p.kind is not p.KEYWORD_ONLY and p.name != "self"
    ]


EMPTY = inspect.Parameter.empty
AVG = [("input", EMPTY), ("kernel_size", EMPTY), ("stride", None), ("padding", 0),
       ("ceil_mode", False), ("count_include_pad", True)]  # fmt: skip
OVERRIDE = ("divisor_override", None)
THEIRS = {  # builtins of torch have no signature: theirs is what the documentation says
    "avg_pool1d": AVG,
    "avg_pool2d": [*AVG, OVERRIDE],
    "avg_pool3d": [*AVG, OVERRIDE],
    "adaptive_avg_pool1d": [("input", EMPTY), ("output_size", EMPTY)],
    **{
        f"{name}_pool{rank}d": positional(getattr(F, f"_{name}_pool{rank}d"))
        for name in ("max", "adaptive_max", "fractional_max")
        for rank in RANKS
        if hasattr(F, f"_{name}_pool{rank}d")
    },
    **{
        f"{name}{rank}d": positional(getattr(F, f"{name}{rank}d"))
        for name in ("lp_pool", "max_unpool")
        for rank in RANKS
    },
    **{f"adaptive_avg_pool{r}d": positional(getattr(F, f"adaptive_avg_pool{r}d")) for r in (2, 3)},
}


@pytest.mark.parametrize("name", THEIRS)
def test_functions_have_torchs_arguments(name):
    assert positional(getattr(cenote, name)) == THEIRS[name]


@pytest.mark.parametrize("rank", RANKS)
def test_what_torch_lacks_copies_what_it_has(rank):
    for name in ("min", "median"):
        assert positional(ours(f"{name}_pool", rank)) == THEIRS[f"max_pool{rank}d"]
    assert positional(ours("sum_pool", rank)) == AVG[:-1]
    assert positional(ours("logsumexp_pool", rank)) == AVG[:-1]
    assert positional(ours("stochastic_pool", rank)) == AVG[:-1]
    assert positional(ours("mixed_pool", rank)) == AVG
    assert positional(ours("gem_pool", rank)) == [AVG[0], ("p", EMPTY), *AVG[1:-1]]
    select = positional(ours("adaptive_max_pool", rank))
    assert positional(ours("adaptive_min_pool", rank)) == select
    assert positional(ours("adaptive_sum_pool", rank)) == select[:2]


MODULES = [module_of(function) for function in FUNCTIONS]


@pytest.mark.parametrize("name", [name for name in MODULES if hasattr(torch.nn, name)])
def test_modules_are_torchs(name):
    mine, theirs = getattr(nn, name), getattr(torch.nn, name)
    assert issubclass(mine, theirs)
    assert positional(mine.__init__) == positional(theirs.__init__)


def test_torch_has_no_pooling_module_that_is_missing():
    torchs = {name for name in dir(torch.nn) if "Pool" in name or "Unpool" in name}
    assert torchs - set(nn.__all__) == set()
    functions = {n for n in dir(F) if ("pool" in n) and not n.startswith("_")}
    functions = {n for n in functions if not n.endswith("_with_indices")}
    assert functions - set(cenote.__all__) == set()


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
def test_convolutions_have_torchs_arguments(name, rank):
    torchs = torch.nn.modules.conv.__dict__[f"Conv{'Transpose' if 'trans' in name else ''}{rank}d"]
    mine = getattr(nn, torchs.__name__)
    assert issubclass(mine, torchs)
    assert positional(mine.__init__) == positional(torchs.__init__)
    # The functions are builtins: their order is in the documentation.
    order = ["input", "weight", "bias", "stride", "padding", "dilation", "groups"]
    if "trans" in name:
        order[5:] = ["output_padding", "groups", "dilation"]
    defaults = {"bias": None, "stride": 1, "dilation": 1, "groups": 1,
                "padding": 0, "output_padding": 0}  # fmt: skip
    wanted = [(argument, defaults.get(argument, EMPTY)) for argument in order]
    assert positional(ours(name, rank)) == wanted


@pytest.mark.parametrize("name", [*FUNCTIONS, *CONVOLUTIONS])
def test_functions_are_functions_of_their_own(name):
    function = getattr(cenote, name)
    assert inspect.isfunction(function)
    assert function is getattr(cenote.functional, name)
    assert (function.__name__, function.__qualname__) == (name, name)
    assert pickle.loads(pickle.dumps(function)) is function
    assert "$" not in function.__doc__
    assert name in function.__doc__  # its example calls it, not another rank
    assert not any(p.startswith("_op") for p in inspect.signature(function).parameters)
    assert name in cenote.__all__
    assert module_of(name) in nn.__all__
    with pytest.raises(TypeError, match=rf"^{name}\(\) "):
        function()


def test_nothing_else_is_public():
    assert sorted(cenote.functional.__all__) == sorted([*FUNCTIONS, *CONVOLUTIONS, *BESIDE])
    convolutions = [module_of(function) for function in CONVOLUTIONS]
    assert sorted(nn.__all__) == sorted([*MODULES, *convolutions, *OF_SEVERAL_STEPS])


# Modules against functions: arguments by keyword, other than the defaults.

WINDOW = {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 1, "ceil_mode": True}
REFLECT = {**WINDOW, "padding_mode": "reflect"}
BUILT = {
    "max_pool": {**REFLECT, "return_indices": True},
    "min_pool": {**REFLECT, "return_indices": True},
    "median_pool": {**WINDOW, "return_indices": True},
    "avg_pool": {**WINDOW, "count_include_pad": False, "rounding": "half_even"},
    "sum_pool": REFLECT,
    "lp_pool": {**REFLECT, "norm_type": 3.0},
    "logsumexp_pool": {**WINDOW, "sharpness": 2.0, "mean": True},
    "gem_pool": {**WINDOW, "p": 2.0, "eps": 0.1},
    "stochastic_pool": WINDOW,
    "mixed_pool": {**WINDOW, "alpha": 0.25, "count_include_pad": False},
    "adaptive_max_pool": {"output_size": 3, "return_indices": True},
    "adaptive_min_pool": {"output_size": 3, "return_indices": True},
    "adaptive_avg_pool": {"output_size": 4},
    "adaptive_sum_pool": {"output_size": 4},
    "global_max_pool": {"return_indices": True},
    "global_min_pool": {"return_indices": True},
    "global_median_pool": {"return_indices": True},
    "global_avg_pool": {},
    "global_sum_pool": {},
    "global_lp_pool": {"norm_type": 3.0},
    "global_logsumexp_pool": {"sharpness": -1.0, "mean": True},
    "global_gem_pool": {"p": 2.0, "eps": 0.1},
    "global_mixed_pool": {"alpha": 0.25},
    "upsample_repeat": {"scale_factor": 2},
    "blur_pool": {"kernel_size": 4, "stride": 3, "padding": "same", "padding_mode": "circular"},
    "max_blur_pool": {"kernel_size": 3, "padding": 1, "filter_size": 4, "padding_mode": "zeros"},
    "spatial_pyramid_pool": {"levels": (1, 3), "reduce": "avg"},
    "sppf": {"kernel_size": 3, "repeats": 2},
}


def built(family, rank):
    return getattr(nn, module_of(f"{family}{rank}d"))(**BUILT[family])


def called(family, rank, x):
    more = {"training": False} if family == "stochastic_pool" else {}
    return ours(family, rank)(x, **BUILT[family], **more)


def same(one, other):
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("family", BUILT)
def test_a_module_is_a_stored_call(family, rank):
    module, x = built(family, rank).eval(), planes(rank)
    if "gem" in family:  # learnt in float32
        torch.testing.assert_close(module(x), called(family, rank, x))
    else:
        assert same(module(x), called(family, rank, x))
    out = module(x)
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert same(again(x), out)
        assert repr(again) == repr(module)
    assert repr(module).startswith(module_of(f"{family}{rank}d") + "(")


@pytest.mark.parametrize("family", BUILT)
def test_what_is_shown_is_what_is_not_default(family):
    shown = repr(built(family, 2))
    for name, value in BUILT[family].items():
        default = inspect.signature(type(built(family, 2))).parameters[name].default
        assert (f"{name}=" in shown) or value == default, name


def test_representations():
    shown = {
        "MinPool2d(kernel_size=3, padding='same')": nn.MinPool2d(3, padding="same"),
        "MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)":
            nn.MaxPool2d(3, 2),
        "LPPool2d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False, dilation=2)":
            nn.LPPool2d(2, 3, dilation=2),
        "GeMPool1d(p=3, kernel_size=2)": nn.GeMPool1d(3.0, 2),
        "GeMPool1d(p=3.0, kernel_size=2, learnable=False)": nn.GeMPool1d(3.0, 2, learnable=False),
        "GlobalAvgPool3d()": nn.GlobalAvgPool3d(),
        "BlurPool2d()": nn.BlurPool2d(),
        "MixedPool2d(kernel_size=2, alpha=tensor of (3, 1, 1))":
            nn.MixedPool2d(2, alpha=torch.zeros(3, 1, 1)),
        "FractionalMaxPool2d(kernel_size=(2, 2), output_ratio=(0.5, 0.5))":
            nn.FractionalMaxPool2d(2, output_ratio=0.5),
    }  # fmt: skip
    for text, module in shown.items():
        assert repr(module) == text


@pytest.mark.parametrize("rank", RANKS)
def test_unpooling_and_fractional_modules(rank):
    x = planes(rank)
    values, indices = nn.__dict__[f"MaxPool{rank}d"](2, return_indices=True)(x)
    unpool = nn.__dict__[f"MaxUnpool{rank}d"](2)
    assert torch.equal(
        unpool(values, indices, output_size=x.shape),
        ours("max_unpool", rank)(values, indices, 2, output_size=SIZES[-rank:]),
    )
    if rank > 1:
        samples = torch.rand(2, 3, rank).double()
        module = nn.__dict__[f"FractionalMaxPool{rank}d"](2, 3, None, True, samples)
        again = pickle.loads(pickle.dumps(module))
        expected = ours("fractional_max_pool", rank)(x, 2, 3, None, True, samples)
        assert same(module(x), expected)
        assert same(again(x), expected)
        assert "_random_samples" in module.state_dict()


def test_modules_follow_training_and_attributes():
    x = some(1, 2, 8, 8).abs()
    module = nn.StochasticPool2d(2, generator=torch.Generator().manual_seed(0))
    drawn = module(x)
    expected = cenote.stochastic_pool2d(x, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, expected)
    assert torch.equal(module.eval()(x), cenote.stochastic_pool2d(x, 2, training=False))
    mean = nn.AvgPool1d(2)
    assert (mean.kernel_size, mean.stride, mean.padding) == ((2,), (2,), (0,))
    mean.kernel_size, mean.padding_mode, mean.padding = 3, "reflect", 1
    assert torch.equal(mean(x[0]), cenote.avg_pool1d(x[0], 3, 2, 1, padding_mode="reflect"))
    norm = nn.LPPool2d(2, 2)
    norm.norm_type = 4
    assert torch.equal(norm(x), cenote.lp_pool2d(x, 4, 2))
    scales = nn.SpatialPyramidPool2d()
    scales.levels = (2,)
    assert torch.equal(scales(x), cenote.spatial_pyramid_pool2d(x, (2,)))


def test_parameters_of_modules():
    names = {name for name, _ in nn.GeMPool2d(3.0, 2).named_parameters()}
    assert names == {"p"}
    assert nn.GlobalGeMPool2d().p.item() == 3.0
    assert not list(nn.GeMPool2d(3.0, 2, learnable=False).parameters())
    mixed = nn.MixedPool2d(2, alpha=torch.nn.Parameter(torch.tensor(0.5)))
    assert list(mixed.state_dict()) == ["alpha"]
    mixed(planes(2, torch.float32)).sum().backward()
    assert mixed.alpha.grad.abs() > 0
    assert nn.GeMPool2d(3.0, 2).learnable
