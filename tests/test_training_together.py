"""Several processes, started by torchrun: the same training, shared out."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch
import torch.distributed as dist

import cenote
from cenote.training import Checkpoint, Run, together
from cenote.training.norming import norms_of
from cenote.training.together import ALONE, Group
from training_helpers import QUICK, as_arguments, assert_same_bits, figures, weights, write_data

PLAIN = {**QUICK, "progress": "plain"}
EPOCHS = 80  # of a run that is killed: some seconds, so that the kill comes well before the end


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def command(data, out, *more, processes=2, launcher=(), **options):
    chosen = as_arguments({**PLAIN, **options})
    return [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes),
        "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", *launcher,
        "-m", "cenote", "train", "lenet5", "--data", str(data), "--out", str(out), *chosen, *more,
    ]  # fmt: skip


def torchrun(*arguments, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*arguments, **options), capture_output=True, text=True, timeout=300, check=False,
        env=environment,
    )  # fmt: skip


def curve(history):
    return [record[key] for record in history for key in ("train_loss", "validation_loss")]


def test_parts_hold_everything_once():
    for size in (1, 2, 3, 7):
        for count in (0, 1, 2, 6, 32):
            parts = [Group(rank, size).part(count) for rank in range(size)]
            assert [i for p in parts for i in range(p.start, p.stop)] == list(range(count))
            lengths = [p.stop - p.start for p in parts]
            assert max(lengths) - min(lengths) <= 1


def test_alone_nothing_is_asked_of_anybody():
    value = torch.tensor(3.0)
    assert ALONE.total(value)[0] is value
    assert ALONE.any(True, False) == (True, False)
    assert ALONE.joined(value) is value
    assert ALONE.told(lambda: 5) == 5


def meet(port, monkeypatch, first_comes_last):
    """Two processes, as threads, find their part of a store; both then leave and look for word."""
    found = {}

    def come(rank):
        own.store = dist.TCPStore("127.0.0.1", port, is_master=False)
        found[rank] = together._store_of_this_start(rank, 2)

    own = threading.local()
    monkeypatch.setattr(together, "rendezvous", lambda _: iter([(own.store, 0, 2)]))
    threads = [threading.Thread(target=come, args=(rank,)) for rank in (0, 1)]
    for thread in reversed(threads) if first_comes_last else threads:
        thread.start()
        time.sleep(0.2)  # enough for the other order; either has to do
    for thread in threads:
        thread.join(20)
    assert set(found) == {0, 1}
    seen = [found[1].check(["process 0 listens"]), found[0].check(["process 1 listens"])]
    for rank, store in found.items():
        store.set(f"process {rank} listens", f"at start {port}")
    assert found[1].get("process 0 listens") == found[0].get("process 0 listens")
    assert found[0].check(["process 1 listens"])
    return seen


def test_after_a_restart_nothing_of_the_start_before_is_found(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for first_comes_last in (False, True, True, False):
        assert meet(server.port, monkeypatch, first_comes_last) == [False, False]


# The last batch of 3 has one image and two processes; augmentation draws the same for both.
@pytest.mark.parametrize(
    "options",
    [{"batch_size": 53}, {"accumulate": 2, "ema": 0.9, "clip_norm": 1.0}],
    ids=["a_process_without_an_image", "accumulated-averaged-clipped"],
)
def test_two_processes_have_the_loss_curve_of_one(data, tmp_path, options):
    one = cenote.fit("lenet5", data=str(data), out=tmp_path / "one", **{**QUICK, **options})
    done = torchrun(data, tmp_path / "two", **options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("test accuracy") == done.stdout.count("epoch 3/3") == 1
    two = Run.open(tmp_path / "two")
    assert curve(two.history) == pytest.approx(curve(one.history), rel=2e-4)
    assert two.summary["test_loss"] == pytest.approx(one.summary["test_loss"], rel=2e-4)
    assert sum(map(sum, two.summary["test_confusion"])) == 60
    assert two.summary["processes"] == 2
    for name, tensor in Checkpoint.load(one.run.last).part("model").items():
        found = Checkpoint.load(two.last).part("model")[name]
        torch.testing.assert_close(found, tensor, rtol=1e-3, atol=1e-4)


def test_a_run_goes_on_with_another_number_of_processes(data, tmp_path, monkeypatch):
    from cenote.training import Interrupted
    from cenote.training.loop import Trainer

    whole = cenote.fit("lenet5", data=str(data), out=tmp_path / "whole", **QUICK)
    original, count = Trainer._step, 0

    def stepping(self, *batch):
        nonlocal count
        count += 1
        if count == 7:
            os.kill(os.getpid(), signal.SIGINT)
        original(self, *batch)

    monkeypatch.setattr(Trainer, "_step", stepping)
    with pytest.raises(Interrupted):
        cenote.fit("lenet5", data=str(data), out=tmp_path / "run", **QUICK)
    done = torchrun(data, tmp_path / "run", "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "note: saved with processes 1, now 2: the last bits may differ" in done.stdout
    run = Run.open(tmp_path / "run")
    assert curve(run.history) == pytest.approx(curve(whole.history), rel=2e-4)
    assert run.history[0] == {**run.history[0], **figures(whole.run)[0]}


def test_an_error_of_the_first_process_is_said_once(data, tmp_path):
    out = tmp_path / "run"
    cenote.fit("lenet5", data=str(data), out=out, **QUICK)
    done = torchrun(data, out)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said == [
        f"error: out = {out}: there is a run already; --resume (resume=True) goes on with it, "
        f"or choose another folder"
    ]


APART = """
import os, sys, torch, cenote
generator = torch.Generator().manual_seed(int(os.environ["RANK"]) // 2)
images = torch.randint(256, (60, 1, 28, 28), generator=generator, dtype=torch.uint8)
try:
    cenote.fit("lenet5", data=(images, torch.arange(60) % 10), out=sys.argv[1], progress="none")
except cenote.training.RunError as error:
    os.write(1, f"{os.environ['RANK']}: {error}\\n".encode())  # whole, among those of others
"""


def test_a_process_with_other_data_is_named_by_all(tmp_path):
    (tmp_path / "apart.py").write_text(APART)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "3",
         "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
         str(tmp_path / "apart.py"), str(tmp_path / "run")],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    said = sorted(done.stdout.splitlines())
    assert len(said) == 3, done.stdout + done.stderr
    for rank, line in enumerate(said):
        assert line.startswith(f"{rank}: data = data: process 2 of 3 has other data than process 0")
    assert not (tmp_path / "run").exists()


def killed(data, out, *launcher, **options):
    """Start two processes and kill the second one after three epochs; returns the output of all."""
    process = subprocess.Popen(
        command(data, out, launcher=launcher, epochs=EPOCHS, **options), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(f"epoch  3/{EPOCHS}"):
            children = _children(process.pid)
            assert len(children) == 2, "".join(lines)
            os.kill(max(children), signal.SIGKILL)
            break
    else:
        pytest.fail("the third epoch was never said:\n" + "".join(lines))
    rest, _ = process.communicate(timeout=300)
    return process.returncode, "".join(lines) + rest


def _children(pid):
    from pathlib import Path

    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_killed_worker_ends_the_run_and_nothing_is_lost(data, tmp_path):
    out = tmp_path / "run"
    started = time.monotonic()
    code, output = killed(data, out)
    assert code != 0
    assert time.monotonic() - started < 200
    state = Checkpoint.load(out / "checkpoints" / "last.safetensors").state
    assert state["epoch"] >= 3
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines[:3]] == [1, 2, 3]
    assert "SIGKILL" in output or "another process of this training is gone" in output


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_an_elastic_start_goes_on_after_a_kill_to_the_same_bits(data, tmp_path):
    options = {"batch_size": 160, "save_seconds": 1000.0, "validation": 40}
    whole = torchrun(data, tmp_path / "whole", epochs=EPOCHS, **options)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    code, output = killed(data, tmp_path / "run", "--max-restarts", "2", **options)
    assert code == 0, output
    assert "going on after epoch" in output
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "run"))


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_two_hosts_go_on_after_a_kill_on_one_of_them(data, tmp_path):
    # Two agents of torchrun, as on two hosts: each counts only the failures of its own workers.
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = {**PLAIN, "epochs": EPOCHS, "batch_size": 160, "save_seconds": 1000.0}
    start = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-id", "hosts",
        "--max-restarts", "1", "-m", "cenote", "train", "lenet5", "--data", str(data),
        "--out", str(tmp_path / "run"), *as_arguments(options),
    ]  # fmt: skip
    said = [tmp_path / f"agent{index}.txt" for index in range(2)]
    hosts = []
    for path in said:
        with path.open("w") as file:
            hosts.append(subprocess.Popen(
                start, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            ))  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not any(f"epoch  3/{EPOCHS}" in path.read_text() for path in said):
            assert time.monotonic() < until, [path.read_text() for path in said]
            time.sleep(0.02)
        (worker,) = _children(hosts[1].pid)
        os.kill(worker, signal.SIGKILL)
        codes = [host.wait(300) for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    output = "".join(path.read_text() for path in said)
    assert codes == [0, 0], output
    assert "going on after epoch" in output
    assert len(Run.open(tmp_path / "run").history) == EPOCHS
    alone = cenote.fit("lenet5", data=str(data), out=tmp_path / "one", **{
        **QUICK, **{name: options[name] for name in ("epochs", "batch_size")},
    })  # fmt: skip
    assert curve(Run.open(tmp_path / "run").history)[:10] == pytest.approx(
        curve(alone.history)[:10], rel=2e-4
    )


PROGRAM = """
import json, os, sys, torch, cenote
from cenote import models

generator = torch.Generator().manual_seed(0)
images = torch.randint(0, 60, (200, 1, 12, 12), generator=generator, dtype=torch.uint8)
labels = torch.arange(200) % 10
for image, label in zip(images, labels.tolist()):
    image[:, label : label + 3] = 230


def normed(classes, channels, size):
    return models.get("nin_small", classes=classes, channels=channels, size=size, dropout=0.0)


class Idle(torch.nn.Module):  # another part of it is idle in every step
    def __init__(self, classes, size):
        super().__init__()
        self.parts = torch.nn.ModuleList(torch.nn.Linear(size * size, classes) for _ in range(3))
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        return self.parts[self.steps % 2](x.flatten(1))


network = {"normed": normed, "idle": Idle}[sys.argv[1]]
options = {"epochs": 3, "validation": 40, "threads": 1, "report": False, "progress": "plain"}
model = cenote.fit(
    network, data=(images, labels), out=sys.argv[2], **options, **json.loads(sys.argv[3])
).model
torch.save(model.state_dict(), f"{sys.argv[2]}.{os.environ.get('RANK', 0)}.pt")
"""


def one_and_two(tmp_path, network, **options):
    """The folders of a run by one process and of the same by two."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    launcher = (
        "-m", "torch.distributed.run", "--nproc-per-node", "2",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
    )  # fmt: skip
    for name, start in (("one", ()), ("two", launcher)):
        done = subprocess.run(
            [sys.executable, *start, str(program), network, str(tmp_path / name),
             json.dumps(options)],
            capture_output=True, text=True, timeout=300, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Warning" not in done.stderr
    return tmp_path / "one", tmp_path / "two"


def state(run, rank):
    return torch.load(f"{run}.{rank}.pt", weights_only=True)


# Of 160 images, the last batch of 53 is a single one: a process repeats it, which must not count.
# A small rate of sgd: what adam makes of gradients that are 0 but for rounding, as those of a bias
# before a batch norm, is as large as its rate.
@pytest.mark.parametrize(
    "options",
    [{"batch_size": 53}, {"batch_size": 40, "accumulate": 2, "ema": 0.9}],
    ids=["a_process_without_an_image", "accumulated-averaged"],
)
def test_batch_norm_measures_the_batch_of_all_processes(tmp_path, options):
    options = {"optimizer": "sgd", "learning_rate": 0.01, **options}
    one, two = one_and_two(tmp_path, "normed", **options)
    assert curve(Run.open(two).history) == pytest.approx(curve(Run.open(one).history), rel=2e-3)
    alone, first, second = state(one, 0), state(two, 0), state(two, 1)
    assert first.keys() == alone.keys()
    assert_same_bits(first, second)
    running = [name for name in alone if "running" in name]
    assert running
    for name in running:
        torch.testing.assert_close(first[name], alone[name], rtol=1e-4, atol=1e-4)
    assert all(first[n] == alone[n] for n in alone if n.endswith("num_batches_tracked"))


def test_parameters_that_a_step_leaves_out_are_left_alone(tmp_path):
    options = {"optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 0.1, "augment": "none"}
    one, two = one_and_two(tmp_path, "idle", **options)
    assert curve(Run.open(two).history) == pytest.approx(curve(Run.open(one).history), rel=2e-4)
    for name, tensor in state(one, 0).items():
        torch.testing.assert_close(state(two, 0)[name], tensor, rtol=1e-3, atol=1e-4)


def test_batch_norms_are_their_own_again_after_a_step():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    norms = norms_of(model)
    with Group(0, 2).measuring(norms, True):
        assert isinstance(model[0], torch.nn.BatchNorm1d)
        assert type(model[0]) is not torch.nn.BatchNorm1d
    assert type(model[0]) is torch.nn.BatchNorm1d
    with pytest.raises(KeyError), Group(0, 2).measuring(norms, False):
        raise KeyError
    assert type(model[0]) is torch.nn.BatchNorm1d


def gathering(ranks):
    """A sum over processes that are threads, one after the other's arrival."""
    barrier, lock, sums = threading.Barrier(ranks), threading.Lock(), []

    def all_reduce(value):
        with lock:
            sums.append(value.clone())
        barrier.wait(20)
        value.copy_(sum(sums))
        barrier.wait(20)
        with lock:
            sums.clear()
        barrier.wait(20)

    return all_reduce


def at_once(work, ranks=2):
    """``work(rank)`` in as many threads, and what each gave or raised."""
    found = [None] * ranks

    def run(rank):
        try:
            found[rank] = work(rank)
        except ValueError as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(dist, "all_reduce", gathering(2))
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.BatchNorm2d(3, affine=False),
        lambda: torch.nn.BatchNorm2d(3, track_running_stats=False),
        lambda: torch.nn.BatchNorm2d(3, momentum=None),
    ],
)
@pytest.mark.parametrize("change", ["nothing", "no bias", "tracks no more"])
def test_a_norm_of_two_processes_is_that_of_one(two, make, change):
    torch.manual_seed(0)
    alone, whole = make(), torch.randn(6, 3, 4, 4)
    if change == "no bias":
        alone.bias = None
    elif change == "tracks no more":
        alone.track_running_stats = False
    copies = [copy.deepcopy(alone) for _ in range(2)]
    expected = alone(whole)

    def work(rank):
        with Group(rank, 2).measuring([copies[rank]], True):
            return copies[rank](whole[rank * 2 : rank * 4 + 2])

    torch.testing.assert_close(torch.cat(at_once(work)), expected, rtol=1e-5, atol=1e-5)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(copies[0].state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_processes_at_different_norms_say_so(two):
    norms = [torch.nn.BatchNorm2d(3) for _ in range(2)]
    x = torch.randn(4, 3, 4, 4)

    def work(rank):
        with Group(rank, 2).measuring(copies[rank], True):
            return copies[rank][rank](x)

    copies = [copy.deepcopy(norms) for _ in range(2)]
    assert all("at different ones at the same time" in str(found) for found in at_once(work))


def test_ctrl_c_is_answered_by_the_first_process_alone(data, tmp_path):
    process = subprocess.Popen(
        command(data, tmp_path / "run", epochs=4000), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch    3/"):
            process.send_signal(signal.SIGINT)  # torchrun hands it on to both
            break
    rest, _ = process.communicate(timeout=300)
    output = "".join(lines) + rest
    assert output.count("stopped in epoch") == output.count("and saved; go on with") == 1, output
    assert process.returncode != 0
    assert Checkpoint.load(tmp_path / "run/checkpoints/last.safetensors").state["epoch"] >= 3


KINDS = """
import copy, os, torch, torch.distributed as dist
from torch import nn
from cenote.training.norming import norms_of
from cenote.training.together import Group

dist.init_process_group("gloo")
rank = dist.get_rank()
group = Group(rank, dist.get_world_size())
kinds = {
    "features": (nn.BatchNorm1d(3), (3,)),
    "sequences": (nn.BatchNorm1d(3, eps=0.1), (3, 5)),
    "volumes": (nn.BatchNorm3d(3, momentum=None), (3, 2, 3, 2)),
    "without_weights": (nn.BatchNorm2d(3, affine=False), (3, 4, 4)),
    "without_statistics": (nn.BatchNorm2d(3, track_running_stats=False), (3, 4, 4)),
    "for_gpus": (nn.SyncBatchNorm(3), (3, 4, 4)),
    "frozen": (nn.BatchNorm2d(3).eval(), (3, 4, 4)),
}
for name, (norm, shape) in kinds.items():
    torch.manual_seed(0)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    alone = copy.deepcopy(norm)
    if isinstance(norm, nn.SyncBatchNorm):  # torch's own on CPUs
        alone = nn.BatchNorm2d(3)
        alone.load_state_dict(norm.state_dict())
    for count in (5, 1):  # 3 and 2 samples; 1 and none, where the other process repeats it
        whole = (torch.randn(5, *shape) * 3 + 100)[:count]
        if count == 1 and name == "features":
            continue
        whole.requires_grad_()
        wanted = alone(whole)
        weights = torch.randn_like(wanted)
        (wanted * weights).sum().backward()
        part = group.part(count)
        mine = part.stop > part.start
        at = part if mine else slice(0, 1)
        own = whole.detach()[at].clone().requires_grad_()
        with group.measuring(norms_of(norm), mine):
            found = norm(own)
            (found * weights[at] * mine).sum().backward()
        torch.testing.assert_close(found, wanted[at], rtol=1e-4, atol=1e-4, msg=name)
        gradient = whole.grad[at] * mine
        torch.testing.assert_close(own.grad, gradient, rtol=1e-4, atol=1e-4, msg=name)
        for one, other in zip(norm.parameters(), alone.parameters(), strict=True):
            dist.all_reduce(one.grad)
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4, msg=name)
        norm.zero_grad()
        alone.zero_grad()
    for one, other in zip(norm.buffers(), alone.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, msg=name)
    print("as alone:", name, flush=True)
dist.destroy_process_group()
"""


def test_batch_norms_of_every_kind_are_those_of_one_process(tmp_path):
    (tmp_path / "kinds.py").write_text(KINDS)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
         "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", str(tmp_path / "kinds.py")],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as alone:") == 2 * 7
