"""Compare finished runs: check the conditions, pair the seeds, measure, judge. Reads loaded runs and prints nothing.

The first run is the baseline; every other one is a candidate that is compared with it. The unit is the seed: would
training again change the answer, on these test images? Whether it would hold on new images too is a second question,
with an interval over seeds and images. Only the primary metric is judged. Which interval decides depends on how often
somebody has looked at this pair before (`Contrast.interval`). `metrics.py` says what is measured, `verdict.py` puts the
verdict into words, `tables.py` makes tables.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from dropout_lab.comparison import inference as statistics
from dropout_lab.comparison.inference import (
    ALPHA,
    FEWEST,
    LATER,
    Crossed,
    Difference,
    Estimate,
    Interval,
    Looked,
    McNemar,
    MoreSeeds,
    Verdict,
)
from dropout_lab.comparison.looks import UNREAD, Look, Looks, as_dict
from dropout_lab.comparison.metrics import METRICS, Values
from dropout_lab.config.noted import UNKNOWN, Noted
from dropout_lab.config.resolve import flatten
from dropout_lab.errors import Problem, Refused, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dropout_lab.runs.read import Run

NOT_CONDITIONS = ("name", "seeds", "device")  # the device that was used is in the environment
MIN_EFFECT = 0.001  # the smallest difference of accuracies that matters, unless one image is more or one is told
ON_TEST = ("test_accuracy", "test_accuracy_at_best")  # metrics that count test images
DOMINATES = 4.0  # times that the spread of the differences shrinks without a seed that is flagged
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
    imported: bool = False

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
    crossed: Crossed | None  # of the test accuracy, over seeds and images
    adjusted_p: float | None  # Holm's, where there are several candidates
    family: int = 1  # how many candidates are judged together
    looks: tuple[Look, ...] = ()  # at this pair, before this one
    sequential: bool = False  # whether seeds are added until the verdict is decided, as was declared beforehand
    confirms: bool = False  # whether it confirms a choice on fresh seeds
    steps: Mapping[str, float] = field(default_factory=dict)  # by metric, what one test image is of it

    @property
    def common(self) -> tuple[int, ...]:
        """The seeds that both ran, by which they are paired. None in common: Welch's interval instead of pairs."""
        return common(self.baseline, self.candidate)

    @property
    def beside(self) -> tuple[str, ...]:
        """The config keys that differ and are not about dropout."""
        return tuple(key for key in self.differs if not key.startswith("dropout."))

    @property
    def row(self) -> Row | None:
        """The primary metric's."""
        return self.rows.get(self.metric)

    @property
    def judged(self) -> tuple[int, ...]:
        """The seeds that the verdict is about, those that both have or, unpaired, those of the candidate."""
        row = self.row
        return tuple(row.per_seed or self.candidate.values[self.metric]) if row else ()

    @property
    def known(self) -> tuple[Look, ...]:
        """The looks at the judged metric of this pair that count, first to last.

        A confirmation is an experiment of its own: a look that had none of its seeds counts only if it confirmed too.
        """
        counted = (look for look in self.looks if look.metric == self.metric or look == UNREAD)
        return tuple(
            look for look in counted if not self.confirms or look.confirms or not {*look.seeds}.isdisjoint(self.judged)
        )

    @property
    def before(self) -> tuple[Look, ...]:
        """Those of them with other seeds than now."""
        return tuple(look for look in self.known if look.seeds != self.judged)

    @property
    def first_look(self) -> bool:
        """Whether this is what somebody saw first of the judged metric; the same seeds again are no new look."""
        return not self.known or self.known[0].seeds == self.judged

    @property
    def looked(self) -> Looked:
        """How often somebody has looked, which says what interval decides.

        A pair whose first verdict was sequential stays so: it holds at every number of seeds, whatever came after it. A
        pair whose first verdict had a fixed number of seeds has spent most of the error, whatever is declared now.
        """
        if self.known[0].sequential if self.known else self.sequential:
            return "sequential"
        return "first" if self.first_look and not self.sequential else "later"

    @property
    def fixed_interval(self) -> Interval | None:
        """The 95 % t interval of the primary metric, as if its number of seeds had been fixed beforehand."""
        return statistics.deciding(self.row.difference, "first", self.family) if self.row else None

    @property
    def interval(self) -> Interval | None:
        """The interval of the primary metric that decides, given how often somebody has looked."""
        return statistics.deciding(self.row.difference, self.looked, self.family) if self.row else None

    @property
    def crossed_interval(self) -> Interval | None:
        """The same for new seeds and new images; of few seeds it can be the narrower one, so it is no less wide."""
        if not self.crossed or self.metric != "test_accuracy" or not self.interval:
            return None
        found = statistics.deciding(self.crossed, self.looked, self.family)
        return (min(found[0], self.interval[0]), max(found[1], self.interval[1])) if found else None

    @property
    def withheld(self) -> bool:
        """Whether the candidate diverged more often than the baseline: a mean over the rest would flatter it."""
        both = {*(self.common or self.baseline.seeds)}, {*(self.common or self.candidate.seeds)}
        lost = (
            len({*side.diverged} & seeds) / len(seeds)
            for side, seeds in zip((self.baseline, self.candidate), both, strict=True)
        )
        before, after = lost
        return after > before

    @property
    def verdict(self) -> Verdict:
        """What `statistics.verdict` says of the primary metric, for the test images at hand."""
        if self.row is None or self.row.difference.n < FEWEST:
            return Verdict("none")
        if self.interval is None:  # before the anytime interval has an end
            return Verdict("inconclusive" if self.row.difference.interval else "none")
        return self.word(self.interval)

    @property
    def crossed_verdict(self) -> Verdict:
        """The same word for new seeds and new images."""
        fit = self.crossed_interval is not None and self.row is not None and self.row.difference.n >= FEWEST
        return self.word(self.crossed_interval) if fit else Verdict("none")

    def word(self, interval: Interval | None) -> Verdict:
        """Judge an interval of the primary metric; a candidate that diverged more often can only be worse."""
        higher = METRICS[self.metric].higher_is_better
        found = statistics.verdict(interval, self.min_effect, higher_is_better=higher)
        return Verdict("none") if self.withheld and found.word != "worse" else found

    def on(self, metric: str) -> Contrast:
        """Return the same pair judged on another metric, by its usual margin and by itself."""
        if metric == self.metric:
            return self
        return replace(self, metric=metric, min_effect=margin(metric, self.steps), adjusted_p=None)

    @property
    def dominating(self) -> int | None:
        """The seed without which the differences lie closer together by far, where there is one: it collapsed.

        The others are taken to differ by half an image at least, and by the images' own noise.
        """
        gains = self.row.per_seed if self.row else {}
        if len(gains) < FEWEST:
            return None
        least = max(self.noise, self.steps.get(self.metric, 0.0) / 2)

        def spread(left_out: int) -> float:
            rest = [gain for seed, gain in gains.items() if seed != left_out]
            return max(least, statistics.interval(rest).sd or 0.0)

        lone = min(gains, key=spread)
        whole = statistics.interval(list(gains.values())).sd or 0.0
        return lone if whole > DOMINATES * spread(lone) and whole > 0 else None

    def more_seeds(self, effect: float, *, equal: bool = False) -> MoreSeeds:
        """Return how many seeds to add so that the next look answers; see `inference.more_seeds`."""
        assert self.row
        level = (ALPHA if self.looked == "sequential" else LATER) / self.family
        return statistics.more_seeds(self.row.difference, effect, self.noise, alpha=level, equal=equal)

    @property
    def noise(self) -> float:
        """The sd of a seed's difference that the test images alone make; 0 of a metric that does not count images."""
        return self.crossed.noise if self.crossed and self.metric == "test_accuracy" else 0.0

    def alone(self, side: Side) -> tuple[int, ...]:
        """Return the seeds of `side` without a partner, which a paired comparison leaves out."""
        return tuple(seed for seed in side.seeds if seed not in self.common) if self.common else ()

    def missing(self, metric: str) -> tuple[int, ...]:
        """Return the seeds that count but have no finite value of `metric`, in one run or in both.

        Returns nothing for an optional metric that no seed has, and for what the log of an imported run does not have.
        """
        a, b = self.baseline, self.candidate
        if any(side.imported and not side.values[metric] for side in (a, b)):
            return ()
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
    tuned: tuple[str, ...] = ()  # the config keys that each run chose for itself


