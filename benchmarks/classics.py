"""The classics on MNIST and Fashion-MNIST: accuracy, seconds an epoch and peak memory.

LeNet-5 and the small forms of AlexNet, VGG and network in network, five seeds each, from the plans
below; they were chosen on validation images. Then each network's pace, of cenote's layers and of
torch's own in turns, in processes that do nothing else. A record that is there already is gone on
with: what it holds is not trained again. Prints; writes JSON.

    RECORD=benchmarks/results/classics.json
    python benchmarks/classics.py train --out $RECORD
    python benchmarks/classics.py pace --out $RECORD
    python benchmarks/classics.py table --out $RECORD --page docs/networks.md
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import cenote
from cenote.data import Batches, augment, load
from cenote.inspection.pace import torchs_own
from cenote.training import RECIPES, Run
from cenote.training.recipe import optimizer

DATA = ("mnist", "fashion-mnist")
LAYERS = ("cenote", "torch")
MARKS = ("<!-- classics -->", "<!-- end of classics -->")
QUICK = {"batch_size": 128, "label_smoothing": 0.05, "channels_last": True, "precision": "bf16"}
WIDE = {**QUICK, "learning_rate": 0.003, "dropout": 0.2}
DEEP = {
    **QUICK, "optimizer": "sgd", "learning_rate": 0.1, "schedule": "cosine", "warmup": 0.1,
    "weight_decay": 5e-4,
}  # fmt: skip


def of_recipe(name):
    """The options of a recipe, but for the data."""
    return {key: value for key, value in RECIPES[name].options.items() if key != "data"}


PLANS = {
    ("lenet5", "mnist"): of_recipe("fast"),
    ("alexnet_small", "mnist"): {**WIDE, "epochs": 3, "augment": "shift2"},
    ("vgg_small", "mnist"): {**DEEP, "epochs": 2, "augment": "shift2"},
    ("nin_small", "mnist"): {**DEEP, "epochs": 2, "augment": "shift2"},
    ("lenet5", "fashion-mnist"): of_recipe("fashion-lenet5"),
    ("alexnet_small", "fashion-mnist"): {**WIDE, "epochs": 8, "augment": "flip"},
    ("vgg_small", "fashion-mnist"): of_recipe("fashion"),
    ("nin_small", "fashion-mnist"): {**DEEP, "epochs": 6, "augment": "flip+shift1"},
}


def maker(name, layers):
    """A function that makes the network, as ``cenote.fit`` calls it."""

    def make(**options):
        network = cenote.models.get(name, **options)
        return network if layers == "cenote" else torchs_own(network)

    make.__qualname__ = f"{name}_of_{layers}"
    return make


def train(job):
    """One training, to the end; what came of it."""
    plan = PLANS[job["network"], job["data"]]
    with tempfile.TemporaryDirectory() as folder:
        result = cenote.fit(
            maker(job["network"], job["layers"]), data=job["data"], out=Path(folder) / "run",
            seed=job["seed"], threads=job["threads"], progress="none", report=False, **plan,
        )  # fmt: skip
        assert Run.open(result.run.folder).summary == result.summary
    found = {key: result.summary[key] for key in ("test_accuracy", "test_errors")}
    found["validation_accuracy"] = result.history[-1]["validation_accuracy"]
    found["seconds"] = result.summary["seconds"]
    found["loading_share"] = statistics.median(r["loading_share"] for r in result.history)
    return {**found, "peak_mib": _peak()}


def pace(job):
    """Seconds of as many batches as the job says, and the process's peak memory."""
    plan = PLANS[job["network"], job["data"]]
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    share = {"dropout": plan["dropout"]} if "dropout" in plan else {}
    make = maker(job["network"], job["layers"])
    model = make(classes=10, channels=1, size=28, **share).train()
    if plan.get("channels_last"):
        model = model.to(memory_format=torch.channels_last)
    moving = optimizer(
        plan.get("optimizer", "adam"), model.parameters(), rate=1e-3, momentum=0.9,
        decay=plan.get("weight_decay", 0.0),
    )  # fmt: skip
    whole = load(job["data"], "train")
    batches = Batches(
        whole, plan["batch_size"], seed=0, augment=augment.by_name(plan["augment"]), prefetch=1
    )
    bf16 = plan.get("precision") == "bf16"
    for count, (images, labels) in enumerate(batches.epoch(0)):
        if count == job["warm"]:
            started = time.perf_counter()
        if count == job["warm"] + job["batches"]:
            break
        moving.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = model(images)
        torch.nn.functional.cross_entropy(output.float(), labels).backward()
        moving.step()
    each = (time.perf_counter() - started) / job["batches"]
    return {"seconds_an_epoch": each * len(batches), "peak_mib": _peak()}


