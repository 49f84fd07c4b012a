"""What shifts do to LeNet-5 on MNIST, with max pooling and with a blur in front of its strides.

Both networks start from the same weights, a pair for each seed, and are trained in the same way, on
the 60,000 training images as they are: shifted ones would teach what is measured here. Then test
images are shifted by 1 to 4 pixels along each axis and along both; further on, most digits leave
the image in part. Prints tables, and writes JSON, the means over the seeds, each of them, and of
the first seed every layer, and a picture of the first seed beside it.

    python benchmarks/shift_lenet.py --out docs/images/shift/lenet5.json
"""

import argparse
import json
import statistics
from pathlib import Path

import torch
from torch.nn import functional as F

import cenote
from cenote.data import Batches, load
from cenote.inspection.shifting import compare, with_blur

AMOUNTS = range(1, 5)
CURVES = ("consistency", "confidence", "accuracy")


def train(model, data, epochs, seed):
    """Adam in batches of 256, its rate falling from 0.002 to 0 in a straight line."""
    batches = Batches(data, 256, seed=seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    steps = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    model.train()
    for epoch in range(epochs):
        for x, y in batches.epoch(epoch):
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def pair(seed, data, given):
    """Both networks, trained, or with the weights that were kept."""
    torch.manual_seed(seed)
    start = cenote.models.lenet5()
    models = {"max pooling": start, "blurred max pooling": with_blur(start)}
    for name, model in models.items():
        kept = given.weights and given.weights / f"lenet5-{name.split()[0]}-{seed}.pt"
        if kept and kept.exists():
            model.load_state_dict(torch.load(kept))
            continue
        train(model, data, given.epochs, seed)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), kept)
    return models


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=5_000, help="how many test images")
    parser.add_argument(
        "--weights", type=Path, help="a folder to keep the weights in, or take them"
    )
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    given = parser.parse_args()
    data, test = load("mnist", "train"), load("mnist", "test")
    mean, std = data.statistics()
    x, y = next(Batches(test, given.images, seed=0, shuffle=False, mean=mean, std=std).epoch(0))
    found = []
    for seed in range(given.seeds):
        networks = pair(seed, data, given)
        layers = () if found else None  # those of the first seed alone
        found.append(compare(networks, x, labels=y, amounts=AMOUNTS, layers=layers, batch_size=500))
        for name, one in found[-1].networks.items():
            print(f"seed {seed}, {name}: accuracy {100 * one.accuracy:.2f} %, consistency",
                  *(f"{100 * value:.2f}" for _, value in one.curve()), flush=True)  # fmt: skip
    print(found[0].table())
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(record(found, given), indent=1) + "\n")
        found[0].draw(given.out.with_suffix(".svg"))


def record(found, given):
    networks = {}
    for name, first in found[0].networks.items():
        each = [one.networks[name] for one in found]
        networks[name] = {"accuracy": [one.accuracy for one in each]}
        for quantity in CURVES:
            curves = [dict(one.curve(quantity)) for one in each]
            networks[name]["shifted " + quantity] = [
                {"amount": amount, "mean": statistics.mean(values), "each": values}
                for amount in first.amounts
                for values in [[curve[amount] for curve in curves]]
            ]
    return {
        "command": f"benchmarks/shift_lenet.py --epochs {given.epochs}"
        f" --seeds {given.seeds} --images {given.images}",
        "torch": torch.__version__, "images": given.images, "networks": networks,
        "first": found[0].to_dict(),
    }  # fmt: skip


if __name__ == "__main__":
    main()
