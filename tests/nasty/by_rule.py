"""Networks in which a rule of acceleration applies, and ones in which it must not."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from nasty.case import Case, conv, image

__all__ = ["MODES", "OTHER_ORDER", "Example", "applies", "misses"]

MODES = {
    "inference": {"train": False, "grad": False},
    "evaluation": {"train": False, "grad": True, "ask": True},
    "training": {"train": True, "grad": True, "ask": True},
}
ROWS, LAST = "contiguous", "channels_last"
# Roundings of the largest value, beside three times torch's own error; to the bit where there is no
# arithmetic but comparing: pooling by maximum, and whatever moves or drops no product.
TO_THE_BIT = 0
OTHER_ORDER = 20  # sums of the same products in another order
ROUNDED_WEIGHTS = 20  # each weight rounded once more
BY_TILES = 60  # sums and differences on both sides of the products


class Net(nn.Module):
    """A forward as a function of the network and its input."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.written = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        return self.written(self, x)


@dataclass(frozen=True)
class Example:
    """A network with a rule in it, or nearly; ``layers`` makes a module or a list of layers."""

    rule: str
    name: str
    layers: object
    shape: tuple = (2, 8, 17, 15)
    mode: str = "inference"
    layout: str = ROWS
    roundings: int = OTHER_ORDER

    def case(self):
        return Case(self.name, "a rule", self.make, lambda: image(*self.shape))

    def make(self):
        made = self.layers()
        return made if isinstance(made, nn.Module) else nn.Sequential(*made)

    def __str__(self):
        return f"{self.rule}: {self.name}"


def norm(channels=8):
    return nn.BatchNorm2d(channels)


def twice(part, function):
    """A part whose result has two users, of which ``function`` is one."""
    return lambda: Net(lambda m, x: (lambda y: function(y).sum() + y.sum())(m.part(x)), part=part())


def late(function, *, layers=(nn.Identity,)):
    return lambda: [*(layer() for layer in layers), function()]


def spp(*pools):
    return Net(lambda m, x: [pool(x) for pool in m.pools], pools=nn.ModuleList(pools))


