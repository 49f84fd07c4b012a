"""Several processes that train one network: who they are, and what they tell each other.

``torchrun`` starts them and says in the environment who is who. Without it there is one process,
and nothing here costs anything.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.modules.batchnorm import _BatchNorm

from cenote.training.norming import in_group

__all__ = ["ALONE", "ElsewhereError", "Group", "WorkerLostError", "joined", "restarted", "speaks"]

T = TypeVar("T")


class ElsewhereError(RuntimeError):
    """The first process failed, and says why itself."""


class WorkerLostError(RuntimeError):
    """Another process of the training ended; the message says how to go on."""


_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Group:
    """``size`` processes, of which this is number ``rank``; number 0 writes and speaks."""

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def wrapped(self, model: nn.Module) -> nn.Module:
        """``model`` such that gradients are averaged over the processes.

        A step may leave parameters out: which ones is looked up every time.
        """
        if self.size == 1:
            return model
        where = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            _WithIdle(model).to(self.device), device_ids=where, find_unused_parameters=True
        )

    @contextlib.contextmanager
    def measuring(self, norms: Sequence[_BatchNorm], counts: bool) -> Iterator[None]:
        """While entered, ``norms`` that train measure the batch of all processes together.

        ``counts`` says whether this process's part of the batch belongs to it.
        """
        kinds: list[Any] = [type(norm) for norm in norms]
        try:
            if self.size > 1:
                for place, (norm, kind) in enumerate(zip(norms, kinds, strict=True)):
                    norm.__class__ = in_group(kind, counts, place)
            yield
        finally:
            for norm, kind in zip(norms, kinds, strict=True):
                norm.__class__ = kind

    def part(self, count: int) -> slice:
        """Which of ``count`` things are this process's: every one belongs to one process."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def total(self, *values: Tensor) -> tuple[Tensor, ...]:
        """The sums over all processes; every process has to ask."""
        if self.size == 1:
            return values
        sums = tuple(value.detach().clone().to(self.device) for value in values)
        for value in sums:
            dist.all_reduce(value)
        return tuple(value.to(old.device) for value, old in zip(sums, values, strict=True))

    def any(self, *questions: bool) -> tuple[bool, ...]:
        """Whether some process answers yes, for each question; every process has to ask."""
        if self.size == 1:
            return questions
        flags = torch.tensor(questions, dtype=torch.int32, device=self.device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return tuple(bool(flag) for flag in flags.tolist())

    def joined(self, part: Tensor) -> Tensor:
        """The parts of all processes, in their order; they may be of different lengths."""
        if self.size == 1:
            return part
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, part.cpu())
        return torch.cat(parts)

    def gathered(self, value: Tensor) -> list[Tensor]:
        """Every process's tensor, in their order."""
        parts: list[Any] = [value]
        if self.size > 1:
            parts = [None] * self.size
            dist.all_gather_object(parts, value.cpu())
        return parts

    def told(self, make: Callable[[], T]) -> T:
        """What the first process makes of ``make``, in all processes.

        Raises:
            ElsewhereError: it failed there.
        """
        if self.size == 1:
            return make()
        message: list[Any] = [None, False]
        try:
            if self.first:
                message = [make(), True]
        finally:
            dist.broadcast_object_list(message, src=0)
        if not message[1]:
            raise ElsewhereError("the first process failed")
        value: T = message[0]
        return value

    @contextlib.contextmanager
    def watched(self, advice: Callable[[], str]) -> Iterator[None]:
        """Turn what the loss of another process does to this one into a message.

        Raises:
            WorkerLostError: a process is gone; the message ends with ``advice()``.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not _is_of_the_network(error):
                raise
            raise WorkerLostError(
                f"process {self.rank} of {self.size}: another process of this training is gone; "
                f"{advice()}"
            ) from error


ALONE = Group()


class _WithIdle(nn.Module):
    """A network beside a parameter that it does not use.

    Where every parameter is used, torch warns of having looked; nobody can act on that.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.idle = nn.Parameter(torch.zeros(()))

    def forward(self, input: Tensor) -> Any:
        """What the network gives."""
        return self.network(input)


def _is_of_the_network(error: RuntimeError) -> bool:
    words = ("gloo", "nccl", "connection", "peer")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)


def restarted() -> bool:
    """Whether ``torchrun --max-restarts`` started this process anew after one was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def speaks() -> bool:
    """Whether this process is alone, or the first of those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def joined(device: str) -> Iterator[Group]:
    """The processes that ``torchrun`` started, joined until the block ends; alone without it.

    Raises:
        ValueError: ``device`` is cuda, and there is no GPU for this process.
    """
    size, rank = (int(os.environ.get(n, d)) for n, d in (("WORLD_SIZE", "1"), ("RANK", "0")))
    here = _device(device)
    if size == 1:
        yield Group(device=here)
        return
    if here.type == "cuda":
        torch.cuda.set_device(here)
    ours = not dist.is_initialized()
    if ours:
        store = _store_of_this_start(rank, size)
        backend = "nccl" if here.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield Group(rank, size, here)
    finally:
        if ours:
            dist.destroy_process_group()


def _store_of_this_start(rank: int, size: int) -> Any:
    """Where the processes leave word for each other, without what those before a restart left.

    torchrun has one store for all restarts, in which a process would look up where another one
    listens and find where it did before it was killed. So they agree on a part of it that is new:
    each asks under a number drawn for this start, and the first one answers with the part's name
    until all have it.
    """
    store: Any = next(iter(rendezvous("env://")))[0]
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return store  # its first process made it at this start
    own = uuid.uuid4().hex
    if rank > 0:
        store.set(f"cenote/asks/{rank}", own)
        part = store.get(f"cenote/answers/{own}").decode()  # waits for it
        store.set(f"cenote/{part}/has/{rank}", "")
        return PrefixStore(part, store)
    waiting, until = set(range(1, size)), time.monotonic() + store.timeout.total_seconds()
    while waiting:
        for other in sorted(waiting):
            if store.check([f"cenote/asks/{other}"]):
                store.set(f"cenote/answers/{store.get(f'cenote/asks/{other}').decode()}", own)
        waiting = {other for other in waiting if not store.check([f"cenote/{own}/has/{other}"])}
        if waiting and time.monotonic() > until:
            raise WorkerLostError(f"process {min(waiting)} of {size} has not come")
        time.sleep(0.02 if waiting else 0)
    return PrefixStore(own, store)


def _device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    local, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= found:
        raise ValueError(
            f"device = cuda: process {local} on this machine has no GPU ({found} found)"
        )
    return torch.device("cuda", local)
