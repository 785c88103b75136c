"""What the commands do, as functions: bring runs up to date, then read them. Nothing here prints a result.

The half that trains and the half that reads meet here; heavy modules are imported when their turn comes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab import config as configs
from dropout_lab import devices, progress, runs
from dropout_lab.comparison import unknown_metric
from dropout_lab.config import Config
from dropout_lab.data import DATASETS
from dropout_lab.errors import Failed, Problem, Refused
from dropout_lab.gate import Gate, parse_gate
from dropout_lab.metrics import METRICS
from dropout_lab.recording import Job, set_aside
from dropout_lab.runs import Run
from dropout_lab.storage import atomic_write
from dropout_lab.sweep import Sweep
from dropout_lab.wording import shown_seeds

if TYPE_CHECKING:
    from dropout_lab.comparison import Comparison
    from dropout_lab.sweep_table import SweepTable

SMOKE_IMAGES = 2000
COMPARISONS = "_comparisons"  # the folder in the runs directory for what `compare` writes


@dataclass(frozen=True)
class Options:
    """What every command that trains is told: where runs and data live, the device, processes, how much to say."""

    runs: Path
    data: Path
    device: str | None = None
    jobs: int = 1
    quiet: bool = False
    fail_fast: bool = False


def adjusted(
    config: Config, *, seeds: Sequence[int] | None = None, name: str | None = None, device: str | None = None
) -> Config:
    """Return the config as the command line's options change it, checked again."""
    options = {"seeds": seeds and list(seeds), "name": name, "device": device}
    changes = {key: value for key, value in options.items() if value is not None}
    return _resolved(config.model_dump(mode="json") | changes) if changes else config


def smoke(config: Config) -> Config:
    """Return the config made small enough for a CI job: 1 epoch, 2 seeds, at most 2,000 training images, own name."""
    mapping = config.model_dump(mode="json")
    mapping |= {"name": f"{config.name[:58]}-smoke", "seeds": [0, 1]}
    mapping["training"]["epochs"] = 1
    known = DATASETS.get(config.data.dataset)
    if known and known.train_count * (1 - config.data.validation_fraction) > SMOKE_IMAGES:
        mapping["data"]["train_size"] = min(config.data.train_size or SMOKE_IMAGES, SMOKE_IMAGES)
    return _resolved(mapping)


def _resolved(mapping: Mapping[str, Any]) -> Config:
    return configs.resolve(mapping, where="command line", name=mapping["name"])


def target(text: str, options: Options) -> Job:
    """Return the job that `text` names: a config file, a run directory, or the name of a run in the runs directory.

    Raises `Refused`, with the nearest names, where there is no such thing.
    """
    path = Path(text)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        config = configs.load(path)
        return Job(options.runs / config.name, config)
    for directory in (path, options.runs / path):
        if runs.is_run(directory):
            return Job(directory, configs.load(directory / "config.yaml", check_files=False))
    known = [str(run.relative_to(options.runs)) for run in runs.find(options.runs)]
    known += [str(file) for file in Path("configs").glob("*.yaml")]
    by_stem = {Path(name).stem: name for name in known} | {name: name for name in known}
    near = get_close_matches(text, by_stem, n=1)
    hint = f", did you mean {by_stem[near[0]]}?" if near else f"; `dropout-lab list` shows those in {options.runs}"
    raise Refused(Problem("command line", "run", f"no run and no config file has this name{hint}", text))


def bring_up_to_date(jobs: Sequence[Job], options: Options) -> list[Run]:
    """Train what `jobs` lack, draw each run's curves, and return the finished runs in the order of the jobs.

    Raises `Failed`, after everything else is done, naming what could not be trained.
    """
    for job in jobs:
        devices.check(options.device or job.config.device)
    failures = train_missing(jobs, options) if any(job.missing() for job in jobs) else []
    finished = [runs.load(job.path) for job in jobs if (job.path / "summary.json").exists()]
    draw_curves([run for run in finished if not (run.path / "curves.png").exists()])
    if failures:
        raise Failed("\n".join(failures))
    return finished


