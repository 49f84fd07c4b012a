"""Loading by name and by path: MNIST itself, the order of the places, and every refusal."""

import gzip
import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from cenote import data
from cenote.data import DataError, _find
from cenote.data._catalog import CATALOG, FILES, STEMS, Source
from test_data_idx import idx_bytes

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def contents(seed=0, n=6):
    """The four unpacked files of a small data set of our own, by stem."""
    generator = np.random.default_rng(seed)
    files = {}
    for images, labels in STEMS.values():
        files[images] = idx_bytes(generator.integers(0, 256, (n, 4, 5), np.uint8))
        files[labels] = idx_bytes((np.arange(n) % 3).astype(np.uint8))
    return files


def lay(folder, files, name="{}.gz", pack=gzip.compress):
    folder.mkdir(parents=True, exist_ok=True)
    for stem, content in files.items():
        (folder / name.format(stem)).write_bytes(pack(content))
    return folder


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A world with nothing in it but a data set that is called tiny and can be had nowhere."""
    for name in ("cwd", "cache", "system"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(_find, "_SYSTEM", tmp_path / "system")
    monkeypatch.setattr(_find, "_cache", lambda: tmp_path / "cache")
    sums = tuple(hashlib.sha256(contents()[stem]).hexdigest() for stem in FILES)
    monkeypatch.setitem(CATALOG, "tiny", Source("tiny", ("a", "b", "c"), sums, ()))
    return tmp_path


@pytest.mark.parametrize(
    ("split", "n", "first", "counts"),
    [
        (
            "train", 60_000, [5, 0, 4, 1, 9],
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        ),
        ("test", 10_000, [7, 2, 1, 0, 4], [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ],
)  # fmt: skip
def test_mnist(split, n, first, counts):
    dataset = data.load("mnist", split, download=False)
    assert dataset.name == "mnist"
    assert dataset.images.shape == (n, 1, 28, 28)
    assert dataset.labels[:5].tolist() == first
    assert torch.bincount(dataset.labels).tolist() == counts
    assert dataset.classes == tuple("0123456789")


def test_mnist_has_the_usual_statistics():
    (mean,), (std,) = data.load("mnist", "train", download=False).statistics()
    assert (round(mean, 4), round(std, 4)) == (0.1307, 0.3081)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_of_debian():
    dataset = data.load("fashion-mnist", "test", download=False)
    assert torch.bincount(dataset.labels).tolist() == [1000] * 10
    assert dataset.classes[dataset.labels[0]] == "Ankle boot"


PLACES = {
    "data_dir_with_the_name": "given/tiny",
    "data_dir_itself": "given",
    "datasets_here": "cwd/datasets/tiny",
    "datasets_above": "datasets/tiny",
    "cache": "cache/tiny",
    "system": "system/tiny",
}


@pytest.mark.parametrize("place", PLACES)
def test_found_in_each_place(world, place):
    lay(world / PLACES[place], contents())
    dataset = data.load("tiny", "train", data_dir=world / "given", download=False)
    assert dataset.classes == ("a", "b", "c")
    assert dataset.images.shape == (6, 1, 4, 5)


def test_found_beside_the_package(world, monkeypatch):
    lay(world / "checkout/datasets/tiny", contents())
    monkeypatch.setattr(_find, "__file__", str(world / "checkout/src/cenote/data/_find.py"))
    assert len(data.load("tiny", "test", download=False)) == 6


def test_the_first_place_wins(world):
    places = list(PLACES.values())
    for earlier, later in pairwise(places):
        lay(world / earlier, contents())
        lay(world / later, dict.fromkeys(FILES, b"never read"))
        assert len(data.load("tiny", "train", data_dir=world / "given", download=False)) == 6
        for stem in FILES:
            (world / earlier / f"{stem}.gz").unlink()


@pytest.mark.parametrize(
    ("name", "pack"), [("{}", bytes), ("{}.gz", gzip.compress), ("{}", gzip.compress)]
)
def test_packed_or_not(world, name, pack):
    lay(world / "cache/tiny", contents(), name, pack)
    assert len(data.load("tiny", "train", download=False)) == 6


def test_name_with_a_dot(world):
    files = {stem.replace("-idx", ".idx"): content for stem, content in contents().items()}
    lay(world / "cache/tiny", files, "{}", bytes)
    assert len(data.load("tiny", "train", download=False)) == 6


def test_other_content_names_both_sums(world):
    files = contents(seed=1)
    folder = lay(world / "cache/tiny", files)
    stem = "train-images-idx3-ubyte"
    expected, found = (hashlib.sha256(f[stem]).hexdigest() for f in (contents(), files))
    with pytest.raises(
        DataError,
        match=f"{stem}.gz: expected tiny's {stem} with sha256 {expected}, found {found}\n",
    ):
        data.load("tiny", "train", download=False)
    with pytest.raises(DataError, match=r"Remove the file .* or give the folder's path"):
        data.load("tiny", "train", download=False)
    assert len(data.load(folder, "train")) == 6


def test_another_data_sets_file_is_recognised(world):
    files = contents()
    files["train-labels-idx1-ubyte"] = files["t10k-labels-idx1-ubyte"] = idx_bytes(
        np.zeros(6, np.uint8)
    )
    sums = tuple(hashlib.sha256(files[stem]).hexdigest() for stem in FILES)
    CATALOG["tiny"] = Source("tiny", ("a",), (*sums[:1], "0" * 64, *sums[2:]), ())
    lay(world / "cache/tiny", files)
    with pytest.raises(DataError, match=r"found \w+, which is tiny's t10k-labels-idx1-ubyte"):
        data.load("tiny", "train", download=False)


def test_swapped_files(world):
    files = contents()
    images, labels = STEMS["train"]
    files[images], files[labels] = files[labels], files[images]
    lay(world / "cache/tiny", files)
    with pytest.raises(
        DataError, match=rf"{images}.gz: expected images \(3 dimensions\), found labels"
    ):
        data.load("tiny", "train", download=False)


def test_nowhere_lists_every_place(world):
    lay(world / "cache/tiny", {"train-images-idx3-ubyte": b""})
    lay(world / "system/tiny", {})
    with pytest.raises(DataError) as caught:
        data.load("tiny", "train", data_dir=world / "given", download=False)
    lines = str(caught.value).splitlines()
    pair = "train-images-idx3-ubyte[.gz] and train-labels-idx1-ubyte[.gz]"
    assert lines[0] == f"tiny: expected {pair}, found in none of"
    assert lines[1] == f"  {world}/given and {world}/given/tiny: no such folder"
    assert lines[2] == f"  datasets/tiny in {world}/cwd and the folders above it: no such folder"
    assert lines[3].startswith("  datasets/tiny in ")
    assert lines[4] == f"  {world}/cache/tiny: only train-images-idx3-ubyte.gz"
    assert lines[5] == f"  {world}/system/tiny: neither"
    assert lines[6] == "  download: not tried, because downloading was switched off"
    assert lines[7].startswith(f"Put the files into {world}/given/tiny, or name their folder with ")


def test_unknown_name_lists_the_names(world):
    with pytest.raises(
        DataError, match=r"data = 'mnits': neither a known data set \(mnist, fashion-mnist, tiny, "
    ):
        data.load("mnits", "train")


def test_names():
    made_or_packed = ("cifar10", "cifar100", "cifar100-coarse", "mnist1d", "traffic")
    assert data.names() == ("mnist", "fashion-mnist", *made_or_packed)


def test_unknown_split():
    with pytest.raises(ValueError, match="split = 'validation': must be one of train, test"):
        data.load("mnist", "validation")


@pytest.mark.parametrize("path", ["cwd/own", "cwd/own/t10k-labels-idx1-ubyte.gz"])
def test_a_path_is_the_folder_or_a_file_in_it(world, path):
    lay(world / "cwd/own", contents(seed=1))
    dataset = data.load(world / path, "train")
    assert dataset.name == "own"
    assert dataset.classes == ("0", "1", "2")
    assert dataset.images.flatten().tolist() == list(
        contents(seed=1)["train-images-idx3-ubyte"][16:]
    )
    assert torch.equal(data.load("./own", "train").images, dataset.images)


def test_both_splits_of_a_folder_agree_on_the_classes(world):
    files = contents()
    files["t10k-labels-idx1-ubyte"] = idx_bytes(np.full(6, 7, np.uint8))
    folder = lay(world / "own", files)
    for split in STEMS:
        assert data.load(folder, split).classes == tuple("01234567")


def test_a_folder_without_the_split(world):
    files = contents()
    del files["t10k-labels-idx1-ubyte"]
    folder = lay(world / "own", files)
    with pytest.raises(
        DataError,
        match=r"own: expected t10k-images-idx3-ubyte\[.gz\] and t10k-labels-idx1-ubyte\[.gz\], "
        r"found only t10k-images-idx3-ubyte.gz",
    ):
        data.load(folder, "test")


def test_counts_that_differ(world):
    files = contents()
    files["train-labels-idx1-ubyte"] = idx_bytes(np.zeros(5, np.uint8))
    folder = lay(world / "own", files)
    with pytest.raises(
        DataError, match=r"expected 6 labels, one for each image of train-.*, found 5"
    ):
        data.load(folder, "train")


def test_elements_that_are_not_bytes(world):
    files = contents()
    files["train-images-idx3-ubyte"] = idx_bytes(np.zeros((6, 4, 5), np.float32))
    folder = lay(world / "own", files)
    with pytest.raises(DataError, match=r"expected elements of uint8, found torch.float32"):
        data.load(folder, "train")
