"""Real processes, really killed: what is left can always be gone on with, to the same bits."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

import cenote
from cenote.training import Checkpoint, Run
from training_helpers import QUICK, as_arguments, assert_same_bits, figures, weights, write_data

# Saving after every batch makes it likely that a kill falls into the writing of a file.
BUSY = {**QUICK, "epochs": 12, "save_seconds": 0.0, "progress": "plain"}

# What has a state of its own beside the weights: averages, and steps of several batches.
RICH = {**BUSY, "ema": 0.9, "accumulate": 2, "clip_norm": 1.0, "precision": "bf16"}

# Importing torch takes seconds and a training a fraction of one: the commands run in forks of one
# process that has imported everything and computed nothing.
STARTER = """
import json, os, sys
import matplotlib.backends.backend_agg, matplotlib.figure, matplotlib.font_manager
from cenote.cli import main
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        code = main(json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print("pid", pid, flush=True)
    print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Commands:
    """Runs cenote's commands one after the other, each in a process of its own."""

    def __init__(self):
        self.starter = subprocess.Popen(
            [sys.executable, "-c", STARTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, arguments, signal_number=None):
        """Exit code and output; with a signal, sent at some moment after the first epoch's line."""
        self.starter.stdin.write(json.dumps([str(a) for a in arguments]) + "\n")
        self.starter.stdin.flush()
        pid, epochs, lines = None, 0, []
        for line in self.starter.stdout:
            word, _, rest = line.partition(" ")
            if word == "exit":
                return int(rest), "".join(lines)
            if word == "pid":
                pid = int(rest)
            else:
                lines.append(line)
            epochs += word == "epoch"
            if signal_number and pid and epochs:
                time.sleep(random.uniform(0, 0.04))
                os.kill(pid, signal_number)
                signal_number = None
        pytest.fail("".join(lines))

    def close(self):
        self.starter.stdin.close()
        self.starter.wait()
        self.starter.stdout.close()


@pytest.fixture
def commands():
    opened = Commands()
    yield opened
    opened.close()


@pytest.mark.parametrize("options", [BUSY, RICH], ids=["plain", "averaged-accumulated"])
def test_kills_and_ctrl_c_at_any_moment(tmp_path, commands, options):
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    whole = cenote.fit("lenet5", data=str(data), out=tmp_path / "whole", **options)

    arguments = ["train", "lenet5", "--data", data, "--out", out, *as_arguments(options)]
    done = 0
    for _ in range(5):
        code, output = commands.run(arguments, signal.SIGKILL)
        assert code == -signal.SIGKILL, output
        state = Checkpoint.load(out / "checkpoints" / "last.safetensors").state
        assert (state["epoch"], state["batch"]) > (done, 0)
        done = state["epoch"]
        arguments = ["train", "--out", out, "--resume"]

    code, output = commands.run(arguments, signal.SIGINT)
    assert code == 130, output
    said = re.search(r"and saved; go on with: cenote (train .*)", output)
    assert said, output
    assert "Traceback" not in output

    code, output = commands.run(shlex.split(said[1]))
    assert code == 0, output
    assert "test accuracy" in output
    assert_same_run(whole.run, out)


@pytest.mark.slow
def test_fifty_kills(tmp_path, commands):
    # At any moment of a process's life from its first line on: in steps, saves and the summary.
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    options = {**RICH, "epochs": 120}
    whole = cenote.fit("lenet5", data=str(data), out=tmp_path / "whole", **options)
    arguments = ["train", "lenet5", "--data", data, "--out", out, *as_arguments(options)]
    kills, position = 0, (0, 0)
    while kills < 50:
        code, output = commands.run(arguments, signal.SIGKILL)
        arguments = ["train", "--out", out, "--resume"]
        assert code in (0, -signal.SIGKILL), output
        assert "Traceback" not in output
        kills += code != 0
        state = Checkpoint.load(out / "checkpoints" / "last.safetensors").state
        assert (state["epoch"], state["batch"]) >= position
        position = (state["epoch"], state["batch"])
        if code == 0:
            break
    assert kills >= 40, "the training was over too soon to be killed often"
    assert commands.run(["train", "--out", out, "--resume"])[0] == 0
    assert_same_run(whole.run, out)


def assert_same_run(whole, out):
    """The run in ``out`` came to the same as ``whole``, and left nothing lying about."""
    run = Run.open(out)
    assert_same_bits(weights(whole), weights(out))
    assert [record["epoch"] for record in run.history] == list(range(1, whole.config.epochs + 1))
    assert figures(whole) == figures(run)
    assert not list(out.rglob(".*"))
    assert not (out / "run.lock").exists()
