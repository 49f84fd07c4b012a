"""Cases at the sizes at which time is measured; what is measured on them: `benchmarking.grid`."""

from __future__ import annotations

from functools import partial

from cenote.case_tables.case import Case, along, share

__all__ = ["BENCHMARKS"]

_both = partial(along, 2)

# 103 MB of float32: far more than any cache of the machines that this runs on.
_DRAM = (32, 64, 112, 112)

_KERNELS = [
    Case("big_2x2_s2", "the commonest pool", _DRAM, _both(2, 2)),
    Case("big_3x3_s1_p1", "more taps than outputs skip", _DRAM, _both(3, 1, 1)),
    Case("big_3x3_s2_p1", "the stem of ResNet, a batch", _DRAM, _both(3, 2, 1)),
    Case("big_5x5_s1_p2", "separable passes pay", _DRAM, _both(5, 1, 2)),
    Case("big_5x5_s2_p2", "wide windows, strided", _DRAM, _both(5, 2, 2)),
    Case("big_7x7_s1_p3", "wider, before running maxima pay", _DRAM, _both(7, 1, 3)),
    Case("big_13x13_s1_p6", "running maxima pay", (8, 64, 56, 56), _both(13, 1, 6)),
    Case("wide_5x5_s1_p2", "what kernels 31 and 63 are held to", (4, 64, 128, 128), _both(5, 1, 2)),
    Case("wide_31x31_s1_p15", "961 taps", (4, 64, 128, 128), _both(31, 1, 15)),
    Case("wide_63x63_s1_p31", "3969 taps", (4, 64, 128, 128), _both(63, 1, 31)),
    Case("peers_31x31_s1_p15", "a small one: peers visit every tap", (1, 8, 128, 128),
         _both(31, 1, 15)),
    Case("peers_63x63_s1_p31", "as small", (1, 8, 128, 128), _both(63, 1, 31)),
    Case("odd_widths", "rows that are no multiple of lanes", (32, 64, 111, 109), _both(3, 2, 1)),
    Case("rgb_2x2_s2", "few channels: rows of 3 in NHWC", (32, 3, 512, 512), _both(2, 2)),
    Case("rgb_3x3_s1_p1", "few channels, overlapping", (32, 3, 512, 512), _both(3, 1, 1)),
    Case("dilated_context", "dilated pooling", (8, 64, 64, 64), _both(3, 1, 2, 2)),
]  # fmt: skip

_NETWORKS = [
    Case("lenet_first", "LeNet-5: small planes, few channels", (256, 6, 28, 28), _both(2, 2)),
    Case("lenet_second", "LeNet-5: smaller planes", (256, 16, 10, 10), _both(2, 2)),
    Case("alexnet_first", "AlexNet, a batch", (32, 96, 55, 55), _both(3, 2)),
    Case("alexnet_last", "AlexNet: 13 to 6", (32, 256, 13, 13), _both(3, 2)),
    Case("vgg_first", "the largest pool of VGG-16", (8, 64, 224, 224), _both(2, 2)),
    Case("vgg_last", "the smallest pool of VGG-16", (8, 512, 14, 14), _both(2, 2)),
    Case("nin_first", "Network in Network", (32, 96, 54, 54), _both(3, 2)),
    Case("nin_head", "NiN ends in one mean a class", (128, 10, 5, 5), share(1, 1)),
    Case("googlenet_stem", "GoogLeNet: ceil", (16, 64, 112, 112), _both(3, 2, ceil=True)),
    Case("inception_branch", "GoogLeNet: stride 1 on small planes", (16, 192, 28, 28),
         _both(3, 1, 1)),
    Case("squeezenet_first", "one image, ceil mode", (1, 64, 111, 111), _both(3, 2, ceil=True)),
    Case("squeezenet_batch", "SqueezeNet 1.1, a batch", (16, 128, 55, 55), _both(3, 2, ceil=True)),
    Case("one_image_stem", "ResNet, latency: a single image", (1, 64, 112, 112), _both(3, 2, 1)),
    Case("resnet_head", "one output a plane, as a window", (64, 2048, 7, 7), _both(7)),
    Case("inception_v3_branch", "Inception-v3: the pooling branch", (16, 288, 35, 35),
         _both(3, 1, 1)),
    Case("inception_v3_reduction", "Inception-v3: odd planes", (16, 64, 147, 147), _both(3, 2)),
    Case("densenet_transition", "DenseNet: halves what it keeps", (16, 128, 56, 56), _both(2, 2)),
    Case("yolo_sppf", "YOLO's SPPF repeats it", (8, 256, 20, 20), _both(5, 1, 2)),
    Case("yolo_spp_9", "SPP: the middle window", (4, 512, 20, 20), _both(9, 1, 4)),
    Case("yolo_spp", "large windows, small planes", (4, 512, 20, 20), _both(13, 1, 6)),
]  # fmt: skip

_SHARES = [
    Case("resnet_head_global", "global pooling of ResNet", (64, 2048, 7, 7), share(1, 1)),
    Case("global_large_planes", "one output of 12544", (32, 64, 112, 112), share(1, 1)),
    Case("alexnet_adaptive", "6x6 of 13x13: shares overlap", (32, 256, 13, 13), share(6, 6)),
    Case("vgg_adaptive", "7x7 of 28x28: shares divide", (16, 512, 28, 28), share(7, 7)),
]

_OTHER_RANKS = [
    Case("audio_k4_s4", "a second of sound at 16 kHz", (32, 64, 16000), along(1, 4, 4)),
    Case("audio_k3_s1_p1", "sound, overlapping", (32, 64, 16000), along(1, 3, 1, 1)),
    Case("video_2x2x2_s2", "video and scans", (2, 32, 32, 112, 112), along(3, 2, 2)),
    Case("video_3x3x3_s2_p1", "the same, overlapping", (2, 32, 32, 112, 112), along(3, 3, 2, 1)),
    Case("video_3x3x3_s1_p1", "27 taps an output", (2, 32, 32, 112, 112), along(3, 3, 1, 1)),
]

_SIZES = [
    Case("tiny_call", "nothing but the overhead of a call", (1, 1, 4, 4), _both(2, 2)),
    Case("tiny_lenet", "a call on one small image", (1, 6, 28, 28), _both(2, 2)),
    Case("size_1e4", "cost per element: 10^4 of them", (1, 1, 100, 100), _both(2, 2)),
    Case("size_1e5", "cost per element: 10^5", (1, 10, 100, 100), _both(2, 2)),
    Case("size_1e6", "cost per element: 10^6", (1, 100, 100, 100), _both(2, 2)),
    Case("size_1e7", "cost per element: 10^7", (10, 100, 100, 100), _both(2, 2)),
    Case("size_1e8", "cost per element: 10^8", (100, 100, 100, 100), _both(2, 2)),
    Case("size_1e9", "cost per element: 10^9, 4 GB", (1000, 100, 100, 100), _both(2, 2)),
]

BENCHMARKS = _KERNELS + _NETWORKS + _SHARES + _OTHER_RANKS + _SIZES
