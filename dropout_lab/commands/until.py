"""Adds seeds until a verdict is decided (`--until-decided`): train, look, and go on with the pairs that are open.

The first look is at the seeds asked for, but at 5 or more (of a family more): with fewer the interval has no end. Each
later one comes after as many seeds as fill the lanes, never beyond --max-seeds. A run gets more seeds as long as one of
its pairs is open, so a sweep is a race, and pairs keep the same seeds. The interval is true at every number of seeds at
once, so stopping where the verdict is clear does not flatter it. until.json remembers the first seeds and the lanes:
the same command takes the same way again, also after an interruption, and trains only what is missing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dropout_lab import cost
from dropout_lab.commands.names import Options, whole_number
from dropout_lab.commands.plan import Step, announce, carry_out, layouts, plan
from dropout_lab.commands.result import unwritten
from dropout_lab.comparison import compare as comparisons
from dropout_lab.comparison.compare import Contrast
from dropout_lab.comparison.inference import ALPHA, FEWEST, LATER, Word, anytime_factor, seeds_needed
from dropout_lab.comparison.looks import Looks
from dropout_lab.comparison.verdict import spanned
from dropout_lab.errors import Problem, Refused
from dropout_lab.runs import read as runs
from dropout_lab.runs.job import Job
from dropout_lab.storage import as_json, atomic_write, make_directory, read_file
from dropout_lab.sweeps.plan import Sweep
from dropout_lab.text import count, labelled

MOST = 64
LIMITS = 5, 1000  # of --max-seeds
DECIDED = ("better", "worse", "equivalent")
FILE = "until.json"

Pair = tuple[int, int]  # the places of baseline and candidate among the jobs


@dataclass(frozen=True)
class Asked:
    """What is judged, and the most seeds of a run. `min_effect` is as stored; None: 0.1 pp or one image."""

    most: int
    metric: str = "test_accuracy"
    min_effect: float | None = None


@dataclass(frozen=True)
class Point:
    """One look: the candidate, the seeds that it had, and the interval of its difference (None: without an end)."""

    candidate: str
    seeds: int
    low: float | None
    high: float | None
    word: Word


@dataclass(frozen=True)
class Way:
    """All looks, and what came of them: the jobs with the seeds that each has now, and a line for each failure."""

    asked: Asked
    jobs: tuple[Job, ...]
    points: tuple[Point, ...]
    failures: tuple[str, ...] = ()

    @property
    def paths(self) -> dict[str, list[Point]]:
        """The looks at each candidate, first to last."""
        found: dict[str, list[Point]] = {}
        for point in self.points:
            found.setdefault(point.candidate, []).append(point)
        return found

    @property
    def decided(self) -> bool:
        """Whether every candidate has a verdict that is better, worse or equivalent."""
        return bool(self.points) and all(path[-1].word in DECIDED for path in self.paths.values())

    def lines(self) -> list[str]:
        """Return how the interval of each candidate narrowed, as labelled texts."""
        return [labelled("narrowed", self._line(name, path)) for name, path in self.paths.items()]

    def _line(self, name: str, path: Sequence[Point]) -> str:
        looks = ", ".join(f"{point.seeds}: {self._span(point)}" for point in path)
        last = path[-1]
        end = f"decided with {count(last.seeds, 'seed')}" if last.word in DECIDED else "not decided"
        most = f" (at most {self.asked.most})"
        return f"{name}: " * (len(self.paths) > 1) + f"{looks}; {end}{most}"

    def _span(self, point: Point) -> str:
        if point.low is None or point.high is None:
            return "no end"
        return spanned(self.asked.metric, (point.low, point.high))

    def to_json_dict(self) -> dict[str, Any]:
        """Return what `--json` adds."""
        path = [asdict(point) for point in self.points]
        return {"until_decided": {"path": path, "max_seeds": self.asked.most, "decided": self.decided}}


def most_seeds(until_decided: bool, max_seeds: int | None, options: Options) -> int | None:
    """Return the most seeds of a run; None unless seeds are to be added. Raises `Refused` for options that clash."""
    if not until_decided:
        if max_seeds is not None:
            raise Refused(Problem("command line", "--max-seeds", "must be left out without --until-decided", max_seeds))
        return None
    if options.smoke:
        reason = "must be left out of a smoke run, which has no verdict"
        raise Refused(Problem("command line", "--until-decided", reason, "--smoke"))
    return whole_number("--max-seeds", MOST if max_seeds is None else max_seeds, *LIMITS)


def in_order(first: Iterable[int], most: int) -> tuple[int, ...]:
    """Return `most` seeds in the order in which they are added: the first ones, then 0, 1, 2, ... without these."""
    start = sorted({*first})
    return (*start, *itertools.islice((seed for seed in itertools.count() if seed not in start), most - len(start)))


def next_look(seeds: int, runs: int, lanes: int, most: int) -> int:
    """Return with how many seeds the next look comes, if `runs` runs share `lanes` networks side by side."""
    return min(most, seeds + max(1, lanes // runs))


def train_until_decided(
    jobs: Sequence[Job],
    pairs: Sequence[Pair],
    asked: Asked,
    options: Options,
    directory: Path,
    sweep: Sweep | None = None,
) -> Way:
    """Train the jobs with more and more seeds, until every pair is decided or has the most seeds.

    All pairs are one family. The plan of the first seeds is announced with what is expected. `directory` holds
    until.json. Raises `Refused` for fewer seeds than are asked for. A failure ends the way.
    """
    fewest = fewest_seeds(len(pairs))
    if asked.most < fewest:
        reason = f"must be {fewest} or more: with fewer seeds no verdict is possible"
        raise Refused(Problem("command line", "--max-seeds", reason, asked.most))
    first, lanes = remembered(jobs, asked.most, fewest, options, directory)
    order, seeds = in_order(first, asked.most), max(fewest, len(first))
    points: list[Point] = []
    open_pairs, now = [*pairs], [with_seeds(job, order[:seeds]) for job in jobs]
    while True:
        steps = plan(now, options)
        if not points:
            announce(steps, options, *expected(now, pairs, asked, order, options))
        elif any(step.missing for step in steps):
            announce(steps, options)
        failures = carry_out(steps, options, sweeps=[sweep] if sweep else ())
        if failures:
            return Way(asked, tuple(now), tuple(points), tuple(failures))
        for line in unwritten(directory, lambda: remember(directory, order[: len(first)], lanes)):
            options.note(line)
        found = look(now, pairs, asked, options)
        points += [point(found[pair], seeds) for pair in open_pairs]
        open_pairs = [pair for pair in open_pairs if is_open(found[pair])]
        if not open_pairs or seeds >= asked.most:
            return Way(asked, tuple(now), tuple(points))
        members = {*itertools.chain(*open_pairs)}
        seeds = next_look(seeds, len(members), lanes, asked.most)
        now = [with_seeds(job, order[:seeds]) if place in members else job for place, job in enumerate(now)]


def fewest_seeds(family: int) -> int:
    """Return the number of seeds of the first look: with fewer, the interval of so many candidates has no end."""
    return next(n for n in itertools.count(FEWEST) if math.isfinite(anytime_factor(n, ALPHA / family)))


def pairs_of(sweep: Sweep) -> list[Pair]:
    """Return the pairs of a sweep. Raises `Refused` if there is none."""
    if not sweep.pairs:
        reason = "needs a run and its baseline, at rate 0"
        raise Refused(Problem("command line", "--until-decided", reason, "--no-baseline"))
    return sweep.pairs


def with_seeds(job: Job, seeds: Iterable[int]) -> Job:
    """Return the job with other seeds."""
    return replace(job, config=job.config.model_copy(update={"seeds": tuple(sorted(seeds))}))


def look(jobs: Sequence[Job], pairs: Sequence[Pair], asked: Asked, options: Options) -> dict[Pair, Contrast]:
    """Return each of `pairs`, compared on the seeds of its jobs, as one family; every job must be finished.

    Looks from before count: a pair whose first verdict had a fixed number of seeds has a wider interval.
    """
    loaded = runs.told_apart([runs.load(job.path).only(job.config.seeds) for job in jobs])
    both = [(loaded[a], loaded[b]) for a, b in pairs]
    how: dict[str, Any] = {"looks": Looks(options.runs), "sequential": True, "metrics": (asked.metric,)}
    found = comparisons.contrasts(both, metric=asked.metric, min_effect=asked.min_effect, **how)
    return dict(zip(pairs, found, strict=True))


def point(contrast: Contrast, seeds: int) -> Point:
    """Return one look at a candidate."""
    low, high = contrast.interval or (None, None)
    return Point(contrast.candidate.name, seeds, low, high, contrast.verdict.word)


def is_open(contrast: Contrast) -> bool:
    """Say whether more seeds can decide the pair; where not one pair of seeds has a value, more will not help."""
    return contrast.row is not None and contrast.verdict.word not in DECIDED


# What is expected


def expected(
    jobs: Sequence[Job], pairs: Sequence[Pair], asked: Asked, order: Sequence[int], options: Options
) -> tuple[str, dict[str, Any]]:
    """Return, as text and as plain data, how many seeds and seconds are expected before anything is trained."""
    there = [place for place, job in enumerate(jobs) if (job.path / "summary.json").exists()]
    known = [pair for pair in pairs if {*pair} <= {*there}]
    places = {place: number for number, place in enumerate(there)}
    again = [(places[a], places[b]) for a, b in known]
    found = look([jobs[place] for place in there], again, asked, options) if known else {}
    needed = [seeds_expected(found.get((places.get(a, -1), places.get(b, -1))), len(pairs)) for a, b in pairs]
    fewest = len(jobs[0].config.seeds)
    seeds = None if None in needed else max(fewest, *(number for number in needed if number))
    within = min(asked.most, seeds or asked.most)
    steps = plan([with_seeds(job, order[:within]) for job in jobs], options)
    processes = sum(layout.processes for layout in layouts(steps, options).values())
    seconds = sum(len(missing) * cost.seconds(job.config) for job, missing in steps) / max(1, processes)
    about = f"about {count(seeds, 'seed')}" if seeds and seeds <= asked.most else f"more than {asked.most} seeds"
    text = f"{about} of each run until it is decided, at most {asked.most}; {shown_minutes(seconds)}"
    text += ", if the difference is one sd of it" * (len(known) < len(pairs))
    text += f" for {within}" * (within != seeds)
    return labelled("expected", text), {"expected": {"seeds": seeds, "max_seeds": asked.most, "seconds": seconds}}


def seeds_expected(contrast: Contrast | None, family: int) -> int | None:
    """Return how many seeds will more likely than not decide a pair; None: over a million.

    Three pairs or more say how large effect and spread are. Otherwise the effect is taken for one sd of the difference.
    """
    later, row = contrast is not None and contrast.looked == "later", contrast.row if contrast else None
    alpha = (LATER if later else ALPHA) / family
    if contrast is None or row is None or row.difference.n < FEWEST:
        return seeds_needed(1.0, 1.0, 0.5, alpha=alpha, later=True)
    sd, effect = max(row.difference.sd or 0.0, contrast.noise), abs(row.difference.mean)
    room = max(0.0, contrast.min_effect - effect)
    ways = (
        seeds_needed(sd, effect, 0.5, alpha=alpha, later=True),
        seeds_needed(sd, room, 0.5, alpha=alpha, later=True, equal=True),
    )
    return min((number for number in ways if number), default=None)


def shown_minutes(seconds: float) -> str:
    """Return "about 5 minutes"."""
    return "less than a minute" if seconds < 60 else f"about {count(round(seconds / 60), 'minute')}"


# What is remembered


def remembered(
    jobs: Sequence[Job], most: int, fewest: int, options: Options, directory: Path
) -> tuple[tuple[int, ...], int]:
    """Return the seeds of the first look and the lanes, as until.json has them, or as they are now.

    A run that is named has more seeds at every look; its first ones are those of until.json. Raises `Refused` for more
    seeds than `most`.
    """
    given = sorted({seed for job in jobs for seed in job.config.seeds})
    first = in_order(given, max(len(given), fewest))
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        known: Mapping[str, Any] = json.loads(read_file(directory / FILE))
        before, lanes = tuple(map(int, known["first"])), int(known["lanes"])
        same = before == first or (not options.seeds and {*before} <= {*given})
        if same and before and lanes > 0 and len(before) <= most:
            return before, lanes
    if len(given) > most:
        reason = f"must be {len(given)} or more, the seeds that are asked for or there"
        raise Refused(Problem("command line", "--max-seeds", reason, most))
    side_by_side = layouts([Step(job, in_order(first, most)) for job in jobs], options).values()
    return first, sum(layout.processes * layout.lanes for layout in side_by_side)


def remember(directory: Path, first: Sequence[int], lanes: int) -> None:
    """Write until.json, unless it says the same already."""
    text = as_json({"format": 1, "first": [*first], "lanes": lanes}).encode()
    with contextlib.suppress(OSError):
        if read_file(directory / FILE) == text:
            return
    make_directory(directory)
    atomic_write(directory / FILE, text, durable=False)
