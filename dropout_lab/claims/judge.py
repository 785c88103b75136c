"""Judge claims by the runs that are finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.claims.criteria import Ruling
from dropout_lab.claims.definition import Claim, overall
from dropout_lab.claims.evidence import Evidence
from dropout_lab.claims.experiment import Experiment
from dropout_lab.data import datasets as data
from dropout_lab.runs import read as runs
from dropout_lab.runs.read import Run

if TYPE_CHECKING:
    from dropout_lab.evaluation.evaluate import Evaluation


@dataclass(frozen=True)
class Judged:
    """A claim and its rulings, with the runs of its arms and, if networks were evaluated, their evaluations.

    seeds: how many the verdict rests on. seconds: of training, as shares of one core, and of judging. missing: a line
    for what was not trained, and for each arm of which seeds diverged.
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


def judge(experiment: Experiment, directory: Path, show: Callable[[str], None] = lambda text: None) -> list[Judged]:
    """Judge the claims of an experiment by the runs that are finished. A claim that lacks a run is UNDECIDED.

    Readings that need no run are decided all the same. directory: where data sets are kept. show: is told how far the
    evaluation of networks is.
    """
    finished = {job.path: runs.load(job.path) for job in experiment.jobs if (job.path / "summary.json").exists()}
    load = cache(partial(data.load, directory=directory))
    results = []
    evaluated: dict[tuple[Path, tuple[int, ...], int], Evaluation] = {}
    for claim in experiment.claims:
        started = time.perf_counter()
        arms = {name: experiment.arms[claim.id, name] for name in claim.arms}
        by_arm = {name: finished[job.path].only(seeds) for name, (job, seeds) in arms.items() if job.path in finished}
        complete = len(by_arm) == len(claim.arms)
        evaluations = {}
        for name, run in by_arm.items() if complete and claim.samples else ():
            if len(run.diverged) == len(run.seeds):
                continue
            key = run.path, run.seeds, claim.samples
            if key not in evaluated:
                from dropout_lab.evaluation.evaluate import evaluate

                of = run.trained.data
                images = load(of.dataset, of.scale, parts=of.parts_of_numbers)
                evaluated[key] = evaluate(run, images, claim.samples, show)
            evaluations[name] = evaluated[key]
        rulings = claim.judge(Evidence(by_arm, evaluations) if complete else Evidence({}))
        seconds = time.perf_counter() - started + sum(sum(run.seconds.values()) for run in by_arm.values())
        seeds = min((len(run.seeds) - len(run.diverged) for run in by_arm.values()), default=0) if complete else 0
        results.append(Judged(claim, rulings, seeds, seconds, by_arm, evaluations, tuple(_missing(claim, by_arm))))
    return results


def _missing(claim: Claim, by_arm: Mapping[str, Run]) -> Iterator[str]:
    """Yield a line for the arms without a run, and for each arm with diverged seeds. The verdict leaves these out."""
    if lacking := [name for name in claim.arms if name not in by_arm]:
        yield f"not trained: {', '.join(lacking)}"
    for name, run in by_arm.items():
        if run.diverged:
            yield f"diverged: {name}, {len(run.diverged)} of {len(run.seeds)} seeds"
