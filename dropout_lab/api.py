"""The Python API: what the commands do, as functions that return objects, print nothing and raise `LabError`.

    import dropout_lab as lab

    baseline = lab.train("digits-baseline", seeds=5)
    dropout = lab.train("digits-dropout", "dropout.rate=0.3", seeds=5)
    lab.compare(baseline, dropout)

Runs are kept in `runs_dir` and follow the rules of the command line: what is finished is not trained again, what was
interrupted goes on. Networks train in this process; with `jobs` above 1 in several, which do not run the caller's
program again. Remarks that the command line would make come as warnings at the line that called. Numbers, arrays and
columns of NumPy, torch and pandas are taken wherever a number or a list is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dropout_lab.commands import listing
from dropout_lab.commands import power as powers
from dropout_lab.commands.arguments import edge, warn
from dropout_lab.commands.compare import compare as do_compare
from dropout_lab.commands.evaluate import evaluate as do_evaluate
from dropout_lab.commands.merge import merge as do_merge
from dropout_lab.commands.names import Configured, Look, Named, Options, Seeds, Where, options
from dropout_lab.commands.plot import draw
from dropout_lab.commands.power import power as do_power
from dropout_lab.commands.result import Result
from dropout_lab.commands.sweep import sweep as do_sweep
from dropout_lab.commands.train import train as do_train
from dropout_lab.commands.tune import TunedComparison, TunedTable, introduced
from dropout_lab.commands.until import most_seeds
from dropout_lab.commands.variance import variance as do_variance
from dropout_lab.comparison import compare as comparisons
from dropout_lab.comparison import tables
from dropout_lab.data.datasets import at_home
from dropout_lab.errors import Problem, Refused
from dropout_lab.pages import as_html
from dropout_lab.runs import read as runs
from dropout_lab.sweeps import judge as sweep_table
from dropout_lab.sweeps import spread as spreads
from dropout_lab.sweeps import tuning as tunings
from dropout_lab.sweeps.plan import Rates, Vary
from dropout_lab.sweeps.tuning import Tuning
from dropout_lab.terminal import WIDEST
from dropout_lab.text import Parts, as_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dropout_lab.evaluation.evaluate import Evaluation

Drawn = runs.Run | Where
Kind = TypeVar("Kind")


class Run(runs.Run):
    """A finished run: `metrics` and `timing` are tidy DataFrames, `weights()` and `predictions()` arrays by name."""

    def __repr__(self) -> str:
        return as_text(listing.parts(self), WIDEST)

    def _repr_html_(self) -> str:
        return as_html(listing.parts(self))


class Comparison(TunedComparison):
    """Runs compared over paired seeds: conditions, a table, and a verdict in words; what each chose, if tuned."""

    def __repr__(self) -> str:
        return introduced(self.tuning, tables.to_text(self), WIDEST)

    def _repr_html_(self) -> str:
        return as_html([*_before(self.tuning), *tables.parts(self)])


class SweepTable(TunedTable):
    """A sweep: each setting against its baseline, and the choice made on validation; what each chose, if tuned."""

    def __repr__(self) -> str:
        return introduced(self.tuning, sweep_table.to_text(self), WIDEST)

    def _repr_html_(self) -> str:
        return as_html([*_before(self.tuning), *sweep_table.parts(self)])


class Variance(spreads.Variance):
    """Where the spread over networks comes from: the components of every arm, and the value of every network."""

    def __repr__(self) -> str:
        return spreads.to_text(self)

    def _repr_html_(self) -> str:
        return as_html(spreads.parts(self))


class Power(powers.Planned):
    """How many seeds find a difference between two runs; `power` holds the numbers."""

    def __repr__(self) -> str:
        return powers.to_text(self)

    def _repr_html_(self) -> str:
        return as_html(powers.parts(self))


@edge
def train(
    config: Configured,
    *overrides: str,
    seeds: Seeds | None = None,
    name: str | None = None,
    fresh: bool = False,
    wait: bool = False,
    track: str | None = None,
    runs_dir: Where = "runs",
    data_dir: Where | None = None,
    device: str | None = None,
    jobs: int = 1,
    quiet: bool = True,
) -> Run:
    """Train one run, and return it; `overrides` are such as "training.epochs=3".

    A mapping has the keys of a config file and, unless it or `name` says otherwise, makes the run "experiment". A seed
    that diverged is in `Run.diverged`. With `wait` a run that another process is writing is trained when that process
    is done. Raises `Refused` with every problem, and `Failed` where the training failed.
    """
    how = _options(runs_dir, data_dir, device, seeds=seeds, name=name, jobs=jobs, quiet=quiet, track=track, wait=wait)
    return _shown(Run, do_train(config, overrides, how, fresh=fresh))


@edge
def merge(name: str, *named: Drawn, runs_dir: Where = "runs") -> Run:
    """Make the run `name` of finished runs that differ in their seeds alone, and return it; these stay as they are.

    It has the bytes of all seeds trained together. Raises `Refused` where anything else differs or `name` exists.
    """
    return _shown(Run, do_merge(name, named, _options(runs_dir, None)))


@edge
def load(path: Where) -> Run:
    """Return the finished run in the directory `path`. Raises `Refused` where there is none, or a damaged one."""
    return _shown(Run, Result(runs.load(at_home(path))))


@edge
def compare(
    a: Named,
    b: Named,
    *more: Named,
    overrides: Sequence[str] = (),
    tune: Vary = (),
    tune_seeds: int | None = None,
    metric: str | None = None,
    min_effect: str | None = None,
    seeds: Seeds | None = None,
    until_decided: bool = False,
    max_seeds: int | None = None,
    out: Where | None = None,
    track: str | None = None,
    runs_dir: Where = "runs",
    data_dir: Where | None = None,
    device: str | None = None,
    jobs: int = 1,
    quiet: bool = True,
) -> Comparison:
    """Compare runs over paired seeds; `a` is the baseline. Each is a run, its directory or name, or a config.

    Configs without a finished run are trained first, changed by `overrides` such as "training.epochs=3". `min_effect`
    is the smallest difference that matters, such as "0.1pp" for an accuracy. With `until_decided`, seeds are added
    until the verdict is better, worse or equivalent, up to `max_seeds` (64) in each run. With `tune`,
    {"training.learning_rate": [0.001, 0.003]}, each run is compared at what it chooses from this grid on validation, on
    `tune_seeds` (3) other seeds. The files that the command writes are written too, to `out`.
    """
    how = _options(runs_dir, data_dir, device, seeds=seeds, jobs=jobs, quiet=quiet, track=track)
    trained: dict[str, Any] = {"overrides": overrides, "tune": tune, "tune_seeds": tune_seeds}
    most = most_seeds(until_decided, max_seeds, how)
    done = do_compare((a, b, *more), how, metric=metric, min_effect=min_effect, out=out, most=most, **trained)
    return _shown(Comparison, done)


@edge
def sweep(
    config: Configured | None = None,
    rates: Rates | None = None,
    vary: Vary = (),
    *,
    overrides: Sequence[str] = (),
    tune: Vary = (),
    tune_seeds: int | None = None,
    baseline: bool = True,
    seeds: Seeds | None = None,
    until_decided: bool = False,
    max_seeds: int | None = None,
    out: Where | None = None,
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
    config it is the article's network on MNIST. `overrides` are such as "training.epochs=3". With `until_decided`, each
    run gets seeds until its verdict is decided, up to `max_seeds` (64). With `tune`, {"training.learning_rate": [0.001,
    0.003]}, each setting is swept at what it chooses from this grid, on `tune_seeds` (3) other seeds. The table and the
    picture go to `out`, else beside the runs. Raises `Failed` where a run failed, after what is there was judged.
    """
    how = _options(runs_dir, data_dir, device, seeds=seeds, name=name, jobs=jobs, quiet=quiet, track=track)
    trained: dict[str, Any] = {"overrides": overrides, "tune": tune, "tune_seeds": tune_seeds}
    most = most_seeds(until_decided, max_seeds, how)
    done = do_sweep(config, rates, vary, how, baseline=baseline, out=out, most=most, **trained)
    if done.error:
        raise done.error
    return _shown(SweepTable, done)


