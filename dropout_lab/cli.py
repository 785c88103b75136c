"""The command line: what can be typed. Each command calls one function of commands/ and shows its result.

Heavy modules are imported inside commands, so that help and refusals come at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

from dropout_lab import __version__, shell
from dropout_lab.shell import Screen
from dropout_lab.storage import as_json
from dropout_lab.terminal import result


def example(*lines: str) -> str:
    """Return the end of a command's help: lines to copy, not wrapped (the backspace asks for that)."""
    return "\b\n" + "\n".join(["Example:", *(f"  dropout-lab {line}" for line in lines)])


app = shell.Commands(
    help="What does dropout do to this network, on this data, and can we trust the answer?",
    epilog=example("compare digits-baseline digits-dropout --seeds 5"),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = shell.Commands(callback=shell.require_command, invoke_without_command=True)
app.add_typer(data_app, name="data", help="Fetch, verify or locate the data sets.", epilog=example("data where"))

# Options that several commands share

SHIPPED = "a config of the package, such as digits-dropout"
A_CONFIG = "a YAML file, or the name of " + SHIPPED
COUNT = {"min": 1, "max": 256}
RunsDir = Annotated[Path, Option(envvar="DROPOUT_LAB_RUNS", help="The runs directory.", metavar="DIR")]
DATA = "The data directory; default: DROPOUT_LAB_DATA, else the user's cache."
DataDir = Annotated[Path | None, Option(help=DATA, metavar="DIR")]
Seeds = Annotated[str | None, Option(help="5 (which means 0..4), 0..4, or 0,3,7.", metavar="SEEDS")]
Name = Annotated[str | None, Option(help="Name of the run or sweep; default: from the config.", metavar="NAME")]
Device = Annotated[str | None, Option(help="auto, cpu, cuda or cuda:N; default: the config's.", metavar="DEVICE")]
Jobs = Annotated[int | None, Option(help="Worker processes; default: chosen automatically.", metavar="N", **COUNT)]
Smoke = Annotated[bool, Option("--smoke", help="A quick check for CI: 2 seeds, 1 epoch, at most 2,000 images.")]
DryRun = Annotated[bool, Option("--dry-run", help="Print the plan and stop.")]
Json = Annotated[bool, Option("--json", help="Print the result as JSON.")]
Track = Annotated[str | None, Option(help="Write events while networks train: tensorboard.", metavar="TOOL")]
Live = Annotated[bool, Option("--live", help="Draw the losses in the terminal while networks train.")]
LivePage = Annotated[
    Path | None,
    Option(help="Show the curves on a page while networks train; then it is the report.", metavar="FILE.html"),
]
Wait = Annotated[bool, Option("--wait", help="Wait for a process that is writing the run, then go on.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Show no progress.")]
Form = Annotated[Literal["png", "svg", "pdf"], Option("--format", help="File format of the pictures.")]
Style = Annotated[Literal["light", "dark"], Option(help="Style of the pictures; dark is the articles' style.")]
Size = Annotated[Literal["page", "slide"], Option(help="Size of the pictures; a slide has 13.33 x 7.5 inches.")]
Out = Annotated[Path | None, Option(help="Directory for the files; default: in the runs directory.", metavar="DIR")]
UNTIL = "Add seeds until the verdict is better, worse or equivalent."
UntilDecided = Annotated[bool, Option("--until-decided", help=UNTIL)]
MaxSeeds = Annotated[int | None, Option(help="The most seeds with --until-decided; default: 64.", metavar="N")]
Overrides = Annotated[list[str] | None, Argument(help="Such as training.epochs=3.", metavar="KEY=VALUE")]
Tune = Annotated[
    list[str] | None,
    Option(help="A grid that each run is tuned over first, on seeds of its own; repeatable.", metavar="KEY=V1,V2,.."),
]
TuneSeeds = Annotated[int | None, Option(help="Seeds of the tuning, from 1000 on; default: 3.", metavar="N")]
RUNS = Path("runs")


def typed_places(runs_dir: Path, data_dir: Path | None) -> list[str]:
    """Return the options that say where runs and data are, as the next command needs them."""
    given = {"--runs-dir": runs_dir if runs_dir != RUNS else None, "--data-dir": data_dir}
    return [f"{option}={path}" for option, path in given.items() if path]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, Option("--version", "-V", help="Print the version and exit.")] = False,
) -> None:
    """What does dropout do to this network, on this data, and can we trust the answer?"""
    if version:
        result(f"{shell.PROGRAM} {__version__}")
        raise typer.Exit()
    shell.require_command(context)


