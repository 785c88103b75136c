"""Run a plan: jobs in, events out. Here or in worker processes; this process is the only one that writes.

The seeds that a job lacks become *tasks*, tasks that can train side by side become *units*, and a unit is what one
worker does at a time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
from collections import defaultdict, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any, Self

import torch

from dropout_lab.data import Data
from dropout_lab.data import load as load_data
from dropout_lab.errors import LabError, Problem, Refused
from dropout_lab.recording import Job, RunWriter, environment, read_checkpoints, writing
from dropout_lab.runs import Row, Snapshot
from dropout_lab.storage import atomic_write
from dropout_lab.training import Ended, Lane, lane_key, train

LANES = 8  # networks side by side: enough to share each step's fixed costs, few enough for the cache
SAVE_EVERY = 1.0  # seconds between checkpoints: beside the epoch under way, the most that a killed process loses
ATTEMPTS = 2  # how often a unit may take its worker down with it


@dataclass(frozen=True)
class Task:
    """One network to train: the job it belongs to, and its seed."""

    job: Job
    seed: int


Unit = tuple[Task, ...]  # trained side by side


@dataclass(frozen=True)
class EpochDone:
    """A unit has finished an epoch: the rows of its tasks, and the seconds of each one's share."""

    rows: Mapping[Task, Row]
    seconds: float


@dataclass(frozen=True)
class SeedDone:
    """A seed has ended, with its facts as in summary.json."""

    task: Task
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class UnitFailed:
    """A unit could not be trained; its runs stay unfinished."""

    unit: Unit
    reason: str


Event = EpochDone | SeedDone | UnitFailed


