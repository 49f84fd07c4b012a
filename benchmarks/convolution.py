"""Convolutions beside torch's: forward, and forward and backward, contiguous and channels last.

Contenders take turns in one process and compute the same, which is checked first; what is reported
is the median over the turns with the quartiles beside it. Prints a table; writes JSON.

    python benchmarks/convolution.py --out benchmarks/results/convolution-default.json
    python benchmarks/convolution.py --allocator raised --out \
        benchmarks/results/convolution-raised.json
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import cenote

# name: shape of the input and of the weight, the call's arguments, whether it is a first layer,
# whose input has no gradient.
CASES = {
    "depthwise 3x3": ((8, 64, 112, 112), (64, 1, 3, 3), {"padding": 1, "groups": 64}, False),
    "depthwise 7x7": ((8, 96, 56, 56), (96, 1, 7, 7), {"padding": 3, "groups": 96}, False),
    "depthwise 3x3, stride 2": (
        (8, 96, 56, 56), (96, 1, 3, 3), {"padding": 1, "stride": 2, "groups": 96}, False,
    ),
    "depthwise 1-D, 9 taps": ((32, 64, 4096), (64, 1, 9), {"padding": 4, "groups": 64}, False),
    "depthwise 1-D, 31 taps": ((32, 64, 4096), (64, 1, 31), {"padding": 15, "groups": 64}, False),
    "depthwise 1-D, 255 taps": ((8, 64, 4096), (64, 1, 255), {"padding": 127, "groups": 64}, False),
    "LeNet conv1": ((256, 1, 28, 28), (6, 1, 5, 5), {"padding": 2}, True),
    "LeNet conv2": ((256, 6, 14, 14), (16, 6, 5, 5), {}, False),
    "VGG conv1_1": ((4, 3, 224, 224), (64, 3, 3, 3), {"padding": 1}, True),
    "AlexNet conv1": ((4, 3, 224, 224), (64, 3, 11, 11), {"stride": 4, "padding": 2}, True),
    "ResNet conv1": ((4, 3, 224, 224), (64, 3, 7, 7), {"stride": 2, "padding": 3}, True),
    "conv1d 64 to 64, 3 taps": ((32, 64, 4096), (64, 64, 3), {"padding": 1}, False),
    "3x3, 8 groups": ((8, 64, 56, 56), (64, 8, 3, 3), {"padding": 1, "groups": 8}, False),
    "3x3, 32 groups": ((8, 64, 56, 56), (64, 2, 3, 3), {"padding": 1, "groups": 32}, False),
    "3x3, 64 to 64": ((8, 64, 56, 56), (64, 64, 3, 3), {"padding": 1}, False),
    "1x1, 64 to 64": ((8, 64, 56, 56), (64, 64, 1, 1), {}, False),
}  # fmt: skip
LEAST = 5  # turns


def calls(shape, weight_shape, arguments, first):
    """``{pass: {contender: call}}``; every call returns what it computed."""
    draw = torch.Generator().manual_seed(0)
    x, weight = torch.randn(shape, generator=draw), torch.randn(weight_shape, generator=draw)
    bias = torch.randn(weight_shape[0], generator=draw)
    mine, theirs = (
        (cenote.conv1d, F.conv1d) if len(shape) == 3 else (cenote.conv2d, F.conv2d)
    )  # fmt: skip
    given = {"cenote": (mine, x, weight), "torch": (theirs, x, weight)}
    if len(shape) == 4:
        last = torch.channels_last
        given["torch channels last"] = (
            theirs, x.to(memory_format=last), weight.to(memory_format=last),
        )  # fmt: skip
    found = {"forward": {}, "forward+backward": {}}
    for name, (function, a, w) in given.items():

        def forward(function=function, a=a, w=w):
            with torch.no_grad():
                return (function(a, w, bias, **arguments),)

        out = forward()[0]
        grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        grad = grad.to(memory_format=torch.channels_last) if "last" in name else grad
        leaves = [t.detach().requires_grad_() for t in ([w, bias] if first else [w, bias, a])]

        def both(function=function, a=a, leaves=leaves, grad=grad):
            at = leaves[2] if len(leaves) > 2 else a
            out = function(at, leaves[0], leaves[1], **arguments)
            return (out.detach(), *torch.autograd.grad(out, leaves, grad))

        found["forward"][name], found["forward+backward"][name] = forward, both
    return found


def measured(contenders, seconds):
    """The seconds of every turn; all have done the same."""
    expected = contenders["torch"]()
    for call in contenders.values():
        for got, wanted in zip(call(), expected, strict=True):
            scale = float(wanted.abs().max())
            torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4 * scale)
    turns = {name: [] for name in contenders}
    shuffled = random.Random(0)
    until, order = time.perf_counter() + seconds, list(contenders.items())
    while time.perf_counter() < until or len(turns["torch"]) < LEAST * len(order):
        shuffled.shuffle(
            order
        )  # whoever comes after whom: caches and memory are as they leave them
        for name, call in order:
            call()  # its own data into the caches
            start = time.perf_counter()
            call()
            turns[name].append(time.perf_counter() - start)
    return turns


def row(case, pass_, turns, macs):
    found = {"case": case, "pass": pass_, "macs": macs, "n": len(turns["torch"])}
    for name, taken in turns.items():
        quartiles = statistics.quantiles(taken, n=4)
        found[name] = {
            "median_ms": statistics.median(taken) * 1e3,
            "quartiles_ms": [q * 1e3 for q in quartiles[::2]],
        }
    return found


def table(record):
    """Markdown: milliseconds, and how many times faster than torch in either layout."""
    lines = [
        "| convolution | pass | cenote | torch | channels last | faster | than channels last |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for r in record["rows"]:
        mine, theirs = r["cenote"]["median_ms"], r["torch"]["median_ms"]
        last = r.get("torch channels last", {}).get("median_ms")
        cells = [r["case"], r["pass"], f"{mine:.2f} ms", f"{theirs:.2f} ms"]
        cells += [f"{last:.2f} ms" if last else "-", f"{theirs / mine:.1f}x"]
        cells += [f"{last / mine:.1f}x" if last else "-"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    parser.add_argument("--allocator", choices=["default", "raised"], default="default")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row")
    given = parser.parse_args()
    if given.allocator == "raised" and not cenote.tune_allocator().applied:
        parser.error("the allocator cannot be tuned here")
    rows = []
    for name, (shape, weight, arguments, first) in CASES.items():
        found = calls(shape, weight, arguments, first)
        macs = found["forward"]["torch"]()[0].numel() * torch.Size(weight[1:]).numel()
        for pass_, contenders in found.items():
            rows.append(row(name, pass_, measured(contenders, given.seconds), macs))
            print(table({"rows": rows[-1:]}).splitlines()[-1], flush=True)
    record = {"machine": cenote.doctor(), "allocator": given.allocator, "rows": rows}
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
