"""Compare finished runs: check the conditions, pair the seeds, measure, judge. Reads loaded runs and prints nothing.

The first run is the baseline; every other one is a candidate that is compared with it. The unit is the seed: would
re-training change the answer? Whether other images would is a second question, which McNemar's test answers for two
networks at a time. Only the primary metric is judged. `metrics.py` says what is measured, `verdict.py` puts the verdict
into words, `tables.py` makes tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from dropout_lab.comparison import inference as statistics
from dropout_lab.comparison.inference import Difference, Estimate, McNemar, Verdict
from dropout_lab.comparison.metrics import METRICS, Values
from dropout_lab.config.resolve import flatten
from dropout_lab.errors import Problem, Refused, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dropout_lab.runs.read import Run

NOT_CONDITIONS = ("name", "seeds", "device")  # the device that was used is in the environment
MIN_EFFECT = 0.001  # the smallest difference of accuracies that matters, unless told otherwise
MUST_AGREE = ("data.validation_fraction", "data.validation_from")

Changes = dict[str, tuple[object, object]]  # key -> the baseline's value, the candidate's value


@dataclass(frozen=True)
class Side:
    """One run: all its seeds, those of them that diverged, and by metric the finite values of the others."""

    name: str
    path: str
    seeds: tuple[int, ...]
    diverged: tuple[int, ...]
    values: dict[str, Values]

    def estimate(self, metric: str) -> Estimate | None:
        """Return mean, sd and interval over all seeds that have a value; None where none has."""
        values = list(self.values[metric].values())
        return statistics.interval(values) if values else None


@dataclass(frozen=True)
class Row:
    """One metric of baseline and candidate, over the pairs (or, unpaired, over all seeds of each) that have a value."""

    metric: str
    baseline: Estimate
    candidate: Estimate
    difference: Difference
    per_seed: Values  # candidate minus baseline; empty where unpaired


@dataclass(frozen=True)
class Contrast:
    """One candidate against the baseline, judged on `metric`; `rows` lacks a metric for which no seed has a value."""

    baseline: Side
    candidate: Side
    metric: str
    min_effect: float
    differs: Changes  # config keys, dotted
    environment: Changes  # code, versions, machine, device
    rows: dict[str, Row]
    images: dict[int, McNemar]  # by seed; only where two runs are compared
    adjusted_p: float | None  # Holm's, where there are several candidates

    @property
    def common(self) -> tuple[int, ...]:
        """The seeds that both ran, by which they are paired. None in common: Welch's interval instead of pairs."""
        return common(self.baseline, self.candidate)

    @property
    def beside(self) -> tuple[str, ...]:
        """The config keys that differ and are not about dropout."""
        return tuple(key for key in self.differs if not key.startswith("dropout."))

    @property
    def verdict(self) -> Verdict:
        """What `statistics.verdict` says of the primary metric."""
        row, higher_is_better = self.rows.get(self.metric), METRICS[self.metric].higher_is_better
        if row is None:
            return Verdict("none")
        return statistics.verdict(
            row.difference, self.min_effect, higher_is_better=higher_is_better, adjusted_p=self.adjusted_p
        )

    def alone(self, side: Side) -> tuple[int, ...]:
        """Return the seeds of `side` without a partner, which a paired comparison leaves out."""
        return tuple(seed for seed in side.seeds if seed not in self.common) if self.common else ()

    def missing(self, metric: str) -> tuple[int, ...]:
        """Return the seeds that count but have no finite value of `metric`, in one run or in both.

        None of what a seed may well lack, where all seeds of both lack it.
        """
        a, b = self.baseline, self.candidate
        if METRICS[metric].optional and not (a.values[metric] or b.values[metric]):
            return ()
        in_a, in_b = counted(a, b)
        lacking = {seed for seed in in_a if seed not in a.values[metric]}
        return tuple(sorted(lacking | {seed for seed in in_b if seed not in b.values[metric]}))


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. `min_effect` is the practical margin, in the unit in which the metric is stored."""

    metric: str
    min_effect: float
    baseline: Side
    contrasts: tuple[Contrast, ...]
    same: dict[str, object]  # what all runs share: data, code, versions, machine, device


def compare(runs: Sequence[Run], *, metric: str = "test_accuracy", min_effect: float = MIN_EFFECT) -> Comparison:
    """Compare every later run with the first one, and judge the primary `metric` by the margin `min_effect`.

    `min_effect` is in the metric's stored unit: 0.001 of an accuracy is 0.1 percentage points. Raises `Refused`, naming
    every problem, for fewer than two runs, an unknown metric, a margin below 0, other data or another validation split.
    """
    check(runs, metric, min_effect)
    baseline, *candidates = [measure(run) for run in runs]
    tables = [rows(baseline, candidate) for candidate in candidates]
    contrasts = [
        Contrast(
            baseline,
            candidate,
            metric,
            min_effect,
            differs=changes(settings(runs[0]), settings(run)),
            environment=changes(surroundings(runs[0]), surroundings(run)),
            rows=table,
            images=image_tests(runs[0], run, counted(baseline, candidate)[0]) if len(runs) == 2 else {},
            adjusted_p=p,
        )
        for run, candidate, table, p in zip(runs[1:], candidates, tables, holm(tables, metric), strict=True)
    ]
    first, *others = [surroundings(run) for run in runs]
    same = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    return Comparison(metric, min_effect, baseline, tuple(contrasts), same)


# Conditions


def check(runs: Sequence[Run], metric: str, min_effect: float) -> None:
    """Raise `Refused` with every reason why these runs cannot be compared so."""
    problems = []
    if len(runs) < 2:
        problems.append(Problem("command line", "runs", "must be two or more", len(runs)))
    if metric not in METRICS:
        problems.append(Problem("command line", "--metric", unknown_metric(metric), metric))
    if not (math.isfinite(min_effect) and min_effect >= 0):
        problems.append(Problem("command line", "--min-effect", "must be a finite number, 0 or more", min_effect))
    for run in runs[1:]:
        problems += unlike(runs[0], run)
    if problems:
        raise Refused(*problems)


def unlike(baseline: Run, run: Run) -> list[Problem]:
    """Return what forbids to compare: other data, or another split of them into training and validation."""
    problems = []
    before, after = settings(baseline), settings(run)
    digests = baseline.summary.data_sha256, run.summary.data_sha256
    if digests[0] != digests[1]:
        other = f"{before['data.dataset']}, sha256 {digests[0][:12]}"
        reason = f"must be the data of {baseline.path} ({other}): runs on different data cannot be compared"
        problems.append(Problem(str(run.path), "data", reason, f"{after['data.dataset']}, sha256 {digests[1][:12]}"))
    for key in MUST_AGREE:
        if before[key] != after[key]:
            problems.append(Problem(str(run.path), key, f"must be {before[key]} as in {baseline.path}", after[key]))
    return problems


def unknown_metric(name: str) -> str:
    """Return why `name` is refused as a metric, with the nearest one or all of them."""
    near = get_close_matches(name, METRICS, n=1)
    return f"unknown metric, did you mean {near[0]}?" if near else f"unknown metric; there are {', '.join(METRICS)}"


def settings(run: Run) -> dict[str, object]:
    """Return the run's config by dotted key, without what is not a condition of the experiment."""
    return {key: value for key, value in flatten(run.config).items() if key not in NOT_CONDITIONS}