def train_missing(jobs: Sequence[Job], options: Options) -> list[str]:
    """Train the seeds that `jobs` lack and show how it goes; return a line for each thing that failed."""
    from dropout_lab import execution

    epochs = sum(len(job.missing()) * job.config.training.epochs for job in jobs)
    device = execution.choose_device(options.device or jobs[0].config.device)
    settings = execution.Settings(options.data, device, options.jobs)
    failures = []
    with progress.shown(epochs, options.quiet) as show:
        for event in execution.execute(jobs, settings):
            show(event)
            if isinstance(event, execution.SeedDone):
                (event.task.job.path / "curves.png").unlink(missing_ok=True)  # drawn anew when the run is complete
            elif isinstance(event, execution.UnitFailed):
                names = ", ".join(f"{task.job.path} seed {task.seed}" for task in event.unit)
                failures.append(f"{names}: {event.reason}")
                progress.say(f"dropout-lab: failed: {failures[-1]}")
                if options.fail_fast:
                    break
    return failures


def draw_curves(finished: Collection[Run]) -> None:
    """Draw curves.png of each run."""
    if finished:
        from dropout_lab import plots

        for run in finished:
            plots.save(plots.curves(run), run.path / "curves.png")


def plan_line(job: Job, fresh: bool = False) -> str:
    """Return one line of a plan: the run, its network, its dropout, and what is left to do."""
    config, dropout = job.config, job.config.dropout
    missing = config.seeds if fresh and runs.is_run(job.path) else job.missing()
    rate = str(dropout.rate) if isinstance(dropout.rate, float | int) else str(list(dropout.rate))
    words = [
        str(job.path),
        f"{config.data.dataset} {'-'.join(map(str, config.network.hidden)) or 'no hidden layer'}",
        f"{dropout.kind} {rate} {dropout.placement}" if any(config.rates) else "no dropout",
        f"{config.training.epochs} epochs",
        f"seeds {shown_seeds(config.seeds)}" + (f" ({len(missing)} to train)" if missing else " (all finished)"),
    ]
    return "  " + "  ".join(words)


def redraw(jobs: Sequence[Job], options: Options) -> list[Path]:
    """Draw the curves of finished runs anew, and their comparison where there are several; return the pictures."""
    from dropout_lab import plots

    loaded = [runs.load(job.path) for job in jobs]
    draw_curves(loaded)
    pictures = [run.path / "curves.png" for run in loaded]
    if len(loaded) > 1:
        directory = comparison_directory(jobs, options)
        make_directory(directory)
        plots.save(plots.comparison(loaded), directory / "curves.png")
        pictures.append(directory / "curves.png")
    return pictures


def init(name: str) -> list[Path]:
    """Write <name>.yaml and the schema beside it; return both. Raises `Refused` where the config exists already."""
    if not configs.RUN_NAME.fullmatch(name):
        reason = "must be 1 to 64 of A-Z a-z 0-9 . _ - with a letter or digit first"
        raise Refused(Problem("command line", "name", reason, name))
    config, schema = Path(f"{name.removesuffix('.yaml')}.yaml"), Path("dropout-lab.schema.json")
    if config.exists():
        raise Refused(Problem(str(config), "file", "exists already; choose another name", name))
    atomic_write(schema, as_json(configs.json_schema()).encode())
    atomic_write(config, configs.commented_yaml(config.stem).encode())
    return [config, schema]


def renew(job: Job) -> Path | None:
    """Move the run directory of `job` aside (--fresh); return where it went, None where there was none."""
    return set_aside(job.path) if runs.is_run(job.path) else None


# Comparisons


@dataclass(frozen=True)
class Question:
    """What a comparison is to answer: the primary metric, the margin in its stored unit, and a gate."""

    metric: str
    min_effect: float
    gate: Gate | None


def question(metric: str, min_effect: str | None, fail_if: str | None) -> Question:
    """Return the question that the options ask; the margin is 0.1 pp for a metric in percent, else 0.

    Raises `Refused` for an unknown metric, a margin or a gate that is not written as documented.
    """
    if metric not in METRICS:
        raise Refused(Problem("command line", "--metric", unknown_metric(metric), metric))
    percent = METRICS[metric].unit == "%"
    text = min_effect if min_effect is not None else "0.1pp" if percent else "0"
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(pp)?", text, re.ASCII)
    if match is None or bool(match[2]) != percent:
        reason = f"must be a number{' with pp, such as 0.1pp' if percent else ' without a unit, such as 0.01'}"
        raise Refused(Problem("command line", "--min-effect", reason, text))
    return Question(metric, float(match[1]) / (100 if percent else 1), parse_gate(fail_if) if fail_if else None)


