"""A Dask cluster trains the same bytes; lost workers, schedulers and drivers cost time, and nothing else."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import Dask, below, dask, until
from test_execution import config, epochs_of, failures, metrics, undisturbed

from dropout_lab import cluster as clusters
from dropout_lab import remote, runs
from dropout_lab.cluster import joined
from dropout_lab.errors import Failed, Refused
from dropout_lab.execution import Event, Settings, execute
from dropout_lab.recording import Job
from dropout_lab.storage import is_locked


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """Two workers that tests leave as they found them."""
    with dask(tmp_path_factory.mktemp("dask")) as started:
        yield started


def train(jobs: Sequence[Job], address: str, directory: Path) -> list[Event]:
    with joined(address) as cluster:
        return list(execute(jobs, settings(jobs, cluster, directory)))


def settings(jobs: Sequence[Job], cluster: clusters.Cluster, directory: Path) -> Settings:
    how = cluster.layout([(job.config, len(job.config.seeds)) for job in jobs], "cpu", None)
    return Settings(directory, "cpu", how.processes, how.lanes, cluster)


def test_the_bytes_are_those_of_a_local_run(shared: Dask, tmp_path: Path) -> None:
    rates = [Job(tmp_path / f"rate-{n}", config(range(3), dropout={"rate": n / 10})) for n in range(4)]
    wide = Job(tmp_path / "wide", config([0], network={"hidden": [20, 12]}))
    events = train([*rates, wide], shared.address, tmp_path)
    assert not failures(events) and all(epochs == [1, 2, 3, 4] for epochs in epochs_of(events).values())
    assert all(metrics(job) == undisturbed(tmp_path, job) for job in [*rates, wide])
    environment = runs.load(wide.path).summary["environment"]
    assert environment["threads"] == 1 and environment["device"] == "cpu"


def test_the_data_travel_and_are_verified(shared: Dask, tmp_path: Path, mnist_directory: Path) -> None:
    generator = np.random.default_rng(0)
    own = tmp_path / "own.npz"
    labels = np.arange(60) % 3
    np.savez(own, x_train=generator.random((60, 5), np.float32), y_train=labels)
    ours = {"dataset": str(own)}, {"dataset": "mnist", "train_size": 200, "validation_fraction": 0.01}
    jobs = [Job(tmp_path / f"run-{n}", config([0, 1], 1, data=data)) for n, data in enumerate(ours)]
    assert not failures(train(jobs, shared.address, mnist_directory))
    assert not list(shared.data.iterdir())  # the workers had none of their own
    kept = list((shared.path / "scratch").rglob("dropout-lab/*.npz"))
    assert len(kept) == 2 and all(path.read_bytes() == own.read_bytes() for path in kept)
    for job in jobs:
        elsewhere = Job(tmp_path / "local" / job.path.name, job.config)
        list(execute([elsewhere], Settings(mnist_directory)))
        assert metrics(job) == metrics(elsewhere)
    kept[0].write_bytes(own.read_bytes()[:-1] + b"!")  # is sent again, for it is verified each time
    assert not failures(train([Job(tmp_path / "again", config([5], 1, data=ours[0]))], shared.address, tmp_path))
    assert all(path.read_bytes() == own.read_bytes() for path in kept)


def test_a_unit_that_comes_back_with_its_snapshots_goes_on(shared: Dask, tmp_path: Path) -> None:
    def at_once(seconds: float, dask_worker: Any) -> None:
        remote.SLICE = seconds

    job = Job(tmp_path / "run", config([0, 1], 400))
    with joined(shared.address) as cluster:
        cluster.client.run(at_once, 0.5)
        try:
            events = list(execute([job], settings([job], cluster, tmp_path)))
        finally:
            cluster.client.run(at_once, 600.0)
    assert not failures(events) and all(epochs == list(range(1, 401)) for epochs in epochs_of(events).values())
    assert metrics(job) == undisturbed(tmp_path, job)


def test_of_four_units_one_kills_its_process_once_one_always_and_one_fails(tmp_path: Path) -> None:
    fates = {0.1: "once", 0.2: "always", 0.3: "error"}
    jobs = {fate: Job(tmp_path / fate, config([0], momentum=m)) for m, fate in (fates | {0.4: "good"}).items()}
    with dask(tmp_path, 2, fates) as cluster:
        events = train(list(jobs.values()), cluster.address, tmp_path)
    found = {event.unit[0].job.path.name: event.reason for event in failures(events)}
    assert found.keys() == {"always", "error"} and found["error"] == "RuntimeError: out of memory, let us say"
    assert found["always"].startswith("its worker process died (SIGKILL) on ")
    for fate in ("once", "good"):
        assert metrics(jobs[fate]) == undisturbed(tmp_path, jobs[fate])
    assert "SIGKILL" in (jobs["always"].path / "error.txt").read_text()
    assert not any(is_locked(job.path) for job in jobs.values())


def kill_workers(cluster: Dask, times: int, pause: tuple[float, float], done: threading.Event) -> list[int]:
    """Kill workers at random, the process that Dask's nanny starts again or the nanny with it."""
    killed, chance = [], random.Random(0)
    while len(killed) < times and not done.wait(chance.uniform(*pause)):
        which = chance.randrange(len(cluster.workers))
        nanny = cluster.workers[which]
        if chance.random() < 0.5:
            workers = [pid for pid, command in below(nanny.pid).items() if "multiprocessing" in command]
            victim = chance.choice(workers) if workers else nanny.pid
        else:
            victim = nanny.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
        if victim == nanny.pid:
            cluster.workers[which] = cluster.start_worker()
    return killed


def killed_at_random(tmp_path: Path, times: int, jobs: Sequence[Job]) -> None:
    done = threading.Event()
    killed: list[int] = []
    with dask(tmp_path, 3) as cluster:
        killer = threading.Thread(target=lambda: killed.extend(kill_workers(cluster, times, (2.0, 6.0), done)))
        with joined(cluster.address) as there:
            source = execute(jobs, settings(jobs, there, tmp_path))
            events = [next(source)]
            killer.start()
            try:
                events += source
            finally:
                done.set()
                killer.join()
    assert len(killed) == times, "it was over before all were killed: give it more to do"
    assert not failures(events)
    assert all(runs.load(job.path).seeds == job.config.seeds for job in jobs)
    for job in (jobs[0], jobs[-1]):
        assert metrics(job) == undisturbed(tmp_path, job)
