"""What the commands do, as functions: bring runs up to date, then read them. Nothing here prints a result.

The half that trains and the half that reads meet here; heavy modules are imported when their turn comes.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from dropout_lab import comparison as comparisons
from dropout_lab import config as configs
from dropout_lab import data, devices, progress, runs, schedule, tables, terminal, tracking
from dropout_lab import export as exports
from dropout_lab.errors import Problem, Refused
from dropout_lab.gate import Gate, parse_gate
from dropout_lab.metrics import METRICS
from dropout_lab.recording import Job, set_aside
from dropout_lab.runs import Run
from dropout_lab.storage import atomic_write, make_directory, sha256
from dropout_lab.sweeps import Member, Sweep
from dropout_lab.targets import Options, check_directory, each, overrides, targets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dropout_lab.evaluation import Evaluation
    from dropout_lab.execution import Event
    from dropout_lab.export import Exported
    from dropout_lab.reproduction import Judged
    from dropout_lab.sweep_table import SweepTable

COMPARISONS = "_comparisons"  # the folder in the runs directory for what `compare` writes
EVALUATIONS = "_evaluations"  # that for what `evaluate` writes
LONGEST = 200  # characters of the names in the name of a comparison


# Training


class Step(NamedTuple):
    """One line of a plan: a job, and the seeds to train for it."""

    job: Job
    missing: tuple[int, ...]


def plan(jobs: Sequence[Job], options: Options, *, fresh: bool = False) -> list[Step]:
    """Return the jobs, each with the seeds that it lacks (all, if `fresh` and the run exists); changes nothing.

    Raises `Refused` where a run has another config, or there is no such device as is asked for.
    """
    steps = each(jobs, lambda job: Step(job, job.config.seeds if fresh and runs.is_run(job.path) else job.missing()))
    wanted = dict.fromkeys(step.job.config.device for step in steps if step.missing or options.device)
    check = options.cluster.device if options.cluster else devices.check
    each(wanted, lambda device: check(device, "command line" if options.device else "config"))
    return steps


def carry_out(steps: Sequence[Step], options: Options, *, fresh: bool = False, sweep: Sweep | None = None) -> list[str]:
    """Train what is missing, draw the curves of what is finished, and return a line for each failure.

    With `fresh` existing runs are moved aside first; a sweep is written down first, which makes its directory one.
    Raises `Refused`, before anything is changed, where the data are missing or bad.
    """
    failures: list[str] = []
    notice_other_data((job for job, missing in steps if not missing), options.note)
    if todo := [step for step in steps if step.missing]:
        work = prepare(todo, options)
        if sweep:
            make_directory(options.runs / sweep.name)
            atomic_write(options.runs / sweep.name / "sweep.yaml", sweep.to_yaml().encode())
        for job, _ in todo if fresh else ():
            if runs.is_run(job.path):
                set_aside(job.path)
        epochs = {job.path: len(missing) * job.config.training.epochs for job, missing in todo}
        watching = progress.shown(sum(epochs.values()), options.quiet, epochs), tracking.tracked(options.track)
        with watching[0] as show, watching[1] as track, contextlib.closing(work):
            for event in work:
                show(event)
                track(event)
                failures += heed(event, options.note)
                if failures and options.fail_fast:
                    break
    finished = [runs.load(job.path) for job, _ in steps if (job.path / "summary.json").exists()]
    draw_curves(run for run in finished if not (run.path / "curves.png").exists())
    for run in finished if options.track else ():
        tracking.complete(run)
    return failures


def notice_other_data(finished: Iterable[Job], note: Callable[[str], None]) -> None:
    """Note of which finished runs the own data, an .npz file, are no longer those that they were trained on."""
    for job in finished:
        dataset = job.config.data.dataset
        if dataset not in data.DATASETS and Path(dataset).is_file():
            (report,) = data.verify(dataset, Path())[:1]
            if report.sha256 != runs.load(job.path).summary["data_sha256"]:
                note(f"{job.path}: {dataset} has changed since; --fresh trains on what it is now")


def prepare(todo: Sequence[Step], options: Options) -> Generator[Event, None, None]:
    """Return the work, which is done as its events are asked for. Refuses bad data, and changes nothing before that."""
    each(dict.fromkeys(job.config.data.dataset for job, _ in todo), lambda name: data.check(name, options.data))
    from dropout_lab import execution

    parts = []
    choose = options.cluster.device if options.cluster else execution.choose_device
    for device, steps in by_device(todo, choose).items():
        how = layout(steps, device, options)
        lanes = how.lanes if options.cluster else options.lanes
        settings = execution.Settings(options.data, device, how.processes, lanes, options.cluster)
        parts.append(([job for job, _ in steps], settings))
    for jobs, settings in parts:
        execution.Writers([(schedule.Task(job, 0),) for job in jobs], settings)
    return (event for jobs, settings in parts for event in execution.execute(jobs, settings))


def layouts(steps: Sequence[Step], options: Options) -> dict[str, schedule.Layout]:
    """Return how the steps will be carried out, by device; refuses what does not fit into memory. No torch."""
    todo = [step for step in steps if step.missing]
    choose = options.cluster.device if options.cluster else devices.likely
    return {device: layout(own, device, options) for device, own in by_device(todo, choose).items()}


def by_device(steps: Sequence[Step], choose: Callable[[str], str]) -> dict[str, list[Step]]:
    """Return the steps by the device that each will use."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(choose(step.job.config.device), []).append(step)
    return found


