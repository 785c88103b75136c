"""The command line: parse, call one library function, print. Results go to stdout, everything else to stderr.

Heavy modules are imported inside commands, so that help and refusals come at once.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from dropout_lab import __version__
from dropout_lab.errors import Failed, LabError, Problem, Refused, printable

if TYPE_CHECKING:
    from dropout_lab.laboratory import Options
    from dropout_lab.recording import Job
    from dropout_lab.runs import Run
    from dropout_lab.sweep_table import SweepTable

app = typer.Typer(
    help="What does dropout do to this network, on this data, and can we trust the answer?",
    epilog="Start with:  dropout-lab compare configs/digits-baseline.yaml configs/digits-dropout.yaml --seeds 5",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Fetch, verify or locate the data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

# Options that several commands share

RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="DROPOUT_LAB_RUNS", help="Where runs are kept.", metavar="DIR")
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where data sets are kept; else DROPOUT_LAB_DATA, else the cache.", metavar="DIR"),
]
Seeds = Annotated[str | None, typer.Option(help="5 (means 0..4), 0..4, or 0,3,7.", metavar="SEEDS")]
Name = Annotated[str | None, typer.Option(help="Name of the run; default: the config's.", metavar="NAME")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: the config's.", metavar="DEVICE")]
Smoke = Annotated[bool, typer.Option("--smoke", help="For CI: 2 seeds, 1 epoch, at most 2,000 training images.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Move an existing run of this name aside and start anew.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No plan and no progress.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="KEY=VALUE, such as training.epochs=3", metavar="KEY=VALUE")
]
RUNS = Path("runs")
SMOKE = "smoke run: no statistical verdict"


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """What does dropout do to this network, on this data, and can we trust the answer?"""
    if version:
        print(f"dropout-lab {__version__}")
        raise typer.Exit()


@app.command(epilog="Example:  dropout-lab train configs/mnist-dropout.yaml training.epochs=3 --seeds 5")
def train(
    config: Annotated[Path, typer.Argument(help="The run's YAML config.", metavar="CONFIG")],
    overrides: Overrides = None,
    seeds: Seeds = None,
    name: Name = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    smoke: Smoke = False,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one run: a config with one or more seeds. What is finished is skipped, what was interrupted goes on."""
    from dropout_lab import config as configs
    from dropout_lab import laboratory, listing
    from dropout_lab.recording import Job

    options = _options(runs_dir, data_dir, device, quiet=quiet)
    loaded = configs.load(config, overrides or ())
    loaded = laboratory.smoke(loaded) if smoke else loaded
    loaded = laboratory.adjusted(loaded, seeds=_seeds(seeds), name=name, device=device)
    job = Job(runs_dir / loaded.name, loaded)
    (run,) = _bring_up_to_date([job], options, fresh=fresh, dry_run=dry_run)
    _print(laboratory.as_json(listing.run_as_dict(run)) if as_json else listing.run_as_text(run))
    _step_summary(listing.run_as_markdown(run))
    if smoke:
        _say(SMOKE, stdout=not as_json)
    if diverged := run.diverged:
        raise Failed(f"{run.path}: seed {', '.join(map(str, diverged))} diverged; try a smaller training.learning_rate")


