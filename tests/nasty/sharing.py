"""Modules used more than once, values used more than once, and values changed in place."""

import torch
import torch.nn.functional as F
from torch import nn

from nasty.case import Net, conv, given, image, network


@network("its weight has two uses and its gradient is their sum")
class ConvUsedTwice(Net):
    def build(self):
        self.conv = conv(8, 8)

    def forward(self, x):
        return F.max_pool2d(self.conv(F.relu(self.conv(x))), 2)


@network("folded into one convolution it would be missing after the other")
class NormAfterTwoConvs(Net):
    def build(self):
        self.first, self.second, self.norm = conv(8, 6), conv(8, 6, 1), nn.BatchNorm2d(6)

    def forward(self, x):
        return torch.relu(self.norm(self.first(x))) + torch.relu(self.norm(self.second(x)))


@network("one pooling module, two places with different sizes")
class PoolUsedTwice(Net):
    def build(self):
        self.first, self.second, self.pool = conv(8, 6), conv(6, 4), nn.MaxPool2d(3, 2, 1)

    def forward(self, x):
        return self.pool(F.relu(self.second(self.pool(F.relu(self.first(x))))))


@network("one activation serves as the end of a stage, alone and before a sum")
class ReluShared(Net):
    def build(self):
        self.first, self.second = conv(8, 8), conv(8, 8)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(2)

    def forward(self, x):
        y = self.relu(self.first(x))
        return self.pool(self.relu(self.second(y) + y)), self.relu(self.second(y))


