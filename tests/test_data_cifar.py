"""CIFAR's binary files: read from folders and archives that the tests write, and every refusal."""

import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from cenote import data
from cenote.data import DataError, _cifar, _find
from cenote.data._cifar import ARCHIVES

TEN = [f"class {i}" for i in range(10)]


def ten(seed=0, n=6):
    """The files of a small CIFAR-10, and its images and labels as they were put in."""
    random = np.random.default_rng(seed)
    files, images, labels = {"batches.meta.txt": ("\n".join(TEN) + "\n\n").encode()}, [], []
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        x = random.integers(0, 256, (n, 3, 32, 32), np.uint8)
        y = random.integers(0, 10, n).astype(np.uint8)
        files[name] = b"".join(
            bytes([label]) + image.tobytes() for label, image in zip(y, x, strict=True)
        )
        images.append(x)
        labels.append(y)
    return files, np.concatenate(images), np.concatenate(labels)


def hundred(n=6):
    """The files of a small CIFAR-100: image i has coarse label i and fine label 99 - i."""
    image = bytes(3072)
    records = b"".join(bytes([i, 99 - i]) + image for i in range(n))
    return {
        "train.bin": records,
        "test.bin": records[: 3074 * 2],
        "coarse_label_names.txt": "\n".join(f"group {i}" for i in range(20)).encode(),
        "fine_label_names.txt": "\n".join(f"thing {i}" for i in range(100)).encode(),
    }