def compare(
    runs: Sequence[Run],
    *,
    metric: str = "test_accuracy",
    min_effect: float | None = None,
    looks: Looks | None = None,
    sequential: bool = False,
    confirms: bool = False,
    tuned: Sequence[str] = (),
) -> Comparison:
    """Compare every later run with the first one, and judge the primary `metric` by the margin `min_effect`.

    `min_effect` is in the metric's stored unit: 0.001 of an accuracy is 0.1 percentage points, and the default there,
    unless one image is more. `looks` remembers what was printed of these pairs before; `sequential` says that seeds are
    added until the verdict is decided, `confirms` that a choice is confirmed on fresh seeds; `tuned` are the config
    keys that each run chose for itself. Raises `Refused`, naming every problem, for fewer than two runs, an unknown
    metric, a margin below 0, other data or another validation split.
    """
    check(runs, metric, min_effect)
    pairs = [(runs[0], run) for run in runs[1:]]
    how: dict[str, Any] = {"looks": looks, "sequential": sequential, "confirms": confirms}
    found = contrasts(pairs, metric=metric, min_effect=min_effect, **how)
    first, *others = [surroundings(run) for run in runs]
    same = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    return Comparison(metric, found[0].min_effect, found[0].baseline, found, same, tuple(tuned))


def contrasts(
    pairs: Sequence[tuple[Run, Run]],
    *,
    metric: str = "test_accuracy",
    min_effect: float | None = None,
    looks: Looks | None = None,
    sequential: bool = False,
    confirms: bool = False,
    metrics: Collection[str] = METRICS,
) -> tuple[Contrast, ...]:
    """Compare the runs of each pair, baseline and candidate, as one family; `metrics` are those that are measured.

    Raises `Refused` for a pair on different data, or with another validation split.
    """
    if problems := [problem for pair_of_runs in pairs for problem in unlike(*pair_of_runs)]:
        raise Refused(*problems)
    runs = {run.path: run for pair_of_runs in pairs for run in pair_of_runs}
    sides = {path: measure(run, metrics) for path, run in runs.items()}
    hits = {path: right(run) for path, run in runs.items()}
    image = next((1 / len(one) for rights in hits.values() for one in rights.values()), 0.0)
    steps = dict.fromkeys(ON_TEST, image)
    wanted = margin(metric, steps) if min_effect is None else min_effect
    tables = [rows(sides[a.path], sides[b.path], steps) for a, b in pairs]
    looks = looks or Looks(None)
    return tuple(
        Contrast(
            sides[a.path],
            sides[b.path],
            metric,
            wanted,
            differs=differing(a, b),
            environment={} if a.summary.imported or b.summary.imported else changes(surroundings(a), surroundings(b)),
            rows=table,
            images=image_tests(hits[a.path], hits[b.path], counted(sides[a.path], sides[b.path])[0])
            if len(pairs) == 1
            else {},
            crossed=over_images(hits[a.path], hits[b.path], table.get("test_accuracy")),
            adjusted_p=p,
            family=len(pairs),
            looks=tuple(looks.at(a, b)),
            sequential=sequential,
            confirms=confirms,
            steps=steps,
        )
        for (a, b), table, p in zip(pairs, tables, holm(tables, metric), strict=True)
    )


