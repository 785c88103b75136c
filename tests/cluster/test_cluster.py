"""A Dask cluster trains the same bytes; lost workers, schedulers and drivers cost time, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from clusters import Dask, Network, dask, until
from commandline import REFUSAL, Lab
from planned import config, epochs_of, failures, metrics, undisturbed
from processes import below, listening

from dropout_lab import cost
from dropout_lab.cluster import join as clusters
from dropout_lab.cluster import members
from dropout_lab.cluster import worker as remote
from dropout_lab.cluster.join import joined
from dropout_lab.cluster.tasks import DaskWorkers, Files, OnDask
from dropout_lab.cluster.worker import Facts
from dropout_lab.config import resolve as configs
from dropout_lab.cost import TORCH
from dropout_lab.errors import Failed, Problem, Refused
from dropout_lab.execution.execute import Event, Noted, execute
from dropout_lab.execution.machine import GIB, environment
from dropout_lab.execution.sources import Here
from dropout_lab.runs import read as runs
from dropout_lab.runs.find import is_run, state
from dropout_lab.runs.job import Job
from dropout_lab.storage import holder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """Two workers that tests leave as they found them."""
    with dask(tmp_path_factory.mktemp("dask")) as started:
        with joined(started.address) as cluster:
            until(lambda: len(cluster.client.nthreads()) == 2, "two workers")
        yield started


def train(jobs: Sequence[Job], address: str, directory: Path) -> list[Event]:
    with joined(address) as cluster:
        return list(execute(jobs, source(jobs, cluster, directory)))


def source(jobs: Sequence[Job], cluster: clusters.Cluster, directory: Path) -> OnDask:
    layout = cluster.layout([(job.config, len(job.config.seeds)) for job in jobs], "cpu", None)
    return OnDask(cluster, directory, "cpu", layout)


def test_the_bytes_are_those_of_a_local_run(shared: Dask, tmp_path: Path) -> None:
    rates = [Job(tmp_path / f"rate-{n}", config(range(3), dropout={"rate": n / 10})) for n in range(4)]
    wide = Job(tmp_path / "wide", config([0], network={"hidden": [20, 12]}))
    events = train([*rates, wide], shared.address, tmp_path)
    assert not failures(events) and all(epochs == [1, 2, 3, 4] for epochs in epochs_of(events).values())
    assert all(metrics(job) == undisturbed(tmp_path, job) for job in [*rates, wide])
    environment = runs.load(wide.path).summary.environment
    assert environment["threads"] == 1 and environment["device"] == "cpu"


@pytest.mark.slow
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
        list(execute([elsewhere], Here(mnist_directory)))
        assert metrics(job) == metrics(elsewhere)
    kept[0].write_bytes(own.read_bytes()[:-1] + b"!")  # is sent again, for it is verified each time
    assert not failures(train([Job(tmp_path / "again", config([5], 1, data=ours[0]))], shared.address, tmp_path))
    assert all(path.read_bytes() == own.read_bytes() for path in kept)


@pytest.mark.slow
def test_a_unit_that_comes_back_with_its_snapshots_goes_on(shared: Dask, tmp_path: Path) -> None:
    def at_once(seconds: float, dask_worker: Any) -> None:
        remote.SLICE = seconds

    job = Job(tmp_path / "run", config([0, 1], 300))
    with joined(shared.address) as cluster:
        cluster.client.run(at_once, 0.5)
        try:
            events = list(execute([job], source([job], cluster, tmp_path)))
        finally:
            cluster.client.run(at_once, 600.0)
    assert not failures(events) and all(epochs == list(range(1, 301)) for epochs in epochs_of(events).values())
    assert metrics(job) == undisturbed(tmp_path, job)


@pytest.mark.slow
def test_of_four_units_one_kills_its_process_once_one_always_and_one_fails(tmp_path: Path) -> None:
    fates = {0.1: "once", 0.2: "always", 0.3: "error"}
    jobs = {fate: Job(tmp_path / fate, config([0], momentum=m)) for m, fate in (fates | {0.4: "good"}).items()}
    with dask(tmp_path, 2, fates) as cluster:
        events = train(list(jobs.values()), cluster.address, tmp_path)
    found = {event.unit[0].job.path.name: event.reason for event in failures(events)}
    assert found.keys() == {"always", "error"}
    assert found["error"].startswith("RuntimeError: out of memory, let us say on ")
    assert found["always"].startswith("its worker process died (SIGKILL) on ")
    for fate in ("once", "good"):
        assert metrics(jobs[fate]) == undisturbed(tmp_path, jobs[fate])
    assert "SIGKILL" in (jobs["always"].path / "error.txt").read_text()
    assert "and a second line" in (jobs["error"].path / "error.txt").read_text()
    assert not any(holder(job.path) for job in jobs.values())


@pytest.mark.slow
def test_no_unit_is_blamed_for_a_worker_on_which_all_die(tmp_path: Path) -> None:
    jobs = many(tmp_path, 8, 4)
    with dask(tmp_path, 1) as cluster:
        cluster.fates = {job.config.training.momentum: "always" for job in jobs}
        sick = cluster.start_worker("--name", "sick")
        with joined(cluster.address) as there:
            until(lambda: len(there.client.nthreads()) == 2, "two workers")
            events = list(execute(jobs, source(jobs, there, tmp_path)))
        assert sick.poll() is None
    assert not failures(events)
    assert any("/sick; tried once more" in event.text for event in events if isinstance(event, Noted))
    assert metrics(jobs[-1]) == undisturbed(tmp_path, jobs[-1])


@pytest.mark.slow
def test_a_unit_that_hangs_is_tried_twice_and_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dropout_lab.execution.sources.SHORTEST_PATIENCE", 20.0)
    hangs, good = (Job(tmp_path / name, config([0], momentum=m)) for name, m in {"hangs": 0.1, "good": 0.2}.items())
    with dask(tmp_path, 2, {0.1: "asleep"}) as cluster:
        (failure,) = failures(train([hangs, good], cluster.address, tmp_path))
    assert failure.unit[0].job == hangs and "(it hung, without a word for 2" in failure.reason
    assert metrics(good) == undisturbed(tmp_path, good)


def kill_workers(cluster: Dask, times: int, pause: tuple[float, float], done: threading.Event) -> list[int]:
    """Kill workers at random, the process that Dask's nanny starts again or the nanny with it."""
    killed, chance = [], random.Random(0)
    while len(killed) < times and not done.wait(chance.uniform(*pause)):
        which = chance.randrange(len(cluster.workers))
        nanny = cluster.workers[which]
        if chance.random() < 0.5:
            trains = training(cluster)  # one that is killed twice with the same unit could not be told from poison
            workers = [
                pid for pid, command in below(nanny.pid).items() if "spawn_main" in command and pid not in trains
            ]
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
            happening = execute(jobs, source(jobs, there, tmp_path))
            events = [next(happening)]
            killer.start()
            try:
                events += happening
            finally:
                done.set()
                killer.join()
    assert len(killed) == times, "it was over before all were killed: give it more to do"
    assert not failures(events)
    assert all(runs.load(job.path).seeds == job.config.seeds for job in jobs)
    for job in (jobs[0], jobs[-1]):
        assert metrics(job) == undisturbed(tmp_path, job)


