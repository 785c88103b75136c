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

HERE = Path(__file__).parent  # tests/support
PATIENCE = 120.0  # seconds: the machine may be busy; what hangs, hangs for ever


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition to hold."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.05)


class Dask:
    """A scheduler and its workers; `fates` make the training of units go wrong, as in sabotage.py."""

    def __init__(
        self, path: Path, workers: int = 2, fates: Mapping[float, str] | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.path, self.fates, self.host = path, fates, host
        self.data = path / "worker-data"  # the workers' own data directory, empty
        self.data.mkdir(parents=True, exist_ok=True)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()
        self.workers = [self.start_worker() for _ in range(workers)]

    def start_scheduler(self, port: int = 0) -> subprocess.Popen[bytes]:
        file = self.path / "scheduler.json"
        file.unlink(missing_ok=True)
        words = ["--host", self.host, "--port", str(port), "--no-dashboard", "--scheduler-file", str(file)]
        process = self.start("scheduler", words)
        until(lambda: file.exists() and file.read_text().endswith("}"), "a scheduler")
        self.address: str = json.loads(file.read_text())["address"]
        return process

    def start_worker(self, *more: str, within: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a worker of one thread, with more options of Dask's, `within` what another command makes around it."""
        words = [self.address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(self.path / "scratch")]
        preload = ["--preload", str(HERE / "clusters.py")] * bool(self.fates)
        return self.start("worker", [*words, *preload, *more], within)

    def start(self, what: str, words: Sequence[str], within: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        fates = json.dumps({str(momentum): fate for momentum, fate in (self.fates or {}).items()})
        python = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
        environ = os.environ | {"DROPOUT_LAB_DATA": str(self.data), "PYTHONPATH": python, "FATES": fates}
        command = [*within, sys.executable, "-m", "dask", what, *words]
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
def dask(
    path: Path, workers: int = 2, fates: Mapping[float, str] | None = None, host: str = "127.0.0.1"
) -> Iterator[Dask]:
    started = Dask(path, workers, fates, host)
    try:
        yield started
    finally:
        started.stop()


class Network:
    """Network namespaces, each a machine with one cable to this one: made, cut and mended with ip, which root may."""

    def __init__(self, count: int) -> None:
        self.names = [f"dl{os.getpid() % 100000}n{number}" for number in range(count)]
        self.host = "10.213.0.1"

    def __enter__(self) -> Network:
        self.ip("link", "add", f"{self.names[0]}b", "type", "bridge")
        self.ip("addr", "add", f"{self.host}/24", "dev", f"{self.names[0]}b")
        self.ip("link", "set", f"{self.names[0]}b", "up")
        for number, name in enumerate(self.names, start=2):
            self.ip("netns", "add", name)
            self.ip("link", "add", f"{name}a", "type", "veth", "peer", "name", "eth0", "netns", name)
            self.ip("link", "set", f"{name}a", "master", f"{self.names[0]}b", "up")
            self.ip("-n", name, "addr", "add", f"10.213.0.{number}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                self.ip("-n", name, "link", "set", device, "up")
        return self

    def __exit__(self, *exception: object) -> None:
        for name in self.names:
            with contextlib.suppress(subprocess.CalledProcessError):
                self.ip("netns", "del", name)
        with contextlib.suppress(subprocess.CalledProcessError):
            self.ip("link", "del", f"{self.names[0]}b")

    def cut(self, number: int) -> None:
        self.ip("link", "set", f"{self.names[number]}a", "down")

    def mend(self, number: int) -> None:
        self.ip("link", "set", f"{self.names[number]}a", "up")

    def within(self, number: int) -> list[str]:
        """What makes a command run on that machine."""
        return ["ip", "netns", "exec", self.names[number]]

    @staticmethod
    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


def dask_setup(worker: object) -> None:
    """Called by `dask worker --preload`: the data directory of every training here is a sabotaged one."""
    from sabotage import sabotaged

    from dropout_lab.cluster import worker as remote

    fates = {float(momentum): fate for momentum, fate in json.loads(os.environ["FATES"]).items()}
    remote.Path = lambda *parts: sabotaged(Path(*parts), fates)  # type: ignore[misc, assignment]
