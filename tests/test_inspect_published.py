"""Sizes, strides and paddings of receptive fields against the table that was published.

The numbers are those of the table beside Araujo, Norris and Sim, "Computing Receptive Fields of
Convolutional Neural Networks" (Distill 2019): ``RECEPTIVE_FIELD_TABLE.md`` of
google-research/receptive_field. Its "effective padding" is how far unit 0 begins before the input,
the offset with its sign turned. Where padding is TensorFlow's "same" it depends on the size of the
image: the table has both 224 and 321, and so have the tests. Both ways of writing that padding must
lead there: explicitly, before torch's layers, and as cenote's ``padding="same"``.

The table's numbers agree with the algebra in all rows that are here. Its column of FLOPs does too,
to the three digits that it gives, if read as it was made: two for a multiply-accumulate of a
convolution (:mod:`test_inspect_macs`).
"""

import functools

import pytest
import torch

import cenote
from cenote import Field
from oracle import classics, inceptions

RESNETS = {
    "50": {"block1": (35, 8, 15, 17), "block2": (99, 16, 47, 49),
           "block3": (291, 32, 143, 145), "block4": (483, 32, 239, 241)},
    "101": {"block1": (35, 8, 15, 17), "block2": (99, 16, 47, 49),
            "block3": (835, 32, 415, 417), "block4": (1027, 32, 511, 513)},
}  # fmt: skip

TABLE = {
    "alexnet_v2": {
        "conv1": (11, 4, 0, 0), "pool1": (19, 8, 0, 0), "conv2": (51, 8, 16, 16),
        "conv3": (99, 16, 32, 32), "conv4": (131, 16, 48, 48), "conv5": (163, 16, 64, 64),
        "pool5": (195, 32, 64, 64),
    },
    "vgg_16": {
        "conv1_1": (3, 1, 1, 1), "pool1": (6, 2, 2, 2), "conv2_1": (10, 2, 4, 4),
        "pool2": (16, 4, 6, 6), "conv3_1": (24, 4, 10, 10), "conv3_2": (32, 4, 14, 14),
        "pool3": (44, 8, 18, 18), "conv4_1": (60, 8, 26, 26), "conv4_2": (76, 8, 34, 34),
        "pool4": (100, 16, 42, 42), "conv5_1": (132, 16, 58, 58), "conv5_2": (164, 16, 74, 74),
        "pool5": (212, 32, 90, 90),
    },
    "inception_v2": {
        "Conv2d_1a_7x7": (7, 2, 2, 3), "MaxPool_2a_3x3": (11, 4, 2, 5),
        "Conv2d_2b_1x1": (11, 4, 2, 5), "Conv2d_2c_3x3": (19, 4, 6, 9),
        "MaxPool_3a_3x3": (27, 8, 6, 13), "Mixed_3b": (59, 8, 22, 29), "Mixed_3c": (91, 8, 38, 45),
        "Mixed_4a": (123, 16, 46, 61), "Mixed_4b": (187, 16, 78, 93),
        "Mixed_4c": (251, 16, 110, 125), "Mixed_4d": (315, 16, 142, 157),
        "Mixed_4e": (379, 16, 174, 189), "Mixed_5a": (443, 32, 190, 221),
        "Mixed_5b": (571, 32, 254, 285), "Mixed_5c": (699, 32, 318, 349),
    },
    "inception_v3": {
        "Conv2d_1a_3x3": (3, 2, 0, 0), "Conv2d_2a_3x3": (7, 2, 0, 0),
        "Conv2d_2b_3x3": (11, 2, 2, 2), "MaxPool_3a_3x3": (15, 4, 2, 2),
        "Conv2d_3b_1x1": (15, 4, 2, 2), "Conv2d_4a_3x3": (23, 4, 2, 2),
        "MaxPool_5a_3x3": (31, 8, 2, 2), "Mixed_5b": (63, 8, 18, 18), "Mixed_5c": (95, 8, 34, 34),
        "Mixed_5d": (127, 8, 50, 50), "Mixed_6a": (159, 16, 58, 58),
        "Mixed_6b": (351, 16, 154, 154), "Mixed_6c": (543, 16, 250, 250),
        "Mixed_6d": (735, 16, 346, 346), "Mixed_6e": (927, 16, 442, 442),
        "Mixed_7a": (1055, 32, 490, 490), "Mixed_7b": (1183, 32, 554, 554),
        "Mixed_7c": (1311, 32, 618, 618),
    },
    "mobilenet_v1": {
        "Conv2d_0": (3, 2, 0, 1), "Conv2d_1_pointwise": (7, 2, 2, 3),
        "Conv2d_2_pointwise": (11, 4, 2, 5), "Conv2d_3_pointwise": (19, 4, 6, 9),
        "Conv2d_4_pointwise": (27, 8, 6, 13), "Conv2d_5_pointwise": (43, 8, 14, 21),
        "Conv2d_6_pointwise": (59, 16, 14, 29), "Conv2d_7_pointwise": (91, 16, 30, 45),
        "Conv2d_8_pointwise": (123, 16, 46, 61), "Conv2d_9_pointwise": (155, 16, 62, 77),
        "Conv2d_10_pointwise": (187, 16, 78, 93), "Conv2d_11_pointwise": (219, 16, 94, 109),
        "Conv2d_12_pointwise": (251, 32, 94, 125), "Conv2d_13_pointwise": (315, 32, 126, 157),
    },
    "resnet_v1_50": RESNETS["50"], "resnet_v1_101": RESNETS["101"],
    "resnet_v2_50": RESNETS["50"], "resnet_v2_101": RESNETS["101"],
}  # fmt: skip
"""By end-point: receptive field, effective stride, effective padding at 224 and at 321."""

