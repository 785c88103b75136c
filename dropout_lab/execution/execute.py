"""Run a plan: jobs in, events out. Here or in worker processes; this process is the only one that writes.

`schedule.py` says which networks train side by side, as one *unit*, which is what one process does at a time.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, Self

from dropout_lab.config.resolve import Config, DataConfig
from dropout_lab.cost import cost
from dropout_lab.data.split import split_as
from dropout_lab.errors import LabError
from dropout_lab.execution.environment import environment
from dropout_lab.execution.lanes import Task, Unit, group, named, plan
from dropout_lab.execution.workers import Message, Progress, Settings, Stopped, Worker, choose_device, dataset, work
from dropout_lab.runs.job import Job
from dropout_lab.runs.record import RunWriter, writing
from dropout_lab.runs.row import Row
from dropout_lab.runs.summary import SeedFacts
from dropout_lab.storage import atomic_write
from dropout_lab.training import Ended, Lane

__all__ = [
    "EpochDone",
    "Event",
    "Noted",
    "SeedDone",
    "Settings",
    "UnitFailed",
    "choose_device",
    "execute",
]

ATTEMPTS = 2  # how often a unit may take its worker down with it
PULSE = 1.0  # seconds between looks at who is silent
SHORTEST_PATIENCE = 600.0  # seconds of silence after which a worker is taken to hang ...
PATIENCE = 100.0  # ... or so many times what an epoch should take, if that is longer


@dataclass(frozen=True)
class EpochDone:
    """A unit has finished an epoch: the rows of its tasks, and the seconds of each one's share; on a cluster, where."""

    rows: Mapping[Task, Row]
    seconds: float
    where: str = ""


@dataclass(frozen=True)
class SeedDone:
    """A seed has ended, with its facts as in summary.json."""

    task: Task
    facts: SeedFacts


@dataclass(frozen=True)
class UnitFailed:
    """A unit could not be trained; its runs stay unfinished, each with the details in its error.txt."""

    unit: Unit
    reason: str


@dataclass(frozen=True)
class Noted:
    """What a person should know of a run, though its training goes on."""

    text: str


Event = EpochDone | SeedDone | UnitFailed | Noted
Source = Generator[tuple[Unit, Message], None, None]  # of messages, each with the unit that it is about


def execute(jobs: Iterable[Job], settings: Settings) -> Generator[Event, None, None]:
    """Train what the `jobs` lack, record it, and yield what happens. Closing the generator stops the work.

    An error in the training of a unit costs that unit alone. Raises `Refused` for bad data, before anything is created,
    and where a run directory cannot be gone on with; `Failed` where the disk refuses.
    """
    units = deque(plan(jobs, settings.workers, settings.lanes, settings.device))
    with Writers(units, settings) as writers:
        if settings.cluster:
            source = settings.cluster.source(units, writers, settings)
        else:
            source = (work_here if settings.workers == 1 else work_apart)(units, writers, settings)
        with contextlib.closing(source):
            for unit, message in source:
                yield from writers.noted()
                yield from writers.record(unit, message)
        yield from writers.noted()


