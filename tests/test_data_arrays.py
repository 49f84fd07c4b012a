"""Data sets in .npz files: every way to name the arrays, held-out parts, and every refusal."""

import numpy as np
import pytest
import torch

from cenote import data
from cenote.data import DataError


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 5), np.uint8)


def saved(folder, **arrays):
    path = folder / "own.npz"
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("x", "y", "end"),
    [("x_{}", "y_{}", "test"), ("{}_images", "{}_labels", "test")],
)
def test_parts_of_their_own(tmp_path, x, y, end):
    path = saved(
        tmp_path,
        **{
            x.format("train"): images(6),
            y.format("train"): np.array([0, 1, 0, 1, 0, 1]),
            x.format(end): images(3, 1),
            y.format(end): np.array([[2], [0], [1]], np.uint8),
        },
    )
    assert data.parts(path) == ("train", "test")
    train, test = data.load(path, "train"), data.load(path, "test")
    assert torch.equal(train.images[:, 0], torch.from_numpy(images(6)))
    assert torch.equal(test.images[:, 0], torch.from_numpy(images(3, 1)))
    assert test.labels.tolist() == [2, 0, 1]
    assert train.classes == test.classes == ("0", "1", "2")
    assert train.name == "own"


def test_a_validation_part(tmp_path):
    y = np.arange(3)
    arrays = {
        f"{k}_{p}": v for p in ("train", "val", "test") for k, v in (("x", images(3)), ("y", y))
    }
    path = saved(tmp_path, **arrays)
    assert data.parts(path) == ("train", "validation", "test")
    assert len(data.load(path, "validation")) == 3


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("x_train", "y_train")])
def test_a_tenth_is_held_out_without_a_test_part(tmp_path, names):
    path = saved(tmp_path, **dict(zip(names, (images(40), np.arange(40) % 4), strict=True)))
    train, test = data.load(path, "train"), data.load(path, "test")
    assert (len(train), len(test)) == (36, 4)
    both = {tuple(x.flatten().tolist()) for part in (train, test) for x in part.images}
    assert len(both) == 40
    assert torch.equal(test.images, data.load(path, "test").images)


def test_equal_images_are_held_out_together(tmp_path):
    distinct = images(20)
    path = saved(tmp_path, images=np.concatenate([distinct] * 2), labels=np.arange(40) % 4)
    train, test = data.load(path, "train"), data.load(path, "test")
    one, other = ({tuple(x.flatten().tolist()) for x in part.images} for part in (train, test))
    assert len(test) == 4
    assert not one & other


def test_names_of_classes_and_values(tmp_path):
    path = saved(tmp_path, x=images(20), y=np.arange(20) % 2, classes=np.array(["no", "yes"]))
    assert data.load(path, "train").classes == ("no", "yes")
    path = saved(tmp_path, x=np.zeros((20, 7)), y=np.linspace(0, 1, 20))
    assert data.load(path, "train").regression


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    path = saved(tmp_path, x=np.array([{}, []], dtype=object), y=np.zeros(2))
    with pytest.raises(
        DataError, match=r"own.npz: x: not an array that can be read: .*allow_pickle"
    ):
        data.load(path, "train")


REFUSED = {
    "no_names_of_ours": (
        {"a": images(3), "b": np.zeros(3)},
        "expected images and labels or x and y or x_train and y_train or .*, found a, b",
    ),
    "counts_differ": ({"x": images(3), "y": np.arange(4)}, "3 images but 4 labels"),
    "label_without_a_class": (
        {"x": images(3), "y": np.arange(3), "classes": np.array(["a", "b"])},
        r"labels must lie in 0 to 1 for 2 classes, found 0 to 2, the first outside at \[2\]",
    ),
    "one_image": ({"x": images(1), "y": np.zeros(1, int)}, "to train and to test with, found one"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(tmp_path, reason):
    arrays, message = REFUSED[reason]
    with pytest.raises(DataError, match=message):
        data.load(saved(tmp_path, **arrays), "train")


def test_files_that_are_no_npz(tmp_path):
    path = saved(tmp_path, x=images(30), y=np.arange(30))
    whole = path.read_bytes()
    for content in (b"", b"no archive at all", whole[:-30], b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"own.npz: expected an .npz file of arrays"):
            data.load(path, "train")
    path.write_bytes(whole[:100] + bytes(300) + whole[400:])
    with pytest.raises(DataError, match=r"own.npz: x: not an array that can be read"):
        data.load(path, "train")
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="of several arrays, found a single one"):
        data.load(path, "train")


def test_parts_that_are_not_there(tmp_path):
    path = saved(tmp_path, x=images(20), y=np.arange(20))
    with pytest.raises(ValueError, match="split = 'validation': must be one of train, test"):
        data.load(path, "validation")
