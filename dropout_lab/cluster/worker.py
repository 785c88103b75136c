"""What a Dask worker does for `cluster.py`: say what it is, keep the data, train units in processes of its own.

A unit that takes its process down leaves the Dask worker alive, and so is told from a worker that was lost; and what
nobody waits for any more can be ended. The scheduler imports this module to read the calls: no torch at the top.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.data import datasets as data
from dropout_lab.errors import Problem
from dropout_lab.execution import devices
from dropout_lab.execution import lanes as schedule
from dropout_lab.execution.environment import environment
from dropout_lab.storage import sha256

if TYPE_CHECKING:
    from distributed import Worker as DaskWorker

    from dropout_lab.execution.workers import Message, Progress, Settings, Worker

TOPIC = "dropout-lab"  # of the events that tell of epochs
TELL_EVERY = 1.0  # seconds between them, for they pass through the scheduler
SLICE = 600.0  # seconds after which a unit comes back with its snapshots: the most that a lost worker costs
LOOK = 1.0  # seconds after which a task sees that nobody waits for it
BACK = 60.0  # seconds for a scheduler that was lost, or that says nothing, to come back
KEPT = 30.0  # seconds that an idle process is kept for the next unit

ALIKE = ("dropout-lab", "git_commit", "torch", "numpy", "python")  # what decides numbers, or how they are sent
Digests = Mapping[str, str]  # SHA-256 by path in a data directory


@dataclass(frozen=True)
class Facts:
    """What one Dask worker is; `directory` is where it has the data that were asked for, if it has.

    `memory` is what its machine has free now, for all workers there; `limit` what this one may take. Both in bytes.
    """

    id: str
    name: str
    machine: str
    threads: int
    memory: int
    limit: int
    gpus: int
    environment: Mapping[str, Any]
    directory: str | None


@dataclass(frozen=True)
class Returned:
    """What came of a unit on a worker: all that its process reported, and how that process died, if it did.

    `run` tells one start of a task from another, which Dask makes of itself when a worker dies. Without a `Stopped` at
    the end the unit goes on from the snapshots in the last message.
    """

    run: str
    messages: list[Message]
    died: str = ""


class Lost(Exception):
    """The training did not happen or was given up, through no fault of the unit."""


class WorkerLost(Lost):
    """The worker is gone, which may be the unit's fault if it happens again and again."""


def look(digests: Digests, dask_worker: DaskWorker) -> Facts:
    """Say what this worker is, and whether it has the data: in its machine's data directory, or from `keep`."""
    free, limit = schedule.available_memory(), dask_worker.memory_manager.memory_limit
    own = [data.directory(None), _kept(dask_worker)]
    return Facts(
        id=dask_worker.id,
        name=str(dask_worker.name),
        machine=socket.gethostname(),
        threads=dask_worker.state.nthreads,
        memory=free,
        limit=limit or free,
        gpus=devices.cuda_count(),
        environment=environment("cpu", 1),
        directory=next((str(path) for path in own if _holds(path, digests)), None),
    )


def unfit(
    address: str, facts: Facts | BaseException, ours: Mapping[str, Any], digests: Digests | None = None
) -> list[Problem]:
    """Return how a worker differs from `ours`, the driver's environment, and whether it lacks data."""
    where = f"worker {address.rpartition('//')[2]}"
    if isinstance(facts, BaseException):
        reason = f"must be {ours['dropout-lab']} as here; install it where the worker runs"
        return [Problem(where, "dropout-lab", reason, f"{type(facts).__name__}: {facts}")]
    if digests and not facts.directory:
        reason = "must be those that were sent; is the disk of its --local-directory full?"
        return [Problem(where, "data", reason, "others or none")]
    theirs = facts.environment
    return [
        Problem(where, key, f"must be {ours[key]} as here; workers and this process need the same", theirs.get(key))
        for key in ALIKE
        if theirs.get(key) != ours[key] and not (key == "git_commit" and None in (theirs.get(key), ours[key]))
    ]


def keep(key: str, digests: Digests, dask_worker: DaskWorker) -> Facts:
    """Write the files that were sent to this worker as `key` into its own directory, and look again."""
    for name, content in dask_worker.data[key].items():
        path = _kept(dask_worker) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return look(digests, dask_worker)