@network("the same block object stands twice in one Sequential")
class BlockTwiceInSequence(Net):
    def build(self):
        block = nn.Sequential(conv(8, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.body = nn.Sequential(block, conv(8, 8), block)

    def forward(self, x):
        return self.body(x)


@network("two convolutions hold one parameter")
class WeightTied(Net):
    def build(self):
        self.first, self.second = conv(8, 8), conv(8, 8)
        self.second.weight = self.first.weight

    def forward(self, x):
        return F.max_pool2d(self.second(torch.tanh(self.first(x))), 3, 2)


@network("one module is known by two names, and state_dict has both")
class OneModuleTwoNames(Net):
    def build(self):
        self.features = nn.Sequential(conv(8, 8), nn.ReLU(), nn.MaxPool2d(2))
        self.stem = self.features[0]

    def forward(self, x):
        return self.features(x) + F.max_pool2d(self.stem(x), 2)


@network("the convolution's output is used before relu_ changes it, and after")
class InPlaceReluWithOtherUsers(Net):
    def build(self):
        self.conv, self.pool = conv(8, 6), nn.MaxPool2d(2)

    def forward(self, x):
        y = self.conv(x)
        before = y.mean()
        z = self.pool(y.relu_())
        return z, y + 1, before


@network("the in-place activation's output is thrown away; what it changed is used")
class InPlaceModuleWithoutResult(Net):
    def build(self):
        self.conv, self.relu, self.pool = conv(8, 6), nn.ReLU(inplace=True), nn.MaxPool2d(2)

    def forward(self, x):
        y = self.conv(x)
        self.relu(y)
        return self.pool(y)


@network("the residual is changed by an in-place sum, then used again")
class InPlaceAddToResidual(Net):
    def build(self):
        self.first, self.second, self.norm = conv(8, 8), conv(8, 8), nn.BatchNorm2d(8)

    def forward(self, x):
        y = self.first(x)
        y += self.norm(self.second(x))
        return F.max_pool2d(F.relu_(y), 2), y


@network("relu_ on half of the channels; the whole is pooled afterwards")
class InPlaceOnAView(Net):
    def build(self):
        self.conv, self.norm = conv(8, 8), nn.BatchNorm2d(8)

    def forward(self, x):
        y = self.norm(self.conv(x))
        y.narrow(1, 3, 4).mul_(-2)
        y[:, :4].relu_()
        return F.max_pool2d(y, 3, 2, 1)


@network("written into after the convolution, before the pooling", leaves=True)
class SliceAssignment(Net):
    def build(self):
        self.conv = conv(8, 8)

    def forward(self, x):
        y = self.conv(x)
        y[:, :, 0] = 5
        y[..., -1:] = -y[..., :1]
        return F.max_pool2d(y, 2), F.avg_pool2d(y, 2)


@network("the caller's own tensor is changed, as relu_ on an input does", leaves=False)
class InPlaceOnTheInput(Net):
    def build(self):
        self.conv = conv(8, 6)

    def forward(self, x):
        return F.max_pool2d(self.conv(x.relu_()), 2)


@network("relu_ reaches the input through a view", leaves=False)
class InPlaceOnAnInputsView(Net):
    def build(self):
        self.relu, self.conv = nn.ReLU(inplace=True), conv(4, 6)

    def forward(self, x):
        return self.conv(self.relu(x.transpose(2, 3)[:, 2:6])), x * 1


@network("the pool is read by two convolutions and a sum")
class PoolOutputUsedTwice(Net):
    def build(self):
        self.stem, self.left, self.right = conv(8, 6), conv(6, 6), conv(6, 6, 1)

    def forward(self, x):
        p = F.max_pool2d(F.relu(self.stem(x)), 3, 2)
        return self.left(p) + self.right(p) + p


@network("one convolution, a maximum and an average of it")
class TwoPoolsOfOneConv(Net):
    def build(self):
        self.conv, self.most, self.mean = conv(8, 6), nn.MaxPool2d(2), nn.AvgPool2d(2)

    def forward(self, x):
        y = self.conv(x)
        return torch.cat([self.most(y), self.mean(y)], 1)


@network("pooled before and after the activation")
class PooledOnBothSidesOfRelu(Net):
    def build(self):
        self.conv, self.norm = conv(8, 6), nn.BatchNorm2d(6)

    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.max_pool2d(y, 2) - F.max_pool2d(F.relu(y), 2)


@network("the caller sees what the stage would not keep")
class PooledAndReturned(Net):
    def build(self):
        self.conv, self.relu, self.pool = conv(8, 6), nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, x):
        y = self.relu(self.conv(x))
        return self.pool(y), y


@network("U-Net keeps the activation for the way up")
class SkipOverThePool(Net):
    def build(self):
        self.down, self.middle, self.up = conv(8, 6), conv(6, 6), conv(12, 4)

    def forward(self, x):
        skip = F.relu(self.down(x))
        y = F.relu(self.middle(F.max_pool2d(skip, 2)))
        y = F.interpolate(y, size=skip.shape[2:], mode="nearest")
        return self.up(torch.cat([skip, y], 1))


@network("pool(y) + y, and a pooled shortcut as ResNet-D has it", lambda: image(2, 8, 16, 14))
class ResidualAroundThePool(Net):
    def build(self):
        self.conv, self.pool = conv(8, 8), nn.MaxPool2d(3, 1, 1)
        self.down, self.short = conv(8, 8, 3, stride=2), conv(8, 8, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        y = F.relu(self.conv(x))
        y = self.pool(y) + y
        return F.relu(self.down(y) + self.norm(self.short(F.avg_pool2d(y, 2))))


@network("only one of the two readers of a batch norm is an activation")
class NormOutputUsedTwice(Net):
    def build(self):
        self.conv, self.norm, self.next = conv(8, 6), nn.BatchNorm2d(6), conv(6, 6)

    def forward(self, x):
        y = self.norm(self.conv(x))
        return self.next(F.relu(y)) + y


@network("conv-bn-relu-pool, and the convolution's raw output as well")
class WholeStageWithTheConvUsedTwice(Net):
    def build(self):
        self.conv, self.norm, self.pool = conv(8, 6), nn.BatchNorm2d(6), nn.MaxPool2d(2)

    def forward(self, x):
        y = self.conv(x)
        return self.pool(F.relu(self.norm(y))) * y.mean((2, 3), keepdim=True)


@network("a folded norm must not be felt by its second convolution's reader")
class NormAndRawSum(Net):
    def build(self):
        self.conv, self.norm = conv(8, 8), nn.BatchNorm2d(8)

    def forward(self, x):
        y = self.conv(x)
        return F.relu(self.norm(y) + y + x)


@network("relu_ of a sum whose summand is returned")
class InPlaceOnWhatIsReturned(Net):
    def build(self):
        self.conv, self.norm = conv(8, 8), nn.BatchNorm2d(8)

    def forward(self, x):
        y = self.norm(self.conv(x))
        out = y.add_(x)
        return y, out.relu_(), F.max_pool2d(y, 2)


@network(
    "two values of one batch, one weight: as in a Siamese network",
    lambda: given(torch.randn(2, 8, 17, 15), torch.randn(2, 8, 12, 9)),
)
class Siamese(Net):
    def build(self):
        self.tower = nn.Sequential(
            conv(8, 16),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            conv(16, 16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, a, b):
        return F.cosine_similarity(self.tower(a), self.tower(b))


@network("a module calls itself with smaller images")
class Recursive(Net):
    def build(self):
        self.conv, self.pool = conv(8, 8), nn.MaxPool2d(2)

    def forward(self, x):
        y = self.pool(F.relu(self.conv(x)))
        return self(y) if y.shape[-1] > 2 else y
