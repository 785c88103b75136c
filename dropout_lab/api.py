"""The Python API: what the commands do, as functions that return objects, print nothing and raise `LabError`.

    import dropout_lab as lab

    baseline = lab.train("configs/digits-baseline.yaml", seeds=5)
    dropout = lab.train("configs/digits-dropout.yaml", "dropout.rate=0.3", seeds=5)
    lab.compare(baseline, dropout)

Runs are kept in `runs_dir` and follow the rules of the command line: what is finished is not trained again, what was
interrupted goes on. Networks train in this process; with `jobs` above 1 in several, and then a script needs the guard
`if __name__ == "__main__":`. Remarks that the command line would make come as warnings.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.commands import compare as comparing
from dropout_lab.commands import evaluate as evaluating
from dropout_lab.commands import listing
from dropout_lab.commands import names as targets
from dropout_lab.commands import plan as plans
from dropout_lab.commands import sweep as sweeping
from dropout_lab.commands.names import Options
from dropout_lab.comparison import compare as comparisons
from dropout_lab.comparison import tables
from dropout_lab.config import resolve as configs
from dropout_lab.config.ranges import parse_seeds
from dropout_lab.config.resolve import Config
from dropout_lab.config.strict_yaml import written
from dropout_lab.data import datasets as data
from dropout_lab.errors import stop_at
from dropout_lab.pages import as_html
from dropout_lab.runs import read as runs
from dropout_lab.runs.job import Job
from dropout_lab.sweeps import judge as sweep_table
from dropout_lab.sweeps import plan as sweeps
from dropout_lab.terminal import WIDEST
from dropout_lab.text import as_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dropout_lab.evaluation.evaluate import Evaluation

Where = str | Path
Configured = Where | Mapping[str, object] | Config  # a config file, its content, or a resolved config
Seeds = int | str | Iterable[int]  # 5 means the seeds 0 to 4, as on the command line; so do "0..4" and range(5)
Drawn = runs.Run | Where
UNNAMED = "experiment"  # the run of a config that has neither a name nor a file


class Run(runs.Run):
    """A finished run: `metrics` and `timing` are tidy DataFrames, `weights()` and `predictions()` arrays by name."""

    def __repr__(self) -> str:
        return as_text(listing.parts(self), WIDEST)

    def _repr_html_(self) -> str:
        return as_html(listing.parts(self))


class Comparison(comparisons.Comparison):
    """Runs compared over paired seeds: conditions, a table, and a verdict in words."""

    def __repr__(self) -> str:
        return tables.to_text(self)

    def _repr_html_(self) -> str:
        return as_html(tables.parts(self))


class SweepTable(sweep_table.SweepTable):
    """A sweep: each setting against its baseline, and the choice made on validation."""

    def __repr__(self) -> str:
        return sweep_table.to_text(self)

    def _repr_html_(self) -> str:
        return as_html(sweep_table.parts(self))


def train(
    config: Configured,
    *overrides: str,
    seeds: Seeds | None = None,
    name: str | None = None,
    fresh: bool = False,
    track: str | None = None,
    runs_dir: Where = "runs",
    data_dir: Where | None = None,
    device: str | None = None,
    jobs: int = 1,
    quiet: bool = True,
) -> Run:
    """Train one run, and return it; `overrides` are such as "training.epochs=3".

    A mapping has the keys of a config file and, unless it or `name` says otherwise, makes the run "experiment". A seed
    that diverged is in `Run.diverged`. Raises `Refused` with every problem, and `Failed` where the training failed.
    """
    options = _options(runs_dir, data_dir, device, jobs=jobs, quiet=quiet, track=track)
    resolved = _config(config, [*overrides, *_overrides(seeds, name, device)])
    job = Job(options.runs / resolved.name, resolved)
    stop_at(_train([job], options, fresh=fresh))
    return load(job.path)


def load(path: Where) -> Run:
    """Return the finished run in the directory `path`. Raises `Refused` where there is none, or a damaged one."""
    return Run(**_fields(runs.load(Path(path))))


def compare(
    a: Configured | runs.Run,
    b: Configured | runs.Run,
    *more: Configured | runs.Run,
    metric: str = "test_accuracy",
    min_effect: str | None = None,
    seeds: Seeds | None = None,
    out: Where | None = None,
    track: str | None = None,
    runs_dir: Where = "runs",
    data_dir: Where | None = None,
    device: str | None = None,
    jobs: int = 1,
    quiet: bool = True,
) -> Comparison:
    """Compare runs over paired seeds; `a` is the baseline. Each is a run, its directory or name, or a config.

    Configs without a finished run are trained first. `min_effect` is the smallest difference that matters, such as
    "0.1pp" for an accuracy. The files that the command writes are written too, to `out`.
    """
    options = _options(runs_dir, data_dir, device, jobs=jobs, quiet=quiet, track=track)
    question = comparing.question(metric, min_effect)
    changes = _overrides(seeds, None, device)
    todo = targets.targets([_target(given) for given in (a, b, *more)], options, changes, least=2)
    comparing.check_alike(todo)
    stop_at(_train(todo, options))
    directory = Path(out) if out else comparing.comparison_directory(todo, options)
    answer = comparing.compare(todo, question, directory, None if seeds is None else _seeds(seeds))
    return Comparison(**_fields(answer.comparison))


def sweep(
    config: Configured | None = None,
    rates: str | Iterable[float] | None = None,
    vary: Mapping[str, Iterable[object]] | Sequence[str] = (),
    *,
    baseline: bool = True,
    seeds: Seeds | None = None,
    name: str | None = None,
    track: str | None = None,
    runs_dir: Where = "runs",
    data_dir: Where | None = None,
    device: str | None = None,
    jobs: int = 1,
    quiet: bool = True,
) -> SweepTable:
    """Train one run per rate ("0.1..0.5", or numbers), and the baseline; compare them, and choose on validation.

    With `vary`, {"network.hidden": [[64], [256]]} or ["network.hidden=[64],[256]"], one run per combination. Without a
    config it is the article's network on MNIST. Raises `Failed` where a run failed, after what is there was judged.
    """
    options = _options(runs_dir, data_dir, device, jobs=jobs, quiet=quiet, track=track)
    given = _overrides(seeds, name, device)
    base = sweeps.article(given) if config is None else _config(config, given)
    rates = rates if rates is None or isinstance(rates, str) else _listed(rates)
    axes = [f"{key}={_listed(values)}" for key, values in vary.items()] if isinstance(vary, Mapping) else vary
    planned = sweeps.plan(base, rates, axes, name=sweeps.title(base, name), baseline=baseline)
    failures = _train(sweeping.sweep_jobs(planned, options), options, sweep=planned)
    table = sweeping.judge_sweep(planned, options)
    stop_at(failures)
    return SweepTable(**_fields(table))


def evaluate(
    run: runs.Run | Where,
    samples: int = 50,
    *,
    runs_dir: Where = "runs",
    data_dir: Where | None = None,
    quiet: bool = True,
) -> Evaluation:
    """Look at a finished run: weight scaling beside the mean of up to `samples` passes with dropout on, uncertainty."""
    from dropout_lab.evaluation.tables import ShownEvaluation

    options = _options(runs_dir, data_dir, quiet=quiet)
    (job,) = targets.targets([_target(run)], options)
    found, _ = evaluating.evaluate(job, samples, options)
    return ShownEvaluation(**_fields(found))


def plot(what: Drawn | Iterable[Drawn] | comparisons.Comparison | sweep_table.SweepTable, *more: Drawn) -> Figure:
    """Draw the curves of one run, those of several over each other, a comparison, or a sweep. Writes nothing.

    A notebook shows the figure, which is one of matplotlib's; `figure.savefig("curves.svg")` keeps it.
    """
    from dropout_lab.figures import plots

    if isinstance(what, sweep_table.SweepTable):
        return sweeping.draw_sweep(what)
    if isinstance(what, comparisons.Comparison):
        sides = [what.baseline, *(contrast.candidate for contrast in what.contrasts)]
        return plots.comparison([runs.load(Path(side.path)).only(side.seeds) for side in sides])
    wanted = [what] if isinstance(what, runs.Run | str | Path) else list(what)
    loaded = targets.each([*wanted, *more], lambda own: own if isinstance(own, runs.Run) else runs.load(Path(own)))
    return plots.curves(loaded[0]) if len(loaded) == 1 else plots.comparison(loaded)


# What the functions share


def _options(runs_dir: Where, data_dir: Where | None, device: str | None = None, **more: Any) -> Options:
    place = data.directory(None if data_dir is None else Path(data_dir))
    return Options(data.at_home(runs_dir), place, device, note=_warn, **more)


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=2)


def _config(given: Configured, overrides: Sequence[str] = ()) -> Config:
    if isinstance(given, str | Path):
        return configs.load(Path(given), overrides)
    name = given.name if isinstance(given, Config) else UNNAMED
    mapping = given.model_dump(mode="json") if isinstance(given, Config) else given
    return configs.resolve(mapping, overrides, where="config", name=name)


def _target(given: Configured | runs.Run) -> str | Config:
    if isinstance(given, runs.Run):
        return str(given.path)
    return str(given) if isinstance(given, str | Path) else _config(given)


def _seeds(given: Seeds) -> tuple[int, ...]:
    return parse_seeds(str(given)) if isinstance(given, int | str) else tuple(given)


def _overrides(seeds: Seeds | None, name: str | None, device: str | None) -> list[str]:
    return targets.overrides(seeds=None if seeds is None else _seeds(seeds), name=name, device=device)


def _listed(values: Iterable[object]) -> str:
    """Return values as the command line takes a list of them."""
    return ",".join(map(written, values))


def _train(
    jobs: Sequence[Job], options: Options, *, fresh: bool = False, sweep: sweeps.Sweep | None = None
) -> list[str]:
    return plans.carry_out(plans.plan(jobs, options, fresh=fresh), options, fresh=fresh, sweep=sweep)


def _fields(found: Any) -> dict[str, Any]:
    """Return what a result holds, for the class here that shows it."""
    return {field.name: getattr(found, field.name) for field in fields(found)}
