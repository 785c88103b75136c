"""What trains beside what, and with how many lanes, processes and threads on this machine. No torch.

The seeds that a job lacks become *tasks*; tasks that can train side by side become *units*, which is what one process
does at a time. No number that a run records depends on anything decided here.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from dropout_lab.config.resolve import Config
from dropout_lab.cost import cost, footprint, weights
from dropout_lab.data import datasets as data
from dropout_lab.dropout import DROPOUTS
from dropout_lab.errors import Problem, Refused
from dropout_lab.runs.job import Job

MOST_LANES = 16  # more share a step's fixed costs no better (docs/log.md)
MOST_LANES_CUDA = 256
PAYS = 10.0  # seconds of work that each worker process must have, for it takes about four to start
GIB = 2**30
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Task:
    """One network to train: the job it belongs to, and its seed."""

    job: Job
    seed: int


Unit = tuple[Task, ...]  # trained side by side


def named(unit: Unit) -> str:
    """Return what a message calls a unit."""
    return ", ".join(f"{task.job.path} seed {task.seed}" for task in unit)


@dataclass(frozen=True)
class Layout:
    """How a plan is carried out: worker processes (1: this one alone), in each so many threads and lanes, and bytes."""

    processes: int
    threads: int
    lanes: int
    memory: int

    def __str__(self) -> str:
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        threads = "1 thread" if self.threads == 1 else f"up to {self.threads} threads"
        threads += " each" * (self.processes > 1)
        lanes = "one network at a time" if self.lanes == 1 else f"up to {self.lanes} networks side by side"
        return f"{processes}, {threads}, {lanes}, about {self.memory / GIB:.1f} GiB"


def plan(jobs: Iterable[Job], workers: int = 1, lanes: int | None = None, device: str = "cpu") -> list[Unit]:
    """Return the units that bring `jobs` up to date, shared among `workers`; reads what is there, changes nothing.

    How far an interrupted training came is seen when its directory is opened; its unit may then be divided.
    """
    return group(((Task(job, seed), 0) for job in jobs for seed in job.missing()), workers, lanes, device)


def group(
    tasks: Iterable[tuple[Task, int]], workers: int = 1, lanes: int | None = None, device: str = "cpu"
) -> list[Unit]:
    """Group (task, epochs done) into units whose lanes share a `lane_key` and start from the same epoch.

    Lanes of one seed come together, because they read the same images at the same time, but only those of a few jobs:
    a job's directory is open from its first lane to its last. Units are of nearly one size, shared out evenly, and
    those that take longest come first, so that no worker is left with one at the end.
    """
    groups: dict[tuple[str, int], list[Task]] = defaultdict(list)
    for task, epochs in tasks:
        groups[lane_key(task.job.config), epochs].append(task)
    units: list[Unit] = []
    for members in groups.values():
        count = units_of(members[0].job.config, len(members), workers, lanes, device)
        most = -(-len(members) // count)
        place = {path: number for number, path in enumerate(dict.fromkeys(task.job.path for task in members))}
        members.sort(key=lambda task: (place[task.job.path] // most, task.seed, place[task.job.path]))
        cuts = [len(members) * number // count for number in range(count + 1)]
        units += (tuple(members[start:end]) for start, end in pairwise(cuts))
    return sorted(units, key=lambda unit: -cost(unit[0].job.config) * len(unit)) if workers > 1 else units


def units_of(config: Config, count: int, workers: int = 1, lanes: int | None = None, device: str = "cpu") -> int:
    """Return into how many units `count` networks of `config` go, with `lanes` in each or as many as are fast.

    It is a multiple of the workers where there are enough networks. One with a layer of a single unit is a unit of its
    own: beside others its products round otherwise.
    """
    if 1 in (data.dimensions(config.data.dataset).features, *config.widths):
        return count
    units = -(-count // (lanes or suitable_lanes(config, device)))
    return min(count, -(-units // workers) * workers)


@lru_cache(maxsize=4096)
def lane_key(config: Config) -> str:
    """Return what lanes must share to train side by side: everything but the rates (and seeds, names and devices).

    Of widened networks the widths count. With DropConnect a layer is computed otherwise where its rate is 0.
    """
    rate = DROPOUTS[config.dropout.kind].shared_by_lanes(config.rates)
    dropout = config.dropout.model_copy(update={"rate": rate, "input_rate": 0.0})
    network = config.network.model_copy(update={"hidden": config.widths, "widen": False})
    return config.model_copy(update={"dropout": dropout, "network": network}).identity


def layout(
    wanted: Sequence[tuple[Config, int]], device: str = "cpu", workers: int | None = None, lanes: int | None = None
) -> Layout:
    """Return how to train so many seeds of each config: with `workers` and `lanes`, or with as many as pay and fit.

    Raises `Refused` where the memory that is free now will not do.
    """
    total = sum(count for _, count in wanted)
    seconds = sum(count * cost(config) for config, count in wanted)
    paying = max(1, min(cores(), total, int(seconds / PAYS))) if device == "cpu" else 1
    free = available_memory()
    for processes in [min(workers, total)] if workers else range(paying, 0, -1):
        size, most = largest(wanted, processes, lanes, device)
        parent = max(footprint(config, 0) for config, _ in wanted) if processes > 1 else 0
        result = Layout(processes, max(1, cores() // processes), most, processes * size + parent)
        if result.memory <= free:
            return result
    reason = f"is too little for this plan ({result}); ask for fewer --jobs or --lanes, or for a smaller network"
    if any(DROPOUTS[config.dropout.kind].masks_all_weights(config.dropout.mask) for config, _ in wanted):
        reason += ", or for dropout.mask=batch: every example has a mask of all weights"
    raise Refused(Problem("this machine", "free memory", reason, f"{free / GIB:.1f} GiB"))


def largest(
    wanted: Sequence[tuple[Config, int]], workers: int, lanes: int | None = None, device: str = "cpu"
) -> tuple[int, int]:
    """Return the bytes of a process that trains units of so many seeds of each config, and the lanes, at most."""
    alike: Counter[str] = Counter()
    for config, count in wanted:
        alike[lane_key(config)] += count
    counts = [(alike[lane_key(config)], config) for config, _ in wanted]
    sizes = [-(-count // units_of(config, count, workers, lanes, device)) for count, config in counts]
    return max(footprint(config, size) for (config, _), size in zip(wanted, sizes, strict=True)), max(sizes)


def suitable_lanes(config: Config, device: str = "cpu") -> int:
    """Return how many lanes of a network train fastest in one process.

    On a CPU as many as fit a core's share of the cache with their weights, gradients and moments: measured for widths
    16 to 512 (docs/log.md), 16 of the smallest, 4 of the article's 784-128-128-10, one from 512 on.
    """
    if device != "cpu":
        return MOST_LANES_CUDA
    return max(1, min(MOST_LANES, round(cache_per_core() / (16 * weights(config)))))


def cores() -> int:
    """Return how many cores this process may use: OMP_NUM_THREADS, where it is set, else those it is allowed on."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # "max" is no quota
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = max(1, min(allowed, round(int(quota) / int(period))))
    return max(1, min(int(wanted), 1024)) if wanted.isdecimal() else allowed


def cache_per_core() -> int:
    """Return half of a core's share of the last-level cache, in bytes: the rest is for images and other programs."""
    with contextlib.suppress(OSError, ValueError):
        levels = sorted(CACHES.glob("index*"), key=lambda index: index.name)
        size = (levels[-1] / "size").read_text().strip()  # such as 32768K
        ranges = [part.split("-") for part in (levels[-1] / "shared_cpu_list").read_text().split(",")]  # such as 0-7,16
        cpus = sum(int(ends[-1]) - int(ends[0]) + 1 for ends in ranges)
        return int(size.removesuffix("K")) * 1024 // (2 * cpus)
    return 8 * 2**20


def available_memory() -> int:
    """Return how many bytes may be taken now: what the kernel thinks free, within this control group's limit."""
    bounds = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                bounds.append(1024 * int(line.split()[1]))
    with contextlib.suppress(OSError, ValueError):  # "max" is no limit
        group = Path("/sys/fs/cgroup")
        used = int((group / "memory.current").read_text())
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used -= int(facts.get("inactive_file", 0))  # files read lately, which give way
        bounds.append(int((group / "memory.max").read_text()) - used)
    return max(0, min(bounds))
