"""How a sweep grows on a cluster.

    python benchmarks/cluster.py simulate [--runs 10000]   10, 100 and 1,000 workers: real planner, real distribution of
                                                           units, real recording; workers, Dask and training are stubs
    python benchmarks/cluster.py dask [--units 400]        real Dask and real recording; only the training is a stub
    python benchmarks/cluster.py efficiency [--seeds 8]    real training: 1 and 2 workers on this machine, by turns

A stub's training takes as long as the planner reckons, times a lognormal chance of 10 %, on a clock of its own.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import resource
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from dropout_lab import cost
from dropout_lab.cluster import worker as remote
from dropout_lab.cluster.distribute import Report, distribute
from dropout_lab.cluster.join import joined, raise_limit
from dropout_lab.cluster.tasks import OnDask
from dropout_lab.cluster.worker import Returned
from dropout_lab.config import resolve as configs
from dropout_lab.execution import units
from dropout_lab.execution.execute import SeedDone, UnitFailed, Writers, check_data, execute
from dropout_lab.execution.layout import Layout
from dropout_lab.execution.sources import Here
from dropout_lab.execution.workers import Progress, Stopped
from dropout_lab.runs.job import Job
from dropout_lab.runs.row import Outcome, Row
from dropout_lab.runs.summary import FinishedSeed, Results
from dropout_lab.training import Ended, Lane

MEAN = 60.0  # seconds of a stub's training of one network, on average
HAND_OVER = 0.1  # seconds from the end of one unit to the start of the next, as `dask` measures or more
PARTS = 20  # of a simulation, at the end of which the driver is measured
WIDTHS = (16, 32, 64, 128)
Point = dict[str, float]


def jobs(directory: Path, number: int, epochs: int = 10) -> list[Job]:
    """So many runs of one seed that differ in rate and width."""
    made = []
    for index in range(number):
        mapping = {
            "data": {"dataset": "digits"},
            "network": {"hidden": [WIDTHS[index % len(WIDTHS)]]},
            "dropout": {"rate": index / (2 * number)},
            "training": {"epochs": epochs},
        }
        made.append(Job(directory / f"run-{index:05}", configs.resolve(mapping, where="simulation", name="run")))
    return made


def stub(lanes: Sequence[Lane], sha256: str, run: str = "stub") -> Returned:
    """What a unit comes to without training: rows and weights of the right shapes."""
    rows = [
        Progress({lane: Row(own.seed, epoch, *[0.5] * 7) for lane, own in enumerate(lanes)}, 0.1, {})
        for epoch in range(1, lanes[0].config.training.epochs + 1)
    ]
    ended = [Ended(lane, outcome(own.config.widths, sha256)) for lane, own in enumerate(lanes)]
    return Returned(run, [*rows, *ended, Stopped()])


def outcome(widths: Sequence[int], sha256: str) -> Outcome:
    sizes = [64, *widths, 10]
    result = Results(val_loss=0.1, val_accuracy=0.9, test_loss=0.2, test_accuracy=0.8)
    arrays: dict[str, Any] = {}
    for when in ("last", "best"):
        for layer, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
            arrays[f"{when}.{layer}.weight"] = np.zeros((outputs, inputs), np.float32)
            arrays[f"{when}.{layer}.bias"] = np.zeros(outputs, np.float32)
    arrays |= {"labels": np.zeros(360, np.int64), "predictions": np.zeros(360, np.int64)}
    arrays["probabilities"] = np.full((360, 10), 0.1, np.float32)
    return Outcome(FinishedSeed(epochs=10, best_epoch=1, last=result, best=result), arrays, sha256)


class Simulated:
    """So many workers of one slot, on a clock of its own."""

    def __init__(self, workers: int, mean: float, sha256: str) -> None:
        self.free = {f"worker-{number}": 1 for number in range(workers)}
        self.busy: list[tuple[float, int, str, str, Sequence[Lane]]] = []
        self.mean, self.sha256, self.now, self.number = mean, sha256, 0.0, count()
        self.chance = random.Random(0)
        self.spent: list[float] = []

    def room(self) -> Mapping[str, int]:
        return self.free

    def send(self, key: str, address: str, lanes: Sequence[Lane]) -> str:
        self.free[address] = 0
        alone = MEAN * cost.seconds(lanes[0].config) / self.mean
        seconds = len(lanes) * alone * self.chance.lognormvariate(0, 0.1)
        self.spent.append(seconds)
        heapq.heappush(self.busy, (self.now + HAND_OVER + seconds, next(self.number), key, address, lanes))
        return address

    def reports(self) -> Iterator[tuple[str, Report]]:
        self.now, _, key, address, lanes = heapq.heappop(self.busy)
        self.free[address] = 1
        yield key, stub(lanes, self.sha256)

    def notes(self) -> list[str]:
        return []


def memory() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def simulate(workers: int, number: int) -> tuple[Point, list[tuple[int, float, float]]]:
    """Carry out a sweep of `number` runs on so many workers, and measure this process.

    Also returns networks done, CPU seconds and megabytes, at every twentieth of the way.
    """
    with tempfile.TemporaryDirectory() as directory:
        todo = jobs(Path(directory), number)
        mean = sum(cost.seconds(job.config) for job in todo) / number
        started = time.process_time()
        parts = units.plan(todo, workers)
        planned = time.process_time() - started
        with Writers(parts, Here(Path(directory))) as writers:
            simulated = Simulated(workers, mean, next(iter(writers.data.values())))
            ended, marks = 0, [(0, time.process_time(), memory())]
            for unit, message in distribute(simulated, deque(parts), writers):
                for event in writers.record(unit, message):
                    ended += isinstance(event, SeedDone)
                    if ended >= number * len(marks) // PARTS and len(marks) <= PARTS:
                        marks.append((ended, time.process_time(), memory()))
        bound = max(sum(simulated.spent) / workers, max(simulated.spent))
    quarter, half, last = (marks[PARTS * part // 4] for part in (1, 2, 4))
    point = {
        "workers": workers,
        "runs": number,
        "units": len(parts),
        "planning s": planned,
        "makespan / bound": simulated.now / bound,
        "driver ms per network, first half": 1000 * (half[1] - marks[0][1]) / half[0],
        "driver ms per network, second half": 1000 * (last[1] - half[1]) / (last[0] - half[0]),
        "driver MB before": marks[0][2],
        "driver MB after a quarter": quarter[2],
        "driver MB at the end": last[2],
    }
    return point, marks


def draw(measured: Sequence[tuple[Point, list[tuple[int, float, float]]]], path: Path) -> None:
    """Draw the driver's time and memory along the sweep, and how near its length is to the bound."""
    from matplotlib.figure import Figure

    from dropout_lab.figures import style as figures

    with figures.look("light", "page"):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        times, sizes, lengths = figure.subplots(1, 3)
        for point, marks in measured:
            label = f"{point['workers']:,.0f} workers"
            each = [1000 * (b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(marks, marks[1:], strict=False)]
            times.plot([mark[0] for mark in marks[1:]], each, label=label)
            sizes.plot([mark[0] for mark in marks], [mark[2] for mark in marks], label=label)
        ratios = [100 * (point["makespan / bound"] - 1) for point, _ in measured]
        lengths.bar([f"{point['workers']:,.0f}" for point, _ in measured], ratios)
        lengths.axhline(10, linestyle="--", color="grey")
        times.set(xlabel="networks done", ylabel="driver, CPU ms per network", ylim=(0, None))
        sizes.set(xlabel="networks done", ylabel="driver, MB", ylim=(0, 1000))
        lengths.set(xlabel="workers", ylabel="% longer than the bound")
        times.legend()
        figure.savefig(path, dpi=110)


def real_dask(number: int, slots: int = 20) -> Point:
    """Send units whose training is a stub through a real scheduler to workers that are threads of this process."""
    from distributed import LocalCluster

    with tempfile.TemporaryDirectory() as directory:
        todo = jobs(Path(directory), number)
        digest = next(iter(check_data(todo[:1], Here(Path(directory))).values()))

        def at_once(lanes: bytes, key: str, *more: Any) -> Returned:
            from multiprocessing.reduction import ForkingPickler

            return stub(ForkingPickler.loads(lanes), digest, key)

        remote.train = at_once  # type: ignore[assignment]
        with (
            LocalCluster(
                slots, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp", host="127.0.0.1"
            ) as local,
            joined(local.scheduler_address) as cluster,
        ):
            source = OnDask(cluster, Path(directory), "cpu", Layout(slots, 1, 1, 0))
            started = time.perf_counter()
            failed = sum(isinstance(event, UnitFailed) for event in execute(todo, source))
            seconds = time.perf_counter() - started
        assert not failed
    return {"slots": slots, "units": number, "ms per unit, all in one process": 1000 * seconds / number}


def efficiency(seeds: int, rounds: int = 3) -> Iterator[Point]:
    """Train one sweep on 1 and on 2 local workers by turns, whose processes have been started: networks per second."""
    for turn in range(rounds):
        rates = {}
        for workers in (1, 2) if turn % 2 == 0 else (2, 1):
            with tempfile.TemporaryDirectory() as directory, joined(f"local:{workers}") as cluster:

                def job(rate: int, seeds: Sequence[int], where: str = directory) -> Job:
                    mapping = {
                        "data": {"dataset": "digits"},
                        "dropout": {"rate": rate / 10},
                        "training": {"epochs": 100},
                        "seeds": list(seeds),
                    }
                    return Job(Path(where) / f"run-{rate}", configs.resolve(mapping, where="x", name="run"))

                todo = [job(rate, range(seeds)) for rate in range(8)]
                warm = [Job(Path(directory) / f"warm-{n}", job(0, [n]).config) for n in range(workers)]
                source = OnDask(cluster, Path(directory), "cpu", Layout(workers, 1, 1, 0))
                list(execute(warm, source))  # starts the processes
                source.layout = cluster.layout([(job.config, seeds) for job in todo], "cpu", None)
                started = time.perf_counter()
                for _ in execute(todo, source):
                    pass
                rates[workers] = 8 * seeds / (time.perf_counter() - started)
        yield {
            "round": turn,
            "load before": os.getloadavg()[0],
            "networks/s, 1 worker": rates[1],
            "networks/s, 2 workers": rates[2],
            "efficiency of 2": rates[2] / rates[1] / 2,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulate", "dask", "efficiency"))
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--figure", type=Path, help="where to draw the simulation")
    given = parser.parse_args()
    raise_limit()
    units.suitable_lanes = lambda config, device="cpu": 4  # as for the article's network, whatever this machine's cache
    if given.what == "simulate":
        os.fsync = lambda descriptor: None  # type: ignore[assignment]  # the time of a disk says nothing of growth
        measured = []
        for workers in given.workers:
            measured.append(simulate(workers, given.runs))
            show(measured[-1][0])
        if given.figure:
            draw(measured, given.figure)
    elif given.what == "dask":
        show(real_dask(given.units))
    else:
        for point in efficiency(given.seeds):
            show(point)


def show(point: Point) -> None:
    print(json.dumps({key: round(value, 3) for key, value in point.items()}), flush=True)


if __name__ == "__main__":
    main()
