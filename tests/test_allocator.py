"""tune_allocator: fewer page faults, honest where it does nothing, gone when it is undone.

What changes the real allocator runs in a process of its own; the rest runs on a glibc that only
writes down what it is asked.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import cenote
from cenote import allocator, cli, inspection, training
from cenote.allocator import Tuning, tune_allocator

on_glibc = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="needs Linux with glibc"
)

MEASURES = """
import json, os, resource, torch
from cenote import tune_allocator

torch.set_num_threads(1)

def faults(megabytes, rounds=30):
    counts = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(megabytes * 250_000)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return counts

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6
"""


def alone(program):
    """What ``program`` prints as JSON, in a process whose environment says nothing of malloc."""
    ours = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    done = subprocess.run(
        [sys.executable, "-c", MEASURES + program],
        capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settled(counts):
    """Faults of a call once the heap has found its size, which took up to ten calls."""
    return statistics.median(counts[-10:])


class Glibc:
    """Writes down the parameters that it is asked to set, by name, and refuses some."""

    def __init__(self):
        self.calls, self.refuses = [], ()

    def mallopt(self, number, value):
        name = next(n for n, known in allocator._PARAMETERS.items() if known == number)
        self.calls.append((name, value))
        return int(name not in self.refuses)

    def malloc_trim(self, pad):
        self.calls.append(("trim", pad.value))


@pytest.fixture
def glibc(monkeypatch):
    fake = Glibc()
    monkeypatch.setattr(allocator, "_in_force", None)
    monkeypatch.setattr(allocator, "_why_not", lambda: "")
    monkeypatch.setattr(allocator, "_glibc", lambda: fake)
    return fake


KEEP_ALL = [("M_MMAP_MAX", 0), ("M_TRIM_THRESHOLD", -1)]
UNDONE = [
    ("M_MMAP_MAX", 65536),
    ("M_MMAP_THRESHOLD", 32 * 1024 * 1024),
    ("M_TRIM_THRESHOLD", 64 * 1024 * 1024),
    ("trim", 0),
]


# The real allocator


@on_glibc
def test_fresh_large_tensors_cost_no_page_faults():
    before, applied, after = alone(
        "before = faults(40); applied = tune_allocator().applied;"
        "print(json.dumps([before, applied, faults(40)]))"
    )
    assert applied
    assert settled(after) < settled(before) / 10


@on_glibc
def test_after_undoing_large_tensors_are_fresh_memory_again():
    # Larger than what was tuned: gaps in the heap that are large enough serve tensors for good.
    before, after = alone(
        "before = faults(400, 3); tuning = tune_allocator(); faults(40, 3); tuning.undo();"
        "print(json.dumps([before, faults(400, 3)]))"
    )
    assert min(after) > min(before) / 2


@on_glibc
def test_undoing_leaves_small_tensors_as_cheap_as_glibc_alone_makes_them():
    (counts,) = alone("tune_allocator().undo(); print(json.dumps([faults(8)]))")
    assert settled(counts) < counts[0] / 10


@on_glibc
def test_memory_is_kept_and_undoing_gives_it_back():
    before, kept, given_back = alone(
        "before = resident(); tuning = tune_allocator(); faults(400, 1); kept = resident();"
        "tuning.undo(); print(json.dumps([before, kept, resident()]))"
    )
    assert kept > before + 300
    assert given_back < before + 50


@on_glibc
def test_blocks_larger_than_keep_are_given_back():
    before, smaller, larger, after = alone(
        "tune_allocator(keep=50_000_000); before = resident();"
        "print(json.dumps([before, faults(40), faults(400, 3), resident()]))"
    )
    assert settled(smaller) < smaller[0] / 10
    assert min(larger) > 5 * smaller[0]
    assert after < before + 400  # in smaller ones, of which glibc may keep some at once


@on_glibc
def test_a_child_by_fork_is_tuned_and_knows_it():
    reason, counts = alone("""
tune_allocator()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, json.dumps([tune_allocator().reason, faults(40)]).encode())
    os._exit(0)
print(os.read(read, 10_000).decode())
""")
    assert reason == "tuned already by an earlier call"
    assert settled(counts) < counts[0] / 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_tunes_does_not_hang():
    (status,) = alone("""
import signal, threading, time
from cenote import allocator
held = threading.Event()
def hold():
    with allocator._lock:
        held.set()
        time.sleep(0.5)
thread = threading.Thread(target=hold)
thread.start()
held.wait()
if (child := os.fork()) == 0:
    signal.alarm(10)
    tune_allocator()
    os._exit(0)
