"""Folders of pictures: every kind of file that is one, every kind that is not, parts and cache."""

import contextlib
import re
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from cenote import data
from cenote.data import DataError, DataWarning, _find, _folder
from cenote.data._pictures import Shape, guarded, read_header, read_picture


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(_find, "_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache/pictures"


def noise(seed, height=8, width=8, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def lay(root, classes=("cat", "dog"), n=10, **options):
    for c, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(n):
            noise(100 * c + i, **options).save(root / name / f"{i}.png")
    return root


def read(path, shape):
    with guarded():
        return read_picture(path, shape)


def test_classes_pixels_and_held_out_part(tmp_path):
    root = lay(tmp_path / "pets")
    (root / "dog/deep/deeper").mkdir(parents=True)
    noise(777).save(root / "dog/deep/deeper/late.PNG")
    train, test = data.load(root, "train"), data.load(root, "test")
    assert (len(train), len(test)) == (19, 2)
    assert train.classes == test.classes == ("cat", "dog")
    assert train.name == "pets"
    expected = {}
    for path in root.rglob("*.[pP]*"):
        pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)
        expected[tuple(pixels.flatten().tolist())] = path.relative_to(root).parts[0]
    for part in (train, test):
        for image, label in zip(part.images, part.labels, strict=True):
            assert expected.pop(tuple(image.flatten().tolist())) == part.classes[label]
    assert not expected


def test_parts_that_are_there(tmp_path):
    root = tmp_path / "pets"
    for part in ("train", "Val", "test"):
        lay(root / part, n=2)
    (root / "test/dog/0.png").unlink()
    assert data.parts(root) == ("train", "validation", "test")
    assert [len(data.load(root, part)) for part in data.parts(root)] == [4, 4, 3]
    (root / "test").rename(root / "other")  # now these are four classes
    assert data.parts(root) == ("train", "test")
    assert data.load(root, "train").classes == ("Val", "other", "train")


def test_val_is_what_imagenet_is_tested_with(tmp_path):
    for part, n in (("train", 3), ("val", 2)):
        lay(tmp_path / "net" / part, n=n)
    assert data.parts(tmp_path / "net") == ("train", "test")
    assert [len(data.load(tmp_path / "net", part)) for part in ("train", "test")] == [6, 4]


def test_a_train_folder_alone_gives_a_tenth_away(tmp_path):
    lay(tmp_path / "net/train")
    assert [len(data.load(tmp_path / "net", part)) for part in ("train", "test")] == [18, 2]


def test_class_that_only_the_test_part_has(tmp_path):
    lay(tmp_path / "net/train", n=2)
    lay(tmp_path / "net/test", ("cat", "dog", "emu"), n=2)
    with pytest.raises(DataError, match="test: emu: not among the 2 classes to train with"):
        data.load(tmp_path / "net", "test")


GREY = Shape(1, 4, 6)
COLOUR = Shape(3, 4, 6)


def flat(mode, value):
    return Image.new(mode, (6, 4), value)


PALETTE = flat("P", 1)
PALETTE.putpalette([0, 0, 0, 10, 200, 30])
SIXTEEN = Image.fromarray(np.full((4, 6), 25700, np.uint16))
MODES = {
    "grey": (flat("L", 90), [90, 90, 90], True, "png"),
    "black_and_white": (flat("1", 1), [255, 255, 255], True, "png"),
    "grey_with_alpha": (flat("LA", (100, 0)), [255, 255, 255], True, "png"),
    "colour": (flat("RGB", (10, 20, 30)), [10, 20, 30], False, "png"),
    "alpha_shows_white": (flat("RGBA", (0, 100, 200, 51)), [204, 224, 244], False, "png"),
    "palette": (PALETTE, [10, 200, 30], False, "png"),
    "sixteen_bits": (SIXTEEN, [100, 100, 100], True, "png"),
    "sixteen_bits_in_tiff": (SIXTEEN, [100, 100, 100], True, "tiff"),
    "floats": (Image.fromarray(np.full((4, 6), 0.4, np.float32)), [102] * 3, True, "tiff"),
    "inks": (flat("CMYK", (0, 255, 255, 0)), [255, 0, 0], False, "tiff"),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_pixel(tmp_path, mode):
    image, expected, grey, ending = MODES[mode]
    path = tmp_path / f"file.{ending}"
    image.save(path)
    got = read(path, COLOUR)
    assert got.shape == (3, 4, 6)
    assert got.dtype == torch.uint8
    assert got[:, 2, 3].tolist() == expected
    assert torch.equal(got, got[:, :1, :1].expand(3, 4, 6))
    assert read(path, GREY).shape == (1, 4, 6)
    with guarded():
        assert read_header(path).grey == grey


def test_transparent_colour_of_a_palette(tmp_path):
    PALETTE.save(tmp_path / "clear.png", transparency=1)
    assert read(tmp_path / "clear.png", COLOUR)[:, 0, 0].tolist() == [255, 255, 255]


def test_all_grey_pictures_have_one_channel(tmp_path):
    root = lay(tmp_path / "grey", n=3, channels=1)
    assert data.load(root, "train").images.shape[1] == 1
    assert data.load(root, "train", channels=3).images.shape[1] == 3
    noise(5).save(root / "cat/colour.png")
    assert data.load(root, "train").images.shape[1] == 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_upright_by_its_exif(tmp_path, orientation):
    upright = np.zeros((4, 6), np.uint8)
    upright[0, 0], upright[0, 5] = 255, 128
    undo = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(undo[orientation])).save(path, exif=exif)
    assert torch.equal(read(path, GREY)[0], torch.from_numpy(upright))
    with guarded():
        header = read_header(path)
    assert (header.height, header.width) == (4, 6)


def test_brought_to_size_from_the_middle(tmp_path):
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    # The filter looks a pixel beyond what is cut out.
    assert (read(tmp_path / "wide.png", Shape(1, 10, 10))[..., 1:-1] == 200).all()
    seen = read(tmp_path / "wide.png", Shape(1, 8, 8, resize=10))  # 10x30, of which the middle 8x8
    assert (seen == 200).all()
    seen = read(tmp_path / "wide.png", Shape(1, 8, 12, resize=12))
    assert (seen[0, 4, 1:-1] == 200).all()
    whole = read(tmp_path / "wide.png", Shape(1, 10, 30))
    assert whole[0, 5].tolist()[11:19] == [200] * 8
    assert whole[0, 5].tolist()[:9] == [0] * 9


def test_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path):
    rows, columns = np.mgrid[:1200, :1600]
    image = Image.fromarray(((rows + columns) * 255 // 2800).astype(np.uint8))
    image.save(tmp_path / "large.jpg", quality=95)
    image.save(tmp_path / "large.png")
    small = [read(tmp_path / f"large.{e}", Shape(1, 48, 64)).int() for e in ("jpg", "png")]
    assert (small[0] - small[1]).abs().max() <= 2  # JPEG's own loss


def test_different_sizes_need_a_size(tmp_path):
    root = lay(tmp_path / "pets")
    noise(5, 9, 7).save(root / "cat/other.png")
    with pytest.raises(DataError, match="of 2 sizes, from 8x8 to 9x7: give the size to bring"):
        data.load(root, "train")
    assert data.load(root, "train", size=(6, 5)).images.shape == (19, 3, 6, 5)
    assert data.load(root, "train", size=6, resize=7).images.shape == (19, 3, 6, 6)


def spoil(root):
    """Seven bad files among 20 good ones, and three that do not count."""
    good = (root / "cat/0.png").read_bytes()
    (root / "cat/empty.png").write_bytes(b"")
    (root / "cat/cut.png").write_bytes(good[: len(good) // 2])
    (root / "cat/notes.txt").write_text("not a picture")
    (root / "dog/flipped.png").write_bytes(good[:60] + bytes([good[60] ^ 255]) + good[61:])
    (root / "dog/huge.png").write_bytes(huge())
    (root / "dog/nowhere.png").symlink_to(root / "missing.png")
    (root / "README.md").write_text("in no class")
    (root / ".hidden").write_text("")
    (root / "dog/.DS_Store").write_bytes(b"")
    (root / ".cache").mkdir()
    return root


def huge():
    """A PNG of a few bytes whose header says 30000x30000."""

    def chunk(kind, content):
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


REASONS = {
    "cat/empty.png": "empty",
    "cat/cut.png": "damaged",
    "cat/notes.txt": "not a picture in a format that can be read",
    "dog/flipped.png": "damaged",
    "dog/huge.png": "huge: Image size (900000000 pixels) exceeds limit of 178956970 pixels",
    "dog/nowhere.png": "damaged: .*No such file",
    "README.md": "in no class's folder",
}


def test_bad_files_are_named_and_left_out(tmp_path):
    root = spoil(lay(tmp_path / "pets"))
    with pytest.warns(DataWarning, match="pets: 7 of 27 files are left out:\n") as caught:
        train = data.load(root, "train")
    assert len(train) == 18
    assert len(train.skipped) == 7
    for place, reason in REASONS.items():
        pattern = f"{root}/{place}: {reason}".replace("(", r"\(").replace(")", r"\)")
        assert any(re.search(pattern, line) for line in train.skipped), place
    text = str(caught[0].message)
    assert all(line in text for line in train.skipped)
    with pytest.warns(DataWarning, match="7 of 27"):  # from the cache the same is said again
        assert data.load(root, "train").skipped == train.skipped


def test_bad_files_are_refused_by_choice(tmp_path):
    root = spoil(lay(tmp_path / "pets"))
    with pytest.raises(DataError, match="pets: 7 of 27 files are no good pictures:\n") as caught:
        data.load(root, "train", bad="refuse")
    assert "cat/empty.png: empty" in str(caught.value)


def test_random_bytes_never_crash(tmp_path):
    """Pictures of several formats with a byte changed are read, or named as DataError."""
    random = np.random.default_rng(0)
    for ending in ("png", "jpg", "gif", "tiff", "bmp", "webp"):
        path = tmp_path / f"file.{ending}"
        noise(1, 12, 12).save(path)
        good = bytearray(path.read_bytes())
        for _ in range(60):
            spoilt = bytearray(good)
            for at in random.integers(0, len(good), 3):
                spoilt[at] = random.integers(256)
            path.write_bytes(spoilt[: random.integers(1, len(good))])
            with contextlib.suppress(DataError):
                assert read(path, COLOUR).shape == (3, 4, 6)


def test_class_without_a_picture(tmp_path):
    root = lay(tmp_path / "pets")
    (root / "emu").mkdir()
    with pytest.raises(DataError, match="expected a picture that can be read in emu, found none"):
        data.load(root, "train")


def test_folder_of_nothing(tmp_path):
    (tmp_path / "pets/cat").mkdir(parents=True)
    with pytest.raises(DataError, match="expected a picture that can be read in cat, found none"):
        data.load(tmp_path / "pets", "train")


def test_more_than_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(_folder, "_memory", lambda: 2**20)
    root = lay(tmp_path / "pets")
    with pytest.raises(
        DataError, match=r"20 pictures of 3x200x200 take 0.0 GiB, .* a smaller size"
    ):
        data.load(root, "train", size=200)


def test_second_run_decodes_nothing(tmp_path, monkeypatch, cache):
    root = lay(tmp_path / "pets")
    first = data.load(root, "train")
    assert [path.suffix for path in cache.iterdir()] == [".safetensors"]
    monkeypatch.setattr(_folder, "_decoded", lambda *_: pytest.fail("decoded again"))
    again = data.load(root, "train")
    assert again.fingerprint == first.fingerprint
    assert again.classes == first.classes


CHANGES = {
    "a_file_more": lambda root: noise(9).save(root / "cat/new.png"),
    "a_file_less": lambda root: (root / "cat/0.png").unlink(),
    "another_content": lambda root: noise(9).save(root / "cat/0.png"),
    "another_class": lambda root: (root / "cat/0.png").rename(root / "dog/z.png"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_cache_follows_the_files(tmp_path, change, cache):
    root = lay(tmp_path / "pets")
    before = [data.load(root, part).fingerprint for part in ("train", "test")]
    CHANGES[change](root)
    assert [data.load(root, part).fingerprint for part in ("train", "test")] != before
    assert len(list(cache.iterdir())) == 1  # the old one is replaced


def test_damaged_cache_is_written_anew(tmp_path, cache):
    root = lay(tmp_path / "pets")
    first = data.load(root, "train")
    (path,) = cache.iterdir()
    for content in (b"", path.read_bytes()[:200]):
        path.write_bytes(content)
        assert data.load(root, "train").fingerprint == first.fingerprint


def test_cache_that_cannot_be_written_only_warns(tmp_path, cache):
    root = lay(tmp_path / "pets")
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    with pytest.warns(DataWarning, match="the pictures are not kept: "):
        assert len(data.load(root, "train")) == 18


def test_warnings_of_the_process_are_as_before(tmp_path):
    root = lay(tmp_path / "pets")
    before = list(warnings.filters)
    data.load(root, "train")
    assert warnings.filters == before


REFUSED = [
    ({"size": 0}, "size = 0: must be at least 1"),
    ({"size": 8, "resize": 7}, "resize = 7: must be at least size = 8"),
    ({"resize": 7}, r"resize = 7: give the size to cut out of it, too \(size=, --size\)"),
    ({"channels": 2}, "channels = 2: must be 1, 3 or None"),
    ({"bad": "ignore"}, "bad = 'ignore': must be one of skip, refuse"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_refused(tmp_path, options, message):
    root = lay(tmp_path / "pets", n=1)
    with pytest.raises(ValueError, match=message):
        data.load(root, "train", **options)
