"""The experiment that decides some claims: which claims, what they cost, and which runs they need.

Claims share runs, and use the runs that the user already has, wherever these are in the runs directory. Two runs are
the same if their configs have the same identity; the same config and seed is never trained twice.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dropout_lab import cost as costs
from dropout_lab.claims.definition import Arm, Claim
from dropout_lab.claims.registry import CLAIMS, GROUPS
from dropout_lab.config import shipped
from dropout_lab.config.resolve import load, resolve
from dropout_lab.config.rules import did_you_mean, nearest
from dropout_lab.config.settings import Config
from dropout_lab.errors import Problem, Refused
from dropout_lab.runs.find import find, is_sweep
from dropout_lab.runs.job import Job
from dropout_lab.runs.summary import read_summary
from dropout_lab.sweeps.files import read_sweep
from dropout_lab.sweeps.plan import LONGEST, Member, Sweep, run_name
from dropout_lab.text import shortened

FOLDER = "claims"  # in the runs directory
QUICK = 420.0  # seconds of one core's training that `--quick` may cost: less than 5 minutes on two
PASS = 10_000 * 4 * 2 * 2  # operations for each weight and sample: images, passes, 2 a product, as many for the masks


@dataclass(frozen=True)
class Experiment:
    """The claims to judge, and the jobs that train their arms.

    arms: the job and the seeds of each arm, by the claim's id and the arm's name. sweep: the runs in the directory of
    claims, which is a sweep on disk; None if there are none.
    """

    claims: tuple[Claim, ...]
    jobs: tuple[Job, ...]
    arms: Mapping[tuple[str, str], tuple[Job, tuple[int, ...]]]
    sweep: Sweep | None


def select(names: Sequence[str], *, quick: bool = False, seeds: int | None = None) -> tuple[Claim, ...]:
    """Return the claims that `names` mean: ids, or the groups articles, theory, papers.

    quick: keep the claims that fit into 5 minutes together; without `names`, choose from all. seeds: the number of
    seeds of every claim, instead of the claim's own. Raises `Refused` if a name means nothing, if there are no names
    and `quick` is off, or if no claim is quick enough.
    """
    if not names and not quick:
        reason = "is missing: name claims such as S3 P10, or articles, theory, papers; --list shows them all"
        raise Refused(Problem("command line", "CLAIM", reason, "nothing"))
    named: dict[str, Claim] = {}
    problems = []
    for name in names or GROUPS:
        if name in GROUPS:
            named |= {id: claim for id, claim in CLAIMS.items() if id.startswith(GROUPS[name])}
        elif name.upper() in CLAIMS:
            named[name.upper()] = CLAIMS[name.upper()]
        else:
            near = did_you_mean(nearest(name, [*CLAIMS, *GROUPS]))
            reason = f"is no claim{near}" if near else "is no claim; --list shows them all"
            problems.append(Problem("command line", "CLAIM", reason, name))
    if problems:
        raise Refused(*problems)
    chosen = [replace(claim, seeds=seeds or claim.seeds) for claim in named.values()]
    taken = tuple(affordable(chosen) if quick else chosen)
    if not taken:
        reason = "must be left out: none of these claims fits into 5 minutes on 2 cores"
        raise Refused(Problem("command line", "--quick", reason, " ".join(names)))
    return taken


def affordable(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims that fit into QUICK seconds together, in the order given. Cheap claims are taken first."""
    taken: list[Claim] = []
    for claim in sorted(claims, key=lambda claim: cost([claim])):
        if cost([*taken, claim]) <= QUICK:
            taken.append(claim)
    return [claim for claim in claims if claim in taken]


def cost(claims: Iterable[Claim], speed: float = costs.SPEED) -> float:
    """Return about how many seconds of one core the claims cost together; a shared run counts once.

    speed: of the core, in floating-point operations per second.
    """
    trained: dict[str, tuple[Config, int]] = {}
    evaluated: dict[tuple[str, int], tuple[Config, int]] = {}
    for claim in claims:
        for settings in map(config, claim.arms.values()):
            key = settings.identity, claim.samples
            trained[key[0]] = settings, max(claim.seeds, trained.get(key[0], (settings, 0))[1])
            evaluated[key] = settings, max(claim.seeds, evaluated.get(key, (settings, 0))[1])
    training = sum(costs.seconds(settings, speed) * seeds for settings, seeds in trained.values())
    passes = sum(samples * costs.weights(settings) * seeds for (_, samples), (settings, seeds) in evaluated.items())
    return training + passes * PASS / speed