def remember(found: Comparison, runs: Sequence[Run], looks: Looks, metrics: Collection[str] = ()) -> dict[str, object]:
    """Note that the verdicts of a comparison of `runs` are about to be shown, and return all looks at these pairs.

    metrics: others whose verdict is asked for, by a gate.
    """
    return {
        contrast.candidate.name: remember_pair(contrast, runs[0], run, looks, metrics)
        for contrast, run in zip(found.contrasts, runs[1:], strict=True)
    }


def remember_pair(
    contrast: Contrast, baseline: Run, run: Run, looks: Looks, metrics: Collection[str] = ()
) -> dict[str, object]:
    """Note that the verdict on one pair is about to be shown, and return all looks at it; `metrics` as in `remember`.

    Too few seeds have no verdict, so that they are no look.
    """
    for judged in (contrast, *(contrast.on(metric) for metric in metrics if metric in contrast.rows)):
        if len(judged.judged) >= FEWEST:
            flags = judged.looked == "sequential", judged.confirms
            looks.remember(baseline, run, Look(judged.metric, judged.judged, *flags))
    return as_dict(looks.at(baseline, run))


# Conditions


def check(runs: Sequence[Run], metric: str, min_effect: float | None) -> None:
    """Raise `Refused` with every reason why these runs cannot be compared so."""
    problems = []
    if len(runs) < 2:
        problems.append(Problem("command line", "runs", "must be two or more", len(runs)))
    if metric not in METRICS:
        problems.append(Problem("command line", "--metric", unknown_metric(metric), metric))
    if min_effect is not None and not (math.isfinite(min_effect) and min_effect >= 0):
        problems.append(Problem("command line", "--min-effect", "must be a finite number, 0 or more", min_effect))
    for run in runs[1:]:
        problems += unlike(runs[0], run)
    if problems:
        raise Refused(*problems)


