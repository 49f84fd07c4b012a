"""AlexNet and VGG as torchvision defines them, others as their papers do, of torch's layers."""

from __future__ import annotations

import torch
from torch import nn

VGG = {
    "vgg11": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "vgg13": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


class Torchvision(nn.Module):
    """Three parts, with torchvision's names, and its flattening."""

    def __init__(self, features, avgpool, classifier):
        super().__init__()
        self.features, self.avgpool, self.classifier = features, avgpool, classifier

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def alexnet(classes=1000, channels=3):
    features = nn.Sequential(
        nn.Conv2d(channels, 64, kernel_size=11, stride=4, padding=2), nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(64, 192, kernel_size=5, padding=2), nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(192, 384, kernel_size=3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, kernel_size=3, padding=1), nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
    )  # fmt: skip
    classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, classes),
    )  # fmt: skip
    return Torchvision(features, nn.AdaptiveAvgPool2d((6, 6)), classifier)


def vgg(name, classes=1000, channels=3):
    """``name`` may end in ``_bn``."""
    layers, inputs = [], channels
    for word in VGG[name.removesuffix("_bn")].split():
        if word == "M":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(inputs, int(word), kernel_size=3, padding=1))
        if name.endswith("_bn"):
            layers.append(nn.BatchNorm2d(int(word)))
        layers.append(nn.ReLU(inplace=True))
        inputs = int(word)
    classifier = nn.Sequential(
        nn.Linear(512 * 7 * 7, 4096), nn.ReLU(True), nn.Dropout(),
        nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, classes),
    )  # fmt: skip
    return Torchvision(nn.Sequential(*layers), nn.AdaptiveAvgPool2d((7, 7)), classifier)


def nin_cifar():
    """The three blocks of the paper, in Caffe's order; its state dict's values, not its names."""
    return nn.Sequential(
        nn.Conv2d(3, 192, 5, padding=2), nn.ReLU(), nn.Conv2d(192, 160, 1), nn.ReLU(),
        nn.Conv2d(160, 96, 1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout(),
        nn.Conv2d(96, 192, 5, padding=2), nn.ReLU(), nn.Conv2d(192, 192, 1), nn.ReLU(),
        nn.Conv2d(192, 192, 1), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True), nn.Dropout(),
        nn.Conv2d(192, 192, 3, padding=1), nn.ReLU(), nn.Conv2d(192, 192, 1), nn.ReLU(),
        nn.Conv2d(192, 10, 1), nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(),
    )  # fmt: skip


class TwoTowers(nn.Module):
    """AlexNet of 2012 on two devices: convolutions of halves, and norms by the paper's formula."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def layer(self, name):
        return self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]

    def conv(self, name, x, towers, **arguments):
        weight, bias = self.layer(f"features.{name}")
        parts = zip(x.chunk(towers, 1), weight.chunk(towers), bias.chunk(towers), strict=True)
        return torch.cat([nn.functional.conv2d(*part, **arguments) for part in parts], 1).relu()

    def norm(self, x):
        squares = nn.functional.pad(x.square(), (0, 0, 0, 0, 2, 2))
        near = sum(squares[:, k : k + x.shape[1]] for k in range(5))
        return x / (2 + 1e-4 * near) ** 0.75

    def forward(self, x):
        pool = nn.MaxPool2d(3, 2)
        x = pool(self.norm(self.conv("conv1", x, 1, stride=4, padding=2)))
        x = pool(self.norm(self.conv("conv2", x, 2, padding=2)))
        x = self.conv("conv3", x, 1, padding=1)
        x = self.conv("conv4", x, 2, padding=1)
        x = pool(self.conv("conv5", x, 2, padding=1)).flatten(1)
        for name in ("fc6", "fc7"):
            x = nn.functional.linear(x, *self.layer(f"classifier.{name}")).relu()
        return nn.functional.linear(x, *self.layer("classifier.fc8"))
