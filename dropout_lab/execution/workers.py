"""Who trains lanes and reports: `work`, in this process or, one unit after another, in worker processes.

Nothing is written here: what a worker reports is recorded by `execution.py`.
"""

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
from typing import Any

import torch

from dropout_lab.data.datasets import Data
from dropout_lab.data.datasets import load as load_data
from dropout_lab.errors import LabError, Problem, Refused
from dropout_lab.execution.lanes import cores
from dropout_lab.runs.row import Row, Snapshot
from dropout_lab.training import Ended, Lane, train


@dataclass(frozen=True)
class Settings:
    """Where and with what to train: the data directory, the torch device, worker processes (1: this one alone), and the
    most lanes side by side (None: as many as suit the network); or the cluster whose workers do it."""

    data_directory: Path
    device: str = "cpu"
    workers: int = 1
    lanes: int | None = None
    cluster: Any = None

    @property
    def threads(self) -> int:
        """Threads per process: its share of the cores; one on a cluster, whose other cores have other units."""
        return 1 if self.cluster else max(1, cores() // self.workers)


@dataclass(frozen=True)
class Progress:
    """One epoch of a unit, by lane: its row, and what the training goes on from. `where`: the worker of a cluster that
    did it, which sends no snapshots."""

    rows: Mapping[int, Row]
    seconds: float
    snapshots: Mapping[int, Snapshot]
    where: str = ""


@dataclass(frozen=True)
class Stopped:
    """The end of a unit; where an error ended it, the error in a line and in full."""

    reason: str = ""
    details: str = ""


Message = Progress | Ended | Stopped


def choose_device(device: str) -> str:
    """Return the torch device for "auto", "cpu", "cuda" or "cuda:<n>". Raises `Refused` where torch has no such one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        reason = f"this torch sees {torch.cuda.device_count()} CUDA devices; use cpu, or install a CUDA build of torch"
        raise Refused(Problem("command line", "device", reason, device))
    return device


def work(lanes: Sequence[Lane], settings: Settings) -> Iterator[Message]:
    """Train one unit and report it, `Stopped` last. Raises `LabError` where the data are not good."""
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


@lru_cache(maxsize=1)
def dataset(name: str, scale: str, directory: Path, device: str) -> Data:
    """Load a data set; the last one stays in memory for the next unit."""
    return load_data(name, scale, directory, device)


class Worker:
    """A process that trains one unit after another: send lanes through its pipe, and receive what `work` reports."""

    def __init__(self, settings: Settings) -> None:
        context = get_context("spawn")  # a forked process could not use CUDA, nor torch's threads
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, settings), daemon=True)
        resource_tracker.ensure_running()  # else the first start would do so, and let SIGINT through
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # Ctrl-C goes to all: the parent decides
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()  # so that the worker's death ends the pipe
        self.silent = 0.0  # seconds that its next message has been waited for
        self.hung = False

    def wait(self, seconds: float, patience: float) -> None:
        """Note that its next message was waited for; kill it, which closes its pipe, if it was silent for too long."""
        self.silent += seconds
        if self.silent > patience and not self.hung:
            self.hung = True
            self.process.kill()

    def died(self) -> str:
        """Say how a process that has closed its pipe came to its end."""
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
    """Be a worker until the parent is gone. An error that the parent must raise is sent as it is."""
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
    """End this process when its parent is gone, even if that was killed."""
    parent = parent_process()
    if parent:
        connection.wait([parent.sentinel])
        os._exit(1)
