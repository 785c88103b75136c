"""Executing a plan: a failure costs one unit, nothing hangs, no process stays behind, nothing is trained twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commandline import SUPPORT
from planned import EPOCHS, config, epochs_of, failures, metrics, undisturbed
from processes import alive, below
from recorded import tree
from sabotage import sabotaged

from dropout_lab import training
from dropout_lab.errors import Failed, Refused
from dropout_lab.execution import sources, workers
from dropout_lab.execution.execute import EpochDone, Event, Noted, SeedDone, UnitFailed, check_data, execute
from dropout_lab.execution.sources import Here, Processes
from dropout_lab.execution.units import MOST_LANES, Task, plan
from dropout_lab.execution.workers import Settings
from dropout_lab.runs import checkpoint as checkpoints
from dropout_lab.runs import read as runs
from dropout_lab.runs import record as recording
from dropout_lab.runs.find import state
from dropout_lab.runs.job import Job
from dropout_lab.runs.row import Row
from dropout_lab.runs.summary import DivergedSeed
from dropout_lab.storage import holder
from dropout_lab.training import Lane


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flush after every epoch, but do not wait for the disk."""
    monkeypatch.setattr(checkpoints, "SYNC_EVERY", 0.0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# What is open


def test_only_what_is_at_work_is_open(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job(tmp_path / f"run-{n}", config(range(3), 1, dropout={"rate": n / 100})) for n in range(15)]
    before, most = len(os.listdir("/proc/self/fd")), 0
    for _ in execute(jobs, Here(tmp_path)):
        most = max(most, len(os.listdir("/proc/self/fd")) - before)
    assert most <= 2 * MOST_LANES
    assert all(runs.load(job.path).seeds == (0, 1, 2) for job in jobs)

    def broken(*arguments: Any) -> Iterator[Any]:
        raise RuntimeError("no luck")

    monkeypatch.setattr(workers, "train", broken)
    for _ in execute(
        [Job(job.path, config(range(4), 1, dropout=dict(job.config.dropout))) for job in jobs], Here(tmp_path)
    ):
        assert len(os.listdir("/proc/self/fd")) - before <= 2 * MOST_LANES  # those that failed are closed as well


# What another process did between the plan and its execution


def test_what_was_finished_after_the_plan_was_made_is_not_trained_again(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path / "run", config([0, 1]))
    planned = plan([job])
    assert len(list(execute([job], Here(tmp_path)))) == EPOCHS + 2
    monkeypatch.setattr(sources, "plan", lambda *arguments: planned)
    before = tree(tmp_path)
    assert not list(execute([job], Here(tmp_path))) and tree(tmp_path) == before


def test_a_unit_whose_seeds_have_come_to_different_epochs_is_divided(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path / "run", config([0, 1, 2, 3]))
    planned = plan([job])
    partial(Job(job.path, config([3])), EPOCHS)
    partial(Job(job.path, config([1])), 2)
    partial(Job(job.path, config([0])), 1)
    with monkeypatch.context() as patch:
        patch.setattr(sources, "plan", lambda *arguments: planned)
        events = list(execute([job], Here(tmp_path)))
    epochs = {task.seed: rows for task, rows in epochs_of(events).items()}
    assert epochs == {0: [2, 3, 4], 1: [3, 4], 2: [1, 2, 3, 4]}
    assert metrics(job) == undisturbed(tmp_path, job)


def partial(job: Job, epochs: int) -> None:
    """Train until so many epochs are recorded, and stop."""
    source = execute([job], Here(job.path.parent))
    for event in source:
        if isinstance(event, EpochDone) and max(row.epoch for row in event.rows.values()) == epochs:
            break
    source.close()


def test_killed_before_the_final_files_it_finishes_without_training(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path / "run", config(range(10)))
    with monkeypatch.context() as patch, pytest.raises(Failed, match="disk full"):
        patch.setattr(recording.RunWriter, "finish", failing_disk)
        list(execute([job], Here(tmp_path)))
    assert state(job.path) == "interrupted" and not holder(job.path)
    assert not list(execute([job], Here(tmp_path)))
    assert runs.load(job.path).seeds == tuple(range(10)) and metrics(job) == undisturbed(tmp_path, job)


# In this process


def test_an_error_costs_its_unit_and_is_kept(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = Job(tmp_path / "bad", config([0, 1], momentum=0.5)), Job(tmp_path / "good", config([0]))
    train = workers.train

    def broken(lanes: Sequence[Lane], *arguments: Any) -> Iterator[Any]:
        for event in train(lanes, *arguments):
            yield event
            if lanes[0].config.training.momentum:
                raise ValueError("first line\nsecond line")

    with monkeypatch.context() as patch:
        patch.setattr(workers, "train", broken)
        events = list(execute([bad, good], Here(tmp_path)))
    assert failures(events) == [UnitFailed((Task(bad, 0), Task(bad, 1)), "ValueError: first line")]
    error = (bad.path / "error.txt").read_text()
    assert error.startswith("Traceback") and 'raise ValueError("first line' in error and "second line" in error
    assert state(bad.path) == "interrupted" and not holder(bad.path)
    assert metrics(good) == undisturbed(tmp_path, good)
    again = list(execute([bad, good], Here(tmp_path)))
    assert list(epochs_of(again).values()) == [[2, 3, 4]] * 2 and not failures(again)
    assert metrics(bad) == undisturbed(tmp_path, bad) and not (bad.path / "error.txt").exists()


def test_memory_that_an_error_held_is_free_when_the_next_unit_begins(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: set[int] = set()

    class Big:
        def __init__(self) -> None:
            assert not held
            held.add(id(self))

        def __del__(self) -> None:
            held.clear()

    def broken(*arguments: Any) -> Iterator[Any]:
        big = Big()
        yield from ()
        raise MemoryError(f"{big}")

    monkeypatch.setattr(workers, "train", broken)
    jobs = [Job(tmp_path / f"run-{n}", config(momentum=n / 10)) for n in range(3)]
    assert [event.reason.split(":")[0] for event in failures(execute(jobs, Here(tmp_path)))] == ["MemoryError"] * 3


def test_a_lane_that_diverges_may_finish_its_run_while_the_others_go_on(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, kept = (Job(tmp_path / name, config([0], dropout={"rate": r})) for name, r in (("lost", 0.1), ("kept", 0.2)))
    record = training.State.record

    def poison(self: training.State, lane: int, row: Row) -> None:
        record(self, lane, row)
        if lane == 0 and len(self.parameters) == 2:
            self.parameters[0] = float("nan")

    monkeypatch.setattr(training.State, "record", poison)
    events: list[Event] = []
    for event in execute([lost, kept], Here(tmp_path)):
        events.append(event)
        assert bool(holder(lost.path)) == (SeedDone(Task(lost, 0), DivergedSeed(epoch=2, step=1)) not in events)
    assert [list(event.rows) for event in events if isinstance(event, EpochDone)][1:] == [[Task(kept, 0)]] * 3
    assert runs.load(lost.path).diverged == (0,) and metrics(kept) == undisturbed(tmp_path, kept)


@pytest.mark.parametrize("names", [["seed-1"], ["seed-1", "seed-1.previous"]])
def test_a_damaged_checkpoint_is_noted_and_changes_no_byte(names: list[str], tmp_path: Path, quick: None) -> None:
    job = Job(tmp_path / "run", config([0, 1]))
    partial(job, 3)
    for name in names:
        file = job.path / "checkpoint" / name
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(bytes(data))
    events = list(execute([job], Here(tmp_path)))
    (note,) = [event.text for event in events if isinstance(event, Noted)]
    assert events[0] == Noted(note) and "seed-1: damaged checkpoint passed over (the checksum does not match)" in note
    first = {task.seed: epochs[0] for task, epochs in epochs_of(events).items()}
    assert first == {0: 4, 1: 3 if len(names) == 1 else 1}
    assert metrics(job) == undisturbed(tmp_path, job)


def test_nothing_is_created_where_any_of_the_data_will_not_do(tmp_path: Path) -> None:
    good = Job(tmp_path / "runs/good", config())
    images, labels = np.zeros((30, 4), np.uint8), np.arange(30, dtype=np.uint8) % 3
    images[:, 0] = np.arange(30)
    own = tmp_path / "own.npz"
    np.savez(own, x_train=images, y_train=labels, x_test=images, y_test=labels)
    for data in ({"dataset": "mnist"}, {"dataset": str(own), "train_size": 29}):
        bad = Job(tmp_path / "runs/bad", config(data=data))
        for count in (1, 2):
            with pytest.raises(Refused):
                list(execute([good, bad], Processes(tmp_path / "data", 2) if count == 2 else Here(tmp_path / "data")))
            assert [path.name for path in tmp_path.iterdir()] == ["own.npz"]
    own.write_bytes(own.read_bytes()[:-50])
    with pytest.raises(Refused, match="own.npz"):
        list(execute([good, Job(tmp_path / "runs/bad", config(data={"dataset": str(own)}))], Here(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["own.npz"]


def test_every_data_set_is_loaded_once_for_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = workers.load
    monkeypatch.setattr(workers, "load", lambda *wanted: loaded.append(wanted[1]) or load(*wanted))
    workers.dataset.cache_clear()
    jobs = [
        Job(tmp_path / f"run-{n}", config(data={"dataset": "digits", "scale": scale, "train_size": 100 + n}))
        for n, scale in enumerate(["unit", "standardize"] * 5)
    ]
    check_data(jobs, Here(tmp_path))
    assert len(loaded) <= 4


def test_a_closed_generator_lets_go(tmp_path: Path, quick: None) -> None:
    job = Job(tmp_path / "run", config([0], epochs=1000))
    source = execute([job], Here(tmp_path))
    next(source)
    assert holder(job.path)
    source.close()
    assert not holder(job.path) and state(job.path) == "interrupted"


def test_the_work_ends_before_its_directories_are_let_go(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, train, order = Job(tmp_path / "run", config([0], epochs=1000)), workers.train, []

    def spied(*arguments: Any) -> Iterator[Any]:
        try:
            yield from train(*arguments)
        finally:
            order.append(f"stopped, locked: {holder(job.path) is not None}")

    monkeypatch.setattr(workers, "train", spied)
    source = execute([job], Here(tmp_path))
    next(source)
    source.close()
    with monkeypatch.context() as patch, pytest.raises(Failed):
        patch.setattr(recording.RunWriter, "add", failing_disk)
        list(execute([job], Here(tmp_path)))
    assert order == ["stopped, locked: True"] * 2


def failing_disk(*arguments: Any) -> None:
    raise Failed("disk full")


# In worker processes


def children() -> list[int]:
    """The processes that this one has started to train, and that live."""
    return [process.pid for process in multiprocessing.active_children() if process.pid]


def test_of_four_units_one_is_killed_once_one_always_and_one_fails(tmp_path: Path) -> None:
    fates = {0.1: "once", 0.2: "always", 0.3: "error"}
    jobs = {fate: Job(tmp_path / fate, config([0], momentum=m)) for m, fate in (fates | {0.4: "good"}).items()}
    settings = Processes(sabotaged(tmp_path, fates), 2)
    events, quiet, last = [], 0.0, time.monotonic()
    for event in execute(list(jobs.values()), settings):
        quiet, last = max(quiet, time.monotonic() - last), time.monotonic()
        events.append(event)
    assert not children() and quiet < 300  # the machine may be busy; a hang would be for ever
    failed = {event.unit: event.reason for event in failures(events)}
    assert [event.text for event in events if isinstance(event, Noted)].count(
        f"{tmp_path / 'once'} seed 0: its worker process died (SIGKILL); tried once more"
    ) == 1
    assert failed == {
        (Task(jobs["always"], 0),): "its worker process died (SIGKILL)",
        (Task(jobs["error"], 0),): "RuntimeError: out of memory, let us say",
    }
    epochs = {task.job.path.name: rows for task, rows in epochs_of(events).items()}
    assert epochs["once"] == epochs["good"] == [1, 2, 3, 4]  # it went on from the snapshot
    assert epochs["always"] == [1, 2, 3, 4]  # two epochs for each attempt
    assert epochs["error"] == [1, 2]
    for fate in ("once", "good"):
        assert metrics(jobs[fate]) == undisturbed(tmp_path, jobs[fate])
    assert "SIGKILL" in (jobs["always"].path / "error.txt").read_text()
    error = (jobs["error"].path / "error.txt").read_text()
    assert error.startswith("Traceback") and "and a second line" in error
    for fate in ("always", "error"):
        assert state(jobs[fate].path) == "interrupted" and not holder(jobs[fate].path)
        list(execute([jobs[fate]], Here(tmp_path)))
        assert metrics(jobs[fate]) == undisturbed(tmp_path, jobs[fate])


@pytest.mark.long
def test_a_worker_that_hangs_costs_its_unit_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SHORTEST_PATIENCE", 20.0)
    jobs = [Job(tmp_path / "hangs", config(momentum=0.1)), Job(tmp_path / "good", config(momentum=0.2))]
    events = list(execute(jobs, Processes(sabotaged(tmp_path, {0.1: "asleep"}), 2)))
    (note,) = (event.text for event in events if isinstance(event, Noted))
    assert "hangs seed 0: its worker process died (it hung, without a word for 2" in note
    (failure,) = failures(events)
    assert failure.unit == (Task(jobs[0], 0),) and "it hung" in failure.reason and not children()
    assert state(jobs[0].path) == "interrupted" and metrics(jobs[1]) == undisturbed(tmp_path, jobs[1])


def test_patience_is_for_what_the_network_takes_and_for_no_time_in_which_this_process_slept_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [Job(tmp_path / name, config(momentum=m)) for name, m in {"one": 0.1, "two": 0.2}.items()]
    assert sources.patience([jobs[0].config]) == 600
    assert sources.patience([config(network={"hidden": [9500, 9500]})]) > 1000
    hours = iter(range(0, 10**9, 3600))
    monkeypatch.setattr(sources, "time", SimpleNamespace(monotonic=lambda: next(hours)))
    assert not [event for event in execute(jobs, Processes(tmp_path, 2)) if isinstance(event, Noted)]


def test_a_refusal_in_a_worker_ends_all_as_a_refusal(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / "a", config(momentum=0.1)), Job(tmp_path / "b", config(momentum=0.2, epochs=100_000))]
    with pytest.raises(Refused, match="was replaced by rubbish"):
        list(execute(jobs, Processes(sabotaged(tmp_path, {0.1: "refused"}), 2)))
    assert not children() and not holder(jobs[0].path) and not holder(jobs[1].path)


def test_closing_the_generator_stops_the_workers_at_once(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"run-{n}", config(momentum=n / 10, epochs=100_000)) for n in range(2)]
    source = execute(jobs, Processes(tmp_path, 2))
    for event in source:
        if isinstance(event, EpochDone):
            break
    assert len(children()) == 2
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 60 and not children() and not any(holder(job.path) for job in jobs)


PARENT = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from sabotage import sabotaged
from dropout_lab.config import resolve as configs
from dropout_lab.execution.execute import EpochDone, execute
from dropout_lab.execution.sources import Processes
from dropout_lab.runs.job import Job
from dropout_lab.runs.row import Row
from dropout_lab.runs.summary import DivergedSeed

def job(name, momentum):
    training = {"epochs": 100, "optimizer": "sgd", "momentum": momentum}
    mapping = {"data": {"dataset": "digits"}, "network": {"hidden": [16]}, "training": training}
    return Job(where / name, configs.resolve(mapping, where="test", name="run"))

if __name__ == "__main__":
    where = Path(sys.argv[2])
    print(flush=True)
    settings = Processes(sabotaged(where, {0.1: "asleep", 0.2: "asleep"}), 2)
    try:
        for event in execute([job("one", 0.1), job("two", 0.2)], settings):
            if isinstance(event, EpochDone):
                print(flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process, in a group of its own, whose two workers fall asleep in their third epoch; it tells of the others."""
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, tmp_path / "parent.py", SUPPORT, tmp_path]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def all_end(processes: Iterable[int]) -> None:
    gone_by = time.monotonic() + 30
    while living := list(filter(alive, processes)):
        assert time.monotonic() < gone_by, living
        time.sleep(0.05)


def test_no_worker_outlives_a_killed_parent(parent: subprocess.Popen[str], tmp_path: Path) -> None:
    assert parent.stdout and parent.stderr
    for _ in range(5):
        parent.stdout.readline()
    started = below(parent.pid)
    assert len(started) >= 2
    parent.kill()
    parent.wait()
    all_end(started)
    assert parent.stderr.read() == ""
    for name in ("one", "two"):
        assert state(tmp_path / name) == "interrupted"


def test_ctrl_c_is_for_the_parent_alone(parent: subprocess.Popen[str]) -> None:
    """The terminal sends SIGINT to the whole group; a worker, even one that is still starting, takes no notice."""
    assert parent.stdout and parent.stderr
    parent.stdout.readline()
    while len(started := below(parent.pid)) < 3:
        time.sleep(0.01)
    for _ in range(5):
        time.sleep(0.1)
        for pid in started:
            os.kill(pid, signal.SIGINT)
    for _ in range(4):
        parent.stdout.readline()
    assert all(map(alive, started))
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(60) == 130 and parent.stderr.read() == ""
    all_end(started)


@pytest.mark.parametrize("sent", [[], [[Lane(config(), 0)]]])
def test_a_worker_without_a_parent_ends_quietly(sent: list[list[Lane]], tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    for lanes in sent:
        ours.send(lanes)
    ours.close()
    workers.serve(theirs, Settings(tmp_path))
    theirs.close()
