"""What a Dask worker does: say what it is, keep the data, and train units in processes of its own.

If a unit kills its process, the Dask worker lives on, so the driver can tell this from a lost worker. A process of its
own can also be ended when nobody waits for its result any more. No torch: the scheduler imports this module too.
"""

from __future__ import annotations

import contextlib
import math
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
from dropout_lab.execution import machine
from dropout_lab.storage import sha256

if TYPE_CHECKING:
    from distributed import Worker as DaskWorker

    from dropout_lab.execution.workers import Message, Progress, Settings, Worker

TOPIC = "dropout-lab"  # of the events that report epochs
TELL_EVERY = 1.0  # seconds between these events: each passes through the scheduler
SLICE = 600.0  # seconds after which a unit comes back with its snapshots: if a worker is lost, no more work is lost
LOOK = 1.0  # seconds between looks at whether anybody still waits for a task
BACK = 60.0  # seconds in which a scheduler that was lost or is silent may come back
KEPT = 30.0  # seconds for which an idle process is kept for the next unit

ALIKE = ("dropout-lab", "git_commit", "torch", "numpy", "python")  # they decide the numbers, or how these are sent
Digests = Mapping[str, str]  # SHA-256 by path in a data directory


@dataclass(frozen=True)
class Facts:
    """What one Dask worker is. `directory` holds the data that were asked for; None if the worker has not got them.

    `memory` is what is free on its machine now, for all workers there; `limit` is what this worker may take; in bytes.
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
    """The result of a unit on a worker: all that its process reported, and how that process died, if it did.

    `run` identifies one start of a task, which Dask starts again when a worker dies. If the last message is not
    `Stopped`, the unit is not finished, and continues from the snapshots in that message.
    """

    run: str
    messages: list[Message]
    died: str = ""


class Lost(Exception):
    """The training did not happen or was stopped, through no fault of the unit."""


class WorkerLost(Lost):
    """The worker is gone. If this happens again and again with one unit, the unit may be at fault."""


def look(digests: Digests, dask_worker: DaskWorker) -> Facts:
    """Return the facts of this worker. It may have the data in its machine's data directory, or from `keep`."""
    free, limit = machine.available_memory(), dask_worker.memory_manager.memory_limit
    places = data.directory(None), _kept(dask_worker)
    return Facts(
        id=dask_worker.id,
        name=str(dask_worker.name),
        machine=socket.gethostname(),
        threads=dask_worker.state.nthreads,
        memory=free,
        limit=limit or free,
        gpus=machine.cuda_count(),
        environment=machine.environment("cpu", 1),
        directory=next((str(path) for path in places if _holds(path, digests)), None),
    )


def unfit(
    address: str, facts: Facts | BaseException, drivers: Mapping[str, Any], digests: Digests | None = None
) -> list[Problem]:
    """Return what keeps a worker from training: an environment unlike the driver's, or data that it lacks."""
    where = f"worker {address.rpartition('//')[2]}"
    if isinstance(facts, BaseException):
        reason = f"must be {drivers['dropout-lab']} as here; install it where the worker runs"
        return [Problem(where, "dropout-lab", reason, f"{type(facts).__name__}: {facts}")]
    if digests and not facts.directory:
        reason = "must be those that were sent; is the disk of its --local-directory full?"
        return [Problem(where, "data", reason, "others or none")]
    pairs = {key: (drivers[key], facts.environment.get(key)) for key in ALIKE}
    return [
        Problem(where, key, f"must be {here} as here; workers and this process need the same", there)
        for key, (here, there) in pairs.items()
        if there != here and not (key == "git_commit" and None in (there, here))
    ]


def keep(key: str, digests: Digests, dask_worker: DaskWorker) -> Facts:
    """Write the files that were sent to this worker as `key` into its own directory, and return its facts."""
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
    """Train a unit as the task `key` of the worker `worker_id`. Its lanes are pickled for its process.

    A process that sends no message for `patience` seconds is taken to hang, and is killed. Raises `Lost` if this is
    another worker at the same address, or if nobody waits for the result any more; `LabError` if the data are bad.
    """
    from distributed import get_worker

    from dropout_lab.errors import LabError
    from dropout_lab.execution.workers import Progress, Settings, Stopped

    here, run, first = get_worker(), uuid.uuid4().hex, math.inf
    if here.id != worker_id:
        raise Lost("the worker was started again")
    settings = Settings(Path(directory), device)
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
    """Reports epochs to the driver, a few at a time. If a report is lost, its epochs still come with the result."""

    def __init__(self, worker: DaskWorker, key: str, run: str) -> None:
        self.worker, self.key, self.run = worker, key, run
        self.count, self.last = 0, time.monotonic() - TELL_EVERY
        self.waiting: list[tuple[float, list[tuple[int, tuple[Any, ...]]]]] = []

    def add(self, progress: Progress) -> None:
        """Take one epoch, and send those that wait if it is time."""
        self.waiting.append((progress.seconds, [(lane, row.values) for lane, row in progress.rows.items()]))
        if time.monotonic() - self.last >= TELL_EVERY:
            event = {"key": self.key, "run": self.run, "first": self.count, "epochs": self.waiting}
            self.worker.log_event(TOPIC, event)
            self.count += len(self.waiting)
            self.waiting, self.last = [], time.monotonic()


idle: dict[Worker, Settings] = {}  # processes without a unit


def _lend(settings: Settings) -> Worker:
    """Return a process that trains with these settings: an idle one or a new one."""
    from dropout_lab.execution.workers import Worker

    for process, its_settings in list(idle.items()):
        if its_settings == settings and _take(process):
            return process
    return Worker(settings)


def _give_back(process: Worker, settings: Settings) -> None:
    """Keep a process for the next unit, but for KEPT seconds only."""
    idle[process] = settings
    timer = threading.Timer(KEPT, _release, [process])
    timer.daemon = True
    timer.start()


def present() -> None:
    """Do nothing. A scheduler that cannot import this function could not read our calls either."""


def _release(process: Worker) -> None:
    """End a process if it is idle."""
    if _take(process):
        process.stop()


def _take(process: Worker) -> bool:
    """Take a process out of the idle ones. Return whether it was still there: another thread may have taken it."""
    return idle.pop(process, None) is not None
