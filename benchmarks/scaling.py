"""How the cost of dropout-lab grows: with the number of runs, lanes, the batch, the width, and worker processes."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from unittest import mock

from ours import measure

from dropout_lab.commands import plan as plans
from dropout_lab.commands import sweep as sweeping
from dropout_lab.commands.names import Options
from dropout_lab.cost import weights
from dropout_lab.data import datasets as data
from dropout_lab.execution import workers
from dropout_lab.execution.machine import cores
from dropout_lab.sweeps import plan as sweeps
from dropout_lab.training import Ended, Epoch, Lane, train

FULL = 54_000  # training images in an epoch of MNIST
WORK = 2e10  # floating-point operations in an epoch of a point: it is shortened, validation too, and scaled up again
EPOCHS = 4  # the first is not counted
FEWEST = 10  # steps in an epoch, at least
RECORDED = 64  # lanes whose training is replayed: at least as many as the lab puts side by side
CORES = cores()
MAXRSS = 1e6 if sys.platform == "darwin" else 1e3  # in a megabyte

Point = dict[str, float]  # the cells of a table's row by column


def points() -> Iterator[tuple[str, Point]]:
    """Yield every point with the title of its table."""
    for count in (10, 100, 1000):
        yield "runs in a sweep: planned, and executed with training replayed", runs(count)
    mnist = data.load("mnist", "column-l2", data.directory(None))
    for lanes in (1, 2, 4, 8, 16, 32, 64):
        yield "lanes (784-128-128-10, batch 32)", {"lanes": lanes} | threads(mnist, [], lanes)
    for batch in (32, 64, 128, 256, 512, 1024):
        changes = [f"training.batch_size={batch}"]
        yield "batch (784-128-128-10, one lane)", {"batch": batch} | threads(mnist, changes)
    for width in (64, 128, 256, 512, 1024, 2048):
        changes = [f"network.hidden=[{width},{width}]"]
        yield "width (784-n-n-10, batch 32, one lane)", {"width": width} | threads(mnist, changes)
    for jobs in (1, 2):
        yield (
            "worker processes (a sweep of 24 networks)",
            {"jobs": jobs, "seconds": measure("sweep", 3, jobs)["per_epoch"]},
        )


def threads(mnist: data.Data, changes: Sequence[str], lanes: int = 1) -> Point:
    """Return the seconds per full epoch and network with at most 1 thread, and with at most one for each core."""
    return {f"seconds, threads: {most}": seconds(mnist, changes, lanes, most) for most in sorted({1, CORES})}


def seconds(mnist: data.Data, changes: Sequence[str], lanes: int, threads: int) -> float:
    """Train a shortened epoch a few times, and return the seconds that a full one takes each of `lanes` networks."""
    config = sweeps.article(changes)
    work = 6 * weights(config) * lanes  # in operations per image
    images = min(FULL // 2, max(int(WORK / work), FEWEST * config.training.batch_size))
    shorter = [f"data.train_size={images}", f"data.validation_fraction={images / 9 / len(mnist.images)}"]
    config = sweeps.article([*changes, *shorter, f"training.epochs={EPOCHS}", "dropout.rate=0.5"])
    events = train([Lane(config, seed) for seed in range(lanes)], mnist, "cpu", threads)
    times = [event.seconds for event in islice(events, EPOCHS) if isinstance(event, Epoch)]
    return float(median(times[1:])) * FULL / images


def runs(count: int) -> Point:
    """Return what one run in a sweep of `count` costs beside its training."""
    rates = ",".join(f"{0.5 * number / count:.5f}" for number in range(1, count + 1))
    small = ["data.dataset=digits", "data.scale=unit", "network.hidden=[16]", "training.epochs=10"]
    base = sweeps.article(small)
    recorded = list(train([Lane(base, seed) for seed in range(RECORDED)], data.load("digits", "unit", Path())))

    def planned(options: Options) -> list[plans.Step]:
        wanted = sweeps.plan(base, rates, name="sweep", baseline=False)
        return plans.plan(sweeping.sweep_jobs(wanted, options), options)

    def replayed(lanes: Sequence[Lane], *_: object) -> Iterator[Epoch | Ended]:
        for event in recorded:
            if isinstance(event, Epoch):
                yield replace(event, rows={n: replace(event.rows[n], seed=lane.seed) for n, lane in enumerate(lanes)})
            elif event.lane < len(lanes):
                yield event

    with tempfile.TemporaryDirectory() as directory, mock.patch.object(workers, "train", replayed):
        options = Options(runs=Path(directory), data=Path(), jobs=1)
        started = time.perf_counter()
        steps = planned(options)
        between = time.perf_counter()
        for _ in plans.prepare(steps, options):
            pass
        ended = time.perf_counter()
        assert len(list(Path(directory).glob("sweep/*/summary.json"))) == count
    with tempfile.TemporaryDirectory() as directory:  # once more, because tracing is slow
        tracemalloc.start()
        planned(Options(runs=Path(directory), data=Path()))
        _, memory = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return {
        "runs": count,
        "planning, ms per run": 1e3 * (between - started) / count,
        "planning, kB per run": memory / 1e3 / count,
        "executing, ms per run": 1e3 * (ended - between) / count,
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MAXRSS,
    }
