"""What ``cenote train lenet5 --recipe fast`` reaches, beside ten plain epochs with torch's layers.

Five seeds; before each, two epochs of the same network with torch's own layers and optimiser, in
batches of 256 without augmentation, so that both see the machine in the same minutes. Prints, and
writes JSON.

    python benchmarks/lenet_recipe.py --out benchmarks/results/lenet_recipe.json
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch

import cenote
from cenote.data import Batches, load
from cenote.inspection.pace import torchs_own
from lenet_epoch import epoch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    given = parser.parse_args()
    torch.manual_seed(0)
    batches = Batches(load("mnist", "train"), 256, seed=0)
    plain = torchs_own(cenote.models.lenet5())
    plain.optimiser = torch.optim.Adam(plain.parameters(), lr=1e-3, fused=True)
    plain.losses = []
    epochs, runs = [], []
    for seed in range(given.seeds):
        epochs += [epoch(plain, batches, 2 * seed + part) for part in range(2)]
        with tempfile.TemporaryDirectory() as folder:
            result = cenote.fit(
                recipe=given.recipe, out=Path(folder) / "run", seed=seed, progress="none"
            )
        found = {"seed": seed}
        found |= {name: result.summary[name] for name in (
            "test_accuracy", "test_errors", "validation_accuracy", "seconds", "images_per_second",
        )}  # fmt: skip
        runs.append(found)
        print(f"seed {seed}: {100 * found['test_accuracy']:.2f} % of the test images,"
              f" {found['seconds']:.1f} s; torch's epochs {epochs[-2]:.1f} and {epochs[-1]:.1f} s",
              flush=True)  # fmt: skip
    accuracy = statistics.median(run["test_accuracy"] for run in runs)
    seconds = statistics.median(run["seconds"] for run in runs)
    ten = 10 * statistics.median(epochs)
    print(f"median {100 * accuracy:.2f} % in {seconds:.1f} s; ten of torch's epochs {ten:.1f} s")
    record = {"machine": cenote.doctor(), "recipe": given.recipe, "runs": runs,
              "torchs_epochs": epochs}  # fmt: skip
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
