"""The overhead of a call: pooling 1x6x28x28 by 2x2, where the work is next to nothing.

Contenders take turns in one process; a turn is 500 calls, and what is reported is the median over
the turns with the quartiles beside it, for a call on one thread. Prints a table; writes JSON.

    python benchmarks/tiny_call.py --out benchmarks/results/tiny_call.json
"""

import argparse
import json
import statistics
import timeit
from pathlib import Path

import torch
import torch.nn.functional as F

import cenote

CALLS = {
    "max_pool2d(x, 2)": (lambda x: F.max_pool2d(x, 2), lambda x: cenote.max_pool2d(x, 2)),
    "avg_pool2d(x, 2)": (lambda x: F.avg_pool2d(x, 2), lambda x: cenote.avg_pool2d(x, 2)),
    "MaxPool2d(2)(x)": (torch.nn.MaxPool2d(2), cenote.nn.MaxPool2d(2)),
    "AvgPool2d((2, 2))(x)": (torch.nn.AvgPool2d((2, 2)), cenote.nn.AvgPool2d((2, 2))),
}
TURNS, CALLS_A_TURN = 60, 500


def row(name, pair, x):
    results = [call(x) for call in pair]
    torch.testing.assert_close(*results)
    turns = [[], []]
    for _ in range(TURNS):
        for call, taken in zip(pair, turns, strict=True):
            seconds = timeit.timeit(lambda call=call: call(x), number=CALLS_A_TURN)
            taken.append(seconds / CALLS_A_TURN * 1e6)
    found = {"call": name, "turns": TURNS, "calls": CALLS_A_TURN}
    for library, taken in zip(("torch", "cenote"), turns, strict=True):
        quartiles = statistics.quantiles(taken, n=4)
        found[library] = {"median_us": statistics.median(taken), "quartiles_us": quartiles[::2]}
    found["ratio"] = found["torch"]["median_us"] / found["cenote"]["median_us"]
    return found


def table(record):
    """Markdown: microseconds of a call, and how many times faster than torch."""
    lines = ["| call | torch | cenote | ratio |", "|---|---:|---:|---:|"]
    for r in record["rows"]:
        times = (f"{r[library]['median_us']:.1f} us" for library in ("torch", "cenote"))
        lines.append(f"| `{r['call']}` | {' | '.join(times)} | {r['ratio']:.2f}x |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    x = torch.randn(1, 6, 28, 28, generator=torch.Generator().manual_seed(0))
    rows = [row(name, pair, x) for name, pair in CALLS.items()]
    record = {"machine": cenote.doctor(), "rows": rows}
    print(table(record))
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
