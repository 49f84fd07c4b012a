"""Small copies of what published networks do around pooling and convolution."""

import torch
import torch.nn.functional as F
from torch import nn

from nasty.case import Net, conv, given, image, network, sequence


def unit(inputs, outputs, kernel=3, **options):
    return nn.Sequential(
        conv(inputs, outputs, kernel, bias=False, **options), nn.BatchNorm2d(outputs), nn.ReLU(True)
    )


@network("Inception: four branches, a stride-1 pool among them, joined")
class Inception(Net):
    def build(self):
        self.one, self.pooled = unit(8, 4, 1), unit(8, 4, 1)
        self.three = nn.Sequential(unit(8, 6, 1), unit(6, 8))
        self.five = nn.Sequential(unit(8, 4, 1), unit(4, 4, 5))

    def forward(self, x):
        pooled = self.pooled(F.max_pool2d(x, 3, 1, 1))
        return torch.cat([self.one(x), self.three(x), self.five(x), pooled], 1)


@network("Inception-v3: an average pool before the 1x1, its border counted")
class InceptionWithAverage(Net):
    def build(self):
        self.one, self.pooled = unit(8, 4, 1), unit(8, 4, 1)
        self.reduced = unit(8, 6, 3, stride=2, padding=0)

    def forward(self, x):
        pooled = self.pooled(F.avg_pool2d(x, kernel_size=3, stride=1, padding=1))
        y = torch.cat([self.one(x), pooled], 1)
        return torch.cat([self.reduced(y), F.max_pool2d(y, 3, 2)], 1)


@network("Inception-v3 scales its input channel by channel", lambda: image(2, 3, 19, 17))
class TransformedInput(Net):
    def build(self):
        self.stem = unit(3, 8, 3, stride=2)

    def forward(self, x):
        parts = [x[:, i : i + 1] * (0.5 + i) + (i - 1) * 0.1 for i in range(3)]
        return F.max_pool2d(self.stem(torch.cat(parts, 1)), 3, 2)


@network(
    "ResNet: a basic block and a strided one with a projected shortcut", lambda: image(2, 3, 19, 17)
)
class Residual(Net):
    class Block(Net):
        def __init__(self, inputs, outputs, stride):
            nn.Module.__init__(self)
            self.conv1, self.bn1 = (
                conv(inputs, outputs, stride=stride, bias=False),
                nn.BatchNorm2d(outputs),
            )
            self.conv2, self.bn2 = conv(outputs, outputs, bias=False), nn.BatchNorm2d(outputs)
            self.relu, self.downsample = nn.ReLU(inplace=True), None
            if stride > 1:
                self.downsample = nn.Sequential(
                    conv(inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs)
                )

        def forward(self, x):
            identity = x
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            if self.downsample is not None:
                identity = self.downsample(x)
            out += identity
            return self.relu(out)

    def build(self):
        self.stem = nn.Sequential(*unit(3, 16, 7, stride=2), nn.MaxPool2d(3, 2, 1))
        self.layer = nn.Sequential(self.Block(16, 16, 1), self.Block(16, 32, 2))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(32, 5)

    def forward(self, x):
        y = self.avgpool(self.layer(self.stem(x)))
        return self.fc(torch.flatten(y, 1))


@network("the same, seen whole", lambda: image(2, 3, 37, 41))
class ResidualLarge(Residual):
    pass


@network("DenseNet: everything before is joined, a transition follows")
class Dense(Net):
    def build(self):
        self.norms = nn.ModuleList(nn.BatchNorm2d(8 + 4 * i) for i in range(3))
        self.convs = nn.ModuleList(conv(8 + 4 * i, 4, bias=False) for i in range(3))
        self.transition = nn.Sequential(
            nn.BatchNorm2d(20), nn.ReLU(True), conv(20, 10, 1, bias=False), nn.AvgPool2d(2, 2)
        )

    def forward(self, x):
        features = [x]
        for norm, layer in zip(self.norms, self.convs, strict=True):
            features.append(layer(F.relu(norm(torch.cat(features, 1)), inplace=True)))
        return self.transition(torch.cat(features, 1))