def layout(steps: Sequence[Step], device: str, options: Options) -> schedule.Layout:
    """Return how the steps will be carried out on one device."""
    wanted = [(job.config, len(missing)) for job, missing in steps]
    if options.cluster:
        return options.cluster.layout(wanted, device, options.lanes)
    return schedule.layout(wanted, device, options.jobs, options.lanes)


def heed(event: Event, note: Callable[[str], None]) -> list[str]:
    """Do what an event asks for beside being counted, and return a line if it is a failure."""
    from dropout_lab import execution

    if isinstance(event, execution.SeedDone):
        (event.task.job.path / "curves.png").unlink(missing_ok=True)  # drawn anew when the run is complete
    elif isinstance(event, execution.Noted):
        note(event.text)
    elif isinstance(event, execution.UnitFailed):
        names = ", ".join(f"{task.job.path} seed {task.seed}" for task in event.unit)
        return [f"{names}: {event.reason}"]
    return []


def draw_curves(finished: Iterable[Run]) -> None:
    """Draw curves.png of each run."""
    for run in finished:
        from dropout_lab import plots

        plots.save(plots.curves(run), run.path / "curves.png")


def redraw(names: Sequence[str], options: Options, form: str, style: str, size: str) -> list[Path]:
    """Draw finished runs and sweeps anew, in a format and a look of figures.py; return the pictures.

    Each run has its curves, and several have their comparison; a sweep has its one picture.
    """
    sweeps = {name: path for name in names if (path := sweep_directory(name, options))}
    jobs = targets([name for name in names if name not in sweeps], options, least=0)
    loaded = each(jobs, lambda job: runs.load(job.path))
    swept = dict(zip(sweeps.values(), each(sweeps.values(), recorded_sweep), strict=True))
    from dropout_lab import figures, plots

    with figures.look(style, size):
        pictures = {run.path / "curves": plots.curves(run) for run in loaded}
        if len(loaded) > 1:
            pictures[comparison_directory(jobs, options) / "curves"] = plots.comparison(loaded)
        pictures |= {path / "sweep": draw_sweep(table) for path, table in swept.items()}
        for path, figure in pictures.items():
            make_directory(path.parent)
            plots.save(figure, path.with_suffix(f".{form}"))
    return [path.with_suffix(f".{form}") for path in pictures]


def init(name: str) -> list[Path]:
    """Write <name>.yaml and the schema beside it; return both. Raises `Refused` where the config exists already."""
    name = re.sub(r"\.ya?ml$", "", name)
    if not configs.RUN_NAME.fullmatch(name):
        reason = "must be 1 to 64 of A-Z a-z 0-9 . _ - with a letter or digit first, and no folder"
        raise Refused(Problem("command line", "NAME", reason, name))
    config, schema = Path(f"{name}.yaml"), Path("dropout-lab.schema.json")
    if config.exists():
        raise Refused(Problem(str(config), "file", "exists already; choose another name", name))
    atomic_write(schema, as_json(configs.json_schema()).encode())
    atomic_write(config, configs.commented_yaml(name).encode())
    return [config, schema]


def export(job: Job, target: str) -> Exported:
    """Give a finished run to another program, as `target` says: "mlflow:sqlite:///FILE.db"."""
    path = exports.database(target)
    check_directory("--to", path.parent)
    run = runs.load(job.path)
    draw_curves([run] if not (run.path / "curves.png").exists() else [])
    make_directory(path.parent)
    return exports.to_mlflow(run, path)


# Comparisons


@dataclass(frozen=True)
class Question:
    """What a comparison is asked: the primary metric, the smallest difference that matters, and the gate, if any."""

    metric: str
    min_effect: float  # as stored: 0.001 for 0.1 pp
    gate: Gate | None


@dataclass(frozen=True)
class Answer:
    """A comparison, where its files are, and why its gate tripped, if it did."""

    comparison: comparisons.Comparison
    directory: Path
    tripped: str | None