def speed_here(seconds: float = 0.2) -> float:
    """Measure how many floating-point operations per second one core of this machine does in a product of a training.

    Repeats the product for so many seconds and counts the fastest, so that other work of the machine matters little.
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
    """Return the config of an arm."""
    return load(shipped.FOLDER / f"{arm.config}.yaml", arm.changes)


def plan(
    claims: Sequence[Claim], directory: Path, seeds: Sequence[int] | None = None, device: str | None = None
) -> Experiment:
    """Return the experiment that decides the claims. A run in `directory` with the same identity is used again.

    seeds: the seeds of every claim, instead of the first ones of its number. device: where to train, instead of "auto".
    Raises `Refused` if the directory of claims holds something else.
    """
    folder, there = directory / FOLDER, recorded(directory)
    used_again = by_identity(there)
    needed: dict[str, tuple[Path, Config, set[int]]] = {}  # by identity: one run and the seeds that any claim needs
    arms: dict[tuple[str, str], tuple[str, tuple[int, ...]]] = {}
    for claim in claims:
        chosen = tuple(seeds if seeds is not None else range(claim.seeds))
        for name, arm in claim.arms.items():
            settings = config(arm)
            path = used_again.get(settings.identity) or _free(folder / name_of(arm, settings), settings, there)
            needed.setdefault(settings.identity, (path, settings, set()))[2].update(chosen)
            arms[claim.id, name] = settings.identity, chosen
    changes = [f"device={device}"] if device else []
    jobs = {}
    for identity, (path, settings, numbers) in needed.items():
        mapping = settings.model_dump(mode="json") | {"name": path.name, "seeds": sorted(numbers)}
        jobs[identity] = Job(path, resolve(mapping, changes, where=str(path), name=path.name))
    by_arm = {arm: (jobs[identity], chosen) for arm, (identity, chosen) in arms.items()}
    return Experiment(tuple(claims), tuple(jobs.values()), by_arm, _sweep(folder, jobs.values(), there))


def _free(path: Path, settings: Config, there: Mapping[Path, Config]) -> Path:
    """Return the path for a run; if something else is there, such as a run of an arm as it was once, another one."""
    if not path.exists() or (path in there and there[path].identity == settings.identity):
        return path
    return path.with_name(shortened(path.name, settings.identity[:8], LONGEST))


def _sweep(folder: Path, jobs: Iterable[Job], there: Mapping[Path, Config]) -> Sweep | None:
    """Return the runs in the directory of claims, those that are there and those to come, as a sweep."""
    to_come = {job.path.name: job.config for job in jobs if job.path.parent == folder}
    if not to_come:
        return None
    check_folder(folder)
    members = {path.name: settings for path, settings in there.items() if path.parent == folder} | to_come
    return Sweep(FOLDER, tuple(Member(name, {}, settings, None) for name, settings in members.items()))


def check_folder(folder: Path) -> None:
    """Refuse a directory of claims that holds something else, or a sweep of the user's."""
    if not os.path.lexists(folder) or (os.path.isdir(folder) and not os.listdir(folder)):
        return
    if not is_sweep(folder) or any(run.settings for run in read_sweep(folder).runs):
        reason = "is where runs of claims go, and is something else: move it away, or use --runs-dir"
        raise Refused(Problem(str(folder), "name", reason, folder.name))


def recorded(directory: Path) -> dict[Path, Config]:
    """Return the configs of the runs in a directory, newest first; a config that cannot be read is left out."""
    recorded: dict[Path, Config] = {}
    for path in find(directory):
        with contextlib.suppress(Refused):
            recorded[path] = load(path / "config.yaml", check_files=False)
    return recorded


def by_identity(recorded: Mapping[Path, Config]) -> dict[str, Path]:
    """Return the path of a run for each identity; runs set aside and runs with an unreadable summary are left out.

    If several runs have the same identity, the one with the most seeds is used, and the first of these.
    """
    best: dict[str, tuple[int, Path]] = {}
    for path, settings in recorded.items():
        with contextlib.suppress(Refused):
            if ".old-" in path.name:
                continue
            summary = read_summary(path)
            seeds = len(summary.seeds) if summary else 0
            if settings.identity not in best or seeds > best[settings.identity][0]:
                best[settings.identity] = seeds, path
    return {identity: path for identity, (_, path) in best.items()}


def name_of(arm: Arm, config: Config) -> str:
    """Return a name for the run of an arm: the name of its config file, and its changes."""
    changes = dict(change.split("=", 1) for change in arm.changes)
    return run_name({"": arm.config.rpartition("/")[2], **changes}, config.identity)
