"""Inception-v2 and v3 of the TF-Slim library, as :mod:`oracle.classics` says.

A branch is written as ``(outputs, kernel), (outputs, kernel, stride), ...``; a pool as its kind.
"""

from torch import nn

from oracle.classics import Cat, Makers, named


class Mixed:
    """Builds modules of branches, and keeps count of the channels between them."""

    def __init__(self, m, inputs):
        self.m, self.inputs = m, inputs

    def __call__(self, *branches, same=True):
        """Several branches side by side; a layer with a stride is padded only if ``same``."""
        built = [self.branch(branch, same) for branch in branches]
        self.inputs = sum(outputs for _, outputs in built)
        return Cat(layers for layers, _ in built)

    def branch(self, steps, same):
        layers, inputs = nn.Sequential(), self.inputs
        for step in steps:
            if isinstance(step, list):  # side by side again
                parts = [self.m.conv(inputs, outputs, kernel) for outputs, kernel in step]
                layers.append(Cat(parts))
                inputs = sum(outputs for outputs, _ in step)
            elif isinstance(step[0], str):
                layers.append(self.m.pool(step[0], 3, step[1], same or step[1] == 1))
            else:
                outputs, kernel, stride = (*step, 1)[:3]
                padded = same or stride == 1
                layers.append(self.m.conv(inputs, outputs, kernel, stride, padded))
                inputs = outputs
        return layers, inputs


def inception_v2(house="torch", width=1):
    """(Ioffe and Szegedy 2015)"""
    m = Makers(house, width)
    mixed = Mixed(m, 192)

    def block(one, three, double, kind, pool):
        (a, b), (c, d) = three, double
        return mixed([(one, 1)], [(a, 1), (b, 3)], [(c, 1), (d, 3), (d, 3)], [(kind, 1), (pool, 1)])

    def shrink(three, double):
        (a, b), (c, d) = three, double
        return mixed([(a, 1), (b, 3, 2)], [(c, 1), (d, 3), (d, 3, 2)], [("Max", 2)])

    depthwise = nn.Sequential(*stem(m))
    return named(
        Conv2d_1a_7x7=depthwise, MaxPool_2a_3x3=m.pool("Max", 3, 2),
        Conv2d_2b_1x1=m.conv(64, 64, 1), Conv2d_2c_3x3=m.conv(64, 192, 3),
        MaxPool_3a_3x3=m.pool("Max", 3, 2),
        Mixed_3b=block(64, (64, 64), (64, 96), "Avg", 32),
        Mixed_3c=block(64, (64, 96), (64, 96), "Avg", 64),
        Mixed_4a=shrink((128, 160), (64, 96)),
        Mixed_4b=block(224, (64, 96), (96, 128), "Avg", 128),
        Mixed_4c=block(192, (96, 128), (96, 128), "Avg", 128),
        Mixed_4d=block(160, (128, 160), (128, 160), "Avg", 96),
        Mixed_4e=block(96, (128, 192), (160, 192), "Avg", 96),
        Mixed_5a=shrink((128, 192), (192, 256)),
        Mixed_5b=block(352, (192, 320), (160, 224), "Avg", 128),
        Mixed_5c=block(352, (192, 320), (192, 224), "Max", 128),
    )  # fmt: skip


def stem(m):
    """Separable: eight 7x7 filters for each of three channels, then 1x1."""
    import cenote
    from oracle.classics import Same

    if m.house == "cenote":
        filters = cenote.nn.Conv2d(3, 24, 7, 2, "same", groups=3, bias=False)
    else:
        filters = Same(nn.Conv2d(3, 24, 7, 2, groups=3, bias=False), (7, 7), 2)
    outputs = m.of(64)
    return filters, nn.Conv2d(24, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


def inception_v3(house="torch", width=1):
    """(Szegedy et al. 2015)"""
    m = Makers(house, width)
    mixed, row, column = Mixed(m, 192), (1, 7), (7, 1)

    def grid35(pool):
        return mixed(
            [(64, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], [("Avg", 1), (pool, 1)]
        )

    def grid17(c):
        return mixed(
            [(192, 1)], [(c, 1), (c, row), (192, column)],
            [(c, 1), (c, column), (c, row), (c, column), (192, row)], [("Avg", 1), (192, 1)],
        )  # fmt: skip

    def grid8():
        both = [(384, (1, 3)), (384, (3, 1))]
        return mixed(
            [(320, 1)], [(384, 1), both], [(448, 1), (384, 3), both], [("Avg", 1), (192, 1)]
        )

    return named(
        Conv2d_1a_3x3=m.conv(3, 32, 3, 2, same=False), Conv2d_2a_3x3=m.conv(32, 32, 3, same=False),
        Conv2d_2b_3x3=m.conv(32, 64, 3), MaxPool_3a_3x3=m.pool("Max", 3, 2, same=False),
        Conv2d_3b_1x1=m.conv(64, 80, 1, same=False), Conv2d_4a_3x3=m.conv(80, 192, 3, same=False),
        MaxPool_5a_3x3=m.pool("Max", 3, 2, same=False),
        Mixed_5b=grid35(32), Mixed_5c=grid35(64), Mixed_5d=grid35(64),
        Mixed_6a=mixed(
            [(384, 3, 2)], [(64, 1), (96, 3), (96, 3, 2)], [("Max", 2)], same=False
        ),
        Mixed_6b=grid17(128), Mixed_6c=grid17(160), Mixed_6d=grid17(160), Mixed_6e=grid17(192),
        Mixed_7a=mixed(
            [(192, 1), (320, 3, 2)], [(192, 1), (192, row), (192, column), (192, 3, 2)],
            [("Max", 2)], same=False,
        ),
        Mixed_7b=grid8(), Mixed_7c=grid8(),
    )  # fmt: skip
