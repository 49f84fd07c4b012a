"""Pooling against torch, in one run: every case of cenote.cases.BENCHMARKS, in both layouts.

Contenders take turns in one process, results are checked before anything is timed, and what is
reported is the median over the turns with the quartiles beside it. Prints a table; writes JSON.

    python benchmarks/pool2d.py --out benchmarks/results/pool2d.json
    python benchmarks/pool2d.py --table benchmarks/results/pool2d.json   # the table again
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import cenote
from cenote.cases import BENCHMARKS

LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
PASSES = ("forward", "forward+backward")


def contenders(case, reduce, layout, which):
    """Two calls that do the same work, after seeing that they yield the same numbers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(case.shape, generator=generator).contiguous(memory_format=LAYOUTS[layout])
    calls = []
    results = []
    for library in (F, cenote):
        given = dict(case.arguments())
        given["padding"] = tuple(before for before, after in given["padding"])
        pool = getattr(library, f"{reduce}_pool2d")
        if reduce == "avg":
            del given["dilation"]  # torch's averages have none
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_(which != "forward")
        grad = torch.ones_like(pool(leaf.detach(), **given))

        def call(pool=pool, leaf=leaf, given=given, grad=grad):
            leaf.grad = None
            out = pool(leaf, **given)
            if which != "forward":
                out.backward(grad)
            return out, leaf.grad

        calls.append(call)
        results.append(call())
    for ours, theirs in zip(*reversed(results), strict=True):
        if theirs is not None:
            torch.testing.assert_close(ours, theirs)
    return calls


def measure(calls, seconds=0.7, least=5):
    """Milliseconds of every turn, the contenders one after the other."""
    for call in calls:
        call()
    turns = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while len(turns[0]) < least or (time.perf_counter() < end and len(turns[0]) < 2000):
        for call, taken in zip(calls, turns, strict=True):
            start = time.perf_counter()
            call()
            taken.append((time.perf_counter() - start) * 1e3)
    return turns


def row(case, reduce, layout, which):
    with torch.set_grad_enabled(which != "forward"):
        turns = measure(contenders(case, reduce, layout, which))
    found = {"case": case.name, "shape": case.shape, "window": str(case.window), "reduce": reduce,
             "layout": layout, "pass": which, "n": len(turns[0])}  # fmt: skip
    for name, taken in zip(("torch", "cenote"), turns, strict=True):
        quartiles = statistics.quantiles(taken, n=4)
        found[name] = {"median_ms": statistics.median(taken), "quartiles_ms": quartiles[::2]}
    found["ratio"] = found["torch"]["median_ms"] / found["cenote"]["median_ms"]
    return found


def geometric_mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


def table(record):
    """Markdown: how many times faster than torch, a row a case, a column a layout and pass."""
    columns = [(r, lay, p) for r in ("max", "avg") for lay in LAYOUTS for p in PASSES]
    ratios = {(r["case"], r["reduce"], r["layout"], r["pass"]): r["ratio"] for r in record["rows"]}
    windows = {r["case"]: (r["shape"], r["window"]) for r in record["rows"]}
    short = {"forward": "fwd", "forward+backward": "fwd+bwd"}
    lines = [
        "| shape | window | " + " | ".join(f"{r} {lay} {short[p]}" for r, lay, p in columns) + " |"
    ]
    lines.append("|---|---|" + "---:|" * len(columns))
    for name, (shape, window) in windows.items():
        found = [ratios.get((name, *column)) for column in columns]
        cells = " | ".join("-" if ratio is None else f"{ratio:.1f}x" for ratio in found)
        lines.append(f"| {'x'.join(map(str, shape))} | {window} | {cells} |")
    means = [
        geometric_mean([v for k, v in ratios.items() if k[1:] == column]) for column in columns
    ]
    lines.append("| **geometric mean** | | " + " | ".join(f"**{m:.1f}x**" for m in means) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    parser.add_argument("--table", type=Path, help="print the table of a record instead")
    given = parser.parse_args()
    if given.table:
        print(table(json.loads(given.table.read_text())))
        return
    rows = []
    for case in BENCHMARKS:
        if any(2 * max(axis.padding) > axis.kernel for axis in case.window):
            print(f"{case.name:18} left out: torch refuses so much padding")
            continue
        for reduce in ("max", "avg"):
            for layout in LAYOUTS:
                for which in PASSES:
                    rows.append(row(case, reduce, layout, which))
                    r = rows[-1]
                    print(f"{case.name:18} {reduce} {layout} {which:17} n={r['n']:<5}"
                          f" torch {r['torch']['median_ms']:9.3f} ms"
                          f"  cenote {r['cenote']['median_ms']:9.3f} ms  {r['ratio']:6.2f}x",
                          flush=True)  # fmt: skip
    record = {"machine": cenote.doctor(), "rows": rows}
    print("\n" + table(record))
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