class Writers:
    """The run directories being written: each is opened by its first task and closed by its last."""

    def __init__(self, units: Sequence[Unit], settings: Settings) -> None:
        """Load and split the data of all units, which refuses those that will not do, and open nothing yet."""
        here = settings.workers == 1 and not settings.cluster  # workers load for themselves; this is the check
        device = settings.device if here else "cpu"
        self.data: dict[DataConfig, str] = {}  # the SHA-256 of each
        distinct = dict.fromkeys(task.job.config.data for task, *_ in units)
        for wanted in sorted(distinct, key=lambda data: (data.dataset, data.scale)):  # so that each is loaded once
            data = dataset(wanted.dataset, wanted.scale, settings.data_directory, device)
            split_as(wanted, len(data.images), seed=0)
            self.data[wanted] = data.sha256
        self.environment = environment(settings.device, settings.threads)
        self.waiting: dict[Path, set[int]] = defaultdict(set)  # the seeds planned that have neither ended nor failed
        for task in (task for unit in units for task in unit):
            self.waiting[task.job.path].add(task.seed)
        self.open: dict[Path, tuple[RunWriter, contextlib.ExitStack]] = {}
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for _, stack in self.open.values():
            stack.close()

    def __getitem__(self, job: Job) -> RunWriter:
        """Return the writer of a run directory; opens it where it is not open yet."""
        if job.path not in self.open:
            stack = contextlib.ExitStack()
            writer = stack.enter_context(writing(job, self.data[job.config.data]))
            self.open[job.path] = writer, stack
            self.notes += writer.notes
        return self.open[job.path][0]

    def take(self, units: deque[Unit]) -> tuple[Unit, list[Lane]] | None:
        """Take the next unit off `units`, with its lanes, each with the snapshot to go on from; None when all are done.

        What has ended meanwhile is left out, and a unit whose tasks go on from different epochs is divided.
        """
        while units:
            snapshots = {task: self[task.job].resume(task.seed) for task in self.left(units.popleft())}
            starts = ((task, snapshot.last.epoch if snapshot else 0) for task, snapshot in snapshots.items())
            parts = group(starts, lanes=len(snapshots) or 1)
            units.extendleft(reversed(parts[1:]))
            if parts:
                return parts[0], [Lane(task.job.config, task.seed, snapshots[task]) for task in parts[0]]
        return None

    def left(self, unit: Unit) -> Unit:
        """Return the tasks of a unit that are still to be trained."""
        waiting = [task for task in unit if task.seed in self.waiting[task.job.path]]
        ended = [task for task in waiting if task.seed not in self[task.job].pending()]
        for task in ended:  # by another process after the plan was made, or by one that was killed as it finished
            self.settle(task)
        return tuple(task for task in waiting if task not in ended)

    def settle(self, task: Task) -> None:
        """Note that a task has ended or failed. The last one of a run finishes it, if all have ended, and closes it."""
        path = task.job.path
        self.waiting[path].discard(task.seed)
        if not self.waiting[path]:
            writer, stack = self.open.pop(path)
            with stack:
                if not writer.finished and not writer.pending():
                    writer.finish(self.environment)

    def noted(self) -> Iterator[Noted]:
        """Yield what is to be said of the directories opened since this was last asked."""
        while self.notes:
            yield Noted(self.notes.pop(0))

    def record(self, unit: Unit, message: Message) -> Iterator[Event]:
        """Write what a worker reports about `unit`, and yield it as events."""
        if isinstance(message, Progress):
            for lane, row in message.rows.items():
                self[unit[lane].job].add(row, message.seconds, message.snapshots.get(lane))
            for job in dict.fromkeys(unit[lane].job for lane in message.snapshots):
                self[job].write_tables()
            yield EpochDone({unit[lane]: row for lane, row in message.rows.items()}, message.seconds, message.where)
        elif isinstance(message, Ended):
            task = unit[message.lane]
            self[task.job].end(task.seed, message.outcome)
            self.settle(task)
            yield SeedDone(task, message.outcome.facts)
        elif message.reason and (failed := self.left(unit)):
            details = (message.details or message.reason).encode(errors="backslashreplace")
            for task in failed:
                atomic_write(task.job.path / "error.txt", details)
                self.settle(task)
            yield UnitFailed(failed, message.reason)


def work_here(units: deque[Unit], writers: Writers, settings: Settings) -> Source:
    """Train the units one after another in this process."""
    while taken := writers.take(units):
        unit, lanes = taken
        for message in work(lanes, settings):
            yield unit, message


def patience(configs: Iterable[Config]) -> float:
    """Return after how many seconds without a word a worker that trains these side by side is taken to hang."""
    epoch = sum(cost(config) / config.training.epochs for config in configs)
    return max(SHORTEST_PATIENCE, PATIENCE * epoch)


def work_apart(units: deque[Unit], writers: Writers, settings: Settings) -> Source:
    """Train the units in `settings.workers` processes, each with its share of the cores.

    A worker that dies, or is silent for too long, costs its unit one attempt: what is left of it goes on from its
    snapshots in a new worker.
    """
    attempts: Counter[Task] = Counter()
    idle: list[Worker] = []
    busy: dict[Any, tuple[Worker, Unit]] = {}
    try:
        while True:
            while len(busy) < settings.workers and (taken := writers.take(units)):
                unit, lanes = taken
                worker = idle.pop() if idle else Worker(settings)
                busy[worker.pipe] = worker, unit
                with contextlib.suppress(OSError):  # it is dead: the end of its pipe will say so
                    worker.pipe.send(lanes)
            if not busy:
                return
            since = time.monotonic()
            ready = connection.wait(list(busy), PULSE)
            waited = min(PULSE, time.monotonic() - since)  # if it was longer, this process was stopped as well
            for worker, unit in busy.values():
                worker.wait(waited, patience(task.job.config for task in unit))
            for pipe in ready:
                worker, unit = busy[pipe]
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    del busy[pipe]
                    message, unit = Stopped(f"its worker process died ({worker.died()})"), writers.left(unit)
                    attempts.update(unit)
                    if all(attempts[task] < ATTEMPTS for task in unit):
                        writers.notes.append(f"{named(unit)}: {message.reason}; tried once more")
                        units.appendleft(unit)
                        continue
                else:
                    worker.silent = 0.0
                    if isinstance(message, LabError):
                        raise message
                    if isinstance(message, Stopped):
                        del busy[pipe]
                        idle.append(worker)
                yield unit, message
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.stop()
