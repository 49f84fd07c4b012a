"""Which layout is taken by the seconds that runs took, and what plans are compared on; no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cenote
from cenote.acceleration import agreement, timing

FIRST, SECOND = 0, 1


@dataclass
class Track:
    """Runs of two plans that take the seconds given, forward and in all, the last one again."""

    seconds: tuple[list[tuple[float, float]], list[tuple[float, float]]]
    images: int = 4
    now: float = 0.0
    ran: list[tuple[int, int, float]] = field(default_factory=list)

    def run(self, module: Any, function: Any, args: Any, kwargs: Any, asked: bool,
            *, wanted: Any = None, seen: Any = None) -> float:  # fmt: skip
        plan = function(*args)
        nth = sum(ran[0] == plan for ran in self.ran)
        forward, whole = self.seconds[plan][min(nth, len(self.seconds[plan]) - 1)]
        further = seen is None or seen(None, forward)
        taken: float = whole if further and asked else forward
        self.ran.append((plan, len(args[0]), taken))
        self.now += taken
        return taken

    def winner(self, monkeypatch: pytest.MonkeyPatch, *, asked: bool, budget: float = 2.0,
               until: float = 100.0) -> int:  # fmt: skip
        monkeypatch.setattr(timing, "run_once", self.run)
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: self.now))
        x = torch.zeros(self.images, 3)
        answer: Any = SimpleNamespace(
            module=nn.Linear(3, 3), args=(x[:2],), kwargs={}, differs=lambda found: ""
        )
        contest = timing.Contest(answer, asked, budget, until)
        for plan in (FIRST, SECOND):
            assert not contest.enter(lambda x, plan=plan: plan)
        return contest.winner((x,))


def _runs(*seconds: float) -> list[tuple[float, float]]:
    return [(s / 3, s) for s in seconds]


def _forward(*seconds: float) -> list[tuple[float, float]]:
    return [(s, s) for s in seconds]


@dataclass(frozen=True)
class Race:
    """Seconds of the runs of both plans, what comes of it, and in how many runs."""

    asked: bool
    first: list[tuple[float, float]]
    second: list[tuple[float, float]]
    winner: int
    runs: int
    until: float = 100.0
    budget: float = 2.0


RACES = {
    # the runs that were compared are the only ones
    "back_slower_at_once": Race(True, _runs(1.0), _runs(1.1), FIRST, 2),
    "back_forward_alone_decides": Race(True, [(0.4, 1.2)], [(0.7, 0.8)], FIRST, 2),
    "back_no_time_and_in_doubt": Race(True, _runs(1.0), _runs(0.8), FIRST, 2, until=2.5),
    "back_no_time_and_no_doubt": Race(True, _runs(1.0), _runs(0.6), SECOND, 3, until=2.5),
    "back_no_time_and_a_cold_first": Race(True, _runs(1.0, 0.7), _runs(0.6), FIRST, 3, until=2.5),
    # turns while there is doubt
    "back_faster_by_turns": Race(True, _runs(1.0), _runs(0.7), SECOND, 6),
    "back_faster_only_at_first": Race(True, _runs(1.0, 0.8), _runs(0.8), FIRST, 4),
    "back_never_clearly_faster": Race(True, _runs(1.0), _runs(0.85), FIRST, 4),
    "back_time_for_one_turn": Race(True, _runs(1.0), _runs(0.7), SECOND, 4, until=4.0),
    "forward_slower_at_once": Race(False, _forward(0.6, 0.5), _forward(0.6), FIRST, 4),
    "forward_compared_run_decides": Race(False, _forward(1.0, 0.4), _forward(0.7), FIRST, 3),
    "forward_faster_twice": Race(False, _forward(0.6, 0.5), _forward(0.35), SECOND, 6),
    "forward_faster_once": Race(False, _forward(0.6, 0.5, 0.3), _forward(0.35), FIRST, 6),
    "forward_no_time_for_another": Race(False, _forward(0.5), _forward(0.35), SECOND, 4, until=2.0),
    # no timing
    "back_no_budget": Race(True, _runs(1.0), _runs(0.1), FIRST, 2, budget=0),
    "forward_no_budget": Race(False, _forward(1.0), _forward(0.1), FIRST, 2, budget=0),
}


@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
def test_winner(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track((race.first, race.second))
    won = track.winner(monkeypatch, asked=race.asked, budget=race.budget, until=race.until)
    assert won == race.winner
    assert len(track.ran) == race.runs


def test_nothing_goes_back_where_forward_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(([(0.4, 1.2)], [(0.7, 2.0)]))
    track.winner(monkeypatch, asked=True)
    assert [taken for *_, taken in track.ran] == [1.2, 0.7]


def test_nothing_goes_back_without_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(([(0.4, 1.2)], [(0.4, 1.2)]))
    track.winner(monkeypatch, asked=True, budget=0)
    assert [taken for *_, taken in track.ran] == [0.4, 0.4]


@pytest.mark.parametrize("asked", [False, True], ids=["forward", "back"])
def test_short_calls_are_timed_on_more_images(asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track((_forward(0.02), _forward(0.01)), images=64)
    assert track.winner(monkeypatch, asked=asked) == SECOND
    assert {images for _, images, _ in track.ran} == {2, 8}  # 2 / 4 seconds for 6 runs: four times
    assert track.now < 1


class Counted(nn.Module):
    """How many images it was given, call by call."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.given: list[int] = []

    def forward(self, x: Tensor) -> Any:
        self.given.append(len(x))
        return self.body(x)