def surroundings(run: Run) -> dict[str, object]:
    """Return under which data, code, versions and machine the run was made."""
    return {"data": run.summary.data_sha256, **run.summary.environment}


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> Changes:
    """Return what differs, by key; a key that one of them lacks counts as None."""
    keys = dict.fromkeys([*before, *after])
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


# Pairs and measures


def measure(run: Run) -> Side:
    """Read every metric off the run; a value that is not finite is missing. The name is made fit to print."""
    values = {key: metric.finite(run) for key, metric in METRICS.items()}
    return Side(printable(run.name), str(run.path), run.seeds, run.diverged, values)


def common(a: Side, b: Side) -> tuple[int, ...]:
    """Return the seeds that both ran. Streams are named by seed, so such a pair shares first weights and order."""
    return tuple(sorted({*a.seeds} & {*b.seeds}))


def counted(a: Side, b: Side) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the seeds of `a` and of `b` that did not diverge; where they are paired, in neither run."""
    if pairs := common(a, b):
        both = tuple(seed for seed in pairs if seed not in {*a.diverged, *b.diverged})
        return both, both
    return tuple(s for s in a.seeds if s not in a.diverged), tuple(s for s in b.seeds if s not in b.diverged)


def rows(a: Side, b: Side) -> dict[str, Row]:
    """Return the row of every metric that enough seeds have a value of."""
    table = {}
    in_a, in_b = counted(a, b)
    for key in METRICS:
        before = {seed: a.values[key][seed] for seed in in_a if seed in a.values[key]}
        after = {seed: b.values[key][seed] for seed in in_b if seed in b.values[key]}
        if paired := bool(common(a, b)):
            before = {seed: value for seed, value in before.items() if seed in after}
            after = {seed: value for seed, value in after.items() if seed in before}
        if before and after:
            x, y = list(before.values()), list(after.values())
            difference = statistics.paired(x, y) if paired else statistics.welch(x, y)
            per_seed = {seed: after[seed] - before[seed] for seed in before} if paired else {}
            table[key] = Row(key, statistics.interval(x), statistics.interval(y), difference, per_seed)
    return table


def holm(tables: Sequence[Mapping[str, Row]], metric: str) -> list[float | None]:
    """Return the adjusted p-value of each candidate that has one; a single candidate needs no adjustment."""
    found = {i: table[metric].difference.p for i, table in enumerate(tables) if metric in table}
    p_values = {i: p for i, p in found.items() if p is not None}
    adjusted = dict(zip(p_values, statistics.holm(list(p_values.values())), strict=True)) if len(tables) > 1 else {}
    return [adjusted.get(i) for i in range(len(tables))]


def image_tests(a: Run, b: Run, seeds: Sequence[int]) -> dict[int, McNemar]:
    """Return, for every seed, McNemar's test of the two networks on the test images, at the last epoch."""
    if not seeds:
        return {}
    in_a, in_b = right(a), right(b)
    return {seed: statistics.mcnemar(in_a[seed], in_b[seed]) for seed in seeds if seed in in_a and seed in in_b}


def right(run: Run) -> dict[int, NDArray[np.bool_]]:
    """Return by seed which test images (n,) the network gets right."""
    arrays = run.predictions()
    hits = arrays["predictions"] == arrays["labels"]
    return {int(seed): row for seed, row in zip(arrays["seeds"], hits, strict=True)}