thread.join()
print(json.dumps([os.waitpid(child, 0)[1]]))
""")
    assert status == 0


@on_glibc
def test_training_comes_to_the_same_bits():
    different, during, after = alone("""
import cenote, pathlib, tempfile
from cenote import allocator
from cenote.training import fitting
from training_helpers import QUICK, figures, weights, write_data
seen, finish = [], fitting.finish
def watched(*given):
    seen.append(allocator._in_force is not None)
    return finish(*given)
fitting.finish = watched
with tempfile.TemporaryDirectory() as folder:
    data = str(write_data(pathlib.Path(folder) / "data"))
    runs = [
        cenote.fit(data=data, out=f"{folder}/{tuned}", tune_allocator=tuned, **QUICK).run
        for tuned in (False, True)
    ]
    plain, tuned = map(weights, runs)
    different = [name for name in plain if not torch.equal(plain[name], tuned[name])]
    different += ["history"] * (figures(runs[0]) != figures(runs[1]))
print(json.dumps([different, seen, allocator._in_force is not None]))
""")
    assert different == []
    assert during == [False, True]
    assert after is False


# What is asked of glibc


def test_what_is_set_is_told(glibc):
    tuning = tune_allocator()
    assert (tuning.applied, tuning.reason) == (True, "")
    assert list(tuning.settings.items()) == glibc.calls == KEEP_ALL


def test_keep_is_the_size_that_blocks_are_kept_up_to(glibc):
    keep = 64 << 20
    assert tune_allocator(keep).settings == {"M_MMAP_THRESHOLD": keep, "M_TRIM_THRESHOLD": -1}
    assert glibc.calls == [("M_MMAP_THRESHOLD", keep), ("M_TRIM_THRESHOLD", -1)]


def test_undoing_sets_the_defaults_and_says_that_it_is_approximate(glibc):
    undone = tune_allocator().undo()
    assert glibc.calls == KEEP_ALL + UNDONE
    assert not undone.applied
    assert undone.reason.startswith("undone approximately: ")
    assert list(undone.settings.items()) == UNDONE[:-1]


def test_twice_is_once(glibc):
    first, second = tune_allocator(), tune_allocator(keep=64 << 20)
    assert glibc.calls == KEEP_ALL
    assert second == Tuning(True, "tuned already by an earlier call", first.settings)


def test_only_the_call_that_tuned_undoes(glibc):
    with tune_allocator() as outer:
        with tune_allocator() as inner:
            assert inner.applied
        assert inner.undo() == Tuning(True, "nothing to undo")
        assert glibc.calls == KEEP_ALL
    assert glibc.calls == KEEP_ALL + UNDONE
    assert outer.undo() == Tuning(False, "nothing to undo")
    assert glibc.calls == KEEP_ALL + UNDONE


def test_an_error_inside_the_block_undoes_too(glibc):
    with pytest.raises(ZeroDivisionError), tune_allocator():
        _ = 1 / 0
    assert glibc.calls == KEEP_ALL + UNDONE


def test_after_undoing_it_can_be_tuned_again(glibc):
    tune_allocator().undo()
    assert tune_allocator().reason == ""
    assert glibc.calls == KEEP_ALL + UNDONE + KEEP_ALL


def test_of_threads_that_call_at_once_one_sets(glibc):
    barrier, tunings = threading.Barrier(8), []

    def call():
        barrier.wait()
        tunings.append(tune_allocator())

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert glibc.calls == KEEP_ALL
    assert [t.reason for t in tunings].count("") == 1


def test_what_glibc_refuses_leaves_nothing_set(glibc):
    glibc.refuses = ("M_TRIM_THRESHOLD",)
    tuning = tune_allocator()
    assert tuning == Tuning(False, "glibc refused M_TRIM_THRESHOLD = -1")
    assert glibc.calls[len(KEEP_ALL) :][0] == ("M_MMAP_MAX", 65536)
    glibc.refuses = ()
    assert tune_allocator().applied


# Where nothing is done


@pytest.fixture
def elsewhere(monkeypatch):
    """No parameter may be set, and no earlier call may hide the reason."""
    for name in [n for n in os.environ if n.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(allocator, "_in_force", None)
    monkeypatch.setattr(allocator, "_apply", lambda settings: pytest.fail("something was set"))
    return monkeypatch


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_on_another_system_nothing_is_done(elsewhere, system):
    elsewhere.setattr(allocator.sys, "platform", system)
    assert tune_allocator() == Tuning(False, f"it needs Linux with glibc, this is {system}")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize("answer", ["unknown name", None])
def test_with_another_c_library_nothing_is_done(elsewhere, answer):
    def confstr(name):
        if answer:
            raise ValueError(answer)

    elsewhere.setattr(os, "confstr", confstr)
    assert tune_allocator() == Tuning(False, "it needs glibc, this C library is another")


@on_glibc
@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("MALLOC_MMAP_THRESHOLD_", "1000000", "MALLOC_MMAP_THRESHOLD_"),
        ("MALLOC_TRIM_THRESHOLD_", "1000000", "MALLOC_TRIM_THRESHOLD_"),
        ("MALLOC_MMAP_MAX_", "0", "MALLOC_MMAP_MAX_"),
        ("GLIBC_TUNABLES", "a.b=1:glibc.malloc.mmap_max=0", "glibc.malloc.mmap_max"),
    ],
)
def test_the_environment_is_left_its_way(elsewhere, variable, value, named):
    elsewhere.setenv(variable, value)
    tuning = tune_allocator()
    assert tuning == Tuning(False, f"the environment sets {named}, and is left its way")


def test_variables_of_other_parameters_are_no_reason():
    others = {"MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.malloc.top_pad=1"}
    assert allocator._chosen_by_the_environment(others) is None


@on_glibc
def test_under_another_malloc_nothing_is_done(elsewhere):
    elsewhere.setattr(allocator, "_serves_malloc", lambda libc, process: False)
    tuning = tune_allocator()
    assert tuning == Tuning(False, "malloc is not glibc's here; another one is loaded")


@on_glibc
def test_another_malloc_is_known_by_the_books_of_glibc():
    class Foreign:
        pass

    block = ctypes.create_string_buffer(allocator._PROBE)
    foreign = Foreign()
    foreign.malloc, foreign.free = (lambda size: ctypes.addressof(block)), (lambda block: None)
    assert not allocator._serves_malloc(allocator._glibc(), foreign)


def test_verbose_says_why_nothing_was_done(elsewhere, capfd):
    elsewhere.setattr(allocator, "_why_not", lambda: "of the moon")
    with cenote.options(verbose=True):
        tune_allocator()
    tune_allocator()
    assert capfd.readouterr().err == "cenote: allocator left as it is: of the moon\n"


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        ("1G", TypeError, "keep = '1G': must be an int or None, not str"),
        (True, TypeError, "keep = True: must be an int or None, not bool"),
        (1e9, TypeError, r"keep = 1000000000\.0: must be an int or None, not float"),
        (-1, ValueError, "keep = -1: must be from 33554432 bytes, which glibc keeps by itself, to"),
        ((32 << 20) - 1, ValueError, "keep = 33554431: must be from 33554432 bytes"),
        (1 << 31, ValueError, "keep = 2147483648: .* to 2147483647, the largest C int, or None"),
    ],
)
def test_a_keep_that_cannot_be(elsewhere, keep, error, message):
    with pytest.raises(error, match=message):
        tune_allocator(keep)


# Who uses it


def stop(seen):
    """A stand-in that notes whether the allocator is tuned and ends the command."""

    def called(*_, **__):
        seen.append(allocator._in_force is not None)
        raise ValueError("far enough")

    return called


COMMANDS = {
    "train": (training, "fit", ["train"]),
    "demo": (inspection, "demonstrate", ["demo", "--no-open"]),
    "eval": (cli.Run, "open", ["eval", "run"]),
    "predict": (cli.Run, "open", ["predict", "run", "image.png"]),
}


@pytest.mark.parametrize("tuned", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_tuned_while_they_run(glibc, monkeypatch, capsys, command, tuned):
    place, name, arguments = COMMANDS[command]
    seen = []
    monkeypatch.setattr(place, name, stop(seen))
    assert cli.main([*arguments, *([] if tuned else ["--no-tune-allocator"])]) == 2
    assert capsys.readouterr().err == "error: far enough\n"
    assert seen == [tuned]
    assert glibc.calls == (KEEP_ALL + UNDONE if tuned else [])


def test_other_commands_are_not_tuned(glibc, capsys):
    assert cli.main(["doctor"]) == 0
    assert glibc.calls == []


@pytest.mark.parametrize("tuned", [True, False])
def test_fit_tunes_when_it_is_told_to(glibc, monkeypatch, tmp_path, tuned):
    seen = []
    monkeypatch.setattr(training.fitting, "_fit", stop(seen))
    with pytest.raises(ValueError, match="far enough"):
        cenote.fit(out=tmp_path / "run", tune_allocator=tuned)
    assert seen == [tuned]
    assert glibc.calls == (KEEP_ALL + UNDONE if tuned else [])
    seen.clear()
    with pytest.raises(ValueError, match="far enough"):
        cenote.fit(out=tmp_path / "run")
    assert seen == [False]
