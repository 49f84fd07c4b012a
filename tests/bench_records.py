"""Records of benchmarks that nobody ran: made of the grid, with figures that are easy to check."""

import random

from cenote.benchmarking import grid, peers
from cenote.benchmarking.pooling import shown
from cenote.benchmarking.record import SCHEMA

MACHINE = {"processor": "Paper", "cores": 2, "isa": "avx2", "system": "Linux x86_64", "threads": 2}
WRITES = ("roof", "cenote out=", "onednn", "onnxruntime", "openvino")
FIRST_ONLY = ("onnxruntime",)


def figures(median, name, roof, moved):
    return {
        "n": 7, "calls": 1, "median": median, "quartiles": [0.9 * median, 1.2 * median],
        "min": 0.8 * median, "gbs": moved / median / 1e9, "of_roof": roof / median,
        "fresh": name not in WRITES, "composed": "",
    }  # fmt: skip


def row_record(row, medians):
    """A row whose contenders took the given seconds; the first of them is the roof."""
    case, moved = grid.named(row.case), int(medians["roof"] * 20e9)
    ours = {True: "cenote", False: "cenote out=" if "cenote out=" in medians else "cenote"}
    return {
        "case": row.case, "reason": case.reason, "shape": list(case.shape),
        "window": shown(case.window), "reduce": row.reduce, "dtype": row.dtype,
        "layout": row.layout, "pass": row.pass_, "threads": row.threads,
        "bytes": moved, "roof": "streamed",
        "contenders": {n: figures(m, n, medians["roof"], moved) for n, m in medians.items()},
        "times_faster": {
            n: m / medians[ours[n not in WRITES]] for n, m in medians.items() if n in peers.PEERS
        },
        "left_out": {n: "why not" for n in peers.PEERS if n not in medians},
    }  # fmt: skip


def record(rows, setting="default"):
    return {
        "schema": SCHEMA, "benchmark": "pooling", "complete": True, "date": "2026-01-01",
        "machine": MACHINE, "environment": {"OMP_NUM_THREADS": "2"},
        "allocator": {"setting": setting, "detail": {}}, "seconds": 1.0,
        "peers": dict.fromkeys(("cenote", "cenote out=", "torch", "onednn"), "1.0"),
        "left_out": {"openvino": "not installed (openvino)"}, "rows": rows,
    }  # fmt: skip


def invented(rows, seed=0):
    """A record of the rows with figures like those of a real one."""
    dice = random.Random(seed)
    found = []
    for row in rows:
        case = grid.named(row.case)
        count = 1
        for size in case.shape:
            count *= size
        roof = 1e-6 + 5 * count / (60e9 if count < 1e6 else 25e9)
        medians = {"roof": roof, "cenote": roof / dice.uniform(0.4, 0.8)}
        if row.pass_ == "forward":
            medians["cenote out="] = roof / dice.uniform(0.6, 0.97)
        if row.compared:
            slow = 30 if row.layout == "NCHW" else 3
            medians["torch"] = roof * dice.uniform(slow / 2, 2 * slow)
            if row.pass_ == "forward":
                medians["onednn"] = roof * dice.uniform(1.0, 4)
            if row.pass_ == "forward" and row.layout == "NCHW":
                medians["onnxruntime"] = roof * dice.uniform(1.5, 4)
        found.append(row_record(row, medians))
    return record(found)
