"""Train a unit and report it, here or in a worker process, which trains one after another. `execute.py` records it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection, get_context, parent_process, resource_tracker
from pathlib import Path

from dropout_lab.data.datasets import Data, load, version
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
    config = lanes[0].config.data
    data = dataset(config.dataset, config.scale, settings.data_directory, settings.device)
    for event in train(lanes, data, settings.device, settings.threads):
        if isinstance(event, Ended):
            yield event
        else:
            yield Progress(event.rows, event.seconds, {lane: event.snapshot(lane) for lane in event.rows})


def dataset(name: str, scale: str, directory: Path, device: str) -> Data:
    """Load a data set. The last one stays in memory for the next unit, as long as its files stay as they are."""
    return _dataset(name, scale, directory, device, version(name, directory))


@lru_cache(maxsize=1)
def _dataset(name: str, scale: str, directory: Path, device: str, version: object) -> Data:
    return load(name, scale, directory, device)


class Worker:
    """A process that trains one unit after another. Send lanes through its pipe; receive the messages of `work`."""

    def __init__(self, settings: Settings) -> None:
        context = get_context("spawn")  # a forked process can use neither CUDA nor torch's threads
        self.pipe, childs_end = context.Pipe()
        self.process = context.Process(target=serve, args=(childs_end, settings), daemon=True)
        resource_tracker.ensure_running()  # otherwise the first start would start it, and let SIGINT through
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # Ctrl-C reaches all: only the parent acts
        try:
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
