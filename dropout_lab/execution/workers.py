"""Train a unit and report it, here or in a worker process, which trains one after another. `execute.py` records it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection, current_process, get_context, parent_process, resource_tracker
from pathlib import Path
from types import ModuleType

from dropout_lab.data.datasets import Data, load, version
from dropout_lab.data.split import Draw, Parts
from dropout_lab.errors import LabError
from dropout_lab.runs.row import Row, Snapshot
from dropout_lab.training import Ended, Lane, train


@dataclass(frozen=True)
class Settings:
    """With what a process trains: the data directory, the torch device and the number of threads."""

    data_directory: Path
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Progress:
    """One epoch of a unit, by lane: its row, and the snapshot from which the training can go on.

    `seconds` is each lane's share of the epoch's time. `where` names the worker of a cluster that trained the epoch; it
    sends snapshots with few epochs.
    """

    rows: Mapping[int, Row]
    seconds: float
    snapshots: Mapping[int, Snapshot]
    where: str = ""


@dataclass(frozen=True)
class Stopped:
    """The end of a unit. If an error ended it: the error in one line, and in full."""

    reason: str = ""
    details: str = ""


Message = Progress | Ended | Stopped


def work(lanes: Sequence[Lane], settings: Settings) -> Iterator[Message]:
    """Train one unit and report it. The last message is `Stopped`. Raises `LabError` if the data are missing or bad."""
    try:
        yield from _work(lanes, settings)
    except LabError:
        raise
    except Exception as error:  # words only: the error itself would keep the unit's memory
        reason = "".join(traceback.format_exception_only(error)).splitlines()[0]
        yield Stopped(reason, "".join(traceback.format_exception(error)))
    else:
        yield Stopped()


def _work(lanes: Sequence[Lane], settings: Settings) -> Iterator[Message]:
    data = dataset_of(lanes[0], settings.data_directory, settings.device)
    for event in train(lanes, data, settings.device, settings.threads):
        if isinstance(event, Ended):
            yield event
        else:
            yield Progress(event.rows, event.seconds, {lane: event.snapshot(lane) for lane in event.rows})


def dataset_of(lane: Lane, directory: Path, device: str) -> Data:
    """Load the data of a lane, with the numbers that its images have for its seed."""
    of = lane.config.data
    how = of.parts_of_numbers, lane.config.draw_of_numbers(lane.seed)
    return dataset(of.dataset, of.scale, directory, device, *how, version=version(of.dataset, directory, of.parts))


@lru_cache(maxsize=1)
def dataset(name: str, scale: str, directory: Path, device: str, parts: Parts, draw: Draw, version: object) -> Data:
    """Load a data set. The last one stays in memory for the next unit, unless its file is another one by then."""
    return load(name, scale, directory, device, parts, draw)


class Worker:
    """A process that trains one unit after another. Send lanes through its pipe; receive the messages of `work`."""

    def __init__(self, settings: Settings) -> None:
        context = get_context("spawn")  # a forked process can use neither CUDA nor torch's threads
        self.pipe, childs_end = context.Pipe()
        self.process = context.Process(target=serve, args=(childs_end, settings), daemon=True)
        resource_tracker.ensure_running()  # otherwise the first start would start it, and let SIGINT through
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # Ctrl-C reaches all: only the parent acts
        try:
            with _starting():
                self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        childs_end.close()  # then the pipe ends when the worker dies
        self.silent = 0.0  # seconds for which this process has waited for the next message
        self.hung = False

    def wait(self, seconds: float, patience: float) -> None:
        """Count seconds without a message. After more than `patience` seconds kill the process, which ends its pipe."""
        self.silent += seconds
        if self.silent > patience and not self.hung:
            self.hung = True
            self.process.kill()

    def died(self) -> str:
        """Say how a process whose pipe has ended came to its end."""
        self.process.join(1)
        self.stop()
        if self.hung:
            return f"it hung, without a word for {self.silent:.0f} s"
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Let a process start anywhere, and without running the user's program again, which it does not need.

    Otherwise it would import that program's file: there is none if the program comes from stdin, and a program without
    `if __name__ == "__main__":` would train again in every worker. A daemon, such as a process of a pool or of Dask's
    nanny, may not start processes, because these would outlive it; workers end with their parent.
    """
    program, process = sys.modules["__main__"], current_process()
    daemon = process.daemon
    process.daemon = False
    nameless = ModuleType("__main__")
    vars(nameless).update({**vars(program), "__spec__": None, "__file__": None})
    sys.modules["__main__"] = nameless  # what is pickled meanwhile in another thread finds everything there
    try:
        yield
    finally:
        sys.modules["__main__"], process.daemon = program, daemon


def serve(pipe: connection.Connection, settings: Settings) -> None:
    """Be a worker until the parent is gone. An error that the parent must raise is sent as an object."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while True:
            lanes = pipe.recv()
            try:
                for message in work(lanes, settings):
                    pipe.send(message)
            except LabError as error:
                pipe.send(error)


def die_with_parent() -> None:
    """End this process when its parent is gone, even if the parent was killed."""
    parent = parent_process()
    if parent:
        connection.wait([parent.sentinel])
        os._exit(1)
