"""The IDX reader: every element type, and what it says of files that are not what they ought."""

import gzip
import hashlib

import numpy as np
import pytest
import torch

from cenote.data import DataError, read_idx
from cenote.data._idx import read_with_sum

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(array):
    """The content of an IDX file, written from the format's description and not by our code."""
    array = np.asarray(array)
    code = CODES[array.dtype.str[1:]]
    sizes = np.array(array.shape, ">u4").tobytes()
    return (
        bytes([0, 0, code, array.ndim])
        + sizes
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 4, 5), np.uint8)


def written(folder, content, name="file-idx3-ubyte"):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", CODES)
def test_every_element_type_in_native_order(tmp_path, kind):
    array = (np.arange(24).reshape(2, 3, 4) * 5 - 40).astype(kind)
    read = read_idx(written(tmp_path, idx_bytes(array)))
    assert read.shape == (2, 3, 4)
    assert torch.equal(read, torch.from_numpy(array))


def test_packed_is_told_by_content_not_by_name(tmp_path, images):
    plain = written(tmp_path, idx_bytes(images), "plain.gz")
    packed = written(tmp_path, gzip.compress(idx_bytes(images)), "packed")
    assert torch.equal(read_idx(plain), torch.from_numpy(images))
    assert torch.equal(read_idx(packed), torch.from_numpy(images))


def test_longer_than_one_piece(tmp_path, monkeypatch, images):
    monkeypatch.setattr("cenote.data._idx._CHUNK", 13)
    path = written(tmp_path, gzip.compress(idx_bytes(images)))
    tensor, digest = read_with_sum(path)
    assert torch.equal(tensor, torch.from_numpy(images))
    assert digest == hashlib.sha256(idx_bytes(images)).hexdigest()


def test_no_elements_at_all(tmp_path):
    assert read_idx(written(tmp_path, idx_bytes(np.zeros((0, 28, 28), np.uint8)))).shape == (
        0,
        28,
        28,
    )


def test_result_may_be_written_to(tmp_path, images):
    read = read_idx(written(tmp_path, idx_bytes(images)))
    read.fill_(3)
    assert int(read.sum()) == 3 * images.size


REFUSED = {
    "cut_off_plain": (lambda good: good[:-1], r"expected 140 bytes .* 7x4x5, found only 139"),
    "one_byte_too_many": (lambda good: good + b"x", r"expected 140 bytes .* 7x4x5, found more"),
    "cut_off_gzip": (
        lambda good: gzip.compress(good)[:-20],
        r"expected 140 bytes .* cut off or damaged",
    ),
    "damaged_gzip": (
        lambda good: gzip.compress(good)[:-6] + b"\0\0" + gzip.compress(good)[-4:],
        r"expected 140 bytes .* cut off or damaged",
    ),
    "gzip_of_nothing_but_its_magic": (
        lambda _: b"\x1f\x8b",
        "expected an IDX header, found a damaged gzip",
    ),
    "empty": (lambda _: b"", "expected an IDX file, .* found an empty file"),
    "foreign": (lambda _: b"\x89PNG\r\n", "expected an IDX file, .* found 89 50 4e 47"),
    "unknown_element_type": (
        lambda good: good[:2] + b"\x0a" + good[3:],
        "expected an IDX file, .* found 00 00 0a 03",
    ),
    "no_dimension": (lambda good: good[:3] + b"\0", "expected an IDX file, .* found 00 00 08 00"),
    "cut_off_header": (lambda good: good[:9], "expected 3 sizes in the header, found 5 bytes"),
    "labels_for_images": (
        lambda _: idx_bytes(np.zeros(9, np.uint8)),
        r"expected images \(3 dimensions\), found labels \(1 dimension\) of size 9",
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused_with_file_expected_and_found(tmp_path, images, reason):
    spoil, message = REFUSED[reason]
    path = written(tmp_path, spoil(idx_bytes(images)), f"{reason}.gz")
    with pytest.raises(DataError, match=f"{reason}.gz: {message}"):
        read_idx(path, dimensions=3)


def test_images_for_labels(tmp_path, images):
    path = written(tmp_path, idx_bytes(images))
    with pytest.raises(DataError, match=r"expected labels \(1 dimension\), found images .* 7x4x5"):
        read_idx(path, dimensions=1)


def test_announced_size_beyond_memory_is_not_allocated(tmp_path):
    path = written(tmp_path, bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"abc")
    with pytest.raises(DataError, match="found only 3"):
        read_idx(path)