@network("squeeze and excite, between norm and activation")
class SqueezeExcite(Net):
    def build(self):
        self.conv, self.norm = conv(8, 16), nn.BatchNorm2d(16)
        self.squeeze, self.excite = conv(16, 4, 1), conv(4, 16, 1)

    def forward(self, x):
        y = F.hardswish(self.norm(self.conv(x)))
        s = F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))
        return F.max_pool2d(y * F.hardsigmoid(self.excite(s)), 2)


@network("MobileNet: depthwise, then pointwise, a linear end, a sum")
class InvertedResidual(Net):
    def build(self):
        self.body = nn.Sequential(
            conv(8, 24, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU6(True),
            conv(24, 24, 3, groups=24, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU6(True),
            conv(24, 8, 1, bias=False),
            nn.BatchNorm2d(8),
        )

    def forward(self, x):
        return x + self.body(x)


@network("ShuffleNet: halves by chunk, channels shuffled by view and transpose")
class Shuffle(Net):
    def build(self):
        self.stem = nn.Sequential(*unit(8, 12), nn.MaxPool2d(3, 2, 1))
        self.branch = nn.Sequential(*unit(6, 6, 1), conv(6, 6, 3, groups=6), nn.BatchNorm2d(6))

    def forward(self, x):
        a, b = self.stem(x).chunk(2, dim=1)
        y = torch.cat((a, self.branch(b)), dim=1)
        n, c, h, w = y.size()
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


@network("SqueezeNet: fire, a classifying convolution, an average over all")
class Fire(Net):
    def build(self):
        self.squeeze, self.one, self.three = conv(8, 4, 1), conv(4, 8, 1), conv(4, 8)
        self.classifier = nn.Sequential(
            nn.Dropout(0.0), conv(16, 5, 1), nn.ReLU(True), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x):
        x = F.relu(self.squeeze(F.max_pool2d(x, 3, 2, ceil_mode=True)))
        return torch.flatten(self.classifier(F.relu(torch.cat([self.one(x), self.three(x)], 1))), 1)


@network("flattened by view: it needs dense values in NCHW order")
class FlattenByView(Net):
    def build(self):
        self.conv, self.fc = conv(8, 6), nn.Linear(6 * 8 * 7, 5)

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.conv(x)), 2)
        return self.fc(y.view(y.shape[0], -1))


@network("reshape, permute and a linear layer over channels, as ConvNeXt has it")
class ChannelsAtTheEnd(Net):
    def build(self):
        self.depthwise, self.norm = conv(8, 8, 7, groups=8), nn.LayerNorm(8)
        self.wide, self.thin = nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = x + self.thin(F.gelu(self.wide(y))).permute(0, 3, 1, 2)
        return F.max_pool2d(y, 2).reshape(len(x), 8, -1).transpose(1, 2)


@network("attention over places behind a convolution")
class Attention(Net):
    def build(self):
        self.patch = conv(8, 16, 4, stride=4, padding=0)
        self.attend, self.norm = nn.MultiheadAttention(16, 4, batch_first=True), nn.LayerNorm(16)

    def forward(self, x):
        y = self.patch(x).flatten(2).transpose(1, 2)
        z = self.norm(y)
        return y + self.attend(z, z, z, need_weights=False)[0]


@network("non-local: softmax over pooled places, and over channels")
class NonLocal(Net):
    def build(self):
        self.query, self.key, self.value = conv(8, 4, 1), conv(8, 4, 1), conv(8, 8, 1)

    def forward(self, x):
        key = F.max_pool2d(self.key(x), 2).flatten(2)
        value = F.max_pool2d(self.value(x), 2).flatten(2)
        weight = torch.softmax(self.query(x).flatten(2).transpose(1, 2) @ key, -1)
        return torch.softmax((value @ weight.transpose(1, 2)).view_as(x) + x, dim=1)


