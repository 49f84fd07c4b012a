"""What inspectors of networks get right, and what they cost: torchlens, torchinfo and others.

Every inspector works in a process of its own, because some leave torch changed. What they say is
compared with counts by hand (``inspected.py``) and, for receptive fields, with what a row of NaN
reaches. For the times they take turns with a plain forward pass, one thread each.

    cd benchmarks && python inspectors.py --out results/inspectors.json --page ../docs/inspectors.md
"""

import argparse
import gc
import importlib.metadata
import json
import platform
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import torch

from inspected import NETWORKS, fields

TOOLS = ("cenote", "torchlens", "torchinfo", "torchscan", "fvcore")
CHECKS = {
    "shapes": "output shapes of all convolutions, poolings, linear layers and joinings",
    "parameters": "parameters, shared ones once",
    "macs": "multiply-accumulates of convolutions and linear layers",
    "pooling": "cost of pooling",
    "field": "receptive field",
    "model": "network in training mode unchanged afterwards",
    "torch": "torch unchanged afterwards",
}
WEIGHTED = ("conv", "linear", "addmm", "matmul", "mm", "bmm")
SECONDS = 20.0  # of turns for each network


# How each is asked. An answer: rows of (shape, kind, macs, cost), parameters, and a field's rows.


def ask_cenote(model, x, deep=True):
    from cenote.inspection import inspect

    record = inspect(model, x)
    if not deep:
        return None
    # A global pooling is the mean that it is: the layer's class says that it pools.
    layers = {module.name: module.kind.lower() for module in record.modules}
    rows = [
        (o.shape, f"{o.kind} in {layers.get(o.name, '')}", o.macs, o.flops)
        for o in record.operators
    ]
    last = {o.shape: o for o in record.operators if o.field is not None}

    def field(target, units):
        axis = last[target].field.axes[0]
        return axis.size, {unit: axis.interval(unit) for unit in units}

    return rows, record.parameters, field