NETWORKS = {
    "alexnet_v2": classics.alexnet,
    "vgg_16": classics.vgg_16,
    "inception_v2": inceptions.inception_v2,
    "inception_v3": inceptions.inception_v3,
    "mobilenet_v1": classics.mobilenet_v1,
    "resnet_v1_50": functools.partial(classics.resnet_50, 1),
    "resnet_v1_101": functools.partial(classics.resnet_101, 1),
    "resnet_v2_50": functools.partial(classics.resnet_50, 2),
    "resnet_v2_101": functools.partial(classics.resnet_101, 2),
}


def watched(name, resolution, house):
    """A network with few channels: fields do not depend on them."""
    model = NETWORKS[name](house=house, width=16).eval()
    return cenote.inspect(model, torch.rand(1, 3, resolution, resolution), backward=False)


@pytest.mark.parametrize("house", ["torch", "cenote"])
@pytest.mark.parametrize("resolution", [224, 321])
@pytest.mark.parametrize("name", TABLE)
def test_published_fields(name, resolution, house):
    record = watched(name, resolution, house)
    for end_point, (size, stride, *paddings) in TABLE[name].items():
        field = record.named(end_point)[-1].field
        padding = paddings[resolution == 321]
        expected = Field(size, stride, -padding)
        assert [axis.triple for axis in field.axes] == [expected] * 2, end_point
        assert field.aligned, end_point


def test_units_see_what_the_table_leaves_of_them_inside_the_image():
    record = watched("resnet_v1_50", 224, "torch")
    last = record.operators[record.outputs[0]]
    for unit in range(7):
        inside = (max(0, unit * 32 - 239), min(224, unit * 32 - 239 + 483))
        assert last.field.box((unit, 0))[0] == inside
        assert last.field.box((0, unit))[1] == inside


@pytest.mark.parametrize("edge", [220, 221])
def test_inception_v3_never_looks_at_the_last_three_columns_of_224(edge):
    """Strides without padding leave over what does not fill a window: of the image the last column,
    and of the 52 columns before the second pool the last. No triple says so.
    """
    model = NETWORKS["inception_v3"](width=16).eval()
    record = cenote.inspect(model, torch.rand(1, 3, 224, 224), backward=False)
    last = record.operators[record.outputs[0]]
    assert last.field.box((0, 4))[1][1] == 221
    x = torch.rand(1, 3, 224, 224)
    x[..., edge] = torch.nan
    with torch.no_grad():
        assert bool(model(x).isnan().any()) == (edge < 221)


def test_a_resnet_50_with_its_strides_in_first_units_sees_427():
    """As most write it today, with the stride in the 3x3 convolution of a block's first unit."""
    m, inputs = classics.Makers(width=16), 64
    layers = [torch.nn.Conv2d(3, 4, 7, 2, 3), torch.nn.MaxPool2d(3, 2, 1)]
    for block, depth in enumerate((3, 4, 6, 3)):
        for unit in range(depth):
            base, stride = 64 * 2**block, 2 if unit == 0 and block else 1
            layers.append(classics.Bottleneck(m, inputs, base, stride, 1))
            inputs = 4 * base
    model = torch.nn.Sequential(*layers).eval()
    record = cenote.inspect(model, torch.rand(1, 3, 224, 224), backward=False)
    stem, units = 7 + 2 * 2, [3 * 2 * 4, 2 * 4, 3 * 2 * 8, 2 * 8, 5 * 2 * 16, 2 * 16, 2 * 2 * 32]
    assert stem + sum(units) == 427
    assert record.operators[record.outputs[0]].field.sizes == (427, 427)
