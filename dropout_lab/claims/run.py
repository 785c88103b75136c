"""Run claims and judge them: which runs they need, what these recorded, and the rulings.

Runs are shared: between claims, and with those that the user has already, wherever they are in the runs directory. What
decides is the identity of a config; the same config and seed is never trained twice.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from dropout_lab import cost as costs
from dropout_lab.claims.criteria import Ruling
from dropout_lab.claims.definition import Arm, Claim, Curves, overall
from dropout_lab.claims.registry import CLAIMS, GROUPS
from dropout_lab.comparison.metrics import METRICS, Values
from dropout_lab.config import resolve as configs
from dropout_lab.config.resolve import Config
from dropout_lab.config.rules import did_you_mean, nearest
from dropout_lab.data import datasets as data
from dropout_lab.errors import Problem, Refused
from dropout_lab.runs import read as runs
from dropout_lab.runs.find import find, is_sweep
from dropout_lab.runs.job import Job
from dropout_lab.runs.read import Run
from dropout_lab.runs.summary import read_summary
from dropout_lab.sweeps.files import read_sweep
from dropout_lab.sweeps.plan import LONGEST, Member, Sweep, run_name

if TYPE_CHECKING:
    from dropout_lab.evaluation.evaluate import Evaluation, NetworkEvaluation

FOLDER = "claims"  # in the runs directory
CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
QUICK = 420.0  # seconds of one core's training that `--quick` may cost: less than 5 minutes on two
TURNED = slice(3, 10)  # of evaluation.ANGLES: 45 to 135 degrees
PASS = 10_000 * 4 * 2 * 2  # operations for each weight and sample: images, passes, and masks as much as products


@dataclass(frozen=True)
class Experiment:
    """The claims to judge and the jobs that their arms are; `arms` names each arm's job and seeds by (claim, arm).

    sweep: the runs that are no one else's, as the sweep that they are on disk; None where there are none.
    """

    claims: tuple[Claim, ...]
    jobs: tuple[Job, ...]
    arms: Mapping[tuple[str, str], tuple[Job, tuple[int, ...]]]
    sweep: Sweep | None


@dataclass(frozen=True)
class Judged:
    """A claim and its rulings, with the runs and, where networks were evaluated, the evaluations of its arms.

    seconds: of training (each network's share, of one core) and of judging. missing: lines on arms not trained and on
    seeds that diverged.
    """

    claim: Claim
    rulings: tuple[Ruling, ...]
    seeds: int
    seconds: float
    runs: Mapping[str, Run]
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """The one verdict on the claim."""
        return overall(self.claim, self.rulings)


def select(names: Sequence[str], *, quick: bool = False, seeds: int | None = None) -> tuple[Claim, ...]:
    """Return the claims that `names` mean: ids, or articles, theory, papers. With `quick`, of these (or of all) those
    that fit into 5 minutes. `seeds` replaces each claim's own number.

    Raises `Refused` for names that mean nothing, for none at all without `quick`, and where nothing is quick enough.
    """
    if not names and not quick:
        reason = "is missing: name claims such as S3 P10, or articles, theory, papers; --list shows them all"
        raise Refused(Problem("command line", "CLAIM", reason, "nothing"))
    wanted: dict[str, Claim] = {}
    problems = []
    for name in names or GROUPS:
        if name in GROUPS:
            wanted |= {id: claim for id, claim in CLAIMS.items() if id.startswith(GROUPS[name])}
        elif name.upper() in CLAIMS:
            wanted[name.upper()] = CLAIMS[name.upper()]
        else:
            near = did_you_mean(nearest(name, [*CLAIMS, *GROUPS]))
            reason = f"is no claim{near}" if near else "is no claim; --list shows them all"
            problems.append(Problem("command line", "CLAIM", reason, name))
    if problems:
        raise Refused(*problems)
    chosen = [replace(claim, seeds=seeds or claim.seeds) for claim in wanted.values()]
    taken = tuple(affordable(chosen) if quick else chosen)
    if not taken:
        reason = "must be left out: none of these claims fits into 5 minutes on 2 cores"
        raise Refused(Problem("command line", "--quick", reason, " ".join(names)))
    return taken


def affordable(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims that fit into QUICK seconds together, the cheapest first to be taken, in their own order."""
    taken: list[Claim] = []
    for claim in sorted(claims, key=lambda claim: cost([claim])):
        if cost([*taken, claim]) <= QUICK:
            taken.append(claim)
    return [claim for claim in claims if claim in taken]


def cost(claims: Iterable[Claim], speed: float = costs.SPEED) -> float:
    """Return about how many seconds of one core of that `speed` (operations per second) claims cost that share runs."""
    trained: dict[str, tuple[Config, int]] = {}
    evaluated: dict[tuple[str, int], tuple[Config, int]] = {}
    for claim in claims:
        for arm in claim.arms.values():
            own = config(arm)
            trained[own.identity] = own, max(claim.seeds, trained.get(own.identity, (own, 0))[1])
            key = own.identity, claim.samples
            evaluated[key] = own, max(claim.seeds, evaluated.get(key, (own, 0))[1])
    training = sum(costs.cost(own, speed) * seeds for own, seeds in trained.values())
    passes = sum(samples * costs.weights(own) * seeds for (_, samples), (own, seeds) in evaluated.items())
    return training + passes * PASS / speed


def speed_here(seconds: float = 0.2) -> float:
    """Return the floating-point operations per second of one core of this machine in a product of a training.

    The fastest of as many as fit into so many seconds: what else the machine does at the time counts little.
    """
    import torch

    images, weights = torch.full((1, 100, 784), 0.5), torch.full((1, 784, 512), 0.5)
    output, best, threads = torch.empty(1, 100, 512), math.inf, torch.get_num_threads()
    torch.set_num_threads(1)
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        torch.bmm(images, weights, out=output)
        best = min(best, time.perf_counter() - started)
    torch.set_num_threads(threads)
    return 2 * 100 * 784 * 512 / best


@cache
def config(arm: Arm) -> Config:
    """Return the config of an arm. Raises `Refused` where its file is not there: it is part of a checkout."""
    return configs.load(CONFIGS / f"{arm.config}.yaml", arm.changes)


def plan(
    claims: Sequence[Claim], directory: Path, seeds: Sequence[int] | None = None, device: str | None = None
) -> Experiment:
    """Return the jobs that the claims need; a run in `directory` of the same identity is used, wherever it is.

    seeds: those of every claim, in the place of 0 to its number. device: the one to train on, in the place of "auto".
    Raises `Refused` where the directory of claims is something else.
    """
    folder = directory / FOLDER
    found = recorded(directory)
    known = by_identity(found)
    wanted: dict[str, tuple[Path, Config, set[int]]] = {}
    arms: dict[tuple[str, str], tuple[str, tuple[int, ...]]] = {}
    for claim in claims:
        for name, arm in claim.arms.items():
            own = config(arm)
            chosen = tuple(seeds if seeds is not None else range(claim.seeds))
            path = known.get(own.identity) or folder / name_of(arm, own)
            if path.exists() and (path not in found or found[path].identity != own.identity):
                path = path.with_name(f"{path.name[: LONGEST - 9]}-{own.identity[:8]}")  # of an arm as it was once
            wanted.setdefault(own.identity, (path, own, set()))[2].update(chosen)
            arms[claim.id, name] = own.identity, chosen
    changes = [f"device={device}"] if device else []
    jobs = {}
    for identity, (path, own, numbers) in wanted.items():
        mapping = own.model_dump(mode="json") | {"name": path.name, "seeds": sorted(numbers)}
        jobs[identity] = Job(path, configs.resolve(mapping, changes, where=str(path), name=path.name))
    ours = {job.path.name: job.config for job in jobs.values() if job.path.parent == folder}
    if ours:
        check_folder(folder)
        ours = {path.name: own for path, own in found.items() if path.parent == folder} | ours
    sweep = Sweep(FOLDER, tuple(Member(name, {}, own, None) for name, own in ours.items())) if ours else None
    return Experiment(
        tuple(claims),
        tuple(jobs.values()),
        {key: (jobs[own], chosen) for key, (own, chosen) in arms.items()},
        sweep,
    )


def check_folder(folder: Path) -> None:
    """Refuse a directory of claims that is something else, or a sweep of the user's."""
    if not os.path.lexists(folder) or (os.path.isdir(folder) and not os.listdir(folder)):
        return
    if not is_sweep(folder) or any(run.settings for run in read_sweep(folder).runs):
        reason = "is where runs of claims go, and is something else: move it away, or use --runs-dir"
        raise Refused(Problem(str(folder), "name", reason, folder.name))


def recorded(directory: Path) -> dict[Path, Config]:
    """Return the configs of the runs in a directory, newest first; those that cannot be read are left out."""
    found: dict[Path, Config] = {}
    for path in find(directory):
        with contextlib.suppress(Refused):
            found[path] = configs.load(path / "config.yaml", check_files=False)
    return found


def by_identity(found: Mapping[Path, Config]) -> dict[str, Path]:
    """Return runs by the identity of their config, but those set aside and those whose summary cannot be read.

    Of several the one that has most seeds, and of these the first.
    """
    best: dict[str, tuple[int, Path]] = {}
    for path, own in found.items():
        with contextlib.suppress(Refused):
            if ".old-" in path.name:
                continue
            summary = read_summary(path)
            seeds = len(summary.seeds) if summary else 0
            if own.identity not in best or seeds > best[own.identity][0]:
                best[own.identity] = seeds, path
    return {identity: path for identity, (_, path) in best.items()}


def name_of(arm: Arm, own: Config) -> str:
    """Return a name for an arm's run: its config file's, and what is changed."""
    settings = dict(change.split("=", 1) for change in arm.changes)
    return run_name({"": arm.config.rpartition("/")[2], **settings}, own.identity)


class Records:
    """What the runs of one claim's arms recorded, as its judge asks for it."""

    def __init__(self, loaded: Mapping[str, Run], evaluations: Mapping[str, Evaluation] = MappingProxyType({})) -> None:
        """Take runs and evaluations by arm."""
        self.runs, self.evaluations = loaded, evaluations

    def values(self, arm: str, metric: str) -> Values:
        return METRICS[metric].finite(self.runs[arm]) if arm in self.runs else {}

    def curves(self, arm: str, column: str) -> Curves:
        if arm not in self.runs:
            return {}
        rows = self.runs[arm].metrics
        finished = METRICS["val_loss"].finite(self.runs[arm])
        return {seed: rows[rows["seed"] == seed][column].tolist() for seed in finished}

    def averaging(self, arm: str) -> Mapping[int, tuple[Sequence[tuple[float, float]], float]]:
        seeds = self._seeds(arm)
        return {own.seed: ([(m, sd) for m, sd in own.averaging.tolist()], own.weight_scaling.error) for own in seeds}

    def ablation(self, arm: str) -> Values:
        return {own.seed: float(own.ablation[:, 1].mean()) for own in self._seeds(arm)}

    def information(self, arm: str) -> tuple[Values, Values]:
        wrong, right = {}, {}
        for own in self._seeds(arm):
            good = own.probabilities.argmax(1) == own.labels
            if good.all():
                continue
            wrong[own.seed] = float(own.information[~good].mean())
            right[own.seed] = float(own.information[good].mean())
        return wrong, right

    def rotation(self, arm: str) -> tuple[Values, Values]:
        found = {own.seed: own.rotated["information"] for own in self._seeds(arm) if own.rotated}
        upright = {seed: float(information[0]) for seed, information in found.items()}
        return upright, {seed: float(information[TURNED].mean()) for seed, information in found.items()}

    def activity(self, arm: str) -> tuple[Values, Values]:
        means = {own.seed: own.activity.mean(0).tolist() for own in self._seeds(arm)}
        return {seed: mean for seed, (mean, _) in means.items()}, {seed: zeros for seed, (_, zeros) in means.items()}

    def _seeds(self, arm: str) -> Sequence[NetworkEvaluation]:
        return self.evaluations[arm].seeds if arm in self.evaluations else ()


def judge(experiment: Experiment, directory: Path, show: Callable[[str], None] = lambda text: None) -> list[Judged]:
    """Judge the claims by the runs that are finished; one that lacks a run is left undecided, but for exact readings.

    `directory` is where data sets are kept; `show` is told how far the evaluation of networks is.
    """
    loaded = {job.path: runs.load(job.path) for job in experiment.jobs if (job.path / "summary.json").exists()}
    load = cache(partial(data.load, directory=directory))
    results = []
    done: dict[tuple[Path, tuple[int, ...], int], Evaluation] = {}
    for claim in experiment.claims:
        started = time.perf_counter()
        arms = {name: experiment.arms[claim.id, name] for name in claim.arms}
        own = {name: loaded[job.path].only(seeds) for name, (job, seeds) in arms.items() if job.path in loaded}
        complete = len(own) == len(claim.arms)
        evaluations = {}
        for name, run in own.items() if complete and claim.samples else ():
            if len(run.diverged) == len(run.seeds):
                continue
            key = run.path, run.seeds, claim.samples
            if key not in done:
                from dropout_lab.evaluation.evaluate import evaluate

                done[key] = evaluate(run, load(run.config.data.dataset, run.config.data.scale), claim.samples, show)
            evaluations[name] = done[key]
        rulings = claim.judge(Records(own, evaluations) if complete else Records({}))
        seconds = time.perf_counter() - started + sum(sum(run.seconds.values()) for run in own.values())
        seeds = min((len(run.seeds) - len(run.diverged) for run in own.values()), default=0) if complete else 0
        results.append(Judged(claim, rulings, seeds, seconds, own, evaluations, tuple(_missing(claim, own))))
    return results


def _missing(claim: Claim, own: Mapping[str, Run]) -> Iterator[str]:
    """Say which arms have no run, and which seeds diverged: a verdict rests on the others alone."""
    if lacking := [name for name in claim.arms if name not in own]:
        yield f"not trained: {', '.join(lacking)}"
    for name, run in own.items():
        if run.diverged:
            yield f"diverged: {name}, {len(run.diverged)} of {len(run.seeds)} seeds"