@network("sub-pixel: shuffled up, unshuffled down")
class SubPixel(Net):
    def build(self):
        self.up, self.down = conv(8, 24), conv(24, 4, 1)

    def forward(self, x):
        y = F.max_pool2d(F.leaky_relu(F.pixel_shuffle(self.up(x), 2)), 3, 1, 1)
        return self.down(F.pixel_unshuffle(y, 2))


@network("a pyramid: interpolated, added, returned at every level")
class Pyramid(Net):
    def build(self):
        self.down = nn.ModuleList(unit(8, 8, stride=2) for _ in range(3))
        self.side, self.out = nn.ModuleList(conv(8, 8, 1) for _ in range(3)), conv(8, 4)

    def forward(self, x):
        levels = []
        for part in self.down:
            levels.append(x := part(x))
        top, found = None, {}
        for i in (2, 1, 0):
            y = self.side[i](levels[i])
            if top is not None:
                y = y + F.interpolate(top, size=y.shape[-2:], mode="bilinear", align_corners=False)
            top, found[f"level {i}"] = y, self.out(y)
        found["pool"] = F.max_pool2d(top, kernel_size=1, stride=2, padding=0)
        return found


@network("channel and spatial attention: a mean and a maximum side by side")
class BothAttentions(Net):
    def build(self):
        self.conv, self.shared, self.spatial = (
            conv(8, 8),
            nn.Sequential(conv(8, 4, 1), nn.ReLU(), conv(4, 8, 1)),
            conv(2, 1, 7),
        )

    def forward(self, x):
        y = F.relu(self.conv(x))
        most, mean = (
            self.shared(F.adaptive_max_pool2d(y, 1)),
            self.shared(F.adaptive_avg_pool2d(y, 1)),
        )
        y = y * torch.sigmoid(most + mean)
        return y * torch.sigmoid(self.spatial(torch.cat([y.amax(1, True), y.mean(1, True)], 1)))


@network("blur pool: a maximum of stride 1, then a fixed depthwise filter")
class BlurPool(Net):
    def build(self):
        self.conv = conv(8, 8)
        line = torch.tensor([1.0, 2, 1]) / 4
        self.register_buffer("blur", (line[:, None] * line).expand(8, 1, 3, 3).clone())

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.conv(x)), 2, 1)
        return F.conv2d(F.pad(y, (1, 1, 1, 1), "reflect"), self.blur, stride=2, groups=8)


@network("a recurrent layer over pooled columns")
class Recurrent(Net):
    def build(self):
        self.conv, self.gru = conv(8, 6), nn.GRU(6 * 8, 5, batch_first=True)

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.conv(x)), 2)
        return self.gru(y.permute(0, 3, 1, 2).flatten(2))[0]


def per_rank(rank):
    layers = {
        1: (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d),
        3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d),
    }[rank]
    convolve, norm, most, mean, adaptive = layers
    return [
        convolve(4, 16, 3, padding=1),
        norm(16),
        nn.ReLU(True),
        most(2),
        convolve(16, 8, 1),
        mean(2),
        convolve(8, 6, 3, 2, 1),
        nn.GELU(),
        most(3, 1, 1),
        adaptive(1),
        nn.Flatten(),
    ]


sequence("audio", "one axis", lambda: per_rank(1), lambda: image(2, 4, 131))
sequence(
    "audio_unbatched",
    "one axis, no batch",
    lambda: [nn.Conv1d(4, 6, 9, 4), nn.ReLU(), nn.MaxPool1d(4)],
    lambda: image(4, 131),
)
sequence("video", "three axes", lambda: per_rank(3), lambda: image(2, 4, 9, 11, 10))
sequence(
    "video_channels_last",
    "three axes, channels last",
    lambda: per_rank(3),
    lambda: given(torch.randn(2, 4, 9, 11, 10).to(memory_format=torch.channels_last_3d)),
)
sequence(
    "video_in_planes",
    "a plane, then time",
    lambda: [
        nn.Conv3d(4, 8, (1, 3, 3), padding=(0, 1, 1)),
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0)),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ],
    lambda: image(2, 4, 5, 11, 10),
)