def many(tmp_path: Path, count: int, epochs: int = 150) -> list[Job]:
    """Jobs that are units of their own."""
    return [Job(tmp_path / f"run-{n}", config([0], epochs, momentum=n / 1000)) for n in range(count)]


@pytest.mark.long
def test_three_workers_killed_at_random(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 3, many(tmp_path, 24))


@pytest.mark.long
def test_twenty_workers_killed_at_random(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 20, many(tmp_path, 120))


@pytest.mark.long
def test_a_worker_that_the_network_hides_for_thirty_seconds(tmp_path: Path) -> None:
    """Two workers, each in a network namespace; the cable of one is cut while it trains."""
    jobs = many(tmp_path, 16, 300)
    with contextlib.ExitStack() as stack:
        network = Network(2)
        try:
            stack.enter_context(network)
        except (OSError, subprocess.CalledProcessError):
            network.__exit__()
            pytest.skip("network namespaces need root and the command ip")
        cluster = stack.enter_context(dask(tmp_path, 0, host=network.host))
        cluster.workers = [cluster.start_worker(within=network.within(number)) for number in range(2)]
        there = stack.enter_context(joined(cluster.address))
        until(lambda: len(there.client.nthreads()) == 2, "two workers")
        happening = execute(jobs, source(jobs, there, tmp_path))
        events = [next(happening)]
        network.cut(0)
        mending = threading.Timer(30.0, network.mend, [0])
        mending.start()
        events += happening
        assert not mending.is_alive(), "it was over before the cable was mended: give it more to do"
    assert not failures(events)
    assert all(runs.load(job.path).seeds == (0,) for job in jobs)
    for job in (jobs[0], jobs[-1]):
        assert metrics(job) == undisturbed(tmp_path, job)


