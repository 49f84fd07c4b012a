"""What goes wrong around a training is said in a line, and what was saved before stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

import cenote
from cenote.training import Checkpoint, FolderInUseError, Run, files
from cenote.training.locking import LOCK, locked
from commands import refused
from training_helpers import QUICK, assert_same_bits, weights, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    return cenote.fit("lenet5", data=str(data), out=out, **QUICK)


# The files of a run in the order in which they are written, and the write that fails.
@pytest.mark.parametrize("write", range(1, 12), ids="write{}".format)
def test_a_disk_that_is_full_loses_nothing(whole, data, tmp_path, monkeypatch, write):
    out, count = tmp_path / "run", 0
    original = files._sync

    def full(path):
        nonlocal count
        count += path.is_file()
        if count == write and path.is_file():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(path)

    monkeypatch.setattr(files, "_sync", full)
    with pytest.raises(OSError, match=r"cannot write .*/run/.*: No space left on device") as caught:
        cenote.fit("lenet5", data=str(data), out=out, **QUICK)
    assert caught.value.errno == errno.ENOSPC
    assert not list(out.rglob(".*"))
    assert not (out / LOCK).exists()
    monkeypatch.setattr(files, "_sync", original)
    begun = (out / "config.json").exists()
    cenote.fit("lenet5", data=str(data), out=out, resume=begun, **({} if begun else QUICK))
    assert_same_bits(weights(whole.run), weights(out))


def test_the_command_says_it_in_a_line(capsys, data, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_sync", full)
    options = ["--data", data, "--out", tmp_path / "run", "--validation", "40"]
    said = refused(capsys, "train", "lenet5", *options)
    path = tmp_path / "run" / "config.json"
    assert said == f"error: cannot write {path}: No space left on device\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(data, tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError):
        cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **QUICK)
    tmp_path.chmod(0o755)


def test_a_folder_that_became_read_only_is_named(whole, data, tmp_path, monkeypatch):
    out = tmp_path / "run"

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError, match=r"cannot write .*config\.json: Permission denied"):
        cenote.fit("lenet5", data=str(data), out=out, **QUICK)


HOLD = """
import sys
from pathlib import Path
from cenote.training.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(whole, data, tmp_path):
    """A stopped run that another process has its hands on."""
    out = tmp_path / "run"
    cenote.fit("lenet5", data=str(data), out=out, **QUICK)
    (out / "summary.json").unlink()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    yield out, holder
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()


def test_a_run_that_another_process_trains_is_left_alone(held):
    out, holder = held
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(FolderInUseError, match="in use by another process, which trains this run"):
        cenote.fit(out=out, resume=True)
    assert before == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    holder.kill()  # the lock of the dead is nobody's
    holder.wait()
    assert cenote.fit(out=out, resume=True).summary is not None
    assert not (out / LOCK).exists()


def test_a_run_in_use_can_be_looked_at(held):
    assert Run.open(held[0]).model() is not None


def test_a_lock_is_taken_back_after_an_error(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


def test_a_checkpoint_of_another_option_of_averages_is_refused(data, tmp_path):
    run = cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **QUICK).run
    kept = Checkpoint.load(run.last)
    text = (run.folder / "config.json").read_text()
    (run.folder / "config.json").write_text(text.replace('"ema": null', '"ema": 0.9'))
    with pytest.raises(cenote.training.CheckpointError, match="another network's weights: "):
        cenote.fit(out=run.folder, resume=True)
    assert_same_bits(dict(kept.tensors), weights(run))