def _kept(dask_worker: DaskWorker) -> Path:
    return Path(dask_worker.local_directory) / "dropout-lab"


def _holds(directory: Path, digests: Digests) -> bool:
    with contextlib.suppress(OSError):
        return all(sha256((directory / name).read_bytes()) == digests[name] for name in digests)
    return False


def train(lanes: bytes, key: str, worker_id: str, directory: str, device: str, patience: float) -> Returned:
    """Train a unit, whose lanes are pickled for its process, as the task `key` of the worker that was meant.

    A process without a word for `patience` seconds is taken to hang, and killed.

    Raises `Lost` where it is another worker at the same address, or nobody waits for the result any more, and
    `LabError` where the data are not good.
    """
    from distributed import get_worker

    from dropout_lab.errors import LabError
    from dropout_lab.execution.workers import Progress, Settings, Stopped

    here, run, first = get_worker(), uuid.uuid4().hex, math.inf
    if here.id != worker_id:
        raise Lost("the worker was started again")
    settings = Settings(Path(directory), device, schedule.cores())  # one thread: other cores have other units
    process, ended = _lend(settings), False
    messages: list[Message] = []
    told = Told(here, key, run)
    try:
        process.pipe.send_bytes(lanes)
        while True:
            task = here.state.tasks.get(key)
            if task is None or task.state != "executing":
                raise Lost("nobody waits for it")
            if not process.pipe.poll(LOOK):
                process.wait(LOOK, patience)
                continue
            message, process.silent = process.pipe.recv(), 0.0
            if isinstance(message, LabError):
                raise message
            if isinstance(message, Progress):
                first = min(first, time.monotonic())
                due = time.monotonic() - first > SLICE
                message = message if due else replace(message, snapshots={})
                told.add(message)
            messages.append(message)
            ended = isinstance(message, Stopped)
            if ended or (isinstance(message, Progress) and message.snapshots):
                return Returned(run, messages)
    except (EOFError, OSError):
        return Returned(run, messages, process.died())
    finally:
        if ended:
            _give_back(process, settings)
        else:
            process.stop()


class Told:
    """Tells the driver of epochs as they come, a few at a time; what is lost on the way comes with the result."""

    def __init__(self, worker: DaskWorker, key: str, run: str) -> None:
        self.worker, self.key, self.run = worker, key, run
        self.count, self.last = 0, time.monotonic() - TELL_EVERY
        self.waiting: list[tuple[float, list[tuple[int, tuple[Any, ...]]]]] = []

    def add(self, progress: Progress) -> None:
        """Take one epoch: its seconds, and its rows by lane."""
        self.waiting.append((progress.seconds, [(lane, row.values) for lane, row in progress.rows.items()]))
        if time.monotonic() - self.last < TELL_EVERY:
            return
        event = {"key": self.key, "run": self.run, "first": self.count, "epochs": self.waiting}
        self.worker.log_event(TOPIC, event)
        self.count += len(self.waiting)
        self.waiting, self.last = [], time.monotonic()


idle: dict[Worker, Settings] = {}  # processes that wait for the next unit


def _lend(settings: Settings) -> Worker:
    """Return a process that trains with these settings: one that waits, or a new one."""
    from dropout_lab.execution.workers import Worker

    for process, own in list(idle.items()):
        if own == settings and _take(process):
            return process
    multiprocessing.current_process().daemon = False  # as Dask's nanny marks it; then it could have no processes
    return Worker(settings)


def _give_back(process: Worker, settings: Settings) -> None:
    """Keep a process for the next unit, but not for long."""
    idle[process] = settings

    timer = threading.Timer(KEPT, release, [process])
    timer.daemon = True
    timer.start()


def present() -> None:
    """Be there: what cannot find this function cannot read our calls."""


def release(*processes: Worker) -> None:
    """End these processes, or all, if they wait."""
    for process in processes or list(idle):
        if _take(process):
            process.stop()


def _take(process: Worker) -> bool:
    """Take a process from those that wait, unless another thread has."""
    return idle.pop(process, None) is not None