@edge
def variance(
    config: Configured,
    *overrides: str,
    levels: int = 5,
    vary: Vary = (),
    metric: str = "test_accuracy",
    name: str | None = None,
    runs_dir: Where = "runs",
    data_dir: Where | None = None,
    device: str | None = None,
    jobs: int = 1,
    quiet: bool = True,
) -> Variance:
    """Return where the spread over seeds comes from: first weights, batch order, masks, and what else is drawn.

    With L `levels` and S streams, L ** S networks are trained; with `vary`, as many for each combination of values.
    Raises `Failed` where a network failed or has no value of the metric.
    """
    how = _options(runs_dir, data_dir, device, name=name, jobs=jobs, quiet=quiet)
    done = do_variance(config, overrides, how, levels=levels, vary=vary, metric=metric)
    if done.error:
        raise done.error
    return _shown(Variance, done)


@edge
def power(
    a: Named,
    b: Named,
    *,
    effects: Sequence[str] = (),
    metric: str = "test_accuracy",
    runs_dir: Where = "runs",
) -> Power:
    """Return how many seeds find each of `effects`, such as "0.5pp", from the spread of two finished runs.

    Nothing is trained. Raises `Refused` for a run that is not finished, and for fewer than 3 pairs.
    """
    done = do_power((a, b), _options(runs_dir), metric=metric, effects=effects)
    return _shown(Power, done)