def ask_torchlens(model, x, deep=True):
    import torchlens

    trace = torchlens.trace(model, x)
    if not deep:
        return None
    ops = [op for op in trace.ops if op.func_name not in (None, "none")]
    rows = [
        (tuple(o.shape), o.func_name, int(o.macs_forward or 0), int(o.flops_forward or 0))
        for o in ops
    ]
    last = {tuple(o.shape): o for o in ops}

    def field(target, units):
        view = last[target].receptive_field
        boxes = {unit: view.at((unit, target[-1] // 2)).axes for unit in units}
        rows = {unit: next(a for a in axes if a.input_axis == 2) for unit, axes in boxes.items()}
        intervals = {unit: (a.clipped_start, a.clipped_stop) for unit, a in rows.items()}
        return next(a for a in view.axes if a.input_axis == 2).size, intervals

    return rows, trace.num_params, field


def ask_torchinfo(model, x, deep=True):
    import torchinfo

    summary = torchinfo.summary(model, input_data=x, verbose=0)
    if not deep:
        return None
    leaves = [layer for layer in summary.summary_list if layer.is_leaf_layer]
    rows = [(tuple(e.output_size), e.class_name.lower(), e.macs, e.macs) for e in leaves]
    return rows, summary.total_params, None


def ask_torchscan(model, x, deep=True):
    import torchscan

    report = torchscan.crawl_module(model, tuple(x.shape[1:]))
    if not deep:
        return None
    rows = []
    for layer in report["layers"]:
        if "macs" not in layer["metrics"]:
            continue
        macs, flops = (layer["metrics"][name]["value"] or 0 for name in ("macs", "module_flops"))
        shape = tuple(layer["output"].get("shape", ()))
        rows.append((shape, layer["type"].lower(), macs, flops))
    counts = [layer["parameters"] for layer in report["layers"]]
    # Its "receptive_field" is a layer's own window, whatever lies below it.
    return rows, sum(c["trainable"] + c["frozen"] for c in counts), None


def ask_fvcore(model, x, deep=True):
    from fvcore.nn import FlopCountAnalysis, parameter_count

    analysis = FlopCountAnalysis(model, x)
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    counts = analysis.by_operator()
    if not deep:
        return None
    rows = [(None, name, count, count) for name, count in counts.items()]
    return rows, parameter_count(model)[""], None


ASK = {name: globals()[f"ask_{name}"] for name in TOOLS}


# What is right.


def check(tool, name):
    """The cells of one inspector on one network: [right, what it said], or None for no figure."""
    build, truth = NETWORKS[name]
    torch.manual_seed(0)
    model, x = build().eval(), torch.zeros(truth.input)
    try:
        rows, parameters, field = ASK[tool](model, x)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return {key: [False, said] for key in CHECKS}
    cells = dict.fromkeys(CHECKS)
    cells["parameters"] = [parameters == truth.parameters, parameters]
    if truth.shapes:
        seen = Counter(shape for shape, *_ in rows)
        missing = Counter(truth.shapes) - seen
        if any(seen):
            cells["shapes"] = [not missing, f"{missing.total()} of {len(truth.shapes)} missing"]
        macs = sum(m or 0 for _, kind, m, _ in rows if kind.startswith(WEIGHTED))
        cells["macs"] = [macs in (truth.macs, truth.macs + truth.biases), macs]
    if truth.taps:
        cost = sum(c or 0 for _, kind, _, c in rows if "pool" in kind)
        cells["pooling"] = [truth.taps - truth.pooled <= cost <= truth.taps + truth.pooled, cost]
        cells["pooling"] = cells["pooling"] if cost else None
    if truth.target and field is not None:
        cells["field"] = _field(model, truth, field)
    cells["model"] = _unchanged(tool, build, truth)
    cells["torch"] = _torch_unchanged(tool, model, x)
    return cells


def _field(model, truth, field):
    if truth.field is not None:
        middle = truth.target[2] // 2
        size, _ = field(truth.target, [middle])
        return [size == truth.field, size]
    expected = fields(model, truth)
    try:
        size, found = field(truth.target, expected)
    except Exception as error:
        return [False, f"{type(error).__name__}: {error}".splitlines()[0][:200]]
    wrong = [unit for unit, rows in expected.items() if found[unit] != rows]
    wider = all(
        found[u][0] <= first and found[u][1] >= last for u, (first, last) in expected.items()
    )
    said = f"size {size}, {len(wrong)} of {len(expected)} rows other than they are"
    return [not wrong, said + (", all wider" if wrong and wider else "")]


def _state(model):
    return [
        [(name, module.training, sorted(module.__dict__), type(module).__name__,
          len(module._forward_hooks) + len(module._forward_pre_hooks))
         for name, module in model.named_modules()],
        [(name, id(p), p.requires_grad, p.grad is None) for name, p in model.named_parameters()],
    ]  # fmt: skip


def _unchanged(tool, build, truth):
    torch.manual_seed(0)
    model = build().train()
    model.requires_grad_(True)
    x = torch.zeros(2, *truth.input[1:])
    before = _state(model)
    values = {key: value.clone() for key, value in model.state_dict().items()}
    ASK[tool](model, x, deep=False)
    after = model.state_dict()
    changed = [key for key, value in values.items() if not torch.equal(after[key], value)]
    same = _state(model) == before
    return [same and not changed, ", ".join(changed[:3]) or ("" if same else "attributes")]


def _torch_unchanged(tool, model, x):
    places = (torch.Tensor, torch, torch.nn.functional)
    names = ("relu", "add", "conv2d", "max_pool2d", "matmul", "__add__")
    functions = [(p, name) for p in places for name in names if hasattr(p, name)]
    before, state = FRESH.copy(), torch.get_rng_state()
    ASK[tool](model, x, deep=False)
    other = [name for (p, name) in functions if getattr(p, name) is not before[p, name]]
    said = [*dict.fromkeys(other)]
    if not torch.equal(state, torch.get_rng_state()):
        said.append("random numbers")
    return [not said, ", ".join(said)]


FRESH = {
    (place, name): getattr(place, name)
    for place in (torch.Tensor, torch, torch.nn.functional)
    for name in ("relu", "add", "conv2d", "max_pool2d", "matmul", "__add__")
    if hasattr(place, name)
}


# Processes.


def work(tool):
    """Answer lines of JSON on the standard input: ["check", network], ["load", network], ["time"].

    Answers go to what was the standard output; inspectors that print do not disturb them.
    """
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    model = x = None
    for line in sys.stdin:
        order = json.loads(line)
        if order[0] == "check":
            answer = check(tool, order[1])
        else:
            if order[0] == "load":
                build, truth = NETWORKS[order[1]]
                model, x = build().eval(), torch.randn(truth.input)
            answer = _timed(tool, model, x)
        print(json.dumps(answer), file=answers, flush=True)


def _timed(tool, model, x):
    gc.collect()
    start = time.perf_counter()
    try:
        if tool == "forward":
            with torch.no_grad():
                model(x)
        else:
            ASK[tool](model, x, deep=False)
    except Exception:
        return None
    return time.perf_counter() - start


class Workers:
    """A process for each inspector, and one for the plain forward pass."""

    def __init__(self):
        self.processes = {
            tool: subprocess.Popen(
                [sys.executable, __file__, "--worker", tool], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )
            for tool in ("forward", *TOOLS)
        }  # fmt: skip

    def ask(self, tool, *order):
        process = self.processes[tool]
        print(json.dumps(order), file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    def end(self):
        for process in self.processes.values():
            process.stdin.close()
            process.wait()


def times(workers, name, most):
    """Seconds of each inspector and of the forward pass, in turns after one that warms up."""
    turns = {tool: [] for tool in workers.processes}
    able = [tool for tool in turns if workers.ask(tool, "load", name) is not None]
    start = time.perf_counter()
    for turn in range(most):
        if turn >= 3 and time.perf_counter() - start > SECONDS:
            break
        for at in range(len(able)):
            tool = able[(at + turn) % len(able)]
            turns[tool].append(workers.ask(tool, "time"))
    return {
        tool: {"n": len(taken), "median": statistics.median(taken),
               "quartiles": statistics.quantiles(taken, n=4)[::2]}
        for tool, taken in turns.items() if len(taken) > 1
    }  # fmt: skip


# The page.


def tables(record):
    head = "| | " + " | ".join(f"{tool} {record['versions'][tool]}" for tool in TOOLS) + " |"
    lines = [head, "|---|" + ":-:|" * len(TOOLS)]
    for key, words in CHECKS.items():
        cells = []
        for tool in TOOLS:
            given = [record["checks"][name][tool][key] for name in record["checks"]]
            given = [cell for cell in given if cell is not None]
            right = sum(cell[0] for cell in given)
            cells.append(f"{right} of {len(given)}" if given else "-")
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    lines += ["", "| ms | forward | " + " | ".join(TOOLS) + " | n |"]
    lines.append("|---|" + "---:|" * (len(TOOLS) + 2))
    for name, taken in record["times"].items():
        plain = taken["forward"]["median"]
        cells = [f"{1e3 * plain:.1f}"]
        for tool in TOOLS:
            median = taken[tool]["median"] if tool in taken else None
            cells.append("-" if median is None else f"{1e3 * median:.0f} ({median / plain:.1f}x)")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {taken['forward']['n']} |")
    lines += ["", "| network | what | inspector | said |", "|---|---|---|---|"]
    for name, by_tool in record["checks"].items():
        for key in CHECKS:
            for tool in TOOLS:
                cell = by_tool[tool][key]
                if cell is not None and not cell[0]:
                    said = f"{cell[1]:,}" if isinstance(cell[1], int) else str(cell[1])
                    lines.append(f"| {name} | {key} | {tool} | {said.replace('|', '/')} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=11, help="the most turns of each")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), help="only these")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    parser.add_argument("--page", type=Path, help="the page whose tables are to be renewed")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return work(given.worker)
    workers = Workers()
    record = {
        "benchmark": "inspectors",
        "machine": {"processor": platform.processor() or platform.machine(), "threads": 1},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", *TOOLS)},
        "checks": {}, "times": {},
    }  # fmt: skip
    for name in given.networks:
        record["checks"][name] = {tool: workers.ask(tool, "check", name) for tool in TOOLS}
        record["times"][name] = times(workers, name, given.turns)
        medians = {tool: f"{1e3 * t['median']:.1f}" for tool, t in record["times"][name].items()}
        print(name, medians, flush=True)
    workers.end()
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    made = tables(record)
    print(made)
    if given.page:
        place = re.compile(r"(<!-- bench: inspectors -->\n).*?(<!-- end of bench -->)", re.DOTALL)
        text = given.page.read_text(encoding="utf-8")
        renewed = place.sub(lambda match: f"{match[1]}\n{made}\n\n{match[2]}", text)
        given.page.write_text(renewed, encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