@app.command(epilog=example("train mnist-dropout training.epochs=3 --seeds 5", "train digits-dropout --live"))
def train(
    config: Annotated[Path, Argument(help=f"The config of the run: {A_CONFIG}.", metavar="CONFIG")],
    overrides: Overrides = None,
    seeds: Seeds = None,
    name: Name = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    track: Track = None,
    smoke: Smoke = False,
    fresh: Annotated[bool, Option("--fresh", help="Move an existing run of this name aside, and start anew.")] = False,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    live: Live = False,
    live_page: LivePage = None,
    quiet: Quiet = False,
) -> None:
    """Train one run: a config, with one or more seeds.

    Finished seeds are skipped, and interrupted seeds continue. With --wait several processes train seeds of one run,
    one after another.
    """
    from dropout_lab.commands.train import train

    with Screen(json=as_json, dry_run=dry_run, smoke=smoke) as screen:
        shown: dict[str, Any] = {"live": live, "live_page": live_page, "quiet": quiet}
        options = screen.options(runs_dir, data_dir, device, seeds=seeds, name=name, track=track, wait=wait, **shown)
        screen.show(train(config, overrides or (), options, fresh=fresh))


@app.command(
    epilog=example(
        "compare digits-baseline digits-dropout training.epochs=30 --seeds 5",
        "compare a.yaml b.yaml --seeds 10 --tune training.learning_rate=0.0003,0.001,0.003",
        'compare mnist-baseline mnist-dropout --fail-if worse --fail-if "test_accuracy: drop > 0.2pp"',
        "compare mnist-baseline mnist-dropout --metric test_loss --min-effect 0.01 --explain",
        "compare mnist-baseline mnist-dropout --until-decided --max-seeds 30",
    )
)
def compare(
    words: Annotated[
        list[str],
        Argument(
            help=f"Runs or configs, looked for in this order: a path, a run in the runs directory, {SHIPPED}; "
            "and overrides, such as training.epochs=3.",
            metavar="A B [C ...] [KEY=VALUE ...]",
        ),
    ],
    seeds: Seeds = None,
    tune: Tune = None,
    tune_seeds: TuneSeeds = None,
    until_decided: UntilDecided = False,
    max_seeds: MaxSeeds = None,
    metric: Annotated[
        str | None,
        Option(help="The metric that the verdict is about; default: test_accuracy, if it is known.", metavar="NAME"),
    ] = None,
    min_effect: Annotated[
        str | None, Option(help="Smallest difference that matters; default: 0.1pp.", metavar="0.1pp")
    ] = None,
    fail_if: Annotated[
        list[str] | None, Option(help="Exit with 3 if this holds, after the results; repeatable.", metavar="EXPR")
    ] = None,
    out: Out = None,
    explain: Annotated[bool, Option("--explain", help="Then say what every term means.")] = False,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    track: Track = None,
    smoke: Smoke = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    as_csv: Annotated[bool, Option("--csv", help="Print the result as CSV.")] = False,
    markdown: Annotated[bool, Option("--md", help="Print the result as Markdown.")] = False,
    live: Live = False,
    live_page: LivePage = None,
    quiet: Quiet = False,
) -> None:
    """Compare runs over paired seeds; the first is the baseline.

    Configs without a finished run are trained first. A damaged run is named and left out, and the exit code is 1; if
    the baseline is damaged, the command is refused. With --tune each run is compared at the settings that it chose on
    validation.
    """
    from dropout_lab.commands.compare import compare
    from dropout_lab.commands.names import apart
    from dropout_lab.commands.until import most_seeds

    with Screen(json=as_json, csv=as_csv, md=markdown, dry_run=dry_run, smoke=smoke) as screen:
        shown: dict[str, Any] = {"live": live, "live_page": live_page, "quiet": quiet}
        options = screen.options(runs_dir, data_dir, device, seeds=seeds, track=track, **shown)
        runs, overrides = apart(words)
        asked: dict[str, Any] = {"metric": metric, "min_effect": min_effect, "fail_if": fail_if or (), "out": out}
        asked |= {"tune": tune or (), "tune_seeds": tune_seeds, "explain": explain}
        most = most_seeds(until_decided, max_seeds, options)
        screen.show(compare(runs, options, overrides=overrides, leave_out_damaged=True, most=most, **asked))


