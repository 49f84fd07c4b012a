"""Seconds per epoch of LeNet-5 on MNIST: cenote's stages against torch's layers, in turns.

The same network from the same weights, the same batches, the same optimiser, no augmentation;
torch carries out convolution, activation and pooling one after the other. Prints medians; writes
JSON.

    python benchmarks/lenet_epoch.py --epochs 7 --out benchmarks/results/lenet_epoch.json
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

import cenote
from cenote.data import Batches, load
from cenote.inspection.pace import torchs_own


def epoch(model, batches, number):
    """Seconds of one epoch of training; adds the loss of every batch to the model's list."""
    optimiser = model.optimiser
    start = time.perf_counter()
    for images, labels in batches.epoch(number):
        optimiser.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimiser.step()
        model.losses.append(loss.detach())
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=7, help="epochs of each contender")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    given = parser.parse_args()
    torch.manual_seed(0)
    batches = Batches(load("mnist", "train"), 256, seed=0)
    ours = cenote.models.lenet5()
    contenders = {"torch": torchs_own(ours), "cenote": ours}
    theirs = contenders["torch"].modules()
    assert not any(type(m).__module__.startswith("cenote.nn") for m in theirs)
    for model in contenders.values():
        model.optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        model.losses = []
    taken = {name: [] for name in contenders}
    for number in range(given.epochs):
        for name, model in contenders.items():
            taken[name].append(epoch(model, batches, number))
    # Sums of another order: the same at first, and training pulls roundings apart as it goes on.
    losses = {name: torch.stack(model.losses) for name, model in contenders.items()}
    first = float((losses["torch"] - losses["cenote"]).abs()[:20].max())
    last = {name: float(found[-len(batches) :].mean()) for name, found in losses.items()}
    record = {"machine": cenote.doctor(), "seconds": taken, "last_epochs_loss": last,
              "largest_difference_in_20_batches": first}  # fmt: skip
    for name, seconds in taken.items():
        print(f"{name:7} median {statistics.median(seconds):.3f} s an epoch, n = {len(seconds)},"
              f" {min(seconds):.3f} to {max(seconds):.3f}")  # fmt: skip
    ratios = [a / b for a, b in zip(taken["torch"], taken["cenote"], strict=True)]
    print(f"torch / cenote: {statistics.median(ratios):.2f}; losses of the first 20 batches differ"
          f" by at most {first:.1e}, of the last epoch {last}")  # fmt: skip
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
