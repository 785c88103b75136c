"""Two sources of finished work on this machine: this process, and worker processes."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Iterable
from multiprocessing import connection
from pathlib import Path
from typing import Any

from dropout_lab import cost
from dropout_lab.config.settings import Config
from dropout_lab.errors import LabError
from dropout_lab.execution.execute import Messages, Writers
from dropout_lab.execution.machine import cores, environment
from dropout_lab.execution.units import Task, Unit, named, plan
from dropout_lab.execution.workers import Settings, Stopped, Worker, work
from dropout_lab.runs.job import Job

ATTEMPTS = 2  # after so many worker processes have died with a unit, it is given up
PULSE = 1.0  # seconds between looks at which workers are silent
SHORTEST_PATIENCE = 600.0  # after so many seconds without a message a worker is taken to hang ...
PATIENCE = 100.0  # ... or after so many times the expected duration of an epoch, if that is longer


def patience(configs: Iterable[Config]) -> float:
    """Return after how many silent seconds a worker that trains these configs side by side is taken to hang."""
    epoch = sum(cost.seconds(config) / config.training.epochs for config in configs)
    return max(SHORTEST_PATIENCE, PATIENCE * epoch)


class _OnThisMachine:
    """What both sources are made of: so many processes, each with its share of the cores."""

    def __init__(self, data: Path, count: int = 1, device: str = "cpu", lanes: int | None = None) -> None:
        self.data, self.count, self.lanes = data, count, lanes
        self.checks_on = device if count == 1 else "cpu"  # worker processes load the data for themselves
        self.settings = Settings(data, device, max(1, cores() // count))
        self.environment = environment(device, self.settings.threads)

    def units(self, jobs: Iterable[Job]) -> list[Unit]:
        return plan(jobs, self.count, self.lanes, self.settings.device)


class Here(_OnThisMachine):
    """Trains one unit after another in this process."""

    def train(self, units: deque[Unit], writers: Writers) -> Messages:
        while taken := writers.take(units):
            unit, lanes = taken
            for message in work(lanes, self.settings):
                yield unit, message


class Processes(_OnThisMachine):
    """Trains units in worker processes. If one dies or hangs, its unit continues from its snapshots in a new one."""

    def train(self, units: deque[Unit], writers: Writers) -> Messages:
        attempts: Counter[Task] = Counter()
        idle: list[Worker] = []
        busy: dict[Any, tuple[Worker, Unit]] = {}  # by the worker's pipe
        try:
            while True:
                while len(busy) < self.count and (taken := writers.take(units)):
                    unit, lanes = taken
                    worker = idle.pop() if idle else Worker(self.settings)
                    busy[worker.pipe] = worker, unit
                    with contextlib.suppress(OSError):  # the worker is dead, and the end of its pipe will say so
                        worker.pipe.send(lanes)
                if not busy:
                    return
                since = time.monotonic()
                ready = connection.wait(list(busy), PULSE)
                waited = min(PULSE, time.monotonic() - since)  # if it took longer, this process was stopped as well
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
