"""Records of convolutions that nobody ran: made of the grid, with figures that are plain."""

from bench_records import MACHINE
from cenote.benchmarking.convolution import grid, peers
from cenote.benchmarking.convolution.plan import layers
from cenote.benchmarking.convolution.work import TOLERANCE, floor
from cenote.benchmarking.record import SCHEMA


def row_record(row, medians):
    """A row whose contenders took the given seconds."""
    case = grid.named(row.case)
    macs, moved = floor(case, row.pass_)
    return {
        "case": row.case, "reason": case.reason, "shape": list(case.shape),
        "layers": layers(case), "made": case.made, "dtype": "f32", "pass": row.pass_,
        "threads": row.threads, "macs": macs, "bytes": moved, "tolerance": TOLERANCE,
        "contenders": {
            name: {
                "n": 7, "calls": 1, "median": m, "quartiles": [0.9 * m, 1.2 * m], "min": 0.8 * m,
                "gbs": moved / m / 1e9, "gflops": 2 * macs / m / 1e9, "fresh": True, "composed": "",
            }
            for name, m in medians.items()
        },
        "times_faster": {
            name: m / medians["cenote"] for name, m in medians.items() if name in peers.PEERS
        },
        "left_out": {name: "why not" for name in peers.PEERS if name not in medians},
    }  # fmt: skip


def record(rows, setting="default"):
    return {
        "schema": SCHEMA, "benchmark": "convolution", "complete": True, "date": "2026-01-01",
        "machine": MACHINE, "environment": {}, "allocator": {"setting": setting, "detail": {}},
        "seconds": 1.0, "peers": dict.fromkeys(("cenote", "torch", "openvino"), "1.0"),
        "left_out": {"onnxruntime": "not installed (onnxruntime)"}, "rows": rows,
    }  # fmt: skip


def every(times, setting="default"):
    """Every row of the grid, torch so many times slower than cenote in each."""
    medians = {"cenote": 0.01, "torch": 0.01 * times, "torch.channels_last": 0.02}
    return record([row_record(row, medians) for row in grid.rows({})], setting)