# The driver


def sweep(cluster: str, directory: Path, **more: Any) -> subprocess.Popen[str]:
    """The command, in a group of its own, on units that fall asleep where the cluster's fates say so."""
    (directory / "two.yaml").write_text(
        "data: {dataset: digits}\nnetwork: {hidden: [16]}\n"
        "training: {epochs: 20, optimizer: sgd, learning_rate: 0.1, momentum: 0.1}\ndropout: {rate: 0}\n"
    )
    words = ["sweep", "two.yaml", "--vary", "training.momentum=0.1,0.2,0.3,0.4", "--no-baseline", "--cluster", cluster]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-m", "dropout_lab", *words], cwd=directory, **pipes, **more)


def processing(cluster: Dask) -> int:
    """How many tasks the scheduler knows of."""
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))


def training(cluster: Dask) -> list[int]:
    """The processes that train for the cluster's workers: those of Dask's have no process of ours below them."""
    return [
        pid
        for worker in cluster.workers
        for parent, command in below(worker.pid).items()
        if "spawn_main" in command
        for pid, own in below(parent).items()
        if "spawn_main" in own
    ]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_ends_leaves_nothing_on_the_cluster_and_the_same_command_goes_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Two units have ended, two sleep; the second time none does."""
    with dask(tmp_path, 2, {0.3: "asleep", 0.4: "asleep"}) as cluster:
        driver = sweep(cluster.address, tmp_path)
        ended = [tmp_path / f"runs/two-sweep/momentum-0.{n}_rate-0/summary.json" for n in (1, 2)]
        until(lambda: all(path.exists() for path in ended) and len(training(cluster)) == 2, "two units, and two asleep")
        before = [path.read_bytes() for path in ended]
        os.killpg(driver.pid, number)
        out, err = driver.communicate(timeout=60)
        if number == signal.SIGINT:
            assert driver.returncode == 130 and "Traceback" not in err and "go on with" in err.lower(), err
        until(lambda: processing(cluster) == 0 and not training(cluster), "nothing left behind")
        cluster.fates = None
        for process in cluster.workers:
            os.killpg(process.pid, signal.SIGKILL)
        cluster.workers = [cluster.start_worker()]
        driver = sweep(cluster.address, tmp_path)
        out, err = driver.communicate(timeout=300)
        assert driver.returncode == 0, err
        assert [path.read_bytes() for path in ended] == before
        assert len(list(tmp_path.glob("runs/two-sweep/*/summary.json"))) == 4


@pytest.mark.long
def test_a_scheduler_that_is_lost_ends_the_sweep_and_one_that_comes_back_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "BACK", 20.0)
    jobs = many(tmp_path, 4, 300)
    with dask(tmp_path, 1) as cluster:
        with joined(cluster.address) as there:
            happening = execute(jobs, source(jobs, there, tmp_path))
            events = [next(happening)]
            os.killpg(cluster.scheduler.pid, signal.SIGKILL)
            cluster.scheduler.wait()
            cluster.scheduler = cluster.start_scheduler(int(cluster.address.rpartition(":")[2]))
            cluster.workers = [cluster.start_worker()]
            while not any(is_run(job.path) and state(job.path) == "finished" for job in jobs):
                events.append(next(happening))
            os.killpg(cluster.scheduler.pid, signal.SIGKILL)
            with pytest.raises(Failed, match="scheduler is gone; what is finished is kept"):
                events += happening
        finished = {job.path: metrics(job) for job in jobs if state(job.path) == "finished"}
        assert not failures(events) and not any(holder(job.path) for job in jobs)
        cluster.start_scheduler()
        cluster.start_worker()
        assert not failures(train(jobs, cluster.address, tmp_path))
    assert finished and all(metrics(Job(path, jobs[0].config)) == content for path, content in finished.items())
    assert all(state(job.path) == "finished" for job in jobs)


@pytest.mark.slow
def test_a_scheduler_that_says_nothing_any_more_is_lost_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BACK", 5.0)
    jobs = many(tmp_path, 2, 100_000)
    with dask(tmp_path, 1) as cluster, joined(cluster.address) as there:
        happening = execute(jobs, source(jobs, there, tmp_path))
        next(happening)
        os.killpg(cluster.scheduler.pid, signal.SIGSTOP)
        with pytest.raises(Failed, match="scheduler is gone; what is finished is kept"):
            list(happening)
        os.killpg(cluster.scheduler.pid, signal.SIGCONT)
    assert not any(holder(job.path) for job in jobs)


@pytest.mark.long
def test_a_connection_that_breaks_is_made_again(shared: Dask, tmp_path: Path) -> None:
    jobs = many(tmp_path, 4, 40)
    with joined(shared.address) as there:
        happening = execute(jobs, source(jobs, there, tmp_path))
        events = [next(happening)]
        there.client.loop.add_callback(there.client.scheduler_comm.comm.abort)
        events += happening
    assert not failures(events) and all(metrics(job) == undisturbed(tmp_path, job) for job in jobs)


# What is planned, for workers that are only told of


def worker(**differing: Any) -> Facts:
    threads = 4
    facts = Facts("id", "name", "node-1", threads, 64 * GIB, 64 * GIB, 0, environment("cpu", 1), "/data")
    return replace(facts, **differing)


def cluster_of(*workers: Facts) -> clusters.Cluster:
    """A cluster whose client does nothing."""
    made = clusters.Cluster(mock.MagicMock(status="running"), "tcp://host:8786")
    made.facts = {f"tcp://10.0.0.{number}:1": facts for number, facts in enumerate(workers)}
    return made


def test_there_is_a_slot_for_every_thread_that_memory_allows() -> None:
    wanted = [(config(range(30), dropout={"rate": rate / 10}), 30) for rate in range(8)]
    one = cost.memory(wanted[0][0], 1)
    many, few = worker(machine="a"), worker(machine="b", memory=TORCH + 2 * one)
    how = cluster_of(many).layout(wanted, "cpu", None)
    assert (how.processes, how.threads) == (4, 1) and how.lanes > 1
    how = cluster_of(many, few).layout(wanted, "cpu", None)
    assert (how.processes, how.lanes) == (6, 1)
    shared = cluster_of(*(worker(memory=2 * TORCH + 2 * one) for _ in range(2))).layout(wanted, "cpu", None)
    assert shared.processes == 2, "two workers of one machine share its memory"
    limited = [worker(threads=1, limit=TORCH + one) for _ in range(32)]
    assert cluster_of(*limited).layout(wanted, "cpu", None).processes == 32, "a limit is of one worker alone"
    with pytest.raises(Refused, match="too little for a network"):
        cluster_of(worker(memory=TORCH)).layout(wanted, "cpu", None)
    assert cluster_of(many, many).layout([(config([0]), 1)], "cpu", None).processes == 1


def test_a_worker_with_a_gpu_is_one_slot() -> None:
    gpu, none = worker(gpus=1), worker()
    assert cluster_of(gpu, gpu).device("auto") == "cuda" and cluster_of(gpu, none).device("auto") == "cpu"
    assert cluster_of(gpu).device("cpu") == "cpu"
    for workers, asked in (((gpu, none), "cuda"), ((gpu,), "cuda:1")):
        with pytest.raises(Refused, match="only if every worker has a GPU"):
            cluster_of(*workers).likely(asked, "config")
    assert cluster_of(gpu, gpu).layout([(config(range(30)), 30)], "cuda", None).processes == 2


def test_workers_that_differ_in_their_processor_are_all_named_and_it_is_noted(tmp_path: Path) -> None:
    cluster = cluster_of()
    workers = DaskWorkers(cluster, Files([], tmp_path), GIB, "cpu")
    there = environment("cpu", 1)
    other = worker(environment=there | {"cpu": "A", "platform": there["platform"]})
    list(workers._meet([], {"tcp://1": other}))
    assert cluster.environment("cpu") == there | {"cpu": "A"} and not workers.notes()
    list(workers._meet([], {"tcp://2": worker(environment=there | {"cpu": "B"})}))
    assert cluster.environment("cpu") == there | {"cpu": "A, B"}
    (note,) = workers.notes()
    assert "processors differ (A, B)" in note and not workers.notes()


def test_a_worker_has_room_for_a_unit_per_slot(tmp_path: Path) -> None:
    workers = DaskWorkers(cluster_of(), Files([], tmp_path), GIB, "cpu")
    list(workers._meet([], {"tcp://1": worker(machine="a", threads=1), "tcp://2": worker(machine="b", threads=3)}))
    assert workers.room() == {"tcp://1": 1, "tcp://2": 3}
    for number, address in enumerate(["tcp://2", "tcp://1", "tcp://2"]):
        workers.send(f"key-{number}", address, [])
    assert workers.room() == {"tcp://1": 0, "tcp://2": 1}
    lost = dict(workers._meet(["tcp://2"], {}))
    assert lost.keys() == {"key-0", "key-2"} and all(isinstance(why, remote.WorkerLost) for why in lost.values())
    assert workers.room() == {"tcp://1": 0} and workers.notes() == ["worker 2 was lost; its units start again"]


def test_a_task_that_was_cancelled_by_a_lost_scheduler_is_not_blamed(tmp_path: Path) -> None:
    from distributed.client import FutureCancelledError

    workers = DaskWorkers(cluster_of(), Files([], tmp_path), GIB, "cpu")

    class Cancelled:
        key = "key-0"

        def __await__(self) -> Any:
            raise FutureCancelledError(self.key, "scheduler-connection-lost")
            yield

    asyncio.run(workers._fetch(Cancelled()))  # type: ignore[arg-type]
    ((key, why),) = workers.reports()
    assert key == "key-0" and isinstance(why, remote.Lost)


def test_who_needs_a_device_when_all_workers_are_gone_meets_the_cluster_again() -> None:
    cluster = cluster_of()
    cluster.client.run.return_value = {}  # type: ignore[attr-defined]
    with pytest.raises(Refused, match="has no workers"):
        cluster.likely("auto", "config")
    cluster.client.run.return_value = {"tcp://1": worker()}  # type: ignore[attr-defined]
    assert cluster.likely("auto", "config") == "cpu"


def test_that_all_workers_are_gone_is_noted(tmp_path: Path) -> None:
    workers = DaskWorkers(cluster_of(), Files([], tmp_path), GIB, "cpu")
    list(workers._meet([], {"tcp://1": worker()}))
    list(workers._meet(["tcp://1"], {}))
    assert not workers.room() and workers.notes() == ["the cluster has no workers now; waiting for some"]


def test_those_who_wait_look_again_though_nobody_tells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is lost and back between two looks at the scheduler is no event."""
    monkeypatch.setattr("dropout_lab.cluster.tasks.LOOK", 0.0)
    workers = DaskWorkers(cluster_of(), Files([], tmp_path), GIB, "cpu")
    list(workers._meet([], {"tcp://1": worker()}))
    workers.client.status = "connecting"
    assert not workers.room()
    workers.client.status = "running"
    assert not list(workers.reports()) and workers.room() == {"tcp://1": 4}