def _peak():
    """The most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(kind, job):
    """The job, done in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, kind, "--job", json.dumps(job)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def opened(path):
    if path.exists():
        return json.loads(path.read_text())
    plans = {" on ".join(key): plan for key, plan in PLANS.items()}
    return {"machine": cenote.doctor(), "plans": plans, "runs": [], "pace": []}


def written(path, record):
    path.write_text(json.dumps(record, indent=1) + "\n")


def train_all(given):
    for data in given.data:
        for network in given.network:
            for seed in range(given.seeds):
                for layers in given.layers:
                    job = {"network": network, "data": data, "seed": seed, "layers": layers}
                    record = opened(given.out)
                    if any(job.items() <= run.items() for run in record["runs"]):
                        continue
                    run = {**job, **apart("train", {**job, "threads": given.threads})}
                    record = opened(given.out)
                    record["runs"].append({**run, "threads": given.threads})
                    written(given.out, record)
                    print(f"{network} on {data}, seed {seed}, {layers}'s layers:"
                          f" {100 * run['test_accuracy']:.2f} % in {run['seconds']:.0f} s",
                          flush=True)  # fmt: skip


def pace_all(given):
    for data in given.data:
        for network in given.network:
            for turn in range(given.turns):
                for layers in LAYERS:
                    job = {"network": network, "data": data, "layers": layers}
                    found = apart("pace", {**job, "threads": given.threads, "warm": 10,
                                           "batches": given.batches})  # fmt: skip
                    record = opened(given.out)
                    record["pace"].append({**job, "turn": turn, "threads": given.threads, **found})
                    written(given.out, record)
                    print(job, {key: round(value, 2) for key, value in found.items()}, flush=True)


def found_of(record, network, data, layers):
    """The accuracies in percent of the runs, and the turns of pace in their order."""
    wanted = {"network": network, "data": data, "layers": layers}.items()
    runs = [100 * run["test_accuracy"] for run in record["runs"] if wanted <= run.items()]
    turns = [turn for turn in record["pace"] if wanted <= turn.items()]
    return runs, sorted(turns, key=lambda turn: turn["turn"])


def accuracy(runs):
    """The median and the range of accuracies, and of how many seeds."""
    if not runs:
        return "not run"
    seeds = f"{len(runs)} seed{'s' if len(runs) > 1 else ''}"
    spread = f"{min(runs):.2f} to {max(runs):.2f}, " if len(runs) > 1 else ""
    return f"{statistics.median(runs):.2f} % ({spread}{seeds})"


def table(record):
    """The record as lines of Markdown."""
    head = ["data", "network", "epochs", "test accuracy", "with torch's layers", "s an epoch",
            "torch's", "times", "peak MiB", "torch's"]  # fmt: skip
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * 3 + "---:|" * (len(head) - 3)
    for network, data in PLANS:
        (runs, ours), (others, theirs) = (
            found_of(record, network, data, layers) for layers in LAYERS
        )
        cells = [data, f"`{network}`", PLANS[network, data]["epochs"], accuracy(runs),
                 accuracy(others)]  # fmt: skip
        if ours and len(ours) == len(theirs):
            pairs = [[turn["seconds_an_epoch"] for turn in turns] for turns in (ours, theirs)]
            cells += [f"{statistics.median(pair):.1f}" for pair in pairs]
            cells.append(f"{statistics.median(b / a for a, b in zip(*pairs, strict=True)):.2f}")
            cells += [f"{statistics.median(turn['peak_mib'] for turn in turns):.0f}"
                      for turns in (ours, theirs)]  # fmt: skip
        else:
            cells += [""] * 5
        yield f"| {' | '.join(map(str, cells))} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "pace", "table"])
    parser.add_argument("--out", type=Path, default=Path("classics.json"), help="the record")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=5, help="of pace, for each of both layers")
    parser.add_argument("--batches", type=int, default=100, help="that a turn of pace takes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    parser.add_argument("--network", nargs="+", default=sorted({name for name, _ in PLANS}))
    parser.add_argument("--layers", nargs="+", default=LAYERS, choices=LAYERS)
    parser.add_argument("--page", type=Path, help="put the table into this page, between its marks")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        job = json.loads(given.job)
        print(json.dumps(train(job) if given.what == "train" else pace(job)))
    elif given.what == "table":
        lines = "\n".join(table(opened(given.out)))
        print(lines)
        if given.page:
            text = given.page.read_text()
            before, after = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
            given.page.write_text(f"{text[:before]}\n\n{lines}\n\n{text[after:]}")
    else:
        (train_all if given.what == "train" else pace_all)(given)


if __name__ == "__main__":
    main()
