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
from training_helpers import QUICK, assert_same_bits, figures, weights, write_data

# Saving after every batch makes it likely that a kill falls into the writing of a file.
BUSY = {**QUICK, "epochs": 12, "save_seconds": 0.0, "progress": "plain"}

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


def test_kills_and_ctrl_c_at_any_moment(tmp_path, commands):
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    whole = cenote.fit("lenet5", data=str(data), out=tmp_path / "whole", **BUSY)

    options = [x for k, v in BUSY.items() for x in (f"--{k.replace('_', '-')}", v)]
    arguments = ["train", "lenet5", "--data", data, "--out", out, *options]
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
    assert_same_bits(weights(whole.run), weights(out))
    assert [record["epoch"] for record in Run.open(out).history] == list(range(1, 13))
    assert figures(whole.run) == figures(Run.open(out))
    assert not list(out.rglob(".*"))