# What is refused


def test_a_scheduler_that_cannot_read_our_calls_is_refused() -> None:
    cluster = cluster_of()
    cluster.client.run_on_scheduler.side_effect = ModuleNotFoundError("No module named 'dropout_lab'")
    with pytest.raises(Refused, match="scheduler host:8786: dropout-lab: needs dropout-lab .* too"):
        cluster.meet()


def test_a_worker_without_dropout_lab_is_refused() -> None:
    (problem,) = remote.unfit("tcp://host:1", ModuleNotFoundError("no dropout_lab"), environment("cpu", 1))
    assert re.fullmatch(REFUSAL, f"dropout-lab: error: {problem}") and "install it where the worker runs" in str(
        problem
    )


def test_other_versions_are_refused_up_front(shared: Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    here = environment("cpu", 1)
    other = here | {"torch": "1.0", "python": "3.99.1"}
    monkeypatch.setattr(members, "environment", lambda *how: other)
    with pytest.raises(Refused) as refused, joined(shared.address):
        pass
    lines = str(refused.value).splitlines()
    assert len(lines) == 4 and all(line.startswith("worker 127.0.0.1:") for line in lines)
    assert sum(": torch: must be 1.0 as here" in line and f"(got {here['torch']})" in line for line in lines) == 2


def test_a_worker_that_comes_later_with_other_versions_is_left_out(
    shared: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange: list[str] = []
    jobs = many(tmp_path, 4, 20)
    with joined(shared.address) as cluster:
        strange.append(min(cluster.facts))
        fit = remote.unfit

        def unfit(address: str, *found: Any) -> Any:
            return [Problem(address, "torch", "must be 1.0", "2.0")] if address in strange else fit(address, *found)

        monkeypatch.setattr(remote, "unfit", unfit)
        events = list(execute(jobs, source(jobs, cluster, tmp_path)))
    notes = [event.text for event in events if isinstance(event, Noted)]
    assert not failures(events) and len(notes) == 1 and "left out" in notes[0] and strange[0] in notes[0]


@pytest.mark.parametrize("address", ["local:0", "local:257", "local:", "host", "tcp://host", "http://host:1", ""])
def test_what_is_no_address_is_refused_at_once(address: str, lab: Lab) -> None:
    outcome = lab("sweep tiny.yaml --rates 0.1 --cluster", address)
    assert outcome.code == 2 and re.fullmatch(REFUSAL, outcome.err.strip()) and "--cluster" in outcome.err
    assert not lab.runs.exists()


def test_jobs_and_cluster_exclude_each_other(lab: Lab) -> None:
    outcome = lab("sweep tiny.yaml --rates 0.1 --cluster local:2 --jobs 2")
    assert outcome.code == 2 and re.fullmatch(REFUSAL, outcome.err.strip()) and "--jobs" in outcome.err


def test_a_scheduler_that_does_not_answer_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "ANSWER", 0.5)
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        outcome = lab("sweep tiny.yaml --rates 0.1 --cluster", f"tcp://127.0.0.1:{taken.getsockname()[1]}")
    assert outcome.code == 2 and re.fullmatch(REFUSAL, outcome.err.strip()) and "start one with" in outcome.err
    assert not lab.runs.exists()


@pytest.mark.parametrize("scheme", ["tcp", "tls", "ucx"])
def test_what_listens_and_is_no_scheduler_is_refused(scheme: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask's client waits for ever for what takes a connection and is mute: a stopped scheduler, a web server."""
    monkeypatch.setattr(clusters, "ANSWER", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        outcome = lab("sweep tiny.yaml --rates 0.1 --cluster", f"{scheme}://127.0.0.1:{mute.getsockname()[1]}")
    assert outcome.code == 2 and re.fullmatch(REFUSAL, outcome.err.strip()) and "--cluster" in outcome.err
    assert not lab.runs.exists()


def test_the_address_of_a_worker_is_refused(shared: Dask) -> None:
    with joined(shared.address) as cluster:
        address = min(cluster.facts)
    with pytest.raises(Refused, match="is Dask's Worker, not its scheduler"), joined(address):
        pass


def test_a_scheduler_without_workers_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "WAIT", 0.5)
    with dask(lab.path / "dask", 0) as cluster:
        outcome = lab("sweep tiny.yaml --rates 0.1 --cluster", cluster.address)
    assert outcome.code == 2 and re.fullmatch(REFUSAL, outcome.err.strip()) and "has no workers" in outcome.err
    assert not lab.runs.exists()


def test_without_dask_it_says_what_to_install(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dropout_lab.execution.machine.find_spec", lambda name: None)
    outcome = lab("sweep tiny.yaml --rates 0.1 --cluster local:2")
    assert outcome.code == 2 and "pip install 'dropout-lab[cluster]'" in outcome.err


# On this machine


def speaks_http(host: str, port: int) -> bool:
    """Say whether a port answers a request in that language; Dask's own do not."""
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        connection.settimeout(5)
        with contextlib.suppress(OSError):
            return connection.recv(5) == b"HTTP/"
    return False


def test_local_workers_listen_on_loopback_only_without_a_dashboard(tmp_path: Path) -> None:
    program = (
        "from dropout_lab.cluster.join import joined\n"
        "with joined('local:2') as cluster:\n"
        "    print(cluster.client.dashboard_link or '-', len(cluster.facts), flush=True)\n"
        "    input()\n"
    )
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | {"text": True}
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.socket())
        with contextlib.suppress(OSError):  # it is taken already
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        driver = stack.enter_context(subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, **pipes))
        assert driver.stdout.readline().split()[1] == "2"
        found = listening([driver.pid, *below(driver.pid)])
        port = max(port for host, port in found if speaks_http(host, port))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60)
        _, err = driver.communicate("\n")
    assert driver.returncode == 0 and {host for host, _ in found} == {"127.0.0.1"} and not err


@pytest.mark.slow
def test_a_sweep_on_local_workers(tmp_path: Path) -> None:
    for where in ("here", "there"):
        (tmp_path / where).mkdir()
    driver = sweep("local:2", tmp_path / "there")
    out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0 and "2 processes, 1 thread each" in err, err
    assert not below(driver.pid)
    again = sweep("local:1", tmp_path / "there")
    assert "nothing to train" in again.communicate(timeout=300)[1] and again.returncode == 0
    for path in (tmp_path / "there/runs/two-sweep").glob("*/metrics.csv"):
        job = Job(path.parent, configs.load(path.parent / "config.yaml"))
        assert path.read_bytes() == undisturbed(tmp_path / "here", job)


@pytest.mark.slow
def test_ctrl_c_reaches_the_driver_alone(tmp_path: Path) -> None:
    """A terminal sends it to the whole group; local workers leave it to the driver, and say nothing."""
    with sweep("local:2", tmp_path) as driver:
        assert any("on cpu: 2 processes" in line for line in driver.stderr)
        os.killpg(driver.pid, signal.SIGINT)
        err = driver.stderr.read()
    assert driver.returncode == 130 and "Go on with" in err and "Traceback" not in err, err
    assert not below(driver.pid)