def centred(size, **options):
    return nn.MaxPool2d(size, 1, size // 2, **options)


def written_between(m, x):
    y = m.conv(x)
    first = F.max_pool2d(y, 5, 1, 2)
    y.mul_(0.5)
    return first + F.max_pool2d(y, 9, 1, 4)


def written_meanwhile(first, second):
    """What ``first`` was given is written to before ``second``: both together would see it."""

    def forward(m, x):
        z = x.neg()
        y = m.first(z)
        z.mul_(0.5)
        return m.second(y)

    return lambda: Net(forward, first=first(), second=second())


def chain(m, x):
    y = m.conv(x)
    return torch.cat([y, F.max_pool2d(y, 5, 1, 2), F.max_pool2d(y, 9, 1, 4)], 1)


def hooked(layer):
    layer.register_forward_hook(lambda m, args, out: None)
    return layer


def residual(m, x):
    return F.relu(m.conv(x) + m.short(x))


def added_in_place(m, x):
    y = m.short(x)
    y += m.conv(x)
    return F.relu(y)


def inverted(channels=8, wide=24, out=8, size=3, between=nn.ReLU6, **options):
    """1x1, single channels, 1x1, each with a norm."""
    middle = conv(wide, wide, size, padding=size // 2, groups=wide, **options)
    return [conv(channels, wide, 1), norm(wide), between(), middle, norm(wide),
            between(), conv(wide, out, 1), norm(out)]  # fmt: skip


def shuffled(x, groups=2):
    images, channels, height, width = x.shape
    apart = x.view(images, groups, channels // groups, height, width)
    return torch.transpose(apart, 1, 2).contiguous().view(images, -1, height, width)


def unit(m, x):
    """A shuffling unit: one half goes through layers, then both are put together."""
    first, second = m.conv(x).chunk(2, dim=1)
    return m.last(shuffled(torch.cat((first, m.rest(second)), dim=1)))


class OwnForward(nn.MaxPool2d):
    def forward(self, x):
        return -super().forward(-x)


D1, D2, D3 = (2, 8, 31), (2, 8, 17, 15), (1, 4, 9, 8, 10)
WIDE = (2, 32, 21, 19)


# fmt: off
def applies():
    rule = "pooling"
    for reduce, roundings in (("Max", TO_THE_BIT), ("Avg", OTHER_ORDER)):
        for rank, shape in enumerate((D1, D2, D3), 1):
            layer = getattr(nn, f"{reduce}Pool{rank}d")
            for mode in ("inference", "training"):
                yield Example(rule, f"{layer.__name__} in {mode}", lambda k=layer: [k(3, 2, 1)],
                              shape, mode, roundings=roundings)
    yield Example(rule, "ceil", lambda: [nn.MaxPool2d(3, 2, ceil_mode=True)], roundings=TO_THE_BIT)
    yield Example(
        rule, "indices", lambda: [nn.MaxPool2d(3, return_indices=True)], roundings=TO_THE_BIT
    )
    yield Example(
        rule, "by_function", lambda: Net(lambda m, x: F.max_pool2d(x, kernel_size=(2, 3))),
        roundings=TO_THE_BIT,
    )

    rule = "convolution"
    yield Example(rule, "depthwise", lambda: [conv(8, 8, groups=8)])
    yield Example(rule, "depthwise_in_training", lambda: [conv(8, 8, groups=8)], mode="training")
    yield Example(rule, "few_channels", lambda: [conv(1, 6, 5)], (2, 1, 17, 15))
    yield Example(rule, "one_axis", lambda: [nn.Conv1d(8, 6, 3, dilation=2)], D1)
    yield Example(rule, "three_axes", lambda: [nn.Conv3d(4, 4, 3, groups=4)], D3)

    rule = "merged-padding"
    for mode in ("inference", "training"):
        yield Example(rule, f"zeros_before_conv_in_{mode}",
                      lambda: [nn.ZeroPad2d((1, 1, 2, 2)), conv(8, 6, padding=0)], mode=mode)
        yield Example(rule, f"lowest_before_max_in_{mode}",
                      lambda: [nn.ConstantPad2d((0, 1, 1, 0), -torch.inf), nn.MaxPool2d(3, 2)],
                      mode=mode, roundings=TO_THE_BIT)
    yield Example(rule, "zeros_before_padded_conv", lambda: [nn.ZeroPad2d(1), conv(8, 6)])
    yield Example(rule, "zeros_before_average",
                  lambda: [nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(3, 2)])
    yield Example(rule, "zeros_around_relu_before_max",
                  lambda: [nn.ReLU(), nn.ZeroPad2d((1, 0, 1, 0)), nn.MaxPool2d(3, 2)],
                  roundings=TO_THE_BIT)
    yield Example(rule, "by_function",
                  lambda: Net(lambda m, x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3)))

    rule = "shared-chains"
    yield Example(rule, "windows_of_three_sizes", lambda: spp(*map(centred, (5, 9, 13))),
                  roundings=TO_THE_BIT)
    yield Example(rule, "by_function_after_a_conv", lambda: Net(chain, conv=conv(8, 8)))

    rule = "folding"
    for name, make, shape in (
        ("images", lambda: [conv(8, 6, bias=False), norm(6)], D2),
        ("one_axis", lambda: [nn.Conv1d(8, 6, 3), nn.BatchNorm1d(6)], D1),
        ("three_axes", lambda: [nn.Conv3d(4, 6, 3), nn.BatchNorm3d(6)], D3),
        ("without_affine", lambda: [conv(8, 6), nn.BatchNorm2d(6, affine=False)], D2),
        ("with_a_large_epsilon", lambda: [conv(8, 6), nn.BatchNorm2d(6, eps=2.0)], D2),
    ):
        for layout in (ROWS, LAST):
            yield Example(rule, f"{name}_{layout}", make, shape, layout=layout,
                          roundings=ROUNDED_WEIGHTS)

    rule = "early-average"
    for mode in MODES:
        yield Example(rule, f"transition_in_{mode}", lambda: [conv(8, 6, 1), nn.AvgPool2d(2)],
                      mode=mode)
    yield Example(rule, "padding_that_does_not_count",
                  lambda: [conv(8, 6, 1), nn.AvgPool2d(3, 2, 1, count_include_pad=False)])
    yield Example(rule, "ceil", lambda: [conv(8, 6, 1), nn.AvgPool2d(2, ceil_mode=True)])

    rule = "epilogues"
    for name, activation in (
        ("nothing", nn.Identity), ("relu", nn.ReLU), ("relu6", nn.ReLU6), ("silu", nn.SiLU),
        ("hardswish", nn.Hardswish), ("gelu", nn.GELU), ("leaky", lambda: nn.LeakyReLU(-0.5)),
    ):
        yield Example(rule, f"{name}_after_conv", lambda a=activation: [conv(8, 6), a()],
                      layout=LAST, roundings=60 if name in ("gelu", "silu") else OTHER_ORDER)
    for name, forward in (("sum", residual), ("sum_in_place", added_in_place)):
        yield Example(rule, f"{name}_and_relu",
                      lambda f=forward: Net(f, conv=conv(8, 6), short=conv(8, 6, 1)), layout=LAST)

    rule = "winograd"
    for mode in MODES:
        for kernel in (3, 5):
            yield Example(rule, f"{kernel}x{kernel}_in_{mode}", lambda k=kernel: [conv(32, 32, k)],
                          WIDE, mode, LAST, BY_TILES)
    yield Example(rule, "folded_and_activated", lambda: [conv(32, 32), norm(32), nn.ReLU()],
                  WIDE, layout=LAST, roundings=BY_TILES)

    rule = "stages"
    for mode in MODES:
        for name, between in (("relu", [nn.ReLU]), ("relu6", [nn.ReLU6]), ("nothing", [])):
            yield Example(rule, f"{name}_between_in_{mode}",
                          lambda b=between: [conv(8, 6), *(a() for a in b), nn.MaxPool2d(3, 2, 1)],
                          mode=mode)

    pool = {"kernel_size": 3, "stride": 2, "padding": 1}
    for name, layers in {
        "stem": lambda: [conv(8, 20, 7, stride=2), norm(20), nn.ReLU(), nn.MaxPool2d(**pool)],
        "and_pixels": lambda: [conv(8, 20, 5), nn.ReLU6(), nn.MaxPool2d(**pool), conv(20, 6, 1),
                               nn.ReLU()],
        "rounded_up": lambda: [conv(8, 6, stride=2), nn.MaxPool2d(3, 2, ceil_mode=True)],
        "of_pixels": lambda: [conv(8, 6, 1), nn.Hardtanh(-0.5, 0.7), nn.MaxPool2d((1, 4))],
        "pixels_that_something_is_added_to": lambda: [
            conv(8, 8, 5), nn.MaxPool2d(3, 1, 1),
            Net(lambda m, x: F.relu(m.conv(x) + x), conv=conv(8, 8, 1))],
    }.items():
        yield Example(rule, f"in_strips_{name}", layers, layout=LAST)

    rule = "late-activation"
    for mode in MODES:
        for activation in (nn.ReLU, nn.ReLU6, lambda: nn.Hardtanh(-0.5, 0.7)):
            yield Example(rule, f"{activation()}_in_{mode}",
                          lambda a=activation: [a(), nn.MaxPool2d(2)], mode=mode,
                          roundings=TO_THE_BIT)
    yield Example(rule, "in_place_after_a_norm",
                  lambda: [norm(), nn.ReLU(True), nn.MaxPool2d(2)], roundings=TO_THE_BIT)

    rule = "separable"
    for name, layers in {
        "inverted": inverted,
        "at_stride_2": lambda: inverted(stride=2),
        "of_5x5_between_relus": lambda: inverted(size=5, between=nn.ReLU),
        "of_a_wide_one": lambda: inverted(16, 70, 33),
        "hardtanh": lambda: inverted(between=lambda: nn.Hardtanh(-0.5, 0.7)),
        "without_norms": lambda: [conv(8, 20, 1), conv(20, 20, groups=20), nn.ReLU()],
        "nothing_before": lambda: inverted(wide=8)[3:],
        "nothing_behind": lambda: inverted()[:-2],
        "axes_of_their_own": lambda: [
            conv(8, 8, (1, 5), padding=(0, 3), stride=(3, 1), groups=8, bias=False),
            conv(8, 6, 1, padding=0, bias=False)],
    }.items():
        yield Example(rule, name, layers, (2, 16 if "wide" in name else 8, 17, 15), layout=LAST)
    for name, written in {
        "sum": lambda m, x: x + m.body(x),
        "sum_and_relu": lambda m, x: F.relu(m.body(x) + x),
        "sum_of_what_is_smaller": lambda m, x: m.body(x) + x[..., :1],
    }.items():
        yield Example(rule, name, lambda w=written: Net(w, body=nn.Sequential(*inverted())),
                      layout=LAST)
    yield Example(rule, "one_row", lambda: inverted(), (1, 8, 1, 40), layout=LAST)
    yield Example(rule, "one_column", lambda: inverted(), (3, 8, 40, 1), layout=LAST)

    rule = "shuffles"
    yield Example(rule, "a_unit", lambda: Net(
        unit, conv=conv(8, 12), rest=nn.Sequential(*inverted(6, 6, 6)), last=conv(12, 5)),
        layout=LAST)
    yield Example(rule, "of_inputs", lambda: Net(
        lambda m, x: m.conv(shuffled(torch.cat([x, x.flip(0)], 1))), conv=conv(16, 6)), layout=LAST)
    yield Example(rule, "at_the_end", lambda: Net(
        lambda m, x: shuffled(torch.cat([m.conv(x), m.conv(x + 1)], 1)), conv=conv(8, 6)),
        layout=LAST)
    yield Example(rule, "parts_of_other_sizes", lambda: Net(
        lambda m, x: shuffled(torch.cat([m.conv(x), x], 1)), conv=conv(8, 6)), layout=LAST)

    rule = "concatenation"
    yield Example(rule, "fire", lambda: Net(
        lambda m, x: torch.cat([F.relu(m.one(x)), F.relu(m.three(x))], 1),
        one=conv(32, 24, 1), three=conv(32, 40)), WIDE, layout=LAST, roundings=BY_TILES)
    yield Example(rule, "with_a_pool_and_others", lambda: Net(
        lambda m, x: torch.cat([m.pool(m.three(x)), m.one(x), m.other(x), m.one(x + 1)], 1),
        pool=nn.MaxPool2d(3, 1, 1), one=conv(8, 5, 1), other=conv(8, 7), three=conv(8, 9)),
        layout=LAST)
    yield Example(rule, "of_concatenations", lambda: Net(
        lambda m, x: torch.cat([torch.cat([m.one(x), m.two(x)], 1), m.one(x + 1)], 1),
        one=conv(8, 5, 1), two=conv(8, 20, 1)), layout=LAST)
    rule = "recomputing"
    for name, between in (("relu", [nn.ReLU]), ("relu6", [nn.ReLU6]), ("nothing", [])):
        yield Example(rule, f"norm_{name}_conv",
                      lambda b=between: [conv(8, 8), norm(), *(a() for a in b), conv(8, 6)],
                      mode="training", layout=LAST)
    yield Example(rule, "before_tiles",
                  lambda: [conv(32, 32, 1), norm(32), nn.ReLU(), conv(32, 32)],
                  WIDE, "training", LAST, BY_TILES)
    yield Example(rule, "cumulative_statistics",
                  lambda: [conv(8, 8), nn.BatchNorm2d(8, momentum=None), nn.ReLU(), conv(8, 6)],
                  mode="training", layout=LAST)

    rule = "norms"
    for name, after in (("relu", [nn.ReLU]), ("relu6", [nn.ReLU6]), ("nothing", []),
                        ("hardtanh", [lambda: nn.Hardtanh(-0.5, 0.7)]), ("gelu", [nn.GELU])):
        yield Example(rule, f"conv_norm_{name}",
                      lambda a=after: [conv(8, 8), norm(), *(make() for make in a)],
                      mode="training", layout=LAST)
    for name, written in {
        "sum_and_relu": lambda m, x: F.relu(m.norm(m.conv(x)) + x),
        "sum_in_place": lambda m, x: F.relu_(m.norm(m.conv(x)).add_(x)),
        "sum_alone": lambda m, x: x + m.norm(m.conv(x)),
        "sum_of_what_is_wider": lambda m, x: F.relu(m.norm(m.conv(x)) + x[:, :1]),
        "sum_into_the_other": lambda m, x: F.relu(torch.cat([x]).add_(m.norm(m.conv(x)))),
        "sum_with_itself": lambda m, x: (y := m.norm(m.conv(x))) + y,
    }.items():
        yield Example(rule, name, lambda w=written: Net(w, norm=norm(), conv=conv(8, 8)),
                      mode="training", layout=LAST)
    yield Example(rule, "cumulative_statistics",
                  lambda: [conv(8, 8), nn.BatchNorm2d(8, momentum=None), nn.ReLU()],
                  mode="training", layout=LAST)
    for name, after in (("relu", [nn.ReLU]), ("relu6", [nn.ReLU6])):
        yield Example(rule, f"norm_{name}_before_conv_at_inference",
                      lambda a=after: [norm(), *(make() for make in a), conv(8, 6)], layout=LAST)
    for name, written in {
        "together": lambda m, x: m.norm(torch.cat([x, x.flip(0), x[:, :1]], 1)),
        "together_by_name": lambda m, x: m.norm(torch.concat(tensors=(x, x, x[:, :1]), dim=-3)),
        "together_and_activated": lambda m, x: F.relu(m.norm(torch.cat([x, x + 1, x[:, :1]], 1))),
    }.items():
        yield Example(rule, name, lambda w=written: [Net(w, norm=norm(17)), conv(17, 6)],
                      layout=LAST)
    yield Example(rule, "no_statistics_kept",
                  lambda: [conv(8, 8), nn.BatchNorm2d(8, track_running_stats=False), nn.ReLU()],
                  mode="training", layout=LAST)

    rule = "layout"
    for mode in MODES:
        yield Example(rule, f"back_in_rows_in_{mode}",
                      lambda: [conv(8, 8), nn.ReLU(), nn.Flatten()],
                      mode=mode, layout=LAST)
    yield Example(rule, "returned_twice",
                  lambda: Net(lambda m, x: (lambda y: [y, y])(m.conv(x)), conv=conv(8, 6)),
                  layout=LAST)
    yield Example(rule, "dropped_in_place_by_nobody", lambda: Net(
        lambda m, x: (lambda y: m.drop(y) + y)(m.conv(x)), conv=conv(8, 6),
        drop=nn.Dropout(0.5, inplace=True)), layout=LAST)

    rule = "reuse"
    for activation in (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.Hardswish,
                       nn.Hardsigmoid, nn.LeakyReLU):
        yield Example(rule, f"{activation.__name__}_after_a_norm",
                      lambda a=activation: [norm(), a()], roundings=TO_THE_BIT)
    yield Example(rule, "after_a_sum", lambda: Net(lambda m, x: torch.relu(x + x.flip(0))),
                  roundings=TO_THE_BIT)


def misses():
    def miss(*args, **options):
        return Example(*args, roundings=BY_TILES, **options)

    rule = "pooling"
    yield miss(rule, "adaptive", lambda: [nn.AdaptiveMaxPool2d(3)])
    yield miss(rule, "powers", lambda: [nn.LPPool2d(2, 2)])
    yield miss(rule, "hooks_on_the_layer", lambda: [nn.ReLU(), hooked(nn.MaxPool2d(2))])
    yield miss(rule, "a_forward_of_its_own", lambda: [OwnForward(2)])

    rule = "convolution"
    yield miss(rule, "reflected", lambda: [conv(8, 8, groups=8, padding_mode="reflect")])
    yield miss(rule, "same", lambda: [conv(8, 8, groups=8, padding="same")])
    yield miss(rule, "transposed", lambda: [nn.ConvTranspose2d(8, 8, 3, groups=8)])
    yield miss(rule, "a_computed_weight", lambda: [parametrizations.weight_norm(conv(8, 8))])
    yield miss(rule, "channels_last", lambda: [conv(8, 8, groups=8)], layout=LAST)

    rule = "merged-padding"
    pads = nn.ZeroPad2d
    yield miss(rule, "ones_before_conv", lambda: [nn.ConstantPad2d(1, 1.0), conv(8, 6, padding=0)])
    yield miss(rule, "uneven_before_conv", lambda: [pads((0, 1, 0, 1)), conv(8, 6, padding=0)])
    yield miss(rule, "before_a_reflecting_conv",
               lambda: [pads(1), conv(8, 6, padding_mode="reflect")])
    yield miss(rule, "reflected", lambda: [nn.ReflectionPad2d(1), nn.AvgPool2d(3)])
    yield miss(rule, "cut", lambda: [pads(-1), nn.AvgPool2d(3)])
    yield miss(rule, "before_a_padded_average", lambda: [pads(1), nn.AvgPool2d(3, 2, 1)])
    yield miss(rule, "as_wide_as_the_window", lambda: [pads(2), nn.AvgPool2d(2)])
    yield miss(rule, "before_ceil", lambda: [pads(1), nn.AvgPool2d(3, 2, ceil_mode=True)])
    yield miss(rule, "zeros_around_both_signs", lambda: [pads(1), nn.MaxPool2d(3)])
    yield miss(rule, "zeros_around_leaky_relu",
               lambda: [nn.LeakyReLU(), pads(1), nn.MaxPool2d(3)])
    yield miss(rule, "zeros_around_relu_with_indices",
               lambda: [nn.ReLU(), pads(1), nn.MaxPool2d(3, return_indices=True)])
    yield miss(rule, "a_second_user", twice(lambda: pads(1), lambda y: F.avg_pool2d(y, 3)))
    yield miss(rule, "written_meanwhile",
               written_meanwhile(lambda: pads(1), lambda: nn.AvgPool2d(3)))

    rule = "shared-chains"
    yield miss(rule, "gradients_wanted", lambda: spp(centred(5), centred(9)), mode="evaluation")
    yield miss(rule, "stride", lambda: spp(nn.MaxPool2d(5, 2, 2), nn.MaxPool2d(9, 2, 4)))
    yield miss(rule, "indices", lambda: Net(
        lambda m, x: [F.max_pool2d(x, k, 1, k // 2, return_indices=True) for k in (5, 9)]))
    yield miss(rule, "of_two_tensors", lambda: Net(
        lambda m, x: F.max_pool2d(x, 5, 1, 2) + F.max_pool2d(x.neg(), 9, 1, 4)))
    yield miss(rule, "dilation", lambda: spp(centred(5), nn.MaxPool2d(9, 1, 4, 2)))
    yield miss(rule, "ceil", lambda: spp(centred(5, ceil_mode=True), centred(9, ceil_mode=True)))
    yield miss(rule, "averages", lambda: spp(nn.AvgPool2d(5, 1, 2), nn.AvgPool2d(9, 1, 4)))
    yield miss(rule, "written_between", lambda: Net(written_between, conv=conv(8, 8)))

    rule = "folding"
    stage = [lambda: conv(8, 6), lambda: norm(6)]
    yield miss(rule, "in_training", late(nn.ReLU, layers=stage), mode="training")
    yield miss(rule, "gradients_wanted", late(nn.ReLU, layers=stage), mode="evaluation")
    yield miss(rule, "statistics_of_the_batch",
               lambda: [conv(8, 6), nn.BatchNorm2d(6, track_running_stats=False)])
    yield miss(rule, "of_each_picture", lambda: [conv(8, 6), nn.InstanceNorm2d(6, affine=True)])
    yield miss(rule, "activation_between", lambda: [conv(8, 6), nn.ReLU(), norm(6)])
    yield miss(rule, "norm_first", lambda: [norm(), conv(8, 6)])
    yield miss(rule, "a_second_user", lambda: Net(
        lambda m, x: (lambda y: m.norm(y) + y)(m.conv(x)), conv=conv(8, 6), norm=norm(6)))
    yield miss(rule, "written_meanwhile", written_meanwhile(lambda: conv(8, 6), lambda: norm(6)))

    rule = "early-average"
    yield miss(rule, "padding_that_counts", lambda: [conv(8, 6, 1), nn.AvgPool2d(3, 2, 1)])
    yield miss(rule, "another_divisor",
               lambda: [conv(8, 6, 1), nn.AvgPool2d(2, divisor_override=3)])
    yield miss(rule, "taps", lambda: [conv(8, 6), nn.AvgPool2d(2)])
    yield miss(rule, "stride", lambda: [conv(8, 6, 1, stride=2), nn.AvgPool2d(2)])
    yield miss(rule, "padding", lambda: [conv(8, 6, 1, padding=1), nn.AvgPool2d(2)])
    yield miss(rule, "activation_between", lambda: [conv(8, 6, 1), nn.ReLU(), nn.AvgPool2d(2)])
    yield miss(rule, "maximum", lambda: [conv(8, 6, 1), nn.MaxPool2d(2)])
    yield miss(rule, "a_second_user", twice(lambda: conv(8, 6, 1), lambda y: F.avg_pool2d(y, 2)))
    yield miss(rule, "written_meanwhile",
               written_meanwhile(lambda: conv(8, 6, 1), lambda: nn.AvgPool2d(2)))

    rule = "epilogues"
    activated = [lambda: conv(8, 6)]
    yield miss(rule, "rows", late(nn.ReLU, layers=activated))
    for mode in ("evaluation", "training"):
        yield miss(rule, f"gradients_in_{mode}",
                   late(nn.ReLU, layers=activated), mode=mode, layout=LAST)
    yield miss(rule, "circular", lambda: [conv(8, 6, padding_mode="circular")], layout=LAST)

    rule = "winograd"
    for name, options in {
        "stride": {"stride": 2}, "dilation": {"dilation": 2, "padding": 2}, "groups": {"groups": 2},
        "1x1": {"kernel": 1}, "7x7": {"kernel": 7}, "3x5": {"kernel": (3, 5), "padding": (1, 2)},
        "few_channels": {"outputs": 8}, "padding_as_wide_as_the_window": {"padding": 3},
    }.items():
        yield miss(rule, name,
                   lambda o=options: [conv(32, **{"outputs": 32} | o)], WIDE, layout=LAST)
    yield miss(rule, "rows", lambda: [conv(32, 32)], WIDE)

    rule = "stages"
    yield miss(rule, "average", lambda: [conv(8, 6), nn.ReLU(), nn.AvgPool2d(2)])
    yield miss(rule, "not_monotone", lambda: [conv(8, 6), nn.SiLU(), nn.MaxPool2d(2)])
    yield miss(rule, "leaky", lambda: [conv(8, 6), nn.LeakyReLU(-0.5), nn.MaxPool2d(2)])
    yield miss(rule, "indices", lambda: [conv(8, 6), nn.MaxPool2d(2, return_indices=True)])
    yield miss(rule, "norm_in_training",
               lambda: [conv(8, 6), norm(6), nn.MaxPool2d(2)], mode="training")
    yield miss(rule, "a_second_user", twice(lambda: conv(8, 6), lambda y: F.max_pool2d(y, 2)))
    yield miss(rule, "written_meanwhile",
               written_meanwhile(lambda: conv(8, 6), lambda: nn.MaxPool2d(2)))

    for name, layers in {
        "indices": lambda: [conv(8, 6), nn.ReLU(), nn.MaxPool2d(2, return_indices=True)],
        "average": lambda: [conv(8, 6), nn.ReLU(), nn.AvgPool2d(2)],
        "taps_apart": lambda: [conv(8, 6), nn.MaxPool2d(2, dilation=2)],
        "groups": lambda: [conv(8, 6, groups=2), nn.MaxPool2d(2)],
        "gelu_between": lambda: [conv(8, 6), nn.GELU(), nn.MaxPool2d(2)],
        "by_tiles": lambda: [conv(8, 32, 1), conv(32, 32), nn.MaxPool2d(2)],
        "many_weights": lambda: [conv(8, 192, 7), nn.MaxPool2d(2)],
        "two_users": lambda: Net(
            lambda m, x: (lambda y: F.max_pool2d(y, 2).sum() + y.sum())(m.conv(x)),
            conv=conv(8, 6)),
    }.items():
        yield miss(rule, f"in_strips_{name}", layers, layout=LAST)
    yield miss(rule, "in_strips_with_gradients", lambda: [conv(8, 6), nn.MaxPool2d(2)],
               mode="evaluation", layout=LAST)

    rule = "late-activation"
    for activation in (nn.SiLU, nn.GELU, nn.ELU, nn.Sigmoid, lambda: nn.LeakyReLU(-0.5)):
        yield miss(rule, f"{activation()}", lambda a=activation: [a(), nn.MaxPool2d(2)])
    yield miss(rule, "average", lambda: [nn.ReLU(), nn.AvgPool2d(2)])
    yield miss(rule, "indices", lambda: [nn.ReLU(), nn.MaxPool2d(2, return_indices=True)])
    yield miss(rule, "into_the_input", lambda: [nn.ReLU(True), nn.MaxPool2d(2)])
    yield miss(rule, "norm_between", lambda: [nn.ReLU(), norm(), nn.MaxPool2d(2)])
    yield miss(rule, "a_second_user", twice(nn.ReLU, lambda y: F.max_pool2d(y, 2)))
    yield miss(rule, "what_is_activated_is_used_elsewhere", lambda: Net(
        lambda m, x: (lambda y: F.max_pool2d(F.relu_(y), 2).sum() + y.sum())(m.conv(x)),
        conv=conv(8, 6)))
    yield miss(rule, "written_meanwhile", written_meanwhile(nn.ReLU, lambda: nn.MaxPool2d(2)))

    rule = "separable"
    last = {"layout": LAST}
    yield miss(rule, "rows", inverted)
    for mode in ("evaluation", "training"):
        yield miss(rule, f"gradients_in_{mode}", inverted, mode=mode, layout=LAST)
    yield miss(rule, "two_channels_each",
               lambda: [conv(8, 8, groups=4), conv(8, 6, 1)], **last)
    yield miss(rule, "two_kernels_a_channel",
               lambda: [conv(8, 16, groups=8), conv(16, 6, 1)], **last)
    yield miss(rule, "taps_apart",
               lambda: [conv(8, 8, groups=8, dilation=2), conv(8, 6, 1)], **last)
    yield miss(rule, "more_padding_than_kernel",
               lambda: [conv(8, 8, padding=3, groups=8), conv(8, 6, 1)], **last)
    yield miss(rule, "silu_between",
               lambda: [conv(8, 8, groups=8), nn.SiLU(), conv(8, 6, 1)], **last)
    yield miss(rule, "pooled_between",
               lambda: [conv(8, 8, groups=8), nn.MaxPool2d(2), conv(8, 6, 1)], **last)
    yield miss(rule, "moving_by_two_behind",
               lambda: [conv(8, 8, groups=8), conv(8, 6, 1, stride=2, padding=0)], **last)
    yield miss(rule, "a_second_user", lambda: Net(
        lambda m, x: (lambda y: m.last(y).sum() + y.sum())(m.middle(x)),
        middle=conv(8, 8, groups=8), last=conv(8, 6, 1)), **last)

    rule = "shuffles"
    yield miss(rule, "rows", lambda: Net(
        lambda m, x: shuffled(torch.cat([m.conv(x), m.conv(x)], 1)), conv=conv(8, 6)))
    for name, written in {
        "three_groups": lambda m, x: shuffled(torch.cat([m.conv(x)] * 3, 1), 3),
        "one_part": lambda m, x: shuffled(m.conv(x)),
        "along_another_axis": lambda m, x: shuffled(torch.cat([m.conv(x), m.conv(x)], 2)),
        "a_second_user": lambda m, x: (lambda y: shuffled(y).sum() + y.sum())(
            torch.cat([m.conv(x), m.conv(x)], 1)),
        "halves_that_others_read": lambda m, x: (lambda y: y[0] * y[1])(m.conv(x).chunk(2, 1)),
        "of_three": lambda m, x: m.conv(x).chunk(3, 1)[0],
    }.items():
        yield miss(rule, name, lambda w=written: Net(w, conv=conv(8, 6)), **last)

    rule = "concatenation"
    for name, written in {
        "along_another_axis": lambda m, x: torch.cat([m.one(x), m.one(x + 1)], 2),
        "none_can_write": lambda m, x: torch.cat([m.three(x), m.three(x + 1)], 1),
        "of_unknown_sizes": lambda m, x: torch.cat([m.one(x), x.exp()], 1),
        "the_same_twice": lambda m, x: torch.cat([m.one(x)] * 2, 1),
        "a_second_user": lambda m, x: (lambda y: torch.cat([y, m.three(x)], 1).sum() + y.sum())(
            m.one(x)),
    }.items():
        yield miss(rule, name, lambda w=written: Net(
            w, one=conv(8, 6, 1), three=conv(8, 5)), **last)
    yield miss(rule, "rows", lambda: Net(
        lambda m, x: torch.cat([m.one(x), m.one(x + 1)], 1), one=conv(8, 6, 1)))
    for mode in ("evaluation", "training"):
        yield miss(rule, f"gradients_in_{mode}", lambda: Net(
            lambda m, x: torch.cat([m.one(x), m.one(x + 1)], 1), one=conv(8, 6, 1)),
            mode=mode, layout=LAST)

    rule = "recomputing"
    block = [lambda: conv(8, 8), norm, nn.ReLU]
    trained = {"mode": "training", "layout": LAST}
    yield miss(rule, "eval", late(lambda: conv(8, 6), layers=block), mode="evaluation", layout=LAST)
    yield miss(rule, "rows", late(lambda: conv(8, 6), layers=block), mode="training")
    yield miss(rule, "not_one_number_each", lambda: [norm(), nn.GELU(), conv(8, 6)], **trained)
    yield miss(rule, "without_affine",
               lambda: [nn.BatchNorm2d(8, affine=False), conv(8, 6)], **trained)
    yield miss(rule, "pooled_between", lambda: [norm(), nn.MaxPool2d(2), conv(8, 6)], **trained)
    yield miss(rule, "a_second_user", lambda: Net(
        lambda m, x: (lambda y: m.conv(y) + y)(F.relu(m.norm(x))), norm=norm(), conv=conv(8, 8)),
        **trained)

    rule = "norms"
    yield miss(rule, "eval", lambda: [conv(8, 8), norm()], mode="evaluation", layout=LAST)
    yield miss(rule, "inference", lambda: [conv(8, 8), norm()], layout=LAST)
    yield miss(rule, "rows", lambda: [conv(8, 8), norm()], mode="training")
    yield miss(rule, "rows_at_inference", lambda: [norm(), nn.ReLU(), conv(8, 6)])
    yield miss(rule, "alone_at_inference", lambda: [norm(), nn.MaxPool2d(2), conv(8, 6)],
               layout=LAST)
    for name, written in {
        "along_another_axis": lambda m, x: m.conv(m.norm(torch.cat([x, x], 2))),
        "of_two_users":
            lambda m, x: (lambda y: m.conv(m.norm(y)) + y)(torch.cat([x[:, :4]] * 2, 1)),
    }.items():
        yield miss(rule, f"together_{name}", lambda w=written: Net(w, norm=norm(), conv=conv(8, 8)),
                   layout=LAST)
    yield miss(rule, "without_affine",
               lambda: [conv(8, 8), nn.BatchNorm2d(8, affine=False)], **trained)
    yield miss(rule, "one_axis",
               lambda: [conv(8, 8), nn.Flatten(2), nn.BatchNorm1d(8)], **trained)

    rule = "layout"
    yield miss(rule, "no_images", lambda: [nn.Conv1d(8, 6, 3)], D1, layout=LAST)
    yield miss(rule, "written_into_a_part", lambda: Net(
        lambda m, x: (lambda y: (y[:, :2].mul_(2), y)[1])(m.conv(x)), conv=conv(8, 6)),
        layout=LAST)

    rule = "reuse"
    for mode in ("evaluation", "training"):
        yield miss(rule, f"gradients_in_{mode}", lambda: [norm(), nn.ReLU()], mode=mode)
    yield miss(rule, "into_the_input", lambda: [nn.ReLU()])
    yield miss(rule, "into_a_part_of_the_input", lambda: Net(lambda m, x: torch.relu(x[:, :3])))
    yield miss(rule, "a_view_between",
               lambda: Net(lambda m, x: torch.relu(m.norm(x).flatten(1)), norm=norm()))
    yield miss(rule, "a_second_user", twice(norm, torch.relu))
    yield miss(rule, "gelu_cannot", lambda: [norm(), nn.GELU()])
