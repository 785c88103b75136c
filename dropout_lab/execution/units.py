"""What trains side by side: the seeds that a job lacks become *tasks*, and tasks that train together become a *unit*.

One process trains one unit at a time; *events* tell how it goes. No number depends on how tasks are grouped. No torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from dropout_lab import cost
from dropout_lab.config.settings import Config, StreamsConfig
from dropout_lab.data.split import Draw
from dropout_lab.dropout import DROPOUTS
from dropout_lab.execution import machine
from dropout_lab.runs.job import Job
from dropout_lab.runs.row import Row
from dropout_lab.runs.summary import SeedFacts

MOST_LANES = 16  # with more, the fixed cost of a step shrinks no further (docs/log.md)
MOST_LANES_CUDA = 256


@dataclass(frozen=True)
class Task:
    """One network to train: a job and one of its seeds."""

    job: Job
    seed: int


Unit = tuple[Task, ...]  # trained side by side


@dataclass(frozen=True)
class EpochDone:
    """A unit has finished an epoch: the row of each task, each one's share of the seconds, and the cluster's worker."""

    rows: Mapping[Task, Row]
    seconds: float
    where: str = ""


@dataclass(frozen=True)
class SeedDone:
    """A seed has ended, with its facts as in summary.json."""

    task: Task
    facts: SeedFacts


@dataclass(frozen=True)
class UnitFailed:
    """A unit could not be trained. Its runs stay unfinished; the error.txt of each has the details."""

    unit: Unit
    reason: str


@dataclass(frozen=True)
class Noted:
    """A remark for the user; the work goes on."""

    text: str


Event = EpochDone | SeedDone | UnitFailed | Noted


def named(unit: Unit) -> str:
    """Return what messages call a unit."""
    return ", ".join(f"{task.job.path} seed {task.seed}" for task in unit)


def plan(jobs: Iterable[Job], workers: int = 1, lanes: int | None = None, device: str = "cpu") -> list[Unit]:
    """Return the units that train what `jobs` lack, for so many `workers`. Reads the run directories, changes nothing.

    Every task counts as new here. When its directory is opened, an interrupted training may turn out to be further than
    the rest of its unit, and the unit is divided.
    """
    return group(((Task(job, seed), 0) for job in jobs for seed in job.missing()), workers, lanes, device)


def group(
    tasks: Iterable[tuple[Task, int]], workers: int = 1, lanes: int | None = None, device: str = "cpu"
) -> list[Unit]:
    """Group (task, epochs done) into units. The tasks of a unit share a `lane_key`, the numbers of their
    images, and the epoch that they start from.

    Tasks of one seed come together, because they read the same images at the same time. But a job's directory is open
    from its first task to its last, so this is done for a few jobs at a time. Units have nearly the same size and are
    shared evenly among `workers`. With several workers the longest units come first, so that no worker is left with one
    at the end.
    """
    groups: dict[tuple[str, int, Draw], list[Task]] = defaultdict(list)
    for task, epochs in tasks:
        config = task.job.config
        groups[lane_key(config), epochs, config.draw_of_numbers(task.seed)].append(task)
    units: list[Unit] = []
    for members in groups.values():
        count = units_of(members[0].job.config, len(members), workers, lanes, device)
        most = -(-len(members) // count)
        place = {path: number for number, path in enumerate(dict.fromkeys(task.job.path for task in members))}
        members.sort(key=lambda task: (place[task.job.path] // most, task.seed, place[task.job.path]))
        cuts = [len(members) * number // count for number in range(count + 1)]
        units += (tuple(members[start:end]) for start, end in pairwise(cuts))
    return sorted(units, key=lambda unit: -cost.seconds(unit[0].job.config) * len(unit)) if workers > 1 else units


def units_of(config: Config, count: int, workers: int = 1, lanes: int | None = None, device: str = "cpu") -> int:
    """Return how many units `count` networks of `config` make, with at most `lanes` (or the fastest number) in each.

    If there are enough networks, it is a multiple of `workers`. A network with a layer of width 1 is a unit of its own:
    beside others its products would round differently.
    """
    if 1 in (config.data.size.features, *config.widths):
        return count
    units = -(-count // (lanes or suitable_lanes(config, device)))
    return min(count, -(-units // workers) * workers)


@lru_cache(maxsize=4096)
def lane_key(config: Config) -> str:
    """Return what lanes must share to train side by side: all settings except rates, seeds, streams, names and devices.

    A network with `widen` counts by its final widths. With dropout of weights, layers of rate 0 are computed
    differently, so the key also says which layers these are.
    """
    rate = DROPOUTS[config.dropout.kind].shared_by_lanes(config.rates)
    dropout = config.dropout.model_copy(update={"rate": rate, "input_rate": 0.0})
    network = config.network.model_copy(update={"hidden": config.widths, "widen": False})
    return config.model_copy(update={"dropout": dropout, "network": network, "streams": StreamsConfig()}).identity


def suitable_lanes(config: Config, device: str = "cpu") -> int:
    """Return how many networks of `config` side by side train fastest in one process.

    On a CPU the weights, gradients and moments of all lanes should fit into a core's share of the cache. This was
    measured for widths 16 to 512 (docs/log.md): 16 lanes of the smallest, 4 of 784-128-128-10, one from width 512 on.
    """
    if device != "cpu":
        return MOST_LANES_CUDA
    return max(1, min(MOST_LANES, round(machine.cache_per_core() / (16 * cost.weights(config)))))
