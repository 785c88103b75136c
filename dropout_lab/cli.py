"""The command line: parse, call library functions, print. Heavy modules are imported inside commands, so that help and
refusals come at once.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from dropout_lab import __version__, storage, terminal
from dropout_lab.errors import Failed, LabError, Problem, Refused, printable, stop_at
from dropout_lab.terminal import result, say

if TYPE_CHECKING:
    from dropout_lab.commands.names import Options
    from dropout_lab.comparison.compare import Comparison
    from dropout_lab.runs.job import Job
    from dropout_lab.sweeps.judge import SweepTable
    from dropout_lab.sweeps.plan import Sweep

PROGRAM = "dropout-lab"
SMOKE = "smoke run: no statistical verdict"
STOPPING = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def example(*lines: str) -> str:
    """Return the end of a command's help: lines to copy, not wrapped (which is what the backspace says)."""
    return "\b\n" + "\n".join(["Example:", *(f"  dropout-lab {line}" for line in lines)])


app = typer.Typer(
    help="What does dropout do to this network, on this data, and can we trust the answer?",
    epilog=example("compare configs/digits-baseline.yaml configs/digits-dropout.yaml --seeds 5"),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Fetch, verify or locate the data sets.", epilog=example("data where"))
app.add_typer(data_app, name="data")

# Options that several commands share

RunsDir = Annotated[Path, typer.Option(envvar="DROPOUT_LAB_RUNS", help="Where runs are kept.", metavar="DIR")]
DataDir = Annotated[
    Path | None, typer.Option(help="Where data sets are kept; else DROPOUT_LAB_DATA, else the cache.", metavar="DIR")
]
Seeds = Annotated[str | None, typer.Option(help="5 (means 0..4), 0..4, or 0,3,7.", metavar="SEEDS")]
Name = Annotated[str | None, typer.Option(help="Its name; default: the config's.", metavar="NAME")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: the config's.", metavar="DEVICE")]
Smoke = Annotated[bool, typer.Option("--smoke", help="For CI: 2 seeds, 1 epoch, at most 2,000 images.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Track = Annotated[str | None, typer.Option(help="Write events as networks train, for: tensorboard.", metavar="TOOL")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Form = Annotated[Literal["png", "svg", "pdf"], typer.Option("--format", help="Of the pictures.")]
Style = Annotated[Literal["light", "dark"], typer.Option(help="Of the pictures; the dark one is the articles'.")]
Size = Annotated[Literal["page", "slide"], typer.Option(help="Of the pictures; a slide: 13.33 x 7.5 inches.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Such as training.epochs=3.", metavar="KEY=VALUE")]
RUNS = Path("runs")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """What does dropout do to this network, on this data, and can we trust the answer?"""
    if version:
        result(f"{PROGRAM} {__version__}")
        raise typer.Exit()
    _require_command(context)


@data_app.callback(invoke_without_command=True)
def data_root(context: typer.Context) -> None:
    """Fetch, verify or locate the data sets."""
    _require_command(context)


@app.command(epilog=example("train configs/mnist-dropout.yaml training.epochs=3 --seeds 5"))
def train(
    config: Annotated[Path, typer.Argument(help="The run's YAML config.", metavar="CONFIG")],
    overrides: Overrides = None,
    seeds: Seeds = None,
    name: Name = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    track: Track = None,
    smoke: Smoke = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move an existing run of this name aside; start anew.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one run: a config, with one or more seeds.

    What is finished is skipped, what was interrupted goes on.
    """
    from dropout_lab.commands import listing
    from dropout_lab.commands import names as targets
    from dropout_lab.config import resolve as configs
    from dropout_lab.runs import read as runs
    from dropout_lab.runs.job import Job
    from dropout_lab.text import as_markdown, as_text, named_seeds

    options = _options(runs_dir, data_dir, device, quiet=quiet, track=track)
    given = targets.overrides(seeds=_seeds(seeds, smoke), name=name, device=device)
    loaded = configs.load(config, [*(overrides or ()), *given])
    loaded = targets.smoke(loaded) if smoke else loaded
    job = Job(options.runs / loaded.name, loaded)
    stop_at(_train([job], options, fresh=fresh, dry_run=dry_run, as_json=as_json))
    run = runs.load(job.path)
    shown = listing.parts(run)
    result(storage.as_json(listing.run_as_dict(run)) if as_json else as_text(shown, terminal.width()))
    _summarize(as_markdown(shown), smoke, as_data=as_json)
    if run.diverged:
        raise Failed(f"{run.path}: {named_seeds(run.diverged)} diverged; try a smaller training.learning_rate")


@app.command(
    epilog=example(
        "compare configs/digits-baseline.yaml configs/digits-dropout.yaml --seeds 5",
        'compare mnist-baseline mnist-dropout --fail-if "test_accuracy: drop > 0.2pp"',
    )
)
def compare(
    names: Annotated[list[str], typer.Argument(help="Run directory, run name, or config.", metavar="A B [C ...]")],
    seeds: Seeds = None,
    metric: Annotated[str, typer.Option(help="What the verdict is about.", metavar="NAME")] = "test_accuracy",
    min_effect: Annotated[
        str | None, typer.Option(help="Smallest difference that matters; default 0.1pp.", metavar="0.1pp")
    ] = None,
    fail_if: Annotated[
        str | None, typer.Option(help="Exit with 3 where the result is so, written first.", metavar="EXPR")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write CSV, JSON and picture.", metavar="DIR")] = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    track: Track = None,
    smoke: Smoke = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the result as CSV.")] = False,
    markdown: Annotated[bool, typer.Option("--md", help="Print the result as Markdown.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare runs over paired seeds; the first is the baseline.

    Configs without a finished run are trained first. The exit code is 1 where a run is damaged: it is named and left
    out, unless it is the baseline.
    """
    from dropout_lab.commands import compare as comparing
    from dropout_lab.commands import names as targets
    from dropout_lab.comparison import tables
    from dropout_lab.text import as_markdown, named_seeds

    options = _options(runs_dir, data_dir, device, quiet=quiet, track=track)
    if smoke and fail_if is not None:
        raise Refused(Problem("command line", "--fail-if", "must be left out: a smoke run decides nothing", fail_if))
    asked, question = _seeds(seeds, smoke), comparing.question(metric, min_effect, fail_if)
    forms = {"--json": as_json, "--csv": as_csv, "--md": markdown}
    if sum(forms.values()) > 1:
        raise Refused(Problem("command line", " ".join(forms), "must be one of them", shlex.join(sys.argv[1:])))
    if out:
        targets.check_directory("--out", out)
    changes = targets.overrides(seeds=asked, device=device)
    good, damaged = targets.sound(names, options)
    jobs = targets.targets(good, options, changes, least=2, small=smoke)
    comparing.check_alike(jobs)
    stop_at(_train(jobs, options, dry_run=dry_run, as_json=as_json))
    answer = comparing.compare(jobs, question, out or comparing.comparison_directory(jobs, options), asked)
    if as_json:
        result(storage.as_json(tables.to_json_dict(answer.comparison)))
    elif as_csv:
        result(tables.to_csv(answer.comparison))
    elif markdown:
        result(as_markdown(tables.parts(answer.comparison)))
    else:
        result(tables.to_text(answer.comparison, terminal.width()))
    _summarize(as_markdown(tables.parts(answer.comparison)), smoke, as_data=any(forms.values()))
    say(f"written   {answer.directory}: comparison.json, comparison.csv, curves.png")
    left_out = [str(problem) for problem in damaged]
    if answer.tripped:
        _report(Failed("\n".join(left_out)))
        say(f"{PROGRAM}: gate: {answer.tripped}")
        terminal.step_summary(f"**Gate tripped**: {answer.tripped}\n")
        raise typer.Exit(3)
    sides = [answer.comparison.baseline, *(contrast.candidate for contrast in answer.comparison.contrasts)]
    stop_at(left_out + [f"{side.path}: {named_seeds(side.diverged)} diverged" for side in sides if side.diverged])


@app.command(
    epilog=example(
        "sweep --rates 0.1..0.5 --seeds 3",
        "sweep configs/digits-dropout.yaml --rates 0.2,0.5 --vary network.hidden=[64],[256] --jobs 2",
    )
)
def sweep(
    context: typer.Context,
    config: Annotated[Path | None, typer.Argument(help="Default: the article's network.", metavar="CONFIG")] = None,
    rates: Annotated[str | None, typer.Option(help="0.1..0.5, 0..0.5:0.05, or 0,0.2..0.5.", metavar="RATES")] = None,
    vary: Annotated[
        list[str] | None, typer.Option(help="A setting to vary as well; repeatable.", metavar="KEY=V1,V2,..")
    ] = None,
    no_baseline: Annotated[bool, typer.Option("--no-baseline", help="Do not add the run at rate 0.")] = False,
    seeds: Seeds = None,
    jobs: Annotated[
        int | None, typer.Option(help="Worker processes; default: as many as pay.", metavar="N", min=1, max=256)
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Train on a Dask cluster: tcp://host:8786, or local:N.", metavar="ADDRESS")
    ] = None,
    lanes: Annotated[
        int | None,
        typer.Option(help="Networks side by side in each; default: what the cache holds.", metavar="N", min=1, max=256),
    ] = None,
    name: Name = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    track: Track = None,
    smoke: Smoke = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Then train the chosen run and its baseline on fresh seeds; compare.")
    ] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first run that fails.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one run per rate, and the baseline; compare them.

    With --vary, one run per combination. What is chosen is chosen on validation.
    The next commands to type come last.
    """
    from dropout_lab.cluster import join as clusters
    from dropout_lab.commands import names as targets
    from dropout_lab.commands import sweep as sweeping
    from dropout_lab.comparison import tables
    from dropout_lab.config import resolve as configs
    from dropout_lab.sweeps import judge as sweep_table
    from dropout_lab.sweeps import next_steps
    from dropout_lab.sweeps import plan as sweeps
    from dropout_lab.text import as_markdown

    options = _options(
        runs_dir, data_dir, device, jobs=jobs, lanes=lanes, quiet=quiet, fail_fast=fail_fast, track=track
    )
    if cluster is not None:
        clusters.check(cluster)
        if jobs is not None:
            reason = "must be left out with --cluster: its workers train, as many as they have threads"
            raise Refused(Problem("command line", "--jobs", reason, jobs))
    given = targets.overrides(seeds=_seeds(seeds, smoke), name=name, device=device)
    base = configs.load(config, given) if config else sweeps.article(given)
    base = targets.smoke(base) if smoke else base
    planned = sweeps.plan(base, rates, vary or (), name=sweeps.title(base, name), baseline=not no_baseline)
    todo = sweeping.sweep_jobs(planned, options)
    if cluster:
        options = replace(options, cluster=context.with_resource(clusters.joined(cluster)))
    failures = _train(todo, options, dry_run=dry_run, as_json=as_json, sweep=planned)
    table = sweeping.judge_sweep(planned, options)
    if not as_json:
        result(sweep_table.to_text(table, terminal.width()))
    confirmed = _confirm(table, options) if confirm and not failures else None
    if as_json:
        confirmation = {"confirmation": confirmed and tables.to_json_dict(confirmed)}
        result(storage.as_json(sweep_table.to_json_dict(table) | confirmation))
    elif confirmed:
        result("\n" + tables.to_text(confirmed, terminal.width()))
    _summarize(as_markdown(sweep_table.parts(table)), smoke, as_data=as_json)
    say(f"written   {options.runs / planned.name}: sweep.csv, sweep.png, sweep.yaml and the run directories")
    stop_at(failures)
    where = {"--runs-dir": runs_dir if runs_dir != RUNS else None, "--data-dir": data_dir}
    places = [f"{option}={path}" for option, path in where.items() if path]
    for why, command in () if smoke else next_steps.after_sweep(table, [PROGRAM, *sys.argv[1:]], rates, places):
        say(f"next      {why}:\n  {command}")


@app.command(epilog=example("evaluate mnist-dropout --samples 50"))
def evaluate(
    name: Annotated[str, typer.Argument(help="Run directory or name of a finished run.", metavar="RUN")],
    samples: Annotated[int, typer.Option(help="Average up to K passes.", metavar="K", min=1, max=1000)] = 50,
    form: Form = "png",
    style: Style = "light",
    size: Size = "page",
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at a finished run: averaging, uncertainty, features.

    Weight scaling is set beside the mean of passes with dropout on; pictures are drawn.
    """
    from dropout_lab.commands import evaluate as evaluating
    from dropout_lab.commands import names as targets

    options = _options(runs_dir, data_dir, quiet=quiet)
    (job,) = targets.targets([name], options)
    found, directory = evaluating.evaluate(job, samples, options, form, style, size)
    from dropout_lab.evaluation import tables as evaluation_tables
    from dropout_lab.text import as_markdown, as_text

    shown = evaluation_tables.parts(found)
    result(storage.as_json(evaluation_tables.as_dict(found)) if as_json else as_text(shown, terminal.width()))
    terminal.step_summary(as_markdown(shown))
    say(f"written   {directory}: evaluation.json, images.csv and pictures")


@app.command(epilog=example("reproduce --quick", "reproduce S3 P10 --out report.html"))
def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(help="Ids, or articles, theory, papers.", metavar="[CLAIM ...]")
    ] = None,
    list_claims: Annotated[bool, typer.Option("--list", help="List them with their costs, and stop.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only what fits into 5 minutes on 2 cores like ours.")] = False,
    seeds: Seeds = None,
    jobs: Annotated[
        int | None, typer.Option(help="Worker processes; default: as many as pay.", metavar="N", min=1, max=256)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page: .html or .md.", metavar="FILE")] = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run claims of articles and papers, and judge them.

    HOLDS, FAILS or UNDECIDED, with the numbers. Runs are shared, and resumed.
    """
    from dropout_lab.claims import experiment as reproduction
    from dropout_lab.claims.judge import judge
    from dropout_lab.claims.registry import GROUPS
    from dropout_lab.commands import names as targets

    if out:
        targets.check_page("--out", out, (".html", ".md"))
    if out and list_claims:
        raise Refused(
            Problem("command line", "--out", "must be left out with --list: there is nothing to show", str(out))
        )
    numbers = _seeds(seeds, smoke=False)
    wanted = names or ([*GROUPS] if list_claims and not quick else [])
    chosen = reproduction.select(wanted, quick=quick, seeds=len(numbers) if numbers else None)
    if list_claims:
        from dropout_lab.claims import page as claims_page

        speed = reproduction.speed_here()
        if as_json:
            result(storage.as_json(claims_page.listed_as_dict(chosen, speed)))
        else:
            result(claims_page.listed(chosen, terminal.width(), speed))
        return
    options = _options(runs_dir, data_dir, device, jobs=jobs, quiet=quiet)
    experiment = reproduction.plan(chosen, options.runs, numbers, device)
    failures = _train(experiment.jobs, options, dry_run=dry_run, as_json=as_json, sweep=experiment.sweep)
    with _resumable():
        judged = judge(experiment, options.data, (lambda text: None) if quiet else say)
    from dropout_lab.claims import page as claims_page

    result(storage.as_json(claims_page.as_dict(judged)) if as_json else claims_page.as_text(judged, terminal.width()))
    terminal.step_summary(claims_page.as_markdown(judged))
    if out:
        claims_page.write(judged, out, shlex.join([PROGRAM, *sys.argv[1:]]))
        say(f"written   {out}")
    stop_at(failures)


@app.command(
    epilog=example("plot mnist-baseline mnist-dropout", "plot mnist-sweep --format pdf --style dark --size slide")
)
def plot(
    names: Annotated[list[str], typer.Argument(help="Run directories or names.", metavar="RUN...")],
    form: Form = "png",
    style: Style = "light",
    size: Size = "page",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Redraw the pictures of finished runs and sweeps.

    Several runs are drawn together as well.
    """
    from dropout_lab.commands import plot as pictures

    for path in pictures.redraw(names, _options(runs_dir), form, style, size):
        result(str(path))


@app.command(epilog=example("report mnist-baseline mnist-dropout", "report runs/mnist-sweep --out sweep.html"))
def report(
    names: Annotated[list[str], typer.Argument(help="Run or sweep: directory or name.", metavar="PATH...")],
    out: Annotated[Path, typer.Option(help="The page to write.", metavar="FILE")] = Path("report.html"),
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
) -> None:
    """Write one HTML page about runs; the first is the baseline.

    Of a sweep, all finished runs. The page needs no other file and no network. The exit code is 1 where a run could not
    be shown; the page names it, and shows the others.
    """
    from dropout_lab.commands import names as targets

    targets.check_page("--out", out, (".html",))
    options = _options(runs_dir, data_dir)
    directories = targets.recorded(names, options)
    from dropout_lab.report import page as pages

    failures = pages.write(directories, options.data, out)
    say(f"written   {out}")
    stop_at(failures)


@app.command(epilog=example("export mnist-dropout --to mlflow:sqlite:///mlflow.db"))
def export(
    name: Annotated[str, typer.Argument(help="Run directory or name of a finished run.", metavar="RUN")],
    to: Annotated[str, typer.Option(help="Such as mlflow:sqlite:///mlflow.db.", metavar="TARGET")],
    runs_dir: RunsDir = RUNS,
) -> None:
    """Give a finished run to MLflow, one MLflow run per seed.

    What is there already is not added again.
    """
    from dropout_lab.commands import export as exports
    from dropout_lab.commands import names as targets
    from dropout_lab.text import count

    (job,) = targets.targets([name], _options(runs_dir))
    done = exports.export(job, to)
    known = f", {count(len(done.known), 'seed')} there already" if done.known else ""
    result(f"{done.database}: experiment {done.experiment}: {count(len(done.added), 'seed')} added{known}")


@app.command(name="list", epilog=example("list --runs-dir runs"))
def list_(runs_dir: RunsDir = RUNS, as_json: Json = False) -> None:
    """List the runs, newest first, with their val_loss."""
    from dropout_lab.commands import listing

    directory = _options(runs_dir).runs
    entries = listing.list_runs(directory)
    if as_json:
        result(storage.as_json({"schema_version": listing.SCHEMA_VERSION, "runs": entries}))
    elif entries:
        result(listing.list_as_text(entries, terminal.width()))
    else:
        say(f"no runs in {directory}; make one with `dropout-lab train configs/digits-dropout.yaml`")


@app.command(epilog=example("validate configs/mnist-dropout.yaml dropout.rate=0.3"))
def validate(
    config: Annotated[Path, typer.Argument(help="The config to check.", metavar="CONFIG")], overrides: Overrides = None
) -> None:
    """Check a config, and print what it resolves to."""
    from dropout_lab.config import resolve as configs

    result(configs.to_yaml(configs.load(config, overrides or ())))


@app.command(epilog=example("init my-experiment && dropout-lab train my-experiment.yaml"))
def init(
    name: Annotated[str, typer.Argument(help="Name of the run and of the file.", metavar="NAME")] = "experiment",
) -> None:
    """Write NAME.yaml, with every key explained.

    The JSON Schema that it points editors to is written beside it.
    """
    from dropout_lab.config import resolve as configs

    for path in configs.init(name):
        result(str(path))


@app.command(epilog=example("schema > dropout-lab.schema.json"))
def schema() -> None:
    """Print the JSON Schema of a config."""
    from dropout_lab.config import resolve as configs

    result(storage.as_json(configs.json_schema()))


@app.command(epilog=example("doctor"))
def doctor(runs_dir: RunsDir = RUNS, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check this machine: versions, device, data, disk.

    The exit code is 1 where something would keep runs from working.
    """
    from dropout_lab.commands import doctor as checkup

    findings = checkup.examine(_options(runs_dir, data_dir))
    result(storage.as_json(checkup.as_dict(findings)) if as_json else checkup.as_text(findings, terminal.width()))
    if bad := [finding.subject for finding in findings if finding.ok is False]:
        raise Failed(f"{', '.join(bad)}: needs attention, as said above")


@app.command(epilog=example("theory --out pictures"))
def theory(
    out: Annotated[Path | None, typer.Option(help="Where to write the picture.", metavar="DIR")] = None,
    form: Form = "png",
    style: Style = "light",
    size: Size = "page",
    as_json: Json = False,
) -> None:
    """Check what the papers prove, by summing over every mask.

    The exit code is 1 where a theorem fails.
    """
    from dropout_lab.commands import names as targets

    if out:
        targets.check_directory("--out", out)
    from dropout_lab.claims import theory as theorems

    results = theorems.verify_all()
    result(storage.as_json(theorems.as_dict(results)) if as_json else theorems.as_text(results, terminal.width()))
    if out:
        from dropout_lab.claims import theory_figure as theory_figures
        from dropout_lab.figures import plots
        from dropout_lab.figures import style as figures

        storage.make_directory(out)
        with figures.look(style, size):
            plots.save(theory_figures.two_readings(), out / f"theory.{form}")
        say(f"written   {out}: theory.{form}")
    stop_at([f"{checked.id}: {checked.statement}: fails" for checked in results if not checked.holds])


DatasetName = Annotated[
    str, typer.Argument(help="mnist, fashion-mnist, kmnist, digits, or a path to an .npz.", metavar="DATASET")
]


@data_app.command(epilog=example("data fetch mnist"))
def fetch(dataset: DatasetName = "mnist", data_dir: DataDir = None) -> None:
    """Download and verify a data set; say where it is."""
    from dropout_lab.data import datasets as data

    result(str(data.fetch(dataset, data.directory(data_dir))))


@data_app.command(epilog=example("data verify mnist --data-dir ~/data"))
def verify(dataset: DatasetName = "mnist", data_dir: DataDir = None) -> None:
    """Check every file: SHA-256, format, length, labels."""
    from dropout_lab.data import datasets as data

    reports = data.verify(dataset, data.directory(data_dir))
    for report in reports:
        result(f"{report.sha256 or '-':64}  {report.path}  {report.problem or 'ok'}")
    fix = f"; `dropout-lab data fetch {dataset}` downloads it" if dataset in data.DATASETS else ""
    bad = [report for report in reports if report.problem]
    if bad:
        raise Refused(*(Problem(str(r.path), dataset, f"{r.problem}{fix}", r.sha256 or "nothing") for r in bad))


@data_app.command(epilog=example("data where"))
def where(data_dir: DataDir = None) -> None:
    """Print the directory that data sets are kept in."""
    from dropout_lab.data import datasets as data

    result(str(data.directory(data_dir)))


# What the commands share


def _require_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help() + "\n")
        raise Refused(Problem("command line", "command", f"is missing; see {context.command_path} --help", "nothing"))


def _options(runs_dir: Path, data_dir: Path | None = None, device: str | None = None, **more: Any) -> Options:
    from dropout_lab.commands.names import Options
    from dropout_lab.data import datasets as data

    return Options(data.at_home(runs_dir), data.directory(data_dir), device, **more)


def _seeds(text: str | None, smoke: bool) -> tuple[int, ...] | None:
    """Read --seeds; a smoke run has its own."""
    from dropout_lab.config.ranges import parse_seeds

    if smoke and text is not None:
        raise Refused(Problem("command line", "--seeds", "must be left out: a smoke run has the seeds 0 and 1", text))
    return None if text is None else parse_seeds(text)


def _train(
    jobs: Sequence[Job],
    options: Options,
    *,
    fresh: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
    sweep: Sweep | None = None,
) -> list[str]:
    """Print the plan, stop there for a dry run, else train what is missing and return a line for each failure."""
    from dropout_lab.commands import listing
    from dropout_lab.commands import plan as plans

    steps = plans.plan(jobs, options, fresh=fresh)
    lines = [(step.job.path, step.job.config, step.missing) for step in steps]
    layouts = plans.layouts(steps, options)
    plan = listing.plan_as_text(lines, layouts, terminal.width())
    if dry_run:
        result(storage.as_json(listing.plan_as_dict(lines, layouts)) if as_json else plan)
        raise typer.Exit()
    with _resumable():
        say(plan)  # from here on an interruption says how to go on
        return plans.carry_out(steps, options, fresh=fresh, sweep=sweep)


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """Say how to go on with what is interrupted in this block."""
    try:
        yield
    except Interrupted:
        command = shlex.join([PROGRAM, *(word for word in sys.argv[1:] if word != "--fresh")])
        say(f"\ninterrupted; the epochs up to the last checkpoint are saved. Go on with\n  {command}")
        raise


def _confirm(table: SweepTable, options: Options) -> Comparison | None:
    """Compare the run that a sweep chose with its baseline, on seeds that the choice has not seen."""
    from dropout_lab.commands import compare as comparing
    from dropout_lab.commands import sweep as sweeping

    jobs, fresh = sweeping.confirmation(table, options)
    if not jobs:
        say("nothing to confirm: no run was chosen over a baseline")
        return None
    stop_at(_train(jobs, options))
    return comparing.compare(jobs, comparing.question(), jobs[0].path.parent / "_confirm", fresh).comparison


def _summarize(markdown: str, smoke: bool, *, as_data: bool) -> None:
    """Write the summary of a CI job, and say what a smoke run is worth, out of the way of data on stdout."""
    terminal.step_summary(markdown + f"\n{SMOKE}\n" * smoke)
    if smoke:
        (say if as_data else result)(SMOKE)


# The way in and the ways out


class Interrupted(BaseException):
    """One of STOPPING arrived; `number` is the signal's. Not an error: nothing that handles errors may catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Let the command save and stop; the next signal stops it at once."""
    for stopping in STOPPING:
        signal.signal(stopping, signal.SIG_DFL)
    raise Interrupted(number)


def main() -> None:
    """Run the command line and exit with the codes of the contract (0, 1, 2, 3, 129, 130, 143)."""
    terminal.prepare()
    for stopping in STOPPING:
        if stopping != signal.SIGHUP or signal.getsignal(stopping) != signal.SIG_IGN:  # which nohup asks for
            signal.signal(stopping, _interrupt)
    sys.exit(_run())


def _run() -> int:
    """Run the command line in sys.argv, report what goes wrong, and return the exit code."""
    try:
        return int(app(prog_name=PROGRAM, standalone_mode=False) or 0)
    except LabError as error:
        return _report(error)
    except typer.TyperException as error:
        return _report(Refused(_usage(error)))
    except MemoryError:
        return _report(Failed("out of memory: free some, or ask for fewer seeds, --jobs or images"))
    except Interrupted as interrupted:
        return 128 + interrupted.number
    except BrokenPipeError:  # whoever read stderr has gone, as in `dropout-lab train ... 2>&1 | head -1`
        return 1


def _report(error: LabError) -> int:
    for line in str(error).splitlines():
        say(f"{PROGRAM}: error: {line}")
    return error.exit_code


def _usage(error: typer.TyperException) -> Problem:
    """Return what was wrong with the command line, in the form of every other refusal."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    name = parameter and (parameter.metavar if parameter.param_type_name == "argument" else parameter.opts[0])
    near = getattr(error, "possibilities", None)
    message = getattr(error, "message", "").removeprefix("Value error, ")  # of options with a few possible values
    text = f"no such option. Did you mean {near[0]}?" if near else message or "is missing"
    text = text[0].lower() + text[1:].replace(". Did you mean", ", did you mean").rstrip(".")
    reason = f"{text}; see {context.command_path if context else PROGRAM} --help"
    key = getattr(error, "option_name", None) or name or "command"
    value = key if getattr(error, "option_name", None) else shlex.join(sys.argv[1:])
    return Problem("command line", key, printable(reason), value)