def question(metric: str = "test_accuracy", min_effect: str | None = None, fail_if: str | None = None) -> Question:
    """Read the options of `compare`. Raises `Refused` for an unknown metric, a bad margin or a bad gate."""
    if metric not in METRICS:
        raise Refused(Problem("command line", "--metric", comparisons.unknown_metric(metric), metric))
    percent = METRICS[metric].unit == "%"
    text = min_effect if min_effect is not None else "0.1pp" if percent else "0"
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(pp)?", text, re.ASCII)
    if match is None or bool(match[2]) != percent:
        reason = f"must be a number{' with pp, such as 0.1pp' if percent else ' without a unit, such as 0.01'}"
        raise Refused(Problem("command line", "--min-effect", reason, text))
    return Question(metric, float(match[1]) / (100 if percent else 1), None if fail_if is None else parse_gate(fail_if))


def check_alike(jobs: Sequence[Job]) -> None:
    """Refuse, before anything is trained, runs that cannot be compared: other data, or another split of them."""
    (path, flat), *others = [(job.path, configs.flatten(job.config)) for job in jobs]
    problems = []
    for other, own in others:
        known = data.DATASETS.keys() >= {flat["data.dataset"], own["data.dataset"]}  # two files may hold the same data
        for key in ("data.dataset",) * known + comparisons.MUST_AGREE:
            if own[key] != flat[key]:
                reason = f"must be {flat[key]} as in {path}, or the runs cannot be compared"
                problems.append(Problem(str(other), key, reason, own[key]))
    finished = [runs.load(job.path) for job in jobs if (job.path / "summary.json").exists()] if not problems else []
    for run in finished[1:]:
        problems += comparisons.unlike(finished[0], run)
    if problems:
        raise Refused(*problems)


def compare(jobs: Sequence[Job], asked: Question, directory: Path, seeds: Sequence[int] | None = None) -> Answer:
    """Compare the finished runs of `jobs` (on `seeds`, if given) and write comparison.json, .csv and curves.png."""
    loaded = each(jobs, lambda job: runs.load(job.path))
    loaded = [run.only(seeds) for run in loaded] if seeds else loaded
    result = comparisons.compare(loaded, metric=asked.metric, min_effect=asked.min_effect)
    from dropout_lab import plots

    make_directory(directory)
    atomic_write(directory / "comparison.json", as_json(tables.to_json_dict(result)).encode())
    atomic_write(directory / "comparison.csv", tables.to_csv(result).encode())
    plots.save(plots.comparison(loaded), directory / "curves.png")
    return Answer(result, directory, asked.gate.trips(result) if asked.gate else None)


def comparison_directory(jobs: Sequence[Job], options: Options) -> Path:
    """Return where the comparison of `jobs` is written: <runs>/_comparisons/<a>-vs-<b>."""
    name = "-vs-".join(label(job.path, options) for job in jobs)
    name = name if len(name) <= LONGEST else f"{name[:LONGEST]}-{sha256(name.encode())[:12]}"
    return options.runs / COMPARISONS / name


def label(path: Path, options: Options) -> str:
    """Return what a run is called in the name of what is made of it: its path in the runs directory, as one name."""
    inside = path.is_relative_to(options.runs)
    return "_".join(path.relative_to(options.runs).parts) if inside else path.resolve().name


# Evaluations


def evaluate(job: Job, samples: int, options: Options) -> tuple[Evaluation, Path]:
    """Evaluate a finished run, and write <runs>/_evaluations/<run>: evaluation.json, images.csv and pictures.

    Raises `Refused` where it is not finished, none of its seeds is, or the data are not those that it was trained on.
    """
    run = runs.load(job.path)
    if len(run.diverged) == len(run.seeds):
        raise Refused(Problem(str(run.path), "seeds", "all diverged: there is no network to evaluate", len(run.seeds)))
    dataset, scale = run.config.data.dataset, run.config.data.scale
    data.check(dataset, options.data)
    of = data.dimensions(dataset)
    if (needed := schedule.TORCH + 4 * 4 * samples * of.test * of.classes * 2) > schedule.available_memory():
        reason = f"needs about {needed / schedule.GIB:.1f} GiB of memory, more than is free; average fewer passes"
        raise Refused(Problem("command line", "--samples", reason, samples))
    loaded = data.load(dataset, scale, options.data)
    if loaded.sha256 != run.summary["data_sha256"]:
        reason = "has changed since the run was trained; --fresh trains on what it is now"
        raise Refused(Problem(str(run.path), dataset, reason, loaded.sha256))
    from dropout_lab import evaluation, evaluation_figures, evaluation_tables, plots

    result = evaluation.evaluate(run, loaded, samples, lambda text: None if options.quiet else terminal.say(text))
    directory = options.runs / EVALUATIONS / label(run.path, options)
    make_directory(directory)
    atomic_write(directory / "evaluation.json", as_json(evaluation_tables.as_dict(result)).encode())
    atomic_write(directory / "images.csv", evaluation_tables.images_csv(result).encode())
    for name, draw in evaluation_figures.FIGURES.items():
        if figure := draw(result):
            plots.save(figure, directory / f"{name}.png")
    return result, directory


