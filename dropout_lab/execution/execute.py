"""Carry a plan out: jobs in, events out. A `Source` trains the units; this process is the only one that writes.

The sources are `Here` (this process), `Processes` (worker processes on this machine) and `OnDask` (a Dask cluster).
"""

from __future__ import annotations

import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from dropout_lab.config.settings import DataConfig
from dropout_lab.data.datasets import check_parts
from dropout_lab.execution.units import EpochDone, Event, Noted, SeedDone, Task, Unit, UnitFailed, group
from dropout_lab.execution.workers import Message, Progress, dataset_of
from dropout_lab.runs.job import Job
from dropout_lab.runs.record import RunWriter, writing
from dropout_lab.storage import atomic_write
from dropout_lab.training import Ended, Lane

Messages = Generator[tuple[Unit, Message], None, None]  # each with the unit that it is about


class Source(Protocol):
    """Whoever trains units and reports what comes of them."""

    data: Path
    checks_on: str

    @property
    def environment(self) -> dict[str, Any]:
        """The environment that networks are trained in, as summary.json has it."""

    def units(self, jobs: Iterable[Job]) -> list[Unit]:
        """Return the units that train what `jobs` lack."""

    def train(self, units: deque[Unit], writers: Writers) -> Messages:
        """Train the units and yield what is reported of each. Every unit is taken from `units` by `writers.take`."""


def execute(jobs: Iterable[Job], source: Source) -> Generator[Event, None, None]:
    """Train what the `jobs` lack, record it, and yield what happens. Closing the generator stops the work.

    An error in the training of a unit costs that unit alone. Raises `Refused` for bad data, before anything is created,
    and for a run directory that cannot be continued; `Failed` if the disk does not take what is written.
    """
    units = deque(source.units(jobs))
    with Writers(units, source) as writers:
        with contextlib.closing(source.train(units, writers)) as messages:
            for unit, message in messages:
                yield from writers.noted()
                yield from writers.record(unit, message)
        yield from writers.noted()


def check_data(
    jobs: Iterable[Job], source: Source, note: Callable[[str], None] = lambda text: None
) -> dict[DataConfig, str]:
    """Load and divide the data of all jobs; return the SHA-256 of each. `note` takes remarks on them.

    Raises `Refused` if they are missing, bad, or a class is missing where it must not be.
    """
    lanes: dict[DataConfig, list[Lane]] = defaultdict(list)
    for job in jobs:
        lanes[job.config.data] += [Lane(job.config, seed) for seed in job.config.seeds]
    digests, notes = {}, dict[str, None]()
    for config in sorted(lanes, key=lambda data: (data.dataset, data.scale)):  # so that each is loaded once
        data = dataset_of(lanes[config][0], source.data, source.checks_on)
        draws = dict.fromkeys(lane.config.draw(lane.seed) for lane in lanes[config])
        notes |= dict.fromkeys([*data.notes, *check_parts(data, config.parts, draws)])
        digests[config] = data.sha256
    for text in notes:
        note(text)
    return digests


class Writers:
    """The run directories that are being written. Each is opened for its first task and closed after its last."""

    def __init__(self, units: Sequence[Unit], source: Source) -> None:
        """Check the data of all units. No directory is opened yet. Raises `Refused` if the data are missing or bad."""
        self.source = source
        self.data = check_data((task.job for task, *_ in units), source)
        self.waiting: dict[Path, set[int]] = defaultdict(set)  # the planned seeds that have neither ended nor failed
        for task in (task for unit in units for task in unit):
            self.waiting[task.job.path].add(task.seed)
        self.open: dict[Path, tuple[RunWriter, contextlib.ExitStack]] = {}
        self.notes: list[str] = []
        self.told: set[str] = set()  # a note about the file system is the same for every run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for _, stack in self.open.values():
            stack.close()

    def __getitem__(self, job: Job) -> RunWriter:
        """Return the writer of a job's run directory. Opens the directory if it is not open yet."""
        if job.path not in self.open:
            stack = contextlib.ExitStack()
            writer = stack.enter_context(writing(job, self.data[job.config.data]))
            self.open[job.path] = writer, stack
            self.notes += [note for note in writer.checkpoints.notes if note not in self.told]
            self.told.update(writer.checkpoints.notes)
        return self.open[job.path][0]

    def take(self, units: deque[Unit]) -> tuple[Unit, list[Lane]] | None:
        """Take the next unit off `units`; return it with its lanes and their snapshots, or None if all units are done.

        Tasks that have ended meanwhile are left out. A unit whose tasks continue from different epochs is divided.
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
        for task in ended:  # by another process after the plan was made, or by one that was killed while it finished
            self.settle(task)
        return tuple(task for task in waiting if task not in ended)

    def settle(self, task: Task) -> None:
        """Note that a task has ended or failed. After the last task of a run: finish it if all have ended; close it."""
        path = task.job.path
        self.waiting[path].discard(task.seed)
        if not self.waiting[path]:
            writer, stack = self.open.pop(path)
            with stack:
                if not writer.finished and not writer.pending():
                    writer.finish(self.source.environment)

    def noted(self) -> Iterator[Noted]:
        """Yield the remarks since the last call."""
        while self.notes:
            yield Noted(self.notes.pop(0))

    def record(self, unit: Unit, message: Message) -> Iterator[Event]:
        """Write what is reported about `unit`, and yield it as events."""
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