@dataclass(frozen=True)
class Answer:
    """A comparison, where its files are, and why its gate tripped, if it did."""

    comparison: Comparison
    directory: Path
    tripped: str | None


def check_comparable(jobs: Sequence[Job]) -> None:
    """Refuse, before anything is trained, fewer than two runs, or the same run twice."""
    if len(jobs) < 2:
        raise Refused(Problem("command line", "runs", "must be two or more", len(jobs)))
    paths = [job.path.resolve() for job in jobs]
    for at, (job, path) in enumerate(zip(jobs, paths, strict=True)):
        if path in paths[:at]:
            raise Refused(Problem("command line", "runs", "must be different ones", str(job.path)))


def compare(jobs: Sequence[Job], question: Question, directory: Path, seeds: Sequence[int] | None) -> Answer:
    """Compare the finished runs of `jobs` (on `seeds`, if given) and write comparison.json, .csv and curves.png."""
    from dropout_lab import comparison, plots, tables

    loaded = [runs.load(job.path) for job in jobs]
    loaded = [run.only(seeds) for run in loaded] if seeds else loaded
    result = comparison.compare(loaded, metric=question.metric, min_effect=question.min_effect)
    make_directory(directory)
    atomic_write(directory / "comparison.json", as_json(tables.to_json_dict(result)).encode())
    atomic_write(directory / "comparison.csv", tables.to_csv(result).encode())
    plots.save(plots.comparison(loaded), directory / "curves.png")
    return Answer(result, directory, question.gate.trips(result) if question.gate else None)


def comparison_directory(jobs: Sequence[Job], options: Options) -> Path:
    """Return where the comparison of `jobs` is written: <runs>/_comparisons/<a>-vs-<b>."""
    return options.runs / COMPARISONS / "-vs-".join(job.path.name for job in jobs)[:200]


# Sweeps


def sweep_jobs(sweep: Sweep, options: Options) -> list[Job]:
    """Return a job for each run of a sweep; raises `Refused` where the sweep's directory is something else."""
    directory = options.runs / sweep.name
    if directory.exists() and not (directory / "sweep.yaml").is_file():
        raise Refused(Problem(str(directory), "name", "exists and is not a sweep; use --name", sweep.name))
    return [Job(directory / member.name, member.config) for member in sweep.members]


def judge_sweep(sweep: Sweep, options: Options) -> SweepTable:
    """Read the finished runs of a sweep, choose on validation, and write sweep.csv and sweep.png."""
    from dropout_lab import plots, sweep_table

    directory = options.runs / sweep.name
    members = [member for member in sweep.members if (directory / member.name / "summary.json").exists()]
    asked = {member.name: runs.load(directory / member.name).only(member.config.seeds) for member in members}
    table = sweep_table.judge(sweep, asked)
    atomic_write(directory / "sweep.csv", sweep_table.to_csv(table).encode())
    if asked:
        key, points = sweep_table.points(table)
        figure = plots.sweep(points, sweep_table.chosen_point(table), setting=key, name=sweep.name)
        plots.save(figure, directory / "sweep.png")
    return table


def confirmation(table: SweepTable, options: Options) -> tuple[list[Job], tuple[int, ...]]:
    """Return the jobs that train the chosen run and its baseline on fresh seeds, as many as before, and these seeds.

    No jobs where the choice is the baseline, or where there is none.
    """
    chosen = table.chosen and table.chosen.member
    if not chosen or chosen.baseline is None or chosen.is_baseline:
        return [], ()
    seeds = chosen.config.seeds
    fresh = tuple(range(max(seeds) + 1, max(seeds) + 1 + len(seeds)))
    pair = table.sweep.member(chosen.baseline), chosen
    directory = options.runs / table.sweep.name
    return [Job(directory / member.name, adjusted(member.config, seeds=fresh)) for member in pair], fresh


def write_sweep(sweep: Sweep, options: Options) -> None:
    """Write sweep.yaml: what was asked for, which makes the directory a sweep."""
    directory = options.runs / sweep.name
    make_directory(directory)
    atomic_write(directory / "sweep.yaml", sweep.to_yaml().encode())


# Files and JSON


def make_directory(path: Path) -> None:
    """Create a directory and those above it. Raises `Failed` where the file system refuses."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(f"{path}: cannot be created: {error.strerror}") from error


def as_json(value: Mapping[str, Any]) -> str:
    """Return JSON text with a last newline; NaN and infinities must have become null before."""
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