# Reports


def write_report(paths: Sequence[Path], options: Options, out: Path) -> list[str]:
    """Write one HTML page about the runs in `paths`, and return a line for each problem that kept one off the page.

    Raises `Refused` where there is no finished and sound run among them.
    """
    from dropout_lab import report

    gathered = report.gather(paths)
    make_directory(out.parent)
    atomic_write(out, report.page(gathered, options.data).encode())
    return [str(problem) for problem in gathered.problems]


# Claims


def write_claims(results: Sequence[Judged], path: Path, command: str) -> None:
    """Write the page of judged claims: HTML, or Markdown with its pictures in images/ beside it, by the suffix."""
    from dropout_lab import claims_page, environment

    facts = [f"`{command}`, {date.today()}, {environment.cpu_model()}, {schedule.cores()} cores."]
    pictures = {judged.claim.id: own for judged in results if (own := claims_page.picture(judged))}
    make_directory(path.parent)
    if path.suffix == ".md":
        names = {id: f"images/claims-{id}.png" for id in pictures}
        make_directory(path.parent / "images")
        for id, name in names.items():
            atomic_write(path.parent / name, pictures[id])
        text = claims_page.as_markdown(results, facts, names)
    else:
        text = claims_page.as_html(results, facts, pictures)
    atomic_write(path, text.encode())


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
    table = sweep_table.judge(
        sweep, {member.name: runs.load(directory / member.name).only(member.config.seeds) for member in members}
    )
    atomic_write(directory / "sweep.csv", sweep_table.to_csv(table).encode())
    if members:
        plots.save(draw_sweep(table), directory / "sweep.png")
    return table


def sweep_directory(name: str, options: Options) -> Path | None:
    """Return the directory of the sweep that `name` names; None where it names none."""
    found = (path for path in (Path(name), options.runs / name) if (path / "sweep.yaml").is_file())
    return next(found, None)


def recorded_sweep(directory: Path) -> SweepTable:
    """Return the table of a sweep, of the runs in sweep.yaml with the seeds that sweep.csv has of each.

    So the seeds of a confirmation stay out of it. Raises `Refused` where one of the files is not what `sweep` writes.
    """
    from dropout_lab import sweep_table

    try:
        planned = yaml.safe_load((directory / "sweep.yaml").read_text())
        seeds: dict[str, list[int]] = {}
        for row in csv.DictReader((directory / "sweep.csv").read_text().splitlines()):
            seeds.setdefault(row["run"], []).append(int(row["seed"]))
        settings = {run["name"]: (dict(run["settings"]), run["baseline"]) for run in planned["runs"]}
        name = str(planned["name"])
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        reason = "must hold sweep.yaml and sweep.csv as `sweep` writes them; run the sweep again"
        raise Refused(Problem(str(directory), "sweep", reason, f"{error}")) from None
    loaded = {run: runs.load(directory / run).only(own) for run, own in seeds.items() if run in settings}
    members = (Member(run, settings[run][0], loaded[run].config, settings[run][1]) for run in loaded)
    return sweep_table.judge(Sweep(name, tuple(members)), loaded)


def draw_sweep(table: SweepTable) -> Figure:
    """Draw a sweep: over two settings as a heat map, else test error and gap against what was swept."""
    from dropout_lab import plots, sweep_table

    if cells := table.grid:
        loaded = {line.member.name: line.run for line in table.lines if line.run}
        return plots.heatmap(cells, loaded, table.chosen.member.name if table.chosen else None, name=table.sweep.name)
    key, points = sweep_table.points(table)
    return plots.sweep(points, sweep_table.chosen_point(table), setting=key, name=table.sweep.name)


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
    changed = [
        configs.resolve(member.config.model_dump(mode="json"), overrides(seeds=fresh), where="config", name=member.name)
        for member in pair
    ]
    return [Job(options.runs / table.sweep.name / config.name, config) for config in changed], fresh


def as_json(value: Mapping[str, Any]) -> str:
    """Return strict JSON text with a last newline; what is not finite becomes null."""
    return json.dumps(tables.plain(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