@app.command(
    epilog="Example:  dropout-lab compare configs/digits-baseline.yaml configs/digits-dropout.yaml --seeds 5\n\n"
    'A gate for CI:  --fail-if "test_accuracy: drop > 0.2pp" (exit code 3 when it trips, results first).'
)
def compare(
    targets: Annotated[list[str], typer.Argument(help="Run directory, run name, or config.", metavar="A B [C ...]")],
    seeds: Seeds = None,
    metric: Annotated[str, typer.Option(help="What the verdict is about.")] = "test_accuracy",
    min_effect: Annotated[
        str | None, typer.Option(help="Smallest difference that matters; default 0.1pp.", metavar="0.1pp")
    ] = None,
    fail_if: Annotated[str | None, typer.Option(help='Such as "test_accuracy: drop > 0.2pp".', metavar="EXPR")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write CSV, JSON and picture.", metavar="DIR")] = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    smoke: Smoke = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the result as CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--md", help="Print the result as Markdown.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare runs over paired seeds; the first is the baseline. Configs without a finished run are trained first."""
    from dropout_lab import laboratory
    from dropout_lab.recording import Job

    options = _options(runs_dir, data_dir, device, quiet=quiet)
    question, asked = laboratory.question(metric, min_effect, fail_if), _seeds(seeds)
    jobs = [laboratory.target(text, options) for text in targets]
    if smoke:
        jobs = [Job(runs_dir / (small := laboratory.smoke(job.config)).name, small) for job in jobs]
    jobs = [Job(job.path, laboratory.adjusted(job.config, seeds=asked, device=device)) for job in jobs]
    laboratory.check_comparable(jobs)
    _bring_up_to_date(jobs, options, dry_run=dry_run)
    answer = laboratory.compare(jobs, question, out or laboratory.comparison_directory(jobs, options), asked)

    from dropout_lab import tables

    comparison = answer.comparison
    if as_json:
        _print(laboratory.as_json(tables.to_json_dict(comparison)))
    elif as_csv:
        _print(tables.to_csv(comparison))
    elif as_markdown:
        _print(tables.to_markdown(comparison))
    else:
        _print(tables.to_text(comparison, _width()))
    _step_summary(tables.to_markdown(comparison))
    if smoke:
        _say(SMOKE, stdout=not (as_json or as_csv or as_markdown))
    _say(f"written   {answer.directory}: comparison.json, comparison.csv, curves.png")
    if answer.tripped:
        _say(f"dropout-lab: gate: {answer.tripped}")
        raise typer.Exit(3)


@app.command(
    epilog="Example:  dropout-lab sweep --rates 0.1..0.5 --seeds 3\n\n"
    "          dropout-lab sweep configs/digits-dropout.yaml --rates 0..0.8:0.2 --vary network.hidden=[64],[256]"
)
def sweep(
    config: Annotated[Path | None, typer.Argument(help="Default: the article's network.", metavar="[CONFIG]")] = None,
    rates: Annotated[str | None, typer.Option(help="0.1..0.5, 0..0.5:0.05, or 0,0.2..0.5.", metavar="RATES")] = None,
    vary: Annotated[
        list[str] | None, typer.Option(help="A setting to vary as well; repeatable.", metavar="KEY=V1,V2,..")
    ] = None,
    no_baseline: Annotated[bool, typer.Option("--no-baseline", help="Do not add the run at rate 0.")] = False,
    seeds: Seeds = None,
    jobs: Annotated[int, typer.Option(help="Worker processes.", metavar="N")] = 1,
    name: Name = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    smoke: Smoke = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Then train the chosen run and its baseline on fresh seeds and compare.")
    ] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first run that fails.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one run per rate (and per combination of what else varies) plus the baseline, and compare them."""
    from dropout_lab import config as configs
    from dropout_lab import laboratory
    from dropout_lab import sweep as sweeps

    options = _options(runs_dir, data_dir, device, jobs=jobs, quiet=quiet, fail_fast=fail_fast)
    base = configs.load(config) if config else sweeps.article()
    base = laboratory.smoke(base) if smoke else base
    base = laboratory.adjusted(base, seeds=_seeds(seeds), device=device)
    planned = sweeps.plan(base, rates, vary or (), baseline=not no_baseline, name=name)
    todo = laboratory.sweep_jobs(planned, options)
    failure = None
    try:
        _bring_up_to_date(todo, options, dry_run=dry_run, before=lambda: laboratory.write_sweep(planned, options))
    except Failed as error:
        failure = error  # the others are done: show them first
    table = laboratory.judge_sweep(planned, options)

    from dropout_lab import sweep_table

    _print(laboratory.as_json(sweep_table.to_json_dict(table)) if as_json else sweep_table.to_text(table, _width()))
    _step_summary(sweep_table.to_markdown(table))
    _say(f"written   {options.runs / planned.name}: sweep.csv, sweep.png, sweep.yaml and the run directories")
    if smoke:
        _say(SMOKE, stdout=not as_json)
    if failure:
        raise failure
    if confirm:
        _confirm(table, options)


@app.command(epilog="Example:  dropout-lab plot mnist-baseline mnist-dropout")
def plot(
    targets: Annotated[list[str], typer.Argument(help="Run directories or names.", metavar="RUN...")],
    runs_dir: RunsDir = RUNS,
) -> None:
    """Redraw the pictures of finished runs, and of their comparison where there are several."""
    from dropout_lab import laboratory

    options = _options(runs_dir, None, None)
    for path in laboratory.redraw([laboratory.target(text, options) for text in targets], options):
        _print(str(path))


@app.command(name="list", epilog="Example:  dropout-lab list --runs-dir runs")
def list_(runs_dir: RunsDir = RUNS, as_json: Json = False) -> None:
    """List the runs, newest first, each with a sparkline of its val_loss."""
    from dropout_lab import laboratory, listing

    entries = listing.list_runs(runs_dir)
    if as_json:
        _print(laboratory.as_json({"schema_version": listing.SCHEMA_VERSION, "runs": entries}))
    elif entries:
        _print(listing.list_as_text(entries, _width()))
    else:
        _say(f"no runs in {runs_dir}; make one with `dropout-lab train configs/digits-dropout.yaml`")


@app.command(epilog="Example:  dropout-lab validate configs/mnist-dropout.yaml dropout.rate=0.3")
def validate(
    config: Annotated[Path, typer.Argument(help="The config to check.", metavar="CONFIG")], overrides: Overrides = None
) -> None:
    """Check a config and print what it resolves to, with every default filled in."""
    from dropout_lab import config as configs

    _print(configs.to_yaml(configs.load(config, overrides or ())))


@app.command(epilog="Example:  dropout-lab init my-experiment && dropout-lab train my-experiment.yaml")
def init(name: Annotated[str, typer.Argument(help="Name of the run and of the file.")] = "experiment") -> None:
    """Write NAME.yaml with every key, its default and a comment, and the JSON Schema that it points editors to."""
    from dropout_lab import laboratory

    for path in laboratory.init(name):
        _print(str(path))


@app.command(epilog="Example:  dropout-lab schema > dropout-lab.schema.json")
def schema() -> None:
    """Print the JSON Schema of a config."""
    from dropout_lab import config as configs
    from dropout_lab import laboratory

    _print(laboratory.as_json(configs.json_schema()))


@app.command(epilog="Example:  dropout-lab doctor")
def doctor(runs_dir: RunsDir = RUNS, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check this machine: versions, device, data, disk. Exit code 1 where something would keep runs from working."""
    from dropout_lab import checkup, laboratory

    findings = checkup.examine(_options(runs_dir, data_dir, None))
    _print(laboratory.as_json(checkup.as_dict(findings)) if as_json else checkup.as_text(findings))
    if not all(finding.ok for finding in findings):
        raise Failed("something above needs attention")


DatasetName = Annotated[str, typer.Argument(help="mnist, fashion-mnist, kmnist, digits, or a path to an .npz.")]


@data_app.command(epilog="Example:  dropout-lab data fetch mnist")
def fetch(dataset: DatasetName = "mnist", data_dir: DataDir = None) -> None:
    """Download a data set, verify it, and say where it is."""
    from dropout_lab import data

    _print(str(data.fetch(dataset, data.directory(data_dir))))


@data_app.command(epilog="Example:  dropout-lab data verify mnist --data-dir ~/data")
def verify(dataset: DatasetName = "mnist", data_dir: DataDir = None) -> None:
    """Check every file of a data set: SHA-256, format, length, labels."""
    from dropout_lab import data

    reports = data.verify(dataset, data.directory(data_dir))
    for report in reports:
        _print(f"{report.sha256 or '-':64}  {report.path}  {report.problem or 'ok'}")
    if bad := [
        Problem(str(report.path), "data", report.problem, report.path.name) for report in reports if report.problem
    ]:
        raise Refused(*bad)


@data_app.command(epilog="Example:  dropout-lab data where")
def where(data_dir: DataDir = None) -> None:
    """Print the directory that data sets are kept in."""
    from dropout_lab import data

    _print(str(data.directory(data_dir)))


# What the commands share


def _options(runs_dir: Path, data_dir: Path | None, device: str | None, **more: Any) -> Options:
    from dropout_lab import data
    from dropout_lab.laboratory import Options

    return Options(runs_dir, data.directory(data_dir), device, **more)


def _seeds(text: str | None) -> tuple[int, ...] | None:
    from dropout_lab.ranges import parse_seeds

    return None if text is None else parse_seeds(text)


def _bring_up_to_date(
    jobs: Sequence[Job],
    options: Options,
    *,
    fresh: bool = False,
    dry_run: bool = False,
    before: Callable[[], None] = lambda: None,
) -> list[Run]:
    """Print the plan, stop there for a dry run, else train what is missing; on Ctrl-C say how to go on."""
    from dropout_lab import laboratory

    plan = [laboratory.plan_line(job, fresh) for job in jobs]
    if dry_run:
        _print(f"plan: {len(jobs)} run{'s' * (len(jobs) > 1)}\n" + "\n".join(plan))
        raise typer.Exit()
    if not options.quiet:
        _say(f"plan: {len(jobs)} run{'s' * (len(jobs) > 1)}\n" + "\n".join(plan))
    for job in jobs if fresh else ():
        laboratory.renew(job)
    before()
    try:
        return laboratory.bring_up_to_date(jobs, options)
    except Interrupted:
        command = shlex.join(["dropout-lab", *(word for word in sys.argv[1:] if word != "--fresh")])
        _say(f"\ninterrupted: finished epochs are saved; go on with\n  {command}")
        raise


def _confirm(table: SweepTable, options: Options) -> None:
    """Compare the run that a sweep chose with its baseline, on seeds that the choice has not seen."""
    from dropout_lab import laboratory, tables

    jobs, fresh = laboratory.confirmation(table, options)
    if not jobs:
        _say("nothing to confirm: the choice is the baseline, or there is none")
        return
    _bring_up_to_date(jobs, options)
    answer = laboratory.compare(
        jobs, laboratory.question("test_accuracy", None, None), options.runs / table.sweep.name / "_confirm", fresh
    )
    _print("\n" + tables.to_text(answer.comparison, _width()))


def _print(text: str) -> None:
    """Write a result to stdout."""
    print(text.removesuffix("\n"))


def _say(text: str, *, stdout: bool = False) -> None:
    """Write anything that is not a result, to stderr unless it belongs to the result."""
    print(text, file=sys.stdout if stdout else sys.stderr, flush=True)


def _width() -> int:
    """Return the columns to write in: the terminal's, at most 100; 100 where there is none."""
    return min(100, shutil.get_terminal_size((100, 24)).columns)


def _step_summary(markdown: str) -> None:
    """Append to the summary page of a GitHub job, where there is one."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(markdown + "\n")


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; `number` is the signal's. Not an error: nothing that handles errors may catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Let the command save and stop; the next signal stops it at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Interrupted(number)


def main() -> None:
    """Run the command line and exit with the codes of the contract (0, 1, 2, 3, 130, 143)."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(_run())


def _run() -> int:
    try:
        return int(app(standalone_mode=False) or 0)
    except LabError as error:
        for line in str(error).splitlines():
            _say(f"dropout-lab: error: {line}")
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error)
    except Interrupted as interrupted:
        return 128 + interrupted.number
    except BrokenPipeError:  # whoever read our output has gone, as in `dropout-lab list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _usage(error: typer.TyperException) -> int:
    """Say what was wrong with the command line, in the form of every other refusal."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        _say(error.format_message())
        return 2
    param = getattr(error, "param", None)
    key = getattr(error, "option_name", None) or (param.opts[0] if param else "command")
    reason = f"{error.format_message().rstrip('.')}; see {context.command_path if context else 'dropout-lab'} --help"
    _say(f"dropout-lab: error: {Problem('command line', key, printable(reason), shlex.join(sys.argv[1:]))}")
    return 2
