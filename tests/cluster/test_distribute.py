"""Whatever becomes of workers and messages on the way, every epoch is recorded once, in its order, and blame is just.

The workers here are a list of what happens; nothing is trained, and no Dask is needed.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from recorded import outcome, row, snapshot

from dropout_lab.cluster.distribute import Report, distribute
from dropout_lab.cluster.worker import Lost, Returned, WorkerLost
from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.errors import Failed, Problem, Refused
from dropout_lab.execution.execute import EpochDone, Event, Noted, UnitFailed, Writers, check_data
from dropout_lab.execution.sources import Here
from dropout_lab.execution.units import plan
from dropout_lab.execution.workers import Progress, Stopped
from dropout_lab.runs import read as runs
from dropout_lab.runs.job import Job
from dropout_lab.runs.row import Row
from dropout_lab.training import Ended, Lane

EPOCHS = 6


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def config(seeds: Iterable[int], momentum: float = 0.0) -> Config:
    training = {"epochs": EPOCHS, "optimizer": "sgd", "momentum": momentum}
    mapping = {"data": {"dataset": "digits"}, "training": training, "seeds": list(seeds)}
    return configs.resolve(mapping, where="test", name="run")


def messages(lanes: Sequence[Lane], sha256: str, until: int = EPOCHS) -> list[Any]:
    """What a process reports of a unit; short of the end, the last message has snapshots."""
    first = 1 + (lanes[0].snapshot.last.epoch if lanes[0].snapshot else 0)
    seeds = [lane.seed for lane in lanes]
    told: list[Any] = []
    for epoch in range(first, until + 1):
        last = epoch == until < EPOCHS
        saved = {lane: snapshot(seed, epoch) for lane, seed in enumerate(seeds) if last}
        told.append(Progress({lane: row(seed, epoch) for lane, seed in enumerate(seeds)}, 0.5, saved))
    if until == EPOCHS:
        told += [*(Ended(lane, outcome(seed, sha256, EPOCHS)) for lane, seed in enumerate(seeds)), Stopped()]
    return told


def row9(seed: int, epoch: int) -> Row:
    return row(seed, epoch)


def event(run: str, told: Sequence[Any], first: int, last: int) -> Report:
    """What is told of the epochs `first` to `last` on the way."""
    rows = [(one.seconds, [(lane, astuple(own)) for lane, own in one.rows.items()]) for one in told[first:last]]
    return {"run": run, "first": first, "epochs": rows}


class Script:
    """One worker with so many slots; `play` says what is reported of a unit, by its lanes and the try."""

    def __init__(self, slots: int, play: Callable[[Sequence[Lane], int], list[Report]]) -> None:
        self.slots, self.play = slots, play
        self.waiting: deque[tuple[str, list[Report]]] = deque()
        self.times: dict[tuple[int, ...], int] = {}
        self.most = 0

    def room(self) -> Mapping[str, int]:
        return {"worker": self.slots - len(self.waiting)}

    def send(self, key: str, address: str, lanes: Sequence[Lane]) -> str:
        seeds = tuple(lane.seed for lane in lanes)
        self.times[seeds] = self.times.get(seeds, 0) + 1
        self.waiting.append((key, self.play(lanes, self.times[seeds])))
        self.most = max(self.most, len(self.waiting))
        return address

    def reports(self) -> Iterator[tuple[str, Report]]:
        key, reports = self.waiting.popleft()
        yield from ((key, report) for report in reports)

    def notes(self) -> list[str]:
        return []


def carry_out(jobs: Sequence[Job], workers: Script, count: int = 2) -> list[Event]:
    """Record what the workers report."""
    units = deque(plan(jobs, count))
    events: list[Event] = []
    with Writers(units, Here(Path("data"))) as writers:
        for unit, message in distribute(workers, units, writers):
            events += [*writers.noted(), *writers.record(unit, message)]
    return events


def sha256_of(jobs: Sequence[Job]) -> str:
    return next(iter(check_data(jobs, Here(Path("data"))).values()))


@pytest.fixture(scope="module")
def digits() -> str:
    return sha256_of([Job(Path("none"), config([0]))])


def expected(seeds: Iterable[int]) -> list[tuple[int, int]]:
    return [(seed, epoch) for seed in sorted(seeds) for epoch in range(1, EPOCHS + 1)]


def recorded(job: Job) -> list[tuple[int, int]]:
    table = runs.load(job.path).metrics
    return list(zip(table["seed"].tolist(), table["epoch"].tolist(), strict=True))


fate = st.lists(
    st.one_of(
        st.tuples(st.just("told"), st.integers(0, EPOCHS), st.integers(0, EPOCHS)),  # first epoch told, last
        st.tuples(st.just("again"), st.integers(0, EPOCHS), st.integers(0, EPOCHS)),  # by another start of the task
    ),
    max_size=6,
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(fates=st.lists(st.tuples(fate, st.sampled_from(["lost", "part", "died", "done"])), max_size=8))
def test_every_epoch_is_recorded_once_and_in_order(
    fates: list[tuple[list[tuple[str, int, int]], str]], tmp_path_factory: pytest.TempPathFactory, digits: str
) -> None:
    """Events are lost, come twice, out of order and from other starts; workers are lost; units come back in part."""
    script = iter(fates)
    deaths: dict[tuple[int, ...], int] = {}

    def play(lanes: Sequence[Lane], times: int) -> list[Report]:
        told, (events, end) = messages(lanes, digits), next(script, ([], "done"))
        count = sum(isinstance(one, Progress) for one in told)
        runs = {"told": "this", "again": "other"}
        reports = [event(runs[which], told, min(first, count), min(last, count)) for which, first, last in events]
        seeds = tuple(lane.seed for lane in lanes)
        if end == "died" and not deaths.get(seeds):
            deaths[seeds] = 1
            return [*reports, Returned("this", told[:1], "SIGKILL")]
        if end == "lost":
            return [*reports, Lost("its worker")]
        if end == "part" and count > 1:
            return [*reports, Returned("this", messages(lanes, digits, EPOCHS - count + 1))]
        return [*reports, Returned("this", told), event("this", told, 0, count)]  # and one that comes too late

    job = Job(tmp_path_factory.mktemp("runs") / "run", config(range(5)))
    events = carry_out([job], Script(2, play))
    assert not [one for one in events if isinstance(one, UnitFailed)]
    assert recorded(job) == expected(range(5))


def test_what_is_lost_on_the_way_is_never_blamed_on_its_unit(tmp_path: Path, digits: str) -> None:
    def play(lanes: Sequence[Lane], times: int) -> list[Report]:
        return [Lost("a scheduler")] if times <= 20 else [Returned("this", messages(lanes, digits))]

    job = Job(tmp_path / "run", config(range(3)))
    workers = Script(2, play)
    assert not [one for one in carry_out([job], workers) if isinstance(one, UnitFailed)]
    assert recorded(job) == expected(range(3)) and set(workers.times.values()) == {21}


@pytest.mark.parametrize("report", [Returned("this", [], "SIGKILL"), MemoryError("no room\nfor it")])
def test_a_unit_to_blame_is_tried_twice_and_named_and_the_others_go_on(
    report: Returned | MemoryError, tmp_path: Path, digits: str
) -> None:
    def play(lanes: Sequence[Lane], times: int) -> list[Report]:
        return [report] if lanes[0].config.training.momentum else [Returned("this", messages(lanes, digits))]

    bad, good = Job(tmp_path / "bad", config([7, 8], 0.5)), Job(tmp_path / "good", config([0, 1]))
    workers = Script(4, play)
    (failed,) = [one for one in carry_out([bad, good], workers, count=1) if isinstance(one, UnitFailed)]
    assert {(task.job.path.name, task.seed) for task in failed.unit} == {("bad", 7), ("bad", 8)}
    assert failed.reason in ("its worker process died (SIGKILL) on worker", "MemoryError: no room on worker")
    assert workers.times == {(7, 8): 2, (0, 1): 1} and recorded(good) == expected([0, 1])


def test_a_first_failure_is_told_before_anything_else_happens(tmp_path: Path, digits: str) -> None:
    def play(lanes: Sequence[Lane], times: int) -> list[Report]:
        return [Returned("this", [], "SIGKILL") if times == 1 else Returned("this", messages(lanes, digits))]

    workers, units = Script(1, play), deque(plan([Job(tmp_path / "run", config([0]))]))
    with Writers(units, Here(Path("data"))) as writers:
        source = distribute(workers, units, writers)
        list(writers.record(*next(source)))
        assert [note.text for note in writers.noted()] == [
            f"{tmp_path / 'run'} seed 0: its worker process died (SIGKILL) on worker; tried once more"
        ]
        assert workers.times == {(0,): 1}
        for unit, message in source:
            list(writers.record(unit, message))
        assert workers.times == {(0,): 2} and not list(writers.noted())


class Workers(Script):
    """Named workers with a slot each; `fate` says what a unit comes to, by its momentum and the worker."""

    def __init__(self, names: str, fate: Callable[[float, str], list[Report] | None], sha256: str) -> None:
        super().__init__(len(names), lambda lanes, times: [])
        self.fate, self.sha256, self.slot = fate, sha256, dict.fromkeys(names, 1)
        self.had: list[tuple[str, float]] = []

    def room(self) -> Mapping[str, int]:
        return dict(self.slot)

    def send(self, key: str, address: str, lanes: Sequence[Lane]) -> str:
        momentum = lanes[0].config.training.momentum
        own = self.fate(momentum, address)
        self.slot[address] -= 1
        self.had.append((address, momentum))
        report = (key + address, own or [Returned("this", messages(lanes, self.sha256))])
        self.waiting.insert(0 if own else len(self.waiting), report)  # who fails is free first
        return address

    def reports(self) -> Iterator[tuple[str, Report]]:
        key, reports = self.waiting.popleft()
        self.slot[key[-1]] += 1
        yield from ((key[:-1], report) for report in reports)


DIED: list[Report] = [Returned("this", [], "SIGKILL")]


@pytest.mark.parametrize(("names", "sick"), [("AB", "A"), ("AB", "B"), ("ABCDEFGH", "AC"), ("ABCD", "ABC")])
def test_units_are_not_blamed_for_a_worker_where_none_lives(names: str, sick: str, tmp_path: Path, digits: str) -> None:
    workers = Workers(names, lambda momentum, worker: DIED if worker in sick else None, digits)
    jobs = [Job(tmp_path / f"run-{n}", config([0], n / 100)) for n in range(30)]
    events = carry_out(jobs, workers, count=30)
    failed = [one for one in events if isinstance(one, UnitFailed)]
    assert len(failed) <= len(sick) - 1  # two sick ones may meet in a unit before anyone has trained anything
    left_out = [one.text for one in events if isinstance(one, Noted) and "gets no more" in one.text]
    assert 1 <= len(left_out) <= len(sick) and all(name in "".join(left_out) for name in sick[: len(left_out)])
    assert sum(worker in sick for worker, _ in workers.had) <= 3 * len(sick)
    done = [job for job in jobs if not any(job is task.job for one in failed for task in one.unit)]
    assert all(recorded(job) == expected([0]) for job in done)


def test_no_worker_is_blamed_for_a_unit_that_lives_nowhere(tmp_path: Path, digits: str) -> None:
    workers = Workers("ABC", lambda momentum, worker: DIED if momentum >= 0.25 else None, digits)
    jobs = [Job(tmp_path / f"run-{n}", config([0], n / 100)) for n in range(30)]
    events = carry_out(jobs, workers, count=30)
    assert len([one for one in events if isinstance(one, UnitFailed)]) == 5
    assert not [one for one in events if isinstance(one, Noted) and "gets no more" in one.text]
    for momentum in (0.25, 0.29):
        first, second = (worker for worker, own in workers.had if own == momentum)
        assert first != second


def test_a_worker_is_asked_again_when_what_failed_there_was_finished_by_another_process(
    tmp_path: Path, digits: str
) -> None:
    jobs = [Job(tmp_path / f"run-{n}", config([0], n / 100)) for n in range(9)]
    units = deque(plan(jobs, 9))
    first = units[0][0]
    workers = Workers("AB", lambda momentum, worker: DIED if len(workers.had) == 0 else None, digits)
    with Writers(units, Here(Path("data"))) as writers:
        for unit, message in distribute(workers, units, writers):
            list(writers.record(unit, message))
            if any("tried once more" in note.text for note in writers.noted()):
                writers.settle(first)
    assert [worker for worker, _ in workers.had].count("A") > 2


def test_a_process_that_dies_after_its_work_is_no_matter(tmp_path: Path, digits: str) -> None:
    job = Job(tmp_path / "run", config([0]))
    workers = Script(1, lambda lanes, times: [Returned("this", messages(lanes, digits), "SIGKILL")])
    assert not [one for one in carry_out([job], workers) if isinstance(one, Noted | UnitFailed)]
    assert recorded(job) == expected([0])


def test_a_unit_that_costs_one_worker_after_another_is_given_up(tmp_path: Path, digits: str) -> None:
    workers = Workers("AB", lambda momentum, worker: [WorkerLost()] if momentum else None, digits)
    bad, good = Job(tmp_path / "bad", config([0], 0.5)), Job(tmp_path / "good", config([0]))
    (failed,) = [one for one in carry_out([bad, good], workers) if isinstance(one, UnitFailed)]
    assert failed.unit[0].job is bad and failed.reason == "10 workers were lost with it, one after another"
    assert recorded(good) == expected([0]) and len(workers.had) == 11


def test_data_that_went_bad_on_one_worker_are_its_own_matter(tmp_path: Path, digits: str) -> None:
    rotten: list[Report] = [Refused(Problem("there/x.npz", "file", "is missing", "x"))]
    workers = Workers("AB", lambda momentum, worker: rotten if worker == "A" else None, digits)
    jobs = [Job(tmp_path / f"run-{n}", config([0], n / 100)) for n in range(9)]
    notes = [one.text for one in carry_out(jobs, workers, count=9) if isinstance(one, Noted)]
    assert all(recorded(job) == expected([0]) for job in jobs)
    assert "there/x.npz: file: is missing (got x) on A; tried once more" in notes[0] and "gets no more" in notes[-1]


def test_other_data_on_a_worker_end_all(tmp_path: Path) -> None:
    workers = Script(1, lambda lanes, times: [Returned("this", messages(lanes, "0" * 64))])
    with pytest.raises(Failed, match="the data changed"):
        carry_out([Job(tmp_path / "run", config([0]))], workers)


def test_no_more_units_are_under_way_than_there_are_slots(tmp_path: Path, digits: str) -> None:
    jobs = [Job(tmp_path / f"run-{n}", config([0], n / 100)) for n in range(40)]
    workers = Script(3, lambda lanes, times: [Returned("this", messages(lanes, digits))])
    before, most = len(os.listdir("/proc/self/fd")), 0
    units = deque(plan(jobs, 3))
    with Writers(units, Here(Path("data"))) as writers:
        for unit, message in distribute(workers, units, writers):
            list(writers.record(unit, message))
            most = max(most, len(os.listdir("/proc/self/fd")) - before)
    assert workers.most == 3 and most <= 3 and all(recorded(job) == expected([0]) for job in jobs)


def test_epochs_are_shown_as_they_come(tmp_path: Path, digits: str) -> None:
    def play(lanes: Sequence[Lane], times: int) -> list[Report]:
        told = messages(lanes, digits)
        return [event("this", told, 0, 2), event("this", told, 2, 3), Returned("this", told)]

    events = carry_out([Job(tmp_path / "run", config([0, 1]))], Script(1, play), count=1)
    epochs = [one for one in events if isinstance(one, EpochDone)]
    assert len(epochs) == EPOCHS
    assert {one.where for one in epochs} == {"worker"}