@edge
def evaluate(
    run: Drawn,
    samples: int = 50,
    *,
    out: Where | None = None,
    runs_dir: Where = "runs",
    data_dir: Where | None = None,
    quiet: bool = True,
) -> Evaluation:
    """Look at a finished run: weight scaling beside the mean of up to `samples` passes with dropout on, uncertainty.

    The files that the command writes are written too, to `out`.
    """
    from dropout_lab.evaluation.tables import ShownEvaluation

    how = _options(runs_dir, data_dir, quiet=quiet)
    return _shown(ShownEvaluation, do_evaluate(run, samples, how, Look(), out))


@edge
def plot(what: Drawn | Iterable[Drawn] | comparisons.Comparison | sweep_table.SweepTable, *others: Drawn) -> Figure:
    """Draw the curves of one run, those of several over each other, a comparison, or a sweep. Writes nothing.

    A notebook shows the figure, which is one of matplotlib's; `figure.savefig("curves.svg")` keeps it.
    """
    if isinstance(what, comparisons.Comparison | sweep_table.SweepTable):
        if others:
            raise Refused(
                Problem("lab.plot", "what", "must be alone, or runs: a comparison or a sweep is one picture", others)
            )
        return draw(what)
    runs_given = [*([what] if isinstance(what, runs.Run | str | Path) else what), *others]
    if not runs_given:
        raise Refused(Problem("lab.plot", "what", "must be one run or more", what))
    return draw(runs_given)


def _options(runs_dir: Where, data_dir: Where | None = None, device: str | None = None, **more: Any) -> Options:
    return options(runs_dir, data_dir, device, note=warn, **more)


def _before(tuning: Tuning | None) -> Parts:
    return tunings.parts(tuning) if tuning else []


def _shown(kind: type[Kind], done: Result[Any]) -> Kind:
    """Return a result as the class here that shows it in a notebook; warn of the files that could not be written."""
    for line in done.lost:
        warn(line)
    return kind(**{field.name: getattr(done.value, field.name) for field in fields(done.value)})
