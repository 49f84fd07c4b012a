"""Records of networks that nobody ran, with figures that are plain."""

from bench_records import MACHINE
from cenote.benchmarking.networks.grid import INFERENCE, NETWORKS, TRAINING, of, rows
from cenote.benchmarking.record import SCHEMA


def contender(median, prepared=0.5):
    return {
        "n": 9, "calls": 1, "median": median, "quartiles": [0.9 * median, 1.2 * median],
        "min": 0.8 * median, "prepared": prepared, "off": 1e-6,
    }  # fmt: skip


def row_record(row, medians, memory=()):
    """A row whose contenders took the given seconds."""
    return {
        "case": row.network, "mode": row.mode, "shape": list(of(row.network).shape),
        "dtype": "f32", "parameters": 1000, "threads": row.threads, "date": "2026-01-01",
        "contenders": {name: contender(median) for name, median in medians.items()},
        "memory": dict(memory),
        "times_faster": {n: m / medians["cenote"] for n, m in medians.items() if n != "cenote"},
        "left_out": {"torch.compile": "LoweringError: it is hard"},
    }  # fmt: skip


def record(found, setting="default"):
    return {
        "schema": SCHEMA, "benchmark": "networks", "complete": True, "date": "2026-01-01",
        "machine": MACHINE, "environment": {}, "allocator": {"setting": setting, "detail": {}},
        "seconds": 1.0, "peers": dict.fromkeys(("cenote", "torch", "openvino"), "1.0"),
        "left_out": {"onnxruntime": "not installed (onnxruntime)"},
        "command": f"cenote bench networks --allocator {setting}", "rows": found,
    }  # fmt: skip


def every(setting="default", ours=0.1):
    """Every network: NCHW takes 0.4 s, channels_last 0.2 s, in training twice as long."""
    found = []
    for row in rows():
        longer = {INFERENCE: 1, TRAINING: 2}[row.mode]
        medians = {"torch": 0.4, "torch.channels_last": 0.2, "cenote": ours}
        memory = {"torch": 10**8, "torch.channels_last": 10**8, "cenote": 7 * 10**7}
        found.append(
            row_record(
                row, {n: m * longer for n, m in medians.items()}, memory if longer == 2 else {}
            )
        )
    assert len(found) == 2 * len(NETWORKS)
    return record(found, setting)
