"""Dask's scheduler and workers as processes of their own, on loopback, as a person would start them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE = 120.0  # seconds: the machine may be busy; what hangs, hangs for ever


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition to hold."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.05)


class Dask:
    """A scheduler and its workers; `fates` make the training of units go wrong, as in sabotage.py."""

    def __init__(self, path: Path, workers: int = 2, fates: Mapping[float, str] | None = None, port: int = 0) -> None:
        self.path, self.fates = path, fates
        self.data = path / "worker-data"  # the workers' own data directory, empty
        self.data.mkdir(parents=True, exist_ok=True)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler(port)
        self.workers = [self.start_worker() for _ in range(workers)]

    def start_scheduler(self, port: int = 0) -> subprocess.Popen[bytes]:
        file = self.path / "scheduler.json"
        file.unlink(missing_ok=True)
        words = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--scheduler-file", str(file)]
        process = self.start("scheduler", words)
        until(lambda: file.exists() and file.read_text().endswith("}"), "a scheduler")
        self.address: str = json.loads(file.read_text())["address"]
        return process

    def start_worker(self, *more: str) -> subprocess.Popen[bytes]:
        words = [self.address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(self.path / "scratch")]
        preload = ["--preload", str(HERE / "clusters.py")] * bool(self.fates)
        return self.start("worker", [*words, *preload, *more])

    def start(self, what: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
        fates = json.dumps({str(momentum): fate for momentum, fate in (self.fates or {}).items()})
        python = os.pathsep.join([str(HERE), str(HERE.parent)])
        environ = os.environ | {"DROPOUT_LAB_DATA": str(self.data), "PYTHONPATH": python, "FATES": fates}
        command = [sys.executable, "-m", "dask", what, *words]
        with open(self.path / "dask.log", "ab") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def dask(path: Path, workers: int = 2, fates: Mapping[float, str] | None = None) -> Iterator[Dask]:
    started = Dask(path, workers, fates)
    try:
        yield started
    finally:
        started.stop()


def below(pid: int) -> dict[int, str]:
    """All living descendants of a process, with their command lines."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (entry / "stat").read_text().rpartition(") ")[2].split()[:2]
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found: set[int] = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    commands = {}
    for child in found - {pid}:
        with contextlib.suppress(OSError):
            commands[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
    return commands


def dask_setup(worker: object) -> None:
    """Called by `dask worker --preload`: the data directory of every training here is a sabotaged one."""
    from sabotage import sabotaged

    from dropout_lab import remote

    fates = {float(momentum): fate for momentum, fate in json.loads(os.environ["FATES"]).items()}
    remote.Path = lambda *parts: sabotaged(Path(*parts), fates)  # type: ignore[misc, assignment]