def unlike(baseline: Run, run: Run) -> list[Problem]:
    """Return what forbids to compare: other data, or another split of them into training and validation."""
    if baseline.summary.imported or run.summary.imported:
        return unlike_imported(baseline, run)
    problems = other_data(baseline, run)
    before, after = settings(baseline), settings(run)
    for key in MUST_AGREE:
        if before[key] != after[key]:
            problems.append(Problem(str(run.path), key, f"must be {before[key]} as in {baseline.path}", after[key]))
    if baseline.outdated != run.outdated and after["data.scale"] == before["data.scale"]:
        old, reason = (
            baseline if baseline.outdated else run,
            "meant other numbers when this run was trained; train it anew",
        )
        problems.append(Problem(str(old.path), "data.scale", reason, after["data.scale"]))
    return problems


def unlike_imported(baseline: Run, run: Run) -> list[Problem]:
    """Return what forbids to compare where a run was imported: what is known of both, and differs."""
    before, after = settings(baseline), settings(run)
    problems = [
        Problem(str(run.path), key, f"must be {before[key]} as in {baseline.path}", after[key])
        for key in ("data.dataset", *MUST_AGREE)
        if UNKNOWN not in (before[key], after[key]) and before[key] != after[key]
    ]
    labels = [one.predictions()["labels"].tolist() for one in (baseline, run)]
    if all(labels) and labels[0] != labels[1]:
        reason = f"must be of the test images of {baseline.path}, in the same order: their labels differ"
        problems.append(Problem(str(run.path), "predictions", reason, f"{len(labels[1])} labels"))
    return problems


def other_data(baseline: Run, run: Run) -> list[Problem]:
    """Return what forbids to compare or to choose from two runs: other data."""
    known = [(one.trained.data.dataset, one.summary.data_sha256) for one in (baseline, run)]
    (first, digest), (dataset, other) = known
    if digest == other:
        return []
    reason = f"must be the data of {baseline.path} ({first}, sha256 {digest[:12]}): "
    reason += "runs on different data cannot be compared"
    return [Problem(str(run.path), "data", reason, f"{dataset}, sha256 {other[:12]}")]


def unknown_metric(name: str) -> str:
    """Return why `name` is refused as a metric, with the nearest one or all of them."""
    near = get_close_matches(name, METRICS, n=1)
    return f"unknown metric, did you mean {near[0]}?" if near else f"unknown metric; there are {', '.join(METRICS)}"


def settings(run: Run) -> dict[str, object]:
    """Return the run's config by dotted key, without what is not a condition of the experiment."""
    return {key: value for key, value in flatten(run.config).items() if key not in NOT_CONDITIONS}


def surroundings(run: Run) -> dict[str, object]:
    """Return under which data, code, versions and machine the run was made."""
    return {} if run.summary.imported else {"data": run.summary.data_sha256, **run.summary.environment}