class Spread(nn.Module):
    """Of one image alone there is no deviation: NaN."""

    def forward(self, x: Tensor) -> Tensor:
        return x / x.std(0)


class AtLeast(nn.Module):
    def __init__(self, images: int) -> None:
        super().__init__()
        self.images = images

    def forward(self, x: Tensor) -> Tensor:
        if len(x) < self.images:
            raise ValueError("too few")
        return x


@dataclass(frozen=True)
class Compared:
    """A network, whether its images take long, and with how many it is tried until it does."""

    make: Callable[[], nn.Module]
    given: list[int]
    long: bool = True
    training: bool = False


COMPARED = {
    "long": Compared(nn.ReLU, [1]),
    "short": Compared(nn.ReLU, [1, 2], long=False),
    "norm_of_the_batch": Compared(lambda: nn.BatchNorm2d(3), [2], training=True),
    "norm_without_statistics": Compared(lambda: nn.BatchNorm2d(3, track_running_stats=False), [2]),
    "norm_in_eval_mode": Compared(lambda: nn.BatchNorm2d(3), [1]),
    "nothing_finite_of_one": Compared(Spread, [1, 2]),
    "one_fails": Compared(lambda: AtLeast(2), [1, 2]),
    "two_fail": Compared(lambda: AtLeast(3), [1, 2, 5]),
}


@pytest.mark.parametrize("case", COMPARED.values(), ids=COMPARED)
def test_images_that_are_compared(case: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "_LONG", 0.0 if case.long else float("inf"))
    network = Counted(case.make()).train(case.training)
    x = torch.randn(5, 3, 4, 4)
    found = agreement.answer_of(network, (x,), {})
    assert found is not None
    assert network.given == case.given
    assert len(found.args[0]) == case.given[-1]


def test_no_answer_where_the_network_fails() -> None:
    assert agreement.answer_of(AtLeast(9), (torch.randn(5, 3, 4, 4),), {}) is None


def test_all_of_a_call_is_compared_where_that_is_asked_for() -> None:
    network = Counted(nn.ReLU())
    assert agreement.answer_of(network, (torch.randn(5, 3, 4, 4),), {}, whole=True) is not None
    assert network.given == [5]


def _contest(module: nn.Module, x: Tensor) -> timing.Contest:
    answer = agreement.answer_of(module, (x,), {})
    assert answer is not None
    return timing.Contest(answer, True, 2.0, 0.0)


def test_buffers_are_put_back_where_a_plan_fails() -> None:
    norm = nn.BatchNorm2d(3)
    kept = {name: buffer.clone() for name, buffer in norm.named_buffers()}

    def fails(x: Tensor) -> Tensor:
        norm(x)
        raise RuntimeError("broken")

    contest = _contest(norm, torch.randn(4, 3, 5, 5))
    assert contest.enter(fails) == "the plan failed: broken"
    assert contest.functions == []
    assert all(torch.equal(buffer, kept[name]) for name, buffer in norm.named_buffers())


def test_another_result_takes_no_part() -> None:
    norm = nn.BatchNorm2d(3)
    contest = _contest(norm, torch.randn(4, 3, 5, 5))
    assert contest.enter(lambda x: norm(x) + 1) == "its outputs are other numbers"
    assert contest.enter(lambda x: norm(norm(x))) == "buffers come out differently"
    assert contest.functions == []


def test_inputs_may_be_written_into_where_gradients_are_asked_for() -> None:
    module = nn.Conv2d(3, 3, 1)
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    kept = x.detach().clone()
    taken = timing.run_once(module, lambda x: module(x.mul_(2)), (x,), {}, True)
    assert taken > 0
    assert torch.equal(x, kept)
    assert x.grad is None


def test_a_way_back_that_fails_is_not_a_failure_of_the_plan() -> None:
    class NoWayBack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(x).sigmoid()
            z = y * 2
            y.mul_(3)  # what the way back of the sigmoid needs
            return y + z

    network, x = NoWayBack(), torch.randn(4, 3, 8, 8)
    fast: Any = cenote.accelerate(network, x)
    assert fast.report.layouts == {"training": fast.report.layouts["training"]}
    torch.testing.assert_close(fast(x), network(x))


def test_buffers_that_stay_as_they_are_are_not_written() -> None:
    norm = nn.BatchNorm2d(3)
    assert norm.running_mean is not None
    before = norm.running_mean._version
    with agreement.nothing_changed(norm):
        norm.eval()(torch.randn(2, 3, 4, 4))
    assert norm.running_mean._version == before  # or what was folded with it would be made again
    with agreement.nothing_changed(norm):
        norm.train()(torch.randn(2, 3, 4, 4))
    assert torch.equal(norm.running_mean, torch.zeros(3))
