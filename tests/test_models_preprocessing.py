"""Preprocessing: to the pixel what Pillow and the rounding rules of torchvision give."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cenote import models
from cenote.inspection.subject import load_subject
from cenote.models import Preprocessing

IMAGENET = Preprocessing(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def picture(width, height, mode="RGB", seed=0):
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(values, mode=None)


@pytest.mark.parametrize(
    ("width", "height"),
    [(500, 375), (375, 500), (402, 300), (256, 256), (300, 300), (31, 47), (224, 1000)],
)
def test_torchvisions_sizes_and_places(width, height):
    """Resize(256) and CenterCrop(224) by the formulas of torchvision's source, in floats."""
    image = picture(width, height)
    short, long = min(width, height), max(width, height)
    longer = int(256 * long / short)
    sizes = (256, longer) if width <= height else (longer, 256)
    resized = image if short == 256 else image.resize(sizes, Image.Resampling.BILINEAR)
    top, left = round((sizes[1] - 224) / 2.0), round((sizes[0] - 224) / 2.0)
    pixels = np.asarray(resized)[top : top + 224, left : left + 224]
    mean, std = np.float32(IMAGENET.mean), np.float32(IMAGENET.std)
    expected = ((pixels / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]
    found = IMAGENET(image)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-6)
    assert np.array_equal(np.asarray(IMAGENET.cut(image)), pixels)


def test_pillows_filter_averages_as_torchs_antialiased_one():
    image = picture(700, 520)
    planes = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(
        planes, (256, 344), mode="bilinear", antialias=True, align_corners=False
    )
    cut = torch.from_numpy(np.asarray(IMAGENET.cut(image)).copy()).permute(2, 0, 1)[None]
    # Pillow rounds to whole numbers twice, once an axis.
    torch.testing.assert_close(cut.float(), small[:, :, 16:240, 60:284], rtol=0, atol=1.01)


@pytest.mark.parametrize("mode", ["L", "RGBA", "RGB"])
def test_every_picture_gets_the_channels(mode):
    image = picture(300, 260, mode)
    assert IMAGENET(image).shape == (1, 3, 224, 224)
    grey = Preprocessing(32, 28, (0.5,), (0.25,))
    assert grey(image).shape == (1, 1, 28, 28)


def test_values():
    white = Image.new("L", (9, 9), 255)
    assert torch.equal(Preprocessing(4, 4, (0.5,), (0.25,))(white), torch.full((1, 1, 4, 4), 2.0))
    planes = torch.rand(2, 3, 4, 5)
    found = IMAGENET.normalised(planes)
    for c in range(3):
        expected = (planes[:, c] - IMAGENET.mean[c]) / IMAGENET.std[c]
        torch.testing.assert_close(found[:, c], expected)


def test_json_both_ways():
    text = json.dumps(IMAGENET.to_json())
    assert Preprocessing.from_json(json.loads(text)) == IMAGENET
    with pytest.raises(ValueError, match="the entries must be resize, crop, mean, std"):
        Preprocessing.from_json({"resize": 256})


REFUSED = {
    "crop": ((224, 256, (0.5,), (0.5,)), "crop = 256: must lie in 1 to resize = 224"),
    "no_crop": ((224, 0, (0.5,), (0.5,)), "crop = 0: must lie"),
    "lengths": ((8, 8, (0.5,), (0.5, 0.5, 0.5)), "one number for each of 1 or 3 channels"),
    "channels": ((8, 8, (0.5, 0.5), (0.5, 0.5)), "one number for each of 1 or 3 channels"),
    "std": ((8, 8, (0.5,), (0.0,)), r"std = \(0\.0,\): must be positive"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(reason):
    given, message = REFUSED[reason]
    with pytest.raises(ValueError, match=message):
        Preprocessing(*given)


def test_a_picture_without_pixels():
    with pytest.raises(ValueError, match="picture = 0x5: has no pixels"):
        IMAGENET(Image.new("RGB", (0, 5)))


def on_meta(name, **options):
    with torch.device("meta"):
        return models.get(name, **options).preprocessing


def test_what_the_networks_have():
    for name in models.names():
        wanted = None if "small" in name or name in ("lenet5", "nin_cifar") else IMAGENET
        assert on_meta(name) == wanted, name
    assert on_meta("vgg16", size=112) == Preprocessing(128, 112, IMAGENET.mean, IMAGENET.std)
    assert on_meta("vgg16", channels=1) is None
    assert on_meta("vgg16", size=(64, 96)) is None


def test_the_inspector_uses_it(tmp_path, monkeypatch):
    """Of a smaller network of the same form: AlexNet itself is a quarter of a gigabyte."""
    small = models.nin_small(channels=3, size=32)
    small.preprocessing = Preprocessing(40, 32, IMAGENET.mean, IMAGENET.std)
    monkeypatch.setattr(models, "get", lambda name: small)
    image = picture(90, 61)
    image.save(tmp_path / "picture.png")
    subject = load_subject("nin_small", image=tmp_path / "picture.png")
    assert torch.equal(subject.inputs[0], small.preprocessing(image))
    assert np.array_equal(subject.image, np.asarray(small.preprocessing.cut(image)))
    # What a person says comes first; at another size the numbers stay and the picture fills it.
    own = load_subject("nin_small", image=tmp_path / "picture.png", mean=[0] * 3, std=[1] * 3)
    assert own.inputs[0].min() >= 0
    other = load_subject("nin_small", ["1,3,48,40"], tmp_path / "picture.png")
    assert other.inputs[0].shape == (1, 3, 48, 40)
    assert other.prepare.mean == IMAGENET.mean
    small.preprocessing = "somebody else's"
    assert load_subject("nin_small").prepare.mean == ()