def differing(baseline: Run, run: Run) -> Changes:
    """Return the conditions in which two runs differ, by config key. What is unknown of both is left out.

    Where a run was imported, a condition counts if it was noted, or is known of both.
    """
    before, after = settings(baseline), settings(run)
    found = changes(before, after)
    noted = {key for one in (baseline, run) if isinstance(one.config, Noted) for key in one.config.conditions}
    if not (baseline.summary.imported or run.summary.imported):
        return found
    return {key: (before.get(key, UNKNOWN), after.get(key, UNKNOWN)) for key in found if key in noted}


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> Changes:
    """Return what differs, by key; a key that one of them lacks counts as None."""
    keys = dict.fromkeys([*before, *after])
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


# Pairs and measures


def measure(run: Run, metrics: Collection[str] = METRICS) -> Side:
    """Read `metrics` off the run; a value that is not finite is missing. The name is made fit to print."""
    values = {key: METRICS[key].finite(run) if key in metrics else {} for key in METRICS}
    return Side(printable(run.name), str(run.path), run.seeds, run.diverged, values, run.summary.imported is not None)


def common(a: Side, b: Side) -> tuple[int, ...]:
    """Return the seeds that both ran. Streams are named by seed, so such a pair shares first weights and order."""
    return tuple(sorted({*a.seeds} & {*b.seeds}))


def counted(a: Side, b: Side) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the seeds of `a` and of `b` that did not diverge; where they are paired, in neither run."""
    if pairs := common(a, b):
        both = tuple(seed for seed in pairs if seed not in {*a.diverged, *b.diverged})
        return both, both
    return tuple(s for s in a.seeds if s not in a.diverged), tuple(s for s in b.seeds if s not in b.diverged)


def margin(metric: str, steps: Mapping[str, float]) -> float:
    """Return the margin unless one is told: 0.1 percentage points of an accuracy, or one image where that is more."""
    return max(MIN_EFFECT, steps.get(metric, 0.0)) if METRICS[metric].unit == "%" else 0.0


def rows(a: Side, b: Side, steps: Mapping[str, float]) -> dict[str, Row]:
    """Return the row of every metric that enough seeds have a value of; `steps`: what one image is of an accuracy."""
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
            if paired and key == "seconds_per_epoch":  # networks that trained side by side share one measurement
                x, y = map(list, zip(*dict.fromkeys(zip(x, y, strict=True)), strict=True))
            difference = statistics.paired(x, y, steps.get(key, 0.0)) if paired else statistics.welch(x, y)
            per_seed = {seed: after[seed] - before[seed] for seed in before} if paired else {}
            table[key] = Row(key, statistics.interval(x), statistics.interval(y), difference, per_seed)
    return table


def holm(tables: Sequence[Mapping[str, Row]], metric: str) -> list[float | None]:
    """Return the adjusted p-value of each candidate that has one; a single candidate needs no adjustment."""
    found = {i: table[metric].difference.p for i, table in enumerate(tables) if metric in table}
    p_values = {i: p for i, p in found.items() if p is not None}
    adjusted = dict(zip(p_values, statistics.holm(list(p_values.values())), strict=True)) if len(tables) > 1 else {}
    return [adjusted.get(i) for i in range(len(tables))]


Hits = Mapping[int, "NDArray[np.bool_]"]  # by seed, which test images (n,) the network gets right


def image_tests(a: Hits, b: Hits, seeds: Sequence[int]) -> dict[int, McNemar]:
    """Return, for every seed, McNemar's test of the two networks on the test images, at the last epoch."""
    return {seed: statistics.mcnemar(a[seed], b[seed]) for seed in seeds if seed in a and seed in b}


def over_images(a: Hits, b: Hits, row: Row | None) -> Crossed | None:
    """Return the difference of test accuracies over seeds and images; None of fewer than two pairs."""
    import numpy as np

    seeds = [seed for seed in row.per_seed if seed in a and seed in b] if row else []
    if len(seeds) < 2:
        return None
    return statistics.crossed(np.stack([a[seed] for seed in seeds]), np.stack([b[seed] for seed in seeds]))


def right(run: Run) -> Hits:
    """Return by seed which test images (n,) the network gets right, at the last epoch."""
    if len(run.diverged) == len(run.seeds):
        return {}
    arrays = run.predictions()
    hits = arrays["predictions"] == arrays["labels"]
    return {int(seed): row for seed, row in zip(arrays["seeds"], hits, strict=True)}