@dataclass(frozen=True)
class Settings:
    """Where and with what to train: the data directory, the torch device, worker processes (1: this one alone)."""

    data_directory: Path
    device: str = "cpu"
    workers: int = 1

    @property
    def threads(self) -> int:
        """Threads per process: torch's own choice for one, else each worker's share of the cores."""
        return torch.get_num_threads() if self.workers == 1 else max(1, len(os.sched_getaffinity(0)) // self.workers)


@dataclass(frozen=True)
class Progress:
    """One epoch of a unit as a worker reports it, by lane; snapshots only when they are due."""

    rows: Mapping[int, Row]
    seconds: float
    snapshots: Mapping[int, Snapshot]


@dataclass(frozen=True)
class Stopped:
    """The end of a unit as a worker reports it: with the error that ended it, if any."""

    error: Exception | None = None
    details: str = ""


Message = Progress | Ended | Stopped
Source = Generator[tuple[Unit, Message], None, None]  # of messages, each with the unit that it is about


def execute(jobs: Sequence[Job], settings: Settings) -> Iterator[Event]:
    """Train what the `jobs` lack, record it, and yield what happens."""
    units = deque(plan(jobs))
    for name, scale in {(unit[0].job.config.data.dataset, unit[0].job.config.data.scale) for unit in units}:
        dataset(name, scale, settings.data_directory, settings.device)  # bad data is refused before anything is created
    with Writers(settings) as writers:
        source = (work_here if settings.workers == 1 else work_apart)(units, writers, settings)
        with contextlib.closing(source):
            for unit, message in source:
                yield from writers.record(unit, message)


def plan(jobs: Sequence[Job]) -> list[Unit]:
    """Return the units that bring `jobs` up to date; reads what is there, changes nothing."""
    tasks = []
    for job in jobs:
        reached = {seed: len(record.rows) for seed, record in read_checkpoints(job.path / "checkpoint")}
        tasks += [(Task(job, seed), reached.get(seed, 0)) for seed in job.missing()]
    return group(tasks)


def choose_device(device: str) -> str:
    """Return the torch device for "auto", "cpu", "cuda" or "cuda:<n>". Raises `Refused` where torch has no such one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        reason = f"this torch sees {torch.cuda.device_count()} CUDA devices; use cpu, or install a CUDA build of torch"
        raise Refused(Problem("command line", "device", reason, device))
    return device


def group(tasks: Iterable[tuple[Task, int]]) -> list[Unit]:
    """Group (task, epochs done) into units whose lanes share a `lane_key` and start from the same epoch."""
    groups = defaultdict(list)
    for task, epochs in tasks:
        groups[lane_key(task.job.config), epochs].append(task)
    return [tuple(tasks[at : at + LANES]) for tasks in groups.values() for at in range(0, len(tasks), LANES)]


def work(lanes: Sequence[Lane], settings: Settings) -> Iterator[Progress | Ended]:
    """Train one unit and report it."""
    data = dataset(lanes[0].config.data.dataset, lanes[0].config.data.scale, settings.data_directory, settings.device)
    saved = time.monotonic()
    for event in train(lanes, data, settings.device):
        if isinstance(event, Ended):
            yield event
            continue
        due = time.monotonic() - saved >= SAVE_EVERY
        yield Progress(event.rows, event.seconds, {lane: event.snapshot(lane) for lane in event.rows} if due else {})
        saved = time.monotonic() if due else saved


@lru_cache(maxsize=1)
def dataset(name: str, scale: str, directory: Path, device: str) -> Data:
    """Load a data set; the last one stays in memory for the next unit."""
    return load_data(name, scale, directory, device)


class Writers:
    """The run directories being written: each is opened by its first unit and finished by its last."""

    def __init__(self, settings: Settings) -> None:
        self.environment = environment(settings.device, settings.threads)
        self.open: dict[Path, tuple[RunWriter, contextlib.ExitStack]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for path in list(self.open):
            self.close(path)

    def close(self, path: Path) -> None:
        """Let go of a run directory."""
        self.open.pop(path)[1].close()

    def lanes(self, unit: Unit) -> list[Lane]:
        """Return the unit's lanes, each with the snapshot to go on from; opens their run directories."""
        for job in dict.fromkeys(task.job for task in unit):
            if job.path not in self.open:
                stack = contextlib.ExitStack()
                self.open[job.path] = stack.enter_context(writing(job.path, job.config)), stack
        return [Lane(task.job.config, task.seed, self.open[task.job.path][0].resume(task.seed)) for task in unit]

    def left(self, unit: Unit) -> list[Unit]:
        """Return what is still to train of a unit whose worker died."""
        tasks = [task for task in unit if task.job.path in self.open]
        writers = [(task, self.open[task.job.path][0]) for task in tasks]
        return group(
            (task, snapshot.last.epoch if (snapshot := writer.resume(task.seed)) else 0)
            for task, writer in writers
            if task.seed in writer.pending()
        )

    def record(self, unit: Unit, message: Message) -> Iterator[Event]:
        """Write what a worker reports about `unit`, and yield it as events."""
        if isinstance(message, Progress):
            for lane, row in message.rows.items():
                self.open[unit[lane].job.path][0].add(row, message.seconds, message.snapshots.get(lane))
            if message.snapshots:
                for path in {task.job.path for task in unit}:
                    self.open[path][0].write_tables()
            yield EpochDone({unit[lane]: row for lane, row in message.rows.items()}, message.seconds)
        elif isinstance(message, Ended):
            task = unit[message.lane]
            writer = self.open[task.job.path][0]
            writer.end(task.seed, message.outcome)
            if not writer.pending():
                writer.finish(self.environment)
                self.close(task.job.path)
            yield SeedDone(task, message.outcome.facts)
        elif message.error:
            for path in {task.job.path for task in unit} & set(self.open):
                atomic_write(path / "error.txt", message.details.encode())
            yield UnitFailed(unit, str(message.error) or type(message.error).__name__)


def work_here(units: Iterable[Unit], writers: Writers, settings: Settings) -> Source:
    """Train the units one after another in this process."""
    for unit in units:
        lanes = writers.lanes(unit)
        try:
            for message in work(lanes, settings):
                yield unit, message
        except (RuntimeError, MemoryError) as error:  # what torch raises when memory runs out, among others
            yield unit, Stopped(error, traceback.format_exc())


def work_apart(units: deque[Unit], writers: Writers, settings: Settings) -> Source:
    """Train the units in `settings.workers` processes, each with its share of the cores.

    A worker that dies costs its unit one attempt: what is left of it goes on from its snapshots in a new worker.
    """
    attempts: dict[Task, int] = defaultdict(int)
    idle: list[Worker] = []
    busy: dict[Any, tuple[Worker, Unit]] = {}
    try:
        while units or busy:
            while units and len(busy) < settings.workers:
                unit, worker = units.popleft(), idle.pop() if idle else Worker(settings)
                worker.pipe.send(writers.lanes(unit))
                busy[worker.pipe] = worker, unit
            for pipe in connection.wait(list(busy)):
                worker, unit = busy[pipe]
                try:
                    message = worker.pipe.recv()
                except (EOFError, ConnectionResetError):
                    del busy[pipe]
                    message = Stopped(RuntimeError(f"its worker process died ({worker.stop()})"))
                    left = writers.left(unit)
                    for task in (task for part in left for task in part):
                        attempts[task] += 1
                    if max(attempts.values()) < ATTEMPTS:
                        units.extendleft(left)
                        continue
                    attempts.clear()
                else:
                    if isinstance(message, Stopped):
                        del busy[pipe]
                        idle.append(worker)
                        if isinstance(message.error, LabError):
                            raise message.error
                yield unit, message
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.stop()


class Worker:
    """A process that trains one unit after another, and the pipe to it."""

    def __init__(self, settings: Settings) -> None:
        context = get_context("spawn")  # a forked process could not use CUDA, nor torch's threads
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, settings, settings.threads), daemon=True)
        self.process.start()
        theirs.close()  # so that the worker's death ends the pipe

    def stop(self) -> str:
        """Kill the process, and say how it ended (by itself, or by this)."""
        self.process.join(0.1)
        self.process.kill()
        self.process.join()
        self.pipe.close()
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def serve(pipe: connection.Connection, settings: Settings, threads: int) -> None:
    """Be a worker: receive lanes, send back what `work` reports, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    threading.Thread(target=die_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    while True:
        lanes = pipe.recv()
        try:
            for message in work(lanes, settings):
                pipe.send(message)
            pipe.send(Stopped())
        except LabError as error:
            pipe.send(Stopped(error))
        except (RuntimeError, MemoryError) as error:
            pipe.send(Stopped(RuntimeError(str(error) or "out of memory"), traceback.format_exc()))


def die_with_parent() -> None:
    """End this process when its parent is gone, even if that was killed."""
    parent = parent_process()
    if parent:
        connection.wait([parent.sentinel])
        os._exit(1)