@app.command(
    epilog=example(
        "sweep --rates 0.1..0.5 --seeds 3 --confirm",
        'sweep digits-dropout --rates 0.2,0.5 --vary "network.hidden=[64],[256]" --jobs 2',
        "sweep digits-dropout --rates 0.2,0.5 --tune training.learning_rate=0.0003,0.001,0.003",
        "sweep digits-dropout --rates 0.2,0.5 --until-decided --max-seeds 30",
    )
)
def sweep(
    config: Annotated[
        Path | None, Argument(help=f"The config: {A_CONFIG}; default: the article's network.", metavar="CONFIG")
    ] = None,
    overrides: Overrides = None,
    rates: Annotated[str | None, Option(help="Rates: 0.1..0.5, 0..0.5:0.05, or 0,0.2..0.5.", metavar="RATES")] = None,
    vary: Annotated[
        list[str] | None, Option(help="Another setting to vary; repeatable.", metavar="KEY=V1,V2,..")
    ] = None,
    no_baseline: Annotated[bool, Option("--no-baseline", help="Do not add the run at rate 0.")] = False,
    seeds: Seeds = None,
    tune: Tune = None,
    tune_seeds: TuneSeeds = None,
    until_decided: UntilDecided = False,
    max_seeds: MaxSeeds = None,
    jobs: Jobs = None,
    cluster: Annotated[
        str | None, Option(help="Train on a Dask cluster: tcp://host:8786, or local:N.", metavar="ADDRESS")
    ] = None,
    lanes: Annotated[
        int | None,
        Option(help="Networks side by side in each process; default: chosen automatically.", metavar="N", **COUNT),
    ] = None,
    name: Name = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    track: Track = None,
    smoke: Smoke = False,
    confirm: Annotated[
        bool, Option("--confirm", help="Then compare the chosen run with its baseline on fresh seeds.")
    ] = False,
    fail_fast: Annotated[bool, Option("--fail-fast", help="Stop at the first run that fails.")] = False,
    out: Out = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    live_page: LivePage = None,
    quiet: Quiet = False,
) -> None:
    """Train one run per rate, and the baseline; compare them.

    With --vary there is one run per combination of values. The best run is chosen on validation data. At the end the
    command suggests what to type next.
    """
    from dropout_lab.commands.names import apart
    from dropout_lab.commands.sweep import sweep
    from dropout_lab.commands.until import most_seeds

    named, words = apart([str(config)]) if config else ([], [])  # an override may come first
    places = typed_places(runs_dir, data_dir)
    with Screen(json=as_json, dry_run=dry_run, smoke=smoke) as screen:
        training: dict[str, Any] = {"jobs": jobs, "lanes": lanes, "track": track, "fail_fast": fail_fast}
        shown: dict[str, Any] = {"live_page": live_page, "quiet": quiet}
        options = screen.options(runs_dir, data_dir, device, seeds=seeds, name=name, **training, **shown)
        then: dict[str, Any] = {"baseline": not no_baseline, "confirm": confirm, "cluster": cluster, "places": places}
        then["out"] = out
        then |= {"overrides": [*words, *(overrides or ())], "tune": tune or (), "tune_seeds": tune_seeds}
        most = most_seeds(until_decided, max_seeds, options)
        screen.show(sweep(named[0] if named else None, rates, vary or (), options, most=most, **then))


