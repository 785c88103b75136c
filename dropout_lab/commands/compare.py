"""What `compare` does: the question it is asked, whether the runs can be compared, the comparison and its files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dropout_lab.commands import live_page, names, until
from dropout_lab.commands import tune as tuning
from dropout_lab.commands.names import Named, Options, Where
from dropout_lab.commands.plan import made_on, train_missing
from dropout_lab.commands.result import Result, failed, undrawn, unwritten
from dropout_lab.commands.until import Way
from dropout_lab.comparison import compare as comparisons
from dropout_lab.comparison import tables, terms
from dropout_lab.comparison.compare import Comparison
from dropout_lab.comparison.gate import Gate, parse_gates
from dropout_lab.comparison.looks import Looks
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.config import resolve as configs
from dropout_lab.config.noted import UNKNOWN
from dropout_lab.data import datasets as data
from dropout_lab.errors import Problem, Refused, each, stop_at
from dropout_lab.runs import read as runs
from dropout_lab.runs.job import Imported, Job, Target
from dropout_lab.storage import as_json, atomic_write, make_directory, sha256
from dropout_lab.sweeps import tuning as tunings
from dropout_lab.sweeps.plan import Vary
from dropout_lab.text import as_markdown, as_text, named_seeds, shortened

FOLDER = "_comparisons"  # in the runs directory
COMPARED = "or the runs cannot be compared"
VERSUS = "-vs-"
PRIMARY = "test_accuracy"  # the metric that is judged, unless told
LONGEST = 200  # characters of the names in the name of a comparison


@dataclass(frozen=True)
class Question:
    """What a comparison is asked: the primary metric, the smallest difference that matters, its gates."""

    metric: str
    min_effect: float | None  # as stored: 0.001 for 0.1 pp; None: 0.1 pp or one image
    gates: tuple[Gate, ...] = ()
    tuned: tuple[str, ...] = ()  # the config keys that each run chose for itself


def compare(
    named: Sequence[Named],
    options: Options,
    *,
    overrides: Sequence[str] = (),
    metric: str | None = None,
    min_effect: str | None = None,
    fail_if: Sequence[str] = (),
    out: Where | None = None,
    leave_out_damaged: bool = False,
    explain: bool = False,
    tune: Vary = (),
    tune_seeds: int | None = None,
    most: int | None = None,
) -> Result[Comparison]:
    """Compare runs and configs over paired seeds; the first is the baseline. What is missing is trained first.

    Configs are changed by `overrides` such as "training.epochs=3"; a run that exists with another config is refused.
    With `tune`, such as ["training.learning_rate=0.001,0.003"], each run is compared at its own choice from this grid,
    made on `tune_seeds` (3) other seeds.
    With `most`, seeds are added until every verdict is decided, up to so many in each run.
    Writes comparison.json, comparison.csv and curves.png to `out`, else into the runs directory. Seeds that diverged
    and, with `leave_out_damaged`, runs that were left out are an error of the result; otherwise a damaged run is
    refused. With `explain` the text also says what every term means; without, the first comparison in a runs directory
    tells of the option.
    """
    grid = tuning.asked(tune, tune_seeds, options)
    asked = replace(question(metric or PRIMARY, min_effect, fail_if), tuned=grid.keys if grid else ())
    place = names.directory("--out", out)
    good, damaged = names.sound([*map(str, named)], options) if leave_out_damaged else (named, [])
    jobs: Sequence[Target] = names.targets(good, options, options.changes, words=overrides, least=2)
    check_alike(jobs, options)
    if metric is None and (logged := metric_of(jobs)) != PRIMARY:
        asked = replace(question(logged, min_effect, fail_if), tuned=asked.tuned)
    tuned = None
    if grid:
        to_tune = names.trainable(jobs, "--tune")
        tuned, jobs = tuning.tuned_jobs(to_tune, grid, options, asked.metric, asked.min_effect)
    directory = place or comparison_directory(jobs, options)
    new_here = bool(options.audience.typed) and not explain and not os.path.isdir(options.runs / FOLDER)
    way = None
    if most:
        pairs = [(0, place) for place in range(1, len(jobs))]
        judged = until.Asked(most, asked.metric, asked.min_effect)
        way = until.train_until_decided(names.trainable(jobs, "--until-decided"), pairs, judged, options, directory)
        stop_at(way.failures)
    else:
        stop_at(train_missing([job for job in jobs if isinstance(job, Job)], options))
    seeds = options.seeds or (tuning.fresh_seeds(names.trainable(jobs, "--tune"), tuned) if tuned else None)
    found, lost = write(jobs, asked, directory, Looks(options.runs), options.note, seeds, way)
    said = way.lines() if way else []
    before, added = (tunings.parts(tuned), {"tuning": tunings.to_json_dict(tuned)}) if tuned else ([], {})
    tripped = "; ".join(filter(None, (gate.trips(found) for gate in asked.gates))) or None
    if options.smoke and asked.gates:  # the grammar and the wiring are all that a smoke run can check
        options.note(f"gate not judged in a smoke run; it would {'trip' if tripped else 'pass'} here")
        tripped = None
    left_out = [str(problem) for problem in damaged]
    sides = [found.baseline, *(contrast.candidate for contrast in found.contrasts)]
    diverged = [f"{side.path}: {named_seeds(side.diverged)} diverged" for side in sides if side.diverged]
    return Result(
        tuning.TunedComparison(**vars(found), tuning=tuned) if tuned else found,
        lambda width: (
            tuning.introduced(tuned, as_text([*tables.parts(found), *said], max(width, tables.NARROWEST)), width)
            + (f"\n\n{terms.to_text(width)}" if explain else "")
        ),
        lambda: as_dict(found, way) | added,
        lambda: tables.to_csv(found),
        lambda: as_markdown([*before, *tables.parts(found), *said]) + (f"\n{terms.to_markdown()}" if explain else ""),
        written=f"{directory}: comparison.json, comparison.csv, curves.png, looks.json" + ", interval.png" * bool(way),
        lost=[*dict.fromkeys(options.lost), *lost, *live_page.finished(options, [job.path for job in jobs])],
        remarks=["terms     compare --explain says what every term means"] * new_here,
        tripped=tripped,
        error=failed(left_out if tripped else left_out + diverged),
    )


def question(metric: str = PRIMARY, min_effect: str | None = None, fail_if: Sequence[str] = ()) -> Question:
    """Read the options of `compare`. Raises `Refused` for an unknown metric, a bad margin or a bad gate."""
    if metric not in METRICS:
        raise Refused(Problem("command line", "--metric", comparisons.unknown_metric(metric), metric))
    margin = None if min_effect is None else amount(min_effect, metric, "--min-effect")
    return Question(metric, margin, parse_gates(fail_if, metric))


def metric_of(jobs: Sequence[Target]) -> str:
    """Return the metric that is judged unless one is named: test accuracy, or the first one that all logs have."""
    logs = [runs.load(job.path) for job in jobs if isinstance(job, Imported)]
    return next((key for key, metric in METRICS.items() if all(metric.finite(run) for run in logs)), PRIMARY)


def amount(text: str, metric: str, option: str) -> float:
    """Return a difference of `metric`, such as "0.1pp", in its stored unit. Raises `Refused`, naming the option."""
    percent = METRICS[metric].unit == "%"
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(pp)?", text, re.ASCII)
    if match is None or bool(match[2]) != percent:
        reason = f"must be a number{' with pp, such as 0.1pp' if percent else ' without a unit, such as 0.01'}"
        raise Refused(Problem("command line", option, reason, text))
    return float(match[1]) / (100 if percent else 1)


def check_alike(jobs: Sequence[Target], options: Options) -> None:
    """Refuse, before anything is trained, runs that cannot be compared: other data, or another split of them."""
    first, *others = jobs
    flat, problems = configs.flatten(first.config), []
    for job in others:
        own = configs.flatten(job.config)
        if not same_data(first, job, options):
            reason = f"must be {flat['data.dataset']} as in {first.path}, or hold the same data"
            problems.append(Problem(str(job.path), "data.dataset", f"{reason}, {COMPARED}", own["data.dataset"]))
        for key in comparisons.MUST_AGREE:
            if UNKNOWN not in (own[key], flat[key]) and own[key] != flat[key]:
                problems.append(
                    Problem(str(job.path), key, f"must be {flat[key]} as in {first.path}, {COMPARED}", own[key])
                )
    finished = [runs.load(job.path) for job in jobs if (job.path / "summary.json").exists()] if not problems else []
    for run in finished[1:]:
        problems += comparisons.unlike(finished[0], run)
    if problems:
        raise Refused(*problems)


def same_data(one: Target, other: Target, options: Options) -> bool:
    """Say whether two runs are or will be on the same data; two files may hold the same, and a log does not tell.

    Whether one data set has changed since a run was made is asked when the runs are planned.
    """
    if not (isinstance(one, Job) and isinstance(other, Job)):
        return True
    named = [job.config.data.dataset for job in (one, other)]
    places = [data.located(name) for name in named]
    if places[0] == places[1] or data.DATASETS.keys() >= {*named}:
        return places[0] == places[1]
    digests = [
        made_on(job.path) or data.sha256_now(job.config.data.dataset, options.data, job.config.data.parts)
        for job in (one, other)
    ]
    return None in digests or digests[0] == digests[1]  # what is missing or bad is refused before it trains


def write(
    jobs: Sequence[Target],
    asked: Question,
    directory: Path,
    looks: Looks,
    note: Callable[[str], None],
    seeds: Sequence[int] | None = None,
    way: Way | None = None,
    confirms: bool = False,
) -> tuple[Comparison, list[str]]:
    """Compare the finished runs of `jobs` (on `seeds`, if given) and write their files.

    If seeds were added until it was decided, `way` says how, and each run is compared on the seeds that it has there.
    These are comparison.json, comparison.csv, curves.png and looks.json, which is a copy of what `looks` remembers
    of these pairs, this look included. Returns the comparison and a line for each file that could not be written; a
    picture that is missing is noted, and a look that cannot be remembered.
    """
    loaded = each(jobs, lambda job: runs.load(job.path))
    if way:
        loaded = [run.only(job.config.seeds) for run, job in zip(loaded, way.jobs, strict=True)]
    elif seeds:
        loaded = [run.only(seeds) for run in loaded]
    loaded = runs.told_apart(loaded)
    result = comparisons.compare(
        loaded,
        metric=asked.metric,
        min_effect=asked.min_effect,
        looks=looks,
        sequential=way is not None,
        confirms=confirms,
        tuned=asked.tuned,
    )
    remembered = comparisons.remember(result, loaded, looks, {gate.metric for gate in asked.gates if gate.judges})

    def files() -> None:
        make_directory(directory)
        atomic_write(directory / "comparison.json", as_json(as_dict(result, way)).encode())
        atomic_write(directory / "comparison.csv", tables.to_csv(result).encode(errors="backslashreplace"))
        atomic_write(directory / "looks.json", as_json(remembered).encode())

    lost, missing = unwritten(directory, files), [*looks.lost]
    if not lost:
        missing += undrawn(directory / "curves.png", lambda plots: plots.comparison(loaded))
        if way:
            looked = {name: [(look.seeds, look.low, look.high) for look in path] for name, path in way.paths.items()}
            narrowing = (looked, result.metric, result.min_effect)
            missing += undrawn(directory / "interval.png", lambda plots: plots.narrowing(*narrowing))
    for line in missing:
        note(line)
    return result, lost


def as_dict(found: Comparison, way: Way | None) -> dict[str, Any]:
    """Return a comparison as plain data, with how the interval narrowed, if seeds were added until it was decided."""
    return tables.to_json_dict(found) | (way.to_json_dict() if way else {})


def comparison_directory(jobs: Sequence[Target], options: Options) -> Path:
    """Return where the comparison of `jobs` is written: <runs>/_comparisons/<a>-vs-<b>."""
    labels = [names.label(job.path, options) for job in jobs]
    name, unclear = VERSUS.join(labels), any(VERSUS in label for label in labels)
    if unclear or len(name) > LONGEST:
        digest = sha256(("\n" if unclear else VERSUS).join(labels).encode(errors="backslashreplace"))[:12]
        name = shortened(name, digest, LONGEST + len(digest) + 1)
    return names.inside(options.runs, options.runs / FOLDER / name)
