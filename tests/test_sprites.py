"""What the sprites of a page hold, and the page as a text."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cenote
from browsing import blob
from cenote.inspection import inspect
from cenote.inspection.explorer import explorer_html, maps_of, write_explorer


def levels(entry):
    """The bytes of a sprite."""
    content = base64.b64decode(entry["sprite"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)))


def values(entry):
    """What a sprite says, (channels, height, width), by the rule that explorer.js states."""
    height, width = entry["pixels"]
    columns, sheet = entry["columns"], levels(entry).astype(float)
    tiles = sheet.reshape(-1, height, columns, width).swapaxes(1, 2).reshape(-1, height, width)
    known = np.where(tiles == 255, np.nan, tiles)
    shares = (known - 127) / 127 if entry["signed"] else known / 254
    return shares[: entry["count"]] * entry["limit"]


def half_a_level(entry):
    return entry["limit"] / (127 if entry["signed"] else 254) * 0.5001


@pytest.fixture(scope="module")
def record():
    torch.manual_seed(3)
    return inspect(cenote.models.lenet5(), torch.randn(1, 1, 28, 28), maps=True)


def chain(*layers, size):
    torch.manual_seed(5)
    return inspect(nn.Sequential(*layers), torch.randn(1, *size), maps=True)


def test_a_sprite_holds_every_value_to_half_a_level(record):
    maps = maps_of(record)
    assert len(maps) == len(record.operators)
    for operator in record.operators[:6]:
        entry = maps[str(operator.index)]
        expected = operator.output[0].numpy()
        assert (entry["count"], *entry["size"]) == expected.shape
        assert np.abs(values(entry) - expected).max() <= half_a_level(entry)
        assert entry["limit"] == pytest.approx(np.abs(expected).max())
        assert entry["signed"] == bool((expected < 0).any())


def test_zero_is_a_level_and_so_is_what_is_not_finite():
    torch.manual_seed(0)
    x = torch.tensor([[[[-3.0, 0.0, torch.nan], [1.0, torch.inf, 3.0]]]])
    entry = maps_of(inspect(nn.Sequential(nn.Identity(), nn.Hardtanh(-9, 9)), x * 1, maps=True))
    (entry,) = entry.values()
    assert entry["limit"] == 9
    assert levels(entry)[0].tolist() == [127 - 42, 127, 255]
    assert levels(entry)[1].tolist() == [127 + 14, 254, 127 + 42]


def test_large_maps_are_averaged_and_many_channels_cut():
    record = chain(nn.Conv2d(1, 70, 1), size=(1, 130, 64))
    (entry,) = maps_of(record).values()
    assert (entry["total"], entry["count"], entry["step"]) == (70, 64, (3, 1))
    assert entry["pixels"] == (44, 64)
    plane = record.operators[0].output[0, :64].numpy()
    means = [plane[:, top : top + 3].mean(1) for top in range(0, 130, 3)]  # the last of one row
    assert np.abs(values(entry) - np.stack(means, 1)).max() <= half_a_level(entry)
    (small,) = maps_of(record, channels=2, side=16).values()
    assert (small["count"], small["step"], small["pixels"]) == (2, (9, 4), (15, 16))


def test_vectors_keep_their_numbers_and_long_ones_are_cut():
    record = chain(nn.Flatten(), nn.Linear(6000, 5), size=(1, 60, 100))
    long, short = maps_of(record).values()
    assert (long["shown"], long["size"], long["values"]) == (4096, (1, 6000), None)
    assert short["values"] == pytest.approx(record.operators[-1].output[0].tolist(), rel=1e-4)
    flat = values(long).reshape(-1)[:4096]
    expected = record.operators[0].output[0, :4096].numpy()
    assert np.abs(flat - expected).max() <= half_a_level(long)


def test_a_volume_shows_its_middle_slice_and_a_signal_a_strip():
    record = chain(nn.Conv3d(1, 2, 3), size=(1, 9, 6, 7))
    (entry,) = maps_of(record).values()
    assert (entry["dims"], entry["base"], entry["size"]) == ([1, 3, 4], (0, 0, 3, 0, 0), (4, 5))
    expected = record.operators[0].output[0, :, 3].numpy()
    assert np.abs(values(entry) - expected).max() <= half_a_level(entry)
    (strip,) = maps_of(chain(nn.Conv1d(2, 3, 3), size=(2, 20))).values()
    assert (strip["dims"], strip["size"], strip["pixels"]) == ([1, None, 2], (1, 18), (1, 18))


class Tokens(nn.Module):
    """Patches as a sequence that comes first, as torch's attention has it inside."""

    def forward(self, x):
        """(1, C, H, W) -> (H*W, 1, C)."""
        return x.flatten(2).permute(2, 0, 1) + 0


def test_what_units_see_decides_which_dimensions_are_shown():
    record = chain(nn.Conv2d(3, 5, 4, 4), Tokens(), size=(3, 16, 16))
    entry = maps_of(record)[str(len(record.operators) - 1)]
    assert (entry["dims"], entry["size"], entry["lead"]) == ([None, 0, 2], (16, 5), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels = 0: must be at least 1"),
        ({"side": -1}, "side = -1: must be at least 1"),
    ],
)
def test_sprites_need_room(record, options, message):
    with pytest.raises(ValueError, match=message):
        maps_of(record, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"image": np.zeros((4, 4, 2))},
            r"image: shape \(4, 4, 2\) is neither .* \(1, 1, 28, 28\)",
        ),
        ({"effective": {99: np.ones((2, 2))}}, "effective: 99 is not one of 12 operators"),
        ({"effective": {0: np.ones(3)}}, r"effective\[0\]: shape \(3,\) is not \(rows, columns\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_shown_is_refused(record, options, message):
    with pytest.raises(ValueError, match=message):
        explorer_html(record, **options)


def test_the_page_holds_all_and_asks_for_nothing(record, tmp_path):
    path = write_explorer(
        record, tmp_path / "page.html", title="A title", image=torch.zeros(28, 28)
    )
    assert path == tmp_path / "page.html"
    text = path.read_text(encoding="utf-8")
    assert len(text) < 5_000_000
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert not re.search(r"@import|url\(", text)
    data = blob(text)
    assert data["record"] == json.loads(json.dumps(record.to_dict()))
    assert data["title"] == "A title"


def test_an_input_tensor_is_scaled_to_its_range():
    x = torch.linspace(-2, 5, 3 * 4 * 6).view(1, 3, 4, 6)
    record = inspect(nn.Conv2d(3, 1, 1), x, maps=True)
    image = blob(explorer_html(record, image=x))["image"]
    assert image["size"] == [4, 6]
    expected = (x[0].permute(1, 2, 0) + 2) / 7 * 255
    assert np.abs(levels(image) - expected.numpy()).max() <= 0.51
