"""What augmenting a batch costs: cenote.data.augment on uint8 against kornia on float32.

Both do the same kinds of change with the same ranges, in turns in one process; kornia draws from
the global generator. kornia is no dependency of cenote: ``pip install --no-deps kornia kornia_rs``.

    cd benchmarks && python augmentations.py --out results/augmentations.json
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F

from cenote.data import augment

ROUNDS = 30
BATCHES = {"256x1x28x28": (256, 1, 28, 28), "256x3x32x32": (256, 3, 32, 32)}


def theirs(shape):
    import kornia.augmentation as k

    _, channels, height, width = shape
    size = (height, width)
    colour = k.ColorJiggle(0.2, 0.2, 0.2, 0.0, p=1.0)
    return {
        "flip": k.RandomHorizontalFlip(p=0.5),
        "crop4": k.RandomCrop(size, padding=4),
        "resizedcrop": k.RandomResizedCrop(size, scale=(0.35, 1.0)),
        "affine": k.RandomAffine(10, (2 / width, 2 / height), (0.9, 1.1), 5, p=1.0),
        "erase": k.RandomErasing(p=0.5),
        "colour": colour if channels == 3 else k.RandomBrightness((0.8, 1.2), p=1.0),
        "mixup": k.RandomMixUpV2(p=1.0, data_keys=["input"]),
        "cutmix": k.RandomCutMixV2(p=1.0, data_keys=["input"]),
    }


def ours(name, images, targets):
    change, generator = augment.by_name(name), torch.Generator().manual_seed(0)
    if augment.mixes(change):
        return lambda: change.mix(images, targets, generator)
    return lambda: change(images, generator)


def milliseconds(calls):
    """Median and quartiles of each call; the calls take turns."""
    seen = {name: [] for name in calls}
    for turn in range(ROUNDS + 2):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn >= 2:
                seen[name].append((time.perf_counter() - began) * 1e3)
    return {name: [round(q, 3) for q in statistics.quantiles(s, n=4)] for name, s in seen.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # kornia's own, about torch
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    results = {}
    for title, shape in BATCHES.items():
        images = torch.randint(256, shape, dtype=torch.uint8)
        floats, targets = images / 255, F.one_hot(torch.randint(10, shape[:1]), 10).float()
        for name, change in theirs(shape).items():
            mine = ours(name, images, targets)
            times = milliseconds({"cenote": mine, "kornia": lambda c=change, x=floats: c(x)})
            results[f"{title} {name}"] = times
            print(
                f"{title} {name:12} " + "  ".join(f"{k} {v[1]:7.2f} ms" for k, v in times.items())
            )
    document = {
        "unit": "ms: quartiles",
        "rounds": ROUNDS,
        "threads": arguments.threads,
        "load_average": os.getloadavg()[0],
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "versions": {n: importlib.metadata.version(n) for n in ("torch", "kornia")},
        "results": results,
    }
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