def lay(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def pack(path, files, inside="cifar-10-batches-bin"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{inside}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A world with nothing in it, in which the published CIFAR-10 is the one that ``ten`` makes."""
    for name in ("cwd", "cache", "system"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(_find, "_SYSTEM", tmp_path / "system")
    monkeypatch.setattr(_find, "_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(_find, "__file__", str(tmp_path / "site/cenote/data/_find.py"))
    digest = hashlib.sha256(pack(tmp_path / "pub.tar.gz", ten()[0]).read_bytes()).hexdigest()
    small = replace(ARCHIVES["cifar10"], sha256=digest, counts=(30, 6), mirrors=())
    monkeypatch.setitem(ARCHIVES, "cifar10", small)
    return tmp_path


@pytest.mark.parametrize("kind", ["folder", "folder_in_a_folder", "archive"])
def test_pixels_labels_and_names(tmp_path, kind):
    files, images, labels = ten()
    if kind == "archive":
        path = pack(tmp_path / "cifar-10-binary.tar.gz", files)
    else:
        inside = tmp_path / "ten" / ("cifar-10-batches-bin" if "in_a" in kind else "")
        lay(inside, files)
        path = tmp_path / "ten"
    train, test = (data.load(path, split) for split in ("train", "test"))
    assert torch.equal(train.images, torch.from_numpy(images[:30]))
    assert torch.equal(test.images, torch.from_numpy(images[30:]))
    assert train.labels.tolist() == labels[:30].tolist()
    assert train.classes == test.classes == tuple(TEN)


def test_a_hundred_classes_or_twenty(world):
    lay(world / "cwd/own", hundred())
    fine = data.load("own", "train")
    assert fine.labels.tolist() == [99, 98, 97, 96, 95, 94]
    assert fine.classes[99] == "thing 99"
    ARCHIVES["cifar100-coarse"] = replace(ARCHIVES["cifar100-coarse"], counts=(6, 2))
    coarse = data.load("cifar100-coarse", "test", data_dir="own")
    assert coarse.labels.tolist() == [0, 1]
    assert coarse.classes[:2] == ("group 0", "group 1")


@pytest.fixture(autouse=True)
def archives_as_they_were(monkeypatch):
    monkeypatch.setattr(_cifar, "ARCHIVES", ARCHIVES)
    before = dict(ARCHIVES)
    yield
    ARCHIVES.clear()
    ARCHIVES.update(before)


@pytest.mark.parametrize(
    "place", ["given/cifar10", "given", "cwd/datasets/cifar10", "cache/cifar10"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_found_by_name(world, place, packed):
    files, images, _ = ten()
    if packed:
        (world / place).mkdir(parents=True)
        (world / place / "cifar-10-binary.tar.gz").write_bytes((world / "pub.tar.gz").read_bytes())
    else:
        lay(world / place / "cifar-10-batches-bin", files)
    dataset = data.load("cifar10", "test", data_dir=world / "given", download=False)
    assert torch.equal(dataset.images, torch.from_numpy(images[30:]))
    assert dataset.name == "cifar10"


def test_another_archive_is_refused(world):
    path = pack(world / "cache/cifar10/cifar-10-binary.tar.gz", ten(seed=1)[0])
    with pytest.raises(
        DataError, match=f"{path}: expected cifar-10-binary.tar.gz with sha256 .*found"
    ):
        data.load("cifar10", "train", download=False)
    assert len(data.load(path, "train")) == 30


def test_another_number_of_records_is_refused_by_name(world):
    folder = lay(world / "cache/cifar10", ten(n=5)[0])
    with pytest.raises(
        DataError, match=r"cifar10: expected 30 images to train with, found 25; give the"
    ):
        data.load("cifar10", "train", download=False)
    assert len(data.load(folder, "train")) == 25


def test_nowhere(world):
    with pytest.raises(DataError) as caught:
        data.load("cifar10", "train", download=False)
    text = str(caught.value)
    assert text.startswith("cifar10: expected cifar-10-binary.tar.gz or a folder with data_batch_1")
    assert f"\n  {world}/cache/cifar10\n" in text
    assert "download: not tried, because downloading was switched off" in text
    assert f"Put cifar-10-binary.tar.gz into {world}/cache/cifar10, or name" in text


def test_the_published_sums():
    """From the authors' page, where both archives and their MD5 sums are, by way of others."""
    sums = {archive.file: archive.sha256[:8] for archive in ARCHIVES.values()}
    assert sums == {"cifar-10-binary.tar.gz": "c4a38c50", "cifar-100-binary.tar.gz": "58a81ae1"}
    assert all(len(archive.sha256) == 64 for archive in ARCHIVES.values())


def spoilt(name, change):
    files = ten()[0]
    files[name] = change(files[name])
    return files


REFUSED = {
    "cut_off": (
        spoilt("data_batch_2.bin", lambda b: b[:-1]),
        r"data_batch_2.bin: expected records of 3073 bytes, found 18437 bytes, "
        r"which is 5 of them and 3072 bytes more",
    ),
    "empty": (spoilt("data_batch_1.bin", lambda _: b""), "data_batch_1.bin: .* found 0 bytes"),
    "label_without_a_class": (
        spoilt("data_batch_3.bin", lambda b: b[: 2 * 3073] + b"\x0a" + b[2 * 3073 + 1 :]),
        "data_batch_3.bin: record 2, byte 6146: expected a label from 0 to 9, found 10",
    ),
    "a_name_missing": (
        spoilt("batches.meta.txt", lambda b: b[8:]),
        "batches.meta.txt: expected 10 names, found 9",
    ),
    "no_names": (
        {k: v for k, v in ten()[0].items() if k != "batches.meta.txt"},
        r"expected data_batch_1.bin, .*, batches.meta.txt, found no batches.meta.txt",
    ),
    "only_the_test_part": (
        {k: v for k, v in ten()[0].items() if "data" not in k},
        r"expected .*, found no data_batch_1.bin, data_batch_2.bin",
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(tmp_path, reason):
    files, message = REFUSED[reason]
    folder = lay(tmp_path / "ten", files)
    with pytest.raises(DataError, match=rf"{folder}: {message}"):
        data.load(folder, "train")


def test_a_damaged_archive(tmp_path):
    path = pack(tmp_path / "cifar-10-binary.tar.gz", ten()[0])
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(DataError, match=r"binary.tar.gz: a damaged archive, after \d files"):
        data.load(path, "train")