@app.command(
    epilog=example(
        "variance digits-dropout",
        "variance digits-dropout --levels 3 --vary dropout.rate=0.2,0.5 --metric test_loss",
    )
)
def variance(
    config: Annotated[Path, Argument(help=f"The config whose networks are varied: {A_CONFIG}.", metavar="CONFIG")],
    overrides: Overrides = None,
    levels: Annotated[int, Option(help="Seeds of each stream, 2 to 100.", metavar="N")] = 5,
    vary: Annotated[
        list[str] | None, Option(help="Do so for each value of a setting; repeatable.", metavar="KEY=V1,V2,..")
    ] = None,
    metric: Annotated[str, Option(help="The metric whose spread is divided.", metavar="NAME")] = "test_accuracy",
    jobs: Jobs = None,
    name: Name = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find where the spread over seeds comes from.

    First weights, batch order, masks, and what else is drawn are varied apart and in every combination: 5 levels of 3
    streams train 125 networks.
    """
    from dropout_lab.commands.variance import variance

    with Screen(json=as_json, dry_run=dry_run) as screen:
        options = screen.options(runs_dir, data_dir, device, name=name, jobs=jobs, quiet=quiet)
        screen.show(variance(config, overrides or (), options, levels=levels, vary=vary or (), metric=metric))


@app.command(
    epilog=example("power digits-baseline digits-dropout", "power digits-baseline digits-dropout --effect 0.5pp")
)
def power(
    names: Annotated[list[str], Argument(help="A finished run's directory, name, or config.", metavar="A B")],
    effect: Annotated[
        list[str] | None,
        Option(help="The difference to be found; repeatable; default: several.", metavar="0.5pp"),
    ] = None,
    metric: Annotated[str, Option(help="The metric that is compared.", metavar="NAME")] = "test_accuracy",
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
) -> None:
    """Say how many seeds find a difference between two runs.

    The answer comes from the spread of the seeds that are finished. Nothing is trained.
    """
    from dropout_lab.commands.power import power

    screen = Screen(json=as_json)
    screen.show(power(names, screen.options(runs_dir), metric=metric, effects=effect or ()))


@app.command(epilog=example("evaluate mnist-dropout --samples 50"))
def evaluate(
    name: Annotated[str, Argument(help="Directory or name of a finished run.", metavar="RUN")],
    samples: Annotated[
        int, Option(help="Average over at most K passes with dropout on.", metavar="K", min=1, max=1000)
    ] = 50,
    form: Form = "png",
    style: Style = "light",
    size: Size = "page",
    out: Out = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at a finished run: averaging, uncertainty, features.

    Weight scaling is compared with the mean of passes with dropout on, and pictures are drawn.
    """
    from dropout_lab.commands.evaluate import evaluate
    from dropout_lab.commands.names import Look

    screen = Screen(json=as_json)
    options = screen.options(runs_dir, data_dir, quiet=quiet)
    screen.show(evaluate(name, samples, options, Look(form, style, size), out))


@app.command(epilog=example("reproduce --quick", "reproduce S3 P10 --out report.html"))
def reproduce(
    names: Annotated[
        list[str] | None, Argument(help="Ids, or articles, theory, papers.", metavar="[CLAIM ...]")
    ] = None,
    listing: Annotated[bool, Option("--list", help="List the claims with their costs, and stop.")] = False,
    quick: Annotated[bool, Option("--quick", help="Only what takes less than 5 minutes on 2 cores.")] = False,
    seeds: Seeds = None,
    jobs: Jobs = None,
    out: Annotated[Path | None, Option(help="Write a page with the verdicts: .html or .md.", metavar="FILE")] = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run claims of articles and papers, and judge them.

    The verdicts are HOLDS, FAILS or UNDECIDED, with the numbers. Claims share runs, and interrupted runs continue.
    """
    from dropout_lab.commands.reproduce import reproduce

    with Screen(json=as_json, dry_run=dry_run) as screen:
        options = screen.options(runs_dir, data_dir, device, seeds=seeds, jobs=jobs, quiet=quiet)
        screen.show(reproduce(names or (), options, listing=listing, quick=quick, out=out))


@app.command(
    epilog=example("plot mnist-baseline mnist-dropout", "plot mnist-sweep --format pdf --style dark --size slide")
)
def plot(
    names: Annotated[list[str], Argument(help="Directories or names of runs and sweeps.", metavar="RUN...")],
    form: Form = "png",
    style: Style = "light",
    size: Size = "page",
    out: Out = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Redraw the pictures of finished runs and sweeps.

    Several runs are also drawn together.
    """
    from dropout_lab.commands.names import Look
    from dropout_lab.commands.plot import plot

    screen = Screen()
    screen.show(plot(names, screen.options(runs_dir), Look(form, style, size), out))


@app.command(epilog=example("report mnist-baseline mnist-dropout", "report runs/mnist-sweep --out sweep.html"))
def report(
    names: Annotated[list[str], Argument(help="Directories or names of runs and sweeps.", metavar="PATH...")],
    out: Annotated[Path, Option(help="The page to write.", metavar="FILE")] = Path("report.html"),
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
) -> None:
    """Write one HTML page about runs; the first is the baseline.

    A sweep stands for all its finished runs. The page needs no other file and no network. If a run cannot be shown,
    the page names it and shows the others, and the exit code is 1.
    """
    from dropout_lab.commands.report import report

    screen = Screen()
    screen.show(report(names, out, screen.options(runs_dir, data_dir)))


@app.command(epilog=example("merge digits part-0 part-1 part-2"))
def merge(
    name: Annotated[str, Argument(help="Name of the new run.", metavar="NAME")],
    names: Annotated[list[str], Argument(help="Directories or names of finished runs.", metavar="RUN...")],
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
) -> None:
    """Make one run of runs that differ in their seeds alone.

    The new run has the bytes of all these seeds trained together. The runs stay as they are. A seed that several have
    must have the same results in each.
    """
    from dropout_lab.commands.merge import merge

    screen = Screen(json=as_json)
    screen.show(merge(name, names, screen.options(runs_dir)))


@app.command(epilog=example("lesson", "lesson --dataset mnist --out mnist.html"))
def lesson(
    out: Annotated[Path, Option(help="The page to write.", metavar="FILE")] = Path("lesson.html"),
    dataset: Annotated[Literal["digits", "mnist"], Option(help="Whose networks the page shows.")] = "digits",
    seeds: Seeds = None,
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    device: Device = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Write a page to play with: dropout in eight steps.

    Its networks are trained first. The page needs no other file and no network.
    """
    from dropout_lab.commands.lesson import lesson

    with Screen(dry_run=dry_run) as screen:
        options = screen.options(runs_dir, data_dir, device, seeds=seeds, jobs=jobs, quiet=quiet)
        screen.show(lesson(dataset, out, options, places=typed_places(runs_dir, data_dir)))


@app.command(epilog=example("export mnist-dropout --to mlflow:sqlite:///mlflow.db"))
def export(
    name: Annotated[str, Argument(help="Directory or name of a finished run.", metavar="RUN")],
    to: Annotated[str, Option(help="The database to add it to, such as mlflow:sqlite:///mlflow.db.", metavar="TARGET")],
    runs_dir: RunsDir = RUNS,
) -> None:
    """Give a finished run to MLflow, one MLflow run per seed.

    Seeds that are there already are not added again.
    """
    from dropout_lab.commands.export import export

    screen = Screen()
    screen.show(export(name, to, screen.options(runs_dir)))


@app.command(
    name="import",
    epilog=example(
        "import mine logs/seed0.csv logs/seed1.csv logs/seed2.csv --seed-from 'seed(\\d+)' --set dropout.rate=0.5",
        "import theirs a.csv b.csv --column val_loss=valid_loss --column val_accuracy=valid_acc --percent",
    ),
)
def import_(
    name: Annotated[str, Argument(help="Name of the run to make.", metavar="NAME")],
    files: Annotated[
        list[Path],
        Argument(help="Logs, one for each seed: CSV, or trainer_state.json.", metavar="FILE..."),
    ],
    seed_from: Annotated[
        str | None,
        Option(help="Where the seed is in a path; default: files count from 0.", metavar="REGEX"),
    ] = None,
    column: Annotated[
        list[str] | None, Option(help="The column of a measure: val_loss=valid_loss; repeatable.", metavar="KEY=NAME")
    ] = None,
    percent: Annotated[bool, Option("--percent", help="Accuracies were logged in percent.")] = False,
    predictions: Annotated[
        list[Path] | None,
        Option(help="Label and prediction of every test image, one file for each log; repeatable.", metavar="FILE"),
    ] = None,
    noted: Annotated[
        list[str] | None,
        Option("--set", help="A condition to note: dropout.rate=0.5; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    fresh: Annotated[bool, Option("--fresh", help="Move an existing run of this name aside.")] = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
) -> None:
    """Make a run of what another program logged, one file a seed.

    It is compared, listed, drawn and judged as other runs are. What the logs do not tell stays unknown.
    """
    from dropout_lab.commands.imported import import_run

    screen = Screen(json=as_json)
    told: dict[str, Any] = {"column": column or (), "seed_from": seed_from, "predictions": predictions or ()}
    told |= {"conditions": noted or (), "percent": percent, "fresh": fresh}
    screen.show(import_run(name, files, screen.options(runs_dir), **told))


@app.command(name="list", epilog=example("list --runs-dir runs"))
def list_(runs_dir: RunsDir = RUNS, as_json: Json = False) -> None:
    """List the runs, newest first, with their val_loss."""
    from dropout_lab.commands.listing import listing

    screen = Screen(json=as_json)
    screen.show(listing(screen.options(runs_dir)))


@app.command(epilog=example("validate mnist-dropout dropout.rate=0.3"))
def validate(
    config: Annotated[Path, Argument(help=f"The config to check: {A_CONFIG}.", metavar="CONFIG")],
    overrides: Overrides = None,
) -> None:
    """Check a config, and print it with every default filled in."""
    from dropout_lab.commands.names import say_note
    from dropout_lab.config import resolve
    from dropout_lab.data import datasets

    checked = resolve.load(config, overrides or ())
    if said := datasets.described(checked.data.dataset, checked.data.parts):
        say_note(said)
    result(resolve.to_yaml(checked))


@app.command(
    epilog=example(
        "init my-experiment && dropout-lab train my-experiment.yaml",
        "init mine --from digits-dropout --pair && dropout-lab compare mine-baseline.yaml mine-dropout.yaml",
    )
)
def init(
    name: Annotated[
        str | None, Argument(help="Name of the run and the file; default: experiment.", metavar="NAME")
    ] = None,
    source: Annotated[
        str | None, Option("--from", help="A config that comes with the package: digits-dropout.", metavar="CONFIG")
    ] = None,
    pair: Annotated[bool, Option("--pair", help="Write a baseline without dropout, and a candidate with it.")] = False,
) -> None:
    """Write NAME.yaml, with every key explained.

    The JSON Schema for editors is written beside it. With --from the file is one of the configs that come with the
    package.
    """
    from dropout_lab.commands.init import init

    Screen().show(init(name, source, pair))


@app.command(epilog=example("schema > dropout-lab.schema.json"))
def schema() -> None:
    """Print the JSON Schema of a config."""
    from dropout_lab.config.settings import json_schema

    result(as_json(json_schema()))


@app.command(epilog=example("doctor"))
def doctor(runs_dir: RunsDir = RUNS, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check this machine: versions, device, data, disk.

    The exit code is 1 if something would keep runs from working.
    """
    from dropout_lab.commands.doctor import doctor

    screen = Screen(json=as_json)
    screen.show(doctor(screen.options(runs_dir, data_dir)))


@app.command(epilog=example("theory --out pictures"))
def theory(
    out: Annotated[Path | None, Option(help="Directory for the picture.", metavar="DIR")] = None,
    form: Form = "png",
    style: Style = "light",
    size: Size = "page",
    as_json: Json = False,
) -> None:
    """Check what the papers prove, by summing over every mask.

    The exit code is 1 if a theorem fails.
    """
    from dropout_lab.commands.names import Look
    from dropout_lab.commands.theory import theory

    Screen(json=as_json).show(theory(out, Look(form, style, size)))


DATASETS = "mnist, fashion-mnist, kmnist, digits, wine, breast-cancer, or a path to an .npz."
DatasetName = Annotated[str, Argument(help=DATASETS, metavar="DATASET")]


@data_app.command(epilog=example("data fetch mnist"))
def fetch(dataset: DatasetName = "mnist", data_dir: DataDir = None) -> None:
    """Download and verify a data set; print where it is."""
    from dropout_lab.commands import data

    Screen().show(data.fetch(dataset, data_dir))


@data_app.command(epilog=example("data verify mnist --data-dir ~/data"))
def verify(dataset: DatasetName = "mnist", data_dir: DataDir = None) -> None:
    """Check every file: SHA-256, format, length, labels."""
    from dropout_lab.commands import data

    Screen().show(data.verify(dataset, data_dir))


@data_app.command(epilog=example("data where"))
def where(data_dir: DataDir = None) -> None:
    """Print the directory where data sets are kept."""
    from dropout_lab.commands import data

    Screen().show(data.where(data_dir))


@app.command(name="help", epilog=example("help train"))
def help_(
    words: Annotated[list[str] | None, Argument(help="Such as train, or data fetch.", metavar="[COMMAND]")] = None,
) -> None:
    """Show the help of the program, or of one command."""
    app([*(words or ()), "--help"], prog_name=shell.PROGRAM, standalone_mode=False)


def main() -> None:
    """Run the command line and exit."""
    shell.main(app)
