"""A data set of ten easy classes, small enough to train on in a second, as IDX files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch

from cenote import training

# What every quick run has in common; one thread, so that the bits are the same everywhere.
QUICK = {
    "epochs": 3, "batch_size": 32, "validation": 40, "threads": 1, "progress": "none",
    "report": False,
}  # fmt: skip


def as_arguments(options: dict[str, object]) -> list[str]:
    """Options as the command line takes them."""
    written = []
    for name, value in options.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            written.append(f"--{option}" if value else f"--no-{option}")
        else:
            written += [f"--{option}", str(value)]
    return written


def write_data(folder: Path, *, train: int = 200, test: int = 60, seed: int = 0) -> Path:
    """28x28 images in which class k is a bright bar at height 2k + 4, under noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for stem, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = rng.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 4 : 2 * label + 7, 5:23] = 230
        _idx(folder / f"{stem}-images-idx3-ubyte", images)
        _idx(folder / f"{stem}-labels-idx1-ubyte", labels)
    return folder


def _idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    path.write_bytes(header + array.tobytes())


def weights(run: Path | training.Run) -> dict[str, torch.Tensor]:
    """Everything that the last checkpoint holds."""
    path = training.Run.open(run).last if isinstance(run, Path) else run.last
    return dict(training.Checkpoint.load(path).tensors)


def assert_same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Both hold the same names, and under each the same bits."""
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different, f"different: {', '.join(different)}"


def figures(run: training.Run) -> list[dict[str, float]]:
    """The history without what the clock says."""
    timed = ("seconds", "images_per_second", "loading_share")
    return [{k: v for k, v in record.items() if k not in timed} for record in run.history]
